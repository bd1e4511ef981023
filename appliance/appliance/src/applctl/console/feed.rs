//! Hands the line editor its keys, never more than up to the end of a line: the editor reads ahead and would keep, or
//! lose, what is meant for the next command or is the text that `config put` takes in. It reads from a terminal of our
//! own making (a pty) whose other end is here. Must not: take keys while no line is being read.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio, write};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use super::editor::Printer;
use super::size::take_report;
use crate::applctl::input::{Came, Input};

/// What goes to the editor at once; far less than its terminal holds.
const BATCH: usize = 256;
/// How long the editor may take to see a key. It is waited for only to keep order, so the limit may be passed.
const KEY_PATIENCE: Duration = Duration::from_millis(200);
/// How long the editor may take to end a line after it saw the key. Some keys end no line (in its list of
/// completions), then this is a pause.
const LINE_PATIENCE: Duration = Duration::from_millis(100);

/// How soon the editor is asked again whether it takes more lines of the log.
const BUSY: Duration = Duration::from_millis(100);

/// The key that gives up a line, and how often it is pressed: in a list or a search it may end only that.
const GIVE_UP: u8 = 0x03;
const PRESSES: usize = 5;

/// Why no more keys are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fed {
    /// The line is complete, or the input has ended.
    Enough,
    /// The console has to lock; the line was given up.
    MustLock,
}

/// Keys that can end a line: carriage return, line feed, Ctrl-C, Ctrl-D.
fn may_end_line(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0x03 | 0x04)
}

/// Our end of the editor's terminal, and the editor's.
pub fn open_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let editors = ioctl_tiocgptpeer(
        &ours,
        OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
    )?;
    let mut modes = tcgetattr(&editors)?;
    // Nothing may come back on it: nobody reads that direction.
    modes.make_raw();
    tcsetattr(&editors, OptionalActions::Now, &modes)?;
    ioctl_fionbio(&ours, true)?;
    Ok((ours, editors))
}

/// Feeds until `stop` is closed, which says that the line is complete. When the input ends, so does the editor's
/// terminal: `to` becomes `None`.
pub fn feed(
    input: &mut Input,
    to: &mut Option<OwnedFd>,
    stop: &UnixStream,
    seen: &Receiver<()>,
    printer: &mut Printer,
) -> io::Result<Fed> {
    loop {
        let until_news = show_news(input, printer);
        let until_lock = input.until_lock();
        if until_lock.is_some_and(|left| left.is_zero()) {
            give_up(to, stop)?;
            return Ok(Fed::MustLock);
        }
        let batch = next_batch(input.pending());
        if !batch.is_empty() {
            let Some(master) = to.as_ref() else {
                return Ok(Fed::Enough);
            };
            seen.try_iter().for_each(drop);
            let sent = hand_over(&batch, master.as_fd(), stop)?;
            for byte in batch[sent..].iter().rev() {
                input.pending().push_front(*byte);
            }
            let ends = sent == batch.len() && batch.last().copied().is_some_and(may_end_line);
            let stopped = ends && {
                // Either way of this may be overdue; then the next keys simply wait in the editor's terminal.
                let _ = seen.recv_timeout(KEY_PATIENCE);
                wait(stop, None, Some(LINE_PATIENCE))? == Wait::Stopped
            };
            if stopped || sent < batch.len() {
                return Ok(Fed::Enough);
            }
            continue;
        }
        let limit = until_lock.into_iter().chain(until_news).min();
        let news = input.news().filter(|_| until_news.is_none()).map(AsFd::as_fd);
        match wait_or(stop, Some((input.as_fd(), PollFlags::IN)), news, limit)? {
            Wait::Stopped => return Ok(Fed::Enough),
            Wait::TimedOut => continue,
            Wait::Ready => {}
        }
        if input.read()? == Came::Ended {
            *to = None;
            return Ok(Fed::Enough);
        }
    }
}

/// Hands lines of the log to the editor, which shows them above its own. How long until it is to be tried again; `None`: when more comes.
fn show_news(input: &Input, printer: &mut Printer) -> Option<Duration> {
    let news = input.news()?;
    if !printer.is_free() {
        // In a list or a search it takes none; in the meantime they are counted.
        return Some(BUSY);
    }
    if let Some(text) = news.take(Instant::now()) {
        printer.print(text);
        return Some(BUSY);
    }
    news.left(Instant::now())
}

