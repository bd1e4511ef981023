//! Reports for tests: the network of the sample file, an appliance in trouble, and everything as long as it can be.

use lb_core::control::*;
use lb_core::traffic::{LinkRates, Tracking, Traffic, TrafficRates};

/// Counters with as many digits as this.
pub fn counted(scale: u64) -> Traffic {
    Traffic {
        connections: 12 * scale,
        in_packets: 123 * scale,
        in_bytes: 9_876 * scale,
        out_packets: 110 * scale,
        out_bytes: 54_321 * scale,
    }
}

pub fn paced(scale: f64) -> TrafficRates {
    TrafficRates {
        connections_per_second: 0.25 * scale,
        in_packets_per_second: 12.5 * scale,
        in_bytes_per_second: 1_234.0 * scale,
        out_packets_per_second: 11.5 * scale,
        out_bytes_per_second: 5_678.9 * scale,
        over_ms: 4_000,
    }
}

pub fn server(
    address: &str,
    health: HealthWord,
    weight: (u32, u32),
    check: Option<LastCheckReport>,
) -> ServerReport {
    ServerReport {
        address: address.into(),
        health,
        since_ms: 11_040_000,
        weight: weight.0,
        configured_weight: weight.1,
        active_connections: 12,
        inactive_connections: 30,
        traffic: (weight.0 > 0).then(|| counted(1_000)),
        rates: (weight.0 > 0).then(|| paced(1.0)),
        last_check: check,
        several: None,
        standing: StandingReport::default(),
    }
}

pub fn connected() -> Option<LastCheckReport> {
    Some(LastCheckReport {
        ok: true,
        reason: "connected".into(),
        latency_ms: 0.42,
        age_ms: 3000,
    })
}

pub fn failed(reason: &str) -> Option<LastCheckReport> {
    Some(LastCheckReport {
        ok: false,
        reason: reason.into(),
        latency_ms: 10_000.0,
        age_ms: 7000,
    })
}

pub fn service(name: &str, listen: &str, servers: Vec<ServerReport>) -> ServiceReport {
    ServiceReport {
        mode: "primary".to_owned(),
        quorum: 1,
        weight_up: 1,
        name: name.into(),
        listen: listen.into(),
        protocol: "tcp".into(),
        fwmark: None,
        scheduler: "rr".into(),
        forward: "nat".into(),
        traffic: Some(counted(1_000_000)),
        rates: Some(paced(1_000.0)),
        servers,
    }
}

pub fn services() -> ServicesReport {
    let kube = vec![server("172.16.0.1:6443", HealthWord::Up, (1, 1), connected())];
    let nginx = vec![
        server("172.16.0.11:30080", HealthWord::Up, (1, 1), connected()),
        server(
            "172.16.0.12:30080",
            HealthWord::Down,
            (0, 1),
            failed("no answer within 10s"),
        ),
    ];
    ServicesReport {
        read_at_ms: 11_100_000,
        services: vec![
            service("kube-apiserver", "192.168.0.1:6443", kube),
            service("nginx", "192.168.0.1:30080", nginx),
        ],
    }
}

pub const LONG_IPV6: &str = "[2001:db8:1111:2222:3333:4444:5555:6666]:65535";

pub fn long_services(number: usize) -> ServicesReport {
    let servers = || {
        vec![
            server(
                LONG_IPV6,
                HealthWord::CannotCheck,
                (0, 65_535),
                failed("eth-with-long-1 has no carrier; plug it in or remove it from lb.toml"),
            ),
            server(
                "255.255.255.255:65535",
                HealthWord::Unproven,
                (65_535, 65_535),
                None,
            ),
        ]
    };
    let name = |at: usize| format!("service-{at}-{}", "long-name-".repeat(8));
    ServicesReport {
        read_at_ms: 11_100_000,
        services: (0..number)
            .map(|at| service(&name(at), LONG_IPV6, servers()))
            .collect(),
    }
}

pub fn init() -> InitReport {
    let stage = |name: &str, at_ms, took_ms| StageReport {
        name: name.into(),
        at_ms,
        took_ms,
        failed: None,
    };
    InitReport {
        stages: vec![
            stage("Mounts", 1810, 12),
            stage("Console", 1822, 3),
            stage("Config volume", 1825, 40),
            stage("Agent", 1865, 180),
            stage("Ready", 2045, 265),
        ],
        config_volume: VolumeReport {
            state: VolumeState::Persistent,
            detail: String::new(),
        },
        agent_pid: Some(61),
        slot: Some("a".into()),
        ..InitReport::default()
    }
}

