//! Whether the client's address of a service survives on its way to the server and back, as far as that can be seen from here;
//! each doubt with its remedy. Pure: it judges what was read. Must not: ask the kernel, or repeat what `status` says of health.

mod hops;
mod return_path;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::config::{Config, RealServer, VirtualServer};
use crate::control::{DiagnosisReport, DoctorReport, FindingReport, FindingWord};
use crate::model::{Protocol, RealKey};
use crate::observed::{Activity, Connection, Observed, WayBack};

pub use hops::Hop;

/// Kubernetes' default range of NodePorts (kube-apiserver, --service-node-port-range).
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;

/// What was read.
#[derive(Debug)]
pub struct Facts<'f> {
    pub config: &'f Config,
    pub observed: &'f Observed,
    pub activity: &'f Activity,
    pub wire: &'f Wire,
    /// Services none of whose servers is up.
    pub down: &'f BTreeSet<String>,
}

/// What was asked of the wire.
#[derive(Debug, Default)]
pub struct Wire {
    /// Who else answers for an address of ours; addresses that were not asked about are left out.
    pub others: BTreeMap<IpAddr, Vec<String>>,
    /// What servers do with a client at [`stranger`]; those that were not asked are left out.
    pub ways: BTreeMap<RealKey, WayBack>,
    /// Some of what is balanced now.
    pub connections: Vec<Connection>,
    /// Next hops, and whether each answers on its link; those that were not asked are left out.
    pub hops: Vec<(Hop, bool)>,
}

/// An address for documentation (RFC 5737, RFC 3849, RFC 9637) that lies in no network of the file: a server can have no way of its own
/// to it, and answers by its default gateway. `None`: all of them are in use.
pub fn stranger(config: &Config, is_ipv4: bool) -> Option<IpAddr> {
    const V4: [&str; 3] = ["192.0.2.1", "198.51.100.1", "203.0.113.1"];
    const V6: [&str; 2] = ["2001:db8::1", "3fff::1"];
    let candidates: &[&str] = if is_ipv4 { &V4 } else { &V6 };
    let in_use = |address: &IpAddr| {
        let mut networks = config.interfaces.iter().flat_map(|interface| {
            let routed = interface.routes.iter().map(|route| route.to);
            interface.networks().into_iter().chain(routed)
        });
        networks.any(|network| network.contains(address))
    };
    let addresses = candidates.iter().filter_map(|text| text.parse().ok());
    addresses.into_iter().find(|address| !in_use(address))
}

pub fn examine<'s>(facts: &Facts<'_>, services: impl Iterator<Item = &'s VirtualServer>) -> DoctorReport {
    let table = return_path::Table::of(facts);
    let diagnosis = |service: &VirtualServer| {
        let mut findings = holders(facts, service);
        findings.extend(down(facts, service));
        findings.extend(return_path::examine(facts, &table, service));
        findings.extend(masquerade(facts, service));
        findings.extend(hairpin(facts, service));
        findings.extend(node(service));
        DiagnosisReport {
            service: service.name.clone(),
            findings,
        }
    };
    DoctorReport {
        machine: nothing(facts.config)
            .into_iter()
            .chain(hops::examine(facts))
            .chain([timeouts(facts), rp_filter(facts)])
            .collect(),
        services: services.map(diagnosis).collect(),
    }
}

fn good(what: impl Into<String>) -> FindingReport {
    FindingReport {
        word: FindingWord::Good,
        what: what.into(),
        remedy: None,
    }
}

fn finding(word: FindingWord, what: impl Into<String>, remedy: impl Into<String>) -> FindingReport {
    FindingReport {
        word,
        what: what.into(),
        remedy: Some(remedy.into()),
    }
}

fn down(facts: &Facts<'_>, service: &VirtualServer) -> Option<FindingReport> {
    let name = &service.name;
    facts.down.contains(name).then(|| {
        finding(
            FindingWord::Bad,
            "no server of it is up",
            format!("`services {name}` says why, `probe {name} SERVER` asks one now, step by step"),
        )
    })
}

/// Where there is nothing to examine, that is the finding.
fn nothing(config: &Config) -> Option<FindingReport> {
    if config.interfaces.is_empty() {
        return Some(finding(
            FindingWord::Bad,
            "no interface is configured: no address, and nothing is forwarded",
            "`setup` asks for what is missing, `config put` takes a whole lb.toml",
        ));
    }
    config.services().next().is_none().then(|| {
        finding(
            FindingWord::Unknown,
            "no service is configured: there is none to examine",
            "`explain virtual_server` says how one is made",
        )
    })
}

