//! Ctrl-C, or a hangup, as something that can be waited for together with a file descriptor.
//! While one exists, its signals do not end the process.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

#[derive(Debug)]
pub struct Interrupt {
    pipe: UnixStream,
    ids: Vec<SigId>,
    /// What holds back the end of the process while this one exists.
    held: Option<Arc<AtomicBool>>,
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    Ready,
    TimedOut,
    Interrupted,
}

impl Interrupt {
    pub fn install() -> io::Result<Interrupt> {
        Interrupt::of(&[SIGINT])
    }

    /// The same for what ends a terminal or a process: a hangup, and the order to end.
    pub fn ending() -> io::Result<Interrupt> {
        let released = released_signals()?;
        let mut interrupt = Interrupt::of(&[SIGHUP, SIGTERM])?;
        released.store(false, Ordering::SeqCst);
        interrupt.held = Some(released);
        Ok(interrupt)
    }

    fn of(signals: &[i32]) -> io::Result<Interrupt> {
        let (pipe, writer) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        let mut interrupt = Interrupt {
            pipe,
            ids: Vec::new(),
            held: None,
        };
        for signal in signals {
            let id = signal_hook::low_level::pipe::register(*signal, writer.try_clone()?)?;
            interrupt.ids.push(id);
        }
        Ok(interrupt)
    }

    /// One that comes from the other end of the pair instead of the signal, which a whole process shares.
    #[cfg(test)]
    pub fn pair() -> (Interrupt, UnixStream) {
        let (pipe, writer) = UnixStream::pair().unwrap();
        pipe.set_nonblocking(true).unwrap();
        let (ids, held) = (Vec::new(), None);
        (Interrupt { pipe, ids, held }, writer)
    }

    /// Forgets a Ctrl-C that came before what starts now.
    pub fn clear(&self) {
        let mut bytes = [0; 64];
        while matches!((&self.pipe).read(&mut bytes), Ok(n) if n > 0) {}
    }

    /// Until `fd` can be read (or is at its end), Ctrl-C, or the time is over; Ctrl-C goes first.
    pub fn wait_readable(&self, fd: BorrowedFd<'_>, limit: Option<Duration>) -> io::Result<Wake> {
        self.wait(fd, PollFlags::IN, None, limit)
    }

    /// The same; `aside` can be read: the wait ends as if its time were over.
    pub fn wait_readable_or(
        &self,
        fd: BorrowedFd<'_>,
        aside: Option<BorrowedFd<'_>>,
        limit: Option<Duration>,
    ) -> io::Result<Wake> {
        self.wait(fd, PollFlags::IN, aside, limit)
    }

    /// Lets so much time pass. False: Ctrl-C came first.
    pub fn pause(&self, time: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).ok();
            let mut fds = [PollFd::from_borrowed_fd(self.pipe.as_fd(), PollFlags::IN)];
            match poll(&mut fds, timeout.as_ref()) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(0) if deadline <= Instant::now() => return Ok(true),
                Ok(0) => {}
                Ok(_) => {
                    self.clear();
                    return Ok(false);
                }
            }
        }
    }

    pub fn wait_writable(&self, fd: BorrowedFd<'_>, limit: Option<Duration>) -> io::Result<Wake> {
        self.wait(fd, PollFlags::OUT, None, limit)
    }

    fn wait(
        &self,
        fd: BorrowedFd<'_>,
        flags: PollFlags,
        aside: Option<BorrowedFd<'_>>,
        limit: Option<Duration>,
    ) -> io::Result<Wake> {
        let deadline = limit.map(|limit| Instant::now() + limit);
        loop {
            // Without one the pipe is looked at twice.
            let third = aside.unwrap_or_else(|| self.pipe.as_fd());
            let mut fds = [
                PollFd::from_borrowed_fd(self.pipe.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(fd, flags),
                PollFd::from_borrowed_fd(third, PollFlags::IN),
            ];
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut fds, timeout.as_ref()) {
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
                Ok(_) if !fds[0].revents().is_empty() => {
                    self.clear();
                    return Ok(Wake::Interrupted);
                }
                Ok(_) if !fds[1].revents().is_empty() => return Ok(Wake::Ready),
                Ok(_) if !fds[2].revents().is_empty() => return Ok(Wake::TimedOut),
                Ok(_) if deadline.is_some_and(|d| d <= Instant::now()) => return Ok(Wake::TimedOut),
                Ok(_) => continue,
            }
        }
    }
}

/// True: a hangup and the order to end do what they always do. A handler that was installed once stays, so that it is left to
/// this whether it does anything.
fn released_signals() -> io::Result<Arc<AtomicBool>> {
    static RELEASED: Mutex<Option<Arc<AtomicBool>>> = Mutex::new(None);
    let mut released = RELEASED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(released) = &*released {
        return Ok(released.clone());
    }
    let new = Arc::new(AtomicBool::new(true));
    for signal in [SIGHUP, SIGTERM] {
        signal_hook::flag::register_conditional_default(signal, new.clone())?;
    }
    *released = Some(new.clone());
    Ok(new)
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        if let Some(released) = &self.held {
            released.store(true, Ordering::SeqCst);
        }
        for id in self.ids.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn waits_for_data_time_and_the_signal() {
        let interrupt = Interrupt::install().unwrap();
        let (here, mut there) = UnixStream::pair().unwrap();
        let wait = |limit| {
            interrupt
                .wait_readable(here.as_fd(), Some(Duration::from_millis(limit)))
                .unwrap()
        };
        assert_eq!(wait(1), Wake::TimedOut);
        there.write_all(b"x").unwrap();
        assert_eq!(wait(10_000), Wake::Ready);
        signal_hook::low_level::raise(SIGINT).unwrap();
        assert_eq!(wait(10_000), Wake::Interrupted);
        assert_eq!(wait(10_000), Wake::Ready);
        signal_hook::low_level::raise(SIGINT).unwrap();
        interrupt.clear();
        assert_eq!(wait(10_000), Wake::Ready);
        let start = Instant::now();
        assert!(interrupt.pause(Duration::from_millis(20)).unwrap());
        assert!(start.elapsed() >= Duration::from_millis(20));
        signal_hook::low_level::raise(SIGINT).unwrap();
        assert!(!interrupt.pause(Duration::from_secs(60)).unwrap());
    }
}
