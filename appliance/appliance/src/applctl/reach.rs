//! `arp`, `route` and what `explain` is asked of packets: what the kernel knows of neighbours and ways, with the names that the configuration has for them. The
//! kernel is read directly, so that it works without the agent, which only knows the names. Must not: change anything.

use std::net::{IpAddr, SocketAddr};

use lb_core::control::{Request, Response};
use lb_core::model::Protocol;
use lb_core::neighbours::{self, Known, NeighboursReport, RouteEntry, RouteTo};
use lb_core::path::Packet;
use lb_core::ports::KernelError;
use lb_kernel::NetworkView;
use serde::Serialize;

use super::execute::{Context, Verdict};
use super::failure::Failure;
use super::parse::{Invocation, UsageError};
use super::render;

/// The kernel's answers to a question for a route (net/ipv4/route.c, net/ipv6/route.c).
const ENETUNREACH: i32 = 101;
const EHOSTUNREACH: i32 = 113;

/// What `route --json` prints without an address.
#[derive(Debug, Serialize)]
struct RoutesReport {
    routes: Vec<RouteEntry>,
}

pub fn arp(invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let mut view = NetworkView::open()?;
    let known = known(&mut view, context)?;
    let mut all = view.neighbours()?;
    all.iter_mut().for_each(|neighbour| known.name(neighbour));
    let report = match invocation.arguments.first() {
        Some(name) => neighbours::select(name, all, &known).ok_or_else(|| unknown(name, &known))?,
        None => NeighboursReport {
            neighbours: all,
            without_entry: Vec::new(),
        },
    };
    match invocation.json() {
        true => context.print_json(&report),
        false => context.print(&render::neighbours(&report, &context.screen)),
    }
}

fn unknown(name: &str, known: &Known) -> Failure {
    let why = match known.interfaces.is_empty() {
        true => "; names of lb.toml are known while the agent runs",
        false => "",
    };
    Failure::Refused(format!(
        "no service, interface, address or MAC address is called `{name}`{why}; `arp` lists all neighbours"
    ))
}

pub fn route(invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let mut view = NetworkView::open()?;
    let known = known(&mut view, context)?;
    let Some(word) = invocation.arguments.first() else {
        let routes = known.routes;
        return match invocation.json() {
            true => context.print_json(&RoutesReport { routes }),
            false => context.print(&render::routes(&routes, &context.screen)),
        };
    };
    let report = way_to(&mut view, &known, address(word)?)?;
    match invocation.json() {
        true => context.print_json(&report),
        false => context.print(&render::route(&report, &context.screen)),
    }
}

/// What the kernel does with a packet of the box's own to there, with the names that are known.
pub fn way_to(view: &mut NetworkView, known: &Known, address: IpAddr) -> Result<RouteTo, Failure> {
    let mut report = view.route_to(address).map_err(|error| no_route(address, error))?;
    let label = |link: &Option<String>| known.label(link.as_deref()?);
    report.hop.interface = label(&report.hop.link);
    let hops = report.route.iter_mut().flat_map(|route| &mut route.hops);
    hops.for_each(|hop| hop.interface = label(&hop.link));
    report
        .neighbour
        .iter_mut()
        .for_each(|neighbour| known.name(neighbour));
    report.roles = known.roles(address);
    Ok(report)
}

/// With what the kernel knows of the next hop. A kernel that cannot be asked costs the report only this.
pub fn to_its_end(mut response: Response) -> Response {
    if let Response::Path(report) = &mut response
        && let Some(address) = report.goes_to
        && let Ok(route) = NetworkView::open().and_then(|mut view| view.route_to(address))
    {
        report.heed(&route);
    }
    response
}

pub fn address(word: &str) -> Result<IpAddr, Failure> {
    let bare = word.trim_start_matches('[').trim_end_matches(']');
    bare.parse()
        .map_err(|_| Failure::NoAddress(word.chars().take(60).collect()))
}

/// What `explain` is asked about, if it is a packet: no key has a colon in it.
pub fn packet(invocation: &Invocation) -> Result<Option<Packet>, Failure> {
    let bare = invocation.arguments.first().and_then(|word| address(word).ok());
    if let Some(bare) = bare {
        let with_port = SocketAddr::new(bare, 80);
        return Err(Failure::NoPort { with_port });
    }
    let Some(word) = invocation.arguments.first().filter(|word| word.contains(':')) else {
        return match invocation.arguments.get(1) {
            Some(more) => Err(UsageError::TooMany {
                path: "explain".to_owned(),
                count: "one KEY".to_owned(),
                word: more.chars().take(40).collect(),
                spaced: true,
            }
            .into()),
            None => Ok(None),
        };
    };
    let (to, protocol) = match word.rsplit_once('/') {
        Some((to, protocol)) => (to, Some(protocol)),
        None => (word.as_str(), None),
    };
    let known = |word: &str| Protocol::ALL.into_iter().find(|p| p.as_str() == word);
    let wrong = || Failure::NoPacket(word.chars().take(60).collect());
    let packet = Packet {
        to: to.parse().map_err(|_| wrong())?,
        protocol: protocol.map(|word| known(word).ok_or_else(wrong)).transpose()?,
        from: invocation
            .arguments
            .get(1)
            .map(|word| address(word))
            .transpose()?,
    };
    match packet.from {
        Some(from) if from.is_ipv4() != packet.to.is_ipv4() => Err(Failure::Families),
        _ => Ok(Some(packet)),
    }
}

/// What the kernel says where there is no way, in words.
fn no_route(address: IpAddr, error: KernelError) -> Failure {
    match error.fault.errno {
        Some(ENETUNREACH | EHOSTUNREACH) => Failure::Refused(format!(
            "no route leads to {address}; an interface's `gateway` or `routes` in lb.toml makes one, `route` lists those that \
             there are"
        )),
        _ => error.into(),
    }
}

/// What is known of addresses. An agent that is not there leaves them without names; one that refuses is an error.
pub fn known(view: &mut NetworkView, context: &Context<'_>) -> Result<Known, Failure> {
    let mut known = Known {
        routes: view.routes()?,
        ..Known::default()
    };
    match context.ask(&Request::Interfaces) {
        Ok(Response::Interfaces(report)) => known.interfaces = report.interfaces,
        Ok(_) => {}
        Err(failure) if failure.is_absence() => {
            return Ok(known);
        }
        Err(failure) => return Err(failure),
    }
    if let Response::Services(report) = context.ask(&Request::Services { name: None })? {
        known.services = report.services;
    }
    let mut routes = std::mem::take(&mut known.routes);
    for hop in routes.iter_mut().flat_map(|route| &mut route.hops) {
        hop.interface = hop.link.as_deref().and_then(|link| known.label(link));
    }
    known.routes = routes;
    Ok(known)
}
