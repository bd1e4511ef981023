//! An export's text, line by line, as what it holds, or the first thing that is wrong with it. Nothing is taken of one that is not whole.
//! Must not: judge the configuration in it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{
    Export, FORMAT, Fault, Form, Kind, MAGIC, MOST_BYTES, MOST_FILES, Origin, WriteError, holds_key, may_hold,
};
use crate::config::quoted;
use crate::history::sha256;
use crate::seed::is_plain_name;

const DAMAGED: &str = "it was edited, or damaged on the way; nothing of it is taken: export it again";
const NOT_WHOLE: &str = "the text ends before its line `end`: it is not whole, and nothing of it is taken; send it again to its last line";
const NO_LINE: &str = "this is no line of an export here; a long line that a terminal has broken in two looks so, or one that is missing";

/// Of parts that are not known so many are named.
const MOST_UNKNOWN: usize = 8;

/// All of it. `own`: the version that reads.
pub fn read(bytes: &[u8], own: &str) -> Result<Export, Fault> {
    if bytes.len() > MOST_BYTES {
        let text = format!(
            "it has {} bytes, and an import takes {MOST_BYTES} at most",
            bytes.len()
        );
        return Err(Fault::at(1, text));
    }
    let text = str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Fault::at(line, format!("this is no text (UTF-8): {DAMAGED}"))
    })?;
    let mut lines = Lines::new(text);
    let origin = head(&mut lines)?;
    let mut found = Found::default();
    for _ in 0..parts(&mut lines)? {
        found.item(&mut lines)?;
        // Before memory is full of their names.
        let files = found.files.len() + found.left_out.len();
        if files > MOST_FILES {
            let error = WriteError::TooMany(files);
            return Err(lines.fault(format!("{error}; nothing of it is taken")));
        }
    }
    end(&mut lines)?;
    let export = found.export(origin, own)?;
    // One export has one text: what is written otherwise is none of ours.
    let unfit = |error| Fault::at(1, format!("{error}; nothing of it is taken"));
    match export.is_text(text).map_err(unfit)? {
        true => Ok(export),
        false => Err(differs(text, &export.text().map_err(unfit)?)),
    }
}

fn differs(text: &str, other: &str) -> Fault {
    let same = text
        .lines()
        .zip(other.lines())
        .take_while(|(one, two)| one == two);
    Fault::at(
        1 + same.count(),
        format!("this line is not as an export has it: {DAMAGED}"),
    )
}

struct Lines<'t> {
    text: &'t str,
    at: usize,
    /// Of the line that was read last.
    number: usize,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Lines<'t> {
        Lines {
            text,
            at: 0,
            number: 0,
        }
    }

    fn next(&mut self) -> Result<&'t str, Fault> {
        let rest = &self.text[self.at..];
        self.number += 1;
        let end = rest.find('\n').ok_or_else(|| self.fault(NOT_WHOLE))?;
        self.at += end + 1;
        Ok(&rest[..end])
    }

    /// The next line, if it is one of content, without its mark.
    fn content(&mut self) -> Result<Option<&'t str>, Fault> {
        match self.text[self.at..].starts_with('|') {
            true => self.next().map(|line| Some(&line[1..])),
            false => Ok(None),
        }
    }

    fn fault(&self, text: impl Into<String>) -> Fault {
        Fault::at(self.number, text)
    }

    /// What stands behind this word in the next line.
    fn behind(&mut self, word: &str) -> Result<&'t str, Fault> {
        let line = self.next()?;
        let rest = line.strip_prefix(word).and_then(|rest| rest.strip_prefix(' '));
        rest.filter(|rest| !rest.is_empty()).ok_or_else(|| {
            self.fault(format!(
                "a line `{word} ...` belongs here, not {}; {DAMAGED}",
                quoted(line)
            ))
        })
    }
}

fn head(lines: &mut Lines<'_>) -> Result<Origin, Fault> {
    let format = match lines.next() {
        Ok(line) => line.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(' ')),
        // A text of one line without its end is no export that was cut.
        Err(cut) if lines.text.starts_with(MAGIC) => return Err(cut),
        Err(_) => None,
    };
    let Some(format) = format else {
        return Err(lines.fault(format!(
            "this is no export: one begins with `{MAGIC} {FORMAT}`, and `config export` makes it"
        )));
    };
    if format != FORMAT.to_string() {
        let line = lines.number;
        let version = lines
            .behind("version")
            .map_or_else(|_| String::new(), |version| format!(" ({})", quoted(version)));
        let text = format!(
            "{} is a form of exports that this version does not know (it knows {FORMAT}); import it into the version that has made it{version}, or bring \
             this machine to that version first",
            quoted(&format!("{MAGIC} {format}"))
        );
        return Err(Fault::unknown(line, text));
    }
    Ok(Origin {
        version: lines.behind("version")?.to_owned(),
        host: lines.behind("host")?.to_owned(),
        made: lines.behind("made")?.to_owned(),
    })
}

fn parts(lines: &mut Lines<'_>) -> Result<usize, Fault> {
    let count = lines.behind("parts")?;
    count
        .parse()
        .map_err(|_| lines.fault(format!("{} is no number of parts; {DAMAGED}", quoted(count))))
}

/// The last line, and nothing behind it.
fn end(lines: &mut Lines<'_>) -> Result<(), Fault> {
    let before = lines.at;
    let line = lines.next()?;
    let sums = line
        .strip_prefix("end ")
        .and_then(|rest| rest.split_once(" bytes, sha256 "));
    let Some((length, digest)) = sums else {
        return Err(lines.fault(format!("the line `end` belongs here: {NO_LINE}; {DAMAGED}")));
    };
    if length != before.to_string() || digest != sha256(&lines.text.as_bytes()[..before]) {
        return Err(lines.fault(format!(
            "the whole has another length or SHA-256 than this line says: {DAMAGED}"
        )));
    }
    match lines.at == lines.text.len() {
        true => Ok(()),
        false => {
            lines.number += 1;
            Err(lines.fault(
                "there is text behind the line `end`; take it away, nothing of it is part of the export",
            ))
        }
    }
}

