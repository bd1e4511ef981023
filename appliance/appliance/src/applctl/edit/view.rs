//! What the editor shows, drawn into a canvas of any size: a title, the text with its line numbers, what is wrong where the
//! cursor is, and which keys there are. Must not: change the text.

use super::glyphs::{Shape, column_of, glyphs};
use super::page::Page;
use super::state::{Editor, Mode, Origin, Prompt};
use crate::applctl::fullscreen::Canvas;
use crate::applctl::render::{Tone, clean, count, some, wrap};

/// Below this nothing can be edited.
const LEAST: (usize, usize) = (20, 5);
/// Columns between the last digit of a line's number and its text: the mark of a fault, and a blank.
const GAP: usize = 2;

/// The picture, and the row and column of the cursor.
pub fn draw(editor: &mut Editor, name: &str, size: (usize, usize)) -> (Canvas, (usize, usize)) {
    let (columns, rows) = size;
    let mut canvas = Canvas::new(columns, rows);
    if columns < LEAST.0 || rows < LEAST.1 {
        canvas.write(0, 0, "too small a screen", Tone::Bad);
        return (canvas, (0, 0));
    }
    match std::mem::replace(&mut editor.mode, Mode::Text) {
        Mode::Page(mut page) => {
            let cursor = draw_page(&mut canvas, &mut page, &editor.message);
            editor.mode = Mode::Page(page);
            (canvas, cursor)
        }
        mode => {
            editor.mode = mode;
            let below = below(editor, columns, (rows / 3).max(1));
            editor.height = rows - 2 - below.len();
            title(&mut canvas, editor, name);
            let mut cursor = lines(&mut canvas, editor);
            for (row, (text, tone)) in (rows - 1 - below.len()..).zip(&below) {
                canvas.write(row, 0, text, *tone);
            }
            if let Mode::Prompt(..) = editor.mode {
                let last = below.last().map_or(0, |(text, _)| text.chars().count());
                cursor = (rows - 2, last.min(columns - 1));
            }
            canvas.write(rows - 1, 0, &help(editor, columns - 1), Tone::Faint);
            (canvas, cursor)
        }
    }
}

fn title(canvas: &mut Canvas, editor: &Editor, name: &str) {
    let (columns, _) = canvas.size();
    let state = match (editor.is_changed(), editor.origin) {
        (false, _) => "",
        (true, Origin::Draft) => " draft",
        (true, _) => " changed",
    };
    let left = format!("{name}{state}");
    canvas.write(0, 0, &left, Tone::Strong);
    let column = column_of(editor.text.line(editor.cursor.line), editor.cursor.byte) + 1;
    let place = format!(
        "line {}/{} col {column}",
        editor.cursor.line + 1,
        editor.text.lines()
    );
    let faults = match editor.marks.count() {
        0 => String::new(),
        faults => some(faults, "fault"),
    };
    let right = columns.saturating_sub(place.len() + 1);
    if right > left.len() {
        canvas.write(0, right, &place, Tone::Plain);
    }
    let middle = left.len() + 2;
    if middle + faults.len() < right {
        canvas.write(0, middle, &faults, Tone::Bad);
    }
}

/// What stands between the text and the keys: a line that is typed, a sentence, or the fault under the cursor.
fn below(editor: &Editor, columns: usize, most: usize) -> Vec<(String, Tone)> {
    let (text, tone) = match &editor.mode {
        Mode::Prompt(prompt, line) => {
            let question = match prompt {
                Prompt::Find => "Find: ",
                Prompt::Confirm => "Return after, unless confirmed: ",
            };
            // The end of what is typed is seen.
            let room = columns.saturating_sub(question.len() + 1);
            let skipped = line.text.chars().count().saturating_sub(room);
            let seen: String = line.text.chars().skip(skipped).collect();
            let why = wrap(&clean(&editor.message), columns - 1, 0);
            let why = why.lines().take(most.saturating_sub(1));
            let why = why.map(|line| (line.to_owned(), Tone::Doubtful));
            return why.chain([(format!("{question}{seen}"), Tone::Strong)]).collect();
        }
        _ if !editor.message.is_empty() => (clean(&editor.message).into_owned(), Tone::Doubtful),
        _ => match editor.fault_here() {
            Some(mark) => (format!("{}: {}", mark.message, mark.help), Tone::Bad),
            None => return vec![(String::new(), Tone::Plain)],
        },
    };
    let wrapped = wrap(&text, columns - 1, 0);
    let lines = wrapped.lines().take(most);
    lines.map(|line| (line.to_owned(), tone)).collect()
}

/// Keys, as many as there is room for, the most important first.
fn help(editor: &Editor, room: usize) -> String {
    let keys: &[&str] = match editor.mode {
        Mode::Prompt(..) => &["Enter go", "Esc give up"],
        _ if !editor.marks.is_empty() => &[
            "^X leave",
            "^G fault",
            "^F find",
            "^Z undo",
            "^Y redo",
            "^K cut",
            "^U paste",
            "Tab key",
            "^L redraw",
        ],
        _ => &[
            "^X leave",
            "^F find",
            "^Z undo",
            "^Y redo",
            "^K cut",
            "^U paste",
            "^G fault",
            "Tab key",
            "^L redraw",
        ],
    };
    let mut text = String::new();
    for key in keys {
        if text.len() + 2 + key.len() > room {
            break;
        }
        if !text.is_empty() {
            text.push_str("  ");
        }
        text.push_str(key);
    }
    text
}

