//! The copy of the configuration outside the config volume: whatever is in a slot, it is a record or it is refused, and a damaged slot
//! does not take the record of the other one with it.
//! Must not: make inputs.

use std::io::{self, Cursor};

use lb_core::config::fingerprint;
use lb_core::mirror::{self, Encoded, MAX_PAYLOAD, SECTOR, SLOT_BYTES, SLOT_MAGIC};
use sha2::{Digest, Sha256};

use super::ensure;
use crate::corpus::{self, Entries};
use crate::run::Target;

pub const TARGET: Target = Target {
    name: "mirror",
    corpus,
    judge,
};

/// Where the digest is in a slot, and how much of the header it covers.
const DIGEST_AT: usize = SECTOR + 40;
const DIGEST_BYTES: usize = 32;
/// A device is looked at for one input of so many: it is large.
const DEVICE_EVERY: u64 = 64;

fn slot(seq: u64, payload: &[u8]) -> io::Result<Vec<u8>> {
    let Encoded { header, payload } = mirror::encode(seq, payload).map_err(io::Error::other)?;
    let mut slot = vec![0; SECTOR];
    slot[..8].copy_from_slice(&SLOT_MAGIC[mirror::slot_of(seq)]);
    slot.extend_from_slice(&header);
    slot.extend_from_slice(&payload);
    Ok(slot)
}

fn corpus() -> io::Result<Entries> {
    let mut payloads = corpus::configs("good", "toml")?;
    payloads.push(vec![b'x'; 1 << 20]);
    let slots = payloads.iter().zip(1..).map(|(payload, seq)| slot(seq, payload));
    let mut all = slots.collect::<io::Result<Entries>>()?;
    all.extend(corpus::own("mirror")?);
    Ok(all)
}

fn judge(input: &[u8]) -> Result<(), String> {
    record(input)?;
    let sealed = sealed(input);
    record(&sealed)?;
    if fingerprint(input).is_multiple_of(DEVICE_EVERY) {
        device(&sealed)?;
    }
    Ok(())
}

/// With the digest that belongs to it: what is behind the digest is read as well.
fn sealed(input: &[u8]) -> Vec<u8> {
    let mut sealed = input.to_vec();
    let Some(length) = sealed.get(SECTOR + 32..SECTOR + 40) else {
        return sealed;
    };
    let length = length
        .iter()
        .rev()
        .fold(0, |value: u64, byte| value << 8 | u64::from(*byte));
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let stored = sealed.get(2 * SECTOR..).and_then(|rest| rest.get(..length));
    let Some(stored) = stored else {
        return sealed;
    };
    let mut hash = Sha256::new();
    hash.update(&sealed[SECTOR..DIGEST_AT]);
    hash.update(stored);
    let digest = hash.finalize();
    sealed[DIGEST_AT..DIGEST_AT + DIGEST_BYTES].copy_from_slice(&digest);
    sealed
}

/// A record is as long as it may be, and kept again it is the same.
fn record(bytes: &[u8]) -> Result<(), String> {
    let Ok(record) = mirror::decode(bytes) else {
        return Ok(());
    };
    ensure(record.payload.len() <= MAX_PAYLOAD, || {
        format!("a payload of {} bytes", record.payload.len())
    })?;
    let Ok(slot) = slot(record.seq, &record.payload) else {
        return Ok(());
    };
    ensure(mirror::decode(&slot).as_ref() == Ok(&record), || {
        "kept again it is another record".to_owned()
    })
}

/// One slot is whole, the other has this input: the whole one is read, or one that is as new; and what is written next is what is read then.
fn device(input: &[u8]) -> Result<(), String> {
    const SEQ: u64 = 7;
    const PAYLOAD: &[u8] = b"hostname = \"lb\"\n";
    let mut device = vec![0; 2 * SLOT_BYTES];
    device[..8].copy_from_slice(&SLOT_MAGIC[0]);
    let length = input.len().min(SLOT_BYTES);
    device[..length].copy_from_slice(&input[..length]);
    let whole = slot(SEQ, PAYLOAD).map_err(|error| error.to_string())?;
    device[SLOT_BYTES..SLOT_BYTES + whole.len()].copy_from_slice(&whole);
    // The magic of a slot is never written.
    device[..8].copy_from_slice(&SLOT_MAGIC[0]);
    let mut device = Cursor::new(device);
    let newest = mirror::read_newest(&mut device).map_err(|error| format!("not read: {error}"))?;
    let sound = newest.is_some_and(|record| record.seq >= SEQ || record.payload == PAYLOAD);
    ensure(sound, || "the record of the whole slot is lost".to_owned())?;
    let next = b"hostname = \"next\"\n";
    mirror::write_next(&mut device, &mut Cursor::new(next), |_| Ok(()))
        .map_err(|error| format!("not written: {error}"))?;
    let newest = mirror::read_newest(&mut device).map_err(|error| format!("not read: {error}"))?;
    ensure(newest.is_some_and(|record| record.payload == next), || {
        "what was written is not what is read".to_owned()
    })
}
