//! When most machines behind one interface fall silent at once, the fault is taken for ours: what they served keeps serving.
//! A machine that refuses is not silent. The first that falls silent is the reason to ask some others at once, so that the verdict
//! about it does not come before theirs is known. Must not: judge single servers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use lb_core::check::CheckKind;
use lb_core::health::{Health, Standing};

use crate::targets::{Target, TargetId, Targets};

/// One that dies is all of one. Of two it is half, and only both are most.
const LEAST_MACHINES: usize = 2;
/// So many machines are asked when one falls silent.
const ASKED: usize = 64;
/// What was counted stands for so long.
const COUNTED_FOR: Duration = Duration::from_millis(100);

/// The machines behind one interface that were up lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    machines: usize,
    silent: usize,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    count: Count,
    at: Instant,
    /// Since when most are silent.
    since: Option<Instant>,
    frozen: bool,
}

#[derive(Debug, Clone)]
struct Asked {
    at: Instant,
    /// Nobody is waited for after that.
    until: Instant,
    awaited: BTreeSet<TargetId>,
}

/// A check that has just ended, and is not recorded yet.
#[derive(Debug, Clone, Copy)]
pub struct Just {
    pub id: TargetId,
    pub silent: bool,
    pub ended: Instant,
}

/// Pools behind an interface are frozen, or no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreezeChange {
    /// The interface's place in the file.
    pub behind: u32,
    pub frozen: bool,
    pub machines: usize,
    pub silent: usize,
}

#[derive(Debug, Clone, Default)]
pub struct Silence {
    seen: BTreeMap<u32, Seen>,
    /// The last time that machines behind an interface were asked: what they said before that is not heard.
    asked: BTreeMap<u32, Asked>,
    changes: Vec<FreezeChange>,
}

impl Silence {
    /// Whether a silent failure behind this interface is taken for ours now. `limit`: so long while some still answer; zero: never.
    pub fn is_ours(&mut self, behind: u32, just: Just, limit: Duration, targets: &Targets) -> bool {
        if limit.is_zero() {
            return false;
        }
        let now = just.ended;
        if let Some(seen) = self.seen.get(&behind)
            && now.saturating_duration_since(seen.at) < COUNTED_FOR
        {
            return seen.frozen;
        }
        let count = count(
            behind,
            just,
            self.asked.get(&behind).map(|asked| asked.at),
            targets,
        );
        let before = self.seen.get(&behind);
        let most = count.machines >= LEAST_MACHINES && count.silent * 2 > count.machines;
        let since = most.then(|| before.and_then(|seen| seen.since).unwrap_or(now));
        let in_time = since.is_some_and(|since| now.saturating_duration_since(since) < limit);
        let frozen = most && (in_time || count.silent == count.machines);
        if before.is_some_and(|seen| seen.frozen) != frozen {
            self.changes.push(FreezeChange {
                behind,
                frozen,
                machines: count.machines,
                silent: count.silent,
            });
        }
        let seen = Seen {
            count,
            at: now,
            since,
            frozen,
        };
        self.seen.insert(behind, seen);
        frozen
    }

    /// Whether there may be something to thaw.
    pub fn is_frozen(&self, behind: u32) -> bool {
        self.seen.get(&behind).is_some_and(|seen| seen.frozen)
    }

    /// The interfaces whose pools are frozen, with the machines behind them and how many of those are silent.
    pub fn frozen(&self) -> impl Iterator<Item = (u32, usize, usize)> {
        let frozen = self.seen.iter().filter(|(_, seen)| seen.frozen);
        frozen.map(|(behind, seen)| (*behind, seen.count.machines, seen.count.silent))
    }

    pub fn take_changes(&mut self) -> Vec<FreezeChange> {
        std::mem::take(&mut self.changes)
    }

    /// One that was up has not answered: whom to ask at once, if nobody was within `lately`.
    pub fn whom_to_ask(
        &mut self,
        silent: &Target,
        now: Instant,
        lately: Duration,
        targets: &Targets,
    ) -> BTreeSet<TargetId> {
        let Some(behind) = silent.behind else {
            return BTreeSet::new();
        };
        let is_known = self.asked.get(&behind).is_some_and(|asked| now < asked.until);
        if is_known || self.is_frozen(behind) {
            return BTreeSet::new();
        }
        // The plainest check of a machine tells best whether it is there: what asks more may be silent while it lives.
        let asks_much = |target: &Target| !matches!(target.params.kind, CheckKind::Tcp(_) | CheckKind::Icmp);
        let mut one_of_each: BTreeMap<IpAddr, (bool, TargetId)> = BTreeMap::new();
        for (id, target) in targets.with_ids() {
            if target.behind == Some(behind)
                && target.server.address != silent.server.address
                && target.machine.health() == Health::Up
            {
                let this = (asks_much(target), id);
                let known = one_of_each.entry(target.server.address).or_insert(this);
                if known.0 && !this.0 {
                    *known = this;
                }
            }
        }
        let step = one_of_each.len().div_ceil(ASKED).max(1);
        let awaited: BTreeSet<TargetId> = one_of_each
            .into_values()
            .map(|(_, id)| id)
            .step_by(step)
            .collect();
        let asked = Asked {
            at: now,
            until: now + lately,
            awaited: awaited.clone(),
        };
        self.asked.insert(behind, asked);
        awaited
    }

    /// Whether a verdict has to wait for machines that were asked.
    pub fn waits(&self, behind: u32, now: Instant) -> bool {
        let asked = self.asked.get(&behind);
        asked.is_some_and(|asked| now < asked.until && !asked.awaited.is_empty())
    }

    pub fn was_heard(&mut self, behind: u32, id: TargetId) {
        if let Some(asked) = self.asked.get_mut(&behind) {
            asked.awaited.remove(&id);
        }
    }

    /// Interfaces have other places now.
    pub fn forget(&mut self) {
        self.seen.clear();
        self.asked.clear();
    }
}

/// A machine is silent when nothing that was up on it answers. Who was not heard since `asked` is not counted.
fn count(behind: u32, just: Just, asked: Option<Instant>, targets: &Targets) -> Count {
    let mut machines: BTreeMap<IpAddr, bool> = BTreeMap::new();
    for (id, target) in targets
        .with_ids()
        .filter(|(_, target)| target.behind == Some(behind))
    {
        let is_counted = match target.machine.health() {
            Health::Up | Health::Held => true,
            Health::Down => is_fresh(target, just.ended),
            Health::Unproven => false,
        };
        let ended = target.machine.last_ended();
        let heard = ended.is_some_and(|ended| asked.is_none_or(|asked| ended >= asked));
        let silent = match id == just.id {
            true => just.silent,
            false if heard => target.machine.is_silent(),
            false => continue,
        };
        if is_counted {
            *machines.entry(target.server.address).or_insert(true) &= silent;
        }
    }
    Count {
        machines: machines.len(),
        silent: machines.values().filter(|silent| **silent).count(),
    }
}

/// It was up a moment ago: within the time that the checks of all others take to come round.
fn is_fresh(target: &Target, now: Instant) -> bool {
    let round = target.params.interval + target.params.timeout;
    match target.machine.standing() {
        Standing::Down { since, was_up, .. } => was_up && now.saturating_duration_since(since) < round,
        _ => false,
    }
}
