//! IPVS: the smallest change of each pool, never a flush. Edits keep connections (ip_vs_edit_dest, ip_vs_edit_service),
//! so whatever can be edited is.

use std::collections::BTreeSet;

use crate::desired::{DesiredReal, DesiredVirtual, Pools};
use crate::model::VirtualKey;
use crate::observed::{IpvsTimeouts, Observed, ObservedReal, ObservedVirtual};

use super::Step;

/// All pools, then the services that nobody wants any more.
pub fn diff_pools(desired: &Pools, observed: &Observed) -> Vec<Step> {
    diff_each_pool(desired.iter().map(|(key, pool)| (*key, pool.clone())), observed)
}

/// The same for pools that are there one at a time.
pub(super) fn diff_each_pool(
    desired: impl Iterator<Item = (VirtualKey, DesiredVirtual)>,
    observed: &Observed,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut wanted = BTreeSet::new();
    for (key, pool) in desired {
        steps.extend(diff_pool(key, &pool, observed.virtual_servers.get(&key)));
        wanted.insert(key);
    }
    let gone = observed
        .virtual_servers
        .keys()
        .filter(|key| !wanted.contains(key));
    steps.extend(gone.map(|key| Step::DeleteVirtual(*key)));
    steps
}

/// Idle connections are forgotten at the same time as by conntrack.
pub fn diff_timeouts(wanted: IpvsTimeouts, observed: &Observed) -> Option<Step> {
    let differ = observed.ipvs_timeouts.is_some_and(|seen| seen != wanted);
    differ.then_some(Step::SetIpvsTimeouts(wanted))
}

/// Entries that are none of ours: IPVS has one owner here.
pub fn diff_foreign(observed: &Observed) -> Vec<Step> {
    observed
        .foreign_services
        .iter()
        .map(|service| Step::DeleteForeign(*service))
        .collect()
}

/// One pool. Servers that gain weight come before those that lose it, so that a pool which has a live server before
/// and after is never empty in between.
pub fn diff_pool(
    service: VirtualKey,
    desired: &DesiredVirtual,
    observed: Option<&ObservedVirtual>,
) -> Vec<Step> {
    let mut gains = Vec::new();
    let mut losses = Vec::new();
    match observed {
        None => gains.push(Step::AddVirtual {
            service,
            settings: desired.settings,
        }),
        Some(seen) if seen.settings != Some(desired.settings) => {
            gains.push(Step::EditVirtual {
                service,
                settings: desired.settings,
            });
        }
        Some(_) => {}
    }
    for (server, want) in &desired.servers {
        let (server, real) = (*server, *want);
        match observed.and_then(|o| o.servers.get(&server)) {
            None => gains.push(Step::AddReal {
                service,
                server,
                real,
            }),
            Some(seen) if same(want, seen) => {}
            Some(seen) if want.weight < seen.weight => losses.push(Step::EditReal {
                service,
                server,
                real,
            }),
            Some(_) => gains.push(Step::EditReal {
                service,
                server,
                real,
            }),
        }
    }
    let stale = observed
        .iter()
        .flat_map(|o| o.servers.keys())
        .filter(|server| !desired.servers.contains_key(server));
    losses.extend(stale.map(|server| Step::DeleteReal {
        service,
        server: *server,
    }));
    gains.extend(losses);
    gains
}

fn same(want: &DesiredReal, seen: &ObservedReal) -> bool {
    want.weight == seen.weight && Some(want.forward) == seen.forward && Some(want.limit) == seen.limit
}
