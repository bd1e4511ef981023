//! Cuts a text that is not TOML into its statements (table headers, KEY = VALUE, comments), so that one that cannot be
//! read does not take the rest of the file with it. Must not: judge a statement, or run on a text that is TOML.

use std::ops::Range;

use toml_parser::Source;
use toml_parser::lexer::{Token, TokenKind};

/// One statement, without the end of its last line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub span: Range<usize>,
    /// The bracket or brace of its value that is never closed.
    pub unclosed: Option<usize>,
}

/// The statements of a text, in their order.
pub(super) fn split(text: &str) -> impl Iterator<Item = Statement> {
    let mut cutter = Cutter {
        text,
        start: None,
        in_value: false,
        open: Vec::new(),
    };
    Source::new(text)
        .lex()
        .filter_map(move |token| cutter.take(token))
}

struct Cutter<'t> {
    text: &'t str,
    /// Where the statement at hand began.
    start: Option<usize>,
    /// Behind the `=`, where brackets nest and lines may break.
    in_value: bool,
    open: Vec<(TokenKind, usize)>,
}

impl Cutter<'_> {
    /// Takes one token; gives the statement that it ends.
    fn take(&mut self, token: Token) -> Option<Statement> {
        let at = token.span().start();
        match token.kind() {
            TokenKind::Eof => return self.end(at),
            TokenKind::Newline if self.ends_before(token.span().end()) => return self.end(at),
            TokenKind::Newline | TokenKind::Whitespace => return None,
            TokenKind::Equals if !self.is_header() => self.in_value = true,
            kind if self.in_value => self.nest(kind, at),
            _ => {}
        }
        self.start.get_or_insert(at);
        None
    }

    fn is_header(&self) -> bool {
        self.start
            .is_some_and(|start| self.text[start..].starts_with('['))
    }

    fn nest(&mut self, kind: TokenKind, at: usize) {
        let opener = match kind {
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => return self.open.push((kind, at)),
            TokenKind::RightSquareBracket => TokenKind::LeftSquareBracket,
            TokenKind::RightCurlyBracket => TokenKind::LeftCurlyBracket,
            _ => return,
        };
        self.open.pop_if(|(open, _)| *open == opener);
    }

    /// Whether the statement is over although brackets may be open: when the next line begins another one.
    fn ends_before(&self, next: usize) -> bool {
        let Some((innermost, _)) = self.open.last() else {
            return true;
        };
        let line = self.text[next..].lines().next().unwrap_or_default().trim_start();
        let in_array = *innermost == TokenKind::LeftSquareBracket;
        begins_header(line) || in_array && begins_assignment(line)
    }

    fn end(&mut self, at: usize) -> Option<Statement> {
        let unclosed = self.open.last().map(|(_, at)| *at);
        self.open.clear();
        self.in_value = false;
        let start = self.start.take()?;
        Some(Statement {
            span: start..at,
            unclosed,
        })
    }
}

/// `[name]` or `[[name]]`; no value of an array begins like that.
fn begins_header(line: &str) -> bool {
    let name = line.trim_start_matches(['[', ' ']);
    line.starts_with('[') && name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.contains(']')
}

/// `key =`; no element of an array looks like that.
fn begins_assignment(line: &str) -> bool {
    let key = line.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "_-.".contains(c));
    key.len() < line.len() && key.trim_start().starts_with('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<(&str, Option<usize>)> {
        split(text).map(|s| (&text[s.span], s.unclosed)).collect()
    }

    #[test]
    fn statements_end_with_their_line_unless_brackets_are_open() {
        let text = "a = 1 # x\n\n  [b]\r\nc = [\n  1,\n]\nd = { e = 1,\n f = 2 }\n# g\n";
        let expected = [
            "a = 1 # x",
            "[b]",
            "c = [\n  1,\n]",
            "d = { e = 1,\n f = 2 }",
            "# g",
        ]
        .map(|s| (s, None));
        assert_eq!(shown(text), expected);
    }

    #[test]
    fn an_open_bracket_ends_where_the_next_statement_begins() {
        assert_eq!(
            shown("a = [\"x\"\nb = 1\n"),
            [("a = [\"x\"", Some(4)), ("b = 1", None)]
        );
        assert_eq!(
            shown("a = { b = 1\n\n[[c]]\n"),
            [("a = { b = 1\n", Some(4)), ("[[c]]", None)]
        );
        assert_eq!(
            shown("a = [{ b = 1 ]\nc = 1"),
            [("a = [{ b = 1 ]\nc = 1", Some(5))]
        );
        assert_eq!(shown("a = [[[\nb"), [("a = [[[\nb", Some(6))]);
    }

    #[test]
    fn brackets_in_strings_and_headers_do_not_nest() {
        assert_eq!(shown("a = \"[\"\nb = 1"), [("a = \"[\"", None), ("b = 1", None)]);
        assert_eq!(shown("[[a]\nb = 1"), [("[[a]", None), ("b = 1", None)]);
        assert_eq!(shown(""), []);
    }
}
