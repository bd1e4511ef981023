//! All health machines and the queue of their next checks. Must not: open sockets or read the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Instant;

use lb_core::check::{CheckKind, CheckParams};
use lb_core::config::{Config, RealServer, VirtualServer};
use lb_core::control::HealthWord;
use lb_core::desired;
use lb_core::flat::FlatMap;
use lb_core::health::{CheckResult, Health, Machine, Outcome, Schedule, Transition};
use lb_core::model::{IfName, RealKey, ServerKey, VirtualKey, Weight};
use lb_core::observed::ObservedLink;

#[cfg(test)]
mod tests;

pub type Links = BTreeMap<IfName, ObservedLink>;

#[derive(Debug)]
struct Entry {
    machine: Machine,
    params: Arc<CheckParams>,
    /// The interface of the file that leads to the server.
    behind: Option<u32>,
}

/// The servers of one service, and when each of those that wait for their next check is due.
#[derive(Debug, Default)]
struct Pool {
    servers: FlatMap<RealKey, Entry>,
    due: BTreeSet<(Instant, u32)>,
}

impl Pool {
    fn of(servers: FlatMap<RealKey, Entry>) -> Pool {
        let mut pool = Pool {
            servers,
            due: BTreeSet::new(),
        };
        pool.requeue();
        pool
    }

    fn requeue(&mut self) {
        let due = |(at, entry): (u32, &Entry)| entry.machine.due().map(|due| (due, at));
        self.due = (0..).zip(self.servers.values()).filter_map(due).collect();
    }

    fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }
}

#[derive(Debug)]
pub struct Checks {
    /// All phases count from here, so that a reload does not move them.
    epoch: Instant,
    pools: BTreeMap<VirtualKey, Pool>,
    /// When each service has its next check.
    queue: BTreeSet<(Instant, VirtualKey)>,
}

impl Checks {
    pub fn new(epoch: Instant) -> Checks {
        Checks {
            epoch,
            pools: BTreeMap::new(),
            queue: BTreeSet::new(),
        }
    }

    /// Brings all machines in line with the configuration. What is known of a server stays known; a new one is unproven,
    /// unless `adopt` says with which weight it takes traffic already.
    pub fn configure(&mut self, now: Instant, config: &Config, adopt: impl Fn(&ServerKey) -> Option<Weight>) {
        let mut old = std::mem::take(&mut self.pools);
        self.queue.clear();
        for service in &config.virtual_servers {
            let before = old.remove(&service.key).unwrap_or_default();
            let pool = self.pool(now, config, service, before, &adopt);
            self.pools.insert(service.key, pool);
        }
        self.queue = self
            .pools
            .iter()
            .filter_map(|(key, pool)| pool.next_due().map(|at| (at, *key)))
            .collect();
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
        let before = self.pools.remove(key).unwrap_or_default();
        let was_due = before.next_due();
        if let Some(service) = service {
            let pool = self.pool(now, config, service, before, adopt);
            self.pools.insert(*key, pool);
        }
        self.follow(*key, was_due);
    }

    fn pool(
        &self,
        now: Instant,
        config: &Config,
        service: &VirtualServer,
        mut before: Pool,
        adopt: impl Fn(&ServerKey) -> Option<Weight>,
    ) -> Pool {
        let entry = |real: &RealServer| {
            let key = ServerKey {
                service: service.key,
                server: real.address,
            };
            let machine = match before.servers.remove(&real.address) {
                Some(mut entry) if entry.params.kind == real.check.kind => {
                    if entry.params != real.check {
                        entry.machine.reschedule(now, &real.check);
                    }
                    entry.machine
                }
                known => {
                    let known = known.map(|entry| entry.machine.share());
                    let weight = known.map_or_else(
                        || adopt(&key),
                        |share| share.map(|times| real.weight.times(times)),
                    );
                    let schedule = Schedule::new(self.epoch, &real.address.to_string());
                    match (&real.check.kind, weight) {
                        (CheckKind::None, _) => Machine::unchecked(now, schedule),
                        (kind, Some(weight)) => Machine::adopted(now, schedule, told(kind, weight, real)),
                        (_, None) => Machine::new(now, schedule),
                    }
                }
            };
            let entry = Entry {
                machine,
                params: real.check.clone(),
                behind: config
                    .towards(real.address.address)
                    .and_then(|at| u32::try_from(at).ok()),
            };
            (real.address, entry)
        };
        Pool::of(service.real_servers.iter().map(entry).collect())
    }

