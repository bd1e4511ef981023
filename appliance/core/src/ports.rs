//! The traits through which effects leave, and the one error they share.
//! The kernel has one writer: whoever holds the [`KernelPort`]. [`crate::fake`] is a kernel in memory for tests.

use std::collections::BTreeSet;
use std::fmt;

use thiserror::Error;

use crate::observed::{Activity, ConnectionTable, Observed, SysctlName, Wanted};
use crate::plan::Step;

/// Reads and changes the kernel's state. Blocking: the holder calls it from a thread of its own.
pub trait KernelPort: Send {
    /// Reads back everything that the appliance manages; of the sysctls those named.
    fn observe(&mut self, sysctls: &BTreeSet<SysctlName>) -> Result<Observed, KernelError>;

    /// Carries out one step. An error leaves the kernel as it was before this step.
    fn apply(&mut self, step: &Step) -> Result<(), KernelError>;
}

/// Reads what counts and ages. Separate from [`KernelPort`], so that looking never waits for a change.
pub trait ActivityPort: Send {
    fn activity(&mut self, wanted: Wanted) -> Result<Activity, KernelError>;

    /// At most `limit` connections, and how many there are.
    fn connections(&mut self, limit: usize) -> Result<ConnectionTable, KernelError>;
}

/// The kernel refused, or could not be asked. Displays as `VERB OBJECT: ERRNO`, such as
/// `add real 10.0.0.7:80 weight 1 to 192.0.2.1:443/tcp: EEXIST`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{action}: {fault}")]
pub struct KernelError {
    /// Verb and object; for a step, the step's own line.
    pub action: String,
    pub fault: KernelFault,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelFault {
    /// The positive errno, when the kernel gave one.
    pub errno: Option<i32>,
    /// The errno's name (`EEXIST`), with the kernel's extended message in brackets if it sent one; or what went wrong before.
    pub text: String,
}

impl fmt::Display for KernelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Tells that something about links, addresses or routes has changed.
pub trait LinkEvents: Send {
    /// Blocks until something has changed. Losing track (a netlink overrun) counts as a change.
    fn wait(&mut self) -> Result<(), KernelError>;
}
