//! What is to be known of checks, on both sides: how soon a port that refuses has no new connections, how far from their times
//! checks begin, what checks over HTTP and HTTPS cost, and what memory holds that is a process's own.
//! Must not: render, or judge.

mod late;
mod refused;

use std::time::Duration;

use serde::Serialize;

use crate::machine::{Clock, Side};
use crate::many::{ASKED, ASKED_TLS, CHECKED, Check, Many};
use crate::memory::Weights;
use crate::reload::Checking;
use crate::subject::{Deed, Subject};
use crate::system::Parts;
use crate::worker::Worker;
use crate::{Result, say};

pub use late::{Late, Load, quantile};
pub use refused::Refused;

/// A start is over, and what it took was given back.
const SETTLED: Duration = Duration::from_secs(60);

/// What is measured of checks, each with machines of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Row {
    /// How late checks begin when there is nothing else to do
    Idle,
    /// How soon a port that refuses has no new connections
    Refused,
    /// 1,000 TCP checks a second: cost, lateness and memory
    Tcp,
    /// 1,000 HTTP checks a second: cost and memory
    Http,
    /// 100 HTTPS checks a second: cost and memory
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
            Row::Idle | Row::Refused => {
                self.refused
                    .push(refused::measure(parts, side, amount.trials, worker)?);
                Ok(())
            }
            Row::Tcp => self.many(parts, side, amount, worker),
            Row::Http => self.cost(parts, side, ASKED, worker),
            Row::Https => self.cost(parts, side, ASKED_TLS, worker),
        }
    }

    /// A thousand TCP checks a second: when they begin, and the memory after some time.
    fn many(&mut self, parts: &Parts, side: Side, amount: Amount, worker: &Worker) -> Result<()> {
        let subject = Subject::boot(parts, side, CHECKED, Clock::Counting)?;
        subject.timed(Deed::Start)?;
        let started = subject.machine.reading()?;
        let young = subject.weights()?;
        // With this it is certain that checks are made; and the start is over for both.
        let checking = subject.checking(worker)?;
        say(&format!("checks: {checking:?}"));
        self.costs.push(checking);
        subject.wait_since(started, Duration::from_secs(amount.old_s))?;
        let weighed = Weighed {
            side,
            many: CHECKED,
            young,
            old: subject.weights()?,
        };
        say(&format!("checks: {weighed:?}"));
        self.memory.push(weighed);
        // So long after the start, its thousands of checks at once are no longer in what the appliance says of itself.
        let late = late::many(&subject, side, amount.many_s)?;
        say(&format!("checks: {late}"));
        self.late.push(late);
        subject.stop()
    }

    /// What checks that ask cost, and the memory while they are made.
    fn cost(&mut self, parts: &Parts, side: Side, many: Many, worker: &Worker) -> Result<()> {
        let subject = Subject::boot(parts, side, many, Clock::Counting)?;
        subject.timed(Deed::Start)?;
        let (started, young) = (subject.machine.reading()?, subject.weights()?);
        let checking = subject.checking(worker)?;
        say(&format!("checks: {checking:?}"));
        self.costs.push(checking);
        subject.wait_since(started, SETTLED)?;
        let weighed = Weighed {
            side,
            many,
            young,
            old: subject.weights()?,
        };
        say(&format!("checks: {weighed:?}"));
        self.memory.push(weighed);
        subject.stop()
    }
}
