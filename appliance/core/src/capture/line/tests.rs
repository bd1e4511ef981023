use std::time::Duration;

use etherparse::PacketBuilder;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{Direction, Frame, LinkType, Pcap};

const MACS: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);

/// As a packet socket would give it.
fn frame(bytes: Vec<u8>) -> Frame {
    Frame {
        at: Duration::new(86_400 + 3_723, 4_000),
        index: 2,
        direction: Direction::In,
        hardware: 1,
        ethertype: u16::from_be_bytes([bytes[12], bytes[13]]),
        tag: None,
        length: bytes.len(),
        bytes,
    }
}

fn written<S>(
    step: etherparse::PacketBuilderStep<S>,
    write: impl FnOnce(etherparse::PacketBuilderStep<S>, &mut Vec<u8>),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(step, &mut bytes);
    bytes
}

fn v4() -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
    PacketBuilder::ethernet2(MACS.0, MACS.1).ipv4([192, 168, 0, 10], [192, 168, 0, 1], 64)
}

fn v6() -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
    let mut from = [0; 16];
    (from[0], from[15]) = (0xfd, 1);
    let mut to = from;
    to[15] = 2;
    PacketBuilder::ethernet2(MACS.0, MACS.1).ipv6(from, to, 64)
}

const SECRET: &[u8] = b"Authorization: secret";

fn tcp(ip: etherparse::PacketBuilderStep<etherparse::IpHeaders>) -> Vec<u8> {
    let step = ip.tcp(40_000, 80, 7, 1_000).psh().ack(9);
    written(step, |step, bytes| step.write(bytes, SECRET).unwrap())
}

#[test]
fn each_kind_has_its_words() {
    let udp = written(v6().udp(53, 4_000), |s, bytes| s.write(bytes, SECRET).unwrap());
    let echo = written(v4().icmpv4_echo_request(7, 3), |s, bytes| {
        s.write(bytes, SECRET).unwrap()
    });
    let echo6 = written(v6().icmpv6_echo_reply(7, 3), |s, bytes| {
        s.write(bytes, SECRET).unwrap()
    });
    let mut solicitation = vec![0, 0, 0, 0, 0xfd];
    solicitation.resize(20, 9);
    let asked = written(v6().icmpv6_raw(135, 0, [0; 4]), |s, bytes| {
        s.write(bytes, &solicitation[4..]).unwrap()
    });
    let mut arp = vec![0xff; 6];
    arp.extend([
        2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 172, 16, 0, 254,
    ]);
    arp.extend([0, 0, 0, 0, 0, 0, 172, 16, 0, 11]);
    let mut answer = arp.clone();
    answer[21] = 2;
    let mut lldp = vec![0; 60];
    (lldp[12], lldp[13]) = (0x88, 0xcc);
    for (bytes, line) in [
        (
            tcp(v4()),
            "tcp 192.168.0.10:40000 > 192.168.0.1:80 [PSH ACK] 21 B",
        ),
        (tcp(v6()), "tcp [fd00::1]:40000 > [fd00::2]:80 [PSH ACK] 21 B"),
        (udp, "udp [fd00::1]:53 > [fd00::2]:4000 21 B"),
        (echo, "icmp 192.168.0.10 > 192.168.0.1 echo request 7/3, 29 B"),
        (echo6, "icmp fd00::1 > fd00::2 echo reply 7/3, 29 B"),
        (
            asked,
            "icmp fd00::1 > fd00::2 who has fd09:909:909:909:909:909:909:909?, 24 B",
        ),
        (arp, "arp who has 172.16.0.11? tell 172.16.0.254"),
        (answer, "arp 172.16.0.254 is at 02:00:00:00:00:01"),
        (
            lldp,
            "ethertype 0x88cc 00:00:00:00:00:00 > 00:00:00:00:00:00 60 B",
        ),
    ] {
        assert_eq!(frame(bytes).line(), line);
    }
}

/// The line is the same as far as it goes, and nothing panics, wherever the packet is cut.
#[test]
fn a_packet_may_be_cut_anywhere() {
    let whole = tcp(v4());
    let wanted = frame(whole.clone()).line();
    for length in 0..whole.len() {
        let mut cut = frame(whole.clone());
        cut.bytes.truncate(length);
        let line = cut.line();
        assert!(!line.is_empty() && !line.contains("secret"));
        if length >= 54 {
            assert_eq!(line, wanted, "{length}");
        }
    }
}

#[test]
fn vlans_and_later_fragments_are_told() {
    let mut tagged = tcp(v4());
    tagged.splice(12..12, [0x81, 0, 0x20, 100]);
    let tagged = frame(tagged);
    assert_eq!(
        (tagged.vlan(), tagged.line().as_str()),
        (
            Some(100),
            "tcp 192.168.0.10:40000 > 192.168.0.1:80 [PSH ACK] 21 B"
        )
    );
    let mut fragment = tcp(v4());
    (fragment[20], fragment[21]) = (0, 185);
    let line = frame(fragment).line();
    assert_eq!(line, "tcp 192.168.0.10 > 192.168.0.1 fragment at 1480, 41 B");
    assert_eq!(frame(tcp(v4())).time(), "01:02:03.000004");
}

proptest! {
    /// What comes from the wire is anybody's: no panic, and nothing raw on the terminal.
    #[test]
    fn any_frame_is_a_line_and_a_record(
        bytes in vec(any::<u8>(), 0..200),
        of in 0usize..4,
        at in any::<prop::sample::Index>(),
        ethertype in prop_oneof![Just(0x0800u16), Just(0x86dd), Just(0x0806), Just(0x8100), any::<u16>()],
        hardware in prop_oneof![Just(1u16), Just(65_534)],
        tag in any::<Option<u16>>(),
    ) {
        let mut whole = match of {
            0 => tcp(v4()),
            1 => tcp(v6()),
            2 => written(v6().icmpv6_raw(135, 0, [0; 4]), |s, out| s.write(out, &[7; 24]).unwrap()),
            _ => bytes.clone(),
        };
        // A part of a whole packet is overwritten, and the end is cut.
        let begin = at.index(whole.len() + 1);
        for (old, new) in whole[begin..].iter_mut().zip(&bytes[..bytes.len() / 20]) {
            *old = *new;
        }
        whole.truncate(bytes.len().max(54));
        let frame = Frame { ethertype, hardware, tag, length: usize::MAX, bytes: whole, ..frame(vec![0; 14]) };
        prop_assert!(!frame.line().chars().any(char::is_control));
        for link_type in [LinkType::Ethernet, LinkType::Cooked] {
            let mut file = Pcap::new(link_type, 10_000);
            prop_assert!(file.add(&frame));
        }
    }
}
