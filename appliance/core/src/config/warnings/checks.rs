//! Checks that say less than they seem to. Must not: refuse anything.

use std::collections::BTreeSet;

use super::super::model::{Config, RealServer, VirtualServer};
use super::Destinations;
use crate::check::{CheckKind, CheckParams, Pem, Transport, Verify};
use crate::model::Protocol;

pub(super) fn warn(service: &VirtualServer, destinations: &Destinations, warnings: &mut Vec<String>) {
    let name = &service.name;
    let servers = &service.real_servers;
    let unchecked = servers.iter().filter(|server| server.checks.is_none());
    if let count @ 1.. = unchecked.count() {
        let (of, theirs) = match count {
            1 => ("1 server is", "it is"),
            _ => ("some servers are", "they are"),
        };
        warnings.push(format!(
            "service {name}: {of} never checked and {theirs} given clients whether dead or alive"
        ));
    }
    let checks = || servers.iter().flat_map(|server| &server.checks);
    let any = |test: fn(&CheckParams) -> bool| checks().any(|check| test(check));
    if any(CheckParams::trusts_anybody) {
        warnings.push(format!(
            "service {name}: its checks take an answer from anybody, for they do not verify the certificate; give `ca` or \
             `fingerprint`"
        ));
    }
    // Beside another check each of these says something more.
    let only = |test: fn(&CheckParams) -> bool| {
        let all = |server: &RealServer| server.checks.iter().all(|check| test(check));
        servers.iter().any(all)
    };
    if only(|check| matches!(&check.kind, CheckKind::Udp(udp) if udp.expect.is_none())) {
        warnings.push(format!(
            "service {name}: its checks by UDP pass when nobody answers at all, for they expect no answer, and may pass when a \
             port is closed, for hosts limit the ICMP errors that say so; give `send` and `expect`"
        ));
    }
    let tcp_only = service.listen.iter().all(|range| range.protocol == Protocol::Tcp);
    if tcp_only && only(asks_by_udp) {
        warnings.push(format!(
            "service {name} is TCP, and its checks ask by UDP: a server may answer one and not the other; ask by TCP (of `dns`: \
             transport = \"tcp\")"
        ));
    }
    if only(|check| check.kind == CheckKind::Icmp) {
        warnings.push(format!(
            "service {name}: its checks by ICMP say that a machine lives, but not that the service does; ask the service itself \
             if it can be asked"
        ));
    }
    let mut elsewhere: Vec<_> = checks().filter_map(|check| check.address).collect();
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

fn asks_by_udp(check: &CheckParams) -> bool {
    match &check.kind {
        CheckKind::Udp(_) => true,
        CheckKind::Dns(dns) => dns.transport == Transport::Udp,
        _ => false,
    }
}

/// The files beside lb.toml that a configuration names.
pub fn named_files(config: &Config) -> BTreeSet<String> {
    let named = named(config).into_iter();
    named.map(|(_, _, file)| file.to_owned()).collect()
}

/// By which services and by which of their keys this file is named.
pub fn namers_of<'c>(config: &'c Config, file: &str) -> Vec<(&'c str, &'static str)> {
    let named = named(config).into_iter().filter(|(_, _, named)| *named == file);
    named.map(|(service, key, _)| (service, key)).collect()
}

/// By which service, and by which key.
fn named(config: &Config) -> BTreeSet<(&str, &'static str, &str)> {
    let mut named = BTreeSet::new();
    for service in config.services() {
        let checks = service.real_servers.iter().flat_map(|server| &server.checks);
        for tls in checks.filter_map(|check| check.kind.tls()) {
            let ca = match &tls.verify {
                Verify::Ca(pem) => Some(("ca", pem)),
                _ => None,
            };
            let identity = tls.identity.iter();
            let identity =
                identity.flat_map(|id| [("client_certificate", &id.certificate), ("client_key", &id.key)]);
            for (key, pem) in ca.into_iter().chain(identity) {
                if let Pem::File(file) = pem {
                    named.insert((service.name.as_str(), key, file.as_str()));
                }
            }
        }
    }
    named
}

/// What a check needs of files beside lb.toml that are not there. `is_there`: whether one of that name is.
pub fn missing_files(config: &Config, is_there: impl Fn(&str) -> bool) -> Vec<String> {
    let warning = |(name, key, file): (&str, &str, &str)| {
        format!(
            "service {name}: there is no {file} beside lb.toml, which `{key}` names: its checks fail; put it there, or write the PEM into lb.toml"
        )
    };
    let missing = named(config).into_iter().filter(|(_, _, file)| !is_there(file));
    missing.map(warning).collect()
}
