//! `config set`, `config add` and `config delete`: the text of lb.toml with one change, checked, shown as lines, and put like a pasted one.
//! Must not: decide what the text becomes; `lb_core::config::edit` does.

use std::path::Path;

use lb_agent::text_difference;
use lb_core::config::edit::{Change, EditFault, edit, together};
use lb_core::config::{self, Faults, fingerprint};
use lb_core::control::{
    ApplyReport, ChangeReport, CheckReport, DiffReport, HealthWord, Request, Response, Terms,
};
use lb_core::secrets::shown_value;

use super::ask;
use super::configure::{may_change, text_of};
use super::execute::Context;
use super::failure::Failure;
use super::parse::Invocation;
use super::put;
use super::render;
use super::tree::{self, Action};

const FILE: &str = "lb.toml";
/// Of a path in the history (characters); a reason has 200.
const LONGEST_PATH: usize = 100;
const LONGEST_VALUE: usize = 60;
/// Faults have their places in a text that nobody has seen.
const WITHOUT_IT: &str = "The lines are those of lb.toml without what was to be deleted:\ndelete first what needs it, or change both in `config edit`.\n";

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
    let change = change(invocation);
    let edited = match edit(&text, &change) {
        Ok(edited) => edited,
        Err(EditFault::Words(sentence)) => return Err(Failure::UnknownKey(sentence)),
        Err(EditFault::Text(faults)) => return Ok(verdict(broken(&faults, &text), dry)),
    };
    let mut check = put::check(edited.as_bytes(), FILE, context.places.config_directory());
    if !check.ok {
        if let Some(remedy) = at_once(&text, &change) {
            check.rendered = format!("{}\n{remedy}", check.rendered.trim_end());
        }
        if invocation.command.action == Action::ConfigDelete {
            check.rendered = format!("{}\n{WITHOUT_IT}", check.rendered.trim_end());
        }
        return Ok(verdict(check, dry));
    }
    let report = difference(&text, &edited, check);
    if dry {
        return Ok(Response::Diff(report));
    }
    let deletes = invocation.command.action == Action::ConfigDelete;
    let last = match deletes {
        true => takes_last_servers(&text, &edited, context),
        false => Vec::new(),
    };
    let known = put::check(text.as_bytes(), FILE, context.places.config_directory()).warnings;
    let mut shown = Vec::new();
    if deletes && (!last.is_empty() || takes_links_or_services(&text, &edited)) {
        shown = may_cut_off(&edited, report, &last, invocation, context)?;
    } else if !invocation.json() {
        let lines = render::report(&Response::Diff(without_warnings(report)), &context.screen);
        context.print(&lines)?;
    }
    terms.over = Some(fingerprint(text.as_bytes()));
    terms.made = Some(made(invocation));
    let response = context.ask(&Request::ConfigPut { text: edited, terms })?;
    Ok(match response {
        Response::Apply(mut report) if !invocation.json() => {
            // With the question, a moment ago.
            report.check.warnings.retain(|warning| !shown.contains(warning));
            Response::Apply(with_news(report, &known))
        }
        other => other,
    })
}

/// The warnings that this change has brought; of those that were there before only how many they are.
fn with_news(mut report: ApplyReport, known: &[String]) -> ApplyReport {
    let warnings = &mut report.check.warnings;
    let all = warnings.len();
    warnings.retain(|warning| !known.contains(warning));
    let left = all - warnings.len();
    if left > 0 {
        warnings.push(match left {
            1 => "1 warning is as before; `config check` tells it".to_owned(),
            _ => format!("{left} warnings are as before; `config check` tells them"),
        });
    }
    report
}

/// A value that is right by itself, and wrong without another one beside it.
fn at_once(text: &str, change: &Change) -> Option<String> {
    let Change::Set { path, .. } = change else {
        return None;
    };
    let table = together(path).filter(|_| config::parse(text).is_ok())?;
    Some(format!(
        "Keys that need each other are set at once, or with `config edit`:\n  config set {} '{{ KEY = VALUE, KEY = VALUE }}'\n",
        render::clean(table)
    ))
}

/// Whether it has fewer interfaces or services. Of a text with faults it is not known what it had.
fn takes_links_or_services(old: &str, new: &str) -> bool {
    let (Ok(old), Ok(new)) = (config::parse(old), config::parse(new)) else {
        return true;
    };
    new.interfaces.len() < old.interfaces.len() || new.virtual_servers.len() < old.virtual_servers.len()
}

