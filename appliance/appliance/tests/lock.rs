//! The lock of a console on a pseudo-terminal: what opens it, what does not, and that work goes on where it was.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod stage;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use lb_core::console::IGNORED;
use lb_core::console::lock::IDLE;
use lb_core::console::password::{FILE, Record};
use lb_core::control::{ConsoleNews, Request};
use stage::{FakeAgent, SCREEN, SERIAL, Terminal, find, screen, shows};

const PASSWORD: &str = "gr\u{fc}ne Wiese 7";
const LOCK: &str = "is locked.";
const QUESTION: &str = "Password: ";

/// An appliance whose consoles have a password, and lock as soon as they may.
fn guarded() -> FakeAgent {
    let agent = FakeAgent::well();
    fs::create_dir(agent.volume()).unwrap();
    let record = Record::new(PASSWORD.as_bytes(), [1; 16], *IDLE.start());
    fs::write(agent.volume().join(FILE), record.text()).unwrap();
    agent
}

fn news(agent: &FakeAgent) -> Vec<ConsoleNews> {
    let news = agent.asked().into_iter().filter_map(|request| match request {
        Request::Console { news, .. } => Some(news),
        _ => None,
    });
    news.collect()
}

fn unlock(terminal: &mut Terminal) {
    terminal.send(format!("{PASSWORD}\r"));
    terminal.expect("Unlocked.");
}

/// From the lock with which a console begins to its first prompt.
fn opened(agent: &FakeAgent) -> Terminal {
    let mut terminal = Terminal::begin(SERIAL, agent, QUESTION);
    unlock(&mut terminal);
    terminal.expect("IPVS load balancer");
    terminal.prompt();
    terminal
}

#[test]
fn a_password_is_set_changed_and_removed_and_never_shown() {
    let agent = FakeAgent::well();
    fs::create_dir(agent.volume()).unwrap();
    let mut terminal = Terminal::start(SERIAL, &agent);
    assert!(terminal.command("console password").contains("no password"));
    assert!(
        terminal
            .command("console lock")
            .contains("without a password nothing locks")
    );
    assert!(
        terminal
            .command("console idle 5m")
            .contains("there is no password")
    );
    terminal.send(format!("console password set\r{PASSWORD}\rsomething else\r"));
    terminal.expect("these were two different passwords");
    terminal.prompt();
    terminal.send("console password set\r\r");
    terminal.expect("an empty password is none");
    terminal.prompt();
    terminal.send("console password set\r");
    terminal.expect("New password: ");
    terminal.send(format!("{PASSWORD}\r"));
    terminal.expect("The same again: ");
    terminal.send(format!("{PASSWORD}\r"));
    terminal.expect("OK. Each console asks for it");
    terminal.prompt();
    let path = agent.volume().join(FILE);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(agent.volume()).unwrap().count(), 1);
    assert!(
        terminal
            .command("console idle 1s")
            .contains("takes a time from 10s to 24h")
    );
    assert!(
        terminal
            .command("console idle 90s")
            .contains("locks after 90 seconds")
    );
    assert!(
        terminal
            .command("console password --json")
            .contains("\"idle_s\": 90")
    );
    let file = path.display().to_string();
    assert!(
        terminal
            .command(&format!("config check {file}"))
            .contains("is shown nowhere")
    );
    // Whoever passes cannot change it, or take it away.
    terminal.send("console password remove\rguess\r");
    terminal.expect("this is not the password; the next one is looked at in 1 s");
    terminal.prompt();
    terminal.send(format!("console password remove\r{PASSWORD}\r"));
    terminal.expect("after a wrong password the next one has to wait");
    terminal.prompt();
    assert!(path.exists());
    std::thread::sleep(Duration::from_secs(1));
    terminal.send(format!("console password remove\r{PASSWORD}\r"));
    terminal.expect("OK. No console locks any more.");
    terminal.prompt();
    assert!(!path.exists());
    assert!(find(&terminal.output(), b"Wiese").is_none() && find(&terminal.output(), b"$argon2").is_none());
    assert_eq!(
        news(&agent),
        [
            ConsoleNews::PasswordSet,
            ConsoleNews::Idle { seconds: 90 },
            ConsoleNews::WrongPassword { times: 1 },
            ConsoleNews::Unlocked { wrong: 1 },
            ConsoleNews::PasswordRemoved,
        ]
    );
}

#[test]
fn mistakes_are_explained() {
    let agent = FakeAgent::well();
    let mut terminal = Terminal::start(SERIAL, &agent);
    assert!(
        terminal
            .command("console")
            .contains("needs one of password, idle or lock")
    );
    assert!(
        terminal
            .command("console pasword")
            .contains("did you mean `password`?")
    );
    assert!(
        terminal
            .command("console password rmove")
            .contains("did you mean `remove`?")
    );
    assert!(
        terminal
            .command("console password remove")
            .contains("there is no password to remove")
    );
    assert!(
        terminal
            .command("help console password")
            .contains("forget-password")
    );
    terminal.send("console password \t");
    terminal.expect("set");
    terminal.expect("remove");
}

