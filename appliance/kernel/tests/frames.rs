//! Packets that leave as frames, against the host's kernel: where it says that they go, and that they arrive past its output filter.
#![allow(clippy::unwrap_used)] // Tests: a panic is the failure report.

mod namespace;

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use lb_core::check::{PROBE_PORTS, ProbeCookie};
use lb_core::model::MacAddress;
use lb_core::plan::Step;
use lb_core::ports::{Frame, FramePort, KernelPort, NextHop};
use lb_core::ruleset::{Chain, Rule, Ruleset};
use lb_kernel::{FrameSocket, Kernel, Parts};
use namespace::{Peer, eventually, nft, sh};
use nix::net::if_::if_nametoindex;
use socket2::{Domain, Protocol, Socket, Type};

/// A machine beside this one, with networks behind it; here its link is a bridge's port, as a bond's or a VLAN's would be.
fn beside() -> Peer {
    let peer = Peer::new();
    peer.connect(
        "eth0",
        "there",
        &["10.1.0.2/24", "fd01::2/64", "10.9.0.1/32", "fd09::1/128"],
    );
    sh(
        "ip link add br0 type bridge; ip link set eth0 master br0; ip link set eth0 up; ip link set br0 up
        ip address add 10.1.0.1/24 dev br0; ip address add fd01::1/64 dev br0 nodad
        ip route add 10.9.0.0/16 via 10.1.0.2; ip route add fd09::/64 via fd01::2
        ip route add unreachable 10.8.0.0/16",
    );
    eventually("a carrier", || sh("ip link show br0").contains("LOWER_UP"));
    peer
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What the kernel would send to now.
fn ethernet_address(socket: &mut FrameSocket, hop: &NextHop) -> Option<MacAddress> {
    let mut found = None;
    socket.neighbours(hop.index, hop.address.is_ipv4(), &mut |address, ethernet| {
        if address == hop.address {
            assert_eq!(found.replace(ethernet), None, "{address} is told of twice");
        }
    });
    found
}

/// As the kernel would ask for it.
fn knock(socket: &mut FrameSocket, hop: &NextHop) -> MacAddress {
    let any = if hop.address.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    UdpSocket::bind(any)
        .unwrap()
        .send_to(b"x", (hop.address, 9))
        .unwrap();
    let mut found = None;
    for _ in 0..1_000 {
        found = ethernet_address(socket, hop);
        if found.is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    found.expect("the neighbour answers")
}

fn datagram(from: IpAddr, to: IpAddr, words: &[u8]) -> Vec<u8> {
    let builder = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), 64),
        _ => unreachable!("both are of one family"),
    };
    let mut packet = Vec::new();
    builder.udp(61_000, 4_000).write(&mut packet, words).unwrap();
    packet
}

const COOKIE: ProbeCookie = ProbeCookie(0x3fa1);
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// From the peer's port 80, over a raw socket that brings its own header.
fn answer(socket: &Socket, port: u16, acknowledges: u32, flags: u8) {
    let ip = PacketBuilder::ipv4([10, 1, 0, 2], [10, 1, 0, 1], 64);
    let mut tcp = ip.tcp(80, port, 7, 64_240);
    for (flag, set) in [(SYN, true), (RST, false)] {
        tcp = match (flags & flag != 0, set) {
            (false, _) => tcp,
            (true, true) => tcp.syn(),
            (true, false) => tcp.rst(),
        };
    }
    if flags & ACK != 0 {
        tcp = tcp.ack(acknowledges);
    }
    let mut packet = Vec::new();
    tcp.write(&mut packet, &[]).unwrap();
    let to = SocketAddr::from(([10, 1, 0, 1], 0));
    socket.send_to(&packet, &to.into()).unwrap();
}

/// Of the next segment that arrives from there: where it comes from, and whether it is RST.
fn arrived(mut socket: &Socket) -> (u16, bool) {
    let mut bytes = [0; 256];
    let length = socket.read(&mut bytes).unwrap();
    let read = SlicedPacket::from_ip(&bytes[..length]).unwrap();
    let Some(TransportSlice::Tcp(tcp)) = read.transport else {
        panic!("no TCP in {read:?}");
    };
    (tcp.source_port(), tcp.rst())
}

