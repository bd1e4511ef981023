//! What a seed says of when it is taken, and the names of its files. Others wrote it, and what is wrong with it stands on the console.
//! Must not: make inputs.

use std::io;

use lb_core::seed::{SeedNote, When, is_plain_name, when};

use super::{ensure, ensure_harmless};
use crate::corpus::{self, Entries};
use crate::run::Target;

pub const TARGET: Target = Target {
    name: "seed",
    corpus,
    judge,
};

fn corpus() -> io::Result<Entries> {
    let mut all = corpus::own("seed")?;
    all.extend(corpus::configs("good", "toml")?);
    Ok(all)
}

fn judge(input: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(input);
    match when(&text) {
        Err(message) => {
            ensure_harmless(&message, "a message")?;
            let line = message
                .strip_prefix("line ")
                .and_then(|rest| rest.split(':').next());
            let line = line.and_then(|number| number.parse().ok());
            let placed = line.is_some_and(|line: usize| (1..=text.lines().count()).contains(&line));
            ensure(placed, || format!("a place outside of the text\n{message}"))?;
        }
        Ok(When::Always) => ensure(text.contains("#:seed"), || {
            "always, and it does not say so".to_owned()
        })?,
        Ok(When::FirstBoot) => {}
    }
    for name in text.split_whitespace().filter(|name| is_plain_name(name)) {
        let inside = !name.contains('/') && name != ".." && name.len() <= 64;
        ensure(inside, || format!("a name that leads elsewhere\n{name}"))?;
    }
    note(input)
}

fn note(input: &[u8]) -> Result<(), String> {
    let Ok(note) = serde_json::from_slice::<SeedNote>(input) else {
        return Ok(());
    };
    let written = serde_json::to_vec(&note).map_err(|error| format!("a note cannot be written: {error}"))?;
    ensure(serde_json::from_slice(&written).ok() == Some(note), || {
        "a note is not read as it was written".to_owned()
    })
}
