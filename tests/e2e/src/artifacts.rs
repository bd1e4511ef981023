//! What the stories need from the machine and from the build: checked and made once, outside of the cage, with the
//! remedy where something is missing. Must not: change the product's image.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lb_image::layout::{Slot, kernel_command_line};
use lb_lab::command::run;
use lb_lab::{LabError, Result, build_dir, cage, nginx};

use crate::sabotage_image;

const PROGRAMS: [(&str, &str); 6] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("curl", "curl"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("debugfs", "e2fsprogs"),
    ("mksquashfs", "squashfs-tools"),
];
/// Paths that every story starts from.
#[derive(Debug, Clone)]
pub struct Artifacts {
    /// The product, as it is shipped.
    pub image: PathBuf,
    /// A copy whose slot a has the saboteur and its tools, and whose slot b has no /proc.
    pub sabotage_image: PathBuf,
    /// The kernel of slot a, for boots without a boot loader.
    pub kernel: PathBuf,
}

impl Artifacts {
    /// `LB_DISK_IMAGE`, or build/lb.img.
    pub fn locate() -> Artifacts {
        let image = std::env::var_os("LB_DISK_IMAGE").map(PathBuf::from);
        let image = image.unwrap_or_else(|| build_dir().join("lb.img"));
        Artifacts::of(image, &build_dir().join("e2e"))
    }

    /// Of this image, with what is made from it in a directory of its own.
    pub fn of(image: PathBuf, directory: &Path) -> Artifacts {
        Artifacts {
            image,
            sabotage_image: directory.join("sabotage.img"),
            kernel: directory.join("root/boot/vmlinuz"),
        }
    }

    /// Holds nothing but what is made from the image.
    pub fn directory(&self) -> PathBuf {
        self.sabotage_image
            .parent()
            .map(PathBuf::from)
            .unwrap_or_default()
    }

    /// Makes the saboteur's image, unless it is newer than what it is made of.
    pub fn refresh(&self, saboteur: &Path) -> Result<()> {
        if is_newer_than(&self.sabotage_image, &[self.image.as_path(), saboteur]) {
            return Ok(());
        }
        sabotage_image::build(self, saboteur)
    }

    /// What the boot loader would hand to the kernel for this slot, with another first process. The kernel's look whether
    /// timer interrupts come would end in a panic where the emulator had to wait for a processor just then.
    pub fn cmdline(&self, slot: Slot, init: &str) -> String {
        let line = kernel_command_line(slot).replace("init=/sbin/init", &format!("init={init}"));
        format!("{line} no_timer_check")
    }
}

/// Outside, before the first story. `saboteur` is the program's path.
pub fn prepare(saboteur: &Path) -> Result<()> {
    for (program, package) in PROGRAMS {
        if run(&["sh", "-c", "command -v \"$1\"", "sh", program]).is_err() {
            return Err(LabError::Missing(format!(
                "{program} is missing. As root: apt-get install {package}"
            )));
        }
    }
    cage::check_tun()?;
    nginx::unpack()?;
    let artifacts = Artifacts::locate();
    if !artifacts.image.exists() {
        return Err(LabError::Missing(format!(
            "{} does not exist. Build it: make image",
            artifacts.image.display()
        )));
    }
    artifacts.refresh(saboteur)
}

fn is_newer_than(made: &Path, sources: &[&Path]) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
    let Ok(made) = changed(made) else {
        return false;
    };
    let newest = |path: &&Path| changed(path).unwrap_or_else(|_| SystemTime::now());
    sources.iter().all(|source| newest(source) < made)
}
