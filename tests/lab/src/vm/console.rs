//! The serial console of a VM from the operator's side: a transcript, a model of the screen, typing, and waiting for
//! what appears. Must not: know the appliance's commands, or sleep a guess.

use std::fmt;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use regex::Regex;

use super::transcript::Transcript;
use crate::{LabError, Result};

/// What an unconfigured serial terminal has.
const ROWS: NonZero<u16> = NonZero::new(24).expect("24 is not 0");
const COLUMNS: NonZero<u16> = NonZero::new(80).expect("80 is not 0");
/// 115,200 baud with start and stop bits, in pieces of a tenth of a second: pasting is not faster than a real line.
const PASTE_BYTES: usize = 1152;
const PASTE_PAUSE: Duration = Duration::from_millis(100);
/// The kernel's last words, after which nothing that is waited for will come.
const PANIC: &str = "Kernel panic - not syncing";

struct State {
    transcript: Transcript,
    parser: vte::Parser,
    screen: vt100::Parser,
    /// When something was drawn last.
    drawn: Instant,
    /// The other end of the line is gone.
    closed: bool,
    /// Where the last match ended.
    seen: usize,
    /// Whether questions for the cursor's position are answered.
    answers: bool,
    mirror: Option<Box<dyn Write + Send>>,
}

/// One serial line.
pub struct Console {
    state: Arc<(Mutex<State>, Condvar)>,
    line: UnixStream,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").finish_non_exhaustive()
    }
}

impl Console {
    /// Reads `line` from now on until it ends.
    pub fn new(line: UnixStream) -> Result<Console> {
        let state = State {
            transcript: Transcript::default(),
            parser: vte::Parser::new(),
            screen: vt100::Parser::new(ROWS, COLUMNS, 0),
            drawn: Instant::now(),
            closed: false,
            seen: 0,
            answers: true,
            mirror: None,
        };
        let state = Arc::new((Mutex::new(state), Condvar::new()));
        let reader = line.try_clone().map_err(LabError::io("clone a socket"))?;
        let shared = Arc::clone(&state);
        std::thread::spawn(move || read_until_closed(reader, &shared));
        Ok(Console { state, line })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .0
            .lock()
            .expect("no thread panics with the console locked")
    }

    /// Everything so far as plain text.
    pub fn text(&self) -> String {
        self.lock().transcript.text()
    }

    /// The screen as it stands, 24 rows.
    pub fn screen(&self) -> String {
        self.lock().screen.screen().contents()
    }

    /// The rows of the screen as a person sees them, once nothing was drawn for so long; blanks at the ends are left out.
    pub fn still_screen(&self, still: Duration, limit: Duration) -> Result<String> {
        let started = Instant::now();
        loop {
            let (rows, left) = {
                let state = self.lock();
                let rows = rows(state.screen.screen());
                (rows, still.saturating_sub(state.drawn.elapsed()))
            };
            if left.is_zero() {
                return Ok(rows);
            }
            if started.elapsed() > limit {
                return Err(LabError::Timeout {
                    what: format!("a screen that stands still for {still:?}"),
                    limit,
                    seen: rows,
                });
            }
            std::thread::sleep(left);
        }
    }

    /// A terminal that does not answer questions for the cursor's position.
    pub fn keep_quiet(&self) {
        self.lock().answers = false;
    }

    /// From now on, what arrives is written to `mirror` as well.
    pub fn mirror_to(&self, mirror: Option<Box<dyn Write + Send>>) {
        self.lock().mirror = mirror;
    }

    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Types `bytes`.
    pub fn send(&self, bytes: &[u8]) -> Result<()> {
        (&self.line)
            .write_all(bytes)
            .map_err(LabError::io("write to the console"))
    }

    /// Pastes text as a terminal does: each line ends with a carriage return, and with nothing else.
    pub fn paste(&self, text: &str) -> Result<()> {
        let typed = text.replace("\r\n", "\n").replace('\n', "\r");
        for piece in typed.as_bytes().chunks(PASTE_BYTES) {
            self.send(piece)?;
            if piece.len() == PASTE_BYTES {
                std::thread::sleep(PASTE_PAUSE);
            }
        }
        Ok(())
    }

