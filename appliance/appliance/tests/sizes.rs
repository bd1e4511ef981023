//! Terminals that are no 24 by 80: one that says nothing of its size, a very small one, and a wide one. Lines are wrapped or cut to the columns, and nothing ends.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod stage;

use std::fs;

use lb_core::console::lock::IDLE;
use lb_core::console::password::{FILE, Record};
use lb_core::control::Request;
use stage::{FakeAgent, Kind, Terminal, without_config};

/// Rows and columns, and those that lines may have: a terminal without a size is taken for one of 80.
const SIZES: [((u16, u16), usize); 3] = [((0, 0), 80), ((10, 40), 40), ((60, 200), 200)];

fn kind(size: (u16, u16)) -> Kind {
    Kind {
        size,
        answer: None,
        colour: false,
    }
}

fn two_cards(request: &Request) -> Vec<u8> {
    without_config(request, &[("eth0", "up"), ("eth1", "no-carrier")])
}

/// Of what has come since `mark` bytes; what the line editor paints is its own.
fn assert_fits(terminal: &Terminal, mark: usize, columns: usize, what: &str) {
    let output = terminal.output();
    let text = String::from_utf8_lossy(&output[mark..]).into_owned();
    let wide = text
        .split(['\r', '\n'])
        .filter(|line| !line.contains('\x1b'))
        .find(|line| line.chars().count() > columns);
    assert_eq!(wide, None, "{what}, {columns} columns:\n{text}");
}

#[test]
fn setup_wraps() {
    for (size, columns) in SIZES {
        let agent = FakeAgent::start(two_cards);
        let mut terminal = Terminal::start(kind(size), &agent);
        let mark = terminal.output().len();
        terminal.send("setup\r");
        for (question, line) in [
            ("Interface", ""),
            ("Address of eth0", "192.168.0.1"),
            ("Not yet", "192.168.0.1/24"),
            ("Gateway", ""),
            ("Interface to the", "eth1"),
            ("Address of eth1", "172.16.0.254/24"),
            ("May the", ""),
            ("Name of", "none"),
        ] {
            terminal.expect(question);
            terminal.expect("> ");
            terminal.send(format!("{line}\r"));
        }
        terminal.expect("Put this");
        terminal.expect("> ");
        assert_fits(&terminal, mark, columns, "setup");
        terminal.send("\x03");
        terminal.expect("nothing was changed");
        terminal.prompt();
    }
}

#[test]
fn the_lock_wraps() {
    for (size, columns) in SIZES {
        let agent = FakeAgent::well();
        fs::create_dir(agent.volume()).unwrap();
        let record = Record::new(b"green", [1; 16], *IDLE.start());
        fs::write(agent.volume().join(FILE), record.text()).unwrap();
        let mut terminal = Terminal::begin(kind(size), &agent, "Password: ");
        assert_fits(&terminal, 0, columns, "the lock");
        terminal.send("green\r");
        terminal.expect("Unlocked.");
        terminal.prompt();
    }
}

#[test]
fn the_editor_opens_and_leaves() {
    for (size, _) in SIZES {
        let agent = FakeAgent::well();
        let mut terminal = Terminal::start(kind(size), &agent);
        terminal.send("config edit\r");
        terminal.expect("lb.toml");
        terminal.expect("hostname");
        terminal.send("\x1b[6~\x1b[B\x1b[5~\x07\x06x\r");
        terminal.send("\x18");
        terminal.prompt();
        assert!(terminal.command("help").contains("status"));
    }
}
