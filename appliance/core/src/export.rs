//! The whole state of a machine as one text of lines: lb.toml, what is set aside, and the certificates and keys that lb.toml names, with
//! names, lengths and SHA-256 of each part and of the whole, so that one that is cut or edited is refused with its place.
//! Must not: read files, or judge the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::config::MAX_BYTES;
use crate::history::{self, hexadecimal, sha256};
use crate::reset::is_identity;
use crate::secrets::KEY_BEGINS;
use crate::seed::is_plain_name;

mod read;
#[cfg(test)]
mod tests;

pub use read::read;

/// The name of the file, where it has one.
pub const FILE: &str = "lb.export";
/// On the config volume: an import that is decided, and is carried out from then on, be it by the next start.
pub const JOURNAL: &str = ".import";
/// On the config volume: an import on trial, which a start does not use.
pub const PENDING: &str = ".import.pending";
/// On the config volume: [`JOURNAL`], while something is changed that gives it up. It is that again if the change fails.
pub const ASIDE: &str = ".import.aside";
/// Of the whole text: as lb.toml alone may have, so that an import takes no more memory than `config put`.
pub const MOST_BYTES: usize = MAX_BYTES;
/// Of one certificate or key, and how many of them, as of a seed.
pub const MOST_FILE: usize = 1 << 20;
pub const MOST_FILES: usize = 64;

/// The second is ext4's own.
const OUR_DIRECTORIES: [&str; 2] = [history::DIRECTORY, "lost+found"];

const FORMAT: u32 = 1;
const MAGIC: &str = "lb-export";
/// Of a line of the head (bytes).
const LONGEST_WORDS: usize = 200;
/// Of base64 (characters): 57 bytes.
const COLUMNS: usize = 76;

/// Where an export comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Of the appliance that has made it.
    pub version: String,
    pub host: String,
    /// `2026-11-26 19:05:00 UTC`.
    pub made: String,
}

/// What an export holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    pub origin: Origin,
    /// The text of lb.toml.
    pub configuration: String,
    /// The text of drains.toml.
    pub drains: String,
    /// Certificates and keys that lb.toml names, by their names.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Named by lb.toml, and not in here.
    pub left_out: BTreeSet<String>,
}

/// Why a text is no export that can be used, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {text}")]
pub struct Fault {
    /// From 1.
    pub line: usize,
    pub text: String,
    /// Whether another version may know what it is.
    pub is_unknown: bool,
}

impl Fault {
    fn at(line: usize, text: impl Into<String>) -> Fault {
        Fault {
            line,
            text: text.into(),
            is_unknown: false,
        }
    }

    /// Whole as far as it can be seen, and not understood here.
    fn unknown(line: usize, text: String) -> Fault {
        Fault {
            is_unknown: true,
            ..Fault::at(line, text)
        }
    }
}

/// Why there can be no text of an export.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WriteError {
    #[error("`{0}` holds neither a certificate nor a key in PEM, or has a name that is none of theirs")]
    NoIdentity(String),
    #[error("{0} certificates and keys, and an export holds {MOST_FILES} at most")]
    TooMany(usize),
    #[error("it would have {0} bytes, and an import takes {MOST_BYTES} at most")]
    TooLong(usize),
}

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Configuration,
    Drains,
    Certificate,
    Key,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Configuration, Kind::Drains, Kind::Certificate, Kind::Key];

    fn word(self) -> &'static str {
        match self {
            Kind::Configuration => "configuration",
            Kind::Drains => "drains",
            Kind::Certificate => "certificate",
            Kind::Key => "key",
        }
    }

    /// Of a file that lb.toml names.
    fn of_file(content: &[u8]) -> Kind {
        if holds_key(content) {
            Kind::Key
        } else {
            Kind::Certificate
        }
    }
}

/// Whether somebody who has this has a private key.
pub fn holds_key(content: &[u8]) -> bool {
    let mark = KEY_BEGINS.as_bytes();
    content.windows(mark.len()).any(|part| part == mark)
}

/// Whether a file beside lb.toml may be in an export: no other file of the config volume, whatever lb.toml says.
pub fn may_hold(name: &str, content: &[u8]) -> bool {
    is_plain_name(name) && !is_our_directory(name) && is_identity(name, content) && content.len() <= MOST_FILE
}

/// Whether a directory beside lb.toml has this name, or will have it: no file may take its place.
pub fn is_our_directory(name: &str) -> bool {
    OUR_DIRECTORIES.contains(&name)
}

/// How the content of a part stands in the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As it is.
    Text,
    Base64,
}

