//! The text of `config put` as it arrives, byte by byte, up to a line that holds one dot. Line ends may be CR, LF or
//! both, as terminals send them. Must not: read, print, or judge the text.

/// What has arrived so far.
#[derive(Debug)]
pub struct Paste {
    text: Vec<u8>,
    /// Where the present line begins in `text`; meaningless once bytes are dropped.
    line_start: usize,
    most: usize,
    received: u64,
    lines: u64,
    after_cr: bool,
    /// The present line is a dot and nothing else so far, or empty.
    dots: Dots,
    done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dots {
    LineStart,
    One,
    Other,
}

impl Paste {
    /// Keeps at most `most` bytes; the rest is counted and dropped.
    pub fn new(most: usize) -> Paste {
        Paste {
            text: Vec::new(),
            line_start: 0,
            most,
            received: 0,
            lines: 0,
            after_cr: false,
            dots: Dots::LineStart,
            done: false,
        }
    }

    /// Takes bytes up to the end of the line with the dot, and says how many it took.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        for (at, byte) in bytes.iter().enumerate() {
            if self.done {
                return at;
            }
            self.take(*byte);
        }
        bytes.len()
    }

    fn take(&mut self, byte: u8) {
        match byte {
            b'\n' if self.after_cr => self.after_cr = false,
            b'\r' | b'\n' => {
                self.after_cr = byte == b'\r';
                self.end_line();
            }
            // Backspace and delete take back a character of a line that is typed; lb.toml can hold neither.
            0x08 | 0x7f => self.take_back(),
            byte => {
                self.after_cr = false;
                self.dots = if self.dots == Dots::LineStart && byte == b'.' {
                    Dots::One
                } else {
                    Dots::Other
                };
                self.keep(byte);
            }
        }
    }

    fn end_line(&mut self) {
        if self.dots == Dots::One {
            self.done = true;
            self.unkeep();
            return;
        }
        self.lines += 1;
        self.keep(b'\n');
        self.line_start = self.text.len();
        self.dots = Dots::LineStart;
    }

    fn take_back(&mut self) {
        self.after_cr = false;
        if self.overflowed() || self.text.len() <= self.line_start {
            return;
        }
        // A character of several bytes goes as a whole.
        while self.text.len() > self.line_start {
            let last = self.text[self.text.len() - 1];
            self.unkeep();
            if last & 0xc0 != 0x80 {
                break;
            }
        }
        self.dots = match self.text[self.line_start..] {
            [] => Dots::LineStart,
            [b'.'] => Dots::One,
            _ => Dots::Other,
        };
    }

    fn keep(&mut self, byte: u8) {
        self.received += 1;
        if self.text.len() < self.most {
            self.text.push(byte);
        }
    }

    fn unkeep(&mut self) {
        if !self.overflowed() {
            self.text.pop();
        }
        self.received -= 1;
    }

    /// Whether the line with the dot has come.
    pub fn done(&self) -> bool {
        self.done
    }

    /// The input ended instead of a line with a dot; what the last line holds counts.
    pub fn end(&mut self) {
        match self.dots {
            Dots::One => self.end_line(),
            Dots::Other => self.lines += 1,
            Dots::LineStart => {}
        }
        self.done = true;
    }

    pub fn overflowed(&self) -> bool {
        self.received > self.text.len() as u64
    }

    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Bytes of the text, also of the part that was dropped.
    pub fn bytes(&self) -> u64 {
        self.received
    }

    pub fn into_text(self) -> Vec<u8> {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pasted(bytes: &[u8]) -> (Paste, usize) {
        let mut paste = Paste::new(1000);
        let taken = paste.push(bytes);
        (paste, taken)
    }

    #[test]
    fn every_line_end_and_what_follows_the_dot() {
        for (bytes, text, rest) in [
            (&b"a\nb\n.\nstatus\n"[..], &b"a\nb\n"[..], &b"status\n"[..]),
            (b"a\rb\r.\rstatus", b"a\nb\n", b"status"),
            (b"a\r\nb\r\n.\r\n", b"a\nb\n", b"\n"),
            (b"a\n\n\r\r.\n", b"a\n\n\n\n", b""),
            (b".\n", b"", b""),
            (b"..\n.x\n .\n.\n", b"..\n.x\n .\n", b""),
            (b"x.\n.\n", b"x.\n", b""),
            (b"\tv = 1 # \xff\x00\n.\n", b"\tv = 1 # \xff\x00\n", b""),
        ] {
            let (paste, taken) = pasted(bytes);
            assert!(paste.done(), "{bytes:?}");
            assert_eq!(&bytes[taken..], rest, "{bytes:?}");
            assert_eq!(paste.lines(), text.iter().filter(|b| **b == b'\n').count() as u64);
            assert_eq!(paste.bytes(), text.len() as u64);
            assert_eq!(paste.into_text(), text, "{bytes:?}");
        }
    }

    #[test]
    fn one_byte_at_a_time_is_the_same() {
        let bytes = b"a\r\n\r\n..\r.\rrest";
        let (whole, taken) = pasted(bytes);
        let mut single = Paste::new(1000);
        let mut count = 0;
        for byte in bytes {
            count += single.push(std::slice::from_ref(byte));
        }
        assert_eq!((count, single.into_text()), (taken, whole.into_text()));
    }

    #[test]
    fn the_end_of_the_input_ends_it() {
        for (bytes, text, lines) in [
            (&b"a\nb"[..], &b"a\nb"[..], 2),
            (b"a\n", b"a\n", 1),
            (b"a\n.", b"a\n", 1),
            (b"", b"", 0),
        ] {
            let (mut paste, _) = pasted(bytes);
            assert!(!paste.done());
            paste.end();
            assert!(paste.done());
            assert_eq!(paste.lines(), lines);
            assert_eq!(paste.into_text(), text);
        }
    }

    #[test]
    fn typing_can_be_corrected() {
        for (bytes, text) in [
            (&b"ax\x7fb\n.\n"[..], &b"ab\n"[..]),
            ("aü\u{8}b\n.\n".as_bytes(), b"ab\n"),
            (b"a\n\x7f\x7fb\n.\n", b"a\nb\n"),
            (b"a\nxy\x7f\x7f.\n", b"a\n"),
            (b"a\n..\x7f\n", b"a\n"),
        ] {
            let (paste, _) = pasted(bytes);
            assert!(paste.done(), "{bytes:?}");
            assert_eq!(paste.into_text(), text, "{bytes:?}");
        }
    }

    #[test]
    fn too_much_is_dropped_and_counted_up_to_the_dot() {
        let mut paste = Paste::new(10);
        for _ in 0..100 {
            paste.push(b"0123456789abcdef\n");
        }
        assert!(!paste.done() && paste.overflowed());
        paste.push(b"x\x7f.y\n.\nrest");
        assert!(paste.done());
        assert_eq!(paste.lines(), 101);
        assert_eq!(paste.into_text().len(), 10);
    }
}