/// The parts so far.
#[derive(Default)]
struct Found {
    configuration: Option<String>,
    drains: Option<String>,
    files: BTreeMap<String, Vec<u8>>,
    left_out: BTreeSet<String>,
    /// Parts that this version does not know, with the line of the first.
    unknown: Vec<String>,
    more_unknown: usize,
    unknown_at: usize,
}

impl Found {
    fn item(&mut self, lines: &mut Lines<'_>) -> Result<(), Fault> {
        let line = lines.next()?;
        if let Some(name) = line.strip_prefix("left-out ").filter(|name| is_plain_name(name)) {
            self.left_out.insert(name.to_owned());
            return Ok(());
        }
        let Some(part) = line.strip_prefix("part ").and_then(Part::parse) else {
            return Err(lines.fault(format!("{NO_LINE}; {DAMAGED}")));
        };
        let at = lines.number;
        let content = part.content(lines)?;
        let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.word() == part.kind) else {
            if self.unknown.is_empty() {
                self.unknown_at = at;
            }
            match self.unknown.len() < MOST_UNKNOWN {
                true => self.unknown.push(quoted(&format!("{} {}", part.kind, part.name))),
                false => self.more_unknown += 1,
            }
            return Ok(());
        };
        self.take(kind, part.name, content)
            .map_err(|text| Fault::at(at, text))
    }

    fn take(&mut self, kind: Kind, name: &str, content: Vec<u8>) -> Result<(), String> {
        match kind {
            Kind::Configuration | Kind::Drains => {
                let place = match kind {
                    Kind::Configuration => &mut self.configuration,
                    _ => &mut self.drains,
                };
                let text =
                    String::from_utf8(content).map_err(|_| format!("{} is no text (UTF-8)", quoted(name)))?;
                match place.replace(text) {
                    None => Ok(()),
                    Some(_) => Err(format!("{} is there twice; {DAMAGED}", quoted(kind.word()))),
                }
            }
            Kind::Certificate | Kind::Key => {
                if !may_hold(name, &content) {
                    return Err(format!(
                        "{} is neither a certificate nor a key in PEM; {DAMAGED}",
                        quoted(name)
                    ));
                }
                if (kind == Kind::Key) != holds_key(&content) {
                    return Err(format!("{} is not what its line says; {DAMAGED}", quoted(name)));
                }
                match self.files.insert(name.to_owned(), content) {
                    None => Ok(()),
                    Some(_) => Err(format!("{} is there twice; {DAMAGED}", quoted(name))),
                }
            }
        }
    }

    fn export(self, origin: Origin, own: &str) -> Result<Export, Fault> {
        if !self.unknown.is_empty() {
            let more = match self.more_unknown {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            return Err(Fault::unknown(
                self.unknown_at,
                format!(
                    "{}{more} is not known to this version ({own}), and would be lost; the export is of version {}: import it there, or bring this machine to \
                     that version first",
                    self.unknown.join(", "),
                    quoted(&origin.version)
                ),
            ));
        }
        let missing = |what: &str| Fault::at(1, format!("it has no part `{what}`; {DAMAGED}"));
        Ok(Export {
            origin,
            configuration: self.configuration.ok_or_else(|| missing("configuration"))?,
            drains: self.drains.ok_or_else(|| missing("drains"))?,
            files: self.files,
            left_out: self.left_out,
        })
    }
}

/// The line before a content.
struct Part<'t> {
    kind: &'t str,
    name: &'t str,
    form: Form,
    bytes: usize,
    sha256: &'t str,
}

impl<'t> Part<'t> {
    /// `key client.key text, 241 bytes, sha256 ...`.
    fn parse(line: &'t str) -> Option<Part<'t>> {
        let (what, rest) = line.split_once(", ")?;
        let (bytes, sha256) = rest.split_once(" bytes, sha256 ")?;
        let (what, form) = what.rsplit_once(' ')?;
        let (kind, name) = what.split_once(' ')?;
        let form = [Form::Text, Form::Base64]
            .into_iter()
            .find(|known| known.word() == form)?;
        Some(Part {
            kind,
            name,
            form,
            bytes: bytes.parse().ok()?,
            sha256,
        })
    }

    fn content(&self, lines: &mut Lines<'_>) -> Result<Vec<u8>, Fault> {
        let (first, mut content) = (lines.number + 1, Vec::new());
        while let Some(line) = lines.content()? {
            content.extend_from_slice(line.as_bytes());
            if self.form == Form::Text {
                content.push(b'\n');
            }
        }
        let place = first..=lines.number;
        if self.form == Form::Base64 {
            content = STANDARD
                .decode(&content)
                .map_err(|_| self.damaged(&place, "is no base64"))?;
        }
        if content.len() != self.bytes {
            let says = format!(
                "has {} bytes, and was exported with {}",
                content.len(),
                self.bytes
            );
            return Err(self.damaged(&place, &says));
        }
        match sha256(&content) == self.sha256 {
            true => Ok(content),
            false => Err(self.damaged(&place, "has another SHA-256 than was exported")),
        }
    }

    fn damaged(&self, lines: &RangeInclusive<usize>, says: &str) -> Fault {
        let name = quoted(self.name);
        let place = match lines.is_empty() {
            true => String::new(),
            false => format!(" (to line {})", lines.end()),
        };
        Fault::at(*lines.start(), format!("{name}{place} {says}: {DAMAGED}"))
    }
}
