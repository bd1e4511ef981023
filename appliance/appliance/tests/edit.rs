//! `config edit` on a terminal: what is typed and pasted, what is asked on leaving, and that no text is lost.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod stage;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use lb_core::config::fingerprint;
use lb_core::control::{ConfigText, Request, Response};
use stage::{FakeAgent, Kind, SCREEN, SERIAL, Terminal, answer, encode, find, screen, shows};

const ORIGINAL: &str = "hostname = \"lb\"\n";

/// An appliance whose lb.toml others can change, and which refuses as the agent does.
fn shared() -> (FakeAgent, Arc<Mutex<String>>) {
    let file = Arc::new(Mutex::new(ORIGINAL.to_owned()));
    let text = file.clone();
    let agent = FakeAgent::start(move |request| {
        let mut text = text.lock().unwrap();
        encode(&match request {
            Request::ConfigShow { .. } => Response::Config(ConfigText {
                path: "/nowhere/lb.toml".into(),
                text: text.clone(),
            }),
            Request::ConfigPut { terms, .. } if terms.over != Some(fingerprint(text.as_bytes())) => {
                Response::Error {
                    message: "somebody else has changed lb.toml meanwhile".into(),
                }
            }
            Request::ConfigPut { text: new, .. } => {
                new.clone_into(&mut text);
                answer(request)
            }
            other => answer(other),
        })
    });
    (agent, file)
}

fn edit(kind: Kind, agent: &FakeAgent) -> Terminal {
    let terminal = Terminal::start(kind, agent);
    terminal.send("config edit\r");
    shows(&terminal, "the editor", |screen| screen.starts_with("lb.toml"));
    terminal
}

/// Leaves, and applies.
fn apply(terminal: &mut Terminal) {
    terminal.send("\x18");
    shows(terminal, "what is changed", |screen| screen.contains("a apply"));
    terminal.send("a");
    terminal.expect("OK. Applied, 1 step.");
    terminal.prompt();
}

#[test]
fn a_fault_is_marked_told_and_mended() {
    let (agent, _) = shared();
    let mut terminal = edit(SERIAL, &agent);
    terminal.send("\x1b[Bhostnam = 1");
    shows(&terminal, "the fault", |screen| {
        screen.contains("  2! hostnam = 1") && screen.contains("did you mean `hostname`")
    });
    terminal.send("\x18");
    shows(&terminal, "the faults", |screen| {
        screen.contains("this cannot be applied") && !screen.contains("a apply")
    });
    terminal.send("e");
    shows(&terminal, "the text", |screen| {
        screen.starts_with("lb.toml changed")
    });
    // Ctrl-K takes the line, and the next one is typed with a completion.
    terminal.send("\x0b[timeo");
    shows(&terminal, "what was typed", |screen| screen.contains("[timeo"));
    terminal.send("\t");
    shows(&terminal, "the table", |screen| screen.contains("[timeouts]"));
    terminal.send("\rtcp = \"900s\"\r");
    shows(&terminal, "no fault", |screen| {
        screen.contains("tcp = \"900s\"") && !screen.contains('!')
    });
    apply(&mut terminal);
    assert_eq!(agent.put(), ["hostname = \"lb\"\n[timeouts]\ntcp = \"900s\"\n"]);
    assert!(
        find(&terminal.output(), b"\x1b[?2004h").is_none(),
        "nobody answered"
    );
    assert!(terminal.command("version").contains("0.1.0"));
}

#[test]
fn a_thousand_pasted_lines_lose_no_byte() {
    let text: String = (1..1000)
        .map(|n| format!("\t# {n}\t\tä€\u{1F600} [[virtual_server]] \"quoted\" \\ {n}\n"))
        .collect();
    let typed = text.replace('\n', "\r");
    let answers = Kind {
        answer: Some((24, 80)),
        ..SERIAL
    };
    for (kind, sent) in [
        (SERIAL, typed.clone()),
        (answers, format!("\x1b[200~{typed}\x1b[201~")),
    ] {
        let (agent, _) = shared();
        let mut terminal = edit(kind, &agent);
        assert_eq!(
            find(&terminal.output(), b"\x1b[?2004h").is_some(),
            kind.answer.is_some()
        );
        terminal.send(sent);
        shows(&terminal, "the end", |screen| screen.contains("line 1000/1001"));
        apply(&mut terminal);
        assert!(agent.put() == [format!("{text}{ORIGINAL}")]);
    }
}

