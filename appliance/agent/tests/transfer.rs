//! The whole state of one machine becomes that of another: all of it or nothing, on trial or for good, whenever the power fails.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod stage;

use std::path::Path;

use lb_agent::{CONFIG_FILE, DRAINS_FILE, PENDING_FILE};
use lb_core::control::{
    ApplyReport, ChangeState, DiffReport, ExportReport, HistoryReport, Request, Response, Sign, Terms,
};
use lb_core::export::{JOURNAL, PENDING};
use stage::{Appliance, config, eventually};

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----\n";
/// Nobody answers there.
const TLS: &str = "[[virtual_server]]\nname = \"tls\"\nlisten = \"192.168.0.1:443\"\n\
                   check = { type = \"https\", ca = \"ca.pem\", client_certificate = \"client.pem\", client_key = \"client.key\" }\n\
                   [[virtual_server.real_server]]\naddress = \"172.16.0.9:443\"\n";
const WEB: &str = "192.168.0.1:80/tcp";
const FILES: [&str; 3] = ["ca.pem", "client.key", "client.pem"];

fn text() -> String {
    config(&[(80, &[(1, 1), (2, 1), (3, 1)])]) + TLS
}

/// Another machine: one server, which is set aside.
fn other() -> String {
    config(&[(80, &[(1, 1)])])
}

/// With its files and two drains, of which one is of a server.
fn machine() -> Appliance {
    let appliance = Appliance::start(&text());
    for name in FILES {
        let content = if name.ends_with(".key") { KEY } else { CERTIFICATE };
        std::fs::write(appliance.file(name), content).unwrap();
    }
    drain(&appliance, "172.16.0.2:80", Some("s80"));
    drain(&appliance, "172.16.0.3", None);
    appliance
}

fn drain(appliance: &Appliance, server: &str, service: Option<&str>) {
    let (server, service) = (server.to_owned(), service.map(str::to_owned));
    match appliance.ask(&Request::Drain { server, service }) {
        Response::Drains(report) => assert_eq!(report.persist_fault, None),
        other => panic!("{other:?}"),
    }
}

fn export(appliance: &Appliance, without_keys: bool) -> ExportReport {
    match appliance.ask(&Request::ConfigExport { without_keys }) {
        Response::Export(report) => report,
        other => panic!("{other:?}"),
    }
}

fn terms(confirm_ms: Option<u64>) -> Terms {
    Terms {
        confirm_ms,
        by: "test".to_owned(),
        ..Terms::default()
    }
}

fn import(appliance: &Appliance, text: &str, confirm_ms: Option<u64>) -> ApplyReport {
    let (text, terms) = (text.to_owned(), terms(confirm_ms));
    match appliance.ask(&Request::ConfigImport { text, terms }) {
        Response::Apply(report) if report.applied => report,
        other => panic!("{other:?}"),
    }
}

