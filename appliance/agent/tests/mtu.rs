//! The MTU that a card came with: it comes back when lb.toml names no other, whoever died in between.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod stage;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use lb_agent::CONFIG_FILE;
use lb_core::control::{ApplyReport, DiffReport, Request, Response, Terms};
use stage::{Appliance, config};

const BACK: &str = "set link eth0 mtu 1500";

fn plain() -> String {
    config(&[])
}

fn with(mtu: u32) -> String {
    plain().replacen("addresses", &format!("mtu = {mtu}\naddresses"), 1)
}

fn mtu(appliance: &Appliance) -> u32 {
    let record = appliance.record.0.lock().unwrap();
    record.kernel.state.links[&"eth0".parse().unwrap()].mtu
}

fn memory(appliance: &Appliance) -> PathBuf {
    appliance.dir.path().join("run/own-mtus.json")
}

fn has(report: &ApplyReport, step: &str) -> bool {
    report.steps.iter().any(|line| line == step)
}

fn eventually_has(appliance: &Appliance, bytes: u32) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while mtu(appliance) != bytes {
        assert!(Instant::now() < deadline, "{} instead of {bytes}", mtu(appliance));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// When a return is over that is still being carried out.
fn try_out(appliance: &Appliance, text: String, window_ms: u64) {
    let terms = Terms {
        confirm_ms: Some(window_ms),
        ..Terms::default()
    };
    let request = Request::ConfigPut { text, terms };
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match appliance.ask(&request) {
            Response::Apply(report) => return assert!(report.applied, "{report:?}"),
            Response::Error { message } if message.contains("being carried out") => {
                assert!(Instant::now() < deadline, "{message}");
                std::thread::sleep(Duration::from_millis(20));
            }
            other => panic!("{other:?}"),
        }
    }
}

fn diff(appliance: &Appliance, text: Option<String>) -> DiffReport {
    let (from, to) = (None, None);
    let without_rehearsal = false;
    match appliance.ask(&Request::ConfigDiff {
        from,
        to,
        text,
        without_rehearsal,
    }) {
        Response::Diff(report) => report,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_comes_back_with_the_next_file_also_by_another_agent() {
    let appliance = Appliance::start(&plain());
    assert!(has(&appliance.put(&with(1400)), "set link eth0 mtu 1400"));
    let next = appliance.next();
    assert_eq!(mtu(&next), 1400);
    assert!(!has(&next.put(&with(1400)), BACK));
    assert!(has(&next.put(&plain()), BACK));
    assert_eq!((mtu(&next), next.status().reconcile.repairs), (1500, 0));
}

/// The first agent sets it at its start already.
#[test]
fn what_a_start_sets_is_not_taken_for_the_cards_own() {
    let appliance = Appliance::start(&with(1400));
    assert_eq!(mtu(&appliance), 1400);
    let next = appliance.next();
    assert!(has(&next.put(&plain()), BACK));
    // Nobody names the card any more.
    next.put(&with(1300));
    let only_eth1 = "[[interface]]\nname = \"eth1\"\naddresses = [\"172.16.0.254/24\"]\n";
    assert!(has(&next.put(only_eth1), BACK));
}

#[test]
fn a_trial_that_returns_leaves_nothing_behind() {
    let appliance = Appliance::start(&plain());
    try_out(&appliance, with(1400), 60_000);
    assert_eq!(mtu(&appliance), 1400);
    let by = "test".to_owned();
    appliance.ask(&Request::ConfigAbort { by });
    assert_eq!(mtu(&appliance), 1500);
    try_out(&appliance, with(1400), 1_500);
    eventually_has(&appliance, 1500);
    // The agent dies meanwhile: the next one has the file, which names none.
    try_out(&appliance, with(1400), 60_000);
    let next = appliance.next();
    eventually_has(&next, 1500);
}

#[test]
fn the_difference_tells_what_the_link_goes_back_to() {
    let appliance = Appliance::start(&with(1400));
    std::fs::write(appliance.file(CONFIG_FILE), plain()).unwrap();
    for report in [diff(&appliance, None), diff(&appliance, Some(plain()))] {
        let told: Vec<&str> = report.changes.iter().map(|change| change.text.as_str()).collect();
        assert!(
            told[0].starts_with("mtu of eth0 1400 bytes -> 1500 bytes, the link's own: "),
            "{told:?}"
        );
        assert_eq!(report.steps, [BACK]);
    }
    // A text that is nowhere yet leaves everything as it is.
    let shown = diff(&appliance, Some(with(1300)));
    assert_eq!(shown.to, "lb.toml as edited");
    assert!(
        shown.steps.contains(&"set link eth0 mtu 1300".to_owned()),
        "{shown:?}"
    );
    assert_eq!(
        std::fs::read_to_string(appliance.file(CONFIG_FILE)).unwrap(),
        plain()
    );
    assert_eq!(mtu(&appliance), 1400);
}

#[test]
fn what_somebody_sets_by_hand_is_repaired() {
    let appliance = Appliance::start(&plain());
    {
        let mut record = appliance.record.0.lock().unwrap();
        let links = &mut record.kernel.state.links;
        links.get_mut(&"eth0".parse().unwrap()).unwrap().mtu = 1300;
    }
    appliance.links.send(()).unwrap();
    eventually_has(&appliance, 1500);
    let deadline = Instant::now() + Duration::from_secs(20);
    while appliance.status().reconcile.repairs == 0 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Without the memory the present counts, and it is said; what is known to this agent stays known.
#[test]
fn a_damaged_memory_is_told_once() {
    let appliance = Appliance::start(&with(1400));
    std::fs::write(memory(&appliance), "{\"eth0\": torn").unwrap();
    let next = appliance.next();
    let told = |appliance: &Appliance| {
        let (last, about) = (100, None);
        match appliance.ask(&Request::Events { last, about }) {
            Response::Events(report) => {
                let events = report.events.iter().map(|event| event.text.clone());
                events.filter(|text| text.contains("own-mtus.json")).count()
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((told(&appliance), told(&next)), (0, 1));
    next.put(&plain());
    assert_eq!(mtu(&next), 1400);
    // Its file is whole again.
    assert!(told(&next.next()) <= 1, "only the one before has told it");
}
