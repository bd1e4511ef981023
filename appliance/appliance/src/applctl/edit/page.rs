//! A page of text that is not edited, with a question below and a letter for each answer: what has changed, which faults there
//! are, and what becomes of the text. Must not: carry an answer out.

use crate::applctl::fullscreen::Key;
use crate::applctl::render::Tone;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// There is a text of an earlier edit.
    Draft,
    /// That text would be lost.
    DropDraft,
    /// The text is good: it can be applied.
    Ready,
    Faulty,
    /// Somebody else has changed lb.toml.
    Elsewhere,
    /// What was edited would be lost.
    ThrowAway,
}

/// A letter, and what it does.
pub type Answer = (char, &'static str);

impl Question {
    pub fn answers(self) -> &'static [Answer] {
        match self {
            Question::Draft => &[
                ('c', "continue it"),
                ('t', "throw it away"),
                ('l', "leave it, edit nothing"),
            ],
            Question::DropDraft => &[
                ('y', "yes, throw it away"),
                ('c', "continue it"),
                ('l', "leave it, edit nothing"),
            ],
            Question::Ready => &[
                ('a', "apply"),
                ('c', "apply, confirm later"),
                ('e', "edit on"),
                ('t', "throw away"),
                ('d', "leave a draft"),
            ],
            Question::Faulty => &[('e', "edit on"), ('t', "throw away"), ('d', "leave a draft")],
            Question::Elsewhere => &[
                ('o', "overwrite that"),
                ('e', "edit on"),
                ('t', "throw mine away"),
                ('d', "leave a draft"),
            ],
            Question::ThrowAway => &[('y', "yes, throw it away"), ('e', "edit on")],
        }
    }

    /// What a key is told that does nothing.
    pub fn keys(self) -> String {
        let letters: Vec<String> = self
            .answers()
            .iter()
            .map(|(letter, _)| letter.to_string())
            .collect();
        let (last, others) = letters.split_last().expect("every question has answers");
        format!(
            "That key does nothing here: {} or {last}, and Escape is {}.",
            others.join(", "),
            self.harmless()
        )
    }

    /// What Escape answers: nothing is lost by it.
    fn harmless(self) -> char {
        match self {
            Question::Draft | Question::DropDraft => 'l',
            _ => 'e',
        }
    }
}

/// What a key did on a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressed {
    Answer(char),
    Moved,
    Nothing,
}

#[derive(Debug)]
pub struct Page {
    pub question: Question,
    pub title: String,
    pub lines: Vec<(String, Tone)>,
    /// The first line that is seen, and how many are.
    pub first: usize,
    pub height: usize,
}

impl Page {
    pub fn new(question: Question, title: &str, lines: Vec<(String, Tone)>) -> Page {
        Page {
            question,
            title: title.to_owned(),
            lines,
            first: 0,
            height: 1,
        }
    }

    pub fn has(&self, letter: u8) -> bool {
        self.question
            .answers()
            .iter()
            .any(|(own, _)| *own == char::from(letter))
    }

    pub fn press(&mut self, key: Key) -> Pressed {
        let page = self.height.saturating_sub(1).max(1);
        let last = self.lines.len().saturating_sub(self.height);
        self.first = match key {
            Key::Up => self.first.saturating_sub(1),
            Key::Down => self.first + 1,
            Key::PageUp => self.first.saturating_sub(page),
            Key::PageDown => self.first + page,
            Key::Home | Key::Top => 0,
            Key::End | Key::Bottom => last,
            Key::Escape | Key::Leave => return Pressed::Answer(self.question.harmless()),
            _ => return Pressed::Nothing,
        }
        .min(last);
        Pressed::Moved
    }
}

/// A difference in lines, as it is coloured.
pub fn difference(lines: &[String], more: usize) -> Vec<(String, Tone)> {
    let tone = |line: &str| match line.as_bytes().first() {
        Some(b'+') => Tone::Good,
        Some(b'-') => Tone::Bad,
        Some(b'@') => Tone::Faint,
        _ => Tone::Plain,
    };
    let mut all: Vec<_> = lines.iter().map(|line| (line.clone(), tone(line))).collect();
    if more > 0 {
        all.push((format!("{more} more lines differ"), Tone::Faint));
    }
    all
}
