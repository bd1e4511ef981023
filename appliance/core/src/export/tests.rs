use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const OWN: &str = "0.1.0";
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----\n";

fn export() -> Export {
    Export {
        origin: Origin {
            version: OWN.to_owned(),
            host: "lb".to_owned(),
            made: "2026-11-26 19:05:00 UTC".to_owned(),
        },
        configuration: "hostname = \"lb\"\n.\n\t# a tab, and \u{fc}\n".to_owned(),
        drains: "# Written by `drain` and `undrain`.\n".to_owned(),
        files: BTreeMap::from([
            ("ca.pem".to_owned(), CERTIFICATE.as_bytes().to_vec()),
            // Of another system: its line ends would not survive a terminal.
            (
                "client.key".to_owned(),
                PRIVATE.replace('\n', "\r\n").into_bytes(),
            ),
        ]),
        left_out: BTreeSet::from(["other.key".to_owned()]),
    }
}

fn fault(text: &str) -> Fault {
    read(text.as_bytes(), OWN).unwrap_err()
}

/// With the last line that belongs to what is before it.
fn sealed(body: &str) -> String {
    format!(
        "{body}end {} bytes, sha256 {}\n",
        body.len(),
        sha256(body.as_bytes())
    )
}

fn without_end(text: &str) -> &str {
    &text[..text.rfind("end ").unwrap()]
}

#[test]
fn the_text_is_plain_and_says_what_it_is() {
    let text = export().text().unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        &lines[..5],
        [
            "lb-export 1",
            "version 0.1.0",
            "host lb",
            "made 2026-11-26 19:05:00 UTC",
            "parts 5"
        ]
    );
    assert!(
        lines[5].starts_with("part configuration lb.toml text, 35 bytes, sha256 "),
        "{text}"
    );
    assert_eq!(
        &lines[6..9],
        ["|hostname = \"lb\"", "|.", "|\t# a tab, and \u{fc}"]
    );
    assert!(text.contains("\npart certificate ca.pem text, "), "{text}");
    assert!(text.contains("\npart key client.key base64, "), "{text}");
    assert!(text.contains("\nleft-out other.key\nend "), "{text}");
    // A paste ends with a line that holds one dot.
    assert!(lines.iter().all(|line| *line != "."));
    assert_eq!(read(text.as_bytes(), OWN), Ok(export()));
}

#[test]
fn no_text_that_is_cut_is_taken() {
    let text = export().text().unwrap();
    for end in 0..text.len() {
        assert!(read(&text.as_bytes()[..end], OWN).is_err(), "cut at {end}");
    }
    let behind = fault(&format!("{text}\n"));
    assert!(
        behind.line == text.lines().count() + 1 && behind.text.contains("behind"),
        "{behind}"
    );
}

#[test]
fn no_text_with_a_damaged_byte_is_taken() {
    let text = export().text().unwrap().into_bytes();
    for at in 0..text.len() {
        for other in [text[at] ^ 1, text[at] ^ 0x20, b'0', b'\n', b'|', b' ', 0xff] {
            let mut damaged = text.clone();
            damaged[at] = other;
            let read = read(&damaged, OWN);
            assert!(read.is_err() || other == text[at], "{other:#x} at {at}");
        }
        let mut shorter = text.clone();
        shorter.remove(at);
        assert!(read(&shorter, OWN).is_err(), "without byte {at}");
    }
}

