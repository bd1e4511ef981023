//! `support-bundle`: what somebody who helps needs, in one archive over the serial line. Must not: change anything, or let a secret out.

mod contents;

use std::time::{SystemTime, UNIX_EPOCH};

use lb_core::bundle::{File, Packed, pack};
use serde::Serialize;

use super::execute::{Context, Verdict};
use super::failure::Failure;
use super::parse::Invocation;
use super::render;
use super::transfer::{self, Encoded, MOST_BYTES};
use super::tree;

const DIRECTORY: &str = "lb-support";
const NAME: &str = "lb-support.tar.gz";

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    files: Vec<Entry>,
    /// Too long for one bundle.
    left_out: Vec<&'static str>,
    /// `null` with `--list`.
    archive: Option<Encoded>,
}

#[derive(Debug, Serialize)]
struct Entry {
    name: &'static str,
    about: &'static str,
    bytes: usize,
}

pub fn run(invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let files = contents::gather(context)?;
    let listed: Vec<Entry> = files.iter().map(entry).collect();
    let list = invocation.has(tree::LIST);
    if list && !invocation.json() {
        let rows: Vec<(&str, &str, usize)> = listed.iter().map(|e| (e.name, e.about, e.bytes)).collect();
        return context.print(&render::contents(&rows, &context.screen));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let packed = pack(DIRECTORY, files, now.as_secs(), MOST_BYTES).map_err(Failure::Output)?;
    let Packed { bytes, left_out } = packed;
    if invocation.json() {
        return context.print_json(&Report {
            files: listed,
            left_out,
            archive: (!list).then(|| transfer::encode(NAME, &bytes)),
        });
    }
    if !left_out.is_empty() {
        context.print(&format!("Too long, and left out: {}.\n", left_out.join(", ")))?;
    }
    transfer::send(NAME, &bytes, context)?;
    Ok(Verdict::Good)
}

fn entry(file: &File) -> Entry {
    Entry {
        name: file.name,
        about: file.about,
        bytes: file.text.len(),
    }
}
