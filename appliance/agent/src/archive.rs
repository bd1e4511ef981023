//! The configurations that were applied, as files in a directory of their own on the config volume: one file each, written whole or
//! not at all, of which the first line says what it is. Bounded in number and in bytes. Must not: stop a change.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use lb_core::config::{self, MAX_BYTES};
use lb_core::control::{HistoryEntry, HistoryReport};
use lb_core::history::{
    DIRECTORY, LINE_BYTES, file_name, first_line, hexadecimal, number_of, read_first_line, sha256,
};
use sha2::{Digest, Sha256};

use crate::engine::Engine;
use crate::report::chain;
use crate::store::Store;

/// So many are kept.
const MOST: usize = 32;
/// And so many bytes of them at most: a quarter of the volume, which has to hold lb.toml and its companions.
const MOST_BYTES: u64 = 16 << 20;

/// Who has made a change, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub by: String,
    pub why: String,
}

impl Change {
    /// What a start finds on the disk.
    pub fn boot() -> Change {
        Change {
            by: "agent".to_owned(),
            why: "boot".to_owned(),
        }
    }
}

/// Where a text is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    pub number: u64,
    /// The newest entry before it, if it made one more.
    pub former: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct Archive {
    store: Store,
}

impl Archive {
    /// Of the directory with lb.toml.
    pub fn beside(config: &Store) -> Archive {
        Archive {
            store: config.inside(DIRECTORY),
        }
    }

