//! `support-bundle`: what somebody who helps needs, in one archive over the serial line, or on a disk. Must not: change anything, or let a secret out.

mod contents;

use std::time::{SystemTime, UNIX_EPOCH};

use lb_core::bundle::{File, Packed, pack};
use lb_core::date;
use serde::Serialize;

use super::execute::{Context, Verdict};
use super::failure::Failure;
use super::parse::Invocation;
use super::render;
use super::transfer::{self, Encoded, MOST_BYTES, OnDisk};
use super::tree;

const DIRECTORY: &str = "lb-support";
const NAME: &str = "lb-support.tar.gz";

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    files: Vec<Entry>,
    /// Too long for one bundle.
    left_out: Vec<&'static str>,
    /// `null` with `--list` and `--disk`.
    archive: Option<Encoded>,
    /// `null` without `--disk`.
    written: Option<OnDisk>,
}

#[derive(Debug, Serialize)]
struct Entry {
    name: &'static str,
    about: &'static str,
    bytes: usize,
}

pub fn run(invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let list = invocation.has(tree::LIST);
    let to_disk = invocation.has(tree::DISK) && !list;
    if to_disk {
        transfer::disk()?;
    }
    let files = contents::gather(context)?;
    let listed: Vec<Entry> = files.iter().map(entry).collect();
    if list && !invocation.json() {
        let rows: Vec<(&str, &str, usize)> = listed.iter().map(|e| (e.name, e.about, e.bytes)).collect();
        return context.print(&render::contents(&rows, &context.screen));
    }
    let now = SystemTime::now();
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let packed = pack(DIRECTORY, files, seconds, MOST_BYTES).map_err(Failure::Output)?;
    let Packed { bytes, left_out } = packed;
    if invocation.json() {
        let written = to_disk
            .then(|| transfer::to_disk(&dated(now), bytes.clone()))
            .transpose()?;
        return context.print_json(&Report {
            files: listed,
            left_out,
            archive: (!list && !to_disk).then(|| transfer::encode(NAME, &bytes)),
            written,
        });
    }
    if !left_out.is_empty() {
        context.print(&format!("Too long, and left out: {}.\n", left_out.join(", ")))?;
    }
    if to_disk {
        let written = transfer::to_disk(&dated(now), bytes)?;
        return context.print(&written.text(context.screen.width));
    }
    transfer::send(NAME, &bytes, context)?;
    Ok(Verdict::Good)
}

/// On a disk there may be others: `lb-support-20261127-031500.tar.gz`, in UTC.
fn dated(now: SystemTime) -> String {
    let mut digits = date::second(now);
    digits.retain(|c| c.is_ascii_digit());
    let (day, time) = digits.split_at_checked(8).unwrap_or((&digits, ""));
    format!("lb-support-{day}-{time}.tar.gz")
}

fn entry(file: &File) -> Entry {
    Entry {
        name: file.name,
        about: file.about,
        bytes: file.text.len(),
    }
}
