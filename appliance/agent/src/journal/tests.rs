//! When an import counts, and that nothing is left of it, wherever it ends.

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
    assert_eq!(commit(&store, &export()).unwrap(), None);
    is_new(&store);
    assert_eq!(commit(&store, &export()).unwrap(), None);
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
    let others = [
        ".console.password.new",
        ".lb.draft.ttyS0.toml.new",
        "..factory-reset.new",
    ];
    others
        .iter()
        .for_each(|name| store.write_by(name, |_| Ok(())).unwrap());
    assert_eq!(resume(&store), Replaced::default());
    is_old(&store);
    // Nor do its keys stay; what `applctl` may be writing does.
    let left = fs::read_dir(store.path("")).unwrap().count();
    assert_eq!(left, OLD.len() + others.len());
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
        let said = commit(&store, &export()).unwrap_err().message;
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

#[test]
fn no_file_takes_the_place_of_a_directory() {
    for name in ["ca.pem", "client.key", CONFIG_FILE, DRAINS_FILE] {
        let (dir, store) = volume();
        let _ = fs::remove_file(dir.path().join(name));
        fs::create_dir(dir.path().join(name)).unwrap();
        let before = fs::read_dir(dir.path()).unwrap().count();
        let said = commit(&store, &export()).unwrap_err().message;
        assert!(
            said.starts_with("nothing was changed: ") && said.contains("is a directory"),
            "{said}"
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), before);
    }
}

/// Decided, with all of it staged.
fn decided() -> (tempfile::TempDir, Store) {
    let (dir, store) = volume();
    let export = export();
    contents(&export).for_each(|(name, content)| store.stage(name, content).unwrap());
    store.write(JOURNAL, export.text().unwrap().as_bytes()).unwrap();
    (dir, store)
}

/// Nothing but what was there before.
fn nothing_else(store: &Store) {
    is_old(store);
    assert_eq!(fs::read_dir(store.path("")).unwrap().count(), OLD.len());
}

/// So many names have changed when the disk fails.
#[test]
fn an_import_that_fails_half_way_goes_back_whole() {
    let export = export();
    for done in 0..=contents(&export).count() + 2 {
        let (_dir, store) = decided();
        store.write(PENDING_FILE, b"new = 1\n").unwrap();
        store.write(PENDING, b"text").unwrap();
        let mut back = Back::default();
        let mut steps = 0;
        let put = put(&store, &export, |name| {
            let refused = StoreError::Full {
                path: store.path(name),
            };
            steps += 1;
            if steps > done {
                Err(refused)
            } else {
                back.keep(&store, name)
            }
        });
        assert_eq!(put.is_ok(), done >= contents(&export).count() + 2);
        let failed = undone(&store, &export, back, "EIO");
        assert_eq!(failed.message, "nothing was changed: EIO");
        // What is on trial is so still.
        for name in [PENDING_FILE, PENDING] {
            store.remove(name).unwrap();
        }
        nothing_else(&store);
    }
}

#[test]
fn what_cannot_go_back_is_told_and_goes_on_with_the_next_start() {
    let (dir, store) = decided();
    let mut back = Back::default();
    put(&store, &export(), |name| back.keep(&store, name)).unwrap();
    // No file takes the place of a directory.
    fs::remove_file(dir.path().join("ca.pem")).unwrap();
    fs::create_dir(dir.path().join("ca.pem")).unwrap();
    let mut failed = undone(&store, &export(), back, "EIO");
    assert!(
        failed.message.starts_with(
            "the import is not complete: EIO; ca.pem of the import cannot be taken back: cannot write"
        ) && failed.message.contains("the next start goes on with it"),
        "{}",
        failed.message
    );
    assert!(stays(&store) && store.holds(CONFIG_FILE, b"old = 1\n"));
    // It is tried again when what was on trial returns.
    fs::remove_dir(dir.path().join("ca.pem")).unwrap();
    assert_eq!(failed.back.go(&store), Ok(()));
    assert_eq!(withdraw(&store), Ok(()));
    nothing_else(&store);
    // The journal cannot be removed.
    let (dir, store) = volume();
    fs::create_dir(dir.path().join(JOURNAL)).unwrap();
    let said = undone(&store, &export(), Back::default(), "EIO").message;
    assert!(
        said.contains("its journal stays") && said.contains("the next start goes on with it"),
        "{said}"
    );
    let said = clear(&store).unwrap_err();
    assert!(
        said.starts_with("the import is complete, but its journal stays"),
        "{said}"
    );
    let said = instead(&store, || -> Result<(), ()> {
        panic!("nothing is to be changed")
    })
    .unwrap_err();
    assert!(said.contains("cannot be given up"), "{said}");
}

