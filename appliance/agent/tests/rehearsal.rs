//! Every new configuration is tried where it harms nobody before anything is touched: the whole agent on kernels in memory.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

#[path = "stage/mod.rs"]
mod stage;

use std::thread;
use std::time::{Duration, Instant};

use lb_agent::CONFIG_FILE;
use lb_core::control::{ApplyReport, CheckReport, Request, Response, Terms};
use stage::{Appliance, config};

const SIX: &str = "\"192.168.0.1/24\", \"2001:db8::1/64\"";

fn good() -> String {
    config(&[(80, &[(1, 1)])])
}

/// A route whose next hop is behind a router, which the kernel does not take. The reader does not look so far.
fn refused_by_the_kernel() -> String {
    let six = good().replace("\"192.168.0.1/24\"", SIX);
    let routes = "routes = [\n  { to = \"2001:db8::fd/128\", via = \"2001:db8::fe\" },\n  { to = \"3000::/16\", via = \"2001:db8::fd\" },\n]\n";
    six.replacen(
        "[[interface]]\nname = \"eth1\"",
        &format!("{routes}[[interface]]\nname = \"eth1\""),
        1,
    )
}

const REFUSAL: &str = "the kernel refuses `add route 3000::/16 via 2001:db8::fd dev eth0`: EHOSTUNREACH";

fn put(appliance: &Appliance, text: &str, confirm_ms: Option<u64>) -> ApplyReport {
    let terms = Terms {
        confirm_ms,
        ..Terms::default()
    };
    let text = text.to_owned();
    changed(appliance.ask(&Request::ConfigPut { text, terms }))
}

fn changed(response: Response) -> ApplyReport {
    match response {
        Response::Apply(report) => report,
        other => panic!("{other:?}"),
    }
}

fn assert_refused(check: &CheckReport) {
    assert!(!check.ok);
    let [fault] = check.faults.as_slice() else {
        panic!("{check:?}");
    };
    assert_eq!(
        (fault.line, fault.column, fault.message.as_str()),
        (6, 10, REFUSAL)
    );
    assert!(
        check.rendered.contains("lb.toml:6:10: ") && check.rendered.contains("help: "),
        "{}",
        check.rendered
    );
}

/// What the kernel was told, and what is on the disk.
fn state(appliance: &Appliance) -> (usize, Vec<u8>) {
    let applied = appliance.record.0.lock().unwrap().kernel.applied.len();
    (applied, std::fs::read(appliance.file(CONFIG_FILE)).unwrap())
}

#[test]
fn what_the_kernel_refuses_is_refused_before_anything_is_touched() {
    let appliance = Appliance::start(&good());
    let before = state(&appliance);
    for confirm_ms in [None, Some(60_000)] {
        let report = put(&appliance, &refused_by_the_kernel(), confirm_ms);
        assert!(
            !report.applied && !report.persisted && report.pending.is_none(),
            "{report:?}"
        );
        assert!(report.persist_fault.unwrap().contains("nothing was written"));
        assert_refused(&report.check);
    }
    assert_eq!(state(&appliance), before);
    // Each time what is in force was tried, too.
    assert_eq!(appliance.record.0.lock().unwrap().rehearsals, 4);
    // lb.toml, written by somebody else.
    std::fs::write(appliance.file(CONFIG_FILE), refused_by_the_kernel()).unwrap();
    let terms = Terms::default();
    let report = changed(appliance.ask(&Request::ConfigApply { terms }));
    assert!(!report.applied, "{report:?}");
    assert_refused(&report.check);
    match appliance.ask(&Request::ConfigCheck {
        text: None,
        name: None,
    }) {
        Response::Check(check) => assert_refused(&check),
        other => panic!("{other:?}"),
    }
    assert_eq!(state(&appliance).0, before.0);
    assert_eq!(appliance.status().reconcile.repairs, 0);
    // And what it takes goes on as ever.
    let wider = good().replace("172.16.0.254/24", "172.16.0.254/16");
    assert!(put(&appliance, &wider, None).applied);
}

