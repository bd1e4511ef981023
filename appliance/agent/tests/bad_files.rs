//! Every bad lb.toml of the tests on the disk of a machine that serves: `config check` and `config apply` tell all that is expected, in its order, and nothing
//! changes; and a machine that has nothing else starts, and tells the same.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod stage;

use std::path::Path;

use lb_agent::CONFIG_FILE;
use lb_core::control::{CheckReport, ConfigSource, Request, Response, Terms};
use stage::{Appliance, config};

struct Bad {
    name: String,
    text: Vec<u8>,
    expected: String,
}

fn all() -> Vec<Bad> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/configs/bad");
    let mut paths: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "toml"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 120, "only {} bad files", paths.len());
    paths
        .iter()
        .map(|path| Bad {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            text: std::fs::read(path).unwrap(),
            expected: std::fs::read_to_string(path.with_extension("expected")).unwrap(),
        })
        .collect()
}

impl Bad {
    /// Every expected line, in its order.
    fn is_told(&self, report: &CheckReport) {
        assert!(!report.ok, "{}", self.name);
        let mut lines = report.rendered.lines();
        for expected in self.expected.lines() {
            assert!(
                lines.any(|line| line.trim_end() == expected.trim_end()),
                "{}: `{expected}` is not in its place in:\n{}",
                self.name,
                report.rendered
            );
        }
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
        bad.is_told(&check(&appliance));
        let terms = Terms::default();
        let Response::Apply(report) = appliance.ask(&Request::ConfigApply { terms }) else {
            panic!("{}", bad.name);
        };
        assert!(
            !report.applied && report.steps.is_empty(),
            "{}: {report:?}",
            bad.name
        );
        bad.is_told(&report.check);
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
        bad.is_told(&check(&appliance));
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
