//! What printk would have written to this console: urgent records of the kernel's log, read here so that they do not stand in the middle of what is typed
//! (decision 30). The first few of a flood are lines, the others a number. Must not: print, or decide when a line may be shown.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lb_init::CONSOLE_LOG_VARIABLE;
use rustix::stdio::dup2_stdin;

use crate::applctl::kmsg::{Next, Record, next};
use crate::applctl::render::clean;

/// Lines of a window that are shown; what comes in it besides is counted.
const FIRST: usize = 5;
const WINDOW: Duration = Duration::from_secs(2);
/// KERN_EMERG is never held back: printk has written it itself.
const PRINTKS_OWN: u8 = 0;
/// Records that are read without looking at the keys.
const AT_ONCE: usize = 1_000;

/// The news of one console, for whoever has the terminal at the moment.
#[derive(Debug, Clone)]
pub struct News(Arc<(OwnedFd, Mutex<Reader>)>);

#[derive(Debug)]
struct Reader {
    log: File,
    /// Records of a level below this are shown.
    level: u8,
    waiting: Waiting,
}

impl News {
    /// Where init says that standard input is the log; that becomes the terminal. `None`: a console that init has not started.
    pub fn inherited() -> io::Result<Option<News>> {
        let told = std::env::var(CONSOLE_LOG_VARIABLE).ok();
        let Some(level) = told.and_then(|level| level.parse().ok()) else {
            return Ok(None);
        };
        let log = io::stdin().as_fd().try_clone_to_owned()?;
        dup2_stdin(io::stdout())?;
        News::of(log, level).map(Some)
    }

    fn of(log: OwnedFd, level: u8) -> io::Result<News> {
        let reader = Reader {
            log: File::from(log.try_clone()?),
            level,
            waiting: Waiting::default(),
        };
        Ok(News(Arc::new((log, Mutex::new(reader)))))
    }

    /// What has come and may be shown now, as whole lines.
    pub fn take(&self, now: Instant) -> Option<String> {
        let mut reader = self.reader();
        reader.gather(now);
        reader.waiting.take(now)
    }

    /// The same at the end of what has held all of it back.
    pub fn take_all(&self, now: Instant) -> Option<String> {
        let mut reader = self.reader();
        reader.gather(now);
        reader.waiting.take_all()
    }

    /// What has come was shown in another way.
    pub fn forget(&self, now: Instant) {
        let _ = self.take_all(now);
    }

    /// How many wait.
    pub fn count(&self, now: Instant) -> u64 {
        let mut reader = self.reader();
        reader.gather(now);
        reader.waiting.count()
    }

