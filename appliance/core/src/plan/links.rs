//! Links, their addresses and routes: taken apart from the top, built from the ground, then switched on and addressed.
//! Each step is planned on what the steps before it leave behind.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::Route;
use crate::desired::{DesiredLink, Network};
use crate::link_kind::LinkKind;
use crate::model::IfName;
use crate::observed::{Observed, ObservedLink};

use super::Step;
use super::assumed_links::assume_of_links;
use super::network::announce;

pub(super) fn diff_links(network: &Network, observed: &Observed) -> Vec<Step> {
    let mut work = Work {
        links: observed.links.clone(),
        steps: Vec::new(),
    };
    work.take_apart(network);
    let mut order: Vec<(&IfName, &DesiredLink)> = network.links.iter().collect();
    order.sort_by_key(|(_, wanted)| wanted.rank);
    for (name, wanted) in &order {
        work.build(name, wanted);
    }
    for (name, wanted) in &order {
        work.dress(network, name, wanted);
    }
    work.steps
}

struct Work {
    /// As they are after the steps so far.
    links: BTreeMap<IfName, ObservedLink>,
    steps: Vec<Step>,
}

impl Work {
    fn add(&mut self, step: Step) {
        assume_of_links(&mut self.links, &step);
        self.steps.push(step);
    }

    /// Deletes what we have made and nobody wants as it is, and frees links from where they do not belong.
    fn take_apart(&mut self, network: &Network) {
        let doomed = self.links.iter().filter(|(name, seen)| {
            let wanted = network.links.get(*name).and_then(|wanted| wanted.kind.as_ref());
            match (&seen.kind, wanted) {
                (Some(kind), Some(wanted)) => !kind.can_become(wanted),
                (Some(_), None) => seen.ours,
                (None, _) => false,
            }
        });
        let mut doomed: Vec<(usize, IfName)> = doomed
            .map(|(name, _)| (self.height(name), name.clone()))
            .collect();
        // VLANs before what they stand on; the rest in the order of their names.
        doomed.sort_by_key(|(height, _)| std::cmp::Reverse(*height));
        for (_, name) in doomed {
            self.add(Step::DeleteLink(name));
        }
        for (name, wanted) in &network.links {
            let seen = self.links.get(name).and_then(|seen| seen.master.as_ref());
            if seen.is_some() && seen != wanted.master.as_ref() {
                self.add(Step::ReleaseLink(name.clone()));
            }
        }
    }

    /// How many links a VLAN stands on.
    fn height(&self, name: &IfName) -> usize {
        let kind = self.links.get(name).and_then(|link| link.kind.as_ref());
        kind.and_then(LinkKind::parent)
            .map_or(0, |parent| 1 + self.height(parent))
    }

    /// Makes the link itself what it should be, and takes its members in.
    fn build(&mut self, name: &IfName, wanted: &DesiredLink) {
        if let Some(kind) = &wanted.kind {
            self.make(name, kind);
        }
        if let (Some(mtu), Some(seen)) = (wanted.mtu, self.links.get(name))
            && mtu != seen.mtu
        {
            self.add(Step::SetMtu {
                link: name.clone(),
                mtu,
            });
        }
        let bond = wanted.kind.as_ref().is_some_and(LinkKind::is_bond);
        for member in &wanted.members {
            let Some(seen) = self.links.get(member).cloned() else {
                continue;
            };
            if seen.master.as_ref() == Some(name) {
                continue;
            }
            self.strip(member, &seen);
            // "Device can not be enslaved while up" (bond_enslave).
            if bond && seen.admin_up {
                self.add(Step::SetLinkDown(member.clone()));
            }
            self.add(Step::SetMaster {
                link: member.clone(),
                master: name.clone(),
            });
        }
    }

    fn make(&mut self, name: &IfName, kind: &LinkKind) {
        let Some(seen) = self.links.get(name) else {
            return self.add(Step::CreateLink {
                link: name.clone(),
                kind: Box::new(kind.clone()),
            });
        };
        let (ours, same) = (seen.ours, seen.kind.as_ref() == Some(kind));
        if !ours {
            self.add(Step::ClaimLink(name.clone()));
        }
        if !same {
            self.add(Step::ChangeLink {
                link: name.clone(),
                kind: Box::new(kind.clone()),
            });
        }
    }

    /// Switches it on and gives it its addresses and routes; or takes them, and switches it off.
    fn dress(&mut self, network: &Network, name: &IfName, wanted: &DesiredLink) {
        let Some(seen) = self.links.get(name).cloned() else {
            return;
        };
        if wanted.up {
            self.diff_link(name, wanted, &seen);
            let added = wanted.addresses.difference(&seen.addresses).map(IpNet::addr);
            let told: BTreeSet<IpAddr> = added.filter(|address| !network.quiet.contains(address)).collect();
            self.steps.extend(announce(network, told));
        } else {
            self.strip(name, &seen);
            if seen.admin_up {
                self.add(Step::SetLinkDown(name.clone()));
            }
        }
    }

    fn diff_link(&mut self, name: &IfName, wanted: &DesiredLink, seen: &ObservedLink) {
        if !seen.admin_up {
            self.add(Step::SetLinkUp(name.clone()));
        }
        for address in wanted.addresses.difference(&seen.addresses) {
            self.add(Step::AddAddress {
                link: name.clone(),
                address: *address,
            });
        }
        // The kernel drops the routes of a link that is switched off, so none of those seen on such a link survives.
        let kept = if seen.admin_up {
            seen.routes.clone()
        } else {
            BTreeSet::new()
        };
        // Before the addresses: one that goes may take its routes with it.
        for route in kept.difference(&wanted.routes) {
            self.delete_route(name, route);
        }
        for address in seen.addresses.difference(&wanted.addresses) {
            self.delete_address(name, address);
        }
        for route in wanted.routes.difference(&kept) {
            self.add(Step::AddRoute {
                link: name.clone(),
                route: *route,
            });
        }
    }

    /// Leaves nothing of ours on a link.
    fn strip(&mut self, name: &IfName, seen: &ObservedLink) {
        for route in &seen.routes {
            self.delete_route(name, route);
        }
        for address in &seen.addresses {
            self.delete_address(name, address);
        }
    }

    fn delete_route(&mut self, link: &IfName, route: &Route) {
        self.add(Step::DeleteRoute {
            link: link.clone(),
            route: *route,
        });
    }

    fn delete_address(&mut self, link: &IfName, address: &IpNet) {
        self.add(Step::DeleteAddress {
            link: link.clone(),
            address: *address,
        });
    }
}
