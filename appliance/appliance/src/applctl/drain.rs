//! `drain`: asks before a service loses its last server that is up. Must not: decide which that is; the agent does.

use lb_core::control::{Request, Response};

use super::ask;
use super::execute::Context;
use super::failure::Failure;
use super::parse::Invocation;
use super::tree;

pub fn run(invocation: &Invocation, context: &mut Context<'_>) -> Result<Response, Failure> {
    let argument = |place: usize| invocation.arguments.get(place).cloned();
    let (server, service) = (argument(0).unwrap_or_default(), argument(1));
    let asks = context.input.is_terminal() && !invocation.json() && !invocation.has(tree::YES);
    if asks {
        let request = Request::DrainCosts {
            server: server.clone(),
            service: service.clone(),
        };
        may_empty(context.ask(&request)?, &server, context)?;
    }
    context.ask(&Request::Drain { server, service })
}

fn may_empty(costs: Response, server: &str, context: &mut Context<'_>) -> Result<(), Failure> {
    let Response::Drains(costs) = costs else {
        return Ok(());
    };
    if costs.warnings.is_empty() {
        return Ok(());
    }
    for cost in &costs.warnings {
        context.say(&format!("{cost}."))?;
    }
    match ask::yes(context, &format!("Set {server} aside all the same?"))? {
        true => Ok(()),
        false => Err(Failure::Refused(format!(
            "nothing was changed: the answer was not yes; {} goes without the question",
            tree::YES
        ))),
    }
}