#[test]
fn what_is_written_of_the_journal_does_not_stay_when_it_fails() {
    let (_dir, store) = volume();
    let text = export().text().unwrap();
    store.write(JOURNAL, text.as_bytes()).unwrap();
    assert_eq!(undecided(&store, &text, "EIO"), "nothing was changed: EIO");
    assert!(!stays(&store));
    // One that was there before is not this one.
    store.write(JOURNAL, b"another").unwrap();
    assert_eq!(undecided(&store, &text, "EIO"), "nothing was changed: EIO");
    assert!(stays(&store));
}

#[test]
fn what_comes_later_gives_it_up_and_what_fails_keeps_it() {
    let (_dir, store) = decided();
    let (changed, told) = instead(&store, || Err::<(), _>("no room")).unwrap();
    assert_eq!((changed, told), (Err("no room"), None));
    assert!(is_there(&store, JOURNAL) && !is_there(&store, ASIDE));
    // The power goes in between.
    store.rename(JOURNAL, ASIDE).unwrap();
    assert!(stays(&store));
    assert!(resume(&store).taken.is_some());
    is_new(&store);
    let (_dir, store) = decided();
    let (changed, told) = instead(&store, || Ok::<_, ()>(1)).unwrap();
    assert_eq!((changed, told.as_deref()), (Ok(1), Some(GIVEN_UP)));
    assert_eq!(instead(&store, || Ok::<_, ()>(1)), Ok((Ok(1), None)));
    assert_eq!(resume(&store), Replaced::default());
    nothing_else(&store);
    // One that was to be given up does not come after a later one.
    let (_dir, store) = decided();
    store.rename(JOURNAL, ASIDE).unwrap();
    let mut later = export();
    later.configuration = "later = 1\n".to_owned();
    store.write(JOURNAL, later.text().unwrap().as_bytes()).unwrap();
    assert!(resume(&store).taken.is_some());
    assert_eq!(resume(&store), Replaced::default());
    assert!(store.holds(CONFIG_FILE, b"later = 1\n"));
}

/// It is whole, and only a later version knows what it is.
#[test]
fn a_journal_of_another_version_is_left_alone() {
    let (_dir, store) = decided();
    let text = export().text().unwrap().replacen("lb-export 1", "lb-export 2", 1);
    store.write(JOURNAL, text.as_bytes()).unwrap();
    for _ in 0..2 {
        let told = resume(&store).problem.unwrap();
        assert!(
            told.starts_with(NOT_COMPLETE)
                && told.contains("is of another version, and is left alone")
                && told.contains("`config apply` gives it up"),
            "{told}"
        );
        is_old(&store);
        assert!(store.holds(JOURNAL, text.as_bytes()));
        assert!(store.is_staged("client.key"), "what it has staged stays");
    }
    let said = refusal(&store).unwrap_err();
    assert!(
        said.starts_with("nothing was changed: another import waits; it is of another version"),
        "{said}"
    );
    assert!(instead(&store, || Ok::<_, ()>(())).unwrap().1.is_some());
    assert_eq!(refusal(&store), Ok(()));
    resume(&store);
    nothing_else(&store);
}

/// A full volume has no room for a second copy.
#[test]
fn a_start_uses_what_is_staged_already() {
    use std::os::unix::fs::MetadataExt;
    let (dir, store) = decided();
    let number = |name: &str| fs::metadata(dir.path().join(name)).unwrap().ino();
    let staged = number(".lb.toml.new");
    fs::create_dir(dir.path().join("client.key")).unwrap();
    let told = resume(&store).problem.unwrap();
    assert!(
        told.starts_with(NOT_COMPLETE) && told.contains("goes on with it"),
        "{told}"
    );
    assert_eq!(number(".lb.toml.new"), staged);
    fs::remove_dir(dir.path().join("client.key")).unwrap();
    assert!(resume(&store).taken.is_some());
    is_new(&store);
    assert_eq!(number(CONFIG_FILE), staged);
}
