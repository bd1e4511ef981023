//! The saboteur's image: a copy of the product's whose slot a also holds test-only programs, each with the shared
//! objects that the product's root lacks, and whose slot b is maimed: it lacks /proc. Must not: change anything else that
//! the product brings.

use std::fs;
use std::path::{Path, PathBuf};

use lb_image::layout::{Partition, SLOT_A, SLOT_B};
use lb_lab::command::run;
use lb_lab::{LabError, Result, build_dir, nginx, vm};

use crate::artifacts::Artifacts;

/// Tools that the saboteur wields, and the Debian packages that bring each to a machine without it.
const TOOLS: [(&str, &[&str]); 3] = [
    (
        "/usr/sbin/ipvsadm",
        &["ipvsadm", "libnl-3-200", "libnl-genl-3-200", "libpopt0"],
    ),
    ("/usr/sbin/nft", &["nftables"]),
    ("/usr/bin/ip", &["iproute2"]),
];

/// Makes the image anew, in a directory that holds nothing else.
pub fn build(artifacts: &Artifacts, saboteur: &Path) -> Result<()> {
    let directory = artifacts.directory();
    let root = directory.join("root");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).map_err(LabError::io(format!("create {}", directory.display())))?;
    let (offset, image) = (SLOT_A.start.to_string(), text(&artifacts.image));
    run(&[
        "unsquashfs",
        "-q",
        "-n",
        "-no-xattrs",
        "-o",
        &offset,
        "-d",
        &text(&root),
        &image,
    ])?;
    for mount_point in ["saboteur/proc", "saboteur/dev"] {
        fs::create_dir_all(root.join(mount_point)).map_err(LabError::io("add a directory"))?;
    }
    install(saboteur, &root, Path::new("/usr/bin/saboteur"))?;
    for (path, packages) in TOOLS {
        let unpacked = tool(Path::new(path), packages)?;
        install(&unpacked, &root, Path::new(path))?;
    }
    let unfinished = directory.join("sabotage.img.new");
    vm::copy_sparse(&artifacts.image, &unfinished)?;
    fill_slot(&unfinished, SLOT_A, &pack(&root)?)?;
    let proc = root.join("proc");
    fs::remove_dir(&proc).map_err(LabError::io(format!("remove {}", proc.display())))?;
    fill_slot(&unfinished, SLOT_B, &pack(&root)?)?;
    fs::rename(&unfinished, &artifacts.sabotage_image).map_err(LabError::io("rename the saboteur's image"))
}

fn fill_slot(image: &Path, slot: Partition, packed: &Path) -> Result<()> {
    let (from, to) = (format!("if={}", text(packed)), format!("of={}", text(image)));
    let seek = format!("seek={}", slot.start);
    run(&[
        "dd",
        "status=none",
        "conv=notrunc",
        "bs=1M",
        "oflag=seek_bytes",
        &from,
        &to,
        &seek,
    ])
    .map(drop)
}

/// The root as a squashfs that fits into a slot: packed quickly, not tightly.
fn pack(root: &Path) -> Result<PathBuf> {
    let packed = root.with_extension("squashfs");
    let quickly = ["-comp", "gzip", "-Xcompression-level", "1"];
    let quietly = ["-quiet", "-no-progress", "-noappend", "-all-root"];
    let argv = ["mksquashfs", &text(root), &text(&packed)];
    run(&[&argv[..], &quickly, &quietly].concat())?;
    let size = fs::metadata(&packed)
        .map_err(LabError::io("measure the root"))?
        .len();
    if size > SLOT_A.size {
        let slot = SLOT_A.size;
        return Err(LabError::Unexpected(format!(
            "the saboteur's root has {size} bytes, a slot only {slot}"
        )));
    }
    Ok(packed)
}

/// Where packages are unpacked whose tools the machine lacks.
fn unpacked_tools() -> PathBuf {
    build_dir().join("tools")
}

/// The tool where the machine has it, or unpacked from its package.
fn tool(path: &Path, packages: &[&str]) -> Result<PathBuf> {
    if path.exists() {
        return Ok(path.into());
    }
    let name = path.file_name().unwrap_or_default();
    // Before the merged /usr, packages had these programs in /sbin.
    let place = unpacked_tools().join("sbin").join(name);
    if !place.exists() {
        for package in packages.iter().rev() {
            nginx::unpack_package(package, &unpacked_tools())?;
        }
    }
    if place.exists() {
        return Ok(place);
    }
    Err(LabError::Unexpected(format!(
        "the package {} does not bring {}",
        packages[0],
        place.display()
    )))
}

/// Copies a program to `target` in `root`, and the shared objects that the root lacks.
fn install(program: &Path, root: &Path, target: &Path) -> Result<()> {
    copy(program, root, target)?;
    for line in loaded_objects(program)?.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let object = match words.as_slice() {
            [_, "=>", "not", ..] => {
                return Err(LabError::Missing(format!("{} needs {line}", program.display())));
            }
            [_, "=>", object, ..] => Path::new(object),
            [object, _] if object.starts_with('/') => Path::new(object),
            _ => continue,
        };
        let inside = object.strip_prefix(unpacked_tools()).unwrap_or(object);
        copy(object, root, inside)?;
    }
    Ok(())
}

/// What ldd says, with the unpacked libraries in reach.
fn loaded_objects(program: &Path) -> Result<String> {
    let libraries = ["lib", "usr/lib"]
        .map(|directory| text(&unpacked_tools().join(directory).join("x86_64-linux-gnu")))
        .join(":");
    let variable = format!("LD_LIBRARY_PATH={libraries}");
    run(&["env", &variable, "ldd", &text(program)])
}

fn copy(from: &Path, root: &Path, target: &Path) -> Result<()> {
    let to = inside(root, target);
    if to.exists() {
        return Ok(());
    }
    let failure = || LabError::io(format!("copy {} to {}", from.display(), to.display()));
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(failure())?;
    }
    fs::copy(from, &to).map(drop).map_err(failure())
}

/// Where `target` lies below `root`: /lib and its like may be links, which must not lead to the machine's own /usr.
fn inside(root: &Path, target: &Path) -> PathBuf {
    let relative = target.strip_prefix("/").unwrap_or(target);
    let mut parts = relative.components();
    let first = parts.next().map(|part| root.join(part));
    match first.and_then(|first| fs::read_link(first).ok()) {
        Some(link) => root
            .join(link.strip_prefix("/").unwrap_or(&link))
            .join(parts.as_path()),
        None => root.join(relative),
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
