//! The network that the appliance was born from, rebuilt out of network namespaces, with real nginx and real curl:
//!
//! ```text
//!    host01 192.168.0.10   host02 192.168.0.20
//!         | eth0                | eth0
//!   ------+----------+----------+------------  br-ext   192.168.0.0/24
//!                    | tap-ext  eth0, 52:54:00:00:00:01
//!               192.168.0.1
//!                 [ lb ]  the appliance's VM, or a namespace that stands in for it
//!              172.16.0.254
//!                    | tap-int  eth1, 52:54:00:00:00:02
//!   ------+----------+----------+------------  br-int   172.16.0.0/24
//!         | eth0     | eth0     | eth0
//!      master     worker01   worker02
//!    172.16.0.1  172.16.0.11 172.16.0.12
//!      :6443       :30080      :30080
//!                    | pod0     | pod0         10.244.1.0/24, 10.244.2.0/24
//!                    +--- pod --+              nginx on :80; the pod is on one worker and can be moved
//! ```
//!
//! Everything lives in a cage ([`cage`]) of fresh namespaces, which ends with its first process: the machine's own
//! network is never touched and nothing survives. Must not: know how the appliance works inside.

pub mod cage;
pub mod cluster;
pub mod command;
pub mod error;
pub mod load;
pub mod nginx;
pub mod policy;
mod stage;
pub mod story;
pub mod switch;
pub mod terminal;
pub mod vm;

pub use cluster::{Lab, Options, SourceNat};
pub use error::{LabError, Result};
pub use switch::Switch;
pub use vm::{Boot, Nic, Vm, VmOptions};

use std::path::PathBuf;

/// The address that clients use.
pub const VIP: &str = "192.168.0.1";
/// The lb on the cluster's side: every node's default gateway, and where its checks come from.
pub const GATEWAY: &str = "172.16.0.254";
pub const HOST01: &str = "192.168.0.10";
pub const HOST02: &str = "192.168.0.20";
/// The page that a freshly installed nginx serves has this title.
pub const DEFAULT_PAGE: &str = "<title>Welcome to nginx!</title>";
/// What the master answers on port 6443.
pub const MASTER_ANSWER: &str = "this is the master's port 6443";

/// The repository that this crate was built from.
pub fn repository() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map(PathBuf::from).unwrap_or(here)
}

/// Where whatever is built or unpacked goes; never part of the sources.
pub fn build_dir() -> PathBuf {
    repository().join("build")
}
