//! The label of a FAT or ISO 9660 volume, read from its first structures. Must not: open a device, or believe a size that a volume claims.

use std::io::{self, Read, Seek, SeekFrom};

/// A file system that a seed may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Fat,
    Iso9660,
}

/// ECMA-119, 8.4: the primary volume descriptor is in sector 16, of 2048 bytes.
const ISO_DESCRIPTOR_AT: u64 = 16 * 2048;
const ISO_LABEL: std::ops::Range<usize> = 40..72;
/// In the boot sector (Microsoft's FAT specification, 3.1): the label of FAT12 and FAT16, and of FAT32.
const FAT16_LABEL: std::ops::Range<usize> = 43..54;
const FAT32_LABEL: std::ops::Range<usize> = 71..82;
/// Of the root directory so much is looked at: a label is among its first entries.
const DIRECTORY_BYTES: usize = 16 << 10;
/// ATTR_VOLUME_ID; an entry of a long name has further bits.
const VOLUME_ID: u8 = 0x08;
const LONG_NAME: u8 = 0x0f;

/// Whether the volume has this label; case does not count, as FAT has capitals only.
pub fn find(volume: &mut (impl Read + Seek), label: &str) -> Option<Kind> {
    let is = |found: &[u8]| {
        let found = String::from_utf8_lossy(found);
        found.trim_end_matches([' ', '\0']).eq_ignore_ascii_case(label)
    };
    if let Ok(descriptor) = read(volume, ISO_DESCRIPTOR_AT, 2048)
        && descriptor[..6] == *b"\x01CD001"
    {
        return is(&descriptor[ISO_LABEL]).then_some(Kind::Iso9660);
    }
    let sector = read(volume, 0, 512).ok()?;
    let fat = Fat::parse(&sector)?;
    let at_the_head = if fat.wide { FAT32_LABEL } else { FAT16_LABEL };
    let labelled = is(&sector[at_the_head]) || fat.entry(volume).is_some_and(|entry| is(&entry));
    labelled.then_some(Kind::Fat)
}

fn read(volume: &mut (impl Read + Seek), at: u64, bytes: usize) -> io::Result<Vec<u8>> {
    volume.seek(SeekFrom::Start(at))?;
    let mut buffer = vec![0; bytes];
    volume.read_exact(&mut buffer)?;
    Ok(buffer)
}

struct Fat {
    /// FAT32.
    wide: bool,
    directory_at: u64,
    directory_bytes: usize,
}

impl Fat {
    fn parse(sector: &[u8]) -> Option<Fat> {
        let u16_at = |at: usize| u64::from(u16::from_le_bytes([sector[at], sector[at + 1]]));
        let (bytes, per_cluster, fats) = (u16_at(11), u64::from(sector[13]), u64::from(sector[16]));
        let jumps = matches!(sector[0], 0xeb | 0xe9) && sector[510..] == [0x55, 0xaa];
        if !jumps || !matches!(bytes, 512 | 1024 | 2048 | 4096) || per_cluster == 0 || fats == 0 {
            return None;
        }
        let (reserved, entries, short) = (u16_at(14), u16_at(17), u16_at(22));
        let wide = short == 0;
        let long = u16_at(36) | u16_at(38) << 16;
        let size = if wide { long } else { short };
        let behind_fats = reserved + fats * size;
        let (first, length) = if wide {
            let root = u16_at(44) | u16_at(46) << 16;
            let sectors = root.checked_sub(2)? * per_cluster;
            (behind_fats + sectors, per_cluster * bytes)
        } else {
            (behind_fats, entries * 32)
        };
        Some(Fat {
            wide,
            directory_at: first * bytes,
            directory_bytes: usize::try_from(length).ok()?.min(DIRECTORY_BYTES),
        })
    }

    /// The label as an entry of the root directory: some systems write it nowhere else.
    fn entry(&self, volume: &mut (impl Read + Seek)) -> Option<Vec<u8>> {
        let directory = read(volume, self.directory_at, self.directory_bytes).ok()?;
        let mut entries = directory.chunks_exact(32).take_while(|entry| entry[0] != 0);
        let label = entries.find(|entry| {
            entry[0] != 0xe5 && entry[11] & VOLUME_ID != 0 && entry[11] & LONG_NAME != LONG_NAME
        })?;
        Some(label[..11].to_vec())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A boot sector of FAT16 or FAT32 with a root directory of one sector; the label where it is wanted.
    fn fat(wide: bool, at_the_head: &str, entry: &str) -> Cursor<Vec<u8>> {
        let mut disk = vec![0; 64 << 10];
        disk[0] = 0xeb;
        disk[11..13].copy_from_slice(&512u16.to_le_bytes());
        (disk[13], disk[14], disk[16]) = (1, 4, 2);
        let label = if wide { FAT32_LABEL } else { FAT16_LABEL };
        if wide {
            disk[36] = 8;
            disk[44] = 5;
        } else {
            disk[17] = 16;
            disk[22] = 8;
        }
        disk[label].copy_from_slice(format!("{at_the_head:11}").as_bytes());
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        let root = (4 + 2 * 8 + if wide { 3 } else { 0 }) * 512;
        disk[root] = 0xe5;
        disk[root + 32..root + 43].copy_from_slice(b"A\0l\0o\0n\0g\0n");
        disk[root + 43] = LONG_NAME;
        disk[root + 64..root + 75].copy_from_slice(format!("{entry:11}").as_bytes());
        disk[root + 75] = VOLUME_ID;
        Cursor::new(disk)
    }

    #[test]
    fn a_fat_volume_has_its_label_at_the_head_or_in_its_root() {
        for wide in [false, true] {
            assert_eq!(find(&mut fat(wide, "LBSEED", "OTHER"), "LBSEED"), Some(Kind::Fat));
            assert_eq!(
                find(&mut fat(wide, "NO NAME", "lbseed"), "LBSEED"),
                Some(Kind::Fat)
            );
            assert_eq!(find(&mut fat(wide, "NO NAME", "LBSEED2"), "LBSEED"), None);
        }
    }

    #[test]
    fn an_iso_volume_has_its_label_in_the_descriptor() {
        let mut disk = vec![0; 40 << 10];
        disk[32768..32774].copy_from_slice(b"\x01CD001");
        disk[32768 + 40..32768 + 72].copy_from_slice(format!("{:32}", "LBSEED").as_bytes());
        assert_eq!(find(&mut Cursor::new(&disk), "LBSEED"), Some(Kind::Iso9660));
        assert_eq!(find(&mut Cursor::new(&disk), "cidata"), None);
    }

    #[test]
    fn what_is_neither_has_none() {
        assert_eq!(find(&mut Cursor::new(vec![0; 100]), "LBSEED"), None);
        assert_eq!(find(&mut Cursor::new(vec![0xff; 64 << 10]), "LBSEED"), None);
        let mut wild = fat(true, "NO NAME", "LBSEED").into_inner();
        wild[36..40].fill(0xff);
        wild[44..48].fill(0xff);
        assert_eq!(find(&mut Cursor::new(wild), "LBSEED"), None);
    }
}
