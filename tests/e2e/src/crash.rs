//! What a start would find on a disk whose power failed at some point of a recorded run, judged by the agent's own code: the
//! configuration is one that was in force then or was about to be, and never older than what was acknowledged.
//! Must not: mount anything; e2fsck replays the journal of a copy, and debugfs reads it.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use lb_agent::{APPLIED_FILE, Archive, CONFIG_FILE, DRAINS_FILE, Places, Store};
use lb_core::config::fingerprint;
use lb_core::mirror;
use lb_lab::command::output;

use crate::write_log::{Disk, Entry};

type Judged<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// e2fsck's bits for "repaired", which is what a replay of the journal is.
const REPLAYED: i32 = 1 | 2;
/// The superblock is 1,024 bytes, two sectors: one of which half has arrived is none. ext4 writes it outside its journal.
const NO_SUPERBLOCK: &str = "superblock could not be read";
/// The file system is mostly empty.
const BLOCK: usize = 4096;

/// One thing that was asked of the appliance, in places of the log: when it was asked, and when it was acknowledged.
#[derive(Debug, Clone)]
pub struct Step {
    pub name: &'static str,
    pub begun: usize,
    pub acknowledged: usize,
    /// What a start has to use from then on.
    pub text: String,
    pub drained: bool,
}

/// Which steps a disk may show that has all of the log up to a flush, and some of what follows up to the next one: from the
/// last that was acknowledged behind that flush's predecessors, to the last that was begun.
pub fn allowed(steps: &[Step], entries: &[Entry], flushed: usize, next: usize) -> RangeInclusive<usize> {
    let last_flush = |before: usize| {
        let flush = entries[..before].iter().rposition(|entry| *entry == Entry::Flush);
        flush.map_or(0, |place| place + 1)
    };
    let durable = |step: &Step| last_flush(step.acknowledged) <= flushed;
    let required = steps.iter().rposition(durable).unwrap_or(0);
    let begun = steps.iter().rposition(|step| step.begun <= next).unwrap_or(0);
    required..=begun.max(required)
}

/// What a disk is worth to the next start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The promise holds.
    Holds,
    /// It holds by the copy outside of the config volume, which is made anew from it: its superblock was torn.
    Restored,
    /// What was promised and is not there.
    Broken(String),
}

/// Where a disk is laid out to be looked at.
#[derive(Debug)]
pub struct Bench {
    directory: PathBuf,
}

impl Bench {
    pub fn new(directory: PathBuf) -> Bench {
        Bench { directory }
    }

    /// `settled`: the first configuration was acknowledged, so that its copies exist.
    pub fn judge(&self, disk: &Disk, steps: &[Step], settled: bool) -> Judged<Verdict> {
        let volume = self.directory.join("config.ext4");
        write_sparse(&volume, disk.config())?;
        let files = self.directory.join("config");
        let _ = fs::remove_dir_all(&files);
        fs::create_dir_all(&files)?;
        let mirror = self.directory.join("bootctl");
        fs::write(&mirror, disk.bootctl())?;
        let path = volume.to_string_lossy();
        let replayed = output(&["e2fsck", "-f", "-p", &path], "")?;
        if replayed.code().is_none_or(|code| code & !REPLAYED != 0) {
            let broken = Verdict::Broken(format!(
                "the file system needs more than a replay: {}",
                replayed.stdout
            ));
            return Ok(match replayed.stdout.contains(NO_SUPERBLOCK) {
                true if has_a_copy(&mirror, steps, settled)? => Verdict::Restored,
                _ => broken,
            });
        }
        let dump = format!("rdump / {}", files.display());
        output(&["debugfs", "-R", &dump, &path], "")?;
        let broken = look(&files, &mirror, steps, settled)?;
        Ok(broken.map_or(Verdict::Holds, Verdict::Broken))
    }
}

/// Before anything was acknowledged, nothing was promised.
fn has_a_copy(mirror: &Path, steps: &[Step], settled: bool) -> Judged<bool> {
    let record = mirror::read_newest(&mut File::open(mirror)?)?;
    Ok(record.map_or(!settled, |record| {
        let mark = fingerprint(&record.payload);
        steps.iter().any(|step| fingerprint(step.text.as_bytes()) == mark)
    }))
}

