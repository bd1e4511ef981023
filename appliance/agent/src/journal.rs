//! An import on the config volume. Files, drains and lb.toml are several files, and a rename is atomic for one: so the export itself is written first,
//! as one file, and that is the decision; from then on whoever comes carries it out, be it the next start after a power cut. Must not: judge a text.

use lb_core::console::password;
use lb_core::export::{ASIDE, Export, Fault, JOURNAL, PENDING, read};
use lb_core::files::DRAFT;
use lb_core::reset;

use crate::archive::Change;
use crate::drains::DRAINS_FILE;
use crate::load::Replaced;
use crate::report::chain;
use crate::store::{CONFIG_FILE, FORMER, PENDING_FILE, STAGED, Store, StoreError};

mod back;

pub use back::Back;

pub const VERSION: &str = env!("CARGO_PKG_VERSION");

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

/// Why an import is not on the volume, and what of it is there all the same: nothing, unless the disk refuses that, too.
#[derive(Debug, Default)]
pub struct Failed {
    /// What a start will use, in a sentence.
    pub message: String,
    pub back: Back,
}

/// The state on the volume becomes this one. A power cut leaves the one before or this one, and so does an error, which says what a start will use.
/// `Ok` may have something to be told.
pub fn commit(store: &Store, export: &Export) -> Result<Option<String>, Failed> {
    let nothing = |why: String| Failed {
        message: format!("nothing was changed: {why}"),
        back: Back::default(),
    };
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
        unstage(store, export);
        let message = undecided(store, &text, &chain(&error));
        let back = Back::default();
        return Err(Failed { message, back });
    }
    drop(text);
    // It takes the place of one that was to be given up, too; should that stay, the next start knows which one is the later.
    let _ = store.unlink(ASIDE);
    let mut back = Back::default();
    let put = put(store, export, |name| back.keep(store, name));
    if let Err(error) = put {
        return Err(undone(store, export, back, &chain(&error)));
    }
    back.forget(store);
    Ok(clear(store).err())
}

fn unstage(store: &Store, export: &Export) {
    contents(export).for_each(|(name, _)| store.unstage(name));
}

/// Its name may be there although it is not known to be on the disk.
fn undecided(store: &Store, text: &str, why: &str) -> String {
    let is_there = store.holds(JOURNAL, text.as_bytes());
    match is_there.then(|| store.remove(JOURNAL)) {
        None | Some(Ok(())) => format!("nothing was changed: {why}"),
        Some(Err(_)) => format!("the import is not carried out: {why}; {UNLESS}"),
    }
}

/// What is staged takes its place, lb.toml last. Once more is the same as once. `before`: what has to happen before a name changes.
fn put(
    store: &Store,
    export: &Export,
    mut before: impl FnMut(&str) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for (name, _) in contents(export) {
        if store.is_staged(name) {
            before(name)?;
            store.place(name)?;
        }
    }
    // It is confirmed, if it was on trial: a start must not believe otherwise.
    for name in [PENDING_FILE, PENDING] {
        before(name)?;
        store.unlink(name)?;
    }
    // The journal goes when all names are as they are to be, also after a power cut.
    store.sync_names(CONFIG_FILE)
}

/// Some names have changed already: all of them go back, and then what would change them again.
fn undone(store: &Store, export: &Export, mut back: Back, why: &str) -> Failed {
    let removed = |()| {
        let removed = store.remove(JOURNAL);
        removed.map_err(|error| format!("its journal stays: {}", chain(&error)))
    };
    let message = match back.go(store).and_then(removed) {
        Ok(()) => {
            unstage(store, export);
            format!("nothing was changed: {why}")
        }
        Err(stays) => format!("the import is not complete: {why}; {stays}; {UNLESS}"),
    };
    Failed { message, back }
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
    is_there(store, JOURNAL) || is_there(store, ASIDE)
}

fn is_there(store: &Store, name: &str) -> bool {
    store.path(name).symlink_metadata().is_ok()
}

/// Why no import may take the place of the one that waits, with the remedy.
pub fn refusal(store: &Store) -> Result<(), String> {
    let Ok(Some(bytes)) = store.read(JOURNAL) else {
        return Ok(());
    };
    match read(&bytes, VERSION) {
        Err(fault) if fault.is_unknown => Err(format!(
            "nothing was changed: another import waits; {}",
            of_another_version(&fault)
        )),
        _ => Ok(()),
    }
}

