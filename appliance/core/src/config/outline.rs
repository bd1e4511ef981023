//! Where the services of a text stand, so that they can be read one at a time: a parsed document takes some thirty
//! times the memory of its text, and nearly all of a large lb.toml is services.
//! Must not: parse. What is found here is a proposal; whether the parts are what they seem shows when they are read.

use std::borrow::Cow;
use std::ops::Range;

use super::statements::split;

/// A text in parts, each of which is a document by itself.
#[derive(Debug)]
pub(super) struct Outline<'t> {
    /// Everything but the services, each byte at its own place.
    pub rest: Cow<'t, str>,
    /// One `[[virtual_server]]` each, with all that belongs to it.
    pub services: Vec<Range<usize>>,
}

/// The parser keeps some 50 bytes for each word and sign. A service with many thousands of servers is left to those who read
/// the text as a whole, and refuse what is too much.
const MAX_BYTES_OF_PART: usize = 512 << 10;

/// The list that is read in parts.
pub(super) const SERVICES: &str = "virtual_server";
/// How a header of what belongs to one of them begins. Within a value it changes nothing either.
const PART: &str = "[[virtual_server.";

impl<'t> Outline<'t> {
    /// By the lines that begin with a bracket. `None`: there is nothing to gain.
    pub fn of(text: &'t str) -> Option<Outline<'t>> {
        let mut services: Vec<Range<usize>> = Vec::new();
        let mut inside = false;
        let mut from = 0;
        // Far more bytes than brackets: the lines in between are not looked at.
        while let Some(found) = memchr::memchr(b'[', &text.as_bytes()[from..]) {
            let bracket = from + found;
            from = bracket + 1;
            // Nearly all of them, as they are mostly written.
            if inside && text[bracket..].starts_with(PART) {
                from = bracket + PART.len();
                continue;
            }
            let Some(at) = line_of(text, bracket) else {
                continue;
            };
            let belongs = match Header::of(&text[at..]) {
                None => continue,
                Some(Header::PartOfService) if inside => continue,
                Some(header) => header == Header::Service,
            };
            if let Some(service) = services.last_mut().filter(|_| inside) {
                service.end = at;
            }
            if belongs {
                services.push(at..text.len());
            }
            inside = belongs;
        }
        let rest = without(text, &services);
        let of_services = services.iter().map(|range| range.len());
        let largest = of_services.chain([rest.trim_ascii().len()]).max()?;
        (!services.is_empty() && largest <= MAX_BYTES_OF_PART).then_some(Outline { rest, services })
    }

    /// Whether each part begins with a statement: the lines were no part of a value.
    pub fn is_exact(&self, text: &str) -> bool {
        let begins = |at: usize| {
            let blank = text[at..].bytes().take_while(|byte| b" \t".contains(byte));
            at + blank.count()
        };
        let ends = self.services.iter().flat_map(|range| [range.start, range.end]);
        let mut bounds: Vec<usize> = ends.filter(|at| *at < text.len()).map(begins).collect();
        bounds.dedup();
        let mut statements = split(text).map(|statement| statement.span.start);
        bounds
            .into_iter()
            .all(|bound| statements.any(|start| start == bound))
    }
}

/// Where the line begins of which this bracket is the first sign.
fn line_of(text: &str, bracket: usize) -> Option<usize> {
    let before = text[..bracket].trim_end_matches([' ', '\t']);
    (before.is_empty() || before.ends_with('\n')).then_some(before.len())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    Service,
    PartOfService,
    Other,
}

impl Header {
    /// Of the line that begins here.
    fn of(line: &str) -> Option<Header> {
        let blanks = [' ', '\t'];
        let line = line.trim_start_matches(blanks);
        let inner = line.strip_prefix('[')?;
        let (twice, inner) = match inner.strip_prefix('[') {
            Some(inner) => (true, inner),
            None => (false, inner),
        };
        let name = inner.trim_start_matches(blanks).strip_prefix(SERVICES);
        let behind = name.map(|behind| behind.trim_start_matches(blanks));
        Some(match behind {
            Some(behind) if twice && behind.starts_with(']') => Header::Service,
            Some(behind) if behind.starts_with('.') => Header::PartOfService,
            _ => Header::Other,
        })
    }
}

/// The text with these ranges blanked, up to the end of what is left of it.
fn without<'t>(text: &'t str, ranges: &[Range<usize>]) -> Cow<'t, str> {
    let first = ranges.first().map_or(text.len(), |range| range.start);
    let adjoin = ranges.windows(2).all(|pair| pair[0].end == pair[1].start);
    if adjoin && ranges.last().is_some_and(|range| range.end == text.len()) {
        return Cow::Borrowed(&text[..first]);
    }
    let mut rest = text.to_owned().into_bytes();
    for range in ranges {
        let blanked = rest[range.clone()].iter_mut();
        blanked
            .filter(|byte| **byte != b'\n')
            .for_each(|byte| *byte = b' ');
    }
    Cow::Owned(String::from_utf8(rest).expect("whole lines became ASCII spaces"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, Vec<&str>) {
        let outline = Outline::of(text).expect("there are services");
        let services = outline.services.iter().map(|range| &text[range.clone()]);
        (outline.rest.trim_end().to_owned(), services.collect())
    }

    #[test]
    fn a_service_ends_where_another_table_begins() {
        let text = "a = 1\n[[interface]]\nb = 1\n [[ virtual_server ]] # c\nd = 1\n[virtual_server.check]\n\
                    [[virtual_server.real_server]]\n[[virtual_server]]\n[[masquerade]]\ne = 1\n";
        let (rest, services) = parts(text);
        assert!(rest.starts_with("a = 1\n[[interface]]\nb = 1\n"));
        assert!(rest.ends_with("[[masquerade]]\ne = 1"));
        assert_eq!(rest.find("[[masquerade]]"), text.find("[[masquerade]]"));
        assert_eq!(
            services,
            [
                " [[ virtual_server ]] # c\nd = 1\n[virtual_server.check]\n[[virtual_server.real_server]]\n",
                "[[virtual_server]]\n"
            ]
        );
    }

    #[test]
    fn what_looks_like_a_header_within_a_value_shows() {
        for (text, exact) in [
            ("[[virtual_server]]\n[[interface]]\n", true),
            (
                "a = 1\n \t[[virtual_server]]\nb = 1\n\t[[virtual_server]]\n",
                true,
            ),
            (
                "[[virtual_server]]\nb = \"\"\"\n[[virtual_server]]\n\"\"\"\n",
                false,
            ),
            ("[[virtual_server]]\nb = '''\n[interface]\n'''\n", false),
        ] {
            let outline = Outline::of(text).expect("there are services");
            assert_eq!(outline.is_exact(text), exact, "{text}");
        }
    }

    #[test]
    fn other_texts_have_no_parts() {
        for text in [
            "",
            "a = 1",
            "[virtual_server]",
            "[[virtual_servers]]",
            "[[virtual_server.check]]",
        ] {
            assert!(Outline::of(text).is_none(), "{text}");
        }
        let large = "a = 1 # long\n".repeat(MAX_BYTES_OF_PART / 12);
        assert!(Outline::of(&format!("[[virtual_server]]\n{large}")).is_none());
        assert!(Outline::of(&format!("{large}[[virtual_server]]\n")).is_none());
    }
}
