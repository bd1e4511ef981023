//! Where every header, key and table of a text stands, in the order of the text, so that a change touches no other byte.
//! Must not: judge the text, which is TOML already, or know what its keys mean.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Range;

use toml::de::DeValue;
use toml_parser::Source;
use toml_parser::lexer::{Lexer, Token, TokenKind};

/// A key on the way to a value; of a list of tables with the place of one of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Step {
    pub key: String,
    pub index: Option<usize>,
}

impl Step {
    pub fn new(key: impl Into<String>, index: Option<usize>) -> Step {
        Step {
            key: key.into(),
            index,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `[table]` or `[[table]]`.
    Section,
    Braces,
    Brackets,
    Plain,
}

#[derive(Debug)]
pub(super) struct Node {
    pub path: Vec<Step>,
    pub shape: Shape,
    /// From the key, or what stands for it, to the end of the value.
    pub span: Range<usize>,
    pub value: Range<usize>,
    /// The braces or brackets that it stands in; `None`: it is a statement of its own.
    pub within: Option<usize>,
    /// How long the path of the table is that it is written in; what is left of the path is its key.
    pub depth: usize,
}

/// The nodes under one key of the top level of a text.
#[derive(Debug)]
pub(super) struct Tree<'t> {
    pub text: &'t str,
    pub nodes: Vec<Node>,
}

impl Node {
    pub fn below(&self, path: &[Step]) -> bool {
        self.path.starts_with(path)
    }
}

impl<'t> Tree<'t> {
    /// Of a part of the text, which is a document by itself.
    pub fn of(text: &'t str, part: Range<usize>, first: &str) -> Tree<'t> {
        let base = part.start;
        let part = &text[part];
        let mut scanner = Scanner {
            text: part,
            first,
            tokens: Source::new(part).lex().peekable(),
            lists: BTreeMap::new(),
            nodes: Vec::new(),
        };
        scanner.document();
        let mut nodes = scanner.nodes;
        for node in &mut nodes {
            node.span = node.span.start + base..node.span.end + base;
            node.value = node.value.start + base..node.value.end + base;
        }
        Tree { text, nodes }
    }

    /// The nodes of a table and of all that is in it.
    pub fn below<'n>(&'n self, path: &'n [Step]) -> impl DoubleEndedIterator<Item = (usize, &'n Node)> {
        self.nodes
            .iter()
            .enumerate()
            .filter(move |(_, node)| node.below(path))
    }

    /// What stands at a path and nowhere else; of a section the last part.
    pub fn exactly(&self, path: &[Step]) -> Option<(usize, &Node)> {
        let mut all = self.nodes.iter().enumerate();
        all.rfind(|(_, node)| node.path == path)
    }
}

/// A string of the text without its quotes; `None`: it is another value.
pub(super) fn string(written: &str) -> Option<String> {
    match DeValue::parse(written).ok()?.into_inner() {
        DeValue::String(text) => Some(text.into_owned()),
        _ => None,
    }
}

struct Scanner<'t> {
    text: &'t str,
    first: &'t str,
    tokens: Peekable<Lexer<'t>>,
    /// How many tables each list of tables has so far.
    lists: BTreeMap<Vec<Step>, usize>,
    nodes: Vec<Node>,
}

