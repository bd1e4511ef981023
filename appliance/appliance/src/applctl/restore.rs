//! `config import`: takes an export in, verifies it before the agent sees it, shows what would change, asks, and has it put in force.
//! Must not: write files.

use std::io::Write;
use std::time::Duration;

use lb_core::config::fingerprint;
use lb_core::control::{Request, Response, Terms};
use lb_core::export::{self, Export, FILE, MOST_BYTES};

use super::ask;
use super::configure::{may_change, show};
use super::execute::{Context, Verdict, answer};
use super::failure::Failure;
use super::parse::Invocation;
use super::put::{self, Received};
use super::render::{self, clean, count, some};
use super::tree;

const WORD: &str = "import";
/// What would change has to be read first.
const PATIENCE: Duration = Duration::from_secs(300);
const VERSION: &str = env!("CARGO_PKG_VERSION");

pub fn run(invocation: &Invocation, mut terms: Terms, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    // The agent would refuse it, after all was pasted.
    may_change(context)?;
    let json = invocation.json();
    let bytes = match invocation.has(tree::DISK) {
        true => from_disk()?,
        false => pasted(json, context)?,
    };
    let text = verified(bytes, json, context)?;
    let difference = |text| Request::ConfigImportDiff {
        text,
        without_rehearsal: terms.without_rehearsal,
    };
    if invocation.has(tree::DRY_RUN) {
        let shown = context.ask(&difference(text))?;
        return answer(shown, json, context);
    }
    if context.input.is_terminal() && !json {
        let over = lb_toml(context);
        let shown = context.ask(&difference(text.clone()))?;
        terms.over = over;
        let verdict = answer(shown, false, context)?;
        if verdict == Verdict::Bad {
            return Ok(verdict);
        }
        agreed(context)?;
    }
    let applied = context.ask(&Request::ConfigImport { text, terms })?;
    answer(applied, json, context)
}

fn pasted(json: bool, context: &mut Context<'_>) -> Result<Vec<u8>, Failure> {
    let say: Option<&mut dyn Write> = if json { None } else { Some(&mut *context.remarks) };
    match put::receive("export", context.input, context.interrupt, say).map_err(Failure::Terminal)? {
        Received::Text(text) => Ok(text),
        Received::TooLong(bytes) => Err(too_long(bytes)),
        Received::GivenUp => Err(Failure::GivenUp),
    }
}

fn from_disk() -> Result<Vec<u8>, Failure> {
    let bytes = lb_init::file_of_disk(FILE, MOST_BYTES as u64)
        .map_err(|why| Failure::Refused(format!("nothing was changed: {why}")))?;
    match bytes.len() {
        length if length > MOST_BYTES => Err(too_long(length as u64)),
        // As a paste has them: what wrote the disk may have given its lines other ends.
        _ => Ok(with_line_feeds(&bytes)),
    }
}

fn too_long(bytes: u64) -> Failure {
    Failure::Refused(format!(
        "the text has {} bytes or more, and an export has {} at most; nothing was changed",
        count(bytes),
        count(MOST_BYTES as u64)
    ))
}

fn with_line_feeds(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    for (at, byte) in bytes.iter().enumerate() {
        if *byte != b'\r' || bytes.get(at + 1) != Some(&b'\n') {
            text.push(*byte);
        }
    }
    text
}

/// Says where it comes from, if it is whole.
fn verified(bytes: Vec<u8>, json: bool, context: &mut Context<'_>) -> Result<String, Failure> {
    let export = export::read(&bytes, VERSION).map_err(|fault| {
        Failure::Refused(format!("nothing was changed: the export cannot be used: {fault}"))
    })?;
    if !json {
        context
            .remarks
            .write_all(told(&export, context.screen.width).as_bytes())
            .and_then(|()| context.remarks.flush())
            .map_err(Failure::Output)?;
    }
    // It was read as text.
    String::from_utf8(bytes).map_err(|_| Failure::Refused("the export is no text".to_owned()))
}

fn told(export: &Export, width: usize) -> String {
    let origin = &export.origin;
    let sentence = format!(
        "The export is whole: of {}, version {}, made {}, with {}.",
        origin.host,
        origin.version,
        origin.made,
        match export.files.len() {
            1 => "1 certificate or key".to_owned(),
            files => some(files, "certificate") + " and keys",
        }
    );
    format!("{}\n", render::wrap(&clean(&sentence), width, 0))
}

/// What is there is replaced only if it is what was shown. Without lb.toml, or with one of which not every byte is known, nothing is compared.
fn lb_toml(context: &Context<'_>) -> Option<u64> {
    match show(None, context) {
        Ok(Response::Config(file)) if !file.text.contains(char::REPLACEMENT_CHARACTER) => {
            Some(fingerprint(file.text.as_bytes()))
        }
        _ => None,
    }
}

fn agreed(context: &mut Context<'_>) -> Result<(), Failure> {
    // What came behind the dot of a paste, up to the end of its line, is no answer.
    while matches!(context.input.pending().front(), Some(b'\r' | b'\n')) {
        context.input.pending().pop_front();
    }
    context.say(&format!(
        "Type the word {WORD} to go on; anything else changes nothing."
    ))?;
    context.print("> ")?;
    match ask::line(context, Some(PATIENCE))? {
        Some(line) if line.trim() == WORD => Ok(()),
        _ => Err(Failure::Refused(
            "nothing was changed: the word was not typed".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_of_another_system_are_line_feeds() {
        assert_eq!(with_line_feeds(b"a\r\n\r\nb\rc\n\r"), b"a\n\nb\rc\n\r");
    }
}
