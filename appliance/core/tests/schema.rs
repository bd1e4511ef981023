//! docs/lb.schema.json is what the registry says, and takes what the reader takes. UPDATE_GOLDEN=1 writes it anew; read the
//! difference before it is committed.

#[path = "schema/make.rs"]
mod make;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use lb_core::config::keys::places;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn validator() -> Validator {
    jsonschema::draft7::new(&make::schema()).expect("it is a schema")
}

/// As JSON; `None` for what is no TOML.
fn document(text: &str) -> Option<Value> {
    let table: toml::Table = text.parse().ok()?;
    serde_json::to_value(table).ok()
}

fn faults(validator: &Validator, text: &str) -> Vec<String> {
    let document = document(text).expect("it is TOML");
    let faults = validator.iter_errors(&document);
    faults
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect()
}

fn files(kind: &str) -> Vec<(String, Vec<u8>)> {
    let paths = lb_configs::files(kind, "toml").expect("they can be listed");
    let read = |path: &PathBuf| (lb_configs::name(path), fs::read(path).expect("it was listed"));
    paths.iter().map(read).collect()
}

#[test]
fn the_file_is_what_the_registry_says() {
    let made = serde_json::to_string_pretty(&make::schema()).unwrap() + "\n";
    let path = root().join("docs/lb.schema.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &made).unwrap();
        return;
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == made,
        "UPDATE_GOLDEN=1 writes it"
    );
}

#[test]
fn it_is_a_schema_of_draft_7() {
    assert!(jsonschema::draft7::meta::is_valid(&make::schema()));
}

#[test]
fn good_files_fit() {
    let validator = validator();
    let mut count = 0;
    for (name, bytes) in files("good") {
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(faults(&validator, &text), Vec::<String>::new(), "{name}");
        count += 1;
    }
    assert!(count >= 13, "{count}");
    let sample = fs::read_to_string(root().join("overlay/usr/share/lb/lb.toml.sample")).unwrap();
    assert!(sample.starts_with("#:schema ./lb.schema.json\n"));
    assert_eq!(faults(&validator, &sample), Vec::<String>::new());
}

#[test]
fn examples_of_all_keys_and_those_of_the_guide_fit() {
    let validator = validator();
    let guide = fs::read_to_string(root().join("docs/guide.md")).unwrap();
    let blocks = guide
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```"));
    // Most of the guide's begin within a service.
    let mut texts: Vec<String> = blocks
        .map(|(block, _)| match block.starts_with("[[") {
            true => block.to_owned(),
            false => format!("[[virtual_server]]\n{block}"),
        })
        .collect();
    assert!(texts.len() >= 8);
    texts.extend(
        places()
            .iter()
            .map(|place| format!("{}\n{}", place.table.header, place.key.example)),
    );
    for text in texts {
        // A part of a file lacks what stands elsewhere.
        let part = text.replace(
            "[[virtual_server.real_server]]",
            "[[virtual_server]]\n[[virtual_server.real_server]]",
        );
        let part = part.replace(
            "[virtual_server.sorry_server]",
            "[[virtual_server]]\n[virtual_server.sorry_server]",
        );
        let document = document(&part).unwrap_or_else(|| panic!("{part}"));
        for fault in validator.iter_errors(&document) {
            let lacks = matches!(fault.kind(), ValidationErrorKind::Required { .. });
            assert!(lacks, "{fault}\n{part}");
        }
    }
}

/// Bad files that fit, by what a schema cannot see.
const UNSEEN: [(&str, &[&str]); 5] = [
    (
        "what an address is to its network, or that it is none of a host",
        &[
            "address-is-broadcast",
            "address-is-network",
            "address-leading-zeros",
            "address-link-local",
            "address-loopback",
        ],
    ),
    (
        "what another part of the file says",
        &[
            "family-mismatch",
            "gateway-not-on-link",
            "listen-not-owned",
            "masquerade-out",
            "server-is-the-service",
        ],
    ),
    (
        "what is there twice, overlaps, or stands on itself",
        &[
            "address-twice",
            "default-route-twice",
            "interface-twice",
            "links-circle",
            "listen-twice",
            "listen-twice-in-ports",
            "networks-overlap",
            "route-to-a-network-of-its-own",
            "route-twice",
            "server-twice",
        ],
    ),
    (
        "keys that need or exclude each other",
        &[
            "check-agent",
            "check-alias-and-key",
            "check-endpoints",
            "check-icmp-port",
            "check-jitter",
            "check-key-of-other-kind",
            "check-kind-of-udp",
            "check-list-of-udp",
            "check-trust",
            "interface-nameless",
            "one-packet",
        ],
    ),
    ("bytes that are no text", &["utf8-invalid"]),
];

#[test]
fn bad_files_do_not_fit_but_for_what_no_schema_sees() {
    let validator = validator();
    let (mut no_toml, mut seen, mut unseen) = (0, 0, BTreeSet::new());
    for (name, bytes) in files("bad") {
        match document(&String::from_utf8_lossy(&bytes)) {
            None => no_toml += 1,
            Some(document) if validator.is_valid(&document) => drop(unseen.insert(name)),
            Some(_) => seen += 1,
        }
    }
    let known: BTreeSet<String> = UNSEEN
        .iter()
        .flat_map(|(_, names)| *names)
        .map(|name| (*name).to_owned())
        .collect();
    assert_eq!(unseen, known);
    assert!(
        no_toml >= 10 && seen >= 45,
        "{no_toml} are no TOML, {seen} do not fit"
    );
}
