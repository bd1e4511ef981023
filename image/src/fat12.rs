//! Writes a FAT12 file system of fixed, preallocated files that lie in one piece at known sectors. Its metadata are never
//! changed again: GRUB and Linux rewrite the files' sectors in place. Must not: know what the files mean.
//! Structures after Microsoft's "FAT: General Overview of On-Disk Format" 1.03.

use crate::layout::SECTOR;

/// Data begins here, so that a file placed at a multiple of 8 sectors fills whole 4 KiB blocks of the disk below.
pub const FIRST_DATA_SECTOR: u64 = 24;
const FAT_SECTORS: u64 = 6;
const FATS: u64 = 2;
const ROOT_ENTRIES: u64 = 64;
const ROOT_SECTORS: u64 = ROOT_ENTRIES * 32 / SECTOR;
const RESERVED_SECTORS: u64 = FIRST_DATA_SECTOR - ROOT_SECTORS - FATS * FAT_SECTORS;
const MEDIA_FIXED_DISK: u8 = 0xf8;
const END_OF_CHAIN: u16 = 0xfff;
/// 2026-01-01 in the format of a directory entry: years since 1980, month, day.
const DATE: u16 = (2026 - 1980) << 9 | 1 << 5 | 1;

/// One file of the root directory.
#[derive(Debug, Clone)]
pub struct File {
    /// Name and extension, padded with spaces: `OS      ENV`.
    pub name: &'static [u8; 11],
    /// First sector, counted from the start of the file system; a cluster is one sector.
    pub sector: u64,
    /// A whole number of sectors.
    pub content: Vec<u8>,
}

/// The bytes of the whole file system. Files must lie in the data area and not overlap.
pub fn format(sectors: u64, volume_id: u32, label: &[u8; 11], files: &[File]) -> Vec<u8> {
    let size = usize::try_from(sectors * SECTOR).expect("a FAT12 volume fits in memory");
    let mut volume = vec![0; size];
    volume[..512].copy_from_slice(&boot_sector(sectors, volume_id, label));
    let mut fat = vec![0; (FAT_SECTORS * SECTOR) as usize];
    set_entry(&mut fat, 0, 0xf00 | u16::from(MEDIA_FIXED_DISK));
    set_entry(&mut fat, 1, END_OF_CHAIN);
    let root = ((RESERVED_SECTORS + FATS * FAT_SECTORS) * SECTOR) as usize;
    volume[root..root + 32].copy_from_slice(&directory_entry(label, 0x08, 0, 0));
    for (index, file) in files.iter().enumerate() {
        let length = file.content.len() as u64;
        assert!(
            length > 0 && length.is_multiple_of(SECTOR),
            "files are whole sectors"
        );
        assert!(
            file.sector >= FIRST_DATA_SECTOR && file.sector + length / SECTOR <= sectors,
            "inside the data area"
        );
        let first = cluster(file.sector);
        let last = cluster(file.sector + length / SECTOR - 1);
        for number in first..=last {
            assert_eq!(entry(&fat, number), 0, "files do not overlap");
            set_entry(
                &mut fat,
                number,
                if number == last { END_OF_CHAIN } else { number + 1 },
            );
        }
        let start = (file.sector * SECTOR) as usize;
        volume[start..start + file.content.len()].copy_from_slice(&file.content);
        let at = root + 32 * (index + 1);
        let record = directory_entry(file.name, 0x20, first, length as u32);
        volume[at..at + 32].copy_from_slice(&record);
    }
    for copy in 0..FATS {
        let at = ((RESERVED_SECTORS + copy * FAT_SECTORS) * SECTOR) as usize;
        volume[at..at + fat.len()].copy_from_slice(&fat);
    }
    volume
}

/// Cluster numbers begin at 2 with the first data sector.
fn cluster(sector: u64) -> u16 {
    u16::try_from(sector - FIRST_DATA_SECTOR + 2).expect("FAT12 has fewer than 4,085 clusters")
}

