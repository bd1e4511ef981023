//! Reading the kernel's log: its end for the rescue prompt, and urgent records. Must not: block at its end.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;

/// CONSOLE_EXT_LOG_MAX: the longest record that /dev/kmsg hands out.
const RECORD_BYTES: usize = 8192;
/// The log cannot hold more records than this; a writer that is faster than we read must not hold us.
const MOST: usize = 100_000;

/// From its beginning; a read at its end does not wait.
pub fn open() -> io::Result<File> {
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open("/dev/kmsg")
}

/// The records up to the end, from where it was read last.
pub fn each(log: &mut impl Read, mut take: impl FnMut(&str)) {
    let mut record = [0; RECORD_BYTES];
    for _ in 0..MOST {
        match log.read(&mut record) {
            Ok(0) => return,
            Ok(length) => take(&String::from_utf8_lossy(&record[..length])),
            Err(error) => match error.kind() {
                // EPIPE: records were overwritten before they were read. EINVAL: one was too long.
                ErrorKind::BrokenPipe | ErrorKind::InvalidInput | ErrorKind::Interrupted => {}
                _ => return,
            },
        }
    }
}

/// The last records, as `[  2.310000] text`, oldest first.
pub fn last(count: usize) -> io::Result<Vec<String>> {
    let mut lines = VecDeque::new();
    each(&mut open()?, |record| {
        lines.extend(line(record));
        if lines.len() > count {
            lines.pop_front();
        }
    });
    Ok(lines.into())
}

/// The same of a record whose level is one of these; else nothing. What is not printable is escaped by the kernel.
pub fn urgent_line(record: &str, levels: Range<u8>) -> Option<String> {
    let priority: u32 = record.split(',').next()?.parse().ok()?;
    let level = u8::try_from(priority & 7).ok()?;
    levels.contains(&level).then(|| line(record)).flatten()
}

/// `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS[,...];TEXT`, then lines of key and value that begin with a space
/// (Documentation/ABI/testing/dev-kmsg).
fn line(record: &str) -> Option<String> {
    let (head, text) = record.split_once(';')?;
    let micros: u64 = head.split(',').nth(2)?.parse().ok()?;
    let text = text.lines().next()?;
    Some(format!(
        "[{:5}.{:06}] {text}",
        micros / 1_000_000,
        micros % 1_000_000
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_shown_with_its_time_and_without_its_dictionary() {
        let record = "6,339,5140900,-,caller=T1;NET: Registered protocol family; 10\n SUBSYSTEM=net\n";
        assert_eq!(
            line(record).unwrap(),
            "[    5.140900] NET: Registered protocol family; 10"
        );
        assert_eq!(line("garbage"), None);
        assert_eq!(line("6,1,x,-;text"), None);
    }
}
