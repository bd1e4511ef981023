//! Records of /dev/kmsg (Documentation/ABI/testing/dev-kmsg): `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS[,...];TEXT`, then
//! lines with a blank in front. Must not: print.

use lb_core::date;
use std::io::{self, ErrorKind, Read};
use std::time::{Duration, SystemTime};

use serde::Serialize;

/// The longest record that the kernel hands out (PRINTK_MESSAGE_MAX).
const RECORD_BYTES: usize = 8192;
const LEVELS: [&str; 8] = [
    "emerg", "alert", "crit", "error", "warning", "notice", "info", "debug",
];
/// Syslog's number for `warning`.
const WARNING: u8 = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub level: u8,
    /// 0 is the kernel itself; what processes write gets 1 (user) from the kernel.
    pub facility: u16,
    pub sequence: u64,
    /// Since the kernel started.
    pub at: Duration,
    pub text: String,
}

/// A record as JSON tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogLine {
    pub sequence: u64,
    /// RFC 3339, UTC.
    pub time: String,
    pub level: &'static str,
    pub kernel: bool,
    pub text: String,
}

impl Record {
    pub fn parse(bytes: &[u8]) -> Option<Record> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once(';')?;
        let mut fields = head.split(',');
        let priority: u16 = fields.next()?.parse().ok()?;
        let sequence = fields.next()?.parse().ok()?;
        let at = Duration::from_micros(fields.next()?.parse().ok()?);
        // The lines after the first are the record's dictionary.
        let line = body.split('\n').next().unwrap_or_default();
        Some(Record {
            level: (priority & 7) as u8,
            facility: priority >> 3,
            sequence,
            at,
            text: unescape(line),
        })
    }

    pub fn level_name(&self) -> &'static str {
        match self.level {
            // Our own errors are written one step up, so that the consoles show them and not the kernel's.
            2 if !self.is_kernel() => "error",
            level => LEVELS[usize::from(level & 7)],
        }
    }

    pub fn is_kernel(&self) -> bool {
        self.facility == 0
    }

    /// Whether it is shown without `--all`: what init and the agent say, and the kernel's warnings.
    pub fn matters(&self) -> bool {
        !self.is_kernel() || self.level <= WARNING
    }

    pub fn line(&self, boot: SystemTime) -> LogLine {
        LogLine {
            sequence: self.sequence,
            time: date::rfc3339(boot + self.at),
            level: self.level_name(),
            kernel: self.is_kernel(),
            text: self.text.clone(),
        }
    }
}

/// The kernel writes what is not printable ASCII, and the backslash, as `\xHH`.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match rest {
            [b'\\', b'x', high, low, ..] => hex(*high).zip(hex(*low)).map(|(h, l)| h << 4 | l),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &rest[4..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// What one read of the log gives.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Record(Record),
    /// Nothing more for now.
    Empty,
}

/// The next record that can be understood. Records that were overwritten before they could be read are passed over.
pub fn next(log: &mut impl Read) -> io::Result<Next> {
    let mut bytes = [0; RECORD_BYTES];
    loop {
        match log.read(&mut bytes) {
            Ok(0) => return Ok(Next::Empty),
            Ok(length) => {
                if let Some(record) = Record::parse(&bytes[..length]) {
                    return Ok(Next::Record(record));
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Next::Empty),
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) => {}
            // A record that does not fit any buffer of ours; the kernel has gone on to the next.
            Err(error) if error.kind() == ErrorKind::InvalidInput => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn records() {
        let record =
            Record::parse(b"12,345,2310000,-;agent: nginx: 172.16.0.11 is down\n SUBSYSTEM=x\n").unwrap();
        assert_eq!((record.level, record.facility, record.sequence), (4, 1, 345));
        assert_eq!(record.at, Duration::from_millis(2310));
        assert_eq!(record.text, "agent: nginx: 172.16.0.11 is down");
        assert_eq!(record.level_name(), "warning");
        assert!(record.matters());
        for broken in [
            "",
            ";",
            "a,b,c,d;x",
            "6,1;x",
            "6",
            "6,1,2",
            "-1,0,0,-;x",
            "99999999,0,0,-;x",
        ] {
            assert_eq!(Record::parse(broken.as_bytes()), None, "{broken}");
        }
        assert_eq!(Record::parse(b"6,1,2,-,caller=T1;a;b").unwrap().text, "a;b");
    }

    #[test]
    fn kernel_chatter_does_not_matter_and_its_warnings_do() {
        let matters = |text: &str| Record::parse(text.as_bytes()).unwrap().matters();
        assert!(!matters("6,1,2,-;eth0: link up"));
        assert!(!matters("5,1,2,-;notice"));
        assert!(matters("4,1,2,-;warning"));
        assert!(matters("14,1,2,-;init: info"));
        assert!(matters("30,1,2,-;daemon info"));
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape("a\\x0ab"), "a\nb");
        assert_eq!(unescape("gr\\xc3\\xbcn \\x5c"), "grün \\");
        assert_eq!(unescape("\\x \\xg1 \\x1"), "\\x \\xg1 \\x1");
        assert_eq!(unescape("\\xff"), "\u{fffd}");
    }

    #[test]
    fn reading_passes_over_what_is_broken() {
        // A datagram socket keeps the bounds of records as /dev/kmsg does.
        let (reader, writer) = UnixDatagram::pair().unwrap();
        reader.set_nonblocking(true).unwrap();
        for text in ["nonsense", "6,7,8,-;good"] {
            writer.send(text.as_bytes()).unwrap();
        }
        let mut log = std::fs::File::from(std::os::fd::OwnedFd::from(reader));
        assert!(matches!(next(&mut log), Ok(Next::Record(r)) if r.sequence == 7));
        assert_eq!(next(&mut log).unwrap(), Next::Empty);
    }
}
