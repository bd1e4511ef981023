//! A made-up run on the limits of its goals, and what spoils it.

use super::*;
use crate::checks::{Amount, Checks, Late, Load, Refused, Weighed};
use crate::compare::{Part, Plan};
use crate::datapath::Cost;
use crate::gauge::Span;
use crate::machine::Side;
use crate::many::{ASKED, ASKED_TLS, CHECKED, MANY, MOST, Many, WATCHED, WATCHED_HTTP};
use crate::memory::{Resident, Weight, Weights};
use crate::reload::{Checking, Memory, Reload, Timing};
use crate::subject::{Deed, Took};
use crate::traffic::Amounts;
use std::collections::BTreeMap;

/// Costs that come to `each` instructions for a unit, on top of a background of a tenth.
fn cost(worker: Worker, way: Way, unit: Unit, each: u64) -> Cost {
    let span = Span {
        elapsed: 1_000_000,
        busy: each * 10 + 100_000,
    };
    let background = Span {
        elapsed: 1_000,
        busy: 100,
    };
    Cost {
        worker,
        way,
        unit,
        amount: 10,
        span,
        background,
    }
}

fn took(seconds: f64) -> Option<Took> {
    Some(Took {
        effect_ms: seconds * 1e3,
        answer_ms: seconds * 1e3,
    })
}

fn timing(side: Side, many: Many, deed: Deed, seconds: f64) -> Timing {
    Timing {
        side,
        many,
        deed,
        wall: took(seconds),
        guest: took(seconds),
        instructions: Some(seconds * 1e9),
    }
}

fn checking(side: Side, daemon: f64) -> Checking {
    Checking {
        side,
        many: CHECKED,
        checks_per_second: 1_000.0,
        guest: 0.5,
        daemon,
        requests_per_second: None,
    }
}

fn good() -> Comparison {
    let ours = [
        (Way::Balanced, Unit::Connection, 95_000),
        (Way::Balanced, Unit::Request, 20_000),
        (Way::Gateway, Unit::Connection, 95_000),
        (Way::Gateway, Unit::Request, 11_500),
        (Way::Gateway, Unit::Megabyte, 570_000),
    ];
    let mut costs: Vec<Cost> = ours
        .iter()
        .map(|(way, unit, each)| cost(Worker::Appliance, *way, *unit, *each))
        .collect();
    costs.push(cost(Worker::Haproxy, Way::Balanced, Unit::Connection, 190_000));
    let resident = |kilobytes| Resident(BTreeMap::from([("agent".to_owned(), kilobytes)]));
    Comparison {
        plan: Plan {
            parts: vec![Part::Datapath, Part::Reload],
            amounts: Amounts::WHOLE,
            checks: Amount::WHOLE,
            rows: Vec::new(),
            only: None,
        },
        kernel: "6.12.1-lb".into(),
        qemu: "7.2.22".into(),
        versions: vec![("keepalived".into(), "1:2.2.7-1".into())],
        accel: "tcg",
        datapath: Some(Datapath { costs }),
        reload: Some(Reload {
            timings: vec![
                timing(Side::Appliance, CHECKED, Deed::Start, 0.7),
                timing(Side::Appliance, CHECKED, Deed::Change, 0.1),
                timing(Side::Appliance, MANY, Deed::Change, 0.1),
                timing(Side::Appliance, MOST, Deed::Start, 3.0),
                timing(Side::Appliance, MOST, Deed::Change, 0.1),
                timing(Side::Reference, CHECKED, Deed::Start, 7.0),
                timing(Side::Reference, CHECKED, Deed::Change, 10.0),
            ],
            memory: vec![Memory {
                side: Side::Appliance,
                many: MOST,
                now: resident(20_000),
                peak: resident(24_414),
            }],
            checking: vec![checking(Side::Appliance, 0.2), checking(Side::Reference, 0.4)],
            restored: Some(3e8),
            floor: Some(1e8),
        }),
        checks: Some(checks()),
        boots: None,
    }
}

/// On its limits too.
fn checks() -> Checks {
    let late = |load| Late {
        side: Side::Appliance,
        load,
        targets: 2,
        silent: 1,
        checks: 12,
        p99_ms: 1.0,
        most_ms: 50.0,
        says_ms: Some(50.0),
    };
    let cost = |side, many, daemon| Checking {
        many,
        ..checking(side, daemon)
    };
    let weight = |resident_kb| Weight {
        resident_kb,
        peak_kb: 16_000,
        pss_kb: 6_000,
        private_dirty_kb: 5_000,
        anonymous_kb: 5_000,
    };
    let weights = Weights {
        init: weight(1_000),
        daemon: weight(6_812),
    };
    let seconds = (0..100).map(|trial| if trial < 99 { 1.5 } else { 9.0 });
    Checks {
        refused: vec![Refused {
            side: Side::Appliance,
            many: WATCHED,
            samples: seconds.collect(),
        }],
        late: vec![late(Load::Idle), late(Load::Many(CHECKED))],
        costs: [CHECKED, ASKED, ASKED_TLS]
            .into_iter()
            .flat_map(|many| [cost(Side::Appliance, many, 0.2), cost(Side::Reference, many, 0.4)])
            .collect(),
        memory: vec![Weighed {
            side: Side::Appliance,
            many: CHECKED,
            young: weights,
            old: weights,
        }],
    }
}