    /// From here on only new text counts for [`Console::wait_for`].
    pub fn forget(&self) {
        let mut state = self.lock();
        state.seen = state.transcript.text().len();
    }

    /// Waits until `pattern` matches text that no earlier call has matched; the text that it matched.
    pub fn wait_for(&self, pattern: &str, limit: Duration) -> Result<String> {
        let expression = Regex::new(pattern)
            .map_err(|error| LabError::Unexpected(format!("pattern {pattern}: {error}")))?;
        self.wait_until(&format!("`{pattern}` on the console"), limit, |state| {
            let text = state.transcript.text();
            let found = expression.find_at(&text, floor(&text, state.seen))?;
            state.seen = found.end();
            Some(found.as_str().to_owned())
        })
    }

    /// Sends `line` at the prompt and returns what was shown before the next prompt.
    pub fn command(&self, prompt: &str, line: &str, limit: Duration) -> Result<String> {
        self.reach_prompt(prompt, limit)?;
        let start = self.lock().transcript.line_start();
        self.send(line.as_bytes())?;
        self.send(b"\r")?;
        self.until_prompt(prompt, start, limit)
    }

    /// What is shown from the line after `start` until the next prompt.
    pub fn until_prompt(&self, prompt: &str, start: usize, limit: Duration) -> Result<String> {
        self.wait_until(&format!("the prompt `{prompt}` again"), limit, |state| {
            let text = state.transcript.text();
            let after_echo = start + text.get(start..)?.find('\n')? + 1;
            let end = line_beginning_with(&text, after_echo, prompt)?;
            state.seen = end + prompt.len();
            Some(text[after_echo..end].to_owned())
        })
    }

    /// Where the line begins that the cursor is on.
    pub fn line_start(&self) -> usize {
        self.lock().transcript.line_start()
    }

    /// Waits for an empty prompt; an empty line brings one back that a message has pushed away.
    pub fn reach_prompt(&self, prompt: &str, limit: Duration) -> Result<()> {
        let started = Instant::now();
        let at_prompt = |state: &mut State| {
            let text = state.transcript.text();
            let line = &text[state.transcript.line_start()..];
            (line.trim_end() == prompt.trim_end()).then_some(())
        };
        loop {
            let left = limit.saturating_sub(started.elapsed());
            let patience = left.min(Duration::from_secs(2));
            match self.wait_until(&format!("the prompt `{prompt}`"), patience, at_prompt) {
                Err(LabError::Timeout { .. }) if left > patience => self.send(b"\r")?,
                other => return other,
            }
        }
    }

    fn wait_until<T>(
        &self,
        what: &str,
        limit: Duration,
        mut found: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T> {
        let started = Instant::now();
        let mut state = self.lock();
        loop {
            if let Some(value) = found(&mut state) {
                return Ok(value);
            }
            let left = limit.saturating_sub(started.elapsed());
            let text = state.transcript.text();
            let panicked = text[floor(&text, state.seen)..].contains(PANIC);
            if left.is_zero() || state.closed || panicked {
                return Err(LabError::Timeout {
                    what: what.to_owned(),
                    limit,
                    seen: tail(&text, 25),
                });
            }
            state = self
                .state
                .1
                .wait_timeout(state, left)
                .expect("no thread panics with the console locked")
                .0;
        }
    }
}

fn read_until_closed(mut line: UnixStream, shared: &(Mutex<State>, Condvar)) {
    let mut buffer = [0; 4096];
    loop {
        let count = line.read(&mut buffer).unwrap_or(0);
        let Ok(mut guard) = shared.0.lock() else {
            return;
        };
        let state = &mut *guard;
        if count == 0 {
            state.closed = true;
            shared.1.notify_all();
            return;
        }
        let bytes = &buffer[..count];
        state.parser.advance(&mut state.transcript, bytes);
        state.screen.process(bytes);
        state.drawn = Instant::now();
        if let Some(mirror) = &mut state.mirror {
            let _ = mirror.write_all(bytes).and_then(|()| mirror.flush());
        }
        let questions = std::mem::take(&mut state.transcript.cursor_queries);
        for _ in 0..questions * usize::from(state.answers) {
            let _ = line.write_all(format!("\x1b[{ROWS};{COLUMNS}R").as_bytes());
        }
        shared.1.notify_all();
    }
}

/// Each row is a line, also where a longer line was folded.
fn rows(screen: &vt100::Screen) -> String {
    let rows: Vec<String> = screen.rows(0, COLUMNS.get()).collect();
    let lines: Vec<&str> = rows.iter().map(|row| row.trim_end()).collect();
    lines.join("\n").trim_end().to_owned()
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at)
}