#[test]
fn a_rehearsal_that_cannot_be_made_keeps_nobody_from_a_change() {
    let appliance = Appliance::start(&good());
    appliance.record.0.lock().unwrap().no_rehearsal = Some("ENOMEM");
    let wider = good().replace("172.16.0.254/24", "172.16.0.254/16");
    let report = put(&appliance, &wider, None);
    assert!(report.applied && report.failed.is_empty(), "{report:?}");
    let told = "what the kernel thinks of it was not tried out before: make a network to try it in: ENOMEM";
    assert!(
        report.check.warnings.iter().any(|w| w == told),
        "{:?}",
        report.check.warnings
    );
}

#[test]
fn one_that_does_not_end_is_given_up() {
    let appliance = Appliance::start(&good());
    appliance.record.0.lock().unwrap().rehearsal_takes = Duration::from_secs(7);
    let begun = Instant::now();
    let wider = good().replace("172.16.0.254/24", "172.16.0.254/16");
    let report = put(&appliance, &wider, None);
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
    let said = |report: &ApplyReport, words: &str| report.check.warnings.iter().any(|w| w.contains(words));
    assert!(
        report.applied && said(&report, "not ended within 5 s"),
        "{report:?}"
    );
    // There is one at a time, whatever becomes of it.
    let report = put(&appliance, &good(), None);
    assert!(report.applied && said(&report, "has not ended yet"), "{report:?}");
    thread::sleep(Duration::from_secs(3));
    appliance.record.0.lock().unwrap().rehearsal_takes = Duration::ZERO;
    assert_refused(&put(&appliance, &refused_by_the_kernel(), None).check);
}

#[test]
fn weights_and_checks_are_not_tried() {
    let appliance = Appliance::start(&good());
    let checked = good().replace("type = \"none\"", "type = \"tcp\"");
    for text in [
        config(&[(80, &[(1, 9)])]),
        good(),
        checked,
        format!("# a remark\n{}", good()),
        good(),
        // Of a kind that is in force.
        config(&[(80, &[(1, 1), (2, 1)]), (81, &[(3, 1)])]),
    ] {
        assert!(put(&appliance, &text, None).applied);
    }
    assert_eq!(appliance.record.0.lock().unwrap().rehearsals, 0);
    let another = good().replace("check = {", "scheduler = \"mh\"\ncheck = {");
    assert!(put(&appliance, &another, None).applied);
    assert_eq!(appliance.record.0.lock().unwrap().rehearsals, 1);
}

/// The engine goes on, and who comes with another change is judged by what the first one has made.
#[test]
fn changes_wait_for_each_other_and_nothing_else_waits() {
    let appliance = Appliance::start(&good());
    let takes = Duration::from_millis(1_500);
    appliance.record.0.lock().unwrap().rehearsal_takes = takes;
    let wider = |services: &[(u16, &[(u8, u16)])]| config(services).replace("254/24", "254/16");
    thread::scope(|scope| {
        let first = scope.spawn(|| put(&appliance, &wider(&[(80, &[(1, 1), (2, 1)])]), None));
        thread::sleep(takes / 5);
        let second = scope.spawn(|| {
            put(
                &appliance,
                &wider(&[(80, &[(1, 1), (2, 1)]), (81, &[(3, 1)])]),
                None,
            )
        });
        thread::sleep(takes / 5);
        let begun = Instant::now();
        appliance.status();
        assert!(begun.elapsed() < takes / 3, "{:?}", begun.elapsed());
        assert_eq!(appliance.record.0.lock().unwrap().rehearsals, 1);
        let (first, second) = (first.join().unwrap(), second.join().unwrap());
        assert!(first.applied && second.applied);
        assert!(
            second.steps.iter().all(|step| !step.contains("172.16.0.2")),
            "{:?}",
            second.steps
        );
    });
    assert_eq!(
        appliance.table(),
        [
            "192.168.0.1:80/tcp 172.16.0.1:80*1 172.16.0.2:80*1",
            "192.168.0.1:81/tcp 172.16.0.3:80*1"
        ]
    );
}

