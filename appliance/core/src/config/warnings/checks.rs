//! Checks that say less than they seem to. Must not: refuse anything.

use super::super::model::VirtualServer;
use super::Destinations;
use crate::check::{CheckKind, CheckParams};

pub(super) fn warn(service: &VirtualServer, destinations: &Destinations, warnings: &mut Vec<String>) {
    let name = &service.name;
    let servers = &service.real_servers;
    let unchecked = servers
        .iter()
        .filter(|server| server.check.kind == CheckKind::None);
    if let count @ 1.. = unchecked.count() {
        let (of, theirs) = match count {
            1 => ("1 server is", "it is"),
            _ => ("some servers are", "they are"),
        };
        warnings.push(format!(
            "service {name}: {of} never checked and {theirs} given clients whether dead or alive"
        ));
    }
    let any = |test: fn(&CheckParams) -> bool| servers.iter().any(|server| test(&server.check));
    if any(CheckParams::trusts_anybody) {
        warnings.push(format!(
            "service {name}: its checks take an answer from anybody, for they do not verify the certificate; give `ca` or \
             `fingerprint`"
        ));
    }
    if any(|check| matches!(&check.kind, CheckKind::Udp(udp) if udp.expect.is_none())) {
        warnings.push(format!(
            "service {name}: its checks by UDP pass when nobody answers at all, for they expect no answer; give `send` and \
             `expect`"
        ));
    }
    if any(|check| check.kind == CheckKind::Icmp) {
        warnings.push(format!(
            "service {name}: its checks by ICMP say that a machine lives, but not that the service does; ask the service itself \
             if it can be asked"
        ));
    }
    let mut elsewhere: Vec<_> = servers.iter().filter_map(|server| server.check.address).collect();
    elsewhere.dedup();
    for address in elsewhere
        .into_iter()
        .filter(|address| !destinations.reach(*address))
    {
        warnings.push(format!(
            "service {name}: no interface, route or gateway leads to {address}, where its checks go"
        ));
    }
}