fn missed(comparison: &Comparison) -> Vec<String> {
    rows(comparison)
        .into_iter()
        .filter(|row| !row.goals.is_empty() && row.met() != Some(true))
        .map(|row| row.what)
        .collect()
}

#[test]
fn a_run_on_the_limits_is_good() {
    assert_eq!(missed(&good()), Vec::<String>::new());
}

#[test]
fn each_goal_of_the_datapath_can_be_missed() {
    for index in 0..5 {
        let mut run = good();
        run.datapath.as_mut().unwrap().costs[index].span.busy += 10;
        assert_eq!(missed(&run).len(), 1, "{index}");
    }
}

#[test]
fn each_goal_of_the_reload_can_be_missed() {
    // Ours grow.
    for index in 0..5 {
        let mut run = good();
        let timing = &mut run.reload.as_mut().unwrap().timings[index];
        timing.guest = timing.guest.and_then(|guest| took(guest.effect_ms * 1.01e-3));
        assert_eq!(missed(&run).len(), 1, "{index}");
    }
    let mut run = good();
    run.reload.as_mut().unwrap().memory[0].peak = Resident(BTreeMap::from([("agent".to_owned(), 24_415)]));
    assert_eq!(missed(&run).len(), 1);
    let mut run = good();
    run.reload.as_mut().unwrap().checking[0].daemon = 0.21;
    assert_eq!(missed(&run).len(), 1);
}

#[test]
fn each_goal_of_the_checks_can_be_missed() {
    let missed_by = |spoil: fn(&mut Checks)| {
        let mut run = good();
        spoil(run.checks.as_mut().unwrap());
        missed(&run)
    };
    // The p99 of a hundred is the second largest.
    assert_eq!(missed_by(|checks| checks.refused[0].samples[3] = 1.51).len(), 1);
    assert_eq!(missed_by(|checks| checks.late[0].most_ms = 50.1).len(), 1);
    assert_eq!(missed_by(|checks| checks.late[1].says_ms = Some(50.1)).len(), 1);
    assert_eq!(missed_by(|checks| checks.costs[2].daemon = 0.21).len(), 1);
    assert_eq!(
        missed_by(|checks| checks.memory[0].old.daemon.resident_kb = 6_813).len(),
        1
    );
    // What was not measured is not met.
    assert_eq!(missed_by(|checks| checks.late.clear()).len(), 4);
}

#[test]
fn checks_that_ask_are_reported_without_the_goals_of_those_by_tcp() {
    let mut run = good();
    let checks = run.checks.as_mut().unwrap();
    let slow = Refused {
        side: Side::Appliance,
        many: WATCHED_HTTP,
        samples: vec![7.25],
    };
    checks.refused.push(slow);
    let mut late = checks.late[1].clone();
    (late.load, late.most_ms) = (Load::Many(ASKED), 61.5);
    checks.late.push(late);
    assert_eq!(missed(&run), Vec::<String>::new());
    let text = render(&run);
    let line = |what: &str| text.lines().find(|line| line.contains(what)).unwrap();
    assert!(
        line("no new connections, HTTP, median of 1").contains("7.250 s"),
        "{text}"
    );
    assert!(
        line("1000 HTTP checks a second: SYN").contains("61.5 ms"),
        "{text}"
    );
}

#[test]
fn what_was_not_measured_has_no_verdict() {
    let mut run = good();
    run.reload = None;
    run.checks = None;
    run.datapath = Some(Datapath::default());
    assert!(rows(&run).iter().all(|row| row.met().is_none()));
    assert!(render(&run).contains("not measured"));
}

#[test]
fn boots_have_their_median_and_only_the_programs_that_work_count() {
    let mut run = good();
    let resident = BTreeMap::from([("agent".to_owned(), 10_000), ("sh".to_owned(), 700)]);
    run.boots = Some(Boots {
        first_200: BTreeMap::from([
            (System::Appliance, vec![2.5, 2.0, 9.0]),
            (System::Keepalived, vec![5.0]),
        ]),
        resident: BTreeMap::from([(System::Appliance, Resident(resident))]),
    });
    let text = render(&run);
    let line = |word: &str| text.lines().find(|line| line.contains(word)).unwrap().to_owned();
    assert!(
        line("power-on").contains("2.500 s") && line("power-on").ends_with("0.50             -        -")
    );
    assert!(line("3 servers").contains("10.24 MB"));
}

#[test]
fn the_table_shows_both_sides_the_ratio_and_the_verdict() {
    let mut run = good();
    run.datapath.as_mut().unwrap().costs.push(cost(
        Worker::Reference,
        Way::Balanced,
        Unit::Connection,
        100_000,
    ));
    let text = render(&run);
    let line = text.lines().find(|line| line.contains("per connection")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert!(
        words.ends_with(&[
            "95.0", "k", "100.0", "k", "0.95", "190.0", "k", "0.50", "at", "most", "95.0", "k:", "met"
        ]),
        "{line}"
    );
    let change = text
        .lines()
        .find(|line| line.contains("5000 servers, checked: one changed"));
    assert!(change.unwrap().contains("0.0100"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 171), "{text}");
}
