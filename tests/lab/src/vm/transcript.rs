//! What a terminal showed, as lines of plain text: escape sequences are obeyed as far as they change a line (carriage
//! return, erase, cursor left and right), so a line editor's redrawing leaves one line, as a person would read it.
//! Must not: model a whole screen (vt100 does), or know who is on the other end.

use vte::{Params, Perform};

#[derive(Debug, Default)]
pub struct Transcript {
    /// Finished lines, each with its newline.
    done: String,
    line: Vec<char>,
    column: usize,
    /// Times that the other end asked where the cursor is (CSI 6n).
    pub cursor_queries: usize,
}

impl Transcript {
    /// Everything so far; the last line is the one that the cursor is on.
    pub fn text(&self) -> String {
        let mut text = self.done.clone();
        text.extend(&self.line);
        text
    }

    /// Where the cursor's line begins in [`Transcript::text`].
    pub fn line_start(&self) -> usize {
        self.done.len()
    }

    fn finish_line(&mut self) {
        let line: String = self.line.drain(..).collect();
        self.done.push_str(line.trim_end());
        self.done.push('\n');
        self.column = 0;
    }

    fn pad(&mut self) {
        while self.line.len() < self.column {
            self.line.push(' ');
        }
    }
}

impl Perform for Transcript {
    fn print(&mut self, c: char) {
        self.pad();
        if self.column < self.line.len() {
            self.line[self.column] = c;
        } else {
            self.line.push(c);
        }
        self.column += 1;
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => self.finish_line(),
            b'\r' => self.column = 0,
            0x08 => self.column = self.column.saturating_sub(1),
            b'\t' => self.column = (self.column / 8 + 1) * 8,
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, _: &[u8], _: bool, action: char) {
        let first = params.iter().next().and_then(|p| p.first().copied());
        let count = usize::from(first.unwrap_or(0).max(1));
        match action {
            'C' => self.column += count,
            'D' => self.column = self.column.saturating_sub(count),
            'G' => self.column = count - 1,
            'K' if first == Some(2) => self.line.clear(),
            'K' => self.line.truncate(self.column),
            'P' => {
                let end = (self.column + count).min(self.line.len());
                self.line.drain(self.column.min(end)..end);
            }
            '@' => {
                self.pad();
                for _ in 0..count {
                    self.line.insert(self.column, ' ');
                }
            }
            // The cursor goes to another line, or the screen is cleared: what was written stays readable.
            'H' | 'f' | 'J' if !self.line.is_empty() => self.finish_line(),
            'n' if first == Some(6) => self.cursor_queries += 1,
            _ => {}
        }
    }
}

/// `bytes` as lines of plain text.
pub fn plain_text(bytes: &[u8]) -> String {
    let mut transcript = Transcript::default();
    vte::Parser::new().advance(&mut transcript, bytes);
    transcript.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redrawn_line_is_read_once() {
        let typed = b"lb> \r\x1b[Klb> s\r\x1b[Klb> st\x1b[5D\x1b[5C\r\nok\r\nlb> ";
        assert_eq!(plain_text(typed), "lb> st\nok\nlb> ");
    }

    #[test]
    fn colours_and_titles_leave_no_trace() {
        assert_eq!(plain_text(b"\x1b[1;32mup\x1b[0m \x1b]0;title\x07x"), "up x");
    }

    #[test]
    fn erasing_inside_a_line_keeps_its_beginning() {
        assert_eq!(plain_text(b"abcdef\x1b[3D\x1b[K!"), "abc!");
        assert_eq!(plain_text(b"abc\x08\x08X"), "aXc");
    }

    #[test]
    fn the_question_for_the_cursor_is_counted() {
        let mut transcript = Transcript::default();
        let mut parser = vte::Parser::new();
        parser.advance(&mut transcript, b"\x1b[999;999H\x1b[6");
        assert_eq!(transcript.cursor_queries, 0);
        parser.advance(&mut transcript, b"n");
        assert_eq!(transcript.cursor_queries, 1);
    }
}
