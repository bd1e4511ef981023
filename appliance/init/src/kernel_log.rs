//! The end of the kernel's log, for the rescue prompt. Must not: block at its end.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;

/// CONSOLE_EXT_LOG_MAX: the longest record that /dev/kmsg hands out.
const RECORD_BYTES: usize = 8192;
/// The log cannot hold more records than this; a writer that is faster than we read must not hold us.
const MOST: usize = 100_000;

/// The last records, as `[  2.310000] text`, oldest first.
pub fn last(count: usize) -> io::Result<Vec<String>> {
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open("/dev/kmsg")?;
    let mut lines = VecDeque::new();
    let mut record = [0; RECORD_BYTES];
    for _ in 0..MOST {
        match file.read(&mut record) {
            Ok(0) => break,
            Ok(length) => lines.extend(line(&String::from_utf8_lossy(&record[..length]))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            // EPIPE: records were overwritten before they were read.
            Err(_) => {}
        }
        if lines.len() > count {
            lines.pop_front();
        }
    }
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
