//! What is allowed, but hardly meant: said when a configuration is checked or applied.
//! Must not: refuse anything.

mod checks;

pub use checks::{missing_files, named_files, namers_of};

use std::net::IpAddr;

use super::model::{Config, Interface, InterfaceKind, Masquerade, RealServer, VirtualServer};
use crate::desired::short_ways;
use crate::model::{Forward, Scheduler, Weight};
use crate::pool::Tier;

/// More are not read; the rest is counted.
const MAX_WARNINGS: usize = 50;

/// One sentence each, in the order of the file.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.interfaces.is_empty() {
        warnings
            .push("there are no interfaces: the appliance has no address and forwards nothing".to_owned());
    }
    for interface in &config.interfaces {
        if let InterfaceKind::Bond(bond) = &interface.kind
            && let [link] = bond.links.as_slice()
        {
            let label = &interface.label;
            warnings.push(format!(
                "bond {label} has one link: when {link} fails, nothing takes its place"
            ));
        }
    }
    warnings.extend(long_way_warning(config));
    for masquerade in &config.masquerades {
        warnings.extend(masquerade_warning(config, masquerade));
    }
    let destinations = Destinations::of(config);
    for forward in config.port_forwards.iter().filter(|f| !destinations.reach(f.to)) {
        warnings.push(format!(
            "port_forward to {}: no interface, route or gateway leads there",
            forward.to
        ));
    }
    for service in &config.virtual_servers {
        service_warnings(service, &destinations, &mut warnings);
        warnings.extend(answer_warning(config, service));
    }
    let more = warnings.len().saturating_sub(MAX_WARNINGS);
    if more > 0 {
        warnings.truncate(MAX_WARNINGS);
        warnings.push(format!("and {more} more warnings"));
    }
    warnings
}

/// A flowtable has room for so many links.
fn long_way_warning(config: &Config) -> Option<String> {
    let (with, without) = short_ways(config);
    let first = without.first().filter(|_| !config.masquerades.is_empty())?;
    let others = match without.len() {
        1 => String::new(),
        more => format!(" and {} more", more - 1),
    };
    Some(format!(
        "packets that the gateway forwards take the kernel's short way between {} interfaces, which are as many as it has room for; those of {}{others} are \
         forwarded and masqueraded as well, and cost more",
        with.len(),
        first.label
    ))
}

fn masquerade_warning(config: &Config, masquerade: &Masquerade) -> Option<String> {
    let Masquerade { from, out, .. } = masquerade;
    let interface = config
        .interfaces
        .iter()
        .find(|interface| interface.label == *out)?;
    let v4 = from.addr().is_ipv4();
    if !interface
        .addresses
        .iter()
        .any(|address| address.addr().is_ipv4() == v4)
    {
        let family = if v4 { "IPv4" } else { "IPv6" };
        return Some(format!(
            "masquerade from {from}: {out} has no {family} address that it could lend"
        ));
    }
    let inside = interface
        .addresses
        .iter()
        .find(|address| from.contains(&address.trunc()))?;
    let network = inside.trunc();
    Some(format!(
        "masquerade from {from}: {network} lies on {out} itself, where nothing is to be masqueraded"
    ))
}

