//! The mirror on a disk in memory: alternation, and a write torn after each of its sectors.

use std::io::Cursor;

use super::*;

/// A bootctl partition: the slots begin where a FAT12 would put them, behind its own sectors.
fn partition() -> Cursor<Vec<u8>> {
    let mut disk = vec![0u8; 1 << 20];
    for (magic, at) in SLOT_MAGIC.iter().zip([20 * SECTOR, 20 * SECTOR + SLOT_BYTES]) {
        disk[at..at + 8].copy_from_slice(magic);
    }
    Cursor::new(disk)
}

fn write(disk: &mut Cursor<Vec<u8>>, payload: &[u8]) {
    write_next(disk, &mut Cursor::new(payload), |_| Ok(())).unwrap();
}

/// Bytes that deflate cannot shorten.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn the_newest_record_is_read_and_the_slots_alternate() {
    let mut disk = partition();
    assert_eq!(read_newest(&mut disk).unwrap(), None);
    for seq in 1..=5u64 {
        write(&mut disk, format!("configuration {seq}").as_bytes());
        let record = read_newest(&mut disk).unwrap().unwrap();
        assert_eq!(
            record,
            Record {
                seq,
                payload: format!("configuration {seq}").into_bytes()
            }
        );
        let at = find_slots(&mut disk).unwrap().0[slot_of(seq)].unwrap() as usize;
        assert_eq!(decode(&disk.get_ref()[at..at + SLOT_BYTES]).unwrap().seq, seq);
    }
}

#[test]
fn an_equal_payload_is_not_written_again() {
    let mut disk = partition();
    write(&mut disk, b"same");
    let before = disk.get_ref().clone();
    write(&mut disk, b"same");
    assert_eq!(&before, disk.get_ref());
}

/// A disk whose power fails: sectors after the first `left` are lost, and the one that was being written is garbage.
struct PowerCut {
    disk: Cursor<Vec<u8>>,
    left: usize,
    garbage: bool,
}

impl Read for PowerCut {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.disk.read(buffer)
    }
}

impl Seek for PowerCut {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.disk.seek(to)
    }
}

impl Write for PowerCut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sector = &bytes[..bytes.len().min(SECTOR)];
        match self.left {
            0 if self.garbage => {
                self.garbage = false;
                self.disk.write_all(&noise(sector.len()))?;
            }
            0 => return Err(io::Error::other("no power")),
            _ => {
                self.left -= 1;
                self.disk.write_all(sector)?;
            }
        }
        Ok(sector.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_write_torn_at_any_sector_leaves_the_record_before_it() {
    let old = noise(3000);
    let new: Vec<u8> = noise(9000).into_iter().rev().collect();
    let mut before = partition();
    write(&mut before, b"the one before");
    write(&mut before, &old);
    let sectors = encode(3, &new).unwrap().payload.len() / SECTOR + 1;
    assert!(sectors > 10);
    for garbage in [false, true] {
        for left in 0..sectors {
            let mut cut = PowerCut {
                disk: before.clone(),
                left,
                garbage,
            };
            assert!(write_next(&mut cut, &mut Cursor::new(&new), |_| Ok(())).is_err() || garbage);
            let found = read_newest(&mut cut.disk).unwrap().unwrap();
            assert_eq!(
                (found.seq, &found.payload),
                (2, &old),
                "{left} sectors, garbage: {garbage}"
            );
            // And the machine that comes up again can write.
            write(&mut cut.disk, &new);
            assert_eq!(read_newest(&mut cut.disk).unwrap().unwrap().payload, new);
        }
    }
    let mut whole = PowerCut {
        disk: before,
        left: sectors,
        garbage: false,
    };
    write_next(&mut whole, &mut Cursor::new(&new), |_| Ok(())).unwrap();
    assert_eq!(read_newest(&mut whole.disk).unwrap().unwrap().payload, new);
}

#[test]
fn the_payload_is_on_the_disk_before_the_header_is_written() {
    let mut disk = partition();
    let mut states = Vec::new();
    write_next(&mut disk, &mut Cursor::new(noise(2000)), |disk| {
        states.push(read_newest(disk).unwrap().is_some());
        Ok(())
    })
    .unwrap();
    assert_eq!(states, [false, true]);
}

#[test]
fn every_flipped_bit_of_a_header_or_payload_is_noticed() {
    let encoded = encode(7, b"[interface.external]\n").unwrap();
    let mut slot = vec![0; SLOT_BYTES];
    slot[SECTOR..2 * SECTOR].copy_from_slice(&encoded.header);
    slot[2 * SECTOR..2 * SECTOR + encoded.payload.len()].copy_from_slice(&encoded.payload);
    assert!(decode(&slot).is_ok());
    let stored = length_at(&encoded.header, 32).unwrap();
    let header = SECTOR..SECTOR + DIGEST_AT + DIGEST_BYTES;
    for at in header.chain(2 * SECTOR..2 * SECTOR + stored) {
        for bit in 0..8 {
            let mut damaged = slot.clone();
            damaged[at] ^= 1 << bit;
            assert!(decode(&damaged).is_err(), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let mut disk = partition();
    write(&mut disk, b"small");
    let before = disk.get_ref().clone();
    let error = write_next(&mut disk, &mut Cursor::new(noise(SLOT_BYTES)), |_| Ok(())).unwrap_err();
    assert!(matches!(error, MirrorError::TooLarge(_)), "{error}");
    assert_eq!(&before, disk.get_ref());
    // A long configuration is repetitive: it fits.
    write(
        &mut disk,
        "[[service.server]]\naddress = \"10.0.0.1\"\n"
            .repeat(100_000)
            .as_bytes(),
    );
}

#[test]
fn a_partition_without_slots_or_with_one_says_so() {
    let mut empty = Cursor::new(vec![0u8; 1 << 20]);
    assert_eq!(read_newest(&mut empty).unwrap(), None);
    let error = write_next(&mut empty, &mut Cursor::new(b"x"), |_| Ok(())).unwrap_err();
    assert_eq!(error.to_string(), "the partition has no slot CFG1.BIN");
    let mut short = Cursor::new(b"LBCFG0\0\0".to_vec());
    assert_eq!(find_slots(&mut short).unwrap(), Slots::default());
}

#[test]
fn a_magic_inside_a_slot_is_no_slot() {
    let mut disk = partition();
    let second = 20 * SECTOR + SLOT_BYTES;
    disk.get_mut()[30 * SECTOR..30 * SECTOR + 8].copy_from_slice(&SLOT_MAGIC[1]);
    assert_eq!(
        find_slots(&mut disk).unwrap(),
        Slots([Some(20 * SECTOR as u64), Some(second as u64)])
    );
}

#[test]
fn a_forged_length_does_not_make_the_reader_inflate_without_bound() {
    let mut encoded = encode(1, &vec![0; 1 << 20]).unwrap();
    encoded.header[24..32].copy_from_slice(&10u64.to_le_bytes());
    let stored = length_at(&encoded.header, 32).unwrap();
    let digest = digest(&encoded.header, &encoded.payload[..stored]);
    encoded.header[DIGEST_AT..DIGEST_AT + DIGEST_BYTES].copy_from_slice(&digest);
    let slot = [vec![0; SECTOR], encoded.header.to_vec(), encoded.payload].concat();
    assert_eq!(decode(&slot), Err(DecodeError::Inflate));
}
