//! Every bad lb.toml of the tests on the disk of a machine that serves: `config check` and `config apply` tell all that is expected, in its order, and nothing
//! changes; and a machine that has nothing else starts, and tells the same.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod stage;

use lb_agent::CONFIG_FILE;
use lb_configs::Bad;
use lb_core::control::{CheckReport, ConfigSource, Request, Response, Terms};
use stage::{Appliance, config};

fn all() -> Vec<Bad> {
    lb_configs::bad().unwrap()
}

/// Every expected line, in its order.
fn is_told(bad: &Bad, report: &CheckReport) {
    assert!(!report.ok, "{}", bad.name);
    let mut lines = report.rendered.lines();
    for expected in bad.expected.lines() {
        assert!(
            lines.any(|line| line.trim_end() == expected.trim_end()),
            "{}: `{expected}` is not in its place in:\n{}",
            bad.name,
            report.rendered
        );
    }
}

fn check(appliance: &Appliance) -> CheckReport {
    match appliance.ask(&Request::ConfigCheck {
        text: None,
        name: None,
    }) {
        Response::Check(report) => report,
        other => panic!("{other:?}"),
    }
}

#[test]
fn at_check_and_at_apply_each_is_told_and_nothing_changes() {
    let good = config(&[(80, &[(1, 1), (2, 3)])]);
    let appliance = Appliance::start(&good);
    let table = appliance.table();
    for bad in all() {
        std::fs::write(appliance.file(CONFIG_FILE), &bad.text).unwrap();
        is_told(&bad, &check(&appliance));
        let terms = Terms::default();
        let Response::Apply(report) = appliance.ask(&Request::ConfigApply { terms }) else {
            panic!("{}", bad.name);
        };
        assert!(
            !report.applied && report.steps.is_empty(),
            "{}: {report:?}",
            bad.name
        );
        is_told(&bad, &report.check);
        assert_eq!(appliance.table(), table, "{}", bad.name);
        assert_eq!(
            std::fs::read(appliance.file(CONFIG_FILE)).unwrap(),
            bad.text,
            "{}",
            bad.name
        );
    }
    // The next start uses what was applied last.
    let next = appliance.next();
    assert_eq!(next.table(), table);
    assert_ne!(next.status().config.source, ConfigSource::File);
}

#[test]
fn at_boot_each_is_told_and_the_agent_is_ready() {
    for bad in all() {
        let appliance = Appliance::start_bytes(&bad.text);
        is_told(&bad, &check(&appliance));
        let status = appliance.status();
        assert_eq!(status.config.source, ConfigSource::None, "{}", bad.name);
        let told = status
            .problems
            .iter()
            .any(|problem| problem.contains(CONFIG_FILE));
        assert!(told, "{}: {:?}", bad.name, status.problems);
        assert!(appliance.table().is_empty(), "{}", bad.name);
    }
}
