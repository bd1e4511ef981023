//! The partitions of the boot disk by their names, from sysfs: the boot disk is the one that the root file system lies
//! on, whatever it is called today. Must not: open or change a device.

use std::fs;
use std::path::{Path, PathBuf};

/// A partition of the boot disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// `/dev/vda6`.
    pub device: PathBuf,
    /// `vda6`.
    pub name: String,
}

/// `of` is the device of the root file system as (major, minor). A root that lies on no partition (a kernel that was
/// booted directly with a root of its own) tells nothing: then the name must be unique among all disks.
pub fn find(sysfs: &Path, of: Option<(u32, u32)>, label: &str) -> Result<Partition, String> {
    let disk = of.and_then(|root| boot_disk(sysfs, root));
    let candidates = match &disk {
        Some(disk) => children(disk),
        None => children(&sysfs.join("class/block")),
    };
    let mut found = candidates.iter().filter_map(|dir| partition(dir, label));
    match (found.next(), found.next()) {
        (Some(partition), None) => Ok(partition),
        (None, _) => Err(format!("the boot disk has no partition named {label}")),
        (Some(a), Some(b)) => Err(format!("{} and {} are both named {label}", a.name, b.name)),
    }
}

/// The directory of the disk that this partition is a part of.
fn boot_disk(sysfs: &Path, (major, minor): (u32, u32)) -> Option<PathBuf> {
    let root = fs::canonicalize(sysfs.join(format!("dev/block/{major}:{minor}"))).ok()?;
    root.join("partition")
        .exists()
        .then(|| root.parent().map(Path::to_owned))
        .flatten()
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut children: Vec<_> = entries.map(|entry| entry.path()).collect();
    children.sort();
    children
}

fn partition(dir: &Path, label: &str) -> Option<Partition> {
    let uevent = fs::read_to_string(dir.join("uevent")).ok()?;
    let value = |key: &str| {
        uevent
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    if value("DEVTYPE") != Some("partition") || value("PARTNAME") != Some(label) {
        return None;
    }
    let name = value("DEVNAME")?.to_owned();
    Some(Partition {
        device: Path::new("/dev").join(&name),
        name,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Two disks with the appliance's partitions, as sysfs shows them.
    fn sysfs() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("class/block")).unwrap();
        fs::create_dir_all(root.join("dev/block")).unwrap();
        for (disk, major) in [("vda", 253), ("sda", 8)] {
            add(root, &format!("devices/{disk}"), disk, major, 0, "DEVTYPE=disk\n");
            for (number, label) in [(3, "bootctl"), (4, "slot-a"), (6, "config")] {
                let name = format!("{disk}{number}");
                let path = format!("devices/{disk}/{name}");
                let uevent = format!("DEVTYPE=partition\nPARTN={number}\nPARTNAME={label}\n");
                add(root, &path, &name, major, number, &uevent);
                fs::write(root.join(&path).join("partition"), number.to_string()).unwrap();
            }
        }
        dir
    }

    fn add(root: &Path, path: &str, name: &str, major: u32, minor: u32, uevent: &str) {
        let dir = root.join(path);
        fs::create_dir_all(&dir).unwrap();
        let text = format!("MAJOR={major}\nMINOR={minor}\nDEVNAME={name}\n{uevent}");
        fs::write(dir.join("uevent"), text).unwrap();
        symlink(&dir, root.join("class/block").join(name)).unwrap();
        symlink(&dir, root.join(format!("dev/block/{major}:{minor}"))).unwrap();
    }

    #[test]
    fn the_partition_is_a_sibling_of_the_root() {
        let sysfs = sysfs();
        let found = find(sysfs.path(), Some((8, 4)), "config").unwrap();
        assert_eq!(
            found,
            Partition {
                device: "/dev/sda6".into(),
                name: "sda6".into()
            }
        );
        assert_eq!(
            find(sysfs.path(), Some((253, 4)), "bootctl").unwrap().name,
            "vda3"
        );
    }

    #[test]
    fn a_root_that_is_no_partition_leaves_only_a_unique_name() {
        let sysfs = sysfs();
        let fault = find(sysfs.path(), Some((0, 21)), "config").unwrap_err();
        assert_eq!(fault, "sda6 and vda6 are both named config");
        fs::remove_file(sysfs.path().join("class/block/sda6")).unwrap();
        assert_eq!(find(sysfs.path(), None, "config").unwrap().name, "vda6");
    }

    #[test]
    fn a_missing_partition_is_named() {
        let sysfs = sysfs();
        let fault = find(sysfs.path(), Some((8, 4)), "log").unwrap_err();
        assert_eq!(fault, "the boot disk has no partition named log");
        assert!(find(Path::new("/nowhere"), None, "config").is_err());
    }
}
