//! The mounts that every process needs, and the writable root: a tmpfs overlay above the read-only squashfs, which is
//! moved over it. Whatever is written there is gone with the next boot. Each step can be repeated after a failure.
//! Must not: touch the config volume.

use std::ffi::CStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use rustix::fs::statfs;
use rustix::mount::{MountFlags, mount, mount_move};
use rustix::process::{chdir, chroot};

use crate::refused::Refused;

/// OVERLAYFS_SUPER_MAGIC (include/uapi/linux/magic.h).
const OVERLAYFS: u32 = 0x794c_7630;
/// Where the overlay is put together; /tmp exists in the root image and is empty.
const WORKSHOP: &str = "/tmp";

struct Mount {
    kind: &'static str,
    at: &'static str,
    flags: MountFlags,
    data: &'static CStr,
}

const QUIET: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);
const PRIVATE: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// Before the overlay. The kernel has mounted devtmpfs already if the root has a /dev (DEVTMPFS_MOUNT).
const EARLY: &[Mount] = &[
    Mount {
        kind: "proc",
        at: "/proc",
        flags: QUIET,
        data: c"",
    },
    Mount {
        kind: "sysfs",
        at: "/sys",
        flags: QUIET,
        data: c"",
    },
    Mount {
        kind: "devtmpfs",
        at: "/dev",
        flags: MountFlags::NOSUID,
        data: c"mode=0755",
    },
    Mount {
        kind: "tmpfs",
        at: "/run",
        flags: PRIVATE,
        data: c"mode=0755,size=32m",
    },
];

/// On the overlay. The sizes keep a runaway writer from taking the memory that connections need.
const LATE: &[Mount] = &[
    Mount {
        kind: "devpts",
        at: "/dev/pts",
        flags: PRIVATE,
        data: c"mode=0620,ptmxmode=0666",
    },
    Mount {
        kind: "tmpfs",
        at: "/tmp",
        flags: PRIVATE,
        data: c"mode=1777,size=16m",
    },
];

/// All of it. What fails is left out and the rest is done, so that the rescue prompt has as much machine as there can be.
pub fn mount_all() -> Result<(), Vec<Refused>> {
    let early = EARLY.iter().map(mount_once);
    let overlay = std::iter::once_with(lay_overlay);
    let late = LATE.iter().map(mount_once);
    let own = std::iter::once_with(|| make_dir("/run/lb", 0o755));
    let mut faults: Vec<_> = early
        .chain(overlay)
        .chain(late)
        .chain(own)
        .filter_map(Result::err)
        .collect();
    faults.dedup();
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn mount_once(m: &Mount) -> Result<(), Refused> {
    if is_mount_point(Path::new(m.at)).unwrap_or(false) {
        return Ok(());
    }
    if !Path::new(m.at).exists() {
        // Fails on the read-only root, and succeeds when this is tried again on the overlay.
        let _ = make_dir(m.at, 0o755);
    }
    mount(m.kind, m.at, m.kind, m.flags, m.data).map_err(Refused::to(format!("mount {} on {}", m.kind, m.at)))
}

/// Whether something is mounted there: the directory is on another device than its parent.
pub fn is_mount_point(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.dev() != fs::metadata(path.join(".."))?.dev())
}

fn lay_overlay() -> Result<(), Refused> {
    let root = statfs("/").map_err(Refused::to("look at /"))?;
    if u32::try_from(root.f_type) == Ok(OVERLAYFS) {
        return Ok(());
    }
    let space = Mount {
        kind: "tmpfs",
        at: WORKSHOP,
        flags: PRIVATE,
        data: c"mode=0755,size=16m",
    };
    mount_once(&space)?;
    for dir in ["/tmp/upper", "/tmp/work", "/tmp/root"] {
        make_dir(dir, 0o755)?;
    }
    let layers = c"lowerdir=/,upperdir=/tmp/upper,workdir=/tmp/work";
    mount("overlay", "/tmp/root", "overlay", MountFlags::empty(), layers)
        .map_err(Refused::to("mount overlay on /tmp/root"))?;
    let mounted = |at: &&str| is_mount_point(Path::new(at)).unwrap_or(false);
    for at in EARLY.iter().map(|m| m.at).filter(mounted) {
        mount_move(at, format!("/tmp/root{at}"))
            .map_err(Refused::to(format!("move {at} to /tmp/root{at}")))?;
    }
    // As switch_root does: the new root is moved over the old one, which stays below, unreachable and read-only.
    chdir("/tmp/root").map_err(Refused::to("enter /tmp/root"))?;
    mount_move(".", "/").map_err(Refused::to("move /tmp/root to /"))?;
    chroot(".").map_err(Refused::to("change the root to /tmp/root"))?;
    chdir("/").map_err(Refused::to("enter /"))
}

/// The directory, made with this mode if it is not there.
pub fn make_dir(path: &str, mode: u32) -> Result<(), Refused> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(Refused::to(format!("make {path}"))(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_mount_point_is_told_from_a_directory() {
        assert!(is_mount_point(Path::new("/proc")).unwrap());
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_mount_point(dir.path()).unwrap());
        assert!(is_mount_point(&dir.path().join("missing")).is_err());
    }

    #[test]
    fn a_directory_is_made_once_and_the_fault_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lb");
        let path = path.to_str().unwrap();
        make_dir(path, 0o700).unwrap();
        make_dir(path, 0o755).unwrap();
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700);
        let fault = make_dir("/proc/nothing/lb", 0o755).unwrap_err();
        assert_eq!(fault.to_string(), "make /proc/nothing/lb: ENOENT");
    }
}
