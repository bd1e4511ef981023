//! Urgent records of the kernel's log on a console's terminal: above what is typed, between the lines of commands, as a mark in a full screen, and at the lock.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod stage;

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use lb_core::console::lock::IDLE;
use lb_core::console::password::{FILE, Record};
use stage::{FakeAgent, Kind, SCREEN, SERIAL, Terminal, prompt, screen, screen_of, shows};

/// A datagram socket keeps the bounds of records as /dev/kmsg does.
struct Log(UnixDatagram);

impl Log {
    fn say(&self, text: &str) {
        self.0
            .send(format!("10,7,2500000,-;agent: {text}").as_bytes())
            .unwrap();
    }
}

fn begin(kind: Kind, agent: &FakeAgent, first: &str) -> (Terminal, Log) {
    let (reader, writer) = UnixDatagram::pair().unwrap();
    reader.set_nonblocking(true).unwrap();
    let terminal = Terminal::begin_with(kind, agent, first, Some(OwnedFd::from(reader)));
    (terminal, Log(writer))
}

fn start(kind: Kind, agent: &FakeAgent) -> (Terminal, Log) {
    let (mut terminal, log) = begin(kind, agent, "Type `help`");
    terminal.prompt();
    (terminal, log)
}

/// The last row and those above it.
fn ends(screen: &str) -> (String, Vec<String>) {
    let mut rows: Vec<String> = screen
        .trim_end()
        .lines()
        .map(|row| row.trim_end().to_owned())
        .collect();
    (rows.pop().unwrap_or_default(), rows)
}

fn line(text: &str) -> String {
    format!("{}{text}", prompt())
}

#[test]
fn a_half_typed_line_stays_whole_and_is_carried_out() {
    for kind in [SERIAL, SCREEN] {
        let agent = FakeAgent::well();
        let (mut terminal, log) = start(kind, &agent);
        // Wide characters, one made of two, and the cursor in the middle of them.
        terminal.send("explain \u{4e2d}\u{6587} e\u{301} nowhere\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D");
        let typed = line("explain \u{4e2d}\u{6587} e\u{301} nowhere");
        shows(&terminal, "what is typed", |screen| ends(screen).0 == typed);
        log.say("down \\x1b[2J\\x0d");
        shows(&terminal, "the message above", |screen| {
            let (last, above) = ends(screen);
            last == typed
                && above
                    .last()
                    .is_some_and(|row| row == "[    2.500000] agent: down ?[2J?")
        });
        terminal.send("X");
        let typed = line("explain \u{4e2d}\u{6587} e\u{301} Xnowhere");
        shows(&terminal, "the cursor where it was", |screen| {
            ends(screen).0 == typed
        });
        terminal.send("\x15\x0bservices nginx\r");
        terminal.expect("172.16.0.11:30080  up");
        terminal.prompt();
    }
}

