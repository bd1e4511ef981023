//! A server's port begins to refuse: until the kernel of the lb gives it no new connections. One trial after another, each with a
//! server of its own, at phases that are spread over the interval; servers recover in the background.
//! Must not: render, or judge.

use std::time::Duration;

use serde::Serialize;

use crate::machine::{Clock, Side};
use crate::many::Many;
use crate::subject::{Deed, Subject};
use crate::system::Parts;
use crate::worker::Worker;
use crate::{Result, say};

/// For what a start leaves to do: keepalived spreads its first checks over the interval.
const SETTLE: Duration = Duration::from_secs(5);
/// The golden ratio's part behind the point: its multiples fill the interval evenly, in an order that nothing else keeps.
const SPREAD: f64 = 0.618_033_988_749_895;

/// Seconds from before the command that makes the port refuse, on the clock of the guest, which counts: what else the host does
/// does not make anybody later.
#[derive(Debug, Clone, Serialize)]
pub struct Refused {
    pub side: Side,
    pub many: Many,
    pub samples: Vec<f64>,
}

pub fn measure(parts: &Parts, side: Side, many: Many, trials: usize, worker: &Worker) -> Result<Refused> {
    let subject = Subject::boot(parts, side, many, Clock::Counting)?;
    subject.timed(Deed::Start)?;
    std::thread::sleep(SETTLE);
    let mut samples = Vec::new();
    for trial in 0..trials {
        let (service, server, address) = many.numbered(trial * 7 % many.total());
        let weight = |word| format!("saboteur weight {service} {server} {word}");
        subject.machine.sh(&weight("up"))?;
        let phase = (trial as f64 * SPREAD).fract() * many.interval_s() as f64;
        std::thread::sleep(Duration::from_secs_f64(phase));
        let before = subject.machine.reading()?;
        worker.refuse(&address, true)?;
        subject.machine.sh(&weight("down"))?;
        let span = subject.machine.reading()? - before;
        samples.push(span.elapsed as f64 / 1e9);
        worker.refuse(&address, false)?;
    }
    say(&format!(
        "checks: {} {} refused: {samples:.3?}",
        side.as_str(),
        many.check.as_str()
    ));
    subject.stop()?;
    Ok(Refused { side, many, samples })
}
