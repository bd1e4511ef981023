//! What is known of all servers: who speaks for each, and what follows for the pools. Must not: open sockets or read the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use lb_core::config::{Config, RealServer, VirtualServer};
use lb_core::control::HealthWord;
use lb_core::desired::DesiredVirtual;
use lb_core::flat::FlatMap;
use lb_core::health::{CheckResult, Health, Outcome, Share, Standing, Told, Transition};
use lb_core::model::{IfName, RealKey, ServerKey, VirtualKey, Weight};
use lb_core::observed::ObservedLink;
use lb_core::pool::{self, Decision, Drains, Member, Memory, Mode};

use crate::probe::Route;
use crate::silence::Silence;
use crate::targets::{Target, TargetId, Targets};

mod blame;
mod speakers;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod together_tests;

pub use blame::own_fault;
pub use speakers::Turned;
use speakers::{Several, Speaker};

pub type Links = BTreeMap<IfName, ObservedLink>;

/// The servers of one service, and what was decided of them last.
#[derive(Debug, Clone, Default)]
struct Pool {
    /// Who speaks for each.
    servers: FlatMap<RealKey, Speaker>,
    memory: Memory,
    next: Option<Instant>,
}

#[derive(Debug, Clone)]
pub struct Checks {
    /// All phases count from here, so that a reload does not move them.
    epoch: Instant,
    targets: Targets,
    pools: BTreeMap<VirtualKey, Pool>,
    /// The servers that have several checks.
    several: BTreeMap<ServerKey, Several>,
    /// Pools that change with the time.
    turns: BTreeSet<(Instant, VirtualKey)>,
    pub drains: Drains,
    pub silence: Silence,
    /// [`Config::fail_static`].
    fail_static: Duration,
}

/// It is others' turn in a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    pub before: Mode,
    pub after: Mode,
    /// [`Memory::served`], before.
    pub served: bool,
}

/// What a result has changed.
#[derive(Debug)]
pub struct Recorded {
    pub before: HealthWord,
    pub after: HealthWord,
    pub transition: Option<Transition>,
    /// What the server says of itself is something else than before.
    pub told: Option<Told>,
    /// Of a transition: the servers that have other checks as well.
    pub turned: Vec<Turned>,
}

impl Recorded {
    /// Most results change nothing.
    pub fn is_news(&self) -> bool {
        self.transition.is_some() || self.told.is_some() || self.before != self.after
    }
}

impl Checks {
    pub fn new(epoch: Instant, drains: Drains) -> Checks {
        Checks {
            epoch,
            targets: Targets::default(),
            pools: BTreeMap::new(),
            several: BTreeMap::new(),
            turns: BTreeSet::new(),
            drains,
            silence: Silence::default(),
            fail_static: Config::empty().fail_static,
        }
    }

    /// Brings everything in line with the configuration. What is known of a target stays known; a new one is unproven,
    /// unless `adopt` says with which weight it is in the kernel already.
    pub fn configure(&mut self, now: Instant, config: &Config, adopt: impl Fn(&ServerKey) -> Option<Weight>) {
        self.silence.forget();
        self.fail_static = config.fail_static;
        let mut gone: BTreeSet<VirtualKey> = self.pools.keys().copied().collect();
        for service in &config.virtual_servers {
            gone.remove(&service.key);
            self.configure_one(now, config, &service.key, Some(service), &adopt);
        }
        for key in gone {
            self.configure_one(now, config, &key, None, &adopt);
        }
    }

    /// The same for one service; `None`: it has left the configuration.
    pub fn configure_one(
        &mut self,
        now: Instant,
        config: &Config,
        key: &VirtualKey,
        service: Option<&VirtualServer>,
        adopt: impl Fn(&ServerKey) -> Option<Weight>,
    ) {
        let mut old = self.pools.remove(key).unwrap_or_default();
        if let Some(at) = old.next.take() {
            self.turns.remove(&(at, *key));
        }
        let user = |server: &RealKey| ServerKey {
            service: *key,
            server: *server,
        };
        let spoke_together = self.take_several(key, &old.servers);
        let mut speakers = Vec::new();
        for real in service.iter().flat_map(|service| &service.real_servers) {
            let user = user(&real.address);
            let scale = service.map_or(1, |service| service.pool.scale());
            let before = old.servers.get(&real.address);
            let before = before.map(|speaker| self.before(speaker, spoke_together.get(&real.address)));
            let known = || adopt(&user).map(|weight| (weight, scale));
            let speaker = self.speaker(now, config, real, user, before.as_ref(), known);
            speakers.push((real.address, speaker));
        }
        let servers: FlatMap<RealKey, Speaker> = speakers.into_iter().collect();
        for (server, speaker) in &old.servers {
            let user = user(server);
            let stay = servers
                .get(server)
                .map_or(&[][..], |speaker| speaker.ids(self.several.get(&user)));
            for id in speaker.ids(spoke_together.get(server)) {
                if !stay.contains(id) {
                    self.targets.leave(*id, &user);
                }
            }
        }
        if let Some(service) = service {
            let memory = old.memory;
            let next = None;
            self.pools.insert(
                *key,
                Pool {
                    servers,
                    memory,
                    next,
                },
            );
            self.settle(service, now);
        }
    }