/// What changes something takes the place of an import that is not complete: no later start may carry that out over it. What fails to change
/// anything does not: the import waits as before. With what is to be told of it. The error: it cannot be given up, and nothing was changed.
pub fn instead<T, E>(
    store: &Store,
    change: impl FnOnce() -> Result<T, E>,
) -> Result<(Result<T, E>, Option<String>), String> {
    if !stays(store) {
        return Ok((change(), None));
    }
    let aside = match (is_there(store, JOURNAL), store.path(JOURNAL).is_file()) {
        (true, true) => store.rename(JOURNAL, ASIDE).map_err(|error| chain(&error)),
        (true, false) => Err(format!("{} is no file", store.path(JOURNAL).display())),
        (false, _) => Ok(()),
    };
    aside.map_err(|why| {
        format!(
            "an import that is not complete would take its place again at the next start, and cannot be given up: {why}; a restart completes the import, \
             or says why it cannot"
        )
    })?;
    let changed = change();
    let told = match &changed {
        Ok(_) => Some(match store.remove(ASIDE) {
            Ok(()) => GIVEN_UP.to_owned(),
            Err(error) => format!(
                "the import that was not complete is to be given up, and may take this change's place at the next start: {}",
                chain(&error)
            ),
        }),
        Err(_) => store.rename(ASIDE, JOURNAL).err().map(|error| {
            format!(
                "the import that was not complete waits as {ASIDE}, and the next start goes on with it: {}",
                chain(&error)
            )
        }),
    };
    Ok((changed, told))
}

/// What was on trial returns, and has been decided all the same.
pub fn withdraw(store: &Store) -> Result<(), String> {
    if !stays(store) {
        return Ok(());
    }
    let removed = store.remove(JOURNAL).and_then(|()| store.remove(ASIDE));
    removed.map_err(|error| {
        format!(
            "it comes back with the next start, because its journal stays: {}",
            chain(&error)
        )
    })
}

pub const GIVEN_UP: &str = "the import that was not complete is given up: the configuration is changed";

/// At a start: completes what was decided before the agent or the machine ended.
pub fn resume(store: &Store) -> Replaced {
    // Whatever was to give it up has not ended; or another import was decided since.
    let aside = match (is_there(store, ASIDE), is_there(store, JOURNAL)) {
        (true, false) => store.rename(ASIDE, JOURNAL),
        (true, true) => store.remove(ASIDE),
        (false, _) => Ok(()),
    };
    if let Err(error) = aside {
        return problem(format!("{}; {UNLESS}", chain(&error)));
    }
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
        Err(fault) if fault.is_unknown => return problem(of_another_version(&fault)),
        Err(fault) => {
            // A write is whole or not at all: the disk has damaged it, and it will not get better.
            let _ = store.remove(JOURNAL);
            return problem(format!("{JOURNAL} is damaged, {fault}; import it again"));
        }
    };
    drop(bytes);
    let staged = contents(&export).try_for_each(|(name, content)| store.stage(name, content));
    // There is nobody to whom anything else was promised: it goes on, and never back.
    if let Err(error) = staged.and_then(|()| put(store, &export, |_| Ok(()))) {
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
        let ends = |name: &'_ str| -> Option<usize> {
            let end = [STAGED, FORMER].into_iter().find(|end| name.ends_with(end))?;
            Some(name.len() - end.len())
        };
        let of = name.strip_prefix('.').and_then(|name| Some(&name[..ends(name)?]));
        let is_of_others = |of: &str| of == password::FILE || of == reset::MARK || of.starts_with(DRAFT);
        if of.is_some_and(|of| !of.is_empty() && !is_of_others(of))
            && entry.file_type().is_ok_and(|kind| kind.is_file())
            && let Err(error) = std::fs::remove_file(entry.path())
        {
            log::warn!("{name} stays: {error}");
        }
    }
}

fn of_another_version(fault: &Fault) -> String {
    format!("it is of another version, and is left alone ({JOURNAL}, {fault}); `config apply` gives it up")
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

/// At a start: what was on trial is confirmed, and waits. A later one must not tell of a return.
pub fn forget_trial(store: &Store) {
    if let Err(error) = store.remove(PENDING_FILE) {
        log::error!("{PENDING_FILE} stays: {}", chain(&error));
    }
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
mod tests;
