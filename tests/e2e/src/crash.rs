//! What a start would find on a disk whose power failed at some point of a recorded run, judged by the agent's own code: the
//! configuration is one that was in force then or was about to be, and never older than what was acknowledged; where a factory
//! reset was begun, init's own code goes on with it first.
//! Must not: mount anything; e2fsck replays the journal of a copy, and debugfs reads it.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lb_agent::{APPLIED_FILE, Archive, CONFIG_FILE, DRAINS_FILE, Places, Store};
use lb_core::config::fingerprint;
use lb_core::control::ConfigSource;
use lb_core::{mirror, reset};
use lb_lab::command::output;

use crate::write_log::Disk;

pub type Judged<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// e2fsck's bits for "repaired", which is what a replay of the journal is.
const REPLAYED: i32 = 1 | 2;
/// The superblock is 1,024 bytes, two sectors: one of which half has arrived is none. ext4 writes it outside its journal.
const NO_SUPERBLOCK: &str = "superblock could not be read";
/// The file system is mostly empty.
const BLOCK: usize = 4096;

/// A file beside lb.toml that is the machine's identity, as `factory-reset --keep-identity` understands it.
pub const CERTIFICATE: (&str, &str) = (
    "ca.pem",
    "-----BEGIN CERTIFICATE-----\nTm9ib2R5IHJlYWRzIHRoaXMu\n-----END CERTIFICATE-----\n",
);

/// What a machine has on its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// What a start has to use; `None`: it is as from the factory.
    pub text: Option<String>,
    pub drained: bool,
    /// Whether [`CERTIFICATE`] is there.
    pub identity: bool,
}

/// One thing that was asked of the appliance, in places of the log: when it was asked, and when it was acknowledged.
#[derive(Debug, Clone)]
pub struct Step {
    pub name: &'static str,
    pub begun: usize,
    pub acknowledged: usize,
    /// From then on.
    pub state: State,
    /// What somebody has written to lb.toml, and a start may use until this is acknowledged. The copies never hold it.
    pub meanwhile: Option<String>,
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

    /// `steps`: from the last that was acknowledged to the last that was begun. `settled`: the first configuration was
    /// acknowledged, so that its copies exist.
    pub fn judge(&self, disk: &Disk, steps: &[Step], settled: bool) -> Judged<Verdict> {
        let expected = Expected {
            steps: steps.iter().collect(),
            settled,
        };
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
                true if has_a_copy(&mirror, &expected)? => Verdict::Restored,
                _ => broken,
            });
        }
        let dump = format!("rdump / {}", files.display());
        output(&["debugfs", "-R", &dump, &path], "")?;
        let broken = look(&files, &mirror, expected)?;
        Ok(broken.map_or(Verdict::Holds, Verdict::Broken))
    }
}

fn mark(text: &str) -> u64 {
    fingerprint(text.as_bytes())
}

/// The steps of which a disk has to be one. The first is the last that was acknowledged.
struct Expected<'s> {
    steps: Vec<&'s Step>,
    /// Before anything was acknowledged, nothing was promised.
    settled: bool,
}

impl Expected<'_> {
    fn names(&self) -> Vec<&'static str> {
        self.steps.iter().map(|step| step.name).collect()
    }

    fn may_be_empty(&self) -> bool {
        !self.settled || self.steps.iter().any(|step| step.state.text.is_none())
    }

    /// A reset begins and ends with its mark: without one a machine has everything, or nothing.
    fn all_or_nothing(&mut self, files: &Path) {
        let was_configured = self.steps.first().is_some_and(|step| step.state.text.is_some());
        if was_configured && self.may_be_empty() {
            let is_configured = files.join(CONFIG_FILE).exists();
            self.steps
                .retain(|step| step.state.text.is_some() == is_configured);
        }
    }

    /// For the copies of the configuration.
    fn has(&self, text: Option<&[u8]>) -> bool {
        let Some(text) = text else {
            return self.may_be_empty();
        };
        let mut texts = self.steps.iter().filter_map(|step| step.state.text.as_deref());
        texts.any(|known| mark(known) == fingerprint(text))
    }

    /// For what a start uses.
    fn starts_with(&self, loaded: &lb_agent::Loaded) -> bool {
        let Some(used) = loaded.mark else {
            return loaded.source == ConfigSource::None && self.may_be_empty();
        };
        let meanwhile = self
            .steps
            .iter()
            .skip(1)
            .filter_map(|step| step.meanwhile.as_deref());
        let texts = self.steps.iter().filter_map(|step| step.state.text.as_deref());
        meanwhile.chain(texts).any(|known| mark(known) == used)
    }
}

