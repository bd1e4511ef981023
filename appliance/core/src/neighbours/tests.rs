//! Who is who, and what a name chooses.

use super::*;
use crate::control::{HealthWord, ServerReport, StackReport, StandingReport};

fn service(name: &str, servers: &[&str]) -> ServiceReport {
    let server = |address: &&str| ServerReport {
        address: (*address).to_owned(),
        health: HealthWord::Up,
        since_ms: 0,
        weight: 1,
        configured_weight: 1,
        active_connections: 0,
        inactive_connections: 0,
        traffic: None,
        rates: None,
        last_check: None,
        several: None,
        standing: StandingReport::default(),
    };
    ServiceReport {
        name: name.to_owned(),
        listen: "192.0.2.1:80".to_owned(),
        protocol: "tcp".to_owned(),
        fwmark: None,
        scheduler: "rr".to_owned(),
        forward: "nat".to_owned(),
        mode: "primary".to_owned(),
        quorum: 1,
        weight_up: 1,
        traffic: None,
        rates: None,
        servers: servers.iter().map(server).collect(),
    }
}

fn interface(label: &str, link: &str) -> InterfaceReport {
    InterfaceReport {
        label: Some(label.to_owned()),
        link: Some(link.to_owned()),
        mac: None,
        state: "up".to_owned(),
        mtu: Some(1500),
        stack: StackReport::default(),
        addresses: vec![],
        rx_bytes: 0,
        rx_packets: 0,
        rx_errors: 0,
        rx_dropped: 0,
        tx_bytes: 0,
        tx_packets: 0,
        tx_errors: 0,
        tx_dropped: 0,
        rates: None,
        carrier_age: None,
    }
}

fn route(to: &str, via: &str) -> RouteEntry {
    RouteEntry {
        to: to.to_owned(),
        kind: "unicast".to_owned(),
        hops: vec![Hop {
            via: via.parse().ok(),
            link: Some("eth0".to_owned()),
            interface: None,
        }],
        source: None,
        metric: None,
        origin: "lb.toml".to_owned(),
        table: 254,
    }
}

fn known() -> Known {
    Known {
        services: vec![
            service("web", &["10.0.0.1:80", "[2001:db8::1]:80", "10.0.0.3:80"]),
            service("dns", &["10.0.0.1:53"]),
        ],
        interfaces: vec![interface("inside", "eth1"), interface("outside", "eth0")],
        routes: vec![
            route("0.0.0.0/0", "192.0.2.254"),
            route("10.9.0.0/16", "10.0.0.1"),
        ],
    }
}

fn neighbour(address: &str, link: &str, mac: Option<&str>) -> Neighbour {
    let mut neighbour = Neighbour {
        address: address.parse().unwrap(),
        link: link.to_owned(),
        mac: mac.map(str::to_owned),
        state: NeighbourState::Reachable,
        confirmed_ms: Some(1),
        used_ms: 1,
        updated_ms: 1,
        interface: None,
        roles: vec![],
    };
    known().name(&mut neighbour);
    neighbour
}

fn neighbours() -> Vec<Neighbour> {
    vec![
        neighbour("10.0.0.1", "eth1", Some("02:00:00:00:00:01")),
        neighbour("2001:db8::1", "eth1", None),
        neighbour("192.0.2.254", "eth0", Some("02:00:00:00:00:fe")),
    ]
}

fn addresses(name: &str) -> Option<(Vec<String>, Vec<String>)> {
    let report = select(name, neighbours(), &known())?;
    let text = |addresses: &mut dyn Iterator<Item = IpAddr>| addresses.map(|a| a.to_string()).collect();
    let found = text(&mut report.neighbours.iter().map(|n| n.address));
    Some((found, text(&mut report.without_entry.iter().copied())))
}

#[test]
fn an_address_has_its_roles() {
    let roles = |address: &str| known().roles(address.parse().unwrap());
    assert_eq!(
        roles("10.0.0.1"),
        ["server of web, dns", "gateway of 10.9.0.0/16"]
    );
    assert_eq!(roles("2001:db8::1"), ["server of web"]);
    assert_eq!(roles("192.0.2.254"), ["gateway of default"]);
    assert!(roles("10.0.0.9").is_empty());
    let mut many = known();
    many.services = (0..9)
        .map(|n| service(&format!("s{n}"), &["10.0.0.1:80"]))
        .collect();
    assert_eq!(
        many.roles("10.0.0.1".parse().unwrap())[0],
        "server of s0, s1, s2 and 6 more services"
    );
}

#[test]
fn a_name_chooses_by_service_interface_address_and_mac() {
    let text = |list: &[&str]| list.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>();
    let found = |found: &[&str], without: &[&str]| Some((text(found), text(without)));
    assert_eq!(
        addresses("web"),
        found(&["10.0.0.1", "2001:db8::1"], &["10.0.0.3"])
    );
    for name in ["inside", "eth1"] {
        assert_eq!(
            addresses(name),
            found(&["10.0.0.1", "2001:db8::1"], &[]),
            "{name}"
        );
    }
    assert_eq!(addresses("10.0.0.1:8080"), found(&["10.0.0.1"], &[]));
    assert_eq!(addresses("[2001:db8::1]:80"), found(&["2001:db8::1"], &[]));
    assert_eq!(addresses("10.0.0.77"), found(&[], &["10.0.0.77"]));
    assert_eq!(addresses("02:00:00:00:00:FE"), found(&["192.0.2.254"], &[]));
    assert_eq!(addresses("nobody"), None);
}
