//! Many services: how long a start takes until all are in the kernel, and how long until one changed server is; on the clock
//! of the machine that runs the guest, on the clock of a guest that executes an instruction a nanosecond, and counted in the
//! guest's instructions. And the memory that they take.
//! Must not: render, or judge.

use std::time::{Duration, Instant};

use lb_lab::LabError;
use serde::Serialize;

use crate::configs::{self, Many};
use crate::gauge::{Reading, Span};
use crate::machine::{Clock, Machine, Side};
use crate::memory::{self, Resident};
use crate::system::Parts;
use crate::{Result, say};

/// As long as the appliance lets pass between two whole read-backs of its own accord.
const BACKGROUND: Duration = Duration::from_secs(20);
/// A machine that does no more than usual for so many looks in a row has done its work.
const LOOK: Duration = Duration::from_secs(1);
const LOOKS: usize = 3;
/// More than the background, and still rest.
const SLACK: f64 = 0.03;
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

/// How long one deed took.
#[derive(Debug, Clone, Serialize)]
pub struct Timing {
    pub side: Side,
    pub servers: usize,
    pub deed: Deed,
    /// On the clock of the machine that runs the guest.
    pub seconds: Option<f64>,
    /// On the guest's own clock, which counts its instructions and the time for which it waits.
    pub guest_seconds: Option<f64>,
    /// All that the guest did for it, the daemon's later clearing up with it.
    pub instructions: Option<f64>,
}

/// Kilobytes with so many servers, after the change.
#[derive(Debug, Clone, Serialize)]
pub struct Memory {
    pub side: Side,
    pub servers: usize,
    pub now: Resident,
    /// VmHWM; the reference does not tell.
    pub peak: Resident,
}

/// What is taken of the deeds, each on a machine of its own: who asks whether a deed is done gives the guest work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    Instructions,
    GuestSeconds,
    Seconds,
}

impl Measure {
    const ALL: [Measure; 3] = [Measure::Instructions, Measure::GuestSeconds, Measure::Seconds];

    fn clock(self) -> Clock {
        match self {
            Measure::Instructions | Measure::GuestSeconds => Clock::Counting,
            Measure::Seconds => Clock::Wall,
        }
    }
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Reload {
    pub timings: Vec<Timing>,
    pub memory: Vec<Memory>,
}

impl Reload {
    /// Inside a cage, with the disks made and the links there. `only` leaves the other side out.
    pub fn measure(parts: &Parts, only: Option<Side>) -> Result<Reload> {
        let mut reload = Reload::default();
        let runs = [
            (Side::Appliance, configs::MANY),
            (Side::Reference, configs::MANY),
            (Side::Appliance, configs::MOST),
        ];
        for (side, many) in runs {
            if only.is_none_or(|only| only == side) {
                for measure in Measure::ALL {
                    reload.run(parts, side, many, measure)?;
                }
            }
        }
        Ok(reload)
    }

    /// `None` when it was not measured.
    pub fn timing(&self, side: Side, many: Many, deed: Deed) -> Option<&Timing> {
        self.timings
            .iter()
            .find(|timing| (timing.side, timing.servers, timing.deed) == (side, many.total(), deed))
    }

    fn run(&mut self, parts: &Parts, side: Side, many: Many, measure: Measure) -> Result<()> {
        let subject = Subject::boot(parts, side, many, measure.clock())?;
        for deed in [Deed::Start, Deed::Change] {
            let value = match measure {
                Measure::Instructions => subject.counted(deed)? * 1e9,
                Measure::GuestSeconds => subject.timed_by_guest(deed)?,
                Measure::Seconds => subject.timed(deed)?,
            };
            self.note(&subject, deed, measure, value);
        }
        if measure == Measure::Seconds {
            let memory = subject.memory()?;
            say(&format!(
                "reload: {} with {}: {memory:?}",
                side.as_str(),
                many.total()
            ));
            self.memory.push(memory);
        }
        subject.machine.stop()
    }

    fn note(&mut self, subject: &Subject, deed: Deed, measure: Measure, value: f64) {
        let (side, servers) = (subject.side, subject.many.total());
        let shown = match measure {
            Measure::Instructions => format!("{:.1} M instructions", value / 1e6),
            Measure::GuestSeconds => format!("{value:.3} s of the guest"),
            Measure::Seconds => format!("{value:.3} s"),
        };
        say(&format!(
            "reload: {} with {servers}: {deed:?} {shown}",
            side.as_str()
        ));
        let known = self
            .timings
            .iter()
            .position(|timing| (timing.side, timing.servers, timing.deed) == (side, servers, deed));
        let index = known.unwrap_or_else(|| {
            self.timings.push(Timing {
                side,
                servers,
                deed,
                seconds: None,
                guest_seconds: None,
                instructions: None,
            });
            self.timings.len() - 1
        });
        let timing = &mut self.timings[index];
        let field = match measure {
            Measure::Instructions => &mut timing.instructions,
            Measure::GuestSeconds => &mut timing.guest_seconds,
            Measure::Seconds => &mut timing.seconds,
        };
        *field = Some(value);
    }
}

/// A file of the config volume becomes the one that is applied next.
fn in_force(file: &str) -> String {
    format!("saboteur copy /config/{file} /config/{}", configs::LB_TOML)
}

/// A side with its many services.
struct Subject {
    machine: Machine,
    side: Side,
    many: Many,
}

impl Subject {
    /// Booted, without services: the kernel keeps servers that were deleted for two minutes, and looks through them for each
    /// that is added. keepalived has not been started.
    fn boot(parts: &Parts, side: Side, many: Many, clock: Clock) -> Result<Subject> {
        say(&format!(
            "reload: {} with {} servers boots ({clock:?})",
            side.as_str(),
            many.total()
        ));
        let files = match side {
            Side::Appliance => vec![
                (configs::LB_TOML, configs::empty_toml()),
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
                let original = format!("saboteur copy /{} {IN_USE}", configs::MANY_CONF);
                subject.machine.sh(&original)?;
            }
        }
        Ok(subject)
    }

