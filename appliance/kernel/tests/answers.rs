//! What becomes of answers of one-packet services, on the host's kernel, which has no IPVS: a server sends, as if it had been asked.
#![allow(clippy::unwrap_used)] // Tests: a panic is the failure report.

mod gateway;
mod namespace;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use gateway::{Network, PATIENCE, open_for};
use lb_core::model::{PortRange, Protocol};
use lb_core::ports::KernelPort;
use lb_core::ruleset::{AnswerSource, Chain, Ruleset};
use namespace::sh;
use socket2::{Domain, Socket, Type};

const UDP: u8 = 17;
const CLIENT: &str = "198.51.100.10:4000";
const CLIENT6: &str = "[2001:db8:a::10]:4000";
const SERVER: &str = "172.16.0.11:5353";
const SERVER6: &str = "[2001:db8:b::11]:5353";

/// 5353 answers for 53 of the outer address, 7000-7099 for themselves.
fn translating() -> Ruleset {
    let raw = [
        "untrack by answers4 from lan0 not to 172.16.0.0/24",
        "untrack by answers6 from lan0 not to 2001:db8:b::/64",
        "untrack by answer_ranges4 from lan0 not to 172.16.0.0/24",
        "untrack by answer_ranges6 from lan0 not to 2001:db8:b::/64",
    ];
    let maps = ["answers4", "answers6", "answer_ranges4", "answer_ranges6"];
    let forward = ["accept established,related", "drop new from wan0"].map(str::to_owned);
    let forward = forward
        .into_iter()
        .chain(maps.map(|map| format!("answer by {map}")));
    let mut rules = open_for(&[])
        .with(Chain::Raw, raw.map(|line| line.parse().unwrap()))
        .with(Chain::Forward, forward.map(|line| line.parse().unwrap()))
        .with(
            Chain::Postrouting,
            [
                "masquerade 172.16.0.0/24 out wan0",
                "masquerade 2001:db8:b::/64 out wan0",
            ]
            .map(|line| line.parse().unwrap()),
        );
    for (server, service) in [
        ("172.16.0.11", "198.51.100.1"),
        ("2001:db8:b::11", "2001:db8:a::1"),
    ] {
        answer(&mut rules, server, (5353, 5353), service, Some(53));
        answer(&mut rules, server, (7000, 7099), service, None);
    }
    rules
}

fn answer(rules: &mut Ruleset, server: &str, (first, last): (u16, u16), service: &str, port: Option<u16>) {
    let range = PortRange {
        address: server.parse().unwrap(),
        protocol: Protocol::Udp,
        first,
        last,
    };
    let address = service.parse().unwrap();
    rules.answers.insert(range, AnswerSource { address, port });
}

fn seen(network: &mut Network) -> Option<Ruleset> {
    let seen = network.kernel.observe(&BTreeSet::new()).unwrap().ruleset;
    seen.map(std::sync::Arc::unwrap_or_clone)
}

/// A datagram as bytes with its checksum, or 0 instead: so the far end's kernel has to look at it.
fn datagram(from: SocketAddr, to: SocketAddr, text: &[u8], checksum: bool) -> Vec<u8> {
    let length = 8 + text.len() as u16;
    let mut bytes = [from.port(), to.port(), length, 0].map(u16::to_be_bytes).concat();
    bytes.extend(text);
    if checksum {
        let octets = |address: IpAddr| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let pseudo = [
            octets(from.ip()),
            octets(to.ip()),
            vec![0, UDP],
            length.to_be_bytes().to_vec(),
        ];
        let mut all = [pseudo.concat(), bytes.clone()].concat();
        all.resize(all.len().next_multiple_of(2), 0);
        let words = all
            .chunks_exact(2)
            .map(|word| u64::from(u16::from_be_bytes([word[0], word[1]])));
        let sum = words.sum::<u64>();
        let folded = (sum & 0xffff) + (sum >> 16);
        let folded = (folded & 0xffff) + (folded >> 16);
        bytes[6..8].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    }
    bytes
}

fn send(network: &Network, from: &str, to: &str, text: &[u8], checksum: bool) {
    let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
    let bytes = datagram(from, to, text, checksum);
    network.server.inside(|| {
        let socket = Socket::new(Domain::for_address(to), Type::RAW, Some(i32::from(UDP).into())).unwrap();
        socket.bind(&SocketAddr::new(from.ip(), 0).into()).unwrap();
        socket
            .send_to(&bytes, &SocketAddr::new(to.ip(), 0).into())
            .unwrap();
    });
}

/// From where the client gets what the server sends.
fn source_seen(network: &Network, from: &str, to: &str, text: &[u8], checksum: bool) -> Option<String> {
    let socket = network.client.inside(|| UdpSocket::bind(to).unwrap());
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    send(network, from, to, text, checksum);
    let mut buffer = [0; 65_535];
    let (count, source) = socket.recv_from(&mut buffer).ok()?;
    assert_eq!(&buffer[..count], text);
    Some(source.to_string())
}

