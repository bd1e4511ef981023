//! The rows about many services. The goals in seconds are for a machine that is not emulated: they are held against the clock of
//! the guest, which executes an instruction a nanosecond and waits as long as anybody. Must not: measure.

use crate::machine::Side;
use crate::many::{CHECKED, MANY, MOST, Many};
use crate::reload::{Checking, Reload, Timing};
use crate::subject::Deed;
use crate::table::{OURS, THEIRS};

use super::{Goal, Kind, Row};

pub(super) fn rows(reload: &Reload, accel: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for (many, deed, goals) in [
        (CHECKED, Deed::Start, &[Goal::Times(10.0)][..]),
        (CHECKED, Deed::Change, &[Goal::Times(100.0), Goal::AtMost(0.1)]),
        (MANY, Deed::Start, &[]),
        (MANY, Deed::Change, &[Goal::AtMost(0.1)]),
        (MOST, Deed::Start, &[Goal::AtMost(3.0)]),
        (MOST, Deed::Change, &[Goal::AtMost(0.1)]),
    ] {
        rows.extend(deed_rows(reload, many, deed, accel, goals));
    }
    rows.extend(checking_rows(reload));
    rows.extend([CHECKED, MANY, MOST].map(|many| memory_row(reload, many)));
    rows
}

fn deed_rows(reload: &Reload, many: Many, deed: Deed, accel: &str, goals: &[Goal]) -> Vec<Row> {
    let what = match deed {
        Deed::Start => "start until all are in the kernel",
        Deed::Change => "one changed until the kernel has it",
    };
    let row = |what: &str, kind, of: fn(&Timing) -> Option<f64>, goals: &[Goal]| {
        let value = |side| reload.timing(side, many, deed).and_then(of);
        Row {
            what: what.to_owned(),
            kind,
            ours: value(Side::Appliance),
            theirs: value(Side::Reference),
            proxy: None,
            goals: goals.to_vec(),
        }
    };
    let mut rows = vec![row(
        &format!("{}: {what} ({accel})", name(many)),
        Kind::Seconds,
        |timing| Some(timing.wall?.effect_ms / 1e3),
        &[],
    )];
    if deed == Deed::Start && !many.is_checked() {
        let of = |timing: &Timing| timing.instructions;
        rows.push(row("  instructions for it", Kind::Instructions, of, &[]));
        if many == MANY {
            for (what, theirs) in [
                ("  for the same table by `ipvsadm --restore`", reload.restored),
                ("  of these by the kernel alone", reload.floor),
            ] {
                rows.push(Row {
                    what: what.to_owned(),
                    kind: Kind::Instructions,
                    ours: None,
                    theirs,
                    proxy: None,
                    goals: Vec::new(),
                });
            }
        }
    }
    rows.push(row(
        "  on the guest's clock: one a nanosecond, and waits",
        Kind::Seconds,
        |timing| Some(timing.guest?.effect_ms / 1e3),
        goals,
    ));
    if deed == Deed::Change {
        let of = |timing: &Timing| Some(timing.guest?.answer_ms / 1e3);
        let mut answer = row(
            "  the same until `config apply` has answered",
            Kind::Seconds,
            of,
            &[],
        );
        // A signal has no answer.
        answer.theirs = None;
        rows.push(answer);
    }
    rows
}

fn name(many: Many) -> String {
    let checked = if many.is_checked() { ", checked" } else { "" };
    format!("{} servers{checked}", many.total())
}

fn checking_rows(reload: &Reload) -> [Row; 2] {
    let of = |side, of: fn(&Checking) -> f64| {
        let mut all = reload.checking.iter();
        all.find(|checking| checking.side == side).map(of)
    };
    let rate = CHECKED.checks_per_second();
    let row = |what: String, figure: fn(&Checking) -> f64, goals| Row {
        what,
        kind: Kind::Share,
        ours: of(Side::Appliance, figure),
        theirs: of(Side::Reference, figure),
        proxy: None,
        goals,
    };
    [
        row(
            format!("{rate} checks a second: of a processor, the daemon"),
            |checking| checking.daemon,
            vec![Goal::Times(2.0)],
        ),
        row("  the whole guest".into(), |checking| checking.guest, Vec::new()),
    ]
}

fn memory_row(reload: &Reload, many: Many) -> Row {
    let of = |side: Side, programs: [&str; 2]| {
        let found = reload
            .memory
            .iter()
            .find(|memory| (memory.side, memory.many) == (side, many))?;
        let most = found.now.sum(&programs).max(found.peak.sum(&programs));
        Some(most as f64 * 1024.0)
    };
    Row {
        what: format!("{}: resident, init and daemon, at most", name(many)),
        kind: Kind::Bytes,
        ours: of(Side::Appliance, OURS),
        theirs: of(Side::Reference, THEIRS),
        proxy: None,
        goals: (many == MOST).then_some(Goal::AtMost(25e6)).into_iter().collect(),
    }
}
