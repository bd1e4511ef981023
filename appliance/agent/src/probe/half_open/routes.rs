//! Where a probe begins: the address that the kernel gives to what goes to a target, asked once and kept by who asks.
//! Must not: outlive a change of links, addresses or routes; who keeps it is told of them.

use std::net::IpAddr;

use lb_core::health::Outcome;

use crate::probe::Way;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub(super) source: IpAddr,
    /// Of the interface that it has to leave through; 0: the kernel chooses.
    pub(super) index: u32,
    /// The target's place in the order of ports.
    pub(super) begin: u32,
    lasts: bool,
}

impl Route {
    /// `begin`: the target's place in the order of ports.
    pub fn of(way: &Way, begin: u32) -> Result<Route, Outcome> {
        let (source, index) = way.begin()?;
        Ok(Route {
            source,
            index,
            begin,
            lasts: way.is_any(),
        })
    }

    /// Whether the next check may go the same way. With further wishes the kernel says each time whether the address and the interface
    /// are there.
    pub fn lasts(&self) -> bool {
        self.lasts
    }
}
