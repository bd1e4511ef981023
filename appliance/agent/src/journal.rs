//! An import on the config volume. Files, drains and lb.toml are several files, and a rename is atomic for one: so the export itself is written first,
//! as one file, and that is the decision; from then on whoever comes carries it out, be it the next start after a power cut. Must not: judge a text.

use lb_core::export::{Export, JOURNAL, PENDING, read};

use crate::apply::Replaced;
use crate::archive::Change;
use crate::drains::DRAINS_FILE;
use crate::report::chain;
use crate::store::{CONFIG_FILE, PENDING_FILE, Store, StoreError};

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

/// The state on the volume becomes this one. A power cut leaves the one before or this one; an error the one before, unless it says otherwise.
pub fn commit(store: &Store, export: &Export) -> Result<(), String> {
    let text = export
        .text()
        .map_err(|error| format!("nothing was changed: {error}"))?;
    // All of it is on the disk before it is decided: there is room, and only names are left to be changed.
    let staged = contents(export).try_for_each(|(name, content)| store.stage(name, content));
    if let Err(error) = staged.and_then(|()| store.write(JOURNAL, text.as_bytes())) {
        contents(export).for_each(|(name, _)| store.unstage(name));
        return Err(format!("nothing was changed: {}", chain(&error)));
    }
    finish(store, export, |name, _| store.commit(name)).map_err(|error| {
        let why = chain(&error);
        match store.remove(JOURNAL) {
            Ok(()) => format!("the import is not complete: {why}; lb.toml was not changed, files beside it may have been: import it again"),
            Err(_) => format!("the import is not complete: {why}; the next start goes on with it"),
        }
    })
}

/// Once more is the same as once.
fn finish(
    store: &Store,
    export: &Export,
    put: impl Fn(&str, &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    contents(export).try_for_each(|(name, content)| put(name, content))?;
    // It is confirmed, if it was on trial: a start must not believe otherwise.
    store.remove(PENDING_FILE)?;
    store.remove(PENDING)?;
    store.remove(JOURNAL)
}

/// At a start: completes what was decided before the agent or the machine ended.
pub fn resume(store: &Store) -> Replaced {
    let bytes = match store.read(JOURNAL) {
        Ok(None) => return Replaced::default(),
        Ok(Some(bytes)) => bytes,
        Err(error) => {
            return problem(format!(
                "{JOURNAL} cannot be read: {error}; the next start tries it again"
            ));
        }
    };
    let export = match read(&bytes, VERSION) {
        Ok(export) => export,
        Err(fault) => {
            // A write is whole or not at all: the disk has damaged it, and it will not get better.
            let _ = store.remove(JOURNAL);
            return problem(format!("{JOURNAL} is damaged, {fault}; import it again"));
        }
    };
    let origin = origin(&export);
    match finish(store, &export, |name, content| store.write(name, content)) {
        Ok(()) => {
            let taken = format!(
                "the import {origin} was completed, which a power cut or the end of the agent had interrupted"
            );
            log::warn!("{taken}");
            Replaced {
                taken: Some(taken),
                change: Some(Change {
                    by: "import".to_owned(),
                    why: format!("completed: {origin}"),
                }),
                problem: None,
            }
        }
        Err(error) => problem(format!("{}; the next start tries it again", chain(&error))),
    }
}

fn problem(why: String) -> Replaced {
    log::error!("import: {why}");
    Replaced {
        problem: Some(format!("an import is not complete: {why}")),
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
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;

    use lb_core::export::Origin;

    use super::*;

    const OLD: [(&str, &str); 3] = [
        (CONFIG_FILE, "old = 1\n"),
        (DRAINS_FILE, "# old\n"),
        ("ca.pem", "-----BEGIN OLD\n"),
    ];

    fn export() -> Export {
        Export {
            origin: Origin {
                version: VERSION.to_owned(),
                host: "lb".to_owned(),
                made: "then".to_owned(),
            },
            configuration: "new = 1\n".to_owned(),
            drains: "# new\n".to_owned(),
            files: BTreeMap::from([
                ("ca.pem".to_owned(), b"-----BEGIN NEW\n".to_vec()),
                ("client.key".to_owned(), b"-----BEGIN PRIVATE KEY-----\n".to_vec()),
            ]),
            left_out: BTreeSet::new(),
        }
    }

    fn volume() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in OLD {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let store = Store::new(dir.path().to_owned());
        (dir, store)
    }

    fn is_new(store: &Store) {
        let export = export();
        for (name, content) in contents(&export) {
            assert_eq!(store.read(name).unwrap().as_deref(), Some(content), "{name}");
        }
        assert_eq!(
            fs::read_dir(store.path("")).unwrap().count(),
            4,
            "nothing else is left"
        );
    }

    fn is_old(store: &Store) {
        for (name, text) in OLD {
            assert_eq!(store.read(name).unwrap().unwrap(), text.as_bytes(), "{name}");
        }
    }

    #[test]
    fn an_import_replaces_all_of_it_and_leaves_nothing_else() {
        let (_dir, store) = volume();
        store.write(PENDING_FILE, b"new = 1\n").unwrap();
        store.write(PENDING, b"text").unwrap();
        commit(&store, &export()).unwrap();
        is_new(&store);
        commit(&store, &export()).unwrap();
        is_new(&store);
        assert_eq!(resume(&store), Replaced::default());
    }

    /// The power goes when the journal is there and so many of the others.
    #[test]
    fn what_was_decided_is_completed_from_wherever_it_was() {
        let export = export();
        for done in 0..=contents(&export).count() {
            for staged in [false, true] {
                let (_dir, store) = volume();
                store.write(JOURNAL, export.text().unwrap().as_bytes()).unwrap();
                for (at, (name, content)) in contents(&export).enumerate() {
                    match at < done {
                        true => store.write(name, content).unwrap(),
                        false if staged => store.stage(name, content).unwrap(),
                        false => {}
                    }
                }
                let told = resume(&store).taken.unwrap();
                assert!(
                    told.starts_with("the import of lb, made then was completed"),
                    "{told}"
                );
                is_new(&store);
            }
        }
    }

    /// Before it is decided, nothing of it counts.
    #[test]
    fn what_was_not_decided_changes_nothing() {
        let export = export();
        let (_dir, store) = volume();
        contents(&export).for_each(|(name, content)| store.stage(name, content).unwrap());
        store.stage(JOURNAL, export.text().unwrap().as_bytes()).unwrap();
        assert_eq!(resume(&store), Replaced::default());
        is_old(&store);
    }

    #[test]
    fn a_disk_that_refuses_changes_nothing() {
        // A directory in the place of a temporary file makes the write fail, also for root.
        for refused in [
            ".client.key.new",
            ".drains.toml.new",
            ".lb.toml.new",
            "..import.new",
        ] {
            let (dir, store) = volume();
            fs::create_dir(dir.path().join(refused)).unwrap();
            let said = commit(&store, &export()).unwrap_err();
            assert!(said.starts_with("nothing was changed: cannot write"), "{said}");
            is_old(&store);
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), OLD.len() + 1);
        }
    }

    #[test]
    fn a_damaged_journal_is_told_and_set_aside() {
        let (_dir, store) = volume();
        let text = export().text().unwrap().replace("|new", "|nex");
        store.write(JOURNAL, text.as_bytes()).unwrap();
        let told = resume(&store).problem.unwrap();
        assert!(
            told.contains("is damaged, line ") && told.contains("import it again"),
            "{told}"
        );
        is_old(&store);
        assert_eq!(resume(&store), Replaced::default());
    }
}
