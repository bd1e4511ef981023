//! A SYN of this machine's own as a whole packet, and the RST that takes it back (RFC 9293, RFC 791, RFC 8200): for checks, and for whoever
//! asks where answers come back. Must not: send it, or read what comes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::checksum;

const PROTOCOL: u8 = 6;
const HOP_LIMIT: u8 = 64;
const DONT_FRAGMENT: u8 = 0x40;
const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;
const TCP_HEADER: usize = 20;
/// The header, and the option that tells the largest segment.
const SYN_BYTES: usize = 24;
/// What Ethernet carries, less the headers (bytes). Nothing will be sent; a SYN without it looks odd.
const MSS: [u16; 2] = [1460, 1440];
/// The kernel's own first window (bytes).
const WINDOW: u16 = 64_240;

const SYN: u8 = 0x02;
const RST: u8 = 0x04;

/// The longest packet that is sent (bytes).
const LONGEST: usize = V6_HEADER + SYN_BYTES;

/// What one says, however often it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syn {
    pub source: IpAddr,
    pub port: u16,
    pub target: SocketAddr,
    pub sequence: u32,
}

/// The first bytes of an array are the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Packet {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Syn {
    /// `None`: the two addresses are of different families.
    pub fn packet(&self) -> Option<Packet> {
        let mss = MSS[usize::from(self.source.is_ipv6())];
        let mut segment = self.segment(SYN, self.sequence);
        segment[14..16].copy_from_slice(&WINDOW.to_be_bytes());
        segment[20..22].copy_from_slice(&[2, 4]);
        segment[22..24].copy_from_slice(&mss.to_be_bytes());
        self.around(segment)
    }

    /// RST of the same connection, as its sender sends it when the SYN was answered. `None` as for the SYN.
    pub fn taken_back(&self) -> Option<Packet> {
        let mut bytes = [0; TCP_HEADER];
        bytes.copy_from_slice(&self.segment(RST, self.sequence.wrapping_add(1))[..TCP_HEADER]);
        bytes[12] = (TCP_HEADER as u8 / 4) << 4;
        self.around(bytes)
    }

    /// Without its checksum, window and options.
    fn segment(&self, flags: u8, sequence: u32) -> [u8; SYN_BYTES] {
        let mut segment = [0; SYN_BYTES];
        segment[0..2].copy_from_slice(&self.port.to_be_bytes());
        segment[2..4].copy_from_slice(&self.target.port().to_be_bytes());
        segment[4..8].copy_from_slice(&sequence.to_be_bytes());
        segment[12] = (SYN_BYTES as u8 / 4) << 4;
        segment[13] = flags;
        segment
    }

    /// The packet around a segment, which gets its checksum.
    fn around<const N: usize>(&self, mut segment: [u8; N]) -> Option<Packet> {
        let mut bytes = [0; LONGEST];
        let header = match (self.source, self.target.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                header_v4(&mut bytes, from, to, N);
                V4_HEADER
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                header_v6(&mut bytes, from, to, N);
                V6_HEADER
            }
            _ => return None,
        };
        let sum = checksum::with_addresses(self.source, self.target.ip(), PROTOCOL, &segment);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        bytes[header..header + N].copy_from_slice(&segment);
        Some(Packet {
            bytes,
            length: header + N,
        })
    }
}

/// The kernel fills in the identification, where it sends by a route (raw(7)); with "don't fragment" none is needed (RFC 6864).
fn header_v4(bytes: &mut [u8], from: Ipv4Addr, to: Ipv4Addr, segment: usize) {
    bytes[0] = 0x45;
    bytes[2..4].copy_from_slice(&((V4_HEADER + segment) as u16).to_be_bytes());
    bytes[6] = DONT_FRAGMENT;
    bytes[8] = HOP_LIMIT;
    bytes[9] = PROTOCOL;
    bytes[12..16].copy_from_slice(&from.octets());
    bytes[16..20].copy_from_slice(&to.octets());
    let sum = checksum::plain(&bytes[..V4_HEADER]);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
}

fn header_v6(bytes: &mut [u8], from: Ipv6Addr, to: Ipv6Addr, segment: usize) {
    bytes[0] = 0x60;
    bytes[5] = segment as u8;
    bytes[6] = PROTOCOL;
    bytes[7] = HOP_LIMIT;
    bytes[8..24].copy_from_slice(&from.octets());
    bytes[24..40].copy_from_slice(&to.octets());
}

#[cfg(test)]
mod tests {
    use etherparse::{SlicedPacket, TransportSlice};

    use super::*;

    fn syn(source: &str, target: &str) -> Syn {
        Syn {
            source: source.parse().unwrap(),
            port: 61_000,
            target: target.parse().unwrap(),
            sequence: u32::MAX,
        }
    }

    #[test]
    fn the_checksum_makes_the_whole_add_up() {
        for (source, target) in [
            ("172.16.0.254", "172.16.0.11:80"),
            ("2001:db8::fe", "[2001:db8::11]:80"),
        ] {
            let syn = syn(source, target);
            let header = if syn.source.is_ipv4() {
                V4_HEADER
            } else {
                V6_HEADER
            };
            for packet in [syn.packet().unwrap(), syn.taken_back().unwrap()] {
                let segment = &packet.bytes()[header..];
                // With its own checksum in it, a segment sums up to nothing.
                assert_eq!(
                    checksum::with_addresses(syn.source, syn.target.ip(), PROTOCOL, segment),
                    0
                );
            }
        }
        for packet in [
            syn("172.16.0.254", "172.16.0.11:80").packet(),
            syn("172.16.0.254", "172.16.0.11:80").taken_back(),
        ] {
            let packet = packet.unwrap();
            assert_eq!(checksum::plain(&packet.bytes()[..V4_HEADER]), 0);
            assert_eq!(usize::from(packet.bytes()[3]), packet.bytes().len());
        }
        assert_eq!(syn("172.16.0.254", "[2001:db8::11]:80").packet(), None);
    }

    #[test]
    fn others_read_it_as_it_is_meant() {
        for (source, target) in [
            ("172.16.0.254", "172.16.0.11:80"),
            ("2001:db8::fe", "[2001:db8::11]:80"),
        ] {
            let syn = syn(source, target);
            let (packet, back) = (syn.packet().unwrap(), syn.taken_back().unwrap());
            for (packet, is_syn, sequence, window) in [(packet, true, u32::MAX, WINDOW), (back, false, 0, 0)]
            {
                let read = SlicedPacket::from_ip(packet.bytes()).unwrap();
                let Some(TransportSlice::Tcp(tcp)) = read.transport else {
                    panic!("no TCP in {packet:?}");
                };
                assert_eq!((tcp.source_port(), tcp.destination_port()), (61_000, 80));
                assert_eq!((tcp.syn(), tcp.rst(), tcp.ack()), (is_syn, !is_syn, false));
                assert_eq!((tcp.sequence_number(), tcp.window_size()), (sequence, window));
                assert_eq!(tcp.options().len(), if is_syn { 4 } else { 0 });
                assert!(tcp.payload().is_empty());
            }
        }
    }
}
