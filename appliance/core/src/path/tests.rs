//! Ways of packets through a small appliance, as text. With UPDATE_GOLDEN=1 they are written anew, to be reviewed as a change.

use std::fmt::Write;

use super::*;
use crate::control::{HealthWord, ServerReport};
use crate::control::{LastCheckReport, StandingReport};
use crate::desired;
use crate::fake::FakeKernel;
use crate::neighbours::{Hop, Neighbour, NeighbourState};
use crate::plan;
use crate::pool::{self, Member, Memory};
use crate::ports::KernelPort;

const CONFIG: &str = r#"
[[interface]]
name = "eth0"
addresses = ["192.168.0.1/24", "192.168.0.2/24"]
gateway = "192.168.0.254"
[[interface]]
name = "eth1"
addresses = ["172.16.0.254/24"]
[[masquerade]]
from = "172.16.0.0/24"
out = "eth0"
[[port_forward]]
listen = "192.168.0.1:2222"
protocol = "tcp"
to = "172.16.0.50:22"
from = ["192.168.0.0/24"]
[[virtual_server]]
name = "nginx"
listen = "192.168.0.1:30080"
[[virtual_server.real_server]]
address = "172.16.0.11:30080"
[[virtual_server.real_server]]
address = "172.16.0.12:30080"
[[virtual_server]]
name = "ingress"
listen = ["192.168.0.2:80", "192.168.0.2:443"]
[[virtual_server.real_server]]
address = "172.16.0.11"
check = "none"
[[virtual_server]]
name = "fast"
listen = "192.168.0.1:8443"
[[virtual_server.real_server]]
address = "172.16.0.20:8443"
[[virtual_server]]
name = "closed"
listen = "192.168.0.1:81"
[[virtual_server.real_server]]
address = "172.16.0.13:81"
"#;

/// 172.16.0.12 is down, and so is the only server of `closed`, which was never open.
fn is_up(server: &str) -> bool {
    !server.starts_with("172.16.0.12") && !server.starts_with("172.16.0.13")
}

fn machine(config: &Config) -> Observed {
    let mut kernel = FakeKernel::with_links(&["eth0", "eth1"]);
    let now = std::time::Instant::now();
    for _ in 0..2 {
        let links = kernel.state.links.clone();
        let network = desired::network(Some(config), &links, &kernel.own, 128 << 20, |service| {
            service.name != "closed"
        });
        let names = network
            .sysctls
            .keys()
            .cloned()
            .chain(FORWARDING.map(str::to_owned))
            .collect();
        let observed = kernel.observe(&names).unwrap();
        let pools: desired::Pools = config
            .services()
            .map(|service| {
                let member =
                    |real: &crate::config::RealServer| Member::settled(is_up(&real.address.to_string()), now);
                (
                    service.key,
                    pool::decide(service, member, &Memory::default(), now).pool,
                )
            })
            .collect();
        for step in plan::diff(&network, &pools, &observed) {
            kernel.apply(&step).unwrap();
        }
    }
    let mut observed = kernel.observe(&FORWARDING.map(str::to_owned).into()).unwrap();
    observed.links.values_mut().for_each(|link| link.carrier = true);
    observed
}

fn shown(service: &VirtualServer) -> ServiceReport {
    let server = |real: &crate::config::RealServer| {
        let address = real.address.to_string();
        let up = is_up(&address);
        ServerReport {
            address,
            health: if up { HealthWord::Up } else { HealthWord::Down },
            since_ms: 0,
            weight: u32::from(up),
            configured_weight: 1,
            active_connections: 0,
            inactive_connections: 0,
            traffic: None,
            rates: None,
            last_check: Some(LastCheckReport {
                ok: up,
                reason: if up { "connected" } else { "connection refused" }.to_owned(),
                latency_ms: 0.4,
                age_ms: 100,
            }),
            several: None,
            standing: StandingReport::default(),
        }
    };
    ServiceReport {
        name: service.name.clone(),
        listen: service.ports(),
        protocol: service.protocols(),
        fwmark: None,
        scheduler: service.settings.scheduler.to_string(),
        forward: "nat".to_owned(),
        mode: "primary".to_owned(),
        quorum: 1,
        weight_up: 1,
        traffic: None,
        rates: None,
        servers: service.real_servers.iter().map(server).collect(),
    }
}

fn text(report: &PathReport) -> String {
    let mut text = format!("== {}\n", report.packet);
    for step in &report.steps {
        let rule = step
            .rule
            .as_ref()
            .map_or(String::new(), |rule| format!(" [{rule}]"));
        let counted = step
            .connections
            .map_or(String::new(), |n| format!(" {n} connections"));
        writeln!(text, "{}: {}{rule}{counted}", step.stage, step.what).unwrap();
    }
    for server in &report.servers {
        let PathServer {
            address,
            weight,
            why_not,
            link,
            sees_client,
        } = server;
        let (why, link) = (
            why_not.as_deref().unwrap_or("may be chosen"),
            link.as_deref().unwrap_or("-"),
        );
        writeln!(
            text,
            "  {address} weight {weight} by {link}, sees client {sees_client}: {why}"
        )
        .unwrap();
    }
    writeln!(
        text,
        "{} {}\n",
        if report.passes { "passes:" } else { "ends:" },
        report.end
    )
    .unwrap();
    text
}

