//! What a change would do, what is on trial, and what was in force before.
//! Must not: judge, or find differences.

use std::time::Duration;

use lb_core::control::{ChangeReport, DiffReport, HistoryEntry, HistoryReport, PendingReport, Sign};
use lb_core::date;

use super::config;
use super::text::{Screen, Tone, bullets, clean, labelled, paragraph, wrap};
use super::units::{bytes, some, span};

/// A second that has begun is counted: of 30 s that were asked for, 30 s are left.
fn remaining(ms: u64) -> String {
    span(ms.div_ceil(1000).saturating_mul(1000))
}

/// What stands before the prompt while a configuration is on trial.
pub fn reminder(left: Duration, screen: &Screen) -> String {
    let sentence = format!(
        "PENDING: returns to the former configuration in {}; `config confirm` keeps this one, `config abort` returns at once",
        remaining(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    );
    paragraph(&sentence, Tone::Bad, screen)
}

/// After it was put in force: until when, and what is to be done.
pub fn pending_until(pending: &PendingReport, screen: &Screen) -> String {
    let left = remaining(pending.left_ms);
    let sentence = match pending.asserted.as_slice() {
        [] => format!(
            "PENDING: nothing is saved. It returns to the former configuration in {left}, also when the machine restarts; \
             `config confirm` keeps it, `config abort` returns at once."
        ),
        keys => format!(
            "PENDING: nothing is saved yet. It is confirmed by itself as soon as {} of [confirm] {}. Else it returns to the former \
             configuration in {left}, also when the machine restarts; `config confirm` keeps it now, `config abort` returns at once.",
            keys.join(" and "),
            if keys.len() == 1 { "holds" } else { "hold" }
        ),
    };
    paragraph(&sentence, Tone::Doubtful, screen)
}

/// A part of `status`.
pub fn pending(pending: &PendingReport, screen: &Screen) -> String {
    let value = format!(
        "{} by {}, returns in {} of {}",
        pending.why,
        pending.by,
        remaining(pending.left_ms),
        span(pending.window_ms)
    );
    let mut text = labelled("PENDING", &value, Tone::Bad, screen);
    for assertion in &pending.assertions {
        let (word, tone) = match assertion.holds {
            true => ("holds", Tone::Good),
            false => ("does not hold", Tone::Doubtful),
        };
        text.push_str(&labelled(
            "",
            &format!("{word}: {}", assertion.text),
            tone,
            screen,
        ));
    }
    text
}

pub fn history(report: &HistoryReport, screen: &Screen) -> String {
    let mut text = String::new();
    if report.entries.is_empty() {
        text.push_str("No configuration was applied yet.\n");
    }
    let newest = report.entries.first().map_or(0, |entry| entry.number);
    let width = newest.to_string().len();
    text.extend(report.entries.iter().map(|entry| one(entry, width, screen)));
    text.push_str(&bullets(&report.problems, Tone::Bad, screen));
    text
}

/// Digits of a hash that tell the texts of a history apart; `--json` has all.
const DIGITS: usize = 12;

/// `* 12  2026-11-26 08:46:22  put: new gateway (console ttyS0, 1.2 kB, 5f2a9c01b3d4)`.
fn one(entry: &HistoryEntry, width: usize, screen: &Screen) -> String {
    let time = date::second(date::of_unix(entry.unix_s));
    let (mark, tone) = match entry.in_force {
        true => ("*", Tone::Good),
        false => (" ", Tone::Plain),
    };
    let head = format!("{mark} {:>width$}  {time}  ", entry.number);
    let indent = head.chars().count();
    let hash = entry.sha256.get(..DIGITS).unwrap_or(&entry.sha256);
    let sentence = format!("{} ({}, {}, {hash})", entry.why, entry.by, bytes(entry.bytes));
    let sentence = wrap(&clean(&sentence), screen.width.saturating_sub(indent), indent);
    format!("{}{sentence}\n", screen.paint(tone, &head))
}

pub fn diff(report: &DiffReport, screen: &Screen) -> String {
    if !report.check.ok {
        return config::check(&report.check, screen);
    }
    let mut text = changes(report, screen);
    if !report.steps.is_empty() {
        let head = format!("{} at once:", some(report.steps.len(), "step"));
        text.push_str(&format!("{}\n", screen.paint(Tone::Strong, &head)));
        text.push_str(&lines(&report.steps, screen));
    }
    match report.drift.as_deref() {
        None => {}
        Some([]) => text.push_str("The kernel holds what is in force.\n"),
        Some(drift) => {
            let head = format!(
                "The kernel differs from what is in force, and is put right by itself within 10 s, by {}:",
                some(drift.len(), "step")
            );
            text.push_str(&paragraph(&head, Tone::Doubtful, screen));
            text.push_str(&lines(drift, screen));
        }
    }
    text.push_str(&texts(report, screen));
    text.push_str(&bullets(&report.check.warnings, Tone::Doubtful, screen));
    text
}

fn changes(report: &DiffReport, screen: &Screen) -> String {
    if report.changes.is_empty() {
        return match report.text.is_empty() && report.text_fault.is_none() {
            true => format!(
                "{} and {} are the same.\n",
                clean(&report.from),
                clean(&report.to)
            ),
            false => String::new(),
        };
    }
    let line = |change: &ChangeReport| {
        let tone = match change.sign {
            Sign::Added => Tone::Good,
            Sign::Removed => Tone::Bad,
            Sign::Changed => Tone::Doubtful,
        };
        let sentence = wrap(&clean(&change.text), screen.width.saturating_sub(4), 4);
        format!("  {} {sentence}\n", screen.paint(tone, change.sign.as_str()))
    };
    let head = format!("{} would change:", some(report.changes.len(), "thing"));
    let mut text = format!("{}\n", screen.paint(Tone::Strong, &head));
    text.extend(report.changes.iter().map(line));
    text
}

fn lines(steps: &[String], screen: &Screen) -> String {
    let line = |step: &String| format!("  {}\n", wrap(&clean(step), screen.width.saturating_sub(4), 4));
    steps.iter().map(line).collect()
}

/// Lines of a file are not wrapped: they are to be recognised.
fn texts(report: &DiffReport, screen: &Screen) -> String {
    let mut text = String::new();
    if !report.text.is_empty() {
        text.push_str(&format!(
            "--- {}\n+++ {}\n",
            clean(&report.from),
            clean(&report.to)
        ));
    }
    for line in &report.text {
        let tone = match line.as_bytes().first() {
            Some(b'+') => Tone::Good,
            Some(b'-') => Tone::Bad,
            Some(b'@') => Tone::Faint,
            _ => Tone::Plain,
        };
        let line = clean(&line.replace('\t', "    ")).into_owned();
        text.push_str(&format!("{}\n", screen.paint(tone, &line)));
    }
    if let Some(fault) = &report.text_fault {
        text.push_str(&paragraph(fault, Tone::Doubtful, screen));
    }
    text
}
