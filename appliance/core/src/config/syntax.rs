//! Text to a TOML document, all syntax faults at once: a statement that cannot be read is reported and blanked, its
//! place kept, and the rest of the file is read as if it were a blank line. Must not: know the keys of lb.toml, but for
//! those of interfaces that everything else depends on.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, Error};
use toml_parser::Source;

use super::fault::{Wrong, quoted};
use super::reader::Reader;
use super::shape;
use super::statements::{Statement, split};
use super::syntax_words::{explain, open_string};

/// The parser keeps some 50 bytes for each word and sign of a text that is not read in parts.
const MAX_TOKENS: usize = 1_250_000;

/// What could not be read, as far as conclusions from the absence of something depend on it.
#[derive(Debug, Default)]
pub(super) struct Damage {
    /// A table's header: what belongs to which table is then unknown.
    everything: bool,
    /// Something about an interface.
    interfaces: bool,
    /// Where the headers of the tables begin that have lost a key.
    headers: BTreeSet<usize>,
}

impl Damage {
    /// Whether a table with this header may have had keys that it seems to lack.
    pub fn touches(&self, header: &Range<usize>) -> bool {
        self.everything || self.headers.contains(&header.start)
    }

    /// Whether there may be interfaces, addresses or names that are not known.
    pub fn hides_interfaces(&self) -> bool {
        self.everything || self.interfaces
    }
}

/// Whether the text is small enough to be parsed.
pub(super) fn refuse_excess(text: &str) -> Result<(), Wrong> {
    if Source::new(text).lex().nth(MAX_TOKENS).is_none() {
        return Ok(());
    }
    let message = format!("the file has more than {MAX_TOKENS} words and signs");
    Err(Wrong::new(
        message,
        "split the load over several appliances, or remove what is not configuration",
    ))
}

/// Reports every statement that is not TOML, and gives the text with these blanked. A text with too many of them is no
/// configuration; what comes after is not looked at.
pub(super) fn blank_faulty(reader: &mut Reader<'_>) -> String {
    let text = blank_carriage_returns(reader);
    let mut blanked = text.as_bytes().to_vec();
    let mut header = 0..0;
    let mut orphaned = false;
    for statement in split(&text) {
        if reader.faults.is_full() {
            reader.damage.everything = true;
            blank(&mut blanked[statement.span.start..]);
            break;
        }
        let source = &text[statement.span.clone()];
        if let Some((span, wrong)) = fault_of(source, &statement) {
            reader.faults.add(span, wrong);
            note(&mut reader.damage, source, &text[header.clone()], header.start);
            orphaned |= source.starts_with('[');
            blank(&mut blanked[statement.span]);
        } else if source.starts_with('[') && !(orphaned && source.contains('.')) {
            orphaned = false;
            header = statement.span;
        } else if orphaned {
            // It belongs to a table whose header is lost, and must not be taken for part of the one before.
            blank(&mut blanked[statement.span]);
        }
    }
    String::from_utf8(blanked).expect("whole statements became ASCII spaces")
}

fn blank(bytes: &mut [u8]) {
    bytes
        .iter_mut()
        .filter(|byte| **byte != b'\n')
        .for_each(|byte| *byte = b' ');
}

/// Line ends of another kind: the parser takes them for ends, the lines that an operator sees do not end there.
fn blank_carriage_returns(reader: &mut Reader<'_>) -> String {
    let mut bytes = reader.lines.text().as_bytes().to_vec();
    for at in 0..bytes.len() {
        if bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n') {
            bytes[at] = b' ';
            let help = "lines end with a line feed, or with a carriage return and a line feed";
            reader.fault(at..at + 1, "a carriage return that ends no line", help);
        }
    }
    String::from_utf8(bytes).expect("one ASCII character replaced another")
}

/// The first fault of a statement, with its place in the file.
fn fault_of(source: &str, statement: &Statement) -> Option<(Range<usize>, Wrong)> {
    let at_start = |(span, wrong): (Range<usize>, Wrong)| {
        (
            span.start + statement.span.start..span.end + statement.span.start,
            wrong,
        )
    };
    if let Some(at) = statement.unclosed {
        if let Some(found) = open_string(source) {
            return Some(at_start(found));
        }
        let open = &source[at - statement.span.start..][..1];
        let (what, close) = if open == "[" {
            ("list", ']')
        } else {
            ("table", '}')
        };
        let help = format!("close it with `{close}` before the next key or table begins");
        return Some((
            at..at + 1,
            Wrong::new(format!("the {what} that begins here is not closed"), help),
        ));
    }
    let error = DeTable::parse(source).err()?;
    Some(at_start(explain(
        source,
        error.span().unwrap_or(0..0),
        error.message(),
    )))
}

