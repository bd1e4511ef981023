//! The editor as a machine: keys in, and what is to be seen and asked for out. Must not: read, draw, or look at a clock.

use lb_core::config::MAX_BYTES;

use super::keys::Typed;
use super::marks::{Mark, Marks};
use super::page::{Page, Pressed, Question};
use super::text::{Place, Text};
use crate::applctl::fullscreen::Key;

/// What a key asks for beside a new picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asks {
    Picture,
    Redraw,
    /// To check the text, show what has changed, and ask what becomes of it.
    Leave,
    /// A question was answered with this letter.
    Answered(Question, char),
    /// To apply the text, and to return from it after this time.
    Confirm(String),
}

/// What keys are for.
#[derive(Debug)]
pub enum Mode {
    Text,
    /// A line is typed at the bottom.
    Prompt(Prompt, Line),
    Page(Page),
}

/// What is typed there. What was offered goes with the first character.
#[derive(Debug, Default)]
pub struct Line {
    pub text: String,
    is_offered: bool,
}

impl Line {
    pub fn offered(text: String) -> Line {
        Line {
            text,
            is_offered: true,
        }
    }

    /// It is gone on with.
    pub fn typed(text: String) -> Line {
        Line {
            text,
            is_offered: false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    Find,
    /// The time until a configuration returns.
    Confirm,
}

/// What the text was at the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// lb.toml.
    File,
    /// Another text, which differs from lb.toml.
    Other,
    /// A draft, which differs from it as well.
    Draft,
}

#[derive(Debug)]
pub struct Editor {
    pub text: Text,
    pub cursor: Place,
    pub marks: Marks,
    pub mode: Mode,
    /// One sentence about what the last key did or did not do.
    pub message: String,
    /// The first line and, of the cursor's line, the first column that are seen.
    pub top: usize,
    pub left: usize,
    /// How many lines are seen.
    pub height: usize,
    pub origin: Origin,
    /// Where Up and Down come from.
    pub(super) column: Option<usize>,
    pub(super) cut: Vec<u8>,
    pub(super) cutting: bool,
    pub(super) sought: String,
    /// Names of files beside lb.toml, which keys may name.
    pub files: Vec<String>,
}

impl Editor {
    pub fn new(bytes: &[u8]) -> Editor {
        Editor {
            text: Text::new(bytes),
            cursor: Place::default(),
            marks: Marks::default(),
            mode: Mode::Text,
            message: String::new(),
            top: 0,
            left: 0,
            height: 1,
            origin: Origin::File,
            column: None,
            cut: Vec::new(),
            cutting: false,
            sought: String::new(),
            files: Vec::new(),
        }
    }

    pub fn is_changed(&self) -> bool {
        self.origin != Origin::File || self.text.is_touched()
    }

    pub fn judged(&mut self, marks: Marks) {
        self.marks = marks;
    }

    pub fn press(&mut self, typed: Typed) -> Asks {
        match std::mem::replace(&mut self.mode, Mode::Text) {
            Mode::Text => self.in_text(typed),
            Mode::Prompt(prompt, line) => self.in_prompt(prompt, line, typed),
            Mode::Page(page) => self.in_page(page, typed),
        }
    }

    fn in_text(&mut self, typed: Typed) -> Asks {
        self.message.clear();
        let key = match typed {
            Typed::Text(text) => {
                self.insert(&text);
                self.cutting = false;
                return Asks::Picture;
            }
            Typed::Key(key) => key,
        };
        let cuts = key == Key::Control('K');
        self.cutting &= cuts;
        match key {
            Key::Redraw => return Asks::Redraw,
            Key::Control('S' | 'X' | 'Q') => return Asks::Leave,
            Key::Leave => self.say("Ctrl-X leaves: it checks the text, shows what has changed, and asks."),
            Key::Backspace => self.backspace(),
            Key::Delete => self.delete(),
            Key::Control('Z') => self.undo(true),
            Key::Control('Y') => self.undo(false),
            Key::Control('K') => self.cut_line(),
            Key::Control('U') => self.paste_cut(),
            Key::Control('F') => self.mode = Mode::Prompt(Prompt::Find, Line::offered(self.sought.clone())),
            Key::Control('N') => self.find(),
            Key::Control('G') => self.next_fault(),
            Key::Tab => self.complete(),
            key => self.step(key),
        }
        if cuts {
            self.cutting = true;
        }
        Asks::Picture
    }

