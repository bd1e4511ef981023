//! What keys do to the text and the cursor. Must not: know modes, or draw.

use lb_core::config::edit::{Existing, completion};

use super::glyphs::{byte_at, column_of};
use super::state::Editor;
use super::text::{Place, character_length, last_character_length};
use crate::applctl::fullscreen::Key;

impl Editor {
    pub(super) fn insert(&mut self, text: &[u8]) {
        // In a file whose lines end with CR LF, new ones do.
        let line = self.text.line(self.cursor.line);
        let returns = line.ends_with(b"\r") && self.cursor.byte < line.len();
        if returns && text.contains(&b'\n') {
            let lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
            self.replace(self.cursor, self.cursor, &lines.join(&b"\r\n"[..]));
        } else {
            self.replace(self.cursor, self.cursor, text);
        }
    }

    pub(super) fn backspace(&mut self) {
        let before = self.left_of(self.cursor);
        if before != self.cursor {
            self.replace(before, self.cursor, b"");
        }
    }

    pub(super) fn delete(&mut self) {
        let behind = self.right_of(self.cursor);
        if behind != self.cursor {
            self.replace(self.cursor, behind, b"");
        }
    }

    pub(super) fn undo(&mut self, back: bool) {
        let (place, what) = match back {
            true => (self.text.undo(), "undo"),
            false => (self.text.redo(), "redo"),
        };
        let Some(place) = place else {
            self.message = format!("There is nothing to {what}.");
            return;
        };
        self.column = None;
        self.cursor = self.text.clamp(place);
    }

    pub(super) fn cut_line(&mut self) {
        if !self.cutting {
            self.cut.clear();
        }
        self.text.close();
        let start = Place {
            line: self.cursor.line,
            byte: 0,
        };
        let end = self.right_of(self.line_end(self.cursor.line));
        if start == end {
            self.say("There is no line to cut.");
            return;
        }
        self.cut.extend(self.text.between(start, end));
        self.replace(start, end, b"");
        self.text.close();
    }

    pub(super) fn paste_cut(&mut self) {
        if self.cut.is_empty() {
            self.say("Nothing was cut: Ctrl-K cuts the line.");
            return;
        }
        let mut cut = std::mem::take(&mut self.cut);
        let start = Place {
            line: self.cursor.line,
            byte: 0,
        };
        // The last line of a text may have had no end.
        if !cut.ends_with(b"\n") {
            cut.push(b'\n');
        }
        self.text.close();
        self.replace(start, start, &cut);
        self.text.close();
        self.cut = cut;
    }

    pub(super) fn next_fault(&mut self) {
        let Some(mark) = self.marks.after(self.cursor) else {
            self.say("No faults.");
            return;
        };
        let place = Place {
            line: mark.line,
            byte: mark.bytes.start,
        };
        self.go_to(place);
    }

    /// The next place of what was sought, from behind the cursor and then from the beginning.
    pub(super) fn find(&mut self) {
        if self.sought.is_empty() {
            return;
        }
        let lines = self.text.lines();
        let sought = self.sought.to_ascii_lowercase().into_bytes();
        let start = self.right_of(self.cursor);
        for step in 0..=lines {
            let line = (start.line + step) % lines;
            let from = if step == 0 { start.byte } else { 0 };
            let bytes = self.text.line(line).to_ascii_lowercase();
            let found = bytes
                .get(from..)
                .and_then(|rest| rest.windows(sought.len()).position(|part| part == sought));
            if let Some(at) = found {
                let byte = from + at;
                if (line, byte) <= (self.cursor.line, self.cursor.byte) {
                    self.say("From the beginning again.");
                }
                self.go_to(Place { line, byte });
                return;
            }
        }
        self.message = format!("`{}` is not there.", self.sought);
    }

    pub(super) fn complete(&mut self) {
        let before = self.text.between(Place::default(), self.cursor);
        let Ok(before) = String::from_utf8(before) else {
            return;
        };
        let text = self.without_this_line();
        let existing = Existing {
            text: &text,
            files: &|| self.files.clone(),
        };
        let completion = completion(&before, &existing);
        match &completion.words[..] {
            [] => self.say("No key is known here that begins so; `explain` lists them."),
            [one] => self.insert(&one.as_bytes()[completion.typed..]),
            many => {
                let shared = shared_beginning(many);
                self.insert(&many[0].as_bytes()[completion.typed..shared.max(completion.typed)]);
                let words: Vec<&str> = many
                    .iter()
                    .map(|word| word.trim_end_matches([' ', '=']))
                    .collect();
                self.message = words.join("  ");
            }
        }
    }

    /// What is being written makes no valid text, and the other lines mostly do.
    fn without_this_line(&self) -> String {
        let line = self.cursor.line;
        let before = self.text.between(Place::default(), Place { line, byte: 0 });
        let after = self.text.between(self.line_end(line), self.text.end());
        String::from_utf8_lossy(&[before, after].concat()).into_owned()
    }

    pub(super) fn step(&mut self, key: Key) {
        let column = self.column;
        let page = self.height.saturating_sub(1).max(1);
        let last = self.text.lines() - 1;
        let line = self.cursor.line;
        let to = match key {
            Key::Left => self.left_of(self.cursor),
            Key::Right => self.right_of(self.cursor),
            Key::Home | Key::Control('A') => Place { line, byte: 0 },
            Key::End | Key::Control('E') => self.line_end(line),
            Key::Top => Place::default(),
            Key::Bottom => self.text.end(),
            Key::Up => return self.vertical(line.saturating_sub(1), column),
            Key::Down => return self.vertical((line + 1).min(last), column),
            Key::PageUp => {
                self.top = self.top.saturating_sub(page);
                return self.vertical(line.saturating_sub(page), column);
            }
            Key::PageDown => {
                self.top = (self.top + page).min(last);
                return self.vertical((line + page).min(last), column);
            }
            _ => return,
        };
        self.go_to(to);
    }

    fn vertical(&mut self, line: usize, column: Option<usize>) {
        let own = || column_of(self.text.line(self.cursor.line), self.cursor.byte);
        let column = column.unwrap_or_else(own);
        let byte = byte_at(self.text.line(line), column).min(self.line_end(line).byte);
        self.text.close();
        self.cursor = Place { line, byte };
        self.column = Some(column);
    }

    /// Before the CR of a line that ends with CR LF.
    fn line_end(&self, line: usize) -> Place {
        let bytes = self.text.line(line);
        let byte = bytes.strip_suffix(b"\r").unwrap_or(bytes).len();
        Place { line, byte }
    }

    fn left_of(&self, place: Place) -> Place {
        let before = &self.text.line(place.line)[..place.byte];
        match (last_character_length(before), place.line) {
            (0, 0) => place,
            (0, line) => self.line_end(line - 1),
            (length, line) => Place {
                line,
                byte: place.byte - length,
            },
        }
    }

    fn right_of(&self, place: Place) -> Place {
        let line = place.line;
        let at_end = place.byte >= self.line_end(line).byte;
        if !at_end {
            let byte = place.byte + character_length(&self.text.line(line)[place.byte..]);
            return Place { line, byte };
        }
        match line + 1 < self.text.lines() {
            true => Place {
                line: line + 1,
                byte: 0,
            },
            false => self.text.end(),
        }
    }
}

/// In bytes.
fn shared_beginning(words: &[String]) -> usize {
    let first = words.first().map_or("", String::as_str);
    let shared = |word: &String| {
        first
            .bytes()
            .zip(word.bytes())
            .take_while(|(a, b)| a == b)
            .count()
    };
    words.iter().map(shared).min().unwrap_or(0)
}
