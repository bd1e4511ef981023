//! Reports as text for humans: aligned, at most as wide as the screen, coloured where that is wanted.
//! Must not: ask for anything, or print.

mod capture;
mod changes;
mod checks;
mod config;
mod connections;
mod contents;
mod doctor;
mod drains;
mod events;
mod explain;
mod files;
mod import;
mod link;
mod network;
mod path;
mod probe;
mod reach;
mod services;
mod sound;
mod status;
mod table;
mod text;
mod traffic;
mod units;
mod why;

use lb_core::control::Response;

pub use capture::{captured, not_shown, packet};
pub use changes::reminder;
pub use contents::contents;
pub use explain::explain;
pub use import::import;
pub use link::{link, links};
pub use probe::{probe_begun, probe_ended};
pub use reach::{neighbours, route, routes};
pub use sound::{echoes, heard, hop, trace_end};
pub use status::{banner, without_agent};
pub use text::{Screen, Tone, bullets, clean, wrap};
pub use traffic::{Figures, traffic};
pub use units::{amount, count, rate, some, span, speed};

/// A report as a human reads it; it ends with a line feed. An error has no report.
pub fn report(response: &Response, screen: &Screen) -> String {
    match response {
        Response::Status(report) => status::status(report, screen),
        Response::Services(report) => services::services(report, screen),
        Response::Interfaces(report) => network::interfaces(report, screen),
        Response::Gateway(report) => network::gateway(report, screen),
        Response::Path(report) => path::path(report, screen),
        Response::Probe(report) => probe_begun(report, screen) + &probe_ended(report, screen),
        // What they find is shown as services.
        Response::CheckNow(_) => String::new(),
        // `top` has a view of its own.
        Response::Counters(_) => String::new(),
        Response::Connections(report) => connections::connections(report, screen),
        Response::Drains(report) => drains::drains(report, screen),
        Response::Checks(report) => checks::checks(report, screen),
        Response::Doctor(report) => doctor::doctor(report, screen),
        Response::Events(report) => events::events(report, screen),
        Response::Config(report) => config::show(report),
        Response::Check(report) => config::check(report, screen),
        Response::Apply(report) => config::apply(report, screen),
        Response::Diff(report) => changes::diff(report, screen),
        Response::Files(report) => files::files(report, screen),
        Response::History(report) => changes::history(report, screen),
        Response::Console(report) => status::console(report, screen),
        Response::Export(report) => report.text.clone(),
        Response::Version(report) => status::version(report, screen),
        Response::Error { message } => format!("{}\n", wrap(&clean(message), screen.width, 0)),
    }
}

#[cfg(test)]
pub mod samples;
#[cfg(test)]
mod tests;
