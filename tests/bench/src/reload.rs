//! Many services: how long a start takes until all are in the kernel, and how long until one changed server is; on the clock
//! of the machine that runs the guest, on the clock of a guest that executes an instruction a nanosecond, and counted in the
//! guest's instructions. And the memory that they take, and what checking them costs.
//! Must not: render, or judge.

use serde::Serialize;

use crate::machine::{Clock, Side};
use crate::many::{CHECKED, Check, MANY, MOST, Many};
use crate::memory::Resident;
use crate::subject::{Deed, Subject, Took};
use crate::system::Parts;
use crate::worker::Worker;
use crate::{Result, say};

/// How long one deed took.
#[derive(Debug, Clone, Serialize)]
pub struct Timing {
    pub side: Side,
    pub many: Many,
    pub deed: Deed,
    /// On the clock of the machine that runs the guest.
    pub wall: Option<Took>,
    /// On the guest's own clock, which counts its instructions and the time for which it waits.
    pub guest: Option<Took>,
    /// All that the guest did for a start, the daemon's later clearing up with it.
    pub instructions: Option<f64>,
}

/// Kilobytes with so many servers, after the change.
#[derive(Debug, Clone, Serialize)]
pub struct Memory {
    pub side: Side,
    pub many: Many,
    pub now: Resident,
    /// VmHWM; the reference does not tell.
    pub peak: Resident,
}

/// What it costs to check servers, as a share of a processor that executes an instruction a nanosecond.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Checking {
    pub side: Side,
    pub many: Many,
    pub checks_per_second: f64,
    /// The whole guest, its kernel's TCP and its network card with it.
    pub guest: f64,
    /// What the kernel booked for the processes of the daemon.
    pub daemon: f64,
    /// What the servers' log has, where they keep one.
    pub requests_per_second: Option<f64>,
}

/// What is taken of the deeds, each on a machine of its own: who asks whether a deed is done gives the guest work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    Instructions,
    Guest,
    Wall,
}

impl Measure {
    const ALL: [Measure; 3] = [Measure::Instructions, Measure::Guest, Measure::Wall];

    fn clock(self) -> Clock {
        match self {
            Measure::Instructions | Measure::Guest => Clock::Counting,
            Measure::Wall => Clock::Wall,
        }
    }

    /// What a change costs is lost in what the appliance does at times of its own: it reads back.
    fn deeds(self) -> &'static [Deed] {
        match self {
            Measure::Instructions => &[Deed::Start],
            _ => &[Deed::Start, Deed::Change],
        }
    }

    /// A guest with checks never rests, which is when instructions are counted.
    fn fits(self, many: Many) -> bool {
        !many.is_checked() || self != Measure::Instructions
    }
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Reload {
    pub timings: Vec<Timing>,
    pub memory: Vec<Memory>,
    pub checking: Vec<Checking>,
    /// Instructions until ipvsadm has made the table of [`MANY`].
    pub restored: Option<f64>,
    /// Of these, what the kernel alone takes, told in the fewest datagrams.
    pub floor: Option<f64>,
}

impl Reload {
    /// Inside a cage, with the disks made and the links there. `only` leaves the other side out.
    pub fn measure(parts: &Parts, only: Option<Side>) -> Result<Reload> {
        let worker = Worker::new(Check::Tcp)?;
        let mut reload = Reload::default();
        let runs = [
            (Side::Appliance, MOST),
            (Side::Appliance, CHECKED),
            (Side::Reference, CHECKED),
            (Side::Appliance, MANY),
            (Side::Reference, MANY),
        ];
        for (side, many) in runs {
            if only.is_none_or(|only| only == side) {
                for measure in Measure::ALL.into_iter().filter(|measure| measure.fits(many)) {
                    reload.run(parts, side, many, measure, &worker)?;
                }
            }
        }
        if only.is_none_or(|only| only == Side::Reference) {
            let subject = Subject::boot(parts, Side::Reference, MANY, Clock::Counting)?;
            reload.restored = Some(subject.restored()? * 1e9);
            say(&format!("reload: {:?} instructions by ipvsadm", reload.restored));
            subject.stop()?;
            let subject = Subject::boot(parts, Side::Reference, MANY, Clock::Counting)?;
            reload.floor = Some(subject.floor()? * 1e9);
            say(&format!(
                "reload: {:?} instructions by the kernel alone",
                reload.floor
            ));
            subject.stop()?;
        }
        Ok(reload)
    }

    /// `None` when it was not measured.
    pub fn timing(&self, side: Side, many: Many, deed: Deed) -> Option<&Timing> {
        self.timings
            .iter()
            .find(|timing| (timing.side, timing.many, timing.deed) == (side, many, deed))
    }

    fn run(
        &mut self,
        parts: &Parts,
        side: Side,
        many: Many,
        measure: Measure,
        worker: &Worker,
    ) -> Result<()> {
        let subject = Subject::boot(parts, side, many, measure.clock())?;
        for deed in measure.deeds().iter().copied() {
            let timing = self.entry(side, many, deed);
            match measure {
                Measure::Instructions => timing.instructions = Some(subject.counted()? * 1e9),
                Measure::Guest => timing.guest = Some(subject.timed(deed)?),
                Measure::Wall => timing.wall = Some(subject.timed(deed)?),
            }
            say(&format!("reload: {timing:?}"));
        }
        if measure == Measure::Wall {
            let memory = subject.memory()?;
            say(&format!("reload: {memory:?}"));
            self.memory.push(memory);
        }
        if measure == Measure::Guest && many.is_checked() {
            let checking = subject.checking(worker)?;
            say(&format!("reload: {checking:?}"));
            self.checking.push(checking);
        }
        subject.stop()
    }

    fn entry(&mut self, side: Side, many: Many, deed: Deed) -> &mut Timing {
        let is_it = |timing: &Timing| (timing.side, timing.many, timing.deed) == (side, many, deed);
        let index = self.timings.iter().position(is_it).unwrap_or_else(|| {
            self.timings.push(Timing {
                side,
                many,
                deed,
                wall: None,
                guest: None,
                instructions: None,
            });
            self.timings.len() - 1
        });
        &mut self.timings[index]
    }
}