    /// Decides about a pool anew, after something about it has changed; whose turn it was, if that is another's now.
    pub fn settle(&mut self, service: &VirtualServer, now: Instant) -> Option<Turn> {
        let decision = self.decide(service, now);
        let pool = self.pools.get_mut(&service.key)?;
        if pool.next != decision.next {
            if let Some(at) = pool.next {
                self.turns.remove(&(at, service.key));
            }
            self.turns.extend(decision.next.map(|at| (at, service.key)));
            pool.next = decision.next;
        }
        let before = std::mem::replace(&mut pool.memory, decision.memory);
        (before.mode != pool.memory.mode).then_some(Turn {
            before: before.mode,
            after: pool.memory.mode,
            served: before.served,
        })
    }

    fn decide(&self, service: &VirtualServer, now: Instant) -> Decision {
        self.decide_with(service, |real| self.is_drained(service, real), now)
    }

    /// Whose turn it would be if these servers were set aside as well.
    pub fn mode_without(
        &self,
        service: &VirtualServer,
        without: impl Fn(&RealServer) -> bool,
        now: Instant,
    ) -> Mode {
        let drained = |real: &RealServer| without(real) || self.is_drained(service, real);
        self.decide_with(service, drained, now).memory.mode
    }

    fn decide_with(
        &self,
        service: &VirtualServer,
        drained: impl Fn(&RealServer) -> bool,
        now: Instant,
    ) -> Decision {
        let pool = self.pools.get(&service.key);
        let nothing = Memory::default();
        let memory = pool.map_or(&nothing, |pool| &pool.memory);
        let member = |real: &RealServer| self.member(service, real, pool, drained(real));
        pool::decide(service, member, memory, now)
    }

    fn member(
        &self,
        service: &VirtualServer,
        real: &RealServer,
        pool: Option<&Pool>,
        drained: bool,
    ) -> Member {
        let speaker = pool.and_then(|pool| pool.servers.get(&real.address));
        let (standing, share) = match speaker {
            // It is not configured yet.
            None => (Standing::Unproven { known: false }, Share::WHOLE),
            Some(speaker) => self.standing_and_share(&service.server_key(real), speaker),
        };
        Member {
            standing,
            share,
            drained,
        }
    }

    /// What the kernel should hold of a service.
    pub fn desired(&self, service: &VirtualServer, now: Instant) -> DesiredVirtual {
        self.decide(service, now).pool
    }

    /// The weight that has to be up, and that which is.
    pub fn quorum(&self, key: &VirtualKey) -> (u64, u64) {
        let pool = self.pools.get(key);
        pool.map_or((0, 0), |pool| (pool.memory.quorum, pool.memory.up))
    }

    pub fn mode(&self, key: &VirtualKey) -> Mode {
        self.pools
            .get(key)
            .map(|pool| pool.memory.mode)
            .unwrap_or_default()
    }

    pub fn next_due(&self) -> Option<Instant> {
        let turn = self.turns.first().map(|(at, _)| *at);
        [self.targets.next_due(), turn].into_iter().flatten().min()
    }

    /// Pools that the time has changed.
    pub fn take_turns(&mut self, now: Instant) -> Vec<VirtualKey> {
        let mut turned = Vec::new();
        while let Some((_, key)) = self.turns.first().filter(|(at, _)| *at <= now).copied() {
            self.turns.pop_first();
            if let Some(pool) = self.pools.get_mut(&key) {
                pool.next = None;
            }
            turned.push(key);
        }
        turned
    }

    /// The check to start now, if one is due, and since when. It is under way until [`Checks::record`] is told its result.
    pub fn take_due(&mut self, now: Instant) -> Option<(Instant, TargetId, &Target)> {
        self.targets.take_due(now)
    }

