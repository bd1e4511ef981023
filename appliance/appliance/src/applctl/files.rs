//! `config files` and `config remove`: asks before what cannot be brought back. Must not: say which files may go; the agent does.

use lb_core::control::{FilesReport, Request, Response};

use super::ask;
use super::execute::Context;
use super::failure::Failure;
use super::parse::Invocation;
use super::render;
use super::tree::{self, Action};

pub fn run(invocation: &Invocation, context: &mut Context<'_>) -> Result<Response, Failure> {
    match invocation.command.action {
        Action::ConfigRemove => remove(invocation, context),
        _ => context.ask(&Request::ConfigFiles),
    }
}

fn remove(invocation: &Invocation, context: &mut Context<'_>) -> Result<Response, Failure> {
    let name = invocation.arguments.first().cloned().unwrap_or_default();
    let request = Request::ConfigRemove {
        name: name.clone(),
        by: context.who.to_owned(),
    };
    if invocation.has(tree::YES) {
        return context.ask(&request);
    }
    if invocation.json() {
        return Err(Failure::Refused(format!(
            "nothing was removed: with --json nobody is asked; {} does it",
            tree::YES
        )));
    }
    // One that may not go is not asked about: the agent says why.
    if let Some(bytes) = removable(&name, context)? {
        let question = format!(
            "Remove {} ({}) from the config volume? It cannot be brought back.",
            render::clean(&name),
            render::amount(bytes)
        );
        if !ask::yes(context, &question)? {
            return Err(Failure::Refused(format!(
                "nothing was removed: the answer was not yes; {} goes without the question",
                tree::YES
            )));
        }
    }
    context.ask(&request)
}

/// Its size, if it may go.
fn removable(name: &str, context: &Context<'_>) -> Result<Option<u64>, Failure> {
    let Response::Files(FilesReport { files, .. }) = context.ask(&Request::ConfigFiles)? else {
        return Ok(None);
    };
    let found = files.iter().find(|file| file.name == name && file.is_removable());
    Ok(found.map(|file| file.bytes))
}