#[test]
fn ways_are_as_reviewed() {
    let config =
        crate::config::parse(CONFIG).unwrap_or_else(|faults| panic!("{}", faults.render("lb.toml", CONFIG)));
    let observed = machine(&config);
    let masquerade: Rule = "masquerade 172.16.0.0/24 out eth0".parse().unwrap();
    let activity = Activity {
        translated: vec![(masquerade, 7)],
        ..Activity::default()
    };
    let facts = Facts {
        config: &config,
        observed: &observed,
        activity: &activity,
    };
    let mut texts = String::new();
    for (to, protocol, from) in [
        ("192.168.0.1:30080", None, Some("192.168.0.10")),
        ("192.168.0.1:30080", None, Some("172.16.0.77")),
        ("192.168.0.1:8443", None, Some("192.168.0.10")),
        ("192.168.0.2:443", None, None),
        ("192.168.0.1:81", None, None),
        ("192.168.0.1:22", None, Some("192.168.0.10")),
        ("192.168.0.1:30080", Some(Protocol::Udp), None),
        ("192.168.0.1:2222", None, Some("192.168.0.10")),
        ("192.168.0.1:2222", None, Some("203.0.113.9")),
        ("172.16.0.11:22", None, Some("192.168.0.10")),
        ("203.0.113.9:443", None, Some("172.16.0.11")),
        ("[2001:db8::1]:443", None, None),
    ] {
        let packet = Packet {
            to: to.parse().unwrap(),
            protocol,
            from: from.map(|from| from.parse().unwrap()),
        };
        texts.push_str(&text(&follow(&facts, packet, shown)));
    }
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/path/ways.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &texts).unwrap();
    }
    assert_eq!(texts, std::fs::read_to_string(&golden).unwrap_or_default());
}

#[test]
fn a_machine_without_rules_or_configuration_has_ways_too() {
    let (config, activity) = (Config::empty(), Activity::default());
    let observed = Observed::default();
    let facts = Facts {
        config: &config,
        observed: &observed,
        activity: &activity,
    };
    let packet = Packet {
        to: "192.0.2.1:80".parse().unwrap(),
        protocol: None,
        from: None,
    };
    let report = follow(&facts, packet, shown);
    assert!(
        !report.passes && report.end.contains("forwards nothing"),
        "{report:?}"
    );
}

/// IPVS still chooses it: its checks have not failed yet, or there are none.
#[test]
fn a_server_without_a_route_gets_what_is_lost() {
    let text = "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\"]\n\
                [[virtual_server]]\nname = \"one\"\nlisten = \"192.168.0.1:80\"\n\
                [[virtual_server.real_server]]\naddress = \"203.0.113.7:80\"\n\
                [[virtual_server]]\nname = \"two\"\nlisten = \"192.168.0.1:81\"\n\
                [[virtual_server.real_server]]\naddress = \"203.0.113.7:80\"\n\
                [[virtual_server.real_server]]\naddress = \"192.168.0.7:80\"\n";
    let config =
        crate::config::parse(text).unwrap_or_else(|faults| panic!("{}", faults.render("lb.toml", text)));
    let (observed, activity) = (machine(&config), Activity::default());
    let facts = Facts {
        config: &config,
        observed: &observed,
        activity: &activity,
    };
    for (to, passes, end) in [
        (
            "192.168.0.1:80",
            false,
            "no route leads to a server that may be chosen",
        ),
        (
            "192.168.0.1:81",
            true,
            "goes to one of 2 servers, by wlc; no route leads to 203.0.113.7:80",
        ),
    ] {
        let packet = Packet {
            to: to.parse().unwrap(),
            protocol: None,
            from: Some("192.168.0.10".parse().unwrap()),
        };
        let report = follow(&facts, packet, shown);
        assert_eq!(report.passes, passes, "{report:?}");
        assert!(report.end.contains(end), "{report:?}");
    }
}

#[test]
fn a_way_ends_at_a_next_hop_that_does_not_answer() {
    let config =
        crate::config::parse(CONFIG).unwrap_or_else(|faults| panic!("{}", faults.render("lb.toml", CONFIG)));
    let (observed, activity) = (machine(&config), Activity::default());
    let facts = Facts {
        config: &config,
        observed: &observed,
        activity: &activity,
    };
    let packet = |to: &str| Packet {
        to: to.parse().unwrap(),
        protocol: None,
        from: Some("172.16.0.11".parse().unwrap()),
    };
    let gateway: IpAddr = "192.168.0.254".parse().unwrap();
    let route = |state, mac: Option<&str>| RouteTo {
        address: "203.0.113.9".parse().unwrap(),
        kind: "unicast".to_owned(),
        hop: Hop {
            via: Some(gateway),
            link: Some("eth0".to_owned()),
            interface: None,
        },
        source: None,
        mtu: None,
        route: None,
        neighbour: Some(Neighbour {
            address: gateway,
            link: "eth0".to_owned(),
            mac: mac.map(str::to_owned),
            state,
            confirmed_ms: None,
            used_ms: 0,
            updated_ms: 0,
            interface: None,
            roles: Vec::new(),
        }),
        roles: Vec::new(),
    };
    let report = follow(&facts, packet("203.0.113.9:443"), shown);
    assert_eq!(report.goes_to, Some("203.0.113.9".parse().unwrap()));
    for (state, mac, passes) in [
        (NeighbourState::Failed, None, false),
        (NeighbourState::Incomplete, None, false),
        (NeighbourState::Stale, Some("52:54:00:00:00:fe"), true),
    ] {
        let mut heeded = report.clone();
        heeded.heed(&route(state, mac));
        assert_eq!(heeded.passes, passes, "{heeded:?}");
        assert_eq!(heeded == report, passes);
        let says = "lost: 192.168.0.254 does not answer on eth0; ";
        assert_eq!(heeded.end.starts_with(says), !passes, "{heeded:?}");
    }
    // What a service takes goes to its servers, whom their checks judge.
    assert_eq!(follow(&facts, packet("192.168.0.1:30080"), shown).goes_to, None);
}
