//! A service's pool: which of its servers get new connections, and how many of them, from the configuration, the health of
//! the servers, what the operator has set aside, and the time. Must not: read a clock, or know how the kernel is told.

mod decide;
mod drains;
mod rules;
#[cfg(test)]
mod tests;

pub use decide::{Decision, Member, Memory, Mode, decide};
pub use drains::{Drain, DrainTarget, Drains};
pub use rules::{Panic, PoolRules, Quorum, RAMP, Tier};
