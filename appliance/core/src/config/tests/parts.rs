//! A text read service by service gives what the text read as a whole gives: the same configuration, the same faults.

use std::path::Path;

use proptest::prelude::*;

use super::property::{config, piece, written};
use super::*;

fn same_both_ways(text: &str) -> Result<bool, TestCaseError> {
    let Some(by_parts) = in_parts(text) else {
        return Ok(false);
    };
    prop_assert_eq!(by_parts, parse_whole(text), "{}", text);
    Ok(true)
}

fn in_parts(text: &str) -> Option<Result<Config, Faults>> {
    let read = crate::config::parts::parse(text, None)?;
    Some(read.map(|(config, _)| config))
}

/// With a text that was read before, whatever it was.
fn same_afterwards(before: &str, text: &str) -> Result<(), TestCaseError> {
    let anew = parse_after(text, None);
    if let Ok((config, parts)) = parse_after(before, None) {
        prop_assert_eq!(
            parse_after(text, Some((&parts, &config))),
            anew,
            "{}\n{}",
            before,
            text
        );
    }
    Ok(())
}

#[test]
fn every_file_of_the_tests_reads_the_same() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/configs");
    let mut in_parts = 0;
    for kind in ["good", "bad"] {
        for entry in std::fs::read_dir(configs.join(kind)).unwrap().flatten() {
            let bytes = std::fs::read(entry.path()).unwrap();
            if let Ok(text) = std::str::from_utf8(&bytes) {
                in_parts += usize::from(same_both_ways(text).unwrap());
            }
        }
    }
    assert!(in_parts > 20, "{in_parts} files");
}

/// Tables of services that are not where they belong, or something else at the same time.
#[test]
fn texts_that_are_not_made_of_parts_are_read_as_a_whole() {
    for text in [
        "virtual_server = []\n[[virtual_server]]\nname = \"a\"\n",
        "virtual_server.name = 1\n[[virtual_server]]\nname = \"a\"\n",
        "[virtual_server]\nname = \"a\"\n[[virtual_server]]\n",
        "[[virtual_server]]\n[[interface]]\n[virtual_server.check]\ninterval = \"3s\"\n",
        "[[virtual_server]]\n[\"virtual_server\".check]\ninterval = \"3s\"\n",
        "[[virtual_server]]\n[[\"virtual_server\"]]\n",
        "[[virtual_server]]\nname = \"\"\"\n[[virtual_server]]\n\"\"\"\n",
    ] {
        assert_eq!(in_parts(text), None, "{text}");
        assert!(parse(text).is_err());
    }
}

#[test]
fn a_fault_has_its_place_in_the_file() {
    let text = "[[virtual_server]]\nname = \"a\"\nlisten = \"10.0.0.1:80\"\n\n[[interface]]\nname = \"e\"\n\
                addresses = [\"10.0.0.1/24\"]\n[[virtual_server]]\nname = \"a\"\nlisten = \"10.0.0.1:81\"\n\
                listen = \"10.0.0.1:82\"\ncolour = 1\nscheduler = x\n";
    let found = faults(text);
    assert_eq!(
        found,
        [
            "9:8 the service name `a` is there twice",
            "11:1 `listen` is given twice",
            "12:1 unknown key `colour` in [[virtual_server]]",
            "13:13 `x` is text without quotes",
        ]
    );
    assert!(same_both_ways(text).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.min(64), ..ProptestConfig::default() })]

    #[test]
    fn valid_files_read_the_same(config in config()) {
        let text = written(&config);
        let in_parts = same_both_ways(&text)?;
        prop_assert_eq!(in_parts, !config.virtual_servers.is_empty());
    }

    /// Lines are lost, there twice, moved, and broken.
    #[test]
    fn damaged_files_read_the_same(
        config in config(),
        damage in prop::collection::vec((0u8..5, any::<prop::sample::Index>(), any::<prop::sample::Index>(), piece()), 1..6),
    ) {
        let text = written(&config);
        let mut lines: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
        for (kind, at, other, piece) in damage {
            let (at, other) = (at.index(lines.len()), other.index(lines.len()));
            match kind {
                0 => lines[at].clear(),
                1 => lines.insert(at, lines[other].clone()),
                2 => lines.swap(at, other),
                3 => lines.insert(at, piece),
                _ => lines[at].insert_str(0, &piece),
            }
        }
        same_both_ways(&lines.concat())?;
        same_afterwards(&text, &lines.concat())?;
    }

    /// Services of two files in one, which may have names and addresses in common.
    #[test]
    fn what_was_read_before_makes_no_difference(one in config(), other in config(), order in any::<u64>()) {
        let text = written(&one);
        let mut mixed = one.clone();
        mixed.virtual_servers.extend(other.virtual_servers);
        let services = mixed.virtual_servers.len().max(1) as u64;
        mixed.virtual_servers.rotate_left((order % services) as usize);
        same_afterwards(&text, &written(&mixed))?;
        same_afterwards(&written(&mixed), &text)?;
        same_afterwards(&text, &text)?;
    }

    #[test]
    fn any_pieces_read_the_same(pieces in prop::collection::vec(piece(), 0..40)) {
        same_both_ways(&format!("[[virtual_server]]\n{}", pieces.concat()))?;
    }
}
