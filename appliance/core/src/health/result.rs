//! What a check gives: its outcome, and what the server said of itself.
//! Must not: say what a result means for the pool.

use std::num::NonZeroU16;
use std::time::{Duration, Instant, SystemTime};

/// What one check of one server gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    pub outcome: Outcome,
    pub ended: Instant,
    /// From the start of the attempt to its outcome.
    pub latency: Duration,
    /// Of a check that passed.
    pub told: Told,
    /// When the certificate ends that the server has shown to a check that passed.
    pub certificate_ends: Option<SystemTime>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Pass,
    /// The server answered, but not as it should.
    Fail(String),
    /// Its machine says that nobody listens: RST, or ICMP port unreachable. No connection of its clients lives on.
    Refused(String),
    /// Nothing came back, which may be the network's fault: no answer in time, or a neighbour that does not answer.
    Silent(String),
    /// The check could not be made, and the fault is on our side: no route, no carrier, no socket. Says nothing of the server.
    CannotCheck(String),
}

impl Outcome {
    /// Why the server has failed.
    pub fn failure(&self) -> Option<&str> {
        match self {
            Outcome::Fail(why) | Outcome::Refused(why) | Outcome::Silent(why) => Some(why),
            Outcome::Pass | Outcome::CannotCheck(_) => None,
        }
    }
}

/// What a server said of itself in a check that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Told {
    #[default]
    Nothing,
    /// How many endpoints of the service it has: so many times its weight is its.
    Endpoints(NonZeroU16),
    /// How much of its weight it wants.
    Percent(u8),
    /// It wants no new connections.
    Drain,
}

/// The part of its configured weight that a server gets, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u32);

impl Share {
    pub const WHOLE: Share = Share(100);

    pub fn percent(self) -> u32 {
        self.0
    }

    /// So much of it.
    pub(super) fn part(self, of: Share) -> Share {
        Share(u32::try_from(u64::from(self.0) * u64::from(of.0) / 100).unwrap_or(u32::MAX))
    }
}

impl From<Told> for Share {
    fn from(told: Told) -> Share {
        match told {
            Told::Nothing => Share::WHOLE,
            Told::Endpoints(count) => Share(u32::from(count.get()) * 100),
            Told::Percent(percent) => Share(percent.into()),
            Told::Drain => Share(0),
        }
    }
}
