//! `config put`: what was pasted goes to the agent, and stays as a draft where it has faults and somebody is there to mend
//! them. Must not: judge the text, or write lb.toml.

use std::io::Write;

use lb_core::control::{Request, Response, Terms};

use super::change::difference;
use super::configure::{may_change, terms};
use super::edit;
use super::execute::{Context, Verdict, answer};
use super::failure::Failure;
use super::parse::Invocation;
use super::put::{self, Received};
use super::tree;

pub fn run(invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let (json, dry) = (invocation.json(), invocation.has(tree::DRY_RUN));
    if !dry {
        // The agent would refuse it, after all was pasted.
        may_change(context)?;
    }
    let say: Option<&mut dyn Write> = if json { None } else { Some(&mut *context.remarks) };
    let received =
        put::receive(put::CONFIGURATION, context.input, context.interrupt, say).map_err(Failure::Terminal)?;
    let text = match received {
        Received::Text(text) => text,
        Received::TooLong(bytes) => return Err(Failure::TooLong(bytes)),
        Received::GivenUp => return Err(Failure::GivenUp),
    };
    let somebody = !json && context.terminal && context.input.is_terminal();
    let kept = somebody.then(|| text.clone());
    let response = ask(text, terms(invocation, context), dry, context)?;
    let is_faulty = match &response {
        Response::Apply(report) => !report.check.ok,
        Response::Diff(report) => !report.check.ok,
        _ => false,
    };
    if matches!(&response, Response::Apply(report) if report.applied) {
        edit::forget_refused(context);
    }
    let verdict = answer(response, json, context)?;
    if let Some(text) = kept.filter(|_| is_faulty) {
        let said = edit::keep_refused(&text, context);
        context.say(&said)?;
    }
    Ok(verdict)
}

/// To put it, or only what that would change.
fn ask(text: Vec<u8>, terms: Terms, dry: bool, context: &Context<'_>) -> Result<Response, Failure> {
    let without_rehearsal = terms.without_rehearsal;
    match put::request(text, terms) {
        Ok(Request::ConfigPut { text, .. }) if dry => context.ask(&Request::ConfigDiff {
            from: None,
            to: None,
            text: Some(text),
            without_rehearsal,
        }),
        Ok(request) => context.ask(&request),
        Err(verdict) if dry => Ok(Response::Diff(difference("", "", verdict.check))),
        Err(verdict) => Ok(Response::Apply(*verdict)),
    }
}
