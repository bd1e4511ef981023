//! Keys in, text and cursor out.

use proptest::prelude::*;

use super::*;
use crate::applctl::render::Tone;

fn press(editor: &mut Editor, keys: &[Key]) -> Asks {
    let asks = keys.iter().map(|key| editor.press(Typed::Key(*key)));
    asks.last().unwrap_or(Asks::Picture)
}

fn type_in(editor: &mut Editor, text: &str) {
    editor.press(Typed::Text(text.as_bytes().to_vec()));
}

fn shown(editor: &Editor) -> String {
    String::from_utf8_lossy(&editor.text.bytes()).into_owned()
}

fn at(line: usize, byte: usize) -> Place {
    Place { line, byte }
}

#[test]
fn typing_moving_and_taking_back() {
    let mut editor = Editor::new("ä = 1\nlast".as_bytes());
    press(&mut editor, &[Key::Right]);
    assert_eq!(editor.cursor, at(0, 2), "a character has several bytes");
    press(&mut editor, &[Key::Backspace]);
    type_in(&mut editor, "mtu");
    assert_eq!(shown(&editor), "mtu = 1\nlast");
    press(&mut editor, &[Key::End, Key::Delete]);
    assert_eq!(shown(&editor), "mtu = 1last");
    press(
        &mut editor,
        &[Key::Control('Z'), Key::Control('Z'), Key::Control('Z')],
    );
    assert_eq!(shown(&editor), "ä = 1\nlast");
    assert!(!editor.is_changed());
    press(&mut editor, &[Key::Control('Z')]);
    assert_eq!(editor.message, "There is nothing to undo.");
    press(&mut editor, &[Key::Control('Y'), Key::Control('Y')]);
    assert_eq!(shown(&editor), "mtu = 1\nlast");
    press(
        &mut editor,
        &[Key::Top, Key::Backspace, Key::Bottom, Key::Delete, Key::Right],
    );
    assert_eq!(
        (editor.cursor, shown(&editor)),
        (at(1, 4), "mtu = 1\nlast".to_owned())
    );
}

#[test]
fn up_and_down_keep_their_column() {
    let mut editor = Editor::new(b"long line\n\tx\n\nlong line");
    press(&mut editor, &[Key::Right; 6]);
    press(&mut editor, &[Key::Down]);
    assert_eq!(editor.cursor, at(1, 2));
    press(&mut editor, &[Key::Down, Key::Down]);
    assert_eq!(editor.cursor, at(3, 6));
    press(&mut editor, &[Key::Down, Key::Up, Key::Up]);
    assert_eq!(editor.cursor, at(1, 2));
    editor.height = 3;
    press(&mut editor, &[Key::PageDown, Key::PageDown]);
    assert_eq!(editor.cursor.line, 3);
}

#[test]
fn lines_that_end_with_both_stay_so() {
    let mut editor = Editor::new(b"one\r\ntwo\r\n");
    press(&mut editor, &[Key::End]);
    assert_eq!(editor.cursor, at(0, 3), "before the CR");
    type_in(&mut editor, "\nnew");
    assert_eq!(shown(&editor), "one\r\nnew\r\ntwo\r\n");
    press(&mut editor, &[Key::Right]);
    assert_eq!(editor.cursor, at(2, 0));
    press(&mut editor, &[Key::Backspace]);
    assert_eq!(shown(&editor), "one\r\nnewtwo\r\n");
    press(&mut editor, &[Key::Control('K')]);
    assert_eq!(shown(&editor), "one\r\n");
}

#[test]
fn lines_are_cut_together_and_put_elsewhere() {
    let mut editor = Editor::new(b"a\nb\nc");
    press(&mut editor, &[Key::Control('K'), Key::Control('K')]);
    assert_eq!(shown(&editor), "c");
    press(&mut editor, &[Key::End]);
    type_in(&mut editor, "d");
    press(&mut editor, &[Key::Control('U')]);
    assert_eq!(shown(&editor), "a\nb\ncd");
    press(&mut editor, &[Key::Down, Key::Control('K')]);
    assert_eq!(shown(&editor), "a\nb\n");
    press(&mut editor, &[Key::Control('K')]);
    assert_eq!(editor.message, "There is no line to cut.");
    while editor.is_changed() {
        press(&mut editor, &[Key::Control('Z')]);
    }
    assert_eq!(shown(&editor), "a\nb\nc");
}

