//! What a start uses: an import is completed, a choice of the boot menu or a seed becomes lb.toml, and where that cannot be used, what was applied before.
//! Must not: put anything in force.

use lb_core::config::{self, Config, Parts};
use lb_core::control::ConfigSource;
use lb_core::mirror;

use crate::apply::Read;
use crate::archive::{Archive, Change};
use crate::store::{APPLIED_FILE, CONFIG_FILE, SAMPLE_FILE, Store};
use crate::{Places, boot_choice, journal, report, seed, trial};

/// What a start finds.
#[derive(Debug)]
pub struct Loaded {
    pub config: Option<(Config, Parts)>,
    /// Of its text, as [`config::fingerprint`] gives it.
    pub mark: Option<u64>,
    pub source: ConfigSource,
    pub problems: Vec<String>,
    /// What was on trial when the agent before ended, in a sentence.
    pub returned: Option<String>,
    /// What has taken lb.toml's place at this start, in a sentence.
    pub replaced: Option<String>,
    /// How it stands in the history.
    pub change: Change,
    /// Text that came from lb.toml and is not yet known to be applicable.
    pub unsaved: Option<Vec<u8>>,
    /// This machine has never had a configuration, as far as it can know.
    pub first_contact: bool,
}

/// What has taken lb.toml's place before a start reads it: a seed, or a choice of the boot menu.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    /// In a sentence, if something was taken.
    pub taken: Option<String>,
    /// As it stands in the history then.
    pub change: Option<Change>,
    /// Why nothing was, with the remedy.
    pub problem: Option<String>,
}

/// An import that was decided is completed, whatever comes. A choice of the boot menu, or else a seed, if it is its time, becomes lb.toml first. Then lb.toml; if that has faults or is missing, the last applied one; then the mirror; then the history; then nothing. What was on trial
/// when the agent before ended is none of them.
pub fn load(store: &Store, places: &Places) -> Loaded {
    let completed = journal::resume(store);
    let returned = match journal::stays(store) {
        // What was confirmed, and could not be completed now, has not returned.
        true => {
            journal::forget_trial(store);
            None
        }
        false => trial::clear_away(store),
    };
    journal::forget_pending(store);
    let replaced = replace(store, places).or(completed);
    let mut loaded = load_file(store, places);
    if let Some(problem) = replaced.problem {
        log::error!("{problem}");
        loaded.problems.insert(0, problem);
    }
    Loaded {
        returned,
        replaced: replaced.taken,
        change: replaced.change.unwrap_or(loaded.change),
        ..loaded
    }
}

/// Who has chosen a configuration by hand does not mean the one that a seed brings at every boot.
fn replace(store: &Store, places: &Places) -> Replaced {
    let chosen = boot_choice::take(store, places);
    if chosen == Replaced::default() {
        return seed::take(store, places);
    }
    seed::clear_away(places);
    chosen
}

fn load_file(store: &Store, places: &Places) -> Loaded {
    let mut problems = Vec::new();
    match read(store, CONFIG_FILE) {
        Ok(Some((config, text))) => {
            return Loaded {
                config: Some(config),
                mark: Some(config::fingerprint(&text)),
                source: ConfigSource::File,
                problems,
                returned: None,
                replaced: None,
                change: Change::boot(),
                unsaved: Some(text),
                first_contact: false,
            };
        }
        Ok(None) => {}
        Err(fault) => {
            for line in fault.lines() {
                log::error!("{line}");
            }
            problems.push(format!(
                "{CONFIG_FILE} has faults and is not used; `config check` shows them, `config put` replaces it"
            ));
        }
    }
    match fall_back(store, places) {
        Some((config, text, source)) => {
            if problems.is_empty() {
                problems.push(format!("{CONFIG_FILE} is missing; `config put` writes a new one"));
            }
            problems.push(why(source).to_owned());
            problems.iter().for_each(|p| log::error!("{p}"));
            Loaded {
                config: Some(config),
                mark: Some(config::fingerprint(&text)),
                source,
                problems,
                returned: None,
                replaced: None,
                change: Change::boot(),
                unsaved: None,
                first_contact: false,
            }
        }
        None => nothing(store, places, problems),
    }
}