isolated! {
/// With a checksum and without, in one packet and in fragments; the gateway's own masquerade has no part in it.
fn answers_come_from_the_service() {
    let mut network = Network::new();
    network.rules(translating());
    let (short, long) = (b"answer".to_vec(), vec![b'x'; 4_001]);
    for (from, to, service) in [
        (SERVER, CLIENT, "198.51.100.1:53"),
        ("172.16.0.11:7042", CLIENT, "198.51.100.1:7042"),
        (SERVER6, CLIENT6, "[2001:db8:a::1]:53"),
        ("[2001:db8:b::11]:7042", CLIENT6, "[2001:db8:a::1]:7042"),
    ] {
        for text in [&short, &long] {
            let seen = source_seen(&network, from, to, text, true);
            assert_eq!(seen.as_deref(), Some(service), "{from}, {} bytes", text.len());
        }
    }
    for text in [&short, &long] {
        assert_eq!(source_seen(&network, SERVER, CLIENT, text, false).as_deref(), Some("198.51.100.1:53"));
    }
    // Another port of the server, and another server, are masqueraded as ever.
    let other = source_seen(&network, "172.16.0.11:5354", CLIENT, &short, true);
    assert_eq!(other.as_deref(), Some("198.51.100.1:5354"));
}

/// Datagrams of every content have the checksum that their content asks for, also where it comes to 0.
fn checksums_are_right_whatever_they_come_to() {
    let mut network = Network::new();
    network.rules(translating());
    let socket = network.client.inside(|| UdpSocket::bind(CLIENT).unwrap());
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // Two bytes that take every value take the checksum through every value.
    for value in (0..=u16::MAX).step_by(251).chain([0xfffe, 0xffff]) {
        send(&network, SERVER, CLIENT, &value.to_be_bytes(), true);
        let mut buffer = [0; 16];
        let (count, source) = socket.recv_from(&mut buffer).expect("no datagram is lost");
        assert_eq!((&buffer[..count], source.to_string().as_str()), (&value.to_be_bytes()[..], "198.51.100.1:53"));
    }
}

/// What a server sends within its own networks, and what comes from elsewhere, is nobody's answer.
fn only_answers_that_leave_are_translated() {
    let mut network = Network::new();
    network.rules(translating());
    network.client.sh("ip route replace 172.16.0.0/24 via 198.51.100.1");
    // Somebody outside takes the server's address: dropped, as new from there.
    network.client.sh("ip address add 172.16.0.11/32 dev eth0");
    network.client.inside(|| {
        let forged = UdpSocket::bind(SERVER).unwrap();
        forged.send_to(b"x", "172.16.0.12:4000").unwrap();
    });
    let shown = sh("nft list chain inet lb forward");
    assert!(!shown.contains("packets 0 bytes 0 drop"), "it was not even tried: {shown}");
    // To the gateway itself: not let in, and not answered as if it were the service.
    send(&network, SERVER, "172.16.0.254:4000", b"x", true);
    let shown = sh("nft list chain inet lb forward");
    assert_eq!(shown.matches("counter packets 0 bytes 0 comment \"answer by").count(), 4, "{shown}");
}
fn answers_read_back_and_damage_shows() {
    let mut network = Network::new();
    let rules = translating();
    network.rules(rules.clone());
    assert_eq!(seen(&mut network).as_ref(), Some(&rules));
    let shown = sh("nft --stateless list table inet lb");
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "172.16.0.11 . udp . 5353 : 198.51.100.1 . 53",
        "2001:db8:b::11 . udp . 5353 : 2001:db8:a::1 . 53",
        "172.16.0.11 . udp . 7000-7099 : 198.51.100.1",
        "2001:db8:b::11 . udp . 7000-7099 : 2001:db8:a::1",
        "iif \"lan0\" ip daddr != 172.16.0.0/24 ip saddr . meta l4proto . udp sport @answers4 notrack accept",
        "ct state untracked ip6 saddr set ip6 saddr . meta l4proto . udp sport map @answers6 udp sport set",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    for script in [
        "delete element inet lb answers4 { 172.16.0.11 . udp . 5353 }",
        "delete element inet lb answers4 { 172.16.0.11 . udp . 5353 }; \
         add element inet lb answers4 { 172.16.0.11 . udp . 5353 : 198.51.100.1 . 54 }",
        "add element inet lb answers6 { 2001:db8:b::12 . udp . 53 : 2001:db8:a::1 . 53 }",
        "flush map inet lb answer_ranges4",
        "flush map inet lb answer_ranges6; flush map inet lb answers6",
        "flush chain inet lb raw",
        "flush chain inet lb forward",
        "insert rule inet lb forward ct state untracked accept",
    ] {
        sh(&format!("nft '{script}'"));
        assert_ne!(seen(&mut network).as_ref(), Some(&rules), "{script}");
        network.rules(rules.clone());
        assert_eq!(seen(&mut network).as_ref(), Some(&rules), "{script}");
    }
    network.rules(open_for(&[]));
    assert_eq!(seen(&mut network), Some(open_for(&[])));
    assert!(!sh("nft list ruleset").contains("answer"));
}

/// Servers come and go, or answer for another service, and the rules stay as they are, with their counters.
fn answers_change_without_a_touch_to_the_rules() {
    let mut network = Network::new();
    network.rules(translating());
    send(&network, SERVER, CLIENT, b"x", true);
    let rules_shown = || ["raw", "forward"].map(|chain| sh(&format!("nft --handle list chain inet lb {chain}")));
    let before = rules_shown();
    assert!(before[1].contains("packets 1 bytes 29 comment \"answer by answers4\""), "{before:?}");
    let mut rules = translating();
    answer(&mut rules, "172.16.0.11", (5353, 5353), "198.51.100.1", Some(54));
    rules.answers.pop_last();
    for n in 0..5_000u16 {
        answer(&mut rules, "172.16.0.13", (1 + n, 1 + n), "198.51.100.1", Some(n));
        answer(&mut rules, "2001:db8:b::13", (10 * n + 1, 10 * n + 5), "2001:db8:a::1", None);
    }
    for rules in [rules, translating()] {
        network.rules(rules.clone());
        assert_eq!(seen(&mut network), Some(rules));
        assert_eq!(rules_shown(), before);
    }
}
}