#[test]
fn a_lost_line_costs_no_text() {
    let (agent, file) = shared();
    let terminal = edit(SCREEN, &agent);
    terminal.send("# not \x1b[24;80Rlost\rhostnam = 1\r");
    shows(&terminal, "the text", |screen| screen.contains("  3  hostname"));
    let device = terminal.device.replace("/dev/", "").replace('/', "-");
    let draft: PathBuf = agent.socket.with_file_name(format!("lb.draft.{device}.toml"));
    terminal.hang_up();
    let kept = std::fs::read_to_string(&draft).unwrap();
    assert!(
        kept.ends_with("\n# not lost\nhostnam = 1\nhostname = \"lb\"\n"),
        "{kept}"
    );
    // Another terminal is offered it, and leaves it once.
    "hostname = \"other\"\n".clone_into(&mut file.lock().unwrap());
    let mut terminal = Terminal::start(SCREEN, &agent);
    terminal.send("config edit\r");
    shows(&terminal, "the offer", |screen| screen.contains("c continue it"));
    terminal.send("l");
    terminal.expect("the draft is kept");
    terminal.prompt();
    terminal.send("config edit\r");
    shows(&terminal, "the offer", |screen| screen.contains("+# not lost"));
    terminal.send("c");
    shows(&terminal, "the draft", |screen| {
        screen.starts_with("lb.toml draft") && screen.contains("has been changed since this draft")
    });
    shows(&terminal, "its fault", |screen| {
        screen.contains("  2! hostnam = 1")
    });
    terminal.send("\x1b[B\x0b\x1b[1;5F# more");
    shows(&terminal, "its end", |screen| screen.contains("# more"));
    apply(&mut terminal);
    assert_eq!(agent.put(), ["# not lost\nhostname = \"lb\"\n# more"]);
    let left = std::fs::read_dir(draft.parent().unwrap()).unwrap();
    let left: Vec<_> = left.flatten().map(|entry| entry.file_name()).collect();
    assert!(
        !left.iter().any(|name| name.to_string_lossy().contains("draft")),
        "{left:?}"
    );
}

#[test]
fn what_somebody_else_has_changed_is_noticed() {
    let (agent, file) = shared();
    let mut terminal = edit(SCREEN, &agent);
    terminal.send("# mine\r");
    "# theirs\n".clone_into(&mut file.lock().unwrap());
    terminal.send("\x13");
    shows(&terminal, "their change", |screen| {
        screen.contains("Somebody else") && screen.contains("+# theirs")
    });
    terminal.send("o");
    shows(&terminal, "both changes", |screen| {
        screen.contains("-# theirs") && screen.contains("+# mine")
    });
    // Between the question and the answer, too.
    "# again\n".clone_into(&mut file.lock().unwrap());
    terminal.send("a");
    shows(&terminal, "their change", |screen| screen.contains("+# again"));
    terminal.send("o");
    shows(&terminal, "both changes", |screen| screen.contains("-# again"));
    terminal.send("a");
    terminal.expect("OK. Applied, 1 step.");
    terminal.prompt();
    assert_eq!(*file.lock().unwrap(), "# mine\nhostname = \"lb\"\n");
}

#[test]
fn a_text_that_the_disk_does_not_take_is_told_and_stays() {
    let (why, folded) = (
        "the config volume is full; remove files from it",
        "config volume is full",
    );
    let agent = FakeAgent::start(move |request| {
        let mut response = match request {
            Request::ConfigShow { .. } => Response::Config(ConfigText {
                path: "/nowhere/lb.toml".into(),
                text: ORIGINAL.to_owned(),
            }),
            other => answer(other),
        };
        if let Response::Apply(report) = &mut response {
            (report.applied, report.persisted) = (false, false);
            report.persist_fault = Some(why.to_owned());
        }
        encode(&response)
    });
    let terminal = edit(SERIAL, &agent);
    terminal.send("# a\r\x18");
    shows(&terminal, "what is changed", |screen| screen.contains("a apply"));
    terminal.send("a");
    shows(&terminal, "why not", |screen| {
        screen.contains("  1  # a")
            && screen.contains("Not applied: it could not be saved")
            && screen.contains(folded)
    });
}

