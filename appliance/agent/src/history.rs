//! What has happened to servers, services and the network, with the reasons: a ring of the last events, kept beside lb.toml over
//! reboots in two files of bounded size. A power cut costs the last seconds of it. Must not: decide, or make the loop wait for a disk.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lb_core::control::{EventReport, EventsReport};
use log::Level;

use crate::engine::Engine;

/// That many are known at most, and told.
const MOST: usize = 1_000;
/// The file that is being written, and the one before it.
pub use lb_core::files::EVENTS as EVENTS_FILE;
use lb_core::files::OLDER_EVENTS as OLDER_FILE;
/// One file's size; there are two.
const MOST_BYTES: u64 = 128 << 10;
/// What has come together in so much time is written at once: flash wears by the write.
const WRITE_AFTER: Duration = Duration::from_secs(3);
/// Of one event (bytes); the rest of a longer one is left out.
const LONGEST: usize = 400;

#[derive(Debug)]
pub struct History {
    ring: VecDeque<EventReport>,
    /// Lines that are not on their way to the disk yet.
    unwritten: String,
    write_at: Option<Instant>,
    orders: Sender<String>,
}

impl History {
    pub fn start(directory: &Path) -> io::Result<History> {
        let ring = read(directory);
        let (orders, todo) = mpsc::channel();
        let directory = directory.to_owned();
        let named = thread::Builder::new().name("history".to_owned());
        named.spawn(move || write_all(&todo, &directory))?;
        Ok(History {
            ring,
            unwritten: String::new(),
            write_at: None,
            orders,
        })
    }

    fn note(&mut self, level: Level, text: &str, now: Instant) {
        let mut end = text.len().min(LONGEST);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let event = EventReport {
            unix_s: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            level: word(level).to_owned(),
            text: text[..end].replace(['\n', '\t'], " "),
        };
        // A storm of events writes no more than is kept.
        if (self.unwritten.len() as u64) < MOST_BYTES {
            self.unwritten.push_str(&written(&event));
        }
        self.write_at.get_or_insert(now + WRITE_AFTER);
        if self.ring.len() == MOST {
            self.ring.pop_front();
        }
        self.ring.push_back(event);
    }

    pub fn next_write(&self) -> Option<Instant> {
        self.write_at
    }

    /// Hands over to the disk what is due.
    pub fn write_due(&mut self, now: Instant) {
        if self.write_at.is_some_and(|at| now >= at) {
            self.write_at = None;
            // The thread ends with the process only.
            let _ = self.orders.send(std::mem::take(&mut self.unwritten));
        }
    }

    /// The last ones, the oldest first; of those that name this server or service.
    pub fn report(&self, last: usize, about: Option<&str>) -> EventsReport {
        let wanted = |event: &&EventReport| about.is_none_or(|about| names(&event.text, about));
        let mut events: Vec<EventReport> = self
            .ring
            .iter()
            .rev()
            .filter(wanted)
            .take(last)
            .cloned()
            .collect();
        events.reverse();
        EventsReport { events }
    }
}

/// Whether a text has this as a word of its own. An address without its port names all of its ports.
fn names(text: &str, about: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    text.match_indices(about).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + about.len()..].chars().next();
        !before.is_some_and(|c| is_part(c) || c == ':') && !after.is_some_and(is_part)
    })
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info | Level::Debug | Level::Trace => "info",
    }
}

fn written(event: &EventReport) -> String {
    format!("{}\t{}\t{}\n", event.unix_s, event.level, event.text)
}

/// A line that a power cut has damaged is left out.
fn parse(line: &str) -> Option<EventReport> {
    let mut parts = line.splitn(3, '\t');
    let (unix_s, level, text) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
    let known = ["error", "warning", "info"].contains(&level);
    known.then(|| EventReport {
        unix_s,
        level: level.to_owned(),
        text: text.to_owned(),
    })
}

