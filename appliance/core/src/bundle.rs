//! Files in one archive (ustar, POSIX.1-2017, pax; gzip, RFC 1952) of a bounded size. Must not: know what is in them, or read a clock.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Of one file: what is longer is cut (bytes).
pub const MOST_FILE: usize = 512 << 10;
const BLOCK: usize = 512;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// At most 60 bytes of ASCII.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    pub text: String,
}

/// Which end of a text is kept that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    First,
    Last,
}

impl File {
    /// Cut at a line, and saying so, where it is too long.
    pub fn new(name: &'static str, about: &'static str, text: String, keep: Keep) -> File {
        let text = match text.len() {
            length if length <= MOST_FILE => text,
            length => {
                let remark = format!("({length} bytes; the rest is left out)\n");
                match keep {
                    Keep::First => {
                        let end = text.floor_char_boundary(MOST_FILE);
                        let end = text[..end].rfind('\n').map_or(end, |at| at + 1);
                        format!("{}{remark}", &text[..end])
                    }
                    Keep::Last => {
                        let begin = text.floor_char_boundary(length - MOST_FILE);
                        let begin = text[begin..].find('\n').map_or(begin, |at| begin + at + 1);
                        format!("{remark}{}", &text[begin..])
                    }
                }
            }
        };
        File { name, about, text }
    }
}

/// An archive, and the names of what had to be left out.
#[derive(Debug, PartialEq, Eq)]
pub struct Packed {
    pub bytes: Vec<u8>,
    pub left_out: Vec<&'static str>,
}

/// All files below `directory`, of `unix_s`; while that is longer than `most` bytes, the longest file is left out.
pub fn pack(directory: &str, mut files: Vec<File>, unix_s: u64, most: usize) -> io::Result<Packed> {
    let mut left_out = Vec::new();
    loop {
        let bytes = archive(directory, &files, unix_s)?;
        let longest = (0..files.len()).max_by_key(|at| files[*at].text.len());
        match longest {
            Some(at) if bytes.len() > most => left_out.push(files.remove(at).name),
            _ => return Ok(Packed { bytes, left_out }),
        }
    }
}

fn archive(directory: &str, files: &[File], unix_s: u64) -> io::Result<Vec<u8>> {
    let mut out = GzEncoder::new(Vec::new(), Compression::best());
    for file in files {
        let bytes = file.text.as_bytes();
        out.write_all(&header(
            &format!("{directory}/{}", file.name),
            bytes.len(),
            unix_s,
        ))?;
        out.write_all(bytes)?;
        let rest = bytes.len().next_multiple_of(BLOCK) - bytes.len();
        out.write_all(&[0; BLOCK][..rest])?;
    }
    out.write_all(&[0; 2 * BLOCK])?;
    out.finish()
}

fn header(name: &str, length: usize, unix_s: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, &name[..name.len().min(100)]);
    put(100, "0000600");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{length:011o}"));
    put(136, &format!("{:011o}", unix_s.min(0o77_777_777_777)));
    put(148, "        ");
    put(156, "0");
    put(257, "ustar");
    put(263, "00");
    put(265, "root");
    put(297, "root");
    let sum: u32 = block.iter().copied().map(u32::from).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn file(name: &'static str, text: &str) -> File {
        File::new(name, "a file", text.to_owned(), Keep::First)
    }

    /// By tar(1), which judges the format better than anything written here.
    #[test]
    fn tar_reads_what_was_packed() {
        let files = vec![
            file("a.txt", "one\n"),
            file("b.txt", &"x".repeat(1_024)),
            file("none.txt", ""),
        ];
        let Packed { bytes, left_out } = pack("lb", files, 1_700_000_000, 1 << 20).unwrap();
        assert!(left_out.is_empty());
        let run = |arguments: &[&str]| {
            let mut tar = Command::new("tar")
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            tar.stdin.take().unwrap().write_all(&bytes).unwrap();
            let output = tar.wait_with_output().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(run(&["tz"]), "lb/a.txt\nlb/b.txt\nlb/none.txt\n");
        assert_eq!(run(&["xzO", "lb/a.txt"]), "one\n");
        assert!(
            run(&["tvz"]).starts_with("-rw------- root/root"),
            "{}",
            run(&["tvz"])
        );
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_named() {
        let noise: String = (0..40_000u64)
            .map(|n| char::from(b' ' + (n.wrapping_mul(n * 7_919) >> 7) as u8 % 90))
            .collect();
        let files = vec![file("small.txt", "s"), file("large.txt", &noise)];
        let packed = pack("lb", files, 0, 2_000).unwrap();
        assert_eq!(packed.left_out, ["large.txt"]);
        assert!(packed.bytes.len() <= 2_000);
    }

    #[test]
    fn long_texts_are_cut_at_a_line_at_the_end_that_matters_less() {
        let text: String = (0..100_000).map(|number| format!("line {number}\n")).collect();
        let first = File::new("a", "", text.clone(), Keep::First).text;
        assert!(
            first.starts_with("line 0\n") && first.ends_with("left out)\n"),
            "{}",
            &first[first.len() - 60..]
        );
        let last = File::new("a", "", text, Keep::Last).text;
        assert!(last.ends_with("line 99999\n") && last.contains("left out)\nline "));
        assert!(first.len() < MOST_FILE + 100 && last.len() < MOST_FILE + 100);
    }
}
