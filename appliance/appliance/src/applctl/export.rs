//! `config export`: sends the whole state as plain text, after it was said what in it lets somebody in. Must not: know its form, or read files.

use std::time::Duration;

use lb_core::control::{ExportReport, Request, Response};

use super::ask;
use super::execute::{Context, Verdict};
use super::failure::Failure;
use super::parse::Invocation;
use super::render::{clean, wrap};
use super::transfer::{duration, send_lines};
use super::tree;

const WORD: &str = "send";
/// Somebody who has gone away has not said yes.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let without_keys = invocation.has(tree::WITHOUT_KEYS);
    let Response::Export(report) = context.ask(&Request::ConfigExport { without_keys })? else {
        return Err(Failure::Refused("the agent answered something else".to_owned()));
    };
    let asks = context.terminal && context.input.is_terminal();
    if invocation.json() {
        // Whatever its form, the log of the terminal would have it.
        if asks && !report.secrets.is_empty() {
            warn(&report, without_keys, context)?;
        }
        return context.print_json(&report);
    }
    remark(&format!("It holds {}.", report.holds.join(", ")), context)?;
    for remark_of_it in &report.remarks {
        remark(remark_of_it, context)?;
    }
    if !report.secrets.is_empty() {
        warn(&report, without_keys, context)?;
    }
    if context.terminal {
        context.print(&head(&report, context.screen.width))?;
    }
    send_lines(report.text.lines(), context)?;
    Ok(Verdict::Good)
}

/// A program has said by its words that it wants them; a person at a terminal is asked.
fn warn(report: &ExportReport, without_keys: bool, context: &mut Context<'_>) -> Result<(), Failure> {
    let mut sentence = format!("Whoever has this text has {}.", report.secrets.join(", "));
    if !without_keys {
        sentence.push_str(" `config export --without-keys` leaves out the files that hold a private key.");
    }
    if !(context.terminal && context.input.is_terminal()) {
        return remark(&sentence, context);
    }
    sentence.push_str(&format!(
        " The log of your terminal will have it, too. Type the word {WORD} to go on; anything else sends nothing."
    ));
    remark(&sentence, context)?;
    context.print("> ")?;
    match ask::line(context, Some(PATIENCE))? {
        Some(line) if line.trim() == WORD => Ok(()),
        _ => Err(Failure::Refused(
            "nothing was sent: the word was not typed".to_owned(),
        )),
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
        "{} Save what the terminal shows as session.log, and there:",
        duration(report.bytes)
    );
    format!(
        "{}\n\n  sed -n '/^lb-export /,/^end .* sha256 /p' session.log | tr -d '\\r' > {}\n\n`config import` verifies it.\n\n",
        wrap(&sentence, width, 0),
        report.name
    )
}
