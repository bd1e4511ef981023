//! Whether the answers of servers behind NAT come back through the lb: by what was counted of real clients, and by what a server
//! does with a stranger. Must not: ask.

use std::collections::BTreeSet;

use super::{Facts, finding, good};
use crate::config::{RealServer, VirtualServer};
use crate::control::{FindingReport, FindingWord};
use crate::model::{Forward, Protocol};
use crate::observed::WayBack;

/// So many packets to a server without one back are no accident.
const ENOUGH: u64 = 5;

/// What is known of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Answers to clients were counted.
    Counted,
    /// An answer to a stranger came.
    Probed,
    /// Clients' packets are not answered through here.
    Lost,
    /// The stranger alone was not answered.
    Unanswered,
    Nothing,
}

pub(super) fn examine(facts: &Facts<'_>, service: &VirtualServer) -> Vec<FindingReport> {
    let behind_nat = || service.of_file().filter(|real| real.forward == Forward::Nat);
    let of = |wanted: Seen| -> Vec<&RealServer> {
        behind_nat()
            .filter(|real| seen(facts, service, real) == wanted)
            .collect()
    };
    let mut findings: Vec<FindingReport> = of(Seen::Lost)
        .into_iter()
        .map(|real| {
            lost(
                facts,
                real,
                "gets its clients' packets, and none of its answers comes back through the lb",
            )
        })
        .collect();
    let unanswered = of(Seen::Unanswered).into_iter();
    findings.extend(unanswered.map(|real| lost(facts, real, "does not answer a stranger through the lb")));
    for (servers, how) in [
        (of(Seen::Counted), "clients' connections show it"),
        (
            of(Seen::Probed),
            "a SYN from an address that nobody has was answered",
        ),
    ] {
        let servers = match servers.len() {
            0 => continue,
            1 => "1 server".to_owned(),
            count => format!("{count} servers"),
        };
        findings.push(good(format!(
            "answers of {servers} come back through the lb: {how}"
        )));
    }
    if findings.is_empty() && behind_nat().next().is_some() {
        findings.push(finding(
            FindingWord::Unknown,
            "no client has connected yet, and no server that is up could be asked",
            "connect once, and ask again",
        ));
    }
    findings.extend(farther(facts, service));
    findings
}

fn seen(facts: &Facts<'_>, service: &VirtualServer, real: &RealServer) -> Seen {
    let counted = facts.activity.servers.get(&service.server_key(real));
    // IPVS does not see the answers to single datagrams.
    let counted = counted.filter(|_| !service.settings.one_packet);
    let way = facts.wire.ways.get(&real.address);
    match (
        counted.map(|of| (of.traffic.in_packets, of.traffic.out_packets)),
        way,
    ) {
        (Some((_, 1..)), _) => Seen::Counted,
        (_, Some(WayBack::Through { .. })) => Seen::Probed,
        (Some((ENOUGH.., 0)), _) => Seen::Lost,
        (_, Some(WayBack::Nowhere)) => Seen::Unanswered,
        _ => Seen::Nothing,
    }
}

fn lost(facts: &Facts<'_>, real: &RealServer, what: &str) -> FindingReport {
    let server = real.address;
    let ours = facts.config.towards(server.address).and_then(|place| {
        let interface = facts.config.interfaces.get(place)?;
        let mut addresses = interface.addresses.iter().map(ipnet::IpNet::addr);
        addresses.find(|address| address.is_ipv4() == server.address.is_ipv4())
    });
    let gateway = ours.map_or_else(|| "the lb".to_owned(), |address| address.to_string());
    finding(
        FindingWord::Bad,
        format!("{server} {what}"),
        format!(
            "its default gateway has to be {gateway}, also for what its pods answer; and no policy or filter of it may drop clients \
             from outside"
        ),
    )
}

/// Beside others of its service, who is farther away is not where the answer is from: a node that sends its clients on.
fn farther(facts: &Facts<'_>, service: &VirtualServer) -> Option<FindingReport> {
    let is_tcp = service.listen.iter().all(|range| range.protocol == Protocol::Tcp);
    let hops = |real: &RealServer| match facts.wire.ways.get(&real.address) {
        Some(WayBack::Through { hops }) if is_tcp => Some((*hops, real.address)),
        _ => None,
    };
    let known: Vec<_> = service.of_file().filter_map(hops).collect();
    let nearest = known.iter().map(|(hops, _)| *hops).min()?;
    let far: BTreeSet<_> = known
        .iter()
        .filter(|(hops, _)| *hops > nearest)
        .map(|(_, server)| *server)
        .collect();
    if far.is_empty() {
        return None;
    }
    let names: Vec<String> = far.iter().map(ToString::to_string).collect();
    Some(finding(
        FindingWord::Doubtful,
        format!(
            "answers of {} come from farther away than those of the others: such a node sends clients on to another one, which is \
             likely to see the node's address instead of theirs",
            names.join(", ")
        ),
        "externalTrafficPolicy: Local with check = \"healthCheckNodePort\", or a NetworkPolicy that drops what other nodes send on",
    ))
}
