//! The user's terminal, connected to a VM's serial console until the user leaves.
//! Must not: leave the terminal in raw mode, whatever happens.

use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcsetattr};

use crate::{LabError, Result, Vm};

/// Ctrl-]
const LEAVE: u8 = 0x1d;
/// How often a machine that has switched itself off is noticed.
const GLANCE: Duration = Duration::from_millis(200);

/// Puts a terminal into raw mode for as long as it lives.
struct Raw(Termios);

impl Raw {
    fn new() -> Result<Raw> {
        let fail = |errno: rustix::io::Errno| LabError::io("set up the terminal")(errno.into());
        let before = tcgetattr(std::io::stdin()).map_err(fail)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).map_err(fail)?;
        Ok(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// Returns when the user leaves, standard input ends, or the machine is off.
pub fn connect(vm: &Vm) -> Result<()> {
    let stdin = std::io::stdin();
    let _raw = isatty(&stdin).then(Raw::new).transpose()?;
    vm.console.keep_quiet();
    vm.console.mirror_to(Some(Box::new(std::io::stdout())));
    let outcome = forward(vm);
    vm.console.mirror_to(None);
    let _ = std::io::stdout().write_all(b"\r\n");
    outcome
}

fn forward(vm: &Vm) -> Result<()> {
    let stdin = std::io::stdin();
    let mut buffer = [0; 256];
    let glance = rustix::time::Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(GLANCE.subsec_nanos()),
    };
    // A fresh prompt: the one that was there has scrolled away with the story.
    vm.console.send(b"\r")?;
    while !vm.console.is_closed() {
        let mut ready = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
        match poll(&mut ready, Some(&glance)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(errno) => return Err(LabError::io("wait for the terminal")(errno.into())),
        }
        let count = rustix::io::read(&stdin, &mut buffer)
            .map_err(|errno| LabError::io("read from the terminal")(errno.into()))?;
        let typed = &buffer[..count];
        let leave = typed.iter().position(|byte| *byte == LEAVE);
        vm.console.send(&typed[..leave.unwrap_or(count)])?;
        if count == 0 || leave.is_some() {
            break;
        }
    }
    Ok(())
}
