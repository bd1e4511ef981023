//! Answers of one-packet services: the server's address and port alone tell which service was asked, so that no other one may be
//! answered from there. Judged when all services and forwards are known. Must not: look at one service alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use super::model::{PortForward, VirtualServer};
use super::reader::Reader;
use crate::model::{PortRange, Protocol, RealKey};

/// Where the servers of one-packet services stand in the text, by the service's place among all.
pub(super) type Places = BTreeMap<usize, BTreeMap<RealKey, Range<usize>>>;

/// Ports that answer.
#[derive(Clone, Copy)]
struct Claim<'c> {
    answers: PortRange,
    asked: PortRange,
    by: By<'c>,
}

#[derive(Clone, Copy)]
enum By<'c> {
    OnePacket { service: usize, server: RealKey },
    Service(&'c str),
    Forward,
}

/// `None`: a fault is in a service that was not read.
pub(super) fn judge(
    reader: &mut Reader<'_>,
    services: &[Arc<VirtualServer>],
    forwards: &[PortForward],
    places: &Places,
) -> Option<()> {
    let mut told: BTreeSet<(usize, RealKey)> = BTreeSet::new();
    for claims in claims(services, forwards).into_values() {
        for (one, other) in conflicts(claims) {
            let By::OnePacket { service, server } = one.by else {
                continue;
            };
            if !told.insert((service, server)) {
                continue;
            }
            let place = places.get(&service)?.get(&server)?;
            let (message, help) = words(server, &one, &other);
            reader.fault(place.clone(), message, help);
        }
    }
    Some(())
}

/// By the address of the server, of those that one-packet services have.
fn claims<'c>(
    services: &'c [Arc<VirtualServer>],
    forwards: &[PortForward],
) -> BTreeMap<IpAddr, Vec<Claim<'c>>> {
    let mut claims: BTreeMap<IpAddr, Vec<Claim<'c>>> = BTreeMap::new();
    let single = services.iter().filter(|service| service.settings.one_packet);
    for real in single.flat_map(|service| &service.real_servers) {
        claims.entry(real.address.address).or_default();
    }
    if claims.is_empty() {
        return claims;
    }
    for (index, service) in services.iter().enumerate() {
        for real in &service.real_servers {
            let Some(claims) = claims.get_mut(&real.address.address) else {
                continue;
            };
            // That its ports cannot be told apart has been said.
            if service.settings.one_packet && service.endpoint().is_none() && real.address.port != 0 {
                continue;
            }
            let by = match service.settings.one_packet {
                true => By::OnePacket {
                    service: index,
                    server: real.address,
                },
                false => By::Service(&service.name),
            };
            let pairs = service.answers(real);
            claims.extend(pairs.map(|(answers, asked)| Claim { answers, asked, by }));
        }
    }
    for forward in forwards.iter().filter(|f| f.protocols.contains(&Protocol::Udp)) {
        let ports = |address, first| PortRange {
            address,
            protocol: Protocol::Udp,
            first,
            last: first + (forward.last - forward.first),
        };
        let Some(claims) = claims.get_mut(&forward.to) else {
            continue;
        };
        claims.push(Claim {
            answers: ports(forward.to, forward.to_first),
            asked: ports(forward.address, forward.first),
            by: By::Forward,
        });
    }
    claims
}

/// Pairs that share a port, the first of which is of a one-packet service: not all of them, but one for every claim that is in any.
fn conflicts<'c>(mut claims: Vec<Claim<'c>>) -> Vec<(Claim<'c>, Claim<'c>)> {
    claims.sort_by_key(|claim| claim.answers.first);
    let mut found = Vec::new();
    // Of those so far the ones that reach farthest.
    let (mut single, mut other): (Option<Claim<'c>>, Option<Claim<'c>>) = (None, None);
    for claim in claims {
        let meets = |before: Option<Claim<'c>>| before.filter(|b| b.answers.last >= claim.answers.first);
        let farthest = match claim.by {
            By::OnePacket { .. } => {
                let before = meets(single).or(meets(other));
                found.extend(before.map(|before| later_first(claim, before)));
                &mut single
            }
            By::Service(_) | By::Forward => {
                found.extend(meets(single).map(|single| (single, claim)));
                &mut other
            }
        };
        if farthest.is_none_or(|farthest| farthest.answers.last < claim.answers.last) {
            *farthest = Some(claim);
        }
    }
    found
}

/// Of two one-packet services the one that comes later in the file.
fn later_first<'c>(one: Claim<'c>, other: Claim<'c>) -> (Claim<'c>, Claim<'c>) {
    match (one.by, other.by) {
        (By::OnePacket { service: a, .. }, By::OnePacket { service: b, .. }) if a < b => (other, one),
        _ => (one, other),
    }
}

fn words(server: RealKey, one: &Claim<'_>, other: &Claim<'_>) -> (String, String) {
    let whose = match other.by {
        By::OnePacket { .. } => other.asked.to_string(),
        By::Service(name) => format!("{} of {name}", other.asked),
        By::Forward => format!("{} of a [[port_forward]]", other.asked),
    };
    let message = format!(
        "nothing tells whether answers of `{server}` are from {} or from {whose}",
        one.asked
    );
    let help = "with `one_packet` only a server's address and port tell which of its answers are whose: give the server \
                another port or address for one of the two, or leave out `one_packet`";
    (message, help.to_owned())
}
