//! What the rules do to packets: a client outside, a server inside, and the gateway between them, on the host's kernel.
#![allow(clippy::unwrap_used)] // Tests: a panic is the failure report.

mod gateway;
mod namespace;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use gateway::{Network, PATIENCE, open_for};
use lb_core::plan::Step;
use lb_core::ports::KernelPort;
use lb_core::ruleset::{Chain, Lent, Rule, Ruleset};
use namespace::sh;
use socket2::{Domain, Protocol, Socket, Type};

/// Whether a connection from here gets through to a listener.
fn reaches(address: &str) -> bool {
    let address: SocketAddr = address.parse().unwrap();
    match TcpStream::connect_timeout(&address, PATIENCE) {
        Ok(_) => true,
        Err(e) if e.kind() == ErrorKind::TimedOut => false,
        Err(e) => panic!("{address}: neither open nor dropped: {e}"),
    }
}

/// Listens here and tells each caller its own address, as the listener sees it.
fn echo_addresses(listen: &str) {
    let listener = TcpListener::bind(listen).unwrap();
    thread::spawn(move || {
        while let Ok((mut stream, caller)) = listener.accept() {
            // A caller that has gone does not want to know.
            let _ = write!(stream, "{}", caller.ip());
        }
    });
}

fn own_address_at(address: &str) -> String {
    let mut stream = TcpStream::connect_timeout(&address.parse().unwrap(), 5 * PATIENCE).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// The same from one of several addresses.
fn own_address_from(own: &str, to: &str) -> String {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let own: SocketAddr = format!("{own}:0").parse().unwrap();
    socket.bind(&own.into()).unwrap();
    let to: SocketAddr = to.parse().unwrap();
    socket.connect_timeout(&to.into(), 5 * PATIENCE).unwrap();
    let mut text = String::new();
    (&socket).read_to_string(&mut text).unwrap();
    text
}

fn reaches_from(own: &str, to: &str) -> bool {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let own: SocketAddr = format!("{own}:0").parse().unwrap();
    socket.bind(&own.into()).unwrap();
    let to: SocketAddr = to.parse().unwrap();
    socket.connect_timeout(&to.into(), PATIENCE).is_ok()
}

/// The largest segment that this end may send on a connection to there, as the other end's first packet said.
fn segment(to: &str) -> u32 {
    let to: SocketAddr = to.parse().unwrap();
    let stream = TcpStream::connect_timeout(&to, 5 * PATIENCE).unwrap();
    // Before anything is sent, TCP_MAXSEG is the limit less the options that every segment carries (12 bytes of timestamps).
    12 + socket2::SockRef::from(&stream).tcp_mss().unwrap()
}

/// Whether an echo request is answered.
fn answers_ping(address: IpAddr) -> bool {
    // Type, code, checksum (for IPv6 the kernel fills it in), identifier 1, sequence number 1.
    let (domain, protocol, request, offset) = match address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, [8, 0, 0xf7, 0xfd, 0, 1, 0, 1], 20),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, [128, 0, 0, 0, 0, 1, 0, 1], 0),
    };
    let reply = if offset == 0 { 129 } else { 0 };
    let socket = Socket::new(domain, Type::RAW, Some(protocol)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
        .send_to(&request, &SocketAddr::new(address, 0).into())
        .unwrap();
    let mut buffer = [0; 256];
    while (&socket).read(&mut buffer).is_ok() {
        if buffer[offset] == reply {
            return true;
        }
    }
    false
}

/// Says from here to all nodes of the link that this is a router, and a network for addresses (RFC 4861 sections 4.2 and 4.6.2).
fn advertise_router(link: &str) {
    // Hop limit 64, no flags, a router for 1800 s; the kernel fills in the checksum.
    let mut message = vec![134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    // Prefix information: 64 bits, on the link and for addresses, for a day.
    message.extend([3, 4, 64, 0xc0, 0, 1, 0x51, 0x80, 0, 1, 0x51, 0x80, 0, 0, 0, 0]);
    message.extend("2001:db8:bad::".parse::<std::net::Ipv6Addr>().unwrap().octets());
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6)).unwrap();
    socket.bind_device(Some(link.as_bytes())).unwrap();
    // Only those from a link-local address that no router has forwarded count.
    let own: SocketAddr = format!("[{ROUTER}]:0").parse().unwrap();
    let everybody: SocketAddr = "[ff02::1]:0".parse().unwrap();
    socket.bind(&own.into()).unwrap();
    socket.set_multicast_hops_v6(255).unwrap();
    socket.send_to(&message, &everybody.into()).unwrap();
}