/// Keeps in mind what a lost statement may have said.
fn note(damage: &mut Damage, statement: &str, header: &str, header_start: usize) {
    let name = |text: &str| {
        let text = text.trim_start_matches(['[', ' ']);
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
        text[..end.unwrap_or(text.len())].to_owned()
    };
    match statement.as_bytes().first() {
        Some(b'#') => return,
        Some(b'[') => damage.everything = true,
        _ => {}
    }
    let key = shape::INTERFACE.closest(&name(statement));
    let identifies = matches!(key, Some("name" | "match" | "addresses"));
    if name(statement) == "interface" || name(header) == "interface" && identifies {
        damage.interfaces = true;
    }
    if !header.is_empty() {
        damage.headers.insert(header_start);
    }
}

/// Parses what is left, or the part of it that begins at `base`. Its faults are about statements together: keys and tables
/// that are there twice; `false`: there are others, and the parser may have given up on what comes behind.
pub(super) fn parse_rest<'i>(
    source: &'i str,
    base: usize,
    reader: &mut Reader<'_>,
) -> (Spanned<DeTable<'i>>, bool) {
    let (document, errors) = DeTable::parse_recoverable(source);
    let complete = errors.iter().all(|error| error.message() == DUPLICATE);
    for (handled, error) in errors.iter().enumerate() {
        if reader.faults.is_full() {
            reader.faults.count_unlisted(errors.len() - handled);
            reader.damage.everything = true;
            break;
        }
        reader.damage.everything |= error.message() != DUPLICATE || in_header(source, error);
        let (span, wrong) = explain_together(source, error, base, reader);
        reader.faults.add(span.start + base..span.end + base, wrong);
    }
    (document, complete)
}

/// What the parser says of a key or table that is there already.
const DUPLICATE: &str = "duplicate key";

fn line_of(source: &str, at: usize) -> (usize, &str) {
    let start = source[..at].rfind('\n').map_or(0, |newline| newline + 1);
    (start, source[start..].lines().next().unwrap_or_default())
}

fn in_header(source: &str, error: &Error) -> bool {
    let at = error
        .span()
        .map_or(0, |span| source.floor_char_boundary(span.start));
    line_of(source, at).1.trim_start().starts_with('[')
}

fn explain_together(source: &str, error: &Error, base: usize, reader: &Reader<'_>) -> (Range<usize>, Wrong) {
    let span = error.span().unwrap_or(0..0);
    let (start, line) = line_of(source, source.floor_char_boundary(span.start));
    if error.message() != DUPLICATE {
        let within = |at: usize| at.saturating_sub(start).min(line.len());
        let (span, wrong) = explain(line, within(span.start)..within(span.end), error.message());
        return (start + span.start..start + span.end, wrong);
    }
    let key = &source[span.clone()];
    let shown = quoted(key);
    if line.trim_start().starts_with('[') {
        let message = format!("{shown} is already there, as something else");
        let help = "[NAME] makes one table and may be there once; [[NAME]] makes one of a list, and comes \
                    before its [NAME.PART] and [[NAME.PART]]";
        return (span, Wrong::new(message, help));
    }
    let mut help = "a key may be given once in its table; remove one of the two".to_owned();
    if let Some(first) = first_of(source, key, span.start).map(|first| base + first) {
        help = format!("first given on {}; {help}", reader.line(&(first..first)));
    }
    (span, Wrong::new(format!("{shown} is given twice"), help))
}

/// Where the table that holds a duplicate key has that key first, if that is near.
fn first_of(source: &str, key: &str, second: usize) -> Option<usize> {
    const MAX_LINES: usize = 200;
    let mut first = None;
    let mut end = line_of(source, second).0;
    for _ in 0..MAX_LINES {
        if end == 0 {
            break;
        }
        let (start, line) = line_of(source, end - 1);
        let body = line.trim_start();
        if body.starts_with('[') {
            break;
        }
        if body
            .strip_prefix(key)
            .is_some_and(|rest| rest.trim_start().starts_with(['=', '.']))
        {
            first = Some(start);
        }
        end = start;
    }
    first
}
