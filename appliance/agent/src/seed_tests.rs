//! Which seeds are taken, and that nothing is left of one that is not.

use std::fs;

use super::*;
use lb_core::history;

const TEXT: &str = "[[interface]]\nname = \"eth0\"\naddresses = [\"192.0.2.1/24\"]\n";
const WITH_FILE: &str = "[[interface]]\nname = \"eth0\"\naddresses = [\"192.0.2.1/24\"]\n[[virtual_server]]\nname = \"web\"\n\
    listen = \"192.0.2.1:443\"\ncheck = { type = \"tls\", ca = \"ca.pem\" }\n\
    [[virtual_server.real_server]]\naddress = \"192.0.2.9:443\"\n";

struct Machine {
    _dir: tempfile::TempDir,
    store: Store,
    places: Places,
}

fn machine() -> Machine {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config");
    fs::create_dir(&config).unwrap();
    let places = Places {
        config: config.clone(),
        runtime: dir.path().join("run"),
        sample: dir.path().join("sample"),
        mirror: None,
    };
    Machine {
        _dir: dir,
        store: Store::new(config),
        places,
    }
}

impl Machine {
    /// As init does it.
    fn lay_down(&self, files: &[(&str, &str)]) {
        let directory = self.places.runtime.join(DIRECTORY);
        fs::create_dir_all(directory.join(FILES)).unwrap();
        for (name, content) in files {
            fs::write(directory.join(FILES).join(name), content).unwrap();
        }
        let note = SeedNote {
            source: "the test".to_owned(),
        };
        fs::write(directory.join(NOTE), serde_json::to_vec(&note).unwrap()).unwrap();
    }

    fn boot(&self, files: &[(&str, &str)]) -> Replaced {
        self.lay_down(files);
        let sown = take(&self.store, &self.places);
        assert!(!self.places.runtime.join(DIRECTORY).exists());
        sown
    }

    fn config(&self) -> Option<String> {
        let bytes = self.store.read(CONFIG_FILE).unwrap();
        bytes.map(|bytes| String::from_utf8(bytes).unwrap())
    }
}

#[test]
fn a_first_boot_takes_it_with_the_files_that_it_names() {
    let machine = machine();
    let files = [
        ("lb.toml", WITH_FILE),
        ("ca.pem", "a certificate"),
        ("lb.applied.toml", "evil"),
    ];
    let sown = machine.boot(&files);
    assert_eq!(
        sown.taken.as_deref(),
        Some("lb.toml with 1 file was taken from the test (first boot)")
    );
    assert_eq!(sown.change.unwrap().why, "first boot: the test");
    assert_eq!(machine.config().as_deref(), Some(WITH_FILE));
    assert_eq!(machine.store.read("ca.pem").unwrap().unwrap(), b"a certificate");
    assert!(!machine.store.path(APPLIED_FILE).exists());
    assert!(take(&machine.store, &machine.places).taken.is_none());
}

#[test]
fn a_machine_with_a_configuration_keeps_it() {
    for existing in [CONFIG_FILE, APPLIED_FILE] {
        let machine = machine();
        fs::write(machine.store.path(existing), "whatever it is").unwrap();
        let sown = machine.boot(&[("lb.toml", TEXT)]);
        assert!(sown.taken.is_none() && sown.problem.is_none());
        assert_ne!(machine.config().as_deref(), Some(TEXT));
    }
    let machine = machine();
    let mut text = std::io::Cursor::new(b"old");
    let change = Change::boot();
    Archive::beside(&machine.store)
        .record(&mut text, &change)
        .unwrap();
    assert!(machine.store.path(history::DIRECTORY).exists());
    assert!(machine.boot(&[("lb.toml", TEXT)]).taken.is_none());
}

#[test]
fn always_means_at_every_boot() {
    let machine = machine();
    fs::write(machine.store.path(CONFIG_FILE), "an older one").unwrap();
    let always = format!("#:seed always\n{TEXT}");
    let sown = machine.boot(&[("lb.toml", &always)]);
    assert!(sown.taken.unwrap().ends_with("(always)"));
    assert_eq!(machine.config(), Some(always.clone()));
    // Nothing is new, so nothing is told.
    assert!(machine.boot(&[("lb.toml", &always)]).taken.is_none());
}

#[test]
fn of_a_seed_with_a_fault_nothing_is_taken_and_the_place_is_told() {
    let machine = machine();
    for (text, told) in [
        ("hostnam = \"lb\"\n", "lb.toml of the test, line 1, column 1: "),
        ("hostname = \"lb\"\n", "lb.toml of the test has no [[interface]]"),
        (
            "#:seed often\n",
            "lb.toml of the test, line 1: `#:seed often` is not known",
        ),
    ] {
        let sown = machine.boot(&[("lb.toml", text), ("ca.pem", "a certificate")]);
        let problem = sown.problem.unwrap();
        assert!(
            problem.starts_with(&format!("the seed is not taken: {told}")),
            "{problem}"
        );
        assert_eq!(fs::read_dir(&machine.places.config).unwrap().count(), 0);
    }
    assert!(machine.boot(&[]).problem.unwrap().contains("lb.toml of the test"));
}

#[test]
fn a_volume_that_forgets_does_not_know_a_first_boot() {
    let machine = machine();
    fs::create_dir(&machine.places.runtime).unwrap();
    let init = lb_core::control::InitReport {
        config_volume: lb_core::control::VolumeReport {
            state: VolumeState::Memory,
            detail: "the disk did not answer within 30 s".to_owned(),
        },
        ..Default::default()
    };
    fs::write(
        machine.places.runtime.join("init.json"),
        serde_json::to_vec(&init).unwrap(),
    )
    .unwrap();
    let problem = machine.boot(&[("lb.toml", TEXT)]).problem.unwrap();
    assert!(
        problem.ends_with("cannot be known: the disk did not answer within 30 s"),
        "{problem}"
    );
    let always = format!("#:seed always\n{TEXT}");
    assert!(machine.boot(&[("lb.toml", &always)]).taken.is_some());
}

/// It was decided before, and a start could not complete it.
#[test]
fn a_seed_gives_up_an_import_that_is_not_complete() {
    let machine = machine();
    machine
        .store
        .write(lb_core::export::JOURNAL, b"an export")
        .unwrap();
    // It is a configuration of this machine.
    assert_eq!(machine.boot(&[(CONFIG_FILE, TEXT)]), Replaced::default());
    assert!(journal::stays(&machine.store));
    let always = format!("#:seed always\n{TEXT}");
    assert!(machine.boot(&[(CONFIG_FILE, &always)]).taken.is_some());
    assert!(!journal::stays(&machine.store));
}

#[test]
fn no_file_of_a_seed_takes_the_place_of_the_history() {
    let machine = machine();
    let text = WITH_FILE.replace("ca.pem", "history");
    machine.boot(&[(CONFIG_FILE, &text), ("history", "-----BEGIN CERTIFICATE-----")]);
    assert!(machine.config().is_some() && !machine.store.path("history").exists());
}
