//! Since when each link has had its carrier, or has been without, as the agent has seen it: the kernel only counts.
//! Must not: judge.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lb_core::control::CarrierAge;
use lb_core::model::IfName;
use lb_core::observed::ObservedLink;

/// A card that is switched on may claim a carrier until it has looked for one; an agreement with the other end takes up to some seconds.
const LOOKED: Duration = Duration::from_secs(10);

/// Why a link is without a carrier from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Without {
    /// It had one.
    Lost,
    /// It was switched on, and there is none.
    Never,
}

/// By the links' indices: a link that was made anew is another one.
#[derive(Debug, Default)]
pub struct Carriers(BTreeMap<u32, Carrier>);

#[derive(Debug)]
struct Carrier {
    present: bool,
    since: Instant,
    change_seen: bool,
    /// The link is switched on.
    up: bool,
    /// It was there as soon as the link was switched on.
    at_once: bool,
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
                up: link.admin_up,
                at_once: false,
            });
            let switched_on = link.admin_up && !known.up;
            if known.present != link.carrier || switched_on {
                known.at_once = switched_on && link.carrier;
            }
            known.up = link.admin_up;
            if known.present != link.carrier {
                known.present = link.carrier;
                known.since = now;
                known.change_seen = true;
            }
        }
    }

    /// Before [`Carriers::seen`]: whether the link, as it is found now, is without a carrier since then only.
    pub fn without(&self, link: &ObservedLink, now: Instant) -> Option<Without> {
        let known = self.0.get(&link.index)?;
        if link.carrier || !link.admin_up {
            return None;
        }
        match (known.up, known.present) {
            (false, _) => Some(Without::Never),
            (true, true) if known.at_once && now.saturating_duration_since(known.since) < LOOKED => {
                Some(Without::Never)
            }
            (true, true) => Some(Without::Lost),
            (true, false) => None,
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

    /// One link after another second: whether it is switched on, whether it has a carrier; and what is said then.
    #[test]
    fn a_carrier_is_lost_only_where_there_was_one() {
        let start = Instant::now();
        type Look = (u64, bool, bool, Option<Without>);
        let cases: [&[Look]; 5] = [
            // No cable, and none is claimed.
            &[
                (0, false, false, None),
                (1, true, false, Some(Without::Never)),
                (2, true, false, None),
            ],
            // One is claimed until the card has looked.
            &[
                (0, false, false, None),
                (1, true, true, None),
                (3, true, false, Some(Without::Never)),
                (4, true, false, None),
            ],
            // The cable is pulled later on, or soon after it was plugged in.
            &[
                (0, false, false, None),
                (1, true, true, None),
                (60, true, false, Some(Without::Lost)),
            ],
            &[
                (0, false, false, None),
                (1, true, false, Some(Without::Never)),
                (2, true, true, None),
                (3, true, false, Some(Without::Lost)),
            ],
            // The agent has started anew, in a machine that serves; the link is switched off at last.
            &[
                (0, true, true, None),
                (1, true, false, Some(Without::Lost)),
                (2, true, true, None),
                (3, false, false, None),
            ],
        ];
        for case in cases {
            let mut carriers = Carriers::default();
            for (s, up, carrier, said) in case {
                let mut links = links(&[("eth0", 2, *carrier)]);
                links.values_mut().for_each(|link| link.admin_up = *up);
                let now = start + Duration::from_secs(*s);
                let without = links.values().find_map(|link| carriers.without(link, now));
                assert_eq!(without, *said, "{s} s of {case:?}");
                carriers.seen(&links, now);
            }
        }
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
