//! The faults of the text, each at its place, and how they move with the lines until the text is judged anew.
//! Must not: decide what a fault is; `lb_core::config` does.

use std::ops::Range;

use lb_core::config;

use super::text::Place;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// From 0.
    pub line: usize,
    /// Of the line.
    pub bytes: Range<usize>,
    pub message: String,
    /// What is allowed.
    pub help: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    listed: Vec<Mark>,
    count: usize,
}

impl Marks {
    /// Judges the text.
    pub fn of(text: &[u8]) -> Marks {
        let Err(faults) = config::parse_bytes(text) else {
            return Marks::default();
        };
        let newlines = text.iter().enumerate().filter(|(_, b)| **b == b'\n');
        let starts: Vec<usize> = std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect();
        let mark = |fault: &config::Fault| {
            let line = starts.partition_point(|start| *start <= fault.span.start) - 1;
            let start = fault.span.start - starts[line];
            let end = fault.span.end.max(fault.span.start + 1) - starts[line];
            Mark {
                line,
                bytes: start..end,
                message: fault.message.clone(),
                help: fault.help.clone(),
            }
        };
        Marks {
            listed: faults.iter().map(mark).collect(),
            count: faults.count(),
        }
    }

    /// How many there are, also of those that are not listed.
    pub fn count(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Mark> {
        self.listed.iter()
    }

    pub fn of_line(&self, line: usize) -> impl Iterator<Item = &Mark> {
        let first = self.listed.partition_point(|mark| mark.line < line);
        self.listed[first..]
            .iter()
            .take_while(move |mark| mark.line == line)
    }

    /// The one that is spoken of while the cursor is there: it stands on it, or else the first one of the line.
    pub fn at(&self, place: Place) -> Option<&Mark> {
        let on = self
            .of_line(place.line)
            .find(|mark| mark.bytes.contains(&place.byte));
        on.or_else(|| self.of_line(place.line).next())
    }

    /// The next one behind a place, or else the first.
    pub fn after(&self, place: Place) -> Option<&Mark> {
        let behind = |mark: &&Mark| (mark.line, mark.bytes.start) > (place.line, place.byte);
        self.iter().find(behind).or(self.listed.first())
    }

    /// Lines up to `to` became lines up to `end`: what is marked below moves along.
    pub fn shift(&mut self, from: Place, to: Place, end: Place) {
        if to.line == end.line {
            return;
        }
        self.listed
            .retain(|mark| mark.line <= from.line || mark.line >= to.line);
        for mark in &mut self.listed {
            if mark.line > to.line || (mark.line == to.line && to.line > from.line) {
                mark.line = mark.line - to.line + end.line;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "hostname = \"lb\"\nhostnam = 1\n\n[timeouts]\ntcp = \"soon\"\n";

    #[test]
    fn faults_have_their_lines() {
        let marks = Marks::of(TEXT.as_bytes());
        let places: Vec<_> = marks.iter().map(|mark| (mark.line, mark.bytes.start)).collect();
        assert_eq!((places, marks.count()), (vec![(1, 0), (4, 6)], 2));
        assert!(marks.at(Place { line: 1, byte: 5 }).is_some());
        assert_eq!(marks.at(Place { line: 2, byte: 0 }), None);
        let after = |line, byte| marks.after(Place { line, byte }).map(|mark| mark.line);
        assert_eq!(
            [after(0, 0), after(1, 0), after(4, 6)],
            [Some(1), Some(4), Some(1)]
        );
        assert!(Marks::of(b"hostname = \"lb\"\n").is_empty());
        let bad = Marks::of(b"a\n# \xff\n");
        assert_eq!(
            bad.iter().next().map(|mark| (mark.line, mark.bytes.start)),
            Some((1, 2))
        );
    }

    /// `lb.toml:4:14: MESSAGE`, and after the line of the file `help: ...`: the editor shows both where the place is. In a message they are folded.
    #[test]
    fn every_bad_file_is_marked_with_its_whole_message() {
        for bad in lb_configs::bad().unwrap() {
            let marks = Marks::of(&bad.text);
            assert!(!marks.is_empty(), "{}", bad.name);
            let lines: Vec<&[u8]> = bad.text.split(|byte| *byte == b'\n').collect();
            let marked: Vec<String> = marks.iter().map(|mark| told(mark, &lines)).collect();
            let messages = bad
                .expected
                .split("\n\n")
                .filter(|part| part.starts_with("lb.toml:"));
            for message in messages.map(without_quotation) {
                assert!(
                    marked.contains(&message),
                    "{}: `{message}` is not marked; {marked:#?} are",
                    bad.name
                );
            }
        }
    }

    /// A mark as a message says it.
    fn told(mark: &Mark, lines: &[&[u8]]) -> String {
        let before = String::from_utf8_lossy(&lines[mark.line][..mark.bytes.start]);
        // A byte order mark takes no column.
        let column = before.chars().filter(|c| *c != '\u{feff}').count() + 1;
        let whole = format!(
            "lb.toml:{}:{column}: {} help: {}",
            mark.line + 1,
            mark.message,
            mark.help
        );
        words(&whole)
    }

    /// A message without the line of the file that it shows.
    fn without_quotation(message: &str) -> String {
        let quoted = |line: &&str| {
            line.split_once('|')
                .is_some_and(|(number, _)| number.trim().parse::<usize>().is_ok() || number.trim().is_empty())
        };
        let kept: Vec<&str> = message.lines().filter(|line| !quoted(line)).collect();
        words(&kept.join(" "))
    }

    fn words(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn they_move_with_their_lines() {
        let mut marks = Marks::of(TEXT.as_bytes());
        let place = |line, byte| Place { line, byte };
        let lines = |marks: &Marks| marks.iter().map(|mark| mark.line).collect::<Vec<_>>();
        marks.shift(place(2, 0), place(2, 0), place(5, 0));
        assert_eq!(lines(&marks), [1, 7]);
        marks.shift(place(0, 0), place(6, 0), place(0, 0));
        assert_eq!(lines(&marks), [1]);
        marks.shift(place(1, 3), place(1, 3), place(2, 0));
        assert_eq!(lines(&marks), [1]);
    }
}