    /// The newest first, with what could not be read.
    pub fn list(&self) -> HistoryReport {
        let mut report = HistoryReport::default();
        let names = match fs::read_dir(self.store.path("")) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return report,
            Err(error) => {
                report.problems.push(format!(
                    "the history cannot be read: {error}; changes go on without it"
                ));
                return report;
            }
        };
        for name in names.flatten() {
            let name = name.file_name().to_string_lossy().into_owned();
            let Some(number) = number_of(&name) else {
                continue;
            };
            match self.entry(number) {
                Ok(entry) => report.entries.push(entry),
                Err(why) => report
                    .problems
                    .push(format!("{name} of the history cannot be used: {why}")),
            }
        }
        report
            .entries
            .sort_by_key(|entry| std::cmp::Reverse(entry.number));
        report
    }

    fn entry(&self, number: u64) -> Result<HistoryEntry, String> {
        let file = File::open(self.store.path(&file_name(number))).map_err(|e| e.to_string())?;
        let size = file.metadata().map_or(0, |data| data.len());
        let mut line = Vec::new();
        BufReader::new(file.take(LINE_BYTES))
            .read_until(b'\n', &mut line)
            .map_err(|e| e.to_string())?;
        let entry = read_first_line(&line)?;
        if entry.number != number || entry.bytes + line.len() as u64 != size {
            return Err("it is not whole".to_owned());
        }
        Ok(entry)
    }

    /// The text of an entry, as it was applied.
    pub fn text(&self, number: u64) -> Result<Vec<u8>, String> {
        let path = self.store.path(&file_name(number));
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(self.no_such(number)),
            Err(error) => return Err(format!("configuration {number} cannot be read: {error}")),
        };
        let mut bytes = Vec::new();
        let read = file.take(MAX_BYTES as u64 + LINE_BYTES).read_to_end(&mut bytes);
        read.map_err(|error| format!("configuration {number} cannot be read: {error}"))?;
        let end = bytes
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let entry = read_first_line(&bytes[..end])
            .map_err(|why| format!("configuration {number} cannot be used: {why}"))?;
        bytes.drain(..end);
        if sha256(&bytes) != entry.sha256 {
            return Err(format!(
                "configuration {number} is damaged: its sha256 is another one; `config history` lists the others"
            ));
        }
        Ok(bytes)
    }

    fn no_such(&self, number: u64) -> String {
        let known = self.list().entries;
        match (known.last(), known.first()) {
            (Some(oldest), Some(newest)) => format!(
                "there is no configuration {number} in the history; it has {} to {} (`config history`)",
                oldest.number, newest.number
            ),
            _ => format!("there is no configuration {number}: the history is empty"),
        }
    }

    /// Keeps a text as the newest entry, unless it is that already. It is read piece by piece, so that memory need not hold it.
    pub fn record(&self, text: &mut (impl Read + Seek), change: &Change) -> Result<Recorded, String> {
        let newest = self.list().entries.into_iter().next();
        let (sha256, bytes) = digest_of(text).map_err(|error| error.to_string())?;
        if let Some(same) = newest.as_ref().filter(|newest| newest.sha256 == sha256) {
            return Ok(Recorded {
                number: same.number,
                former: None,
            });
        }
        let former = newest.map(|newest| newest.number);
        let number = self.highest().max(former.unwrap_or(0)) + 1;
        let entry = HistoryEntry {
            number,
            unix_s: unix_now(),
            by: change.by.clone(),
            why: change.why.clone(),
            sha256,
            bytes,
            in_force: false,
        };
        let fill = |file: &mut File| {
            file.write_all(first_line(&entry).as_bytes())?;
            io::copy(text, file).map(drop)
        };
        let kept = self
            .store
            .create()
            .and_then(|()| self.store.write_by(&file_name(number), fill));
        kept.map_err(|error| chain(&error))?;
        self.prune();
        Ok(Recorded { number, former })
    }

    /// Also of a file that cannot be used: no number is given twice.
    fn highest(&self) -> u64 {
        let names = fs::read_dir(self.store.path("")).into_iter().flatten().flatten();
        let numbers = names.filter_map(|name| number_of(&name.file_name().to_string_lossy()));
        numbers.max().unwrap_or(0)
    }

    /// The oldest go, and what a power cut has left behind.
    fn prune(&self) {
        let names = fs::read_dir(self.store.path("")).into_iter().flatten().flatten();
        let (mut numbered, mut bytes) = (Vec::new(), 0);
        for name in names {
            let size = name.metadata().map_or(0, |data| data.len());
            match number_of(&name.file_name().to_string_lossy()) {
                Some(number) => numbered.push((number, size, name.path())),
                // A text that was not written to its end.
                None => drop(fs::remove_file(name.path())),
            }
        }
        numbered.sort_unstable();
        for (place, (_, size, path)) in numbered.into_iter().rev().enumerate() {
            bytes += size;
            // The newest one stays, however large it is.
            if place >= MOST || (bytes > MOST_BYTES && place > 0) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// With the length; the text is at its beginning again then.
fn digest_of(text: &mut (impl Read + Seek)) -> io::Result<(String, u64)> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 64 << 10];
    let mut bytes = 0;
    loop {
        let length = text.read(&mut chunk)?;
        if length == 0 {
            text.seek(SeekFrom::Start(0))?;
            return Ok((hexadecimal(&hash.finalize()), bytes));
        }
        hash.update(&chunk[..length]);
        bytes += length as u64;
    }
}

fn unix_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}

impl Engine {
    /// It is told when it begins to fail; a change stands all the same.
    pub fn archived(&mut self, archived: Result<(), String>) {
        let problem = archived.err().map(|why| {
            format!(
                "the configuration in force is not in the history: {why}; it is applied and kept all the same"
            )
        });
        if let Some(problem) = &problem {
            self.tell(log::Level::Warn, problem);
        }
        self.archive_problem = problem;
    }

