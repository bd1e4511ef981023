//! What is typed and what is pasted, out of the bytes that a terminal sends: text as it is, and keys. Nothing of a paste is
//! lost, whether or not the terminal says that it is one. Must not: know what a key does, or read.

use std::collections::VecDeque;

use crate::applctl::fullscreen::{Key, keys};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// Each of its lines ends with a line feed.
    Text(Vec<u8>),
    Key(Key),
}

/// Nobody types so much before the screen has shown it: it is a paste, and a tab in it is one.
const TYPED_AT_ONCE: usize = 16;
const PASTE_END: &[u8] = b"\x1b[201~";

#[derive(Debug, Default)]
pub struct Decoder {
    /// The terminal says that what comes is pasted.
    pasting: bool,
    /// A line feed that follows belongs to the same end of a line.
    after_cr: bool,
    /// Bytes of text since it was quiet.
    flowing: usize,
}

impl Decoder {
    /// Takes what is next. `None`: there is nothing, or it has not come whole. `late`: nothing more comes for now.
    pub fn take(&mut self, bytes: &mut VecDeque<u8>, late: bool) -> Option<Typed> {
        loop {
            if self.pasting {
                return self.pasted(bytes, late).map(Typed::Text);
            }
            let text = self.text(bytes);
            if !text.is_empty() {
                return Some(Typed::Text(text));
            }
            if bytes.len() == 1 && bytes[0] == b'\t' && !late {
                // Whether it is a key or part of a paste is seen by what follows.
                return None;
            }
            match keys::take(bytes, late)? {
                Key::Paste(begins) => self.pasting = begins,
                // Behind noise on the line.
                Key::Enter => return Some(Typed::Text(vec![b'\n'])),
                Key::Character(character) => return Some(Typed::Text(character.to_string().into_bytes())),
                key => {
                    self.after_cr = false;
                    return Some(Typed::Key(key));
                }
            }
        }
    }

    /// Nothing has come for a moment: what comes now is typed anew.
    pub fn quiet(&mut self) {
        self.flowing = 0;
    }

    /// Whether an end of a paste is waited for, which may have been lost on the line.
    pub fn is_pasting(&self) -> bool {
        self.pasting
    }

    pub fn give_up_paste(&mut self) {
        self.pasting = false;
    }

    /// Text up to the first key.
    fn text(&mut self, bytes: &mut VecDeque<u8>) -> Vec<u8> {
        let mut text = Vec::new();
        while let Some(byte) = bytes.front().copied() {
            let follows = bytes.get(1).is_some_and(|next| *next != 0x1b);
            let is_text = match byte {
                b'\r' | b'\n' | b' '..=b'~' | 0x80.. => true,
                b'\t' => follows || self.flowing > TYPED_AT_ONCE,
                _ => false,
            };
            if !is_text {
                break;
            }
            bytes.pop_front();
            self.keep(byte, &mut text);
        }
        text
    }

    fn keep(&mut self, byte: u8, text: &mut Vec<u8>) {
        let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
        match byte {
            b'\n' if after_cr => return,
            b'\r' => text.push(b'\n'),
            byte => text.push(byte),
        }
        self.flowing += 1;
    }

