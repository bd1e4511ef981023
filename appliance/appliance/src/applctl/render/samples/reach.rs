//! Neighbours and routes of a small appliance.

use lb_core::control::{HealthWord, ProbeReport, ProbeStep, ProbeVerdict};
use lb_core::neighbours::{Hop, Neighbour, NeighbourState, NeighboursReport, RouteEntry, RouteTo};
use lb_core::path::{PathReport, PathServer, PathStep};

fn neighbour(address: &str, label: Option<&str>, state: NeighbourState, roles: &[&str]) -> Neighbour {
    let answered = !matches!(state, NeighbourState::Failed | NeighbourState::Incomplete);
    Neighbour {
        address: address.parse().unwrap(),
        link: "eth1".into(),
        mac: answered.then(|| "52:54:00:00:00:0b".into()),
        state,
        confirmed_ms: answered.then_some(12_000),
        used_ms: 1_000,
        updated_ms: 95_000,
        interface: label.map(Into::into),
        roles: roles.iter().map(|role| (*role).into()).collect(),
    }
}

pub fn neighbours() -> NeighboursReport {
    let inside = Some("inside");
    NeighboursReport {
        neighbours: vec![
            neighbour(
                "172.16.0.11",
                inside,
                NeighbourState::Reachable,
                &["server of nginx"],
            ),
            neighbour(
                "172.16.0.12",
                inside,
                NeighbourState::Failed,
                &[
                    "server of nginx, kube-apiserver, web and 17 more services",
                    "gateway of default",
                ],
            ),
            neighbour(
                "2001:db8:1111:2222:3333:4444:5555:6666",
                None,
                NeighbourState::Stale,
                &["gateway of default"],
            ),
            neighbour("172.16.0.77", inside, NeighbourState::Incomplete, &[]),
        ],
        without_entry: vec!["172.16.0.13".parse().unwrap()],
    }
}

fn hop(via: Option<&str>) -> Hop {
    Hop {
        via: via.map(|via| via.parse().unwrap()),
        link: Some("eth1".into()),
        interface: Some("inside".into()),
    }
}

fn entry(to: &str, via: Option<&str>, origin: &str) -> RouteEntry {
    RouteEntry {
        to: to.into(),
        kind: "unicast".into(),
        hops: vec![hop(via)],
        source: via.is_none().then(|| "172.16.0.254".parse().unwrap()),
        metric: None,
        origin: origin.into(),
        table: 254,
    }
}

pub fn routes() -> Vec<RouteEntry> {
    let mut shared = entry("10.0.0.0/8", Some("172.16.0.2"), "static");
    shared.hops.push(hop(Some("172.16.0.3")));
    shared.metric = Some(100);
    let mut hole = entry("10.66.0.0/16", None, "boot");
    (hole.kind, hole.source) = ("blackhole".into(), None);
    hole.hops[0] = Hop {
        via: None,
        link: None,
        interface: None,
    };
    let mut v6 = entry("::/0", Some("2001:db8:1111:2222:3333:4444:5555:6666"), "ra");
    (v6.metric, v6.table) = (Some(1024), 100);
    vec![
        entry("0.0.0.0/0", Some("192.168.0.254"), "lb.toml"),
        entry("172.16.0.0/24", None, "kernel"),
        shared,
        hole,
        v6,
    ]
}

pub fn routes_to() -> Vec<(&'static str, RouteTo)> {
    let near = RouteTo {
        address: "172.16.0.11".parse().unwrap(),
        kind: "unicast".into(),
        hop: hop(None),
        source: Some("172.16.0.254".parse().unwrap()),
        mtu: Some(1400),
        route: Some(entry("172.16.0.0/24", None, "kernel")),
        neighbour: Some(neighbours().neighbours[0].clone()),
        roles: vec!["server of nginx".into()],
    };
    let far = RouteTo {
        address: "203.0.113.7".parse().unwrap(),
        hop: hop(Some("172.16.0.12")),
        mtu: None,
        route: Some(entry("0.0.0.0/0", Some("172.16.0.12"), "lb.toml")),
        neighbour: Some(neighbours().neighbours[1].clone()),
        roles: vec![],
        ..near.clone()
    };
    let fresh = RouteTo {
        neighbour: None,
        ..far.clone()
    };
    let own = RouteTo {
        kind: "local".into(),
        ..near.clone()
    };
    vec![
        ("route-near.txt", near),
        ("route-far.txt", far),
        ("route-fresh.txt", fresh),
        ("route-own.txt", own),
    ]
}

