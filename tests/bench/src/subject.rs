//! A side with its many services: started, changed, watched while it checks. Must not: render, or judge.

use std::time::Duration;

use lb_lab::LabError;
use serde::{Deserialize, Serialize};

use crate::configs;
use crate::gauge::{Reading, Span};
use crate::machine::{Clock, Machine, Side};
use crate::many::Many;
use crate::memory::{self, Resident, Weights};
use crate::reload::{Checking, Memory};
use crate::system::Parts;
use crate::worker::Worker;
use crate::{BenchError, Result, say};

/// As long as the appliance lets pass between two whole read-backs of its own accord.
const BACKGROUND: Duration = Duration::from_secs(20);
/// For how long checks are counted, on the guest's clock: longer than the appliance lets pass between two read-backs of a large table.
const CHECKS_FOR: Duration = Duration::from_secs(60);
/// A machine that does no more than usual for so many looks in a row has done its work.
const LOOK: Duration = Duration::from_secs(1);
const LOOKS: usize = 3;
/// Between a start and a change, for what the start has left to do.
const SETTLE: Duration = Duration::from_secs(5);
/// More than the background, and still rest.
const SLACK: f64 = 0.03;
/// Of the checks that are to be made, so many are seen in any span: the span's ends cut off some.
const ALMOST_ALL: f64 = 0.9;
/// The reference's file in use: on its root nothing can be changed.
const IN_USE: &str = "/run/keepalived.conf";

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Deed {
    /// The daemon starts with an empty table: until every server is in the kernel.
    Start,
    /// One weight in the file is another, and the daemon is told: until the kernel has it.
    Change,
}

/// From a command, in milliseconds: until the kernel has what it is to bring about, and until it has ended. The reference's
/// commands end at once.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Took {
    pub effect_ms: f64,
    pub answer_ms: f64,
}

/// A file of the config volume becomes the one that is applied next.
fn in_force(file: &str) -> String {
    format!("saboteur copy /config/{file} /config/{}", configs::LB_TOML)
}

#[derive(Debug)]
pub struct Subject {
    pub machine: Machine,
    side: Side,
    many: Many,
}

impl Subject {
    /// Booted, without services: the kernel keeps servers that were deleted for two minutes, and looks through them for each
    /// that is added. keepalived has not been started.
    pub fn boot(parts: &Parts, side: Side, many: Many, clock: Clock) -> Result<Subject> {
        say(&format!(
            "reload: {} with {} servers boots ({clock:?})",
            side.as_str(),
            many.total()
        ));
        let files = match side {
            Side::Appliance => vec![
                (configs::LB_TOML, many.links_toml()),
                (configs::MANY_TOML, many.toml(false)),
                (configs::CHANGED_TOML, many.toml(true)),
            ],
            Side::Reference => Vec::new(),
        };
        let machine = Machine::start(parts, side, clock, &files)?;
        let subject = Subject { machine, side, many };
        match side {
            Side::Appliance => {
                let ask = |machine: &Machine| machine.proc("sys/net/ipv4/ip_forward");
                subject
                    .machine
                    .wait_until("the appliance forwards", ask, |said| said.trim() == "1")?;
            }
            Side::Reference => {
                subject.machine.wait_until_set_up()?;
                subject.put_in_use(false)?;
            }
        }
        Ok(subject)
    }

    pub fn stop(self) -> Result<()> {
        self.machine.stop()
    }

    fn put_in_use(&self, changed: bool) -> Result<()> {
        let copy = format!("saboteur copy /{} {IN_USE}", self.many.conf_path(changed));
        self.machine.sh(&copy).map(drop)
    }

    /// On the clock of the guest, and by the same looks at the kernel's table on both sides.
    pub fn timed(&self, deed: Deed) -> Result<Took> {
        if deed == Deed::Change {
            std::thread::sleep(SETTLE);
        }
        self.prepare(deed)?;
        let (many, command) = (self.many, self.command(deed));
        let (service, services, weight) = match deed {
            Deed::Start => (many.first_service(), many.services, "any".to_owned()),
            Deed::Change => (many.changed_service(), 1, Many::HEAVY.to_string()),
        };
        let line = format!(
            "saboteur until {service} {services} {} {weight} {command}",
            many.servers
        );
        let said = self.machine.sh(&line)?;
        self.prove(deed)?;
        serde_json::from_str(&said).map_err(|source| BenchError::Json {
            what: "the saboteur's answer".into(),
            source,
        })
    }

    /// Busy seconds of the guest for a start, up to the time when it rests again. Nobody asks meanwhile.
    pub fn counted(&self) -> Result<f64> {
        let deed = Deed::Start;
        self.prepare(deed)?;
        let background = self.rest()?;
        let before = self.machine.reading()?;
        self.machine.sh(&self.command(deed))?;
        let span = self.until_rest(before, background)?;
        self.prove(deed)?;
        Ok(span.beyond(background) / 1e9)
    }

    /// Busy seconds of the reference while ipvsadm tells its kernel the whole table, with no daemon beside it.
    pub fn restored(&self) -> Result<f64> {
        let before = self.machine.reading()?;
        self.machine
            .sh(&format!("sh /etc/start restore /{}", Many::TABLE))?;
        let span = self.machine.reading()? - before;
        self.prove(Deed::Start)?;
        Ok(span.beyond(Span::default()) / 1e9)
    }

    /// Busy seconds of the kernel for the same table, told by requests that were ready before.
    pub fn floor(&self) -> Result<f64> {
        let line = format!("saboteur floor {} {}", self.many.services, self.many.servers);
        let milliseconds = number(self.machine.sh(&line)?.trim())?;
        self.prove(Deed::Start)?;
        Ok(milliseconds / 1e3)
    }