#[test]
fn a_fault_has_its_place_and_the_remedy() {
    let text = export().text().unwrap();
    for (damaged, expected) in [
        (
            text.replace("hostname", "hostnam3"),
            "line 7: `lb.toml` (to line 9) has another SHA-256 than was exported: it was edited",
        ),
        (
            text.replace("|.\n", ""),
            "line 7: `lb.toml` (to line 8) has 33 bytes, and was exported with 35: it was edited",
        ),
        (
            text.replace("|AAAA", "AAAA"),
            "line 13: `ca.pem` (to line 13) has 28 bytes, and was exported with ",
        ),
        (
            text.replace("host lb", "host lc"),
            "the whole has another length or SHA-256",
        ),
        (
            text.replace("host lb\n", ""),
            "line 3: a line `host ...` belongs here, not `made 2026-11-26 19:05:00 UTC`",
        ),
        (
            text.replace("parts 5", "parts x"),
            "line 5: `x` is no number of parts",
        ),
        (text.replace("parts 5", "parts 4"), "the line `end` belongs here"),
        (
            without_end(&text).to_owned(),
            "the text ends before its line `end`",
        ),
        (
            "hostname = \"lb\"\n".to_owned(),
            "line 1: this is no export: one begins with `lb-export 1`",
        ),
        (String::new(), "line 1: this is no export"),
        ("lb-exp".to_owned(), "line 1: this is no export"),
        (
            text.replace("|\t", "|\u{1b}[2J"),
            "line 7: `lb.toml` (to line 9) has ",
        ),
    ] {
        let said = fault(&damaged).to_string();
        assert!(said.contains(expected), "{said}\n{expected}");
        assert!(!said.contains('\u{1b}'));
    }
    let raw = read(b"lb-export 1\n\xff", OWN).unwrap_err();
    assert!(raw.line == 2 && raw.text.contains("UTF-8"), "{raw}");
}

#[test]
fn what_another_version_has_written_is_named() {
    let text = export().text().unwrap();
    let body = without_end(&text)
        .replace("version 0.1.0", "version 0.9.0")
        .replace("parts 5", "parts 7");
    let other = |kind: &str| format!("part {kind} text, 2 bytes, sha256 {}\n|x\n", sha256(b"x\n"));
    let later = sealed(&(body + &other("pools pools.toml") + &other("users users")));
    let said = fault(&later).to_string();
    assert!(
        said.contains("`pools pools.toml`, `users users` is not known to this version (0.1.0)")
            && said.contains("of version `0.9.0`: import it there"),
        "{said}"
    );
    let form = sealed(&without_end(&text).replace("lb-export 1", "lb-export 2"));
    let said = fault(&form).to_string();
    assert!(
        said.starts_with("line 1: `lb-export 2` is a form") && said.contains("(`0.1.0`)"),
        "{said}"
    );
}

#[test]
fn what_is_written_otherwise_is_none_of_ours() {
    let text = export().text().unwrap();
    let body = without_end(&text);
    for (from, to, place) in [
        ("parts 5", "parts 05", 5),
        ("text, 35 bytes", "text, 035 bytes", 6),
        ("left-out other.key", "left-out  other.key", 19),
    ] {
        let said = fault(&sealed(&body.replace(from, to)));
        assert_eq!(said.line, place, "{said}");
    }
    let drains = body.find("part drains").unwrap()..body.find("part certificate").unwrap();
    let twice = body.replace("parts 5", "parts 6") + &body[drains.clone()];
    assert!(fault(&sealed(&twice)).text.contains("is there twice"));
    let none = body.replace("parts 5", "parts 4").replace(&body[drains], "");
    assert!(fault(&sealed(&none)).text.contains("no part `drains`"));
}

#[test]
fn only_certificates_and_keys_are_held() {
    for (name, content) in [
        ("lb.applied.toml", CERTIFICATE),
        ("drains.toml", PRIVATE),
        (".import", CERTIFICATE),
        ("a/b", CERTIFICATE),
        ("password", "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA\n"),
    ] {
        let mut other = export();
        other.files.insert(name.to_owned(), content.as_bytes().to_vec());
        assert_eq!(other.text(), Err(WriteError::NoIdentity(name.to_owned())));
    }
    let mut other = export();
    other.left_out.insert("a b".to_owned());
    assert_eq!(other.text(), Err(WriteError::NoIdentity("a b".to_owned())));
    // Nor are they read, however well they are sealed.
    let body = without_end(&export().text().unwrap()).replace("key client.key", "key lb.applied.toml");
    assert!(
        fault(&sealed(&body))
            .text
            .contains("`lb.applied.toml` is neither a certificate nor a key")
    );
    let body = without_end(&export().text().unwrap()).replace("certificate ca.pem", "key ca.pem");
    assert!(fault(&sealed(&body)).text.contains("is not what its line says"));
}

