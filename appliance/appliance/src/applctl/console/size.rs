//! The size of a terminal that the kernel does not know: a serial line reports 0 by 0. The terminal itself is asked, by
//! moving the cursor as far as it goes and asking where it is (ECMA-48, DSR 6 and CPR).

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use rustix::termios::{Winsize, tcgetwinsize, tcsetwinsize};

use crate::applctl::input::{Came, Input, Typing};
use crate::applctl::interrupt::Interrupt;

/// A terminal answers at once; this allows for a slow line in between.
const PATIENCE: Duration = Duration::from_millis(300);
/// Save the cursor, go far, ask, come back.
const QUESTION: &str = "\x1b7\x1b[999;999H\x1b[6n\x1b8";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub columns: u16,
    pub rows: u16,
    /// False: nobody answered, and this is what every terminal has at least.
    pub answered: bool,
}

const ASSUMED: Found = Found {
    columns: 80,
    rows: 24,
    answered: false,
};

/// The size that the kernel knows, or else the terminal's answer.
pub fn establish(input: &mut Input, interrupt: &Interrupt, out: &mut dyn Write) -> io::Result<Found> {
    match tcgetwinsize(&*input) {
        Ok(Winsize {
            ws_col: columns @ 1..,
            ws_row: rows @ 1..,
            ..
        }) => Ok(Found {
            columns,
            rows,
            answered: true,
        }),
        _ => ask(input, interrupt, out),
    }
}

/// The terminal's answer; where it gives none, what the kernel knew before.
pub fn renew(input: &mut Input, interrupt: &Interrupt, out: &mut dyn Write) -> io::Result<Found> {
    let before = tcgetwinsize(&*input)?;
    let found = ask(input, interrupt, out)?;
    if found.answered || before.ws_col == 0 || before.ws_row == 0 {
        return Ok(found);
    }
    tcsetwinsize(&*input, before)?;
    Ok(Found {
        columns: before.ws_col,
        rows: before.ws_row,
        answered: false,
    })
}

/// Asks the terminal, and tells the kernel. What else is typed meanwhile stays pending.
pub fn ask(input: &mut Input, interrupt: &Interrupt, out: &mut dyn Write) -> io::Result<Found> {
    if !input.is_terminal() {
        return Err(io::Error::other("standard input is not a terminal"));
    }
    input.set_typing(Typing::Command)?;
    out.write_all(QUESTION.as_bytes())?;
    out.flush()?;
    let deadline = Instant::now() + PATIENCE;
    let found = loop {
        if let Some((rows, columns)) = take_report(input.pending()) {
            break if usable(rows, columns) {
                Found {
                    columns,
                    rows,
                    answered: true,
                }
            } else {
                ASSUMED
            };
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero()
            || matches!(
                input.more(interrupt, Some(left))?,
                Came::Ended | Came::Interrupted
            )
        {
            break ASSUMED;
        }
    };
    let size = Winsize {
        ws_row: found.rows,
        ws_col: found.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&*input, size)?;
    Ok(found)
}

/// Smaller is no screen to work on, and larger means that the cursor really got as far as it was sent.
fn usable(rows: u16, columns: u16) -> bool {
    (4..999).contains(&rows) && (20..999).contains(&columns)
}

/// Takes the first cursor position report, `ESC [ rows ; columns R`, out of the bytes.
pub fn take_report(bytes: &mut VecDeque<u8>) -> Option<(u16, u16)> {
    let contiguous = bytes.make_contiguous();
    let starts = (0..contiguous.len()).filter(|at| contiguous[*at..].starts_with(b"\x1b["));
    let (start, (length, report)) = starts
        .filter_map(|at| Some((at, report_at(&contiguous[at..])?)))
        .next()?;
    bytes.drain(start..start + length);
    Some(report)
}

/// A report at the beginning of the bytes, and its length.
fn report_at(bytes: &[u8]) -> Option<(usize, (u16, u16))> {
    let body = bytes.strip_prefix(b"\x1b[")?;
    let end = body
        .iter()
        .position(|b| !b.is_ascii_digit() && *b != b';')
        .filter(|at| body[*at] == b'R')?;
    let text = std::str::from_utf8(&body[..end]).ok()?;
    let (rows, columns) = text.split_once(';')?;
    Some((end + 3, (rows.parse().ok()?, columns.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(bytes: &[u8]) -> (Option<(u16, u16)>, Vec<u8>) {
        let mut queue: VecDeque<u8> = bytes.iter().copied().collect();
        let report = take_report(&mut queue);
        (report, queue.into())
    }

    #[test]
    fn reports_are_taken_out_of_what_is_typed() {
        for (bytes, report, rest) in [
            (&b"\x1b[24;80R"[..], Some((24, 80)), &b""[..]),
            (b"sta\x1b[50;132Rtus", Some((50, 132)), b"status"),
            (b"\x1b[A\x1b[24;80R", Some((24, 80)), b"\x1b[A"),
            (b"\x1b[24;80", None, b"\x1b[24;80"),
            (b"\x1b[24R", None, b"\x1b[24R"),
            (b"\x1b[;R", None, b"\x1b[;R"),
            (b"\x1b[99999;1R", None, b"\x1b[99999;1R"),
            (b"", None, b""),
        ] {
            assert_eq!(take(bytes), (report, rest.to_vec()), "{bytes:?}");
        }
    }

    #[test]
    fn absurd_sizes_are_not_believed() {
        assert!(usable(24, 80) && usable(4, 20));
        assert!(!usable(1, 1) && !usable(999, 999) && !usable(24, 5));
    }
}
