//! The bytes of a probe and of what comes back: a SYN in its IP packet, and SYN-ACK, RST and quotes in ICMP errors (RFC 9293,
//! RFC 791, RFC 8200). Must not: open sockets, or know what an answer means for a check.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

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

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// The longest packet that is sent (bytes).
pub const LONGEST: usize = V6_HEADER + SYN_BYTES;

/// What one probe says, however often it is sent.
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
        let mut bytes = [0; LONGEST];
        let (header, mss) = match (self.source, self.target.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                header_v4(&mut bytes, from, to);
                (V4_HEADER, MSS[0])
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                header_v6(&mut bytes, from, to);
                (V6_HEADER, MSS[1])
            }
            _ => return None,
        };
        let mut segment = self.segment(mss);
        let sum = checksum(self.source, self.target.ip(), &segment);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        bytes[header..header + SYN_BYTES].copy_from_slice(&segment);
        Some(Packet {
            bytes,
            length: header + SYN_BYTES,
        })
    }

    /// Without its checksum.
    fn segment(&self, mss: u16) -> [u8; SYN_BYTES] {
        let mut segment = [0; SYN_BYTES];
        segment[0..2].copy_from_slice(&self.port.to_be_bytes());
        segment[2..4].copy_from_slice(&self.target.port().to_be_bytes());
        segment[4..8].copy_from_slice(&self.sequence.to_be_bytes());
        segment[12] = (SYN_BYTES as u8 / 4) << 4;
        segment[13] = SYN;
        segment[14..16].copy_from_slice(&WINDOW.to_be_bytes());
        segment[20..22].copy_from_slice(&[2, 4]);
        segment[22..24].copy_from_slice(&mss.to_be_bytes());
        segment
    }
}

/// The kernel fills in the identification, where it sends by a route (raw(7)); with "don't fragment" none is needed (RFC 6864).
fn header_v4(bytes: &mut [u8], from: Ipv4Addr, to: Ipv4Addr) {
    bytes[0] = 0x45;
    bytes[2..4].copy_from_slice(&((V4_HEADER + SYN_BYTES) as u16).to_be_bytes());
    bytes[6] = DONT_FRAGMENT;
    bytes[8] = HOP_LIMIT;
    bytes[9] = PROTOCOL;
    bytes[12..16].copy_from_slice(&from.octets());
    bytes[16..20].copy_from_slice(&to.octets());
    let sum = folded(sum(&bytes[..V4_HEADER]));
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
}

fn header_v6(bytes: &mut [u8], from: Ipv6Addr, to: Ipv6Addr) {
    bytes[0] = 0x60;
    bytes[5] = SYN_BYTES as u8;
    bytes[6] = PROTOCOL;
    bytes[7] = HOP_LIMIT;
    bytes[8..24].copy_from_slice(&from.octets());
    bytes[24..40].copy_from_slice(&to.octets());
}

/// RFC 9293, section 3.1, with the pseudo header of the family.
fn checksum(from: IpAddr, to: IpAddr, segment: &[u8]) -> u16 {
    let address = |address: IpAddr| match address {
        IpAddr::V4(v4) => sum(&v4.octets()),
        IpAddr::V6(v6) => sum(&v6.octets()),
    };
    folded(address(from) + address(to) + u64::from(PROTOCOL) + segment.len() as u64 + sum(segment))
}

/// By words of 32 bits: headers are made of those. The sum of words of 16 bits follows from it (RFC 1071, section 2).
fn sum(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks::<4>();
    words
        .iter()
        .map(|word| u64::from(u32::from_be_bytes(*word)))
        .sum()
}

fn folded(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

/// A segment that may be the answer to a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub from: SocketAddr,
    /// IPv4 only: the other family's sockets are not told.
    pub to: Option<IpAddr>,
    pub port: u16,
    /// The number that it acknowledges.
    pub acknowledges: u32,
    pub refuses: bool,
}

impl Answer {
    /// `packet` begins with the IP header.
    pub fn of_v4(packet: &[u8]) -> Option<Answer> {
        let (header, segment) = split_v4(packet)?;
        let from = IpAddr::from(*header.get(12..)?.first_chunk::<4>()?);
        let to = IpAddr::from(*header.get(16..)?.first_chunk::<4>()?);
        Answer::of(from, Some(to), segment)
    }

    /// What a raw socket of IPv6 is given.
    pub fn of_v6(from: Ipv6Addr, segment: &[u8]) -> Option<Answer> {
        Answer::of(from.into(), None, segment)
    }

    fn of(from: IpAddr, to: Option<IpAddr>, segment: &[u8]) -> Option<Answer> {
        let segment = segment.first_chunk::<TCP_HEADER>()?;
        let flags = segment[13];
        let refuses = flags & RST != 0;
        // Without ACK it does not say which segment it answers; a SYN alone is somebody's own beginning.
        if flags & ACK == 0 || (!refuses && flags & (SYN | FIN) != SYN) {
            return None;
        }
        Some(Answer {
            from: SocketAddr::new(from, u16::from_be_bytes([segment[0], segment[1]])),
            to,
            port: u16::from_be_bytes([segment[2], segment[3]]),
            acknowledges: u32::from_be_bytes([segment[8], segment[9], segment[10], segment[11]]),
            refuses,
        })
    }
}

