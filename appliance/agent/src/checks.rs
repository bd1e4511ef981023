//! All health machines and the queue of their next checks. Must not: open sockets or read the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use lb_core::config::{CheckKind, CheckParams, Config, RealServer, VirtualServer};
use lb_core::control::HealthWord;
use lb_core::desired;
use lb_core::health::{CheckResult, Health, Machine, Outcome, Schedule, Transition};
use lb_core::model::{IfName, ServerKey};
use lb_core::observed::ObservedLink;

pub type Links = BTreeMap<IfName, ObservedLink>;

#[derive(Debug)]
struct Entry {
    machine: Machine,
    params: CheckParams,
    /// The interface of the file that leads to the server.
    behind: Option<usize>,
}

#[derive(Debug)]
pub struct Checks {
    /// All phases count from here, so that a reload does not move them.
    epoch: Instant,
    entries: BTreeMap<ServerKey, Entry>,
    queue: BTreeSet<(Instant, ServerKey)>,
}

impl Checks {
    pub fn new(epoch: Instant) -> Checks {
        Checks {
            epoch,
            entries: BTreeMap::new(),
            queue: BTreeSet::new(),
        }
    }

    /// Brings the set of machines in line with the configuration. What is known of a server stays known; a new one is
    /// unproven, unless `adopt` says that it takes traffic already.
    pub fn configure(&mut self, now: Instant, config: &Config, adopt: impl Fn(&ServerKey) -> bool) {
        let mut old = std::mem::take(&mut self.entries);
        for service in &config.virtual_servers {
            for real in &service.real_servers {
                let key = ServerKey {
                    service: service.key,
                    server: real.address,
                };
                let machine = match old.remove(&key) {
                    Some(mut entry) if entry.params.kind == real.check.kind => {
                        if entry.params != real.check {
                            entry.machine.reschedule(now, &real.check);
                        }
                        entry.machine
                    }
                    known => {
                        let serves = known.map_or_else(|| adopt(&key), |entry| entry.machine.in_pool());
                        let schedule = Schedule::new(self.epoch, &real.address.to_string());
                        match (real.check.kind, serves) {
                            (CheckKind::None, _) => Machine::unchecked(now, schedule),
                            (CheckKind::Tcp, true) => Machine::adopted(now, schedule),
                            (CheckKind::Tcp, false) => Machine::new(now, schedule),
                        }
                    }
                };
                self.entries.insert(
                    key,
                    Entry {
                        machine,
                        params: real.check,
                        behind: config.towards(real.address.address),
                    },
                );
            }
        }
        self.requeue();
    }

    fn requeue(&mut self) {
        let due = |(key, entry): (&ServerKey, &Entry)| entry.machine.due().map(|at| (at, *key));
        self.queue = self.entries.iter().filter_map(due).collect();
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// The checks to start now. They are under way until [`Checks::record`] is told their result.
    pub fn take_due(&mut self, now: Instant) -> Vec<(ServerKey, CheckParams)> {
        let mut due = Vec::new();
        while let Some((at, key)) = self.queue.first().copied() {
            if at > now {
                break;
            }
            self.queue.pop_first();
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.machine.started();
                due.push((key, entry.params));
            }
        }
        due
    }

    /// Takes a result; the result of a server that has left the configuration is ignored.
    pub fn record(&mut self, key: ServerKey, result: &CheckResult, links: &Links) -> Option<Transition> {
        let frozen = matches!(result.outcome, Outcome::CannotCheck(_)) && self.shared_fault(&key, links);
        let entry = self.entries.get_mut(&key)?;
        if let Some(due) = entry.machine.due() {
            self.queue.remove(&(due, key));
        }
        let transition = entry.machine.record(result, &entry.params, frozen);
        if let Some(due) = entry.machine.due() {
            self.queue.insert((due, key));
        }
        transition
    }

    /// Whether every other target behind the same interface of the file is in the same plight: then the fault is ours.
    fn shared_fault(&self, key: &ServerKey, links: &Links) -> bool {
        let Some(behind) = self.entries.get(key).and_then(|entry| entry.behind) else {
            return false;
        };
        let fine = |(other, entry): (&ServerKey, &Entry)| {
            other != key
                && entry.behind == Some(behind)
                && entry.machine.last().is_some()
                && !entry.machine.cannot_check()
                && own_fault(links, other).is_none()
        };
        !self.entries.iter().any(fine)
    }

    /// A result that says nothing, because the network changed under the check: it is made again.
    pub fn repeat(&mut self, key: ServerKey, at: Instant) {
        if let Some(entry) = self.entries.get_mut(&key) {
            if let Some(due) = entry.machine.due() {
                self.queue.remove(&(due, key));
            }
            entry.machine.repeat(at);
            self.queue.insert((at, key));
        }
    }

    /// Servers that cannot be checked, in a sentence.
    pub fn unchecked_problem(&self) -> Option<String> {
        let mut unchecked = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.machine.word() == HealthWord::CannotCheck);
        let (first, entry) = unchecked.next()?;
        let why = match entry.machine.last().map(|last| &last.outcome) {
            Some(Outcome::CannotCheck(why)) => why.as_str(),
            _ => "unknown",
        };
        Some(match unchecked.count() {
            0 => format!("server {} cannot be checked: {why}", first.server),
            others => format!(
                "server {} and {others} more cannot be checked: {why}",
                first.server
            ),
        })
    }

    /// Links have changed: checks that could not be made are tried again at once.
    pub fn retry_unchecked(&mut self, now: Instant) {
        for entry in self.entries.values_mut().filter(|e| e.machine.cannot_check()) {
            entry.machine.check_now(now);
        }
        self.requeue();
    }

    pub fn in_pool(&self, key: &ServerKey) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.machine.in_pool())
    }

    /// Whether clients may come: a server is up, or there is nothing left to wait for. Before that their SYNs are dropped,
    /// so that they try again, instead of being refused by an empty pool.
    pub fn is_open(&self, service: &VirtualServer) -> bool {
        let machine = |real: &RealServer| {
            let key = ServerKey {
                service: service.key,
                server: real.address,
            };
            self.entries.get(&key).map(|entry| &entry.machine)
        };
        let mut machines = service.real_servers.iter().filter_map(machine);
        machines.clone().any(Machine::in_pool) || machines.all(|m| m.health() != Health::Unproven)
    }

    pub fn machine(&self, key: &ServerKey) -> Option<&Machine> {
        self.entries.get(key).map(|entry| &entry.machine)
    }

    /// Servers that are up, and all.
    pub fn count(&self) -> (usize, usize) {
        let up = self
            .entries
            .values()
            .filter(|e| e.machine.health() == Health::Up)
            .count();
        (up, self.entries.len())
    }
}

/// Why a check of this server would only show a fault of our own, if that is so.
pub fn own_fault(links: &Links, key: &ServerKey) -> Option<Outcome> {
    let reason = match desired::egress(links, key.server.address) {
        None => "no route to the server".to_owned(),
        Some((name, link)) if !link.admin_up => format!("{name} is down"),
        Some((name, link)) if !link.carrier && !link.loopback => format!("{name} has no carrier"),
        Some(_) => return None,
    };
    Some(Outcome::CannotCheck(reason))
}
