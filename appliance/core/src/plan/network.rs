//! Links, addresses, routes, rules, sysctls and the host's name.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::desired::{DesiredLink, FORWARDING, Network};
use crate::model::IfName;
use crate::observed::{Observed, ObservedLink};

use super::Step;

pub(super) fn is_forwarding_on(step: &Step) -> bool {
    matches!(step, Step::SetSysctl { name, value } if FORWARDING.contains(&name.as_str()) && value == "1")
}

pub fn diff_network(network: &Network, observed: &Observed) -> Vec<Step> {
    let mut steps = Vec::new();
    if !network.forwarding {
        steps.extend(forwarding(network, observed));
    }
    if observed.hostname != network.hostname {
        steps.push(Step::SetHostname(network.hostname.clone()));
    }
    for (name, value) in &network.sysctls {
        steps.extend(set_sysctl(observed, name, value));
    }
    if observed.ruleset.as_ref() != Some(&network.ruleset) {
        steps.push(Step::ReplaceRuleset(network.ruleset.clone()));
    }
    for (name, wanted) in &network.links {
        if let Some(seen) = observed.links.get(name) {
            if wanted.up {
                diff_link(name, wanted, seen, &mut steps)
            } else {
                clear_link(name, seen, &mut steps)
            }
        }
    }
    if network.forwarding {
        steps.extend(forwarding(network, observed));
    }
    steps
}

fn forwarding(network: &Network, observed: &Observed) -> Vec<Step> {
    let value = if network.forwarding { "1" } else { "0" };
    FORWARDING
        .iter()
        .filter_map(|name| set_sysctl(observed, name, value))
        .collect()
}

/// A sysctl that the kernel does not have (no IPv6, a link that has gone) is left alone.
fn set_sysctl(observed: &Observed, name: &str, value: &str) -> Option<Step> {
    let seen = observed.sysctls.get(name)?;
    (seen != value).then(|| Step::SetSysctl {
        name: name.to_owned(),
        value: value.to_owned(),
    })
}

fn diff_link(name: &IfName, wanted: &DesiredLink, seen: &ObservedLink, steps: &mut Vec<Step>) {
    if let Some(mtu) = wanted.mtu.filter(|mtu| *mtu != seen.mtu) {
        steps.push(Step::SetMtu {
            link: name.clone(),
            mtu,
        });
    }
    if !seen.admin_up {
        steps.push(Step::SetLinkUp(name.clone()));
    }
    let added: Vec<IpNet> = wanted.addresses.difference(&seen.addresses).copied().collect();
    steps.extend(added.iter().map(|address| Step::AddAddress {
        link: name.clone(),
        address: *address,
    }));
    // The kernel drops the routes of a link that is switched off, so none of those seen on such a link survives.
    let kept = if seen.admin_up {
        seen.routes.clone()
    } else {
        BTreeSet::new()
    };
    // Before the addresses: one that goes may take its routes with it.
    for route in kept.difference(&wanted.routes) {
        steps.push(Step::DeleteRoute {
            link: name.clone(),
            route: *route,
        });
    }
    for address in seen.addresses.difference(&wanted.addresses) {
        steps.push(Step::DeleteAddress {
            link: name.clone(),
            address: *address,
        });
    }
    for route in wanted.routes.difference(&kept) {
        steps.push(Step::AddRoute {
            link: name.clone(),
            route: *route,
        });
    }
    steps.extend(added.iter().map(|address| Step::Announce {
        link: name.clone(),
        address: address.addr(),
    }));
}

/// A link that the file does not name keeps nothing.
fn clear_link(name: &IfName, seen: &ObservedLink, steps: &mut Vec<Step>) {
    for route in &seen.routes {
        steps.push(Step::DeleteRoute {
            link: name.clone(),
            route: *route,
        });
    }
    for address in &seen.addresses {
        steps.push(Step::DeleteAddress {
            link: name.clone(),
            address: *address,
        });
    }
    if seen.admin_up {
        steps.push(Step::SetLinkDown(name.clone()));
    }
}
