//! `probe`: one check by hand. The agent makes it; the way that the kernel has chosen is asked here. Must not: check anything itself.

use std::net::{IpAddr, SocketAddr};

use lb_core::control::{ProbeReport, ProbeVerdict, Request, Response};
use lb_core::neighbours::RouteTo;
use lb_kernel::NetworkView;

use super::execute::{Context, Verdict};
use super::failure::Failure;
use super::parse::Invocation;
use super::reach::{known, way_to};
use super::render;

pub fn probe(invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let words = &invocation.arguments;
    if invocation.json() {
        let mut report = ask(words, false, context)?;
        report.route = way(&report, context);
        context.print_json(&report)?;
        return Ok(verdict(&report));
    }
    // What is asked is told before the answer: a check may take as long as its timeout.
    let mut begun = ask(words, true, context)?;
    begun.route = way(&begun, context);
    context.print(&render::probe_begun(&begun, &context.screen))?;
    let report = match begun.reason.is_empty() {
        true => ask(words, false, context)?,
        false => begun,
    };
    context.print(&render::probe_ended(&report, &context.screen))?;
    Ok(verdict(&report))
}

fn ask(words: &[String], only_tell: bool, context: &Context<'_>) -> Result<ProbeReport, Failure> {
    let words = words.to_vec();
    match context.ask(&Request::Probe { words, only_tell })? {
        Response::Probe(report) => Ok(report),
        _ => Err(Failure::Refused(
            "the agent answers something else; `version` tells both versions".to_owned(),
        )),
    }
}

fn verdict(report: &ProbeReport) -> Verdict {
    match report.verdict {
        ProbeVerdict::Pass => Verdict::Good,
        ProbeVerdict::Fail | ProbeVerdict::CannotCheck => Verdict::Bad,
    }
}

/// Where the kernel has chosen it. A kernel that cannot be asked costs the report only this.
fn way(report: &ProbeReport, context: &Context<'_>) -> Option<RouteTo> {
    if report.bound_to.is_some() {
        return None;
    }
    let target = &report.target;
    let socket = target.parse().map(|socket: SocketAddr| socket.ip());
    let address: IpAddr = socket.or_else(|_| target.parse()).ok()?;
    let mut view = NetworkView::open().ok()?;
    let known = known(&mut view, context).ok()?;
    way_to(&mut view, &known, address).ok()
}