fn service_warnings(service: &VirtualServer, destinations: &Destinations, warnings: &mut Vec<String>) {
    let name = &service.name;
    let servers = &service.real_servers;
    if servers.is_empty() {
        warnings.push(format!("service {name} has no servers: its clients are refused"));
    } else if servers.iter().all(|server| server.weight == Weight::ZERO) {
        warnings.push(format!(
            "service {name}: all weights are 0, so that no server takes new connections"
        ));
    }
    if !servers.is_empty() && servers.iter().all(|server| server.tier != Tier::Primary) {
        warnings.push(format!(
            "service {name} has no primary server: its quorum is never reached, and backup and sorry servers serve always"
        ));
    }
    let scheduler = service.settings.scheduler;
    let ignores_weights = matches!(scheduler, Scheduler::Rr | Scheduler::Lc | Scheduler::Dh);
    if !service.pool.slow_start.is_zero() && ignores_weights {
        warnings.push(format!(
            "service {name}: scheduler {scheduler} does not heed weights, so that slow_start has no effect; use wlc or wrr"
        ));
    }
    let counts_connections =
        [Scheduler::Lc, Scheduler::Wlc, Scheduler::Sed, Scheduler::Nq].contains(&scheduler);
    if service.settings.one_packet && counts_connections && servers.len() > 1 {
        warnings.push(format!(
            "service {name}: with `one_packet` scheduler {scheduler} has no connections to count, so that one server gets \
             everything; rr and wrr take turns"
        ));
    }
    checks::warn(service, destinations, warnings);
    let better = match service.settings.scheduler {
        Scheduler::Rr => Some(Scheduler::Wrr),
        Scheduler::Lc => Some(Scheduler::Wlc),
        _ => None,
    };
    let mut weights: Vec<Weight> = servers
        .iter()
        .map(|s| s.weight)
        .filter(|w| *w != Weight::ZERO)
        .collect();
    weights.dedup();
    let counted = servers.iter().any(|server| server.checks.counts_endpoints());
    if let Some(better) = better.filter(|_| weights.len() > 1 || counted) {
        let scheduler = service.settings.scheduler;
        warnings.push(format!(
            "service {name}: scheduler {scheduler} does not look at weights; {better} does"
        ));
    }
    for server in servers
        .iter()
        .filter(|server| !destinations.reach(server.address.address))
    {
        warnings.push(format!(
            "service {name}: no interface, route or gateway leads to {}",
            server.address.address
        ));
    }
}

/// Answers of a one-packet service are packets of nobody's connection.
fn answer_warning(config: &Config, service: &VirtualServer) -> Option<String> {
    let name = &service.name;
    let mut servers = service.real_servers.iter().filter(|real| {
        let answers = service.settings.one_packet && real.forward == Forward::Nat;
        answers && config.masquerades.iter().any(|m| leads_to(config, m, real))
    });
    let server = servers.next()?.address.address;
    Some(format!(
        "service {name}: answers of {server} are dropped, for only replies to connections come in from a `masquerade` interface"
    ))
}

fn leads_to(config: &Config, masquerade: &Masquerade, real: &RealServer) -> bool {
    let side = config.towards(real.address.address);
    side.is_some_and(|side| config.interfaces[side].label == masquerade.out)
}

/// Where the appliance can send packets, in a form that is searched without looking at every network.
struct Destinations {
    /// First and last address of each, in order, none within another.
    ranges: Vec<(IpAddr, IpAddr)>,
}

impl Destinations {
    fn of(config: &Config) -> Destinations {
        let networks = |interface: &Interface| {
            let addresses = interface.addresses.clone().into_iter();
            addresses
                .chain(interface.routes.iter().map(|route| route.to))
                .collect::<Vec<_>>()
        };
        let mut all: Vec<_> = config.interfaces.iter().flat_map(networks).collect();
        for gateway in config.interfaces.iter().filter_map(|interface| interface.gateway) {
            all.push(match gateway {
                IpAddr::V4(_) => ipnet::Ipv4Net::default().into(),
                IpAddr::V6(_) => ipnet::Ipv6Net::default().into(),
            });
        }
        let mut ranges: Vec<(IpAddr, IpAddr)> =
            all.iter().map(|net| (net.network(), net.broadcast())).collect();
        ranges.sort_by_key(|(first, last)| (*first, std::cmp::Reverse(*last)));
        ranges.dedup_by(|inner, outer| inner.1 <= outer.1 && inner.0.is_ipv4() == outer.0.is_ipv4());
        Destinations { ranges }
    }

    fn reach(&self, address: IpAddr) -> bool {
        let after = self.ranges.partition_point(|(first, _)| *first <= address);
        let candidate = after.checked_sub(1).map(|at| self.ranges[at]);
        candidate.is_some_and(|(_, last)| address <= last)
    }
}
