//! A new configuration that changes services only: what it changes is carried out, and nothing is read back for it. The
//! kernel is in memory, and the servers have no checks.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod stage;

use std::time::{Duration, Instant};

use lb_agent::CONFIG_FILE;
use lb_core::control::{Request, Response, Terms};
use stage::{Appliance, config, eventually};

#[test]
fn one_server_is_one_step_and_nothing_is_read() {
    let before: [(u16, &[(u8, u16)]); 3] = [(82, &[(1, 1)]), (80, &[(1, 1), (2, 1)]), (81, &[])];
    let appliance = Appliance::start(&config(&before));
    let read = appliance.read();
    let report = appliance.put(&config(&[before[0], (80, &[(1, 1), (2, 7)]), before[2]]));
    assert_eq!(
        report.steps,
        ["edit real 172.16.0.2:80 weight 7 nat of 192.168.0.1:80/tcp"]
    );
    assert!(report.failed.is_empty());
    let report = appliance.put(&config(&[before[0], (80, &[(1, 1), (3, 7)]), before[2]]));
    assert_eq!(
        report.steps,
        [
            "add real 172.16.0.3:80 weight 7 nat to 192.168.0.1:80/tcp",
            "delete real 172.16.0.2:80 from 192.168.0.1:80/tcp",
            // The set of servers whose replies are not tracked.
            "replace ruleset: 3 services, 2 raw, 8 input, 1 postrouting"
        ]
    );
    let same = format!(
        "# the same\n{}",
        config(&[before[0], (80, &[(1, 1), (3, 7)]), before[2]])
    );
    assert!(appliance.put(&same).steps.is_empty());
    assert_eq!(appliance.read(), read);
    assert_eq!(
        appliance.table(),
        [
            "192.168.0.1:80/tcp 172.16.0.1:80*1 172.16.0.3:80*7",
            "192.168.0.1:81/tcp",
            "192.168.0.1:82/tcp 172.16.0.1:80*1"
        ]
    );
    assert_eq!(appliance.status().servers, 3);
}

#[test]
fn services_come_and_go_and_the_filter_follows() {
    let appliance = Appliance::start(&config(&[(80, &[(1, 1)]), (81, &[(1, 1)])]));
    let read = appliance.read();
    let report = appliance.put(&config(&[(81, &[(1, 1)]), (90, &[(2, 3)])]));
    let kinds: Vec<String> = report
        .steps
        .iter()
        .map(|step| step.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        kinds[..3],
        ["delete virtual", "add virtual", "add real"],
        "{:?}",
        report.steps
    );
    assert!(
        report.steps[3].starts_with("replace ruleset: 2 services"),
        "{:?}",
        report.steps
    );
    assert_eq!(appliance.read(), read);
    assert_eq!(
        appliance.table(),
        [
            "192.168.0.1:81/tcp 172.16.0.1:80*1",
            "192.168.0.1:90/tcp 172.16.0.2:80*3"
        ]
    );
    let open: Vec<String> = {
        let record = appliance.record.0.lock().unwrap();
        let rules = record.kernel.state.ruleset.as_ref().unwrap();
        rules.services.iter().map(ToString::to_string).collect()
    };
    assert_eq!(open, ["192.168.0.1:81/tcp", "192.168.0.1:90/tcp"]);
}

#[test]
fn a_refusal_is_answered_by_a_pass_that_reads_everything() {
    let appliance = Appliance::start(&config(&[(80, &[(1, 1)])]));
    appliance.record.0.lock().unwrap().refuse = Some("add real");
    let (_, pools) = appliance.read();
    let report = appliance.put(&config(&[(80, &[(1, 1), (2, 1)])]));
    assert_eq!(
        report.steps,
        ["add real 172.16.0.2:80 weight 1 nat to 192.168.0.1:80/tcp"]
    );
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert!(appliance.read().1 > pools);
    assert_eq!(
        appliance.table(),
        ["192.168.0.1:80/tcp 172.16.0.1:80*1 172.16.0.2:80*1"]
    );
    assert_eq!(appliance.status().reconcile.repairs, 0);
}

#[test]
fn a_change_of_the_network_takes_the_whole_way_without_reading_the_servers() {
    let services = config(&[(80, &[(1, 1)])]);
    let appliance = Appliance::start(&services);
    let (frames, pools) = appliance.read();
    let report = appliance.put(&services.replace("172.16.0.254/24", "172.16.0.254/16"));
    assert!(
        report
            .steps
            .iter()
            .any(|step| step.starts_with("add address 172.16.0.254/16")),
        "{:?}",
        report.steps
    );
    assert!(appliance.read().0 > frames);
    assert_eq!(appliance.read().1, pools);
}