    /// How long until there is something to show though nothing more comes.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        let due = self.reader().waiting.due(now)?;
        Some(due.saturating_duration_since(now))
    }

    fn reader(&self) -> MutexGuard<'_, Reader> {
        self.0.1.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for News {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

impl Reader {
    fn gather(&mut self, now: Instant) {
        for _ in 0..AT_ONCE {
            // A log that cannot be read has nothing to show; `log` says why.
            let Ok(Next::Record(record)) = next(&mut self.log) else {
                return;
            };
            if record.level > PRINTKS_OWN && record.level < self.level {
                self.waiting.add(|| line(&record), now);
            }
        }
    }
}

/// As printk writes it.
fn line(record: &Record) -> String {
    let at = record.at;
    format!(
        "[{:5}.{:06}] {}\n",
        at.as_secs(),
        at.subsec_micros(),
        clean(&record.text)
    )
}

/// The mark of a full screen, where no line can be shown.
pub fn mark(count: u64) -> Option<String> {
    match count {
        0 => None,
        1 => Some(" 1 message: see log ".to_owned()),
        _ => Some(format!(" {count} messages: see log ")),
    }
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<String>,
    more: u64,
    /// When the window began, and how many of its records are lines.
    window: Option<(Instant, usize)>,
}

impl Waiting {
    fn add(&mut self, line: impl FnOnce() -> String, now: Instant) {
        let over = |(begun, _): &(Instant, usize)| now.saturating_duration_since(*begun) >= WINDOW;
        if self.window.as_ref().is_none_or(over) && self.more == 0 {
            self.window = Some((now, 0));
        }
        let (_, shown) = self.window.get_or_insert((now, 0));
        if *shown < FIRST && self.lines.len() < FIRST && self.more == 0 {
            *shown += 1;
            self.lines.push(line());
        } else {
            self.more += 1;
        }
    }

    fn due(&self, now: Instant) -> Option<Instant> {
        if !self.lines.is_empty() {
            return Some(now);
        }
        let (begun, _) = self.window.filter(|_| self.more > 0)?;
        Some(begun + WINDOW)
    }

    fn take(&mut self, now: Instant) -> Option<String> {
        let is_over = self.window.is_some_and(|(begun, _)| begun + WINDOW <= now);
        if is_over {
            return self.take_all();
        }
        let text = std::mem::take(&mut self.lines).concat();
        (!text.is_empty()).then_some(text)
    }

    fn take_all(&mut self) -> Option<String> {
        let mut text = std::mem::take(&mut self.lines).concat();
        match std::mem::take(&mut self.more) {
            0 => {}
            more => {
                text += &format!("{more} more: `log`\n");
                self.window = None;
            }
        }
        (!text.is_empty()).then_some(text)
    }

    fn count(&self) -> u64 {
        self.more + u64::try_from(self.lines.len()).unwrap_or(u64::MAX)
    }
}

/// Standard output of a command: lines of the log go between its own.
pub struct Between<W> {
    out: W,
    news: Option<News>,
    at_start: bool,
}

impl<W: io::Write> Between<W> {
    pub fn new(out: W, news: Option<News>) -> Between<W> {
        Between {
            out,
            news,
            // Enter has just been typed.
            at_start: true,
        }
    }
}

impl<W: io::Write> io::Write for Between<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_text = !moves_cursor(bytes);
        if self.at_start
            && is_text
            && let Some(text) = self.news.as_ref().and_then(|news| news.take(Instant::now()))
        {
            self.out.write_all(text.as_bytes())?;
        }
        let length = self.out.write(bytes)?;
        if let Some(last) = bytes[..length].last() {
            self.at_start = is_text && *last == b'\n';
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What moves the cursor draws a picture, or asks the terminal. Colours do not (ECMA-48, SGR).
fn moves_cursor(bytes: &[u8]) -> bool {
    bytes.split(|byte| *byte == 0x1b).skip(1).any(|rest| {
        let Some(rest) = rest.strip_prefix(b"[") else {
            return true;
        };
        let end = rest.iter().find(|byte| !byte.is_ascii_digit() && **byte != b';');
        end != Some(&b'm')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixDatagram;

    fn news() -> (News, UnixDatagram) {
        let (reader, writer) = UnixDatagram::pair().unwrap();
        reader.set_nonblocking(true).unwrap();
        (News::of(OwnedFd::from(reader), 3).unwrap(), writer)
    }

    #[test]
    fn what_printk_would_have_written_is_shown_and_no_escape_sequence() {
        let (news, writer) = news();
        for text in [
            "14,1,0,-;agent: info",
            "10,2,2500000,-;agent: down \\x1b[2J\\x0d",
            "3,3,0,-;IPVS: no destination",
            "8,4,0,-;printk writes this itself",
            "1,5,3000000,-;kernel alert",
        ] {
            writer.send(text.as_bytes()).unwrap();
        }
        let shown = "[    2.500000] agent: down ?[2J?\n[    3.000000] kernel alert\n";
        assert_eq!(news.take(Instant::now()).as_deref(), Some(shown));
        assert_eq!(news.take(Instant::now()), None);
    }

    #[test]
    fn a_flood_is_a_few_lines_and_a_number() {
        let begun = Instant::now();
        let mut waiting = Waiting::default();
        for n in 0..300 {
            waiting.add(|| format!("{n}\n"), begun);
        }
        assert_eq!((waiting.count(), waiting.due(begun)), (300, Some(begun)));
        assert_eq!(waiting.take(begun).as_deref(), Some("0\n1\n2\n3\n4\n"));
        assert_eq!(waiting.take(begun + WINDOW / 2), None);
        assert_eq!(waiting.due(begun), Some(begun + WINDOW));
        waiting.add(|| "late\n".to_owned(), begun + WINDOW);
        let end = begun + WINDOW;
        assert_eq!(waiting.take(end).as_deref(), Some("296 more: `log`\n"));
        assert_eq!(waiting.due(end), None);
        waiting.add(|| "next\n".to_owned(), end);
        assert_eq!(waiting.take(end).as_deref(), Some("next\n"));
    }

    #[test]
    fn what_is_held_back_for_long_stays_small() {
        let mut waiting = Waiting::default();
        let begun = Instant::now();
        for n in 0..60 {
            waiting.add(|| format!("{n}\n"), begun + WINDOW * n);
        }
        assert_eq!(
            waiting.take_all().as_deref(),
            Some("0\n1\n2\n3\n4\n55 more: `log`\n")
        );
        assert_eq!(mark(waiting.count()), None);
        assert_eq!(mark(2).as_deref(), Some(" 2 messages: see log "));
    }

    #[test]
    fn lines_go_between_those_of_a_command_and_never_into_one() {
        let (news, writer) = news();
        let mut out = Between::new(Vec::new(), Some(news));
        let say = || writer.send(b"10,2,2500000,-;agent: down").unwrap();
        out.write_all(b"one\ntw").unwrap();
        say();
        out.write_all(b"o\n").unwrap();
        out.write_all(b"\x1b[1;31mthree\x1b[0m\n").unwrap();
        say();
        out.write_all(b"\x1b[H picture").unwrap();
        let shown = String::from_utf8(out.out).unwrap();
        assert_eq!(
            shown,
            "one\ntwo\n[    2.500000] agent: down\n\x1b[1;31mthree\x1b[0m\n\x1b[H picture"
        );
    }
}
