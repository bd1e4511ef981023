//! Byte offsets of a text as lines and columns.
//! Must not: know what the text means, or how it is shown.

use std::cell::OnceCell;
use std::ops::Range;

/// Where something is, as an operator counts: both from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub line: usize,
    pub column: usize,
}

/// The lines of a text.
#[derive(Debug)]
pub(super) struct Lines<'t> {
    text: &'t str,
    /// See [`Lines::starts`]: a file without faults is never asked for a line.
    found: OnceCell<Vec<usize>>,
}

impl<'t> Lines<'t> {
    pub fn new(text: &'t str) -> Lines<'t> {
        Lines {
            text,
            found: OnceCell::new(),
        }
    }

    /// Offset of each line's first byte; the first is after a byte order mark.
    fn starts(&self) -> &[usize] {
        self.found.get_or_init(|| {
            let mark = '\u{feff}';
            let first = if self.text.starts_with(mark) {
                mark.len_utf8()
            } else {
                0
            };
            let newlines = self.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
            let starts = std::iter::once(first);
            starts.chain(newlines.map(|(at, _)| at + 1)).collect()
        })
    }

    /// The number of the line that holds this byte.
    pub fn number(&self, offset: usize) -> usize {
        self.starts().partition_point(|start| *start <= offset).max(1)
    }

    /// The bytes of a line, without its end.
    pub fn range(&self, number: usize) -> Range<usize> {
        let start = self.starts()[number - 1];
        let end = self.starts().get(number).map_or(self.text.len(), |next| next - 1);
        let line = &self.text[start..end];
        start..start + line.strip_suffix('\r').unwrap_or(line).len()
    }

    pub fn text(&self) -> &'t str {
        self.text
    }

    /// The nearest offset at or before this one at which a character of the text begins or the text ends.
    pub fn clamp(&self, offset: usize) -> usize {
        self.text.floor_char_boundary(offset).max(self.starts()[0])
    }

    /// For ascending offsets: each byte of a line is looked at once, however many places are asked for.
    pub fn places(&self) -> Places<'_, 't> {
        Places {
            lines: self,
            offset: self.starts()[0],
            place: Place { line: 1, column: 1 },
        }
    }
}

/// Turns ascending offsets into places.
#[derive(Debug)]
pub(super) struct Places<'l, 't> {
    lines: &'l Lines<'t>,
    offset: usize,
    place: Place,
}

impl Places<'_, '_> {
    pub fn next(&mut self, offset: usize) -> Place {
        let offset = self.lines.clamp(offset).max(self.offset);
        let line = self.lines.number(offset);
        if line != self.place.line {
            self.place = Place { line, column: 1 };
            self.offset = self.lines.starts()[line - 1];
        }
        self.place.column += self.lines.text[self.offset..offset].chars().count();
        self.offset = offset;
        self.place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_become_lines_and_columns_in_characters() {
        let text = "a\nä=1\r\n\nlast";
        let lines = Lines::new(text);
        let mut places = lines.places();
        for (needle, line, column) in [("a", 1, 1), ("ä", 2, 1), ("=", 2, 2), ("1", 2, 3), ("st", 4, 3)] {
            let place = places.next(text.find(needle).unwrap());
            assert_eq!(place, Place { line, column }, "{needle}");
        }
        assert_eq!(places.next(usize::MAX), Place { line: 4, column: 5 });
        let shown: Vec<&str> = (1..=4).map(|n| &text[lines.range(n)]).collect();
        assert_eq!(shown, ["a", "ä=1", "", "last"]);
    }

    #[test]
    fn a_byte_order_mark_takes_no_column() {
        let lines = Lines::new("\u{feff}x = 1");
        assert_eq!(lines.places().next(3), Place { line: 1, column: 1 });
        assert_eq!(lines.places().next(0), Place { line: 1, column: 1 });
        assert_eq!(&lines.text()[lines.range(1)], "x = 1");
    }

    #[test]
    fn an_empty_text_has_one_line() {
        let lines = Lines::new("");
        assert_eq!(lines.places().next(7), Place { line: 1, column: 1 });
        assert_eq!(lines.range(1), 0..0);
    }
}
