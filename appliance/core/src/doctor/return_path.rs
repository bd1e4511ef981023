//! Whether the answers of servers behind NAT come back through the lb: by the connections that are there now, by what a server does
//! with a stranger, and by what was counted of clients. Must not: ask.

mod clients;

use std::collections::BTreeSet;

pub(super) use self::clients::Table;
use self::clients::{Clients, clients};
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
    /// Clients that come from elsewhere have their answers now.
    Served,
    /// An answer to a stranger came.
    Probed,
    /// Answers were counted, of which nothing tells whose they were and when.
    Counted,
    /// Clients that had their answers wait for them now.
    Ended,
    /// Clients' packets are not answered through here.
    Lost,
    /// Clients wait that had no answer yet, and so does the stranger.
    Waiting,
    /// Answers were counted, and the stranger gets none now.
    Earlier,
    /// The stranger alone was not answered.
    Unanswered,
    Nothing,
}

/// What leaves both causes open.
const EITHER: &str = "a policy or filter of the server may drop it, as the NetworkPolicy of a pod does, or its default gateway is not the lb";

pub(super) fn examine(facts: &Facts<'_>, table: &Table<'_>, service: &VirtualServer) -> Vec<FindingReport> {
    let behind_nat = service.of_file().filter(|real| real.forward == Forward::Nat);
    let all: Vec<(Seen, &RealServer)> = behind_nat
        .map(|real| (seen(facts, table, service, real), real))
        .collect();
    let of = |wanted: Seen| -> Vec<&RealServer> {
        let wanted = all.iter().filter(|(seen, _)| *seen == wanted);
        wanted.map(|(_, real)| *real).collect()
    };
    let mut findings = Vec::new();
    for (wanted, word, what) in [
        (
            Seen::Lost,
            FindingWord::Bad,
            "gets its clients' packets, and none of its answers comes back through the lb",
        ),
        (
            Seen::Ended,
            FindingWord::Bad,
            "answered clients through the lb before, and the same clients wait for its answers now (SYN_RECV in `connections`)",
        ),
        (
            Seen::Waiting,
            FindingWord::Doubtful,
            "does not answer clients that wait for it (SYN_RECV in `connections`), nor a SYN from an address that nobody has",
        ),
        (
            Seen::Unanswered,
            FindingWord::Doubtful,
            "does not answer a SYN from an address that nobody has",
        ),
        (
            Seen::Earlier,
            FindingWord::Unknown,
            "answered through the lb before, and does not answer a SYN from an address that nobody has now",
        ),
    ] {
        let servers = of(wanted).into_iter();
        findings.extend(servers.map(|real| lost(facts, real, word, what)));
    }
    for (servers, how) in [
        (of(Seen::Served), "connections of clients show it"),
        (
            of(Seen::Probed),
            "a SYN from an address that nobody has was answered",
        ),
        (of(Seen::Counted), "answers to clients were counted"),
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
    if findings.is_empty() && !of(Seen::Nothing).is_empty() && !facts.down.contains(&service.name) {
        findings.push(finding(
            FindingWord::Unknown,
            "no client has connected yet, and no server that is up could be asked",
            "connect once, and ask again",
        ));
    }
    findings.extend(farther(facts, service));
    findings
}

/// What goes on now counts for more than what was counted at some time.
fn seen(facts: &Facts<'_>, table: &Table<'_>, service: &VirtualServer, real: &RealServer) -> Seen {
    let counted = facts.activity.servers.get(&service.server_key(real));
    // IPVS does not see the answers to single datagrams.
    let counted = counted.filter(|_| !service.settings.one_packet);
    let counted = counted.map(|of| (of.traffic.in_packets, of.traffic.out_packets));
    let Clients {
        answered,
        waiting,
        relapsed,
    } = clients(facts, table, real);
    match (facts.wire.ways.get(&real.address), counted) {
        (Some(WayBack::Through { .. }), _) if !answered => Seen::Probed,
        (Some(WayBack::Nowhere), _) if relapsed => Seen::Ended,
        _ if answered => Seen::Served,
        (_, Some((ENOUGH.., 0))) => Seen::Lost,
        (Some(_), _) if waiting => Seen::Waiting,
        (Some(_), Some((_, 1..))) => Seen::Earlier,
        (Some(_), _) => Seen::Unanswered,
        (None, Some((_, 1..))) => Seen::Counted,
        (None, _) => Seen::Nothing,
    }
}

fn lost(facts: &Facts<'_>, real: &RealServer, word: FindingWord, what: &str) -> FindingReport {
    let server = real.address;
    let ours = facts.config.towards(server.address).and_then(|place| {
        let interface = facts.config.interfaces.get(place)?;
        let mut addresses = interface.addresses.iter().map(ipnet::IpNet::addr);
        addresses.find(|address| address.is_ipv4() == server.address.is_ipv4())
    });
    let gateway = ours.map_or_else(|| "the lb".to_owned(), |address| address.to_string());
    let remedy = match word {
        FindingWord::Bad => format!(
            "its default gateway has to be {gateway}, also for what its pods answer; and no policy or filter of it may drop these clients"
        ),
        _ => format!("{EITHER} ({gateway}); connect from a client that it lets in, and ask again"),
    };
    finding(word, format!("{server} {what}"), remedy)
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
