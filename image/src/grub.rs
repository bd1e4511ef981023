//! GRUB for both firmwares from one configuration: makes its images and joins boot.img and core.img for BIOS.
//! Must not: decide the order of boot; boot/grub.cfg does. Offsets after GRUB 2.06, include/grub/i386/pc/boot.h.

use std::path::{Path, PathBuf};

use crate::file::{self, FileError};
use crate::layout::{BIOS, BOOTCTL_VOLUME_ID, ESP_VOLUME_ID, SECTOR, Slot, kernel_command_line};
use crate::memdisk;
use crate::tool::{Tool, ToolError};

const TEMPLATE: &str = include_str!("../boot/grub.cfg");
/// Where Debian's grub-pc-bin and grub-efi-amd64-bin put their parts.
const LIBRARY: &str = "/usr/lib/grub";
const PREFIX: &str = "(memdisk)/boot/grub";

/// Only what boot/grub.cfg uses: every module is read by the firmware at each boot.
const MODULES: [&str; 18] = [
    "boot",
    "echo",
    "fat",
    "linux",
    "loadenv",
    "memdisk",
    "normal",
    "part_gpt",
    "reboot",
    "regexp",
    "search",
    "search_fs_uuid",
    "serial",
    "sleep",
    "squash4",
    "tar",
    "terminal",
    "test",
];
const MODULES_BIOS: [&str; 2] = ["biosdisk", "linux16"];
const MODULES_UEFI: [&str; 2] = ["efi_gop", "efi_uga"];

/// The part of boot.img before the partition table of the MBR.
pub const BOOT_CODE_SIZE: usize = 440;
const KERNEL_SECTOR: usize = 0x5c;
const DRIVE_CHECK: usize = 0x66;
/// core.img begins with diskboot.img, one sector that ends with the list of blocks to load: {u64 LBA, u16 count, u16 segment}.
const BLOCK_LIST: usize = 512 - 12;
/// Where the second sector of core.img goes: address 0x8200.
const LOAD_SEGMENT: u16 = 0x820;