/// The probe that an ICMP error quotes: its packet, of which at least the first eight bytes of TCP are there (RFC 792).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    pub target: SocketAddr,
    pub port: u16,
    pub sequence: u32,
}

impl Quote {
    pub fn of(packet: &[u8]) -> Option<Quote> {
        let (to, segment) = match packet.first()? >> 4 {
            4 => {
                let (header, segment) = split_v4(packet)?;
                (IpAddr::from(*header.get(16..)?.first_chunk::<4>()?), segment)
            }
            6 => {
                let (header, segment) = packet.split_at_checked(V6_HEADER)?;
                let is_tcp = header[6] == PROTOCOL;
                let to = header[24..].first_chunk::<16>().filter(|_| is_tcp)?;
                (IpAddr::from(*to), segment)
            }
            _ => return None,
        };
        let segment = segment.first_chunk::<8>()?;
        Some(Quote {
            target: SocketAddr::new(to, u16::from_be_bytes([segment[2], segment[3]])),
            port: u16::from_be_bytes([segment[0], segment[1]]),
            sequence: u32::from_be_bytes([segment[4], segment[5], segment[6], segment[7]]),
        })
    }
}

fn split_v4(packet: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(packet.first()? & 0x0f) * 4;
    let (header, segment) = packet.split_at_checked(length)?;
    (header.get(9) == Some(&PROTOCOL)).then_some((header, segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syn(source: &str, target: &str) -> Syn {
        Syn {
            source: source.parse().unwrap(),
            port: 61_000,
            target: target.parse().unwrap(),
            sequence: 0x0102_0304,
        }
    }

    /// The segment of an answer, without a checksum, which a raw socket does not look at.
    fn answer(flags: u8) -> Vec<u8> {
        let mut segment = vec![0; TCP_HEADER];
        segment[0..2].copy_from_slice(&80u16.to_be_bytes());
        segment[2..4].copy_from_slice(&61_000u16.to_be_bytes());
        segment[8..12].copy_from_slice(&0x0102_0305u32.to_be_bytes());
        segment[13] = flags;
        segment
    }

    #[test]
    fn the_checksum_makes_the_whole_add_up() {
        for (source, target) in [
            ("172.16.0.254", "172.16.0.11:80"),
            ("2001:db8::fe", "[2001:db8::11]:80"),
        ] {
            let syn = syn(source, target);
            let packet = syn.packet().unwrap();
            let segment = &packet.bytes()[packet.bytes().len() - SYN_BYTES..];
            // With its own checksum in it, a segment sums up to nothing.
            assert_eq!(checksum(syn.source, syn.target.ip(), segment), 0);
            assert_eq!(segment[13], SYN);
        }
        let packet = syn("172.16.0.254", "172.16.0.11:80").packet().unwrap();
        assert_eq!(folded(sum(&packet.bytes()[..V4_HEADER])), 0);
        assert_eq!(usize::from(packet.bytes()[3]), packet.bytes().len());
        assert_eq!(syn("172.16.0.254", "[2001:db8::11]:80").packet(), None);
    }

    #[test]
    fn a_quote_is_of_the_probe_that_was_sent() {
        for (source, target) in [
            ("172.16.0.254", "172.16.0.11:80"),
            ("2001:db8::fe", "[2001:db8::11]:80"),
        ] {
            let syn = syn(source, target);
            let packet = syn.packet().unwrap();
            let quote = Quote::of(packet.bytes()).unwrap();
            assert_eq!(
                (quote.target, quote.port, quote.sequence),
                (syn.target, syn.port, syn.sequence)
            );
            let short = packet.bytes().len() - SYN_BYTES + 7;
            assert_eq!(Quote::of(&packet.bytes()[..short]), None);
        }
        assert_eq!(Quote::of(&[]), None);
    }

    #[test]
    fn only_what_acknowledges_is_an_answer() {
        let from: Ipv6Addr = "2001:db8::11".parse().unwrap();
        let read = |flags| Answer::of_v6(from, &answer(flags)).map(|answer| answer.refuses);
        assert_eq!(read(SYN | ACK), Some(false));
        assert_eq!(read(RST | ACK), Some(true));
        for flags in [SYN, RST, ACK, FIN | ACK, SYN | FIN | ACK, 0] {
            assert_eq!(read(flags), None, "{flags:#x}");
        }
        assert_eq!(Answer::of_v6(from, &answer(SYN | ACK)[..19]), None);
    }

    #[test]
    fn the_header_of_ipv4_may_be_longer() {
        for words in [5u8, 15] {
            let mut packet = vec![0; usize::from(words) * 4];
            packet[0] = 0x40 | words;
            packet[9] = PROTOCOL;
            packet[12..16].copy_from_slice(&[172, 16, 0, 11]);
            packet[16..20].copy_from_slice(&[172, 16, 0, 254]);
            packet.extend(answer(SYN | ACK));
            let read = Answer::of_v4(&packet).unwrap();
            assert_eq!(read.from, "172.16.0.11:80".parse().unwrap());
            assert_eq!(read.to, Some("172.16.0.254".parse().unwrap()));
            assert_eq!((read.port, read.acknowledges), (61_000, 0x0102_0305));
            packet[9] = 17;
            assert_eq!(Answer::of_v4(&packet), None);
        }
        assert_eq!(Answer::of_v4(&[0x4f, 0, 0]), None);
    }
}