#[test]
fn it_is_applied_on_trial_left_as_a_draft_or_thrown_away() {
    let (agent, _) = shared();
    let mut terminal = edit(SCREEN, &agent);
    terminal.send("\x18");
    terminal.expect("Nothing was changed.");
    terminal.prompt();
    terminal.send("config edit --comment why\r");
    shows(&terminal, "the editor", |screen| screen.contains("  1  hostname"));
    terminal.send("# a\r");
    shows(&terminal, "the text", |screen| screen.contains("  1  # a"));
    terminal.send("\x11");
    shows(&terminal, "what is changed", |screen| {
        screen.contains("c apply, confirm later")
    });
    terminal.send("t");
    shows(&terminal, "the question", |screen| {
        screen.contains("This would be lost")
    });
    terminal.send("n");
    shows(&terminal, "the keys", |screen| {
        screen.contains("That key does nothing here: y or e") && screen.contains("This would be lost")
    });
    terminal.send("e");
    shows(&terminal, "the text", |screen| screen.contains("  1  # a"));
    terminal.send("\x18");
    shows(&terminal, "what is changed", |screen| {
        screen.contains("d leave a draft")
    });
    terminal.send("d");
    terminal.expect("`config edit` goes on with it");
    terminal.prompt();
    terminal.send("config edit --comment why\r");
    shows(&terminal, "the offer", |screen| {
        screen.contains("is the draft that was kept") && screen.contains("c continue it")
    });
    terminal.send("t");
    shows(&terminal, "the question", |screen| {
        screen.contains("This draft would be lost")
    });
    terminal.send("c\x18");
    shows(&terminal, "what is changed", |screen| {
        screen.contains("d leave a draft")
    });
    terminal.send("c");
    shows(&terminal, "the time", |screen| {
        screen.contains("unless confirmed: 2m")
    });
    // A slip stays where it was made, and so does what mends it.
    terminal.send("20x\r");
    shows(&terminal, "why not", |screen| {
        screen.contains("`20x` is no time from 1s to 1h") && screen.contains("unless confirmed: 20x")
    });
    terminal.send("\x7fs\r");
    terminal.expect("OK. ");
    terminal.prompt();
    let asked = agent.asked().into_iter().rev();
    let terms = asked.filter_map(|request| match request {
        Request::ConfigPut { terms, .. } => Some((terms.confirm_ms, terms.comment)),
        _ => None,
    });
    assert_eq!(
        terms.collect::<Vec<_>>(),
        [(Some(20_000), Some("why".to_owned()))]
    );
    // Thrown away: nothing is put, and no draft is left.
    terminal.send("config edit\r");
    shows(&terminal, "the editor", |screen| screen.contains("  2  hostname"));
    terminal.send("# b\r\x18");
    shows(&terminal, "what is changed", |screen| {
        screen.contains("t throw away")
    });
    terminal.send("t");
    shows(&terminal, "the question", |screen| {
        screen.contains("This would be lost")
    });
    terminal.send("y");
    terminal.expect("Nothing was changed.");
    terminal.prompt();
    assert_eq!(agent.put().len(), 1);
}

/// Pastes a text after `config put`; what is said of it.
fn paste(terminal: &mut Terminal, text: &[u8]) -> String {
    paste_after(terminal, "config put", text)
}