    /// Takes a result; it is ignored if the target is gone.
    pub fn record(&mut self, id: TargetId, result: &CheckResult, links: &Links) -> Option<Recorded> {
        let waits = self.waits_for_others(id, result);
        let frozen = waits || self.is_our_fault(id, result, links);
        let stood = self.stood(id);
        let mut recorded = self.targets.change(id, |target| {
            let machine = &mut target.machine;
            let (before, told) = (machine.word(), machine.told());
            let transition = machine.record(result, &target.params, frozen);
            if waits {
                machine.hurry(result.ended + target.params.retry_interval);
            }
            Recorded {
                before,
                after: machine.word(),
                transition,
                told: (machine.told() != told).then_some(machine.told()),
                turned: Vec::new(),
            }
        })?;
        if let Some(stood) = stood.filter(|_| recorded.transition.is_some()) {
            recorded.turned = self.turned(id, stood, result.ended);
        }
        Some(recorded)
    }

    /// How the next half-open check gets to its target, if that is known.
    pub fn take_route(&mut self, id: TargetId, route: Option<Route>) {
        self.targets.take_route(id, route);
    }

    /// Links, addresses or routes have changed.
    pub fn forget_routes(&mut self) {
        self.targets.forget_routes();
    }

    /// A result that says nothing, because the network changed under the check: it is made again.
    pub fn repeat(&mut self, id: TargetId, at: Instant) {
        self.targets.change(id, |target| target.machine.repeat(at));
    }

    /// Servers that cannot be checked, in a sentence: each once, however many checks of it cannot be made.
    pub fn unchecked_problem(&self) -> Option<String> {
        let cannot = |target: &&Target| target.machine.word() == HealthWord::CannotCheck;
        let unchecked = || self.targets.all().filter(cannot);
        let first = unchecked().next()?;
        let why = match first.machine.last().map(|last| last.outcome) {
            Some(Outcome::CannotCheck(why)) => why,
            _ => "unknown".to_owned(),
        };
        let servers: BTreeSet<RealKey> = unchecked()
            .flat_map(|target| target.users().iter().map(|user| user.server))
            .collect();
        let server = first.users().first()?.server;
        Some(match servers.len() {
            0 | 1 => format!("server {server} cannot be checked: {why}"),
            all => format!("server {server} and {} more cannot be checked: {why}", all - 1),
        })
    }

    /// Links have changed: checks that could not be made are tried again at once.
    pub fn retry_unchecked(&mut self, now: Instant) {
        self.targets.change_all(|target| {
            let cannot = target.machine.cannot_check();
            if cannot {
                target.machine.check_now(now);
            }
            cannot
        });
    }

    /// Checks of one service, or of all, are due now; how many.
    pub fn check_now(&mut self, now: Instant, only: Option<&VirtualKey>) -> usize {
        let wanted =
            |target: &Target| only.is_none_or(|key| target.users().iter().any(|user| user.service == *key));
        self.targets
            .change_all(|target| wanted(target) && target.machine.hurry(now))
    }

    /// Whether clients may come: there is a server for them, or nothing left to wait for. Before that their SYNs are dropped,
    /// so that they try again, instead of being refused by an empty pool.
    pub fn is_open(&self, service: &VirtualServer) -> bool {
        self.mode(&service.key) != Mode::Waiting
    }

    /// `None`: it is gone.
    pub fn at(&self, id: TargetId) -> Option<&Target> {
        self.targets.at(id)
    }

    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.all()
    }

    /// Whether it passes its checks, if it has any.
    pub fn is_up(&self, key: &ServerKey) -> bool {
        let pool = self.pools.get(&key.service);
        let speaker = pool.and_then(|pool| pool.servers.get(&key.server));
        let is_up = |speaker| {
            let (standing, _) = self.standing_and_share(key, speaker);
            standing.health() == Health::Up
        };
        speaker.is_some_and(is_up)
    }

    /// Of the file's servers.
    pub fn count(&self, config: &Config) -> Counted {
        let mut counted = Counted::default();
        for service in config.services() {
            for real in service.of_file() {
                let key = service.server_key(real);
                let down = || self.stands(&key).map(Standing::health) == Some(Health::Down);
                let drained = self.is_drained(service, real);
                counted.all += 1;
                counted.up += usize::from(self.is_up(&key));
                counted.drained += usize::from(drained);
                counted.down += usize::from(!drained && down());
            }
        }
        counted
    }

    pub fn is_drained(&self, service: &VirtualServer, real: &RealServer) -> bool {
        !self.drains.is_empty() && self.drains.of(&service.name, real.address).is_some()
    }

    /// Whether the operator has set all of its servers aside.
    pub fn is_drained_whole(&self, service: &VirtualServer) -> bool {
        service.of_file().all(|real| self.is_drained(service, real))
    }
}

/// How many servers of the file, and of these how many stand in which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    pub up: usize,
    /// Without those that are set aside.
    pub down: usize,
    pub drained: usize,
    pub all: usize,
}
