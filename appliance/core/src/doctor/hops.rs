//! Whether the next hops of lb.toml's routes are there: a gateway that is dead, or named wrongly, takes all answers to its clients away
//! in silence. Must not: ask.

use std::net::IpAddr;

use super::{Facts, finding, good};
use crate::control::{FindingReport, FindingWord};
use crate::neighbours::destination;

/// A gateway, or the `via` of routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    pub address: IpAddr,
    /// The kernel's name.
    pub link: String,
    /// Where the routes lead, as the kernel writes it.
    pub to: Vec<String>,
}

/// Routes that a finding names.
const MOST_ROUTES: usize = 3;

pub(super) fn examine(facts: &Facts<'_>) -> Vec<FindingReport> {
    let (there, silent): (Vec<_>, Vec<_>) = facts.wire.hops.iter().partition(|(_, answers)| *answers);
    let mut findings: Vec<FindingReport> = silent.iter().map(|(hop, _)| is_silent(hop)).collect();
    if !there.is_empty() {
        let named = there
            .iter()
            .map(|(hop, _)| format!("{} ({})", hop.address, hop.link));
        let named: Vec<String> = named.collect();
        findings.push(good(match named.as_slice() {
            [one] => format!("the next hop {one} answers on its link"),
            some => format!("the next hops {} answer on their links", some.join(", ")),
        }));
    }
    findings
}

fn is_silent(hop: &Hop) -> FindingReport {
    let Hop { address, link, to } = hop;
    let to: Vec<&str> = to.iter().map(|to| destination(to)).collect();
    let to = match to.get(MOST_ROUTES..) {
        Some(more) if !more.is_empty() => format!("{} and {} more", to[..MOST_ROUTES].join(", "), more.len()),
        _ => to.join(", "),
    };
    finding(
        FindingWord::Bad,
        format!("{address}, the next hop of {to}, does not answer on {link}: what goes there is lost"),
        "see whether that machine is on and on this link; `config set interface.NAME.gateway ADDRESS`, or the `via` of the \
         route, names another one",
    )
}
