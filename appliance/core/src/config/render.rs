//! Faults as text for a terminal of 80 columns: `FILE:LINE:COLUMN: message`, the line, a caret, and what is allowed.
//! Must not: let a control character of the text through, or put the caret beside the place (tabs, wide characters,
//! lines longer than the terminal).

use std::fmt::Write;
use std::ops::Range;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::fault::Fault;
use super::lines::Lines;

const COLUMNS: usize = 80;
/// More than this scroll away unread; the rest is counted.
const MAX_SHOWN: usize = 50;
/// How a line goes on where it was cut.
const CUT: &str = "...";

pub(super) fn render(faults: &[Fault], count: usize, file_name: &str, text: &str) -> String {
    let lines = Lines::new(text);
    let mut places = lines.places();
    let mut file = String::new();
    file_name.chars().for_each(|c| push_harmless(&mut file, c));
    let mut out = String::new();
    for fault in faults.iter().take(MAX_SHOWN) {
        let place = places.next(fault.span.start);
        let head = format!("{file}:{}:{}: {}", place.line, place.column, fault.message);
        wrap(&mut out, &head, "    ");
        excerpt(&mut out, &lines, place.line, &fault.span);
        wrap(&mut out, &format!("help: {}", fault.help), "      ");
        out.push('\n');
    }
    let shown = faults.len().min(MAX_SHOWN);
    if count > shown {
        let _ = writeln!(out, "... and {} more", count - shown);
    }
    let noun = if count == 1 { "fault" } else { "faults" };
    wrap(&mut out, &format!("{count} {noun} in {file}"), "    ");
    out
}

/// The line with its number, and carets under the part that the span covers.
fn excerpt(out: &mut String, lines: &Lines<'_>, number: usize, span: &Range<usize>) {
    let gutter = number.to_string();
    let room = COLUMNS - gutter.len() - 3;
    let line = lines.range(number);
    let start = lines.clamp(span.start).min(line.end);
    let end = lines.clamp(span.end).clamp(start, line.end);
    let window = Window::around(
        &lines.text()[line.clone()],
        start - line.start..end - line.start,
        room,
    );
    let _ = writeln!(out, "{}", format!("{gutter} | {}", window.shown).trim_end());
    let blank = " ".repeat(gutter.len());
    let _ = writeln!(
        out,
        "{blank} | {}{}",
        " ".repeat(window.caret.start),
        "^".repeat(window.caret.len())
    );
}

/// The part of a line that is shown, and the columns of the caret in it.
struct Window {
    shown: String,
    caret: Range<usize>,
}

impl Window {
    /// Looks at no more of the line than fits, however long it is.
    fn around(line: &str, span: Range<usize>, room: usize) -> Window {
        let (before, after) = line.split_at(span.start);
        let whole = take_columns(line.chars(), room);
        // A caret behind the end needs a column of its own.
        let columns = whole.columns + usize::from(after.is_empty());
        let (from, to) = if whole.bytes == line.len() && columns <= room {
            (0, line.len())
        } else {
            // The caret's part comes first, up to half of the room; what it leaves goes to what stands before it.
            let inner = room - 2 * CUT.len();
            let wanted = take_columns(after.chars(), inner / 2);
            let left = take_columns(before.chars().rev(), inner - wanted.columns);
            let right = take_columns(after.chars(), inner - left.columns);
            (span.start - left.bytes, span.start + right.bytes)
        };
        let mut shown = String::new();
        if from > 0 {
            shown.push_str(CUT);
        }
        let start = shown.len() + take_columns(line[from..span.start].chars(), usize::MAX).columns;
        line[from..to].chars().for_each(|c| push_harmless(&mut shown, c));
        if to < line.len() {
            shown.push_str(CUT);
        }
        let covered = take_columns(line[span.start..span.end.min(to)].chars(), usize::MAX).columns;
        Window {
            shown,
            caret: start..start + covered.max(1),
        }
    }
}

/// How much of a text fits.
struct Taken {
    bytes: usize,
    columns: usize,
}

fn take_columns(chars: impl Iterator<Item = char>, room: usize) -> Taken {
    let mut taken = Taken { bytes: 0, columns: 0 };
    let mut buffer = String::new();
    for c in chars {
        buffer.clear();
        push_harmless(&mut buffer, c);
        let width = buffer.width();
        if taken.columns + width > room {
            break;
        }
        taken.bytes += c.len_utf8();
        taken.columns += width;
    }
    taken
}

