//! How much of a file one page fault maps. The kernel maps up to 15 neighbours of the page that was touched as well
//! (`do_fault_around`, mm/memory.c), and counts each as used, so that reclaim spares it as long as the others. Here the page that was touched is enough.
//! Must not: leave debugfs mounted anywhere.

use std::fs::File;
use std::io::{self, Write};

use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use crate::refused::Refused;

/// Only debugfs has the setting; the kernel rounds it to a power of two, and to a page at least (bytes).
const SETTING: &str = "fault_around_bytes";
const ONE_PAGE: &[u8] = b"4096";

/// For all processes, from the next fault on. The file system is mounted in no directory, and is gone with its descriptor.
pub fn one_page() -> Result<(), Refused> {
    set().map_err(Refused::to("have a page fault map one page"))
}

fn set() -> io::Result<()> {
    let context = fsopen("debugfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let root = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    let setting = openat(&root, SETTING, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    File::from(setting).write_all(ONE_PAGE)
}
