//! The lines of keepalived.conf as they count: without comments, with included files in their place, variables replaced,
//! sequences written out. Must not: know directives.

use std::collections::BTreeMap;

use super::super::remarks::{Place, Remarks, shown};
use super::super::{MOST_BYTES, remarks};
use super::sequence;

/// A file that `include` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Included {
    /// As remarks call it.
    pub name: String,
    pub text: String,
}

/// Finds the files of an `include`: from the name of the file that it stands in and the pattern. `None`: there is no way to
/// look.
pub(super) type Include<'i> = &'i mut dyn FnMut(&str, &str) -> Option<Vec<Included>>;

/// Files within files, and variables within variables.
const DEEPEST: usize = 16;
/// Numbers and such are a few bytes; what is longer than all that a line can hold is an accident.
const LONGEST_LINE: usize = 64 << 10;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Open,
    Close,
    End,
}

pub(super) struct Lines<'r, 'i> {
    pub remarks: &'r mut Remarks,
    pub tokens: Vec<(Place, Token)>,
    pub(super) variables: BTreeMap<String, String>,
    include: Include<'i>,
    /// What may still be made of the text.
    left: usize,
    full: bool,
}

impl<'r, 'i> Lines<'r, 'i> {
    pub fn new(remarks: &'r mut Remarks, include: Include<'i>) -> Lines<'r, 'i> {
        Lines {
            remarks,
            tokens: Vec::new(),
            variables: BTreeMap::new(),
            include,
            left: MOST_BYTES,
            full: false,
        }
    }

    pub fn file(&mut self, file: usize, name: &str, text: &str, depth: usize) {
        let mut lines = text.lines().enumerate();
        while let Some((index, raw)) = lines.next() {
            let place = Place {
                file,
                line: index + 1,
            };
            let line = without_comment(raw).trim();
            if line.is_empty() {
                continue;
            }
            if let Some(pattern) = included(line) {
                // ${_PWD} is where this file is, and so is what has no other place.
                let pattern = pattern.replace("${_PWD}/", "");
                let pattern = self.replaced(&pattern).unwrap_or(pattern);
                self.included(place, name, &pattern, depth);
                continue;
            }
            let Some((variable, value)) = definition(line) else {
                self.line(place, line, 0);
                continue;
            };
            let mut value = value.to_owned();
            if value.ends_with('\\') {
                value = multi_line(&value, &mut lines);
            }
            self.variables.insert(variable.to_owned(), value);
        }
    }

    fn included(&mut self, place: Place, from: &str, pattern: &str, depth: usize) {
        let pattern = pattern.trim_matches(['"', '\'']);
        if depth >= DEEPEST {
            self.remarks.fault(
                place,
                "files are included too deeply, perhaps in a circle; this one is left out",
            );
            return;
        }
        let found = (self.include)(from, pattern);
        let Some(found) = found else {
            let message = format!(
                "{} cannot be read from here: paste it in the place of this line",
                shown(pattern)
            );
            self.remarks.fault(place, message);
            return;
        };
        if found.is_empty() {
            self.remarks
                .fault(place, format!("no file is found for {}", shown(pattern)));
        }
        for Included { name, text } in found {
            if self.spend(place, text.len()) {
                let file = self.remarks.file(&name);
                self.file(file, &name, &text, depth + 1);
            }
        }
    }

    /// Whether so many bytes more may be made; tells once that they may not.
    pub(super) fn spend(&mut self, place: Place, bytes: usize) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) if !self.full => self.left = left,
            _ => {
                if !self.full {
                    let message = "with what is included and repeated the text is larger than 2 MiB; the rest is left out";
                    self.remarks.fault(place, message);
                }
                self.full = true;
            }
        }
        !self.full
    }

    /// One line, or what a variable or a sequence made of it.
    pub(super) fn line(&mut self, place: Place, line: &str, depth: usize) {
        if line.is_empty() || !self.spend(place, line.len()) {
            return;
        }
        if let Some(condition) = line.strip_prefix('@') {
            let id = condition.split_whitespace().next().unwrap_or_default();
            let message = format!(
                "it counts only for a config-id (`@{}`), which the file does not tell; remove the mark if it is meant",
                shown(id)
            );
            self.remarks.fault(place, message);
            return;
        }
        if line.starts_with("~SEQ") || line.starts_with("~LST") {
            sequence::expand(self, place, line, depth);
            return;
        }
        let Some(replaced) = self.named_sequence(line).or_else(|| self.replaced(line)) else {
            self.tokens(place, line);
            return;
        };
        if !self.spend(place, replaced.len()) {
            return;
        }
        if depth >= DEEPEST || replaced.len() > LONGEST_LINE {
            self.remarks.fault(
                place,
                "variables are replaced too often, perhaps in a circle; this line is left out",
            );
            return;
        }
        for part in replaced.lines() {
            let part = part.trim();
            match definition(part) {
                Some((variable, value)) => drop(self.variables.insert(variable.to_owned(), value.to_owned())),
                None => self.line(place, part, depth + 1),
            }
        }
    }

    /// A line that begins with the name of a sequence: what that repeats is replaced number by number.
    fn named_sequence(&self, line: &str) -> Option<String> {
        let (name, length) = line.starts_with('$').then(|| variable(line))?;
        let sequence = self.value(name).filter(|value| value.starts_with("~SEQ"))?;
        Some(format!("{sequence} {}", &line[length..]))
    }

    /// The line with the variables that it names; `None` if it names none that is defined.
    fn replaced(&self, line: &str) -> Option<String> {
        let mut out = String::new();
        let mut rest = line;
        let mut any = false;
        while let Some(at) = rest.find('$') {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            let (name, length) = variable(from);
            match self.value(name) {
                Some(value) => {
                    any = true;
                    out.push_str(value);
                }
                None => out.push_str(&from[..length]),
            }
            if out.len() > LONGEST_LINE {
                return Some(out);
            }
            rest = &from[length..];
        }
        out.push_str(rest);
        any.then_some(out)
    }

    fn value(&self, name: &str) -> Option<&str> {
        match name {
            "" => None,
            // A comment was taken away before; these stand for the characters themselves.
            "_HASH" => Some("#"),
            "_BANG" => Some("!"),
            name => self.variables.get(name).map(String::as_str),
        }
    }

    fn tokens(&mut self, place: Place, line: &str) {
        let (tokens, closed) = words(line);
        if !closed {
            self.remarks.fault(
                place,
                "a quotation has no end; it is taken to go to the end of the line",
            );
        }
        let undefined = |word: &String| word.find("${").map(|at| word[at..].to_owned());
        let unknown = tokens.iter().find_map(|token| match token {
            Token::Word(word) => undefined(word),
            _ => None,
        });
        if let Some(name) = unknown {
            let message = format!(
                "{} is not defined in this text: put its value in its place",
                remarks::shown(&name)
            );
            self.remarks.fault(place, message);
        }
        self.tokens.extend(tokens.into_iter().map(|token| (place, token)));
        self.tokens.push((place, Token::End));
    }
}