pub fn status() -> StatusReport {
    StatusReport {
        hostname: "lb".into(),
        version: "0.1.0".into(),
        uptime_ms: 11_100_000,
        config: ConfigStatus {
            source: ConfigSource::File,
            persistent: true,
            age_ms: Some(11_040_000),
            pending: None,
            replaced: None,
        },
        problems: vec![],
        services: 2,
        servers_up: 3,
        servers_down: 0,
        servers_drained: 0,
        servers: 3,
        reconcile: ReconcileStatus {
            age_ms: Some(12_000),
            repairs: 0,
            failed: vec![],
        },
        agent: AgentStatus {
            pid: 61,
            uptime_ms: 11_097_000,
            resident_kb: 7900,
            init_resident_kb: 2100,
            checks_late_ms: 9.4,
        },
        conntrack_count: 42,
        conntrack_max: 65_536,
        console: ConsoleReport::default(),
        init: Some(init()),
    }
}

pub fn troubled() -> StatusReport {
    let mut report = status();
    report.problems = vec![
        "lb.toml has faults and is not used; `config check` shows them, `config put` replaces it".into(),
        "the configuration in force is the last one that was applied successfully".into(),
        "nginx has no server that is up; `services nginx` says why".into(),
        "eth1 is missing: no link has the MAC 52:54:00:00:00:02; add the network card or correct lb.toml"
            .into(),
    ];
    report.config = ConfigStatus {
        source: ConfigSource::LastApplied,
        persistent: false,
        age_ms: Some(5000),
        pending: None,
        replaced: None,
    };
    report.servers_up = 1;
    report.servers_down = 2;
    report.reconcile = ReconcileStatus {
        age_ms: None,
        repairs: 3,
        failed: vec!["add real 172.16.0.12:30080 weight 1 to 192.168.0.1:30080/tcp: ENOMEM".into()],
    };
    report.conntrack_count = 64_000;
    let mut init = init();
    init.agent_restarts = 2;
    init.agent_last_exit = Some("killed by SIGKILL".into());
    init.stages[2].failed =
        Some("/dev/vda6 is damaged; the configuration was restored from the mirror".into());
    report.init = Some(init);
    report
}

pub fn interfaces() -> InterfacesReport {
    let link = |label: Option<&str>, link: Option<&str>, state: &str, addresses: &[&str]| InterfaceReport {
        label: label.map(Into::into),
        link: link.map(Into::into),
        mac: link.map(|_| "52:54:00:00:00:01".into()),
        state: state.into(),
        mtu: link.map(|_| 1500),
        stack: StackReport::default(),
        addresses: addresses.iter().map(|a| (*a).into()).collect(),
        rx_bytes: 1_234_567_890,
        rx_packets: 3_456_789,
        rx_errors: 0,
        rx_dropped: 17,
        tx_bytes: 999,
        tx_packets: 12,
        tx_errors: 0,
        tx_dropped: 0,
        rates: None,
        carrier_age: None,
    };
    InterfacesReport {
        read_at_ms: 11_100_000,
        interfaces: vec![
            link(
                Some("eth0"),
                Some("eth0"),
                "up",
                &[
                    "192.168.0.1/24",
                    "2001:db8:1111:2222:3333:4444:5555:6666/128",
                    "2001:db8::1/64",
                ],
            ),
            link(
                Some("inside"),
                Some("enp0s3f1np1d1"),
                "no-carrier",
                &["172.16.0.254/24"],
            ),
            link(Some("eth2"), None, "missing", &[]),
            link(None, Some("eth3"), "down", &[]),
            stacked(link(Some("bond0"), Some("bond0"), "up", &[])),
            on_bond(link(Some("net100"), Some("net100"), "up", &["172.16.1.254/24"])),
        ],
    }
}

pub fn interfaces_rated() -> InterfacesReport {
    let mut report = interfaces();
    for interface in report.interfaces.iter_mut().filter(|i| i.link.is_some()) {
        interface.rates = Some(LinkRates {
            rx_bits_per_second: 123_456_789.0,
            rx_packets_per_second: 10_234.5,
            lost_packets_per_second: 0.0,
            tx_bits_per_second: 480.0,
            tx_packets_per_second: 0.5,
            over_ms: 1_000,
        });
    }
    report
}

pub fn gateway_rated() -> GatewayReport {
    let mut report = gateway();
    report.masquerades[0].connections_per_second = Some(12.0);
    report.hairpins[0].connections_per_second = Some(0.0);
    report.conntrack.dropped = 1_234;
    report.conntrack.early_dropped = 5;
    report.backlog_dropped = 67;
    report
}