    pub fn say(&mut self, sentence: &str) {
        sentence.clone_into(&mut self.message);
    }

    /// Everything that changes the text: the cursor is behind what was put in.
    pub fn replace(&mut self, from: Place, to: Place, inserted: &[u8]) {
        let growth = inserted.len().saturating_sub(self.text.between(from, to).len());
        if self.text.size() + growth > MAX_BYTES {
            self.say("Not put in: lb.toml may have 8 MiB at most.");
            return;
        }
        let end = self.text.replace(from, to, inserted);
        self.marks.shift(from, to, end);
        self.column = None;
        self.cursor = end;
    }

    /// The fault that is spoken of.
    pub fn fault_here(&self) -> Option<&Mark> {
        self.marks.at(self.cursor)
    }

    pub fn go_to(&mut self, place: Place) {
        self.text.close();
        self.column = None;
        self.cursor = self.text.clamp(place);
    }

    fn in_prompt(&mut self, prompt: Prompt, mut line: Line, typed: Typed) -> Asks {
        let enters = match typed {
            Typed::Text(text) => {
                let text = String::from_utf8_lossy(&text);
                let (first, rest) = text
                    .split_once('\n')
                    .map_or((&*text, None), |(f, r)| (f, Some(r)));
                if !first.is_empty() && std::mem::take(&mut line.is_offered) {
                    line.text.clear();
                }
                line.text.extend(first.chars().filter(|c| !c.is_control()));
                rest.is_some()
            }
            Typed::Key(Key::Backspace) => {
                line.is_offered = false;
                line.text.pop();
                false
            }
            Typed::Key(Key::Control('U' | 'K')) => {
                line.text.clear();
                false
            }
            Typed::Key(Key::Redraw) => {
                self.mode = Mode::Prompt(prompt, line);
                return Asks::Redraw;
            }
            Typed::Key(Key::Control('F' | 'N')) => prompt == Prompt::Find,
            Typed::Key(Key::Escape | Key::Leave | Key::Control('X' | 'Q')) => {
                self.say("Given up; nothing was changed.");
                return Asks::Picture;
            }
            Typed::Key(_) => false,
        };
        if !enters {
            self.mode = Mode::Prompt(prompt, line);
            return Asks::Picture;
        }
        self.message.clear();
        match prompt {
            Prompt::Find => {
                self.sought = line.text;
                self.find();
                Asks::Picture
            }
            Prompt::Confirm => Asks::Confirm(line.text),
        }
    }

    fn in_page(&mut self, mut page: Page, typed: Typed) -> Asks {
        let question = page.question;
        let asks = match typed {
            Typed::Key(Key::Redraw) => Asks::Redraw,
            Typed::Key(key) => match page.press(key) {
                Pressed::Answer(letter) => Asks::Answered(question, letter),
                Pressed::Moved => Asks::Picture,
                Pressed::Nothing => self.told(&question.keys()),
            },
            // A letter by itself; a paste that was meant for the text answers nothing.
            Typed::Text(text) => match text[..] {
                [letter] if page.has(letter) => Asks::Answered(question, char::from(letter)),
                _ => self.told(&question.keys()),
            },
        };
        if !matches!(asks, Asks::Answered(..)) {
            self.mode = Mode::Page(page);
        }
        asks
    }

    fn told(&mut self, sentence: &str) -> Asks {
        self.say(sentence);
        Asks::Picture
    }
}

#[cfg(test)]
mod tests;