#[test]
fn a_line_of_two_rows_stays_whole() {
    let agent = FakeAgent::well();
    let (mut terminal, log) = begin(
        Kind {
            size: (24, 40),
            ..SERIAL
        },
        &agent,
        "help",
    );
    terminal.prompt();
    let typed = format!("explain {}", "wide.".repeat(9));
    terminal.send(format!("{typed}\x1b[D\x1b[D\x1b[D"));
    let whole = line(&typed);
    let held = |what: &str, news: usize, whole: &str| {
        let begun = Instant::now();
        loop {
            let parser = screen_of(&terminal, 24, 40);
            let contents = parser.screen().rows(0, 40).collect::<Vec<_>>().join("\n");
            let (last, mut above) = ends(&contents);
            let last = format!("{}{last}", above.pop().unwrap_or_default());
            let shown = above
                .iter()
                .filter(|row| *row == "[    2.500000] agent: down")
                .count();
            let once = contents.matches("explain").count() == 1;
            if last == whole.trim_end() && shown == news && once {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{what}:\n{contents}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    held("what is typed", 0, &whole);
    log.say("down");
    held("the message above", 1, &whole);
    terminal.send("X");
    let at = whole.len() - 3;
    held(
        "the cursor where it was",
        1,
        &format!("{}X{}", &whole[..at], &whole[at..]),
    );
}

#[test]
fn a_flood_is_a_few_lines_and_a_number_and_keys_go_on() {
    let agent = FakeAgent::well();
    let (mut terminal, log) = start(SERIAL, &agent);
    terminal.send("serv");
    for n in 0..300 {
        log.say(&format!("flood {n}"));
    }
    shows(&terminal, "a number", |screen| screen.contains(" more: `log`"));
    shows(&terminal, "the line", |screen| ends(screen).0 == line("serv"));
    let count = screen(&terminal).matches("agent: flood").count();
    assert!((5..15).contains(&count), "{count} lines of 300");
    terminal.send("ices nginx\r");
    terminal.expect("172.16.0.11:30080  up");
    terminal.prompt();
}

#[test]
fn a_search_that_takes_no_lines_takes_keys() {
    let agent = FakeAgent::well();
    let (mut terminal, log) = start(SERIAL, &agent);
    assert!(terminal.command("services nginx").contains("up"));
    terminal.send("\x12serv");
    terminal.expect("reverse-i-search");
    for n in 0..3 {
        log.say(&format!("searched {n}"));
        std::thread::sleep(Duration::from_millis(300));
    }
    terminal.send("\x03");
    shows(&terminal, "all of them, later", |screen| {
        (0..3).all(|n| screen.contains(&format!("searched {n}"))) && ends(screen).0 == prompt().trim_end()
    });
    terminal.send("services nginx\r");
    terminal.expect("172.16.0.11:30080  up");
    terminal.prompt();
}

#[test]
fn the_editor_has_a_mark_and_the_lines_come_when_it_is_left() {
    let agent = FakeAgent::well();
    let (terminal, log) = start(SCREEN, &agent);
    terminal.send("config edit\r");
    shows(&terminal, "the editor", |screen| screen.starts_with("lb.toml"));
    log.say("one");
    shows(&terminal, "a mark", |screen| {
        screen
            .lines()
            .next()
            .is_some_and(|row| row.trim_end().ends_with("1 message: see log"))
            && !screen.contains("agent: one")
    });
    log.say("two");
    shows(&terminal, "another mark", |screen| {
        screen.contains("2 messages: see log")
    });
    terminal.send("\x18");
    shows(&terminal, "the lines", |screen| {
        let (last, above) = ends(screen);
        above
            .iter()
            .filter(|row| row.contains("agent: one") || row.contains("agent: two"))
            .count()
            == 2
            && last == prompt().trim_end()
    });
}

#[test]
fn top_has_a_mark_and_the_lines_come_when_it_is_left() {
    let agent = FakeAgent::well();
    let (terminal, log) = start(SCREEN, &agent);
    terminal.send("top\r");
    shows(&terminal, "top", |screen| screen.contains("nginx"));
    log.say("one");
    shows(&terminal, "a mark", |screen| {
        screen.contains("1 message: see log")
    });
    terminal.send("q");
    shows(&terminal, "the line", |screen| {
        screen.contains("agent: one") && ends(screen).0 == prompt().trim_end()
    });
}

#[test]
fn at_the_lock_lines_stand_above_the_question_and_nothing_that_is_typed() {
    let agent = FakeAgent::well();
    fs::create_dir(agent.volume()).unwrap();
    let record = Record::new(b"geheim", [1; 16], *IDLE.start());
    fs::write(agent.volume().join(FILE), record.text()).unwrap();
    let (mut terminal, log) = begin(SERIAL, &agent, "Password: ");
    terminal.send("geh");
    std::thread::sleep(Duration::from_millis(100));
    log.say("down");
    shows(&terminal, "the line above the question", |screen| {
        let (last, above) = ends(screen);
        last == "Password:" && above.last().is_some_and(|row| row.ends_with("agent: down"))
    });
    assert_eq!(screen(&terminal).matches("Password:").count(), 1);
    assert!(!screen(&terminal).contains("geh"));
    terminal.send("eim\r");
    terminal.expect("Unlocked.");
    terminal.prompt();
}
