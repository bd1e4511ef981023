//! The signals that init acts on, through a self-pipe that the loop polls: children that end, and orders to reboot,
//! power off or halt. Must not: carry them out.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::system::RebootCommand;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

/// How the machine is to go down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Reboot,
    /// The keys of the screen ask for it; the others have had to unlock a console first, or own the machine.
    CtrlAltDel,
    PowerOff,
    Halt,
}

impl Order {
    /// What is said on the consoles.
    pub fn announcement(self) -> &'static str {
        match self {
            Order::Reboot | Order::CtrlAltDel => "Rebooting.",
            Order::PowerOff => "Powering off.",
            Order::Halt => "Halting.",
        }
    }

    pub fn command(self) -> RebootCommand {
        match self {
            Order::Reboot | Order::CtrlAltDel => RebootCommand::Restart,
            Order::PowerOff => RebootCommand::PowerOff,
            Order::Halt => RebootCommand::Halt,
        }
    }
}

/// SIGINT is what the kernel sends for Ctrl-Alt-Del once that is off (reboot(2)).
fn order(signal: i32) -> Option<Order> {
    match signal {
        SIGTERM => Some(Order::Reboot),
        SIGINT => Some(Order::CtrlAltDel),
        SIGUSR2 => Some(Order::PowerOff),
        SIGUSR1 => Some(Order::Halt),
        _ => None,
    }
}

#[derive(Debug)]
pub struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
}

impl Signals {
    pub fn catch() -> io::Result<Signals> {
        let (read, write) = UnixStream::pair()?;
        // SIGHUP is caught so that it does nothing.
        let caught = [SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2];
        Ok(Signals {
            delivery: SignalDelivery::with_pipe(read, write, SignalOnly, caught)?,
        })
    }

    /// The last order among the signals since the last call; the keys, which may be refused, hide no other. Children are reaped at each turn,
    /// whoever woke it.
    pub fn take_order(&mut self) -> Option<Order> {
        let mut orders: Vec<Order> = self.delivery.pending().filter_map(order).collect();
        orders.sort_by_key(|order| *order != Order::CtrlAltDel);
        orders.pop()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_arrives_as_its_order_and_wakes_the_poll() {
        let mut signals = Signals::catch().unwrap();
        assert_eq!(signals.take_order(), None);
        for (signal, expected) in [
            (SIGTERM, Some(Order::Reboot)),
            (SIGINT, Some(Order::CtrlAltDel)),
            (SIGUSR2, Some(Order::PowerOff)),
            (SIGUSR1, Some(Order::Halt)),
            (SIGHUP, None),
        ] {
            signal_hook::low_level::raise(signal).unwrap();
            let fd = signals.as_fd();
            let mut polled = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
            assert_eq!(rustix::event::poll(&mut polled, None).unwrap(), 1);
            assert_eq!(signals.take_order(), expected, "signal {signal}");
        }
    }
}