#[test]
fn a_console_begins_locked_and_only_the_password_opens_it() {
    let agent = guarded();
    let mut terminal = Terminal::begin(SERIAL, &agent, LOCK);
    terminal.expect("Ctrl-O");
    terminal.expect(QUESTION);
    // Ctrl-D, Ctrl-Z, Ctrl-\, BREAK, the answer of a slow terminal, and what is typed ahead.
    terminal.send("\x04\x1a\x1c\x00\x1b[24;80R\x03");
    terminal.expect(QUESTION);
    terminal.send("guess\rstatus\r");
    let begun = Instant::now();
    terminal.expect("Wrong. The next one is looked at in 1 s; what is typed before then is lost.");
    terminal.send(format!("{PASSWORD}\r"));
    terminal.expect(QUESTION);
    assert!(begun.elapsed() >= Duration::from_millis(900));
    terminal.send("\r");
    terminal.expect(LOCK);
    terminal.expect(QUESTION);
    assert!(find(&terminal.output(), b"IPVS load balancer").is_none());
    unlock(&mut terminal);
    terminal.expect("1 wrong password was typed here");
    terminal.expect("OK. 2 services");
    terminal.prompt();
    assert!(terminal.is_running());
    assert_eq!(
        news(&agent),
        [
            ConsoleNews::WrongPassword { times: 1 },
            ConsoleNews::Unlocked { wrong: 1 }
        ]
    );
}

#[test]
fn it_locks_at_once_when_it_is_told_to_and_throws_away_what_was_typed_ahead() {
    let agent = guarded();
    let mut terminal = opened(&agent);
    terminal.send("console lock\rversion\r");
    terminal.expect(LOCK);
    terminal.expect(QUESTION);
    std::thread::sleep(Duration::from_millis(300));
    unlock(&mut terminal);
    terminal.prompt();
    assert!(
        find(&terminal.output(), b"Kernel").is_none(),
        "nobody who knows the password typed it"
    );
    // A password that was removed elsewhere opens with the next Enter.
    terminal.send("console lock\r");
    terminal.expect(QUESTION);
    fs::remove_file(agent.volume().join(FILE)).unwrap();
    terminal.send("\r");
    terminal.expect("The password was removed.");
    terminal.prompt();
}

#[test]
fn a_prompt_that_is_left_alone_locks_and_forgets_its_line() {
    let agent = guarded();
    let mut terminal = opened(&agent);
    terminal.send("reboo");
    let begun = Instant::now();
    terminal.expect(LOCK);
    let after = begun.elapsed();
    assert!(after >= *IDLE.start() - Duration::from_millis(500), "{after:?}");
    unlock(&mut terminal);
    terminal.prompt();
    assert!(terminal.command("version").contains("Kernel"));
}

/// It is changed at another console while this one is locked.
#[test]
fn only_the_password_that_is_set_now_opens() {
    let agent = guarded();
    let mut terminal = Terminal::begin(SERIAL, &agent, QUESTION);
    let record = Record::new(b"another one", [2; 16], *IDLE.start());
    fs::write(agent.volume().join(FILE), record.text()).unwrap();
    terminal.send(format!("{PASSWORD}\r"));
    terminal.expect("Wrong.");
    terminal.expect(QUESTION);
    terminal.send("another one\r");
    terminal.expect("Unlocked.");
    terminal.expect("IPVS load balancer");
    terminal.prompt();
}

#[test]
fn top_locks_and_goes_on() {
    let agent = guarded();
    let mut terminal = opened(&agent);
    terminal.send("top\r");
    terminal.expect("SERVICE");
    terminal.expect(LOCK);
    terminal.expect(QUESTION);
    shows(&terminal, "nothing but the lock", |screen| {
        screen.contains(QUESTION.trim_end()) && !screen.contains("nginx")
    });
    unlock(&mut terminal);
    terminal.expect("SERVICE");
    shows(&terminal, "the services", |screen| screen.contains("nginx"));
    terminal.send("q");
    terminal.prompt();
}

#[test]
fn an_edit_locks_and_is_there_again_with_its_text() {
    let agent = guarded();
    let mut terminal = opened(&agent);
    terminal.send("config edit\r");
    shows(&terminal, "the editor", |screen| screen.starts_with("lb.toml"));
    terminal.send("# half a thought");
    shows(&terminal, "its text", |screen| {
        screen.contains("# half a thought")
    });
    terminal.expect(LOCK);
    shows(&terminal, "nothing of the text", |screen| {
        !screen.contains("half a thought")
    });
    let draft = fs::read_dir(agent.volume()).unwrap().flatten();
    let draft = draft
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().contains("lb.draft."));
    let draft = fs::read_to_string(draft.expect("it was kept before")).unwrap();
    assert!(draft.contains("# half a thought"), "{draft}");
    unlock(&mut terminal);
    shows(&terminal, "the same editor", |screen| {
        screen.contains("# half a thought")
    });
    terminal.send(" and more");
    shows(&terminal, "what is typed", |screen| {
        screen.contains("# half a thought and more")
    });
    assert!(!screen(&terminal).contains("locked"));
}

