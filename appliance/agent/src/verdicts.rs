//! What the engine does with the results of checks: tells the log, and has the pools follow. Must not: decide what a result means.

use std::time::{Duration, Instant, SystemTime};

use lb_core::config::VirtualServer;
use lb_core::control::HealthWord;
use lb_core::health::{CheckResult, Health, Outcome, Told, Transition};
use lb_core::model::{RealKey, ServerKey, VirtualKey};
use lb_core::pool::Mode;
use log::Level;

use crate::checks::{Recorded, Turn, Turned};
use crate::engine::{Engine, REPEAT_AFTER};
use crate::silence::FreezeChange;
use crate::targets::TargetId;

/// By then the network of a configuration is there, or something is wrong with it.
const COMING_UP: Duration = Duration::from_secs(3);
/// Until then a check that cannot be made is tried so often.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

impl Engine {
    pub fn checked(&mut self, id: TargetId, server: RealKey, mut result: CheckResult) {
        let Some(params) = self.checks.at(id).map(|target| target.params.clone()) else {
            return;
        };
        if result.outcome != Outcome::Pass {
            // The next one asks the kernel anew where it begins, and goes its way.
            self.checks.take_route(id, None);
        }
        // The link may have gone while the check was under way: then it says nothing of the server.
        if result.outcome.failure().is_some()
            && let Err(outcome) = self.way(server, &params)
        {
            result.outcome = outcome;
        }
        // The network changed under the check: what it found is of no network that there is or was.
        let started = result.ended.checked_sub(result.latency).unwrap_or(result.ended);
        let again = match self.reconcile.network_changed_since(started) {
            true => Some(REPEAT_AFTER),
            false => self.too_early(id, &result.outcome),
        };
        if let Some(after) = again {
            self.checks.repeat(id, Instant::now() + after);
            return;
        }
        if params.kind.tls().is_some() {
            let (target, now) = (params.target(server), SystemTime::now());
            if let Some(remark) = self.certificates.note(target, &params, &result, now) {
                self.tell(Level::Warn, &remark);
            }
        }
        let recorded = self.checks.record(id, &result, &self.observed.links);
        for change in self.checks.silence.take_changes() {
            self.tell_freeze(change);
        }
        let Some(recorded) = recorded else {
            return;
        };
        if recorded.is_news() {
            let users = self.checks.at(id).map(|target| target.users().to_vec());
            self.spread(id, &users.unwrap_or_default(), &recorded, &result.outcome);
        }
    }

    /// Of a first check that cannot be made yet, because the addresses and routes of a new configuration, or the cards of a machine
    /// that has just started, are on their way: after how long it is made again.
    fn too_early(&self, id: TargetId, outcome: &Outcome) -> Option<Duration> {
        let is_first = self
            .checks
            .at(id)
            .is_some_and(|target| !target.machine.was_checked());
        match outcome {
            Outcome::CannotCheck(_) if is_first && self.reconcile.is_changing() => Some(REPEAT_AFTER),
            Outcome::CannotCheck(_) if is_first && self.config_since.elapsed() < COMING_UP => {
                Some(LOOK_AGAIN)
            }
            _ => None,
        }
    }

