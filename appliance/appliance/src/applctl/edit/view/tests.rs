//! The picture at several sizes, as a terminal shows it. UPDATE_GOLDEN=1 writes the golden files anew; the difference is then
//! to be read.

use std::num::NonZero;
use std::path::Path;

use super::super::keys::Typed;
use super::super::marks::Marks;
use super::super::page::{Question, difference};
use super::super::state::Line;
use super::super::text::Place;
use super::*;
use crate::applctl::fullscreen::Key;

const SIZES: [(usize, usize); 3] = [(40, 10), (80, 24), (200, 60)];

/// Faults, and everything that is no plain letter.
fn text() -> Vec<u8> {
    let mut text = b"# lb.toml of \xe6\x97\xa5\xe6\x9c\xac: na\xc3\xafve \x1b[2J\r\nhostname = \"lb\"\r\n\n[timeouts]\n\ttcp = \"soon\"\n".to_vec();
    text.extend(b"# caf\xe9\n[[interface]]\nnam = \"eth0\"\n# ");
    text.extend(b"0123456789".repeat(1_000));
    for service in 0..20 {
        text.extend(format!("\n[[virtual_server]]\nname = \"web-{service}\"\n").into_bytes());
    }
    text
}

/// With the faults of the text without the byte that is none.
fn editor() -> Editor {
    let mut editor = Editor::new(&text());
    let readable = text()
        .iter()
        .map(|b| if *b == 0xe9 { b'e' } else { *b })
        .collect::<Vec<_>>();
    editor.judged(Marks::of(
        &String::from_utf8_lossy(&readable).into_owned().into_bytes(),
    ));
    editor
}

/// What a terminal shows, and where its cursor is: `|` stands before the character that it is on.
fn shown(editor: &mut Editor, size: (usize, usize)) -> String {
    let (canvas, (row, column)) = draw(editor, "lb.toml", size);
    let cells = |n: usize| NonZero::new(u16::try_from(n).unwrap()).unwrap();
    let mut terminal = vt100::Parser::new(cells(size.1), cells(size.0), 0);
    terminal.process(canvas.delta(None, true).as_bytes());
    let contents = terminal.screen().contents();
    let mut lines: Vec<String> = contents.lines().map(|l| l.trim_end().to_owned()).collect();
    assert_eq!(lines.len(), canvas.lines().len(), "nothing has scrolled");
    assert_eq!(lines, canvas.lines());
    let mut line: Vec<char> = lines[row].chars().collect();
    line.resize(line.len().max(column), ' ');
    line.insert(column, '|');
    lines[row] = line.into_iter().collect();
    lines.join("\n") + "\n"
}

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text,
        expected,
        "{} differs; UPDATE_GOLDEN=1 writes it anew",
        path.display()
    );
}

#[test]
fn pictures_of_several_sizes() {
    for size in SIZES {
        let name = |what: &str| format!("edit-{what}-{}x{}.txt", size.0, size.1);
        let mut editor = editor();
        golden(&name("begin"), &shown(&mut editor, size));
        editor.press(Typed::Key(Key::Control('G')));
        golden(&name("fault"), &shown(&mut editor, size));
        editor.go_to(Place { line: 8, byte: 6_000 });
        golden(&name("long"), &shown(&mut editor, size));
        editor.press(Typed::Key(Key::Control('F')));
        editor.press(Typed::Text(b"web-1".to_vec()));
        golden(&name("find"), &shown(&mut editor, size));
    }
}

#[test]
fn pages_of_several_sizes() {
    let lines: Vec<String> = (0..30).map(|n| format!("+line {n} \x1b[2J\t.")).collect();
    for size in SIZES {
        let mut editor = editor();
        let page = Page::new(
            Question::Ready,
            "No faults. What is changed:",
            difference(&lines, 7),
        );
        editor.mode = Mode::Page(page);
        golden(
            &format!("edit-ready-{}x{}.txt", size.0, size.1),
            &shown(&mut editor, size),
        );
    }
}

#[test]
fn a_time_that_is_none_is_told_above_its_question() {
    for size in SIZES {
        let mut editor = editor();
        editor.say("`20x` is no time from 1s to 1h, such as 2m.");
        editor.mode = Mode::Prompt(Prompt::Confirm, Line::typed("20x".to_owned()));
        let shown = shown(&mut editor, size);
        let lines: Vec<&str> = shown.lines().rev().skip(1).collect();
        assert!(lines[0].ends_with("unless confirmed: 20x|"), "{shown}");
        assert!(
            lines[1].contains("2m.") && shown.contains("`20x` is no time"),
            "{shown}"
        );
    }
}

#[test]
fn a_key_sends_what_it_changes_only() {
    let mut editor = editor();
    let (before, _) = draw(&mut editor, "lb.toml", (80, 24));
    editor.go_to(Place { line: 1, byte: 13 });
    editor.press(Typed::Text(b"x".to_vec()));
    let (after, _) = draw(&mut editor, "lb.toml", (80, 24));
    let sent = after.delta(Some(&before), true);
    // The title says where the cursor is; a whole screen would be 1,500 bytes and more.
    assert!(sent.len() < 120, "{} bytes: {sent:?}", sent.len());
}

#[test]
fn the_cursor_is_always_seen() {
    let mut editor = editor();
    for size in [(20, 5), (40, 10), (80, 24)] {
        for (line, byte) in [
            (0, 0),
            (0, 30),
            (8, 10_002),
            (8, 38),
            (8, 5_000),
            (68, 3),
            (30, 0),
            (8, 1),
        ] {
            editor.go_to(Place { line, byte });
            let (canvas, (row, column)) = draw(&mut editor, "lb.toml", size);
            assert!(
                row > 0 && row + 1 < size.1 && column < size.0,
                "{size:?} {line} {byte}"
            );
            let seen = canvas.lines()[row].trim_start().to_owned();
            assert!(seen.starts_with(&format!("{}", line + 1)), "{seen}");
        }
    }
    let (canvas, cursor) = draw(&mut editor, "lb.toml", (19, 3));
    assert_eq!(
        (canvas.lines(), cursor),
        (vec!["too small a screen".to_owned()], (0, 0))
    );
}
