//! `config set`, `config add` and `config delete`: the text of lb.toml with one change, checked, shown as lines, and put like a pasted one.
//! Must not: decide what the text becomes; `lb_core::config::edit` does.

use std::path::Path;
use std::time::Duration;

use lb_agent::text_difference;
use lb_core::config::edit::{Change, EditFault, edit};
use lb_core::config::{self, Faults, fingerprint};
use lb_core::control::{ChangeReport, CheckReport, DiffReport, Request, Response, Terms};

use super::ask;
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
/// Somebody who has gone away has not said yes.
const PATIENCE: Duration = Duration::from_secs(60);

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
    let deletes = invocation.command.action == Action::ConfigDelete;
    if deletes && takes_links_or_services(&text, &edited) {
        may_cut_off(&edited, report, invocation, context)?;
    } else if !invocation.json() {
        let shown = render::report(&Response::Diff(without_warnings(report)), &context.screen);
        context.print(&shown)?;
    }
    terms.over = Some(fingerprint(text.as_bytes()));
    context.ask(&Request::ConfigPut {
        text: edited,
        terms: told(terms, invocation),
    })
}

/// Whether it has fewer interfaces or services. Of a text with faults it is not known what it had.
fn takes_links_or_services(old: &str, new: &str) -> bool {
    let (Ok(old), Ok(new)) = (config::parse(old), config::parse(new)) else {
        return true;
    };
    new.interfaces.len() < old.interfaces.len() || new.virtual_servers.len() < old.virtual_servers.len()
}

/// Shows what it costs, and asks, unless the command says that nobody is to be asked.
fn may_cut_off(
    edited: &str,
    lines: DiffReport,
    invocation: &Invocation,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let asks = !invocation.has(tree::YES) && invocation.time(tree::CONFIRM).is_none();
    if invocation.json() {
        return match asks {
            true => Err(Failure::Refused(format!(
                "nothing was changed: this may take a whole interface or service away, and with --json nobody is asked; {} does it, {} shows it",
                tree::YES,
                tree::DRY_RUN
            ))),
            false => Ok(()),
        };
    }
    let report = DiffReport {
        changes: costs(edited, invocation, context)?,
        ..lines
    };
    context.print(&render::report(&Response::Diff(report), &context.screen))?;
    if !asks {
        return Ok(());
    }
    context.say("Put this in force at once, and keep it as /config/lb.toml? Type yes to go on; anything else changes nothing.")?;
    context.print("> ")?;
    let answer = ask::line(context, Some(PATIENCE))?.unwrap_or_default();
    match answer.trim().to_ascii_lowercase().as_str() {
        "yes" | "y" => Ok(()),
        _ => Err(Failure::Refused(format!(
            "nothing was changed: the answer was not yes; {} goes without the question",
            tree::YES
        ))),
    }
}

/// What the agent says that it would change, in sentences.
fn costs(edited: &str, invocation: &Invocation, context: &Context<'_>) -> Result<Vec<ChangeReport>, Failure> {
    let request = Request::ConfigDiff {
        from: None,
        to: None,
        text: Some(edited.to_owned()),
        without_rehearsal: invocation.has(tree::WITHOUT_REHEARSAL),
    };
    match context.ask(&request)? {
        Response::Diff(report) => Ok(report.changes),
        _ => Err(Failure::Refused("the agent answered something else".to_owned())),
    }
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