#[test]
fn a_put_that_waits_for_its_text_locks_and_loses_none_of_it() {
    let agent = guarded();
    let mut terminal = opened(&agent);
    terminal.send("config put\r");
    terminal.expect("one dot");
    terminal.send("hostname = \"lb\"\r");
    terminal.expect(LOCK);
    // What a stranger types is no text.
    terminal.send(".\r");
    terminal.expect("Wrong.");
    terminal.expect(QUESTION);
    unlock(&mut terminal);
    terminal.expect("Go on with the text: 1 line");
    terminal.send("[[interface]]\rname = \"eth0\"\r.\r");
    terminal.expect("OK. Applied");
    terminal.prompt();
    assert_eq!(
        agent.put(),
        ["hostname = \"lb\"\n[[interface]]\nname = \"eth0\"\n"]
    );
}

/// Somebody types on, and means other questions.
#[test]
fn what_follows_a_wrong_password_is_no_command_and_no_attempt() {
    let agent = guarded();
    let mut terminal = opened(&agent);
    terminal.send("console password set\rguess\rversion\rversion\r");
    terminal.expect("this is not the password");
    terminal.prompt();
    assert!(terminal.command("console password").contains("locks"));
    assert!(find(&terminal.output(), b"Kernel").is_none());
    // Typed ahead of the lock, while a command runs: none of it is looked at as a password.
    std::thread::sleep(Duration::from_secs(1));
    terminal.send("console lock\rone\rtwo\r");
    terminal.expect(QUESTION);
    std::thread::sleep(Duration::from_millis(300));
    unlock(&mut terminal);
    terminal.prompt();
    let wrong = news(&agent);
    assert_eq!(
        wrong,
        [
            ConsoleNews::WrongPassword { times: 1 },
            ConsoleNews::Unlocked { wrong: 1 }
        ]
    );
}

/// Two people are at it.
#[test]
fn what_was_changed_meanwhile_is_not_replaced() {
    let agent = guarded();
    let mut terminal = opened(&agent);
    let file = agent.volume().join(FILE);
    let other = Record::new(b"another one", [2; 16], *IDLE.start()).text();
    terminal.send("console password set\r");
    terminal.expect("Present password: ");
    terminal.send(format!("{PASSWORD}\r"));
    terminal.expect("New password: ");
    terminal.send("mine\r");
    terminal.expect("The same again: ");
    fs::write(&file, &other).unwrap();
    terminal.send("mine\r");
    terminal.expect("nothing was changed: the password was changed at another console meanwhile");
    terminal.prompt();
    assert_eq!(fs::read_to_string(&file).unwrap(), other);
}

/// It could not be removed, and does not count in this boot; one that is set counts again.
#[test]
fn a_password_that_does_not_count_locks_nothing() {
    let agent = guarded();
    let mark = agent.socket.with_file_name(IGNORED);
    fs::write(&mark, "at the boot menu").unwrap();
    let mut terminal = Terminal::start(SERIAL, &agent);
    assert!(terminal.command("console password").contains("no password"));
    terminal.send("console password set\r");
    terminal.expect("New password: ");
    terminal.send("mine\r");
    terminal.expect("The same again: ");
    terminal.send("mine\r");
    terminal.expect("OK. Each console asks for it");
    terminal.prompt();
    assert!(!mark.exists());
    terminal.send("console lock\r");
    terminal.expect(QUESTION);
    terminal.send("mine\r");
    terminal.expect("Unlocked.");
    terminal.prompt();
}

/// A disk that does not answer is no reason to take another password, or none.
#[test]
fn a_file_that_cannot_be_read_any_more_still_counts_as_it_was() {
    let agent = guarded();
    let mut terminal = opened(&agent);
    let file = agent.volume().join(FILE);
    fs::remove_file(&file).unwrap();
    // What cannot be read, also by root.
    fs::create_dir(&file).unwrap();
    terminal.send("console lock\r");
    terminal.expect(QUESTION);
    unlock(&mut terminal);
    terminal.prompt();
    terminal.send("console password remove\rguess\r");
    terminal.expect("this is not the password");
    terminal.prompt();
}

#[test]
fn a_damaged_file_locks_and_says_the_way_back() {
    let agent = guarded();
    fs::write(agent.volume().join(FILE), "lb console password 1\nidle 60\n").unwrap();
    let mut terminal = Terminal::begin(SCREEN, &agent, LOCK);
    let shown = terminal.expect(QUESTION);
    assert!(
        shown.contains("(it is not\r\ncomplete)") || shown.contains("(it is not complete)"),
        "{shown}"
    );
    assert!(shown.contains("forget-password"), "{shown}");
    terminal.send(format!("{PASSWORD}\r"));
    terminal.expect(LOCK);
    terminal.expect(QUESTION);
    assert!(find(&terminal.output(), b"IPVS").is_none());
    // A lost line ends it; the next one begins locked.
    terminal.hang_up();
}