impl Scanner<'_> {
    fn document(&mut self) {
        let mut section: Vec<Step> = Vec::new();
        while let Some(token) = self.ahead(true) {
            if token.kind() == TokenKind::LeftSquareBracket {
                section = self.header();
            } else {
                self.entry(&section, None);
            }
        }
    }

    /// The next token that means something; with `lines` the ends of lines mean nothing either. `None`: the end.
    fn ahead(&mut self, lines: bool) -> Option<Token> {
        loop {
            let token = *self.tokens.peek()?;
            match token.kind() {
                TokenKind::Whitespace | TokenKind::Comment => {}
                TokenKind::Newline if lines => {}
                TokenKind::Eof => return None,
                _ => return Some(token),
            }
            self.tokens.next();
        }
    }

    fn take_if(&mut self, kind: TokenKind, lines: bool) -> Option<usize> {
        let token = self.ahead(lines).filter(|token| token.kind() == kind)?;
        self.tokens.next();
        Some(token.span().end())
    }

    fn header(&mut self) -> Vec<Step> {
        let start = self.ahead(true).map_or(0, |token| token.span().start());
        self.tokens.next();
        let list = self.take_if(TokenKind::LeftSquareBracket, false).is_some();
        let (keys, mut end) = self.keys();
        while let Some(behind) = self.take_if(TokenKind::RightSquareBracket, false) {
            end = behind;
        }
        let mut path: Vec<Step> = Vec::new();
        let last = keys.len().saturating_sub(1);
        for (at, key) in keys.into_iter().enumerate() {
            path.push(Step::new(key, None));
            let count = self.lists.get(&path).copied();
            let index = match (list && at == last, count) {
                (true, count) => {
                    self.lists.insert(path.clone(), count.unwrap_or(0) + 1);
                    Some(count.unwrap_or(0))
                }
                (false, count) => count.map(|count| count - 1),
            };
            if let Some(step) = path.last_mut() {
                step.index = index;
            }
        }
        let depth = path.len();
        self.push(path.clone(), Shape::Section, start..end, None, depth);
        path
    }

    /// `a.b."c"`, and where it ends.
    fn keys(&mut self) -> (Vec<String>, usize) {
        let mut keys = Vec::new();
        let mut end = 0;
        while let Some(token) = self.ahead(false) {
            match token.kind() {
                TokenKind::Dot => {}
                TokenKind::Atom | TokenKind::BasicString | TokenKind::LiteralString => {
                    let written = &self.text[token.span().start()..token.span().end()];
                    let quoted = token.kind() != TokenKind::Atom;
                    let key = if quoted { string(written) } else { None };
                    keys.push(key.unwrap_or_else(|| written.to_owned()));
                }
                _ => break,
            }
            end = token.span().end();
            self.tokens.next();
        }
        (keys, end)
    }

    /// KEY = VALUE.
    fn entry(&mut self, table: &[Step], within: Option<usize>) {
        let start = self.ahead(true).map_or(0, |token| token.span().start());
        let (keys, end) = self.keys();
        let depth = table.len();
        let mut path = table.to_vec();
        path.extend(keys.into_iter().map(|key| Step::new(key, None)));
        if self.take_if(TokenKind::Equals, false).is_none() && end <= start {
            // Nothing that is TOML comes here; whatever it is, it is left behind.
            self.tokens.next();
            return;
        }
        self.value(path, start, within, depth);
    }

    fn value(&mut self, path: Vec<Step>, start: usize, within: Option<usize>, depth: usize) {
        let Some(token) = self.ahead(false) else {
            return;
        };
        let begin = token.span().start();
        let shape = match token.kind() {
            TokenKind::LeftCurlyBracket => Shape::Braces,
            TokenKind::LeftSquareBracket => Shape::Brackets,
            _ => Shape::Plain,
        };
        let at = self.push(path.clone(), shape, start..begin, within, depth);
        let end = match shape {
            Shape::Plain => self.plain(begin),
            Shape::Braces => self.braces(&path, at),
            _ => self.brackets(&path, at),
        };
        if let Some(node) = self.nodes.get_mut(at.unwrap_or(usize::MAX)) {
            node.span.end = end;
            node.value = begin..end;
        }
    }

    fn plain(&mut self, begin: usize) -> usize {
        let mut end = begin;
        while let Some(token) = self.ahead(false) {
            let kind = token.kind();
            let over = [
                TokenKind::Newline,
                TokenKind::Comma,
                TokenKind::RightSquareBracket,
                TokenKind::RightCurlyBracket,
            ];
            if over.contains(&kind) {
                break;
            }
            end = token.span().end();
            self.tokens.next();
        }
        end
    }

    fn braces(&mut self, path: &[Step], at: Option<usize>) -> usize {
        self.tokens.next();
        loop {
            if let Some(end) = self.take_if(TokenKind::RightCurlyBracket, true) {
                return end;
            }
            if self.take_if(TokenKind::Comma, true).is_some() {
                continue;
            }
            if self.ahead(true).is_none() {
                return self.text.len();
            }
            self.entry(path, at);
        }
    }

    /// All of a list are nodes of their own, but for lists.
    fn brackets(&mut self, path: &[Step], at: Option<usize>) -> usize {
        self.tokens.next();
        let mut index = 0;
        loop {
            if let Some(end) = self.take_if(TokenKind::RightSquareBracket, true) {
                return end;
            }
            if self.take_if(TokenKind::Comma, true).is_some() {
                continue;
            }
            let Some(token) = self.ahead(true) else {
                return self.text.len();
            };
            let start = token.span().start();
            if token.kind() == TokenKind::LeftSquareBracket {
                self.skip_list();
            } else {
                let mut path = path.to_vec();
                if let Some(step) = path.last_mut() {
                    step.index = Some(index);
                }
                let depth = path.len();
                self.value(path, start, at, depth);
                if self.ahead(true).is_some_and(|next| next.span().start() <= start) {
                    // Nothing that is TOML.
                    self.tokens.next();
                }
            }
            index += 1;
        }
    }

    /// A list in a list: no key of lb.toml has one.
    fn skip_list(&mut self) {
        let mut open = 0;
        while let Some(token) = self.ahead(true) {
            self.tokens.next();
            match token.kind() {
                TokenKind::LeftSquareBracket => open += 1,
                TokenKind::RightSquareBracket => open -= 1,
                _ => {}
            }
            if open == 0 {
                return;
            }
        }
    }

    fn push(
        &mut self,
        path: Vec<Step>,
        shape: Shape,
        span: Range<usize>,
        within: Option<usize>,
        depth: usize,
    ) -> Option<usize> {
        if path.first().is_none_or(|step| step.key != self.first) {
            return None;
        }
        self.nodes.push(Node {
            path,
            shape,
            value: span.clone(),
            span,
            within,
            depth,
        });
        Some(self.nodes.len() - 1)
    }
}

