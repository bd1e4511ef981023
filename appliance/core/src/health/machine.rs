//! The rise/fall machine of one server. Semantics: keepalived's TCP checker (a first result decides, `retries` extra
//! attempts while up), with two deviations: `rise` successes are needed after a server was up once, and a check that
//! could not be made is a third result that changes nothing until it has lasted.

use std::time::{Duration, Instant};

use super::{CheckResult, Outcome, Schedule};
use crate::config::CheckParams;
use crate::control::HealthWord;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Never checked with a result: gets no traffic.
    Unproven,
    Up,
    Down,
}

/// The last check that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastCheck {
    pub outcome: Outcome,
    pub ended: Instant,
    pub latency: Duration,
}

/// A change of health, with its cause in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    pub from: Health,
    pub to: Health,
    pub reason: String,
}

#[derive(Debug, Clone)]
pub struct Machine {
    health: Health,
    since: Instant,
    /// Failures in a row; while up, one more than `retries` of them is down.
    failures: u32,
    /// Passes in a row while down.
    passes: u32,
    /// Checks in a row that could not be made, and when the first of them ended.
    cannot: u32,
    cannot_since: Option<Instant>,
    /// Something has changed that may let the next check be made: until it ends, the server is what it was before.
    hopeful: bool,
    /// Once a server was up, it needs `rise` passes to come back.
    was_up: bool,
    last: Option<LastCheck>,
    /// `None` while a check is under way.
    due: Option<Instant>,
    schedule: Schedule,
}

impl Machine {
    /// A server of which nothing is known: its first check is due at once, and its first result decides.
    pub fn new(now: Instant, schedule: Schedule) -> Machine {
        Machine {
            health: Health::Unproven,
            since: now,
            failures: 0,
            passes: 0,
            cannot: 0,
            cannot_since: None,
            hopeful: false,
            was_up: false,
            last: None,
            due: Some(now),
            schedule,
        }
    }

    /// A server that takes traffic already (the agent was restarted): up until its checks say otherwise.
    pub fn adopted(now: Instant, schedule: Schedule) -> Machine {
        Machine {
            health: Health::Up,
            was_up: true,
            ..Machine::new(now, schedule)
        }
    }

    /// A server that nobody checks: up, for good.
    pub fn unchecked(now: Instant, schedule: Schedule) -> Machine {
        Machine {
            health: Health::Up,
            due: None,
            ..Machine::new(now, schedule)
        }
    }

    pub fn health(&self) -> Health {
        self.health
    }

    /// Whether the server may get new connections.
    pub fn in_pool(&self) -> bool {
        self.health == Health::Up
    }

    /// Since when [`Machine::word`] is true.
    pub fn since(&self) -> Instant {
        match self.word() {
            HealthWord::CannotCheck => self.cannot_since.unwrap_or(self.since),
            _ => self.since,
        }
    }

    pub fn last(&self) -> Option<&LastCheck> {
        self.last.as_ref()
    }

    pub fn cannot_check(&self) -> bool {
        self.cannot > 0
    }

    pub fn word(&self) -> HealthWord {
        match self.health {
            _ if self.cannot > 0 && !self.hopeful => HealthWord::CannotCheck,
            Health::Unproven => HealthWord::Unproven,
            Health::Up => HealthWord::Up,
            Health::Down => HealthWord::Down,
        }
    }

    /// When the next check should start; `None` while one is under way.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// A check has started.
    pub fn started(&mut self) {
        self.due = None;
    }

    /// New parameters from a reload: what was learnt stays, the next check is not later than they say.
    pub fn reschedule(&mut self, now: Instant, params: &CheckParams) {
        if let Some(due) = self.due {
            self.due = Some(due.min(self.schedule.next(now, params.interval, params.jitter)));
        }
    }

    /// Something changed that may let a check succeed now: the next one is due at once.
    pub fn check_now(&mut self, now: Instant) {
        if self.due.is_some() {
            self.due = Some(now);
            self.hopeful = true;
        }
    }

    /// The result of the check that was under way says nothing: another one is due at this time.
    pub fn repeat(&mut self, at: Instant) {
        self.due = Some(at);
    }

    /// Takes a result. `frozen`: a check that cannot be made must not count as a failure now, because every target
    /// behind the same link shares the fault.
    pub fn record(&mut self, result: &CheckResult, params: &CheckParams, frozen: bool) -> Option<Transition> {
        let now = result.ended;
        self.hopeful = false;
        self.last = Some(LastCheck {
            outcome: result.outcome.clone(),
            ended: now,
            latency: result.latency,
        });
        let target = match &result.outcome {
            Outcome::Pass => self.passed(params),
            Outcome::Fail(_) => {
                self.cannot = 0;
                self.failed(params)
            }
            Outcome::CannotCheck(_) => self.not_checked(params, frozen, now),
        };
        let transition = target.filter(|to| *to != self.health).map(|to| Transition {
            from: self.health,
            to,
            reason: self.reason(&result.outcome, params),
        });
        if let Some(change) = &transition {
            self.enter(change.to, now);
        }
        self.due = Some(self.next_due(now, params));
        transition
    }

    fn passed(&mut self, params: &CheckParams) -> Option<Health> {
        self.cannot = 0;
        self.failures = 0;
        self.passes = self.passes.saturating_add(1);
        let needed = if self.was_up { params.rise } else { 1 };
        (self.passes >= needed).then_some(Health::Up)
    }

    fn failed(&mut self, params: &CheckParams) -> Option<Health> {
        self.passes = 0;
        self.failures = self.failures.saturating_add(1);
        let decisive = self.health == Health::Unproven || self.failures > params.retries;
        decisive.then_some(Health::Down)
    }

    /// Neither success nor failure, until it has lasted as long as a failing server would have been given. A server
    /// that was never proved stays so: it gets no traffic either way.
    fn not_checked(&mut self, params: &CheckParams, frozen: bool, now: Instant) -> Option<Health> {
        if self.cannot == 0 {
            self.cannot_since = Some(now);
        }
        self.cannot = self.cannot.saturating_add(1);
        self.passes = 0;
        let lasted = self.cannot > params.retries && self.health == Health::Up && !frozen;
        lasted.then_some(Health::Down)
    }

    fn enter(&mut self, health: Health, now: Instant) {
        self.health = health;
        self.since = now;
        self.failures = 0;
        self.passes = 0;
        self.was_up |= health == Health::Up;
    }

    /// Unsure (up and failing, or down and passing): soon. Otherwise in the next slot of the constant-rate schedule.
    fn next_due(&self, now: Instant, params: &CheckParams) -> Instant {
        let failing = self.health == Health::Up && self.failures > 0 && self.cannot == 0;
        let rising = self.health == Health::Down && self.passes > 0;
        if failing || rising {
            now + params.retry_interval
        } else {
            self.schedule.next(now, params.interval, params.jitter)
        }
    }

    fn reason(&self, outcome: &Outcome, params: &CheckParams) -> String {
        match outcome {
            Outcome::Pass if self.was_up => {
                format!("{} of {} checks passed", self.passes, params.rise)
            }
            Outcome::Pass => "first check passed".to_owned(),
            Outcome::Fail(why) if self.health == Health::Unproven => {
                format!("first check failed: {why}")
            }
            Outcome::Fail(why) => format!("{why} ({} of {})", self.failures, params.retries + 1),
            Outcome::CannotCheck(why) => {
                format!("cannot be checked: {why} ({} times)", self.cannot)
            }
        }
    }
}
