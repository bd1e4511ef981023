//! Who speaks for a server: nobody, the target of its one check, or those of several together. Servers with one check, which nearly all are, take no
//! memory for the others. Must not: open sockets or read the clock.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Instant;

use lb_core::check::{CheckKind, CheckParams};
use lb_core::config::{Config, RealServer};
use lb_core::control::HealthWord;
use lb_core::flat::FlatMap;
use lb_core::health::{Health, Machine, Share, Standing, Together, Told};
use lb_core::model::{RealKey, ServerKey, VirtualKey, Weight};

use super::Checks;
use crate::targets::{Target, TargetId, schedule};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    /// It is never checked.
    Nobody,
    One(TargetId),
    /// Those of [`Checks::several`].
    Several,
}

/// The targets of a server with several checks, in the order of the file.
#[derive(Debug, Clone)]
pub(super) struct Several {
    pub ids: Box<[TargetId]>,
    pub memory: Together,
}

impl Speaker {
    /// `several`: what is known of that server, if it has several checks.
    pub fn ids<'i>(&'i self, several: Option<&'i Several>) -> &'i [TargetId] {
        match self {
            Speaker::Nobody => &[],
            Speaker::One(id) => std::slice::from_ref(id),
            Speaker::Several => several.map_or(&[], |several| &several.ids),
        }
    }
}

/// Who spoke for a server until now.
pub(super) struct Before<'b> {
    ids: &'b [TargetId],
    memory: Option<Together>,
    /// `None`: nobody spoke.
    standing: Option<Standing>,
}

/// A server with several checks, and what one of them has changed about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turned {
    pub user: ServerKey,
    pub before: Health,
    pub after: Health,
}

impl Checks {
    /// Takes out what is known of the servers of a service that have several checks, for it is about to be configured anew.
    pub(super) fn take_several(
        &mut self,
        service: &VirtualKey,
        servers: &FlatMap<RealKey, Speaker>,
    ) -> BTreeMap<RealKey, Several> {
        let together = servers
            .iter()
            .filter(|(_, speaker)| **speaker == Speaker::Several);
        let taken = together.filter_map(|(server, _)| {
            let user = ServerKey {
                service: *service,
                server: *server,
            };
            Some((*server, self.several.remove(&user)?))
        });
        taken.collect()
    }

    pub(super) fn before<'b>(&self, speaker: &'b Speaker, several: Option<&'b Several>) -> Before<'b> {
        Before {
            ids: speaker.ids(several),
            memory: several.map(|several| several.memory),
            standing: self.standing_of(speaker, several),
        }
    }

    /// The targets of a server's checks. `before`: who spoke for it until now. `known`: the weight that it has in the kernel, and the scale of that.
    pub(super) fn speaker(
        &mut self,
        now: Instant,
        config: &Config,
        real: &RealServer,
        user: ServerKey,
        before: Option<&Before<'_>>,
        known: impl Fn() -> Option<(Weight, u32)>,
    ) -> Speaker {
        let mut target = |check: &Arc<CheckParams>| {
            let behind = config.checked_through(real.address, check);
            let behind = behind.and_then(|at| u32::try_from(at).ok());
            self.speaking(now, (real, check), (user, behind), before, &known)
        };
        match real.checks.all() {
            [only] if only.kind == CheckKind::None => Speaker::Nobody,
            [only] => Speaker::One(target(only)),
            all => {
                let ids: Box<[TargetId]> = all.iter().map(target).collect();
                let memory = before.map(|before| match (before.memory, before.standing) {
                    (Some(memory), _) => memory,
                    (None, Some(standing)) => Together::after(standing),
                    // Who is never checked is up.
                    (None, None) => Together::after(Standing::Up {
                        since: now,
                        settled: true,
                    }),
                });
                let memory = memory.unwrap_or_default();
                self.several.insert(user, Several { ids, memory });
                self.look(&user, now);
                Speaker::Several
            }
        }
    }

    fn speaking(
        &mut self,
        now: Instant,
        (real, check): (&RealServer, &Arc<CheckParams>),
        (user, behind): (ServerKey, Option<u32>),
        before: Option<&Before<'_>>,
        known: impl Fn() -> Option<(Weight, u32)>,
    ) -> TargetId {
        let spoke = before.map_or(&[][..], |before| before.ids).iter();
        let mut spoke = spoke.filter_map(|id| self.targets.at(*id));
        let same_kind = spoke.find(|target| target.params.asks_as(check));
        let learnt = same_kind.map(|target| target.machine.clone());
        let stood = before.map(|before| before.standing);
        let epoch = self.epoch;
        let fresh = || {
            if let Some(mut machine) = learnt {
                // The check that is under way is another target's.
                if machine.due().is_none() {
                    machine.repeat(now);
                }
                machine.reschedule(now, check);
                return machine;
            }
            let schedule = schedule(epoch, real.address);
            match (stood, known()) {
                // It is asked something else, or more, from now on, and was not bad until then.
                (Some(None | Some(Standing::Up { .. })), _) => Machine::adopted(now, schedule, Told::Nothing),
                (Some(Some(_)), _) => Machine::new(now, schedule),
                (None, Some((Weight::ZERO, _))) => Machine::quiet(now, schedule),
                (None, Some((weight, scale))) => {
                    Machine::adopted(now, schedule, told(&check.kind, weight, scale, real))
                }
                (None, None) => Machine::new(now, schedule),
            }
        };
        self.targets.join(user, check, behind, fresh)
    }

