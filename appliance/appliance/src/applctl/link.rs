//! `link`: what the kernel says of links, with the names that the configuration has for them. The kernel is read directly, so
//! that it works without the agent, which only knows the names and since when a carrier is as it is. Must not: change anything.

use std::time::Duration;

use lb_core::control::{InterfaceReport, Request, Response};
use lb_core::link::LinksReport;
use lb_kernel::NetworkView;

use super::client::AskError;
use super::execute::{Context, Verdict};
use super::failure::Failure;
use super::parse::Invocation;
use super::render;
use super::tree;

pub fn link(
    invocation: &Invocation,
    window: Duration,
    context: &mut Context<'_>,
) -> Result<Verdict, Failure> {
    let mut view = NetworkView::open()?;
    let known = interfaces(context)?;
    let mut report = view.links()?;
    if invocation.has(tree::RATE) {
        if !context.interrupt.pause(window).map_err(Failure::Terminal)? {
            return Err(AskError::Interrupted.into());
        }
        let before = std::mem::replace(&mut report, view.links()?);
        report.rate_since(&before);
    }
    report.name(&known);
    let name = invocation.arguments.first();
    if let Some(name) = name
        && !report.select(name)
    {
        return Err(unknown(name, &known));
    }
    match (invocation.json(), name) {
        (true, _) => context.print_json(&report),
        (false, None) => context.print(&render::links(&report, &context.screen)),
        (false, Some(_)) => context.print(&details(&report, context)),
    }
}

fn details(report: &LinksReport, context: &Context<'_>) -> String {
    let links = report.links.iter();
    links.map(|link| render::link(link, &context.screen)).collect()
}

/// None without an agent; one that refuses is an error.
pub fn interfaces(context: &Context<'_>) -> Result<Vec<InterfaceReport>, Failure> {
    match context.ask(&Request::Interfaces) {
        Ok(Response::Interfaces(report)) => Ok(report.interfaces),
        Ok(_) => Ok(Vec::new()),
        Err(failure) if failure.is_absence() => Ok(Vec::new()),
        Err(failure) => Err(failure),
    }
}

/// Why there is no such link, and what to do.
pub fn unknown(name: &str, known: &[InterfaceReport]) -> Failure {
    let short: String = name.chars().take(40).collect();
    let missing = |i: &InterfaceReport| i.label.as_deref() == Some(name) && i.link.is_none();
    Failure::Refused(if known.iter().any(missing) {
        format!(
            "no link matches the interface `{short}` of lb.toml; check its name or MAC address there, `link` lists all links"
        )
    } else if known.is_empty() {
        format!(
            "no link is called `{short}`; names of lb.toml are known while the agent runs; `link` lists all links"
        )
    } else {
        format!("no link or interface is called `{short}`; `link` lists all links")
    })
}
