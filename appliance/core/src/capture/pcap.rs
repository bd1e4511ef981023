//! The file format of libpcap, as far as it is written here (draft-ietf-opsawg-pcap): a head and a record for each packet. It is
//! so little that no crate is smaller. Must not: hold more than it is allowed.

use super::Frame;

const MAGIC_OF_MICROSECONDS: u32 = 0xa1b2_c3d4;
/// What readers are told as the most that is kept of one packet.
const SNAP_LENGTH: u32 = 262_144;
const RECORD_HEAD: usize = 16;
const TPID: [u8; 2] = [0x81, 0x00];
/// Both addresses.
const MACS: usize = 12;

/// What stands in front of each packet (LINKTYPE_*).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkType {
    Ethernet,
    /// LINUX_SLL2: the link and the direction, for packets of several links.
    Cooked,
}

impl LinkType {
    fn number(self) -> u32 {
        match self {
            LinkType::Ethernet => 1,
            LinkType::Cooked => 276,
        }
    }
}

#[derive(Debug)]
pub struct Pcap {
    link_type: LinkType,
    bytes: Vec<u8>,
    most: usize,
}

impl Pcap {
    /// Of at most so many bytes.
    pub fn new(link_type: LinkType, most: usize) -> Pcap {
        let mut bytes = Vec::new();
        bytes.extend(MAGIC_OF_MICROSECONDS.to_le_bytes());
        bytes.extend(2u16.to_le_bytes());
        bytes.extend(4u16.to_le_bytes());
        // Time zone and accuracy, which nobody uses.
        bytes.extend([0; 8]);
        bytes.extend(SNAP_LENGTH.to_le_bytes());
        bytes.extend(link_type.number().to_le_bytes());
        Pcap {
            link_type,
            bytes,
            most,
        }
    }

    /// `false`: there is no room for it.
    pub fn add(&mut self, frame: &Frame) -> bool {
        let (kept, added) = match self.link_type {
            LinkType::Ethernet => ethernet(frame),
            LinkType::Cooked => cooked(frame),
        };
        if self.bytes.len() + RECORD_HEAD + kept.len() > self.most {
            return false;
        }
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        let seconds = u32::try_from(frame.at.as_secs()).unwrap_or(u32::MAX);
        self.bytes.extend(seconds.to_le_bytes());
        self.bytes.extend(frame.at.subsec_micros().to_le_bytes());
        self.bytes.extend(number(kept.len()));
        self.bytes
            .extend(number(frame.length.saturating_add_signed(added)));
        self.bytes.extend(kept);
        true
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// With the tag back in its place, and how much longer that makes it.
fn ethernet(frame: &Frame) -> (Vec<u8>, isize) {
    let bytes = &frame.bytes;
    match frame.tag {
        Some(tag) if bytes.len() >= MACS => {
            let mut kept = bytes[..MACS].to_vec();
            kept.extend(TPID);
            kept.extend(tag.to_be_bytes());
            kept.extend(&bytes[MACS..]);
            (kept, 4)
        }
        _ => (bytes.clone(), 0),
    }
}

fn cooked(frame: &Frame) -> (Vec<u8>, isize) {
    let source = match frame.bytes.get(6..MACS) {
        Some(source) if frame.has_ethernet_header() => source,
        _ => &[],
    };
    let mut kept = Vec::new();
    match frame.tag {
        Some(_) => kept.extend(TPID),
        None => kept.extend(frame.ethertype.to_be_bytes()),
    }
    kept.extend([0; 2]);
    kept.extend(frame.index.to_be_bytes());
    kept.extend(frame.hardware.to_be_bytes());
    kept.push(u8::try_from(frame.direction.number()).unwrap_or(0));
    kept.push(u8::try_from(source.len()).unwrap_or(0));
    kept.extend(source);
    kept.resize(20, 0);
    if let Some(tag) = frame.tag {
        kept.extend(tag.to_be_bytes());
        kept.extend(frame.ethertype.to_be_bytes());
    }
    let head = isize::try_from(kept.len()).unwrap_or(0);
    let gone = isize::try_from(frame.network_at()).unwrap_or(0);
    kept.extend(frame.network());
    (kept, head - gone)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::capture::Direction;

    fn frame() -> Frame {
        Frame {
            at: Duration::new(1_700_000_000, 5_000),
            index: 3,
            direction: Direction::Out,
            hardware: 1,
            ethertype: 0x0800,
            tag: Some(100),
            length: 1_514,
            bytes: (0..20).collect(),
        }
    }

    #[test]
    fn a_tag_is_back_in_its_place() {
        let mut file = Pcap::new(LinkType::Ethernet, 1_000);
        assert!(file.add(&frame()));
        let bytes = file.into_bytes();
        assert_eq!(
            bytes[..24],
            [
                0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0
            ]
        );
        // 24 bytes kept of 1,518, 5 µs after the second.
        assert_eq!(bytes[28..40], [5, 0, 0, 0, 24, 0, 0, 0, 0xee, 5, 0, 0]);
        assert_eq!(
            bytes[40..60],
            [
                0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0x81, 0, 0, 100, 12, 13, 14, 15
            ]
        );
    }

    #[test]
    fn packets_of_several_links_say_which() {
        let mut file = Pcap::new(LinkType::Cooked, 1_000);
        assert!(file.add(&frame()));
        let bytes = file.into_bytes();
        assert_eq!(bytes[20..22], [0x14, 0x01]);
        assert_eq!(
            bytes[40..60],
            [0x81, 0, 0, 0, 0, 0, 0, 3, 0, 1, 4, 6, 6, 7, 8, 9, 10, 11, 0, 0]
        );
        assert_eq!(bytes[60..], [0, 100, 8, 0, 14, 15, 16, 17, 18, 19]);
    }

    #[test]
    fn a_full_file_takes_no_more() {
        let mut file = Pcap::new(LinkType::Ethernet, 24 + 16 + 24);
        assert!(file.add(&frame()));
        assert!(!file.add(&frame()));
        assert_eq!(file.into_bytes().len(), 64);
    }
}
