//! Takes the seed that init has laid down: its text becomes lb.toml when the machine has no configuration, or always if the text says so. It is judged
//! as any other, and with a fault nothing of it is taken. Must not: find seeds, or put anything in force (a start does).

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

use lb_core::config::{self, Config, MAX_BYTES};
use lb_core::control::VolumeState;
use lb_core::export::is_our_directory;
use lb_core::mirror;
use lb_core::seed::{DIRECTORY, FILES, NOTE, SeedNote, When, when};

use crate::Places;
use crate::apply;
use crate::archive::{Archive, Change};
use crate::journal;
use crate::load::Replaced;
use crate::report::{self, chain};
use crate::store::{APPLIED_FILE, CONFIG_FILE, Store};

/// The seed is judged once in a boot: what init has laid down is gone afterwards.
pub fn take(store: &Store, places: &Places) -> Replaced {
    let directory = places.runtime.join(DIRECTORY);
    let Some(note) = note(&directory) else {
        return Replaced::default();
    };
    let sown = match sow(store, places, &directory.join(FILES), &note.source) {
        Ok(sown) => sown,
        Err(why) => Replaced {
            problem: Some(format!("the seed is not taken: {why}")),
            ..Replaced::default()
        },
    };
    clear_away(places);
    sown
}

/// A seed that is not wanted at this start.
pub fn clear_away(places: &Places) {
    let directory = places.runtime.join(DIRECTORY);
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => log::warn!("{}: {error}", directory.display()),
        _ => {}
    }
}

fn note(directory: &Path) -> Option<SeedNote> {
    serde_json::from_slice(&fs::read(directory.join(NOTE)).ok()?).ok()
}

fn sow(store: &Store, places: &Places, files: &Path, source: &str) -> Result<Replaced, String> {
    let text =
        read(&files.join(CONFIG_FILE)).map_err(|error| format!("{CONFIG_FILE} of {source}: {error}"))?;
    let when = when(&String::from_utf8_lossy(&text))
        .map_err(|fault| format!("{CONFIG_FILE} of {source}, {fault}"))?;
    if when == When::FirstBoot {
        if is_configured(store, places) {
            log::info!(
                "there is a seed in {source}; it is not taken, because this machine has a configuration"
            );
            return Ok(Replaced::default());
        }
        if let Some(why) = forgetful(places) {
            return Err(format!("whether this is a first boot cannot be known: {why}"));
        }
    }
    let config = judge(&text, source)?;
    let named = config::named_files(&config);
    let named = named.iter().filter(|name| !is_our_directory(name));
    let brought: Vec<_> = named.filter(|name| files.join(name).is_file()).collect();
    let (same, told) = journal::instead(store, || plant(store, files, &text, &brought, source))?;
    told.iter().for_each(|told| log::warn!("{told}"));
    if same? {
        log::info!("the seed in {source} is what lb.toml is already");
        return Ok(Replaced::default());
    }
    Ok(taken(when, source, brought.len()))
}

/// Whether all of it was there already.
fn plant(
    store: &Store,
    files: &Path,
    text: &[u8],
    brought: &[&String],
    source: &str,
) -> Result<bool, String> {
    let unchanged =
        |name: &str, bytes: &[u8]| store.read(name).is_ok_and(|held| held.as_deref() == Some(bytes));
    let mut same = unchanged(CONFIG_FILE, text);
    for name in brought {
        let content = read(&files.join(name)).map_err(|error| format!("{name} of {source}: {error}"))?;
        same &= unchanged(name, &content);
        store.write(name, &content).map_err(|error| chain(&error))?;
    }
    // Last: until it is there, the next boot begins again.
    store.write(CONFIG_FILE, text).map_err(|error| chain(&error))?;
    Ok(same)
}

fn taken(when: When, source: &str, files: usize) -> Replaced {
    let because = match when {
        When::FirstBoot => "first boot",
        When::Always => "always",
    };
    let with = match files {
        0 => String::new(),
        1 => " with 1 file".to_owned(),
        many => format!(" with {many} files"),
    };
    Replaced {
        taken: Some(format!("lb.toml{with} was taken from {source} ({because})")),
        change: Some(Change {
            by: "seed".to_owned(),
            why: format!("{because}: {source}"),
        }),
        problem: None,
    }
}

/// Whether this machine has never had a configuration, and can know it.
pub fn is_first_boot(store: &Store, places: &Places) -> bool {
    !is_configured(store, places) && forgetful(places).is_none()
}

/// Anything that a start could use, whether or not it has faults.
fn is_configured(store: &Store, places: &Places) -> bool {
    let mirrored = || {
        let partition = places.mirror.as_ref()?;
        mirror::read_newest(&mut File::open(partition).ok()?)
            .ok()
            .flatten()
    };
    store.path(CONFIG_FILE).exists()
        || journal::stays(store)
        || store.path(APPLIED_FILE).exists()
        || !Archive::beside(store).list().entries.is_empty()
        || mirrored().is_some()
}

/// Why this volume does not know what a boot before has left.
fn forgetful(places: &Places) -> Option<String> {
    let volume = report::init_report(places)?.config_volume;
    match volume.state {
        VolumeState::Persistent | VolumeState::Restored => None,
        VolumeState::NotMounted | VolumeState::ReadOnly | VolumeState::Memory => Some(volume.detail),
    }
}

/// All faults go to the log, the first one into the sentence.
fn judge(text: &[u8], source: &str) -> Result<Config, String> {
    let name = format!("{CONFIG_FILE} of {source}");
    let config = match apply::check(text, None) {
        (Some((config, _)), _) => config,
        (None, report) => {
            report
                .rendered
                .lines()
                .for_each(|line| log::error!("seed: {line}"));
            let Some(first) = report.faults.first() else {
                return Err(format!("{name} has faults"));
            };
            let others = match report.faults.len() {
                1 => String::new(),
                more => format!(" (`log` shows {} more)", more - 1),
            };
            return Err(format!(
                "{name}, line {}, column {}: {}; {}{others}; correct it and reboot",
                first.line, first.column, first.message, first.help
            ));
        }
    };
    match config.interfaces.is_empty() {
        true => Err(format!("{name} has no [[interface]]; add one and reboot")),
        false => Ok(config),
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
#[path = "seed_tests.rs"]
mod tests;
