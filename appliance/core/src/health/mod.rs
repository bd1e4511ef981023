//! The health of real servers: one machine per target, fed with results and the time, answering when it wants to be
//! checked next. Must not: open sockets, read a clock, or know the pools that the server belongs to.

mod machine;
mod result;
mod schedule;
#[cfg(test)]
mod tests;
mod together;

pub use machine::{Flaps, Health, LastCheck, Machine, Standing, Transition};
pub use result::{CheckResult, Outcome, Share, Told};
pub use schedule::Schedule;
pub use together::Together;
