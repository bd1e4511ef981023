//! The rise/fall machine of one server. Semantics: keepalived's TCP checker (a first result decides, `retries` extra
//! attempts while up), with two deviations: `rise` successes are needed after a server was up once, and a check that
//! could not be made is a third result that changes nothing until it has lasted.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use super::{CheckResult, Outcome, Schedule};
use crate::check::CheckParams;
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

/// There is one for each server: it is kept small. Moments are nanoseconds of the schedule.
#[derive(Debug, Clone)]
pub struct Machine {
    schedule: Schedule,
    since: u64,
    /// `NEVER` while a check is under way.
    due: u64,
    /// When the first of the checks ended that could not be made.
    cannot_since: u64,
    last_ended: u64,
    last_latency_us: u32,
    last: Last,
    health: Health,
    /// Something has changed that may let the next check be made: until it ends, the server is what it was before.
    hopeful: bool,
    /// Once a server was up, it needs `rise` passes to come back.
    was_up: bool,
    /// Failures in a row; while up, one more than `retries` of them is down.
    failures: u16,
    /// Passes in a row while down.
    passes: u16,
    /// Checks in a row that could not be made.
    cannot: u16,
    /// What the last check was told that passed.
    endpoints: Option<NonZeroU16>,
}

const NEVER: u64 = u64::MAX;

/// The outcome of the last check.
#[derive(Debug, Clone)]
enum Last {
    None,
    Pass,
    Fail(Box<str>),
    CannotCheck(Box<str>),
}

impl Last {
    fn of(outcome: &Outcome) -> Last {
        match outcome {
            Outcome::Pass => Last::Pass,
            Outcome::Fail(why) => Last::Fail(why.as_str().into()),
            Outcome::CannotCheck(why) => Last::CannotCheck(why.as_str().into()),
        }
    }

    fn outcome(&self) -> Option<Outcome> {
        match self {
            Last::None => None,
            Last::Pass => Some(Outcome::Pass),
            Last::Fail(why) => Some(Outcome::Fail(why.to_string())),
            Last::CannotCheck(why) => Some(Outcome::CannotCheck(why.to_string())),
        }
    }
}

impl Machine {
    /// A server of which nothing is known: its first check is due at once, and its first result decides.
    pub fn new(now: Instant, schedule: Schedule) -> Machine {
        let now = schedule.moment(now);
        Machine {
            schedule,
            since: now,
            due: now,
            cannot_since: NEVER,
            last_ended: NEVER,
            last_latency_us: 0,
            last: Last::None,
            health: Health::Unproven,
            hopeful: false,
            was_up: false,
            failures: 0,
            passes: 0,
            cannot: 0,
            endpoints: None,
        }
    }

    /// A server that takes traffic already (the agent was restarted): up until its checks say otherwise.
    /// `endpoints`: what it was given traffic for.
    pub fn adopted(now: Instant, schedule: Schedule, endpoints: Option<NonZeroU16>) -> Machine {
        Machine {
            health: Health::Up,
            was_up: true,
            endpoints,
            ..Machine::new(now, schedule)
        }
    }

    /// A server that nobody checks: up, for good.
    pub fn unchecked(now: Instant, schedule: Schedule) -> Machine {
        Machine {
            health: Health::Up,
            due: NEVER,
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

    /// How many times its weight the server gets; `None`: no new connections.
    pub fn share(&self) -> Option<u16> {
        self.in_pool().then(|| self.endpoints.map_or(1, NonZeroU16::get))
    }

    pub fn endpoints(&self) -> Option<NonZeroU16> {
        self.endpoints
    }

    /// Since when [`Machine::word`] is true.
    pub fn since(&self) -> Instant {
        match self.word() {
            HealthWord::CannotCheck if self.cannot_since != NEVER => self.schedule.instant(self.cannot_since),
            _ => self.schedule.instant(self.since),
        }
    }

    pub fn last(&self) -> Option<LastCheck> {
        Some(LastCheck {
            outcome: self.last.outcome()?,
            ended: self.schedule.instant(self.last_ended),
            latency: Duration::from_micros(self.last_latency_us.into()),
        })
    }

    /// Whether a check has ended.
    pub fn was_checked(&self) -> bool {
        !matches!(self.last, Last::None)
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
        (self.due != NEVER).then(|| self.schedule.instant(self.due))
    }

    /// A check has started.
    pub fn started(&mut self) {
        self.due = NEVER;
    }

    /// New parameters from a reload: what was learnt stays, the next check is not later than they say.
    pub fn reschedule(&mut self, now: Instant, params: &CheckParams) {
        if self.due != NEVER {
            let next = self.schedule.next(now, params.interval, params.jitter);
            self.due = self.due.min(self.schedule.moment(next));
        }
    }

    /// Something changed that may let a check succeed now: the next one is due at once.
    pub fn check_now(&mut self, now: Instant) {
        if self.due != NEVER {
            self.due = self.schedule.moment(now);
            self.hopeful = true;
        }
    }

    /// Somebody wants to know: the next check is due at once. `false`: there is none, or it is under way.
    pub fn hurry(&mut self, now: Instant) -> bool {
        let is_due = self.due != NEVER;
        if is_due {
            self.due = self.due.min(self.schedule.moment(now));
        }
        is_due
    }

    /// The result of the check that was under way says nothing: another one is due at this time.
    pub fn repeat(&mut self, at: Instant) {
        self.due = self.schedule.moment(at);
    }

    /// Takes a result. `frozen`: a check that cannot be made must not count as a failure now, because every target
    /// behind the same link shares the fault.
    pub fn record(&mut self, result: &CheckResult, params: &CheckParams, frozen: bool) -> Option<Transition> {
        let now = result.ended;
        self.hopeful = false;
        self.last = Last::of(&result.outcome);
        self.last_ended = self.schedule.moment(now);
        self.last_latency_us = u32::try_from(result.latency.as_micros()).unwrap_or(u32::MAX);
        if result.outcome == Outcome::Pass {
            self.endpoints = result.endpoints;
        }
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
        self.due = self.schedule.moment(self.next_due(now, params));
        transition
    }

    fn passed(&mut self, params: &CheckParams) -> Option<Health> {
        self.cannot = 0;
        self.failures = 0;
        self.passes = self.passes.saturating_add(1);
        let needed = if self.was_up { params.rise } else { 1 };
        (u32::from(self.passes) >= needed).then_some(Health::Up)
    }

    fn failed(&mut self, params: &CheckParams) -> Option<Health> {
        self.passes = 0;
        self.failures = self.failures.saturating_add(1);
        let decisive = self.health == Health::Unproven || u32::from(self.failures) > params.retries;
        decisive.then_some(Health::Down)
    }

    /// Neither success nor failure, until it has lasted as long as a failing server would have been given. A server
    /// that was never proved stays so: it gets no traffic either way.
    fn not_checked(&mut self, params: &CheckParams, frozen: bool, now: Instant) -> Option<Health> {
        if self.cannot == 0 {
            self.cannot_since = self.schedule.moment(now);
        }
        self.cannot = self.cannot.saturating_add(1);
        self.passes = 0;
        let lasted = u32::from(self.cannot) > params.retries && self.health == Health::Up && !frozen;
        lasted.then_some(Health::Down)
    }

    fn enter(&mut self, health: Health, now: Instant) {
        self.health = health;
        self.since = self.schedule.moment(now);
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
