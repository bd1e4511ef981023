//! The commands about the configuration: what they ask of the agent, and what can be answered without one.
//! Must not: print.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

use lb_core::config::MAX_BYTES;
use lb_core::confirm::refusal;
use lb_core::console::password;
use lb_core::control::{ConfigText, Kept, Request, Response, Terms};

use super::change;
use super::execute::Context;
use super::failure::Failure;
use super::parse::Invocation;
use super::put;
use super::tree::{self, Action};

pub fn run(invocation: &Invocation, context: &mut Context<'_>) -> Result<Response, Failure> {
    // They have been seen to be such words.
    let kept = |place: usize| -> Option<Kept> { invocation.arguments.get(place)?.parse().ok() };
    let by = context.who.to_owned();
    let terms = terms(invocation, context);
    match invocation.command.action {
        Action::ConfigShow => show(kept(0), context),
        Action::ConfigCheck => check(invocation.arguments.first(), context),
        Action::ConfigSet | Action::ConfigAdd | Action::ConfigDelete => {
            change::run(invocation, terms, context)
        }
        Action::ConfigConfirm => context.ask(&Request::ConfigConfirm { by }),
        Action::ConfigAbort => context.ask(&Request::ConfigAbort { by }),
        Action::ConfigDiff => context.ask(&Request::ConfigDiff {
            from: kept(0),
            to: kept(1),
            text: None,
            without_rehearsal: invocation.has(tree::WITHOUT_REHEARSAL),
        }),
        Action::ConfigHistory => context.ask(&Request::ConfigHistory),
        Action::ConfigRollback => context.ask(&Request::ConfigRollback {
            kept: kept(0).unwrap_or(Kept::Number(0)),
            terms,
        }),
        _ => context.ask(&Request::ConfigApply { terms }),
    }
}

pub fn terms(invocation: &Invocation, context: &Context<'_>) -> Terms {
    let confirm = invocation.time(tree::CONFIRM);
    Terms {
        confirm_ms: confirm.and_then(|time| u64::try_from(time.as_millis()).ok()),
        comment: invocation.text(tree::COMMENT).map(str::to_owned),
        made: None,
        by: context.who.to_owned(),
        over: None,
        without_rehearsal: invocation.has(tree::WITHOUT_REHEARSAL),
    }
}

/// The agent's text of the file, or without an agent the file itself.
pub fn show(kept: Option<Kept>, context: &Context<'_>) -> Result<Response, Failure> {
    match context.ask(&Request::ConfigShow { kept }) {
        Err(failure) if failure.is_absence() && kept.is_none() => {
            let path = &context.places.config_file;
            let bytes = read_config(path)?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            Ok(Response::Config(ConfigText {
                path: path.display().to_string(),
                text,
            }))
        }
        other => other,
    }
}

/// The same, for who goes on with it.
pub fn text_of(kept: Option<Kept>, context: &Context<'_>) -> Result<ConfigText, Failure> {
    match show(kept, context)? {
        Response::Config(text) => Ok(text),
        _ => Err(Failure::Refused("the agent answered something else".to_owned())),
    }
}

fn check(file: Option<&String>, context: &Context<'_>) -> Result<Response, Failure> {
    let local = |path: &Path| {
        let name = path.file_name().map_or_else(
            || path.display().to_string(),
            |n| n.to_string_lossy().into_owned(),
        );
        let beside = context.places.config_directory();
        Ok(Response::Check(put::check(&read_config(path)?, &name, beside)))
    };
    let kept: Option<Kept> = file.and_then(|word| word.parse().ok());
    let request = match (file, kept) {
        // A file of that name is meant by its path.
        (Some(file), Some(kept)) if !Path::new(file).exists() => Request::ConfigCheck {
            text: Some(text_of(Some(kept), context)?.text),
            name: Some(file.clone()),
        },
        (Some(file), _) => match another(Path::new(file), &local)? {
            Ok(request) => request,
            Err(verdict) => return Ok(*verdict),
        },
        (None, _) => Request::ConfigCheck {
            text: None,
            name: None,
        },
    };
    match context.ask(&request) {
        Err(failure) if failure.is_absence() => {
            local(file.map_or(&context.places.config_file, |file| Path::new(file)))
        }
        other => other,
    }
}

/// What the agent is asked of a file in which there is no fault to be seen; else the verdict.
fn another(
    path: &Path,
    local: &dyn Fn(&Path) -> Result<Response, Failure>,
) -> Result<Result<Request, Box<Response>>, Failure> {
    let verdict = local(path)?;
    let is_good = matches!(&verdict, Response::Check(check) if check.ok);
    let text = String::from_utf8(read_config(path)?);
    Ok(match text {
        Ok(text) if is_good => Ok(Request::ConfigCheck {
            text: Some(text),
            name: path.file_name().map(|name| name.to_string_lossy().into_owned()),
        }),
        _ => Err(Box::new(verdict)),
    })
}

/// Of a file that is too large only so much is read that it can be seen to be.
pub fn read_config(path: &Path) -> Result<Vec<u8>, Failure> {
    // It would be shown, line by line, as a configuration with faults.
    let real = path.canonicalize().ok();
    if real.is_some_and(|path| path.file_name().is_some_and(|name| name == password::FILE)) {
        return Err(Failure::Refused(
            "this file has the hash of the consoles' password, and is shown nowhere".to_owned(),
        ));
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Where it was looked for.
            let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            Err(Failure::NoConfig(whole))
        }
        Err(source) => Err(Failure::File {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Whether a change may begin, as the agent has it.
pub fn may_change(context: &Context<'_>) -> Result<(), Failure> {
    match pending_for(&context.places.pending_mark()) {
        Some(left) => Err(Failure::Refused(refusal(left))),
        None => Ok(()),
    }
}

/// How long a configuration stays on trial, if one is.
pub fn pending_for(mark: &Path) -> Option<Duration> {
    let until: u64 = std::fs::read_to_string(mark).ok()?.trim().parse().ok()?;
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let now = Duration::new(u64::try_from(now.tv_sec).ok()?, u32::try_from(now.tv_nsec).ok()?);
    Duration::from_millis(until).checked_sub(now)
}