    /// `config history`.
    pub fn history_report(&self) -> HistoryReport {
        let archive = Archive::beside(&self.store);
        let mut report = archive.list();
        let is_in_force = |number| {
            let text = archive.text(number).ok();
            text.is_some_and(|text| Some(config::fingerprint(&text)) == self.mark)
        };
        if let Some(entry) = report.entries.iter_mut().find(|entry| is_in_force(entry.number)) {
            entry.in_force = true;
        }
        report.problems.extend(self.archive_problem.clone());
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> (tempfile::TempDir, Archive) {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::beside(&Store::new(dir.path().to_owned()));
        (dir, archive)
    }

    fn record(archive: &Archive, text: &[u8]) -> Result<u64, String> {
        let recorded = archive.record(&mut io::Cursor::new(text), &put());
        recorded.map(|recorded| recorded.number)
    }

    fn put() -> Change {
        Change {
            by: "console ttyS0".to_owned(),
            why: "a \"reason\"\nof two lines".to_owned(),
        }
    }

    #[test]
    fn what_was_applied_comes_back_with_who_and_why() {
        let (_dir, archive) = archive();
        assert_eq!(archive.list(), HistoryReport::default());
        assert!(archive.text(1).unwrap_err().contains("the history is empty"));
        assert_eq!(record(&archive, b"first\n"), Ok(1));
        assert_eq!(record(&archive, b"first\n"), Ok(1), "twice in a row is once");
        assert_eq!(record(&archive, b"second"), Ok(2));
        let third = archive.record(&mut io::Cursor::new(b"first\n"), &put()).unwrap();
        assert_eq!((third.number, third.former), (3, Some(2)));
        let again = archive.record(&mut io::Cursor::new(b"first\n"), &put()).unwrap();
        assert_eq!((again.number, again.former), (3, None), "nothing to go back from");
        assert_eq!(archive.text(1).unwrap(), b"first\n");
        assert_eq!(archive.text(2).unwrap(), b"second");
        let entries = archive.list().entries;
        assert_eq!(entries.iter().map(|e| e.number).collect::<Vec<_>>(), [3, 2, 1]);
        assert_eq!(
            (entries[0].why.as_str(), entries[0].bytes),
            (put().why.as_str(), 6)
        );
        assert!(archive.text(9).unwrap_err().contains("it has 1 to 3"));
    }

    #[test]
    fn the_last_ones_are_kept_and_no_number_is_given_twice() {
        let (dir, archive) = archive();
        for number in 1..=40_u64 {
            let text = format!("# {number}\n");
            assert_eq!(record(&archive, text.as_bytes()), Ok(number));
        }
        let entries = archive.list().entries;
        assert_eq!(
            (entries.len(), entries[0].number, entries[31].number),
            (MOST, 40, 9)
        );
        let large = vec![b'#'; 7 << 20];
        for (number, byte) in [(41, b'a'), (42, b'b'), (43, b'c')] {
            let text = [&large[..], &[byte]].concat();
            assert_eq!(record(&archive, &text), Ok(number));
        }
        let kept: Vec<u64> = archive.list().entries.iter().map(|e| e.number).collect();
        assert_eq!(kept, [43, 42]);
        assert_eq!(fs::read_dir(dir.path().join(DIRECTORY)).unwrap().count(), 2);
    }

    #[test]
    fn damage_is_told_and_costs_one_entry() {
        let (dir, archive) = archive();
        record(&archive, b"first").unwrap();
        record(&archive, b"second").unwrap();
        record(&archive, b"third").unwrap();
        let path = |number: u64| dir.path().join(DIRECTORY).join(file_name(number));
        let damaged = String::from_utf8(fs::read(path(2)).unwrap()).unwrap();
        fs::write(path(2), damaged.replace("\nsecond", "\nsecunt")).unwrap();
        fs::write(path(3), "not of the history\n").unwrap();
        assert!(archive.text(2).unwrap_err().contains("sha256"));
        let list = archive.list();
        assert_eq!((list.entries.len(), list.problems.len()), (2, 1), "{list:?}");
        assert!(list.problems[0].contains("000003.toml"));
        assert_eq!(record(&archive, b"fourth"), Ok(4));
    }

    #[test]
    fn a_history_that_cannot_be_written_says_so() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(DIRECTORY), "a file in its place").unwrap();
        let archive = Archive::beside(&Store::new(dir.path().to_owned()));
        assert!(record(&archive, b"text").unwrap_err().contains("history"));
        assert_eq!(archive.list().problems.len(), 1);
    }
}
