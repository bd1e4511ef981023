//! Properties of what meets text from outside: whatever is typed, pasted, logged or reported, nothing panics and nothing
//! is lost.

use proptest::collection::vec;
use proptest::prelude::*;
use unicode_width::UnicodeWidthStr;

use super::complete::{Names, complete, hint};
use super::kmsg::Record;
use super::line::{quote, split};
use super::parse::parse;
use super::paste::Paste;
use super::render::wrap;

struct Odd;

impl Names for Odd {
    fn interfaces(&self) -> Vec<String> {
        Vec::new()
    }

    fn removable(&self) -> Vec<String> {
        Vec::new()
    }

    fn beside(&self) -> Vec<String> {
        self.services()
    }

    fn history(&self) -> Vec<String> {
        Vec::new()
    }

    fn services(&self) -> Vec<String> {
        ["a b", "\"", "ü", ""].map(str::to_owned).into()
    }

    fn servers(&self) -> Vec<String> {
        self.services()
    }

    fn configuration(&self) -> String {
        "[[virtual_server]]\nname = \"a b\"\n".to_owned()
    }

    fn files(&self, begin: &str) -> Vec<String> {
        vec![format!("{begin} /")]
    }
}

/// Lines near to the grammar, and far from it.
fn line() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("applctl"),
        Just("config"),
        Just("set"),
        Just("virtual_server."),
        Just("services"),
        Just("log"),
        Just("help"),
        Just("s"),
        Just("--last"),
        Just("--last=9"),
        Just("--json"),
        Just("?"),
        Just("-"),
        Just("--"),
        Just("'"),
        Just("\""),
        Just("\\"),
        Just("ü"),
        Just("[[x]]"),
    ];
    prop_oneof![vec(word, 0..6).prop_map(|words| words.join(" ")), any::<String>()]
}

proptest! {
    #[test]
    fn any_line_is_understood_or_explained(line in line()) {
        if let Ok(words) = split(&line)
            && let Err(error) = parse(&words)
        {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn any_line_can_be_completed_at_any_place(line in line(), at in any::<prop::sample::Index>()) {
        let places: Vec<usize> = line.char_indices().map(|(at, _)| at).chain([line.len()]).collect();
        let before = &line[..places[at.index(places.len())]];
        let (start, _) = complete(before, &Odd);
        prop_assert!(before.is_char_boundary(start));
        let _ = hint(before);
    }

    #[test]
    fn a_quoted_word_is_one_word(word in any::<String>()) {
        let words = split(&format!("x {}", quote(&word))).unwrap();
        prop_assert_eq!(words, vec!["x".to_owned(), word]);
    }

    #[test]
    fn any_record_is_read_or_passed_over(bytes in vec(any::<u8>(), 0..200), head in "[0-9]{0,3},[0-9]{0,20},[0-9]{0,20},-;") {
        let _ = Record::parse(&bytes);
        let mut record = head.into_bytes();
        record.extend(bytes);
        if let Some(record) = Record::parse(&record) {
            let _ = record.line(std::time::SystemTime::UNIX_EPOCH);
        }
    }

    #[test]
    fn a_paste_is_the_same_in_any_pieces(
        bytes in vec(prop_oneof![Just(b'.'), Just(b'\r'), Just(b'\n'), Just(0x7f), any::<u8>()], 0..300),
        piece in 1usize..20,
        most in 0usize..200,
    ) {
        let mut whole = Paste::new(most);
        let taken = whole.push(&bytes);
        let mut pieces = Paste::new(most);
        let count: usize = bytes.chunks(piece).map(|p| pieces.push(p)).sum();
        prop_assert_eq!((taken, whole.done(), whole.lines(), whole.bytes()), (count, pieces.done(), pieces.lines(), pieces.bytes()));
        prop_assert!(whole.done() || taken == bytes.len());
        prop_assert_eq!(whole.into_text(), pieces.into_text());
    }

    #[test]
    fn wrapped_text_fits_and_loses_no_letter(text in any::<String>(), columns in 8usize..100) {
        let wrapped = wrap(&text, columns, 0);
        let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        prop_assert_eq!(letters(&wrapped), letters(&text));
        if !text.chars().any(char::is_control) {
            prop_assert!(wrapped.lines().all(|l| l.width() <= columns), "{}", wrapped);
        }
    }
}
