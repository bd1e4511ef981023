//! Neighbours, routes, echoes and traces against the host's kernel, between namespaces.
#![allow(clippy::unwrap_used)] // Tests: a panic is the failure report.

mod namespace;

use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use lb_core::neighbours::NeighbourState;
use lb_kernel::NetworkView;
use namespace::{Peer, eventually, sh};

/// A machine beside this one, with both families.
fn beside() -> Peer {
    let peer = Peer::new();
    peer.connect("eth0", "there", &["10.1.0.2/24", "fd01::2/64"]);
    sh("ip link set eth0 up; ip address add 10.1.0.1/24 dev eth0; ip address add fd01::1/64 dev eth0 nodad");
    eventually("a carrier", || {
        sh("cat /sys/class/net/eth0/carrier").trim() == "1"
    });
    peer
}

fn send(address: &str) {
    let to: IpAddr = address.parse().unwrap();
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    UdpSocket::bind(any).unwrap().send_to(b"x", (to, 9)).unwrap();
}

/// Sends it something, so that the kernel asks who it is.
fn knock(view: &mut NetworkView, address: &str) {
    send(address);
    let mut found = || {
        view.neighbours()
            .unwrap()
            .into_iter()
            .any(|n| n.address.to_string() == address && n.mac.is_some())
    };
    let end = Instant::now() + Duration::from_secs(10);
    while !found() {
        assert!(Instant::now() < end, "{address} is no neighbour");
    }
}

isolated! {
    /// One that answers, one that does not, one that somebody has set.
    fn neighbours_are_those_of_ip_neigh() {
        let _peer = beside();
        sh("ip neighbour add 10.1.0.9 lladdr 02:00:00:00:00:09 dev eth0 nud permanent");
        let mut view = NetworkView::open().unwrap();
        for address in ["10.1.0.2", "fd01::2"] {
            knock(&mut view, address);
        }
        send("10.1.0.3");
        let state = |view: &mut NetworkView, address: &str| {
            let all = view.neighbours().unwrap();
            let address = address.parse::<IpAddr>().unwrap();
            all.into_iter().find(|n| n.address == address)
        };
        for address in ["10.1.0.2", "fd01::2"] {
            let found = state(&mut view, address).unwrap();
            assert_eq!(found.link, "eth0");
            assert!(found.mac.is_some() && found.confirmed_ms.unwrap() < 60_000, "{found:?}");
            assert!(sh("ip neighbour").contains(&found.mac.unwrap()));
        }
        let set = state(&mut view, "10.1.0.9").unwrap();
        assert_eq!((set.state, set.mac.as_deref()), (NeighbourState::Permanent, Some("02:00:00:00:00:09")));
        let silent = state(&mut view, "10.1.0.3").unwrap();
        assert!(matches!(silent.state, NeighbourState::Incomplete | NeighbourState::Failed), "{silent:?}");
        assert_eq!((silent.mac, silent.confirmed_ms), (None, None));
    }

    /// A bridge with a link in it, and a carrier that goes. Bonds and VLANs need a kernel that has them: the stories ask for these.
    fn links_are_those_of_ip_link() {
        let _peer = beside();
        // Of this namespace.
        sh("mount -t sysfs none /sys");
        sh("ip link add br0 type bridge; ip link add lan0 type veth peer name far0; ip link set far0 up");
        sh("ip link set lan0 up mtu 1400 master br0; ip link set br0 up; ip address add 10.7.0.1/24 dev br0");
        eventually("the bridge's carrier", || sh("cat /sys/class/net/br0/carrier").trim() == "1");
        let mut view = NetworkView::open().unwrap();
        let report = view.links().unwrap();
        let link = |name: &str| report.links.iter().find(|l| l.link == name).unwrap_or_else(|| panic!("{report:?}"));

        let bridge = link("br0");
        let members = &bridge.stack.bridge.as_ref().unwrap().links;
        assert_eq!((bridge.stack.kind.as_str(), bridge.mtu), ("bridge", 1400));
        assert_eq!(members.iter().map(|m| (m.link.as_str(), m.state.as_str())).collect::<Vec<_>>(), [("lan0", "up")]);
        assert!(bridge.addresses.contains(&"10.7.0.1/24".to_owned()), "{bridge:?}");
        assert_eq!(link("lan0").stack.master.as_deref(), Some("br0"));
        assert_eq!(link("lo").stack.kind, "loopback");
        let card = link("eth0");
        assert_eq!((card.speed_mbit, card.duplex.as_deref()), (Some(10_000), Some("full")), "a veth says so");
        assert_eq!((card.driver.as_deref(), card.rx_queues > 0), (None, true));

        let changes = card.carrier_changes.unwrap();
        sh("ip link set eth0 down");
        let down = view.links().unwrap();
        let card = down.links.iter().find(|l| l.link == "eth0").unwrap();
        assert_eq!((card.state.as_str(), card.carrier_changes), ("down", Some(changes + 1)));
        let file = sh("cat /sys/class/net/eth0/statistics/tx_packets");
        assert_eq!(card.counters.tx_packets.to_string(), file.trim());
    }

    /// The table, and the one that decides.
    fn the_route_to_an_address_is_the_kernels() {
        let _peer = beside();
        sh("ip route add default via 10.1.0.2 proto 200; ip route add 10.8.0.0/16 via 10.1.0.2 metric 7");
        sh("ip route add blackhole 10.9.0.0/16; ip -6 route add fd08::/16 via fd01::2");
        sh("ip route add 10.7.0.0/16 nexthop via 10.1.0.2 nexthop via 10.1.0.3");
        let mut view = NetworkView::open().unwrap();
        knock(&mut view, "10.1.0.2");
        let routes = view.routes().unwrap();
        let route = |to: &str| routes.iter().find(|r| r.to == to).unwrap_or_else(|| panic!("{to}: {routes:?}"));
        assert_eq!(route("10.8.0.0/16").metric, Some(7));
        assert_eq!(route("10.9.0.0/16").kind, "blackhole");
        assert_eq!(route("10.7.0.0/16").hops.len(), 2);
        assert_eq!(route("10.1.0.0/24").source, Some("10.1.0.1".parse().unwrap()));
        assert_eq!(route("fd08::/16").hops[0].via, Some("fd01::2".parse().unwrap()));
        assert!(routes.iter().all(|r| r.kind != "local" && !r.to.starts_with("fe80")), "{routes:?}");

        let to = |view: &mut NetworkView, address: &str| view.route_to(address.parse().unwrap());
        let far = to(&mut view, "192.0.2.1").unwrap();
        assert_eq!(far.hop.via, Some("10.1.0.2".parse().unwrap()));
        assert_eq!((far.hop.link.as_deref(), far.source), (Some("eth0"), Some("10.1.0.1".parse().unwrap())));
        assert_eq!(far.route.unwrap().to, "0.0.0.0/0");
        assert!(far.neighbour.unwrap().mac.is_some());
        let near = to(&mut view, "fd01::2").unwrap();
        assert_eq!((near.hop.via, near.kind.as_str()), (None, "unicast"));
        assert_eq!(to(&mut view, "10.1.0.1").unwrap().kind, "local");
        let refused = to(&mut view, "2001:db8::1").unwrap_err();
        assert_eq!(refused.fault.errno, Some(101), "{refused}");
    }
}
