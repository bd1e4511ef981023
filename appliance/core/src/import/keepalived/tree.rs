//! Words and braces as statements with blocks. Must not: know directives.

use super::super::remarks::{Place, Remarks};
use super::lines::Token;

/// keepalived.conf needs six.
const DEEPEST: usize = 16;

#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub place: Place,
    pub words: Vec<String>,
    pub block: Option<Vec<Statement>>,
}

impl Statement {
    pub fn word(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The words behind the first.
    pub fn arguments(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }

    pub fn argument(&self, index: usize) -> Option<&str> {
        self.arguments().get(index).map(String::as_str)
    }

    pub fn statements(&self) -> &[Statement] {
        self.block.as_deref().unwrap_or_default()
    }
}

/// Blocks that are open, the outermost first.
struct Open {
    levels: Vec<Vec<Statement>>,
    words: Vec<String>,
    place: Option<Place>,
    /// Braces beyond the deepest level.
    ignored: usize,
}

pub(super) fn build(tokens: Vec<(Place, Token)>, remarks: &mut Remarks) -> Vec<Statement> {
    let mut open = Open {
        levels: vec![Vec::new()],
        words: Vec::new(),
        place: None,
        ignored: 0,
    };
    let mut last = None;
    for (place, token) in tokens {
        last = Some(place);
        match token {
            Token::Word(word) => {
                open.place.get_or_insert(place);
                open.words.push(word);
            }
            Token::End => open.end(),
            Token::Open => open.begin(place, remarks),
            Token::Close => {
                open.end();
                open.close(place, remarks);
            }
        }
    }
    open.end();
    if let Some(place) = last.filter(|_| open.levels.len() > 1) {
        remarks.fault(place, "a block is not closed; a `}` is missing");
    }
    while open.levels.len() > 1 {
        open.leave();
    }
    open.levels.pop().unwrap_or_default()
}

impl Open {
    fn end(&mut self) {
        let Some(place) = self.place.take() else {
            return;
        };
        let words = std::mem::take(&mut self.words);
        if let Some(level) = self.levels.last_mut() {
            level.push(Statement {
                place,
                words,
                block: None,
            });
        }
    }

    /// The block belongs to the words before it, or to the statement before, if the brace has a line of its own.
    fn begin(&mut self, place: Place, remarks: &mut Remarks) {
        self.end();
        if self.ignored > 0 || self.levels.len() > DEEPEST {
            self.ignored += 1;
            remarks.fault(place, "blocks are nested too deeply; this one is left out");
            return;
        }
        if let Some(level) = self.levels.last_mut() {
            match level.last_mut().filter(|last| last.block.is_none()) {
                Some(owner) => owner.block = Some(Vec::new()),
                None => {
                    remarks.fault(place, "a block without a name: a word is missing before this `{`");
                    level.push(Statement {
                        place,
                        words: Vec::new(),
                        block: Some(Vec::new()),
                    });
                }
            }
        }
        self.levels.push(Vec::new());
    }

    fn close(&mut self, place: Place, remarks: &mut Remarks) {
        if self.ignored > 0 {
            self.ignored -= 1;
        } else if self.levels.len() > 1 {
            self.leave();
        } else {
            remarks.fault(place, "there is no block that this `}` could end");
        }
    }

    fn leave(&mut self) {
        let Some(block) = self.levels.pop() else {
            return;
        };
        if let Some(owner) = self.levels.last_mut().and_then(|level| level.last_mut()) {
            owner.block = Some(block);
        }
    }
}