/// A machine that lives with a refusal can be changed.
#[test]
fn what_is_refused_already_is_no_reason() {
    let appliance = Appliance::start(&good());
    appliance.record.0.lock().unwrap().no_rehearsal = Some("ENOMEM");
    let report = put(&appliance, &refused_by_the_kernel(), None);
    assert!(report.applied && report.failed.len() == 1, "{report:?}");
    appliance.record.0.lock().unwrap().no_rehearsal = None;
    let other = refused_by_the_kernel().replace("172.16.0.254/24", "172.16.0.254/16");
    let report = put(&appliance, &other, None);
    assert!(report.applied, "{report:?}");
    assert!(
        report
            .check
            .warnings
            .iter()
            .any(|w| w.contains("as before: EHOSTUNREACH")),
        "{report:?}"
    );
}

/// The kernel, or this machine's stand-ins, say no to what runs: that says nothing of a change.
#[test]
fn what_is_refused_of_what_is_in_force_as_well_is_a_warning() {
    let appliance = Appliance::start(&good());
    appliance.record.0.lock().unwrap().rehearsal_refuses = Some("add address 192.168.0.1/24");
    let wider = good().replace("172.16.0.254/24", "172.16.0.254/16");
    let report = put(&appliance, &wider, None);
    assert!(report.applied && report.failed.is_empty(), "{report:?}");
    let told = "the kernel refuses `add address 192.168.0.1/24 to eth0` as before: EOPNOTSUPP";
    assert!(
        report.check.warnings.iter().any(|warning| warning == told),
        "{report:?}"
    );
    // Another address is another matter.
    appliance.record.0.lock().unwrap().rehearsal_refuses = Some("add address 192.168.0.");
    let other = wider.replace("192.168.0.1/24", "192.168.0.3/24");
    let report = put(&appliance, &other.replace("192.168.0.1:", "192.168.0.3:"), None);
    assert!(!report.applied, "{report:?}");
}

#[test]
fn who_knows_better_goes_without_a_rehearsal() {
    let appliance = Appliance::start(&good());
    appliance.record.0.lock().unwrap().rehearsal_refuses = Some("add address 172.16.0.253/24");
    let other = good().replace("172.16.0.254/24", "172.16.0.253/24");
    let refused = put(&appliance, &other, None);
    assert!(
        !refused.applied
            && refused
                .check
                .rendered
                .contains("the command takes --without-rehearsal"),
        "{refused:?}"
    );
    let rehearsals = appliance.record.0.lock().unwrap().rehearsals;
    let terms = Terms {
        without_rehearsal: true,
        ..Terms::default()
    };
    let text = other.clone();
    let report = changed(appliance.ask(&Request::ConfigPut { text, terms }));
    assert!(report.applied && report.failed.is_empty(), "{report:?}");
    assert!(
        report
            .check
            .warnings
            .iter()
            .any(|warning| warning.contains("was not tried out before: --without-rehearsal was given")),
        "{report:?}"
    );
    assert_eq!(appliance.record.0.lock().unwrap().rehearsals, rehearsals);
    match appliance.ask(&Request::ConfigHistory) {
        Response::History(history) => assert_eq!(history.entries[0].why, "put without a rehearsal"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_only_shown_or_judged_is_rehearsed_too() {
    let appliance = Appliance::start(&good());
    let before = state(&appliance);
    let text = Some(refused_by_the_kernel());
    let name = Some("new.toml".to_owned());
    match appliance.ask(&Request::ConfigCheck {
        text: text.clone(),
        name,
    }) {
        Response::Check(check) => {
            let rendered = check.rendered.replace("new.toml:", "lb.toml:");
            assert_ne!(rendered, check.rendered);
            assert_refused(&CheckReport { rendered, ..check });
        }
        other => panic!("{other:?}"),
    }
    let diff = |text: Option<String>, without_rehearsal| match appliance.ask(&Request::ConfigDiff {
        from: None,
        to: None,
        text,
        without_rehearsal,
    }) {
        Response::Diff(report) => report,
        other => panic!("{other:?}"),
    };
    let report = diff(text.clone(), false);
    assert_refused(&report.check);
    assert!(report.steps.is_empty() && report.changes.is_empty());
    let report = diff(text, true);
    assert!(report.check.ok && !report.steps.is_empty(), "{report:?}");
    std::fs::write(appliance.file(CONFIG_FILE), refused_by_the_kernel()).unwrap();
    assert_refused(&diff(None, false).check);
    std::fs::write(appliance.file(CONFIG_FILE), good()).unwrap();
    assert_eq!(state(&appliance), before);
}
