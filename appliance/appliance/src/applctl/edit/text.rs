//! A text as lines of bytes, with all that was done to it, so that undoing to the beginning gives it back byte for byte.
//! Must not: know keys, the screen, or what the text means.

/// Between two bytes of the text: a line, from 0, and the byte of the line before which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    pub line: usize,
    pub byte: usize,
}

impl Place {
    /// Where text ends that begins here.
    fn after(self, text: &[u8]) -> Place {
        match text.iter().rposition(|b| *b == b'\n') {
            None => Place {
                line: self.line,
                byte: self.byte + text.len(),
            },
            Some(last) => Place {
                line: self.line + text.iter().filter(|b| **b == b'\n').count(),
                byte: text.len() - last - 1,
            },
        }
    }
}

/// What stood at a place, and what stands there now.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edit {
    at: Place,
    removed: Vec<u8>,
    inserted: Vec<u8>,
}

impl Edit {
    /// One edit of two, where they are typing that goes on.
    fn extend(&mut self, next: &Edit) -> bool {
        let types_on = self.removed.is_empty() && next.removed.is_empty();
        if types_on && next.at == self.at.after(&self.inserted) {
            self.inserted.extend_from_slice(&next.inserted);
            return true;
        }
        if !self.inserted.is_empty() || !next.inserted.is_empty() {
            return false;
        }
        if next.at == self.at {
            self.removed.extend_from_slice(&next.removed);
            return true;
        }
        let goes_back = next.at.after(&next.removed) == self.at;
        if goes_back {
            self.at = next.at;
            self.removed.splice(0..0, next.removed.iter().copied());
        }
        goes_back
    }
}

#[derive(Debug)]
pub struct Text {
    /// Without their line feeds; never empty.
    lines: Vec<Vec<u8>>,
    bytes: usize,
    done: Vec<Edit>,
    undone: Vec<Edit>,
    /// The last edit may be gone on with.
    open: bool,
    /// Another one with each change.
    revision: u64,
}

impl Text {
    pub fn new(bytes: &[u8]) -> Text {
        Text {
            lines: bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect(),
            bytes: bytes.len(),
            done: Vec::new(),
            undone: Vec::new(),
            open: false,
            revision: 0,
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.lines.join(&b'\n')
    }

    /// In bytes.
    pub fn size(&self) -> usize {
        self.bytes
    }

    pub fn lines(&self) -> usize {
        self.lines.len()
    }

    pub fn line(&self, line: usize) -> &[u8] {
        self.lines.get(line).map_or(&[], Vec::as_slice)
    }

    pub fn end(&self) -> Place {
        let line = self.lines.len() - 1;
        Place {
            line,
            byte: self.lines[line].len(),
        }
    }

    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether there is anything to undo.
    pub fn is_touched(&self) -> bool {
        !self.done.is_empty()
    }

    /// What comes next is an edit of its own.
    pub fn close(&mut self) {
        self.open = false;
    }

    /// The place that is nearest to this one.
    pub fn clamp(&self, place: Place) -> Place {
        let place = place.min(self.end());
        Place {
            line: place.line,
            byte: place.byte.min(self.line(place.line).len()),
        }
    }

    /// The bytes up to a place, from the beginning of another one's line.
    pub fn between(&self, from: Place, to: Place) -> Vec<u8> {
        if from.line == to.line {
            return self.line(from.line)[from.byte..to.byte].to_vec();
        }
        let mut bytes = self.line(from.line)[from.byte..].to_vec();
        for line in from.line + 1..to.line {
            bytes.push(b'\n');
            bytes.extend_from_slice(self.line(line));
        }
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.line(to.line)[..to.byte]);
        bytes
    }

    /// Puts `inserted` where the text from `from` to `to` stood, and says where it ends.
    pub fn replace(&mut self, from: Place, to: Place, inserted: &[u8]) -> Place {
        let edit = Edit {
            at: from,
            removed: self.between(from, to),
            inserted: inserted.to_vec(),
        };
        let end = self.put(from, to, inserted);
        if edit.removed.is_empty() && inserted.is_empty() {
            return end;
        }
        self.undone.clear();
        let goes_on = self.open && self.done.last_mut().is_some_and(|last| last.extend(&edit));
        if !goes_on {
            self.done.push(edit);
        }
        // A line that was typed is undone by itself; one of a paste comes with others.
        self.open = inserted != b"\n";
        end
    }

    /// Takes the last edit back. The place is where it was.
    pub fn undo(&mut self) -> Option<Place> {
        let edit = self.done.pop()?;
        self.open = false;
        let place = self.put(edit.at, edit.at.after(&edit.inserted), &edit.removed);
        self.undone.push(edit);
        Some(place)
    }

    pub fn redo(&mut self) -> Option<Place> {
        let edit = self.undone.pop()?;
        self.open = false;
        let place = self.put(edit.at, edit.at.after(&edit.removed), &edit.inserted);
        self.done.push(edit);
        Some(place)
    }

    fn put(&mut self, from: Place, to: Place, inserted: &[u8]) -> Place {
        self.revision += 1;
        let end = from.after(inserted);
        let old: usize = match from.line == to.line {
            true => to.byte - from.byte,
            false => self.between(from, to).len(),
        };
        self.bytes = self.bytes + inserted.len() - old;
        if from.line == to.line && end.line == from.line {
            self.lines[from.line].splice(from.byte..to.byte, inserted.iter().copied());
            return end;
        }
        let mut new: Vec<Vec<u8>> = inserted.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
        if let Some(last) = new.last_mut() {
            last.extend_from_slice(&self.lines[to.line][to.byte..]);
        }
        if let Some(first) = new.first_mut() {
            first.splice(0..0, self.lines[from.line][..from.byte].iter().copied());
        }
        self.lines.splice(from.line..=to.line, new);
        end
    }
}