#[test]
fn what_is_sought_is_found_around_the_end() {
    let mut editor = Editor::new("weight = 1\n# Weight\nweight".as_bytes());
    press(&mut editor, &[Key::Control('F')]);
    type_in(&mut editor, "wEIght\n");
    assert_eq!(editor.cursor, at(1, 2));
    press(&mut editor, &[Key::Control('N')]);
    assert_eq!(editor.cursor, at(2, 0));
    press(&mut editor, &[Key::Control('F'), Key::Control('F')]);
    assert_eq!(
        (editor.cursor, &*editor.message),
        (at(0, 0), "From the beginning again.")
    );
    press(&mut editor, &[Key::Control('F'), Key::Control('U')]);
    type_in(&mut editor, "x\x07yz");
    press(&mut editor, &[Key::Backspace]);
    type_in(&mut editor, "\n");
    assert_eq!(editor.message, "`xy` is not there.");
    press(&mut editor, &[Key::Control('F'), Key::Escape]);
    assert!(matches!(editor.mode, Mode::Text) && !editor.is_changed());
}

#[test]
fn what_exists_is_completed_from_the_other_lines_and_the_files() {
    let interfaces = "[[interface]]\nname = \"eth0\"\n\n[[masquerade]]\nout = \"";
    let mut editor = Editor::new(interfaces.as_bytes());
    press(&mut editor, &[Key::Bottom, Key::Tab]);
    assert_eq!(shown(&editor), format!("{interfaces}eth0\""));
    let check = "[[virtual_server]]\ncheck = { type = \"https\", ca = \"c";
    let mut editor = Editor::new(check.as_bytes());
    editor.files = vec!["ca.pem".to_owned(), "client.key".to_owned()];
    press(&mut editor, &[Key::Bottom, Key::Tab]);
    assert_eq!(editor.message, "\"ca.pem\"  \"client.key\"");
    type_in(&mut editor, "a");
    press(&mut editor, &[Key::Tab]);
    assert_eq!(shown(&editor), format!("{check}a.pem\""));
}

#[test]
fn faults_are_gone_through() {
    let mut editor = Editor::new(b"hostnam = 1\n\n[timeouts]\ntcp = \"soon\"\n");
    press(&mut editor, &[Key::Control('G')]);
    assert_eq!(editor.message, "No faults.");
    editor.judged(Marks::of(&editor.text.bytes()));
    let places: Vec<_> = editor
        .marks
        .iter()
        .map(|mark| at(mark.line, mark.bytes.start))
        .collect();
    assert!(
        places.contains(&at(0, 0)) && places.contains(&at(3, 6)),
        "{places:?}"
    );
    for place in places[1..].iter().chain(&places[..1]) {
        press(&mut editor, &[Key::Control('G')]);
        assert_eq!(editor.cursor, *place);
    }
    assert!(
        editor
            .fault_here()
            .is_some_and(|mark| mark.help.contains("hostname"))
    );
    // Until the text is judged anew, the mark goes with its line.
    type_in(&mut editor, "\n\n");
    assert_eq!(editor.marks.iter().last().map(|mark| mark.line), Some(5));
}

#[test]
fn tab_completes_what_is_known() {
    let mut editor = Editor::new(b"");
    type_in(&mut editor, "[[virt");
    press(&mut editor, &[Key::Tab]);
    type_in(&mut editor, "\nsch");
    press(&mut editor, &[Key::Tab]);
    type_in(&mut editor, "\"wr");
    press(&mut editor, &[Key::Tab]);
    assert_eq!(shown(&editor), "[[virtual_server]]\nscheduler = \"wrr\"");
    type_in(&mut editor, "\ncheck = { inter");
    press(&mut editor, &[Key::Tab]);
    assert_eq!(editor.message, "interface  interval");
    type_in(&mut editor, "x");
    press(&mut editor, &[Key::Tab]);
    assert!(
        editor.message.starts_with("No key is known here"),
        "{}",
        editor.message
    );
}

