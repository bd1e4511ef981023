//! Keys out of the bytes that a terminal sends: letters, and the escape sequences of arrows and pages.
//! Must not: know what a key does.

use std::collections::VecDeque;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Backspace,
    Delete,
    Tab,
    /// Ctrl-Home, Ctrl-End: of the whole text.
    Top,
    Bottom,
    /// A terminal says that what follows is pasted (true), or that this is over.
    Paste(bool),
    /// Any other letter with Ctrl, in capitals.
    Control(char),
    /// Ctrl-L.
    Redraw,
    /// Ctrl-C, Ctrl-D.
    Leave,
    Character(char),
}

/// Takes the next key out of the bytes. `None`: there is none, or its sequence has not come whole. `late`: nothing more
/// comes, so an Escape is one.
pub fn take(bytes: &mut VecDeque<u8>, late: bool) -> Option<Key> {
    loop {
        let first = *bytes.front()?;
        if first == 0x1b {
            let (length, key) = match sequence(bytes.make_contiguous()) {
                Some(found) => found,
                None if late => (bytes.len(), Some(Key::Escape)),
                None => return None,
            };
            bytes.drain(..length);
            match key {
                Some(key) => return Some(key),
                None => continue,
            }
        }
        bytes.pop_front();
        if let Some(key) = single(first) {
            return Some(key);
        }
    }
}

/// `None`: noise on the line, and letters that no key has.
fn single(byte: u8) -> Option<Key> {
    Some(match byte {
        b'\r' | b'\n' => Key::Enter,
        0x03 | 0x04 => Key::Leave,
        0x0c => Key::Redraw,
        0x08 | 0x7f => Key::Backspace,
        b'\t' => Key::Tab,
        0x01..=0x1a => Key::Control(char::from(byte + 0x40)),
        b' '..=b'~' => Key::Character(char::from(byte)),
        _ => return None,
    })
}

/// The length of the sequence at the beginning, and its key if it has one. `None`: more must come.
fn sequence(bytes: &[u8]) -> Option<(usize, Option<Key>)> {
    let kind = *bytes.get(1)?;
    if kind != b'[' && kind != b'O' {
        return Some((1, Some(Key::Escape)));
    }
    let parameters = &bytes[2..];
    // ECMA-48: parameters and intermediates, then one final byte.
    let end = parameters.iter().position(|b| !(0x20..0x40).contains(b))?;
    let key = match (parameters[end], &parameters[..end]) {
        (b'A', _) => Some(Key::Up),
        (b'B', _) => Some(Key::Down),
        (b'C', _) => Some(Key::Right),
        (b'D', _) => Some(Key::Left),
        (b'H', b"1;5") => Some(Key::Top),
        (b'F', b"1;5") => Some(Key::Bottom),
        (b'~', b"3") => Some(Key::Delete),
        (b'~', b"200") => Some(Key::Paste(true)),
        (b'~', b"201") => Some(Key::Paste(false)),
        (b'H', _) | (b'~', b"1" | b"7") => Some(Key::Home),
        (b'F', _) | (b'~', b"4" | b"8") => Some(Key::End),
        (b'~', b"5") => Some(Key::PageUp),
        (b'~', b"6") => Some(Key::PageDown),
        _ => None,
    };
    Some((2 + end + 1, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(bytes: &[u8], late: bool) -> (Vec<Key>, usize) {
        let mut bytes: VecDeque<u8> = bytes.iter().copied().collect();
        let mut keys = Vec::new();
        while let Some(key) = take(&mut bytes, late) {
            keys.push(key);
        }
        (keys, bytes.len())
    }

    #[test]
    fn sequences_are_keys_when_they_are_whole() {
        let all = b"\x1b[A\x1bOB\x1b[5~\x1b[6~\x1b[H\x1b[4~q\r\x7f\x0c\x03";
        use Key::*;
        let expected = vec![
            Up,
            Down,
            PageUp,
            PageDown,
            Home,
            End,
            Character('q'),
            Enter,
            Backspace,
            Redraw,
            Leave,
        ];
        assert_eq!(keys(all, false), (expected, 0));
        let edits = b"\t\x13\x1b[3~\x1b[1;5H\x1b[1;5F\x1b[200~\x1b[201~\x00";
        let expected = vec![Tab, Control('S'), Delete, Top, Bottom, Paste(true), Paste(false)];
        assert_eq!(keys(edits, false), (expected, 0));
        assert_eq!(keys(b"\x1b", false), (vec![], 1));
        assert_eq!(keys(b"\x1b[", false), (vec![], 2));
        assert_eq!(keys(b"\x1b", true), (vec![Escape], 0));
        assert_eq!(keys(b"\x1bx", false), (vec![Escape, Character('x')], 0));
        // A size that nobody asks for any more, and noise.
        assert_eq!(keys(b"\x1b[24;80R\xff\x80c", false), (vec![Character('c')], 0));
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes: Vec<u8>) {
            prop_assert_eq!(keys(&bytes, true).1, 0);
            keys(&bytes, false);
        }
    }
}
