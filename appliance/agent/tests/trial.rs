//! A configuration on trial, and the history: what is in force returns, whoever dies meanwhile, and what was in force can be put back.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod stage;

use std::path::Path;
use std::time::{Duration, Instant};

use lb_agent::{APPLIED_FILE, CONFIG_FILE, PENDING_FILE, PENDING_MARK, RETURNED_FILE};
use lb_core::control::{
    ApplyReport, ChangeState, ConfigSource, DiffReport, HistoryReport, Kept, KeptName, Request, Response,
    StatusReport, Terms,
};
use stage::{Appliance, config, eventually};

const ONE: &[&str] = &["192.168.0.1:80/tcp 172.16.0.1:80*1"];
const TWO: &[&str] = &["192.168.0.1:80/tcp 172.16.0.1:80*1 172.16.0.2:80*1"];

fn one() -> String {
    config(&[(80, &[(1, 1)])])
}

fn two() -> String {
    config(&[(80, &[(1, 1), (2, 1)])])
}

fn terms(confirm_ms: u64) -> Terms {
    Terms {
        confirm_ms: Some(confirm_ms),
        comment: Some("a try".to_owned()),
        by: "test".to_owned(),
        ..Terms::default()
    }
}

fn changed(response: Response) -> ApplyReport {
    match response {
        Response::Apply(report) => report,
        other => panic!("{other:?}"),
    }
}

fn try_out(appliance: &Appliance, text: String, confirm_ms: u64) -> ApplyReport {
    let terms = terms(confirm_ms);
    let report = changed(appliance.ask(&Request::ConfigPut { text, terms }));
    assert_eq!(
        (report.applied, report.persisted, report.state),
        (true, false, ChangeState::Pending),
        "{report:?}"
    );
    report
}

