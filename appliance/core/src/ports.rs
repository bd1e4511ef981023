//! The traits through which effects leave, and the one error they share.
//! The kernel has one writer: whoever holds the [`KernelPort`]. [`crate::fake`] is a kernel in memory for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use thiserror::Error;

use crate::flat::FlatMap;
use crate::model::{MacAddress, RealKey, VirtualKey};
use crate::observed::{
    Activity, ConnectionTable, Observed, ObservedReal, ServerActivity, SysctlName, Wanted, WayBack,
};
use crate::plan::Step;
use crate::rehearsal::StandIn;

/// Reads and changes the kernel's state. Blocking: the holder calls it from a thread of its own.
pub trait KernelPort: Send {
    /// Reads back what the appliance manages, but for the servers of the services: each service seems to have none.
    /// Of the sysctls those named.
    fn observe_frame(&mut self, sysctls: &BTreeSet<SysctlName>) -> Result<Observed, KernelError>;

    /// Reads back the servers of one service; `None` if it is seen that there is no such service.
    fn observe_servers(
        &mut self,
        service: &VirtualKey,
    ) -> Result<Option<FlatMap<RealKey, ObservedReal>>, KernelError>;

    /// Reads back everything, service by service.
    fn observe(&mut self, sysctls: &BTreeSet<SysctlName>) -> Result<Observed, KernelError> {
        let mut observed = self.observe_frame(sysctls)?;
        let services: Vec<VirtualKey> = observed.virtual_servers.keys().copied().collect();
        for service in services {
            let servers = self.observe_servers(&service)?;
            observed.take_servers(&service, servers);
        }
        Ok(observed)
    }

    /// Whether [`observe_frame`](Self::observe_frame) would tell just what is known. The known servers of the services are not
    /// looked at.
    fn frame_is(&mut self, sysctls: &BTreeSet<SysctlName>, known: &Observed) -> Result<bool, KernelError> {
        Ok(self.observe_frame(sysctls)?.has_frame_of(known))
    }

    /// Whether [`observe_servers`](Self::observe_servers) would tell just what is known. A kernel may know a cheaper way than to
    /// read them; where it is not sure, it says no.
    fn servers_are(
        &mut self,
        service: &VirtualKey,
        known: &FlatMap<RealKey, ObservedReal>,
    ) -> Result<bool, KernelError> {
        Ok(self.observe_servers(service)?.as_ref() == Some(known))
    }

    /// Carries out one step. An error leaves the kernel as it was before this step.
    fn apply(&mut self, step: &Step) -> Result<(), KernelError>;

    /// Carries out steps each of which has a [`Step::service`], one after the other; the refused, by their position. A refusal
    /// does not keep those behind it from being carried out.
    fn apply_services(&mut self, steps: &[Step]) -> Vec<(usize, KernelError)> {
        apply_one_by_one(self, steps)
    }
}

/// Every step by itself; the refused, by their position.
pub fn apply_one_by_one(
    kernel: &mut (impl KernelPort + ?Sized),
    steps: &[Step],
) -> Vec<(usize, KernelError)> {
    let outcomes = steps.iter().map(|step| kernel.apply(step)).enumerate();
    outcomes
        .filter_map(|(at, outcome)| outcome.err().map(|error| (at, error)))
        .collect()
}

/// Reads what counts and ages. Separate from [`KernelPort`], so that looking never waits for a change.
pub trait ActivityPort: Send {
    fn activity(&mut self, wanted: Wanted) -> Result<Activity, KernelError>;

    /// The servers of one service; none if there is no such service.
    fn servers(&mut self, service: &VirtualKey) -> Result<Vec<(RealKey, ServerActivity)>, KernelError>;

    /// Who else says that an address of ours, on the link with this index and Ethernet address, is his. It takes a moment.
    fn others_with(
        &mut self,
        index: u32,
        own: MacAddress,
        address: IpAddr,
    ) -> Result<Vec<String>, KernelError>;

    /// What each of these servers does with a client at `stranger`, an address that nobody has: it is sent a SYN from there.
    /// It takes a moment. Servers that nothing could be sent to are left out.
    fn ways_back(
        &mut self,
        stranger: IpAddr,
        servers: &[RealKey],
    ) -> Result<BTreeMap<RealKey, WayBack>, KernelError>;

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

/// Networks that nobody meets, to try steps in.
pub trait RehearsalPort: Send + Sync {
    /// The kernel in a new network that holds these stand-ins and what the kernel makes by itself. The calling thread is in that network from
    /// then on, and the network ends with it.
    fn enter(&self, cards: &[StandIn]) -> Result<Box<dyn KernelPort>, KernelError>;
}

/// Tells that something about links, addresses or routes has changed.
pub trait LinkEvents: Send {
    /// Blocks until something has changed. Losing track (a netlink overrun) counts as a change.
    fn wait(&mut self) -> Result<(), KernelError>;
}

/// Sends packets of this machine's own as frames, past its routes, its filter and its tracking; the kernel says where to.
/// It answers at once, and waits for no lock that who changes the network holds: the holder may be the loop.
pub trait FramePort: Send + fmt::Debug {
    /// The neighbour that gets what goes from this address of ours to that one. `None`: there is none, or not on an Ethernet link.
    fn next_hop(&mut self, from: IpAddr, to: IpAddr) -> Option<NextHop>;

    /// All neighbours of one family on the link with this index that the kernel would send to now, without asking them first.
    fn neighbours(&mut self, index: u32, is_v4: bool, tell: &mut dyn FnMut(IpAddr, MacAddress));

    /// Sends them in their order; how many have left. The one after those could not, and none after it was tried.
    fn send(&mut self, frames: &[Frame<'_>]) -> usize;
}

/// A neighbour: an address on the link with this index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NextHop {
    pub index: u32,
    pub address: IpAddr,
}

/// What leaves through the link with this index. `packet` begins with its header of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'p> {
    pub index: u32,
    pub to: MacAddress,
    pub packet: &'p [u8],
}
