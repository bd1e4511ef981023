//! The root file systems that the appliance is measured against: keepalived with the least around it, and an init that does
//! nothing. Uncompressed, so that neither is slowed down by a choice of ours: the goals are set by their best.
//! Must not: put anything into them that runs and is not needed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use lb_lab::command;

use crate::packages::Packages;
use crate::{Result, io};

/// Where the kernel mounts things or programs leave their files.
const DIRECTORIES: [&str; 5] = ["dev", "proc", "sys", "run", "tmp"];
/// Programs of the reference that have shared objects.
const PROGRAMS: [&str; 2] = ["usr/sbin/keepalived", "usr/sbin/nft"];
const LOADER: &str = "lib64/ld-linux-x86-64.so.2";
const BUSYBOX: &str = "bin/busybox";
const APPLETS: [&str; 6] = [
    "bin/sh",
    "bin/hostname",
    "bin/mount",
    "bin/ip",
    "bin/sleep",
    "sbin/init",
];
const FILES: [(&str, &str); 9] = [
    ("etc/hosts", include_str!("../guest/reference/hosts")),
    (
        "etc/nsswitch.conf",
        include_str!("../guest/reference/nsswitch.conf"),
    ),
    ("etc/inittab", include_str!("../guest/reference/inittab")),
    ("etc/rcS", include_str!("../guest/reference/rcS")),
    ("etc/ready", include_str!("../guest/reference/ready")),
    ("etc/resident", include_str!("../guest/reference/resident")),
    ("etc/profile", include_str!("../guest/reference/profile")),
    (
        "etc/nftables.conf",
        include_str!("../guest/reference/nftables.conf"),
    ),
    (
        "etc/keepalived/keepalived.conf",
        include_str!("../guest/reference/keepalived.conf"),
    ),
];
const NOTHING: &str = include_str!("../guest/nothing.rs");

/// keepalived under busybox's init, with nft and ip for its network.
pub fn keepalived(packages: &Packages, kernel: &Path, directory: &Path) -> Result<PathBuf> {
    let root = fresh(&directory.join("keepalived.root"), kernel)?;
    for (name, text) in FILES {
        write(&root.join(name), text)?;
    }
    for file in [BUSYBOX, LOADER].iter().chain(&PROGRAMS) {
        copy(&packages.root.join(file), &root.join(file))?;
    }
    for applet in APPLETS {
        let link = root.join(applet);
        create_parent(&link)?;
        symlink(format!("/{BUSYBOX}"), &link).map_err(io("make the link", &link))?;
    }
    for program in PROGRAMS {
        for object in packages.shared_objects(program)? {
            // The loader looks here by itself; /usr/lib need not be there.
            let name = object.file_name().unwrap_or_default();
            copy(&object, &root.join("lib/x86_64-linux-gnu").join(name))?;
        }
    }
    squash(&root, &directory.join("keepalived.squashfs"))
}

/// guest/nothing.rs as /sbin/init, and no other file.
pub fn nothing(kernel: &Path, directory: &Path) -> Result<PathBuf> {
    let root = fresh(&directory.join("nothing.root"), kernel)?;
    let source = directory.join("nothing.rs");
    write(&source, NOTHING)?;
    let init = root.join("sbin/init");
    create_parent(&init)?;
    let (source, init) = (source.to_string_lossy(), init.to_string_lossy());
    command::run(&[
        "rustc",
        "--edition=2024",
        "-O",
        "-Cpanic=abort",
        "-Cstrip=symbols",
        "-Ctarget-feature=+crt-static",
        "-o",
        &init,
        &source,
    ])?;
    squash(&root, &directory.join("nothing.squashfs"))
}

/// An empty tree with the mount points, and the kernel where the boot loader reads it.
fn fresh(root: &Path, kernel: &Path) -> Result<PathBuf> {
    let _ = fs::remove_dir_all(root);
    for name in DIRECTORIES {
        let path = root.join(name);
        fs::create_dir_all(&path).map_err(io("create", &path))?;
    }
    copy(kernel, &root.join(lb_image::rootfs::KERNEL))?;
    Ok(root.to_owned())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    create_parent(to)?;
    fs::copy(from, to).map(drop).map_err(io("copy", from))
}

fn write(path: &Path, text: &str) -> Result<()> {
    create_parent(path)?;
    fs::write(path, text).map_err(io("write", path))
}

fn create_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(io("create", parent))
}

/// Unpacking xz in an emulated machine would cost keepalived more than its own start.
fn squash(root: &Path, target: &Path) -> Result<PathBuf> {
    let (from, to) = (root.to_string_lossy(), target.to_string_lossy());
    let tree = ["-noappend", "-quiet", "-no-progress", "-all-root", "-no-xattrs"];
    let uncompressed = ["-noI", "-noD", "-noF", "-noX"];
    command::run(&[&["mksquashfs", &from, &to][..], &tree, &uncompressed].concat())?;
    Ok(target.to_owned())
}