pub fn path() -> PathReport {
    let step = |stage: &str, what: &str, rule: Option<&str>, connections| PathStep {
        stage: stage.into(),
        what: what.into(),
        rule: rule.map(Into::into),
        connections,
    };
    let server = |address: &str, why_not: Option<&str>, sees_client| PathServer {
        address: address.into(),
        weight: u32::from(why_not.is_none()),
        why_not: why_not.map(Into::into),
        link: Some("eth1".into()),
        sees_client,
    };
    PathReport {
        packet: "tcp to 192.168.0.1:30080 from 192.168.0.10".into(),
        steps: vec![
            step("arrives", "on eth0, the way to 192.168.0.10", None, None),
            step("input", "let in", Some("accept to services4"), None),
            step(
                "service",
                "nginx: scheduler wlc, nat, mode primary",
                None,
                Some(1_234),
            ),
        ],
        servers: vec![
            server("172.16.0.11:30080", None, true),
            server(
                "172.16.0.12:30080",
                Some("down: no answer within 10s; is the server on, and is its port right?"),
                true,
            ),
            server("[2001:db8:1111:2222:3333:4444:5555:6666]:65535", None, false),
        ],
        passes: true,
        end: "goes to one of 2 servers, by wlc".into(),
        goes_to: None,
    }
}

fn step(at_ms: f64, what: &str, lines: &[&str]) -> ProbeStep {
    ProbeStep {
        at_ms,
        what: what.into(),
        lines: lines.iter().map(|line| (*line).into()).collect(),
    }
}

/// Over HTTPS to a server of the file.
pub fn probe() -> ProbeReport {
    ProbeReport {
        kind: "https".into(),
        target: "172.16.0.1:6443".into(),
        service: Some("kube-apiserver".into()),
        server: Some("172.16.0.1:6443".into()),
        of_several: None,
        health: Some(HealthWord::Up),
        timeout_ms: 3_000,
        source: Some("172.16.0.254".parse().unwrap()),
        bound_to: None,
        route: routes_to().into_iter().next().map(|(_, to)| to),
        steps: vec![
            step(
                0.41,
                "connect",
                &["TCP connection from 172.16.0.254:41230 to 172.16.0.1:6443"],
            ),
            step(
                3.2,
                "certificate",
                &[
                    "subject: kube-apiserver",
                    "issuer: kubernetes",
                    "names: kubernetes, kubernetes.default, kubernetes.default.svc, kubernetes.default.svc.cluster.local, master, 10.96.0.1, 172.16.0.1",
                    "valid: 2026-01-31 to 2027-01-31, ends in 66 days",
                    "SHA-256: 5d1c0d3a1f9ce7f3c9a47c5b9c41a8d0a7d2f1d97b2cbe0f2b4f70f8a5a7c0de",
                    "expected: a chain to `ca`, and the server's address among its names (no `server_name`)",
                ],
            ),
            step(
                3.9,
                "tls",
                &["TLS 1.3, TLS13_AES_128_GCM_SHA256", "ALPN: http/1.1"],
            ),
            step(
                4.0,
                "request",
                &[
                    "GET /readyz HTTP/1.1",
                    "host: 172.16.0.1:6443",
                    "authorization: (not shown)",
                    "expected: status 200-299",
                ],
            ),
            step(
                12.6,
                "answer",
                &[
                    "HTTP/1.1 500 Internal Server Error",
                    "content-type: text/plain; charset=utf-8",
                ],
            ),
            step(
                12.7,
                "body",
                &[
                    "begins with (the check does not look at it): \"[+]ping ok\\n[-]etcd failed: reason withheld\\n\"",
                ],
            ),
        ],
        verdict: ProbeVerdict::Fail,
        reason: "status 500 instead of 200-299".into(),
        took_ms: 12.8,
    }
}

/// One whose link is gone, and that is not in the file.
pub fn probe_not_made() -> ProbeReport {
    ProbeReport {
        kind: "icmp".into(),
        target: "172.16.0.11".into(),
        service: None,
        server: None,
        of_several: None,
        health: None,
        route: None,
        source: None,
        steps: vec![],
        verdict: ProbeVerdict::CannotCheck,
        reason: "eth1 has no carrier".into(),
        ..probe()
    }
}
