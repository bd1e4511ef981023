//! What a start uses, rung by rung.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use super::*;

fn text(mark: &str) -> String {
    format!("# {mark}\n[[interface]]\nname = \"eth0\"\naddresses = [\"192.0.2.1/24\"]\n")
}

/// The bootctl partition with a record of this text.
fn write_mirror(path: &Path, payload: &[u8]) {
    let mut partition = vec![0; 2 * mirror::SLOT_BYTES];
    for (slot, magic) in mirror::SLOT_MAGIC.iter().enumerate() {
        partition[slot * mirror::SLOT_BYTES..][..magic.len()].copy_from_slice(magic);
    }
    let mut partition = Cursor::new(partition);
    mirror::write_next(&mut partition, &mut Cursor::new(payload), |_| Ok(())).unwrap();
    std::fs::write(path, partition.into_inner()).unwrap();
}

/// A machine on which every rung has a text of its own.
fn machine() -> (tempfile::TempDir, Store, Places) {
    let dir = tempfile::tempdir().unwrap();
    let places = Places {
        config: dir.path().join("config"),
        runtime: dir.path().join("run"),
        sample: PathBuf::new(),
        mirror: Some(dir.path().join("bootctl")),
    };
    for directory in [&places.config, &places.runtime] {
        std::fs::create_dir(directory).unwrap();
    }
    let store = Store::new(places.config.clone());
    store.write(CONFIG_FILE, text("file").as_bytes()).unwrap();
    store.write(APPLIED_FILE, text("applied").as_bytes()).unwrap();
    write_mirror(&dir.path().join("bootctl"), text("mirror").as_bytes());
    for mark in ["older", "newest"] {
        Archive::beside(&store)
            .record(&mut Cursor::new(text(mark)), &Change::boot())
            .unwrap();
    }
    (dir, store, places)
}

/// From `source`, with this text, and told in these words.
fn assert_rung(store: &Store, places: &Places, source: ConfigSource, mark: &str, words: &[&str]) {
    let loaded = load(store, places);
    assert_eq!(loaded.source, source);
    assert_eq!(loaded.mark, Some(config::fingerprint(text(mark).as_bytes())));
    let told = loaded.problems.join("\n");
    for word in words {
        assert!(told.contains(word), "{told}");
    }
    assert_eq!(told.is_empty(), words.is_empty(), "{told}");
}

/// Each rung is taken away, or gets a fault, and the next one holds. What is told names it.
#[test]
fn every_rung_holds_when_those_above_it_do_not() {
    for damage in [None, Some(&b"hostnam = 1\n"[..]), Some(b"\xff\xfe")] {
        let (dir, store, places) = machine();
        let spoil = |path: PathBuf| match damage {
            Some(bytes) => std::fs::write(path, bytes).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        };
        let top = match damage {
            Some(_) => "lb.toml has faults and is not used; `config check` shows them",
            None => "lb.toml is missing; `config put` writes a new one",
        };
        assert_rung(&store, &places, ConfigSource::File, "file", &[]);
        spoil(store.path(CONFIG_FILE));
        let words = [top, "the last one that was applied successfully"];
        assert_rung(&store, &places, ConfigSource::LastApplied, "applied", &words);
        spoil(store.path(APPLIED_FILE));
        let words = [top, "the copy outside the config volume"];
        assert_rung(&store, &places, ConfigSource::Mirror, "mirror", &words);
        match damage {
            Some(bytes) => write_mirror(&dir.path().join("bootctl"), bytes),
            None => std::fs::remove_file(dir.path().join("bootctl")).unwrap(),
        }
        let words = [top, "the newest one of the history that can be used"];
        assert_rung(&store, &places, ConfigSource::History, "newest", &words);
        spoil(store.path("history/000002.toml"));
        assert_rung(&store, &places, ConfigSource::History, "older", &words);
        spoil(store.path("history/000001.toml"));
        let loaded = load(&store, &places);
        assert_eq!((loaded.source, loaded.mark), (ConfigSource::None, None));
        assert!(loaded.config.is_none(), "no fallback has addresses of its own");
        let told = loaded.problems.join("\n");
        assert!(
            told.contains("no addresses, no services, no forwarding"),
            "{told}"
        );
    }
}

/// Bits that have turned in every place are no configuration: none is used that is not whole.
#[test]
fn a_record_that_is_torn_is_no_rung() {
    let (dir, store, places) = machine();
    store.remove(CONFIG_FILE).unwrap();
    store.remove(APPLIED_FILE).unwrap();
    let path = dir.path().join("bootctl");
    let mut partition = std::fs::read(&path).unwrap();
    let payload = mirror::slot_of(1) * mirror::SLOT_BYTES + 2 * mirror::SECTOR;
    partition[payload] ^= 1;
    std::fs::write(&path, partition).unwrap();
    let words = ["the newest one of the history that can be used"];
    assert_rung(&store, &places, ConfigSource::History, "newest", &words);
}

/// Anything that was left of a configuration, usable or not, and a volume that forgets, are no first contact.
#[test]
fn a_first_contact_is_a_machine_that_never_had_anything() {
    let empty = || {
        let (dir, store, places) = machine();
        std::fs::remove_dir_all(&places.config).unwrap();
        std::fs::create_dir(&places.config).unwrap();
        std::fs::remove_file(dir.path().join("bootctl")).unwrap();
        (dir, store, places)
    };
    let first = |store: &Store, places: &Places| load(store, places).first_contact;
    let (_dir, store, places) = machine();
    assert!(!first(&store, &places));
    let (_dir, store, places) = empty();
    assert!(first(&store, &places));
    assert!(
        first(&store, &places),
        "the sample that the first start has left is no configuration"
    );
    for name in [CONFIG_FILE, APPLIED_FILE] {
        let (_dir, store, places) = empty();
        std::fs::write(store.path(name), "hostnam = 1\n").unwrap();
        assert!(!first(&store, &places), "{name}");
    }
    let (dir, store, places) = empty();
    write_mirror(&dir.path().join("bootctl"), text("mirror").as_bytes());
    assert!(!first(&store, &places));
    let (_dir, store, places) = empty();
    let mut text = Cursor::new(text("of the history"));
    Archive::beside(&store)
        .record(&mut text, &Change::boot())
        .unwrap();
    assert!(!first(&store, &places));
    let (_dir, store, places) = empty();
    let init = lb_core::control::InitReport {
        config_volume: lb_core::control::VolumeReport {
            state: lb_core::control::VolumeState::Memory,
            detail: "the disk did not answer".to_owned(),
        },
        ..Default::default()
    };
    let note = serde_json::to_vec(&init).unwrap();
    std::fs::write(places.runtime.join("init.json"), note).unwrap();
    assert!(
        !first(&store, &places),
        "what was there in the boot before is not known"
    );
}
