//! Rows in columns. The cells know their tone, so that colour never counts as width.
//! Must not: cut or wrap; who lays a table out asks first whether it fits.

use super::text::{Screen, Tone, width};

#[derive(Debug, Clone)]
pub struct Cell {
    pub text: String,
    pub tone: Tone,
    right: bool,
}

impl Cell {
    pub fn new(text: impl Into<String>, tone: Tone) -> Cell {
        Cell {
            text: text.into(),
            tone,
            right: false,
        }
    }

    pub fn plain(text: impl Into<String>) -> Cell {
        Cell::new(text, Tone::Plain)
    }

    /// For numbers.
    pub fn right(text: impl Into<String>) -> Cell {
        Cell {
            text: text.into(),
            tone: Tone::Plain,
            right: true,
        }
    }

    pub fn is_right(&self) -> bool {
        self.right
    }
}

const GAP: &str = "  ";

/// The width of each column: that of its widest cell.
pub fn widths<'a>(rows: impl IntoIterator<Item = &'a [Cell]>) -> Vec<usize> {
    let mut widths = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (column, cell) in widths.iter_mut().zip(row) {
            *column = (*column).max(width(&cell.text));
        }
    }
    widths
}

/// The width of a whole line with these columns.
pub fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1)
}

/// One row, without blanks at its end and without a line feed.
pub fn line(row: &[Cell], widths: &[usize], screen: &Screen) -> String {
    let mut line = String::new();
    let mut owed = 0;
    for (cell, column) in row.iter().zip(widths) {
        let padding = column.saturating_sub(width(&cell.text));
        let (before, after) = if cell.right { (padding, 0) } else { (0, padding) };
        if !cell.text.is_empty() {
            line.push_str(&" ".repeat(owed + before));
            line.push_str(&screen.paint(cell.tone, &cell.text));
            owed = 0;
        } else {
            owed += before;
        }
        owed += after + GAP.len();
    }
    line
}

/// The heads of the columns, aligned as the cells below them.
pub fn heads(names: &[&str], like: &[Cell]) -> Vec<Cell> {
    let head = |(name, like): (&&str, &Cell)| Cell {
        text: (*name).to_owned(),
        tone: Tone::Faint,
        right: like.right,
    };
    names.iter().zip(like).map(head).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_colour_has_no_width() {
        let rows = [
            vec![Cell::plain("a"), Cell::right("1"), Cell::plain("x")],
            vec![Cell::new("long", Tone::Bad), Cell::right("1000"), Cell::plain("")],
        ];
        let widths = widths(rows.iter().map(Vec::as_slice));
        assert_eq!(widths, [4, 4, 1]);
        assert_eq!(total(&widths), 13);
        let screen = Screen::plain(80);
        assert_eq!(line(&rows[0], &widths, &screen), "a        1  x");
        assert_eq!(line(&rows[1], &widths, &screen), "long  1000");
        assert_eq!(
            line(&rows[1], &widths, &Screen::terminal(80, true)),
            "\x1b[31mlong\x1b[0m  1000"
        );
        assert!(super::widths([]).is_empty());
        assert_eq!(total(&[]), 0);
    }
}
