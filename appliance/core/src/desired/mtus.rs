//! The MTU of each link for which the file names none, so that it follows from the file and the cards alone, and never from what was set
//! before. Must not: ask what a link has now.

use super::Network;
use super::links::Seen;
use crate::link_kind::{ETHERNET_MTU, LinkKind};
use crate::model::IfName;
use crate::own_mtu::OwnMtus;

/// First from above, since a bond and a bridge hand on what the file names for them; then from the ground, since all else follows what is
/// below.
pub(super) fn settle(network: &mut Network, seen: &Seen, own: &OwnMtus) {
    let mut order: Vec<(usize, IfName)> = network
        .links
        .iter()
        .map(|(name, link)| (link.rank, name.clone()))
        .collect();
    order.sort();
    for (_, name) in order.iter().rev() {
        hand_down(network, name);
    }
    for (_, name) in &order {
        let own = || own.of(name, seen.get(name)?);
        let mtu = match network.links.get(name) {
            Some(link) => link.mtu.or_else(|| match &link.kind {
                None => own(),
                Some(kind) => from_below(network, kind, &link.members),
            }),
            None => continue,
        };
        if let Some(link) = network.links.get_mut(name) {
            link.mtu = mtu;
        }
    }
}

/// A bond always has one, and its links no other (bond_enslave); those of a bridge may.
fn hand_down(network: &mut Network, name: &IfName) {
    let Some(link) = network.links.get_mut(name) else {
        return;
    };
    if link.kind.as_ref().is_some_and(LinkKind::is_bond) {
        link.mtu.get_or_insert(ETHERNET_MTU);
    }
    let Some(mtu) = link.mtu else {
        return;
    };
    for member in link.members.clone() {
        if let Some(member) = network.links.get_mut(&member) {
            // A VLAN cannot carry more than what is below it.
            if member.kind.as_ref().and_then(LinkKind::parent).is_none() {
                member.mtu.get_or_insert(mtu);
            }
        }
    }
}

/// A VLAN has that of its link; a bridge the smallest of its links, as the kernel has it until somebody sets one (br_mtu_auto_adjust).
fn from_below(network: &Network, kind: &LinkKind, members: &[IfName]) -> Option<u32> {
    let of = |name: &IfName| network.links.get(name)?.mtu;
    match kind {
        LinkKind::Vlan { parent, .. } => of(parent),
        LinkKind::Bridge(_) => {
            let members: Option<Vec<u32>> = members.iter().map(of).collect();
            Some(members?.into_iter().min().unwrap_or(ETHERNET_MTU))
        }
        LinkKind::Bond(_) => Some(ETHERNET_MTU),
    }
}
