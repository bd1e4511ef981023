//! `config put`: takes the text in, without a line editor in its way, and has it judged before the agent sees it where
//! JSON could not carry it (bytes that are not UTF-8, too many bytes). Others take in what is pasted by it. Must not: write files.

use std::io::{self, Write};
use std::path::Path;

use lb_core::config::{self, Config, MAX_BYTES};
use lb_core::control::{ApplyReport, ChangeState, CheckReport, Request, Terms};

use super::input::{Came, Input, QUIET, Typing};
use super::interrupt::Interrupt;
use super::paste::Paste;
use super::render::{count, some};

/// What is asked for.
pub const CONFIGURATION: &str = "configuration";

/// How receiving ended.
#[derive(Debug)]
pub enum Received {
    Text(Vec<u8>),
    /// More than lb.toml may hold: that many bytes.
    TooLong(u64),
    /// Ctrl-C, or the terminal hung up before the dot.
    GivenUp,
}

/// Takes the text in. What follows the line with the dot stays pending. On a terminal the end of input before the dot
/// is an accident; from a pipe it is the usual end. Without `say` nothing is shown, not even what is typed.
/// `what`: is to be pasted.
pub fn receive(
    what: &str,
    input: &mut Input,
    interrupt: &Interrupt,
    say: Option<&mut dyn Write>,
) -> io::Result<Received> {
    let mut say = say.filter(|_| input.is_terminal());
    input.set_typing(Typing::Command)?;
    if let Some(say) = &mut say {
        writeln!(
            say,
            "Paste the {what}; end it with a line that holds one dot. Ctrl-C gives up."
        )?;
        say.flush()?;
    }
    let mut paste = Paste::new(MAX_BYTES + 1);
    match fill(&mut paste, input, interrupt, say.is_some())? {
        Came::Interrupted => {
            if input.is_terminal() {
                input.discard_until_quiet(interrupt, QUIET);
            }
            if let Some(say) = say {
                writeln!(say)?;
            }
            return Ok(Received::GivenUp);
        }
        Came::Ended if input.is_terminal() => return Ok(Received::GivenUp),
        Came::Ended => paste.end(),
        Came::Bytes | Came::TimedOut | Came::Unlocked => {}
    }
    if let Some(say) = say {
        let lines = some(usize::try_from(paste.lines()).unwrap_or(usize::MAX), "line");
        writeln!(say, "{lines} received, {} bytes.", count(paste.bytes()))?;
    }
    match paste.bytes() {
        bytes if bytes > MAX_BYTES as u64 => Ok(Received::TooLong(bytes)),
        _ => Ok(Received::Text(paste.into_text())),
    }
}

/// Until the dot (`Came::Bytes`), the end, or Ctrl-C.
fn fill(paste: &mut Paste, input: &mut Input, interrupt: &Interrupt, show: bool) -> io::Result<Came> {
    let mut echo = Echo::default();
    loop {
        let pending = input.pending().make_contiguous();
        let taken = paste.push(pending);
        let came: Vec<u8> = input.pending().drain(..taken).collect();
        if show {
            input.show_if_ready(&echo.of(&came));
        }
        if paste.done() {
            return Ok(Came::Bytes);
        }
        match input.more(interrupt, None)? {
            Came::Bytes | Came::TimedOut => {}
            Came::Unlocked => {
                let lines = some(usize::try_from(paste.lines()).unwrap_or(usize::MAX), "line");
                input.show_if_ready(
                    format!("Go on with the text: {lines} are here. Ctrl-C gives up.\n").as_bytes(),
                );
            }
            end => return Ok(end),
        }
    }
}

/// What arrives, as a terminal shows it: it is not the kernel's echo, because that one would have to be told whether
/// lines end with CR or LF.
#[derive(Debug, Default)]
struct Echo {
    after_cr: bool,
}

impl Echo {
    fn of(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut shown = Vec::with_capacity(bytes.len());
        for byte in bytes {
            let ends_cr = std::mem::replace(&mut self.after_cr, *byte == b'\r');
            match byte {
                b'\n' if ends_cr => {}
                b'\r' | b'\n' => shown.push(b'\n'),
                b'\t' | b' '..=b'~' | 0x80.. => shown.push(*byte),
                0x08 | 0x7f => shown.extend(b"\x08 \x08"),
                control => shown.extend([b'^', control ^ 0x40]),
            }
        }
        shown
    }
}

/// The request that carries the text, or the verdict on a text that no request can carry.
pub fn request(text: Vec<u8>, terms: Terms) -> Result<Request, Box<ApplyReport>> {
    String::from_utf8(text)
        .map(|text| Request::ConfigPut { text, terms })
        .map_err(|error| {
            let bytes = error.into_bytes();
            Box::new(refused(check(&bytes, "lb.toml", None)))
        })
}

/// Nothing was applied, because of what the check has found.
pub fn refused(check: CheckReport) -> ApplyReport {
    ApplyReport {
        applied: false,
        check,
        steps: Vec::new(),
        changed: vec![],
        failed: Vec::new(),
        persisted: false,
        persist_fault: None,
        mirrored: false,
        state: ChangeState::Applied,
        pending: None,
        number: None,
        former: None,
    }
}

/// The verdict on a file's bytes, without the agent. `beside`: where files are that it names, if they can be looked at.
pub fn check(bytes: &[u8], name: &str, beside: Option<&Path>) -> CheckReport {
    match config::parse_bytes(bytes) {
        Ok(config) => checked(&config, beside),
        Err(faults) => {
            let text = String::from_utf8_lossy(bytes);
            CheckReport {
                ok: false,
                faults: faults.reports(&text),
                rendered: faults.render(name, &text),
                warnings: Vec::new(),
            }
        }
    }
}

fn checked(config: &Config, beside: Option<&Path>) -> CheckReport {
    let mut warnings = config::warnings(config);
    if let Some(beside) = beside {
        warnings.extend(config::missing_files(config, |file| beside.join(file).is_file()));
    }
    CheckReport {
        ok: true,
        faults: Vec::new(),
        rendered: String::new(),
        warnings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_echo_shows_lines_as_lines_and_drives_nothing() {
        let mut echo = Echo::default();
        assert_eq!(echo.of(b"a\r"), b"a\n");
        assert_eq!(echo.of(b"\nb\n\r\n\tx\x1b[2J"), b"b\n\n\tx^[[2J");
        assert_eq!(echo.of("ä\x7f".as_bytes()), "ä\x08 \x08".as_bytes());
    }
}