/// What is to be said of the change itself; that nobody checks the servers is said of every one here.
fn said(report: &ApplyReport) -> Vec<&str> {
    let warnings = report.check.warnings.iter().map(String::as_str);
    warnings
        .filter(|warning| !warning.contains("never checked"))
        .collect()
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

/// The weights of the one service that both machines have.
fn web(appliance: &Appliance) -> String {
    let found = appliance.table().into_iter().find(|line| line.starts_with(WEB));
    found.unwrap_or_default().replace(WEB, "").trim().to_owned()
}

const DRAINED: &str = "172.16.0.1:80*1 172.16.0.2:80*0 172.16.0.3:80*0";

fn web_becomes(appliance: &Appliance, expected: &str) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while web(appliance) != expected {
        assert!(std::time::Instant::now() < deadline, "{:?}", appliance.table());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn is_the_first(appliance: &Appliance) {
    web_becomes(appliance, DRAINED);
    assert_eq!(read(&appliance.file(CONFIG_FILE)), text());
    let drains = read(&appliance.file(DRAINS_FILE));
    assert!(
        drains.contains("172.16.0.2:80") && drains.contains("\"172.16.0.3\""),
        "{drains}"
    );
    assert_eq!(read(&appliance.file("ca.pem")), CERTIFICATE);
    assert_eq!(read(&appliance.file("client.key")), KEY);
    nothing_is_left(appliance);
}

fn is_the_other(appliance: &Appliance) {
    web_becomes(appliance, "172.16.0.1:80*0");
    assert_eq!(read(&appliance.file(CONFIG_FILE)), other());
    assert!(read(&appliance.file(DRAINS_FILE)).contains("172.16.0.1"));
    assert!(FILES.iter().all(|name| !appliance.file(name).exists()));
    nothing_is_left(appliance);
}

fn nothing_is_left(appliance: &Appliance) {
    for name in [JOURNAL, PENDING, PENDING_FILE] {
        assert!(!appliance.file(name).exists(), "{name}");
    }
}

fn another() -> Appliance {
    let appliance = Appliance::start(&other());
    drain(&appliance, "172.16.0.1", None);
    appliance
}

#[test]
fn another_machine_becomes_what_this_one_is() {
    let first = machine();
    let exported = export(&first, false);
    assert_eq!(
        exported.holds,
        [
            "lb.toml",
            "2 drains",
            "certificate ca.pem",
            "key client.key",
            "certificate client.pem"
        ]
    );
    assert_eq!(exported.secrets, ["the private key client.key"]);
    assert!(exported.remarks.is_empty(), "{:?}", exported.remarks);
    let second = another();
    let report = import(&second, &exported.text, None);
    assert!(report.persisted && said(&report).is_empty(), "{report:?}");
    is_the_first(&second);
    match second.ask(&Request::ConfigHistory) {
        Response::History(HistoryReport { entries, .. }) => {
            assert!(entries[0].why.starts_with("import of "), "{entries:?}");
            assert_eq!((entries[0].by.as_str(), entries[0].in_force), ("test", true));
        }
        other => panic!("{other:?}"),
    }
    is_the_first(&second.after_power_cut());
    // And once more: nothing has to change.
    assert!(
        import(&second, &export(&second, false).text, None)
            .steps
            .is_empty()
    );
}

#[test]
fn what_would_change_is_shown_and_nothing_is_changed() {
    let exported = export(&machine(), false);
    let second = another();
    std::fs::write(
        second.file("client.pem"),
        "-----BEGIN CERTIFICATE-----\nanother\n",
    )
    .unwrap();
    let report: DiffReport = match second.ask(&Request::ConfigImportDiff {
        text: exported.text,
        without_rehearsal: false,
    }) {
        Response::Diff(report) => report,
        other => panic!("{other:?}"),
    };
    let changes: Vec<(Sign, &str)> = report
        .changes
        .iter()
        .map(|change| (change.sign, change.text.as_str()))
        .collect();
    for expected in [
        (Sign::Added, "certificate ca.pem: new, 59 bytes"),
        (Sign::Added, "key client.key: new, 59 bytes"),
        (Sign::Changed, "certificate client.pem: another one, 59 bytes"),
        (
            Sign::Removed,
            "drain of 172.16.0.1: it gets new connections again",
        ),
        (
            Sign::Added,
            "drain of 172.16.0.2:80 of s80: it gets no new connections",
        ),
        (Sign::Added, "drain of 172.16.0.3: it gets no new connections"),
    ] {
        assert!(changes.contains(&expected), "{expected:?}\n{changes:?}");
    }
    assert!(
        report.text.iter().any(|line| line.contains("172.16.0.2:80")),
        "{:?}",
        report.text
    );
    assert!(!report.text.iter().any(|line| line.contains("PRIVATE")));
    // The server that is set aside here is not, there.
    assert!(
        report
            .steps
            .iter()
            .any(|step| step.contains("172.16.0.1:80") && step.contains("weight 1")),
        "{:?}",
        report.steps
    );
    assert!(
        report
            .check
            .warnings
            .iter()
            .all(|warning| warning.contains("never checked")),
        "{:?}",
        report.check.warnings
    );
    std::fs::remove_file(second.file("client.pem")).unwrap();
    is_the_other(&second);
}

#[test]
fn what_cannot_be_used_changes_nothing() {
    let exported = export(&machine(), false).text;
    let second = another();
    let ask = |text: String, terms: Terms| second.ask(&Request::ConfigImport { text, terms });
    for (text, expected) in [
        (exported.replace("|BBBB", "|BBBC"), "`client.key` (to line "),
        (
            exported[..exported.len() / 2].to_owned(),
            "the text ends before its line `end`",
        ),
        (other(), "this is no export"),
    ] {
        let said = refused(ask(text, Terms::default()));
        assert!(
            said.starts_with("nothing was changed: ") && said.contains(expected),
            "{said}"
        );
    }
    let over = Terms {
        over: Some(1),
        ..Terms::default()
    };
    assert!(refused(ask(exported.clone(), over)).contains("somebody else has changed lb.toml"));
    // A disk that refuses one of the files.
    std::fs::create_dir(second.file(".client.key.new")).unwrap();
    let said = refused(ask(exported.clone(), Terms::default()));
    assert!(said.starts_with("nothing was changed: cannot write"), "{said}");
    std::fs::remove_dir(second.file(".client.key.new")).unwrap();
    std::fs::create_dir(second.file("..import.pending.new")).unwrap();
    let said = refused(ask(exported, terms(Some(60_000))));
    assert!(said.contains("cannot be confirmed"), "{said}");
    std::fs::remove_dir(second.file("..import.pending.new")).unwrap();
    is_the_other(&second);
}

/// An export that was made by the codec, and not by an agent.
fn made(change: impl FnOnce(&mut lb_core::export::Export)) -> String {
    let text = export(&machine(), false).text;
    let mut export = lb_core::export::read(text.as_bytes(), "0.1.0").unwrap();
    change(&mut export);
    export.text().unwrap()
}

#[test]
fn drains_of_servers_that_are_not_there_are_left_out_and_said() {
    let second = another();
    let text = made(|export| {
        export
            .drains
            .push_str("\n[[drain]]\nserver = \"172.16.0.9:80\"\nsince = 1\n")
    });
    let report = import(&second, &text, None);
    assert_eq!(
        said(&report),
        ["the drain of 172.16.0.9:80 is left out: the lb.toml of the export has no such server"]
    );
    is_the_first(&second);
    assert!(!read(&second.file(DRAINS_FILE)).contains("172.16.0.9"));
}

#[test]
fn what_another_version_has_made_is_told_or_refused_with_the_remedy() {
    let second = another();
    let faulty = made(|export| {
        export.origin.version = "0.9.0".to_owned();
        export.configuration.insert_str(0, "later = 1\n");
    });
    match second.ask(&Request::ConfigImport {
        text: faulty,
        terms: Terms::default(),
    }) {
        Response::Apply(report) => {
            assert!(!report.applied && !report.check.ok);
            assert!(
                report
                    .check
                    .rendered
                    .contains("The export is of version 0.9.0, and this is 0.1.0: import it there")
            );
        }
        other => panic!("{other:?}"),
    }
    let nobodys = made(|export| {
        export
            .files
            .insert("nobodys.pem".to_owned(), CERTIFICATE.as_bytes().to_vec());
    });
    let said = refused(second.ask(&Request::ConfigImport {
        text: nobodys,
        terms: Terms::default(),
    }));
    assert!(
        said.contains("nobodys.pem, and its lb.toml names no such file"),
        "{said}"
    );
    is_the_other(&second);
    let later = made(|export| export.origin.version = "0.9.0".to_owned());
    let report = import(&second, &later, None);
    assert!(
        report.check.warnings[0].contains("of version 0.9.0"),
        "{report:?}"
    );
    is_the_first(&second);
}

#[test]
fn without_keys_there_are_none() {
    let first = machine();
    let exported = export(&first, true);
    assert!(
        exported.secrets.is_empty() && !exported.text.contains("PRIVATE KEY"),
        "{}",
        exported.text
    );
    assert!(
        exported.remarks[0].starts_with("client.key is left out: it is a private key"),
        "{:?}",
        exported.remarks
    );
    let second = another();
    let report = import(&second, &exported.text, None);
    assert!(
        report
            .check
            .warnings
            .iter()
            .any(|warning| warning.contains("there is no client.key")),
        "{report:?}"
    );
    // The key that is there stays, and it is said.
    std::fs::write(second.file("client.key"), KEY).unwrap();
    let report = import(&second, &exported.text, None);
    assert_eq!(
        said(&report),
        ["client.key is not in the export; the one on this machine is used"]
    );
    is_the_first(&second);
    let inline = text().replace("\"client.key\"", "\"\"\"-----BEGIN PRIVATE KEY-----\\nMC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\\n-----END PRIVATE KEY-----\\n\"\"\"");
    first.put(&inline);
    let said = refused(first.ask(&Request::ConfigExport { without_keys: true }));
    assert!(said.contains("lb.toml itself holds a private key"), "{said}");
    assert!(export(&first, false).secrets[0].contains("a private key in lb.toml"));
}

#[test]
fn an_import_that_is_not_confirmed_returns_with_all_of_it() {
    let exported = export(&machine(), false);
    let second = another();
    let report = import(&second, &exported.text, Some(60_000));
    assert_eq!((report.state, report.persisted), (ChangeState::Pending, false));
    assert!(
        !report
            .check
            .warnings
            .iter()
            .any(|warning| warning.contains("there is no")),
        "{report:?}"
    );
    web_becomes(&second, DRAINED);
    assert!(FILES.iter().all(|name| !second.file(name).exists()));
    assert_eq!(read(&second.file(CONFIG_FILE)), other());
    assert!(refused(second.ask(&Request::ConfigExport { without_keys: false })).contains("on trial"));
    // A start in between has the former state.
    is_the_other(&second.after_power_cut());
    // What is set aside meanwhile stays so, wherever it goes.
    drain(&second, "172.16.0.1:80", None);
    web_becomes(&second, "172.16.0.1:80*0 172.16.0.2:80*0 172.16.0.3:80*0");
    let drains = read(&second.file(DRAINS_FILE));
    assert!(
        drains.contains("172.16.0.1:80") && !drains.contains("172.16.0.3"),
        "{drains}"
    );
    match second.ask(&Request::ConfigAbort {
        by: "test".to_owned(),
    }) {
        Response::Apply(report) => assert_eq!(report.state, ChangeState::Returned),
        other => panic!("{other:?}"),
    }
    is_the_other(&second);
    let events = second.ask(&Request::Events {
        last: 20,
        about: None,
    });
    assert!(
        format!("{events:?}").contains("import it again to try it once more"),
        "{events:?}"
    );
}

#[test]
fn an_import_that_is_confirmed_is_kept_with_what_was_set_aside_meanwhile() {
    let exported = export(&machine(), false);
    let second = another();
    import(&second, &exported.text, Some(60_000));
    drain(&second, "172.16.0.1:80", None);
    match second.ask(&Request::ConfigConfirm {
        by: "test".to_owned(),
    }) {
        Response::Apply(report) => assert!(
            report.persisted && report.state == ChangeState::Confirmed,
            "{report:?}"
        ),
        other => panic!("{other:?}"),
    }
    for appliance in [&second, &second.after_power_cut()] {
        eventually(
            appliance,
            &[
                &format!("{WEB} 172.16.0.1:80*0 172.16.0.2:80*0 172.16.0.3:80*0"),
                "192.168.0.1:443/tcp",
            ],
        );
        assert_eq!(read(&appliance.file(CONFIG_FILE)), text());
        assert!(read(&appliance.file(DRAINS_FILE)).contains("172.16.0.1:80"));
        assert_eq!(read(&appliance.file("client.key")), KEY);
        nothing_is_left(appliance);
    }
}

#[test]
fn an_import_that_was_decided_is_completed_by_the_next_start() {
    let exported = export(&machine(), false);
    let second = another();
    std::fs::write(second.file(JOURNAL), &exported.text).unwrap();
    let next = second.after_power_cut();
    is_the_first(&next);
    let replaced = next.status().config.replaced.unwrap();
    assert!(replaced.contains("was completed"), "{replaced}");
}

/// Its journal stays: the disk had failed when it was to be removed. What comes later counts, whatever it is.
#[test]
fn what_is_changed_later_gives_up_an_import_that_is_not_complete() {
    let exported = export(&machine(), false).text;
    let put = |appliance: &Appliance, confirm_ms| {
        let text = config(&[(80, &[(1, 1), (4, 1)])]);
        match appliance.ask(&Request::ConfigPut {
            text,
            terms: terms(confirm_ms),
        }) {
            Response::Apply(report) => assert!(report.applied, "{report:?}"),
            other => panic!("{other:?}"),
        }
    };
    type Change<'a> = (&'a dyn Fn(&Appliance), &'a str);
    let changes: [Change<'_>; 4] = [
        (
            &|appliance| put(appliance, None),
            "172.16.0.1:80*0 172.16.0.4:80*1",
        ),
        (&|appliance| put(appliance, Some(60_000)), "172.16.0.1:80*0"),
        (
            &|appliance| match appliance.ask(&Request::ConfigApply { terms: terms(None) }) {
                Response::Apply(report) => assert!(report.applied, "{report:?}"),
                other => panic!("{other:?}"),
            },
            "172.16.0.1:80*0",
        ),
        (
            &|appliance| {
                let (server, service) = ("172.16.0.1".to_owned(), None);
                drop(appliance.ask(&Request::Undrain { server, service }));
            },
            "172.16.0.1:80*1",
        ),
    ];
    for (change, expected) in changes {
        let appliance = another();
        std::fs::write(appliance.file(JOURNAL), &exported).unwrap();
        change(&appliance);
        assert!(!appliance.file(JOURNAL).exists());
        let next = appliance.after_power_cut();
        web_becomes(&next, expected);
        nothing_is_left(&next);
    }
}

#[test]
fn nothing_is_changed_while_an_import_cannot_be_given_up() {
    let appliance = another();
    // What cannot be removed, also by root.
    std::fs::create_dir(appliance.file(JOURNAL)).unwrap();
    for confirm_ms in [None, Some(60_000)] {
        let text = config(&[(80, &[(1, 1), (4, 1)])]);
        for request in [
            Request::ConfigPut {
                text,
                terms: terms(confirm_ms),
            },
            Request::ConfigApply {
                terms: terms(confirm_ms),
            },
        ] {
            let said = refused(appliance.ask(&request));
            assert!(
                said.starts_with("nothing was changed: an import that is not complete")
                    && said.contains("cannot be given up"),
                "{said}"
            );
        }
    }
    assert_eq!(read(&appliance.file(CONFIG_FILE)), other());
    let (server, service) = ("172.16.0.1".to_owned(), None);
    match appliance.ask(&Request::Undrain { server, service }) {
        Response::Drains(report) => assert!(report.persist_fault.unwrap().contains("cannot be given up")),
        other => panic!("{other:?}"),
    }
}

/// Refused for what has nothing to do with it: the import that waits is carried out by the next start all the same.
#[test]
fn what_is_refused_does_not_give_up_an_import_that_is_not_complete() {
    let exported = export(&machine(), false).text;
    let refuse = |appliance: &Appliance, request: &Request| match appliance.ask(request) {
        Response::Error { .. } => {}
        Response::Apply(report) => assert!(!report.applied, "{report:?}"),
        Response::Drains(report) => assert!(report.persist_fault.is_some()),
        other => panic!("{other:?}"),
    };
    let text = || config(&[(80, &[(1, 1), (4, 1)])]);
    let put = |confirm_ms| Request::ConfigPut {
        text: text(),
        terms: terms(confirm_ms),
    };
    let import = Request::ConfigImport {
        text: exported.clone(),
        terms: terms(Some(60_000)),
    };
    let undrain = Request::Undrain {
        server: "172.16.0.1".to_owned(),
        service: None,
    };
    // A directory in the place of a temporary file: the disk refuses that one.
    for (blocked, request) in [
        (".lb.toml.new", put(None)),
        (".lb.pending.toml.new", put(Some(60_000))),
        (".lb.pending.toml.new", import.clone()),
        ("..import.pending.new", import),
        (".drains.toml.new", undrain),
    ] {
        let appliance = another();
        std::fs::write(appliance.file(JOURNAL), &exported).unwrap();
        std::fs::create_dir(appliance.file(blocked)).unwrap();
        refuse(&appliance, &request);
        assert_eq!(read(&appliance.file(JOURNAL)), exported, "{request:?}");
        assert_eq!(appliance.status().config.pending, None);
        std::fs::remove_dir(appliance.file(blocked)).unwrap();
        let next = appliance.after_power_cut();
        is_the_first(&next);
    }
}

/// What waits there was decided by a version that knows more.
#[test]
fn an_import_of_another_version_that_waits_is_not_replaced() {
    let exported = export(&machine(), false).text;
    let appliance = another();
    let later = exported.replacen("lb-export 1", "lb-export 9", 1);
    std::fs::write(appliance.file(JOURNAL), &later).unwrap();
    let next = appliance.after_power_cut();
    let problems = next.status().problems;
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("is of another version")),
        "{problems:?}"
    );
    for confirm_ms in [None, Some(60_000)] {
        let said = refused(next.ask(&Request::ConfigImport {
            text: exported.clone(),
            terms: terms(confirm_ms),
        }));
        assert!(said.contains("`config apply` gives it up"), "{said}");
    }
    assert_eq!(read(&next.file(JOURNAL)), later);
    match next.ask(&Request::ConfigApply { terms: terms(None) }) {
        Response::Apply(report) => assert!(report.applied, "{report:?}"),
        other => panic!("{other:?}"),
    }
    assert!(
        next.status()
            .problems
            .iter()
            .all(|problem| !problem.contains("another version"))
    );
    import(&next, &exported, None);
    is_the_first(&next);
}

