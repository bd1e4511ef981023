//! The table of `bench compare`: both sides, their ratio, and the goal where there is one. Must not: measure.

use std::fmt::Write;

use crate::boots::Boots;
use crate::compare::Comparison;
use crate::datapath::{Datapath, Worker};
use crate::system::System;
use crate::table::{OURS, Spread, THEIRS};
use crate::traffic::{Unit, Way};

mod checks;
mod reload;

const WHAT: usize = 64;
const CELL: usize = 13;
const RATIO: usize = 8;

/// One line: the lower a value, the better.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub what: String,
    pub kind: Kind,
    pub ours: Option<f64>,
    pub theirs: Option<f64>,
    /// A second reference.
    pub proxy: Option<f64>,
    pub goals: Vec<Goal>,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Instructions,
    Seconds,
    Bytes,
    /// Of a processor.
    Share,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    AtMost(f64),
    /// The reference takes at least so many times as much.
    Times(f64),
}

impl Kind {
    fn write(self, value: f64) -> String {
        match self {
            Kind::Instructions if value >= 1e9 => format!("{:.2} G", value / 1e9),
            Kind::Instructions if value >= 1e7 => format!("{:.1} M", value / 1e6),
            Kind::Instructions if value >= 1e6 => format!("{:.0} k", value / 1e3),
            Kind::Instructions => format!("{:.1} k", value / 1e3),
            Kind::Seconds if value < 0.1 => format!("{:.1} ms", value * 1e3),
            Kind::Seconds => format!("{value:.3} s"),
            Kind::Bytes => format!("{:.2} MB", value / 1e6),
            Kind::Share => format!("{:.1} %", value * 100.0),
        }
    }
}

impl Row {
    /// Whether the goals are met; `None` without one, or without the figures for one.
    pub fn met(&self) -> Option<bool> {
        let each: Option<Vec<bool>> = self.goals.iter().map(|goal| self.meets(*goal)).collect();
        each.filter(|each| !each.is_empty())
            .map(|each| each.into_iter().all(|met| met))
    }

    fn meets(&self, goal: Goal) -> Option<bool> {
        let ours = self.ours?;
        Some(match goal {
            Goal::AtMost(most) => ours <= most,
            Goal::Times(least) => ours * least <= self.theirs?,
        })
    }

    fn verdicts(&self) -> String {
        let verdict = |goal: &Goal| {
            let text = match goal {
                Goal::AtMost(most) => format!("at most {}", self.kind.write(*most)),
                Goal::Times(least) => format!("{least:.0} times less"),
            };
            let verdict = match self.meets(*goal) {
                Some(true) => "met",
                Some(false) => "MISSED",
                None => "not measured",
            };
            format!("{text}: {verdict}")
        };
        let verdicts: Vec<String> = self.goals.iter().map(verdict).collect();
        verdicts.join("; ")
    }
}

/// The whole report.
pub fn render(comparison: &Comparison) -> String {
    let mut text = heading(comparison);
    for row in rows(comparison) {
        let write = |value: Option<f64>| value.map_or("-".to_owned(), |value| row.kind.write(value));
        let ratio = |value: Option<f64>| match (row.ours, value) {
            (Some(ours), Some(value)) if value > 0.0 => write_ratio(ours / value),
            _ => "-".to_owned(),
        };
        let cells = [
            write(row.ours),
            write(row.theirs),
            ratio(row.theirs),
            write(row.proxy),
            ratio(row.proxy),
        ];
        text.push_str(&line(&row.what, &cells, &row.verdicts()));
    }
    text
}

/// With as many digits as tell something.
fn write_ratio(ratio: f64) -> String {
    if ratio < 0.1 {
        format!("{ratio:.4}")
    } else {
        format!("{ratio:.2}")
    }
}

fn heading(comparison: &Comparison) -> String {
    let versions: Vec<String> = comparison
        .versions
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let amounts = comparison.plan.amounts;
    let mut text = format!(
        "Linux {} on both sides, under QEMU {}. Reference: Debian's {}.\n\
         Instructions of the guest, each figure over {} connections, {} requests or {} MB; k: 1,000; MB: 1,000,000 bytes.\n\n",
        comparison.kernel,
        comparison.qemu,
        versions.join(", "),
        amounts.connections,
        amounts.requests,
        amounts.megabytes
    );
    let names = ["appliance", "reference", "ratio", "HAProxy", "ratio"].map(String::from);
    text.push_str(&line("", &names, "goal"));
    text
}

fn line(what: &str, cells: &[String; 5], goal: &str) -> String {
    let [ours, theirs, ratio, proxy, second] = cells;
    let mut text = String::new();
    let _ = write!(
        text,
        "{what:<WHAT$} {ours:>CELL$} {theirs:>CELL$} {ratio:>RATIO$} {proxy:>CELL$} {second:>RATIO$}  {goal}"
    );
    format!("{}\n", text.trim_end())
}

/// Rows of the parts that were measured.
pub fn rows(comparison: &Comparison) -> Vec<Row> {
    let mut rows = comparison.datapath.as_ref().map(datapath).unwrap_or_default();
    let accel = comparison.accel;
    rows.extend(
        comparison
            .reload
            .iter()
            .flat_map(|measured| reload::rows(measured, accel)),
    );
    rows.extend(comparison.checks.iter().flat_map(checks::rows));
    rows.extend(comparison.boots.iter().flat_map(boots));
    rows
}

fn datapath(datapath: &Datapath) -> Vec<Row> {
    let goals = [
        (Way::Balanced, Unit::Connection, Some(95e3)),
        (Way::Balanced, Unit::Request, Some(20e3)),
        (Way::Balanced, Unit::Megabyte, None),
        (Way::Gateway, Unit::Connection, Some(95e3)),
        (Way::Gateway, Unit::Request, Some(11.5e3)),
        (Way::Gateway, Unit::Megabyte, Some(570e3)),
    ];
    let row = |(way, unit, most): (Way, Unit, Option<f64>)| {
        let reference = match way {
            Way::Balanced => "IPVS by keepalived",
            Way::Gateway => "iptables MASQUERADE",
        };
        Row {
            what: format!("{} ({reference}), per {}", way.as_str(), unit.as_str()),
            kind: Kind::Instructions,
            ours: datapath.each(Worker::Appliance, way, unit),
            theirs: datapath.each(Worker::Reference, way, unit),
            proxy: datapath.each(Worker::Haproxy, way, unit),
            goals: most.map(Goal::AtMost).into_iter().collect(),
        }
    };
    goals.into_iter().map(row).collect()
}

fn boots(boots: &Boots) -> [Row; 2] {
    let time = |system| Some(Spread::of(boots.first_200.get(&system)?)?.median);
    let resident = |system, programs: [&str; 2]| {
        let kilobytes = boots.resident.get(&system)?.sum(&programs);
        Some(kilobytes as f64 * 1024.0)
    };
    let row = |what: &str, kind, ours, theirs| Row {
        what: what.into(),
        kind,
        ours,
        theirs,
        proxy: None,
        goals: Vec::new(),
    };
    [
        row(
            "boot: power-on to host01's first 200, median",
            Kind::Seconds,
            time(System::Appliance),
            time(System::Keepalived),
        ),
        row(
            "3 servers: resident, init and daemon",
            Kind::Bytes,
            resident(System::Appliance, OURS),
            resident(System::Keepalived, THEIRS),
        ),
    ]
}

#[cfg(test)]
mod tests;
