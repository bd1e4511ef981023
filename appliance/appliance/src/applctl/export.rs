//! `config export`: sends the whole state as plain text, or writes it to a disk, after it was said what in it lets somebody in.
//! Must not: know its form, or read files.

use std::time::Duration;

use lb_core::control::{ExportReport, Request, Response};
use lb_core::export::FILE;

use super::ask;
use super::execute::{Context, Verdict};
use super::failure::Failure;
use super::parse::Invocation;
use super::render::{clean, wrap};
use super::transfer::{disk, duration, send_lines, to_disk};
use super::tree;

/// Somebody who has gone away has not said yes.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let without_keys = invocation.has(tree::WITHOUT_KEYS);
    let way = match invocation.has(tree::DISK) {
        true => Way::Disk,
        false => Way::Line,
    };
    if way == Way::Disk {
        disk()?;
    }
    let Response::Export(report) = context.ask(&Request::ConfigExport { without_keys })? else {
        return Err(Failure::Refused("the agent answered something else".to_owned()));
    };
    let asks = context.terminal && context.input.is_terminal();
    if !invocation.json() {
        remark(&format!("It holds {}.", report.holds.join(", ")), context)?;
        for remark_of_it in &report.remarks {
            remark(remark_of_it, context)?;
        }
    }
    // Whatever its form, the log of the terminal would have it, or the disk. A program has said by its words that it wants it.
    if !report.secrets.is_empty() && (asks || !invocation.json()) {
        warn(&report, (way, without_keys), asks, context)?;
    }
    if way == Way::Disk {
        let written = to_disk(FILE, report.text.into_bytes())?;
        return match invocation.json() {
            true => context.print_json(&written),
            false => context.print(&written.text(context.screen.width)),
        };
    }
    if invocation.json() {
        return context.print_json(&report);
    }
    if context.terminal {
        context.print(&head(&report, context.screen.width))?;
    }
    send_lines(report.text.lines(), context)?;
    Ok(Verdict::Good)
}

/// Where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Line,
    Disk,
}

impl Way {
    /// What has it afterwards, the word that is asked for, and its other forms.
    fn words(self) -> (&'static str, [&'static str; 3]) {
        match self {
            Way::Line => (
                "The log of your terminal will have it, too.",
                ["send", "sends", "sent"],
            ),
            Way::Disk => ("The disk will have it.", ["write", "writes", "written"]),
        }
    }
}

/// A person at a terminal is asked.
fn warn(
    report: &ExportReport,
    (way, without_keys): (Way, bool),
    asks: bool,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let mut sentence = format!("Whoever has this text has {}.", report.secrets.join(", "));
    if !without_keys {
        sentence.push_str(" `config export --without-keys` leaves out the files that hold a private key.");
    }
    if !asks {
        return remark(&sentence, context);
    }
    let (holder, [word, verb, done]) = way.words();
    sentence.push_str(&format!(
        " {holder} Type the word {word} to go on; anything else {verb} nothing."
    ));
    remark(&sentence, context)?;
    context.print("> ")?;
    match ask::line(context, Some(PATIENCE))? {
        Some(line) if line.trim() == word => Ok(()),
        _ => Err(Failure::Refused(format!(
            "nothing was {done}: the word was not typed"
        ))),
    }
}

fn remark(sentence: &str, context: &mut Context<'_>) -> Result<(), Failure> {
    let text = wrap(&clean(sentence), context.screen.width, 0);
    writeln!(context.remarks, "{text}")
        .and_then(|()| context.remarks.flush())
        .map_err(Failure::Output)
}

/// The command is not wrapped: it is to be copied.
fn head(report: &ExportReport, width: usize) -> String {
    let sentence = format!(
        "{} Save what the terminal shows as a new session.log, and there:",
        duration(report.bytes)
    );
    format!(
        "{}\n\n  sed -n '/^lb-export /,/^end .* sha256 /p' session.log | tr -d '\\r' > {}\n\n`config import` verifies it.\n\n",
        wrap(&sentence, width, 0),
        report.name
    )
}
