//! `probe`: one check by hand, or all of a server in turn. The agent makes them; the way that the kernel has chosen is asked here.
//! Must not: check anything itself.

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
        return as_json(words, context);
    }
    let mut verdict = Verdict::Good;
    for place in 0.. {
        // What is asked is told before the answer: a check may take as long as its timeout.
        let mut begun = ask(words, place, true, context)?;
        begun.route = way(&begun, context);
        context.print(&render::probe_begun(&begun, &context.screen))?;
        let report = match begun.reason.is_empty() {
            true => ask(words, place, false, context)?,
            false => begun,
        };
        context.print(&render::probe_ended(&report, &context.screen))?;
        verdict = verdict.max(of(&report));
        if !has_more(&report) {
            break;
        }
        context.print("\n")?;
    }
    Ok(verdict)
}

/// One report; of a server with several checks a list.
fn as_json(words: &[String], context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let mut reports: Vec<ProbeReport> = Vec::new();
    while reports.last().is_none_or(has_more) {
        let mut report = ask(words, reports.len(), false, context)?;
        report.route = way(&report, context);
        reports.push(report);
    }
    match reports.as_slice() {
        [only] => context.print_json(only)?,
        all => context.print_json(&all)?,
    };
    let verdicts = reports.iter().map(of);
    Ok(verdicts.max().unwrap_or(Verdict::Good))
}

fn has_more(report: &ProbeReport) -> bool {
    report.of_several.is_some_and(|(number, all)| number < all)
}

fn ask(
    words: &[String],
    place: usize,
    only_tell: bool,
    context: &Context<'_>,
) -> Result<ProbeReport, Failure> {
    let request = Request::Probe {
        words: words.to_vec(),
        only_tell,
        place,
    };
    match context.ask(&request)? {
        Response::Probe(report) => Ok(report),
        _ => Err(Failure::Refused(
            "the agent answers something else; `version` tells both versions".to_owned(),
        )),
    }
}

fn of(report: &ProbeReport) -> Verdict {
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
