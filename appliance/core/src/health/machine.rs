//! The rise/fall machine of one target. Semantics: keepalived's TCP checker (a first result decides, `retries` extra
//! attempts while up), with three deviations: `rise` successes are needed after a server was up once, one that flaps is
//! held, and a check that could not be made is a third result that changes nothing until it has lasted.

use std::time::{Duration, Instant};

use super::{CheckResult, Outcome, Schedule, Share, Told};
use crate::check::CheckParams;
use crate::control::HealthWord;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Never checked with a result: gets no traffic.
    Unproven,
    Up,
    /// It passes, but it has gone down too often lately: it gets traffic only where nobody else can.
    Held,
    Down,
}

/// What a pool has to know of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Unproven {
        /// It has connections all the same: it took some before it was first seen.
        known: bool,
    },
    Up {
        since: Instant,
        /// It took traffic already when it was first seen: nothing about it is new.
        settled: bool,
    },
    Held,
    Down {
        since: Instant,
        /// Nobody listens there any more: none of its connections lives on.
        gone: bool,
        was_up: bool,
    },
}

/// How often a target went down lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flaps {
    pub count: u16,
    pub since: Instant,
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

/// There is one for each target: it is kept small. Moments are nanoseconds of the schedule.
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
    /// It is not up again before then.
    held_until: u64,
    /// Since when `flaps` are counted.
    flaps_since: u64,
    flaps: u16,
    /// How many times in a row it went down soon after it had come up.
    restless: u8,
    settled: bool,
    gone: bool,
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
    /// By the last check that passed.
    told: Told,
}

const NEVER: u64 = u64::MAX;

/// So many times in a row a server may go down soon after it came up before it is held.
const PATIENCE: u8 = 2;
/// A server that has been down for so long is checked at its `down_interval`.
const LONG_DOWN: Duration = Duration::from_mins(5);
/// Flaps are counted for so long.
const DAY: Duration = Duration::from_hours(24);

/// The outcome of the last check.
#[derive(Debug, Clone)]
enum Last {
    None,
    Pass,
    Fail(Box<str>),
    Refused(Box<str>),
    Silent(Box<str>),
    CannotCheck(Box<str>),
}

impl Last {
    fn of(outcome: &Outcome) -> Last {
        match outcome {
            Outcome::Pass => Last::Pass,
            Outcome::Fail(why) => Last::Fail(why.as_str().into()),
            Outcome::Refused(why) => Last::Refused(why.as_str().into()),
            Outcome::Silent(why) => Last::Silent(why.as_str().into()),
            Outcome::CannotCheck(why) => Last::CannotCheck(why.as_str().into()),
        }
    }

    fn outcome(&self) -> Option<Outcome> {
        match self {
            Last::None => None,
            Last::Pass => Some(Outcome::Pass),
            Last::Fail(why) => Some(Outcome::Fail(why.to_string())),
            Last::Refused(why) => Some(Outcome::Refused(why.to_string())),
            Last::Silent(why) => Some(Outcome::Silent(why.to_string())),
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
            held_until: 0,
            flaps_since: now,
            flaps: 0,
            restless: 0,
            settled: false,
            gone: false,
            hopeful: false,
            was_up: false,
            failures: 0,
            passes: 0,
            cannot: 0,
            told: Told::Nothing,
        }
    }

    /// A server that takes traffic already (the agent was restarted): up until its checks say otherwise.
    /// `told`: what its weight says that it has said.
    pub fn adopted(now: Instant, schedule: Schedule, told: Told) -> Machine {
        Machine {
            health: Health::Up,
            was_up: true,
            settled: true,
            told,
            ..Machine::new(now, schedule)
        }
    }

    /// A server that is in the kernel and takes no new connections: nobody knows why, until its first check has ended.
    pub fn quiet(now: Instant, schedule: Schedule) -> Machine {
        Machine {
            settled: true,
            ..Machine::new(now, schedule)
        }
    }

    pub fn health(&self) -> Health {
        self.health
    }

    /// How much of its weight the server gets when it is in the pool.
    pub fn share(&self) -> Share {
        self.told.into()
    }