/// Services that stay and lose all their servers that are up, each in a sentence. Without an agent, nobody serves.
fn takes_last_servers(old: &str, new: &str, context: &Context<'_>) -> Vec<String> {
    let (Ok(old), Ok(new)) = (config::parse(old), config::parse(new)) else {
        return Vec::new();
    };
    let mut told = Vec::new();
    for service in new.services() {
        let stays = |address: &str| {
            let mut servers = service.of_file();
            servers.any(|real| real.address.to_string() == address)
        };
        let mut before = old.services();
        let shrinks = before
            .find(|former| former.name == service.name)
            .is_some_and(|former| former.of_file().any(|real| !stays(&real.address.to_string())));
        let name = Some(service.name.clone());
        let report = shrinks.then(|| context.ask(&Request::Services { name }));
        let Some(Ok(Response::Services(report))) = report else {
            continue;
        };
        let servers = report.services.iter().flat_map(|service| &service.servers);
        let serving: Vec<_> = servers
            .filter(|server| server.health == HealthWord::Up && server.weight > 0)
            .collect();
        if !serving.is_empty() && !serving.iter().any(|server| stays(&server.address)) {
            told.push(format!(
                "service {} has no other server that is up: its clients would be refused",
                service.name
            ));
        }
    }
    told
}

/// Shows what it costs, and asks, unless the command says that nobody is to be asked. The warnings that were shown with the question.
fn may_cut_off(
    edited: &str,
    lines: DiffReport,
    last: &[String],
    invocation: &Invocation,
    context: &mut Context<'_>,
) -> Result<Vec<String>, Failure> {
    let asks = !invocation.has(tree::YES) && invocation.time(tree::CONFIRM).is_none();
    if invocation.json() {
        return match asks {
            true => Err(Failure::Refused(format!(
                "nothing was changed: this may take a whole interface or service away, or its last server that is up, and with --json nobody is asked; {} does it, {} shows it",
                tree::YES,
                tree::DRY_RUN
            ))),
            false => Ok(Vec::new()),
        };
    }
    let mut report = DiffReport {
        changes: costs(edited, invocation, context)?,
        ..lines
    };
    let shown = report.check.warnings.clone();
    if !asks {
        report = without_warnings(report);
    }
    context.print(&render::report(&Response::Diff(report), &context.screen))?;
    for cost in last {
        context.say(&format!("{cost}."))?;
    }
    if !asks {
        return Ok(Vec::new());
    }
    match ask::yes(
        context,
        "Put this in force at once, and keep it as /config/lb.toml? With `--confirm 2m` behind the command it comes back by itself.",
    )? {
        true => Ok(shown),
        false => Err(Failure::Refused(format!(
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

/// What the history says: path and value, which is not shown where it may be a secret.
fn made(invocation: &Invocation) -> String {
    let mut words = invocation.arguments.iter().map(String::as_str);
    let path = words.next().unwrap_or_default();
    let shown: String = path.chars().take(LONGEST_PATH).collect();
    let verb = invocation.command.name;
    let values: Vec<String> = words
        .map(|word| value(path, word, invocation.command.action))
        .collect();
    let equals = match (values.is_empty(), invocation.command.action) {
        (true, _) => "",
        (false, Action::ConfigSet) => " = ",
        (false, _) => ": ",
    };
    format!("{verb} {shown}{equals}{}", values.join(" "))
}

fn value(path: &str, word: &str, action: Action) -> String {
    let shown = match (action, word.split_once('=')) {
        (Action::ConfigAdd, Some((key, value))) => {
            format!("{key}={}", shown_value(&format!("{path}.{key}"), value))
        }
        _ => shown_value(path, word),
    };
    // One line of the history.
    let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    match flat.char_indices().nth(LONGEST_VALUE) {
        Some((at, _)) => format!("{}...", &flat[..at]),
        None => flat,
    }
}

/// The text of lb.toml, of which every byte is known.
pub fn text(context: &Context<'_>) -> Result<String, Failure> {
    let file = text_of(None, context)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_needs_another_one_is_set_with_it() {
        let good = "[[interface]]\nname = \"eth0\"\naddresses = [\"192.0.2.1/24\"]\n[[virtual_server]]\nname = \"w\"\nlisten = \"192.0.2.1:80\"\n";
        let set = |path: &str| Change::Set {
            path: path.to_owned(),
            value: "https".to_owned(),
        };
        let remedy = at_once(good, &set("virtual_server.w.check.type"));
        let command = "config set virtual_server.w.check '{ KEY = VALUE, KEY = VALUE }'";
        assert!(remedy.is_some_and(|remedy| remedy.contains(command)));
        assert_eq!(at_once(good, &set("hostname")), None);
        // The text had a fault before: it may be that one.
        assert_eq!(at_once("hostname = 1\n", &set("virtual_server.w.check")), None);
    }

    #[test]
    fn warnings_of_before_are_counted_and_new_ones_told() {
        let report = |warnings: &[&str]| {
            let mut report = put::refused(put::check(b"", FILE, None));
            report.check.warnings = warnings.iter().map(|warning| (*warning).to_owned()).collect();
            report
        };
        let told = |warnings: &[&str], known: &[&str]| {
            let known: Vec<String> = known.iter().map(|warning| (*warning).to_owned()).collect();
            with_news(report(warnings), &known).check.warnings
        };
        assert_eq!(told(&["new"], &[]), ["new"]);
        assert_eq!(
            told(&["old", "new", "older"], &["older", "old", "gone"]),
            ["new", "2 warnings are as before; `config check` tells them"]
        );
        assert_eq!(
            told(&["old"], &["old"]),
            ["1 warning is as before; `config check` tells it"]
        );
    }
}
