//! lb.toml: the reader, what it says of faults, the reading of what changed, redaction, and `set`, `add` and `delete`.
//! Must not: make inputs.

use std::io;

use fastrand::Rng;
use lb_core::config::edit::{self, Change, EditFault};
use lb_core::config::{self, Config, Faults, keys};
use lb_core::secrets;
use toml::de::DeTable;
use unicode_width::UnicodeWidthStr;

use super::{ensure, ensure_harmless};
use crate::corpus::{self, Entries};
use crate::run::Target;

pub const TARGET: Target = Target {
    name: "file",
    corpus,
    judge,
};

/// How wide a terminal is.
const COLUMNS: usize = 80;

fn corpus() -> io::Result<Entries> {
    let mut all = corpus::configs("good", "toml")?;
    all.extend(corpus::configs("bad", "toml")?);
    all.extend(corpus::configs("import/keepalived", "toml")?);
    all.extend(corpus::configs("import/haproxy", "toml")?);
    all.extend(corpus::own("file")?);
    Ok(all)
}

fn judge(input: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(input);
    match config::parse_bytes(input) {
        Err(faults) => told(&faults, &text)?,
        Ok(read) => {
            again(input, &read)?;
            for line in config::warnings(&read) {
                ensure_harmless(&line, "a warning")?;
            }
        }
    }
    // These read the text some ten times more.
    match config::fingerprint(input) % 4 {
        0 => redacted(&text),
        1 => edited(&text),
        _ => Ok(()),
    }
}

/// All faults are told at their places, and nothing of the text reaches the terminal raw.
fn told(faults: &Faults, text: &str) -> Result<(), String> {
    ensure(faults.count() > 0, || "refused without a fault".to_owned())?;
    for line in faults.render("lb.toml", text).lines() {
        ensure_harmless(line, "a message")?;
        ensure(line.width() <= COLUMNS, || {
            format!("wider than the terminal\n{line}")
        })?;
    }
    let lines = text.lines().count().max(1) + 1;
    for report in faults.reports(text) {
        let placed = (1..=lines).contains(&report.line) && report.column >= 1;
        ensure(placed, || format!("a place outside of the text\n{report:?}"))?;
        let whole = !report.message.is_empty() && !report.help.is_empty();
        ensure(whole, || format!("no message or no remedy\n{report:?}"))?;
    }
    Ok(())
}

/// With what was read before, or without: the same.
fn again(input: &[u8], read: &Config) -> Result<(), String> {
    let (first, parts) = config::parse_bytes_after(input, None).map_err(|faults| faults.to_string())?;
    let before = Some((&parts, &first));
    let (second, parts_again) = config::parse_bytes_after(input, before)
        .map_err(|faults| format!("refused when read again: {faults}"))?;
    let same = first == *read && second == *read && parts == parts_again;
    ensure(same, || "read again it says something else".to_owned())
}

/// What may be shown to others is TOML, and nothing is left in it to be hidden.
fn redacted(text: &str) -> Result<(), String> {
    let Some(redacted) = secrets::redact(text) else {
        return Ok(());
    };
    let again = secrets::redact(&redacted.text).map(|again| again.text);
    ensure(again.as_deref() == Some(&redacted.text), || {
        format!(
            "redacted twice it is something else\n{}\n---\n{again:?}",
            redacted.text
        )
    })
}

/// The result of a change is TOML; and where the text was a configuration, what was set is in it and can be set back.
fn edited(text: &str) -> Result<(), String> {
    let mut random = Rng::with_seed(config::fingerprint(text.as_bytes()));
    let change = change(text, &mut random);
    match edit::edit(text, &change) {
        Ok(edited) => ensure(DeTable::parse(&edited).is_ok(), || {
            format!("{change:?} made no TOML\n{edited}")
        })?,
        Err(EditFault::Words(message)) => ensure_harmless(&message, "what is wrong with a change")?,
        Err(EditFault::Text(_)) => return Ok(()),
    }
    let Ok(before) = config::parse(text) else {
        return Ok(());
    };
    let set = |text: &str, value: &str| {
        let change = Change::Set {
            path: "hostname".to_owned(),
            value: value.to_owned(),
        };
        edit::edit(text, &change).map_err(|fault| format!("hostname cannot be set: {fault}"))
    };
    let renamed = set(text, "fuzz-1")?;
    let back = set(&renamed, before.hostname.as_str())?;
    let read = config::parse(&back).map_err(|faults| format!("set back it is refused: {faults}\n{back}"))?;
    ensure(read == before, || {
        format!("set back it is something else\n{back}")
    })
}

/// A path as an operator might give it, by what the prompt offers for this text.
fn change(text: &str, random: &mut Rng) -> Change {
    const VALUES: [&str; 8] = [
        "web",
        "2s",
        "5",
        "true",
        "10.0.0.1/24",
        "10.0.0.9:80",
        "\"",
        "[1, 2]",
    ];
    let places = keys::places();
    let mut path = random
        .choice(&places)
        .map(|place| place.path.clone())
        .unwrap_or_default();
    if random.bool() {
        path.clear();
        for _ in 0..4 {
            let offered = edit::paths(text, &path);
            let Some(next) = random.choice(&offered) else {
                break;
            };
            path = next.clone();
        }
        path.truncate(path.trim_end_matches([' ', '.']).len());
    }
    let value = random.choice(VALUES).unwrap_or_default().to_owned();
    match random.u8(0..3) {
        0 => Change::Set { path, value },
        1 => Change::Delete { path },
        _ => Change::Add {
            path,
            values: vec![
                format!("name={value}"),
                "address=10.0.0.2:80".to_owned(),
                "listen=10.0.0.1:81".to_owned(),
            ],
        },
    }
}
