//! What an image weighs: as a file, compressed, and its parts. Reads the image alone. Must not: judge the figures.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::disk::{self, DiskError};
use crate::file::{At, FileError};
use crate::layout::SLOT_A;
use crate::rootfs::{EXECUTABLE, KERNEL};
use crate::tool::{Tool, ToolError};

#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Tool(#[from] ToolError),
}

/// Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub raw: u64,
    pub allocated: u64,
    /// By `zstd -19 --long=27`; takes half a minute, so only when asked for.
    pub compressed: Option<u64>,
    /// Of slot a.
    pub squashfs: u64,
    pub kernel: u64,
    pub executable: u64,
    pub shared_objects: u64,
}

/// Weighs the image `path`.
pub fn report(path: &Path, compress: bool) -> Result<Report, ReportError> {
    let mut disk = disk::open(path, false)?;
    disk::expect_partition(&mut disk, path, &SLOT_A)?;
    let metadata = disk.metadata().at("read", path)?;
    let files = slot_files(path)?;
    let size = |wanted: &dyn Fn(&str) -> bool| {
        files
            .iter()
            .filter(|(name, _)| wanted(name))
            .map(|(_, size)| size)
            .sum()
    };
    Ok(Report {
        raw: metadata.len(),
        allocated: metadata.blocks() * 512,
        compressed: if compress { Some(compressed(path)?) } else { None },
        squashfs: squashfs_size(&disk).at("read", path)?,
        kernel: size(&|name| name == KERNEL),
        executable: size(&|name| name == EXECUTABLE),
        shared_objects: size(&|name| name.starts_with("usr/lib") && name.contains(".so")),
    })
}

/// Squashfs 4.0: `bytes_used` of the superblock.
fn squashfs_size(disk: &File) -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    disk.read_exact_at(&mut bytes, SLOT_A.start + 40)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Names and sizes of the regular files of slot a.
fn slot_files(path: &Path) -> Result<Vec<(String, u64)>, ToolError> {
    let offset = SLOT_A.start.to_string();
    let output = Tool::new("unsquashfs")
        .args(["-o", &offset, "-lln", "-d", ""])
        .path(path)
        .run()?;
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    // -rw-r--r-- 0/0   7226368 2026-01-01 00:00 /boot/vmlinuz
    let files = listing
        .lines()
        .filter(|line| line.starts_with('-'))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let size = words.nth(2)?.parse().ok()?;
            let name = words.nth(2)?.strip_prefix('/')?;
            Some((name.to_owned(), size))
        });
    Ok(files.collect())
}

fn compressed(path: &Path) -> Result<u64, ReportError> {
    let directory = tempfile::tempdir().at("create a directory in", &std::env::temp_dir())?;
    let target = directory.path().join("image.zst");
    Tool::new("zstd")
        .args(["-19", "--long=27", "-T0", "-q", "-o"])
        .path(&target)
        .path(path)
        .run()?;
    Ok(fs::metadata(&target).at("read", &target)?.len())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, bytes: u64| {
            let tenths = (bytes * 10 + 500_000) / 1_000_000;
            writeln!(
                f,
                "{name:<28}{bytes:>12} bytes {:>5}.{} MB",
                tenths / 10,
                tenths % 10
            )
        };
        line("image", self.raw)?;
        line("  allocated on disk", self.allocated)?;
        if let Some(compressed) = self.compressed {
            line("  zstd -19 --long=27", compressed)?;
        }
        line("squashfs of a slot", self.squashfs)?;
        line("  kernel", self.kernel)?;
        line("  executable", self.executable)?;
        line("  shared objects", self.shared_objects)
    }
}