fn look(files: &Path, mirror: &Path, steps: &[Step], settled: bool) -> io::Result<Option<String>> {
    let marks: Vec<u64> = steps
        .iter()
        .map(|step| fingerprint(step.text.as_bytes()))
        .collect();
    let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
    let is_one = |text: Option<&[u8]>| match text {
        Some(text) => marks.contains(&fingerprint(text)),
        None => !settled,
    };
    let store = Store::new(files.to_owned());
    let applied = store.read(APPLIED_FILE)?;
    if !is_one(applied.as_deref()) {
        return Ok(Some(format!("{APPLIED_FILE} is of none of {names:?}")));
    }
    let record = mirror::read_newest(&mut File::open(mirror)?).map_err(io::Error::other)?;
    if !is_one(record.as_ref().map(|record| record.payload.as_slice())) {
        return Ok(Some(format!("the mirror is of none of {names:?}")));
    }
    let archive = Archive::beside(&store);
    let history = archive.list();
    let newest = history.entries.first();
    let text = newest.map(|entry| archive.text(entry.number)).transpose();
    if !history.problems.is_empty() || !text.is_ok_and(|text| is_one(text.as_deref())) {
        return Ok(Some(format!("the history is of none of {names:?}: {history:?}")));
    }
    let drains = store.read(DRAINS_FILE)?.unwrap_or_default();
    let drained = String::from_utf8_lossy(&drains).contains("[[drain]]");
    if !steps.iter().any(|step| step.drained == drained) {
        return Ok(Some(format!(
            "{DRAINS_FILE} is of none of {names:?}: drained is {drained}"
        )));
    }
    let loaded = lb_agent::load(
        &store,
        &Places {
            config: files.to_owned(),
            runtime: files.to_owned(),
            sample: PathBuf::new(),
            mirror: Some(mirror.to_owned()),
        },
    );
    match loaded.mark {
        Some(mark) if marks.contains(&mark) => Ok(None),
        _ => {
            let file = store.read(CONFIG_FILE)?.unwrap_or_default();
            Ok(Some(format!(
                "a start would use none of {names:?}, but {:?}; {CONFIG_FILE}:\n{}",
                loaded.source,
                String::from_utf8_lossy(&file)
            )))
        }
    }
}

fn write_sparse(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::{Seek, SeekFrom};
    let mut file = File::create(path)?;
    file.set_len(bytes.len() as u64)?;
    let zeros = [0; BLOCK];
    for (number, block) in bytes.chunks(BLOCK).enumerate() {
        if block != &zeros[..block.len()] {
            file.seek(SeekFrom::Start((number * BLOCK) as u64))?;
            file.write_all(block)?;
        }
    }
    Ok(())
}

/// xorshift64: the choice of a run can be had again by its seed.
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed | 1)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

/// Of these writes some arrive, some do not, and some arrive in part: a sector is whole or not at all.
pub fn write_some(disk: &mut Disk, entries: &[Entry], chance: &mut Chance) -> io::Result<()> {
    let one_that_fails = chance.below(2) == 0;
    let chosen = chance.below(entries.len());
    for (place, entry) in entries.iter().enumerate() {
        let Entry::Write { at, bytes } = entry else {
            continue;
        };
        let lot = match one_that_fails {
            true if place == chosen => 1 + chance.below(2),
            true => 0,
            false => chance.below(3),
        };
        disk.write(*at, bytes, || match lot {
            0 => true,
            1 => false,
            _ => chance.below(2) == 0,
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &'static str, begun: usize, acknowledged: usize) -> Step {
        Step {
            name,
            begun,
            acknowledged,
            text: String::new(),
            drained: false,
        }
    }

    #[test]
    fn what_was_acknowledged_is_required_from_the_flush_before_it() {
        let write = Entry::Write {
            at: 0,
            bytes: Vec::new(),
        };
        let entries = [write.clone(), Entry::Flush, write.clone(), Entry::Flush, write];
        let steps = [step("old", 0, 0), step("new", 2, 5)];
        assert_eq!(allowed(&steps, &entries, 0, 1), 0..=0);
        assert_eq!(allowed(&steps, &entries, 2, 3), 0..=1);
        assert_eq!(allowed(&steps, &entries, 4, 5), 1..=1);
    }
}
