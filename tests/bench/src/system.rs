//! The three systems that are compared, and the disks that they boot from: copies of one image, with one boot loader and
//! one kernel; only the root file system in the slots differs. Must not: boot anything.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use lb_e2e::Artifacts;
use lb_image::config_volume::{self, LB_TOML};
use lb_image::layout::{SLOT_A, SLOT_B, SLOT_RESERVE};
use lb_lab::vm::copy_sparse;

use serde::Serialize;

use crate::packages::Packages;
use crate::{BenchError, Result, io, roots};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// The kernel with an init that does nothing: the yardstick.
    Nothing,
    Appliance,
    Keepalived,
}

impl System {
    pub const ALL: [System; 3] = [System::Nothing, System::Appliance, System::Keepalived];
    /// Those that balance.
    pub const PRODUCTS: [System; 2] = [System::Appliance, System::Keepalived];

    pub fn as_str(self) -> &'static str {
        match self {
            System::Nothing => "nothing",
            System::Appliance => "appliance",
            System::Keepalived => "keepalived",
        }
    }

    /// What its console shows when it takes a command.
    pub fn prompt(self) -> &'static str {
        match self {
            System::Nothing => "(none)",
            System::Appliance => "lb> ",
            System::Keepalived => "reference> ",
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is compared: the image that `make image` has built, its kernel, and where the rest is made.
#[derive(Debug, Clone)]
pub struct Parts {
    pub image: PathBuf,
    pub kernel: PathBuf,
    pub directory: PathBuf,
}

impl Parts {
    pub fn disk(&self, system: System) -> PathBuf {
        self.directory.join(format!("{system}.img"))
    }

    /// Makes the disks of all three; `config` is the appliance's lb.toml for the lab.
    pub fn make_disks(&self, packages: &Packages, config: &Path) -> Result<()> {
        self.check()?;
        let nothing = roots::nothing(&self.kernel, &self.directory)?;
        self.disk_with_root(&self.disk(System::Nothing), &nothing)?;
        let keepalived = roots::keepalived(packages, &self.kernel, &self.directory)?;
        self.disk_with_root(&self.disk(System::Keepalived), &keepalived)?;
        let disk = self.disk(System::Appliance);
        copy_sparse(&self.image, &disk)?;
        let text = fs::read(config).map_err(io("read", config))?;
        config_volume::write(&disk, LB_TOML, &text)
            .map_err(|source| BenchError::Config { image: disk, source })
    }

    /// The disk of the reference; see roots.rs.
    pub fn reference_disk(&self) -> PathBuf {
        self.directory.join("reference.img")
    }

    /// The appliance's image with the saboteur in front of its init.
    pub fn watched(&self) -> Artifacts {
        Artifacts::of(self.image.clone(), &self.directory.join("watched"))
    }

    /// Makes the disks of the two sides that are watched from the inside while they work.
    pub fn make_watched_disks(&self, packages: &Packages, saboteur: &Path) -> Result<()> {
        self.check()?;
        let saboteur = fs::canonicalize(saboteur).map_err(io("find", saboteur))?;
        self.watched().refresh(&saboteur)?;
        let reference = roots::reference(packages, &self.kernel, &saboteur, &self.directory)?;
        self.disk_with_root(&self.reference_disk(), &reference)
    }

    fn check(&self) -> Result<()> {
        let parts = [(&self.image, "make image"), (&self.kernel, "image/kernel/build")];
        for (path, remedy) in parts {
            if !path.exists() {
                return Err(BenchError::NotBuilt {
                    path: path.clone(),
                    remedy,
                });
            }
        }
        Ok(())
    }

    /// The image with `squashfs` in both slots, as `disk`.
    fn disk_with_root(&self, disk: &Path, squashfs: &Path) -> Result<()> {
        let mut root = fs::read(squashfs).map_err(io("read", squashfs))?;
        let room = SLOT_A.size - SLOT_RESERVE;
        let size = root.len() as u64;
        if size > room {
            let path = squashfs.to_owned();
            return Err(BenchError::TooBig { path, size, room });
        }
        let full = self.directory.join("disk.new");
        copy_sparse(&self.image, &full)?;
        // Nothing of the appliance is left behind it, so that the disk weighs what its own system weighs.
        root.resize(SLOT_A.size as usize, 0);
        let file = File::options()
            .write(true)
            .open(&full)
            .map_err(io("open", &full))?;
        for slot in [SLOT_A, SLOT_B] {
            file.write_all_at(&root, slot.start).map_err(io("write", &full))?;
        }
        copy_sparse(&full, disk)?;
        fs::remove_file(&full).map_err(io("remove", &full))
    }
}