    /// Everything up to what ends the paste.
    fn pasted(&mut self, bytes: &mut VecDeque<u8>, late: bool) -> Option<Vec<u8>> {
        let all = bytes.make_contiguous();
        let end = all.windows(PASTE_END.len()).position(|part| part == PASTE_END);
        let (taken, dropped) = match end {
            Some(end) => (end, PASTE_END.len()),
            None if late => (all.len(), 0),
            // Its end may have come in part.
            None => {
                let begun = (1..PASTE_END.len()).rev();
                let begun = begun.filter(|length| all.ends_with(&PASTE_END[..*length])).max();
                (all.len() - begun.unwrap_or(0), 0)
            }
        };
        self.pasting = end.is_none();
        let raw: Vec<u8> = bytes.drain(..taken + dropped).take(taken).collect();
        let mut text = Vec::new();
        raw.into_iter().for_each(|byte| self.keep(byte, &mut text));
        let nothing = text.is_empty() && end.is_none();
        (!nothing).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As the bytes come, in pieces, and then nothing more.
    fn typed<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> Vec<Typed> {
        let mut decoder = Decoder::default();
        let mut bytes = VecDeque::new();
        let mut all: Vec<Typed> = Vec::new();
        let mut add = |typed| match (all.last_mut(), typed) {
            (Some(Typed::Text(before)), Typed::Text(text)) => before.extend(text),
            (_, typed) => all.push(typed),
        };
        for piece in pieces {
            bytes.extend(piece);
            while let Some(typed) = decoder.take(&mut bytes, false) {
                add(typed);
            }
        }
        while let Some(typed) = decoder.take(&mut bytes, true) {
            add(typed);
        }
        assert!(bytes.is_empty(), "{bytes:?}");
        all.retain(|typed| *typed != Typed::Text(vec![]));
        all
    }

    fn text(text: &[u8]) -> Typed {
        Typed::Text(text.to_vec())
    }

    #[test]
    fn keys_and_text() {
        use Typed::Key as K;
        let all = typed([&b"ab\x1b[A\xc3\xa4\r\nc\x13\t"[..]]);
        let expected = [
            text(b"ab"),
            K(Key::Up),
            text("ä\nc".as_bytes()),
            K(Key::Control('S')),
            K(Key::Tab),
        ];
        assert_eq!(all, expected);
        assert_eq!(typed([&b"\x1b"[..]]), [K(Key::Escape)]);
        // A line feed by itself ends a line too, and a break is nothing.
        assert_eq!(typed([&b"a\n\nb\0\rc"[..]]), [text(b"a\n\nb\nc")]);
    }

    #[test]
    fn a_tab_is_a_key_only_by_itself() {
        use Typed::Key as K;
        assert_eq!(typed([&b"sch\t"[..]]), [text(b"sch"), K(Key::Tab)]);
        assert_eq!(typed([&b"\tname = 1\r"[..]]), [text(b"\tname = 1\n")]);
        // The tab comes as the last byte of a piece of a paste, or of all of it.
        assert_eq!(typed([&b"\t"[..], b"name\r"]), [text(b"\tname\n")]);
        let last = typed([&b"[[virtual_server]]\r\t"[..]]);
        assert_eq!(last, [text(b"[[virtual_server]]\n\t")]);
        assert_eq!(typed([&b"a\t\x1b[A"[..]]), [text(b"a"), K(Key::Tab), K(Key::Up)]);
    }

    #[test]
    fn a_paste_that_is_announced_holds_every_byte() {
        let all = typed([&b"x\x1b[200~a\x13\tb\x1b[Ac\r\nd\x1b[201~\x13"[..]]);
        let expected = [text(b"xa\x13\tb\x1b[Ac\nd"), Typed::Key(Key::Control('S'))];
        assert_eq!(all, expected);
        let mut decoder = Decoder::default();
        let mut bytes: VecDeque<u8> = b"\x1b[200~abc".iter().copied().collect();
        assert_eq!(decoder.take(&mut bytes, false), Some(text(b"abc")));
        assert!(decoder.is_pasting());
        decoder.give_up_paste();
        bytes.extend(b"\x13");
        assert_eq!(
            decoder.take(&mut bytes, false),
            Some(Typed::Key(Key::Control('S')))
        );
    }

    proptest! {
        /// However the line cuts it, a paste is what it was.
        #[test]
        fn pieces_make_no_difference(
            lines in "([ -~\t]{2,20}\r){1,8}",
            announced: bool,
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let sent = match announced {
                true => format!("\x1b[200~{lines}\x1b[201~"),
                false => lines.clone(),
            };
            let sent = sent.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(sent.len())).collect();
            cuts.extend([0, sent.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|pair| &sent[pair[0]..pair[1]]);
            prop_assert_eq!(typed(pieces), [text(lines.replace('\r', "\n").as_bytes())]);
        }

        #[test]
        fn any_bytes_end(bytes: Vec<u8>) {
            typed([&bytes[..]]);
        }
    }
}