fn stacked(interface: InterfaceReport) -> InterfaceReport {
    let member = |link: &str, state: &str| MemberReport {
        link: link.into(),
        state: state.into(),
    };
    let bond = BondReport {
        mode: "active-backup".into(),
        active: Some("enp0s3f1np1d1".into()),
        links: vec![
            member("enp0s3f1np1d1", "up"),
            member("enp0s3f1np1d2", "no-carrier"),
            member("eth9", "missing"),
        ],
    };
    InterfaceReport {
        stack: StackReport {
            kind: "bond".into(),
            bond: Some(bond),
            ..StackReport::default()
        },
        ..interface
    }
}

fn on_bond(interface: InterfaceReport) -> InterfaceReport {
    let vlan = VlanReport {
        link: "bond0".into(),
        id: 100,
    };
    InterfaceReport {
        stack: StackReport {
            kind: "vlan".into(),
            vlan: Some(vlan),
            master: Some("br0".into()),
            ..StackReport::default()
        },
        ..interface
    }
}

pub fn gateway() -> GatewayReport {
    GatewayReport {
        read_at_ms: 11_100_000,
        forwarding: true,
        masquerades: vec![
            TranslationReport {
                from: "172.16.0.0/24".into(),
                out: "eth0".into(),
                to: vec![],
                active: true,
                connections: 12_345,
                connections_per_second: None,
            },
            TranslationReport {
                from: "2001:db8:1111:2222::/64".into(),
                out: "eth-outside".into(),
                to: vec!["2001:db8::9".into()],
                active: false,
                connections: 0,
                connections_per_second: None,
            },
        ],
        hairpins: vec![TranslationReport {
            from: "172.16.0.0/24".into(),
            out: "eth1".into(),
            to: vec![],
            active: true,
            connections: 1,
            connections_per_second: None,
        }],
        forwards: vec![ForwardReport {
            listen: "192.168.0.1:2222".into(),
            protocol: "tcp".into(),
            to: "172.16.0.11:22".into(),
            from: vec!["192.168.0.0/24".into()],
            active: true,
            connections: 7,
            connections_per_second: None,
        }],
        routes: vec![RouteReport {
            to: "0.0.0.0/0".into(),
            via: "192.168.0.254".into(),
            link: "eth0".into(),
            active: true,
        }],
        conntrack: Tracking {
            count: 42,
            max: 65_536,
            ..Tracking::default()
        },
        backlog_dropped: 0,
    }
}

pub fn connections() -> ConnectionsReport {
    let connection = |client: &str, service: &str, server: &str| ConnectionReport {
        protocol: "tcp".into(),
        client: client.into(),
        service: service.into(),
        server: server.into(),
        state: "ESTABLISHED".into(),
        expires_s: 899,
    };
    ConnectionsReport {
        total: 1234,
        connections: vec![
            connection("192.168.0.10:54321", "192.168.0.1:30080", "172.16.0.11:30080"),
            connection("192.168.0.10:54322", "192.168.0.1:30080", "172.16.0.11:30080"),
            connection(LONG_IPV6, LONG_IPV6, LONG_IPV6),
        ],
    }
}

pub fn check() -> CheckReport {
    let rendered = "lb.toml:3:12: the address has no prefix length\n  3 | addresses = [\"192.168.0.1\"]\n    |              ^^^^^^^^^^^^^\nhelp: 192.168.0.1/24\n";
    CheckReport {
        ok: false,
        faults: vec![FaultReport {
            line: 3,
            column: 12,
            message: "no prefix length".into(),
            help: "192.168.0.1/24".into(),
        }],
        rendered: rendered.into(),
        warnings: vec![],
    }
}

pub fn apply() -> ApplyReport {
    ApplyReport {
        applied: true,
        check: CheckReport {
            ok: true,
            faults: vec![],
            rendered: String::new(),
            warnings: vec!["nginx has no servers; every connection to it will be refused".into()],
        },
        steps: vec![
            "add virtual 192.168.0.1:30080/tcp rr".into(),
            "add real 172.16.0.11:30080 weight 1".into(),
        ],
        changed: vec![],
        failed: vec![],
        persisted: true,
        persist_fault: None,
        mirrored: true,
        state: ChangeState::Applied,
        pending: None,
        number: None,
        former: None,
    }
}

pub fn apply_refused() -> ApplyReport {
    ApplyReport {
        applied: false,
        check: check(),
        steps: vec![],
        changed: vec![],
        failed: vec![],
        persisted: false,
        persist_fault: None,
        mirrored: false,
        state: ChangeState::Applied,
        pending: None,
        number: None,
        former: None,
    }
}

pub fn apply_in_part() -> ApplyReport {
    ApplyReport {
        changed: vec![],
        failed: vec!["add real 172.16.0.11:30080 weight 1 to 192.168.0.1:30080/tcp: ENOMEM".into()],
        persisted: false,
        mirrored: false,
        persist_fault: Some(
            "cannot write /config/lb.toml: the config volume is full; remove files from it (`config files` lists them)".into(),
        ),
        ..apply()
    }
}

