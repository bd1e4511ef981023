//! Takes a device as the controlling terminal of a new session and starts the console on it, as a getty does.
//! Must not: talk to whoever sits there.

use std::env;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, open};
use rustix::process::{getpid, getsid, ioctl_tiocsctty, setsid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::{ControlModes, OptionalActions, isatty, tcgetattr, tcsetattr};
use thiserror::Error;

use crate::applctl::SOCKET_VARIABLE;

#[derive(Debug, Error)]
pub enum AttachError {
    #[error("{device} cannot be opened: {source}")]
    Open { device: String, source: io::Error },
    #[error("{device} is not a terminal")]
    NotATerminal { device: String },
    #[error("{device} cannot be made the controlling terminal: {source}")]
    Control { device: String, source: io::Error },
    #[error("the console cannot be started on {device}: {source}")]
    Start { device: String, source: io::Error },
}

/// Becomes the console on `device`; returns only if that fails.
pub fn attach(device: &str, socket: &Path) -> Result<(), AttachError> {
    let terminal = open_terminal(device)?;
    let control = |source: rustix::io::Errno| AttachError::Control {
        device: device.to_owned(),
        source: source.into(),
    };
    match setsid() {
        // Already a leader, for instance when started by hand.
        Err(_) if getsid(None).is_ok_and(|leader| leader == getpid()) => {}
        other => drop(other.map_err(control)?),
    }
    ioctl_tiocsctty(&terminal).map_err(control)?;
    // Standard input may be the kernel's log; then the console takes it before the terminal.
    let has_log = env::var_os(lb_init::CONSOLE_LOG_VARIABLE).is_some();
    let stdin = if has_log { Ok(()) } else { dup2_stdin(&terminal) };
    stdin
        .and_then(|()| dup2_stdout(&terminal))
        .and_then(|()| dup2_stderr(&terminal))
        .map_err(control)?;
    drop(terminal);
    // A new image of ourselves: the environment of a process cannot be changed safely from within.
    let source = Command::new("/proc/self/exe")
        .arg0("applctl")
        .args(["console"])
        .env("TERM", term(device))
        .env(SOCKET_VARIABLE, socket)
        .exec();
    Err(AttachError::Start {
        device: device.to_owned(),
        source,
    })
}

/// Opens without waiting for a modem's carrier, and without minding its loss.
fn open_terminal(device: &str) -> Result<OwnedFd, AttachError> {
    let fault = |source: rustix::io::Errno| AttachError::Open {
        device: device.to_owned(),
        source: source.into(),
    };
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let terminal = open(device, flags, Mode::empty()).map_err(fault)?;
    if !isatty(&terminal) {
        return Err(AttachError::NotATerminal {
            device: device.to_owned(),
        });
    }
    let mut modes = tcgetattr(&terminal).map_err(fault)?;
    modes.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
    tcsetattr(&terminal, OptionalActions::Now, &modes).map_err(fault)?;
    let flags = fcntl_getfl(&terminal).map_err(fault)?;
    fcntl_setfl(&terminal, flags - OFlags::NONBLOCK).map_err(fault)?;
    Ok(terminal)
}

/// Who set TERM knows better; else the kernel's own screen is `linux`, and at the end of a serial line there is at
/// least what a VT100 can do.
fn term(device: &str) -> String {
    let given = env::var("TERM").ok().filter(|term| !term.is_empty());
    let name = Path::new(device)
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let virtual_console = name
        .strip_prefix("tty")
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    match given {
        // The kernel gives `linux` to its first process, whatever the terminal.
        Some(term) if term != "linux" => term,
        _ if virtual_console => "linux".to_owned(),
        _ => "vt100".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_terminal_is_refused() {
        let nowhere = Path::new("/nonexistent/socket");
        assert!(matches!(
            attach("/nonexistent/tty", nowhere),
            Err(AttachError::Open { .. })
        ));
        assert!(matches!(
            attach("/dev/null", nowhere),
            Err(AttachError::NotATerminal { .. })
        ));
    }
}
