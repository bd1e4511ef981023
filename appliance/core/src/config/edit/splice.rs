//! What goes in and what goes out of a text, in bytes and whole lines.
//! Must not: know keys.

use std::ops::Range;

/// Something else in the place of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Splice {
    pub range: Range<usize>,
    pub text: String,
}

impl Splice {
    pub fn insert(at: usize, text: impl Into<String>) -> Splice {
        Splice {
            range: at..at,
            text: text.into(),
        }
    }

    pub fn remove(range: Range<usize>) -> Splice {
        Splice {
            range,
            text: String::new(),
        }
    }
}

/// The text with all of them; they do not overlap.
pub(super) fn apply(text: &str, mut splices: Vec<Splice>) -> String {
    splices.sort_by_key(|splice| (splice.range.start, splice.range.end));
    let mut result = text.to_owned();
    for splice in splices.into_iter().rev() {
        result.replace_range(splice.range, &splice.text);
    }
    result
}

/// The line end that the text has.
pub(super) fn line_end(text: &str) -> &'static str {
    match text.split_once('\n') {
        Some((first, _)) if first.ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

pub(super) fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

/// Behind the end of the line.
pub(super) fn line_behind(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |end| at + end + 1)
}

/// The blanks that a line begins with.
pub(super) fn indent(text: &str, at: usize) -> &str {
    let line = &text[line_start(text, at)..];
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// Lines behind the line of this byte. Behind a text without an end of its last line there is none either.
pub(super) fn lines_after(text: &str, at: usize, lines: &[String]) -> Splice {
    let end = line_end(text);
    let behind = line_behind(text, at);
    if text[..behind].ends_with('\n') {
        let all: String = lines.iter().map(|line| format!("{line}{end}")).collect();
        return Splice::insert(behind, all);
    }
    let all: String = lines.iter().map(|line| format!("{end}{line}")).collect();
    Splice::insert(text.len(), all)
}

/// Whole lines go; with a last line that has no end, that of the line before.
pub(super) fn remove_lines(text: &str, range: Range<usize>) -> Splice {
    let start = line_start(text, range.start);
    let end = line_behind(text, range.end);
    let cut = match end == text.len() && !text.ends_with('\n') {
        true if text[..start].ends_with("\r\n") => 2,
        true => usize::from(start > 0),
        false => 0,
    };
    Splice::remove(start - cut..end)
}

/// The line before the one that begins here, without its end.
pub(super) fn line_before(text: &str, start: usize) -> Option<Range<usize>> {
    let end = start.checked_sub(1)?;
    let begin = line_start(text, end);
    Some(begin..end)
}

/// Whether bytes between two statements are blanks and comments only: `gap` begins behind the first one.
pub(super) fn is_gap(gap: &str) -> bool {
    gap.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#')
    })
}
