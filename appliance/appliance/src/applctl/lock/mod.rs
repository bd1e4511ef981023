//! The lock of one console: watches how long nothing is typed, hides the screen behind a question for the password, and opens with it. It needs no agent. The parts:
//! `secret` (a line that is not shown) and `screen` (what is). When it locks and opens is decided by `lb_core::console`. Must not: let anything but the password
//! open it: a signal, a lost line and a fault all leave it locked.

mod screen;
mod secret;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lb_core::console::lock::{Attempt, Lock};
use lb_core::console::password::{Record, Stored};
use lb_core::control::{ConsoleNews, INIT_REPORT, Request};
use lb_init::password_file::PasswordFile;
use log::Level;

use super::client::ask_within;
use super::execute::Places;
use super::input::{Came, Input};
use super::interrupt::Interrupt;
use super::render::Screen;
pub use screen::attempts;
pub use secret::{Reader, Secret};

/// How soon a password is noticed that was set or removed at another console.
const GLANCE: Duration = Duration::from_secs(30);
/// Keys may come one by one: the file is not read for each.
const KNOWN_FOR: Duration = Duration::from_secs(5);
/// For the agent to take note; a lock must not wait for it.
const NOTE_PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Guard {
    lock: Lock,
    /// Also when the disk does not answer.
    file: PasswordFile,
    known: Option<(Instant, Stored)>,
    ignored_mark: PathBuf,
    socket: PathBuf,
    pending_mark: PathBuf,
    /// The machine's name as it is when it is asked for: lb.toml may change it.
    hostname: fn() -> String,
    /// `console ttyS0`.
    who: String,
    screen: Screen,
}

impl Guard {
    /// Of a console that begins: locked if there is a password.
    pub fn new(places: &Places, hostname: fn() -> String, who: &str, screen: Screen) -> Guard {
        let now = Instant::now();
        let mut guard = Guard {
            lock: Lock::open(now),
            file: PasswordFile::new(places.volume(), places.runtime()),
            known: None,
            ignored_mark: places.ignored_mark(),
            socket: places.socket.clone(),
            pending_mark: places.pending_mark(),
            hostname,
            who: who.to_owned(),
            screen,
        };
        if *guard.read(now) != Stored::None {
            guard.lock.lock();
        }
        guard
    }

    pub fn key(&mut self, now: Instant) {
        self.lock.key(now);
    }

    /// The next look locks it.
    pub fn lock(&mut self) {
        self.lock.lock();
    }

    /// How long until it has to be looked at again; nothing is left: it is locked.
    pub fn left(&mut self, now: Instant) -> Duration {
        if self.lock.is_locked() {
            return Duration::ZERO;
        }
        let Some(idle) = self.known(now).idle() else {
            return GLANCE;
        };
        if self.lock.due(idle) > now {
            return self.lock.due(idle).saturating_duration_since(now).min(GLANCE);
        }
        match self.read(now).idle() {
            Some(idle) if self.lock.look(idle, now) => Duration::ZERO,
            Some(idle) => self.lock.due(idle).saturating_duration_since(now).min(GLANCE),
            None => GLANCE,
        }
    }

    fn known(&mut self, now: Instant) -> &Stored {
        let is_known = |(at, _): &(Instant, Stored)| now.saturating_duration_since(*at) < KNOWN_FOR;
        if self.known.as_ref().is_some_and(is_known) {
            return self.known.as_ref().map_or(&Stored::None, |(_, stored)| stored);
        }
        self.read(now)
    }

    fn read(&mut self, now: Instant) -> &Stored {
        let (stored, told) = match self.ignored_mark.exists() {
            true => (Stored::None, None),
            false => self.file.stored(),
        };
        if let Some(told) = told {
            note(&format!("{}: {told}", self.who));
        }
        &self.known.insert((now, stored)).1
    }

    /// What the file says now, or said when it could be read last.
    pub fn stored(&mut self) -> Stored {
        self.read(Instant::now()).clone()
    }

    /// What is known may be another now.
    pub fn forget(&mut self) {
        self.known = None;
    }

    /// A password that an open console asks for, or a locked one.
    pub fn attempt(&mut self, record: &Record, password: &[u8]) -> Attempt {
        attempt(&mut self.lock, record, password, &self.socket, &self.who)
    }