    /// Seconds from the deed to its effect.
    fn timed(&self, deed: Deed) -> Result<f64> {
        self.prepare(deed)?;
        let started = Instant::now();
        self.carry_out_and_wait(deed)?;
        let took = started.elapsed();
        self.prove_at_once(deed)?;
        Ok(took.as_secs_f64())
    }

    /// The same on the clock of the guest. The looks, one each [`machine::GLANCE`], are in it.
    fn timed_by_guest(&self, deed: Deed) -> Result<f64> {
        self.prepare(deed)?;
        let before = self.machine.reading()?;
        self.carry_out_and_wait(deed)?;
        let span = self.machine.reading()? - before;
        self.prove_at_once(deed)?;
        Ok(span.elapsed as f64 / 1e9)
    }

    fn carry_out_and_wait(&self, deed: Deed) -> Result<()> {
        self.carry_out(deed)?;
        match (self.side, deed) {
            (_, Deed::Start) => self.wait_for_last(),
            // Its answer says that the kernel has it; looking would only add to the time.
            (Side::Appliance, Deed::Change) => Ok(()),
            (Side::Reference, Deed::Change) => self.wait_for_change(),
        }
    }

    /// That it was done when it was said to be.
    fn prove_at_once(&self, deed: Deed) -> Result<()> {
        if deed == Deed::Change && !self.has_change(&self.look_at_changed()?) {
            return Err(LabError::Unexpected("the change is not in the kernel".into()).into());
        }
        self.prove(deed)
    }

    /// Busy seconds of the guest for the deed, up to the time when it rests again. Nobody asks meanwhile.
    fn counted(&self, deed: Deed) -> Result<f64> {
        self.prepare(deed)?;
        let background = self.rest_of(deed)?;
        let before = self.machine.reading()?;
        self.carry_out(deed)?;
        let span = self.until_rest(before, background)?;
        self.prove(deed)?;
        Ok(span.beyond(background) / 1e9)
    }

    /// Without a daemon there is no background.
    fn rest_of(&self, deed: Deed) -> Result<Span> {
        match (self.side, deed) {
            (Side::Reference, Deed::Start) => Ok(Span::default()),
            _ => self.machine.background(BACKGROUND),
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
        let copy = match (self.side, deed) {
            (Side::Appliance, Deed::Start) => in_force(configs::MANY_TOML),
            (Side::Reference, Deed::Start) => return Ok(()),
            (Side::Appliance, Deed::Change) => in_force(configs::CHANGED_TOML),
            (Side::Reference, Deed::Change) => format!("saboteur copy /{} {IN_USE}", configs::CHANGED_CONF),
        };
        self.machine.sh(&copy).map(drop)
    }

    fn carry_out(&self, deed: Deed) -> Result<()> {
        let command = match (self.side, deed) {
            // init starts it again at once.
            (Side::Appliance, Deed::Start) => "saboteur kill-agent".to_owned(),
            (Side::Reference, Deed::Start) => format!("sh /etc/start keepalived {IN_USE}"),
            (Side::Appliance, Deed::Change) => "applctl config apply".to_owned(),
            (Side::Reference, Deed::Change) => "sh /etc/start reload".to_owned(),
        };
        self.machine.sh(&command).map(drop)
    }

    /// A look at one service costs the guest little.
    fn wait_for_last(&self) -> Result<()> {
        let look = format!("ipvsadm -Ln -t {}", self.many.last_service());
        let servers = |table: &str| table.matches("Masq").count() == self.many.servers;
        let ask = |machine: &Machine| machine.sh(&look);
        self.machine
            .wait_until("the last service is in the kernel", ask, servers)?;
        Ok(())
    }

    fn look_at_changed(&self) -> Result<String> {
        let look = format!("ipvsadm -Ln -t {}", self.many.changed_service());
        self.machine.sh(&look)
    }

    fn has_change(&self, table: &str) -> bool {
        table.contains(&format!("Masq    {} ", Many::HEAVY))
    }

    fn wait_for_change(&self) -> Result<()> {
        let ask = |_: &Machine| self.look_at_changed();
        self.machine
            .wait_until("the kernel has the change", ask, |table| self.has_change(table))?;
        Ok(())
    }

    /// The whole table is large, and writing it out is work for the guest: it is read when its end is there.
    fn wait_for_all(&self) -> Result<()> {
        self.wait_for_last()?;
        let all = |table: &str| table.matches("Masq").count() == self.many.total();
        let ask = |machine: &Machine| machine.proc("net/ip_vs");
        self.machine
            .wait_until("all servers are in the kernel", ask, all)?;
        Ok(())
    }

    /// That the deed was done, and nothing else.
    fn prove(&self, deed: Deed) -> Result<()> {
        self.wait_for_all()?;
        match deed {
            Deed::Start => Ok(()),
            Deed::Change => self.wait_for_change(),
        }
    }

    fn memory(&self) -> Result<Memory> {
        let (now, peak) = match self.side {
            Side::Appliance => memory::of_watched_appliance(&self.machine.sh("saboteur resident")?)?,
            Side::Reference => (
                memory::parse(&self.machine.sh("sh /etc/resident")?),
                Resident::default(),
            ),
        };
        Ok(Memory {
            side: self.side,
            servers: self.many.total(),
            now,
            peak,
        })
    }
}
