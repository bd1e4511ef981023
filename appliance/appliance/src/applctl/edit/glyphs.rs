//! How each character of a line is shown: whatever it is, it takes its columns and drives nothing. Must not: draw.

use unicode_width::UnicodeWidthChar;

use super::text::character_length;

/// Columns between two tab stops.
const TAB: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Plain(char),
    Tab,
    /// `^M`.
    Control(u8),
    /// Of no UTF-8: `\xff`.
    Byte(u8),
    /// One that takes no column, or two, or steers the order of others: terminals do not agree about them. `\u65e5`.
    Code(char),
}

/// A character of a line, and where it is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glyph {
    pub byte: usize,
    pub column: usize,
    pub width: usize,
    pub shape: Shape,
}

impl Glyph {
    pub fn text(&self) -> String {
        match self.shape {
            Shape::Plain(character) => character.to_string(),
            Shape::Tab => format!("{:<width$}", '>', width = self.width),
            Shape::Control(byte) => format!("^{}", char::from(byte ^ 0x40)),
            Shape::Byte(byte) => format!("\\x{byte:02x}"),
            Shape::Code(character) => format!("\\u{:04x}", u32::from(character)),
        }
    }
}

fn shape(bytes: &[u8]) -> Shape {
    match std::str::from_utf8(bytes).map(|text| text.chars().next()) {
        Ok(Some('\t')) => Shape::Tab,
        Ok(Some(control)) if control.is_ascii_control() => Shape::Control(bytes[0]),
        Ok(Some(character)) if character.width() == Some(1) && character != '\u{ad}' => {
            Shape::Plain(character)
        }
        Ok(Some(character)) => Shape::Code(character),
        Ok(None) | Err(_) => Shape::Byte(bytes.first().copied().unwrap_or_default()),
    }
}

/// The characters of a line, from the left.
pub fn glyphs(line: &[u8]) -> impl Iterator<Item = Glyph> + '_ {
    let mut byte = 0;
    let mut column = 0;
    std::iter::from_fn(move || {
        let length = character_length(&line[byte..]);
        if length == 0 {
            return None;
        }
        let shape = shape(&line[byte..byte + length]);
        let width = match shape {
            Shape::Plain(_) => 1,
            Shape::Tab => TAB - column % TAB,
            Shape::Control(_) => 2,
            Shape::Byte(_) => 4,
            Shape::Code(character) => 2 + format!("{:04x}", u32::from(character)).len(),
        };
        let glyph = Glyph {
            byte,
            column,
            width,
            shape,
        };
        byte += length;
        column += width;
        Some(glyph)
    })
}

/// The column in which the character at this byte is seen, or that behind the last one.
pub fn column_of(line: &[u8], byte: usize) -> usize {
    let before = glyphs(line).take_while(|glyph| glyph.byte < byte);
    before.last().map_or(0, |glyph| glyph.column + glyph.width)
}

/// The byte of the character that is seen in this column, or the end.
pub fn byte_at(line: &[u8], column: usize) -> usize {
    let found = glyphs(line).find(|glyph| glyph.column + glyph.width > column);
    found.map_or(line.len(), |glyph| glyph.byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(line: &[u8]) -> String {
        glyphs(line).map(|glyph| glyph.text()).collect()
    }

    #[test]
    fn everything_is_seen() {
        assert_eq!(shown(b"a\tb\r"), "a>  b^M");
        assert_eq!(shown("ä\u{7f}\u{1b}[2J\0".as_bytes()), "ä^?^[[2J^@");
        assert_eq!(shown(b"x\xff\xc3"), "x\\xff\\xc3");
        assert_eq!(
            shown("日\u{301}\u{202e}\u{85}".as_bytes()),
            "\\u65e5\\u0301\\u202e\\u0085"
        );
        assert_eq!(shown("😀".as_bytes()), "\\u1f600");
    }

    #[test]
    fn columns_and_bytes_find_each_other() {
        let line = "a\tü\u{1b}z".as_bytes();
        for (byte, column) in [(0, 0), (1, 1), (2, 4), (4, 5), (5, 7), (6, 8)] {
            assert_eq!(column_of(line, byte), column);
            assert_eq!(byte_at(line, column), byte);
        }
        // Within a character it is that character.
        assert_eq!((byte_at(line, 2), byte_at(line, 6), byte_at(line, 99)), (1, 4, 6));
    }

    proptest! {
        /// What is shown is one column wide each, as many as were said, and never a control character.
        #[test]
        fn nothing_drives_the_terminal(bytes: Vec<u8>) {
            let mut column = 0;
            for glyph in glyphs(&bytes) {
                prop_assert_eq!(glyph.column, column);
                let text = glyph.text();
                prop_assert!(text.chars().all(|c| c.width() == Some(1)), "{:?}", text);
                prop_assert_eq!(text.chars().count(), glyph.width);
                column += glyph.width;
            }
        }
    }
}