/// Ends the line that is being read. An editor that does not let go of it loses its terminal, and the console begins anew, locked.
fn give_up(to: &mut Option<OwnedFd>, stop: &UnixStream) -> io::Result<()> {
    for _ in 0..PRESSES {
        let Some(master) = to.as_ref() else {
            return Ok(());
        };
        hand_over(&[GIVE_UP], master.as_fd(), stop)?;
        if wait(stop, None, Some(KEY_PATIENCE))? == Wait::Stopped {
            return Ok(());
        }
    }
    *to = None;
    Ok(())
}

/// Takes keys up to the end of a line. What is no character (noise on the line) and answers to a question that is no
/// longer asked are dropped; a character that has not come whole stays.
fn next_batch(pending: &mut VecDeque<u8>) -> Vec<u8> {
    while take_report(pending).is_some() {}
    loop {
        let bytes = pending.make_contiguous();
        let (valid, broken) = match std::str::from_utf8(bytes) {
            Ok(_) => (bytes.len(), None),
            Err(error) => (error.valid_up_to(), error.error_len()),
        };
        if valid == 0 {
            match broken {
                Some(length) => drop(pending.drain(..length)),
                None => return Vec::new(),
            }
            continue;
        }
        let line = bytes[..valid]
            .iter()
            .position(|b| may_end_line(*b))
            .map_or(valid, |at| at + 1);
        let batch: Vec<u8> = pending.drain(..line.min(BATCH)).collect();
        return batch;
    }
}

/// How many of the bytes went over before `stop`.
fn hand_over(batch: &[u8], master: BorrowedFd<'_>, stop: &UnixStream) -> io::Result<usize> {
    let mut sent = 0;
    while sent < batch.len() {
        match write(master, &batch[sent..]) {
            Ok(length) => sent += length,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                if wait(stop, Some((master, PollFlags::OUT)), None)? == Wait::Stopped {
                    return Ok(sent);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(sent)
}

#[derive(Debug, PartialEq, Eq)]
enum Wait {
    Stopped,
    Ready,
    TimedOut,
}

fn wait(
    stop: &UnixStream,
    other: Option<(BorrowedFd<'_>, PollFlags)>,
    limit: Option<Duration>,
) -> io::Result<Wait> {
    wait_or(stop, other, None, limit)
}

/// The same; `aside` can be read: as if the time were over.
fn wait_or(
    stop: &UnixStream,
    other: Option<(BorrowedFd<'_>, PollFlags)>,
    aside: Option<BorrowedFd<'_>>,
    limit: Option<Duration>,
) -> io::Result<Wait> {
    let timeout = limit.and_then(|limit| Timespec::try_from(limit).ok());
    loop {
        let mut fds = vec![PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN)];
        fds.extend(other.map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)));
        fds.extend(aside.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        match poll(&mut fds, timeout.as_ref()).map_err(io::Error::from) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
            Ok(_) if !fds[0].revents().is_empty() => return Ok(Wait::Stopped),
            Ok(_) if other.is_some() && !fds[1].revents().is_empty() => return Ok(Wait::Ready),
            Ok(_) if limit.is_some() || aside.is_some() => return Ok(Wait::TimedOut),
            Ok(_) => continue,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(bytes: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let mut pending: VecDeque<u8> = bytes.iter().copied().collect();
        let mut batches = Vec::new();
        loop {
            match next_batch(&mut pending) {
                batch if batch.is_empty() => return (batches, pending.into()),
                batch => batches.push(batch),
            }
        }
    }

    #[test]
    fn a_batch_never_goes_past_the_end_of_a_line() {
        let (found, rest) = batches(b"status\rlog\n\x03x");
        assert_eq!(found, [&b"status\r"[..], b"log\n", b"\x03", b"x"]);
        assert!(rest.is_empty());
        let (found, _) = batches(&[b'a'; 1000]);
        assert!(found.iter().all(|b| b.len() <= BATCH));
        assert_eq!(found.concat().len(), 1000);
    }

    #[test]
    fn noise_and_late_answers_are_dropped_and_halves_wait() {
        assert_eq!(
            batches(b"\xff\xfea\x80b"),
            (vec![b"a".to_vec(), b"b".to_vec()], vec![])
        );
        assert_eq!(batches("ü".as_bytes()).0, ["ü".as_bytes()]);
        assert_eq!(batches(b"x\xc3"), (vec![b"x".to_vec()], vec![0xc3]));
        assert_eq!(batches(b"sta\x1b[24;80Rtus\r").0, [b"status\r"]);
    }
}
