//! A short run of each target with a fixed seed, and proof that a run finds what goes wrong.

mod lines;

use std::path::Path;
use std::time::{Duration, Instant};

use lb_fuzz::run::{Run, Target, write_found};
use lb_fuzz::targets;

const SEED: u64 = 1;

/// For about two seconds, but no less than so many inputs, however slow the machine is.
fn short(name: &str, least: u64) {
    let target = targets::ALL
        .iter()
        .find(|target| target.name == name)
        .expect("the target is there");
    let mut run = Run::new(target, SEED).expect("the corpus can be read");
    let mut found = run.entries();
    let begun = Instant::now();
    let mut index = 0;
    while index < least || begun.elapsed() < Duration::from_secs(2) {
        found.extend(run.one(index));
        index += 1;
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("found").join(name);
    for found in &found {
        write_found(&directory, found).expect("the repository can be written");
    }
    let told: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{}: {}", directory.display(), told.join("\n"));
}

#[test]
fn file() {
    short("file", 200);
}

#[test]
fn control() {
    short("control", 2_000);
}

#[test]
fn keepalived() {
    short("keepalived", 200);
}

#[test]
fn haproxy() {
    short("haproxy", 200);
}

#[test]
fn capture() {
    short("capture", 2_000);
}

#[test]
fn mirror() {
    short("mirror", 200);
}

#[test]
fn password() {
    short("password", 2_000);
}

#[test]
fn export() {
    short("export", 500);
}

#[test]
fn seed() {
    short("seed", 500);
}

#[test]
fn a_panic_is_found_once_and_again_by_its_seed_and_number() {
    let target = Target {
        judge: |input| {
            let text = String::from_utf8_lossy(input);
            assert!(!text.contains("65536"), "no port");
            Ok(())
        },
        ..lines::target()
    };
    let mut run = Run::new(&target, SEED).unwrap();
    let found: Vec<_> = (0..10_000).filter_map(|index| run.one(index)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].why.contains("short.rs") && found[0].why.contains("no port"),
        "{found:?}"
    );
    assert!(run.repeated > 0);
    let again = Run::new(&target, SEED)
        .unwrap()
        .one(found[0].index.unwrap())
        .unwrap();
    assert_eq!(again.input, found[0].input);
}

#[test]
fn every_kind_of_damage_is_done_and_another_seed_gives_other_inputs() {
    let target = Target {
        judge: |input| Err(String::from_utf8_lossy(input).into_owned()),
        ..lines::target()
    };
    let inputs = |seed| {
        let mut run = Run::new(&target, seed).unwrap();
        (0..2_000)
            .filter_map(|index| run.one(index))
            .map(|found| found.input)
            .collect::<Vec<_>>()
    };
    let (first, second) = (inputs(1), inputs(2));
    assert!(first.len() > 50 && first != second);
    let has = |word: &str| {
        first
            .iter()
            .any(|input| String::from_utf8_lossy(input).contains(word))
    };
    assert!(has("interface") && has("mtu = 1500\nmtu = 1500\n") && has("65536") && has("\u{fffd}"));
}
