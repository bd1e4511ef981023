//! Which link each interface of the file is, and what that link should be: found among the machine's cards, or made of them.
//! Must not: look at services or rules.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::{DesiredLink, Network};
use crate::config::{Bond, Config, Interface, InterfaceKind, LinkSelector, Route};
use crate::link::FALLBACK_TUNNELS;
use crate::link_kind::{BondSettings, BridgeSettings, LinkKind};
use crate::model::IfName;
use crate::observed::ObservedLink;

pub(super) type Seen = BTreeMap<IfName, ObservedLink>;

/// The loopback; and links that the file does not name: they hold nothing of ours, not even an MTU, and stay switched off. What we have made
/// and nobody names any more is left out. `on`: cards are switched on all the same, since the kernel tells of no cable before.
pub(super) fn unnamed(seen: &Seen, on: bool, network: &mut Network) {
    for (name, link) in seen {
        if link.loopback {
            network.links.insert(name.clone(), loopback(link));
        } else if link.mac.is_some() && !link.is_made() {
            let wanted = DesiredLink {
                up: on && is_card(name, link),
                ..DesiredLink::default()
            };
            network.links.insert(name.clone(), wanted);
        }
    }
}

/// A VLAN, a bond and a bridge have the MAC address of a card, and some tunnels that the kernel has made by itself have one of their own.
fn is_card(name: &IfName, link: &ObservedLink) -> bool {
    link.kind.is_none() && link.mac.is_some() && !FALLBACK_TUNNELS.contains(&name.as_str())
}

/// Up, with the addresses that the kernel gives it then, and no others.
fn loopback(link: &ObservedLink) -> DesiredLink {
    let own = link.addresses.iter().copied().filter(|a| a.addr().is_loopback());
    DesiredLink {
        up: true,
        addresses: own.collect(),
        ..DesiredLink::default()
    }
}

/// The interfaces of the file, those first on which others are built.
pub(super) fn named(config: &Config, seen: &Seen, network: &mut Network) {
    // Which interface a link was found to be.
    let mut found: BTreeMap<IfName, &str> = BTreeMap::new();
    for (rank, interface) in by_rank(config) {
        let kind = kind(interface, network);
        let link = match &interface.kind {
            InterfaceKind::Card => card(interface, seen, &mut network.problems),
            _ => made(interface, kind.as_ref(), seen, &mut network.problems),
        };
        let link = link.filter(|name| match found.get(name) {
            Some(other) => {
                network.problems.push(format!(
                    "interface {}: its link {name} is interface {other} already; use one name for it",
                    interface.label
                ));
                false
            }
            None => true,
        });
        if let Some(name) = &link {
            found.insert(name.clone(), &interface.label);
            let mut wanted = desired_link(interface);
            wanted.members = members(interface, network);
            (wanted.kind, wanted.rank) = (kind, rank);
            for member in &wanted.members {
                if let Some(member) = network.links.get_mut(member) {
                    member.master = Some(name.clone());
                }
            }
            network.links.insert(name.clone(), wanted);
        }
        network.resolved.insert(interface.label.clone(), link);
    }
}

/// In the order of the file, but nothing before what it is built on.
fn by_rank(config: &Config) -> Vec<(usize, &Interface)> {
    let labels: BTreeMap<&str, &Interface> =
        config.interfaces.iter().map(|i| (i.label.as_str(), i)).collect();
    let mut ranked: Vec<_> = config.interfaces.iter().map(|i| (rank(i, &labels), i)).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked
}

/// A configuration has no circles.
fn rank(interface: &Interface, labels: &BTreeMap<&str, &Interface>) -> usize {
    let below = interface.kind.below().iter();
    let below = below.filter_map(|label| labels.get(label.as_str()));
    below.map(|below| 1 + rank(below, labels)).max().unwrap_or(0)
}

fn resolved(network: &Network, label: &str) -> Option<IfName> {
    network.resolved.get(label).cloned().flatten()
}

/// The links of a bond or bridge that are there, or will be.
fn members(interface: &Interface, network: &Network) -> Vec<IfName> {
    let labels = interface.kind.members().iter();
    labels.filter_map(|label| resolved(network, label)).collect()
}

/// What a made link is in the kernel's terms; `None`: a card, or a VLAN of a link that is not there.
fn kind(interface: &Interface, network: &Network) -> Option<LinkKind> {
    match &interface.kind {
        InterfaceKind::Card => None,
        InterfaceKind::Vlan(vlan) => Some(LinkKind::Vlan {
            parent: resolved(network, &vlan.link)?,
            id: vlan.id,
        }),
        InterfaceKind::Bond(bond) => Some(LinkKind::Bond(bond_settings(bond, network))),
        InterfaceKind::Bridge(bridge) => Some(LinkKind::Bridge(BridgeSettings {
            stp: bridge.stp,
            forward_delay_ms: bridge
                .forward_delay
                .and_then(|delay| u32::try_from(delay.as_millis()).ok()),
        })),
    }
}

