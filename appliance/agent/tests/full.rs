//! A config volume without room: what cannot be written is told in one message and changes nothing, and what is applied all the same is not taken for
//! something else. Must not: need a disk of the machine.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod stage;

use std::io::Write;
use std::process::Command;

use lb_agent::{APPLIED_FILE, CONFIG_FILE, PENDING_FILE};
use lb_core::control::{ApplyReport, HistoryReport, Request, Response, Terms};
use lb_core::fake::FakeKernel;
use stage::{Appliance, config};

const INSIDE: &str = "LB_TEST_SMALL_VOLUME";
const TABLE: &str = "192.168.0.1:80/tcp 172.16.0.1:80*";

/// This same test, started again where mounts are its own.
fn with_mounts_of_its_own(name: &str, body: fn()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let status = unshare
        .arg("--mount")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare(1) of util-linux is needed");
    assert!(status.success(), "{name} failed with a small volume: {status}");
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

fn text(weight: u16) -> String {
    config(&[(80, &[(1, weight)])])
}

fn on_a_small_volume() -> Appliance {
    let dir = tempfile::tempdir().unwrap();
    let volume = dir.path().join("config");
    std::fs::create_dir(&volume).unwrap();
    run(
        "mount",
        &[
            "-t",
            "tmpfs",
            "-o",
            "size=128k",
            "small",
            volume.to_str().unwrap(),
        ],
    );
    std::fs::write(volume.join(CONFIG_FILE), text(1)).unwrap();
    let appliance = Appliance::start_on(dir, FakeKernel::with_links(&["eth0", "eth1"]));
    // Who is answered knows that what came before is kept.
    assert_eq!(apply(&appliance).number, Some(1));
    appliance
}

fn fill(appliance: &Appliance) {
    let mut filler = std::fs::File::create(appliance.file("filler")).unwrap();
    while filler.write_all(&[0; 512]).is_ok() {}
}

fn changed(response: Response) -> ApplyReport {
    match response {
        Response::Apply(report) => report,
        other => panic!("{other:?}"),
    }
}

fn apply(appliance: &Appliance) -> ApplyReport {
    let terms = Terms::default();
    changed(appliance.ask(&Request::ConfigApply { terms }))
}

fn put(appliance: &Appliance, weight: u16, confirm_ms: Option<u64>) -> Response {
    let terms = Terms {
        confirm_ms,
        ..Terms::default()
    };
    let text = text(weight);
    appliance.ask(&Request::ConfigPut { text, terms })
}

fn numbers(appliance: &Appliance) -> Vec<u64> {
    match appliance.ask(&Request::ConfigHistory) {
        Response::History(HistoryReport { entries, .. }) => {
            entries.iter().map(|entry| entry.number).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn read(appliance: &Appliance, name: &str) -> String {
    std::fs::read_to_string(appliance.file(name)).unwrap()
}

#[test]
fn a_full_volume_refuses_a_text_and_loses_nothing() {
    with_mounts_of_its_own("a_full_volume_refuses_a_text_and_loses_nothing", || {
        let appliance = on_a_small_volume();
        fill(&appliance);
        let report = changed(put(&appliance, 2, None));
        assert!(!report.applied && report.check.ok, "{report:?}");
        let fault = report.persist_fault.unwrap();
        assert!(
            fault.ends_with("the config volume is full; remove files from it (`config files` lists them)"),
            "{fault}"
        );
        match put(&appliance, 2, Some(60_000)) {
            Response::Error { message } => assert!(
                message.starts_with("nothing was changed: ") && message.contains("the config volume is full"),
                "{message}"
            ),
            other => panic!("{other:?}"),
        }
        assert_eq!(appliance.table(), [format!("{TABLE}1")]);
        for name in [CONFIG_FILE, APPLIED_FILE] {
            assert_eq!(read(&appliance, name), text(1));
        }
        for name in [PENDING_FILE, ".lb.toml.new", ".lb.pending.toml.new"] {
            assert!(!appliance.file(name).exists(), "{name}");
        }
        std::fs::remove_file(appliance.file("filler")).unwrap();
        let report = changed(put(&appliance, 2, None));
        assert!(
            report.applied && report.persisted && report.number == Some(2),
            "{report:?}"
        );
        run("umount", &["--lazy", appliance.file("").to_str().unwrap()]);
    });
}

#[test]
fn a_file_that_is_applied_on_a_full_volume_is_not_taken_for_another() {
    with_mounts_of_its_own(
        "a_file_that_is_applied_on_a_full_volume_is_not_taken_for_another",
        || {
            let appliance = on_a_small_volume();
            fill(&appliance);
            // As long as the one before: it has its room.
            std::fs::write(appliance.file(CONFIG_FILE), text(2)).unwrap();
            let report = apply(&appliance);
            assert!(
                report.applied && report.persisted && report.failed.is_empty(),
                "{report:?}"
            );
            assert_eq!(report.number, None, "it is no entry of the history");
            assert_eq!(appliance.table(), [format!("{TABLE}2")]);
            let problems = appliance.status().problems;
            let told: Vec<_> = problems
                .iter()
                .filter(|problem| problem.contains("is not in the history"))
                .collect();
            assert!(
                matches!(told.as_slice(), [one] if one.contains("the config volume is full")),
                "{problems:?}"
            );
            assert_eq!(numbers(&appliance), [1]);
            assert_eq!(appliance.after_power_cut().table(), [format!("{TABLE}2")]);
            std::fs::remove_file(appliance.file("filler")).unwrap();
            assert_eq!(apply(&appliance).number, Some(2));
            assert_eq!(numbers(&appliance), [2, 1]);
            assert_eq!(read(&appliance, APPLIED_FILE), text(2));
            run("umount", &["--lazy", appliance.file("").to_str().unwrap()]);
        },
    );
}
