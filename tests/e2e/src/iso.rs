//! A CD with one file, as small as ECMA-119 (ISO 9660) allows, without the tables of paths that only old readers use.
//! Must not: know what the file is for.

use std::path::Path;

use lb_lab::{LabError, Result};

const SECTOR: usize = 2048;
/// 6.2.1: sixteen sectors are the system's.
const DESCRIPTOR: usize = 16;
const END: usize = 17;
const ROOT: usize = 18;
const FILE: usize = 19;
/// 9.1.6
const DIRECTORY: u8 = 2;

/// Writes the image; `name` in capitals, as the standard has it.
pub fn write(image: &Path, label: &str, name: &str, content: &str) -> Result<()> {
    let mut disk = vec![0; FILE * SECTOR];
    disk.extend_from_slice(content.as_bytes());
    disk.resize(disk.len().next_multiple_of(SECTOR), 0);
    let sectors = (disk.len() / SECTOR) as u32;
    let root = record(ROOT, SECTOR, DIRECTORY, b"\0");
    let descriptor = &mut disk[DESCRIPTOR * SECTOR..END * SECTOR];
    put(descriptor, 0, b"\x01CD001\x01");
    put(descriptor, 40, format!("{label:32}").as_bytes());
    put(descriptor, 80, &both(sectors));
    // One volume, the first, in sectors of this size.
    put(descriptor, 120, b"\x01\0\0\x01\x01\0\0\x01\0\x08\x08\0");
    put(descriptor, 156, &root);
    put(descriptor, 881, b"\x01");
    put(&mut disk, END * SECTOR, b"\xffCD001\x01");
    let parent = record(ROOT, SECTOR, DIRECTORY, b"\x01");
    let file = record(FILE, content.len(), 0, format!("{name};1").as_bytes());
    put(&mut disk, ROOT * SECTOR, &[root, parent, file].concat());
    std::fs::write(image, disk).map_err(LabError::io(format!("write {}", image.display())))
}

fn put(disk: &mut [u8], at: usize, bytes: &[u8]) {
    disk[at..at + bytes.len()].copy_from_slice(bytes);
}

/// 7.3.3: in both orders of bytes.
fn both(number: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// 9.1: an entry of a directory, without a date.
fn record(sector: usize, bytes: usize, flags: u8, name: &[u8]) -> Vec<u8> {
    let length = (33 + name.len()).next_multiple_of(2);
    let mut record = vec![0; length];
    record[0] = length as u8;
    put(&mut record, 2, &both(sector as u32));
    put(&mut record, 10, &both(bytes as u32));
    record[25] = flags;
    put(&mut record, 28, b"\x01\0\0\x01");
    record[32] = name.len() as u8;
    put(&mut record, 33, name);
    record
}
