//! Links as reports: those that the file names, in its order, then the others, with what each has counted.
//! Must not: change anything or format for humans.

use std::time::Instant;

use lb_core::control::*;
use lb_core::observed::{Activity, ObservedLink};

use crate::engine::Engine;

impl Engine {
    pub fn interfaces(&self, activity: &Activity) -> InterfacesReport {
        let named = self
            .network
            .resolved
            .iter()
            .map(|(label, link)| (Some(label.clone()), link.clone()));
        let taken: Vec<_> = self.network.resolved.values().flatten().cloned().collect();
        let others = self
            .observed
            .links
            .iter()
            .filter(|(name, l)| !l.loopback && l.mac.is_some() && !taken.contains(name));
        let others = others.map(|(name, _)| (None, Some(name.clone())));
        let interfaces = named.chain(others).map(|(label, name)| {
            let seen = name.as_ref().and_then(|n| self.observed.links.get(n));
            let counters = name
                .as_ref()
                .and_then(|n| activity.links.get(n))
                .copied()
                .unwrap_or_default();
            let stack = self.stack(label.as_ref(), name.as_ref());
            InterfaceReport {
                label,
                link: name.map(|n| n.to_string()),
                mac: seen.and_then(|l| l.mac).map(|m| m.to_string()),
                state: link_state(seen).to_owned(),
                mtu: seen.map(|l| l.mtu),
                stack,
                addresses: seen
                    .iter()
                    .flat_map(|l| &l.addresses)
                    .map(|a| a.to_string())
                    .collect(),
                rx_bytes: counters.rx_bytes,
                rx_packets: counters.rx_packets,
                rx_errors: counters.rx_errors,
                rx_dropped: counters.rx_dropped,
                tx_bytes: counters.tx_bytes,
                tx_packets: counters.tx_packets,
                tx_errors: counters.tx_errors,
                tx_dropped: counters.tx_dropped,
                rates: None,
                carrier_age: seen.and_then(|link| self.carriers.age(link.index, Instant::now())),
            }
        });
        InterfacesReport {
            read_at_ms: activity.read_at_ms,
            interfaces: interfaces.collect(),
        }
    }
}

pub(super) fn link_state(seen: Option<&ObservedLink>) -> &'static str {
    match seen {
        None => "missing",
        Some(link) if !link.admin_up => "down",
        Some(link) if !link.carrier => "no-carrier",
        Some(_) => "up",
    }
}