/// As a key is written: bare where it can be.
pub(super) fn key(name: &str) -> Cow<'_, str> {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match !name.is_empty() && name.chars().all(bare) {
        true => Cow::Borrowed(name),
        false => Cow::Owned(text(name)),
    }
}

/// As a text is written, between quotes.
pub(super) fn text(value: &str) -> String {
    let mut written = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            c if c.is_control() => written.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => written.push(c),
        }
    }
    written.push('"');
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, first: &str) -> Vec<String> {
        let step = |step: &Step| match step.index {
            Some(index) => format!("{}#{index}", step.key),
            None => step.key.clone(),
        };
        let one = |node: &Node| {
            let path: Vec<String> = node.path.iter().map(step).collect();
            format!(
                "{} {:?} {}",
                path.join("."),
                node.shape,
                &text[node.value.clone()]
            )
        };
        Tree::of(text, 0..text.len(), first)
            .nodes
            .iter()
            .map(one)
            .collect()
    }

    #[test]
    fn everything_has_its_place() {
        let text = "a = 1\n[[v]] # first\nname = \"x\" # [[v]]\nl = [\"{\", [2, {}]]\nc.d = 1.5\n[v.k]\nt = { u = 1, \"w\" = '}' }\n[[v.r]]\nq=1\n[[v.r]]\n\
                    [[v]]\nr = [\n  { q = 1 },\n  { q = [] }, # c\n]\n[b]\n";
        assert_eq!(
            shown(text, "v"),
            [
                "v#0 Section [[v]]",
                "v#0.name Plain \"x\"",
                "v#0.l Brackets [\"{\", [2, {}]]",
                "v#0.l#0 Plain \"{\"",
                "v#0.c.d Plain 1.5",
                "v#0.k Section [v.k]",
                "v#0.k.t Braces { u = 1, \"w\" = '}' }",
                "v#0.k.t.u Plain 1",
                "v#0.k.t.w Plain '}'",
                "v#0.r#0 Section [[v.r]]",
                "v#0.r#0.q Plain 1",
                "v#0.r#1 Section [[v.r]]",
                "v#1 Section [[v]]",
                "v#1.r Brackets [\n  { q = 1 },\n  { q = [] }, # c\n]",
                "v#1.r#0 Braces { q = 1 }",
                "v#1.r#0.q Plain 1",
                "v#1.r#1 Braces { q = [] }",
                "v#1.r#1.q Brackets []",
            ]
        );
        assert_eq!(shown(text, "b"), ["b Section [b]"]);
        assert_eq!(shown(text, "a"), ["a Plain 1"]);
    }

    #[test]
    fn what_is_no_toml_ends_as_well() {
        for text in [
            "[", "a", "= = =", "a = [", "a = { b", "a = {{{", "[[a]\n]", "a = ]", "\"", "a.= {,",
        ] {
            Tree::of(text, 0..text.len(), "a");
        }
    }

    #[test]
    fn keys_and_texts_as_they_are_written() {
        assert_eq!(key("Host"), "Host");
        assert_eq!(key("a b"), "\"a b\"");
        assert_eq!(text("a\"\\\n"), "\"a\\\"\\\\\\u000A\"");
        assert_eq!(string(&text("ä\"\\\n")).as_deref(), Some("ä\"\\\n"));
    }
}