/// What `include` and its relatives name.
fn included(line: &str) -> Option<&str> {
    let (word, pattern) = line.split_once(char::is_whitespace)?;
    let known = [
        "include", "includer", "includem", "includew", "includeb", "includea",
    ];
    known.contains(&word).then(|| pattern.trim())
}

fn is_name(name: &str) -> bool {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    plain && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// `$NAME=VALUE`.
fn definition(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix('$')?.split_once('=')?;
    is_name(name).then(|| (name, value.trim()))
}

/// A value that goes on for as long as lines end with a backslash.
fn multi_line<'t>(first: &str, lines: &mut impl Iterator<Item = (usize, &'t str)>) -> String {
    let mut value = first.trim_end_matches('\\').trim().to_owned();
    for (_, raw) in lines {
        let line = without_comment(raw).trim();
        value.push('\n');
        value.push_str(line.trim_end_matches('\\').trim_end());
        if !line.ends_with('\\') {
            break;
        }
    }
    value
}

/// The name behind a `$`, and how many bytes it has with that: `${NAME}` anywhere, `$NAME` before a blank. No name: not one.
fn variable(from: &str) -> (&str, usize) {
    if let Some(braced) = from.strip_prefix("${") {
        let end = braced.bytes().take(LONGEST_NAME).position(|b| b == b'}');
        let name = end.map(|end| &braced[..end]).filter(|name| is_name(name));
        return name.map_or(("", 1), |name| (name, name.len() + 3));
    }
    let name = from[1..]
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .next()
        .unwrap_or_default();
    let ends = from[1 + name.len()..]
        .chars()
        .next()
        .is_none_or(char::is_whitespace);
    if ends && is_name(name) {
        (name, name.len() + 1)
    } else {
        ("", 1)
    }
}

/// So far a closing brace is looked for.
const LONGEST_NAME: usize = 128;

/// `#` and `!` begin a comment, but for those in a quotation.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '#' | '!') => return &line[..at],
            _ => {}
        }
    }
    line
}

/// Words, with quotations as keepalived.conf(5) describes them, and braces. `false`: a quotation does not end.
fn words(line: &str) -> (Vec<Token>, bool) {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), '\\') => {
                let escaped = chars.next().map(unescaped).unwrap_or_default();
                word.get_or_insert_default().push(escaped);
            }
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '$') if chars.peek() == Some(&'{') => {
                let name = word.get_or_insert_default();
                name.push('$');
                name.extend(chars.by_ref().take_while(|c| *c != '}'));
                name.push('}');
            }
            (None, '{' | '}') => {
                tokens.extend(word.take().map(Token::Word));
                tokens.push(if c == '{' { Token::Open } else { Token::Close });
            }
            (None, c) if c.is_whitespace() => tokens.extend(word.take().map(Token::Word)),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    tokens.extend(word.map(Token::Word));
    (tokens, quote.is_none())
}

fn unescaped(c: char) -> char {
    match c {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_quotations_and_braces() {
        assert_eq!(without_comment("a # b"), "a ");
        assert_eq!(without_comment("a \"# !\" b ! c"), "a \"# !\" b ");
        let word = |text: &str| Token::Word(text.to_owned());
        let (tokens, closed) = words("url{ path \"/a b\"'c' ${X}.1 }");
        assert!(closed);
        let expected = [
            word("url"),
            Token::Open,
            word("path"),
            word("/a bc"),
            word("${X}.1"),
            Token::Close,
        ];
        assert_eq!(tokens, expected);
        assert!(!words("path \"/a").1);
    }
}
