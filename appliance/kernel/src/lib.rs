//! The only netlink and the only `unsafe` of the appliance: links, addresses, routes, nftables, IPVS, sysctls.
//! Must not: decide. It reads back what is, and carries out one step at a time.

mod activity;
mod announce;
mod ask;
mod capture;
pub mod ext4;
mod fault;
mod frames;
mod ipvs;
mod kernel;
mod links;
mod nft;
mod packet;
pub mod resident;
mod scratch;
mod sysctl;

pub use activity::KernelActivity;
pub use ask::echo::EchoSocket;
pub use ask::hop::HopProbe;
pub use capture::CaptureSocket;
pub use frames::FrameSocket;
pub use ipvs::{Ipvs, IpvsTable};
pub use kernel::{Kernel, Parts};
pub use links::{LinkMonitor, NetworkView};
pub use scratch::ScratchNetworks;
pub use sysctl::network_settings;
