//! Rules, sysctls, the host's name, announcements, and where the links come among them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::desired::{FORWARDING, IPVS_DEFENCES, Network, is_same_mask};
use crate::observed::Observed;

use super::Step;
use super::links::diff_links;

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
    if observed.ruleset.as_deref() != Some(&network.ruleset) {
        steps.push(Step::ReplaceRuleset(Box::new(network.ruleset.clone())));
    }
    steps.extend(diff_links(network, observed));
    if network.forwarding {
        steps.extend(forwarding(network, observed));
    }
    steps
}

/// Clients that wait for an address may know of it once its services are open.
pub fn announce_opened(network: &Network, observed: &Observed) -> Vec<Step> {
    let (before, after) = (observed.ruleset.as_deref(), &network.ruleset);
    let services = after.services.iter();
    let services = services.filter(|service| !before.is_some_and(|b| b.services.contains(service)));
    // A service has all its ports or none.
    let marks = after.marks.iter();
    let marks = marks.filter(|(_, mark)| !before.is_some_and(|b| b.marks.values().any(|m| m == *mark)));
    let mut addresses: BTreeSet<IpAddr> = services.map(|service| service.address).collect();
    addresses.extend(marks.map(|(range, _)| range.address));
    // What is added now is announced with its link.
    addresses.retain(|address| {
        let holder = network.holder(*address).and_then(|name| observed.links.get(name));
        let known = holder.is_some_and(|link| link.addresses.iter().any(|a| a.addr() == *address));
        known && !network.quiet.contains(address)
    });
    announce(network, addresses)
}

/// Tells the neighbours about these addresses.
pub fn announce(network: &Network, addresses: BTreeSet<IpAddr>) -> Vec<Step> {
    let announce = |address| {
        network.holder(address).map(|link| Step::Announce {
            link: link.clone(),
            address,
        })
    };
    addresses.into_iter().filter_map(announce).collect()
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
    let same = seen == value || is_same_mask(name, seen, value);
    (!same && !is_on_guard(name, seen, value)).then(|| Step::SetSysctl {
        name: name.to_owned(),
        value: value.to_owned(),
    })
}

/// IPVS itself turns 1 (act when memory is scarce) into 2 while it does, and back (update_defense_level).
fn is_on_guard(name: &str, seen: &str, wanted: &str) -> bool {
    IPVS_DEFENCES.contains(&name) && wanted == "1" && seen == "2"
}
