//! All checks by whole connections that need no task: TCP and plain HTTP. Their sockets in one epoll set, their deadlines in one queue, their results in
//! batches. A thousand a second are usual, and a task, a timer and a message for each cost more than the kernel's TCP does.
//! Must not: decide what a result means, or wait for the network.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use lb_core::check::{CheckParams, Close};
use lb_core::health::{CheckResult, Outcome, Told};
use rustix::event::{Timespec, epoll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::asked::{Asked, Next};
use super::plain::result;
use super::way::not_connected;
use super::{classify, late};

/// Sockets that one look tells of.
const LOOK: usize = 64;

/// `A`: what the one who asks knows a check by.
#[derive(Debug)]
pub struct Connects<A> {
    epoll: AsyncFd<OwnedFd>,
    /// By the number of the socket's descriptor, which is small.
    attempts: Vec<Option<Box<Attempt<A>>>>,
    deadlines: BTreeSet<(Instant, usize)>,
    ended: Vec<(A, CheckResult)>,
}

#[derive(Debug)]
struct Attempt<A> {
    asker: A,
    target: SocketAddr,
    /// Its end takes it out of the epoll set.
    socket: OwnedFd,
    deed: Deed,
    started: Instant,
    timeout: Duration,
}

/// What a connection is made for.
#[derive(Debug)]
enum Deed {
    Close(Close),
    Ask(Asked),
}

impl Deed {
    fn late(&self, timeout: Duration) -> Outcome {
        match self {
            Deed::Close(_) => Outcome::Silent(late(timeout)),
            Deed::Ask(asked) => asked.late(timeout),
        }
    }
}

impl<A> Attempt<A> {
    fn deadline(&self) -> Instant {
        self.started + self.timeout
    }
}

impl<A> Connects<A> {
    /// Inside of an asynchronous runtime.
    pub fn new() -> io::Result<Connects<A>> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "what `register` asks for without a check holds of every OwnedFd"
        )]
        let epoll = AsyncFd::with_interest(set, Interest::READABLE)?;
        Ok(Connects {
            epoll,
            attempts: Vec::new(),
            deadlines: BTreeSet::new(),
            ended: Vec::new(),
        })
    }

    /// Begins to connect; what comes of it is among those of [`Connects::take_ended`].
    pub fn start(&mut self, asker: A, target: SocketAddr, timeout: Duration, close: Close) {
        self.begin(asker, target, (Instant::now(), timeout), Deed::Close(close));
    }

    /// The same for a check over plain HTTP. `false`: it is another.
    pub fn ask(&mut self, asker: A, target: SocketAddr, params: &Arc<CheckParams>) -> bool {
        let asked = Asked::new(params, target);
        let is_asked = asked.is_some();
        if let Some(asked) = asked {
            self.begin(asker, target, (Instant::now(), params.timeout), Deed::Ask(asked));
        }
        is_asked
    }

    fn begin(&mut self, asker: A, target: SocketAddr, (started, timeout): (Instant, Duration), deed: Deed) {
        match self.open(target, &deed) {
            Ok(socket) => {
                let place = place(&socket);
                if self.attempts.len() <= place {
                    self.attempts.resize_with(place + 1, || None);
                }
                self.deadlines.insert((started + timeout, place));
                self.attempts[place] = Some(Box::new(Attempt {
                    asker,
                    target,
                    socket,
                    deed,
                    started,
                    timeout,
                }));
            }
            Err(errno) => self.end(asker, started, classify(&errno.into())),
        }
    }

    /// A check whose outcome is known without asking.
    pub fn end(&mut self, asker: A, started: Instant, outcome: Outcome) {
        self.conclude(asker, (started, Instant::now()), outcome, Told::Nothing);
    }

    fn conclude(&mut self, asker: A, (started, ended): (Instant, Instant), outcome: Outcome, told: Told) {
        let mut result = result(started, ended, outcome);
        result.told = told;
        self.ended.push((asker, result));
    }

    fn open(&self, target: SocketAddr, deed: &Deed) -> Result<OwnedFd, Errno> {
        let family = match target {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        let events = match deed {
            Deed::Close(_) => epoll::EventFlags::OUT | epoll::EventFlags::ONESHOT,
            Deed::Ask(_) => {
                // The request goes with the last packet of the handshake (tcp(7)); without that it would go after it.
                let _ = sockopt::set_tcp_quickack(&socket, false);
                epoll::EventFlags::OUT
                    | epoll::EventFlags::IN
                    | epoll::EventFlags::RDHUP
                    | epoll::EventFlags::ET
            }
        };
        match connect(&socket, &target) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(errno) => return Err(errno),
        }
        let data = epoll::EventData::new_u64(place(&socket) as u64);
        epoll::add(&self.epoll, &socket, data, events)?;
        Ok(socket)
    }

    /// When [`Connects::take_ended`] has something to say though the network has not.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Until [`Connects::take_ended`] has something to say because of the network.
    pub async fn ready(&self) {
        poll_fn(|context| self.poll_ready(context)).await;
    }

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        if !self.ended.is_empty() {
            return Poll::Ready(());
        }
        // An epoll set can always be waited for; if not, the deadlines are left.
        let Ok(mut ready) = ready!(self.epoll.poll_read_ready(context)) else {
            return Poll::Pending;
        };
        // Before the look: what comes meanwhile is told anew.
        ready.clear_ready();
        Poll::Ready(())
    }

    /// Those that have ended by now.
    pub fn take_ended(&mut self) -> Vec<(A, CheckResult)> {
        if self.deadlines.is_empty() {
            return std::mem::take(&mut self.ended);
        }
        loop {
            let mut seen = [epoll::Event {
                flags: epoll::EventFlags::empty(),
                data: epoll::EventData::new_u64(0),
            }; LOOK];
            let look = || epoll::wait(&self.epoll, &mut seen[..], Some(&Timespec::default()));
            let count = retry_on_intr(look).unwrap_or(0);
            let now = Instant::now();
            for event in &seen[..count] {
                self.answered(now, event.data.u64() as usize, event.flags);
            }
            if count < LOOK {
                self.expire(now);
                break;
            }
        }
        if self.deadlines.is_empty() {
            // After a start, of thousands.
            self.attempts = Vec::new();
        }
        std::mem::take(&mut self.ended)
    }

    fn answered(&mut self, now: Instant, place: usize, flags: epoll::EventFlags) {
        let Some(attempt) = self.attempts.get_mut(place).and_then(Option::as_mut) else {
            return;
        };
        let next = match &mut attempt.deed {
            Deed::Close(close) => Next::Over(connected(&attempt.socket, *close, flags)),
            Deed::Ask(asked) => asked.go_on(&attempt.socket, flags),
        };
        if matches!(next, Next::Wait) {
            return;
        }
        let Some(attempt) = self.attempts[place].take() else {
            return;
        };
        self.deadlines.remove(&(attempt.deadline(), place));
        let Attempt {
            asker,
            target,
            socket,
            deed,
            started,
            timeout,
        } = *attempt;
        drop(socket);
        match next {
            Next::Over(Ok(told)) => self.conclude(asker, (started, now), Outcome::Pass, told),
            Next::Over(Err(outcome)) => self.conclude(asker, (started, now), outcome, Told::Nothing),
            Next::Connect | Next::Wait => self.begin(asker, target, (started, timeout), deed),
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some((at, place)) = self.deadlines.first().copied() {
            if at > now {
                return;
            }
            self.deadlines.pop_first();
            if let Some(attempt) = self.attempts.get_mut(place).and_then(Option::take) {
                let outcome = attempt.deed.late(attempt.timeout);
                let Attempt { asker, started, .. } = *attempt;
                self.conclude(asker, (started, now), outcome, Told::Nothing);
            }
        }
    }
}

/// What a connection that is all that is asked for has come to.
fn connected(socket: &OwnedFd, close: Close, flags: epoll::EventFlags) -> Result<Told, Outcome> {
    let failed = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
    if let Some(Ok(Err(errno)) | Err(errno)) = failed.then(|| sockopt::socket_error(socket)) {
        return Err(not_connected(&errno.into()));
    }
    if close == Close::Rst {
        // Whatever it says, the connection was there.
        let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
    }
    Ok(Told::Nothing)
}

fn place(socket: &OwnedFd) -> usize {
    usize::try_from(socket.as_raw_fd()).expect("a descriptor is not negative")
}
