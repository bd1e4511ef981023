//! A screen as a grid of cells, and what has to be sent to turn one into another. At 115,200 baud a whole screen takes a
//! sixth of a second, so only what differs is sent, with nothing that a VT100 does not understand.
//! Must not: know what is drawn, or print.

use unicode_width::UnicodeWidthChar;

use crate::applctl::render::Tone;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    character: char,
    tone: Tone,
}

const BLANK: Cell = Cell {
    character: ' ',
    tone: Tone::Plain,
};

/// Cells between two changed ones that are cheaper to send again than to step over.
const STEP: usize = 6;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canvas {
    columns: usize,
    rows: usize,
    cells: Vec<Cell>,
}

impl Canvas {
    pub fn new(columns: usize, rows: usize) -> Canvas {
        Canvas {
            columns,
            rows,
            cells: vec![BLANK; columns * rows],
        }
    }

    pub fn size(&self) -> (usize, usize) {
        (self.columns, self.rows)
    }

    /// What does not fit is cut off; what takes no column, or two, is a question mark. The last cell of the screen stays
    /// empty: a terminal may scroll when it is filled.
    pub fn write(&mut self, row: usize, column: usize, text: &str, tone: Tone) {
        if row >= self.rows {
            return;
        }
        let end = self.columns - usize::from(row + 1 == self.rows);
        for (at, character) in (column..end).zip(text.chars()) {
            let one = character.width() == Some(1);
            let character = if one { character } else { '?' };
            self.cells[row * self.columns + at] = Cell { character, tone };
        }
    }

    /// At the right end of the first row, over what is there.
    pub fn mark(&mut self, text: &str) {
        let column = self.columns.saturating_sub(text.chars().count());
        self.write(0, column, text, Tone::Bad);
    }

    fn row(&self, row: usize) -> &[Cell] {
        &self.cells[row * self.columns..(row + 1) * self.columns]
    }

    /// What turns a screen that shows `before` into this one; `None`: whatever it shows. The cursor is left below.
    pub fn delta(&self, before: Option<&Canvas>, colour: bool) -> String {
        let empty = Canvas::new(self.columns, self.rows);
        let mut text = String::new();
        let before = match before.filter(|b| b.size() == self.size()) {
            Some(before) => before,
            None => {
                text.push_str("\x1b[0m\x1b[H\x1b[2J");
                &empty
            }
        };
        let mut pen = Tone::Plain;
        for row in 0..self.rows {
            self.row_delta(row, before.row(row), &mut pen, colour, &mut text);
        }
        set_pen(&mut pen, Tone::Plain, colour, &mut text);
        text.push_str(&format!("\x1b[{};1H", self.rows));
        text
    }

    fn row_delta(&self, row: usize, before: &[Cell], pen: &mut Tone, colour: bool, text: &mut String) {
        let now = self.row(row);
        let used = now.iter().rposition(|c| *c != BLANK).map_or(0, |at| at + 1);
        let mut at = 0;
        while let Some(start) = (at..self.columns).find(|c| now[*c] != before[*c]) {
            text.push_str(&format!("\x1b[{};{}H", row + 1, start + 1));
            at = start;
            loop {
                if at >= used {
                    set_pen(pen, Tone::Plain, colour, text);
                    text.push_str("\x1b[K");
                    return;
                }
                set_pen(pen, now[at].tone, colour, text);
                text.push(now[at].character);
                at += 1;
                let near = (at + STEP).min(self.columns);
                if !(at..near).any(|c| now[c] != before[c]) {
                    break;
                }
            }
        }
    }

    /// The lines as they are, without blanks at their ends and empty lines at the end.
    pub fn lines(&self) -> Vec<String> {
        let line = |row| self.row(row).iter().map(|c| c.character).collect::<String>();
        let mut lines: Vec<String> = (0..self.rows)
            .map(|row| line(row).trim_end().to_owned())
            .collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }
}

/// SGR, only where the tone changes and the terminal has it.
fn set_pen(pen: &mut Tone, tone: Tone, colour: bool, text: &mut String) {
    if *pen == tone || !colour {
        return;
    }
    *pen = tone;
    let code = tone.code();
    if code.is_empty() {
        text.push_str("\x1b[0m");
    } else {
        text.push_str(&format!("\x1b[0;{code}m"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn terminal(columns: usize, rows: usize) -> vt100::Parser {
        let size = |n: usize| std::num::NonZero::new(u16::try_from(n).unwrap()).unwrap();
        vt100::Parser::new(size(rows), size(columns), 0)
    }

    fn shown(terminal: &vt100::Parser) -> Vec<String> {
        let contents = terminal.screen().contents();
        let mut lines: Vec<String> = contents.lines().map(|l| l.trim_end().to_owned()).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }

    #[test]
    fn only_what_changed_is_sent() {
        let mut first = Canvas::new(20, 3);
        first.write(0, 0, "rate 123 of 456", Tone::Plain);
        first.write(1, 0, "same", Tone::Good);
        let whole = first.delta(None, false);
        assert_eq!(
            whole,
            "\x1b[0m\x1b[H\x1b[2J\x1b[1;1Hrate 123 of 456\x1b[2;1Hsame\x1b[3;1H"
        );
        assert_eq!(first.delta(Some(&first), true), "\x1b[3;1H");
        let mut second = first.clone();
        second.write(0, 5, "124 of 9  ", Tone::Plain);
        assert_eq!(
            second.delta(Some(&first), false),
            "\x1b[1;8H4 of 9\x1b[K\x1b[3;1H"
        );
        let coloured = first.delta(None, true);
        assert!(coloured.contains("\x1b[0;32msame\x1b[0m"), "{coloured:?}");
        // Another size is another screen.
        assert!(Canvas::new(19, 3).delta(Some(&first), false).contains("\x1b[2J"));
    }

    #[test]
    fn what_does_not_fit_or_could_drive_the_terminal_does_not_reach_it() {
        let mut canvas = Canvas::new(5, 2);
        canvas.write(0, 3, "abc", Tone::Plain);
        canvas.write(1, 0, "\x1b[2J日b", Tone::Plain);
        canvas.write(7, 0, "x", Tone::Plain);
        assert_eq!(canvas.lines(), ["   ab", "?[2J"]);
        let mut canvas = Canvas::new(3, 1);
        canvas.write(0, 0, "日b", Tone::Plain);
        assert_eq!(canvas.lines(), ["?b"]);
    }

    type Writing = (usize, usize, String, u8);

    fn painted(writings: &[Writing]) -> Canvas {
        let mut canvas = Canvas::new(30, 5);
        for (row, column, text, tone) in writings {
            let tones = [Tone::Plain, Tone::Good, Tone::Strong, Tone::Faint];
            canvas.write(*row, *column, text, tones[usize::from(*tone) % 4]);
        }
        canvas
    }

    proptest! {
        /// Whatever was there, the terminal shows what was drawn, and never scrolls.
        #[test]
        fn a_terminal_follows_any_change(
            frames in vec(vec((0usize..5, 0usize..30, "[a-z 0-9]{0,32}", any::<u8>()), 0..8), 1..6),
            colour: bool,
        ) {
            let mut terminal = terminal(30, 5);
            let mut before: Option<Canvas> = None;
            for frame in &frames {
                let canvas = painted(frame);
                terminal.process(canvas.delta(before.as_ref(), colour).as_bytes());
                prop_assert_eq!(shown(&terminal), canvas.lines());
                before = Some(canvas);
            }
        }
    }
}
