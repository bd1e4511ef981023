//! The root file system of a slot: one executable, its shared objects, the kernel and the overlay, as a squashfs.
//! There is no shell and nothing else that runs. Must not: depend on the builder's user, umask, clock or file order.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::closure::{self, ClosureError};
use crate::ext4::{self, Ext4Error};
use crate::file::{self, At, FileError};
use crate::kernel::{self, KernelError};
use crate::layout::{BUILD_TIME, CONFIG_TEMPLATE_SIZE, SLOT_A, SLOT_RESERVE};
use crate::sbom::{self, SbomError};
use crate::tool::{Tool, ToolError};

/// Mount points and homes that the read-only root must already have.
const DIRECTORIES: [&str; 15] = [
    "boot",
    "config",
    "dev",
    "etc",
    "mnt",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "usr/bin",
    "usr/lib64",
    "usr/sbin",
    "usr/share/lb",
    "var",
];
/// The merged /usr of Debian, so that the loader is where executables ask for it, and the names that the executable acts by.
const LINKS: [(&str, &str); 6] = [
    ("bin", "usr/bin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
    ("sbin", "usr/sbin"),
    ("usr/sbin/init", "../bin/appliance"),
    ("usr/bin/applctl", "appliance"),
];
pub const EXECUTABLE: &str = "usr/bin/appliance";
pub const KERNEL: &str = "boot/vmlinuz";
const SBOM: &str = "usr/share/lb/sbom.json";
const CONFIG_TEMPLATE: &str = "usr/share/lb/config-template.ext4";

/// What a root file system is made from.
#[derive(Debug, Clone, Copy)]
pub struct Ingredients<'a> {
    pub executable: &'a Path,
    pub kernel: &'a Path,
    /// Files laid over the root as they are.
    pub overlay: &'a Path,
    /// What `cargo tree` says of the executable, for the bill of materials.
    pub crates: Option<&'a Path>,
}

#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    #[error("the squashfs of {size} bytes does not fit in a slot, which has {room} bytes for it")]
    TooBig { size: u64, room: u64 },
    #[error("{} is neither a file nor a directory", path.display())]
    Special { path: PathBuf },
    #[error(transparent)]
    Closure(#[from] ClosureError),
    #[error(transparent)]
    Ext4(#[from] Ext4Error),
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error(transparent)]
    Sbom(#[from] SbomError),
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error(transparent)]
    File(#[from] FileError),
}

/// Makes the squashfs `target`; `work` is a directory for the staged tree.
pub fn make(target: &Path, from: &Ingredients, work: &Path) -> Result<(), RootfsError> {
    let root = work.join("root");
    stage(&root, from)?;
    let time = BUILD_TIME.to_string();
    Tool::new("mksquashfs")
        .path(&root)
        .path(target)
        .args([
            "-noappend",
            "-quiet",
            "-no-progress",
            "-all-root",
            "-no-xattrs",
            "-reproducible",
        ])
        .args([
            "-mkfs-time",
            &time,
            "-all-time",
            &time,
            "-comp",
            "gzip",
            "-b",
            "131072",
        ])
        // Nothing is compressed: every page of the executable that a start touches is read as it lies. The image is
        // compressed as a whole when it is sent, and comes out no larger. GRUB and Linux need a compressor's name.
        .args(["-noI", "-noD", "-noF", "-noX"])
        .run()?;
    let size = fs::metadata(target).at("read", target)?.len();
    let room = SLOT_A.size - SLOT_RESERVE;
    if size > room {
        Err(RootfsError::TooBig { size, room })
    } else {
        Ok(())
    }
}

/// Lays the tree out as it will be seen by the kernel.
fn stage(root: &Path, from: &Ingredients) -> Result<(), RootfsError> {
    let version = kernel::version(from.kernel)?;
    let objects = closure::shared_objects(from.executable)?;
    for name in DIRECTORIES {
        let path = root.join(name);
        fs::create_dir_all(&path).at("create", &path)?;
    }
    for (link, to) in LINKS {
        let link = root.join(link);
        symlink(to, &link).at("make the link", &link)?;
    }
    install(from.executable, &root.join(EXECUTABLE))?;
    install(from.kernel, &root.join(KERNEL))?;
    for object in &objects {
        install(
            &object.source,
            &root.join(object.path.strip_prefix("/").unwrap_or(&object.path)),
        )?;
    }
    lay_over(from.overlay, root)?;
    let listing = from.crates.map(file::read).transpose()?.unwrap_or_default();
    let crates = sbom::crates(&String::from_utf8_lossy(&listing));
    file::write(&root.join(SBOM), &sbom::document(&version, &crates, &objects)?)?;
    ext4::make(&root.join(CONFIG_TEMPLATE), CONFIG_TEMPLATE_SIZE)?;
    set_modes(root)?;
    Ok(())
}

fn lay_over(from: &Path, to: &Path) -> Result<(), RootfsError> {
    for entry in fs::read_dir(from).at("list", from)? {
        let entry = entry.at("list", from)?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().at("read", &source)?;
        if kind.is_dir() {
            lay_over(&source, &target)?;
        } else if kind.is_file() {
            install(&source, &target)?;
        } else {
            return Err(RootfsError::Special { path: source });
        }
    }
    Ok(())
}

fn install(from: &Path, to: &Path) -> Result<(), FileError> {
    let parent = to.parent().unwrap_or(to);
    fs::create_dir_all(parent).at("create", parent)?;
    fs::copy(from, to).at("copy", from)?;
    Ok(())
}

/// Modes that do not depend on the builder's umask: of a file, only whether it is executable counts.
fn set_modes(directory: &Path) -> Result<(), FileError> {
    let set = |path: &Path, bits| {
        fs::set_permissions(path, Permissions::from_mode(bits)).at("set the mode of", path)
    };
    set(
        directory,
        if directory.ends_with("root/tmp") {
            0o1777
        } else {
            0o755
        },
    )?;
    for entry in fs::read_dir(directory).at("list", directory)? {
        let entry = entry.at("list", directory)?;
        let path = entry.path();
        let metadata = entry.metadata().at("read", &path)?;
        if metadata.is_dir() {
            set_modes(&path)?;
        } else if metadata.is_file() {
            set(
                &path,
                if metadata.permissions().mode() & 0o100 == 0 {
                    0o644
                } else {
                    0o755
                },
            )?;
        }
    }
    Ok(())
}
