//! What runs as PID 1 in the machines of these tests in place of the appliance: prints which slot the kernel was started from
//! and how long that took, then restarts the machine, or dies if the overlay says so.

use std::fs;
use std::time::Duration;

use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, reboot};

/// A file of the overlay that names the slots in which PID 1 dies.
pub const DIES: &str = "etc/stand-in-dies";

pub fn run() {
    mount("proc", "/proc", "proc", MountFlags::empty(), None).expect("the kernel has procfs");
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cmdline = read("/proc/cmdline");
    let slot = cmdline
        .split_whitespace()
        .find_map(|word| word.strip_prefix("lb.slot="))
        .unwrap_or("?");
    let uptime = read("/proc/uptime");
    let uptime = uptime.split(' ').next().unwrap_or_default();
    println!(
        "stand-in: slot={slot} uptime={uptime} cmdline=[{}]",
        cmdline.trim()
    );
    // The line must leave the serial port before the machine starts anew.
    std::thread::sleep(Duration::from_millis(100));
    if read(&format!("/{DIES}")).contains(slot) {
        return; // the kernel panics when PID 1 ends
    }
    let restarted = reboot(RebootCommand::Restart);
    panic!("still here after the restart: {restarted:?}");
}
