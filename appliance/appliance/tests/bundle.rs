//! `support-bundle`, as somebody who helps gets it: out of the log of a session, by the command that it names itself. And what must not be in it.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod stage;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lb_core::console::password::{FILE, Record, SALT_BYTES};
use lb_core::control::*;
use serde_json::Value;
use stage::{APPLIANCE, FakeAgent, SERIAL, Terminal, answer, encode};

const CONFIG: &str = r#"
hostname = "lb" # console password: planted-comment
[[virtual_server]]
name = "web"
listen = "192.168.0.1:80"
[virtual_server.check]
type = "https"
path = "/health?key=planted-query"
headers = { X-Plain = "planted-header", Authorization = "Bearer planted-bearer" }
client_key = """
-----BEGIN PRIVATE KEY-----
planted-key
-----END PRIVATE KEY-----
"""
send = "planted-agent"
"#;

/// An agent whose every word is full of secrets.
fn leaky(request: &Request) -> Vec<u8> {
    let response = match request {
        Request::ConfigShow { .. } => Response::Config(ConfigText {
            path: "/config/lb.toml".into(),
            text: CONFIG.into(),
        }),
        Request::Events { .. } => Response::Error {
            message: "it said planted-agent, planted-header and $argon2id$v=19$m=8,t=1,p=1$planted$planted"
                .into(),
        },
        Request::ConfigHistory => Response::History(HistoryReport {
            entries: vec![],
            problems: vec![
                "Authorization: Basic planted-basic".into(),
                "Cookie: planted-cookie".into(),
            ],
        }),
        Request::ConfigDiff { .. } => match answer(request) {
            Response::Diff(report) => Response::Diff(DiffReport {
                text: vec!["+ x = \"planted-difference\"".into()],
                ..report
            }),
            other => other,
        },
        Request::Status => match answer(request) {
            Response::Status(mut report) => {
                report.problems = vec!["the server says planted-bearer; `checks` tells more".into()];
                Response::Status(report)
            }
            other => other,
        },
        other => answer(other),
    };
    encode(&response)
}

fn applctl(agent: &FakeAgent, words: &[&str]) -> String {
    let output = Command::new(APPLIANCE)
        .arg("applctl")
        .arg("--socket")
        .arg(&agent.socket)
        .args(words)
        .env("LB_CONFIG_DIRECTORY", agent.volume())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Does what the output says, in a directory with that session.
fn turned_back(session: &str, directory: &Path) {
    std::fs::write(directory.join("session.log"), session).unwrap();
    let commands: Vec<&str> = session
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("sed ") || line.starts_with("echo "))
        .collect();
    let [decode, verify] = commands[..] else {
        panic!("{session}");
    };
    for command in [decode, verify, "tar xzf lb-support.tar.gz"] {
        let status = Command::new("sh")
            .args(["-c", command])
            .current_dir(directory)
            .status();
        assert!(status.unwrap().success(), "{command}");
    }
}

#[test]
fn what_was_sent_is_turned_back_and_holds_no_secret() {
    let agent = FakeAgent::start(leaky);
    agent.write_init_report(&InitReport::default());
    std::fs::create_dir(agent.volume()).unwrap();
    let password = Record::new(b"planted password", [7; SALT_BYTES], Duration::from_mins(1)).text();
    std::fs::write(agent.volume().join(FILE), &password).unwrap();
    let hash = password.lines().find(|line| line.contains("$argon2id$")).unwrap();
    // Wherever it comes from: also out of a file that a start would read.
    let applied = format!("hostname = \"lb\" # {hash}\n");
    std::fs::write(agent.volume().join("lb.applied.toml"), applied).unwrap();
    let hash = hash.rsplit_once("p=1$").unwrap().1;
    let session = applctl(&agent, &["support-bundle"]);
    let directory = tempfile::tempdir().unwrap();
    turned_back(&session, directory.path());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory.path().join("lb-support")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("planted"), "{}: {text}", path.display());
        assert!(!text.is_empty(), "{}", path.display());
        assert!(!text.contains(hash), "{}: {text}", path.display());
        names.push(path.file_name().unwrap().to_string_lossy().into_owned());
    }
    assert!(!names.iter().any(|name| name == FILE));
    for expected in [
        "version.txt",
        "status.txt",
        "services.txt",
        "checks.txt",
        "doctor.txt",
        "events.txt",
        "log.txt",
        "interfaces.txt",
        "gateway.txt",
        "counters.json",
        "lb.toml",
        "history.txt",
        "ruleset.txt",
        "ipvs.txt",
        "sysctls.txt",
        "init.json",
        "neighbours.txt",
        "routes.txt",
        "kernel.txt",
    ] {
        assert!(names.iter().any(|name| name == expected), "{expected}: {names:?}");
    }
    let read = |name: &str| std::fs::read_to_string(directory.path().join("lb-support").join(name)).unwrap();
    assert!(read("lb.toml").contains("Authorization = \"(not shown)\""));
    assert!(read("status.txt").contains("the server says (not shown); `checks` tells more"));
    assert!(read("services.txt").contains("172.16.0.11:30080"));
    assert!(read("sysctls.txt").contains("net/ipv4/ip_forward = "));
}

/// A line that is cut in a middle of a file shows: the sum does not agree.
#[test]
fn json_has_the_same_and_the_list_sends_nothing() {
    let agent = FakeAgent::start(leaky);
    let document: Value = serde_json::from_str(&applctl(&agent, &["support-bundle", "--json"])).unwrap();
    assert_eq!(document["archive"]["name"], "lb-support.tar.gz");
    assert_eq!(document["archive"]["sha256"].as_str().unwrap().len(), 64);
    let list: Value =
        serde_json::from_str(&applctl(&agent, &["support-bundle", "--list", "--json"])).unwrap();
    assert_eq!(list["archive"], Value::Null);
    assert_eq!(
        list["files"].as_array().unwrap().len(),
        document["files"].as_array().unwrap().len()
    );
    let text = applctl(&agent, &["support-bundle", "--list"]);
    assert!(
        text.contains("lb.toml") && text.contains("without its secrets"),
        "{text}"
    );
    assert!(!text.contains("=== BEGIN"));
}

#[test]
fn without_an_agent_it_has_what_the_kernel_knows() {
    let agent = FakeAgent::absent();
    let session = applctl(&agent, &["support-bundle"]);
    let directory = tempfile::tempdir().unwrap();
    turned_back(&session, directory.path());
    let read = |name: &str| std::fs::read_to_string(directory.path().join("lb-support").join(name)).unwrap();
    assert!(read("status.txt").starts_with("not known: the agent is not running"));
    assert!(read("routes.txt").len() > 10 && read("kernel.txt").contains("MemTotal"));
}

/// The terminal turns line feeds into CR LF, which the command takes out again; and Ctrl-C ends it.
#[test]
fn a_serial_line_carries_it_and_can_be_interrupted() {
    let agent = FakeAgent::start(leaky);
    let mut terminal = Terminal::start(SERIAL, &agent);
    let session = terminal.command("support-bundle");
    assert!(session.contains("=== END lb-support.tar.gz"));
    let directory = tempfile::tempdir().unwrap();
    turned_back(&session, directory.path());
    assert!(directory.path().join("lb-support/lb.toml").exists());
}