impl Form {
    fn word(self) -> &'static str {
        match self {
            Form::Text => "text",
            Form::Base64 => "base64",
        }
    }

    /// Text is what every terminal carries: line feeds only, nothing that steers, and an end of line at its end.
    fn of(content: &[u8]) -> Form {
        let carries = |c: char| !c.is_control() || c == '\n' || c == '\t';
        match str::from_utf8(content) {
            Ok(text) if text.chars().all(carries) && (text.is_empty() || text.ends_with('\n')) => Form::Text,
            _ => Form::Base64,
        }
    }
}

impl Export {
    pub fn text(&self) -> Result<String, WriteError> {
        let mut text = String::new();
        self.write(&mut text)?;
        Ok(text)
    }

    /// Whether this is its text; without a second one in memory.
    pub fn is_text(&self, text: &str) -> Result<bool, WriteError> {
        let mut rest = Expected(Some(text));
        self.write(&mut rest)?;
        Ok(rest.0 == Some(""))
    }

    /// An error may have left a beginning.
    fn write(&self, out: &mut impl Write) -> Result<(), WriteError> {
        if self.files.len() + self.left_out.len() > MOST_FILES {
            return Err(WriteError::TooMany(self.files.len() + self.left_out.len()));
        }
        let mut files = self.files.iter();
        let strange = files
            .find(|(name, content)| !may_hold(name, content))
            .map(|(name, _)| name);
        let mut left_out = self.left_out.iter();
        if let Some(name) = strange.or_else(|| left_out.find(|name| !is_plain_name(name))) {
            return Err(WriteError::NoIdentity(name.clone()));
        }
        let mut text = Measured::new(out);
        line(&mut text, format_args!("{MAGIC} {FORMAT}"));
        line(&mut text, format_args!("version {}", words(&self.origin.version)));
        line(&mut text, format_args!("host {}", words(&self.origin.host)));
        line(&mut text, format_args!("made {}", words(&self.origin.made)));
        let parts = 2 + self.files.len() + self.left_out.len();
        line(&mut text, format_args!("parts {parts}"));
        let configuration = self.configuration.as_bytes();
        part(&mut text, Kind::Configuration, "lb.toml", configuration);
        part(&mut text, Kind::Drains, "drains.toml", self.drains.as_bytes());
        for (name, content) in &self.files {
            part(&mut text, Kind::of_file(content), name, content);
        }
        for name in &self.left_out {
            line(&mut text, format_args!("left-out {name}"));
        }
        let (length, digest) = (text.length, hexadecimal(&text.digest.clone().finalize()));
        line(&mut text, format_args!("end {length} bytes, sha256 {digest}"));
        match text.length {
            length if length > MOST_BYTES => Err(WriteError::TooLong(length)),
            _ => Ok(()),
        }
    }
}

/// What is written, with its length and sum so far. Behind the most that an export may have nothing is written, only measured.
struct Measured<'w, W> {
    out: &'w mut W,
    length: usize,
    digest: Sha256,
}

impl<'w, W: Write> Measured<'w, W> {
    fn new(out: &'w mut W) -> Self {
        let digest = Sha256::new();
        Measured {
            out,
            length: 0,
            digest,
        }
    }
}

impl<W: Write> Write for Measured<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.length += text.len();
        self.digest.update(text.as_bytes());
        match self.length <= MOST_BYTES {
            true => self.out.write_str(text),
            false => Ok(()),
        }
    }
}

/// What is still to come of a text; nothing, once something else came.
struct Expected<'t>(Option<&'t str>);

impl Write for Expected<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.and_then(|rest| rest.strip_prefix(text));
        Ok(())
    }
}

fn line(text: &mut impl Write, line: fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("neither a String nor a comparison refuses what is written");
}

fn part(text: &mut impl Write, kind: Kind, name: &str, content: &[u8]) {
    let form = Form::of(content);
    line(
        text,
        format_args!(
            "part {} {name} {}, {} bytes, sha256 {}",
            kind.word(),
            form.word(),
            content.len(),
            sha256(content)
        ),
    );
    match form {
        Form::Text => {
            let content = str::from_utf8(content).expect("its form was seen to be text");
            content
                .lines()
                .for_each(|of_it| line(text, format_args!("|{of_it}")));
        }
        Form::Base64 => {
            let coded = STANDARD.encode(content);
            let mut rest = coded.as_str();
            while !rest.is_empty() {
                let (of_it, behind) = rest.split_at(rest.len().min(COLUMNS));
                line(text, format_args!("|{of_it}"));
                rest = behind;
            }
        }
    }
}

/// As a line of the head can hold them: one line, without what steers a terminal, never empty.
fn words(text: &str) -> String {
    let mut end = text.len().min(LONGEST_WORDS);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let plain: String = text[..end]
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    match plain.trim() {
        "" => "?".to_owned(),
        plain => plain.to_owned(),
    }
}
