//! `setup`, as somebody with a machine that has nothing goes through it.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod stage;

use std::sync::atomic::{AtomicUsize, Ordering};

use lb_core::control::*;
use stage::{FakeAgent, SERIAL, Terminal, card, encode, without_config};

/// An agent of a machine with two cards and no configuration.
fn bare(request: &Request) -> Vec<u8> {
    without_config(request, &[("eth1", "no-carrier"), ("eth0", "down")])
}

/// A machine that is met for the first time. The cable of eth0 is put in after the agent was asked twice: for the list, and for the first question.
fn plugged(request: &Request) -> Vec<u8> {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    match request {
        Request::Interfaces => {
            let eth0 = match ASKED.fetch_add(1, Ordering::Relaxed) {
                0 | 1 => "no-carrier",
                _ => "up",
            };
            encode(&Response::Interfaces(InterfacesReport {
                read_at_ms: 0,
                interfaces: vec![card("eth0", eth0), card("eth1", "up")],
            }))
        }
        other => bare(other),
    }
}

#[test]
fn a_cable_that_is_put_in_is_shown_at_the_next_question() {
    let agent = FakeAgent::start(plugged);
    let mut terminal = Terminal::start(SERIAL, &agent);
    terminal.send("setup\r");
    terminal.expect("1  eth0  52:54:00:00:00:04  no cable");
    terminal.expect("2  eth1  52:54:00:00:00:04  cable");
    // The one with a cable is offered.
    terminal.expect("the clients are [eth1]");
    terminal.send("eth0\r");
    terminal.expect("Now:");
    terminal.expect("1  eth0  52:54:00:00:00:04  cable");
    terminal.expect("Address of eth0");
    terminal.send("\x03");
    terminal.prompt();
}

/// Answers the question that begins so.
fn say(terminal: &mut Terminal, question: &str, line: &str) {
    terminal.expect(question);
    terminal.expect("> ");
    terminal.send(format!("{line}\r"));
}

/// Who is stuck is told the ways out, and who types a command that the questions have to end first.
#[test]
fn the_ways_out_are_told_again() {
    let agent = FakeAgent::start(bare);
    let mut terminal = Terminal::start(SERIAL, &agent);
    terminal.send("setup\r");
    say(&mut terminal, "Interface to the outside", "status");
    terminal.expect("command: Ctrl-C gives up these questions, then the prompt takes it");
    for word in ["eth7", "eth8"] {
        say(&mut terminal, "Interface to the outside", word);
    }
    terminal.expect("question before, and Ctrl-C gives up; nothing is changed so far");
    say(&mut terminal, "Interface to the outside", "1");
    say(&mut terminal, "Address of eth0", "");
    let said = terminal.expect("Address of eth0");
    assert!(
        said.contains("Not yet: this needs an answer. `back` goes to the question"),
        "{said}"
    );
    assert_eq!(said.matches("`back` goes").count(), 1, "{said}");
    say(&mut terminal, "such as", "back");
    terminal.expect("Interface to the outside");
    terminal.send("\x04");
    terminal.expect("nothing was changed");
    terminal.prompt();
    assert!(agent.put().is_empty());
}

#[test]
fn from_nothing_to_a_service() {
    let agent = FakeAgent::start(bare);
    let mut terminal = Terminal::start(SERIAL, &agent);
    terminal.send("setup\r");
    terminal.expect("1  eth0  52:54:00:00:00:04  off until lb.toml names it");
    terminal.expect("2  eth1  52:54:00:00:00:04  no cable");
    say(&mut terminal, "Interface to the outside", "");
    say(&mut terminal, "Address of eth0", "192.168.0.1");
    terminal.expect("Not yet: ");
    say(&mut terminal, "Address of eth0", "192.168.0.2/24");
    say(&mut terminal, "Gateway", "back");
    terminal.expect("[192.168.0.2/24]");
    terminal.expect("> ");
    terminal.send("192.168.0.1/24\r");
    say(&mut terminal, "Gateway", "none");
    say(&mut terminal, "Interface to the servers", "2");
    say(&mut terminal, "Address of eth1", "172.16.0.2\x7f254/24");
    say(&mut terminal, "(masquerade)", "yes");
    say(&mut terminal, "Name of a first service", "web");
    say(&mut terminal, "Where clients reach it", "");
    say(&mut terminal, "Its servers", "172.16.0.11:80 172.16.0.12:80");
    say(&mut terminal, "How they are checked", "http");
    terminal
        .expect("address = \"172.16.0.12:80\"\r\n\r\nThe servers' default gateway has to be 172.16.0.254");
    say(&mut terminal, "Put this in force", "yes");
    terminal.expect("OK. Applied");
    terminal.prompt();
    let put = agent.put();
    assert_eq!(put.len(), 1);
    for part in [
        "listen = \"192.168.0.1:80\"",
        "check = { type = \"http\" }",
        "addresses = [\"172.16.0.254/24\"]",
    ] {
        assert!(put[0].contains(part), "{part}: {}", put[0]);
    }
}

#[test]
fn whoever_gives_up_changes_nothing() {
    let agent = FakeAgent::start(bare);
    let mut terminal = Terminal::start(SERIAL, &agent);
    terminal.send("setup\r");
    say(&mut terminal, "Interface to the outside", "eth1");
    terminal.expect("Address of eth1");
    terminal.send("\x03");
    terminal.expect("nothing was changed");
    terminal.prompt();
    terminal.send("setup\r");
    for (question, line) in [
        ("Interface to the out", "1"),
        ("Address of", "10.0.0.1/8"),
        ("Gateway", ""),
        ("Interface to the ser", "1"),
        ("Name of", ""),
        ("Put this", "what"),
        ("Put this", "no"),
    ] {
        say(&mut terminal, question, line);
    }
    terminal.expect("nothing was changed; typing `setup` starts the questions again");
    terminal.prompt();
    assert!(agent.put().is_empty());
}

#[test]
fn a_machine_without_cards_says_so() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    assert!(terminal.command("setup").contains("has no network card"));
}
