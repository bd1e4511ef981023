//! Since when each link has had its carrier, or has been without, as the agent has seen it: the kernel only counts.
//! Must not: judge.

use std::collections::BTreeMap;
use std::time::Instant;

use lb_core::control::CarrierAge;
use lb_core::model::IfName;
use lb_core::observed::ObservedLink;

/// By the links' indices: a link that was made anew is another one.
#[derive(Debug, Default)]
pub struct Carriers(BTreeMap<u32, Carrier>);

#[derive(Debug)]
struct Carrier {
    present: bool,
    since: Instant,
    change_seen: bool,
}

impl Carriers {
    pub fn seen(&mut self, links: &BTreeMap<IfName, ObservedLink>, now: Instant) {
        let first = self.0.is_empty();
        self.0
            .retain(|index, _| links.values().any(|link| link.index == *index));
        for link in links.values() {
            let known = self.0.entry(link.index).or_insert(Carrier {
                present: link.carrier,
                since: now,
                // It came while the agent was looking.
                change_seen: !first,
            });
            if known.present != link.carrier {
                *known = Carrier {
                    present: link.carrier,
                    since: now,
                    change_seen: true,
                };
            }
        }
    }

    pub fn age(&self, index: u32, now: Instant) -> Option<CarrierAge> {
        let carrier = self.0.get(&index)?;
        let ms = now.saturating_duration_since(carrier.since).as_millis();
        Some(CarrierAge {
            ms: u64::try_from(ms).unwrap_or(u64::MAX),
            change_seen: carrier.change_seen,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn links(states: &[(&str, u32, bool)]) -> BTreeMap<IfName, ObservedLink> {
        let link = |(name, index, carrier): &(&str, u32, bool)| {
            let link = ObservedLink {
                index: *index,
                carrier: *carrier,
                ..ObservedLink::default()
            };
            (name.parse().unwrap(), link)
        };
        states.iter().map(link).collect()
    }

    #[test]
    fn a_carrier_is_as_old_as_its_last_change() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut carriers = Carriers::default();
        carriers.seen(&links(&[("eth0", 2, true), ("eth1", 3, true)]), at(0));
        carriers.seen(&links(&[("eth0", 2, false), ("eth1", 3, true)]), at(10));
        carriers.seen(&links(&[("eth0", 2, false), ("eth1", 3, true)]), at(20));
        let age = |carriers: &Carriers, index, s| carriers.age(index, at(s)).map(|a| (a.ms, a.change_seen));
        assert_eq!(age(&carriers, 2, 30), Some((20_000, true)));
        assert_eq!(age(&carriers, 3, 30), Some((30_000, false)));
        // Made anew under the same name.
        carriers.seen(&links(&[("eth0", 7, false), ("eth1", 3, true)]), at(40));
        assert_eq!(
            (age(&carriers, 2, 50), age(&carriers, 7, 50)),
            (None, Some((10_000, true)))
        );
    }
}
