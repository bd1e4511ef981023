//! The bytes of what comes back to a probe: SYN-ACK, RST, and quotes in ICMP errors (RFC 9293, RFC 791, RFC 8200).
//! Must not: open sockets, or know what an answer means for a check.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

const PROTOCOL: u8 = 6;
const V6_HEADER: usize = 40;
const TCP_HEADER: usize = 20;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

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
    use lb_core::syn::Syn;

    use super::*;

    const SYN_BYTES: usize = 24;

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
