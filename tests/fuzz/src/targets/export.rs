//! An export of a whole machine, pasted or on a disk: whatever it looks like, it is what an export writes or it is refused with a place, and one
//! that is sealed again is judged by its parts.
//! Must not: make inputs.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use lb_core::export::{Export, Origin, read};
use lb_core::history::sha256;

use super::{ensure, ensure_harmless};
use crate::corpus::{self, Entries};
use crate::run::Target;

pub const TARGET: Target = Target {
    name: "export",
    corpus,
    judge,
};

const OWN: &str = "0.1.0";
const KEY: &[u8] = b"-----BEGIN PRIVATE KEY-----\r\nAAAA\r\n-----END PRIVATE KEY-----\r\n";

fn corpus() -> io::Result<Entries> {
    let mut all = corpus::own("export")?;
    for configuration in corpus::configs("good", "toml")? {
        let export = Export {
            origin: Origin {
                version: OWN.to_owned(),
                host: "lb".to_owned(),
                made: "2026-11-26 19:05:00 UTC".to_owned(),
            },
            configuration: String::from_utf8_lossy(&configuration).into_owned(),
            drains: "[[drain]]\nserver = \"172.16.0.11\"\nsince = 1764134400\n".to_owned(),
            files: BTreeMap::from([("client.key".to_owned(), KEY.to_vec())]),
            left_out: BTreeSet::from(["ca.pem".to_owned()]),
        };
        all.push(export.text().map_err(io::Error::other)?.into_bytes());
    }
    Ok(all)
}

fn judge(input: &[u8]) -> Result<(), String> {
    one(input)?;
    one(&sealed(input))
}

fn one(input: &[u8]) -> Result<(), String> {
    match read(input, OWN) {
        Ok(export) => {
            let text = export
                .text()
                .map_err(|error| format!("it cannot be written again: {error}"))?;
            ensure(text.as_bytes() == input, || {
                "it is written otherwise than it was read".to_owned()
            })
        }
        Err(fault) => {
            ensure_harmless(&fault.to_string(), "a message")?;
            let lines = input.split(|byte| *byte == b'\n').count();
            ensure((1..=lines).contains(&fault.line), || {
                format!("a place outside of the text\n{fault}")
            })
        }
    }
}

/// With the sums that belong to it, of each part as of the whole: what is behind them is read as well.
fn sealed(input: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(input);
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("end ")).collect();
    let mut body = String::new();
    for (at, line) in lines.iter().enumerate() {
        let sums = line
            .strip_prefix("part ")
            .and_then(|_| line.split_once(" text, "));
        let Some((head, _)) = sums else {
            body.push_str(&format!("{line}\n"));
            continue;
        };
        let content = lines[at + 1..].iter().map_while(|line| line.strip_prefix('|'));
        let content: String = content.map(|line| format!("{line}\n")).collect();
        body.push_str(&format!(
            "{head} text, {} bytes, sha256 {}\n",
            content.len(),
            sha256(content.as_bytes())
        ));
    }
    let (length, digest) = (body.len(), sha256(body.as_bytes()));
    body.push_str(&format!("end {length} bytes, sha256 {digest}\n"));
    body.into_bytes()
}