/// Two machines with one address take each other's clients away.
fn holders(facts: &Facts<'_>, service: &VirtualServer) -> Vec<FindingReport> {
    let mut addresses: Vec<IpAddr> = service.listen.iter().map(|range| range.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let found = addresses.into_iter().filter_map(|address| {
        let others = facts.wire.others.get(&address)?;
        Some(match others.as_slice() {
            [] => good(format!("nobody else answers for {address}")),
            some => finding(
                FindingWord::Bad,
                format!("{address} is also the address of {}", some.join(", ")),
                "take it from that machine: clients reach one or the other by chance",
            ),
        })
    });
    found.collect()
}

/// A masquerade towards the servers would hide every client of whom `from` speaks.
fn masquerade(facts: &Facts<'_>, service: &VirtualServer) -> Vec<FindingReport> {
    let towards = |real: &RealServer| facts.config.towards(real.address.address);
    let places: Vec<Option<usize>> = service.real_servers.iter().map(towards).collect();
    let hiding = facts.config.masquerades.iter().filter(|masquerade| {
        let mut interfaces = facts.config.interfaces.iter();
        let out = interfaces.position(|interface| interface.label == masquerade.out);
        out.is_some() && places.contains(&out)
    });
    let mut findings: Vec<FindingReport> = hiding
        .map(|masquerade| {
            finding(
                FindingWord::Doubtful,
                format!(
                    "servers are behind {}, where clients of {} would be masqueraded",
                    masquerade.out, masquerade.from
                ),
                "masquerade only towards the outside: balanced clients keep their address here, forwarded ones do not",
            )
        })
        .collect();
    if findings.is_empty() {
        findings.push(good("no masquerade hides clients on their way to the servers"));
    }
    findings
}

/// Clients beside the servers take the lb's address, or the answers would go past it.
fn hairpin(facts: &Facts<'_>, service: &VirtualServer) -> Option<FindingReport> {
    use crate::ruleset::Rule;
    let behind = |real: &RealServer| {
        let place = facts.config.towards(real.address.address)?;
        facts.config.interfaces.get(place)
    };
    let networks: Vec<_> = service
        .real_servers
        .iter()
        .filter_map(behind)
        .flat_map(|interface| interface.networks())
        .collect();
    let hidden: u64 = facts
        .activity
        .translated
        .iter()
        .filter_map(|(rule, count)| match rule {
            Rule::Hairpin { from, .. } | Rule::HairpinMarked { from, .. } => {
                networks.contains(from).then_some(*count)
            }
            _ => None,
        })
        .sum();
    (hidden > 0).then(|| {
        finding(
            FindingWord::Doubtful,
            format!("{hidden} connections of clients beside the servers took the lb's address (all services together)"),
            "policies see the lb there; let such clients ask the servers or the cluster's own service address",
        )
    })
}

/// A node that has no pod of the service sends its clients on to one that has, with its own address.
fn node(service: &VirtualServer) -> Option<FindingReport> {
    let of_file = || service.of_file();
    let counts = |real: &RealServer| real.checks.counts_endpoints();
    if of_file().next().is_some() && of_file().all(counts) {
        return Some(good(
            "only nodes with a pod of the service get traffic (healthCheckNodePort)",
        ));
    }
    let is_node_port = |real: &RealServer| NODE_PORTS.contains(&real.address.port);
    let unchecked = of_file().any(|real| real.checks.is_none());
    let tcp = service.listen.iter().all(|range| range.protocol == Protocol::Tcp);
    of_file().any(is_node_port).then(|| {
        let asked = match (unchecked, tcp) {
            (true, _) => "nothing checks that a node has a pod of the service",
            _ => "whether a node has a pod of the service is seen only if its policy drops what others send on",
        };
        finding(
            FindingWord::Unknown,
            format!("the servers look like NodePorts: {asked}"),
            "with externalTrafficPolicy: Local and check = \"healthCheckNodePort\" only nodes with a pod get clients, whose address stays",
        )
    })
}

/// When one of the two forgets a connection before the other, its next packet is answered with RST.
fn timeouts(facts: &Facts<'_>) -> FindingReport {
    let wanted = facts.config.timeouts;
    let Some(seen) = facts.observed.ipvs_timeouts else {
        return finding(
            FindingWord::Bad,
            "this kernel has no IPVS",
            "boot the appliance's own kernel",
        );
    };
    let tracked = |name: &str| {
        let name = format!("net/netfilter/nf_conntrack_{name}");
        facts
            .observed
            .sysctls
            .get(&name)
            .and_then(|value| value.trim().parse::<u32>().ok())
    };
    let pairs = [
        ("tcp", seen.tcp_s, tracked("tcp_timeout_established")),
        ("tcp_fin", seen.tcp_fin_s, tracked("tcp_timeout_fin_wait")),
        ("udp", seen.udp_s, tracked("udp_timeout")),
    ];
    let apart: Vec<String> = pairs
        .iter()
        .filter(|(_, ipvs, tracking)| tracking.is_some_and(|tracking| tracking != *ipvs))
        .map(|(name, ipvs, tracking)| format!("{name}: {ipvs} s and {} s", tracking.unwrap_or(0)))
        .collect();
    match apart.as_slice() {
        [] if seen == wanted => good(format!(
            "IPVS and connection tracking forget idle connections together (tcp {} s)",
            seen.tcp_s
        )),
        [] => finding(
            FindingWord::Doubtful,
            "the timeouts are not those of lb.toml",
            "they are repaired within seconds; `log` says what the kernel refused",
        ),
        some => finding(
            FindingWord::Bad,
            format!(
                "IPVS and connection tracking forget at different times: {}",
                some.join("; ")
            ),
            "they are repaired within seconds; `log` says what the kernel refused",
        ),
    }
}

/// Strictly, answers that come by another link than the way back would be dropped.
fn rp_filter(facts: &Facts<'_>) -> FindingReport {
    let strict = facts
        .observed
        .sysctls
        .iter()
        .find(|(name, value)| name.ends_with("/rp_filter") && value.trim() == "1");
    match strict {
        None => good("packets may come by another link than their answers leave by (rp_filter)"),
        Some((name, _)) => finding(
            FindingWord::Bad,
            format!("{name} is 1: answers that come by another link are dropped"),
            "it is repaired within seconds; `log` says what the kernel refused",
        ),
    }
}

#[cfg(test)]
mod tests;