    /// A result that has changed something is told, and the pools of the servers that it is about follow.
    fn spread(&mut self, id: TargetId, users: &[ServerKey], recorded: &Recorded, outcome: &Outcome) {
        match &recorded.transition {
            Some(change) => {
                let several = |user: &&ServerKey| recorded.turned.iter().any(|turned| turned.user == **user);
                let alone: Vec<ServerKey> = users.iter().filter(|user| !several(user)).copied().collect();
                self.tell_transition(&alone, change.to, &change.reason);
                self.tell_turned(id, &recorded.turned, change);
            }
            None => self.tell_rest(id, users, recorded, outcome),
        }
        if recorded.transition.is_some() || recorded.told.is_some() {
            let services: Vec<VirtualKey> = users.iter().map(|user| user.service).collect();
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
            let Some(service) = crate::by_listen::find(config, &self.by_listen, key) else {
                continue;
            };
            if let Some(turn) = self.checks.settle(service, now)
                && let Some((level, text)) = said(service, turn)
            {
                self.tell(level, &text);
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

    fn tell_transition(&mut self, users: &[ServerKey], to: Health, reason: &str) {
        if users.is_empty() {
            return;
        }
        let server = self.named_users(users);
        let level = match to {
            Health::Up => Level::Info,
            _ => Level::Warn,
        };
        self.tell(level, &format!("server {server} is {}: {reason}", word(to)));
    }

    /// Of servers that have other checks as well: what becomes of them by this one.
    fn tell_turned(&mut self, id: TargetId, turned: &[Turned], change: &Transition) {
        let mut rest: Vec<&Turned> = turned.iter().collect();
        while let Some(first) = rest.first().copied() {
            let same = |other: &&Turned| (other.before, other.after) == (first.before, first.after);
            let users: Vec<ServerKey> = rest
                .iter()
                .filter(|other| same(other))
                .map(|other| other.user)
                .collect();
            rest.retain(|other| !same(other));
            let label = self.label(id, &first.user).unwrap_or_default();
            let reason = &change.reason;
            if first.before != first.after {
                self.tell_transition(&users, first.after, &format!("{label}: {reason}"));
            } else if change.from != Health::Unproven {
                let all = self.checks.targets_of(&first.user);
                let (passing, all) = all.fold((0, 0), |(passing, all), target| {
                    let passes = target.machine.health() == Health::Up;
                    (passing + usize::from(passes), all + 1)
                });
                let (server, stays, is) = (self.named_users(&users), word(first.after), word(change.to));
                let text = format!(
                    "server {server} stays {stays}: {label} is {is}: {reason}; {passing} of {all} checks pass"
                );
                self.tell(Level::Info, &text);
            }
        }
    }

    /// What a check is called beside the others of this server, if there are others.
    fn label(&self, id: TargetId, user: &ServerKey) -> Option<String> {
        let service = self.service(&user.service)?;
        let params = &self.checks.at(id)?.params;
        let real = service
            .real_servers
            .iter()
            .find(|real| real.address == user.server)?;
        let place = real.checks.iter().position(|check| check == params)?;
        let mut labels = real.checks.labels(real.address);
        (labels.len() > 1).then(|| labels.swap_remove(place))
    }

    fn tell_rest(&mut self, id: TargetId, users: &[ServerKey], recorded: &Recorded, outcome: &Outcome) {
        let moved = recorded.before != recorded.after;
        let cannot = match outcome {
            Outcome::CannotCheck(why) if moved => Some((Level::Warn, format!("cannot be checked: {why}"))),
            _ if recorded.before == HealthWord::CannotCheck && moved => {
                Some((Level::Info, "can be checked again".to_owned()))
            }
            _ => None,
        };
        for (level, text) in recorded.told.map(told).into_iter().chain(cannot) {
            let server = self.named_users(users);
            let label = users.first().and_then(|user| self.label(id, user));
            let label = label.map_or_else(String::new, |label| format!(" ({label})"));
            self.tell(level, &format!("server {server}{label} {text}"));
        }
    }

    fn tell_freeze(&mut self, change: FreezeChange) {
        let label = self.label_of(change.behind);
        let FreezeChange { machines, silent, .. } = change;
        let (level, text) = match change.frozen {
            true => (
                Level::Error,
                format!(
                    "{silent} of {machines} machines behind {label} have fallen silent at once: this is taken for a fault of the \
                     network, and their servers keep their traffic; look at {label}, its switch, and at policies that drop checks"
                ),
            ),
            false => (
                Level::Warn,
                format!(
                    "{silent} of {machines} machines behind {label} are silent: their servers are judged again"
                ),
            ),
        };
        self.tell(level, &text);
    }

    /// The file's name for an interface.
    pub fn label_of(&self, behind: u32) -> &str {
        let interfaces = self.config.as_ref().map(|config| &config.interfaces);
        let interface = interfaces.and_then(|interfaces| interfaces.get(behind as usize));
        interface.map_or("an interface", |interface| &interface.label)
    }
}

fn word(health: Health) -> &'static str {
    match health {
        Health::Up => "up",
        Health::Held => "held",
        Health::Unproven => "unproven",
        Health::Down => "down",
    }
}

fn told(told: Told) -> (Level, String) {
    match told {
        Told::Endpoints(count) => (Level::Info, format!("has {count} local endpoints")),
        Told::Percent(percent) => (Level::Info, format!("wants {percent} % of its weight")),
        Told::Drain => (Level::Warn, "wants no new connections".to_owned()),
        Told::Nothing => (Level::Info, "wants its whole weight".to_owned()),
    }
}

/// What there is to say when it is others' turn.
fn said(service: &VirtualServer, turn: Turn) -> Option<(Level, String)> {
    let Turn {
        before,
        after,
        served,
    } = turn;
    let short = |what: &str| format!("{}: {what}", service.pool.shortage());
    let (level, text) = match after {
        Mode::Waiting => return None,
        Mode::Primary if before == Mode::Waiting => return None,
        // It never had one, or has been without one since that was told.
        Mode::Empty if !served => return None,
        Mode::Empty if service.real_servers.is_empty() => return None,
        Mode::Primary if before == Mode::Empty => (Level::Info, "has servers again".to_owned()),
        Mode::Primary => (Level::Info, "is served by its primary servers again".to_owned()),
        Mode::Short => (
            Level::Warn,
            "is below its quorum, and has neither backup nor sorry_server that is up".to_owned(),
        ),
        Mode::Backup => (Level::Warn, short("its backup servers take part")),
        Mode::Sorry => (Level::Warn, short("its sorry_server answers")),
        Mode::Held => (
            Level::Warn,
            "has only servers that flap: they serve all the same".to_owned(),
        ),
        Mode::KeptLast => (
            Level::Error,
            "has no server that is up: those that were the last to be up stay (panic)".to_owned(),
        ),
        Mode::All => (
            Level::Error,
            "has no server that is up: all of them get connections (panic)".to_owned(),
        ),
        Mode::Empty => (
            Level::Error,
            "has no server left: its clients are refused".to_owned(),
        ),
    };
    Some((level, format!("service {} {text}", service.name)))
}