/// The link-local address of the router that announces itself.
const ROUTER: &str = "fe80::bad";

isolated! {
fn only_services_icmp_and_replies_come_in() {
    let mut network = Network::new();
    for port in [80, 81] {
        echo_addresses(&format!("198.51.100.1:{port}"));
        echo_addresses(&format!("[2001:db8:a::1]:{port}"));
    }
    network.client.inside(|| {
        echo_addresses("198.51.100.10:8080");
        assert!(reaches("198.51.100.1:81") && reaches("[2001:db8:a::1]:81"), "without rules everything is open");
    });
    let services = ["198.51.100.1:80/tcp", "[2001:db8:a::1]:80/tcp"];
    network.rules(open_for(&services));
    network.client.inside(|| {
        assert!(reaches("198.51.100.1:80") && reaches("[2001:db8:a::1]:80"), "services are open");
        assert!(!reaches("198.51.100.1:81"), "another port of the address");
        assert!(!reaches("172.16.0.254:80"), "the port of another address");
        assert!(!reaches("[2001:db8:a::1]:81"), "another port, IPv6");
        assert!(answers_ping("198.51.100.1".parse().unwrap()));
        assert!(answers_ping("2001:db8:a::1".parse().unwrap()));
    });
    assert_eq!(own_address_at("198.51.100.10:8080"), "198.51.100.1", "replies come in");
}

fn an_empty_table_answers_nobody() {
    let mut network = Network::new();
    echo_addresses("198.51.100.1:80");
    network.rules(Ruleset::default());
    network.client.inside(|| {
        assert!(!reaches("198.51.100.1:80"));
        assert!(!answers_ping("198.51.100.1".parse().unwrap()));
    });
}

fn a_connection_outlives_a_replacement_of_the_table() {
    let mut network = Network::new();
    let rules = open_for(&["198.51.100.1:80/tcp"]);
    network.rules(rules.clone());
    let listener = TcpListener::bind("198.51.100.1:80").unwrap();
    let mut client = network.client.inside(|| TcpStream::connect("198.51.100.1:80").unwrap());
    let (mut server, _) = listener.accept().unwrap();
    server.set_read_timeout(Some(5 * PATIENCE)).unwrap();
    for rules in [open_for(&[]), rules] {
        network.rules(rules);
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
    }
}

fn masquerade_hides_the_inside_and_only_the_inside() {
    let mut network = Network::new();
    network.client.inside(|| {
        echo_addresses("198.51.100.10:80");
        echo_addresses("[2001:db8:a::10]:80");
    });
    let masquerade =
        |from: &str| Rule::Masquerade { from: from.parse().unwrap(), out: "wan0".parse().unwrap(), to: Lent::Picked };
    let rules = |from: &str, from6: &str| {
        open_for(&[])
            .with(Chain::Forward, [Rule::AcceptEstablished])
            .with(Chain::Postrouting, [from, from6].map(masquerade))
    };
    network.rules(rules("172.16.0.0/24", "2001:db8:b::/64"));
    network.server.inside(|| {
        assert_eq!(own_address_at("198.51.100.10:80"), "198.51.100.1");
        assert_eq!(own_address_at("[2001:db8:a::10]:80"), "2001:db8:a::1");
    });
    // Another network's addresses are left as they are.
    network.rules(rules("172.16.1.0/24", "2001:db8:c::/64"));
    network.server.inside(|| assert_eq!(own_address_at("198.51.100.10:80"), "172.16.0.11"));
}

fn nobody_outside_opens_a_connection_to_the_inside() {
    let mut network = Network::new();
    network.server.inside(|| echo_addresses("172.16.0.11:80"));
    let rules = |forward: Vec<Rule>| open_for(&[]).with(Chain::Forward, forward);
    network.rules(rules(vec![Rule::AcceptEstablished]));
    network.client.inside(|| assert!(reaches("172.16.0.11:80"), "the way is there"));
    network.rules(rules(vec![Rule::AcceptEstablished, Rule::DropNewFrom("wan0".parse().unwrap())]));
    network.client.inside(|| {
        assert!(!reaches("172.16.0.11:80"));
        echo_addresses("198.51.100.10:80");
    });
    network.server.inside(|| assert_eq!(own_address_at("198.51.100.10:80"), "172.16.0.11", "outwards is open"));
}
/// Every client keeps its address, whatever it connects to; ten addresses all have clients.
fn a_pool_lends_every_client_the_same_address_every_time() {
    let mut network = Network::new();
    let pool: Vec<String> = (20..30).map(|n| format!("198.51.100.{n}")).collect();
    for address in &pool {
        sh(&format!("ip address add {address}/32 dev wan0"));
    }
    network.client.sh("ip address add 198.51.100.11/24 dev eth0");
    let clients: Vec<String> = (100..160).map(|n| format!("172.16.0.{n}")).collect();
    let added: Vec<String> = clients.iter().map(|c| format!("ip address add {c}/24 dev eth0")).collect();
    network.server.sh(&added.join("; "));
    network.client.inside(|| {
        echo_addresses("198.51.100.10:80");
        echo_addresses("198.51.100.11:80");
    });
    let gap = "masquerade 172.16.0.0/24 out wan0 to 198.51.100.2";
    for rules in [
        vec!["masquerade 172.16.0.0/24 out wan0 to 198.51.100.20-198.51.100.29".to_owned()],
        (0..10).map(|n| format!("{gap}{n} share {n} of 10")).collect(),
    ] {
        let rules = rules.iter().map(|line| line.parse().unwrap());
        network.rules(open_for(&[]).with(Chain::Postrouting, rules));
        let mut lent = std::collections::BTreeMap::<String, usize>::new();
        for client in &clients {
            let seen = network.server.inside(|| {
                ["198.51.100.10:80", "198.51.100.11:80", "198.51.100.10:80"].map(|to| own_address_from(client, to))
            });
            assert!(seen.iter().all(|address| *address == seen[0]), "{client}: {seen:?}");
            *lent.entry(seen[0].clone()).or_default() += 1;
        }
        assert_eq!(lent.keys().cloned().collect::<Vec<_>>(), pool, "{lent:?}");
        assert!(lent.values().all(|clients| *clients <= 20), "{lent:?}");
    }
}

/// Both ends are told, by the other's first packet, whichever of them begins; what is small enough is left.
fn segments_are_limited_in_both_directions() {
    let mut network = Network::new();
    network.client.inside(|| {
        echo_addresses("198.51.100.10:80");
        echo_addresses("[2001:db8:a::10]:80");
    });
    network.server.inside(|| {
        echo_addresses("172.16.0.11:80");
        echo_addresses("[2001:db8:b::11]:80");
    });
    network.client.sh("ip -6 route add 2001:db8:b::/64 via 2001:db8:a::1");
    let mss = |network: &Network| {
        let outwards = network.server.inside(|| [segment("198.51.100.10:80"), segment("[2001:db8:a::10]:80")]);
        let inwards = network.client.inside(|| [segment("172.16.0.11:80"), segment("[2001:db8:b::11]:80")]);
        [outwards, inwards]
    };
    network.rules(open_for(&[]));
    assert_eq!(mss(&network), [[1460, 1440]; 2], "what an MTU of 1500 allows");
    let clamp = |v4: u16, v6: u16| {
        let rule = |ip: &str, way: &str, bytes| format!("clamp mss {bytes} {ip} {way} wan0").parse::<Rule>().unwrap();
        open_for(&[])
            .with(Chain::MangleIn, [rule("ipv4", "in", v4), rule("ipv6", "in", v6)])
            .with(Chain::MangleOut, [rule("ipv4", "out", v4), rule("ipv6", "out", v6)])
    };
    network.rules(clamp(1300, 1280));
    assert_eq!(mss(&network), [[1300, 1280]; 2]);
    network.rules(clamp(9000, 9000));
    assert_eq!(mss(&network), [[1460, 1440]; 2], "never raised");
}
/// Source and destination on both sides: the client's address is kept, only the named ports of the named clients pass,
/// and a machine inside reaches the forwarded address too, also when the port leads to itself.
fn a_forwarded_port_leads_inside_for_its_clients_only() {
    let mut network = Network::new();
    network.client.sh("ip address add 198.51.100.11/24 dev eth0; ip -6 route add 2001:db8:b::/64 via 2001:db8:a::1");
    network.server.inside(|| {
        for listen in ["172.16.0.11:22", "172.16.0.11:5001", "172.16.0.11:80", "[2001:db8:b::11]:22"] {
            echo_addresses(listen);
        }
    });
    let forwards = [
        "tcp 198.51.100.1:2222 to 172.16.0.11:22 from 198.51.100.10/32",
        "tcp 198.51.100.1:2222 to 172.16.0.11:22 from 172.16.0.0/24",
        "tcp 198.51.100.1:5000-5001 to 172.16.0.11",
        "tcp [2001:db8:a::1]:2222 to [2001:db8:b::11]:22",
    ];
    let line = |verb: &str, forward: &str| format!("{verb} {forward}").parse::<Rule>().unwrap();
    let hairpins = ["172.16.0.0/24", "2001:db8:b::/64"];
    let hairpins = hairpins.map(|net| line("hairpin forwarded", &format!("{net} out lan0")));
    let closed = [Rule::AcceptEstablished, Rule::DropNewFrom("wan0".parse().unwrap())];
    let through = forwards.map(|f| line("accept forwarded", f));
    let with = |through: Vec<Rule>| {
        open_for(&[])
            .with(Chain::Dstnat, forwards.map(|f| line("forward", f)))
            .with(Chain::Forward, [closed[0].clone()].into_iter().chain(through).chain([closed[1].clone()]))
            .with(Chain::Postrouting, hairpins.clone())
    };
    network.rules(with(vec![]));
    network.client.inside(|| assert!(!reaches("198.51.100.1:2222"), "the filter decides"));
    network.rules(with(through.to_vec()));
    network.client.inside(|| {
        assert_eq!(own_address_at("198.51.100.1:2222"), "198.51.100.10");
        assert_eq!(own_address_from("198.51.100.11", "198.51.100.1:5001"), "198.51.100.11");
        assert_eq!(own_address_at("[2001:db8:a::1]:2222"), "2001:db8:a::10");
        for (own, to) in [
            ("198.51.100.11", "198.51.100.1:2222"),
            ("198.51.100.10", "198.51.100.1:22"),
            ("198.51.100.10", "172.16.0.11:22"),
            ("198.51.100.10", "172.16.0.11:80"),
        ] {
            assert!(!reaches_from(own, to), "{own} to {to}");
        }
    });
    // From beside the target, or from the target itself: by the box's address.
    network.server.inside(|| {
        assert_eq!(own_address_at("198.51.100.1:2222"), "172.16.0.254");
        assert_eq!(own_address_at("[2001:db8:a::1]:2222"), "2001:db8:b::fe");
    });
}/// A router that announces itself gives the box no route and no address, though a machine that listens takes both.
fn router_advertisements_change_nothing() {
    let mut network = Network::new();
    network.client.sh(&format!("ip address add {ROUTER}/64 dev eth0 nodad"));
    let advertise = |network: &Network| network.client.inside(|| advertise_router("eth0"));
    let learnt = || sh("ip -6 route show default; ip -6 address show dev wan0 dynamic");
    sh("cd /proc/sys/net/ipv6/conf/wan0; echo 2 > accept_ra; echo 1 > autoconf");
    advertise(&network);
    namespace::eventually("a machine that listens takes the route and the address", || {
        let learnt = learnt();
        learnt.contains(&format!("default via {ROUTER} dev wan0 proto ra")) && learnt.contains("2001:db8:bad:")
    });
    sh("ip -6 route flush proto ra; ip -6 address flush dev wan0 dynamic");
    assert_eq!(learnt(), "");

    let ours = lb_core::desired::sysctls(1 << 30, &Default::default(), ["wan0".parse().unwrap()].iter());
    for (name, value) in ours.into_iter().filter(|(name, _)| name.starts_with("net/ipv6/conf/")) {
        network.kernel.apply(&Step::SetSysctl { name, value }).unwrap();
    }
    for _ in 0..3 {
        advertise(&network);
    }
    // The answer comes after what was sent before the question.
    network.client.inside(|| assert!(answers_ping("2001:db8:a::1".parse().unwrap())));
    assert_eq!(learnt(), "");
}
}
