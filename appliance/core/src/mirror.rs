//! The copy of the configuration in force outside the config volume: two slots in the files CFG0.BIN and CFG1.BIN of
//! the bootctl partition, which is read and written raw. Records alternate between the slots, so a write that is torn at
//! any point leaves the record before it readable. Must not: know what a valid configuration is, or open a device.
//!
//! A slot: sector 0 holds the file's magic and is never written; sector 1 is the header; the deflated payload follows.

use std::io::{self, Read, Seek, SeekFrom, Write};

use flate2::Compression;
use flate2::read::{DeflateDecoder, DeflateEncoder};
use sha2::{Digest, Sha256};
use thiserror::Error;

#[cfg(test)]
mod tests;

/// What a disk writes whole or not at all.
pub const SECTOR: usize = 512;
/// The size of CFG0.BIN and of CFG1.BIN.
pub const SLOT_BYTES: usize = 384 * 1024;
/// The first bytes of CFG0.BIN and of CFG1.BIN, by which they are found without the FAT.
pub const SLOT_MAGIC: [[u8; 8]; 2] = [*b"LBCFG0\0\0", *b"LBCFG1\0\0"];
/// What a slot can hold, deflated.
pub const CAPACITY: usize = SLOT_BYTES - 2 * SECTOR;
/// No configuration is as long as this; a header that says otherwise is damaged.
pub const MAX_PAYLOAD: usize = 16 << 20;

const HEADER_MAGIC: [u8; 8] = *b"LBRECORD";
const FORMAT: u32 = 1;
/// Where the digest stands in the header; it covers what is before it, and the deflated payload.
const DIGEST_AT: usize = 40;
const DIGEST_BYTES: usize = 32;

/// One configuration as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Grows by one with each write; the highest valid one counts.
    pub seq: u64,
    pub payload: Vec<u8>,
}

/// A record as bytes: what goes into the header's sector, and what follows it in whole sectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    pub header: [u8; SECTOR],
    pub payload: Vec<u8>,
}

/// Where the slots begin in the partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slots(pub [Option<u64>; 2]);

/// Why the bytes of a slot are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    #[error("nothing has been written here")]
    Empty,
    #[error("format {0} is not known")]
    Format(u32),
    #[error("the lengths in the header are impossible")]
    Length,
    #[error("the checksum is wrong")]
    Checksum,
    #[error("the payload cannot be inflated")]
    Inflate,
}

#[derive(Debug, Error)]
pub enum MirrorError {
    #[error("the partition has no slot {}", format_slot(*.0))]
    NoSlot(usize),
    #[error("{0} bytes remain after compression, and a slot holds {CAPACITY}")]
    TooLarge(usize),
    #[error("the configuration cannot be longer than {MAX_PAYLOAD} bytes")]
    TooLong,
    #[error("cannot {0}")]
    Io(&'static str, #[source] io::Error),
}

fn format_slot(slot: usize) -> &'static str {
    ["CFG0.BIN", "CFG1.BIN"][slot % 2]
}

/// The newest valid record, if there is one.
pub fn read_newest<D: Read + Seek>(device: &mut D) -> Result<Option<Record>, MirrorError> {
    let slots = find_slots(device)?;
    let newest = newest(device, slots, |slot| {
        decode(slot).ok().map(|record| (record.seq, record))
    })?;
    Ok(newest.map(|(_, record)| record))
}