/// Appends a character as it may be shown: a tab as spaces, what has no width or moves the cursor as its code.
pub(super) fn push_harmless(out: &mut String, c: char) {
    match c {
        '\t' => out.push_str("    "),
        _ if c.width().unwrap_or(0) > 0 && !is_format(c) => out.push(c),
        _ => out.extend(c.escape_unicode()),
    }
}

/// Characters with a width that nevertheless reorder or hide their neighbours.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}

/// Writes a text in lines of at most 80 columns, broken at spaces; words that are longer than a line are broken anywhere.
fn wrap(out: &mut String, text: &str, indent: &str) {
    let mut column = 0;
    for word in text.split(' ') {
        let width = word.width();
        if column > 0 && column + 1 + width > COLUMNS && width <= COLUMNS - indent.len() {
            out.push('\n');
            out.push_str(indent);
            column = indent.len();
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        for c in word.chars() {
            let w = c.width().unwrap_or(0);
            if column + w > COLUMNS {
                out.push('\n');
                out.push_str(indent);
                column = indent.len();
            }
            out.push(c);
            column += w;
        }
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::fault::{Faults, Wrong};
    use super::*;

    fn shown(text: &str, span: Range<usize>) -> String {
        Faults::one(span, Wrong::new("wrong", "right")).render("f", text)
    }

    /// The line and the caret's line of the only fault.
    fn lines(text: &str, span: Range<usize>) -> (String, String) {
        let shown = shown(text, span);
        let mut lines = shown.lines().skip(1).map(str::to_owned);
        (lines.next().unwrap(), lines.next().unwrap())
    }

    #[test]
    fn the_caret_is_under_its_place_whatever_stands_before_it() {
        for (before, width) in [
            ("", 0),
            ("ab", 2),
            ("\t", 4),
            ("漢", 2),
            ("é", 1),
            ("\u{1b}", 6),
            ("e\u{301}", 8),
        ] {
            let text = format!("{before}XY after");
            let (_, caret) = lines(&text, before.len()..before.len() + 2);
            assert_eq!(caret, format!("  | {}^^", " ".repeat(width)), "{before:?}");
        }
    }

    #[test]
    fn a_span_ends_with_its_line_and_covers_at_least_one_column() {
        assert_eq!(lines("ab\ncd", 1..5), ("1 | ab".to_owned(), "  |  ^".to_owned()));
        assert_eq!(lines("ab\ncd", 2..2), ("1 | ab".to_owned(), "  |   ^".to_owned()));
        assert_eq!(lines("ab", 90..99), ("1 | ab".to_owned(), "  |   ^".to_owned()));
        assert_eq!(lines("", 0..0), ("1 |".to_owned(), "  | ^".to_owned()));
        // Within a character: at its beginning.
        assert_eq!(lines("é", 1..1), ("1 | é".to_owned(), "  | ^".to_owned()));
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        for place in [0, 10, 75, 76, 500, 990, 998, 1_000] {
            let text: String = ('a'..='z').cycle().take(1_000).collect();
            let (line, caret) = lines(&text, place..place + 2);
            assert!(line.len() <= COLUMNS, "{line}");
            let column = caret.find('^').unwrap();
            let expected = text[place..].chars().next().map_or(line.len(), |_| column);
            assert_eq!(column, expected, "{place}");
            assert!(
                line[column..].starts_with(&text[place..(place + 1).min(1_000)]),
                "{place} {line}"
            );
            assert_eq!(line.starts_with("1 | ..."), place > 70, "{place} {line}");
            assert_eq!(line.ends_with(CUT), place < 970, "{place} {line}");
        }
    }

    #[test]
    fn a_caret_behind_a_line_that_just_fits_fits_as_well() {
        for length in 74..80 {
            let text = shown(&"x".repeat(length), length..length);
            assert!(text.lines().all(|line| line.width() <= COLUMNS), "{text}");
            assert!(text.contains('^'), "{text}");
        }
    }

    #[test]
    fn names_and_words_of_any_length_fit() {
        let text = "x";
        let faults = Faults::one(
            0..1,
            Wrong::new("m".repeat(300), format!("h {}", "y z ".repeat(100))),
        );
        let shown = faults.render(&format!("\u{1b}[2J{}", "n".repeat(200)), text);
        assert!(shown.lines().all(|line| line.width() <= COLUMNS), "{shown}");
        assert!(shown.starts_with("\\u{1b}[2Jnnn"), "{shown}");
        assert!(!shown.contains('\u{1b}'));
    }
}
