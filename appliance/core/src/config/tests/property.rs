//! Any text: no panic, nothing raw on the terminal, nothing wider than it. Any valid configuration: written as a file, it
//! reads as itself.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use unicode_width::UnicodeWidthStr;

use super::asked::{asked, written_kind};
use super::stacked::{stack, write_kind};
use super::*;
use crate::check::{CheckKind, CheckList, CheckParams};
use crate::model::{
    Endpoint, Forward, Limit, MacAddress, MarkKey, Persistence, PortRange, Protocol, RealKey, Scheduler,
    VirtualKey, VirtualSettings, Weight,
};
use crate::observed::IpvsTimeouts;
use crate::pool::Tier;

/// What must hold for every file.
fn harmless(bytes: &[u8]) -> Result<(), TestCaseError> {
    let text = String::from_utf8_lossy(bytes);
    let Err(faults) = parse_bytes(bytes) else {
        return Ok(());
    };
    prop_assert!(faults.count() > 0);
    let rendered = faults.render("lb.toml", &text);
    for line in rendered.lines() {
        prop_assert!(line.width() <= 80, "{} columns: {}", line.width(), line);
        prop_assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    let lines = text.lines().count().max(1) + 1;
    for report in faults.reports(&text) {
        prop_assert!(
            (1..=lines).contains(&report.line) && report.column >= 1,
            "{report:?}"
        );
        prop_assert!(!report.message.is_empty() && !report.help.is_empty());
    }
    Ok(())
}

/// Pieces of files, good and bad, of which wilder ones are made.
pub(in super::super) fn piece() -> impl Strategy<Value = String> {
    let words = [
        "[[interface]]\n",
        "[interface]\n",
        "[[virtual_server]]\n",
        "[[virtual_server.real_server]]\n",
        "[virtual_server.check]\n",
        "[[masquerade]]\n",
        "name = \"eth0\"\n",
        "name",
        " = ",
        "\"",
        "'",
        "\"\"\"",
        "[",
        "]",
        "{",
        "}",
        ",",
        "\n",
        "\r",
        "\r\n",
        "#",
        "\\",
        "addresses = [\"10.0.0.1/24\"]\n",
        "listen = \"10.0.0.1:80\"\n",
        "address = \"10.0.0.2:80\"\n",
        "check = { interval = \"1s\" }\n",
        "\"10s\"",
        "1e9",
        "-1",
        "0x",
        "2026-01-01",
        "inf",
        "true",
        "\u{0}",
        "\u{1b}[2J",
        "\u{feff}",
        "\u{202e}",
        "\t",
        "漢字",
        "é",
        "e\u{301}",
        "👩‍👩‍👧",
        ".",
        "=",
        "gateway = \"10.0.0.254\"\n",
        "out = \"eth0\"\n",
        "from = \"10.0.0.0/8\"\n",
        "match = { mac = 1 }\n",
        "vlan = { link = \"eth0\", id = 5 }\n",
        "bond = { links = [\"eth0\", \"bond0\"] }\n",
        "bridge = { links = [\"eth0\", \"eth1\"] }\n",
    ];
    prop_oneof![
        8 => prop::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => "[a-z_]{1,12} = [ -~]{0,30}\n",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(512), ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        harmless(&bytes)?;
    }

    #[test]
    fn any_pieces_are_harmless(pieces in prop::collection::vec(piece(), 0..40)) {
        harmless(pieces.concat().as_bytes())?;
    }

    #[test]
    fn a_damaged_file_is_harmless(cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..60, piece()), 1..6)) {
        let mut bytes = include_bytes!("../../../../../tests/configs/good/scenario.toml").to_vec();
        for (at, length, piece) in cuts {
            let start = at.index(bytes.len() + 1);
            let end = (start + length).min(bytes.len());
            bytes.splice(start..end, piece.into_bytes());
        }
        harmless(&bytes)?;
    }

    #[test]
    fn any_valid_configuration_reads_as_itself(config in config()) {
        let text = written(&config);
        match parse(&text) {
            Ok(read) => prop_assert_eq!(read, config, "{}", text),
            Err(faults) => prop_assert!(false, "{}\n{}", faults.render("lb.toml", &text), text),
        }
    }
}

