//! The one reader of the console's terminal (or of a program's standard input). Bytes that came ahead of their time stay
//! here in order, until whoever they are for takes them. Must not: give bytes a meaning.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, fcntl_dupfd_cloexec, read, write};
use rustix::termios::{
    LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios, isatty, tcgetattr, tcsetattr,
};

use super::interrupt::{Interrupt, Wake};

/// Larger than what a terminal's line discipline holds.
const CHUNK: usize = 64 << 10;

/// A terminal that can be written to takes at least this much (WAKEUP_CHARS of the kernel's line discipline).
const SHOWN_AT_ONCE: usize = 128;

#[derive(Debug)]
pub struct Input {
    source: OwnedFd,
    pending: VecDeque<u8>,
    /// The terminal's modes before ours; `None` if it is no terminal.
    before: Option<Termios>,
    /// A program in the background must not touch the terminal without need (SIGTTOU).
    changed: Cell<bool>,
}

/// What a wait for input ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// There is something in [`Input::pending`].
    Bytes,
    /// The input is at its end, or the terminal has hung up.
    Ended,
    TimedOut,
    Interrupted,
}

/// How a terminal treats what is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typing {
    /// For the line editor: Ctrl-C is a byte like others, nothing is echoed.
    Keys,
    /// While a command runs: Ctrl-C interrupts, nothing is echoed.
    Command,
}

impl Input {
    /// Reads from a duplicate of `source`.
    pub fn new(source: BorrowedFd<'_>) -> io::Result<Input> {
        let source = fcntl_dupfd_cloexec(source, 3)?;
        let before = if isatty(&source) {
            Some(tcgetattr(&source)?)
        } else {
            None
        };
        Ok(Input {
            source,
            pending: VecDeque::new(),
            before,
            changed: Cell::new(false),
        })
    }

    pub fn is_terminal(&self) -> bool {
        self.before.is_some()
    }

    /// Always without line assembly by the kernel: that would cut lines at 4,095 bytes, and switching it on and off
    /// would reinterpret what has already arrived. No flow control either: every byte is data.
    pub fn set_typing(&self, typing: Typing) -> io::Result<()> {
        let Some(before) = &self.before else {
            return Ok(());
        };
        let mut modes = before.clone();
        modes.make_raw();
        modes.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        for index in [SpecialCodeIndex::VQUIT, SpecialCodeIndex::VSUSP] {
            modes.special_codes[index] = 0;
        }
        modes.special_codes[SpecialCodeIndex::VINTR] = 3;
        if typing != Typing::Keys {
            modes.local_modes |= LocalModes::ISIG;
        }
        self.changed.set(true);
        Ok(tcsetattr(&self.source, OptionalActions::Now, &modes)?)
    }

    /// Puts the terminal's modes back as they were found.
    pub fn restore(&self) {
        if let (Some(before), true) = (&self.before, self.changed.get()) {
            // Nothing can be done about a terminal that has gone.
            let _ = tcsetattr(&self.source, OptionalActions::Now, before);
        }
    }

    pub fn pending(&mut self) -> &mut VecDeque<u8> {
        &mut self.pending
    }

    /// Waits until something more has come than what is pending.
    pub fn more(&mut self, interrupt: &Interrupt, limit: Option<Duration>) -> io::Result<Came> {
        match interrupt.wait_readable(self.source.as_fd(), limit)? {
            Wake::Interrupted => Ok(Came::Interrupted),
            Wake::TimedOut => Ok(Came::TimedOut),
            Wake::Ready => self.read(),
        }
    }

    /// Reads what there is.
    pub fn read(&mut self) -> io::Result<Came> {
        let mut chunk = vec![0; CHUNK];
        match read(&self.source, &mut chunk) {
            // EIO is what a terminal that has hung up says.
            Ok(0) | Err(Errno::IO) => Ok(Came::Ended),
            Ok(length) => {
                self.pending.extend(&chunk[..length]);
                Ok(Came::Bytes)
            }
            Err(Errno::INTR | Errno::AGAIN) => Ok(Came::TimedOut),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes to the terminal as much as it takes without waiting; the rest is not shown. Whoever takes in a paste must
    /// not wait for a slow screen, or bytes are lost.
    pub fn show_if_ready(&self, bytes: &[u8]) {
        for part in bytes.chunks(SHOWN_AT_ONCE) {
            let mut fds = [PollFd::new(&self.source, PollFlags::OUT)];
            let ready = poll(&mut fds, Some(&Timespec::default())).is_ok();
            if !ready || !fds[0].revents().contains(PollFlags::OUT) || write(&self.source, part).is_err() {
                return;
            }
        }
    }

    /// Throws away what has come and what still comes, until nothing does for a while.
    pub fn discard_until_quiet(&mut self, interrupt: &Interrupt, quiet: Duration) {
        loop {
            self.pending.clear();
            match self.more(interrupt, Some(quiet)) {
                Ok(Came::Bytes | Came::Interrupted) => {}
                Ok(Came::TimedOut | Came::Ended) | Err(_) => return,
            }
        }
    }
}

impl AsFd for Input {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}
