//! The terminals at which somebody may sit: serial port, screen, hypervisor console. Each shows init's lines, then runs
//! the console program, or the rescue prompt when that program cannot work. Must not: ever block on a terminal; flow
//! control may have stopped it, and no one may be there to press Ctrl-Q.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::ioctl_fionbio;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, QueueSelector, tcflush, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

use crate::cmdline::Cmdline;
use crate::password::Gate;
use crate::pipe::Lines;
use crate::program::Program;

/// The kernel's own console.
const INHERITED: &str = "console";
/// What a terminal may take for one message before the rest of it is dropped.
const WRITE_LIMIT: Duration = Duration::from_millis(300);
/// A terminal that has gone away is looked for at this pace.
const REOPEN: Duration = Duration::from_secs(5);
/// A console program that ends this fast, this often in a row, does not work.
const QUICK: Duration = Duration::from_secs(2);
const QUICK_ENDS: u32 = 5;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// init's lines only.
    Lines,
    /// The console program runs, or is about to be started again.
    Console,
    /// The boot menu is open here.
    BootMenu,
    Rescue {
        reason: String,
    },
    /// The terminal does not answer; it is opened again at this time.
    Gone {
        until: Instant,
    },
}

#[derive(Debug)]
pub struct Seat {
    /// `ttyS0`.
    pub name: String,
    pub mode: Mode,
    pub console: Program,
    /// The rescue prompt is locked.
    pub gate: Option<Gate>,
    /// When a line was typed last, or the prompt was shown.
    last_line: Instant,
    tty: File,
    quick_ends: u32,
    typed: Lines,
}