fn read(directory: &Path) -> VecDeque<EventReport> {
    let mut ring = VecDeque::new();
    for name in [OLDER_FILE, EVENTS_FILE] {
        let Ok(file) = File::open(directory.join(name)) else {
            continue;
        };
        let mut bytes = Vec::new();
        // What cannot be read is not there.
        let _ = file.take(2 * MOST_BYTES).read_to_end(&mut bytes);
        ring.extend(String::from_utf8_lossy(&bytes).lines().filter_map(parse));
    }
    let surplus = ring.len().saturating_sub(MOST);
    ring.drain(..surplus);
    ring
}

fn write_all(todo: &Receiver<String>, directory: &Path) {
    let mut told = false;
    for lines in todo {
        let outcome = append(directory, &lines);
        if let Err(error) = &outcome
            && !told
        {
            log::warn!("events are not kept over a reboot: {EVENTS_FILE}: {error}");
        }
        told = outcome.is_err();
    }
}

fn append(directory: &Path, lines: &str) -> io::Result<()> {
    let path: PathBuf = directory.join(EVENTS_FILE);
    let full = fs::metadata(&path).is_ok_and(|data| data.len() + lines.len() as u64 > MOST_BYTES);
    if full {
        fs::rename(&path, directory.join(OLDER_FILE))?;
    }
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    file.write_all(lines.as_bytes())?;
    file.sync_data()
}

impl Engine {
    /// Says it to the log, and keeps it.
    pub fn tell(&mut self, level: Level, text: &str) {
        log::log!(level, "{text}");
        self.history.note(level, text, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eventually_on_disk(directory: &Path, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !fs::read_to_string(directory.join(EVENTS_FILE)).is_ok_and(|have| have.contains(text)) {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn events_are_known_after_a_restart_and_damage_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let now = Instant::now();
        let mut history = History::start(dir.path()).unwrap();
        history.note(Level::Warn, "server 10.0.0.1:80 of web is down:\tno\nanswer", now);
        history.note(Level::Info, "server 10.0.0.1:80 of web is up", now);
        assert_eq!(history.next_write(), Some(now + WRITE_AFTER));
        history.write_due(now + WRITE_AFTER);
        assert_eq!(history.next_write(), None);
        eventually_on_disk(dir.path(), "is up");
        let mut file = OpenOptions::new()
            .append(true)
            .open(dir.path().join(EVENTS_FILE))
            .unwrap();
        file.write_all(b"17\tinf\xff\xff\x00\n99\twarning\tlast\n1234")
            .unwrap();
        let again = History::start(dir.path()).unwrap().report(10, None).events;
        let texts: Vec<&str> = again.iter().map(|event| event.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "server 10.0.0.1:80 of web is down: no answer",
                "server 10.0.0.1:80 of web is up",
                "last"
            ]
        );
        assert_eq!(again[0].level, "warning");
    }

    #[test]
    fn the_ring_and_the_files_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let now = Instant::now();
        let mut history = History::start(dir.path()).unwrap();
        let long = "x".repeat(2 * LONGEST) + "ü";
        for n in 0..3 * MOST {
            history.note(Level::Info, &format!("{n} {long}"), now);
        }
        let all = history.report(usize::MAX, None).events;
        assert_eq!(all.len(), MOST);
        assert!(all.iter().all(|event| event.text.len() <= LONGEST));
        assert!(all.last().unwrap().text.starts_with("2999 "));
        assert_eq!(history.report(2, None).events, all[MOST - 2..]);
        for _ in 0..4 {
            append(dir.path(), &history.unwritten).unwrap();
        }
        let size = |name| fs::metadata(dir.path().join(name)).unwrap().len();
        assert!(size(EVENTS_FILE) <= MOST_BYTES + 500 && size(OLDER_FILE) <= MOST_BYTES + 500);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_name_is_a_whole_word() {
        let text = "server 172.16.0.11:30080 of web-2 is down";
        for about in ["172.16.0.11:30080", "172.16.0.11", "web-2"] {
            assert!(names(text, about), "{about}");
        }
        for about in ["172.16.0.1", "6.0.11", "web", "3008", "30080"] {
            assert!(!names(text, about), "{about}");
        }
    }
}