/// The disk fails while a trial is being kept: one certificate has its place already.
#[test]
fn a_trial_that_cannot_be_kept_leaves_nothing_of_the_import() {
    let exported = export(&machine(), false).text;
    let second = another();
    import(&second, &exported, Some(60_000));
    web_becomes(&second, DRAINED);
    // Who reads it waits until it is written: the moment in which the key's place is taken.
    let (slow, key) = (second.file("ca.pem"), second.file("client.key"));
    let made = std::process::Command::new("mkfifo").arg(&slow).status().unwrap();
    assert!(made.success());
    let by = || "test".to_owned();
    std::thread::scope(|scope| {
        let confirming = scope.spawn(|| second.ask(&Request::ConfigConfirm { by: by() }));
        let mut writer = std::fs::OpenOptions::new().write(true).open(&slow).unwrap();
        std::fs::create_dir(&key).unwrap();
        std::io::Write::write_all(&mut writer, b"former").unwrap();
        drop(writer);
        let said = refused(confirming.join().unwrap());
        assert!(
            said.starts_with("the configuration cannot be confirmed: nothing was changed: cannot write"),
            "{said}"
        );
    });
    std::fs::remove_dir(&key).unwrap();
    assert!(std::os::unix::fs::FileTypeExt::is_fifo(
        &std::fs::metadata(&slow).unwrap().file_type()
    ));
    std::fs::remove_file(&slow).unwrap();
    match second.ask(&Request::ConfigAbort { by: by() }) {
        Response::Apply(report) => assert_eq!(report.state, ChangeState::Returned),
        other => panic!("{other:?}"),
    }
    is_the_other(&second);
    is_the_other(&second.after_power_cut());
}