/// The terminals to look for: those that every machine may have, and those that the kernel was told to use.
pub fn candidates(cmdline: &Cmdline) -> Vec<String> {
    let mut names: Vec<String> = ["ttyS0", "tty1", "hvc0"].map(str::to_owned).to_vec();
    for console in &cmdline.consoles {
        // tty0 is whichever screen is shown; at boot that is the first.
        let name = if console == "tty0" { "tty1" } else { console };
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

impl Seat {
    /// The terminal, if it is there: a port without hardware can be opened, but has no settings (EIO).
    pub fn open(name: &str) -> io::Result<Seat> {
        let tty = open_tty(&path(name))?;
        Ok(Seat::on(name, tty))
    }

    /// The terminal that the kernel has opened for init, for a machine without /dev.
    pub fn inherited() -> io::Result<Seat> {
        let tty = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        ioctl_fionbio(&tty, true)?;
        Ok(Seat::on(INHERITED, tty))
    }

    pub fn is_inherited(&self) -> bool {
        self.name == INHERITED
    }

    fn on(name: &str, tty: File) -> Seat {
        let device = path(name);
        let arguments = ["applctl", "console", "--tty", &device.to_string_lossy()];
        Seat {
            name: name.to_owned(),
            mode: Mode::Lines,
            console: Program::new(format!("console {name}"), &arguments),
            gate: None,
            last_line: Instant::now(),
            tty,
            quick_ends: 0,
            typed: Lines::of_a_terminal(),
        }
    }

    /// Writes as much as the terminal takes in a short time.
    pub fn say(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        let deadline = Instant::now() + WRITE_LIMIT;
        while !rest.is_empty() {
            match self.tty.write(rest) {
                Ok(length) => rest = &rest[length..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    let Ok(left) = Timespec::try_from(left) else {
                        return;
                    };
                    let mut polled = [PollFd::new(&self.tty, PollFlags::OUT)];
                    if Instant::now() >= deadline || poll(&mut polled, Some(&left)).is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// Shows the rescue prompt. The console program may have left the terminal raw. Behind a gate nothing that is typed is shown.
    pub fn rescue(&mut self, reason: &str, gate: Option<Gate>, now: Instant) {
        self.console.unwant();
        self.make_sane();
        self.show_typing(gate.is_none());
        if gate.is_some() {
            // What was typed ahead is no attempt.
            let _ = tcflush(&self.tty, QueueSelector::IFlush);
        }
        self.gate = gate;
        self.last_line = now;
        self.typed = Lines::of_a_terminal();
        self.mode = Mode::Rescue {
            reason: reason.to_owned(),
        };
    }

    /// When the rescue prompt locks if no line is typed; `None`: nothing is open here.
    pub fn locks_at(&self, idle: Duration) -> Option<Instant> {
        let is_open = matches!(self.mode, Mode::Rescue { .. }) && self.gate.is_none();
        is_open.then(|| self.last_line + idle)
    }

    /// The console program is to run here from now on.
    pub fn run_console(&mut self, now: Instant) {
        self.mode = Mode::Console;
        self.quick_ends = 0;
        self.console.want(now);
    }

    /// The console program ended after this time. Returns why it is not worth starting again, if that is so.
    pub fn console_ended(&mut self, lived: Duration, now: Instant) -> Option<String> {
        self.quick_ends = if lived < QUICK { self.quick_ends + 1 } else { 0 };
        // The end of a session hangs its terminal up, for everyone who has it open.
        match open_tty(&path(&self.name)) {
            Ok(tty) => self.tty = tty,
            Err(_) => {
                self.leave(now);
                return None;
            }
        }
        (self.quick_ends >= QUICK_ENDS).then(|| {
            format!(
                "the console program ended {QUICK_ENDS} times at once: {}",
                self.console.last_end()
            )
        })
    }

    /// From now on keys count one by one, without a line's end, and show nothing; also those that were typed before.
    pub fn listen(&mut self) {
        if let Ok(mut settings) = tcgetattr(&self.tty) {
            settings.local_modes &= !(LocalModes::ICANON | LocalModes::ECHO);
            let _ = tcsetattr(&self.tty, OptionalActions::Now, &settings);
        }
    }

    /// Whether this key was typed since [`Seat::listen`]; lines are edited again afterwards.
    pub fn heard(&mut self, key: u8) -> bool {
        let mut bytes = [0; 4096];
        let length = self.tty.read(&mut bytes).unwrap_or(0);
        self.make_sane();
        bytes[..length].contains(&key)
    }

    /// What was typed at the rescue prompt or the boot menu, line by line. The terminal edits the line.
    pub fn typed(&mut self, now: Instant) -> Vec<String> {
        let mut bytes = Zeroizing::new([0; 1024]);
        match self.tty.read(&mut *bytes) {
            Ok(length) if length > 0 => {
                self.last_line = now;
                self.typed.take(&bytes[..length])
            }
            // Ctrl-D, if the terminal is still there.
            Ok(_) if tcgetattr(&self.tty).is_ok() => vec![String::new()],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Vec::new(),
            _ => {
                self.leave(now);
                Vec::new()
            }
        }
    }

    fn leave(&mut self, now: Instant) {
        log::warn!("{} does not answer any more", self.name);
        self.console.unwant();
        self.mode = Mode::Gone { until: now + REOPEN };
    }

    /// Looks for a terminal that had gone.
    pub fn reopen(&mut self, now: Instant) {
        match open_tty(&path(&self.name)) {
            Ok(tty) => {
                self.tty = tty;
                self.run_console(now);
            }
            Err(_) => self.mode = Mode::Gone { until: now + REOPEN },
        }
    }

    /// The password was typed.
    pub fn open_gate(&mut self, now: Instant) {
        self.gate = None;
        self.last_line = now;
        self.show_typing(true);
    }

    fn show_typing(&self, shown: bool) {
        if let Ok(mut settings) = tcgetattr(&self.tty) {
            settings
                .local_modes
                .set(LocalModes::ECHO | LocalModes::ECHOE, shown);
            let _ = tcsetattr(&self.tty, OptionalActions::Now, &settings);
        }
    }

    /// Lines, echo, and line ends as a terminal has them when it is opened first.
    fn make_sane(&mut self) {
        if let Ok(mut settings) = tcgetattr(&self.tty) {
            settings.input_modes |= InputModes::ICRNL | InputModes::IXON;
            settings.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
            settings.local_modes |=
                LocalModes::ICANON | LocalModes::ECHO | LocalModes::ECHOE | LocalModes::ISIG;
            let _ = tcsetattr(&self.tty, OptionalActions::Now, &settings);
        }
    }
}

impl AsFd for Seat {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tty.as_fd()
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from("/dev").join(name)
}

fn open_tty(path: &PathBuf) -> io::Result<File> {
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or(0);
    let tty = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path)?;
    tcgetattr(&tty)?;
    Ok(tty)
}

#[cfg(test)]
#[path = "seat_tests.rs"]
mod tests;