isolated! {
    /// What nobody asked for is dropped before anything answers it, and before it is anybody's: a raw socket hears of none of it either.
    fn only_answers_with_the_cookie_are_let_in() {
        let peer = beside();
        let rules = Ruleset::default().with(Chain::Input, [Rule::AcceptEstablished, Rule::AcceptChecks(COOKIE)]);
        // The peer resolves this machine, which the filter does not concern.
        Kernel::open(Parts { ipvs: false }).unwrap().apply(&Step::ReplaceRuleset(Box::new(rules))).unwrap();
        let raw = |kind: i32| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(kind))).unwrap();
        let here = raw(6);
        let (sender, there) = peer.inside(|| (raw(255), raw(6)));
        for socket in [&here, &there] {
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        }
        let first = *PROBE_PORTS.start();
        let (good, wrong) = (COOKIE.sequence(9) + 1, ProbeCookie(0x3fa2).sequence(9) + 1);
        for flags in [SYN | ACK, RST | ACK] {
            for acknowledges in [wrong, 0, good.swap_bytes(), !good] {
                answer(&sender, first + 1, acknowledges, flags);
            }
        }
        for flags in [SYN, ACK, RST, SYN | RST] {
            answer(&sender, first + 2, good, flags);
        }
        answer(&sender, first - 1, good, SYN | ACK);
        answer(&sender, *PROBE_PORTS.end() + 1, good, SYN | ACK);
        // The rest of the number is the check's own.
        answer(&sender, first + 3, COOKIE.sequence(0), RST | ACK);
        answer(&sender, *PROBE_PORTS.end(), COOKIE.sequence(u16::MAX - 1) + 1, SYN | ACK);
        answer(&sender, first, good, SYN | ACK);
        // All that came in, in its order; the peer hears of those that are no RST by RST.
        assert_eq!(arrived(&here), (80, true));
        assert_eq!([arrived(&here), arrived(&here)], [(80, false); 2]);
        assert_eq!([arrived(&there), arrived(&there)], [(*PROBE_PORTS.end(), true), (first, true)]);
    }

    fn the_kernel_says_where_a_packet_goes() {
        let _peer = beside();
        let mut socket = FrameSocket::open().unwrap();
        let index = if_nametoindex("br0").unwrap();
        for (from, near, far) in [("10.1.0.1", "10.1.0.2", "10.9.0.1"), ("fd01::1", "fd01::2", "fd09::1")] {
            let hop = NextHop { index, address: ip(near) };
            assert_eq!(socket.next_hop(ip(from), ip(near)), Some(hop), "a neighbour");
            assert_eq!(socket.next_hop(ip(from), ip(far)), Some(hop), "behind a router");
            assert_eq!(socket.next_hop(ip(from), ip(from)), None, "this machine");
        }
        for nowhere in ["10.8.0.1", "192.0.2.1", "2001:db8::1"] {
            let from = if nowhere.contains(':') { "fd01::1" } else { "10.1.0.1" };
            assert_eq!(socket.next_hop(ip(from), ip(nowhere)), None, "{nowhere}");
        }
        // Not an address of this machine.
        assert_eq!(socket.next_hop(ip("10.1.0.77"), ip("10.1.0.2")), None);
    }

    /// Nobody is asked here; the kernel does that when it sends.
    fn a_neighbour_is_known_once_it_has_answered() {
        let peer = beside();
        let mut socket = FrameSocket::open().unwrap();
        let theirs = peer.sh("ip -br link show there");
        for (from, to) in [("10.1.0.1", "10.1.0.2"), ("fd01::1", "fd01::2")] {
            let hop = socket.next_hop(ip(from), ip(to)).unwrap();
            assert_eq!(ethernet_address(&mut socket, &hop), None);
            let heard = knock(&mut socket, &hop).to_string();
            assert!(theirs.contains(&heard), "{heard} in {theirs}");
            let other = NextHop { index: 1, ..hop };
            assert_eq!(ethernet_address(&mut socket, &other), None, "on the loopback");
        }
        sh("ip neighbour replace 10.1.0.2 lladdr 02:00:00:00:00:09 dev br0");
        let hop = socket.next_hop(ip("10.1.0.1"), ip("10.1.0.2")).unwrap();
        assert_eq!(ethernet_address(&mut socket, &hop), Some(MacAddress([2, 0, 0, 0, 0, 9])));
    }

    /// More than the kernel tells in one part.
    fn all_neighbours_of_a_link_are_told_of_and_no_others() {
        let _peer = beside();
        sh("ip link add br1 type bridge; ip link set br1 up");
        let (mut batch, mut wanted) = (String::new(), BTreeSet::new());
        for number in 1..=3_000u16 {
            let [high, low] = number.to_be_bytes();
            let ethernet = format!("02:00:00:00:{high:02x}:{low:02x}");
            for (address, dev) in [
                (format!("10.1.{}.{low}", 100 + high), "br0"),
                (format!("fd01::1:{number:x}"), "br0"),
                (format!("10.1.{}.{low}", 100 + high), "br1"),
            ] {
                batch += &format!("neighbour add {address} lladdr {ethernet} nud permanent dev {dev}\n");
                if dev == "br0" {
                    wanted.insert((ip(&address), MacAddress([2, 0, 0, 0, high, low])));
                }
            }
        }
        let file = std::env::temp_dir().join(format!("neighbours-{}", std::process::id()));
        std::fs::write(&file, batch).unwrap();
        sh(&format!("ip -batch {}; rm {0}", file.display()));
        let mut socket = FrameSocket::open().unwrap();
        let index = if_nametoindex("br0").unwrap();
        for round in 0..3 {
            let mut found = BTreeSet::new();
            for is_v4 in [true, false] {
                socket.neighbours(index, is_v4, &mut |address, ethernet| {
                    assert_eq!(address.is_ipv4(), is_v4);
                    // The peer may have spoken by itself.
                    if ethernet.0.starts_with(&[2, 0, 0, 0]) {
                        assert!(found.insert((address, ethernet)), "{address} is told of twice");
                    }
                });
            }
            assert_eq!(found, wanted, "{round}");
        }
        socket.neighbours(index + 1_000, true, &mut |address, _| panic!("{address} on no link"));
    }

    fn frames_arrive_past_what_the_kernel_does_with_packets_of_its_own() {
        let peer = beside();
        let mut socket = FrameSocket::open().unwrap();
        let targets = [("10.1.0.1", "10.9.0.1"), ("fd01::1", "fd09::1")].map(|(from, to)| (ip(from), ip(to)));
        let hops = targets.map(|(from, to)| socket.next_hop(from, to).unwrap());
        let macs = hops.map(|hop| knock(&mut socket, &hop));
        nft("table inet t { chain o { type filter hook output priority 0; udp dport 4000 counter drop; }; }");
        let listeners = peer.inside(|| targets.map(|(_, to)| UdpSocket::bind((to, 4_000)).unwrap()));
        let packets = targets.map(|(from, to)| datagram(from, to, b"as a frame"));
        // Several calls' worth.
        let frames: Vec<Frame<'_>> = (0..100).map(|number| Frame {
            index: hops[number % 2].index,
            to: macs[number % 2],
            packet: &packets[number % 2],
        }).collect();
        assert_eq!(socket.send(&frames), frames.len());
        for (listener, (from, _)) in listeners.iter().zip(targets) {
            listener.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            for _ in 0..50 {
                let mut words = [0; 32];
                let (length, sender) = listener.recv_from(&mut words).unwrap();
                assert_eq!((&words[..length], sender.ip()), (&b"as a frame"[..], from));
            }
        }
        assert_eq!(socket.send(&[]), 0);
        // Of those behind the one that cannot leave, none was tried.
        let gone = Frame { index: 4_711, ..frames[0] };
        assert_eq!(socket.send(&[frames[0], frames[1], gone, frames[2]]), 2);
    }
}
