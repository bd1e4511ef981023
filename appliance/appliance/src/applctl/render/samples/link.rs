//! Links of a small appliance: a card, one of a bond, the bond, a VLAN on it, and the loopback.

use lb_core::control::{BondReport, CarrierAge, MemberReport, StackReport, VlanReport};
use lb_core::link::{LinkReport, LinksReport};
use lb_core::traffic::{LinkCounters, LinkRates};

fn card(link: &str, interface: Option<&str>) -> LinkReport {
    LinkReport {
        link: link.into(),
        interface: interface.map(Into::into),
        index: 2,
        state: "up".into(),
        stack: StackReport::default(),
        vlans: vec![],
        mac: Some("52:54:00:00:00:01".into()),
        permanent_mac: Some("52:54:00:00:00:01".into()),
        mtu: 1500,
        speed_mbit: Some(2_500),
        duplex: Some("full".into()),
        driver: Some("virtio_net".into()),
        rx_queues: 2,
        tx_queues: 2,
        addresses: vec!["192.168.0.1/24".into(), "fe80::5054:ff:fe00:1/64".into()],
        carrier_changes: Some(1),
        carrier_age: Some(CarrierAge {
            ms: 11_040_000,
            change_seen: false,
        }),
        counters: LinkCounters {
            rx_bytes: 1_234_567_890,
            rx_packets: 3_456_789,
            rx_dropped: 17,
            tx_bytes: 999,
            tx_packets: 12,
            ..LinkCounters::default()
        },
        losses: [("rx_missed_errors".to_owned(), 17)].into(),
        rates: None,
    }
}

fn of_bond() -> LinkReport {
    let mut link = card("enp0s3f1np1d1", Some("inside"));
    link.state = "no-carrier".into();
    link.stack.master = Some("bond0".into());
    link.permanent_mac = Some("52:54:00:00:00:0a".into());
    (link.speed_mbit, link.duplex) = (None, None);
    link.addresses.clear();
    link.losses.clear();
    link.carrier_changes = Some(12_345);
    link.carrier_age = Some(CarrierAge {
        ms: 42_000,
        change_seen: true,
    });
    link
}

fn bond() -> LinkReport {
    let member = |link: &str, state: &str| MemberReport {
        link: link.into(),
        state: state.into(),
    };
    let mut link = card("bond0", Some("bond0"));
    link.stack = StackReport {
        kind: "bond".into(),
        bond: Some(BondReport {
            mode: "active-backup".into(),
            active: Some("enp0s3f1np1d2".into()),
            links: vec![
                member("enp0s3f1np1d1", "no-carrier"),
                member("enp0s3f1np1d2", "up"),
            ],
        }),
        ..StackReport::default()
    };
    link.vlans = vec!["net100".into()];
    (link.driver, link.permanent_mac) = (None, None);
    link
}

fn vlan() -> LinkReport {
    let mut link = bond();
    link.link = "net100".into();
    link.interface = None;
    link.vlans.clear();
    link.stack = StackReport {
        kind: "vlan".into(),
        vlan: Some(VlanReport {
            link: "bond0".into(),
            id: 100,
        }),
        ..StackReport::default()
    };
    (link.carrier_age, link.carrier_changes) = (None, None);
    link
}

fn loopback() -> LinkReport {
    let mut link = vlan();
    link.link = "lo".into();
    link.stack = StackReport {
        kind: "loopback".into(),
        ..StackReport::default()
    };
    (link.mac, link.speed_mbit, link.mtu) = (None, None, 65_536);
    link.state = "down".into();
    link
}

/// The kernel's own.
fn tunnel(link: &str, kind: &str) -> LinkReport {
    let mut tunnel = loopback();
    tunnel.link = link.into();
    tunnel.stack.kind = kind.into();
    tunnel.addresses.clear();
    tunnel
}

pub fn links() -> LinksReport {
    LinksReport {
        read_at_ms: 11_100_000,
        links: vec![
            loopback(),
            card("eth0", Some("eth0")),
            tunnel("tunl0", "ipip"),
            tunnel("ip6tnl0", "ip6tnl"),
            of_bond(),
            bond(),
            vlan(),
        ],
    }
}

/// All but the loopback.
pub fn rate_links(report: &mut LinksReport) {
    for link in report.links.iter_mut().skip(1) {
        link.rates = Some(LinkRates {
            rx_bits_per_second: 123_456_789.0,
            rx_packets_per_second: 10_234.5,
            lost_packets_per_second: 0.5,
            tx_bits_per_second: 480.0,
            tx_packets_per_second: 0.5,
            over_ms: 1_000,
        });
    }
}
