//! The way down: programs are asked to end, then made to; /config is unmounted, what is cached is written; the machine
//! reboots or switches off. Every wait has a bound, and nothing that fails on the way stops it.

use std::fs;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags, mount_remount, unmount};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::system::reboot;

use crate::machine::Machine;
use crate::printk;
use crate::signals::Order;
use crate::volume::CONFIG;

/// For programs to end by themselves.
const TERM_LIMIT: Duration = Duration::from_secs(3);
/// For killed ones to be gone.
const KILL_LIMIT: Duration = Duration::from_millis(500);
/// For the disk.
const SYNC_LIMIT: Duration = Duration::from_secs(5);

pub fn go_down(machine: &mut Machine, order: Order) -> ! {
    printk::give_back(machine);
    log::info!("{}", order.announcement());
    machine.say_everywhere(order.announcement());
    // It stays armed through a restart: one that hangs ends by a reset.
    if matches!(order, Order::PowerOff | Order::Halt)
        && let Some(watchdog) = machine.watchdog.take()
    {
        watchdog.disarm();
    }
    machine.agent.unwant();
    machine.agent.signal(Signal::TERM);
    for seat in &mut machine.seats {
        seat.console.unwant();
        seat.console.signal(Signal::TERM);
    }
    if !wait_for_children(machine, TERM_LIMIT) {
        machine.say_everywhere("A program did not end and is killed.");
    }
    // kill(-1): everything but init.
    let _ = kill_process_group(Pid::INIT, Signal::KILL);
    wait_for_children(machine, KILL_LIMIT);
    if !within(SYNC_LIMIT, write_back) {
        machine.say_everywhere("The disk did not answer in time; what was not written is lost.");
    }
    loop {
        // Returns only when it fails.
        let refused = reboot(order.command());
        machine.say_everywhere(&format!("reboot(2): {refused:?}"));
        let key = match order {
            Order::Reboot | Order::CtrlAltDel => "b",
            Order::PowerOff | Order::Halt => "o",
        };
        let _ = fs::write("/proc/sysrq-trigger", key);
        thread::sleep(Duration::from_secs(5));
    }
}

/// Whether the agent and all consoles have ended within the limit.
fn wait_for_children(machine: &mut Machine, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        machine.reap(Instant::now());
        // Reaping makes an ended program due again.
        machine.agent.unwant();
        machine.seats.iter_mut().for_each(|seat| seat.console.unwant());
        let running =
            machine.agent.pid().is_some() || machine.seats.iter().any(|seat| seat.console.pid().is_some());
        if !running || Instant::now() >= deadline {
            return !running;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn write_back() {
    if unmount(CONFIG, UnmountFlags::empty()).is_err() {
        let _ = mount_remount(CONFIG, MountFlags::RDONLY, c"");
    }
    rustix::fs::sync();
}

/// Runs it in a thread that is left behind if it takes too long.
fn within(limit: Duration, work: fn()) -> bool {
    let (sender, receiver) = mpsc::channel();
    let run = move || {
        work();
        // Whoever waited may have given up.
        let _ = sender.send(());
    };
    match thread::Builder::new().name("sync".to_owned()).spawn(run) {
        Ok(_) => receiver.recv_timeout(limit).is_ok(),
        Err(_) => {
            work();
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_hangs_is_left_behind() {
        assert!(within(Duration::from_secs(5), || {}));
        let before = Instant::now();
        assert!(!within(Duration::from_millis(50), || thread::sleep(
            Duration::from_secs(60)
        )));
        assert!(before.elapsed() < Duration::from_secs(5));
    }
}
