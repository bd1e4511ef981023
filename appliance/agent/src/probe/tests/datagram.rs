//! UDP, ICMP and the way that a check takes.

use std::net::{IpAddr, Ipv6Addr, UdpSocket};

use lb_core::check::UdpCheck;

use super::*;

/// A server that answers every datagram with what this makes of it.
pub(super) fn answer_datagrams(with: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut datagram = [0; 65_535];
        while let Ok((length, from)) = socket.recv_from(&mut datagram) {
            for answer in with(&datagram[..length]) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    address
}

fn udp(send: &[u8], expect: Option<&[u8]>) -> CheckKind {
    CheckKind::Udp(UdpCheck {
        send: send.to_vec(),
        expect: expect.map(<[u8]>::to_vec),
    })
}

/// Where nobody listens.
pub(super) fn closed() -> SocketAddr {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
}

#[test]
fn an_answer_contains_what_is_expected() {
    let echo = answer_datagrams(|datagram| vec![[b"<", datagram, b">"].concat()]);
    let passes = asks(udp(b"p\0ng\xff", Some(b"\0ng\xff>")));
    assert_eq!(run(echo, &passes).outcome, Outcome::Pass);
    assert_eq!(
        run(echo, &asks(udp(b"ping\x1b", Some(b"pong")))).outcome,
        fail("the answer \"<ping\\x1b>\" does not contain \"pong\"")
    );
    // Nothing is sent as well, and an answer is an answer.
    assert_eq!(run(echo, &asks(udp(b"", Some(b"<>")))).outcome, Outcome::Pass);
    assert_eq!(run(echo, &asks(udp(b"", None))).outcome, Outcome::Pass);
    let large = answer_datagrams(|_| vec![vec![b'.'; 60_000]]);
    let Outcome::Fail(why) = run(large, &asks(udp(b"?", Some(b"!")))).outcome else {
        panic!("there is no ! in it");
    };
    assert!(why.len() < 100, "{why}");
}

#[test]
fn silence_is_what_a_check_without_an_answer_waits_for() {
    let mute = answer_datagrams(|_| vec![]);
    let result = run(mute, &briefly(udp(b"?", None)));
    assert_eq!(result.outcome, Outcome::Pass);
    assert!(result.latency >= Duration::from_millis(500));
    assert_eq!(
        run(mute, &briefly(udp(b"?", Some(b"!")))).outcome,
        silent("no answer within 500ms")
    );
    for expect in [None, Some(&b"!"[..])] {
        assert_eq!(
            run(closed(), &asks(udp(b"?", expect))).outcome,
            refused("the port is closed (ICMP: port unreachable)")
        );
    }
}

#[test]
fn a_check_comes_from_where_the_file_says() {
    let target = answer_datagrams(|_| vec![b"!".to_vec()]);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let source = IpAddr::from([127, 0, 0, 9]);
    let from = |target, source, device: Option<&str>| Way {
        target,
        source: Some(source),
        device: device.map(|name| name.parse().unwrap()),
    };
    let made = |way: &Way, kind: CheckKind| runtime().block_on(check(way, &asks(kind), &trust())).outcome;
    let tcp = || CheckKind::Tcp(Close::Fin);
    let at = listener.local_addr().unwrap();
    assert_eq!(made(&from(at, source, Some("lo")), tcp()), Outcome::Pass);
    assert_eq!(listener.accept().unwrap().1.ip(), source);
    assert_eq!(
        made(&from(target, source, Some("lo")), udp(b"?", Some(b"!"))),
        Outcome::Pass
    );
    // 192.0.2.1 is nobody's, and neither is this interface.
    let nobodys = IpAddr::from([192, 0, 2, 1]);
    let lost = Outcome::CannotCheck("the appliance does not have the address 192.0.2.1 now".to_owned());
    let gone = Outcome::CannotCheck("the interface none0 is missing".to_owned());
    for (to, kind) in [(at, tcp()), (target, udp(b"?", None))] {
        assert_eq!(made(&from(to, nobodys, None), kind.clone()), lost);
        assert_eq!(made(&from(to, source, Some("none0")), kind), gone);
    }
}

#[test]
fn a_way_follows_the_check() {
    let server = lb_core::model::RealKey {
        address: "10.0.0.1".parse().unwrap(),
        port: 80,
    };
    let mut params = tcp_params();
    params.address = Some(Ipv6Addr::LOCALHOST.into());
    params.port = Some(8080);
    params.interface = Some("inside".to_owned());
    let named = Way::of(&params, server, |label| {
        assert_eq!(label, "inside");
        "eth1".parse().ok()
    });
    let named = named.unwrap();
    assert_eq!(named.target, "[::1]:8080".parse().unwrap());
    assert_eq!(named.device, "eth1".parse().ok());
    assert_eq!(
        Way::of(&params, server, |_| None),
        Err(Outcome::CannotCheck("the interface inside is missing".to_owned()))
    );
}

fn tcp_params() -> CheckParams {
    asks(CheckKind::Tcp(Close::Fin))
}
