//! The disk or CD labelled LBSEED: found by its label among all block devices, mounted where nobody else looks and read-only, but for the one file that
//! somebody at the console has put there. Must not: follow a link, read without bounds, or run long before it is left behind (the caller has a time limit).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use lb_core::seed::LABEL;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::label::{self, Kind};
use super::{Seed, read, read_directory};
use crate::mounts::make_dir;
use crate::refused::Refused;
use crate::whole;

const MOUNTPOINT: &str = "/run/lb/seed-disk";
/// What is being written.
const UNFINISHED: &str = "lb-new.tmp";
const FLAGS: MountFlags = MountFlags::RDONLY
    .union(MountFlags::NOSUID)
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC)
    .union(MountFlags::NOSYMFOLLOW);

/// The seed of the one disk with the label, if there is one.
pub fn find(sysfs: &Path, dev: &Path) -> Result<Option<Seed>, String> {
    let Some(disk) = the_one(sysfs, dev, "reboot")? else {
        return Ok(None);
    };
    let files = disk.mounted(read_directory)?;
    Ok(Some(Seed::of(disk.source(), files)))
}

/// A file in the root of that disk, of which no more is read than shows that it is longer than `most`; case does not count.
pub fn file(sysfs: &Path, dev: &Path, name: &str, most: u64) -> Result<Vec<u8>, String> {
    let Some(disk) = the_one(sysfs, dev, "try again")? else {
        return Err(format!(
            "there is no disk labelled {LABEL}; `mkfs.fat -n {LABEL}` makes one, with {name} in its root"
        ));
    };
    let found = disk.mounted(|root| {
        let entries = fs::read_dir(root).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| entry.file_name());
        let found = names.find(|found| found.eq_ignore_ascii_case(name));
        found.map(|found| read(&root.join(found), most + 1))
    })?;
    match found {
        Some(Ok(bytes)) => Ok(bytes),
        Some(Err(error)) => Err(format!("{name} of {} cannot be read: {error}", disk.source())),
        None => Err(format!("there is no {name} in the root of {}", disk.source())),
    }
}

/// The disk that [`put`] would write to; nothing is written.
pub fn to_write(sysfs: &Path, dev: &Path) -> Result<String, String> {
    writable(sysfs, dev).map(|disk| disk.source())
}

/// Puts a file into the root of that disk, in the place of one with its name, and says which disk that is. Behind it, the disk can be taken out.
pub fn put(sysfs: &Path, dev: &Path, name: &str, bytes: &[u8]) -> Result<String, String> {
    let disk = writable(sysfs, dev)?;
    let written = disk.try_mounted(FLAGS.difference(MountFlags::RDONLY), |root| {
        whole::write(&root.join(name), &root.join(UNFINISHED), bytes)
    });
    let written = written.map_err(|refused| refused.to_string())?;
    written.map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::StorageFull => "; make room on it",
            io::ErrorKind::ReadOnlyFilesystem => "; it is write-protected",
            _ => "",
        };
        format!("{name} cannot be written to {}: {error}{remedy}", disk.source())
    })?;
    Ok(disk.source())
}

fn writable(sysfs: &Path, dev: &Path) -> Result<Disk, String> {
    let Some(disk) = the_one(sysfs, dev, "try again")? else {
        return Err(format!(
            "there is no disk labelled {LABEL}; `mkfs.fat -n {LABEL} DEVICE` on another machine makes one, which may be attached while this one runs"
        ));
    };
    if disk.kind == Kind::Iso9660 {
        return Err(format!(
            "{} is a CD (ISO 9660), which nobody can write to; `mkfs.fat -n {LABEL}` makes a disk",
            disk.source()
        ));
    }
    Ok(disk)
}

struct Disk {
    device: PathBuf,
    kind: Kind,
}

/// `then`: what is to be done when one of two was taken away.
fn the_one(sysfs: &Path, dev: &Path, then: &str) -> Result<Option<Disk>, String> {
    let mut labelled = labelled(sysfs, dev);
    let Some((device, kind)) = labelled.pop() else {
        return Ok(None);
    };
    match labelled.last() {
        None => Ok(Some(Disk { device, kind })),
        Some((other, _)) => Err(format!(
            "{} and {} are both labelled {LABEL}, and none of them is taken; leave one and {then}",
            other.display(),
            device.display()
        )),
    }
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

impl Disk {
    /// In the operator's words.
    fn source(&self) -> String {
        format!("the disk {LABEL} ({})", self.device.display())
    }

    /// What `look` finds while it is mounted.
    fn mounted<T>(&self, look: impl FnOnce(&Path) -> T) -> Result<T, String> {
        self.try_mounted(FLAGS, look)
            .map_err(|refused| format!("{} cannot be read: {refused}", self.source()))
    }

    fn try_mounted<T>(&self, flags: MountFlags, look: impl FnOnce(&Path) -> T) -> Result<T, Refused> {
        make_dir(MOUNTPOINT, 0o700)?;
        let name = match self.kind {
            Kind::Fat => c"vfat",
            Kind::Iso9660 => c"iso9660",
        };
        mount(&self.device, MOUNTPOINT, name, flags, c"")
            .map_err(Refused::to(format!("mount {}", self.device.display())))?;
        let found = look(Path::new(MOUNTPOINT));
        if unmount(MOUNTPOINT, UnmountFlags::empty()).is_err() {
            let _ = unmount(MOUNTPOINT, UnmountFlags::DETACH);
        }
        Ok(found)
    }
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
        let none = file(&sysfs, &dev, "lb.export", 100).unwrap_err();
        assert!(none.contains("no disk labelled LBSEED"), "{none}");
        for name in ["vdb", "vdc"] {
            fs::write(sysfs.join("class/block").join(name), "").unwrap();
            fs::write(dev.join(name), &iso).unwrap();
        }
        let fault = find(&sysfs, &dev).unwrap_err();
        assert!(
            fault.contains("vdb and ") && fault.contains("vdc are both labelled LBSEED"),
            "{fault}"
        );
        let fault = file(&sysfs, &dev, "lb.export", 100).unwrap_err();
        assert!(fault.ends_with("leave one and try again"), "{fault}");
        let fault = put(&sysfs, &dev, "lb.export", b"").unwrap_err();
        assert!(fault.ends_with("leave one and try again"), "{fault}");
        fs::remove_file(dev.join("vdc")).unwrap();
        let fault = put(&sysfs, &dev, "lb.export", b"").unwrap_err();
        assert!(fault.contains("is a CD"), "{fault}");
        fs::remove_file(dev.join("vdb")).unwrap();
        let fault = put(&sysfs, &dev, "lb.export", b"").unwrap_err();
        assert!(fault.contains("no disk labelled LBSEED"), "{fault}");
    }
}
