//! The TOML parser's errors in an operator's words: what is wrong with a statement, and how it is written right.
//! Must not: know the keys of lb.toml.

use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;
use toml_parser::Source;
use toml_parser::lexer::TokenKind;

use super::fault::{Wrong, quoted};

/// What can stand on a line.
const LINES: &str = "a line is KEY = VALUE, [TABLE], [[TABLE]] or a # comment";

/// The place and the words for what the parser says about a statement.
pub(super) fn explain(source: &str, span: Range<usize>, message: &str) -> (Range<usize>, Wrong) {
    let span = source.floor_char_boundary(span.start)..source.ceil_char_boundary(span.end);
    let is = |start: &str| message.starts_with(start);
    if let Some(found) = control_character(source) {
        return found;
    }
    if let Some(brace) = source.chars().next().filter(|c| "{}()".contains(*c)) {
        return (0..1, Wrong::new(format!("`{brace}` cannot begin a line"), LINES));
    }
    if source.starts_with('[') && !is("duplicate") {
        return (0..first_line(source).len(), header(source));
    }
    if is("key with no value") {
        return (0..first_line(source).len(), no_value(source));
    }
    if is("invalid basic string") || is("invalid literal string") || is("invalid multi-line") {
        return open_string(source).unwrap_or_else(|| (span, no_value(source)));
    }
    if is("string values must be quoted")
        || is("invalid") && !is("invalid unquoted key")
        || is("unexpected leading")
    {
        return value(source, span);
    }
    (span.clone(), elsewhere(source, &span, message))
}

/// The first character that TOML forbids everywhere; what else is wrong beside it hardly matters.
fn control_character(source: &str) -> Option<(Range<usize>, Wrong)> {
    let mut chars = source.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let ends_line = c == '\r' && chars.peek().is_some_and(|(_, next)| *next == '\n');
        if c.is_ascii_control() && !"\t\n".contains(c) && !ends_line {
            let message = format!("the control character U+{:04X}", u32::from(c));
            return Some((
                at..at + 1,
                Wrong::new(message, "lb.toml is plain text; remove the character"),
            ));
        }
    }
    None
}

fn first_line(source: &str) -> &str {
    source.lines().next().unwrap_or_default().trim_end()
}

fn header(source: &str) -> Wrong {
    let name: String = source
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "_.-".contains(*c))
        .collect();
    let message = format!("{} is no table header", quoted(first_line(source)));
    let known = [
        "interface",
        "masquerade",
        "virtual_server",
        "virtual_server.real_server",
    ];
    let help = if known.contains(&name.as_str()) {
        format!("write [[{name}]], and nothing else but a # comment on its line")
    } else {
        "write [[NAME]] or [NAME], and nothing else but a # comment on its line".to_owned()
    };
    Wrong::new(message, help)
}

fn no_value(source: &str) -> Wrong {
    let line = first_line(source);
    if let Some((key, value)) = line.split_once(':').filter(|(_, value)| !value.trim().is_empty()) {
        let sign = if value.starts_with('=') { "`:=`" } else { "`:`" };
        let key = key.trim_matches([' ', '\t', '"', '\'', '-']);
        let value = value
            .strip_prefix('=')
            .unwrap_or(value)
            .trim()
            .trim_end_matches(',');
        let example = quoted(&format!("{key} = {value}"));
        return Wrong::new(
            format!("{sign} where `=` belongs"),
            format!("write {example}, with text in quotes"),
        );
    }
    Wrong::new(
        format!("{} is a key without `=` and a value", quoted(line)),
        LINES,
    )
}

/// A string whose last quote is missing, at its first one.
pub(super) fn open_string(source: &str) -> Option<(Range<usize>, Wrong)> {
    let token = Source::new(source).lex().find(|token| {
        let text = &source[token.span().start()..token.span().end()];
        let closed = |quote: &str| text.len() >= 2 * quote.len() && text.ends_with(quote);
        match token.kind() {
            TokenKind::BasicString => !closed("\"") || text.ends_with("\\\"") && !text.ends_with("\\\\\""),
            TokenKind::LiteralString => !closed("'"),
            TokenKind::MlBasicString => !closed("\"\"\""),
            TokenKind::MlLiteralString => !closed("'''"),
            _ => false,
        }
    })?;
    let span = token.span().start()..token.span().end();
    let help = match token.kind() {
        TokenKind::BasicString => "close it with `\"` on the same line",
        TokenKind::LiteralString => "close it with `'` on the same line",
        _ => "a text that begins with three quotes ends with three; use one, as in \"text\"",
    };
    Some((span, Wrong::new("the text that begins here is not closed", help)))
}