fn paste_after(terminal: &mut Terminal, command: &str, text: &[u8]) -> String {
    terminal.send(format!("{command}\r"));
    terminal.expect("Ctrl-C gives up.");
    terminal.send([text, b"\r.\r"].concat());
    terminal.expect("received");
    let said = terminal.expect(&stage::prompt());
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_paste_with_faults_is_the_draft_that_is_offered() {
    let (agent, _) = shared();
    let mut terminal = Terminal::start(SCREEN, &agent);
    for (command, text) in [
        ("config put --dry-run", &b"# first\rhostname = \"\xff\""[..]),
        ("config put", b"# again\rhostname = \"\xff\""),
    ] {
        let said = paste_after(&mut terminal, command, text);
        assert!(
            said.contains("What you pasted is kept as a draft; `config edit` offers it"),
            "{said}"
        );
    }
    terminal.send("config edit\r");
    shows(&terminal, "the offer of the last one", |screen| {
        screen.contains("is what `config put` refused") && screen.contains("+# again")
    });
    terminal.send("c");
    shows(&terminal, "the draft", |screen| {
        screen.starts_with("lb.toml draft") && screen.contains("  1  # again")
    });
    terminal.send("# typed\r\x18");
    shows(&terminal, "its fault", |screen| {
        screen.contains("d leave a draft")
    });
    terminal.send("d");
    terminal.expect("The draft is kept");
    terminal.prompt();
    // What somebody has typed is not given up for a paste.
    let said = paste(&mut terminal, b"hostname = \"\xff\"");
    assert!(
        said.contains("What you pasted is not kept: there is a draft already,") && said.contains("lb.draft."),
        "{said}"
    );
    terminal.send("config edit\r");
    shows(&terminal, "what was typed", |screen| screen.contains("+# typed"));
    assert!(agent.put().is_empty());
}

#[test]
fn a_paste_that_was_mended_elsewhere_leaves_no_draft() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SCREEN, &agent);
    let said = paste(&mut terminal, b"hostname = \"\xff\"");
    assert!(said.contains("What you pasted is kept as a draft"), "{said}");
    let said = paste(&mut terminal, b"hostname = \"x\"");
    assert!(said.contains("OK. Applied"), "{said}");
    terminal.send("config edit\r");
    shows(&terminal, "the editor", |screen| screen.contains("  1  hostname"));
}

#[test]
fn another_text_is_begun_with_in_the_place_of_lb_toml() {
    let agent = FakeAgent::start(|request| {
        encode(&match request {
            Request::ConfigShow { kept } => Response::Config(ConfigText {
                path: "/nowhere/lb.toml".into(),
                text: kept.map_or_else(|| ORIGINAL.to_owned(), |kept| format!("# {kept}\n")),
            }),
            other => answer(other),
        })
    });
    for word in ["12", "returned", "pending", "sample"] {
        let mut terminal = Terminal::start(SCREEN, &agent);
        terminal.send(format!("config edit {word}\r"));
        shows(&terminal, "that text", |screen| {
            screen.starts_with("lb.toml changed") && screen.contains(&format!("  1  # {word}"))
        });
        terminal.send("\x18");
        shows(&terminal, "what it changes", |screen| {
            screen.contains(&format!("+# {word}")) && screen.contains("-hostname")
        });
        terminal.send("a");
        terminal.expect("OK. Applied, 1 step.");
        terminal.prompt();
        let made = agent.asked().into_iter().rev().find_map(|request| match request {
            Request::ConfigPut { terms, .. } => terms.made,
            _ => None,
        });
        assert_eq!(made, Some(format!("edit of {word}")));
        assert_eq!(agent.put().last(), Some(&format!("# {word}\n")));
    }
    let mut terminal = Terminal::start(SCREEN, &agent);
    let said = terminal.command("config edit last");
    assert!(said.contains("`sample`, not `last`"), "{said}");
}

#[test]
fn a_window_that_has_changed_is_asked_for() {
    let (agent, _) = shared();
    let small = Kind {
        answer: Some((10, 40)),
        ..SERIAL
    };
    let terminal = edit(small, &agent);
    assert_eq!(terminal.size(), (10, 40));
    assert!(screen(&terminal).contains("^X leave  ^F find  ^Z undo  ^Y redo"));
    let before = terminal.output().len();
    terminal.send("\x0c");
    shows(&terminal, "it is drawn anew", |_| {
        find(&terminal.output()[before..], b"\x1b[6n").is_some()
            && find(&terminal.output()[before..], b"\x1b[2J\x1b[1;1Hlb.toml").is_some()
    });
}