    /// Hides the screen until the password was typed (`Unlocked`). Whatever else ends it, it is still locked.
    pub fn hold(&mut self, input: &mut Input, interrupt: &Interrupt) -> io::Result<Came> {
        let mut reader = Reader::default();
        let mut whole = true;
        loop {
            let now = Instant::now();
            let stored = self.read(now).clone();
            if stored == Stored::None {
                self.lock.unguarded(now);
                say("\nThe password was removed.\n")?;
                return Ok(Came::Unlocked);
            }
            let text = match whole {
                true => self.picture(&stored),
                false => screen::PROMPT.to_owned(),
            };
            say(&text)?;
            whole = false;
            let password = match wait_for_line(&mut reader, input, interrupt)? {
                Secret::Ended => return Ok(Came::Ended),
                Secret::Interrupted => return Ok(Came::Interrupted),
                Secret::Line(password) => password,
                // Lines of the log were shown; the question is asked anew.
                Secret::TimedOut => continue,
                Secret::GivenUp => {
                    say("\n")?;
                    continue;
                }
            };
            // It may have been changed while nobody typed.
            let stored = self.read(Instant::now()).clone();
            let (Stored::Set(record), false) = (&stored, password.is_empty()) else {
                whole = true;
                continue;
            };
            let outcome = self.attempt(record, &password);
            say(&screen::answer(&outcome))?;
            match outcome {
                Attempt::Right { .. } => return Ok(Came::Unlocked),
                Attempt::Wrong { wait, .. } | Attempt::Early(wait) => {
                    if let Some(end) = reader.ignore(input, interrupt, wait)? {
                        return Ok(end);
                    }
                }
            }
        }
    }

    fn picture(&self, stored: &Stored) -> String {
        let pending = super::configure::pending_for(&self.pending_mark);
        screen::picture(&(self.hostname)(), stored, pending, &self.screen)
    }
}

/// A line, however long it takes; `TimedOut`: lines of the log were shown. What is typed of the password stays, and nobody sees it.
fn wait_for_line(reader: &mut Reader, input: &mut Input, interrupt: &Interrupt) -> io::Result<Secret> {
    loop {
        let patience = input
            .news()
            .map(|news| news.left(Instant::now()).unwrap_or(GLANCE));
        match reader.line(input, interrupt, patience)? {
            Secret::TimedOut if !show_news(input)? => {}
            came => return Ok(came),
        }
    }
}

/// Lines of the log, above the question that is asked anew. Whether there were some.
fn show_news(input: &Input) -> io::Result<bool> {
    let Some(text) = input.news().and_then(|news| news.take(Instant::now())) else {
        return Ok(false);
    };
    say(&format!("\r\x1b[K{text}"))?;
    Ok(true)
}

/// Looks at a password, where it is its time, and tells what has to be told.
pub fn attempt(lock: &mut Lock, record: &Record, password: &[u8], socket: &Path, who: &str) -> Attempt {
    if let Some(left) = lock.waits(Instant::now()) {
        return Attempt::Early(left);
    }
    let is_right = record.is(password);
    let outcome = lock.attempt(is_right, Instant::now());
    match outcome {
        Attempt::Right { wrong } if wrong > 0 => tell(socket, who, ConsoleNews::Unlocked { wrong }),
        Attempt::Wrong {
            times, told: true, ..
        } => tell(socket, who, ConsoleNews::WrongPassword { times }),
        _ => {}
    }
    outcome
}

/// For the record: the agent makes an event of it. Without one it is in the log at least.
pub fn tell(socket: &Path, who: &str, news: ConsoleNews) {
    let request = Request::Console {
        console: who.to_owned(),
        news,
    };
    let told = Interrupt::install()
        .is_ok_and(|interrupt| ask_within(socket, &request, &interrupt, NOTE_PATIENCE).is_ok());
    if !told {
        note(&news.sentence(who));
    }
}

/// Elsewhere than on the appliance the kernel's log is somebody else's.
fn note(sentence: &str) {
    if Path::new(INIT_REPORT).exists() {
        lb_init::kmsg::install("applctl");
        lb_init::kmsg::write("applctl", Level::Warn, sentence);
    }
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    static RENAMED: AtomicBool = AtomicBool::new(false);

    fn hostname() -> String {
        let renamed = RENAMED.load(Ordering::Relaxed);
        if renamed { "lb2" } else { "lb" }.to_owned()
    }

    #[test]
    fn a_locked_screen_has_the_hostname_of_now() {
        let directory = tempfile::tempdir().unwrap();
        let places = Places::new(
            Some(directory.path().join("control.sock")),
            Some(directory.path().to_owned()),
        );
        let guard = Guard::new(&places, hostname, "console test", Screen::plain(80));
        assert!(guard.picture(&Stored::None).contains("lb is locked."));
        RENAMED.store(true, Ordering::Relaxed);
        assert!(guard.picture(&Stored::None).contains("lb2 is locked."));
    }
}