#[test]
fn leaving_is_asked_for_and_answered_by_letters() {
    let mut editor = Editor::new(b"x");
    for key in ['S', 'X', 'Q'] {
        assert_eq!(press(&mut editor, &[Key::Control(key)]), Asks::Leave);
    }
    let lines = (0..9).map(|line| (line.to_string(), Tone::Plain)).collect();
    let mut page = Page::new(Question::Ready, "title", lines);
    page.height = 4;
    editor.mode = Mode::Page(page);
    // A paste answers nothing, and neither does a letter that is none.
    for text in ["apply", "z", "a\n"] {
        editor.message.clear();
        assert_eq!(editor.press(Typed::Text(text.into())), Asks::Picture);
        assert_eq!(
            editor.message,
            "That key does nothing here: a, c, e, t or d, and Escape is e."
        );
    }
    press(&mut editor, &[Key::PageDown, Key::Down]);
    assert!(matches!(&editor.mode, Mode::Page(page) if page.first == 4));
    assert_eq!(
        editor.press(Typed::Text(b"a".to_vec())),
        Asks::Answered(Question::Ready, 'a')
    );
    assert_eq!(shown(&editor), "x");
}

#[test]
fn a_time_is_asked_for() {
    let mut editor = Editor::new(b"x");
    editor.mode = Mode::Prompt(Prompt::Confirm, Line::offered("2m".into()));
    press(&mut editor, &[Key::Backspace]);
    type_in(&mut editor, "0s\n");
    assert!(matches!(editor.mode, Mode::Text));
    editor.mode = Mode::Prompt(Prompt::Confirm, Line::offered("2m".into()));
    assert_eq!(
        editor.press(Typed::Text(b"\n".to_vec())),
        Asks::Confirm("2m".into())
    );
    // What is typed takes the place of what was offered.
    editor.mode = Mode::Prompt(Prompt::Confirm, Line::offered("2m".into()));
    type_in(&mut editor, "3");
    assert_eq!(
        editor.press(Typed::Text(b"0s\n".to_vec())),
        Asks::Confirm("30s".into())
    );
}

#[test]
fn more_than_a_file_may_hold_is_not_taken() {
    let mut editor = Editor::new(&vec![b'#'; MAX_BYTES - 2]);
    type_in(&mut editor, "abc");
    assert!(editor.message.contains("8 MiB") && !editor.is_changed());
    type_in(&mut editor, "ab");
    assert_eq!(editor.text.size(), MAX_BYTES);
}

fn key() -> impl Strategy<Value = Key> {
    let all = vec![
        Key::Up,
        Key::Down,
        Key::Left,
        Key::Right,
        Key::Home,
        Key::End,
        Key::PageUp,
        Key::PageDown,
        Key::Top,
        Key::Bottom,
        Key::Backspace,
        Key::Delete,
        Key::Tab,
        Key::Escape,
        Key::Control('K'),
        Key::Control('U'),
        Key::Control('Y'),
        Key::Control('G'),
        Key::Control('F'),
    ];
    prop::sample::select(all)
}

fn typed() -> impl Strategy<Value = Typed> {
    prop_oneof![
        3 => key().prop_map(Typed::Key),
        2 => "([a-z\\[\\]=\"\t\r\nü日\u{1b}]|\u{0}){1,6}".prop_map(|text| Typed::Text(text.into_bytes())),
        1 => any::<Vec<u8>>().prop_map(|bytes| Typed::Text(bytes.into_iter().take(9).collect())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever is pressed, the cursor is in the text, the picture can be drawn, and undoing gives the original.
    #[test]
    fn nothing_that_is_pressed_breaks_it(
        original in "([a-z =\\[\\]\"ü]{0,12}\r?\n){0,6}",
        keys in prop::collection::vec(typed(), 0..40),
        size in (1usize..100, 1usize..40),
    ) {
        let mut editor = Editor::new(original.as_bytes());
        for typed in keys {
            editor.press(typed);
            prop_assert_eq!(editor.text.clamp(editor.cursor), editor.cursor);
            let (canvas, (row, column)) = super::super::view::draw(&mut editor, "lb.toml", size);
            prop_assert_eq!(canvas.size(), size);
            prop_assert!(row < size.1 && column < size.0, "{} {}", row, column);
        }
        editor.mode = Mode::Text;
        while editor.is_changed() {
            press(&mut editor, &[Key::Control('Z')]);
        }
        prop_assert_eq!(editor.text.bytes(), original.into_bytes());
    }
}
