//! SCTP's packets (RFC 9260 section 3) with one chunk each, as bytes and back. A wrong CRC32c makes a packet none: whoever rewrites an
//! address or a port has to put it right. Must not: know what follows what.

pub const DATA: u8 = 0;
pub const INIT: u8 = 1;
pub const INIT_ACK: u8 = 2;
pub const SACK: u8 = 3;
pub const SHUTDOWN: u8 = 7;
pub const SHUTDOWN_ACK: u8 = 8;
pub const COOKIE_ECHO: u8 = 10;
pub const COOKIE_ACK: u8 = 11;
pub const SHUTDOWN_COMPLETE: u8 = 14;

/// The initial TSN of both sides.
pub const FIRST_TSN: u32 = 1;

/// The parameter of an INIT ACK.
const STATE_COOKIE: u16 = 7;
/// A datum that is whole: it begins and ends here.
const WHOLE: u8 = 0b11;
const WINDOW: u32 = 65_535;
/// Ports, verification tag, checksum.
const HEADER: usize = 12;
const CHUNK_HEADER: usize = 4;
/// INIT's fixed fields, a parameter's header, and what stands before the user's data.
const INIT_FIXED: usize = 16;
const PARAMETER_HEADER: usize = 4;
const DATA_FIXED: usize = 12;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub from: u16,
    pub to: u16,
    pub tag: u32,
    pub chunk: Chunk,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    pub kind: u8,
    flags: u8,
    value: Vec<u8>,
}

impl Packet {
    /// Of what a raw socket gives: over IPv4 with the IP header. `None` for what is none.
    pub fn parse(ipv4: bool, bytes: &[u8]) -> Option<Packet> {
        let ip_header = match ipv4 {
            true => usize::from(bytes.first()? & 15) * 4,
            false => 0,
        };
        let bytes = bytes.get(ip_header..)?;
        let told: [u8; 4] = bytes.get(8..HEADER)?.try_into().ok()?;
        let mut zeroed = bytes.to_vec();
        zeroed[8..HEADER].fill(0);
        if crc32c(&zeroed) != u32::from_le_bytes(told) {
            return None;
        }
        let length = usize::from(short(bytes, HEADER + 2)?);
        Some(Packet {
            from: short(bytes, 0)?,
            to: short(bytes, 2)?,
            tag: long(bytes, 4)?,
            chunk: Chunk {
                kind: bytes[HEADER],
                flags: bytes[HEADER + 1],
                value: bytes.get(HEADER + CHUNK_HEADER..HEADER + length)?.to_vec(),
            },
        })
    }

    pub fn encode(&self) -> Vec<u8> {
        let Chunk { kind, flags, value } = &self.chunk;
        let length = (CHUNK_HEADER + value.len()) as u16;
        let mut bytes = [self.from, self.to].map(u16::to_be_bytes).concat();
        bytes.extend(self.tag.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend([*kind, *flags]);
        bytes.extend(length.to_be_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let checksum = crc32c(&bytes);
        bytes[8..HEADER].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }
}

impl Chunk {
    pub fn new(kind: u8, value: impl Into<Vec<u8>>) -> Chunk {
        Chunk {
            kind,
            flags: 0,
            value: value.into(),
        }
    }

    pub fn init(tag: u32) -> Chunk {
        let streams = [1_u16, 1].map(u16::to_be_bytes).concat();
        let rest = FIRST_TSN.to_be_bytes();
        let tag_and_window = [tag, WINDOW].map(u32::to_be_bytes).concat();
        Chunk::new(INIT, [&tag_and_window[..], &streams, &rest].concat())
    }

    pub fn init_ack(tag: u32, cookie: &[u8]) -> Chunk {
        let length = (PARAMETER_HEADER + cookie.len()) as u16;
        let parameter = [STATE_COOKIE, length].map(u16::to_be_bytes).concat();
        Chunk::new(INIT_ACK, [&Chunk::init(tag).value, &parameter, cookie].concat())
    }

    pub fn data(tsn: u32, text: &str) -> Chunk {
        // Stream, number within it, and what the data are: all 0.
        let fixed = [tsn, 0, 0].map(u32::to_be_bytes).concat();
        Chunk {
            flags: WHOLE,
            ..Chunk::new(DATA, [&fixed, text.as_bytes()].concat())
        }
    }

    /// All up to `tsn` have come.
    pub fn sack(tsn: u32) -> Chunk {
        Chunk::new(SACK, [tsn, WINDOW, 0].map(u32::to_be_bytes).concat())
    }

    pub fn shutdown(tsn: u32) -> Chunk {
        Chunk::new(SHUTDOWN, tsn.to_be_bytes())
    }

    /// The first number: the tag of INIT and INIT ACK, the TSN of DATA, SACK and SHUTDOWN.
    pub fn number(&self) -> Option<u32> {
        long(&self.value, 0)
    }

    /// The state cookie of an INIT ACK or a COOKIE ECHO.
    pub fn cookie(&self) -> Option<&[u8]> {
        let parameter = match self.kind {
            INIT_ACK => self.value.get(INIT_FIXED..)?,
            _ => return Some(&self.value),
        };
        let ours = short(parameter, 0)? == STATE_COOKIE;
        let length = usize::from(short(parameter, 2)?);
        parameter.get(PARAMETER_HEADER..length).filter(|_| ours)
    }

    /// The user's data.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.value.get(DATA_FIXED..).unwrap_or_default()).into_owned()
    }
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// RFC 9260, appendix A.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| {
        if crc & 1 == 1 {
            crc >> 1 ^ 0x82f6_3b78
        } else {
            crc >> 1
        }
    };
    !bytes
        .iter()
        .fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnoli_s() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_packet_is_read_as_it_was_written_and_no_other() {
        for chunk in [
            Chunk::init(9),
            Chunk::init_ack(9, b"cookie"),
            Chunk::new(COOKIE_ECHO, *b"cookie"),
            Chunk::data(1, "text"),
            Chunk::sack(1),
            Chunk::new(SHUTDOWN_COMPLETE, []),
        ] {
            let packet = Packet {
                from: 5,
                to: 6,
                tag: 7,
                chunk,
            };
            let mut bytes = packet.encode();
            assert_eq!(Packet::parse(false, &bytes).as_ref(), Some(&packet));
            // An IPv4 header of five words.
            let with_header = [&[0x45; 20], &bytes[..]].concat();
            assert_eq!(Packet::parse(true, &with_header), Some(packet));
            bytes[0] ^= 1;
            assert_eq!(Packet::parse(false, &bytes), None);
        }
    }

    #[test]
    fn a_chunk_tells_what_was_put_into_it() {
        let answer = Chunk::init_ack(9, b"cookie");
        assert_eq!(
            (answer.number(), answer.cookie()),
            (Some(9), Some(&b"cookie"[..]))
        );
        let data = Chunk::data(3, "text");
        assert_eq!((data.number(), data.text().as_str()), (Some(3), "text"));
        assert_eq!(Chunk::new(COOKIE_ACK, []).number(), None);
    }
}
