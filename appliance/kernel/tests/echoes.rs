//! Echoes and hops over a router, between namespaces.
#![allow(clippy::unwrap_used)] // Tests: a panic is the failure report.

mod namespace;

use std::net::{IpAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use lb_core::echo::Heard;
use lb_core::trace::{Answer, TraceReport};
use lb_kernel::{EchoSocket, HopProbe};
use namespace::{Peer, eventually, sh};

/// This machine, a router whose other link is narrow, and a machine behind it.
fn behind_a_router() -> (Peer, Peer) {
    let (router, far) = (Peer::new(), Peer::new());
    router.connect("eth0", "near", &["10.1.0.2/24", "fd01::2/64"]);
    sh("echo 0 0 > /proc/sys/net/ipv4/ping_group_range");
    sh("ip link set eth0 up; ip address add 10.1.0.1/24 dev eth0; ip address add fd01::1/64 dev eth0 nodad");
    sh("ip route add 10.0.0.0/8 via 10.1.0.2; ip -6 route add fd00::/8 via fd01::2");
    router.sh(&format!(
        "ip link add out type veth peer name eth0 netns {}",
        far.id()
    ));
    router.sh("ip address add 10.2.0.1/24 dev out; ip address add fd02::1/64 dev out nodad; ip link set out mtu 1400 up");
    router.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0");
    router.sh("ip route add prohibit 10.3.0.0/16");
    far.sh("ip address add 10.2.0.2/24 dev eth0; ip address add fd02::2/64 dev eth0 nodad; ip link set eth0 mtu 1400 up");
    far.sh("ip route add default via 10.2.0.1; ip -6 route add default via fd02::1");
    far.sh("sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0");
    for (peer, link) in [(&router, "near"), (&router, "out"), (&far, "eth0")] {
        eventually("a carrier", || {
            peer.sh(&format!("cat /proc/net/dev; ip link show {link}"))
                .contains("LOWER_UP")
        });
    }
    (router, far)
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within 10 s");
        thread::sleep(Duration::from_millis(2));
    }
}

fn echo(target: &str, whole: bool, size: usize) -> Heard {
    let socket = EchoSocket::open(address(target), Some("eth0"), whole).unwrap();
    socket.send(7, size).unwrap();
    until(target, || socket.heard(7).unwrap())
}

/// As `trace` does it, without its clock.
fn trace(target: &str, port: Option<u16>) -> TraceReport {
    let mut report = TraceReport::to(address(target), port);
    let mut number = 0;
    while let Some(hops) = report.next_hop() {
        let answer = match HopProbe::send(address(target), hops, port, number) {
            Ok(probe) => until(target, || probe.answer().unwrap()),
            Err(error) => Answer::Unsent(error.to_string()),
        };
        report.answered(Some((answer, Duration::ZERO)));
        number += 1;
    }
    report
}

fn way(report: &TraceReport) -> Vec<String> {
    report
        .hops
        .iter()
        .flat_map(|hop| &hop.from)
        .map(ToString::to_string)
        .collect()
}

isolated! {
    fn an_echo_is_answered_or_somebody_says_why_not() {
        let (_router, _far) = behind_a_router();
        for target in ["10.1.0.2", "10.2.0.2", "fd01::2", "fd02::2"] {
            let from = address(target);
            assert_eq!(echo(target, false, 100), Heard::Reply { from, sequence: 7, length: 108 });
        }
        let told = |target: &str, size| match echo(target, true, size) {
            Heard::Error { from, error, sequence: 7 } => (from, error),
            other => panic!("{target}: {other:?}"),
        };
        let (from, error) = told("10.3.0.1", 8);
        assert_eq!((from, error.to_string().as_str()), (Some(address("10.1.0.2")), "forbidden by a filter"));
        for (target, router) in [("10.2.0.2", "10.1.0.2"), ("fd02::2", "fd01::2")] {
            let (from, error) = told(target, 1440);
            assert!(error.is_too_big() && error.mtu == 1400, "{error:?}");
            assert_eq!(from, Some(address(router)));
            let (from, error) = told(target, 1999);
            assert!(error.is_too_big() && from.is_none(), "{error:?}: our own link is too narrow");
        }
        let socket = EchoSocket::open(address("10.1.0.9"), None, false).unwrap();
        socket.send(1, 8).unwrap();
        let heard = until("nobody is there", || socket.heard(1).unwrap());
        assert!(matches!(heard, Heard::Error { sequence: 1, error, .. } if error.code == 1), "{heard:?}");
        let missing = EchoSocket::open(address("10.1.0.2"), Some("eth9"), false).unwrap_err();
        assert_eq!(missing.raw_os_error(), Some(19));
    }

    fn hops_are_counted_by_datagrams_and_by_syns() {
        let (_router, far) = behind_a_router();
        for (target, router) in [("10.2.0.2", "10.1.0.2"), ("fd02::2", "fd01::2")] {
            let report = trace(target, None);
            assert_eq!(way(&report), [router, target]);
            assert!(report.arrived && report.hops.iter().all(|hop| hop.says.is_none()), "{report:?}");
            let closed = trace(target, Some(81));
            assert_eq!(way(&closed), [router, target]);
            assert_eq!(closed.end, format!("{target} has answered: port 81 is closed (RST)"));
            let listener = far.inside(|| TcpListener::bind((address(target), 80)).unwrap());
            let open = trace(target, Some(80));
            assert_eq!(open.end, format!("{target} has answered: port 80 is open"));
            drop(listener);
        }
        let forbidden = trace("10.3.0.1", None);
        assert_eq!(forbidden.end, "10.1.0.2 passes nothing on to 10.3.0.1: forbidden by a filter");
        let nowhere = trace("192.0.2.1", Some(80));
        assert!(nowhere.end.starts_with("the kernel does not send it"), "{}", nowhere.end);
        let own = trace("10.1.0.1", Some(80));
        assert_eq!(own.end, "10.1.0.1 has answered: port 80 is closed (RST)");
    }
}
