//! A line that is typed and not shown. What was typed is emptied out of the memory as soon as it is not needed. Must not: know what it is for.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::applctl::console::size::take_report;
use crate::applctl::input::{Came, Input};
use crate::applctl::interrupt::Interrupt;

/// No line is longer (bytes); what is more is dropped, and the line is no password any more.
const LONGEST: usize = 1_000;
/// What may be waiting to be looked at (bytes). A buffer that grows would leave copies behind.
const WAITING: usize = 4_096;

#[derive(Debug)]
pub enum Secret {
    Line(Zeroizing<Vec<u8>>),
    /// Ctrl-C.
    GivenUp,
    TimedOut,
    /// The terminal has gone.
    Ended,
    /// A signal.
    Interrupted,
}

/// Keeps what was typed ahead for the next line.
#[derive(Debug)]
pub struct Reader {
    waiting: Zeroizing<Vec<u8>>,
    line: Zeroizing<Vec<u8>>,
    after_cr: bool,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader {
            waiting: Zeroizing::new(Vec::with_capacity(WAITING)),
            line: Zeroizing::new(Vec::with_capacity(LONGEST + 4)),
            after_cr: false,
        }
    }
}

impl Reader {
    /// With the terminal in a mode in which Ctrl-C is a byte.
    pub fn line(
        &mut self,
        input: &mut Input,
        interrupt: &Interrupt,
        patience: Option<Duration>,
    ) -> io::Result<Secret> {
        loop {
            if let Some(secret) = self.take() {
                return Ok(secret);
            }
            match input.read_secretly(interrupt, patience, &mut self.waiting)? {
                Came::Bytes | Came::Unlocked => {}
                Came::TimedOut if patience.is_none() => {}
                Came::TimedOut => return Ok(Secret::TimedOut),
                Came::Ended => return Ok(Secret::Ended),
                Came::Interrupted => return Ok(Secret::Interrupted),
            }
        }
    }

    /// Lets so much time pass; what is typed meanwhile counts for nothing. Else what has ended it.
    pub fn ignore(
        &mut self,
        input: &mut Input,
        interrupt: &Interrupt,
        time: Duration,
    ) -> io::Result<Option<Came>> {
        let deadline = Instant::now() + time;
        loop {
            self.waiting.clear();
            self.line.clear();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            match input.read_secretly(interrupt, Some(left), &mut self.waiting)? {
                Came::Bytes | Came::TimedOut | Came::Unlocked => {}
                end @ (Came::Ended | Came::Interrupted) => return Ok(Some(end)),
            }
        }
    }

    fn take(&mut self) -> Option<Secret> {
        let mut waiting = std::mem::replace(&mut self.waiting, Zeroizing::new(Vec::with_capacity(WAITING)));
        for (at, byte) in waiting.iter().enumerate() {
            if let Some(secret) = self.typed(*byte) {
                self.waiting.extend_from_slice(&waiting[at + 1..]);
                return Some(secret);
            }
        }
        waiting.clear();
        None
    }

    fn typed(&mut self, byte: u8) -> Option<Secret> {
        let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
        match byte {
            b'\n' if after_cr => {}
            b'\r' | b'\n' => return Some(Secret::Line(self.finish())),
            0x03 => {
                self.line.clear();
                return Some(Secret::GivenUp);
            }
            // Ctrl-U.
            0x15 => self.line.clear(),
            0x08 | 0x7f => self.erase(),
            // BREAK; and Ctrl-D, -Z and -\, which mean something to other programs and nothing here.
            0x00 | 0x04 | 0x1a | 0x1c => {}
            byte if self.line.len() < LONGEST => self.line.push(byte),
            _ => {}
        }
        None
    }

    /// A character of several bytes goes as a whole.
    fn erase(&mut self) {
        while let Some(byte) = self.line.pop() {
            if byte & 0xc0 != 0x80 {
                return;
            }
        }
    }

    /// Without the answer of a slow terminal to a question that nobody waits for any more.
    fn finish(&mut self) -> Zeroizing<Vec<u8>> {
        let line = std::mem::replace(&mut self.line, Zeroizing::new(Vec::with_capacity(LONGEST + 4)));
        if !line.contains(&0x1b) {
            return line;
        }
        let mut bytes: VecDeque<u8> = line.iter().copied().collect();
        while take_report(&mut bytes).is_some() {}
        Zeroizing::new(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<String> {
        let mut reader = Reader::default();
        reader.waiting.extend_from_slice(bytes);
        std::iter::from_fn(|| reader.take())
            .map(|secret| match secret {
                Secret::Line(line) => String::from_utf8_lossy(&line).into_owned(),
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn lines_are_read_as_they_were_meant() {
        for (bytes, expected) in [
            (&b"secret\r"[..], &["secret"][..]),
            (b"one\r\ntwo\n\nrest", &["one", "two", ""]),
            (b"secx\x7fret\r", &["secret"]),
            ("gr\u{fc}\x7f\u{fc}n\r".as_bytes(), &["gr\u{fc}n"]),
            (b"wrong\x15right\r", &["right"]),
            (b"half\x03whole\r", &["GivenUp", "whole"]),
            (b"\x00se\x04c\x1ar\x1cet\r", &["secret"]),
            (b"\x1b[24;80Rsecret\r", &["secret"]),
            (b"\x7f\x7fx\r", &["x"]),
        ] {
            assert_eq!(lines(bytes), expected, "{bytes:?}");
        }
        assert_eq!(
            lines(&[vec![b'x'; 5_000], vec![b'\r']].concat())[0].len(),
            LONGEST
        );
    }
}
