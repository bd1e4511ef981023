//! The one reader of the console's terminal (or of a program's standard input). Bytes that came ahead of their time stay
//! here in order, until whoever they are for takes them. A console has its guard here: whoever waits for keys, it is the one that locks.
//! Must not: give bytes a meaning.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, fcntl_dupfd_cloexec, read, write};
use rustix::termios::{
    LocalModes, OptionalActions, OutputModes, QueueSelector, SpecialCodeIndex, Termios, isatty, tcflush,
    tcgetattr, tcsetattr,
};

use zeroize::{Zeroize, Zeroizing};

use super::console::news::{News, mark};
use super::interrupt::{Interrupt, Wake};
use super::lock::Guard;

/// Larger than what a terminal's line discipline holds.
const CHUNK: usize = 64 << 10;

/// Of what is typed and not shown.
const SECRET_CHUNK: usize = 256;

/// Nothing came for so long: who has typed, or pasted, has ended.
pub const QUIET: Duration = Duration::from_millis(300);

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
    typing: Cell<Option<Typing>>,
    /// Of a console; a program has none.
    guard: Option<Guard>,
    /// Of a console.
    news: Option<News>,
    /// Of these, as whoever draws a full screen knows it; else `None`.
    told: Option<u64>,
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
    /// The console was locked, and is open again. What stood on the screen is gone, and so is what was typed ahead.
    Unlocked,
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
            typing: Cell::new(None),
            guard: None,
            news: None,
            told: None,
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
        // Ctrl-C empties the queue between the word that there is something and the read, which must not wait for more then.
        modes.special_codes[SpecialCodeIndex::VMIN] = u8::from(typing == Typing::Keys);
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        for index in [SpecialCodeIndex::VQUIT, SpecialCodeIndex::VSUSP] {
            modes.special_codes[index] = 0;
        }
        modes.special_codes[SpecialCodeIndex::VINTR] = 3;
        if typing != Typing::Keys {
            modes.local_modes |= LocalModes::ISIG;
        }
        self.changed.set(true);
        self.typing.set(Some(typing));
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

    /// From now on the console locks.
    pub fn watch(&mut self, guard: Guard) {
        self.guard = Some(guard);
    }

    /// From now on it has news of the log.
    pub fn follow(&mut self, news: Option<News>) {
        self.news = news;
    }

    pub fn news(&self) -> Option<&News> {
        self.news.as_ref()
    }

    /// A full screen is drawn, which has told of so many news: [`Input::more`] ends as by its time when there are more.
    pub fn tell_news(&mut self) -> Option<String> {
        let news = self.news.as_ref()?;
        let count = news.count(Instant::now());
        self.told = Some(count);
        mark(count)
    }

    /// The full screen has been left; what was held back meanwhile.
    pub fn end_telling(&mut self) -> Option<String> {
        self.told = None;
        self.news.as_ref().and_then(|news| news.take_all(Instant::now()))
    }

    /// Whether there are more than the full screen says.
    pub fn has_untold(&self) -> bool {
        let count = |told| {
            self.news
                .as_ref()
                .is_some_and(|news| news.count(Instant::now()) > told)
        };
        self.told.is_some_and(count)
    }

    pub fn guard(&mut self) -> Option<&mut Guard> {
        self.guard.as_mut()
    }

    /// How long may be waited before the lock has to be looked at; nothing is left: it has to be held.
    pub fn until_lock(&mut self) -> Option<Duration> {
        self.guard.as_mut().map(|guard| guard.left(Instant::now()))
    }

    pub fn must_lock(&mut self) -> bool {
        self.until_lock().is_some_and(|left| left.is_zero())
    }

    /// Locked until the password was typed (`Unlocked`), or something else ends it; then it is still locked.
    pub fn hold(&mut self, interrupt: &Interrupt) -> io::Result<Came> {
        let Some(mut guard) = self.guard.take() else {
            return Ok(Came::Unlocked);
        };
        let before = self.typing.get();
        let held = self.set_typing(Typing::Keys).and_then(|()| {
            // What somebody typed ahead before is not what somebody else means now, and no password.
            self.pending.clear();
            if self.is_terminal() {
                tcflush(&self.source, QueueSelector::IFlush)?;
            }
            let told = self.told.replace(0);
            let held = guard.hold(self, interrupt);
            self.told = told;
            held
        });
        self.guard = Some(guard);
        if let Some(before) = before {
            self.set_typing(before)?;
        }
        held
    }

    /// Waits until something more has come than what is pending. The console may lock meanwhile.
    pub fn more(&mut self, interrupt: &Interrupt, limit: Option<Duration>) -> io::Result<Came> {
        let deadline = limit.map(|limit| Instant::now() + limit);
        loop {
            let until_lock = self.until_lock();
            if until_lock.is_some_and(|left| left.is_zero()) {
                return self.hold(interrupt);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let wait = left.into_iter().chain(until_lock).min();
            match self.wait(interrupt, wait)? {
                Came::TimedOut if self.has_untold() => return Ok(Came::TimedOut),
                Came::TimedOut if deadline.is_none_or(|deadline| Instant::now() < deadline) => {}
                came => return Ok(came),
            }
        }
    }

    /// What is typed and must not stay in memory; the lock is not looked at.
    pub fn read_secretly(
        &mut self,
        interrupt: &Interrupt,
        limit: Option<Duration>,
        into: &mut Zeroizing<Vec<u8>>,
    ) -> io::Result<Came> {
        if !self.pending.is_empty() {
            into.extend(self.pending.iter());
            self.pending.make_contiguous().zeroize();
            self.pending.clear();
            return Ok(Came::Bytes);
        }
        match self.wake(interrupt, limit)? {
            Wake::Interrupted => return Ok(Came::Interrupted),
            Wake::TimedOut => {
                // It is looked at, or the next wait would end at once.
                self.has_untold();
                return Ok(Came::TimedOut);
            }
            Wake::Ready => {}
        }
        let mut chunk = Zeroizing::new([0; SECRET_CHUNK]);
        let (came, length) = self.read_into(&mut *chunk)?;
        into.extend_from_slice(&chunk[..length]);
        Ok(came)
    }

    /// Waits for keys, and while a full screen is drawn for news, which end it as by its time.
    fn wake(&self, interrupt: &Interrupt, limit: Option<Duration>) -> io::Result<Wake> {
        let news = self.news.as_ref().filter(|_| self.told.is_some());
        interrupt.wait_readable_or(self.source.as_fd(), news.map(News::as_fd), limit)
    }

    fn wait(&mut self, interrupt: &Interrupt, limit: Option<Duration>) -> io::Result<Came> {
        match self.wake(interrupt, limit)? {
            Wake::Interrupted => Ok(Came::Interrupted),
            Wake::TimedOut => Ok(Came::TimedOut),
            Wake::Ready => self.read(),
        }
    }

    /// Reads what there is.
    pub fn read(&mut self) -> io::Result<Came> {
        let mut chunk = vec![0; CHUNK];
        let (came, length) = self.read_into(&mut chunk)?;
        self.pending.extend(&chunk[..length]);
        // It may be a password that was typed ahead.
        chunk[..length].zeroize();
        Ok(came)
    }

    fn read_into(&mut self, chunk: &mut [u8]) -> io::Result<(Came, usize)> {
        match read(&self.source, chunk) {
            Ok(0) if self.is_terminal() && !self.has_hung_up() => Ok((Came::TimedOut, 0)),
            // EIO is what a terminal that has hung up says.
            Ok(0) | Err(Errno::IO) => Ok((Came::Ended, 0)),
            Ok(length) => {
                if let Some(guard) = &mut self.guard {
                    guard.key(Instant::now());
                }
                Ok((Came::Bytes, length))
            }
            Err(Errno::INTR | Errno::AGAIN) => Ok((Came::TimedOut, 0)),
            Err(error) => Err(error.into()),
        }
    }

    fn has_hung_up(&self) -> bool {
        let mut fds = [PollFd::new(&self.source, PollFlags::IN)];
        let told = poll(&mut fds, Some(&Timespec::default()));
        told.is_err() || fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
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
                Ok(Came::TimedOut | Came::Ended | Came::Unlocked) | Err(_) => return,
            }
        }
    }
}

impl AsFd for Input {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}