impl Expected<'_> {
    /// What a start uses, and what is set aside then, are of one step: an import changes both.
    fn is_one(&self, loaded: &lb_agent::Loaded, drained: bool) -> bool {
        let is_used = |text: &Option<String>| text.as_deref().map(mark) == loaded.mark;
        let mut steps = self.steps.iter();
        steps.any(|step| {
            step.state.drained == drained && (is_used(&step.state.text) || is_used(&step.meanwhile))
        })
    }
}

fn has_a_copy(mirror: &Path, expected: &Expected<'_>) -> Judged<bool> {
    let record = mirror::read_newest(&mut File::open(mirror)?)?;
    Ok(expected.has(record.as_ref().map(|record| record.payload.as_slice())))
}

/// What is broken, if anything is.
fn look(files: &Path, mirror: &Path, mut expected: Expected<'_>) -> Judged<Option<String>> {
    if files.join(reset::MARK).exists() {
        expected.steps.retain(|step| step.state.text.is_none());
        if expected.steps.is_empty() {
            return Ok(Some("a factory reset that nobody has asked for".to_owned()));
        }
        if let Some(Err(why)) = lb_init::go_on_with_reset(files, mirror) {
            return Ok(Some(format!("the factory reset does not go on: {why}")));
        }
    } else if expected.settled {
        expected.all_or_nothing(files);
    }
    let broken = match look_at_copies(files, mirror, &expected)? {
        None => look_beside(files, &expected)?,
        broken => broken,
    };
    match broken {
        None => look_at_start(files, mirror, &expected),
        broken => Ok(broken),
    }
}

fn look_at_copies(files: &Path, mirror: &Path, expected: &Expected<'_>) -> Judged<Option<String>> {
    let names = expected.names();
    let store = Store::new(files.to_owned());
    let applied = store.read(APPLIED_FILE)?;
    if !expected.has(applied.as_deref()) {
        return Ok(Some(format!("{APPLIED_FILE} is of none of {names:?}")));
    }
    if !has_a_copy(mirror, expected)? {
        return Ok(Some(format!("the mirror is of none of {names:?}")));
    }
    let archive = Archive::beside(&store);
    let history = archive.list();
    let newest = history.entries.first();
    let text = newest.map(|entry| archive.text(entry.number)).transpose();
    if !history.problems.is_empty() || !text.is_ok_and(|text| expected.has(text.as_deref())) {
        return Ok(Some(format!("the history is of none of {names:?}: {history:?}")));
    }
    Ok(None)
}

/// The drains, and the certificate.
fn look_beside(files: &Path, expected: &Expected<'_>) -> Judged<Option<String>> {
    let names = expected.names();
    let store = Store::new(files.to_owned());
    let drains = store.read(DRAINS_FILE)?.unwrap_or_default();
    let drained = String::from_utf8_lossy(&drains).contains("[[drain]]");
    if !expected.steps.iter().any(|step| step.state.drained == drained) {
        return Ok(Some(format!(
            "{DRAINS_FILE} is of none of {names:?}: drained is {drained}"
        )));
    }
    let (name, content) = CERTIFICATE;
    let found = store.read(name)?;
    let whole = found.as_deref().is_none_or(|found| found == content.as_bytes());
    let is_as_told = |step: &&Step| step.state.identity == found.is_some();
    if !whole || !expected.steps.iter().any(is_as_told) {
        return Ok(Some(format!(
            "{name} is of none of {names:?}: {:?}",
            found.map(|found| String::from_utf8_lossy(&found).into_owned())
        )));
    }
    Ok(None)
}

fn look_at_start(files: &Path, mirror: &Path, expected: &Expected<'_>) -> Judged<Option<String>> {
    let store = Store::new(files.to_owned());
    let loaded = lb_agent::load(
        &store,
        &Places {
            config: files.to_owned(),
            runtime: files.to_owned(),
            sample: PathBuf::new(),
            mirror: Some(mirror.to_owned()),
        },
    );
    // A start completes an import.
    let drains = store.read(DRAINS_FILE)?.unwrap_or_default();
    let drained = String::from_utf8_lossy(&drains).contains("[[drain]]");
    if expected.starts_with(&loaded) {
        let is_one = loaded.mark.is_none() || expected.is_one(&loaded, drained);
        return Ok((!is_one).then(|| {
            format!(
                "a mixture of {:?}: drained is {drained} with the lb.toml of another",
                expected.names()
            )
        }));
    }
    let file = store.read(CONFIG_FILE)?.unwrap_or_default();
    Ok(Some(format!(
        "a start would use none of {:?}, but {:?}; {CONFIG_FILE}:\n{}",
        expected.names(),
        loaded.source,
        String::from_utf8_lossy(&file)
    )))
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
