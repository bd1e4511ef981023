//! An answer of HTTP/1 as it comes: its head, and its body by length, by chunks or until the end (RFC 9112, sections 6 and 7).
//! Must not: own a socket, judge, or keep more than a test of the body needs.

use std::mem::MaybeUninit;

use httparse::{Error, Header, ParserConfig, Response, Status};

use super::account;

/// Of a body that is tested; what comes after that is not read.
const MOST_BODY: usize = 64 << 10;
/// Of an answer's header fields.
const MOST_HEAD: usize = 32 << 10;
const MOST_FIELDS: usize = 100;
/// Of the line before a chunk, with its extensions.
const MOST_LINE: usize = 1 << 10;

pub(super) const NO_HTTP: &str = "the answer is no HTTP";

#[derive(Debug, Default)]
pub(super) struct Answer {
    pub head: Option<Head>,
    pub body: Vec<u8>,
    at: Part,
    /// What has come and is not understood as long as no more comes.
    rest: Vec<u8>,
    /// Whether the beginning of the head is one.
    looked: bool,
    /// Whether somebody wants to see the head.
    watched: bool,
}

#[derive(Debug)]
pub(super) struct Head {
    pub status: u16,
    /// As kube-proxy counts them since Kubernetes 1.26.
    pub endpoints: Option<u64>,
    /// Its lines, for whoever watches.
    pub lines: Vec<String>,
}

/// What comes next.
#[derive(Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Head,
    /// So many bytes of the body.
    Length(u64),
    ChunkSize,
    /// So many bytes of a chunk, its line end with them.
    Chunk(u64),
    /// All that comes until the connection is closed.
    Rest,
    Whole,
}

impl Answer {
    /// One whose head is kept as it came.
    pub fn watched() -> Answer {
        Answer {
            watched: true,
            ..Answer::default()
        }
    }

    /// `bodiless`: the request was one whose answer has no body.
    pub fn take(&mut self, bytes: &[u8], bodiless: bool) -> Result<(), String> {
        // Most answers come in one piece, which is read where it lies.
        if self.rest.is_empty() {
            let read = self.read(bytes, bodiless)?;
            self.rest.extend_from_slice(&bytes[read..]);
            return Ok(());
        }
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(bytes);
        let read = self.read(&all, bodiless)?;
        all.drain(..read);
        self.rest = all;
        Ok(())
    }

    /// Nothing more has to come. `closed`: nor will it.
    pub fn is_whole(&self, closed: bool) -> bool {
        self.at == Part::Whole || self.body.len() == MOST_BODY || closed && self.at == Part::Rest
    }

    /// How many of these bytes are done with.
    fn read(&mut self, bytes: &[u8], bodiless: bool) -> Result<usize, String> {
        let mut done = 0;
        loop {
            let next = &bytes[done..];
            let read = match self.at {
                Part::Whole => return Ok(bytes.len()),
                _ if next.is_empty() => return Ok(done),
                Part::Head => self.read_head(next, bodiless)?,
                Part::Rest => Some(self.keep(next, u64::MAX)),
                Part::Length(left) => {
                    let read = self.keep(next, left);
                    self.at = match left - read as u64 {
                        0 => Part::Whole,
                        left => Part::Length(left),
                    };
                    Some(read)
                }
                Part::ChunkSize => self.read_size(next)?,
                Part::Chunk(left) => Some(self.read_chunk(next, left)),
            };
            match read {
                Some(read) => done += read,
                None => return Ok(done),
            }
        }
    }

    /// So much of what comes belongs to the body; what is too much of it is forgotten.
    fn keep(&mut self, next: &[u8], most: u64) -> usize {
        let read = usize::try_from(most).unwrap_or(usize::MAX).min(next.len());
        let room = MOST_BODY - self.body.len();
        self.body.extend_from_slice(&next[..read.min(room)]);
        read
    }

    fn read_chunk(&mut self, next: &[u8], left: u64) -> usize {
        const LINE_END: u64 = 2;
        if left > LINE_END {
            let read = self.keep(next, left - LINE_END);
            self.at = Part::Chunk(left - read as u64);
            return read;
        }
        let read = (left as usize).min(next.len());
        self.at = match left - read as u64 {
            0 => Part::ChunkSize,
            left => Part::Chunk(left),
        };
        read
    }

