//! A fault of the file: where it is, what is wrong there, what is allowed; and all faults of one file together.
//! Must not: know TOML or what the keys mean.

use std::ops::Range;

use thiserror::Error;

use super::lines::Lines;
use super::render;
use crate::control::FaultReport;

/// One fault of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Byte range in the text that the caret points at.
    pub span: Range<usize>,
    pub message: String,
    /// What is allowed here.
    pub help: String,
}

/// Every fault of one file, in the order of their places; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the configuration has {} fault(s)", self.count())]
pub struct Faults {
    listed: Vec<Fault>,
    /// Found, but not kept.
    unlisted: usize,
}

impl Faults {
    /// So many faults are kept; beyond that they are only counted, because nobody reads them and memory is short.
    const MAX_LISTED: usize = 1_000;

    pub(super) fn one(span: Range<usize>, wrong: Wrong) -> Faults {
        let mut list = FaultList::default();
        list.add(span, wrong);
        list.into_faults()
    }

    /// Of somebody else than the reader, each with its place, what is wrong there, and the remedy. `None`: there are none.
    pub fn found(faults: impl IntoIterator<Item = (Range<usize>, String, String)>) -> Option<Faults> {
        let mut list = FaultList::default();
        for (span, message, help) in faults {
            list.add(span, Wrong::new(message, help));
        }
        (!list.is_empty()).then(|| list.into_faults())
    }

    /// How many there are, listed or not.
    pub fn count(&self) -> usize {
        self.listed.len() + self.unlisted
    }

    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.listed.iter()
    }

    /// All faults as the operator reads them, at most 80 columns wide, without colour: place, line, caret, what is
    /// allowed. Nothing of the text reaches the terminal raw.
    pub fn render(&self, file_name: &str, text: &str) -> String {
        render::render(&self.listed, self.count(), file_name, text)
    }

    pub fn reports(&self, text: &str) -> Vec<FaultReport> {
        let lines = Lines::new(text);
        let mut places = lines.places();
        let report = |fault: &Fault| {
            let place = places.next(fault.span.start);
            FaultReport {
                line: place.line,
                column: place.column,
                message: fault.message.clone(),
                help: fault.help.clone(),
            }
        };
        self.listed.iter().map(report).collect()
    }
}

/// Faults while they are being found, in any order.
#[derive(Debug, Default)]
pub(super) struct FaultList {
    listed: Vec<Fault>,
    unlisted: usize,
}

impl FaultList {
    pub fn add(&mut self, span: Range<usize>, wrong: Wrong) {
        if self.is_full() {
            self.unlisted += 1;
            return;
        }
        let Wrong { message, help } = wrong;
        // A key of the service that does not fit is found again with each server.
        if self
            .listed
            .iter()
            .any(|fault| fault.span == span && fault.message == message)
        {
            return;
        }
        self.listed.push(Fault { span, message, help });
    }

    /// Whether another fault would only be counted.
    pub fn is_full(&self) -> bool {
        self.listed.len() == Faults::MAX_LISTED
    }

    pub fn count_unlisted(&mut self, faults: usize) {
        self.unlisted += faults;
    }

    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// How many there are so far.
    pub fn found(&self) -> usize {
        self.listed.len() + self.unlisted
    }

    pub fn into_faults(self) -> Faults {
        let mut listed = self.listed;
        listed.sort_by_key(|fault| (fault.span.start, fault.span.end));
        Faults {
            listed,
            unlisted: self.unlisted,
        }
    }
}

/// What is wrong with a value, whose place somebody else knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub message: String,
    pub help: String,
}

impl Wrong {
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Wrong {
        Wrong {
            message: harmless(message.into()),
            help: harmless(help.into()),
        }
    }
}

/// Whatever of the file is in a message: nothing of it steers a terminal.
fn harmless(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let mut shown = String::new();
    text.chars().for_each(|c| render::push_harmless(&mut shown, c));
    shown
}

/// The operator's own words within a message: marked as such, harmless to a terminal, and not too long.
pub(crate) fn quoted(text: &str) -> String {
    const MAX_CHARS: usize = 40;
    if text.is_empty() {
        return "\"\"".to_owned();
    }
    let mut shown = String::new();
    let mut chars = text.chars();
    for c in chars.by_ref().take(MAX_CHARS) {
        render::push_harmless(&mut shown, c);
    }
    if chars.next().is_some() {
        shown.push_str("...");
    }
    format!("`{shown}`")
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn alternatives<T: AsRef<str>>(words: &[T]) -> String {
    match words {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} or {}", first.join(", "), last.as_ref())
        }
    }
}

/// `a, b, c and more`: what there is to choose from, however much it is.
pub(super) fn some_of<T: ToString>(words: impl Iterator<Item = T>) -> String {
    const MAX_LISTED: usize = 6;
    let mut words = words.map(|word| word.to_string());
    let listed: Vec<String> = words.by_ref().take(MAX_LISTED).collect();
    match words.next() {
        Some(_) => format!("{} and more", listed.join(", ")),
        None => listed.join(", "),
    }
}
