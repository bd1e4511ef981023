//! The EFI system partition: FAT32 with GRUB as the removable-media loader, where every UEFI looks without an NVRAM entry.
//! Must not: be written again after the build.

use std::path::Path;

use crate::file::{self, FileError};
use crate::layout::{ESP, ESP_VOLUME_ID};
use crate::tool::{Tool, ToolError};

#[derive(Debug, thiserror::Error)]
pub enum EspError {
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error(transparent)]
    File(#[from] FileError),
}

/// Makes the partition's content as the file `target`; `work` is a directory for temporary files.
pub fn make(target: &Path, efi: &[u8], work: &Path) -> Result<(), EspError> {
    let loader = work.join("BOOTX64.EFI");
    file::write(&loader, efi)?;
    file::create_sparse(target, ESP.size)?;
    // --invariant resets the volume id when it comes after -i.
    let options = ["--invariant", "-F", "32", "-s", "1", "-n", "LB ESP"];
    Tool::new("mkfs.vfat")
        .args(options)
        .args(["-i", &format!("{ESP_VOLUME_ID:08x}")])
        .path(target)
        .dated()
        .run()?;
    Tool::new("mmd")
        .arg("-i")
        .path(target)
        .args(["::/EFI", "::/EFI/BOOT"])
        .dated()
        .run()?;
    Tool::new("mcopy")
        .arg("-i")
        .path(target)
        .path(&loader)
        .arg("::/EFI/BOOT/BOOTX64.EFI")
        .dated()
        .run()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_is_where_uefi_looks_and_the_volume_has_its_id() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("esp");
        make(&target, b"MZ loader", directory.path()).unwrap();
        Tool::new("fsck.vfat").arg("-n").path(&target).run().unwrap();
        let info = Tool::new("minfo")
            .arg("-i")
            .path(&target)
            .arg("::")
            .run()
            .unwrap();
        let info = String::from_utf8_lossy(&info.stdout).into_owned();
        assert!(info.contains("serial number: 4C420E5B"), "{info}");
        let listing = Tool::new("mdir")
            .args(["-b", "-/", "-i"])
            .path(&target)
            .arg("::")
            .run()
            .unwrap();
        let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
        assert!(listing.contains("::/EFI/BOOT/BOOTX64.EFI\n"), "{listing}");
    }
}