fn refused(response: Response) -> String {
    match response {
        Response::Error { message } => message,
        other => panic!("{other:?}"),
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn history(appliance: &Appliance) -> HistoryReport {
    match appliance.ask(&Request::ConfigHistory) {
        Response::History(report) => report,
        other => panic!("{other:?}"),
    }
}

fn nothing_is_kept_of(appliance: &Appliance, former: &str) {
    // What a start found is kept when it is in force.
    let deadline = Instant::now() + Duration::from_secs(10);
    while history(appliance).entries.is_empty() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(read(&appliance.file(CONFIG_FILE)), former);
    assert_eq!(read(&appliance.file(APPLIED_FILE)), former);
    assert_eq!(history(appliance).entries.len(), 1);
}

/// The file is in force, and `status` begins with what became of the trial.
fn says_that_it_has_returned(appliance: &Appliance) -> StatusReport {
    let status = appliance.status();
    assert_eq!(
        (status.config.source, &status.config.pending),
        (ConfigSource::File, &None)
    );
    assert!(
        status.problems[0].starts_with("RETURNED"),
        "{:?}",
        status.problems
    );
    status
}

#[test]
fn what_is_not_confirmed_returns_by_itself() {
    let appliance = Appliance::start(&one());
    let begun = Instant::now();
    let report = try_out(&appliance, two(), 2_000);
    let pending = report.pending.unwrap();
    assert_eq!((pending.window_ms, pending.asserted), (2_000, vec![]));
    assert_eq!(appliance.table(), TWO);
    nothing_is_kept_of(&appliance, &one());
    let status = appliance.status();
    let pending = status.config.pending.unwrap();
    assert_eq!(
        (pending.by.as_str(), pending.why.as_str()),
        ("test", "put: a try")
    );
    assert!(status.problems[0].starts_with("PENDING"), "{:?}", status.problems);
    assert!(appliance.dir.path().join("run").join(PENDING_MARK).exists());
    eventually(&appliance, ONE);
    let took = begun.elapsed();
    assert!((1_900..4_000).contains(&took.as_millis()), "{took:?}");
    nothing_is_kept_of(&appliance, &one());
    assert_eq!(read(&appliance.file(RETURNED_FILE)), two());
    assert!(!appliance.file(PENDING_FILE).exists());
    assert!(!appliance.dir.path().join("run").join(PENDING_MARK).exists());
    let status = says_that_it_has_returned(&appliance);
    assert_eq!(status.reconcile.repairs, 0);
    let by = "test".to_owned();
    match appliance.ask(&Request::ConfigConfirm { by }) {
        Response::Error { message } => assert!(message.contains("ago: RETURNED to the former"), "{message}"),
        other => panic!("{other:?}"),
    }
    // What status offers.
    let told = &status.problems[0];
    assert!(
        told.contains("`config rollback returned` puts it in force"),
        "{told}"
    );
    assert!(
        told.ends_with("`config apply` stays with the former one, and ends this line"),
        "{told}"
    );
    let terms = Terms {
        confirm_ms: None,
        ..terms(0)
    };
    changed(appliance.ask(&Request::ConfigApply { terms }));
    assert_eq!(appliance.status().problems, [""; 0]);
    let Response::Events(events) = appliance.ask(&Request::Events { last: 1, about: None }) else {
        panic!("no events");
    };
    let told = "a new configuration is in force (apply: a try, test): 1 service";
    assert_eq!(events.events[0].text, told);
}

#[test]
fn what_is_confirmed_stays_and_is_kept_for_every_start() {
    let appliance = Appliance::start(&one());
    let by = || "test".to_owned();
    assert!(refused(appliance.ask(&Request::ConfigConfirm { by: by() })).contains("nothing is pending"));
    try_out(&appliance, two(), 60_000);
    let report = changed(appliance.ask(&Request::ConfigConfirm { by: by() }));
    assert_eq!(
        (report.persisted, report.state, report.number),
        (true, ChangeState::Confirmed, Some(2))
    );
    for name in [CONFIG_FILE, APPLIED_FILE] {
        assert_eq!(read(&appliance.file(name)), two(), "{name}");
    }
    assert!(!appliance.file(PENDING_FILE).exists());
    assert_eq!(history(&appliance).entries[0].why, "put: a try");
    let again = appliance.after_power_cut();
    eventually(&again, TWO);
    assert_eq!(again.status().problems, [""; 0]);
}

#[test]
fn it_returns_at_once_when_it_is_aborted() {
    let appliance = Appliance::start(&one());
    try_out(&appliance, two(), 60_000);
    let report = changed(appliance.ask(&Request::ConfigAbort {
        by: "test".to_owned(),
    }));
    assert_eq!((report.state, report.persisted), (ChangeState::Returned, true));
    assert_eq!(appliance.table(), ONE);
    nothing_is_kept_of(&appliance, &one());
    assert!(
        refused(appliance.ask(&Request::ConfigAbort { by: String::new() })).contains("nothing is pending")
    );
}

#[test]
fn while_one_is_pending_another_is_refused_and_a_drain_works() {
    let appliance = Appliance::start(&one());
    try_out(&appliance, two(), 60_000);
    let text = config(&[(81, &[])]);
    for request in [
        Request::ConfigPut {
            text,
            terms: terms(1_000),
        },
        Request::ConfigApply {
            terms: Terms::default(),
        },
        Request::ConfigRollback {
            kept: Kept::Number(1),
            terms: Terms::default(),
        },
    ] {
        let message = refused(appliance.ask(&request));
        for remedy in ["nothing was changed", "config confirm", "config abort"] {
            assert!(message.contains(remedy), "{message}");
        }
    }
    let drained = appliance.ask(&Request::Drain {
        server: "172.16.0.2:80".to_owned(),
        service: None,
    });
    assert!(matches!(drained, Response::Drains(_)));
    eventually(
        &appliance,
        &["192.168.0.1:80/tcp 172.16.0.1:80*1 172.16.0.2:80*0"],
    );
    nothing_is_kept_of(&appliance, &one());
}

/// The agent is killed, or the power goes, in the window: the next agent has the former one, whichever way it came.
#[test]
fn the_next_agent_returns_to_the_former_one() {
    let appliance = Appliance::start(&one());
    try_out(&appliance, two(), 60_000);
    for next in [appliance.next(), appliance.after_power_cut()] {
        eventually(&next, ONE);
        nothing_is_kept_of(&next, &one());
        assert_eq!(read(&next.file(RETURNED_FILE)), two());
        says_that_it_has_returned(&next);
    }
}

/// lb.toml is the new text already: it is put back until it is confirmed.
#[test]
fn a_file_that_is_tried_out_waits_beside_lb_toml() {
    let appliance = Appliance::start(&one());
    let apply = || {
        std::fs::write(appliance.file(CONFIG_FILE), two()).unwrap();
        let report = changed(appliance.ask(&Request::ConfigApply { terms: terms(60_000) }));
        assert_eq!((report.state, report.persisted), (ChangeState::Pending, false));
        assert_eq!(appliance.table(), TWO);
        nothing_is_kept_of(&appliance, &one());
        assert_eq!(read(&appliance.file(PENDING_FILE)), two());
    };
    apply();
    eventually(&appliance.after_power_cut(), ONE);
    changed(appliance.ask(&Request::ConfigAbort { by: String::new() }));
    assert_eq!(appliance.table(), ONE);
    assert_eq!(read(&appliance.file(RETURNED_FILE)), two());
    apply();
    changed(appliance.ask(&Request::ConfigConfirm { by: String::new() }));
    assert_eq!(read(&appliance.file(CONFIG_FILE)), two());
    eventually(&appliance.after_power_cut(), TWO);
}

#[test]
fn what_waits_and_what_was_given_up_can_be_shown_and_put_in_force() {
    let appliance = Appliance::start(&one());
    let show = |name| {
        appliance.ask(&Request::ConfigShow {
            kept: Some(Kept::Named(name)),
        })
    };
    let text = |response| match response {
        Response::Config(shown) => shown.text,
        other => panic!("{other:?}"),
    };
    assert!(refused(show(KeptName::Pending)).contains("no configuration is pending"));
    assert!(refused(show(KeptName::Returned)).contains("lb.returned.toml: no configuration was given up"));
    try_out(&appliance, two(), 60_000);
    assert_eq!(text(show(KeptName::Pending)), two());
    changed(appliance.ask(&Request::ConfigAbort { by: String::new() }));
    assert_eq!(text(show(KeptName::Returned)), two());
    let report = changed(appliance.ask(&Request::ConfigRollback {
        kept: Kept::Named(KeptName::Returned),
        terms: Terms::default(),
    }));
    assert!(report.persisted, "{report:?}");
    assert_eq!(appliance.table(), TWO);
    assert_eq!(read(&appliance.file(CONFIG_FILE)), two());
}

/// The power goes after the candidate was set aside and before lb.toml was put back.
#[test]
fn a_file_that_was_not_put_back_in_time_is_put_back_by_the_next_agent() {
    let appliance = Appliance::start(&one());
    nothing_is_kept_of(&appliance, &one());
    for name in [CONFIG_FILE, PENDING_FILE] {
        std::fs::write(appliance.file(name), two()).unwrap();
    }
    let next = appliance.after_power_cut();
    eventually(&next, ONE);
    nothing_is_kept_of(&next, &one());
}

#[test]
fn a_start_in_the_window_must_not_use_what_nobody_applied() {
    let appliance = Appliance::start(&one());
    std::fs::write(appliance.file(CONFIG_FILE), config(&[(81, &[])])).unwrap();
    let request = Request::ConfigPut {
        text: two(),
        terms: terms(60_000),
    };
    assert!(refused(appliance.ask(&request)).contains("config apply --confirm"));
    assert!(!appliance.file(PENDING_FILE).exists());
    // With faults it would not be used.
    std::fs::write(appliance.file(CONFIG_FILE), "hostname = 7").unwrap();
    try_out(&appliance, two(), 60_000);
    eventually(&appliance.after_power_cut(), ONE);
}

#[test]
fn what_cannot_be_kept_cannot_be_tried_out() {
    let appliance = Appliance::start(&one());
    // A directory in the place of the temporary file makes the write fail, also for root.
    std::fs::create_dir(appliance.file(&format!(".{PENDING_FILE}.new"))).unwrap();
    let request = Request::ConfigPut {
        text: two(),
        terms: terms(60_000),
    };
    assert!(refused(appliance.ask(&request)).contains("without --confirm"));
    assert_eq!(appliance.table(), ONE);
    assert_eq!(appliance.status().config.pending, None);
}

#[test]
fn the_first_configuration_returns_to_none() {
    let appliance = Appliance::start("nonsense = [");
    try_out(&appliance, two(), 1_000);
    assert_eq!(appliance.table(), TWO);
    eventually(&appliance, &[]);
    assert_eq!(appliance.status().config.source, ConfigSource::None);
    assert_eq!(history(&appliance), HistoryReport::default());
}

/// Servers without checks are up; the kernel has nothing to refuse.
#[test]
fn what_the_file_asserts_confirms_it_or_is_named() {
    let asserted = |servers: &str| format!("[confirm]\nservers_up = {servers}\n{}", two());
    let appliance = Appliance::start(&one());
    let pending = try_out(&appliance, asserted("\"100%\""), 30_000).pending.unwrap();
    assert_eq!(pending.asserted, ["servers_up"]);
    let deadline = Instant::now() + Duration::from_secs(15);
    while appliance.status().config.pending.is_some() {
        assert!(Instant::now() < deadline, "{:?}", appliance.status());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(appliance.table(), TWO);
    // It is kept after the kernel was read once more.
    while history(&appliance).entries.len() < 2 {
        assert!(Instant::now() < deadline, "{:?}", history(&appliance));
        std::thread::sleep(Duration::from_millis(50));
    }
    // A gateway that nobody has; the test's own network has no way to it, or none that answers.
    let gateway = format!("[confirm]\ngateway_answers = \"203.0.113.77\"\n{}", one());
    try_out(&appliance, gateway, 4_000);
    eventually(&appliance, TWO);
    let Response::Events(events) = appliance.ask(&Request::Events {
        last: 50,
        about: None,
    }) else {
        panic!("no events");
    };
    let told = |words: &[&str]| {
        let mut texts = events.events.iter().map(|event| event.text.as_str());
        assert!(
            texts.any(|text| words.iter().all(|word| text.contains(word))),
            "{words:?}: {events:?}"
        );
    };
    told(&["CONFIRMED by what the file asserts"]);
    let confirmed = events
        .events
        .iter()
        .find(|event| event.text.starts_with("CONFIRMED"));
    assert_eq!(confirmed.unwrap().level, "error", "printed on the consoles");
    told(&[
        "RETURNED",
        "not confirmed within 4 s",
        "`config show returned` shows it, `config rollback returned` puts it in force",
        "gateway_answers: 203.0.113.77",
    ]);
}

fn diff(appliance: &Appliance, from: Option<u64>, to: Option<u64>) -> DiffReport {
    let (from, to) = (from.map(Kept::Number), to.map(Kept::Number));
    match appliance.ask(&Request::ConfigDiff {
        from,
        to,
        text: None,
        without_rehearsal: false,
    }) {
        Response::Diff(report) => report,
        other => panic!("{other:?}"),
    }
}

/// What is shown before is what is done then.
#[test]
fn a_difference_tells_what_a_change_does_and_changes_nothing() {
    let appliance = Appliance::start(&two());
    nothing_is_kept_of(&appliance, &two());
    appliance.record.0.lock().unwrap().connections = 143;
    let leaving = |text: String| text.replace("\"0s\"", "\"1h\"");
    for text in [
        leaving(two()),
        leaving(one()),
        config(&[(80, &[(1, 1), (3, 7)]), (81, &[(2, 1)])]),
        config(&[(81, &[(2, 1)])]).replace("172.16.0.254/24", "172.16.0.254/16"),
    ] {
        std::fs::write(appliance.file(CONFIG_FILE), &text).unwrap();
        let (table, read) = (appliance.table(), appliance.read());
        let shown = diff(&appliance, None, None);
        assert_eq!(
            (shown.check.ok, shown.drift.as_deref()),
            (true, Some(&[][..])),
            "{shown:?}"
        );
        assert!(!shown.changes.is_empty() && !shown.text.is_empty(), "{shown:?}");
        assert_eq!(appliance.table(), table);
        assert_eq!(appliance.read().0, read.0 + 1, "it reads the kernel once");
        let report = changed(appliance.ask(&Request::ConfigApply {
            terms: Terms::default(),
        }));
        let sorted = |mut steps: Vec<String>| {
            steps.sort();
            steps
        };
        assert_eq!(sorted(report.steps), sorted(shown.steps), "{text}");
        let same = diff(&appliance, None, None);
        assert_eq!((same.changes, same.steps, same.text), (vec![], vec![], vec![]));
    }
    let costs = diff(&appliance, Some(1), None);
    let sentences: Vec<&str> = costs.changes.iter().map(|change| change.text.as_str()).collect();
    assert_eq!(costs.to, "1");
    assert!(
        sentences.contains(&"service s81 on 192.168.0.1:81 (tcp): its 143 connections end at once"),
        "{sentences:?}"
    );
    let texts = diff(&appliance, Some(1), Some(2));
    assert_eq!((texts.changes, texts.steps, texts.drift), (vec![], vec![], None));
    assert!(
        texts.text.iter().any(|line| line == "+drain_timeout = \"1h\""),
        "{:?}",
        texts.text
    );
    std::fs::write(appliance.file(CONFIG_FILE), "hostname = 7").unwrap();
    let faulty = diff(&appliance, None, None);
    assert!(!faulty.check.ok && faulty.steps.is_empty(), "{faulty:?}");
    // Somebody takes a server away.
    let mut record = appliance.record.0.lock().unwrap();
    record.kernel.state.virtual_servers.clear();
    drop(record);
    std::fs::write(appliance.file(CONFIG_FILE), one()).unwrap();
    let drift = diff(&appliance, None, None).drift.unwrap();
    assert_eq!(
        drift[0], "add virtual 192.168.0.1:81/tcp scheduler wlc",
        "{drift:?}"
    );
}

#[test]
fn a_change_of_a_text_that_is_no_longer_there_is_refused() {
    let versions: Vec<String> = (1..=3).map(|weight| config(&[(80, &[(1, weight)])])).collect();
    let appliance = Appliance::start(&versions[0]);
    let put_over = |text: &str, over: &str| {
        appliance.ask(&Request::ConfigPut {
            text: text.to_owned(),
            terms: Terms {
                over: Some(lb_core::config::fingerprint(over.as_bytes())),
                ..Terms::default()
            },
        })
    };
    assert!(changed(put_over(&versions[1], &versions[0])).applied);
    // Another console began with the first one.
    match put_over(&versions[2], &versions[0]) {
        Response::Error { message } => assert!(message.contains("somebody else"), "{message}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(read(&appliance.file(CONFIG_FILE)), versions[1]);
    assert!(changed(put_over(&versions[2], &versions[1])).applied);
}

#[test]
fn three_versions_back_and_forth() {
    let versions: Vec<String> = (1..=3).map(|weight| config(&[(80, &[(1, weight)])])).collect();
    let appliance = Appliance::start(&versions[0]);
    appliance.put(&versions[1]);
    appliance.put(&versions[1]);
    assert_eq!(appliance.put(&versions[2]).number, Some(3));
    let roll_back = |number: u64, confirm_ms: Option<u64>| {
        appliance.ask(&Request::ConfigRollback {
            kept: Kept::Number(number),
            terms: Terms {
                confirm_ms,
                ..Terms::default()
            },
        })
    };
    let report = changed(roll_back(1, None));
    assert_eq!((report.persisted, report.number), (true, Some(4)));
    eventually(&appliance, &["192.168.0.1:80/tcp 172.16.0.1:80*1"]);
    assert_eq!(read(&appliance.file(CONFIG_FILE)), versions[0]);
    let entries = history(&appliance).entries;
    let told: Vec<(u64, &str, bool)> = entries
        .iter()
        .map(|e| (e.number, e.why.as_str(), e.in_force))
        .collect();
    assert_eq!(
        told,
        [
            (4, "rollback to 1", true),
            (3, "put", false),
            (2, "put", false),
            (1, "boot", false)
        ]
    );
    assert!(refused(roll_back(9, None)).contains("it has 1 to 4"));
    assert_eq!(changed(roll_back(3, Some(1_000))).state, ChangeState::Pending);
    eventually(&appliance, &["192.168.0.1:80/tcp 172.16.0.1:80*3"]);
    eventually(&appliance, &["192.168.0.1:80/tcp 172.16.0.1:80*1"]);
    let Response::Config(shown) = appliance.ask(&Request::ConfigShow {
        kept: Some(Kept::Number(2)),
    }) else {
        panic!("no text");
    };
    assert_eq!(shown.text, versions[1]);
}

/// lb.toml and its copies are gone or damaged: the newest of the history that can be read.
#[test]
fn the_history_is_the_last_resort_of_a_start() {
    let appliance = Appliance::start(&one());
    appliance.put(&two());
    std::fs::write(appliance.file(CONFIG_FILE), "hostname = 7").unwrap();
    std::fs::write(appliance.file(APPLIED_FILE), "hostname = 7").unwrap();
    let newest = appliance.after_power_cut();
    eventually(&newest, TWO);
    assert_eq!(newest.status().config.source, ConfigSource::History);
    std::fs::write(
        appliance.file(lb_core::history::DIRECTORY).join("000002.toml"),
        "damaged",
    )
    .unwrap();
    eventually(&appliance.after_power_cut(), ONE);
}

#[test]
fn a_history_that_cannot_be_written_stops_nothing() {
    let appliance = Appliance::start(&one());
    let directory = appliance.file(lb_core::history::DIRECTORY);
    let deadline = Instant::now() + Duration::from_secs(10);
    while history(&appliance).entries.is_empty() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    std::fs::remove_dir_all(&directory).unwrap();
    std::fs::write(&directory, "a file in its place").unwrap();
    let report = appliance.put(&two());
    assert_eq!((report.persisted, report.number), (true, None), "{report:?}");
    assert_eq!(appliance.table(), TWO);
    let problems = appliance.status().problems;
    assert!(
        problems.iter().any(|line| line.contains("not in the history")),
        "{problems:?}"
    );
}