/// It is in force when the read-back arrives, whose steps are its own.
#[test]
fn a_change_of_the_network_during_a_read_back_is_no_repair() {
    let services = config(&[(80, &[(1, 1)])]);
    let appliance = Appliance::start(&services);
    let slow = |millis| appliance.record.0.lock().unwrap().slow = Duration::from_millis(millis);
    slow(500);
    let (frames, _) = appliance.read();
    appliance.links.send(()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while appliance.read().0 == frames {
        assert!(
            Instant::now() < deadline,
            "links have changed, and nothing is read"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let other = config(&[(80, &[(1, 2)]), (81, &[(1, 1)])]);
    let report = appliance.put(&other.replace("172.16.0.254/24", "172.16.0.254/16"));
    assert_eq!(
        report.number,
        Some(2),
        "it is kept as what it is, and not by the read-back before it"
    );
    slow(0);
    assert_eq!(
        appliance.table(),
        [
            "192.168.0.1:80/tcp 172.16.0.1:80*2",
            "192.168.0.1:81/tcp 172.16.0.1:80*1"
        ]
    );
    assert_eq!(appliance.status().reconcile.repairs, 0);
}

/// Who has an answer may cut the power.
#[test]
fn a_change_is_answered_when_it_is_kept() {
    let before: [(u16, &[(u8, u16)]); 2] = [(80, &[(1, 1)]), (81, &[(1, 1)])];
    let appliance = Appliance::start(&config(&before));
    let volume = appliance.dir.path().join("config");
    for weight in 2..30 {
        let text = config(&[before[0], (81, &[(1, weight)])]);
        let report = appliance.put(&text);
        assert!(report.persisted && report.steps.len() == 1, "{report:?}");
        let kept = std::fs::read_to_string(volume.join("lb.applied.toml")).unwrap();
        assert_eq!(kept, text);
    }
    // As somebody else wrote it.
    let written = config(&[before[0], (81, &[(1, 30)])]);
    std::fs::write(volume.join(CONFIG_FILE), written).unwrap();
    let Response::Apply(report) = appliance.ask(&Request::ConfigApply {
        terms: Terms::default(),
    }) else {
        panic!("no report");
    };
    assert!(report.applied && report.persisted, "{report:?}");
}

#[test]
fn a_server_that_is_taken_out_leaves_with_its_last_connection() {
    let text = |servers: &[(u8, u16)]| config(&[(80, servers)]).replace("\"0s\"", "\"1h\"");
    let appliance = Appliance::start(&text(&[(1, 1), (2, 1)]));
    appliance.record.0.lock().unwrap().connections = 3;
    let report = appliance.put(&text(&[(1, 1)]));
    assert_eq!(
        report.steps,
        ["edit real 172.16.0.2:80 weight 0 nat of 192.168.0.1:80/tcp"]
    );
    // Something else changes meanwhile, and it comes back, and leaves again.
    appliance.put(&text(&[(1, 2)]));
    assert_eq!(
        appliance.table(),
        ["192.168.0.1:80/tcp 172.16.0.1:80*2 172.16.0.2:80*0"]
    );
    let status = appliance.status();
    assert_eq!(
        (status.servers_up, status.servers),
        (1, 1),
        "it is not of the file"
    );
    appliance.put(&text(&[(1, 1), (2, 5)]));
    assert_eq!(
        appliance.table(),
        ["192.168.0.1:80/tcp 172.16.0.1:80*1 172.16.0.2:80*5"]
    );
    appliance.put(&text(&[(1, 1)]));
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(
        appliance.table(),
        ["192.168.0.1:80/tcp 172.16.0.1:80*1 172.16.0.2:80*0"]
    );
    appliance.record.0.lock().unwrap().connections = 0;
    eventually(&appliance, &["192.168.0.1:80/tcp 172.16.0.1:80*1"]);
    assert_eq!(appliance.status().reconcile.repairs, 0);
}

#[test]
fn the_time_of_a_server_that_is_taken_out_ends() {
    let text = |servers: &[(u8, u16)]| config(&[(80, servers)]).replace("\"0s\"", "\"2s\"");
    let appliance = Appliance::start(&text(&[(1, 1), (2, 1)]));
    appliance.record.0.lock().unwrap().connections = 3;
    appliance.put(&text(&[(1, 1)]));
    assert_eq!(
        appliance.table(),
        ["192.168.0.1:80/tcp 172.16.0.1:80*1 172.16.0.2:80*0"]
    );
    eventually(&appliance, &["192.168.0.1:80/tcp 172.16.0.1:80*1"]);
    // Datagrams of a client are a connection until it has sent none for a while.
    let udp = |servers: &[(u8, u16)]| {
        text(servers).replace("name = \"s80\"\n", "name = \"s80\"\nprotocol = \"udp\"\n")
    };
    appliance.put(&udp(&[(1, 1), (2, 1)]));
    appliance.put(&udp(&[(1, 1)]));
    assert_eq!(
        appliance.table(),
        ["192.168.0.1:80/udp 172.16.0.1:80*1 172.16.0.2:80*0"]
    );
    eventually(&appliance, &["192.168.0.1:80/udp 172.16.0.1:80*1"]);
    // Where each is scheduled by itself there is nothing to be kept.
    let single = |servers: &[(u8, u16)]| udp(servers).replace("\"udp\"\n", "\"udp\"\none_packet = true\n");
    appliance.put(&single(&[(1, 1), (2, 1)]));
    appliance.put(&single(&[(1, 1)]));
    assert_eq!(appliance.table(), ["192.168.0.1:80/udp 172.16.0.1:80*1"]);
}

#[test]
fn what_is_set_aside_gets_nothing_until_it_is_taken_back_also_by_the_next_agent() {
    let appliance = Appliance::start(&config(&[(80, &[(1, 1), (2, 1)]), (81, &[(1, 3)])]));
    appliance.record.0.lock().unwrap().connections = 5;
    let server = || "172.16.0.1".to_owned();
    let ask = |request: Request| match appliance.ask(&request) {
        Response::Drains(report) => report,
        other => panic!("{other:?}"),
    };
    let service = || Some("s80".to_owned());
    let report = ask(Request::Drain {
        server: server(),
        service: service(),
    });
    assert_eq!(
        (report.drains.len(), report.warnings, report.persist_fault),
        (1, vec![], None)
    );
    eventually(
        &appliance,
        &[
            "192.168.0.1:80/tcp 172.16.0.1:80*0 172.16.0.2:80*1",
            "192.168.0.1:81/tcp 172.16.0.1:80*3",
        ],
    );
    let report = ask(Request::Drain {
        server: server(),
        service: None,
    });
    assert_eq!(
        report.warnings,
        ["service s81 has no other server that is up: its clients are refused"]
    );
    let everywhere = [
        "192.168.0.1:80/tcp 172.16.0.1:80*0 172.16.0.2:80*1",
        "192.168.0.1:81/tcp 172.16.0.1:80*0",
    ];
    eventually(&appliance, &everywhere);
    // Another agent on the same disk, beside a kernel that has forgotten everything, as after a reboot.
    let kept = std::fs::read_to_string(appliance.dir.path().join("config/drains.toml")).unwrap();
    let again = Appliance::start_beside(&config(&[(80, &[(1, 1), (2, 1)]), (81, &[(1, 3)])]), Some(&kept));
    eventually(&again, &everywhere);
    let problems = again.status().problems;
    assert!(
        problems.iter().any(|line| line.contains("1 more are set aside")),
        "{problems:?}"
    );
    ask(Request::Undrain {
        server: server(),
        service: None,
    });
    eventually(
        &appliance,
        &[
            "192.168.0.1:80/tcp 172.16.0.1:80*0 172.16.0.2:80*1",
            "192.168.0.1:81/tcp 172.16.0.1:80*3",
        ],
    );
    for (server, service, remedy) in [
        ("172.16.0.9", None, "the servers are 172.16.0.1:80, 172.16.0.2:80"),
        ("172.16.0.1", Some("s82"), "the services are: s80, s81"),
        ("worker01", None, "ADDRESS:PORT"),
    ] {
        let request = Request::Drain {
            server: server.to_owned(),
            service: service.map(str::to_owned),
        };
        match appliance.ask(&request) {
            Response::Error { message } => assert!(message.contains(remedy), "{message}"),
            other => panic!("{other:?}"),
        }
    }
    // What it would cost is told, and nothing is changed by that.
    let costs = |server: &str, service: Option<&str>| {
        ask(Request::DrainCosts {
            server: server.to_owned(),
            service: service.map(str::to_owned),
        })
    };
    assert_eq!(
        costs("172.16.0.1", None).warnings,
        ["service s81 has no other server that is up: its clients would be refused"]
    );
    assert_eq!(
        costs("172.16.0.2:80", Some("s80")).warnings,
        ["service s80 has no other server that is up: its clients would be refused"],
        "the other one is set aside"
    );
    eventually(
        &appliance,
        &[
            "192.168.0.1:80/tcp 172.16.0.1:80*0 172.16.0.2:80*1",
            "192.168.0.1:81/tcp 172.16.0.1:80*3",
        ],
    );
    // The address is enough where one drain is of it; several are listed, and nothing changes.
    ask(Request::Drain {
        server: "172.16.0.1:80".to_owned(),
        service: Some("s81".to_owned()),
    });
    let undrain = |server: &str, service: Option<&str>| {
        appliance.ask(&Request::Undrain {
            server: server.to_owned(),
            service: service.map(str::to_owned),
        })
    };
    let refusal = |response: Response| match response {
        Response::Error { message } => message,
        other => panic!("{other:?}"),
    };
    let several = refusal(undrain("172.16.0.1", None));
    assert!(
        several.contains("`undrain 172.16.0.1 s80`, `undrain 172.16.0.1:80 s81`"),
        "{several}"
    );
    assert!(matches!(undrain("172.16.0.1:80", None), Response::Drains(report) if report.drains.len() == 1));
    assert!(refusal(undrain("172.16.0.2", None)).contains("set aside are: 172.16.0.1 of s80"));
    assert!(refusal(undrain("172.16.0.1", Some("s81"))).contains("set aside are: 172.16.0.1 of s80"));
    assert!(matches!(undrain("172.16.0.1", None), Response::Drains(report) if report.drains.is_empty()));
}

#[test]
fn a_change_without_steps_and_slips_of_the_fingers_are_told() {
    let before = config(&[(80, &[(1, 1), (2, 1)]), (81, &[(1, 1)])]);
    let appliance = Appliance::start(&before);
    let after = before.replacen("type = \"none\" }", "type = \"tls\", ca = \"ca.pem\" }", 1);
    let report = appliance.put(&after);
    assert_eq!(
        (report.steps.len(), report.changed.as_slice()),
        (0, &["checks of s80".to_owned()][..])
    );
    let missing = |warnings: &[String]| {
        warnings
            .iter()
            .any(|warning| warning.contains("there is no ca.pem beside lb.toml"))
    };
    assert!(missing(&report.check.warnings), "{report:?}");
    match appliance.ask(&Request::ConfigCheck {
        text: None,
        name: None,
    }) {
        Response::Check(check) => assert!(check.ok && missing(&check.warnings), "{check:?}"),
        other => panic!("{other:?}"),
    }
    std::fs::write(appliance.dir.path().join("config/ca.pem"), "whatever").unwrap();
    match appliance.ask(&Request::ConfigCheck {
        text: None,
        name: None,
    }) {
        Response::Check(check) => assert!(check.ok && !missing(&check.warnings), "{check:?}"),
        other => panic!("{other:?}"),
    }
    let events = |about: &str| {
        let about = Some(about.to_owned());
        appliance.ask(&Request::Events { last: 10, about })
    };
    assert_eq!(
        events("s8O"),
        Response::Error {
            message: "nothing is called `s8O`, did you mean `s80`? there are: 172.16.0.1, 172.16.0.1:80, 172.16.0.2, 172.16.0.2:80, \
                      eth0, eth1, s80, s81; `events` without a name lists all"
                .to_owned()
        }
    );
    assert!(
        matches!(events("eth1"), Response::Events(_)),
        "it is there, whether anything has happened or not"
    );
    let services = appliance.ask(&Request::Services {
        name: Some("s8".to_owned()),
    });
    let expected = "there is no service `s8`, did you mean `s80`? the services are: s80, s81";
    assert!(
        matches!(&services, Response::Error { message } if message == expected),
        "{services:?}"
    );
    let drain = |server: &str| {
        let server = server.to_owned();
        appliance.ask(&Request::Drain {
            server,
            service: None,
        })
    };
    match drain("172.16.0.1") {
        Response::Drains(report) => {
            assert_eq!(report.servers, ["172.16.0.1:80 of s80", "172.16.0.1:80 of s81"])
        }
        other => panic!("{other:?}"),
    }
    let unknown = drain("172.16.0.2:8080");
    let expected = "lb.toml has no server 172.16.0.2:8080, did you mean 172.16.0.2:80? the servers are";
    assert!(
        matches!(&unknown, Response::Error { message } if message.starts_with(expected)),
        "{unknown:?}"
    );
}