/// A value that is neither text in quotes nor a number.
fn value(source: &str, span: Range<usize>) -> (Range<usize>, Wrong) {
    let separators = [',', '[', ']', '{', '}', '=', '\n', '#'];
    let start = source[..span.start].rfind(separators).map_or(0, |at| at + 1);
    let end = source[span.start..]
        .find(separators)
        .map_or(source.len(), |at| span.start + at);
    let raw = &source[start..end];
    let start = start + (raw.len() - raw.trim_start().len());
    let raw = raw.trim();
    let place = start..start + raw.len();
    if raw.is_empty() {
        return (span, Wrong::new("a value is missing here", LINES));
    }
    let shown = quoted(raw);
    let bare = raw.trim_matches(['“', '”', '„', '‘', '’', '«', '»', '"', '\'']);
    let is_address = bare.parse::<IpAddr>().is_ok() || bare.parse::<IpNet>().is_ok();
    let is_number = !is_address && raw.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+');
    let (message, help) = if bare.len() < raw.len() && !raw.starts_with(['"', '\'']) {
        (
            format!("{shown} is in typographic quotes"),
            format!("use the plain ones: \"{}\"", harmless(bare)),
        )
    } else if is_number && raw.bytes().all(|b| b.is_ascii_digit()) {
        let number = raw[..raw.len() - 1].trim_start_matches('0').to_owned() + &raw[raw.len() - 1..];
        (format!("{shown} has a leading zero"), format!("write {number}"))
    } else if bare.contains(['"', '\'', '\\']) || bare.chars().any(char::is_control) {
        (
            format!("{shown} is no value"),
            "text goes in double quotes, such as \"eth0\"".to_owned(),
        )
    } else if let Some(word) = truth(bare) {
        (
            format!("{shown} is text without quotes"),
            format!(
                "write {word} if it is a matter of yes or no, and \"{}\" if it is a text",
                harmless(bare)
            ),
        )
    } else {
        (
            format!("{shown} is text without quotes"),
            format!("write \"{}\"", harmless(bare)),
        )
    };
    (place, Wrong::new(message, help))
}

/// What other languages say for true and false.
fn truth(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "enable" | "enabled" => Some("true"),
        "false" | "no" | "off" | "disable" | "disabled" => Some("false"),
        _ => None,
    }
}

/// The text of [`quoted`], without its marks.
fn harmless(text: &str) -> String {
    quoted(text).trim_matches('`').to_owned()
}

/// What else the parser says, by how it begins; and the same in other words, with the remedy.
const SAYINGS: [(&str, &str, &str); 8] = [
    (
        "extra `=`",
        "there is one `=` too many",
        "one `=` stands between a key and its value",
    ),
    (
        "missing escaped value",
        "`\\` begins an escape sequence that is not known",
        "write \\\\ for one backslash",
    ),
    ("unquoted keys cannot be empty", "a key is missing here", LINES),
    ("recursion limit", DEEP, SHALLOW),
    ("cannot recurse", DEEP, SHALLOW),
    ("missing comma", NO_COMMA, COMMAS),
    ("extra assignment", NO_COMMA, COMMAS),
    (
        "duplicate key",
        "this key is given twice",
        "a key may be given once in its table; remove one of the two",
    ),
];
const DEEP: &str = "too deeply nested";
const SHALLOW: &str = "lb.toml needs at most three tables within each other";
const NO_COMMA: &str = "a comma is missing here";
const COMMAS: &str = "elements of a list and keys of an inline table are separated by commas";

fn elsewhere(source: &str, span: &Range<usize>, message: &str) -> Wrong {
    if message.starts_with("invalid unquoted key") {
        if let Some(space) = odd_space(&source[span.clone()]) {
            return space;
        }
        let found = quoted(&source[span.clone()]);
        let help = "keys are letters, digits, `_` and `-`, without quotes";
        return Wrong::new(format!("{found} cannot be in a key"), help);
    }
    if message.starts_with("unexpected key or value") {
        return behind(source, span.start);
    }
    if let Some((_, what, help)) = SAYINGS.iter().find(|(start, ..)| message.starts_with(start)) {
        return Wrong::new(*what, *help);
    }
    match message.split_once(", expected ") {
        Some((what, expected)) => Wrong::new(what, format!("expected: {expected}")),
        None => Wrong::new(message, LINES),
    }
}

/// A statement goes on where it should be over.
fn behind(source: &str, start: usize) -> Wrong {
    let line = source[..start].rfind('\n').map_or(0, |at| at + 1);
    let before = &source[line..start];
    if before.trim_end().ends_with("=>") {
        return Wrong::new("`=>` where `=` belongs", "write KEY = VALUE");
    }
    if let Some(space) = odd_space(before.trim_end_matches([' ', '\t'])) {
        return space;
    }
    let rest = first_line(&source[start..]).trim();
    let what = match rest.chars().next() {
        Some(';' | ',') if rest.len() == 1 => format!("{} behind the value", quoted(rest)),
        Some(_) => format!("{} is behind the value", quoted(rest)),
        None => "there is something behind the value".to_owned(),
    };
    let help = match rest.chars().next() {
        Some(';' | ',') => {
            "a statement ends with its line; remove it, and what follows goes on a line of its own"
        }
        _ => "one KEY = VALUE on a line; a comment begins with #",
    };
    Wrong::new(what, help)
}

/// A text that ends with a space which is none for TOML: web pages and chat programs make such ones.
fn odd_space(text: &str) -> Option<Wrong> {
    let space = text
        .chars()
        .next_back()
        .filter(|c| c.is_whitespace() && !c.is_ascii())?;
    Some(Wrong::new(
        format!(
            "the space here is U+{:04X}, which is none for TOML",
            u32::from(space)
        ),
        "type an ordinary space in its place",
    ))
}
