//! `config set`, `config add` and `config delete`: the text of lb.toml with one change, checked, shown as lines, and put like a pasted one.
//! Must not: decide what the text becomes; `lb_core::config::edit` does.

use std::path::Path;

use lb_agent::text_difference;
use lb_core::config::edit::{Change, EditFault, edit};
use lb_core::config::{Faults, fingerprint};
use lb_core::control::{CheckReport, DiffReport, Request, Response, Terms};

use super::configure::{may_change, show};
use super::execute::Context;
use super::failure::Failure;
use super::parse::Invocation;
use super::put;
use super::render;
use super::tree::{self, Action};

const FILE: &str = "lb.toml";
/// Of a path in the history (characters); a reason has 200.
const LONGEST_PATH: usize = 150;

pub fn run(
    invocation: &Invocation,
    mut terms: Terms,
    context: &mut Context<'_>,
) -> Result<Response, Failure> {
    let dry = invocation.has(tree::DRY_RUN);
    if !dry {
        may_change(context)?;
    }
    let text = text(context)?;
    let edited = match edit(&text, &change(invocation)) {
        Ok(edited) => edited,
        Err(EditFault::Words(sentence)) => return Err(Failure::UnknownKey(sentence)),
        Err(EditFault::Text(faults)) => return Ok(verdict(broken(&faults, &text), dry)),
    };
    let check = put::check(edited.as_bytes(), FILE, context.places.config_directory());
    if !check.ok {
        return Ok(verdict(check, dry));
    }
    let report = difference(&text, &edited, check);
    if dry {
        return Ok(Response::Diff(report));
    }
    if !invocation.json() {
        let shown = render::report(&Response::Diff(without_warnings(report)), &context.screen);
        context.print(&shown)?;
    }
    terms.over = Some(fingerprint(text.as_bytes()));
    context.ask(&Request::ConfigPut {
        text: edited,
        terms: told(terms, invocation),
    })
}

/// What the history says where nobody gave a reason. Without the value, which may be a secret.
fn told(mut terms: Terms, invocation: &Invocation) -> Terms {
    let path = invocation.arguments.first().map_or("", String::as_str);
    let path: String = path.chars().take(LONGEST_PATH).collect();
    let verb = invocation.command.name;
    terms.comment.get_or_insert_with(|| format!("{verb} {path}"));
    terms
}

/// The text of lb.toml, of which every byte is known.
pub fn text(context: &Context<'_>) -> Result<String, Failure> {
    let Response::Config(file) = show(None, context)? else {
        return Err(Failure::Refused("the agent answered something else".to_owned()));
    };
    match file.text.contains(char::REPLACEMENT_CHARACTER) {
        true => Err(Failure::Refused(format!(
            "{} is not UTF-8 and cannot be edited here; `config check` says where, `config put` replaces it",
            Path::new(&file.path).display()
        ))),
        false => Ok(file.text),
    }
}

fn change(invocation: &Invocation) -> Change {
    let mut words = invocation.arguments.iter().cloned();
    let path = words.next().unwrap_or_default();
    match invocation.command.action {
        Action::ConfigSet => Change::Set {
            path,
            value: words.next().unwrap_or_default(),
        },
        Action::ConfigAdd => Change::Add {
            path,
            values: words.collect(),
        },
        _ => Change::Delete { path },
    }
}

fn broken(faults: &Faults, text: &str) -> CheckReport {
    CheckReport {
        ok: false,
        faults: faults.reports(text),
        rendered: faults.render(FILE, text),
        warnings: Vec::new(),
    }
}

fn verdict(check: CheckReport, dry: bool) -> Response {
    match dry {
        true => Response::Diff(difference("", "", check)),
        false => Response::Apply(put::refused(check)),
    }
}

/// In lines.
pub fn difference(old: &str, new: &str, check: CheckReport) -> DiffReport {
    let (text, more) = text_difference(old, new);
    DiffReport {
        text,
        text_fault: (more > 0).then(|| format!("{more} more lines differ")),
        ..DiffReport::between(FILE, &format!("{FILE} as edited"), check)
    }
}

/// They are told when it has been applied.
fn without_warnings(mut report: DiffReport) -> DiffReport {
    report.check.warnings.clear();
    report
}
