//! Every term against packets, by an interpreter of what the compiler uses; the kernel's own is asked in lb-kernel's tests.

use etherparse::{IpHeaders, PacketBuilder, PacketBuilderStep};

use super::compile::*;
use super::*;

/// What the kernel would keep of it: 0 is nothing.
fn run(program: &[Instruction], packet: &[u8], ethertype: u16) -> u32 {
    let network = if ethertype == 0x8100 { 18 } else { 14 };
    let place = |k: u32, x: u32| -> usize {
        let offset = k.wrapping_add(x) as i32;
        match offset {
            -0x10_0000.. => network + usize::try_from(offset + 0x10_0000).unwrap(),
            _ => usize::try_from(offset + 0x20_0000).unwrap(),
        }
    };
    let (mut a, mut x, mut kept, mut at) = (0u32, 0u32, 0u32, 0);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let load = |x: u32, size: usize| -> Option<u32> {
            let bytes = packet.get(place(k, x)..place(k, x) + size)?;
            Some(bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
        };
        let loaded = match code {
            LOAD_HALF if k == ETHERTYPE => Some(u32::from(ethertype)),
            LOAD_WORD => load(0, 4),
            LOAD_HALF => load(0, 2),
            LOAD_BYTE => load(0, 1),
            LOAD_HALF_AT_X => load(x, 2),
            LOAD_HEADER_LENGTH => load(0, 1),
            _ => Some(0),
        };
        // A load beyond the packet's end ends the program, with nothing.
        let Some(loaded) = loaded else { return 0 };
        match code {
            LOAD_WORD | LOAD_HALF | LOAD_BYTE | LOAD_HALF_AT_X => a = loaded,
            LOAD_HEADER_LENGTH => x = (loaded & 0xf) * 4,
            LOAD_KEPT => a = kept,
            KEEP => kept = a,
            AND => a &= k,
            IF_EQUAL => at += usize::from(if a == k { jt } else { jf }),
            IF_ANY => at += usize::from(if a & k != 0 { jt } else { jf }),
            RETURN => return k,
            other => panic!("the interpreter does not know {other:#x}"),
        }
    }
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn takes(line: &str, packet: &[u8]) -> bool {
    let program = Filter::parse(&words(line)).unwrap().compile();
    let ethertype = u16::from_be_bytes([packet[12], packet[13]]);
    run(&program, packet, ethertype) > 0
}

fn ethernet() -> PacketBuilderStep<etherparse::Ethernet2Header> {
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
}

fn v4() -> PacketBuilderStep<IpHeaders> {
    ethernet().ipv4([192, 168, 0, 10], [172, 16, 0, 11], 64)
}

fn v6() -> PacketBuilderStep<IpHeaders> {
    let from = "2001:db8::a".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let to = "fd00:1:2:3::b".parse::<std::net::Ipv6Addr>().unwrap().octets();
    ethernet().ipv6(from, to, 64)
}

fn tcp(step: PacketBuilderStep<IpHeaders>) -> Vec<u8> {
    let mut bytes = Vec::new();
    step.tcp(40_000, 80, 1, 1).write(&mut bytes, b"x").unwrap();
    bytes
}

fn udp(step: PacketBuilderStep<IpHeaders>) -> Vec<u8> {
    let mut bytes = Vec::new();
    step.udp(53, 4_000).write(&mut bytes, b"x").unwrap();
    bytes
}

fn arp() -> Vec<u8> {
    let mut arp = vec![0xff; 6];
    arp.extend([
        2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 192, 168, 0, 10,
    ]);
    arp.extend([0, 0, 0, 0, 0, 0, 172, 16, 0, 11]);
    arp
}

fn echo(step: PacketBuilderStep<IpHeaders>, is_v4: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    match is_v4 {
        true => step.icmpv4_echo_request(1, 2).write(&mut bytes, b"").unwrap(),
        false => step.icmpv6_echo_request(1, 2).write(&mut bytes, b"").unwrap(),
    }
    bytes
}

/// Each packet by its name, and the filters: those that take it, and no other does.
#[test]
fn every_filter_takes_its_packets_and_no_others() {
    let packets = [
        ("tcp4", tcp(v4())),
        ("tcp6", tcp(v6())),
        ("udp4", udp(v4())),
        ("udp6", udp(v6())),
        ("echo4", echo(v4(), true)),
        ("echo6", echo(v6(), false)),
        ("arp", arp()),
    ];
    for (filter, expected) in [
        ("tcp", "tcp4 tcp6"),
        ("udp", "udp4 udp6"),
        ("sctp", ""),
        ("icmp", "echo4 echo6"),
        ("arp", "arp"),
        ("ip", "tcp4 udp4 echo4"),
        ("ip6", "tcp6 udp6 echo6"),
        ("port 80", "tcp4 tcp6"),
        ("port 40000", "tcp4 tcp6"),
        ("port 4000", "udp4 udp6"),
        ("port 53 and udp and ip6", "udp6"),
        ("port 53 tcp", ""),
        ("host 192.168.0.10", "tcp4 udp4 echo4 arp"),
        ("host 172.16.0.11", "tcp4 udp4 echo4 arp"),
        ("host 172.16.0.12", ""),
        ("net 172.16.0.0/12 and arp", "arp"),
        ("net 172.32.0.0/12", ""),
        ("net 0.0.0.0/0", "tcp4 udp4 echo4 arp"),
        ("host 2001:db8::a", "tcp6 udp6 echo6"),
        ("host fd00:1:2:3::b and tcp", "tcp6"),
        ("host fd00:1:2:3::c", ""),
        ("host 2001:db8::b", ""),
        ("net fd00:1::/32", "tcp6 udp6 echo6"),
        ("net fd00:1:2:3::/64", "tcp6 udp6 echo6"),
        ("net fd00:1:2:4::/64", ""),
        ("net ::/0", "tcp6 udp6 echo6"),
        (
            "host 192.168.0.10 and host 172.16.0.11 and tcp and port 80 and port 40000 and ip",
            "tcp4",
        ),
    ] {
        let taken = packets.iter().filter(|(_, packet)| takes(filter, packet));
        let taken: Vec<&str> = taken.map(|(name, _)| *name).collect();
        assert_eq!(taken.join(" "), expected, "{filter}");
    }
}

#[test]
fn options_tags_and_fragments_are_minded() {
    // A header of 24 bytes.
    let mut longer = tcp(v4());
    longer.splice(34..34, [1, 1, 1, 0]);
    longer[14] = 0x46;
    assert!(takes("port 80", &longer) && !takes("port 53", &longer));
    // A tag that is still in its place.
    for packet in [tcp(v4()), tcp(v6())] {
        let mut tagged = packet;
        tagged.splice(12..12, [0x81, 0, 0, 7]);
        assert!(takes("tcp and port 80", &tagged) && !takes("udp", &tagged));
    }
    // What looks like a port in a later fragment is none.
    let mut fragment = tcp(v4());
    fragment[21] = 1;
    assert!(takes("tcp", &fragment) && !takes("port 80", &fragment));
    // Cut short: nothing.
    assert!(!takes("port 80", &tcp(v4())[..30]));
}

#[test]
fn no_filter_takes_everything_and_none_is_too_long() {
    assert!(Filter::default().compile().is_empty());
    let long = ["host fd00:1:2:3::b"; MOST_TERMS].join(" and ");
    let program = Filter::parse(&words(&long)).unwrap().compile();
    assert!(program.len() < 4_096 && run(&program, &tcp(v6()), 0x86dd) > 0);
}

#[test]
fn what_is_wrong_is_said_with_the_remedy() {
    for (line, says) in [
        ("tpc", "`tpc` is no part of a filter; there are host ADDRESS"),
        (
            "host",
            "`host` needs an IPv4 or IPv6 address after it, as in `host 172.16.0.11`",
        ),
        ("host master", "not `master`"),
        ("net 10.0.0.0", "`net` needs a network with its prefix length"),
        ("port 0", "`port` needs a number from 1 to 65535"),
        ("tcp or udp", "`or` is not known here"),
        ("not port 22", "`not` is not known here"),
        ("tcp and udp", "no packet is both tcp and udp; leave one out"),
        ("ip ip6", "no packet is both ip and ip6"),
        ("arp port 80", "arp has no ports; leave `port` out"),
    ] {
        let error = Filter::parse(&words(line)).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}
