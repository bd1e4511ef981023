//! A server with several checks: it is up while all of them are. Must not: know how many it has, or what they ask.

use std::time::Instant;

use super::{Health, Share, Standing, Told};

/// What has to be remembered of such a server, beside what each of its checks knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Together {
    /// All of them were up at the same time: it had clients.
    was_up: bool,
    /// Since when at least one is down, whichever that was first.
    down_since: Option<Instant>,
}

impl Together {
    /// Of a server that stood so before it had several checks.
    pub fn after(standing: Standing) -> Together {
        match standing {
            Standing::Up { .. } | Standing::Held => Together {
                was_up: true,
                down_since: None,
            },
            Standing::Down { since, was_up, .. } => Together {
                was_up,
                down_since: Some(since),
            },
            Standing::Unproven { .. } => Together::default(),
        }
    }

    /// One of the checks has changed, or there are others.
    pub fn look(&mut self, all: impl Iterator<Item = Standing>, now: Instant) {
        match self.standing(all) {
            Standing::Down { .. } => {
                self.down_since.get_or_insert(now);
            }
            standing => {
                self.was_up |= matches!(standing, Standing::Up { .. });
                self.down_since = None;
            }
        }
    }

    /// Down as soon as one is, up when all are, and without a verdict while one has none.
    pub fn standing(&self, all: impl Iterator<Item = Standing>) -> Standing {
        let mut all = all.map(|standing| self.with_memory(standing));
        let first = all.next().unwrap_or(Standing::Unproven { known: false });
        all.fold(first, both)
    }

    fn with_memory(&self, standing: Standing) -> Standing {
        match standing {
            Standing::Down { since, gone, .. } => Standing::Down {
                since: self.down_since.unwrap_or(since),
                gone,
                was_up: self.was_up,
            },
            other => other,
        }
    }
}

fn both(one: Standing, other: Standing) -> Standing {
    use Standing::{Down, Held, Unproven, Up};
    match (one, other) {
        (
            Down { since, gone, was_up },
            Down {
                since: or, gone: too, ..
            },
        ) => Down {
            since: since.min(or),
            // Who refuses has no connections left, whatever another check says.
            gone: gone || too,
            was_up,
        },
        (down @ Down { .. }, _) | (_, down @ Down { .. }) => down,
        (Unproven { known }, Unproven { known: too }) => Unproven { known: known || too },
        (unproven @ Unproven { .. }, _) | (_, unproven @ Unproven { .. }) => unproven,
        (Held, _) | (_, Held) => Held,
        (
            Up { since, settled },
            Up {
                since: or,
                settled: too,
            },
        ) => Up {
            // Nothing is new about a check that was adopted: it begins no slow start.
            since: match (settled, too) {
                (true, false) => or,
                (false, true) => since,
                _ => since.max(or),
            },
            settled: settled && too,
        },
    }
}

impl Standing {
    pub fn health(self) -> Health {
        match self {
            Standing::Unproven { .. } => Health::Unproven,
            Standing::Up { .. } => Health::Up,
            Standing::Held => Health::Held,
            Standing::Down { .. } => Health::Down,
        }
    }
}

impl Share {
    /// Endpoints multiply the weight, and of it the server gets the least part that one of its checks asks for. Checks that are told nothing have
    /// no say.
    pub fn together(all: impl Iterator<Item = Told>) -> Share {
        let (mut times, mut part) = (None, Share::WHOLE);
        for told in all {
            let share = Share::from(told);
            match told {
                Told::Nothing => {}
                Told::Endpoints(_) => times = Some(times.map_or(share, |known: Share| known.min(share))),
                Told::Percent(_) | Told::Drain => part = part.min(share),
            }
        }
        times.unwrap_or(Share::WHOLE).part(part)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn standing(epoch: Instant) -> impl Strategy<Value = Standing> {
        let since = (0u64..100).prop_map(move |ms| epoch + Duration::from_millis(ms));
        (0..4, since, any::<bool>(), any::<bool>()).prop_map(|(which, since, one, other)| match which {
            0 => Standing::Unproven { known: one },
            1 => Standing::Up { since, settled: one },
            2 => Standing::Held,
            _ => Standing::Down {
                since,
                gone: one,
                was_up: other,
            },
        })
    }

    proptest! {
        /// Up is all, down is any; and one that is alone is what it is.
        #[test]
        fn a_server_stands_as_all_of_its_checks(
            all in prop::collection::vec(standing(Instant::now()), 1..9),
            was_up in any::<bool>(),
        ) {
            let together = Together { was_up, down_since: None };
            let whole = together.standing(all.iter().copied());
            let any = |health| all.iter().any(|standing| standing.health() == health);
            prop_assert_eq!(whole.health() == Health::Up, all.iter().all(|one| one.health() == Health::Up));
            prop_assert_eq!(whole.health() == Health::Down, any(Health::Down));
            prop_assert_eq!(whole.health() == Health::Unproven, any(Health::Unproven) && !any(Health::Down));
            let mut turned = all.clone();
            turned.reverse();
            prop_assert_eq!(whole, together.standing(turned.into_iter()), "their order is no matter");
            if let Standing::Down { was_up: had_clients, .. } = whole {
                prop_assert_eq!(had_clients, was_up);
            }
            let alone = Together::after(all[0]).standing(all[..1].iter().copied());
            prop_assert_eq!(alone, all[0]);
        }
    }

    #[test]
    fn a_server_is_down_since_the_first_of_its_checks_was() {
        let epoch = Instant::now();
        let at = |seconds| epoch + Duration::from_secs(seconds);
        let up = |seconds, settled| Standing::Up {
            since: at(seconds),
            settled,
        };
        let down = |seconds| Standing::Down {
            since: at(seconds),
            gone: false,
            was_up: true,
        };
        let mut together = Together::default();
        for (now, all, expected) in [
            (1, [up(0, false), up(1, false)], up(1, false)),
            (2, [down(2), up(1, false)], down(2)),
            (3, [down(2), down(3)], down(2)),
            (4, [up(4, false), down(3)], down(2)),
            (5, [up(4, false), up(5, false)], up(5, false)),
            // One that is new and was adopted is no reason to start slowly again.
            (6, [up(4, false), up(6, true)], up(4, false)),
            (7, [up(4, true), up(6, true)], up(6, true)),
        ] {
            together.look(all.into_iter(), at(now));
            assert_eq!(together.standing(all.into_iter()), expected, "{now}");
        }
        // Its checks were up one after the other, and never together.
        let mut never = Together::default();
        never.look([up(0, false), down(0)].into_iter(), at(0));
        let Standing::Down { was_up, .. } = never.standing([down(1), up(1, false)].into_iter()) else {
            panic!("it is down");
        };
        assert!(!was_up);
    }

    #[test]
    fn a_share_is_the_least_that_is_asked_for_of_the_endpoints() {
        let endpoints = |count| NonZeroU16::new(count).map_or(Told::Nothing, Told::Endpoints);
        for (told, percent) in [
            (vec![Told::Nothing, Told::Nothing], 100),
            (vec![endpoints(3), Told::Nothing], 300),
            (vec![endpoints(3), endpoints(2), Told::Percent(50)], 100),
            (vec![Told::Percent(70), Told::Percent(50)], 50),
            (vec![endpoints(3), Told::Drain], 0),
            (vec![endpoints(u16::MAX), Told::Percent(100)], 6_553_500),
        ] {
            let one = Share::together(told[..1].iter().copied());
            assert_eq!(one, Share::from(told[0]));
            assert_eq!(Share::together(told.into_iter()).percent(), percent);
        }
    }
}