fn boot_sector(sectors: u64, volume_id: u32, label: &[u8; 11]) -> [u8; 512] {
    let total = u16::try_from(sectors).expect("BPB_TotSec16");
    assert!(
        FIRST_DATA_SECTOR + (FAT_SECTORS * SECTOR * 2 / 3) - 2 >= sectors,
        "the FAT has an entry for every cluster"
    );
    let mut sector = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| sector[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &[0xeb, 0x3c, 0x90]);
    put(3, b"MSWIN4.1"); // BS_OEMName; the specification recommends this value for compatibility
    put(11, &(SECTOR as u16).to_le_bytes());
    put(13, &[1]); // sectors per cluster
    put(14, &(RESERVED_SECTORS as u16).to_le_bytes());
    put(16, &[FATS as u8]);
    put(17, &(ROOT_ENTRIES as u16).to_le_bytes());
    put(19, &total.to_le_bytes());
    put(21, &[MEDIA_FIXED_DISK]);
    put(22, &(FAT_SECTORS as u16).to_le_bytes());
    put(24, &32u16.to_le_bytes()); // sectors per track and heads: unused by LBA readers, but mtools wants them plausible
    put(26, &2u16.to_le_bytes());
    put(36, &[0x80, 0, 0x29]); // drive number, reserved, extended boot signature
    put(39, &volume_id.to_le_bytes());
    put(43, label);
    put(54, b"FAT12   ");
    put(62, &[0xf4, 0xeb, 0xfd]); // hlt; jmp: nobody boots from here
    put(510, &[0x55, 0xaa]);
    sector
}

fn directory_entry(name: &[u8; 11], attributes: u8, first: u16, length: u32) -> [u8; 32] {
    let mut record = [0; 32];
    record[..11].copy_from_slice(name);
    record[11] = attributes;
    for at in [16, 18, 24] {
        record[at..at + 2].copy_from_slice(&DATE.to_le_bytes()); // created, accessed, written
    }
    record[26..28].copy_from_slice(&first.to_le_bytes());
    record[28..].copy_from_slice(&length.to_le_bytes());
    record
}

/// Entry `n` is 12 bits at byte `n * 3 / 2`: the low ones of a pair for even `n`, the high ones for odd.
fn entry(fat: &[u8], n: u16) -> u16 {
    let at = usize::from(n) * 3 / 2;
    let pair = u16::from_le_bytes([fat[at], fat[at + 1]]);
    if n.is_multiple_of(2) {
        pair & 0xfff
    } else {
        pair >> 4
    }
}

fn set_entry(fat: &mut [u8], n: u16, value: u16) {
    let at = usize::from(n) * 3 / 2;
    let pair = u16::from_le_bytes([fat[at], fat[at + 1]]);
    let pair = if n.is_multiple_of(2) {
        pair & 0xf000 | value
    } else {
        pair & 0xf | value << 4
    };
    fat[at..at + 2].copy_from_slice(&pair.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::Tool;

    fn two_files() -> Vec<u8> {
        let first = File {
            name: b"ONE     TXT",
            sector: 24,
            content: vec![b'1'; 512],
        };
        let second = File {
            name: b"TWO     BIN",
            sector: 32,
            content: vec![b'2'; 3 * 512],
        };
        format(2048, 0x1234_abcd, b"SOME LABEL ", &[first, second])
    }

    #[test]
    fn entries_of_twelve_bits_do_not_disturb_each_other() {
        let mut fat = vec![0; 12];
        for (n, value) in [(2, 0xabc), (3, 0x123), (4, 0xfff), (3, 0x456)] {
            set_entry(&mut fat, n, value);
        }
        assert_eq!([2, 3, 4, 5].map(|n| entry(&fat, n)), [0xabc, 0x456, 0xfff, 0]);
    }

    #[test]
    fn fsck_finds_no_fault_and_mtools_reads_the_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fat");
        std::fs::write(&path, two_files()).unwrap();
        Tool::new("fsck.vfat")
            .args(["-n", "-v"])
            .path(&path)
            .run()
            .unwrap();
        let listing = Tool::new("mdir")
            .args(["-b", "-i"])
            .path(&path)
            .arg("::")
            .run()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&listing.stdout),
            "::/ONE.TXT\n::/TWO.BIN\n"
        );
        let copied = directory.path().join("two");
        Tool::new("mcopy")
            .arg("-i")
            .path(&path)
            .arg("::TWO.BIN")
            .path(&copied)
            .run()
            .unwrap();
        assert_eq!(std::fs::read(copied).unwrap(), vec![b'2'; 3 * 512]);
    }

    #[test]
    #[should_panic(expected = "files do not overlap")]
    fn overlapping_files_are_refused() {
        let file = |name, sector| File {
            name,
            sector,
            content: vec![0; 1024],
        };
        format(
            2048,
            1,
            b"L          ",
            &[file(b"A          ", 24), file(b"B          ", 25)],
        );
    }
}
