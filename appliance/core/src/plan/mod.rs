//! The steps from what is to what should be, and their order.
//! Must not: touch the kernel. A step prints as the line that an operator would type; logs, golden files and
//! `applctl` all show that line.
//!
//! The order: the filter is in place before a link comes up, an address is added before its predecessor goes, a server
//! enters its pool before another leaves, forwarding is switched on last and off first.

mod ipvs;
mod network;
mod step;
#[cfg(test)]
mod tests;

pub use ipvs::{diff_foreign, diff_pool, diff_pools, diff_timeouts};
pub use network::diff_network;
pub use step::Step;

use crate::desired::{Network, Pools};
use crate::observed::Observed;

/// Everything: nothing is left to do when the result is empty.
pub fn diff(network: &Network, pools: &Pools, observed: &Observed) -> Vec<Step> {
    let mut steps = diff_network(network, observed);
    let forwarding = steps
        .iter()
        .position(network::is_forwarding_on)
        .unwrap_or(steps.len());
    let last = steps.split_off(forwarding);
    steps.extend(diff_timeouts(observed));
    steps.extend(diff_pools(pools, observed));
    steps.extend(diff_foreign(observed));
    steps.extend(last);
    steps
}
