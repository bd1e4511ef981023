//! A line without the line editor, for a machine that has no pty to give: its keys come from the one reader of the terminal, so that the console locks,
//! and what is typed ahead is not lost. Must not: complete, or remember lines.

use std::io::{self, Write};

use super::editor::Typed;
use super::size::take_report;
use crate::applctl::input::{Came, Input};
use crate::applctl::interrupt::Interrupt;

/// Of a line (bytes); what is more is dropped.
const LONGEST: usize = 4_096;

/// `out`: the terminal.
pub fn read_line(
    prompt: &str,
    input: &mut Input,
    interrupt: &Interrupt,
    out: &mut dyn Write,
) -> io::Result<Typed> {
    let mut line = Line::default();
    out.write_all(prompt.as_bytes())?;
    out.flush()?;
    loop {
        while take_report(input.pending()).is_some() {}
        while let Some(byte) = input.pending().pop_front() {
            let mut shown = Vec::new();
            let typed = line.take(byte, &mut shown);
            out.write_all(&shown)?;
            out.flush()?;
            if let Some(typed) = typed {
                out.write_all(b"\n")?;
                return Ok(typed);
            }
        }
        if input.must_lock() {
            return Ok(Typed::MustLock);
        }
        let came = match input.tell_news() {
            Some(_) => Came::TimedOut,
            None => input.more(interrupt, None)?,
        };
        match came {
            Came::Ended => return Ok(Typed::HungUp),
            // What stood in the line is gone.
            Came::Unlocked => return Ok(Typed::Nothing),
            Came::TimedOut => {
                if let Some(news) = input.end_telling() {
                    let typed = String::from_utf8_lossy(&line.bytes);
                    write!(out, "\r\x1b[K{news}{prompt}{typed}")?;
                    out.flush()?;
                }
            }
            Came::Bytes | Came::Interrupted => {}
        }
    }
}

#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    /// Inside of what an arrow or another key of its kind sends.
    escape: bool,
}

impl Line {
    /// `shown`: what the terminal shows of the key.
    fn take(&mut self, byte: u8, shown: &mut Vec<u8>) -> Option<Typed> {
        if self.escape {
            self.escape = byte == b'[' || !(b'@'..=b'~').contains(&byte);
            return None;
        }
        match byte {
            b'\r' | b'\n' => {
                let line = std::mem::take(&mut self.bytes);
                return Some(Typed::Line(String::from_utf8_lossy(&line).into_owned()));
            }
            0x03 => return Some(Typed::Nothing),
            0x04 if self.bytes.is_empty() => return Some(Typed::EndOfFile),
            0x08 | 0x7f => self.erase(shown),
            // Ctrl-U.
            0x15 => {
                while !self.bytes.is_empty() {
                    self.erase(shown);
                }
            }
            0x1b => self.escape = true,
            0x00..0x20 => {}
            byte if self.bytes.len() < LONGEST => {
                self.bytes.push(byte);
                shown.push(byte);
            }
            _ => {}
        }
        None
    }

    /// A character of several bytes goes as a whole.
    fn erase(&mut self, shown: &mut Vec<u8>) {
        while let Some(byte) = self.bytes.pop() {
            if byte & 0xc0 != 0x80 {
                shown.extend_from_slice(b"\x08 \x08");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(bytes: &[u8]) -> (String, String) {
        let (mut line, mut shown) = (Line::default(), Vec::new());
        let ended = bytes.iter().find_map(|byte| line.take(*byte, &mut shown));
        let ended = match ended {
            Some(Typed::Line(line)) => line,
            other => format!("{other:?}"),
        };
        (ended, String::from_utf8_lossy(&shown).into_owned())
    }

    #[test]
    fn a_line_is_typed_and_mended() {
        for (bytes, line, shown) in [
            (&b"status\r"[..], "status", "status"),
            (b"statx\x7fus\n", "status", "statx\x08 \x08us"),
            ("l\u{fc}\x08og\r".as_bytes(), "log", "l\u{fc}\x08 \x08og"),
            (b"ab\x15log\r", "log", "ab\x08 \x08\x08 \x08log"),
            (b"st\x1b[Aatus\x1b[3~\x00\t\r", "status", "status"),
            (b"stat\x03", "Some(Nothing)", "stat"),
            (b"\x04", "Some(EndOfFile)", ""),
            (b"x\x04\r", "x", "x"),
        ] {
            assert_eq!(typed(bytes), (line.to_owned(), shown.to_owned()), "{bytes:?}");
        }
        let long = [vec![b'x'; 2 * LONGEST], vec![b'\r']].concat();
        assert_eq!(typed(&long).0.len(), LONGEST);
    }
}