    /// Keeps the queue right after a pool has changed that was due at `before`.
    fn follow(&mut self, key: VirtualKey, before: Option<Instant>) {
        let now = self.pools.get(&key).and_then(Pool::next_due);
        if before == now {
            return;
        }
        if let Some(at) = before {
            self.queue.remove(&(at, key));
        }
        if let Some(at) = now {
            self.queue.insert((at, key));
        }
    }

    fn entry(&self, key: &ServerKey) -> Option<&Entry> {
        self.pools.get(&key.service)?.servers.get(&key.server)
    }

    /// Changes one machine, and when it is due.
    fn change<T>(&mut self, key: &ServerKey, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let pool = self.pools.get_mut(&key.service)?;
        let before = pool.next_due();
        let position = pool.servers.position(&key.server)?;
        let (_, entry) = pool.servers.at_mut(position)?;
        let place = u32::try_from(position).ok()?;
        if let Some(due) = entry.machine.due() {
            pool.due.remove(&(due, place));
        }
        let changed = change(entry);
        if let Some(due) = entry.machine.due() {
            pool.due.insert((due, place));
        }
        self.follow(key.service, before);
        Some(changed)
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// The checks to start now. They are under way until [`Checks::record`] is told their result.
    pub fn take_due(&mut self, now: Instant) -> Vec<(ServerKey, Arc<CheckParams>)> {
        let mut due = Vec::new();
        while let Some((at, service)) = self.queue.first().copied() {
            if at > now {
                break;
            }
            self.queue.pop_first();
            let Some(pool) = self.pools.get_mut(&service) else {
                continue;
            };
            while pool.next_due().is_some_and(|at| at <= now) {
                let Some((_, place)) = pool.due.pop_first() else {
                    break;
                };
                if let Some((server, entry)) = pool.servers.at_mut(place as usize) {
                    entry.machine.started();
                    let key = ServerKey {
                        service,
                        server: *server,
                    };
                    due.push((key, entry.params.clone()));
                }
            }
            self.follow(service, None);
        }
        due
    }

    /// Takes a result; it is ignored if the server has left the configuration, or is asked something else by now.
    pub fn record(
        &mut self,
        key: ServerKey,
        asked: &CheckKind,
        result: &CheckResult,
        links: &Links,
    ) -> Option<Transition> {
        if self.entry(&key)?.params.kind != *asked {
            return None;
        }
        let frozen = matches!(result.outcome, Outcome::CannotCheck(_)) && self.shared_fault(&key, links);
        self.change(&key, |entry| entry.machine.record(result, &entry.params, frozen))?
    }

    /// Whether every other target behind the same interface of the file is in the same plight: then the fault is ours.
    fn shared_fault(&self, key: &ServerKey, links: &Links) -> bool {
        let Some(behind) = self.entry(key).and_then(|entry| entry.behind) else {
            return false;
        };
        let fine = |(other, entry): (&RealKey, &Entry)| {
            entry.behind == Some(behind)
                && entry.machine.was_checked()
                && !entry.machine.cannot_check()
                && own_fault(links, other.address).is_none()
        };
        let others = self.pools.iter().flat_map(|(service, pool)| {
            let own = *service == key.service;
            let servers = pool.servers.iter();
            servers.filter(move |(server, _)| !own || **server != key.server)
        });
        !others.into_iter().any(fine)
    }

    /// A result that says nothing, because the network changed under the check: it is made again.
    pub fn repeat(&mut self, key: ServerKey, at: Instant) {
        self.change(&key, |entry| entry.machine.repeat(at));
    }

    /// Servers that cannot be checked, in a sentence.
    pub fn unchecked_problem(&self) -> Option<String> {
        let mut unchecked = self
            .all()
            .filter(|(_, entry)| entry.machine.word() == HealthWord::CannotCheck);
        let (first, entry) = unchecked.next()?;
        let why = match entry.machine.last().map(|last| last.outcome) {
            Some(Outcome::CannotCheck(why)) => why,
            _ => "unknown".to_owned(),
        };
        Some(match unchecked.count() {
            0 => format!("server {first} cannot be checked: {why}"),
            others => format!("server {first} and {others} more cannot be checked: {why}"),
        })
    }

    /// Links have changed: checks that could not be made are tried again at once.
    pub fn retry_unchecked(&mut self, now: Instant) {
        let mut moved = Vec::new();
        for (service, pool) in &mut self.pools {
            let before = pool.next_due();
            let mut any = false;
            for entry in pool.servers.values_mut().filter(|e| e.machine.cannot_check()) {
                entry.machine.check_now(now);
                any = true;
            }
            if any {
                pool.requeue();
                moved.push((*service, before));
            }
        }
        for (service, before) in moved {
            self.follow(service, before);
        }
    }

    /// Checks of one service, or of all, are due now; how many.
    pub fn check_now(&mut self, now: Instant, only: Option<&VirtualKey>) -> usize {
        let (mut count, mut moved) = (0, Vec::new());
        let wanted = |key: &VirtualKey| only.is_none_or(|only| only == key);
        for (service, pool) in self.pools.iter_mut().filter(|(key, _)| wanted(key)) {
            let before = pool.next_due();
            count += pool
                .servers
                .values_mut()
                .filter_map(|entry| entry.machine.hurry(now).then_some(()))
                .count();
            pool.requeue();
            moved.push((*service, before));
        }
        for (service, before) in moved {
            self.follow(service, before);
        }
        count
    }

    fn all(&self) -> impl Iterator<Item = (&RealKey, &Entry)> {
        self.pools.values().flat_map(|pool| &pool.servers)
    }

    /// How many times its weight a server of one service gets, which is looked for once; `None`: no new connections.
    pub fn pool_of(&self, service: &VirtualKey) -> impl Fn(RealKey) -> Option<u16> {
        let pool = self.pools.get(service);
        move |server| pool?.servers.get(&server)?.machine.share()
    }

    /// The same of one server.
    pub fn share(&self, key: &ServerKey) -> Option<u16> {
        self.entry(key)?.machine.share()
    }

    pub fn in_pool(&self, key: &ServerKey) -> bool {
        self.entry(key).is_some_and(|entry| entry.machine.in_pool())
    }

    /// Whether clients may come: a server is up, or there is nothing left to wait for. Before that their SYNs are dropped,
    /// so that they try again, instead of being refused by an empty pool.
    pub fn is_open(&self, service: &VirtualServer) -> bool {
        let servers = self.pools.get(&service.key).map(|pool| pool.servers.values());
        let mut machines = servers.into_iter().flatten().map(|entry| &entry.machine);
        machines.clone().any(Machine::in_pool) || machines.all(|m| m.health() != Health::Unproven)
    }

    pub fn machine(&self, key: &ServerKey) -> Option<&Machine> {
        self.entry(key).map(|entry| &entry.machine)
    }

    /// Servers that are up, and all.
    pub fn count(&self) -> (usize, usize) {
        let up = self.all().filter(|(_, e)| e.machine.health() == Health::Up);
        let all = self.pools.values().map(|pool| pool.servers.len());
        (up.count(), all.sum())
    }
}

/// What a server that has this weight now was told to have endpoints.
fn told(kind: &CheckKind, weight: Weight, real: &RealServer) -> Option<NonZeroU16> {
    let times = weight.value().checked_div(real.weight.value());
    let times = times.filter(|_| kind.counts_endpoints())?;
    NonZeroU16::new(u16::try_from(times).ok()?)
}

/// Why a check of this server would only show a fault of our own, if that is so.
pub fn own_fault(links: &Links, server: IpAddr) -> Option<Outcome> {
    let reason = match desired::egress(links, server) {
        None => "no route to the server".to_owned(),
        Some((name, link)) if !link.admin_up => format!("{name} is down"),
        Some((name, link)) if !link.carrier && !link.loopback => format!("{name} has no carrier"),
        Some(_) => return None,
    };
    Some(Outcome::CannotCheck(reason))
}
