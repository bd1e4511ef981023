//! The kernel's own reading of the filters, and what a packet socket tells beside the packet, between namespaces.
#![allow(clippy::unwrap_used)] // Tests: a panic is the failure report.

mod namespace;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use lb_core::capture::{Direction, Filter, Frame};
use lb_kernel::{CaptureSocket, EchoSocket};
use namespace::{Peer, eventually, sh};

fn open(filter: &str, keep: usize) -> CaptureSocket {
    let words: Vec<String> = filter.split_whitespace().map(str::to_owned).collect();
    let index: u32 = sh("cat /sys/class/net/eth0/ifindex").trim().parse().unwrap();
    let program = Filter::parse(&words).unwrap().compile();
    CaptureSocket::open(index, &program, keep).unwrap()
}

/// All that came within a moment.
fn taken(socket: &mut CaptureSocket, least: usize) -> Vec<Frame> {
    let end = Instant::now() + Duration::from_secs(5);
    let mut frames = Vec::new();
    while frames.len() < least && Instant::now() < end {
        frames.extend(socket.take().unwrap());
    }
    frames.extend(std::iter::from_fn(|| socket.take().unwrap()));
    frames
}

isolated! {
    /// Each filter sees its packets among pings, datagrams and the questions of both families for neighbours.
    fn the_kernel_takes_what_the_filter_says() {
        sh("mount -t sysfs none /sys");
        let peer = Peer::new();
        peer.connect("eth0", "there", &["10.1.0.2/24", "fd01::2/64"]);
        sh("ip link set eth0 up; ip address add 10.1.0.1/24 dev eth0; ip address add fd01::1/64 dev eth0 nodad");
        eventually("a carrier", || sh("cat /sys/class/net/eth0/carrier").trim() == "1");
        let filters = [
            ("arp", 2, "arp "),
            ("icmp and ip", 2, "icmp 10.1.0."),
            ("icmp and host fd01::2 and net fd01::/64", 2, "icmp fd01::"),
            ("udp and port 9", 2, "udp "),
            ("ip6 port 9", 1, "udp [fd01::1]:"),
            ("host 10.1.0.2 and port 9", 1, "udp 10.1.0.1:"),
        ];
        let mut sockets: Vec<_> = filters.iter().map(|(filter, ..)| open(filter, 128)).collect();
        let mut nothing = ["tcp", "sctp and port 9", "host 10.1.0.3", "port 10"].map(|filter| open(filter, 128));
        let mut all = open("", 50);
        sh("echo 0 0 > /proc/sys/net/ipv4/ping_group_range");
        for to in ["10.1.0.2", "fd01::2"] {
            let echoes = EchoSocket::open(to.parse().unwrap(), None, false).unwrap();
            echoes.send(1, 56).unwrap();
        }
        for to in ["10.1.0.2", "fd01::2"] {
            let any = if to.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
            UdpSocket::bind(any).unwrap().send_to(&[7; 1_000], (to, 9)).unwrap();
        }
        for ((filter, least, begin), socket) in filters.iter().zip(&mut sockets) {
            let frames = taken(socket, *least);
            assert!(frames.len() >= *least, "{filter}: {frames:?}");
            for frame in &frames {
                assert!(frame.line().starts_with(begin), "{filter}: {}", frame.line());
                assert!(frame.bytes.len() <= 128 && frame.at.as_secs() > 1_600_000_000);
            }
            assert!(frames.iter().any(|frame| frame.direction == Direction::Out), "{filter}");
        }
        for socket in &mut nothing {
            assert_eq!(taken(socket, 0), []);
            assert_eq!(socket.dropped().unwrap(), 0);
        }
        let frames = taken(&mut all, 6);
        let long = frames.iter().find(|frame| frame.length > 1_000).unwrap();
        assert_eq!((long.bytes.len(), long.length), (50, 1_042), "the whole length of what was cut");
    }
}