pub fn pending() -> PendingReport {
    PendingReport {
        left_ms: 87_000,
        window_ms: 120_000,
        by: "console ttyS0".into(),
        why: "put: new gateway".into(),
        asserted: vec!["gateway_answers".into(), "servers_up".into()],
        assertions: vec![
            AssertionReport {
                text: "gateway_answers: 192.168.0.254 answers".into(),
                holds: true,
            },
            AssertionReport {
                text: "servers_up = 1: nginx has 0 up of 1 needed (2 were up before)".into(),
                holds: false,
            },
        ],
    }
}

/// Only a person confirms it.
pub fn apply_unasserted() -> ApplyReport {
    let pending = PendingReport {
        asserted: vec![],
        assertions: vec![],
        ..pending()
    };
    ApplyReport {
        pending: Some(pending),
        ..apply_pending()
    }
}

pub fn apply_pending() -> ApplyReport {
    ApplyReport {
        persisted: false,
        state: ChangeState::Pending,
        pending: Some(pending()),
        ..apply()
    }
}

/// The config volume is missing.
pub fn apply_in_memory() -> ApplyReport {
    ApplyReport {
        changed: vec![],
        persisted: false,
        persist_fault: Some(
            "the files of /config are in memory only: the boot disk has no partition named config; lb.toml is the last configuration that was applied"
                .into(),
        ),
        mirrored: true,
        ..apply()
    }
}

pub fn apply_confirmed() -> ApplyReport {
    ApplyReport {
        state: ChangeState::Confirmed,
        number: Some(13),
        former: Some(12),
        steps: vec![],
        ..apply()
    }
}

/// The disk has not said that it has it.
pub fn apply_unsure() -> ApplyReport {
    ApplyReport {
        persisted: false,
        persist_fault: Some(
            "the disk has not said that it has it: cannot write /config/lb.toml: Input/output error".into(),
        ),
        ..apply_confirmed()
    }
}

/// A trial is what `status` says first.
pub fn status_pending() -> StatusReport {
    let mut report = status();
    report.problems = vec![
        "PENDING: the configuration in force is on trial, and returns to the former one in 87 s; `config confirm` keeps it, `config \
         abort` returns at once"
            .into(),
    ];
    report.config.source = ConfigSource::Pending;
    report.config.pending = Some(pending());
    report
}

pub fn history() -> HistoryReport {
    let entry = |number: u64, by: &str, why: &str| HistoryEntry {
        number,
        unix_s: 1_795_471_104 + number * 3_600,
        by: by.into(),
        why: why.into(),
        sha256: lb_core::history::sha256(why.as_bytes()),
        bytes: 1_234,
        in_force: number == 12,
    };
    HistoryReport {
        entries: vec![
            entry(
                12,
                "console ttyS0",
                "rollback to 9: the new gateway drops packets of half of the clients",
            ),
            entry(11, "program", "put"),
            entry(9, "agent", "boot"),
        ],
        problems: vec!["000010.toml of the history cannot be used: it is not whole".into()],
    }
}

pub fn diff() -> DiffReport {
    let change = |sign, text: &str| ChangeReport {
        sign,
        text: text.into(),
    };
    DiffReport {
        from: "in force".into(),
        to: "lb.toml".into(),
        check: CheckReport {
            ok: true,
            faults: vec![],
            rendered: String::new(),
            warnings: vec![],
        },
        changes: vec![
            change(
                Sign::Changed,
                "gateway of eth0 192.168.0.254 -> 192.168.0.253: the default route moves at once",
            ),
            change(
                Sign::Added,
                "server 172.16.0.13:30080 of nginx, weight 1: it gets traffic when it has passed its first check",
            ),
            change(
                Sign::Removed,
                "server 172.16.0.11:30080 of nginx: 143 connections drain for up to 300 s",
            ),
        ],
        steps: vec![
            "add route 0.0.0.0/0 via 192.168.0.253 dev eth0".into(),
            "edit real 172.16.0.11:30080 weight 0 nat of 192.168.0.1:30080/tcp".into(),
        ],
        drift: Some(vec!["add address 172.16.0.254/24 to eth1".into()]),
        text: [
            "@@ -3,3 +3,3 @@",
            " name = \"eth0\"",
            "-gateway = \"192.168.0.254\"",
            "+gateway = \"192.168.0.253\"",
        ]
        .map(Into::into)
        .into(),
        text_fault: None,
    }
}

pub fn no_diff() -> DiffReport {
    DiffReport {
        changes: vec![],
        steps: vec![],
        drift: Some(vec![]),
        text: vec![],
        ..diff()
    }
}
mod link;
mod reach;
pub use link::{links, rate_links};
pub use reach::*;
mod sound;
pub use sound::*;