    /// What is remembered of a server with several checks follows them.
    pub(super) fn look(&mut self, user: &ServerKey, now: Instant) {
        let Some(several) = self.several.get_mut(user) else {
            return;
        };
        let targets = several.ids.iter().filter_map(|id| self.targets.at(*id));
        several
            .memory
            .look(targets.map(|target| target.machine.standing()), now);
    }

    /// Before a result: how a target stands, where it may speak for a server with several checks.
    pub(super) fn stood(&self, id: TargetId) -> Option<Standing> {
        let target = self.targets.at(id).filter(|_| !self.several.is_empty());
        target.map(|target| target.machine.standing())
    }

    /// The servers with several checks for which this target speaks, as they stood before it did so, and as they stand.
    pub(super) fn turned(&mut self, id: TargetId, stood: Standing, now: Instant) -> Vec<Turned> {
        let users: Vec<ServerKey> = self
            .targets
            .at(id)
            .map_or_else(Vec::new, |target| target.users().to_vec());
        let mut turned = Vec::new();
        for user in users {
            let Some(several) = self.several.get(&user) else {
                continue;
            };
            let one = |other: &TargetId| match *other == id {
                true => Some(stood),
                false => self.targets.at(*other).map(|target| target.machine.standing()),
            };
            let before = several
                .memory
                .standing(several.ids.iter().filter_map(one))
                .health();
            self.look(&user, now);
            let after = self.stands(&user).map_or(before, Standing::health);
            turned.push(Turned { user, before, after });
        }
        turned
    }

    fn speaker_of(&self, key: &ServerKey) -> Option<&Speaker> {
        self.pools.get(&key.service)?.servers.get(&key.server)
    }

    /// How a server stands; `None` also where nobody speaks for it.
    pub fn stands(&self, key: &ServerKey) -> Option<Standing> {
        self.standing_of(self.speaker_of(key)?, self.several.get(key))
    }

    fn standing_of(&self, speaker: &Speaker, several: Option<&Several>) -> Option<Standing> {
        let standing = |id: &TargetId| Some(self.targets.at(*id)?.machine.standing());
        match speaker {
            Speaker::Nobody => None,
            Speaker::One(id) => Some(standing(id).unwrap_or(Standing::Unproven { known: false })),
            Speaker::Several => {
                let several = several?;
                Some(several.memory.standing(several.ids.iter().filter_map(standing)))
            }
        }
    }

    /// How a server stands, and what of its weight it gets; one that is never checked always all.
    pub(super) fn standing_and_share(&self, key: &ServerKey, speaker: &Speaker) -> (Standing, Share) {
        let several = match speaker {
            Speaker::Several => self.several.get(key),
            _ => None,
        };
        let Some(standing) = self.standing_of(speaker, several) else {
            let since = self.epoch;
            return (Standing::Up { since, settled: true }, Share::WHOLE);
        };
        let targets = speaker.ids(several).iter().filter_map(|id| self.targets.at(*id));
        (
            standing,
            Share::together(targets.map(|target| target.machine.told())),
        )
    }

    /// The targets of a server's checks, in the order of the file.
    pub fn targets_of(&self, key: &ServerKey) -> impl Iterator<Item = &Target> {
        let several = self.several.get(key);
        let ids = self
            .speaker_of(key)
            .map_or(&[][..], |speaker| speaker.ids(several));
        ids.iter().filter_map(|id| self.targets.at(*id))
    }

    /// The target that decides how a server stands, with its place among those of the server: of several the one that is worst, or may soon be.
    pub fn deciding(&self, key: &ServerKey) -> Option<(usize, &Target)> {
        let all = self.targets_of(key).enumerate();
        all.min_by_key(|(_, target)| match target.machine.word() {
            HealthWord::Down => 0,
            HealthWord::CannotCheck => 1,
            HealthWord::Unproven => 2,
            HealthWord::Held => 3,
            HealthWord::Up if target.machine.failures() > 0 => 4,
            HealthWord::Up => 5,
        })
    }
}

/// What a server that has this weight now must have told.
fn told(kind: &CheckKind, weight: Weight, scale: u32, real: &RealServer) -> Told {
    let one = real.weight.value().saturating_mul(scale);
    let times = weight
        .value()
        .checked_div(one)
        .filter(|_| kind.counts_endpoints());
    let count = times.and_then(|times| NonZeroU16::new(u16::try_from(times).ok()?));
    count.map_or(Told::Nothing, Told::Endpoints)
}