    fn read_size(&mut self, next: &[u8]) -> Result<Option<usize>, String> {
        match httparse::parse_chunk_size(next) {
            // Trailers say nothing that a check asks for.
            Ok(Status::Complete((_, 0))) => {
                self.at = Part::Whole;
                Ok(Some(next.len()))
            }
            Ok(Status::Complete((read, size))) => {
                self.at = Part::Chunk(size.checked_add(2).ok_or(NO_HTTP)?);
                Ok(Some(read))
            }
            Ok(Status::Partial) if next.len() <= MOST_LINE => Ok(None),
            _ => Err(NO_HTTP.to_owned()),
        }
    }

    /// `None`: it is not whole yet.
    fn read_head(&mut self, next: &[u8], bodiless: bool) -> Result<Option<usize>, String> {
        let long = || {
            let most = MOST_HEAD >> 10;
            format!("the answer has more than {MOST_FIELDS} header fields, or more than {most} KiB of them")
        };
        // What is no HTTP is known by its beginning; else every byte that comes would begin the whole head anew.
        if self.looked && !ends(next) {
            return match next.len() > MOST_HEAD {
                true => Err(long()),
                false => Ok(None),
            };
        }
        self.looked = true;
        let mut fields = [const { MaybeUninit::<Header<'_>>::uninit() }; MOST_FIELDS];
        let mut response = Response::new(&mut []);
        let parsed =
            ParserConfig::default().parse_response_with_uninit_headers(&mut response, next, &mut fields);
        let length = match parsed {
            Ok(Status::Complete(length)) if length <= MOST_HEAD => length,
            Ok(Status::Partial) if next.len() <= MOST_HEAD => return Ok(None),
            Ok(_) => return Err(long()),
            Err(Error::TooManyHeaders) => return Err(long()),
            Err(_) => return Err(NO_HTTP.to_owned()),
        };
        let status = response.code.ok_or(NO_HTTP)?;
        // What goes before the answer proper (RFC 9110, section 15.2); 101 is one.
        if (100..200).contains(&status) && status != 101 {
            self.looked = false;
            return Ok(Some(length));
        }
        let fields = Fields::of(&response)?;
        self.at = match () {
            () if bodiless || matches!(status, 101 | 204 | 304) => Part::Whole,
            () if fields.chunked => Part::ChunkSize,
            () => match fields.length {
                Some(0) => Part::Whole,
                Some(length) => Part::Length(length),
                None => Part::Rest,
            },
        };
        self.head = Some(Head {
            status,
            endpoints: fields.endpoints,
            lines: match self.watched {
                true => lines(&response),
                false => Vec::new(),
            },
        });
        Ok(Some(length))
    }
}

/// Of the header fields what is asked for here.
#[derive(Debug, Default)]
struct Fields {
    chunked: bool,
    /// `None`: until the end.
    length: Option<u64>,
    endpoints: Option<u64>,
}

impl Fields {
    fn of(response: &Response<'_, '_>) -> Result<Fields, &'static str> {
        let (mut fields, mut coded) = (Fields::default(), false);
        for field in response.headers.iter() {
            let value = || std::str::from_utf8(field.value).map_or("", str::trim);
            if field.name.eq_ignore_ascii_case("content-length") {
                let length = value();
                let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
                let length = length.parse().ok().filter(|_| digits).ok_or(NO_HTTP)?;
                if fields.length.is_some_and(|before| before != length) {
                    return Err(NO_HTTP);
                }
                fields.length = Some(length);
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                coded = true;
                let last = value().rsplit(',').next().unwrap_or_default();
                fields.chunked = last.trim().eq_ignore_ascii_case("chunked");
            } else if field
                .name
                .eq_ignore_ascii_case("x-load-balancing-endpoint-weight")
            {
                fields.endpoints = value().parse().ok();
            }
        }
        // RFC 9112, section 6.1: HTTP/1.0 does not know it, and it goes before a length.
        if coded && response.version == Some(0) {
            return Err(NO_HTTP);
        }
        if coded {
            fields.length = None;
        }
        Ok(fields)
    }
}

fn lines(response: &Response<'_, '_>) -> Vec<String> {
    let (version, status) = (response.version.unwrap_or(1), response.code.unwrap_or(0));
    let reason = account::line(response.reason.unwrap_or_default().as_bytes());
    let mut lines = vec![
        format!("HTTP/1.{version} {status} {reason}")
            .trim_end()
            .to_owned(),
    ];
    let fields = response.headers.iter().map(|field| (field.name, field.value));
    lines.extend(account::fields(fields));
    lines
}

/// Whether there is an empty line.
fn ends(head: &[u8]) -> bool {
    memchr::memmem::find(head, b"\n\r\n").is_some() || memchr::memmem::find(head, b"\n\n").is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(pieces: &[&[u8]], bodiless: bool) -> Result<Answer, String> {
        let mut answer = Answer::default();
        for piece in pieces {
            answer.take(piece, bodiless)?;
        }
        Ok(answer)
    }

    fn body(text: &str) -> (Option<u16>, String, bool) {
        let answer = whole(&[text.as_bytes()], false).unwrap();
        let status = answer.head.as_ref().map(|head| head.status);
        (
            status,
            String::from_utf8_lossy(&answer.body).into_owned(),
            answer.is_whole(false),
        )
    }

    #[test]
    fn a_body_ends_where_its_head_says() {
        for (text, expected, ended) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay", "ok", true),
            ("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "ok", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", "ok", false),
            ("HTTP/1.1 200 OK\r\n\r\nok", "ok", false),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\nContent-Length: 1\r\n\r\n2;a=b\r\nok\r\n0\r\nx: y\r\n\r\n",
                "ok",
                true,
            ),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                "ok",
                true,
            ),
        ] {
            assert_eq!(body(text), (Some(200), expected.to_owned(), ended), "{text}");
        }
        assert_eq!(
            body("HTTP/1.1 204 None\r\n\r\nok"),
            (Some(204), String::new(), true)
        );
        let head = whole(&[b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"], true).unwrap();
        assert!(head.is_whole(false));
        let rest = whole(&[b"HTTP/1.1 200 OK\r\n\r\nok"], false).unwrap();
        assert!(rest.is_whole(true));
        let cut = whole(&[b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"], false).unwrap();
        assert!(!cut.is_whole(true));
    }

    #[test]
    fn what_is_no_http_is_told() {
        for text in [
            "SSH-2.0-OpenSSH_9.2\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nok\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nok\r\n",
        ] {
            assert_eq!(whole(&[text.as_bytes()], false).unwrap_err(), NO_HTTP, "{text}");
        }
        let endless = "x: y\r\n".repeat(90) + "z: " + &"z".repeat(40 << 10);
        let pieces = [b"HTTP/1.1 200 OK\r\n", endless.as_bytes()];
        assert!(whole(&pieces, false).unwrap_err().contains("32 KiB"));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(101));
        assert!(
            whole(&[many.as_bytes()], false)
                .unwrap_err()
                .contains("more than 100 header fields")
        );
    }

    proptest! {
        #[test]
        fn pieces_are_read_like_the_whole(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8), chunked: bool) {
            let text: &[u8] = match chunked {
                true => b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nI am \r\n4\r\nwell\r\n0\r\n\r\n",
                false => b"HTTP/1.1 200 OK\r\nX-Load-Balancing-Endpoint-Weight: 3\r\nContent-Length: 9\r\n\r\nI am well",
            };
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            let answer = whole(&pieces, false).unwrap();
            prop_assert_eq!(&answer.body, b"I am well");
            prop_assert!(answer.is_whole(false));
        }

        #[test]
        fn anything_is_harmless(head in 0usize..3, bytes in prop::collection::vec(any::<u8>(), 0..300), cut in any::<prop::sample::Index>()) {
            let heads: [&[u8]; 3] = [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"];
            let bytes = [heads[head], &bytes].concat();
            let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
            let _ = whole(&[first, second], false);
        }
    }
}
