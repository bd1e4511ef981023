//! All checks that the loop makes by itself: half-open ones, those that make a whole connection, and those by plain HTTP.
//! Must not: decide what a result means, or wait for the network.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_core::check::{CheckKind, CheckParams, Close, ProbeCookie};
use lb_core::health::{CheckResult, Outcome, Told};
use lb_core::ports::FramePort;

use super::half_open::{HalfOpen, Route};
use super::{Connects, Way};

/// `A`: what the one who asks knows a check by.
#[derive(Debug)]
pub struct TcpChecks<A> {
    half_open: HalfOpen<A>,
    connects: Connects<A>,
}

/// What has become of a check that was to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It goes this way.
    Half(Route),
    /// With a socket of its own, or it has ended already.
    Whole,
    /// It needs a task of its own.
    No,
}

impl<A: Copy> TcpChecks<A> {
    /// Inside of an asynchronous runtime.
    pub fn open(
        now: Instant,
        cookie: ProbeCookie,
        frames: Option<Box<dyn FramePort>>,
    ) -> io::Result<TcpChecks<A>> {
        let (half_open, faults) = HalfOpen::open(now, cookie, frames);
        for (family, error) in faults {
            log::warn!(
                "cannot open a raw socket for {family} ({error}): TCP checks of such servers make whole connections, as with close = \"fin\""
            );
        }
        Ok(TcpChecks {
            half_open,
            connects: Connects::new()?,
        })
    }

    /// Begins a check; what comes of it is among those of [`TcpChecks::take_ended`].
    pub fn start(&mut self, now: Instant, asker: A, way: &Way, params: &Arc<CheckParams>) -> Begun {
        let close = match params.kind {
            CheckKind::Tcp(close) => Some(close),
            _ => None,
        };
        if close == Some(Close::HalfOpen) && self.half_open.speaks(way.target) {
            match self.half_open.route(way) {
                Ok(mut route) => {
                    if self.start_again(now, asker, way.target, &mut route, params.timeout) {
                        return Begun::Half(route);
                    }
                }
                Err(outcome) => {
                    self.end(asker, outcome);
                    return Begun::Whole;
                }
            }
        }
        if !way.is_any() {
            return Begun::No;
        }
        match close {
            Some(close) => self.connects.start(asker, way.target, params.timeout, close),
            None if self.connects.ask(asker, way.target, params) => {}
            None => return Begun::No,
        }
        Begun::Whole
    }

    /// The next half-open check of a target, the same way. `false`: there is no port for it now.
    pub fn start_again(
        &mut self,
        now: Instant,
        asker: A,
        target: SocketAddr,
        route: &mut Route,
        timeout: Duration,
    ) -> bool {
        self.half_open.start(now, asker, target, route, timeout).is_ok()
    }

    /// Sends what was begun.
    pub fn flush(&mut self) {
        self.half_open.flush();
    }

    /// A check whose outcome is known without asking.
    pub fn end(&mut self, asker: A, outcome: Outcome) {
        self.connects.end(asker, Instant::now(), outcome);
    }

    /// Ports on which services listen: half-open checks do not come from them. `tracked`: nor are their answers told from clients but by
    /// their flows.
    pub fn avoid(&mut self, taken: &BTreeSet<u16>, tracked: bool) {
        self.half_open.avoid(taken, tracked);
    }

    /// Links, addresses or routes have changed: every [`Route`] is to be forgotten as well.
    pub fn forget_hops(&mut self) {
        self.half_open.forget_hops();
    }

    /// When [`TcpChecks::take_ended`] has something to say though the network has not.
    pub fn deadline(&self) -> Option<Instant> {
        let deadlines = [self.half_open.deadline(), self.connects.deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Until [`TcpChecks::take_ended`] has something to say because of the network.
    pub async fn ready(&self) {
        tokio::select! {
            () = self.half_open.ready() => {}
            () = self.connects.ready() => {}
        }
    }

    /// Those that have ended by now.
    pub fn take_ended(&mut self) -> Vec<(A, CheckResult)> {
        let mut ended = self.connects.take_ended();
        let half_open = self.half_open.take_ended().into_iter();
        ended.extend(half_open.map(|(asker, started, end, outcome)| (asker, result(started, end, outcome))));
        ended
    }
}

pub(super) fn result(started: Instant, ended: Instant, outcome: Outcome) -> CheckResult {
    CheckResult {
        outcome,
        told: Told::Nothing,
        certificate_ends: None,
        ended,
        latency: ended.saturating_duration_since(started),
    }
}
