//! The agent: the process that configures the network, checks the servers and keeps the kernel's state as it should be.
//! It may be killed at any time: what it has put into the kernel goes on forwarding, and the next agent adopts it.
//! Must not: decide (that is `lb-core`) or speak netlink (that is `lb-kernel`, handed in as ports).

mod apply;
mod archive;
mod boot_choice;
mod by_hand;
mod by_listen;
mod carriers;
mod checks;
mod console;
mod control;
mod crowd;
mod deadlines;
mod departures;
mod drains;
mod due;
mod engine;
mod evidence;
mod export;
mod files;
mod guarded;
mod history;
mod import;
mod journal;
mod keeper;
mod kernel_thread;
mod links;
mod load;
mod own_mtus;
mod preview;
mod probe;
mod pulse;
mod reconcile;
mod rehearsals;
mod report;
mod requests;
mod seed;
mod short_way;
mod silence;
mod steps;
mod store;
mod system;
mod targets;
mod trial;
mod verdicts;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use lb_core::ports::{ActivityPort, FramePort, KernelPort, LinkEvents, RehearsalPort};

pub use archive::Archive;
pub use drains::DRAINS_FILE;
pub use load::{Loaded, load};
pub use preview::text_difference;
pub use store::{APPLIED_FILE, CONFIG_FILE, PENDING_FILE, RETURNED_FILE, SAMPLE_FILE, Store, StoreError};
pub use trial::PENDING_MARK;

/// Where the agent finds and leaves things.
#[derive(Debug, Clone)]
pub struct Places {
    /// The persistent volume with lb.toml.
    pub config: PathBuf,
    /// The control socket and the ready mark.
    pub runtime: PathBuf,
    /// The annotated sample that a first boot puts beside the missing lb.toml.
    pub sample: PathBuf,
    /// The partition with the mirror records, if this machine has one.
    pub mirror: Option<PathBuf>,
}

/// The effects that the agent is given.
pub struct Ports {
    pub kernel: Box<dyn KernelPort>,
    pub activity: Box<dyn ActivityPort>,
    pub links: Box<dyn LinkEvents>,
    /// Where a new configuration is tried before it is put in force.
    pub rehearsal: Arc<dyn RehearsalPort>,
    /// `None`: checks go the kernel's way.
    pub frames: Option<Box<dyn FramePort>>,
    /// Gives back memory that this process does not use any more.
    pub give_back: fn(),
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ports")
    }
}

/// Runs until the process is killed. The error is one that leaves nothing to do: no runtime, no control socket.
pub fn run(places: Places, ports: Ports) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(engine::run(places, ports))
}