#[test]
fn limits_are_told() {
    let mut many = export();
    many.left_out = (0..MOST_FILES).map(|n| format!("{n}.pem")).collect();
    assert_eq!(many.text(), Err(WriteError::TooMany(MOST_FILES + 2)));
    let mut long = export();
    long.configuration = "#\n".repeat(MOST_BYTES / 3);
    assert!(matches!(long.text(), Err(WriteError::TooLong(_))));
    assert!(
        read(&vec![b'#'; MOST_BYTES + 1], OWN)
            .unwrap_err()
            .text
            .contains("8388608 at most")
    );
}

#[test]
fn no_directory_of_ours_is_a_file() {
    for name in ["history", "lost+found"] {
        assert!(!may_hold(name, CERTIFICATE.as_bytes()), "{name}");
        let files = BTreeMap::from([(name.to_owned(), CERTIFICATE.as_bytes().to_vec())]);
        let export = Export { files, ..export() };
        assert_eq!(export.text(), Err(WriteError::NoIdentity(name.to_owned())));
    }
    let text = export().text().unwrap();
    let said = fault(&sealed(&without_end(&text).replace(" ca.pem ", " history ")));
    assert!(
        said.text.starts_with("`history` is neither a certificate nor"),
        "{said}"
    );
}

#[test]
fn what_is_not_known_is_named_within_bounds() {
    let text = export().text().unwrap();
    let unknown: String = (0..2_000)
        .map(|at| format!("part users u{at} text, 0 bytes, sha256 {}\n", sha256(b"")))
        .collect();
    let body = without_end(&text).replace("parts 5\n", &format!("parts 2005\n{unknown}"));
    let said = fault(&sealed(&body)).text;
    assert!(
        said.contains("`users u7` and 1992 more is not known") && said.len() < 1_000,
        "{said}"
    );
    let names: String = (0..2_000).map(|at| format!("left-out n{at}\n")).collect();
    let body = without_end(&text).replace("parts 5\n", &format!("parts 2005\n{names}"));
    let said = fault(&sealed(&body));
    assert!(
        said.line < 100 && said.text.contains("holds 64 at most"),
        "{said}"
    );
}

fn name() -> impl Strategy<Value = String> {
    "[a-z0-9][a-z0-9._-]{0,20}"
        .prop_filter("a name of ours", |name| is_identity(name, CERTIFICATE.as_bytes()))
}

fn pem() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop::collection::vec(any::<u8>(), 0..200);
    (noise, any::<bool>()).prop_map(|(noise, key)| {
        let head = if key { PRIVATE } else { CERTIFICATE };
        [head.as_bytes(), &noise].concat()
    })
}

prop_compose! {
    fn exports()(
        configuration in "(?s).{0,300}",
        drains in "[ -~\n]{0,100}",
        host in "[ -~]{1,30}",
        files in prop::collection::btree_map(name(), pem(), 0..5),
        left_out in prop::collection::btree_set(name(), 0..3),
    ) -> Export {
        let host = words(&host);
        let origin = Origin { host, ..export().origin };
        Export { origin, configuration, drains, files, left_out }
    }
}

proptest! {
    #[test]
    fn whatever_is_exported_is_read_as_it_was(export in exports()) {
        let text = export.text().unwrap();
        prop_assert!(!text.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
        prop_assert!(text.lines().all(|line| line != "."));
        prop_assert_eq!(read(text.as_bytes(), OWN), Ok(export));
    }

    #[test]
    fn whatever_is_damaged_or_cut_is_refused(export in exports(), at in any::<prop::sample::Index>(), other in any::<u8>()) {
        let text = export.text().unwrap().into_bytes();
        let at = at.index(text.len());
        prop_assert!(read(&text[..at], OWN).is_err());
        let mut damaged = text.clone();
        damaged[at] = other;
        prop_assert!(damaged == text || read(&damaged, OWN).is_err());
        damaged.remove(at);
        prop_assert!(read(&damaged, OWN).is_err());
    }
}
