//! How far from their times checks begin, as the kernel of the machine sees their SYNs at the card, on the guest's clock, whoever
//! sends them; and what the appliance says of itself. Must not: render, or judge.

use std::collections::BTreeMap;
use std::fmt;

use lb_core::control::StatusReport;
use lb_lab::LabError;
use serde::{Deserialize, Serialize};

use crate::machine::{Clock, Machine, Side};
use crate::many::Many;
use crate::subject::Subject;
use crate::system::Parts;
use crate::{BenchError, Result, configs, say};

/// Of the scenario's file.
const IDLE_INTERVAL_S: usize = 10;
/// Servers that answer, at the least: one whose SYN is sent again says nothing of when its checks began.
const IDLE_TARGETS: usize = 2;

/// What was checked meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Load {
    /// The scenario's three servers.
    Idle,
    /// Many servers, checked in this way.
    Many(Many),
}

/// Milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Late {
    pub side: Side,
    pub load: Load,
    pub targets: usize,
    /// Targets that are left out because they did not answer.
    pub silent: usize,
    pub checks: usize,
    /// Behind the grid of the target: its checks at a constant rate, of which the earliest is on time.
    pub p99_ms: f64,
    pub most_ms: f64,
    /// `checks_late_ms` of the appliance.
    pub says_ms: Option<f64>,
}

/// What `saboteur syns` says.
#[derive(Debug, Deserialize)]
struct Syns {
    silent: usize,
    /// Microseconds.
    targets: BTreeMap<String, Vec<u64>>,
}

/// With the scenario's file and nothing else to do.
pub fn idle(parts: &Parts, side: Side, seconds: u64, scenario: &str) -> Result<Late> {
    say(&format!(
        "checks: {} with the scenario's file boots",
        side.as_str()
    ));
    let files = match side {
        Side::Appliance => vec![(configs::LB_TOML, scenario.to_owned())],
        Side::Reference => Vec::new(),
    };
    let machine = Machine::start(parts, side, Clock::Counting, &files)?;
    if side == Side::Reference {
        machine.wait_until_set_up()?;
        machine.sh(&format!("sh /etc/start keepalived /{}", configs::SCENARIO_CONF))?;
    }
    let ask = |machine: &Machine| machine.proc("net/ip_vs");
    let both = |table: &str| table.matches("Masq    1").count() >= IDLE_TARGETS;
    machine.wait_until("the servers that answer are in the table", ask, both)?;
    // What a start leaves to do is no rest.
    std::thread::sleep(std::time::Duration::from_secs(5));
    let late = look(&machine, side, Load::Idle, seconds)?;
    say(&format!("checks: {late}"));
    machine.stop()?;
    Ok(late)
}

/// Of a subject that is at work.
pub fn many(subject: &Subject, side: Side, many: Many, seconds: u64) -> Result<Late> {
    look(&subject.machine, side, Load::Many(many), seconds)
}

fn look(machine: &Machine, side: Side, load: Load, seconds: u64) -> Result<Late> {
    let json = |what: &'static str| {
        move |source| BenchError::Json {
            what: what.into(),
            source,
        }
    };
    let said = machine.sh(&format!("saboteur syns {seconds}"))?;
    let syns: Syns = serde_json::from_str(&said).map_err(json("what `saboteur syns` says"))?;
    let says_ms = match side {
        Side::Reference => None,
        Side::Appliance => {
            let said = machine.sh("applctl status --json")?;
            let status: StatusReport = serde_json::from_str(&said).map_err(json("status --json"))?;
            Some(status.agent.checks_late_ms)
        }
    };
    let (interval, least) = match load {
        Load::Idle => (IDLE_INTERVAL_S, IDLE_TARGETS),
        Load::Many(many) => (many.interval_s(), many.total() * 9 / 10),
    };
    // Two checks of a target say how far one of them is from where the other puts it.
    let seen = syns.targets.values().filter(|times| times.len() > 1);
    let behind: Vec<Vec<f64>> = seen.map(|times| behind(times, interval)).collect();
    if behind.len() < least {
        let told = format!(
            "{} of {least} targets were checked twice: {syns:.200?}",
            behind.len()
        );
        return Err(LabError::Unexpected(told).into());
    }
    let targets = behind.len();
    let mut all: Vec<f64> = behind.into_iter().flatten().collect();
    all.sort_by(f64::total_cmp);
    Ok(Late {
        side,
        load,
        targets,
        silent: syns.silent,
        checks: all.len(),
        p99_ms: quantile(&all, 0.99),
        most_ms: quantile(&all, 1.0),
        says_ms,
    })
}

/// Milliseconds behind the earliest, of moments (in microseconds) that should be whole intervals apart.
fn behind(times: &[u64], interval_s: usize) -> Vec<f64> {
    let interval = interval_s as f64 * 1e6;
    let first = times.first().copied().unwrap_or_default() as f64;
    let off = |time: &u64| {
        let passed = *time as f64 - first;
        passed - (passed / interval).round() * interval
    };
    let off: Vec<f64> = times.iter().map(off).collect();
    let earliest = off.iter().copied().fold(f64::INFINITY, f64::min);
    off.iter().map(|off| (off - earliest) / 1e3).collect()
}

/// Of values in order: the least that is not exceeded by this part of them.
pub fn quantile(sorted: &[f64], part: f64) -> f64 {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:?}: {} checks of {} targets ({} silent) at most {:.3} ms off, p99 {:.3} ms; it says {:?} ms",
            self.side.as_str(),
            self.load,
            self.checks,
            self.targets,
            self.silent,
            self.most_ms,
            self.p99_ms,
            self.says_ms
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_behind_the_earliest_of_their_target() {
        let at = |offsets: &[i64]| -> Vec<u64> {
            let times = offsets.iter().enumerate();
            times
                .map(|(slot, off)| (7_000_000 + slot as i64 * 5_000_000 + off) as u64)
                .collect()
        };
        assert_eq!(behind(&at(&[0, 0, 0]), 5), [0.0, 0.0, 0.0]);
        // One that is early makes all others late.
        assert_eq!(behind(&at(&[0, -2_000, 1_000]), 5), [2.0, 0.0, 3.0]);
        // An interval that is longer than it should be adds up.
        assert_eq!(behind(&at(&[0, 1_000, 2_000]), 5), [0.0, 1.0, 2.0]);
        // A slot without a check is no lateness.
        assert_eq!(behind(&[0, 10_000_000], 5), [0.0, 0.0]);
    }

    #[test]
    fn the_p99_of_a_hundred_is_the_second_largest() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.99), 99.0);
        assert_eq!(quantile(&values, 1.0), 100.0);
        assert_eq!(quantile(&values, 0.5), 50.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
