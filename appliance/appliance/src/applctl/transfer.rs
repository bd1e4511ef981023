//! A file of the box's as text on the terminal: base64 (RFC 4648) between two marker lines, with its SHA-256 and the command that turns it back.
//! A serial line has nothing better, and any log of the session can be cut afterwards. Must not: know what is in the file.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lb_core::history;
use serde::Serialize;

use super::client::AskError;
use super::execute::Context;
use super::failure::Failure;
use super::render::{clean, some, wrap};

/// Of the text between the markers (bytes): 90 s at 115,200 baud.
pub const MOST_TEXT: usize = 1 << 20;
/// Of the file itself: base64 takes four characters for three bytes, and a line feed for 76.
pub const MOST_BYTES: usize = MOST_TEXT / 78 * 57;
const COLUMNS: usize = 76;
/// Lines between two looks for Ctrl-C.
const LINES: usize = 64;
/// What a serial line carries (bytes per second), at the rate that the appliance sets.
const LINE_RATE: u64 = 11_520;

/// For `--json`.
#[derive(Debug, Serialize)]
pub struct Encoded {
    pub name: String,
    pub bytes: usize,
    pub sha256: String,
    pub base64: String,
}

/// For `--json`, of a file that is on the disk labelled LBSEED.
#[derive(Debug, Serialize)]
pub struct OnDisk {
    /// `the disk LBSEED (/dev/vdb)`.
    pub disk: String,
    pub name: String,
    pub bytes: usize,
    pub sha256: String,
}

/// The disk that is to be written to, before anybody is asked anything.
pub fn disk() -> Result<String, Failure> {
    lb_init::disk_to_write().map_err(nothing_written)
}

fn nothing_written(why: String) -> Failure {
    Failure::Refused(format!("nothing was written: {why}"))
}

/// Writes the file to the disk labelled LBSEED.
pub fn to_disk(name: &str, bytes: Vec<u8>) -> Result<OnDisk, Failure> {
    let (length, sha256) = (bytes.len(), history::sha256(&bytes));
    let disk = lb_init::put_on_disk(name, bytes).map_err(nothing_written)?;
    Ok(OnDisk {
        disk,
        name: name.to_owned(),
        bytes: length,
        sha256,
    })
}

impl OnDisk {
    /// The SHA-256 on a line of its own, to be copied.
    pub fn text(&self, width: usize) -> String {
        let OnDisk {
            disk,
            name,
            bytes,
            sha256,
        } = self;
        let sentence = format!(
            "{name}, {}, is on {disk}, which can be taken out now. Its SHA-256 is",
            some(*bytes, "byte")
        );
        format!("{}\n{sha256}\n", wrap(&sentence, width, 0))
    }
}

pub fn encode(name: &str, bytes: &[u8]) -> Encoded {
    Encoded {
        name: name.to_owned(),
        bytes: bytes.len(),
        sha256: history::sha256(bytes),
        base64: STANDARD.encode(bytes),
    }
}

/// Sends the file; Ctrl-C ends it.
pub fn send(name: &str, bytes: &[u8], context: &mut Context<'_>) -> Result<(), Failure> {
    let file = encode(name, bytes);
    let name = clean(name).into_owned();
    context.print(&head(&file, &name, context.screen.width))?;
    send_lines(lines(&file.base64), context)?;
    context.print(&format!("=== END {name}\n"))?;
    Ok(())
}

/// Lines as they are; Ctrl-C ends it, with a line that says so.
pub fn send_lines<'l>(
    lines: impl Iterator<Item = &'l str>,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let lines: Vec<&str> = lines.collect();
    for some in lines.chunks(LINES) {
        context.print(&format!("{}\n", some.join("\n")))?;
        if !context
            .interrupt
            .pause(Duration::ZERO)
            .map_err(Failure::Terminal)?
        {
            context.print("=== INTERRUPTED\n")?;
            return Err(AskError::Interrupted.into());
        }
    }
    Ok(())
}

/// `61,234 bytes of text, about 6 s over a serial line of 115,200 baud.`
pub fn duration(length: usize) -> String {
    let seconds = length as u64 / LINE_RATE + 1;
    format!(
        "{} of text, about {seconds} s over a serial line of 115,200 baud.",
        some(length, "byte")
    )
}

fn lines(base64: &str) -> impl Iterator<Item = &str> {
    let mut rest = base64;
    std::iter::from_fn(move || {
        let (line, after) = rest.split_at(rest.len().min(COLUMNS));
        rest = after;
        (!line.is_empty()).then_some(line)
    })
}

/// The commands are not wrapped: they are to be copied.
fn head(file: &Encoded, name: &str, width: usize) -> String {
    let length = file.base64.len() + file.base64.len() / COLUMNS;
    let sentence = format!(
        "{} Save what the terminal shows as a new session.log, and there:",
        duration(length)
    );
    format!(
        "{}\n\n  sed '1,/^=== BEGIN {name}/d;/^=== END/,$d' session.log | tr -d '\\r' | base64 -d > {name}\n  \
         echo '{}  {name}' | sha256sum -c\n\n=== BEGIN {name}, {} bytes, sha256 {}\n",
        wrap(&sentence, width, 0),
        file.sha256,
        file.bytes,
        file.sha256
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_short_and_whole_and_the_limits_agree() {
        let file = encode("x", &[7; 1_000]);
        let text: Vec<&str> = lines(&file.base64).collect();
        assert!(text.iter().all(|line| line.len() <= COLUMNS));
        assert_eq!(STANDARD.decode(text.concat()).unwrap(), [7; 1_000]);
        let most = encode("x", &vec![7; MOST_BYTES]);
        assert!(most.base64.len() + lines(&most.base64).count() <= MOST_TEXT);
        assert_eq!(file.sha256.len(), 64);
    }
}