/// The bytes of the character at the beginning; of what is no UTF-8 one. 0: there is none.
pub fn character_length(bytes: &[u8]) -> usize {
    let Some(first) = bytes.first() else { return 0 };
    let length = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    let whole = bytes
        .get(..length)
        .is_some_and(|c| std::str::from_utf8(c).is_ok());
    if whole { length } else { 1 }
}

/// The bytes of the character that ends at the end.
pub fn last_character_length(bytes: &[u8]) -> usize {
    let ends = |length: &usize| {
        let start = bytes.len().checked_sub(*length);
        start.is_some_and(|start| character_length(&bytes[start..]) == *length)
    };
    (2..=4).rev().find(ends).unwrap_or(bytes.len().min(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn at(line: usize, byte: usize) -> Place {
        Place { line, byte }
    }

    #[test]
    fn text_is_put_taken_and_put_back() {
        let mut text = Text::new(b"one\r\ntwo\n");
        assert_eq!((text.lines(), text.line(0)), (3, &b"one\r"[..]));
        assert_eq!(text.replace(at(1, 1), at(1, 1), b"X\nY\nZ"), at(3, 1));
        assert_eq!(text.bytes(), b"one\r\ntX\nY\nZwo\n");
        assert_eq!(text.replace(at(0, 3), at(2, 1), b""), at(0, 3));
        assert_eq!(text.bytes(), b"one\nZwo\n");
        assert_eq!(text.size(), text.bytes().len());
        assert_eq!(text.undo(), Some(at(2, 1)));
        assert_eq!(text.undo(), Some(at(1, 1)));
        assert_eq!((text.bytes(), text.undo()), (b"one\r\ntwo\n".to_vec(), None));
        assert!(!text.is_touched());
        text.redo();
        text.redo();
        assert_eq!((text.bytes(), text.redo()), (b"one\nZwo\n".to_vec(), None));
    }

    #[test]
    fn what_is_typed_in_one_go_is_undone_in_one_go() {
        let mut text = Text::new(b"");
        for byte in 0..3 {
            text.replace(at(0, byte), at(0, byte), b"a");
        }
        text.replace(at(0, 3), at(0, 3), b"\n");
        text.replace(at(1, 0), at(1, 0), b"b");
        text.undo();
        assert_eq!(text.bytes(), b"aaa\n");
        text.undo();
        assert_eq!(text.bytes(), b"");
        // Backspaces and deletions too; a pause between divides them.
        let mut text = Text::new(b"abcdef");
        text.replace(at(0, 2), at(0, 3), b"");
        text.replace(at(0, 1), at(0, 2), b"");
        text.replace(at(0, 1), at(0, 2), b"");
        text.close();
        text.replace(at(0, 1), at(0, 2), b"");
        assert_eq!(text.bytes(), b"af");
        text.undo();
        assert_eq!(text.bytes(), b"aef");
        text.undo();
        assert_eq!(text.bytes(), b"abcdef");
    }

    #[test]
    fn characters_have_their_bytes() {
        for (bytes, lengths) in [
            (&b"ab"[..], &[1, 1][..]),
            ("ü€😀".as_bytes(), &[2, 3, 4]),
            (b"\xff\xc3", &[1, 1]),
            (b"\xc3\xa4\x80\xe2\x82", &[2, 1, 1, 1]),
        ] {
            let mut rest = bytes;
            for length in lengths {
                assert_eq!(character_length(rest), *length, "{rest:?}");
                rest = &rest[*length..];
            }
            let mut rest = bytes;
            for length in lengths.iter().rev() {
                assert_eq!(last_character_length(rest), *length, "{rest:?}");
                rest = &rest[..rest.len() - length];
            }
            assert_eq!(last_character_length(rest), 0);
        }
    }

    fn piece() -> impl Strategy<Value = Vec<u8>> {
        vec(
            prop_oneof![Just(b'\n'), Just(b'\r'), Just(0xff), any::<u8>()],
            0..12,
        )
    }

    proptest! {
        /// It holds what a plain string of bytes would, and undoing everything gives the original.
        #[test]
        fn it_is_a_string_of_bytes_that_forgets_nothing(
            original in vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..60),
            edits in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), piece(), any::<bool>()), 0..20),
        ) {
            let mut text = Text::new(&original);
            let mut model = original.clone();
            for (one, other, inserted, close) in &edits {
                let (one, other) = (one.index(model.len() + 1), other.index(model.len() + 1));
                let (from, to) = (one.min(other), one.max(other));
                let place = |offset: usize| Place::default().after(&model[..offset]);
                let end = text.replace(place(from), place(to), inserted);
                model.splice(from..to, inserted.iter().copied());
                prop_assert_eq!(end, Place::default().after(&model[..from + inserted.len()]));
                prop_assert_eq!(&text.bytes(), &model);
                prop_assert_eq!(text.size(), model.len());
                if *close {
                    text.close();
                }
            }
            while text.undo().is_some() {}
            prop_assert_eq!(&text.bytes(), &original);
            prop_assert!(!text.is_touched());
            while text.redo().is_some() {}
            prop_assert_eq!(&text.bytes(), &model);
        }

        /// Forward and backward find the same characters.
        #[test]
        fn characters_cover_all_bytes(bytes: Vec<u8>) {
            let mut at = 0;
            while at < bytes.len() {
                let length = character_length(&bytes[at..]);
                prop_assert!(length > 0);
                at += length;
            }
            prop_assert_eq!(at, bytes.len());
        }
    }
}
