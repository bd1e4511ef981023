//! haproxy.cfg as sections of lines of words: quotations, comments, variables, conditional blocks.
//! Must not: know directives.

use std::collections::BTreeMap;

use super::super::remarks::{Place, Remarks, shown};

/// Of a variable's value and name; a line of words is far shorter.
const LONGEST: usize = 1 << 10;
/// HAProxy's own limit is 2 KiB (LINESIZE), as long as nobody raises it.
const LONGEST_LINE: usize = 16 << 10;
/// Each keeps a copy of its defaults.
const MOST_SECTIONS: usize = 10_000;

#[derive(Debug, Clone)]
pub(super) struct Line {
    pub place: Place,
    pub words: Vec<String>,
}

impl Line {
    pub fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }

    /// The words from `index` on.
    pub fn from(&self, index: usize) -> &[String] {
        self.words.get(index..).unwrap_or_default()
    }
}

#[derive(Debug, Clone)]
pub(super) struct Section {
    pub place: Place,
    pub kind: String,
    /// The words behind the kind.
    pub head: Vec<String>,
    pub lines: Vec<Line>,
}

const SECTIONS: [&str; 21] = [
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "peers",
    "resolvers",
    "mailers",
    "userlist",
    "cache",
    "program",
    "ring",
    "http-errors",
    "log-forward",
    "log-profile",
    "fcgi-app",
    "crt-store",
    "traces",
    "acme",
    "dynamic-update",
    "namespace_list",
];

pub(super) fn sections(text: &str, remarks: &mut Remarks) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut variables = BTreeMap::new();
    let mut condition: Option<usize> = None;
    for (index, raw) in text.lines().enumerate() {
        let place = Place {
            file: 0,
            line: index + 1,
        };
        if raw.len() > LONGEST_LINE {
            remarks.fault(
                place,
                "this line is longer than any that HAProxy reads; it is left out",
            );
            continue;
        }
        let words = words(raw, place, &variables, remarks);
        let Some(first) = words.first() else {
            continue;
        };
        if first.starts_with('.') {
            condition = conditional(first, place, condition, remarks);
            continue;
        }
        if condition.is_some() {
            continue;
        }
        if SECTIONS.contains(&first.as_str()) && sections.len() == MOST_SECTIONS {
            remarks.fault(place, "there are more than 10000 sections; the rest is left out");
            break;
        }
        if let ("setenv" | "presetenv", [_, name, value, ..]) = (first.as_str(), words.as_slice()) {
            variables.insert(name.clone(), value.clone());
        }
        take(words, place, &mut sections, remarks);
    }
    sections
}

/// A line begins a section, or belongs to the last one.
fn take(words: Vec<String>, place: Place, sections: &mut Vec<Section>, remarks: &mut Remarks) {
    let (first, head) = words
        .split_first()
        .map_or(("", [].as_slice()), |(first, head)| (first.as_str(), head));
    if SECTIONS.contains(&first) {
        sections.push(Section {
            place,
            kind: first.to_owned(),
            head: head.to_vec(),
            lines: Vec::new(),
        });
        return;
    }
    match sections.last_mut() {
        Some(section) => section.lines.push(Line { place, words }),
        None => {
            let message = format!("{} stands before the first section; it is left out", shown(first));
            remarks.fault(place, message);
        }
    }
}

/// `.if` to `.endif`: what it depends on is not known here. Gives how deep one is inside.
fn conditional(word: &str, place: Place, inside: Option<usize>, remarks: &mut Remarks) -> Option<usize> {
    match (word, inside) {
        (".if", None) => {
            remarks.fault(
                place,
                "what stands between .if and .endif depends on HAProxy's surroundings, and is left out; keep the lines that are meant",
            );
            Some(1)
        }
        (".if", Some(depth)) => Some(depth + 1),
        (".endif", Some(depth)) => Some(depth - 1).filter(|depth| *depth > 0),
        (".elif" | ".else", inside) => inside,
        (_, inside) => {
            remarks.dropped(
                place,
                format!("{}: it is for HAProxy as it reads the file", shown(word)),
            );
            inside
        }
    }
}

/// The words of a line: section 2.2 of HAProxy's manual.
fn words(
    line: &str,
    place: Place,
    variables: &BTreeMap<String, String>,
    remarks: &mut Remarks,
) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (None, '#') => break,
            (_, '\\') => {
                let escaped = chars.next().map_or('\\', |(_, c)| unescaped(c));
                word.get_or_insert_default().push(escaped);
            }
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (_, '$') => {
                let (value, length) = variable(&line[at..], quote.is_some(), place, variables, remarks);
                word.get_or_insert_default().push_str(&value);
                while chars.next_if(|(next, _)| *next < at + length).is_some() {}
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        remarks.fault(
            place,
            "a quotation has no end; it is taken to go to the end of the line",
        );
    }
    words.extend(word);
    words
}

fn unescaped(c: char) -> char {
    match c {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        c => c,
    }
}

/// What stands for a variable, and how many bytes name it. `$NAME` counts in quotations only, `${NAME}` everywhere.
fn variable(
    text: &str,
    quoted: bool,
    place: Place,
    variables: &BTreeMap<String, String>,
    remarks: &mut Remarks,
) -> (String, usize) {
    let braced = text.strip_prefix("${");
    let (inner, length) = match braced {
        Some(inner) => {
            let Some(end) = inner.bytes().take(LONGEST).position(|b| b == b'}') else {
                return ("$".to_owned(), 1);
            };
            (&inner[..end], end + 3)
        }
        None if quoted => {
            let plain = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
            let length = text[1..].bytes().take_while(plain).count();
            (&text[1..=length], length + 1)
        }
        None => return ("$".to_owned(), 1),
    };
    // `${NAME-default}`, `${NAME[*]}`.
    let (name, default) = inner
        .split_once('-')
        .map_or((inner, None), |(name, default)| (name, Some(default)));
    let name = name.trim_end_matches("[*]");
    if name.is_empty() {
        return ("$".to_owned(), 1);
    }
    if let Some(value) = variables.get(name).map(String::as_str).or(default) {
        return (value.chars().take(LONGEST).collect(), length);
    }
    let message = format!(
        "the variable {} is set outside of this file: put its value in its place",
        shown(name)
    );
    remarks.fault(place, message);
    (format!("${{{name}}}"), length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_as_the_manual_describes_them() {
        let mut remarks = Remarks::new("haproxy.cfg");
        let place = Place { file: 0, line: 1 };
        let variables = BTreeMap::from([("PORT".to_owned(), "80".to_owned())]);
        let mut words = |line: &str| words(line, place, &variables, &mut remarks);
        assert_eq!(
            words(" server a\\ b 'c # $PORT' \"d $PORT\" # e"),
            ["server", "a b", "c # $PORT", "d 80"]
        );
        assert_eq!(
            words("bind *:${PORT} ${NAME-x} ${NONE} $PORT"),
            ["bind", "*:80", "x", "${NONE}", "$PORT"]
        );
        assert_eq!(words("  # nothing"), [""; 0]);
        assert_eq!(remarks.finish().len(), 1);
    }
}
