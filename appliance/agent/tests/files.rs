//! The files of the config volume: what names them, and their end. The kernel is in memory.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

#[path = "stage/isolated.rs"]
mod isolated;
mod stage;

use isolated::isolated;
use lb_core::control::{FilesReport, Request, Response, Terms};
use lb_core::desired::IPV6_OFF;
use lb_core::fake::FakeKernel;
use stage::Appliance;

fn text(ca: &str) -> String {
    format!(
        r#"[[interface]]
name = "eth0"
addresses = ["192.168.0.1/24"]

[[virtual_server]]
name = "web"
listen = "192.168.0.1:443"
check = {{ type = "https", ca = "{ca}" }}

[[virtual_server.real_server]]
address = "172.16.0.1:443"
"#
    )
}

fn files(appliance: &Appliance) -> FilesReport {
    match appliance.ask(&Request::ConfigFiles) {
        Response::Files(report) => report,
        other => panic!("{other:?}"),
    }
}

/// The error, if it is one.
fn remove(appliance: &Appliance, name: &str) -> Result<FilesReport, String> {
    let request = Request::ConfigRemove {
        name: name.to_owned(),
        by: "program".to_owned(),
    };
    match appliance.ask(&request) {
        Response::Files(report) => Ok(report),
        Response::Error { message } => Err(message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_what_nothing_names_is_removed() {
    isolated(
        "only_what_nothing_names_is_removed",
        only_what_nothing_names_is_removed_there,
    );
}

fn only_what_nothing_names_is_removed_there() {
    let appliance = Appliance::start(&text("ca.pem"));
    for name in ["ca.pem", "old.pem", "drains.toml.bad"] {
        std::fs::write(appliance.file(name), "-----BEGIN CERTIFICATE-----\n").unwrap();
    }
    std::fs::create_dir(appliance.file("dir")).unwrap();
    let report = files(&appliance);
    let of = |name: &str| report.files.iter().find(|file| file.name == name).unwrap();
    assert_eq!(of("ca.pem").used_by, ["lb.toml: ca of service web (line 8)"]);
    assert_eq!(of("ca.pem").bytes, 28);
    assert!(of("old.pem").is_removable() && of("old.pem").modified_unix_s.is_some());
    assert!(of("lb.toml").own.is_some() && !of("lb.toml").is_removable());
    assert!(
        report
            .files
            .iter()
            .all(|file| !file.name.starts_with('.') && file.name != "dir")
    );

    for (name, why) in [
        (
            "ca.pem",
            "is in use by lb.toml: ca of service web (line 8); change that first",
        ),
        ("lb.toml", "`factory-reset` removes everything"),
        ("lb.applied.toml", "a start uses it"),
        ("console.password", "`console password remove`"),
        ("events.log", "`events` shows it"),
        ("history", "`config history` lists it"),
        (".import", "comes and goes by itself"),
        ("dir", "is a directory"),
        ("none.pem", "there is no file none.pem"),
        ("../config/old.pem", "by its name alone"),
        ("", "by its name alone"),
    ] {
        let told = remove(&appliance, name).unwrap_err();
        assert!(
            told.starts_with("nothing was removed: ") && told.contains(why),
            "{name}: {told}"
        );
    }
    let left = remove(&appliance, "old.pem").unwrap();
    assert_eq!(left.removed.as_deref(), Some("old.pem"));
    assert!(left.files.iter().all(|file| file.name != "old.pem"));
    assert!(!appliance.file("old.pem").exists() && appliance.file("ca.pem").exists());
    assert!(remove(&appliance, "drains.toml.bad").is_ok());

    // Named by lb.toml on the disk or by what is in force: both keep it.
    std::fs::write(appliance.file("lb.toml"), text("new.pem")).unwrap();
    std::fs::write(appliance.file("new.pem"), "x").unwrap();
    let told = remove(&appliance, "ca.pem").unwrap_err();
    assert!(
        told.contains("is in use by the configuration in force: ca of service web;"),
        "{told}"
    );
    assert!(
        remove(&appliance, "new.pem")
            .unwrap_err()
            .contains("lb.toml: ca of service web (line 8)")
    );
    std::fs::write(appliance.file("lb.toml"), "hostnam = 1\n").unwrap();
    std::fs::write(appliance.file("old.pem"), "x").unwrap();
    let told = remove(&appliance, "old.pem").unwrap_err();
    assert!(
        told.contains("it has faults; `config check` shows them"),
        "{told}"
    );
    assert!(appliance.file("old.pem").exists());
}

#[test]
fn what_is_on_trial_keeps_its_files_and_those_of_before() {
    isolated(
        "what_is_on_trial_keeps_its_files_and_those_of_before",
        what_is_on_trial_keeps_its_files_and_those_of_before_there,
    );
}

fn what_is_on_trial_keeps_its_files_and_those_of_before_there() {
    let appliance = Appliance::start(&text("ca.pem"));
    for name in ["ca.pem", "new.pem", "old.pem"] {
        std::fs::write(appliance.file(name), "x").unwrap();
    }
    let terms = Terms {
        confirm_ms: Some(60_000),
        ..Terms::default()
    };
    let put = Request::ConfigPut {
        text: text("new.pem"),
        terms,
    };
    assert!(matches!(appliance.ask(&put), Response::Apply(report) if report.applied));
    let told = remove(&appliance, "new.pem").unwrap_err();
    assert!(
        told.contains("the configuration on trial: ca of service web"),
        "{told}"
    );
    assert!(
        remove(&appliance, "ca.pem")
            .unwrap_err()
            .contains("lb.toml: ca of service web")
    );
    assert!(remove(&appliance, "old.pem").is_ok());
}

/// A machine that has nothing: cards are on, IPv6 is off, and a configuration, also one on trial that returns, changes what has to be.
#[test]
fn first_contact_ends_with_a_configuration_and_comes_back_with_a_trial_that_returns() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("config")).unwrap();
    let appliance = Appliance::start_on(dir, FakeKernel::with_links(&["eth0", "eth1"]));
    let on = || {
        let record = appliance.record.0.lock().unwrap();
        let state = &record.kernel.state;
        let up = |name: &str| state.links[&name.parse().unwrap()].admin_up;
        let none = state
            .links
            .values()
            .filter(|link| !link.loopback)
            .all(|link| link.addresses.is_empty());
        (up("eth0"), up("eth1"), state.sysctls[IPV6_OFF].clone(), none)
    };
    assert_eq!(on(), (true, true, "1".to_owned(), true));
    let put = Request::ConfigPut {
        text: "[[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\"]\n".to_owned(),
        terms: Terms {
            confirm_ms: Some(60_000),
            ..Terms::default()
        },
    };
    let Response::Apply(report) = appliance.ask(&put) else {
        panic!("a trial")
    };
    assert!(report.applied && report.failed.is_empty(), "{report:?}");
    assert!(
        report
            .steps
            .contains(&"set sysctl net/ipv6/conf/all/disable_ipv6 0".to_owned()),
        "{report:?}"
    );
    assert_eq!(on(), (true, false, "0".to_owned(), false));
    let abort = Request::ConfigAbort {
        by: "program".to_owned(),
    };
    assert!(matches!(appliance.ask(&abort), Response::Apply(_)));
    assert_eq!(on(), (true, true, "1".to_owned(), true), "it was never confirmed");
}
