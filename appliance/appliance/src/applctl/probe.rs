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
    let words = invocation.arguments.clone();
    let mut report = match context.ask(&Request::Probe { words })? {
        Response::Probe(report) => report,
        _ => {
            return Err(Failure::Refused(
                "the agent answers something else; `version` tells both versions".to_owned(),
            ));
        }
    };
    if report.bound_to.is_none() {
        report.route = way(&report, context);
    }
    match invocation.json() {
        true => context.print_json(&report)?,
        false => context.print(&render::probe(&report, &context.screen))?,
    };
    Ok(match report.verdict {
        ProbeVerdict::Pass => Verdict::Good,
        ProbeVerdict::Fail | ProbeVerdict::CannotCheck => Verdict::Bad,
    })
}

/// A kernel that cannot be asked costs the report only this.
fn way(report: &ProbeReport, context: &Context<'_>) -> Option<RouteTo> {
    let target = &report.target;
    let socket = target.parse().map(|socket: SocketAddr| socket.ip());
    let address: IpAddr = socket.or_else(|_| target.parse()).ok()?;
    let mut view = NetworkView::open().ok()?;
    let known = known(&mut view, context).ok()?;
    way_to(&mut view, &known, address).ok()
}
