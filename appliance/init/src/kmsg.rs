//! The kernel's log as the appliance's one log: a backend for `log` that writes records to /dev/kmsg, and keeps the last
//! ones in memory for a machine that has no /dev. init, the agent and the console all install it, each by its name.
//! Must not: block, fail, or panic; a record that cannot be written is dropped.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::cmdline::Cmdline;

/// A record may have 1,024 bytes less the kernel's own prefix (PRINTKRB_RECORD_MAX); longer ones are refused with EINVAL.
const RECORD_BYTES: usize = 900;
/// Records kept in memory.
const RECENT: usize = 100;

static KMSG: Kmsg = Kmsg {
    name: OnceLock::new(),
    file: OnceLock::new(),
    recent: Mutex::new(VecDeque::new()),
};

struct Kmsg {
    name: OnceLock<&'static str>,
    file: OnceLock<File>,
    recent: Mutex<VecDeque<String>>,
}

/// Makes /dev/kmsg the target of `log`'s macros; records begin with `NAME: `. The level is that of `lb.log=` on the
/// kernel's command line, else info. A second call changes nothing.
pub fn install(name: &'static str) {
    if KMSG.name.set(name).is_ok() && log::set_logger(&KMSG).is_ok() {
        follow_cmdline(&Cmdline::of_this_boot());
    }
}

/// Sets the level again, once the command line can be read.
pub fn follow_cmdline(cmdline: &Cmdline) {
    log::set_max_level(cmdline.log.unwrap_or(LevelFilter::Info));
}

/// Writes one line, or several as several records, each with the prefix `NAME: `.
pub fn write(name: &str, level: Level, text: &str) {
    for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        for part in split(line, RECORD_BYTES) {
            KMSG.record(level, &format!("{name}: {part}"));
        }
    }
}

/// The last records of this process, oldest first.
pub fn recent() -> Vec<String> {
    let recent = KMSG.recent.lock().unwrap_or_else(PoisonError::into_inner);
    recent.iter().cloned().collect()
}

impl Kmsg {
    fn record(&self, level: Level, text: &str) {
        remember(
            &mut self.recent.lock().unwrap_or_else(PoisonError::into_inner),
            text,
        );
        // /dev may appear later than the first record. A program that has not installed this does not write there.
        if self.name.get().is_some()
            && self.file.get().is_none()
            && let Ok(file) = OpenOptions::new().write(true).open("/dev/kmsg")
        {
            let _ = self.file.set(file);
        }
        if let Some(mut file) = self.file.get() {
            // One write is one record.
            let _ = file.write_all(format!("<{}>{text}\n", priority(level)).as_bytes());
        }
    }
}

impl Log for Kmsg {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            write(
                self.name.get().copied().unwrap_or("lb"),
                record.level(),
                &record.args().to_string(),
            );
        }
    }

    fn flush(&self) {}
}

fn remember(recent: &mut VecDeque<String>, text: &str) {
    if recent.len() == RECENT {
        recent.pop_front();
    }
    recent.push_back(text.to_owned());
}

/// The kernel's levels (include/linux/kern_levels.h). Our errors are one step more urgent than the kernel's, because the
/// consoles show no more than that: IPVS calls each request to an empty pool an error, and would drown the prompt.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 2,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// Pieces of at most `max` bytes, never inside a character.
fn split(line: &str, max: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = line;
    while rest.len() > max {
        let (part, tail) = rest.split_at(rest.floor_char_boundary(max));
        parts.push(part);
        rest = tail;
    }
    parts.push(rest);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_becomes_several_records_and_no_character_is_cut() {
        let line = "é".repeat(1000);
        let parts = split(&line, RECORD_BYTES - 1);
        assert_eq!(parts.concat(), line);
        assert!(parts.iter().all(|part| part.len() < RECORD_BYTES));
        assert_eq!(split("short", RECORD_BYTES), ["short"]);
    }

    #[test]
    fn levels_are_the_kernels_and_errors_reach_the_consoles() {
        assert_eq!(
            [Level::Error, Level::Warn, Level::Info, Level::Debug].map(priority),
            [2, 4, 6, 7]
        );
    }

    #[test]
    fn what_was_written_last_is_kept_in_memory() {
        let mut recent = VecDeque::new();
        for n in 0..RECENT + 5 {
            remember(&mut recent, &n.to_string());
        }
        assert_eq!(recent.len(), RECENT);
        assert_eq!(
            (recent.front().unwrap().as_str(), recent.back().unwrap().as_str()),
            ("5", "104")
        );
    }
}
