//! PID 1: mounts, the config volume, the consoles, the agent's supervision, orderly ends. Small and synchronous; it
//! outlives whatever it starts. Must not: panic out, hang, or touch the network: what the agent has put into the kernel
//! goes on forwarding, whoever dies.

mod backoff;
mod boot;
mod boot_menu;
mod button;
mod clock;
mod cmdline;
mod fault_around;
mod fold;
mod kernel_log;
pub mod kmsg;
mod machine;
mod mounts;
mod password;
pub mod password_file;
mod pipe;
mod printk;
mod program;
mod pulse;
mod refused;
mod rescue;
mod reset;
mod seat;
mod seed;
mod shutdown;
mod signals;
mod stages;
mod turn;
mod volume;
mod watchdog;
mod whole;

use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use lb_core::ports::KernelError;

use crate::turn::Init;

pub use machine::AGENT_READY;
pub use program::CONSOLE_LOG_VARIABLE;
pub use seed::{disk_to_write, file_of_disk, put_on_disk};
pub use volume::BOOTCTL;

/// Grows the ext4 file system on a device, mounted there, to the device's size.
pub type Grow = fn(device: &Path, mountpoint: &Path) -> Result<(), KernelError>;

/// Gives back memory that was needed for the boot only.
pub type GiveBack = fn();

/// What a boot does on the volume at this place, and to the copies outside of it, if a factory reset was begun there: `None` if none was.
/// For who looks at a disk that no machine runs.
pub fn go_on_with_reset(volume: &Path, bootctl: &Path) -> Option<Result<&'static str, String>> {
    reset::carry_out(volume, bootctl, None).map(|done| done.map_err(|refused| refused.to_string()))
}

/// Runs as PID 1 until the machine goes down, and does not return then. Any other process is told so.
pub fn run(grow: Grow, give_back: GiveBack) -> ExitCode {
    if std::process::id() != 1 {
        eprintln!("init: this is not process 1; the kernel starts it, with init=/sbin/init");
        return ExitCode::FAILURE;
    }
    kmsg::install("init");
    panic::set_hook(Box::new(|panic| log::error!("internal fault: {panic}")));
    let mut init = Init::new(grow, give_back);
    loop {
        // Each part of a turn is caught by itself; this is for what is done about a fault.
        if panic::catch_unwind(AssertUnwindSafe(|| init.turn())).is_err() {
            thread::sleep(Duration::from_secs(1));
        }
    }
}
