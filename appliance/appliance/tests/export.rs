//! `config export` and `config import` on a terminal and as a program: what is sent out of a session's log, by the command that it names, is taken in again.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod stage;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use lb_core::control::*;
use serde_json::Value;
use stage::{APPLIANCE, FakeAgent, SERIAL, Terminal, answer, encode, export};

fn fed(agent: &FakeAgent, words: &[&str], input: &[u8]) -> Output {
    let mut program = Command::new(APPLIANCE)
        .arg("applctl")
        .arg("--socket")
        .arg(&agent.socket)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    program.stdin.take().unwrap().write_all(input).unwrap();
    program.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    let words: Vec<&str> = str::from_utf8(&output.stderr)
        .unwrap()
        .split_whitespace()
        .collect();
    words.join(" ")
}

/// What was put in force, and under which terms.
fn imported(agent: &FakeAgent) -> Vec<(String, Terms)> {
    let asked = agent.asked().into_iter().filter_map(|request| match request {
        Request::ConfigImport { text, terms } => Some((text, terms)),
        _ => None,
    });
    asked.collect()
}

fn as_typed(text: &str) -> String {
    text.replace('\n', "\r")
}

#[test]
fn on_a_terminal_it_is_asked_before_keys_are_sent_and_the_log_gives_the_text_back() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    terminal.send("config export\r");
    terminal.expect("the private key client.key");
    terminal.expect("> ");
    terminal.send("yes\r");
    terminal.expect("nothing was sent: the word was not typed");
    terminal.prompt();
    // In another form it has the same keys.
    terminal.send("config export --json\r");
    terminal.expect("the private key client.key");
    terminal.expect("> ");
    terminal.send("no\r");
    terminal.expect("nothing was sent: the word was not typed");
    terminal.prompt();
    assert!(!String::from_utf8_lossy(&terminal.output()).contains("BEGIN PRIVATE KEY"));
    terminal.send("config export\r");
    terminal.expect("anything else sends\r\nnothing");
    terminal.expect("> ");
    terminal.send("send\r");
    terminal.expect("end ");
    terminal.prompt();
    let directory = tempfile::tempdir().unwrap();
    let session = String::from_utf8(terminal.output()).unwrap();
    std::fs::write(directory.path().join("session.log"), &session).unwrap();
    let command = session
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with("sed "))
        .unwrap();
    let run = Command::new("sh")
        .args(["-c", command])
        .current_dir(directory.path())
        .status();
    assert!(run.unwrap().success());
    let text = std::fs::read_to_string(directory.path().join("lb.export")).unwrap();
    assert_eq!(text, export().text);
}

#[test]
fn as_a_program_it_prints_the_text_and_nothing_else() {
    let agent = FakeAgent::well();
    let output = fed(&agent, &["config", "export"], b"");
    assert!(output.status.success());
    assert_eq!(str::from_utf8(&output.stdout).unwrap(), export().text);
    let remarks = said(&output);
    for expected in [
        "It holds lb.toml, no drains, key client.key.",
        "ca.pem is left out",
        "Whoever has this text has the private key client.key.",
        "--without-keys",
    ] {
        assert!(remarks.contains(expected), "{remarks}");
    }
    let output = fed(&agent, &["config", "export", "--without-keys", "--json"], b"");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["text"], export().text);
    let without: Vec<Request> = agent.asked();
    assert_eq!(
        without,
        [
            Request::ConfigExport { without_keys: false },
            Request::ConfigExport { without_keys: true }
        ]
    );
}

#[test]
fn a_pasted_export_is_shown_asked_about_and_put_in_force() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    let text = export().text;
    terminal.send("config import --confirm 2m\r");
    terminal.expect("Paste the export; end it with a line that holds one dot.");
    // A blank line behind the dot is no answer.
    terminal.send(format!("{}.\r\r", as_typed(&text)));
    terminal.expect("The export is whole: of lb, version 0.1.0, made 2026-11-26 19:05:00 UTC, with 1\r\ncertificate or key.");
    terminal.expect("are the same");
    terminal.expect("anything else changes nothing");
    terminal.expect("> ");
    terminal.send("import\r");
    terminal.expect("OK. Applied, 1 step.");
    terminal.prompt();
    let taken = imported(&agent);
    assert!(taken.len() == 1 && taken[0].0 == text);
    let terms = &taken[0].1;
    assert_eq!(terms.confirm_ms, Some(120_000));
    assert_eq!(
        terms.over,
        Some(lb_core::config::fingerprint(b"hostname = \"lb\"\n"))
    );
}

