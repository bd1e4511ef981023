//! Who shows urgent records of the kernel's log: printk, which writes into the middle of what is typed, or the console programs, which keep the prompt whole.
//! The level of printk is one number for all consoles (decision 30): it is low only while a console program runs on each of them. Must not: lose a record; in
//! doubt one is shown twice.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};

use crate::kernel_log;
use crate::machine::Machine;
use crate::seat::{Mode, Seat};

/// The first of its numbers is the level: printk writes what is more urgent (admin-guide/sysctl/kernel.rst).
const PRINTK: &str = "/proc/sys/kernel/printk";
/// What printk writes to (filesystems/proc.rst).
const CONSOLES: &str = "/proc/consoles";
/// Only KERN_EMERG is still written. Not 0: console_verbose(), by which an oops and a panic show themselves, leaves a level of 0 as it is.
const LOW: u8 = 1;
/// Lines that a seat is given at once; the rest is counted.
const MOST_LINES: usize = 20;

#[derive(Debug, Default)]
pub struct Level {
    /// What it was at boot, once it was read.
    usual: Option<u8>,
    is_low: bool,
}

impl Level {
    fn usual(&mut self) -> Option<u8> {
        if self.usual.is_none() {
            let text = fs::read_to_string(PRINTK).ok();
            self.usual = text.as_deref().and_then(first_number);
        }
        self.usual
    }

    /// For a console that starts: the log from here on, and the level. All consoles that follow on a seat share the place in the log.
    pub fn open_log(&mut self) -> Option<(File, String)> {
        let level = self.usual()?;
        let opened = kernel_log::open().and_then(|mut log| log.seek(SeekFrom::End(0)).map(|_| log));
        let log = opened
            .map_err(|error| log::warn!("open the kernel's log for a console: {error}"))
            .ok()?;
        Some((log, level.to_string()))
    }

    fn set(&mut self, low: bool) -> bool {
        let Some(usual) = self.usual().filter(|usual| *usual > LOW) else {
            return false;
        };
        let level = if low { LOW } else { usual };
        match fs::write(PRINTK, level.to_string()) {
            Ok(()) => self.is_low = low,
            Err(error) => log::warn!("set the level of printk: {error}"),
        }
        self.is_low == low
    }
}

/// Lowers the level when the last console runs, and raises it as soon as one does not.
pub fn settle(machine: &mut Machine) {
    let consoles = || fs::read_to_string(CONSOLES).unwrap_or_default();
    let all_run = machine.seats.iter().any(is_looked_after) && are_looked_after(&consoles(), &machine.seats);
    match (machine.printk.is_low, all_run) {
        (false, true) => {
            // What printk has shown is not shown again. What comes before the level is low may be.
            for seat in &mut machine.seats {
                if let Some((log, _)) = &mut seat.console.log {
                    let _ = log.seek(SeekFrom::End(0));
                }
            }
            machine.printk.set(true);
        }
        (true, false) => give_back(machine),
        _ => {}
    }
}

/// printk shows from now on, and init what no console has shown before.
pub fn give_back(machine: &mut Machine) {
    if !machine.printk.is_low || !machine.printk.set(false) {
        return;
    }
    let level = machine.printk.usual.unwrap_or_default();
    for seat in &mut machine.seats {
        let Some((log, _)) = &mut seat.console.log else {
            continue;
        };
        let text = lines(log, level);
        if !text.is_empty() {
            seat.say(&format!("\r\n{text}"));
        }
    }
}

fn is_looked_after(seat: &Seat) -> bool {
    seat.mode == Mode::Console && seat.console.pid().is_some() && seat.console.log.is_some()
}

/// Whether a console program runs on each of printk's consoles.
fn are_looked_after(consoles: &str, seats: &[Seat]) -> bool {
    let mut names = seats_of(consoles).peekable();
    names.peek().is_some()
        && names.all(|name| {
            seats
                .iter()
                .any(|seat| seat.name == name && is_looked_after(seat))
        })
}

/// The seats that belong to the lines of /proc/consoles. tty0 is whichever screen is shown; the console program is on the first.
fn seats_of(consoles: &str) -> impl Iterator<Item = &str> {
    let names = consoles.lines().filter_map(|line| line.split_whitespace().next());
    names.map(|name| if name == "tty0" { "tty1" } else { name })
}

fn first_number(text: &str) -> Option<u8> {
    text.split_whitespace().next()?.parse().ok()
}

/// What of the log nobody has read, as printk would have written it.
fn lines(log: &mut impl Read, level: u8) -> String {
    let (mut text, mut count) = (String::new(), 0);
    kernel_log::each(log, |record| {
        if let Some(line) = kernel_log::urgent_line(record, LOW..level) {
            count += 1;
            if count <= MOST_LINES {
                text += &format!("{line}\r\n");
            }
        }
    });
    if count > MOST_LINES {
        text += &format!("{} more: `log`\r\n", count - MOST_LINES);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn seats_are_found_by_the_consoles_of_printk() {
        let consoles =
            "tty0                 -WU (EC  p  )    4:2\nttyS0                -W- (E   p a)    4:64\n";
        assert_eq!(seats_of(consoles).collect::<Vec<_>>(), ["tty1", "ttyS0"]);
        assert!(!are_looked_after(consoles, &[]));
        assert!(!are_looked_after("", &[]), "nothing is known of them");
    }

    #[test]
    fn the_level_is_the_first_number() {
        assert_eq!(first_number("3\t4\t1\t7\n"), Some(3));
        assert_eq!(first_number(""), None);
    }

    #[test]
    fn a_console_that_ended_has_its_urgent_lines_shown_and_a_flood_is_counted() {
        let (reader, writer) = UnixDatagram::pair().unwrap();
        reader.set_nonblocking(true).unwrap();
        let send = |text: &str| writer.send(text.as_bytes()).unwrap();
        send("10,1,2500000,-;agent: no \\x1b[2J way");
        send("14,2,2500001,-;agent: info");
        send("8,3,2500002,-;printk writes this itself");
        send("3,4,2500003,-;EXT4-fs error");
        for n in 0..25 {
            send(&format!("10,{},3000000,-;agent: flood", n + 5));
        }
        let mut log = File::from(std::os::fd::OwnedFd::from(reader));
        let text = lines(&mut log, 3);
        let shown: Vec<_> = text.lines().collect();
        assert_eq!(shown[0], "[    2.500000] agent: no \\x1b[2J way");
        assert_eq!((shown.len(), shown[20]), (21, "6 more: `log`"));
        assert!(shown[1..20].iter().all(|line| line.ends_with("agent: flood")));
        assert_eq!(lines(&mut log, 3), "");
    }
}