fn bond_settings(bond: &Bond, network: &Network) -> BondSettings {
    BondSettings {
        mode: bond.mode,
        miimon_ms: u32::try_from(bond.miimon.as_millis()).unwrap_or(u32::MAX),
        // One that is not there cannot be told to the kernel.
        primary: bond.primary.as_ref().and_then(|label| resolved(network, label)),
        lacp_rate: bond.lacp_rate,
        xmit_hash_policy: bond.xmit_hash_policy,
    }
    .settled()
}

/// The name of a link that is to be made, unless something else has it.
fn made(
    interface: &Interface,
    kind: Option<&LinkKind>,
    seen: &Seen,
    problems: &mut Vec<String>,
) -> Option<IfName> {
    let LinkSelector::Name(name) = &interface.selector else {
        return None;
    };
    let Some(kind) = kind else {
        let below = interface.kind.below().join(", ");
        problems.push(format!(
            "interface {name}: the link {below} that it stands on is not there, so that it cannot be made"
        ));
        return None;
    };
    let stranger = seen.get(name).filter(|link| {
        let same = link.kind.as_ref().is_some_and(|seen| seen.word() == kind.word());
        !same && !link.is_made()
    });
    if stranger.is_some() {
        problems.push(format!(
            "interface {name}: this machine has a link of that name that is no {}; give the interface another `name`",
            kind.word()
        ));
        return None;
    }
    Some(name.clone())
}

fn desired_link(interface: &Interface) -> DesiredLink {
    let mut routes: BTreeSet<Route> = interface.routes.iter().copied().collect();
    routes.extend(interface.gateway.iter().map(|via| Route {
        to: default_network(via),
        via: *via,
    }));
    DesiredLink {
        up: true,
        mtu: interface.mtu,
        addresses: interface.addresses.iter().copied().collect(),
        routes,
        ..DesiredLink::default()
    }
}

fn default_network(via: &IpAddr) -> IpNet {
    match via {
        IpAddr::V4(_) => IpNet::V4(ipnet::Ipv4Net::default()),
        IpAddr::V6(_) => IpNet::V6(ipnet::Ipv6Net::default()),
    }
}

/// Finds the card that the file means. With two cards of one MAC, the one that carries the addresses already is
/// kept (a running box must not change sides); without such a one neither is taken.
fn card(interface: &Interface, seen: &Seen, problems: &mut Vec<String>) -> Option<IfName> {
    // A VLAN, a bond and a bridge have the MAC address of a card.
    let cards = || seen.iter().filter(|(_, l)| !l.loopback && l.kind.is_none());
    // What the kernel has made by itself is nothing that the file may name.
    let nameable = || {
        cards()
            .map(|(n, _)| n.as_str())
            .filter(|n| !FALLBACK_TUNNELS.contains(n))
    };
    let there = || nameable().collect::<Vec<_>>().join(", ");
    match &interface.selector {
        LinkSelector::Name(name) if seen.get(name).is_some_and(|l| !l.is_made()) => Some(name.clone()),
        LinkSelector::Name(name) => {
            problems.push(format!(
                "interface {name}: this machine has no such link (it has: {}); add the network card or correct the name",
                there()
            ));
            None
        }
        LinkSelector::Mac(mac) => {
            let found: Vec<_> = cards().filter(|(_, l)| l.card_mac() == Some(*mac)).collect();
            if let [(name, _)] = found.as_slice() {
                return Some((*name).clone());
            }
            if found.is_empty() {
                problems.push(format!(
                    "interface {}: no link has the MAC address {mac} (there are: {}); add the network card or correct the address",
                    interface.label,
                    there()
                ));
                return None;
            }
            let names: Vec<_> = found.iter().map(|(n, _)| n.as_str()).collect();
            let holder = found
                .iter()
                .find(|(_, l)| interface.addresses.iter().any(|a| l.addresses.contains(a)));
            problems.push(format!(
                "interface {}: {} links have the MAC address {mac} ({}); {}; give each card its own address, or use `name`",
                interface.label,
                found.len(),
                names.join(", "),
                match holder {
                    Some((name, _)) => format!("{name} is kept because it holds the addresses"),
                    None => "none is used".to_owned(),
                }
            ));
            holder.map(|(name, _)| (*name).clone())
        }
    }
}
