//! Joins all parts into the disk image. Must not: leave a half-made image under the final name, or need root.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::bootctl;
use crate::disk::{self, DiskError};
use crate::esp::{self, EspError};
use crate::ext4::{self, Ext4Error};
use crate::file::{self, At, FileError};
use crate::grub::{self, GrubError};
use crate::layout::{BIOS, BOOTCTL, CONFIG, DISK_SIZE, ESP, Partition, Slot};
use crate::rootfs::{self, Ingredients, RootfsError};

#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    #[error("make the root file system")]
    Rootfs(#[from] RootfsError),
    #[error("make the boot loader")]
    Grub(#[from] GrubError),
    #[error("make the EFI system partition")]
    Esp(#[from] EspError),
    #[error("make the config partition")]
    Config(#[from] Ext4Error),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    File(#[from] FileError),
}

/// Makes the image `target`, both slots filled alike.
pub fn build(target: &Path, from: &Ingredients) -> Result<(), AssembleError> {
    let directory = target
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::create_dir_all(directory).at("create", directory)?;
    // Beside the target, so that the last step is a rename.
    let work = tempfile::Builder::new()
        .prefix(".lb-image-")
        .tempdir_in(directory)
        .at("create a directory in", directory)?;
    let image = work.path().join("disk");
    let mut disk = file::create_sparse(&image, DISK_SIZE)?;
    disk::write_tables(&mut disk)?;

    let grub = grub::make(work.path())?;
    disk.write_all_at(&grub.boot_code, 0).at("write", &image)?;
    disk.write_all_at(&grub.core, BIOS.start).at("write", &image)?;
    let part = work.path().join("part");
    esp::make(&part, &grub.efi, work.path())?;
    fill(&disk, &image, &ESP, &part)?;
    disk.write_all_at(&bootctl::partition(), BOOTCTL.start)
        .at("write", &image)?;
    let squashfs = work.path().join("slot");
    rootfs::make(&squashfs, from, work.path())?;
    for slot in [Slot::A, Slot::B] {
        fill(&disk, &image, &slot.partition(), &squashfs)?;
    }
    ext4::make(&part, CONFIG.size)?;
    fill(&disk, &image, &CONFIG, &part)?;
    fs::rename(&image, target).at("replace", target)?;
    Ok(())
}

fn fill(disk: &File, image: &Path, partition: &Partition, content: &Path) -> Result<(), FileError> {
    let source = File::open(content).at("open", content)?;
    let size = source.metadata().at("read", content)?.len();
    assert!(
        size <= partition.size,
        "{} is checked to fit before",
        partition.label
    );
    file::copy_changes(&source, 0, disk, partition.start, size).at("write", image)
}
