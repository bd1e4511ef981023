//! Width, colour and cleanliness of text: all that comes from outside goes through [`clean`] before a terminal sees it.
//! Must not: know what the text is about.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Narrower than this nothing can be laid out; lines are then left to the terminal.
const NARROWEST: usize = 40;
/// Wider lines are hard to read.
const WIDEST: usize = 120;

/// What the output goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// In columns.
    pub width: usize,
    pub colour: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Strong,
    Faint,
    Good,
    Doubtful,
    Bad,
}

impl Tone {
    /// The parameter of SGR; empty where nothing is set.
    pub fn code(self) -> &'static str {
        match self {
            Tone::Plain => "",
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Good => "32",
            Tone::Doubtful => "33",
            Tone::Bad => "31",
        }
    }
}

impl Screen {
    /// For a terminal of that many columns.
    pub fn terminal(columns: usize, colour: bool) -> Screen {
        Screen {
            width: columns.clamp(NARROWEST, WIDEST),
            colour,
        }
    }

    /// Without colour.
    pub fn plain(columns: usize) -> Screen {
        Screen::terminal(columns, false)
    }

    /// The text between the escape sequences of its tone (ECMA-48, SGR).
    pub fn paint<'a>(&self, tone: Tone, text: &'a str) -> Cow<'a, str> {
        let code = tone.code();
        if self.colour && !text.is_empty() && !code.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m").into()
        } else {
            text.into()
        }
    }
}

/// Columns that the text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text without what could move the cursor or change the terminal.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        text.chars()
            .map(|c| if c.is_control() { '?' } else { c })
            .collect::<String>()
            .into()
    } else {
        text.into()
    }
}

/// Breaks at blanks so that no line is wider than `columns`; lines after the first are indented. A word that is wider
/// than that is cut.
pub fn wrap(text: &str, columns: usize, indent: usize) -> String {
    let columns = columns.max(8);
    let mut lines = vec![String::new()];
    for word in text.split_whitespace().flat_map(|word| pieces(word, columns)) {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(&word);
        } else if width(line) + 1 + width(&word) <= columns {
            line.push(' ');
            line.push_str(&word);
        } else {
            lines.push(word.into_owned());
        }
    }
    lines.join(&format!("\n{}", " ".repeat(indent)))
}

fn pieces(word: &str, columns: usize) -> Vec<Cow<'_, str>> {
    if width(word) <= columns {
        return vec![word.into()];
    }
    let mut pieces = Vec::new();
    let mut piece = String::new();
    for c in word.chars() {
        if width(&piece) + c.width().unwrap_or(0) > columns {
            pieces.push(std::mem::take(&mut piece).into());
        }
        piece.push(c);
    }
    pieces.push(piece.into());
    pieces
}

/// A sentence, wrapped and in one tone; ends with a line feed.
pub fn paragraph(sentence: &str, tone: Tone, screen: &Screen) -> String {
    let wrapped = wrap(&clean(sentence), screen.width, 0);
    wrapped
        .lines()
        .map(|line| format!("{}\n", screen.paint(tone, line)))
        .collect()
}

/// `label      value`, the value wrapped in its own column.
pub fn labelled(label: &str, value: &str, tone: Tone, screen: &Screen) -> String {
    const LABEL: usize = 16;
    let value = wrap(&clean(value), screen.width - LABEL, LABEL);
    let mut lines = value
        .split('\n')
        .map(|line| match line.strip_prefix(&" ".repeat(LABEL)) {
            Some(rest) => format!("{:LABEL$}{}", "", screen.paint(tone, rest)),
            None => screen.paint(tone, line).into_owned(),
        });
    let first = lines.next().unwrap_or_default();
    let mut text = format!("{label:<LABEL$}{first}\n");
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Sentences with a mark before each.
pub fn bullets(sentences: &[String], tone: Tone, screen: &Screen) -> String {
    let line = |s: &String| {
        format!(
            "  {} {}\n",
            screen.paint(tone, "!"),
            wrap(&clean(s), screen.width - 4, 4)
        )
    };
    sentences.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping() {
        assert_eq!(wrap("one two three", 8, 2), "one two\n  three");
        assert_eq!(wrap("", 10, 2), "");
        assert_eq!(wrap("abcdefghijkl", 8, 1), "abcdefgh\n ijkl");
        assert_eq!(wrap("日本語日本語", 8, 0), "日本語日\n本語");
        assert_eq!(wrap("  a   b ", 8, 0), "a b");
    }

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\u{9b}c\r"), "a?[2Jb?c?");
        assert_eq!(clean("grün"), "grün");
    }

    #[test]
    fn colour_only_where_wanted() {
        assert_eq!(Screen::plain(80).paint(Tone::Bad, "x"), "x");
        assert_eq!(
            Screen::terminal(80, true).paint(Tone::Bad, "x"),
            "\x1b[31mx\x1b[0m"
        );
        assert_eq!(Screen::terminal(0, true).width, NARROWEST);
    }
}