/// Writes the payload as the next record, into the slot that does not hold the newest one. `flush` must not return
/// before the device has everything that was written. A payload equal to the newest record's is not written again. It is
/// read piece by piece, so that memory need not hold it.
pub fn write_next<D, P, F>(device: &mut D, payload: &mut P, mut flush: F) -> Result<(), MirrorError>
where
    D: Read + Write + Seek,
    P: Read + Seek,
    F: FnMut(&mut D) -> io::Result<()>,
{
    let slots = find_slots(device)?;
    let newest = newest(device, slots, |slot| {
        let sealed = unseal(slot).ok()?;
        Some((u64_at(sealed.header, 16), sealed.header.to_vec()))
    })?;
    let (length, stored) = deflate(payload)?;
    // One text always becomes the same bytes, and the header holds their digest.
    if let Some((seq, known)) = &newest
        && *known == header(*seq, length, &stored)
    {
        return Ok(());
    }
    let seq = newest.map_or(1, |(seq, _)| seq.wrapping_add(1));
    let encoded = seal(seq, length, stored);
    let slot = slot_of(seq);
    let at = slots.0[slot].ok_or(MirrorError::NoSlot(slot))?;
    put(device, at + 2 * SECTOR as u64, &encoded.payload)
        .and_then(|()| flush(device))
        .map_err(|e| MirrorError::Io("write the payload", e))?;
    put(device, at + SECTOR as u64, &encoded.header)
        .and_then(|()| flush(device))
        .map_err(|e| MirrorError::Io("write the header", e))
}

/// Overwrites both records; the slots stay for the next one. `flush` as for [`write_next`].
pub fn erase<D, F>(device: &mut D, mut flush: F) -> Result<(), MirrorError>
where
    D: Read + Write + Seek,
    F: FnMut(&D) -> io::Result<()>,
{
    let empty = vec![0; SLOT_BYTES - SECTOR];
    for at in find_slots(device)?.0.into_iter().flatten() {
        put(device, at + SECTOR as u64, &empty)
            .and_then(|()| flush(device))
            .map_err(|e| MirrorError::Io("overwrite a record", e))?;
    }
    Ok(())
}

/// Looks for the slots' magics at the sector boundaries, from the device's start to its end.
pub fn find_slots<D: Read + Seek>(device: &mut D) -> Result<Slots, MirrorError> {
    scan(device).map_err(|e| MirrorError::Io("look for the slots", e))
}

fn scan<D: Read + Seek>(device: &mut D) -> io::Result<Slots> {
    let length = device.seek(SeekFrom::End(0))?;
    let mut slots = Slots::default();
    let mut at = 0;
    let mut sector = [0; SECTOR];
    while at + SLOT_BYTES as u64 <= length && slots.0.contains(&None) {
        device.seek(SeekFrom::Start(at))?;
        device.read_exact(&mut sector)?;
        let found = SLOT_MAGIC.iter().position(|magic| sector.starts_with(magic));
        // A slot's inside is skipped: whatever its payload looks like, it is no slot.
        at += match found {
            Some(slot) if slots.0[slot].is_none() => {
                slots.0[slot] = Some(at);
                SLOT_BYTES as u64
            }
            _ => SECTOR as u64,
        };
    }
    Ok(slots)
}

/// The slot that a record is written to.
pub fn slot_of(seq: u64) -> usize {
    usize::from(seq % 2 == 1)
}

/// What `read` makes of the slot with the highest sequence number, of those in which it finds a record.
fn newest<D: Read + Seek, T>(
    device: &mut D,
    slots: Slots,
    read: impl Fn(&[u8]) -> Option<(u64, T)>,
) -> Result<Option<(u64, T)>, MirrorError> {
    let mut newest: Option<(u64, T)> = None;
    for at in slots.0.into_iter().flatten() {
        let mut bytes = vec![0; SLOT_BYTES];
        // A slot that cannot be read is as good as an empty one: the other may be whole.
        let arrived = device
            .seek(SeekFrom::Start(at))
            .and_then(|_| device.read_exact(&mut bytes));
        if arrived.is_err() {
            continue;
        }
        if let Some((seq, found)) = read(&bytes)
            && newest.as_ref().is_none_or(|(newest, _)| seq > *newest)
        {
            newest = Some((seq, found));
        }
    }
    Ok(newest)
}

fn put<D: Write + Seek>(device: &mut D, at: u64, bytes: &[u8]) -> io::Result<()> {
    device.seek(SeekFrom::Start(at))?;
    device.write_all(bytes)?;
    device.flush()
}