fn why(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::Mirror => "the configuration in force is the copy outside the config volume",
        ConfigSource::History => {
            "the configuration in force is the newest one of the history that can be used"
        }
        _ => "the configuration in force is the last one that was applied successfully",
    }
}

fn fall_back(store: &Store, places: &Places) -> Option<(Read, Vec<u8>, ConfigSource)> {
    let usable = |found: Found, name: &str| match found {
        Ok(found) => found,
        Err(fault) => {
            let first = fault.lines().next().unwrap_or_default();
            log::error!("{name} cannot be used: {first}");
            None
        }
    };
    if let Some((config, text)) = usable(read(store, APPLIED_FILE), APPLIED_FILE) {
        return Some((config, text, ConfigSource::LastApplied));
    }
    if let Some((config, text)) = usable(from_mirror(places), "mirror") {
        return Some((config, text, ConfigSource::Mirror));
    }
    let archive = Archive::beside(store);
    archive.list().entries.into_iter().find_map(|entry| {
        let name = format!("configuration {} of the history", entry.number);
        let read = archive.text(entry.number).and_then(|text| parse(text, &name));
        let (config, text) = usable(read.map(Some), &name)?;
        Some((config, text, ConfigSource::History))
    })
}

/// Without any configuration: services stay off, and the operator is told what to do.
fn nothing(store: &Store, places: &Places, mut problems: Vec<String>) -> Loaded {
    if problems.is_empty() {
        let sample = std::fs::read(&places.sample).ok();
        let written = sample.is_some_and(|sample| store.write(SAMPLE_FILE, &sample).is_ok());
        let hint = if written {
            " (`config show sample` shows an annotated one)".to_owned()
        } else {
            String::new()
        };
        problems.push(format!(
            "there is no configuration: no addresses, no services, no forwarding; `setup` asks for one, and `config put` takes {}{hint}",
            store.path(CONFIG_FILE).display()
        ));
    } else {
        problems.push("nothing is configured: no addresses, no services, no forwarding".to_owned());
    }
    problems.iter().for_each(|p| log::error!("{p}"));
    Loaded {
        config: None,
        mark: None,
        source: ConfigSource::None,
        problems,
        returned: None,
        replaced: None,
        change: Change::boot(),
        unsaved: None,
        first_contact: seed::is_first_boot(store, places),
    }
}

type Found = Result<Option<(Read, Vec<u8>)>, String>;

/// A file's configuration; the error is the rendered faults.
fn read(store: &Store, name: &str) -> Found {
    match store.read(name) {
        Ok(None) => Ok(None),
        Ok(Some(bytes)) => parse(bytes, name).map(Some),
        Err(error) => Err(format!("{name} cannot be read: {error}")),
    }
}

fn from_mirror(places: &Places) -> Found {
    let Some(partition) = &places.mirror else {
        return Ok(None);
    };
    let read = std::fs::File::open(partition).map_err(|e| e.to_string());
    let newest = read.and_then(|mut file| mirror::read_newest(&mut file).map_err(|e| report::chain(&e)));
    match newest {
        Ok(Some(record)) => parse(record.payload, "mirror").map(Some),
        Ok(None) => Ok(None),
        Err(error) => Err(format!("the mirror cannot be read: {error}")),
    }
}

fn parse(bytes: Vec<u8>, name: &str) -> Result<(Read, Vec<u8>), String> {
    match config::parse_bytes_after(&bytes, None) {
        Ok(config) => Ok((config, bytes)),
        Err(faults) => Err(faults.render(name, &String::from_utf8_lossy(&bytes))),
    }
}

impl Replaced {
    /// What came last counts; what is wrong with either is told.
    fn or(self, before: Replaced) -> Replaced {
        Replaced {
            taken: self.taken.or(before.taken),
            change: self.change.or(before.change),
            problem: self.problem.or(before.problem),
        }
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