/// The first line at or after `from` that begins with `prompt`.
fn line_beginning_with(text: &str, from: usize, prompt: &str) -> Option<usize> {
    let mut start = from;
    loop {
        if text.get(start..)?.starts_with(prompt) {
            return Some(start);
        }
        start += text.get(start..)?.find('\n')? + 1;
    }
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    fn pair() -> (Console, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Console::new(ours).unwrap(), theirs)
    }

    #[test]
    fn a_command_returns_what_stands_between_two_prompts() {
        let (console, mut box_side) = pair();
        box_side.write_all(b"booting\r\nlb> ").unwrap();
        let answer = std::thread::spawn(move || {
            let mut typed = [0; 8];
            box_side.read_exact(&mut typed).unwrap();
            assert_eq!(&typed, b"version\r");
            box_side
                .write_all(b"\r\x1b[Klb> version\r\nlb 0.1\r\nkernel 6\r\nlb> ")
                .unwrap();
            box_side
        });
        assert_eq!(
            console.command("lb> ", "version", SOON).unwrap(),
            "lb 0.1\nkernel 6\n"
        );
        drop(answer.join().unwrap());
    }

    #[test]
    fn waiting_consumes_what_it_found() {
        let (console, mut box_side) = pair();
        box_side.write_all(b"one two one").unwrap();
        console.wait_for("one", SOON).unwrap();
        console.wait_for("one", SOON).unwrap();
        let third = console.wait_for("one", Duration::from_millis(50));
        assert!(matches!(third, Err(LabError::Timeout { .. })));
    }

    #[test]
    fn a_panic_ends_the_waiting() {
        let (console, mut box_side) = pair();
        box_side.write_all(PANIC.as_bytes()).unwrap();
        let started = Instant::now();
        console.wait_for("lb> ", Duration::from_secs(60)).unwrap_err();
        assert!(started.elapsed() < SOON);
    }

    #[test]
    fn the_terminal_tells_its_size_when_asked() {
        let (console, mut box_side) = pair();
        box_side.write_all(b"\x1b[999;999H\x1b[6n").unwrap();
        let mut answer = [0; 8];
        box_side.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"\x1b[24;80R");
        drop(console);
    }

    #[test]
    fn a_screen_that_stands_still_is_what_a_person_sees() {
        let (console, mut box_side) = pair();
        let drawing = std::thread::spawn(move || {
            for word in ["lb> status  \r\n", &"x".repeat(81), "\r\n\r\nlb> \r\n\r\n"] {
                box_side.write_all(word.as_bytes()).unwrap();
                std::thread::sleep(Duration::from_millis(30));
            }
            box_side
        });
        console.wait_for("lb> ", SOON).unwrap();
        let screen = console.still_screen(Duration::from_millis(200), SOON).unwrap();
        let line = "x".repeat(80);
        assert_eq!(screen, format!("lb> status\n{line}\nx\n\nlb>"));
        drop(drawing.join().unwrap());
    }

    #[test]
    fn a_screen_that_never_stands_still_is_given_up() {
        let (console, mut box_side) = pair();
        let started = Instant::now();
        let drawing = std::thread::spawn(move || {
            while started.elapsed() < Duration::from_millis(500) {
                box_side.write_all(b"x\r").unwrap();
            }
        });
        let still = console.still_screen(Duration::from_millis(100), Duration::from_millis(200));
        assert!(matches!(still, Err(LabError::Timeout { .. })));
        drawing.join().unwrap();
    }
}