/// The record as bytes. Fails when it does not fit into a slot.
pub fn encode(seq: u64, payload: &[u8]) -> Result<Encoded, MirrorError> {
    let (length, stored) = deflate(&mut io::Cursor::new(payload))?;
    Ok(seal(seq, length, stored))
}

/// Fast, or where that does not fit, tightly; with the length of what was deflated.
fn deflate<P: Read + Seek>(payload: &mut P) -> Result<(u64, Vec<u8>), MirrorError> {
    let failed = |e| MirrorError::Io("read and deflate the payload", e);
    if payload.seek(SeekFrom::End(0)).map_err(failed)? > MAX_PAYLOAD as u64 {
        return Err(MirrorError::TooLong);
    }
    let mut stored = Vec::new();
    for level in [Compression::fast(), Compression::best()] {
        stored.clear();
        payload.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut encoder = DeflateEncoder::new(&mut *payload, level);
        encoder.read_to_end(&mut stored).map_err(failed)?;
        if stored.len() <= CAPACITY {
            return Ok((encoder.total_in(), stored));
        }
    }
    Err(MirrorError::TooLarge(stored.len()))
}

fn seal(seq: u64, length: u64, mut stored: Vec<u8>) -> Encoded {
    let header = header(seq, length, &stored);
    stored.resize(stored.len().next_multiple_of(SECTOR), 0);
    Encoded {
        header,
        payload: stored,
    }
}

/// `length`: of what was deflated to `stored`.
fn header(seq: u64, length: u64, stored: &[u8]) -> [u8; SECTOR] {
    let mut header = [0; SECTOR];
    header[..8].copy_from_slice(&HEADER_MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    header[16..24].copy_from_slice(&seq.to_le_bytes());
    header[24..32].copy_from_slice(&length.to_le_bytes());
    header[32..40].copy_from_slice(&(stored.len() as u64).to_le_bytes());
    let digest = digest(&header, stored);
    header[DIGEST_AT..DIGEST_AT + DIGEST_BYTES].copy_from_slice(&digest);
    header
}

/// The parts of a record that is whole.
struct Sealed<'s> {
    header: &'s [u8],
    length: usize,
    stored: &'s [u8],
}

fn unseal(slot: &[u8]) -> Result<Sealed<'_>, DecodeError> {
    let header = slot.get(SECTOR..2 * SECTOR).ok_or(DecodeError::Length)?;
    if header[..8] != HEADER_MAGIC {
        return Err(DecodeError::Empty);
    }
    let format = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
    if format != FORMAT {
        return Err(DecodeError::Format(format));
    }
    let length = length_at(header, 24)?;
    let stored_length = length_at(header, 32)?;
    let stored = slot[2 * SECTOR..]
        .get(..stored_length)
        .ok_or(DecodeError::Length)?;
    if length > MAX_PAYLOAD {
        return Err(DecodeError::Length);
    }
    if header[DIGEST_AT..DIGEST_AT + DIGEST_BYTES] != digest(header, stored) {
        return Err(DecodeError::Checksum);
    }
    Ok(Sealed {
        header,
        length,
        stored,
    })
}

/// The record in a slot's bytes.
pub fn decode(slot: &[u8]) -> Result<Record, DecodeError> {
    let Sealed {
        header,
        length,
        stored,
    } = unseal(slot)?;
    let mut payload = Vec::with_capacity(length.min(1 << 20));
    let inflated = DeflateDecoder::new(stored)
        .take(length as u64 + 1)
        .read_to_end(&mut payload);
    if inflated.is_err() || payload.len() != length {
        return Err(DecodeError::Inflate);
    }
    Ok(Record {
        seq: u64_at(header, 16),
        payload,
    })
}

fn digest(header: &[u8], stored: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut hash = Sha256::new();
    hash.update(&header[..DIGEST_AT]);
    hash.update(stored);
    hash.finalize().into()
}

fn u64_at(header: &[u8], at: usize) -> u64 {
    header[at..at + 8]
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn length_at(header: &[u8], at: usize) -> Result<usize, DecodeError> {
    usize::try_from(u64_at(header, at)).map_err(|_| DecodeError::Length)
}