    /// Without a daemon there is no background.
    fn rest(&self) -> Result<Span> {
        match self.side {
            Side::Reference => Ok(Span::default()),
            Side::Appliance => self.machine.background(BACKGROUND),
        }
    }

    fn until_rest(&self, before: Reading, background: Span) -> Result<Span> {
        let mut quiet = 0;
        let mut last = self.machine.reading()?;
        loop {
            std::thread::sleep(LOOK);
            let next = self.machine.reading()?;
            let load = (next - last).load();
            quiet = if load < background.load() + SLACK {
                quiet + 1
            } else {
                0
            };
            if quiet == LOOKS {
                return Ok(next - before);
            }
            last = next;
        }
    }

    fn prepare(&self, deed: Deed) -> Result<()> {
        match (self.side, deed) {
            (Side::Appliance, Deed::Start) => self.machine.sh(&in_force(configs::MANY_TOML)).map(drop),
            (Side::Appliance, Deed::Change) => self.machine.sh(&in_force(configs::CHANGED_TOML)).map(drop),
            (Side::Reference, Deed::Start) => Ok(()),
            (Side::Reference, Deed::Change) => self.put_in_use(true),
        }
    }

    fn command(&self, deed: Deed) -> String {
        match (self.side, deed) {
            // init starts it again at once.
            (Side::Appliance, Deed::Start) => "saboteur kill-agent".to_owned(),
            (Side::Reference, Deed::Start) => format!("sh /etc/start keepalived {IN_USE}"),
            (Side::Appliance, Deed::Change) => "applctl config apply".to_owned(),
            (Side::Reference, Deed::Change) => "sh /etc/start reload".to_owned(),
        }
    }

    /// That the deed was done, and nothing else. The whole table is large, and writing it out is work for the guest: it is
    /// read when its end is there, of which a look costs little.
    fn prove(&self, deed: Deed) -> Result<()> {
        let servers = |table: &str| table.matches("Masq").count() == self.many.servers;
        self.wait_for_service(&self.many.last_service(), servers)?;
        let all = |table: &str| table.matches("Masq").count() == self.many.total();
        let ask = |machine: &Machine| machine.proc("net/ip_vs");
        self.machine
            .wait_until("all servers are in the kernel", ask, all)?;
        if deed == Deed::Change {
            let heavy = format!("Masq    {} ", Many::HEAVY);
            self.wait_for_service(&self.many.changed_service(), |table| table.contains(&heavy))?;
        }
        Ok(())
    }

    fn wait_for_service(&self, service: &str, satisfied: impl Fn(&str) -> bool) -> Result<()> {
        let look = format!("ipvsadm -Ln -t {service}");
        let ask = |machine: &Machine| machine.sh(&look);
        let what = format!("the kernel has what is wanted of {service}");
        self.machine.wait_until(&what, ask, satisfied).map(drop)
    }

    pub fn memory(&self) -> Result<Memory> {
        let (now, peak) = match self.side {
            Side::Appliance => memory::of_watched_appliance(&self.machine.sh("saboteur resident")?)?,
            Side::Reference => (
                memory::parse(&self.machine.sh("sh /etc/resident")?),
                Resident::default(),
            ),
        };
        Ok(Memory {
            side: self.side,
            many: self.many,
            now,
            peak,
        })
    }

    /// Some time after a start or a change: keepalived begins all its checks anew. Who does not check has no figure.
    pub fn checking(&self, worker: &Worker) -> Result<Checking> {
        std::thread::sleep(BACKGROUND);
        let asked = || -> Result<(u64, Option<u64>)> { Ok((worker.begun()?, worker.requests())) };
        let (had, used, before) = (asked()?, self.daemon_seconds()?, self.machine.reading()?);
        self.wait_since(before, CHECKS_FOR)?;
        let (reading, uses, has) = (self.machine.reading()?, self.daemon_seconds()?, asked()?);
        let span = reading - before;
        let seconds = span.elapsed as f64 / 1e9;
        let per_second = |has: u64, had: u64| (has - had) as f64 / seconds;
        let checking = Checking {
            side: self.side,
            many: self.many,
            checks_per_second: per_second(has.0, had.0),
            guest: span.load(),
            daemon: (uses - used) / seconds,
            requests_per_second: has.1.zip(had.1).map(|(has, had)| per_second(has, had)),
        };
        let least = self.many.checks_per_second() as f64 * ALMOST_ALL;
        let asked = checking.requests_per_second.unwrap_or(least);
        if checking.checks_per_second < least || asked < least {
            return Err(LabError::Unexpected(format!("too few checks: {checking:?}")).into());
        }
        Ok(checking)
    }

    /// Of init and the daemon, with what is their own.
    pub fn weights(&self) -> Result<Weights> {
        let said = self.machine.sh(&format!("saboteur weigh {}", self.daemon()))?;
        serde_json::from_str(&said).map_err(|source| BenchError::Json {
            what: "what `saboteur weigh` says".into(),
            source,
        })
    }

    /// On the guest's clock: an emulated one that has much to do is behind.
    pub fn wait_since(&self, begun: Reading, length: Duration) -> Result<()> {
        while Duration::from_nanos((self.machine.reading()? - begun).elapsed) < length {
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn daemon(&self) -> &'static str {
        match self.side {
            Side::Appliance => "agent",
            Side::Reference => "keepalived",
        }
    }

    fn daemon_seconds(&self) -> Result<f64> {
        let said = self.machine.sh(&format!("saboteur cpu {}", self.daemon()))?;
        number(said.trim())
    }
}

fn number(said: &str) -> Result<f64> {
    said.parse()
        .map_err(|_| LabError::Unexpected(format!("`{said}` is no number")).into())
}