#[derive(Debug, thiserror::Error)]
pub enum GrubError {
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} is missing; install it: apt-get install {package}", path.display())]
    Missing { path: PathBuf, package: &'static str },
    #[error("boot.img of GRUB is not as expected: {0}")]
    BootImage(&'static str),
    #[error("core.img of GRUB is not as expected: {0}")]
    CoreImage(&'static str),
}

/// GRUB as it goes onto the disk.
#[derive(Debug)]
pub struct Grub {
    /// The first bytes of the MBR.
    pub boot_code: [u8; BOOT_CODE_SIZE],
    /// The content of the bios partition.
    pub core: Vec<u8>,
    /// EFI/BOOT/BOOTX64.EFI
    pub efi: Vec<u8>,
}

/// Makes all parts of GRUB; `work` is a directory for temporary files.
pub fn make(work: &Path) -> Result<Grub, GrubError> {
    let memdisk = work.join("memdisk.tar");
    file::write(
        &memdisk,
        &memdisk::archive("boot/grub/grub.cfg", configuration().as_bytes()),
    )?;
    let core = image(work, "i386-pc", "grub-pc-bin", &memdisk, &MODULES_BIOS)?;
    let efi = image(work, "x86_64-efi", "grub-efi-amd64-bin", &memdisk, &MODULES_UEFI)?;
    let boot = file::read(&Path::new(LIBRARY).join("i386-pc/boot.img"))?;
    Ok(Grub {
        boot_code: boot_code(&boot)?,
        core: core_image(core)?,
        efi,
    })
}

fn image(
    work: &Path,
    format: &str,
    package: &'static str,
    memdisk: &Path,
    extra: &[&str],
) -> Result<Vec<u8>, GrubError> {
    let path = Path::new(LIBRARY).join(format);
    if !path.join("moddep.lst").exists() {
        return Err(GrubError::Missing { path, package });
    }
    let output = work.join(format!("grub-{format}"));
    let options = ["--format", format, "--prefix", PREFIX];
    let tool = Tool::new("grub-mkimage")
        .args(options)
        .arg("--memdisk")
        .path(memdisk);
    tool.arg("--output")
        .path(&output)
        .args(MODULES)
        .args(extra)
        .run()?;
    Ok(file::read(&output)?)
}

/// boot/grub.cfg with the names of this disk.
pub fn configuration() -> String {
    let mut text = TEMPLATE.to_owned();
    for (name, value) in [
        ("@BOOTCTL@", volume_id(BOOTCTL_VOLUME_ID)),
        ("@ESP@", volume_id(ESP_VOLUME_ID)),
        ("@NUMBER_A@", Slot::A.partition().number.to_string()),
        ("@NUMBER_B@", Slot::B.partition().number.to_string()),
        ("@CMDLINE_A@", kernel_command_line(Slot::A)),
        ("@CMDLINE_B@", kernel_command_line(Slot::B)),
    ] {
        text = text.replace(name, &value);
    }
    text
}

/// As GRUB prints the id of a FAT volume.
fn volume_id(id: u32) -> String {
    format!("{:04X}-{:04X}", id >> 16, id & 0xffff)
}

/// The MBR's code: told where core.img begins, and to trust the BIOS for the drive it came from.
fn boot_code(boot: &[u8]) -> Result<[u8; BOOT_CODE_SIZE], GrubError> {
    if boot.len() != 512 {
        return Err(GrubError::BootImage("it is not one sector"));
    }
    if boot[DRIVE_CHECK] != 0xeb {
        return Err(GrubError::BootImage("no short jump at 0x66"));
    }
    let mut code = [0; BOOT_CODE_SIZE];
    code.copy_from_slice(&boot[..BOOT_CODE_SIZE]);
    code[KERNEL_SECTOR..KERNEL_SECTOR + 8].copy_from_slice(&BIOS.first_lba().to_le_bytes());
    // The check that BIOSes with a broken DL need would be wrong for disks whose number is not 0x80: two NOPs.
    code[DRIVE_CHECK..DRIVE_CHECK + 2].copy_from_slice(&[0x90, 0x90]);
    Ok(code)
}

/// core.img, told which sectors its own rest lies in.
fn core_image(mut core: Vec<u8>) -> Result<Vec<u8>, GrubError> {
    if core.len() <= 512 || core.len() as u64 > BIOS.size {
        return Err(GrubError::CoreImage("it does not fit in the bios partition"));
    }
    core.resize(core.len().next_multiple_of(512), 0);
    let rest =
        u16::try_from(core.len() as u64 / SECTOR - 1).map_err(|_| GrubError::CoreImage("it is too long"))?;
    let mut list = [0; 12];
    list[..8].copy_from_slice(&(BIOS.first_lba() + 1).to_le_bytes());
    list[8..10].copy_from_slice(&rest.to_le_bytes());
    list[10..].copy_from_slice(&LOAD_SEGMENT.to_le_bytes());
    core[BLOCK_LIST..512].copy_from_slice(&list);
    Ok(core)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_filled_in_and_valid() {
        let text = configuration();
        assert!(
            !text
                .lines()
                .any(|line| !line.starts_with('#') && line.contains('@')),
            "{text}"
        );
        assert!(text.contains("4C42-0C71") && text.contains("4C42-0E5B"));
        assert!(text.contains(
            &format!("(,gpt4)/boot/vmlinuz {}", kernel_command_line(Slot::A)).replace("(,", "($disk,")
        ));
        assert!(!text.contains("hd0"));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("grub.cfg");
        std::fs::write(&path, text).unwrap();
        Tool::new("grub-script-check").path(&path).run().unwrap();
    }

    #[test]
    fn boot_code_points_at_the_bios_partition() {
        let mut boot = vec![0xaa; 512];
        boot[DRIVE_CHECK] = 0xeb;
        let code = boot_code(&boot).unwrap();
        assert_eq!(code[KERNEL_SECTOR..KERNEL_SECTOR + 8], 2048u64.to_le_bytes());
        assert_eq!(code[DRIVE_CHECK..DRIVE_CHECK + 2], [0x90, 0x90]);
        assert_eq!(code[KERNEL_SECTOR - 1], 0xaa);
        assert!(boot_code(&[0; 512]).is_err());
        assert!(boot_code(&boot[..440]).is_err());
    }

    #[test]
    fn core_image_lists_its_own_sectors() {
        let core = core_image(vec![1; 512 * 3 + 1]).unwrap();
        assert_eq!(core.len(), 512 * 4);
        assert_eq!(core[500..508], 2049u64.to_le_bytes());
        assert_eq!(core[508..512], [3, 0, 0x20, 0x08]);
        assert!(core_image(vec![1; (1 << 20) + 1]).is_err());
        assert!(core_image(vec![1; 512]).is_err());
    }

    #[test]
    fn both_images_are_made_and_are_the_same_twice() {
        let make = || make(tempfile::tempdir().unwrap().path()).unwrap();
        let (one, two) = (make(), make());
        assert!(one.core == two.core && one.efi == two.efi && one.boot_code == two.boot_code);
        assert!(one.core.len() < 300_000, "core.img: {} bytes", one.core.len());
        assert!(one.efi.starts_with(b"MZ"));
    }
}
