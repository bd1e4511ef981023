//! What is told about an import, with its place in the text that was read.
//! Must not: know any syntax.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

/// What a remark says of the line that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Severity {
    /// Taken over, and it means something else here, or has another value.
    #[serde(rename = "differs")]
    Differs,
    /// Nothing in lb.toml stands for it.
    #[serde(rename = "not taken over")]
    NotTakenOver,
    /// It cannot be read, or what stands for it needs a decision before it works.
    #[serde(rename = "fault")]
    Fault,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Differs => "differs",
            Severity::NotTakenOver => "not taken over",
            Severity::Fault => "fault",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// The file, where one was included; else the name of the whole text.
    pub file: String,
    /// From 1; `None`: it is about all of the text.
    pub line: Option<usize>,
    pub severity: Severity,
    pub message: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(
                f,
                "{} line {line}: {}: {}",
                self.file, self.severity, self.message
            ),
            None => write!(f, "{}: {}: {}", self.file, self.severity, self.message),
        }
    }
}

/// A line of one of the texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub file: usize,
    pub line: usize,
}

/// Remarks while they are being found.
#[derive(Debug)]
pub(super) struct Remarks {
    files: Vec<String>,
    found: Vec<(Option<Place>, Severity, String)>,
    unlisted: usize,
}

impl Remarks {
    /// So many are kept; beyond that nobody reads them.
    const MOST: usize = 2_000;
    /// What a message repeats of a text, in characters.
    const SHOWN: usize = 60;

    pub fn new(name: &str) -> Remarks {
        Remarks {
            files: vec![clean(name)],
            found: Vec::new(),
            unlisted: 0,
        }
    }

    /// Notes a further text.
    pub fn file(&mut self, name: &str) -> usize {
        self.files.push(clean(name));
        self.files.len() - 1
    }

    pub fn name(&self) -> &str {
        &self.files[0]
    }

    /// `keepalived.conf line 12`.
    pub fn at(&self, place: Place) -> String {
        let file = self.files.get(place.file).map_or("", String::as_str);
        format!("{file} line {}", place.line)
    }

    pub fn differs(&mut self, place: Place, message: impl Into<String>) {
        self.add(Some(place), Severity::Differs, message.into());
    }

    pub fn dropped(&mut self, place: Place, message: impl Into<String>) {
        self.add(Some(place), Severity::NotTakenOver, message.into());
    }

    pub fn fault(&mut self, place: Place, message: impl Into<String>) {
        self.add(Some(place), Severity::Fault, message.into());
    }

    /// About the text as a whole.
    pub fn of_all(&mut self, severity: Severity, message: impl Into<String>) {
        self.add(None, severity, message.into());
    }

    fn add(&mut self, place: Option<Place>, severity: Severity, message: String) {
        // What is about all of the text is little, and counts.
        if self.found.len() < Remarks::MOST || place.is_none() {
            self.found.push((place, severity, clean(&message)));
        } else {
            self.unlisted += 1;
        }
    }

    /// In the order of the lines; those about all of the text come last.
    pub fn finish(mut self) -> Vec<Remark> {
        self.found.sort_by_key(|(place, ..)| (place.is_none(), *place));
        // A line that variables and sequences repeat is told once.
        let mut told = BTreeSet::new();
        self.found
            .retain(|(place, severity, message)| told.insert((*place, *severity, message.clone())));
        let files = &self.files;
        let named = |(place, severity, message): (Option<Place>, Severity, String)| Remark {
            file: files[place.map_or(0, |place| place.file)].clone(),
            line: place.map(|place| place.line),
            severity,
            message,
        };
        let mut remarks: Vec<Remark> = self.found.into_iter().map(named).collect();
        if self.unlisted > 0 {
            remarks.push(Remark {
                file: files[0].clone(),
                line: None,
                severity: Severity::Fault,
                message: format!("{} further remarks are not listed", self.unlisted),
            });
        }
        remarks
    }
}

/// What a message repeats of a text: not too long, and nothing that drives a terminal.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(Remarks::SHOWN).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    clean(&short)
}

fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}
