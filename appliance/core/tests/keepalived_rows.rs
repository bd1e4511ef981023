//! docs/keepalived.md names a test for each of its rows: each of them exists, once at least, as a test or as a story.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const ROWS: &str = include_str!("../../../docs/keepalived.md");

/// The stories that are told to a virtual machine: `Story::new("NAME", ...)`.
fn stories(found: &mut BTreeSet<String>) {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/e2e/tests/stories/main.rs");
    let text = fs::read_to_string(list).unwrap();
    let behind = text.split("Story::new(").skip(1);
    found.extend(
        behind
            .filter_map(|rest| rest.split('"').nth(1))
            .map(str::to_owned),
    );
}

/// The functions below a directory that are tests.
fn tests(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" {
            tests(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let behind = text.split("#[test]\n").skip(1);
            let names = behind.filter_map(|rest| rest.trim_start().strip_prefix("fn ")?.split('(').next());
            found.extend(names.map(str::to_owned));
        }
    }
}

#[test]
fn every_row_has_a_test_that_exists() {
    let appliance = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut known = BTreeSet::new();
    tests(appliance, &mut known);
    stories(&mut known);
    let mut rows = 0;
    for line in ROWS
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| keepalived |"))
    {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        let [_, here, named] = cells.as_slice() else {
            panic!("three cells: {line}");
        };
        assert!(!here.trim().is_empty(), "{line}");
        let names: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        let is_left_out = here.contains("none, since");
        assert!(!names.is_empty() || is_left_out, "no test: {line}");
        for name in names {
            rows += 1;
            assert!(known.contains(name), "there is no test {name}: {line}");
        }
    }
    assert!(rows >= 50, "only {rows} tests are named");
}
