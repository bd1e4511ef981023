//! Configurations of other balancers as lb.toml, with remarks on what means something else here and on what was left out.
//! Text in, text out: what is made is always one that [`config::parse`](crate::config::parse) takes, or nothing.
//! Must not: read files, or leave a line of the source out in silence.

mod draft;
mod finish;
mod glob;
mod haproxy;
mod keepalived;
mod machine;
mod names;
mod remarks;
mod shared;
#[cfg(test)]
mod tests;
mod values;
mod write;

use serde::Serialize;

pub use glob::matches;
pub use haproxy::import as haproxy;
pub use keepalived::{Included, import as keepalived};
pub use remarks::{Remark, Severity};

/// The most that is read, with all that is included and repeated: some 20,000 servers. Each line becomes many times its
/// length on the way, and the appliance has little memory.
const MOST_BYTES: usize = 2 << 20;

/// What became of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// The text of lb.toml; empty if nothing could be produced.
    pub toml: String,
    /// In the order of the source.
    pub remarks: Vec<Remark>,
}