    pub fn told(&self) -> Told {
        self.told
    }

    pub fn standing(&self) -> Standing {
        let since = self.schedule.instant(self.since);
        match self.health {
            Health::Unproven => Standing::Unproven { known: self.settled },
            Health::Up => Standing::Up {
                since,
                settled: self.settled,
            },
            Health::Held => Standing::Held,
            Health::Down => Standing::Down {
                since,
                gone: self.gone,
                was_up: self.was_up,
            },
        }
    }

    /// Until when it is held.
    pub fn held_until(&self) -> Option<Instant> {
        (self.health == Health::Held).then(|| self.schedule.instant(self.held_until))
    }

    pub fn flaps(&self) -> Flaps {
        Flaps {
            count: self.flaps,
            since: self.schedule.instant(self.flaps_since),
        }
    }

    /// Failures in a row since it last passed, or since it went down.
    pub fn failures(&self) -> u16 {
        self.failures
    }

    pub fn passes(&self) -> u16 {
        self.passes
    }

    /// Whether nothing came back from it the last time.
    pub fn is_silent(&self) -> bool {
        matches!(self.last, Last::Silent(_))
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
            ended: self.last_ended()?,
            latency: Duration::from_micros(self.last_latency_us.into()),
        })
    }

    /// When the last check ended, without the words of its outcome.
    pub fn last_ended(&self) -> Option<Instant> {
        self.was_checked().then(|| self.schedule.instant(self.last_ended))
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
            Health::Held => HealthWord::Held,
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
            let next = self.schedule.next(now, self.interval(now, params), params.jitter);
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

    /// Takes a result. `frozen`: what may be a fault of our own must not count as a failure now, because most targets behind
    /// the same link share it.
    pub fn record(&mut self, result: &CheckResult, params: &CheckParams, frozen: bool) -> Option<Transition> {
        let now = result.ended;
        self.hopeful = false;
        self.last = Last::of(&result.outcome);
        self.last_ended = self.schedule.moment(now);
        self.last_latency_us = u32::try_from(result.latency.as_micros()).unwrap_or(u32::MAX);
        if result.outcome == Outcome::Pass {
            self.told = result.told;
        }
        let target = match &result.outcome {
            Outcome::Pass => self.passed(params, now),
            Outcome::Fail(_) => self.failed(params, false),
            Outcome::Refused(_) => {
                self.gone |= self.health == Health::Down;
                self.failed(params, false)
            }
            Outcome::Silent(_) => self.failed(params, frozen),
            Outcome::CannotCheck(_) => self.not_checked(params, frozen, now),
        };
        let transition = target.filter(|to| *to != self.health).map(|to| Transition {
            from: self.health,
            to,
            reason: self.reason(&result.outcome, params, to, now),
        });
        if let Some(change) = &transition {
            self.gone = matches!(result.outcome, Outcome::Refused(_));
            if change.from == Health::Up && result.outcome.failure().is_some() {
                self.fell(params, now);
            }
            self.enter(change.to, now);
        }
        self.due = self.schedule.moment(self.next_due(now, params));
        transition
    }

    fn passed(&mut self, params: &CheckParams, now: Instant) -> Option<Health> {
        self.cannot = 0;
        self.failures = 0;
        self.passes = self.passes.saturating_add(1);
        let needed = if self.was_up { params.rise } else { 1 };
        let is_held = self.schedule.moment(now) < self.held_until;
        match self.health {
            Health::Held => (!is_held).then_some(Health::Up),
            _ if u32::from(self.passes) < needed => None,
            Health::Down if is_held => Some(Health::Held),
            _ => Some(Health::Up),
        }
    }

    fn failed(&mut self, params: &CheckParams, frozen: bool) -> Option<Health> {
        self.cannot = 0;
        self.passes = 0;
        // What is taken for a fault of our own says nothing later either: who is silent when it is over is judged anew, or a
        // check that was under way when the network came back would be the last straw.
        self.failures = if frozen {
            0
        } else {
            self.failures.saturating_add(1)
        };
        let decisive = match self.health {
            Health::Unproven | Health::Held => true,
            Health::Up => u32::from(self.failures) > params.retries && !frozen,
            Health::Down => false,
        };
        decisive.then_some(Health::Down)
    }

    /// Neither success nor failure, until it has lasted as long as a failing server would have been given. A server
    /// that was never proved stays so: it gets no traffic either way.
    fn not_checked(&mut self, params: &CheckParams, frozen: bool, now: Instant) -> Option<Health> {
        if self.cannot == 0 {
            self.cannot_since = self.schedule.moment(now);
        }
        self.cannot = if frozen { 1 } else { self.cannot.saturating_add(1) };
        self.passes = 0;
        let lasted = u32::from(self.cannot) > params.retries && self.health == Health::Up && !frozen;
        lasted.then_some(Health::Down)
    }

    /// It went down by itself: who does so again and again is held for a longer time each time.
    fn fell(&mut self, params: &CheckParams, now: Instant) {
        let moment = self.schedule.moment(now);
        if self.schedule.instant(self.flaps_since) + DAY <= now {
            (self.flaps, self.flaps_since) = (0, moment);
        }
        self.flaps = self.flaps.saturating_add(1);
        let stood = now.saturating_duration_since(self.schedule.instant(self.since));
        let is_restless = self.was_up && stood < params.hold_down_max;
        self.restless = if is_restless {
            self.restless.saturating_add(1)
        } else {
            0
        };
        if let Some(times) = self.restless.checked_sub(PATIENCE + 1) {
            let longer = 1u32.checked_shl(times.into()).unwrap_or(u32::MAX);
            let hold = params.hold_down.saturating_mul(longer).min(params.hold_down_max);
            self.held_until = self.schedule.moment(now + hold);
        }
    }

    fn enter(&mut self, health: Health, now: Instant) {
        self.health = health;
        self.since = self.schedule.moment(now);
        self.settled = false;
        self.failures = 0;
        self.passes = 0;
        self.was_up |= health == Health::Up;
    }

    /// Unsure (up and failing, or down and passing): soon. Otherwise in the next slot of the constant-rate schedule.
    fn next_due(&self, now: Instant, params: &CheckParams) -> Instant {
        let undecided = (1..=params.retries).contains(&u32::from(self.failures));
        let failing = self.health == Health::Up && undecided && self.cannot == 0;
        let rising = self.health == Health::Down && self.passes > 0;
        if failing || rising {
            return now + params.retry_interval;
        }
        let slot = self.schedule.next(now, self.interval(now, params), params.jitter);
        match self.held_until() {
            Some(end) if end > now => slot.min(end),
            _ => slot,
        }
    }

    fn interval(&self, now: Instant, params: &CheckParams) -> Duration {
        let stands = || now.saturating_duration_since(self.schedule.instant(self.since));
        match params.down_interval {
            Some(interval) if self.health == Health::Down && stands() >= LONG_DOWN => interval,
            _ => params.interval,
        }
    }

    fn reason(&self, outcome: &Outcome, params: &CheckParams, to: Health, now: Instant) -> String {
        let first = self.health == Health::Unproven;
        match outcome {
            Outcome::Pass if to == Health::Held => {
                let left = self
                    .schedule
                    .instant(self.held_until)
                    .saturating_duration_since(now);
                let seconds = left.as_secs_f64().ceil();
                format!(
                    "it passes again, and is held for {seconds} s: it went down {} times",
                    self.flaps
                )
            }
            Outcome::Pass if self.health == Health::Held => "it was held for long enough".to_owned(),
            Outcome::Pass if self.was_up => {
                format!("{} of {} checks passed", self.passes, params.rise)
            }
            Outcome::Pass => "first check passed".to_owned(),
            Outcome::Fail(why) | Outcome::Refused(why) | Outcome::Silent(why) => match self.health {
                _ if first => format!("first check failed: {why}"),
                Health::Held => format!("{why}, while it was held"),
                _ => format!("{why} ({} of {})", self.failures, params.retries + 1),
            },
            Outcome::CannotCheck(why) => {
                format!("cannot be checked: {why} ({} times)", self.cannot)
            }
        }
    }
}
