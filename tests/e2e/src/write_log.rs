//! What a disk was told, in its order, as QEMU's blklogwrites wrote it down (the format of Linux' dm-log-writes: a sector that
//! describes the log, then for each entry a sector {sector, sectors, flags, bytes} and its data), and a disk that is told it again.
//! Must not: know what a file system is.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

use lb_image::layout::{BOOTCTL, CONFIG, Partition, SECTOR};

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Write { at: u64, bytes: Vec<u8> },
    Flush,
}

/// Reads the log, also while it is being written: an entry that is not whole is not there yet.
pub fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut data = |file: &mut File, header: &Header| {
        if header.flags & FLUSH != 0 {
            entries.push(Entry::Flush);
        }
        let mut bytes = vec![0; (header.sectors * SECTOR) as usize];
        file.read_exact(&mut bytes)?;
        if !bytes.is_empty() {
            let at = header.sector * SECTOR;
            entries.push(Entry::Write { at, bytes });
        }
        if header.flags & FUA != 0 {
            return Err(io::Error::other(
                "the disk was told to write through, which it does not offer",
            ));
        }
        Ok(())
    };
    walk(path, &mut data)?;
    Ok(entries)
}

/// So many entries are in the log by now.
pub fn length(path: &Path) -> io::Result<usize> {
    let mut entries = 0;
    walk(path, &mut |file, header| {
        entries += usize::from(header.flags & FLUSH != 0) + usize::from(header.sectors > 0);
        file.seek_relative((header.sectors * SECTOR) as i64)
    })?;
    Ok(entries)
}

struct Header {
    sector: u64,
    sectors: u64,
    flags: u64,
}

fn walk(path: &Path, each: &mut impl FnMut(&mut File, &Header) -> io::Result<()>) -> io::Result<()> {
    let mut file = File::open(path)?;
    let end = file.metadata()?.len();
    let mut sector = [0; SECTOR as usize];
    file.read_exact(&mut sector)?;
    if number(&sector, 0) != MAGIC {
        return Err(io::Error::other("this is no log of a disk's writes"));
    }
    loop {
        let at = file.stream_position()?;
        if at + SECTOR > end {
            return Ok(());
        }
        file.read_exact(&mut sector)?;
        let flags = number(&sector, 16);
        let described = number(&sector, 8);
        let header = Header {
            sector: number(&sector, 0),
            // What is discarded has no data here, and may be there all the same.
            sectors: if flags & DISCARD == 0 { described } else { 0 },
            flags,
        };
        if at + SECTOR + header.sectors * SECTOR > end {
            return Ok(());
        }
        each(&mut file, &header)?;
    }
}

fn number(sector: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&sector[at..at + 8]);
    u64::from_le_bytes(bytes)
}

/// The parts of the disk that the running system writes to.
#[derive(Debug, Clone)]
pub struct Disk {
    parts: [(Partition, Vec<u8>); 2],
}

impl Disk {
    pub fn of(image: &Path) -> io::Result<Disk> {
        let mut file = File::open(image)?;
        let mut part = |partition: Partition| -> io::Result<_> {
            let mut bytes = vec![0; partition.size as usize];
            file.seek(SeekFrom::Start(partition.start))?;
            file.read_exact(&mut bytes)?;
            Ok((partition, bytes))
        };
        Ok(Disk {
            parts: [part(CONFIG)?, part(BOOTCTL)?],
        })
    }

    pub fn config(&self) -> &[u8] {
        &self.parts[0].1
    }

    pub fn bootctl(&self) -> &[u8] {
        &self.parts[1].1
    }

    /// Onto an image whose machine is off.
    pub fn put_on(&self, image: &Path) -> io::Result<()> {
        let mut file = File::options().write(true).open(image)?;
        for (partition, bytes) in &self.parts {
            file.seek(SeekFrom::Start(partition.start))?;
            file.write_all(bytes)?;
        }
        file.sync_data()
    }

    /// The sectors of a write for which `arrives` says so.
    pub fn write(&mut self, at: u64, bytes: &[u8], mut arrives: impl FnMut() -> bool) -> io::Result<()> {
        let end = at + bytes.len() as u64;
        let within = |partition: &Partition| partition.start <= at && end <= partition.start + partition.size;
        let Some((partition, content)) = self.parts.iter_mut().find(|(partition, _)| within(partition))
        else {
            return Err(io::Error::other(format!(
                "bytes {at} to {end} of the disk were written, and belong neither to the config volume nor to bootctl"
            )));
        };
        let from = (at - partition.start) as usize;
        for (number, sector) in bytes.chunks(SECTOR as usize).enumerate() {
            if arrives() {
                let start = from + number * SECTOR as usize;
                content[start..start + sector.len()].copy_from_slice(sector);
            }
        }
        Ok(())
    }

    pub fn write_all(&mut self, entries: &[Entry]) -> io::Result<()> {
        for entry in entries {
            if let Entry::Write { at, bytes } = entry {
                self.write(*at, bytes, || true)?;
            }
        }
        Ok(())
    }
}

/// The entries between two flushes: the disk may do them in any order, and any of them not.
pub fn epochs(entries: &[Entry]) -> Vec<Range<usize>> {
    let flushes = entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| **entry == Entry::Flush);
    let mut epochs = Vec::new();
    let mut start = 0;
    for (place, _) in flushes {
        epochs.push(start..place);
        start = place + 1;
    }
    epochs.push(start..entries.len());
    epochs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sector(numbers: &[u64]) -> Vec<u8> {
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        bytes.resize(SECTOR as usize, 0);
        bytes
    }

    #[test]
    fn a_log_is_read_to_its_last_whole_entry() {
        let file = std::env::temp_dir().join(format!("write-log-{}", std::process::id()));
        let data = vec![7; 2 * SECTOR as usize];
        let write = sector(&[9, 2, 0, 0]);
        let parts = [
            sector(&[MAGIC, 1, 3, SECTOR]),
            write.clone(),
            data.clone(),
            sector(&[0, 0, FLUSH, 0]),
            sector(&[4, 1_000, DISCARD, 0]),
            write,
            data[..SECTOR as usize].to_vec(),
        ];
        std::fs::write(&file, parts.concat()).unwrap();
        let entries = read(&file).unwrap();
        let whole = Entry::Write {
            at: 9 * SECTOR,
            bytes: data,
        };
        assert_eq!(entries, [whole, Entry::Flush]);
        assert_eq!(length(&file).unwrap(), 2);
        assert_eq!(epochs(&entries), [0..1, 2..2]);
        std::fs::write(&file, sector(&[1])).unwrap();
        assert!(read(&file).is_err());
        std::fs::remove_file(&file).unwrap();
    }
}
