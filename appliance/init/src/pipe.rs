//! The pipe from a program's output into the kernel's log, line by line. Must not: block, or read without bound: a
//! program that floods it takes its turn like everything else.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, BorrowedFd};

use log::Level;
use rustix::io::ioctl_fionbio;
use zeroize::{Zeroize, Zeroizing};

use crate::kmsg;

/// What Rust's runtime adds below the message of a panic.
const HINT: &str = "note: ";
/// What is read in one turn.
const TURN_BYTES: usize = 16 * 1024;
/// A line without an end is passed on when it is this long.
const LINE_BYTES: usize = 4096;

#[derive(Debug)]
pub struct LogPipe {
    label: String,
    reader: PipeReader,
    lines: Lines,
    last: Option<String>,
}

impl LogPipe {
    /// The pipe, and its writing ends for stdout and stderr.
    pub fn open(label: &str) -> io::Result<(LogPipe, PipeWriter, PipeWriter)> {
        let (reader, writer) = io::pipe()?;
        ioctl_fionbio(&reader, true)?;
        let second = writer.try_clone()?;
        let pipe = LogPipe {
            label: label.to_owned(),
            reader,
            lines: Lines::default(),
            last: None,
        };
        Ok((pipe, writer, second))
    }

    /// Writes what has arrived into the log. False: no one holds the other end any more.
    pub fn forward(&mut self) -> bool {
        let mut bytes = vec![0; TURN_BYTES];
        match self.reader.read(&mut bytes) {
            Ok(0) => {
                let rest = self.lines.finish();
                self.pass_on(rest);
                false
            }
            Ok(length) => {
                let lines = self.lines.take(&bytes[..length]);
                self.pass_on(lines);
                true
            }
            Err(error) => matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ),
        }
    }

    fn pass_on(&mut self, lines: Vec<String>) {
        for line in lines.into_iter().filter(|line| !line.trim().is_empty()) {
            kmsg::write(&self.label, Level::Warn, &line);
            if !line.starts_with(HINT) {
                self.last = Some(line);
            }
        }
    }

    /// The last line since the last call that says something.
    pub fn take_last_line(&mut self) -> Option<String> {
        self.last.take()
    }
}

impl AsFd for LogPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

/// Bytes in, lines out. One may be a password: what is not needed any more is emptied.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Zeroizing<Vec<u8>>,
}

impl Lines {
    /// Has room for any line: what grows leaves copies behind.
    pub fn of_a_terminal() -> Lines {
        Lines {
            partial: Zeroizing::new(Vec::with_capacity(LINE_BYTES)),
        }
    }

    pub fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' | b'\r' => lines.extend(self.finish()),
                _ => self.partial.push(*byte),
            }
            if self.partial.len() >= LINE_BYTES {
                lines.extend(self.finish());
            }
        }
        lines
    }

    /// The line that has no end yet.
    pub fn finish(&mut self) -> Vec<String> {
        if self.partial.is_empty() {
            return Vec::new();
        }
        let line = String::from_utf8_lossy(&self.partial).into_owned();
        self.partial.zeroize();
        vec![line]
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_are_put_together_from_pieces() {
        let mut lines = Lines::default();
        assert!(lines.take(b"thread 'main' pan").is_empty());
        assert_eq!(
            lines.take(b"icked\r\nnote: \xff\n\nlast"),
            ["thread 'main' panicked", "note: \u{fffd}"]
        );
        assert_eq!(lines.finish(), ["last"]);
        assert!(lines.finish().is_empty());
    }

    #[test]
    fn a_line_without_end_is_passed_on_in_parts() {
        let mut lines = Lines::default();
        let parts = lines.take(&vec![b'x'; LINE_BYTES * 2 + 10]);
        assert_eq!(
            parts.iter().map(String::len).collect::<Vec<_>>(),
            [LINE_BYTES, LINE_BYTES]
        );
    }

    #[test]
    fn the_last_line_is_the_one_that_says_why() {
        let (mut pipe, mut out, _err) = LogPipe::open("test").unwrap();
        out.write_all(b"thread panicked at\nno address\nnote: run with RUST_BACKTRACE=1\n\n")
            .unwrap();
        pipe.forward();
        assert_eq!(pipe.take_last_line().as_deref(), Some("no address"));
        assert_eq!(pipe.take_last_line(), None);
    }

    #[test]
    fn an_empty_pipe_does_not_block_and_a_closed_one_is_seen() {
        let (mut pipe, mut out, err) = LogPipe::open("test").unwrap();
        assert!(pipe.forward());
        out.write_all(b"half").unwrap();
        assert!(pipe.forward());
        assert_eq!(pipe.take_last_line(), None);
        drop((out, err));
        assert!(!pipe.forward());
        assert_eq!(pipe.take_last_line().as_deref(), Some("half"));
    }
}