#[test]
fn whoever_does_not_say_yes_has_changed_nothing() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    let text = as_typed(&export().text);
    for no in ["yes\r", "\r", "\x03"] {
        terminal.send("config import\r");
        terminal.expect("Ctrl-C gives up.");
        terminal.send(format!("{text}.\r"));
        terminal.expect("anything else changes nothing");
        terminal.expect("> ");
        terminal.send(no);
        terminal.expect("nothing was changed: the word was not typed");
        terminal.prompt();
    }
    terminal.send("config import\r");
    terminal.expect("Ctrl-C gives up.");
    terminal.send(&text);
    terminal.send("\x03");
    terminal.expect("given up; nothing was changed");
    terminal.prompt();
    assert!(imported(&agent).is_empty());
}

#[test]
fn what_is_not_whole_is_refused_before_the_agent_sees_it() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    let text = export().text;
    for (damaged, expected) in [
        (
            text.replace("hostname", "hostnam3"),
            "line 7: `lb.toml` (to line 8) has another SHA-256",
        ),
        (
            text[..text.len() - 30].to_owned() + "\n",
            "has another length or SHA-256",
        ),
        (
            text.lines().take(8).map(|line| format!("{line}\n")).collect(),
            "the text ends before its line `end`",
        ),
        (
            text.lines().take(9).map(|line| format!("{line}\n")).collect(),
            "`drains.toml` has 0 bytes, and was exported with 36",
        ),
        ("hostname = \"lb\"\n".to_owned(), "line 1: this is no export"),
    ] {
        terminal.send("config import\r");
        terminal.expect("Ctrl-C gives up.");
        terminal.send(format!("{}.\r", as_typed(&damaged)));
        terminal.expect("nothing was changed: the export cannot be used:");
        terminal.prompt();
        let session = String::from_utf8(terminal.output()).unwrap();
        let session: String = session.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(session.contains(expected), "{expected}\n{session}");
    }
    let output = fed(&agent, &["config", "import"], b"\xff\n.\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("line 1: this is no text (UTF-8)"),
        "{}",
        said(&output)
    );
    let asked = agent.asked();
    assert!(!asked.iter().any(|request| matches!(
        request,
        Request::ConfigImport { .. } | Request::ConfigImportDiff { .. }
    )));
}

#[test]
fn a_program_does_not_ask_and_a_dry_run_only_shows() {
    let agent = FakeAgent::well();
    let text = export().text;
    let output = fed(
        &agent,
        &["config", "import", "--comment", "moved"],
        text.as_bytes(),
    );
    assert!(output.status.success(), "{}", said(&output));
    let taken = imported(&agent);
    assert_eq!((taken.len(), taken[0].1.comment.as_deref()), (1, Some("moved")));
    let output = fed(
        &agent,
        &["config", "import", "--dry-run", "--json"],
        text.as_bytes(),
    );
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["check"]["ok"], true);
    assert_eq!(imported(&agent).len(), 1);
    assert!(matches!(
        agent.asked().last(),
        Some(Request::ConfigImportDiff { .. })
    ));
}

#[test]
fn an_export_whose_configuration_has_faults_asks_nothing() {
    let agent = FakeAgent::start(|request| {
        encode(&match (request, answer(request)) {
            (Request::ConfigImportDiff { .. }, Response::Diff(mut report)) => {
                report.check.ok = false;
                report.check.rendered = "lb.toml:3:1: a fault\n".to_owned();
                Response::Diff(report)
            }
            (_, other) => other,
        })
    });
    let mut terminal = Terminal::start(SERIAL, &agent);
    terminal.send("config import\r");
    terminal.expect("Ctrl-C gives up.");
    terminal.send(format!("{}.\r", as_typed(&export().text)));
    terminal.expect("lb.toml:3:1: a fault");
    terminal.prompt();
    assert!(imported(&agent).is_empty());
}

/// The machine of the test has no disk with that label, or the test may not look.
#[test]
fn without_a_disk_it_says_what_is_missing() {
    let agent = FakeAgent::well();
    let output = fed(&agent, &["config", "import", "--disk"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("there is no disk labelled LBSEED"),
        "{}",
        said(&output)
    );
    assert!(imported(&agent).is_empty());
}
