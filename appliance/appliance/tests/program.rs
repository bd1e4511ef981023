//! applctl as a program, against a scripted agent: what it prints where, and the code that it ends with.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod stage;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use lb_core::control::*;
use serde_json::Value;
use stage::{APPLIANCE, FakeAgent, encode};

fn applctl(agent: &FakeAgent, words: &[&str]) -> Output {
    fed(agent, words, b"")
}

fn fed(agent: &FakeAgent, words: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(APPLIANCE);
    command
        .arg("applctl")
        .arg("--socket")
        .arg(&agent.socket)
        .args(words);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Not all of it is read in every case.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// In this script every server was last checked three seconds before it is asked for.
#[test]
fn a_drain_says_what_is_left_and_what_it_costs() {
    let output = applctl(&FakeAgent::well(), &["drain", "172.16.0.11", "nginx"]);
    assert_eq!(
        text(&output.stdout),
        "SET ASIDE    SERVICE  SERVERS  CONNS  EMPTY IN\n\
         172.16.0.11  nginx          1     12  about 1m 30s\n\
         Set aside: 172.16.0.11:30080 of nginx.\n  \
         ! service nginx has no other server that is up: its clients are refused\n"
    );
    assert_eq!(output.status.code(), Some(0));
    let output = applctl(&FakeAgent::well(), &["undrain", "172.16.0.11", "nginx"]);
    assert_eq!(text(&output.stdout), "Nothing is set aside.\n");
    let output = applctl(&FakeAgent::well(), &["drain"]);
    assert_eq!(output.status.code(), Some(2), "a server has to be named");
}

#[test]
fn checks_are_begun_and_waited_for() {
    let begun = std::time::Instant::now();
    let output = applctl(&FakeAgent::well(), &["check-now", "nginx"]);
    assert!(begun.elapsed() >= std::time::Duration::from_secs(3));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("nginx") && text.contains("connected in") && text.contains("3s ago"),
        "{text}"
    );
    let output = applctl(&FakeAgent::well(), &["check-now", "nowhere"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn services_json_is_the_documented_document_and_nothing_else() {
    let output = applctl(&FakeAgent::well(), &["services", "--json"]);
    assert!(output.status.success());
    assert!(output.stderr.is_empty());
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let server = &document["services"][1]["servers"][0];
    assert_eq!(document["services"][1]["name"], "nginx");
    for key in ["name", "listen", "protocol", "scheduler", "servers"] {
        assert!(document["services"][0].get(key).is_some(), "{key}");
    }
    for key in [
        "address",
        "health",
        "weight",
        "configured_weight",
        "active_connections",
        "inactive_connections",
        "traffic",
        "rates",
        "last_check",
    ] {
        assert!(server.get(key).is_some(), "{key}");
    }
    assert_eq!(server["health"], "up");
    for key in ["ok", "reason", "latency_ms", "age_ms"] {
        assert!(server["last_check"].get(key).is_some(), "{key}");
    }
}

#[test]
fn rates_are_what_was_counted_between_two_readings() {
    let agent = FakeAgent::well();
    let output = applctl(&agent, &["services", "nginx", "--rate", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let service = &document["services"][0];
    for counted in [service, &service["servers"][0]] {
        let rate = counted["rates"]["connections_per_second"].as_f64().unwrap();
        assert!((999.0..1001.0).contains(&rate), "{document:#}");
        assert!(
            counted["rates"]["over_ms"].as_u64().unwrap() >= 4000,
            "{document:#}"
        );
    }
    assert_eq!(agent.asked().len(), 2);
    let output = applctl(&agent, &["services", "--rate"]);
    assert!(
        text(&output.stdout).contains("CONN/s"),
        "{}",
        text(&output.stdout)
    );
    assert!(text(&output.stdout).contains("1.0 k"), "{}", text(&output.stdout));
    let output = applctl(&agent, &["services", "--traffic"]);
    assert!(
        text(&output.stdout).contains("OUT BYTES"),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn top_prints_documents_for_scripts_and_text_for_logs() {
    let agent = FakeAgent::well();
    let output = applctl(
        &agent,
        &["top", "nginx", "--json", "--interval", "1s", "--count", "2"],
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    let documents: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(documents.len(), 2);
    for document in &documents {
        let rate = |counted: &Value| counted["rates"]["connections_per_second"].as_f64().unwrap();
        assert!(
            (990.0..1010.0).contains(&rate(&document["services"][0])),
            "{document:#}"
        );
        assert!(
            (9900.0..10100.0).contains(&rate(&document["services"][1])),
            "{document:#}"
        );
        assert!(
            (990.0..1010.0).contains(&rate(&document["service"]["servers"][0])),
            "{document:#}"
        );
        assert_eq!(document["load"]["average_percent"], 20.0);
    }
    // Five readings a second apart span the four seconds that a first rate needs.
    assert_eq!(agent.asked().len(), 6);
    let output = applctl(&agent, &["top", "--interval=4"]);
    let said = text(&output.stdout);
    assert!(
        output.status.success() && said.contains(">nginx") && said.contains("10.0 k"),
        "{said}"
    );
    assert!(!output.stdout.contains(&0x1b) && !said.contains("quit"), "{said}");
    for words in [
        &["top", "--interval", "0"][..],
        &["top", "--interval"],
        &["top", "--count", "2s"],
    ] {
        let output = applctl(&agent, words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
    }
    let output = applctl(&FakeAgent::absent(), &["top", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        document["error"].as_str().unwrap().contains("not running"),
        "{document}"
    );
}

#[test]
fn every_error_is_one_json_document_where_json_was_asked_for() {
    let cases: [(FakeAgent, &[&str], i32); 5] = [
        (FakeAgent::absent(), &["status", "--json"], 1),
        (FakeAgent::well(), &["services", "nowhere", "--json"], 1),
        (FakeAgent::well(), &["serivces", "--json"], 2),
        (
            FakeAgent::start(|_| b"{\"broken\n".to_vec()),
            &["status", "--json"],
            1,
        ),
        (FakeAgent::well(), &["log", "--json", "--follow"], 2),
    ];
    for (agent, words, code) in cases {
        let output = applctl(&agent, words);
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(
            document["error"].is_string() && document.as_object().unwrap().len() == 1,
            "{words:?}: {document}"
        );
        assert_eq!(output.status.code(), Some(code), "{words:?}");
        assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    }
}

#[test]
fn errors_go_to_standard_error_with_the_remedy() {
    let agent = FakeAgent::absent();
    let output = applctl(&agent, &["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(
        text(&output.stderr).contains("the agent is not running"),
        "{}",
        text(&output.stderr)
    );
    let report = InitReport {
        agent_restarts: 7,
        agent_last_exit: Some("exit status 101".into()),
        agent_backoff_ms: 3200,
        problems: vec!["/config is full; delete something".into()],
        ..InitReport::default()
    };
    agent.write_init_report(&report);
    let output = applctl(&agent, &["services"]);
    let said = text(&output.stderr);
    for part in [
        "exit status 101",
        "restarted 7 times",
        "3.20 s",
        "`log` shows why",
        "/config is full",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.lines().all(|l| l.len() <= 80), "{said}");
    let output = applctl(&agent, &["statsu"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("did you mean `status`?"));
}

#[test]
fn what_needs_no_agent_works_without_one() {
    let agent = FakeAgent::absent();
    let output = applctl(&agent, &["version", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["version"], env!("CARGO_PKG_VERSION"));
    assert!(document["kernel"].as_str().unwrap().contains('.'));
    assert!(text(&applctl(&agent, &["help"]).stdout).contains("config put"));
    assert!(text(&applctl(&agent, &["config", "put", "?"]).stdout).contains("one dot"));
    let output = applctl(&agent, &["log", "--last", "3", "--all", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["lines"].as_array().unwrap().len(), 3);
    // The path is the appliance's, which this machine does not have.
    let output = applctl(&agent, &["config", "show"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("there is no /config/lb.toml"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_file_is_checked_without_the_agent() {
    let agent = FakeAgent::absent();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new.toml");
    std::fs::write(&path, "hostname = \"lb\"\n").unwrap();
    let file = path.to_str().unwrap();
    let output = applctl(&agent, &["config", "check", file]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    std::fs::write(&path, "hostnam = \"lb\"\n").unwrap();
    let output = applctl(&agent, &["config", "check", file]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stdout).contains("new.toml:1:1:"),
        "{}",
        text(&output.stdout)
    );
    let output = applctl(&agent, &["config", "check", file, "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (document["ok"].as_bool(), output.status.code()),
        (Some(false), Some(1))
    );
    assert_eq!(document["faults"][0]["line"], 1);
}

/// Only who has the kernel knows what it refuses; what has a fault that can be seen is not sent to him.
#[test]
fn a_file_without_faults_is_asked_about_by_its_name() {
    let agent = FakeAgent::well();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new.toml");
    for (text, asked) in [("hostnam = 1\n", 0), ("hostname = \"lb\"\n", 1)] {
        std::fs::write(&path, text).unwrap();
        applctl(&agent, &["config", "check", path.to_str().unwrap()]);
        let requests = agent.asked();
        assert_eq!(requests.len(), asked, "{requests:?}");
        let named = |request: &Request| matches!(request, Request::ConfigCheck { name: Some(name), text: Some(sent) } if name == "new.toml" && sent == text);
        assert!(requests.iter().all(named), "{requests:?}");
    }
    for words in [
        &["config", "diff", "--without-rehearsal"][..],
        &["config", "apply", "--without-rehearsal"],
    ] {
        assert_eq!(fed(&agent, words, b"").status.code(), Some(0), "{words:?}");
    }
    assert!(matches!(
        &agent.asked()[1..],
        [
            Request::ConfigDiff {
                without_rehearsal: true,
                ..
            },
            Request::ConfigApply {
                terms: Terms {
                    without_rehearsal: true,
                    ..
                }
            },
        ]
    ));
}

#[test]
fn put_reads_to_the_end_or_to_the_dot() {
    for (input, expected) in [
        (&b"hostname = \"a\"\n"[..], "hostname = \"a\"\n"),
        (b"hostname = \"a\"\r\n.\r\nrest\n", "hostname = \"a\"\n"),
        (b"# no line feed", "# no line feed"),
    ] {
        let agent = FakeAgent::well();
        let output = fed(&agent, &["config", "put"], input);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(agent.put(), [expected]);
        assert!(
            text(&output.stdout).starts_with("OK. Applied, 1 step."),
            "{}",
            text(&output.stdout)
        );
    }
}

#[test]
fn put_of_what_json_cannot_carry_is_judged_here() {
    let agent = FakeAgent::well();
    let output = fed(&agent, &["config", "put", "--json"], b"hostname = \"a\xff\"\n");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(document["applied"], false);
    assert_eq!(
        (
            &document["check"]["faults"][0]["line"],
            &document["check"]["faults"][0]["column"]
        ),
        (&1.into(), &14.into())
    );
    let large = vec![b'#'; lb_core::config::MAX_BYTES + 1];
    let output = fed(&agent, &["config", "put"], &large);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("8,388,608; nothing"),
        "{}",
        text(&output.stderr)
    );
    assert!(agent.put().is_empty());
}

#[test]
fn a_large_text_goes_to_the_agent_whole() {
    let agent = FakeAgent::well();
    let large = "# ä\u{1F600}\tline\n".repeat(280_000);
    assert!(large.len() > 3 << 20 && large.len() < 4 << 20);
    let output = fed(&agent, &["config", "put"], large.as_bytes());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(agent.put() == [large]);
}

#[test]
fn bad_news_from_the_agent_is_exit_code_1() {
    let agent = FakeAgent::start(|_| {
        encode(&Response::Apply(ApplyReport {
            applied: true,
            check: CheckReport {
                ok: true,
                faults: vec![],
                rendered: String::new(),
                warnings: vec![],
            },
            steps: vec![],
            changed: vec![],
            failed: vec![],
            persisted: false,
            persist_fault: Some("the config volume is read-only".into()),
            mirrored: false,
            state: ChangeState::Applied,
            pending: None,
            number: None,
            former: None,
        }))
    });
    let output = applctl(&agent, &["config", "apply"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stdout).contains("NOT saved"),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn a_reader_that_goes_away_is_no_reason_to_panic() {
    let agent = FakeAgent::start(|_| {
        let services = stage::services()
            .services
            .into_iter()
            .cycle()
            .take(20_000)
            .collect();
        encode(&Response::Services(ServicesReport {
            read_at_ms: 1,
            services,
        }))
    });
    for words in [
        &["services"][..],
        &["services", "--json"],
        &["log", "--all", "--last", "100000"],
    ] {
        let mut command = Command::new(APPLIANCE);
        command
            .arg("applctl")
            .args(words)
            .env("LB_CONTROL_SOCKET", &agent.socket);
        // It is gone before the first byte: a short text fits a pipe that nobody reads.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command.stdin(Stdio::null()).stdout(writer).output().unwrap();
        assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{words:?}");
    }
}

#[test]
fn this_machine_is_not_rebooted() {
    for word in ["reboot", "poweroff"] {
        let output = applctl(&FakeAgent::absent(), &[word]);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            text(&output.stderr).contains("works on the appliance only"),
            "{}",
            text(&output.stderr)
        );
    }
}

#[test]
fn pipes_get_no_colour() {
    let mut command = Command::new(APPLIANCE);
    let agent = FakeAgent::well();
    command
        .args(["applctl", "services"])
        .env("LB_CONTROL_SOCKET", &agent.socket)
        .env("TERM", "linux");
    let output = command.output().unwrap();
    assert!(!output.stdout.contains(&0x1b));
}

#[test]
fn the_executable_says_what_it_can_be() {
    let output = Command::new(APPLIANCE).arg("frobnicate").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("init, agent or applctl"));
}

const KEEPALIVED: &str =
    "virtual_server 203.0.113.1 80 {\n protocol TCP\n delay_loop 5\n alpha\n include servers/*.conf\n}\n";
const SERVER: &str = "real_server 203.0.113.9 80 {\n TCP_CHECK {\n }\n notify_up /x\n}\n";

#[test]
fn an_import_prints_what_was_made_and_tells_the_rest_apart_from_it() {
    let agent = FakeAgent::absent();
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("servers")).unwrap();
    std::fs::write(directory.path().join("servers/one.conf"), SERVER).unwrap();
    std::fs::write(directory.path().join("servers/one.bak"), "nothing").unwrap();
    let path = directory.path().join("keepalived.conf");
    std::fs::write(&path, KEEPALIVED).unwrap();
    let file = path.to_str().unwrap();
    let output = applctl(&agent, &["import", "keepalived", file]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let toml = text(&output.stdout);
    assert!(
        toml.contains("address = \"203.0.113.9:80\"") && toml.contains("interval = \"5s\""),
        "{toml}"
    );
    let made = directory.path().join("lb.toml");
    std::fs::write(&made, toml).unwrap();
    let checked = applctl(&agent, &["config", "check", made.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stdout));
    let said = text(&output.stderr);
    assert!(
        said.contains("one.conf line 4") && said.contains("notify_up") && said.contains("`config put`"),
        "{said}"
    );
    assert!(said.lines().all(|line| line.len() <= 80), "{said}");

    let output = applctl(&agent, &["import", "keepalived", file, "--json"]);
    assert!(output.stderr.is_empty());
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["toml"], toml);
    let remarks = document["remarks"].as_array().unwrap();
    let remark = remarks.iter().find(|remark| remark["line"] == 4).unwrap();
    assert_eq!(remark["severity"], "not taken over");
    assert!(remark["file"].as_str().unwrap().ends_with("servers/one.conf"));
}

#[test]
fn an_import_of_nothing_fails_and_says_so() {
    let agent = FakeAgent::absent();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("haproxy.cfg");
    std::fs::write(&path, "listen l\n mode http\n bind 203.0.113.1:80\n").unwrap();
    let file = path.to_str().unwrap();
    let output = applctl(&agent, &["import", "haproxy", file]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = text(&output.stderr);
    assert!(
        said.contains("mode http is refused") && said.contains("nothing could be produced"),
        "{said}"
    );
    let output = applctl(&agent, &["import", "haproxy", "/nowhere/x.cfg"]);
    assert!(text(&output.stderr).contains("there is no /nowhere/x.cfg"));
    let output = applctl(&agent, &["import", "nginx"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("it has keepalived or haproxy"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn put_shows_what_it_would_change_and_changes_nothing() {
    let agent = FakeAgent::well();
    let words = ["config", "put", "--dry-run"];
    let text = "hostname = \"lb\"\n";
    assert_eq!(fed(&agent, &words, text.as_bytes()).status.code(), Some(0));
    assert_eq!(
        agent.asked(),
        [Request::ConfigDiff {
            from: None,
            to: None,
            text: Some(text.to_owned()),
            without_rehearsal: false,
        }]
    );
    // What no request can carry is judged here.
    let output = fed(&agent, &words, b"hostname = \"\xff\"\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("UTF-8"));
    assert_eq!(agent.asked().len(), 1);
}

#[test]
fn a_change_is_asked_for_on_its_terms() {
    let agent = FakeAgent::well();
    let text = b"hostname = \"lb\"\n";
    for (words, input) in [
        (
            &["config", "put", "--confirm", "2m", "--comment", "new gateway"][..],
            &text[..],
        ),
        (&["config", "apply", "--confirm=1.5s"][..], b""),
        (&["config", "rollback", "12"][..], b""),
        (&["config", "confirm"][..], b""),
        (&["config", "abort"][..], b""),
        (&["config", "diff", "12", "14"][..], b""),
        (&["config", "history"][..], b""),
        (&["config", "show", "12"][..], b""),
    ] {
        assert_eq!(fed(&agent, words, input).status.code(), Some(0), "{words:?}");
    }
    let terms = |confirm_ms, comment: Option<&str>| Terms {
        confirm_ms,
        comment: comment.map(str::to_owned),
        by: "program".to_owned(),
        ..Terms::default()
    };
    let by = || "program".to_owned();
    assert_eq!(
        agent.asked(),
        [
            Request::ConfigPut {
                text: String::from_utf8(text.to_vec()).unwrap(),
                terms: terms(Some(120_000), Some("new gateway")),
            },
            Request::ConfigApply {
                terms: terms(Some(1_500), None)
            },
            Request::ConfigRollback {
                kept: Kept::Number(12),
                terms: terms(None, None)
            },
            Request::ConfigConfirm { by: by() },
            Request::ConfigAbort { by: by() },
            Request::ConfigDiff {
                from: Some(Kept::Number(12)),
                to: Some(Kept::Number(14)),
                text: None,
                without_rehearsal: false,
            },
            Request::ConfigHistory,
            Request::ConfigShow {
                kept: Some(Kept::Number(12))
            },
        ]
    );
    let output = applctl(&agent, &["config", "apply", "--confirm", "2h"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text_of(&output).contains("from 1s to 1h"), "{}", text_of(&output));
}

fn text_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// They read the kernel of the machine that the test runs on; the loopback is on every one.
#[test]
fn neighbours_and_routes_are_read_without_the_agent() {
    let output = applctl(&FakeAgent::absent(), &["route", "127.0.0.1"]);
    assert_eq!(
        text(&output.stdout),
        "Address         127.0.0.1\nWay             this machine itself has the address\n"
    );
    let output = applctl(&FakeAgent::absent(), &["route", "127.0.0.1", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["kind"], "local");
    assert_eq!(document["hop"]["link"], "lo");
    for (words, code, says) in [
        (&["route", "master"][..], 2, "`master` is no IPv4 or IPv6 address"),
        (
            &["arp", "nobody"][..],
            1,
            "is called `nobody`; names of lb.toml are known while the agent runs",
        ),
    ] {
        let output = applctl(&FakeAgent::absent(), words);
        assert_eq!(output.status.code(), Some(code));
        let error = text(&output.stderr).replace('\n', " ");
        assert!(error.contains(says), "{error}");
    }
    let output = applctl(&FakeAgent::absent(), &["arp", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["neighbours"].is_array());
    let output = applctl(&FakeAgent::well(), &["arp", "nginx", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["without_entry"][0], "172.16.0.11");
}

#[test]
fn links_are_read_without_the_agent() {
    let output = applctl(&FakeAgent::absent(), &["link", "lo", "--rate", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let link = &document["links"][0];
    assert_eq!((&link["link"], &link["kind"]), (&"lo".into(), &"loopback".into()));
    assert!(
        link["rx_bytes"].is_u64() && link["rates"]["over_ms"].is_u64(),
        "{link}"
    );
    let output = applctl(&FakeAgent::absent(), &["link", "eth77"]);
    assert_eq!(output.status.code(), Some(1));
    let error = text_of(&output);
    assert!(
        error.contains("no link is called `eth77`; names of lb.toml are known while"),
        "{error}"
    );
}

/// In a network namespace of its own, where echoes are allowed; as root, or where user namespaces are allowed.
fn alone(line: &str) -> Output {
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--net", "sh", "-c"]);
    let begin = "ip link set lo up; echo 0 0 > /proc/sys/net/ipv4/ping_group_range";
    unshare.arg(format!(
        "{begin}; {}",
        line.replace("applctl", &format!("{APPLIANCE} applctl --socket /nowhere"))
    ));
    unshare.output().unwrap()
}

/// What the line prints while the loopback is pinged all the time.
fn while_pinged(line: &str) -> Output {
    let pings = "while :; do applctl ping 127.0.0.1 --count 1 --size 500 > /dev/null; done & pings=$!";
    alone(&format!("{pings}; {line}; kill $pings"))
}

#[test]
fn packets_are_captured_as_lines_and_as_a_file() {
    let output = while_pinged("applctl capture lo icmp and host 127.0.0.1 --count 4");
    let lines = text(&output.stdout);
    let all: Vec<&str> = lines.lines().collect();
    assert_eq!(all.len(), 5, "{lines} {}", text_of(&output));
    for kind in [
        "lo out   icmp 127.0.0.1 > 127.0.0.1 echo request ",
        "lo in    icmp 127.0.0.1 > 127.0.0.1 echo reply ",
    ] {
        assert!(all[..4].iter().any(|line| line.contains(kind)), "{lines}");
    }
    assert!(all[4].starts_with("4 packets in "), "{lines}");

    let output = while_pinged("applctl capture icmp --count 2 --json");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["packets"][0]["interface"], "lo");
    assert_eq!(document["packets"][0]["bytes"], 542);
    assert_eq!(document["account"]["packets"], 2);

    // The file, turned back as the text says.
    let (dir, script) = (
        tempfile::tempdir().unwrap(),
        "cd DIR; applctl capture lo icmp --count 2 --whole --pcap > session.log; \
        sed -n '/ sed /,/ sha256sum /p' session.log > back; sh -e back; od -An -tx1 lb.pcap | tr -d ' \\n'",
    );
    let output = while_pinged(&script.replace("DIR", &dir.path().display().to_string()));
    let printed = text(&output.stdout);
    assert!(
        printed.starts_with("lb.pcap: OK\nd4c3b2a1"),
        "{printed} {}",
        text_of(&output)
    );
    assert_eq!(
        printed.trim().len(),
        2 * (24 + 2 * (16 + 542)) + "lb.pcap: OK\n".len()
    );
}

#[test]
fn what_cannot_be_captured_says_why() {
    for (line, says) in [
        ("applctl capture eth77", "no link is called `eth77`"),
        ("applctl capture lo tpc", "`tpc` is no part of a filter"),
        ("applctl capture not port 22", "`not` is not known here"),
        ("applctl capture tcp and udp", "no packet is both tcp and udp"),
    ] {
        let output = alone(line);
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(text_of(&output).contains(says), "{}", text_of(&output));
    }
}

#[test]
fn echoes_are_sent_and_accounted_for() {
    let output = alone("applctl ping 127.0.0.1 --count 2");
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert!(said.starts_with("1: 127.0.0.1 answers, 64 bytes, "), "{said}");
    assert!(
        said.contains("\nEchoes          2 sent, 2 answered, 0% lost\n"),
        "{said}"
    );
    let output = alone("applctl ping ::1 --count 1 --size 1000 --json");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&document["received"], &document["loss_percent"]),
        (&1.into(), &0.0.into())
    );
    // Ctrl-C after half a second, long before the second echo.
    let output = alone("timeout --signal=INT 0.5 applctl ping 127.0.0.1 --interval 60s");
    assert!(
        text(&output.stdout).contains("1 sent, 1 answered"),
        "{}",
        text(&output.stderr)
    );
    let output = alone("applctl ping 192.0.2.1");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no route leads to 192.0.2.1: "));
    let output = alone("applctl ping 127.0.0.1 eth9");
    assert!(text(&output.stderr).contains("there is no interface `eth9`; `interfaces` lists them"));
}

#[test]
fn a_trace_ends_at_the_answer() {
    let output = alone("applctl trace 127.0.0.1");
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert!(
        said.starts_with(" 1  127.0.0.1, ") && said.ends_with("127.0.0.1 has answered.\n"),
        "{said}"
    );
    let output = alone("applctl trace ::1 --port 9 --json");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["end"], "::1 has answered: port 9 is closed (RST)");
    assert_eq!(document["hops"].as_array().unwrap().len(), 1);
}

#[test]
fn explain_tells_packets_from_keys() {
    let explain = |words: &[&str]| applctl(&FakeAgent::well(), &[&["explain"], words].concat());
    let output = explain(&["192.0.2.1:80"]);
    assert_eq!(
        text(&output.stdout),
        "Packet          tcp to 192.0.2.1:80\nEnd             goes to one of 2 servers, by wlc\n"
    );
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        explain(&["192.0.2.1:81"]).status.code(),
        Some(1),
        "it does not get through"
    );
    let agent = FakeAgent::well();
    applctl(
        &agent,
        &["explain", "[2001:db8::1]:53/udp", "2001:db8::9", "--json"],
    );
    let packet = lb_core::path::Packet {
        to: "[2001:db8::1]:53".parse().unwrap(),
        protocol: Some(lb_core::model::Protocol::Udp),
        from: "2001:db8::9".parse().ok(),
    };
    assert_eq!(agent.asked(), [Request::Path(packet)]);
    assert!(text(&explain(&["interval"]).stdout).contains("virtual_server.check.interval"));
    for (words, says) in [
        (
            &["192.0.2.1"][..],
            "as in 192.0.2.1:80; `route 192.0.2.1` and `arp` tell",
        ),
        (&["[2001:db8::1]"][..], "as in [2001:db8::1]:80;"),
        (&["192.0.2.1:http"][..], "`192.0.2.1:http` is no ADDRESS:PORT"),
        (&["192.0.2.1:80/icmp"][..], "with tcp, udp or sctp"),
        (&["192.0.2.1:80", "fd00::1"][..], "not of one family"),
        (
            &["interval", "192.0.2.1"][..],
            "`explain` takes one KEY; `192.0.2.1` is too much",
        ),
    ] {
        let output = explain(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        let error = text(&output.stderr).replace('\n', " ");
        assert!(error.contains(says), "{error}");
    }
}

const TWO_LINKS: &str = "[[interface]]\nname = \"eth0\"\nmtu = 1400\naddresses = [\"192.0.2.1/24\"]\n\n\
    [[interface]]\nname = \"eth1\"\naddresses = [\"198.51.100.1/24\"]\n";
const COST: &str = "interface eth1 (card) with 198.51.100.1/24: it is switched off";

/// An agent whose file has two interfaces, and that knows what one costs.
fn two_links() -> FakeAgent {
    FakeAgent::start(|request| {
        encode(&match (request, stage::answer(request)) {
            (Request::ConfigShow { .. }, _) => Response::Config(ConfigText {
                path: "/config/lb.toml".into(),
                text: TWO_LINKS.into(),
            }),
            (Request::ConfigDiff { text: Some(text), .. }, Response::Diff(mut report)) => {
                assert!(!text.contains("eth1"), "{text}");
                report.changes.push(ChangeReport {
                    sign: Sign::Removed,
                    text: COST.into(),
                });
                Response::Diff(report)
            }
            (_, answer) => answer,
        })
    })
}

#[test]
fn a_whole_interface_goes_after_its_cost_was_seen_and_a_yes() {
    let delete = ["config", "delete", "interface.eth1"];
    for (more, input, done) in [
        (&[][..], &b"yes\n"[..], true),
        (&[], b"Y\n", true),
        (&[], b"no\n", false),
        (&[], b"", false),
        (&["--yes"], b"", true),
        (&["--confirm", "2m"], b"", true),
        (&["--dry-run"], b"", true),
    ] {
        let agent = two_links();
        let words = [&delete[..], more].concat();
        let output = fed(&agent, &words, input);
        let shown: String = text(&output.stdout)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        let code = if done { 0 } else { 1 };
        assert_eq!(output.status.code(), Some(code), "{words:?}: {shown}");
        let put = agent.put().len();
        assert_eq!(put, usize::from(done && more != ["--dry-run"]), "{words:?}");
        assert!(shown.contains("-name = \"eth1\""), "{words:?}: {shown}");
        if more != ["--dry-run"] {
            assert!(shown.contains(COST), "{words:?}: {shown}");
            assert_eq!(shown.contains("Type yes"), more.is_empty(), "{words:?}: {shown}");
            let safe = "With `--confirm 2m` behind the command it comes back by itself.";
            assert_eq!(shown.contains(safe), more.is_empty(), "{words:?}: {shown}");
        }
        if !done {
            let said = text_of(&output);
            assert!(
                said.contains("nothing was changed") && said.contains("--yes"),
                "{said}"
            );
        }
    }
}

#[test]
fn with_json_nobody_is_asked() {
    let agent = two_links();
    let delete = ["config", "delete", "interface.eth1", "--json"];
    let output = applctl(&agent, &delete);
    assert_eq!(output.status.code(), Some(1));
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(said.contains("nobody is asked; --yes does it"), "{said}");
    assert!(agent.put().is_empty());
    let output = applctl(&agent, &[&delete[..], &["--yes"]].concat());
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["applied"], agent.put().len()), (&Value::Bool(true), 1));
}

/// The places of its faults are those of a text that nobody has seen: that is said.
#[test]
fn what_something_else_needs_is_not_deleted() {
    let agent = FakeAgent::start(|request| {
        encode(&match request {
            Request::ConfigShow { .. } => Response::Config(ConfigText {
                path: "/config/lb.toml".into(),
                text: format!("{TWO_LINKS}[[masquerade]]\nfrom = \"192.0.2.0/24\"\nout = \"eth1\"\n"),
            }),
            _ => stage::answer(request),
        })
    });
    let output = applctl(&agent, &["config", "delete", "interface.eth1", "--yes"]);
    let said = text(&output.stdout).replace('\n', " ");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("out = \"eth1\""), "{said}");
    assert!(
        said.contains("lines are those of lb.toml without what was to be deleted"),
        "{said}"
    );
    assert!(agent.put().is_empty());
}

/// A single key is as before: it is shown, and done.
#[test]
fn a_key_is_deleted_without_a_question() {
    let agent = two_links();
    let output = applctl(&agent, &["config", "delete", "interface.eth0.mtu"]);
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    assert!(
        !text(&output.stdout).contains("Type yes"),
        "{}",
        text(&output.stdout)
    );
    assert_eq!(agent.put().len(), 1);
}
