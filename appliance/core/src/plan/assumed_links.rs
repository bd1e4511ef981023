//! What a step about links changes, on the link itself and on those that stand on it or belong to it.
//! Must not: know anything that the kernel does later and by itself (carriers).

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::link_kind::{ETHERNET_MTU, LinkKind};
use crate::model::IfName;
use crate::observed::ObservedLink;
use crate::plan::Step;

type Links = BTreeMap<IfName, ObservedLink>;

/// A step about a link that is not known changes nothing.
pub(super) fn assume_of_links(links: &mut Links, step: &Step) {
    match step {
        Step::CreateLink { link, kind } => create(links, link, kind),
        Step::DeleteLink(name) => delete(links, name),
        Step::SetMaster { link, master } => join(links, link, master),
        Step::ReleaseLink(name) => leave(links, name),
        Step::SetLinkUp(name) => switch(links, name, true),
        Step::SetLinkDown(name) => switch(links, name, false),
        Step::SetMtu { link, mtu } => set_mtu(links, link, *mtu),
        Step::ClaimLink(name)
        | Step::ChangeLink { link: name, .. }
        | Step::AddAddress { link: name, .. }
        | Step::DeleteAddress { link: name, .. }
        | Step::AddRoute { link: name, .. }
        | Step::DeleteRoute { link: name, .. } => {
            if let Some(link) = links.get_mut(name) {
                assume_of_one(link, step);
            }
        }
        _ => {}
    }
}

fn assume_of_one(link: &mut ObservedLink, step: &Step) {
    match step {
        Step::ClaimLink(_) => link.ours = true,
        Step::ChangeLink { kind, .. } => link.kind = Some(kind.as_ref().clone()),
        Step::AddAddress { address, .. } => drop(link.addresses.insert(*address)),
        Step::DeleteAddress { address, .. } => {
            link.addresses.remove(address);
            // The kernel drops the routes whose next hop is no longer on the link.
            let addresses = &link.addresses;
            link.routes
                .retain(|route| addresses.iter().any(|a| a.contains(&route.via)));
        }
        Step::AddRoute { route, .. } => drop(link.routes.insert(*route)),
        Step::DeleteRoute { route, .. } => drop(link.routes.remove(route)),
        _ => {}
    }
}

fn create(links: &mut Links, name: &IfName, kind: &LinkKind) {
    let parent = kind.parent().and_then(|parent| links.get(parent));
    let link = ObservedLink {
        mac: parent.and_then(|parent| parent.mac),
        kind: Some(kind.clone()),
        ours: true,
        mtu: parent.map_or(ETHERNET_MTU, |parent| parent.mtu),
        ..ObservedLink::default()
    };
    links.entry(name.clone()).or_insert(link);
}

fn delete(links: &mut Links, name: &IfName) {
    for vlan in on(links, name) {
        delete(links, &vlan);
    }
    for member in members(links, name) {
        leave(links, &member);
    }
    links.remove(name);
}

/// A bond switches its links on when it takes them in (bond_enslave), and gives them its mtu.
fn join(links: &mut Links, name: &IfName, master: &IfName) {
    let bond = links.get(master).filter(|master| is_bond(master)).cloned();
    let Some(link) = links.get_mut(name) else {
        return;
    };
    link.master = Some(master.clone());
    if let Some(bond) = &bond {
        link.admin_up = true;
        link.mtu = bond.mtu;
    }
    let mac = link.mac;
    // The first link's address becomes that of a bond or bridge without one.
    if let Some(master) = links.get_mut(master) {
        master.mac = master.mac.or(mac);
    }
}

/// A bond switches its links off when it lets them go (__bond_release_one).
fn leave(links: &mut Links, name: &IfName) {
    let Some(master) = links.get_mut(name).and_then(|link| link.master.take()) else {
        return;
    };
    if links.get(&master).is_some_and(is_bond) {
        switch(links, name, false);
    }
}

/// The VLANs on a link follow it, up and down (vlan_device_event); a link that is down loses its routes and IPv6 addresses.
fn switch(links: &mut Links, name: &IfName, up: bool) {
    let Some(link) = links.get_mut(name) else {
        return;
    };
    link.admin_up = up;
    if !up {
        link.routes.clear();
        link.addresses.retain(|address| matches!(address, IpNet::V4(_)));
    }
    for vlan in on(links, name) {
        switch(links, &vlan, up);
    }
}

/// A bond hands its mtu on to its links; a VLAN never has a larger one than the link below it.
fn set_mtu(links: &mut Links, name: &IfName, mtu: u32) {
    let Some(link) = links.get_mut(name) else {
        return;
    };
    link.mtu = mtu;
    if is_bond(link) {
        for member in members(links, name) {
            set_mtu(links, &member, mtu);
        }
    }
    for vlan in on(links, name) {
        if links.get(&vlan).is_some_and(|vlan| vlan.mtu > mtu) {
            set_mtu(links, &vlan, mtu);
        }
    }
}

fn is_bond(link: &ObservedLink) -> bool {
    link.kind.as_ref().is_some_and(LinkKind::is_bond)
}

fn on(links: &Links, below: &IfName) -> Vec<IfName> {
    let parent = |link: &ObservedLink| link.kind.as_ref().and_then(LinkKind::parent) == Some(below);
    let vlans = links.iter().filter(|(_, link)| parent(link));
    vlans.map(|(name, _)| name.clone()).collect()
}

fn members(links: &Links, master: &IfName) -> Vec<IfName> {
    let members = links
        .iter()
        .filter(|(_, link)| link.master.as_ref() == Some(master));
    members.map(|(name, _)| name.clone()).collect()
}
