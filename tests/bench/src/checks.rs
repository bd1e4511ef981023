//! What is to be known of checks, on both sides and over TCP, HTTP and HTTPS: how soon a port that refuses has no new connections,
//! how far from their times checks begin, what they cost, and what memory holds that is a process's own.
//! Must not: render, or judge.

mod late;
mod refused;

use std::time::Duration;

use serde::Serialize;

use crate::machine::{Clock, Side};
use crate::many::{ASKED, ASKED_TLS, CHECKED, Check, Many, WATCHED, WATCHED_HTTP, WATCHED_TLS};
use crate::memory::Weights;
use crate::reload::Checking;
use crate::subject::{Deed, Subject};
use crate::system::Parts;
use crate::worker::Worker;
use crate::{Result, say};

pub use late::{Late, Load, quantile};
pub use refused::Refused;

/// A start is over, and what it took was given back.
const SETTLED_S: u64 = 120;

/// What is measured of checks, each with machines of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Row {
    /// How late checks begin when there is nothing else to do
    Idle,
    /// How soon a port that refuses has no new connections, by TCP checks
    Refused,
    /// 1,000 TCP checks a second: cost, lateness and memory
    Tcp,
    /// 1,000 HTTP checks a second: cost, lateness and memory; and how soon a port that refuses has no new connections
    Http,
    /// 100 HTTPS checks a second: the same
    Https,
}

/// How much is measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Amount {
    /// Ports that begin to refuse.
    pub trials: usize,
    /// Seconds for which the beginnings of checks are looked at: with the scenario's file, and with many servers.
    pub idle_s: u64,
    pub many_s: u64,
    /// Until memory is weighed, since the daemon's start.
    pub old_s: u64,
}

impl Row {
    /// The machine with all servers; the scenario has its own.
    fn worker(self) -> Result<Option<Worker>> {
        let check = match self {
            Row::Idle => return Ok(None),
            Row::Refused | Row::Tcp => Check::Tcp,
            Row::Http => Check::Http,
            Row::Https => Check::Https,
        };
        Worker::new(check).map(Some)
    }
}

impl Amount {
    pub const WHOLE: Amount = Amount {
        trials: 120,
        idle_s: 90,
        many_s: 60,
        old_s: 300,
    };
    pub const QUICK: Amount = Amount {
        trials: 12,
        idle_s: 35,
        many_s: 20,
        old_s: 180,
    };

    /// The goal for memory is one of TCP checks; for the others, a start is over.
    fn until_old(self, many: Many) -> Duration {
        let seconds = match many.check {
            Check::Tcp => self.old_s,
            _ => SETTLED_S,
        };
        Duration::from_secs(seconds)
    }
}

/// Memory of init and the daemon, soon after the start and long after it.
#[derive(Debug, Clone, Serialize)]
pub struct Weighed {
    pub side: Side,
    pub many: Many,
    pub young: Weights,
    pub old: Weights,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Checks {
    pub refused: Vec<Refused>,
    pub late: Vec<Late>,
    pub costs: Vec<Checking>,
    pub memory: Vec<Weighed>,
}

impl Checks {
    /// Inside a cage, with the disks made and the lab there. `only` leaves the other side out.
    pub fn measure(
        parts: &Parts,
        (amount, rows): (Amount, &[Row]),
        only: Option<Side>,
        scenario: &str,
    ) -> Result<Checks> {
        let sides = [Side::Appliance, Side::Reference].into_iter();
        let sides: Vec<Side> = sides
            .filter(|side| only.is_none_or(|only| only == *side))
            .collect();
        let mut checks = Checks::default();
        for row in rows {
            let worker = row.worker()?;
            for side in &sides {
                checks.row(parts, *side, (amount, *row), worker.as_ref(), scenario)?;
            }
        }
        Ok(checks)
    }

    fn row(
        &mut self,
        parts: &Parts,
        side: Side,
        (amount, row): (Amount, Row),
        worker: Option<&Worker>,
        scenario: &str,
    ) -> Result<()> {
        let Some(worker) = worker else {
            self.late.push(late::idle(parts, side, amount.idle_s, scenario)?);
            return Ok(());
        };
        match row {
            Row::Idle | Row::Refused => self.refused(parts, side, (WATCHED, amount), worker),
            Row::Tcp => self.many(parts, side, (CHECKED, amount), worker),
            Row::Http => self.asked(parts, side, (ASKED, WATCHED_HTTP, amount), worker),
            Row::Https => self.asked(parts, side, (ASKED_TLS, WATCHED_TLS, amount), worker),
        }
    }

    /// All that is known of checks by TCP, of those that ask.
    fn asked(
        &mut self,
        parts: &Parts,
        side: Side,
        (many, watched, amount): (Many, Many, Amount),
        worker: &Worker,
    ) -> Result<()> {
        self.many(parts, side, (many, amount), worker)?;
        self.refused(parts, side, (watched, amount), worker)
    }

    fn refused(
        &mut self,
        parts: &Parts,
        side: Side,
        (many, amount): (Many, Amount),
        worker: &Worker,
    ) -> Result<()> {
        let refused = refused::measure(parts, side, many, amount.trials, worker)?;
        self.refused.push(refused);
        Ok(())
    }

    /// What checks of many servers cost, when they begin, and the memory after some time.
    fn many(
        &mut self,
        parts: &Parts,
        side: Side,
        (many, amount): (Many, Amount),
        worker: &Worker,
    ) -> Result<()> {
        let subject = Subject::boot(parts, side, many, Clock::Counting)?;
        subject.timed(Deed::Start)?;
        let started = subject.machine.reading()?;
        let young = subject.weights()?;
        // With this it is certain that checks are made; and the start is over for both.
        let checking = subject.checking(worker)?;
        say(&format!("checks: {checking:?}"));
        self.costs.push(checking);
        subject.wait_since(started, amount.until_old(many))?;
        let weighed = Weighed {
            side,
            many,
            young,
            old: subject.weights()?,
        };
        say(&format!("checks: {weighed:?}"));
        self.memory.push(weighed);
        // So long after the start, its thousands of checks at once are no longer in what the appliance says of itself.
        let late = late::many(&subject, side, many, amount.many_s)?;
        say(&format!("checks: {late}"));
        self.late.push(late);
        subject.stop()
    }
}
