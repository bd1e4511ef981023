//! Gives back what this process has resident and does not use: pages of its executable and libraries that are as the files have
//! them, and free memory of its heap. What it needs again comes back by itself, from the page cache, by a minor fault.
//! Must not: touch a page that differs from its file.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fs;
use std::ops::Range;

use rustix::mm::{Advice, madvise};

/// At any time, by any thread. Without /proc nothing is given back.
pub fn give_back() {
    // SAFETY: glibc takes its own locks; what is in use stays where it is.
    unsafe { libc::malloc_trim(0) };
    let maps = fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    for range in as_the_files(&maps) {
        let (start, length) = (range.start as *mut c_void, range.end - range.start);
        // SAFETY: the range is a mapping of a file that nobody can write to and that has no page of its own: what is read there
        // afterwards is what was read before. Objects that were loaded at the start are never unmapped.
        // A mapping that the kernel refuses (a locked one) stays resident, which is all that was asked for.
        let _ = unsafe { madvise(start, length, Advice::LinuxDontNeed) };
    }
}

/// The mappings of files, of the text of /proc/PID/smaps, that are private, cannot be written to, and have every page as the file has it.
/// Relocated data (RELRO) is not among them: it is read-only by now, and has pages of its own.
fn as_the_files(maps: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("Anonymous:"), Some("0")) => found.extend(candidate.take()),
            (Some("Anonymous:"), _) => candidate = None,
            // A new mapping; fields of the one before end with a colon.
            (Some(range), Some(rights)) if !range.ends_with(':') => {
                let is_file = words.nth(3).is_some_and(|path| path.starts_with('/'));
                let is_fixed = matches!(rights, "r-xp" | "r--p");
                candidate = parse(range).filter(|_| is_file && is_fixed);
            }
            _ => {}
        }
    }
    found
}

fn parse(range: &str) -> Option<Range<usize>> {
    let (start, end) = range.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some(address(start)?..address(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
00400000-00500000 r-xp 00001000 fe:00 12 /usr/bin/appliance
Size:               1024 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00500000-00510000 r--p 00101000 fe:00 12 /usr/bin/appliance
Anonymous:            64 kB
00510000-00520000 rw-p 00111000 fe:00 12 /usr/bin/appliance
Anonymous:             0 kB
00600000-00620000 rw-p 00000000 00:00 0 [heap]
Anonymous:           128 kB
7f0000000000-7f0000028000 r--p 00000000 fe:00 13 /lib/libc.so.6
Anonymous:             0 kB
7f0000100000-7f0000101000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
7f0000200000-7f0000201000 r--s 00000000 fe:00 14 /lib/shared
Anonymous:             0 kB
7f0000300000-7f0000301000 r--p 00000000 00:00 0
Anonymous:             0 kB
";

    #[test]
    fn only_what_is_as_its_file_has_it_is_given_back() {
        assert_eq!(
            as_the_files(MAPS),
            [0x40_0000..0x50_0000, 0x7f00_0000_0000..0x7f00_0002_8000]
        );
        assert!(as_the_files("").is_empty());
        // A kernel that does not say what is anonymous.
        assert!(as_the_files("00400000-00500000 r-xp 00001000 fe:00 12 /usr/bin/appliance\n").is_empty());
    }

    fn resident_kb(field: &str) -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    #[test]
    fn a_process_that_has_given_back_goes_on_with_less() {
        let words: Vec<String> = (0..1_000).map(|number| format!("{number:x}")).collect();
        let (files, own) = (resident_kb("RssFile:"), resident_kb("RssAnon:"));
        give_back();
        let (less, kept) = (resident_kb("RssFile:"), resident_kb("RssAnon:"));
        assert!(less < files, "{files} kB, then {less} kB");
        assert!(kept > own / 2, "{own} kB of its own, then {kept} kB");
        // Relocated tables and the heap are what they were.
        let again: Vec<String> = (0..1_000).map(|number| format!("{number:x}")).collect();
        assert_eq!(words, again);
    }
}
