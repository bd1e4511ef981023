//! Where the services of a text stand, so that they can be read one at a time: a parsed document takes some thirty
//! times the memory of its text, and nearly all of a large lb.toml is services.
//! Must not: parse. What is found here is a proposal; whether the parts are what they seem shows when they are read.

use std::borrow::Cow;
use std::ops::Range;

use toml_parser::Source;
use toml_parser::lexer::{Token, TokenKind};

/// A text in parts, each of which is a document by itself.
#[derive(Debug)]
pub(super) struct Outline<'t> {
    /// Everything but the services, each byte at its own place.
    pub rest: Cow<'t, str>,
    /// One `[[virtual_server]]` each, with all that belongs to it.
    pub services: Vec<Range<usize>>,
}

/// The parser keeps some 50 bytes for each word and sign. A service with thousands of servers is left to those who read
/// the text as a whole, and refuse what is too much.
const MAX_TOKENS_OF_PART: usize = 100_000;

/// The list that is read in parts.
pub(super) const SERVICES: &str = "virtual_server";

impl<'t> Outline<'t> {
    /// `None`: there is nothing to gain.
    pub fn of(text: &'t str) -> Option<Outline<'t>> {
        let mut scan = Scan::new(text);
        for token in Source::new(text).lex() {
            scan.take(token);
        }
        let services = scan.finish()?;
        Some(Outline {
            rest: without(text, &services),
            services,
        })
    }
}

/// The text with these ranges blanked, up to the end of what is left of it.
fn without<'t>(text: &'t str, ranges: &[Range<usize>]) -> Cow<'t, str> {
    let first = ranges.first().map_or(text.len(), |range| range.start);
    let adjoin = ranges.windows(2).all(|pair| pair[0].end == pair[1].start);
    if adjoin && ranges.last().is_some_and(|range| range.end == text.len()) {
        return Cow::Borrowed(&text[..first]);
    }
    let mut rest = text.to_owned().into_bytes();
    for range in ranges {
        let blanked = rest[range.clone()].iter_mut();
        blanked
            .filter(|byte| **byte != b'\n')
            .for_each(|byte| *byte = b' ');
    }
    Cow::Owned(String::from_utf8(rest).expect("whole lines became ASCII spaces"))
}

struct Scan<'t> {
    text: &'t str,
    services: Vec<Range<usize>>,
    /// Within a service, which is the last of them.
    inside: bool,
    /// Nothing but space since the line began, and no bracket is open.
    at_start: bool,
    line: usize,
    in_header: bool,
    depth: usize,
    /// Words and signs of the service at hand, and of all that is not within one.
    tokens: [usize; 2],
    too_many: bool,
}

impl<'t> Scan<'t> {
    fn new(text: &'t str) -> Scan<'t> {
        Scan {
            text,
            services: Vec::new(),
            inside: false,
            at_start: true,
            line: 0,
            in_header: false,
            depth: 0,
            tokens: [0, 0],
            too_many: false,
        }
    }

    fn take(&mut self, token: Token) {
        let tokens = &mut self.tokens[usize::from(!self.inside)];
        *tokens += 1;
        self.too_many |= *tokens > MAX_TOKENS_OF_PART;
        match token.kind() {
            TokenKind::Newline => {
                self.in_header = false;
                self.at_start = self.depth == 0;
                self.line = token.span().end();
                return;
            }
            TokenKind::Whitespace => return,
            TokenKind::LeftSquareBracket if self.at_start => self.header(token.span().start()),
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket if !self.in_header => self.depth += 1,
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket if !self.in_header => {
                self.depth = self.depth.saturating_sub(1);
            }
            _ => {}
        }
        self.at_start = false;
    }

    fn header(&mut self, at: usize) {
        self.in_header = true;
        let blanks = [' ', '\t'];
        let text = self.text.get(at..).unwrap_or_default();
        let inner = text.strip_prefix("[[").or(text.strip_prefix('['));
        let name = inner.unwrap_or_default().trim_start_matches(blanks);
        let behind = name
            .strip_prefix(SERVICES)
            .map(|behind| behind.trim_start_matches(blanks));
        if self.inside && behind.is_some_and(|behind| behind.starts_with('.')) {
            return;
        }
        self.end_part(self.line);
        if text.starts_with("[[") && behind.is_some_and(|behind| behind.starts_with(']')) {
            self.services.push(self.line..self.line);
            self.inside = true;
        }
    }

    fn end_part(&mut self, at: usize) {
        if let Some(service) = self.services.last_mut().filter(|_| self.inside) {
            service.end = at;
            self.tokens[0] = 0;
        }
        self.inside = false;
    }

    fn finish(mut self) -> Option<Vec<Range<usize>>> {
        self.end_part(self.text.len());
        (!self.services.is_empty() && !self.too_many).then_some(self.services)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, Vec<&str>) {
        let outline = Outline::of(text).expect("there are services");
        let services = outline.services.iter().map(|range| &text[range.clone()]);
        (outline.rest.trim_end().to_owned(), services.collect())
    }

    #[test]
    fn a_service_ends_where_another_table_begins() {
        let text = "a = 1\n[[interface]]\nb = 1\n [[ virtual_server ]] # c\nd = 1\n[virtual_server.check]\n\
                    [[virtual_server.real_server]]\n[[virtual_server]]\n[[masquerade]]\ne = 1\n";
        let (rest, services) = parts(text);
        assert!(rest.starts_with("a = 1\n[[interface]]\nb = 1\n"));
        assert!(rest.ends_with("[[masquerade]]\ne = 1"));
        assert_eq!(rest.find("[[masquerade]]"), text.find("[[masquerade]]"));
        assert_eq!(
            services,
            [
                " [[ virtual_server ]] # c\nd = 1\n[virtual_server.check]\n[[virtual_server.real_server]]\n",
                "[[virtual_server]]\n"
            ]
        );
    }

    #[test]
    fn what_looks_like_a_header_within_a_value_is_none() {
        let text =
            "a = [\n[[virtual_server]]\n]\n[[virtual_server]]\nb = \"\"\"\n[[virtual_server]]\n\"\"\"\n";
        let (rest, services) = parts(text);
        assert_eq!(rest, "a = [\n[[virtual_server]]\n]");
        assert_eq!(
            services,
            ["[[virtual_server]]\nb = \"\"\"\n[[virtual_server]]\n\"\"\"\n"]
        );
    }

    #[test]
    fn other_texts_have_no_parts() {
        for text in [
            "",
            "a = 1",
            "[virtual_server]",
            "[[virtual_servers]]",
            "[[virtual_server.check]]",
        ] {
            assert!(Outline::of(text).is_none(), "{text}");
        }
        let large = format!("[[virtual_server]]\na = [{}]\n", "1,".repeat(MAX_TOKENS_OF_PART));
        assert!(Outline::of(&large).is_none());
    }
}
