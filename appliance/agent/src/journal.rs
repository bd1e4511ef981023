//! An import on the config volume. Files, drains and lb.toml are several files, and a rename is atomic for one: so the export itself is written first,
//! as one file, and that is the decision; from then on whoever comes carries it out, be it the next start after a power cut. Must not: judge a text.

use lb_core::console::password;
use lb_core::export::{Export, JOURNAL, PENDING, read};
use lb_core::reset;

use crate::apply::Replaced;
use crate::archive::Change;
use crate::drains::DRAINS_FILE;
use crate::report::chain;
use crate::store::{CONFIG_FILE, PENDING_FILE, Store, StoreError};

pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How the names of the drafts of `config edit` begin.
const DRAFT: &str = "lb.draft.";

/// All that it puts beside lb.toml, and lb.toml last.
fn contents(export: &Export) -> impl Iterator<Item = (&str, &[u8])> {
    let files = export
        .files
        .iter()
        .map(|(name, content)| (name.as_str(), content.as_slice()));
    files.chain([
        (DRAINS_FILE, export.drains.as_bytes()),
        (CONFIG_FILE, export.configuration.as_bytes()),
    ])
}

/// The state on the volume becomes this one. A power cut leaves the one before or this one; an error says which one a start will use. `Ok` may have
/// something to be told.
pub fn commit(store: &Store, export: &Export) -> Result<Option<String>, String> {
    let nothing = |why: String| format!("nothing was changed: {why}");
    let text = export.text().map_err(|error| nothing(error.to_string()))?;
    let mut names = contents(export).map(|(name, _)| name);
    if let Some(name) = names.find(|name| store.path(name).is_dir()) {
        let path = store.path(name);
        return Err(nothing(format!(
            "{} is a directory, and no file can take its place; give the file another name in the lb.toml that is exported",
            path.display()
        )));
    }
    // All of it is on the disk before it is decided: there is room, and only names are left to be changed.
    let staged = contents(export).try_for_each(|(name, content)| store.stage(name, content));
    if let Err(error) = staged.and_then(|()| store.write(JOURNAL, text.as_bytes())) {
        contents(export).for_each(|(name, _)| store.unstage(name));
        return Err(undecided(store, &text, &chain(&error)));
    }
    drop(text);
    put(store, export).map_err(|error| undone(store, export, &chain(&error)))?;
    Ok(clear(store).err())
}

/// Its name may be there although it is not known to be on the disk.
fn undecided(store: &Store, text: &str, why: &str) -> String {
    let is_there = store.holds(JOURNAL, text.as_bytes());
    match is_there.then(|| store.remove(JOURNAL)) {
        None | Some(Ok(())) => format!("nothing was changed: {why}"),
        Some(Err(_)) => format!("the import is not carried out: {why}; {UNLESS}"),
    }
}

/// What is staged takes its place, lb.toml last. Once more is the same as once.
fn put(store: &Store, export: &Export) -> Result<(), StoreError> {
    for (name, _) in contents(export) {
        store.place(name)?;
    }
    // It is confirmed, if it was on trial: a start must not believe otherwise.
    store.unlink(PENDING_FILE)?;
    store.unlink(PENDING)?;
    // The journal goes when all names are as they are to be, also after a power cut.
    store.sync_names(CONFIG_FILE)
}

/// Some names have changed already.
fn undone(store: &Store, export: &Export, why: &str) -> String {
    let begun = store.holds(CONFIG_FILE, export.configuration.as_bytes());
    if !begun && store.remove(JOURNAL).is_ok() {
        return format!(
            "the import is given up: {why}; a start uses lb.toml as it was before, but of the certificates and keys some may be those of the import: \
             import it again"
        );
    }
    format!("the import is not complete: {why}; {UNLESS}")
}

const UNLESS: &str = "the next start goes on with it, unless the configuration is changed before";

fn clear(store: &Store) -> Result<(), String> {
    store.remove(JOURNAL).map_err(|error| {
        format!(
            "the import is complete, but its journal stays: {}; the next start carries it out once more, unless the configuration is changed before",
            chain(&error)
        )
    })
}

