//! `log`: the kernel's message log, where init and the agent write too. Read directly, so that it works when nothing
//! else does. Must not: change the log.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, SystemTime};

use rustix::fs::{Mode, OFlags, open};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use thiserror::Error;

use super::interrupt::{Interrupt, Wake};
use super::kmsg::{LogLine, Next, Record, next};
use super::render::{Screen, Tone, clean, wrap};

pub const DEVICE: &str = "/dev/kmsg";

#[derive(Debug, Error)]
pub enum LogError {
    #[error("the kernel's log {DEVICE} cannot be opened")]
    Open(#[source] io::Error),
    #[error("the kernel's log {DEVICE} cannot be read")]
    Read(#[source] io::Error),
    #[error("the output cannot be written")]
    Write(#[from] io::Error),
}

/// What `log` is to show.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    pub last: usize,
    pub all: bool,
}

/// What `log --json` prints.
#[derive(Debug, Serialize)]
pub struct LogReport {
    pub lines: Vec<LogLine>,
}

pub struct Log {
    device: File,
    /// The wall clock's time at the kernel's start.
    boot: SystemTime,
}

impl Log {
    pub fn open() -> Result<Log, LogError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let device = open(DEVICE, flags, Mode::empty()).map_err(|e| LogError::Open(e.into()))?;
        Ok(Log::from_device(device, boot_time()))
    }

    pub fn from_device(device: OwnedFd, boot: SystemTime) -> Log {
        Log {
            device: File::from(device),
            boot,
        }
    }

    /// The last records that are wanted, oldest first.
    fn last(&mut self, wanted: Wanted) -> Result<VecDeque<Record>, LogError> {
        let mut kept = VecDeque::new();
        while let Next::Record(record) = next(&mut self.device).map_err(LogError::Read)? {
            if wanted.all || record.matters() {
                kept.push_back(record);
            }
            if kept.len() > wanted.last {
                kept.pop_front();
            }
        }
        Ok(kept)
    }

    pub fn report(&mut self, wanted: Wanted) -> Result<LogReport, LogError> {
        let lines = self.last(wanted)?.iter().map(|r| r.line(self.boot)).collect();
        Ok(LogReport { lines })
    }

    pub fn show(
        &mut self,
        wanted: Wanted,
        out: &mut dyn Write,
        screen: Option<&Screen>,
    ) -> Result<(), LogError> {
        for record in self.last(wanted)? {
            out.write_all(text(&record, self.boot, screen).as_bytes())?;
        }
        Ok(out.flush()?)
    }

    /// New records as they come, until Ctrl-C.
    pub fn follow(
        &mut self,
        wanted: Wanted,
        interrupt: &Interrupt,
        out: &mut dyn Write,
        screen: Option<&Screen>,
    ) -> Result<(), LogError> {
        loop {
            match next(&mut self.device).map_err(LogError::Read)? {
                Next::Record(record) if wanted.all || record.matters() => {
                    out.write_all(text(&record, self.boot, screen).as_bytes())?;
                }
                Next::Record(_) => {}
                Next::Empty => {
                    out.flush()?;
                    let wake = interrupt
                        .wait_readable(self.device.as_fd(), None)
                        .map_err(LogError::Read)?;
                    if wake == Wake::Interrupted {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// One record, wrapped where there is a screen and in one line where there is none.
fn text(record: &Record, boot: SystemTime, screen: Option<&Screen>) -> String {
    let line = record.line(boot);
    // `11-23 21:58:24.250`: the year and the zone are the same on every line.
    let time = line.time[5..23].replace('T', " ");
    let from = if line.kernel { "kernel: " } else { "" };
    let message = format!("{from}{}", clean(&line.text));
    let Some(screen) = screen else {
        return format!("{time} {:<7} {message}\n", line.level);
    };
    let tone = match record.level {
        0..=3 => Tone::Bad,
        4 => Tone::Doubtful,
        7 => Tone::Faint,
        _ => Tone::Plain,
    };
    let indent = 27;
    let message = wrap(&message, screen.width - indent, indent);
    let level = format!("{:<7}", line.level);
    format!(
        "{} {} {message}\n",
        screen.paint(Tone::Faint, &time),
        screen.paint(tone, &level)
    )
}

/// The kernel stamps records with a clock that stands still while the machine is suspended.
fn boot_time() -> SystemTime {
    let since = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(since.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(since.tv_nsec).unwrap_or(0);
    SystemTime::now()
        .checked_sub(Duration::new(seconds, nanos))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    fn log_of(records: &[&str]) -> (Log, UnixDatagram) {
        let (reader, writer) = UnixDatagram::pair().unwrap();
        reader.set_nonblocking(true).unwrap();
        for record in records {
            writer.send(record.as_bytes()).unwrap();
        }
        let boot = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_471_104);
        (Log::from_device(OwnedFd::from(reader), boot), writer)
    }

    const RECORDS: [&str; 4] = [
        "6,1,1000000,-;virtio_net: link up",
        "12,2,2000000,-;agent: nginx: 172.16.0.12:30080 is down: no answer within 10s",
        "3,3,3000000,-;EXT4-fs error (device vda6)",
        "14,4,4000000,-;init: Ready\\x1b[2J",
    ];

    #[test]
    fn the_last_records_that_matter() {
        let (mut log, _writer) = log_of(&RECORDS);
        let mut out = Vec::new();
        log.show(Wanted { last: 2, all: false }, &mut out, None).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "11-23 21:58:27.000 error   kernel: EXT4-fs error (device vda6)\n11-23 21:58:28.000 info    init: Ready?[2J\n"
        );
        let (mut log, _writer) = log_of(&RECORDS);
        let report = log.report(Wanted { last: 50, all: true }).unwrap();
        assert_eq!(report.lines.len(), 4);
        assert_eq!(report.lines[0].time, "2026-11-23T21:58:25.000Z");
        assert!(report.lines[0].kernel && !report.lines[1].kernel);
    }

    #[test]
    fn lines_fit_the_screen() {
        let long = format!("14,1,0,-;agent: {}", "word ".repeat(100));
        let (mut log, _writer) = log_of(&[&long, RECORDS[1]]);
        let mut out = Vec::new();
        log.show(Wanted { last: 9, all: false }, &mut out, Some(&Screen::plain(80)))
            .unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.lines().all(|l| l.len() <= 80), "{out}");
        assert!(out.lines().count() > 6);
    }

    #[test]
    fn following_ends_at_ctrl_c() {
        let (mut log, writer) = log_of(&[]);
        let (interrupt, mut ctrl_c) = Interrupt::pair();
        writer.send(RECORDS[1].as_bytes()).unwrap();
        let mut out = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(20));
                writer.send(RECORDS[3].as_bytes()).unwrap();
                std::thread::sleep(Duration::from_millis(200));
                ctrl_c.write_all(b"c").unwrap();
            });
            log.follow(Wanted { last: 0, all: false }, &interrupt, &mut out, None)
                .unwrap();
        });
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), 2);
    }
}
