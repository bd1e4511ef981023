//! The rows about checks. All times are of the guest's clock, which counts instructions. Must not: measure.

use crate::checks::{Checks, Late, Load, quantile};
use crate::machine::Side;
use crate::many::{ASKED, ASKED_TLS, CHECKED, Many, WATCHED, WATCHED_HTTP, WATCHED_TLS};
use crate::memory::Weight;
use crate::reload::Checking;

use super::{Goal, Kind, Row};

/// From the moment when a port refuses, with a check a second and one retry (seconds).
const REFUSED_P99: f64 = 1.5;
/// No check later than this (seconds).
const LATE: f64 = 0.05;
/// init and agent with 5,000 checked servers (bytes).
const RESIDENT: f64 = 8e6;

/// What is checked in one way: at a steady pace, and often.
#[derive(Clone, Copy)]
struct Of {
    name: &'static str,
    many: Many,
    watched: Many,
}

const KINDS: [Of; 3] = [
    Of {
        name: "TCP",
        many: CHECKED,
        watched: WATCHED,
    },
    Of {
        name: "HTTP",
        many: ASKED,
        watched: WATCHED_HTTP,
    },
    Of {
        name: "HTTPS",
        many: ASKED_TLS,
        watched: WATCHED_TLS,
    },
];

impl Of {
    /// The goals are those of TCP checks; what the others do is reported.
    fn goals(self, goal: Goal) -> Vec<Goal> {
        if self.many == CHECKED {
            vec![goal]
        } else {
            Vec::new()
        }
    }
}

/// In kB.
type Field = fn(&Weight) -> u64;

pub(super) fn rows(checks: &Checks) -> Vec<Row> {
    let mut rows = late(checks, Load::Idle, "scenario, idle", vec![Goal::AtMost(LATE)]);
    for kind in KINDS {
        rows.extend(refused(checks, kind));
        let what = format!("{} {} checks a second", kind.many.checks_per_second(), kind.name);
        rows.extend(late(
            checks,
            Load::Many(kind.many),
            &what,
            kind.goals(Goal::AtMost(LATE)),
        ));
        rows.extend(cost(checks, kind));
    }
    rows.extend(memory(checks));
    rows
}

fn plain(what: String, kind: Kind, of: impl Fn(Side) -> Option<f64>, goals: Vec<Goal>) -> Row {
    Row {
        what,
        kind,
        ours: of(Side::Appliance),
        theirs: of(Side::Reference),
        proxy: None,
        goals,
    }
}

fn refused(checks: &Checks, kind: Of) -> Vec<Row> {
    let of = |side, part| {
        let mut all = checks.refused.iter();
        let found = all.find(|refused| (refused.side, refused.many) == (side, kind.watched))?;
        let mut sorted = found.samples.clone();
        sorted.sort_by(f64::total_cmp);
        (!sorted.is_empty()).then(|| quantile(&sorted, part))
    };
    let row = |what: String, part, goals| plain(what, Kind::Seconds, |side| of(side, part), goals);
    let all = checks
        .refused
        .iter()
        .filter(|refused| refused.many == kind.watched);
    let trials = all.map(|refused| refused.samples.len()).max().unwrap_or_default();
    let goal = kind.goals(Goal::AtMost(REFUSED_P99));
    vec![
        row(
            format!(
                "port refuses until no new connections, {}, median of {trials}",
                kind.name
            ),
            0.5,
            Vec::new(),
        ),
        row("  the p99".into(), 0.99, goal),
        row("  the most".into(), 1.0, Vec::new()),
    ]
}

fn late(checks: &Checks, load: Load, what: &str, goals: Vec<Goal>) -> Vec<Row> {
    let of = |side, figure: fn(&Late) -> Option<f64>| {
        let mut all = checks.late.iter();
        let found = all.find(|late| (late.side, late.load) == (side, load))?;
        Some(figure(found)? / 1e3)
    };
    let row = |what: String, figure: fn(&Late) -> Option<f64>, goals| {
        plain(what, Kind::Seconds, |side| of(side, figure), goals)
    };
    vec![
        row(
            format!("{what}: SYN of a check behind its time, most"),
            |late| Some(late.most_ms),
            goals.clone(),
        ),
        row("  the p99".into(), |late| Some(late.p99_ms), Vec::new()),
        row(
            "  check begun after it was due, most, as `status` says".into(),
            |late| late.says_ms,
            goals,
        ),
    ]
}

fn cost(checks: &Checks, kind: Of) -> Vec<Row> {
    let (many, what) = (kind.many, kind.name);
    let of = |side, figure: fn(&Checking) -> f64| {
        let mut all = checks.costs.iter();
        all.find(|cost| (cost.side, cost.many) == (side, many))
            .map(figure)
    };
    let rate = many.checks_per_second();
    let weight = |side| weight(checks, side, many, |weight| weight.resident_kb);
    vec![
        plain(
            format!("{rate} {what} checks a second: of a processor, the daemon"),
            Kind::Share,
            |side| of(side, |cost| cost.daemon),
            vec![Goal::Times(2.0)],
        ),
        plain(
            "  the whole guest".into(),
            Kind::Share,
            |side| of(side, |cost| cost.guest),
            Vec::new(),
        ),
        plain(
            "  resident, init and daemon".into(),
            Kind::Bytes,
            weight,
            Vec::new(),
        ),
    ]
}

fn weight(checks: &Checks, side: Side, many: Many, field: Field) -> Option<f64> {
    let found = checks
        .memory
        .iter()
        .find(|found| (found.side, found.many) == (side, many))?;
    Some(found.old.sum(field) as f64 * 1024.0)
}

fn memory(checks: &Checks) -> Vec<Row> {
    let fields: [(&str, Field, Vec<Goal>); 5] = [
        (
            "5000 servers, checked for minutes: VmRSS, init and daemon",
            |weight| weight.resident_kb,
            vec![Goal::AtMost(RESIDENT)],
        ),
        ("  VmHWM, the most so far", |weight| weight.peak_kb, Vec::new()),
        (
            "  PSS: shared pages in proportion",
            |weight| weight.pss_kb,
            Vec::new(),
        ),
        (
            "  their own: private and dirty",
            |weight| weight.private_dirty_kb,
            Vec::new(),
        ),
        ("  their own: anonymous", |weight| weight.anonymous_kb, Vec::new()),
    ];
    let row = |(what, field, goals): (&str, Field, Vec<Goal>)| {
        let of = |side| weight(checks, side, CHECKED, field);
        plain(what.into(), Kind::Bytes, of, goals)
    };
    fields.into_iter().map(row).collect()
}
