//! When most machines behind one interface fall silent at once, the fault is taken for ours: what they served keeps serving.
//! A machine that refuses is not silent. Must not: judge single servers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use lb_core::health::{Health, Standing};

use crate::targets::{Target, Targets};

/// With fewer machines, one that dies is most of them.
const LEAST_MACHINES: usize = 3;
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

/// Pools behind an interface are frozen, or no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreezeChange {
    /// The interface's place in the file.
    pub behind: u32,
    pub frozen: bool,
    pub machines: usize,
    pub silent: usize,
}

#[derive(Debug, Default)]
pub struct Silence {
    seen: BTreeMap<u32, Seen>,
    changes: Vec<FreezeChange>,
}

impl Silence {
    /// Whether a silent failure behind this interface is taken for ours now. `limit`: so long while some still answer; zero: never.
    pub fn is_ours(&mut self, behind: u32, now: Instant, limit: Duration, targets: &Targets) -> bool {
        if limit.is_zero() {
            return false;
        }
        if let Some(seen) = self.seen.get(&behind)
            && now.saturating_duration_since(seen.at) < COUNTED_FOR
        {
            return seen.frozen;
        }
        let count = count(behind, now, targets);
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

    /// Interfaces have other places now.
    pub fn forget(&mut self) {
        self.seen.clear();
    }
}

/// A machine is silent when nothing that was up on it answers.
fn count(behind: u32, now: Instant, targets: &Targets) -> Count {
    let mut machines: BTreeMap<IpAddr, bool> = BTreeMap::new();
    for target in targets.all().filter(|target| target.behind == Some(behind)) {
        let silent = match target.machine.health() {
            Health::Up | Health::Held => target.machine.is_silent(),
            Health::Down if is_fresh(target, now) => target.machine.is_silent(),
            Health::Down | Health::Unproven => continue,
        };
        *machines.entry(target.server.address).or_insert(true) &= silent;
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
