//! The health of real servers: one machine per server, fed with results and the time, answering when it wants to be
//! checked next. Must not: open sockets, read a clock, or know the pool that the server belongs to.

mod machine;
mod schedule;
#[cfg(test)]
mod tests;

pub use machine::{Health, LastCheck, Machine, Transition};
pub use schedule::Schedule;

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

/// What one check of one server gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    pub outcome: Outcome,
    pub ended: Instant,
    /// From the start of the attempt to its outcome.
    pub latency: Duration,
    /// How many endpoints the server has, where a check that passed was told.
    pub endpoints: Option<NonZeroU16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Pass,
    /// The server did not answer as it should: refused, silent, reset, or unreachable behind a link that works.
    Fail(String),
    /// The check could not be made, and the fault is on our side: no route, no carrier, no socket. Says nothing of the server.
    CannotCheck(String),
}
