//! The root file systems that the appliance is measured against: keepalived with the least around it, all that people balance
//! with today, and an init that does nothing. Uncompressed, so that neither is slowed down by a choice of ours: the goals are set by their best.
//! Must not: put anything into them that runs and is not needed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use lb_lab::command;

use crate::many::{ASKED, ASKED_TLS, CHECKED, MANY, Many, WATCHED, WATCHED_HTTP, WATCHED_TLS};
use crate::packages::Packages;
use crate::{Result, configs, io};

/// Where the kernel mounts things or programs leave their files; the last two are for the saboteur.
const DIRECTORIES: [&str; 7] = [
    "dev",
    "proc",
    "sys",
    "run",
    "tmp",
    "saboteur/proc",
    "saboteur/dev",
];
const LOADER: &str = "lib64/ld-linux-x86-64.so.2";
const BUSYBOX: &str = "bin/busybox";
const APPLETS: [&str; 7] = [
    "bin/sh",
    "bin/hostname",
    "bin/mount",
    "bin/ip",
    "bin/sleep",
    "bin/kill",
    "sbin/init",
];
/// Where iptables finds what its rules are made of.
const XTABLES: &str = "usr/lib/x86_64-linux-gnu/xtables";
/// The programs of keepalived's root that have shared objects.
const KEEPALIVED: [&str; 2] = ["usr/sbin/keepalived", "usr/sbin/nft"];
/// Those of the reference's.
const REFERENCE: [&str; 4] = [
    "usr/sbin/keepalived",
    "usr/sbin/haproxy",
    "usr/sbin/xtables-nft-multi",
    "sbin/ipvsadm",
];
/// Files that both have.
const COMMON: [(&str, &str); 4] = [
    ("etc/hosts", include_str!("../guest/reference/hosts")),
    (
        "etc/nsswitch.conf",
        include_str!("../guest/reference/nsswitch.conf"),
    ),
    ("etc/profile", include_str!("../guest/reference/profile")),
    ("etc/resident", include_str!("../guest/reference/resident")),
];
const SCENARIO: &str = include_str!("../guest/reference/keepalived.conf");
const KEEPALIVED_FILES: [(&str, &str); 5] = [
    ("etc/inittab", include_str!("../guest/reference/inittab")),
    ("etc/rcS", include_str!("../guest/reference/rcS")),
    ("etc/ready", include_str!("../guest/reference/ready")),
    (
        "etc/nftables.conf",
        include_str!("../guest/reference/nftables.conf"),
    ),
    ("etc/keepalived/keepalived.conf", SCENARIO),
];
const REFERENCE_FILES: [(&str, &str); 4] = [
    ("etc/inittab", include_str!("../guest/comparison/inittab")),
    ("etc/rcS", include_str!("../guest/comparison/rcS")),
    ("etc/start", include_str!("../guest/comparison/start")),
    (
        "etc/haproxy/haproxy.cfg",
        include_str!("../guest/comparison/haproxy.cfg"),
    ),
];
const NOTHING: &str = include_str!("../guest/nothing.rs");

/// keepalived under busybox's init, with nft and ip for its network.
pub fn keepalived(packages: &Packages, kernel: &Path, directory: &Path) -> Result<PathBuf> {
    let root = fresh(&directory.join("keepalived.root"), kernel)?;
    furnish(&root, packages, &KEEPALIVED_FILES, &KEEPALIVED)?;
    squash(&root, &directory.join("keepalived.squashfs"))
}

/// Everything that people balance and masquerade with today; what of it runs is said when it has booted. The saboteur
/// in front of init is the one that says it, and reads the busy time.
pub fn reference(packages: &Packages, kernel: &Path, saboteur: &Path, directory: &Path) -> Result<PathBuf> {
    let root = fresh(&directory.join("reference.root"), kernel)?;
    furnish(&root, packages, &REFERENCE_FILES, &REFERENCE)?;
    write(
        &root.join("etc/keepalived/keepalived.conf"),
        &configs::balanced_conf(),
    )?;
    for many in [
        MANY,
        CHECKED,
        ASKED,
        ASKED_TLS,
        WATCHED,
        WATCHED_HTTP,
        WATCHED_TLS,
    ] {
        for changed in [false, true] {
            write(&root.join(many.conf_path(changed)), &many.conf(changed))?;
        }
    }
    write(&root.join(configs::SCENARIO_CONF), SCENARIO)?;
    write(&root.join(Many::TABLE), &MANY.table())?;
    let iptables = root.join("usr/sbin/iptables");
    symlink("xtables-nft-multi", &iptables).map_err(io("make the link", &iptables))?;
    let extensions = packages.root.join(XTABLES);
    for entry in fs::read_dir(&extensions).map_err(io("list", &extensions))? {
        let file = entry.map_err(io("list", &extensions))?.path();
        copy(
            &file,
            &root.join(XTABLES).join(file.file_name().unwrap_or_default()),
        )?;
    }
    copy(saboteur, &root.join("usr/bin/saboteur"))?;
    // Its path is absolute, and so replaces the packages' root.
    copy_objects(&root, packages, &saboteur.to_string_lossy())?;
    squash(&root, &directory.join("reference.squashfs"))
}

/// busybox, `programs` with the shared objects that they load, and `files`.
fn furnish(root: &Path, packages: &Packages, files: &[(&str, &str)], programs: &[&str]) -> Result<()> {
    for (name, text) in COMMON.iter().chain(files) {
        write(&root.join(name), text)?;
    }
    for file in [BUSYBOX, LOADER].iter().chain(programs) {
        copy(&packages.root.join(file), &root.join(file))?;
    }
    for applet in APPLETS {
        let link = root.join(applet);
        create_parent(&link)?;
        symlink(format!("/{BUSYBOX}"), &link).map_err(io("make the link", &link))?;
    }
    for program in programs {
        copy_objects(root, packages, program)?;
    }
    Ok(())
}

fn copy_objects(root: &Path, packages: &Packages, program: &str) -> Result<()> {
    for object in packages.shared_objects(program)? {
        // The loader looks here by itself; /usr/lib need not be there.
        let name = object.file_name().unwrap_or_default();
        copy(&object, &root.join("lib/x86_64-linux-gnu").join(name))?;
    }
    Ok(())
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
