//! What of the table spares packets work: connections that are not tracked, and flows that take a short cut.
//! Must not: know netlink, or decide which connections these are.

use std::collections::BTreeSet;

use crate::model::{Endpoint, IfName};

/// Empty: nothing is spared, and none of it is in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FastPath {
    /// Balanced services whose connections are not tracked: the elements of the sets `untracked4` and `untracked6`.
    pub services: BTreeSet<Endpoint>,
    /// Their servers: `servers4` and `servers6`.
    pub servers: BTreeSet<Endpoint>,
    /// The links between which long flows take the short cut: the flowtable's. Empty: there is no flowtable.
    pub offload: BTreeSet<IfName>,
}

impl FastPath {
    /// Whether connections of this address family are left untracked, so that its sets are there.
    pub fn has_family(&self, ipv4: bool) -> bool {
        let mut all = self.services.iter().chain(&self.servers);
        all.any(|key| key.address.is_ipv4() == ipv4)
    }
}
