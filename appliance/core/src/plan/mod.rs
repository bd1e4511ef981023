//! The steps from what is to what should be, and their order.
//! Must not: touch the kernel. A step prints as the line that an operator would type; logs, golden files and
//! `applctl` all show that line.
//!
//! The order: the filter is in place before a link comes up, an address is added before its predecessor goes, a server
//! enters its pool before another leaves, forwarding is switched on last and off first. An address is told to the neighbours
//! when it is added, but one that waits for its services when they are open. A link is made after those that it stands on.

mod assumed;
mod assumed_links;
mod ipvs;
mod links;
mod network;
mod step;
#[cfg(test)]
mod tests;

pub use ipvs::{diff_foreign, diff_pool, diff_pools, diff_timeouts};
pub use network::{announce, announce_opened, diff_network};
pub use step::Step;

use crate::desired::{DesiredVirtual, Network, Pools};
use crate::model::VirtualKey;
use crate::observed::Observed;

/// Everything: nothing is left to do when the result is empty.
pub fn diff(network: &Network, pools: &Pools, observed: &Observed) -> Vec<Step> {
    diff_each(
        network,
        pools.iter().map(|(key, pool)| (*key, pool.clone())),
        observed,
    )
}

/// The same for pools that are there one at a time.
pub fn diff_each(
    network: &Network,
    pools: impl Iterator<Item = (VirtualKey, DesiredVirtual)>,
    observed: &Observed,
) -> Vec<Step> {
    let mut first = diff_network(network, observed);
    let forwarding = first
        .iter()
        .position(network::is_forwarding_on)
        .unwrap_or(first.len());
    let mut last = first.split_off(forwarding);
    if only_services_differ(network, observed) {
        // The filter stands; a service is opened when its pool is ready for its clients.
        let (rules, others) = first
            .into_iter()
            .partition(|step| matches!(step, Step::ReplaceRuleset(_)));
        first = others;
        last.splice(0..0, Vec::<Step>::into_iter(rules));
    }
    first.extend(diff_timeouts(network.timeouts, observed));
    first.extend(ipvs::diff_each_pool(pools, observed));
    first.extend(diff_foreign(observed));
    first.extend(last);
    first.extend(announce_opened(network, observed));
    first
}

fn only_services_differ(network: &Network, observed: &Observed) -> bool {
    let seen = observed.ruleset.as_ref();
    seen.is_some_and(|seen| seen.same_rules(&network.ruleset))
}