/// The text. It moves by a third of the screen, because each line that it moves by would send the whole screen.
fn lines(canvas: &mut Canvas, editor: &mut Editor) -> (usize, usize) {
    let (columns, _) = canvas.size();
    let digits = editor.text.lines().to_string().len().max(3);
    let gutter = digits + GAP;
    let room = columns - gutter;
    let line = editor.cursor.line;
    editor.top = match editor.top {
        top if line < top => line.saturating_sub(editor.height / 3),
        top if line >= top + editor.height => line + 1 - editor.height + editor.height / 3,
        top => top,
    };
    let column = column_of(editor.text.line(line), editor.cursor.byte);
    editor.left = match editor.left {
        _ if column + 1 < room => 0,
        left if left > 0 && (left + 1..left + room - 1).contains(&column) => left,
        _ => column - room / 2,
    };
    for row in 0..editor.height {
        let number = editor.top + row;
        if number >= editor.text.lines() {
            canvas.write(row + 1, digits - 1, "~", Tone::Faint);
            continue;
        }
        let faulty = editor.marks.of_line(number).next().is_some();
        let tone = if faulty { Tone::Bad } else { Tone::Faint };
        let mark = if faulty { "!" } else { " " };
        canvas.write(row + 1, 0, &format!("{:>digits$}{mark}", number + 1), tone);
        let left = if number == line { editor.left } else { 0 };
        draw_line(canvas, (row + 1, gutter), editor, number, left);
    }
    (line - editor.top + 1, gutter + column - editor.left)
}

fn draw_line(canvas: &mut Canvas, at: (usize, usize), editor: &Editor, number: usize, left: usize) {
    let (row, gutter) = at;
    let room = canvas.size().0 - gutter;
    let bytes = editor.text.line(number);
    for glyph in glyphs(bytes) {
        if glyph.column >= left + room {
            canvas.write(row, gutter + room - 1, ">", Tone::Doubtful);
            break;
        }
        if glyph.column + glyph.width <= left {
            continue;
        }
        let faulty = editor
            .marks
            .of_line(number)
            .any(|mark| mark.bytes.contains(&glyph.byte));
        let tone = match glyph.shape {
            _ if faulty => Tone::Bad,
            Shape::Plain(_) => Tone::Plain,
            _ => Tone::Doubtful,
        };
        for (offset, character) in glyph.text().chars().enumerate() {
            let column = glyph.column + offset;
            if (left..left + room).contains(&column) {
                canvas.write(
                    row,
                    gutter + column - left,
                    character.encode_utf8(&mut [0; 4]),
                    tone,
                );
            }
        }
    }
    if left > 0 {
        canvas.write(row, gutter, "<", Tone::Doubtful);
    }
}

fn draw_page(canvas: &mut Canvas, page: &mut Page, message: &str) -> (usize, usize) {
    let (columns, rows) = canvas.size();
    let answers = page.question.answers().iter();
    let answers: Vec<String> = answers.map(|(letter, what)| format!("{letter} {what}")).collect();
    let mut below = rows_of(&answers, columns - 1);
    if !message.is_empty() {
        let wrapped = wrap(&clean(message), columns - 1, 0);
        below.splice(0..0, wrapped.lines().map(str::to_owned));
    }
    below.truncate(rows / 2);
    let title = wrap(&page.title, columns - 1, 0);
    let title: Vec<&str> = title.lines().take(rows / 3).collect();
    page.height = rows - below.len() - title.len();
    for (row, line) in title.iter().enumerate() {
        canvas.write(row, 0, line, Tone::Strong);
    }
    let seen = page.lines.iter().skip(page.first).take(page.height);
    for (row, (line, tone)) in (title.len()..).zip(seen) {
        draw_plain(canvas, row, line, *tone);
    }
    let left = page.lines.len().saturating_sub(page.first + page.height);
    if left > 0 {
        let more = format!("{} more: PgDn", count(left as u64));
        let row = title.len() + page.height - 1;
        canvas.write(row, 0, &" ".repeat(columns), Tone::Plain);
        canvas.write(row, 0, &more, Tone::Faint);
    }
    for (row, line) in (rows - below.len()..).zip(&below) {
        canvas.write(row, 0, line, Tone::Strong);
    }
    let last = below.last().map_or(0, |line| line.chars().count());
    (rows - 1, last.min(columns - 1))
}

/// A line of a page, which may hold anything.
fn draw_plain(canvas: &mut Canvas, row: usize, line: &str, tone: Tone) {
    let (columns, _) = canvas.size();
    for glyph in glyphs(line.as_bytes()).take_while(|glyph| glyph.column < columns) {
        canvas.write(row, glyph.column, &glyph.text(), tone);
    }
}

/// As many in a row as there is room for.
fn rows_of(parts: &[String], room: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    for part in parts {
        let row = rows.last_mut().expect("there is always a row");
        if row.is_empty() {
            row.push_str(part);
        } else if row.len() + 3 + part.len() <= room {
            row.push_str("   ");
            row.push_str(part);
        } else {
            rows.push(part.clone());
        }
    }
    rows
}

#[cfg(test)]
mod tests;