fn time(range: std::ops::RangeInclusive<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

/// `named`: the check says what it looks at.
fn check(v4: bool, named: bool) -> impl Strategy<Value = CheckParams> {
    let way = (any::<bool>(), any::<bool>(), prop::option::of(any::<u8>()));
    let target = (any::<bool>(), prop::option::of(1u16..), asked(), way);
    let times = (
        time(100..=1_800_000),
        time(10..=300_000),
        time(10..=3_600_000),
        0u64..=100,
    );
    (times, 0u32..=100, 1u32..=100, target).prop_map(
        move |((interval, timeout, retry_interval, percent), retries, rise, (unchecked, port, kind, way))| {
            let needs_port = named || matches!(kind, CheckKind::Agent(_));
            let kind = match unchecked || (needs_port && port.is_none()) {
                true => CheckKind::None,
                false => kind,
            };
            // An echo has no port.
            let port = port.filter(|_| kind != CheckKind::Icmp);
            let (from, through, to) = way;
            let jitter = Duration::from_millis(interval.as_millis() as u64 * percent / 100);
            CheckParams {
                kind,
                address: to.map(|number| host(9, v4, number.into())),
                port,
                source: from.then(|| host(0, v4, 0)),
                interface: through.then(|| "nic0".to_owned()),
                interval,
                timeout,
                retries,
                retry_interval,
                rise,
                jitter,
                down_interval: (retries % 3 == 1).then_some(interval * 2),
                hold_down: timeout,
                hold_down_max: timeout * (1 + rise),
            }
        },
    )
}

/// The address of a host in the network of the interface with this index.
fn host(interface: usize, v4: bool, number: u16) -> IpAddr {
    let index = interface as u16;
    let [high, low] = (number % 60_000 + 1).to_be_bytes();
    match v4 {
        true => IpAddr::V4(Ipv4Addr::new(10, interface as u8, high, low)),
        false => IpAddr::V6(Ipv6Addr::new(
            0x2001,
            0xdb8,
            index,
            0,
            0,
            0,
            0,
            number % 60_000 + 1,
        )),
    }
}

fn interface(index: usize) -> impl Strategy<Value = Interface> {
    let mtu = prop::option::of(1_280u32..=65_535);
    let clamp = prop::option::of(prop_oneof![
        Just(MssClamp::Mtu),
        (500u16..=9_000).prop_map(MssClamp::Bytes)
    ]);
    let hops = (
        any::<bool>(),
        prop::collection::btree_map(0u8..=255, any::<u16>(), 0..4),
    );
    (0u8..3, (mtu, clamp), hops).prop_map(move |(kind, (mtu, mss_clamp), (gateway, routes))| {
        let mac = MacAddress([2, 0, 0, 0, 0, index as u8]);
        let (label, selector) = match kind {
            0 => (
                format!("eth{index}"),
                LinkSelector::Name(format!("eth{index}").parse().unwrap()),
            ),
            1 => (format!("eth{index}"), LinkSelector::Mac(mac)),
            _ => (mac.to_string(), LinkSelector::Mac(mac)),
        };
        let prefix = |v4, length| ipnet::IpNet::new(host(index, v4, 0), length).unwrap();
        let route = |(third, via): (u8, u16)| Route {
            to: ipnet::IpNet::new(IpAddr::V4(Ipv4Addr::new(172, index as u8, third, 0)), 24).unwrap(),
            via: host(index, true, 10 + via % 1_000),
        };
        Interface {
            label,
            selector,
            kind: InterfaceKind::Card,
            addresses: vec![
                prefix(true, 16),
                prefix(false, 64),
                host(index, true, 1).into(),
                host(index, true, 3).into(),
            ],
            gateway: (gateway && index == 0).then(|| host(index, true, 50_000)),
            mtu,
            mss_clamp,
            routes: routes.into_iter().map(route).collect(),
        }
    })
}

/// None twice, and one that is never made alone.
fn listed(checks: Vec<CheckParams>) -> CheckList {
    let mut kept: Vec<CheckParams> = Vec::new();
    for check in checks {
        if kept.is_empty() || check.kind != CheckKind::None && !kept.iter().any(|other| other.asks_as(&check))
        {
            kept.push(check);
        }
    }
    if kept[0].kind == CheckKind::None {
        kept.truncate(1);
    }
    let mut kept = kept.into_iter().map(Arc::new);
    CheckList::new(kept.next().unwrap(), kept)
}

/// `bare`: without a port.
fn real_server(v4: bool, named: bool, bare: bool) -> impl Strategy<Value = RealServer> {
    let weight = (0..=Weight::MAX).prop_map(|n| Weight::new(n).unwrap());
    let place = (0usize..4, 2_000u16..40_000, 1u16..);
    (
        place,
        weight,
        any::<bool>(),
        prop::collection::vec(check(v4, named), 1..4),
    )
        .prop_map(move |((net, number, port), weight, inhibit, checks)| RealServer {
            address: RealKey {
                address: host(net, v4, number),
                port: if bare { 0 } else { port },
            },
            weight,
            forward: Forward::Nat,
            when_down: if inhibit {
                WhenDown::Inhibit
            } else {
                WhenDown::Remove
            },
            limit: Limit {
                most: u32::from(number) * u32::from(inhibit),
                resume: u32::from(number / 2) * u32::from(inhibit),
            },
            tier: if weight.value() % 5 == 0 {
                Tier::Backup
            } else {
                Tier::Primary
            },
            checks: listed(checks),
        })
}

/// One port or several ranges that are apart, with one protocol or more.
fn ranges(interfaces: usize) -> impl Strategy<Value = Vec<PortRange>> {
    let ports = prop::collection::btree_set(1u16.., 1..5);
    let protocols = prop::sample::subsequence(Protocol::ALL.to_vec(), 1..=3);
    (0..interfaces, any::<bool>(), ports, protocols).prop_map(|(net, v4, ports, protocols)| {
        let ports: Vec<u16> = ports.into_iter().collect();
        let range = |pair: &[u16]| {
            let (first, last) = (pair[0], *pair.last().unwrap());
            let address = host(net, v4, 0);
            protocols.clone().into_iter().map(move |protocol| PortRange {
                address,
                protocol,
                first,
                last,
            })
        };
        ports.chunks(2).flat_map(range).collect()
    })
}

fn key(listen: &[PortRange]) -> VirtualKey {
    match listen {
        [only] if only.first == only.last => VirtualKey::Endpoint(Endpoint {
            address: only.address,
            port: only.first,
            protocol: only.protocol,
        }),
        _ => VirtualKey::Mark(MarkKey {
            mark: 0,
            ipv6: listen[0].address.is_ipv6(),
        }),
    }
}

fn virtual_server(interfaces: usize) -> impl Strategy<Value = VirtualServer> {
    let settings = (
        prop::sample::select(Scheduler::ALL.to_vec()),
        prop::option::of((1u32..=2_678_400, 1u8..=32)),
        any::<[bool; 2]>(),
        super::pools::rules(),
    );
    (ranges(interfaces), settings, "[a-zA-Z0-9][a-zA-Z0-9._:/-]{0,20}").prop_flat_map(
        |(listen, (scheduler, persistence, [one_packet, syn_proxy], pool), name)| {
            let all = |protocol| listen.iter().all(|range| range.protocol == protocol);
            let key = key(&listen);
            let grouped = matches!(key, VirtualKey::Mark(_));
            let syn_proxy = syn_proxy && !grouped && all(Protocol::Tcp);
            let bare = grouped && (persistence.is_some() || listen[0].first % 2 == 0);
            let told_apart = !grouped
                || bare
                    && !listen
                        .iter()
                        .any(|a| listen.iter().any(|b| a != b && share_a_port(a, b)));
            let settings = VirtualSettings {
                scheduler,
                persistence: persistence.map(|(timeout_s, prefix)| Persistence { timeout_s, prefix }),
                one_packet: one_packet && all(Protocol::Udp) && told_apart,
            };
            let servers = real_server(!key.is_ipv6(), bare || !all(Protocol::Tcp), bare);
            prop::collection::vec(servers, 0..5).prop_map(move |servers| {
                let identity = |server: &RealServer| match grouped {
                    true => (server.address.address, 0),
                    false => (server.address.address, server.address.port),
                };
                let unique: BTreeMap<_, RealServer> =
                    servers.into_iter().map(|s| (identity(&s), s)).collect();
                VirtualServer {
                    name: name.clone(),
                    key,
                    listen: listen.clone(),
                    settings,
                    syn_proxy,
                    pool: pool.clone(),
                    real_servers: unique.into_values().collect(),
                }
            })
        },
    )
}

fn share_a_port(a: &PortRange, b: &PortRange) -> bool {
    a.first <= b.last && b.first <= a.last
}

fn apart(a: &VirtualServer, b: &VirtualServer) -> bool {
    let meet = |a: &PortRange, b: &PortRange| {
        (a.address, a.protocol) == (b.address, b.protocol) && share_a_port(a, b)
    };
    let ports_meet = a.listen.iter().any(|a| b.listen.iter().any(|b| meet(a, b)));
    let answers = |service: &VirtualServer| -> Vec<PortRange> {
        let servers = service.real_servers.iter();
        servers
            .flat_map(|real| service.answers(real))
            .map(|(answers, _)| answers)
            .collect()
    };
    let told_apart = !a.settings.one_packet && !b.settings.one_packet
        || !answers(a).iter().any(|a| answers(b).iter().any(|b| meet(a, b)));
    !ports_meet && told_apart
}

pub(super) fn config() -> impl Strategy<Value = Config> {
    (1usize..4, "[a-zA-Z0-9]([a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?").prop_flat_map(|(count, hostname)| {
        let interfaces = ((0..count).map(interface).collect::<Vec<_>>(), stack());
        let interfaces = interfaces.prop_map(|(cards, stack)| [cards, stack].concat());
        let services = prop::collection::vec(virtual_server(count), 0..6);
        let outs = prop::collection::btree_set((0u8..200, 0..count, 0u8..8), 0..3);
        (interfaces, services, outs).prop_map(move |(interfaces, services, outs)| {
            let mut virtual_servers: Vec<Arc<VirtualServer>> = Vec::new();
            for mut service in services {
                for server in &mut service.real_servers {
                    let checks = server.checks.iter().map(|check| CheckParams {
                        interface: check.interface.as_ref().map(|_| interfaces[0].label.clone()),
                        ..CheckParams::clone(check)
                    });
                    server.checks = listed(checks.collect());
                }
                let fits = |other: &VirtualServer| apart(other, &service) && other.name != service.name;
                if virtual_servers.iter().all(|other| fits(other)) {
                    virtual_servers.push(Arc::new(service));
                }
            }
            super::super::marks::assign(&mut virtual_servers);
            let mut seen = std::collections::BTreeSet::new();
            let outs: Vec<_> = outs
                .into_iter()
                .filter(|(second, out, _)| seen.insert((*second, *out)))
                .collect();
            let masquerade = |(second, out, lent): (u8, usize, u8)| Masquerade {
                from: ipnet::IpNet::new(IpAddr::V4(Ipv4Addr::new(172, second, 0, 0)), 16).unwrap(),
                out: interfaces[out].label.clone(),
                to: [0u16, 1, 3]
                    .iter()
                    .enumerate()
                    .filter(|(bit, _)| lent & (1 << bit) != 0)
                    .map(|(_, number)| host(out, true, *number))
                    .collect(),
            };
            Config {
                hostname: HostName::new(&hostname).unwrap(),
                timeouts: IpvsTimeouts {
                    tcp_s: 10 + u32::from(interfaces[0].mtu.unwrap_or(0) as u16),
                    tcp_fin_s: 77,
                    udp_s: 604_800,
                },
                fail_static: Duration::from_millis(u64::from(interfaces[0].mtu.unwrap_or(0))),
                confirm: Default::default(),
                port_forwards: vec![],
                masquerades: outs.into_iter().map(masquerade).collect(),
                interfaces: interfaces.clone(),
                virtual_servers,
            }
        })
    })
}

fn follows(first: IpAddr, last: IpAddr) -> bool {
    matches!((first, last), (IpAddr::V4(a), IpAddr::V4(b)) if u32::from(a) + 1 == u32::from(b))
}

/// The configuration as a file.
pub(super) fn written(config: &Config) -> String {
    let mut text = format!("hostname = \"{}\"\n", config.hostname.as_str());
    let IpvsTimeouts {
        tcp_s,
        tcp_fin_s,
        udp_s,
    } = config.timeouts;
    let fail_static = super::super::time::show(config.fail_static);
    let _ = write!(
        text,
        "[timeouts]\ntcp = \"{tcp_s}s\"\ntcp_fin = \"{tcp_fin_s}s\"\nudp = \"{udp_s}s\"\n[checks]\nfail_static = \"{fail_static}\"\n"
    );
    // Cards of a bond or bridge without an [[interface]].
    let described = |interface: &&Interface| !interface.label.starts_with("nic");
    for interface in config.interfaces.iter().filter(described) {
        text += "[[interface]]\n";
        let named = !interface.label.contains(':');
        if named {
            let _ = writeln!(text, "name = \"{}\"", interface.label);
        }
        if let LinkSelector::Mac(mac) = interface.selector {
            let _ = writeln!(text, "match = {{ mac = \"{mac}\" }}");
        }
        write_kind(&mut text, &interface.kind);
        let addresses: Vec<String> = interface.addresses.iter().map(|a| format!("\"{a}\"")).collect();
        let _ = writeln!(text, "addresses = [{}]", addresses.join(", "));
        interface
            .gateway
            .iter()
            .for_each(|gateway| text.push_str(&format!("gateway = \"{gateway}\"\n")));
        interface
            .mtu
            .iter()
            .for_each(|mtu| text.push_str(&format!("mtu = {mtu}\n")));
        let _ = match interface.mss_clamp {
            None => Ok(()),
            Some(MssClamp::Mtu) => writeln!(text, "mss_clamp = true"),
            Some(MssClamp::Bytes(bytes)) => writeln!(text, "mss_clamp = {bytes}"),
        };
        for Route { to, via } in &interface.routes {
            let _ = write!(text, "[[interface.routes]]\nto = \"{to}\"\nvia = \"{via}\"\n");
        }
    }
    for Masquerade { from, out, to } in &config.masquerades {
        let _ = write!(text, "[[masquerade]]\nfrom = \"{from}\"\nout = \"{out}\"\n");
        let quoted: Vec<String> = to.iter().map(|address| format!("\"{address}\"")).collect();
        let _ = match to.as_slice() {
            [] => Ok(()),
            [only] => writeln!(text, "to = \"{only}\""),
            [first, last] if follows(*first, *last) => writeln!(text, "to = \"{first}-{last}\""),
            _ => writeln!(text, "to = [{}]", quoted.join(", ")),
        };
    }
    for service in &config.virtual_servers {
        let list = |words: &str| {
            let words: Vec<String> = words.split(", ").map(|word| format!("\"{word}\"")).collect();
            match words.as_slice() {
                [only] => only.clone(),
                all => format!("[{}]", all.join(", ")),
            }
        };
        let _ = write!(
            text,
            "[[virtual_server]]\nname = \"{}\"\nlisten = {}\n",
            service.name,
            list(&service.ports())
        );
        let VirtualSettings {
            scheduler,
            persistence,
            one_packet,
        } = service.settings;
        let protocol = list(&service.protocols());
        let _ = write!(
            text,
            "scheduler = \"{scheduler}\"\nprotocol = {protocol}\none_packet = {one_packet}\nsyn_proxy = {}\n",
            service.syn_proxy
        );
        text.push_str(&super::pools::written(&service.pool));
        if let Some(Persistence { timeout_s, prefix }) = persistence {
            let _ = writeln!(
                text,
                "persistence = {{ timeout = \"{timeout_s}s\", prefix = {prefix} }}"
            );
        }
        service
            .real_servers
            .iter()
            .for_each(|server| write_server(&mut text, server));
    }
    text
}

fn write_server(text: &mut String, server: &RealServer) {
    let when_down = match server.when_down {
        WhenDown::Inhibit => "inhibit",
        WhenDown::Remove => "remove",
    };
    let (address, weight) = (server.address, server.weight);
    let _ = write!(
        text,
        "[[virtual_server.real_server]]\naddress = \"{address}\"\nweight = {weight}\nbackup = {}\n",
        server.tier == Tier::Backup
    );
    if server.limit.most > 0 {
        let Limit { most, resume } = server.limit;
        let _ = write!(text, "max_connections = {most}\nresume_connections = {resume}\n");
    }
    let _ = writeln!(text, "when_down = \"{when_down}\"");
    let header = match server.checks.all() {
        [_] => "[virtual_server.real_server.check]\n",
        _ => "[[virtual_server.real_server.check]]\n",
    };
    for check in &server.checks {
        text.push_str(header);
        write_check(text, check);
    }
}

fn write_check(text: &mut String, check: &CheckParams) {
    for (key, time) in [
        ("interval", check.interval),
        ("timeout", check.timeout),
        ("retry_interval", check.retry_interval),
        ("jitter", check.jitter),
        ("hold_down", check.hold_down),
        ("hold_down_max", check.hold_down_max),
    ] {
        let _ = writeln!(text, "{key} = \"{}\"", super::super::time::show(time));
    }
    if let Some(time) = check.down_interval {
        let _ = writeln!(text, "down_interval = \"{}\"", super::super::time::show(time));
    }
    let _ = write!(text, "retries = {}\nrise = {}\n", check.retries, check.rise);
    text.push_str(&written_kind(&check.kind));
    if let Some(port) = check.port {
        let _ = writeln!(text, "port = {port}");
    }
    for (key, address) in [("address", check.address), ("source", check.source)] {
        if let Some(address) = address {
            let _ = writeln!(text, "{key} = \"{address}\"");
        }
    }
    if let Some(label) = &check.interface {
        let _ = writeln!(text, "interface = {label:?}");
    }
}