/// Whether an import waits for the next start.
pub fn stays(store: &Store) -> bool {
    store.path(JOURNAL).symlink_metadata().is_ok()
}

/// What comes now takes the place of an import that is not complete: no later start may carry it out over that. Whether there was one.
pub fn give_up(store: &Store) -> Result<bool, String> {
    let given_up = withdraw(store)?;
    if given_up {
        // On trial when it was decided; a start would tell of a return.
        for name in [PENDING_FILE, PENDING] {
            let _ = store.unlink(name);
        }
    }
    Ok(given_up)
}

/// The same while something is on trial.
pub fn withdraw(store: &Store) -> Result<bool, String> {
    if !stays(store) {
        return Ok(false);
    }
    store.remove(JOURNAL).map_err(|error| {
        format!(
            "an import that is not complete would take its place again at the next start, and cannot be given up: {}; a restart completes the import, \
             or says why it cannot",
            chain(&error)
        )
    })?;
    Ok(true)
}

pub const GIVEN_UP: &str = "the import that was not complete is given up: the configuration is changed";

/// At a start: completes what was decided before the agent or the machine ended.
pub fn resume(store: &Store) -> Replaced {
    let replaced = completed(store);
    if !stays(store) {
        sweep(store);
    }
    replaced
}

fn completed(store: &Store) -> Replaced {
    let bytes = match store.read(JOURNAL) {
        Ok(None) => return Replaced::default(),
        Ok(Some(bytes)) => bytes,
        Err(error) => return problem(format!("{JOURNAL} cannot be read: {error}; {UNLESS}")),
    };
    let export = match read(&bytes, VERSION) {
        Ok(export) => export,
        Err(fault) => {
            // A write is whole or not at all: the disk has damaged it, and it will not get better.
            let _ = store.remove(JOURNAL);
            return problem(format!("{JOURNAL} is damaged, {fault}; import it again"));
        }
    };
    drop(bytes);
    let staged = contents(&export).try_for_each(|(name, content)| store.stage(name, content));
    if let Err(error) = staged.and_then(|()| put(store, &export)) {
        return problem(format!("{}; {UNLESS}", chain(&error)));
    }
    let origin = origin(&export);
    let taken = format!(
        "the import {origin} was completed, which a power cut or the end of the agent had interrupted"
    );
    log::warn!("{taken}");
    let left = clear(store).err();
    left.iter().for_each(|left| log::error!("{left}"));
    Replaced {
        taken: Some(taken),
        change: Some(Change {
            by: "import".to_owned(),
            why: format!("completed: {origin}"),
        }),
        problem: left,
    }
}

/// What was staged and never decided: there may be keys in it. Not what `applctl` may be writing at this moment.
fn sweep(store: &Store) {
    let entries = std::fs::read_dir(store.path("")).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let of = name.strip_prefix('.').and_then(|name| name.strip_suffix(".new"));
        let is_of_others = |of: &str| of == password::FILE || of == reset::MARK || of.starts_with(DRAFT);
        if of.is_some_and(|of| !of.is_empty() && !is_of_others(of))
            && entry.file_type().is_ok_and(|kind| kind.is_file())
            && let Err(error) = std::fs::remove_file(entry.path())
        {
            log::warn!("{name} stays: {error}");
        }
    }
}

/// How it begins what is told of it.
pub const NOT_COMPLETE: &str = "an import is not complete";

fn problem(why: String) -> Replaced {
    log::error!("import: {why}");
    Replaced {
        problem: Some(format!("{NOT_COMPLETE}: {why}")),
        ..Replaced::default()
    }
}

/// `of lb, made 2026-11-26 19:05:00 UTC`.
pub fn origin(export: &Export) -> String {
    format!("of {}, made {}", export.origin.host, export.origin.made)
}

/// At a start: what was on trial is not confirmed any more. Whether an import was.
pub fn forget_pending(store: &Store) -> bool {
    let is_there = store.path(PENDING).exists();
    if let Err(error) = store.remove(PENDING) {
        log::error!("{PENDING} stays: {}", chain(&error));
    }
    is_there
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