/// A disk may take its time.
#[test]
fn the_loop_goes_on_while_an_import_is_written() {
    let exported = export(&machine(), false).text;
    let second = another();
    let slow = second.file("ca.pem");
    // Whoever reads it waits until it is written.
    let made = std::process::Command::new("mkfifo").arg(&slow).status().unwrap();
    assert!(made.success());
    std::thread::scope(|scope| {
        let importing = scope.spawn(|| import(&second, &exported, None));
        let put = Request::ConfigPut {
            text: other(),
            terms: terms(None),
        };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            assert!(std::time::Instant::now() < deadline);
            match second.ask(&put) {
                Response::Error { message } if message.contains("an import is being written") => break,
                _ => std::thread::sleep(std::time::Duration::from_millis(20)),
            }
        }
        assert_eq!(second.status().services, 1);
        let (server, service) = ("172.16.0.1".to_owned(), None);
        for request in [
            Request::Undrain { server, service },
            Request::ConfigExport { without_keys: false },
            Request::ConfigConfirm {
                by: "test".to_owned(),
            },
        ] {
            let said = refused(second.ask(&request));
            assert!(said.contains("an import is being written"), "{said}");
        }
        drop(std::fs::OpenOptions::new().write(true).open(&slow).unwrap());
        assert!(importing.join().unwrap().persisted);
    });
    is_the_first(&second);
}
