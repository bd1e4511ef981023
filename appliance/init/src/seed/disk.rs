//! The disk or CD labelled LBSEED: found by its label among all block devices, mounted read-only where nobody else looks, read within bounds.
//! Must not: write to a device, follow a link, or run long before it is left behind (the caller has a time limit).

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use lb_core::seed::LABEL;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::label::{self, Kind};
use super::{Seed, read_directory};
use crate::mounts::make_dir;
use crate::refused::Refused;

const MOUNTPOINT: &str = "/run/lb/seed-disk";
const FLAGS: MountFlags = MountFlags::RDONLY
    .union(MountFlags::NOSUID)
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC)
    .union(MountFlags::NOSYMFOLLOW);

/// The seed of the one disk with the label, if there is one.
pub fn find(sysfs: &Path, dev: &Path) -> Result<Option<Seed>, String> {
    let mut labelled = labelled(sysfs, dev);
    let Some((device, kind)) = labelled.pop() else {
        return Ok(None);
    };
    if let Some((other, _)) = labelled.last() {
        return Err(format!(
            "{} and {} are both labelled {LABEL}, and none of them is taken; leave one and reboot",
            other.display(),
            device.display()
        ));
    }
    let source = format!("the disk {LABEL} ({})", device.display());
    let files = mounted(&device, kind).map_err(|refused| format!("{source} cannot be read: {refused}"))?;
    Ok(Some(Seed::of(source, files)))
}

/// In order of names; a device that cannot be read has no label.
fn labelled(sysfs: &Path, dev: &Path) -> Vec<(PathBuf, Kind)> {
    let entries = fs::read_dir(sysfs.join("class/block"))
        .into_iter()
        .flatten()
        .flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    names.sort();
    let devices = names.iter().map(|name| dev.join(name));
    let kinds = devices.filter_map(|device| {
        let kind = label::find(&mut File::open(&device).ok()?, LABEL)?;
        Some((device, kind))
    });
    kinds.collect()
}

fn mounted(device: &Path, kind: Kind) -> Result<super::Found, Refused> {
    make_dir(MOUNTPOINT, 0o700)?;
    let name = match kind {
        Kind::Fat => c"vfat",
        Kind::Iso9660 => c"iso9660",
    };
    mount(device, MOUNTPOINT, name, FLAGS, c"")
        .map_err(Refused::to(format!("mount {}", device.display())))?;
    let files = read_directory(Path::new(MOUNTPOINT));
    if unmount(MOUNTPOINT, UnmountFlags::empty()).is_err() {
        let _ = unmount(MOUNTPOINT, UnmountFlags::DETACH);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_disks_with_the_label_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let (sysfs, dev) = (dir.path().join("sys"), dir.path().join("dev"));
        fs::create_dir_all(sysfs.join("class/block")).unwrap();
        fs::create_dir_all(&dev).unwrap();
        let mut iso = vec![0; 40 << 10];
        iso[32768..32774].copy_from_slice(b"\x01CD001");
        iso[32808..32840].copy_from_slice(format!("{LABEL:32}").as_bytes());
        fs::write(sysfs.join("class/block/vda"), "").unwrap();
        fs::write(dev.join("vda"), vec![0; 40 << 10]).unwrap();
        // Without a medium.
        fs::write(sysfs.join("class/block/sr0"), "").unwrap();
        assert_eq!(find(&sysfs, &dev), Ok(None));
        for name in ["vdb", "vdc"] {
            fs::write(sysfs.join("class/block").join(name), "").unwrap();
            fs::write(dev.join(name), &iso).unwrap();
        }
        let fault = find(&sysfs, &dev).unwrap_err();
        assert!(
            fault.contains("vdb and ") && fault.contains("vdc are both labelled LBSEED"),
            "{fault}"
        );
    }
}
