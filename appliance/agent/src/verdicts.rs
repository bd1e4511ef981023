//! What the engine does with the results of checks: tells the log, and has the pools follow. Must not: decide what a result means.

use std::time::Instant;

use lb_core::config::VirtualServer;
use lb_core::control::HealthWord;
use lb_core::health::{CheckResult, Health, Outcome, Told, Transition};
use lb_core::model::{RealKey, ServerKey, VirtualKey};
use lb_core::pool::Mode;

use crate::checks::{self, Recorded};
use crate::engine::{Engine, REPEAT_AFTER};
use crate::silence::FreezeChange;
use crate::targets::TargetId;

impl Engine {
    pub fn checked(&mut self, id: TargetId, server: RealKey, mut result: CheckResult) {
        // The link may have gone while the check was under way: then it says nothing of the server.
        if result.outcome.failure().is_some()
            && let Some(outcome) = checks::own_fault(&self.observed.links, server.address)
        {
            result.outcome = outcome;
        }
        // The network changed under the check: what it found is of no network that there is or was.
        let started = result.ended.checked_sub(result.latency).unwrap_or(result.ended);
        if self.reconcile.network_changed_since(started) {
            self.checks.repeat(id, Instant::now() + REPEAT_AFTER);
            return;
        }
        let recorded = self.checks.record(id, &result, &self.observed.links);
        for change in self.checks.silence.take_changes() {
            self.tell_freeze(change);
        }
        let Some(recorded) = recorded else {
            return;
        };
        match &recorded.transition {
            Some(change) => self.tell_transition(&recorded.users, change),
            None => self.tell_rest(&recorded, &result.outcome),
        }
        if recorded.transition.is_some() || recorded.told.is_some() {
            let services: Vec<VirtualKey> = recorded.users.iter().map(|user| user.service).collect();
            self.settle(&services);
        }
    }

    /// Pools that are others at this time than they were.
    pub fn turn_pools(&mut self, now: Instant) {
        let turned = self.checks.take_turns(now);
        self.settle(&turned);
    }

    /// Decides about these pools anew; the kernel follows.
    pub fn settle(&mut self, services: &[VirtualKey]) {
        let now = Instant::now();
        for key in services {
            let Some(config) = &self.config else {
                return;
            };
            let Some(service) = crate::engine::find(config, &self.by_listen, key) else {
                continue;
            };
            if let Some((before, after)) = self.checks.settle(service, now) {
                tell_mode(service, before, after);
            }
            self.reconcile.pool_dirty(*key);
            self.watch_door(key);
        }
    }

    /// `172.16.0.11:30080 of nginx`, or of how many more services.
    fn named_users(&self, users: &[ServerKey]) -> String {
        let Some(first) = users.first() else {
            return String::new();
        };
        let name = self.service_name(&first.service);
        match users.len() - 1 {
            0 => format!("{} of {name}", first.server),
            1 => format!("{} of {name} and 1 more service", first.server),
            more => format!("{} of {name} and {more} more services", first.server),
        }
    }

    fn tell_transition(&self, users: &[ServerKey], change: &Transition) {
        let server = self.named_users(users);
        let reason = &change.reason;
        match change.to {
            Health::Up => log::info!("server {server} is up: {reason}"),
            Health::Held => log::warn!("server {server} is held: {reason}"),
            Health::Down | Health::Unproven => log::warn!("server {server} is down: {reason}"),
        }
    }

    fn tell_rest(&self, recorded: &Recorded, outcome: &Outcome) {
        let server = || self.named_users(&recorded.users);
        match recorded.told {
            Some(Told::Endpoints(count)) => log::info!("server {} has {count} local endpoints", server()),
            Some(Told::Percent(percent)) => log::info!("server {} wants {percent} % of its weight", server()),
            Some(Told::Drain) => log::warn!("server {} wants no new connections", server()),
            Some(Told::Nothing) => log::info!("server {} wants its whole weight", server()),
            None => {}
        }
        let moved = recorded.before != recorded.after;
        match outcome {
            Outcome::CannotCheck(why) if moved => log::warn!("server {} cannot be checked: {why}", server()),
            _ if recorded.before == HealthWord::CannotCheck && moved => {
                log::info!("server {} can be checked again", server());
            }
            _ => {}
        }
    }

    fn tell_freeze(&self, change: FreezeChange) {
        let label = self.label_of(change.behind);
        let FreezeChange { machines, silent, .. } = change;
        match change.frozen {
            true => log::error!(
                "{silent} of {machines} machines behind {label} have fallen silent at once: this is taken for a fault of the \
                 network, and their servers keep their traffic; look at {label}, its switch, and at policies that drop checks"
            ),
            false => log::warn!(
                "{silent} of {machines} machines behind {label} are silent: their servers are judged again"
            ),
        }
    }

    /// The file's name for an interface.
    pub fn label_of(&self, behind: u32) -> &str {
        let interfaces = self.config.as_ref().map(|config| &config.interfaces);
        let interface = interfaces.and_then(|interfaces| interfaces.get(behind as usize));
        interface.map_or("an interface", |interface| &interface.label)
    }
}

fn tell_mode(service: &VirtualServer, before: Mode, after: Mode) {
    let name = &service.name;
    match after {
        Mode::Primary if before == Mode::Empty => log::info!("service {name} has servers again"),
        Mode::Primary if before == Mode::Waiting => {}
        Mode::Primary => log::info!("service {name} is served by its primary servers again"),
        Mode::Short => log::warn!(
            "service {name} is below its quorum, and has neither backup nor sorry_server that is up"
        ),
        Mode::Backup => log::warn!("service {name} is below its quorum: its backup servers take part"),
        Mode::Sorry => log::warn!("service {name} is below its quorum: its sorry_server answers"),
        Mode::Held => log::warn!("service {name} has only servers that flap: they serve all the same"),
        Mode::KeptLast => log::error!(
            "service {name} has no server that is up: those that were the last to be up stay (panic)"
        ),
        Mode::All => {
            log::error!("service {name} has no server that is up: all of them get connections (panic)")
        }
        Mode::Waiting => {}
        Mode::Empty if service.real_servers.is_empty() => {}
        Mode::Empty => log::error!("service {name} has no server left: its clients are refused"),
    }
}
