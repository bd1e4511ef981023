//! Which balanced connections need no connection tracking, and between which links flows may take a short cut.
//! Tracking serves three things here: masquerade, replies that a filter lets pass, and hairpins. A connection that none of
//! them touches is only made dearer by it. A connection is tracked in both directions or in none.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{LONGEST_LINE, forwards_whole};
use crate::config::{Config, Interface, InterfaceKind, VirtualServer};
use crate::model::{Endpoint, IfName, Protocol};
use crate::ruleset::{Family, FastPath, Rule};

/// The devices that a flowtable takes (NFT_NETDEVICE_MAX, include/net/netfilter/nf_tables.h).
const MOST_LINKS: usize = 256;

/// With more, a second copy of them in the rules would take more memory, and looking for those that need tracking more time, than
/// a change may.
const MOST_SERVERS: usize = 5_000;

/// The fast path, and the rules that lead to it.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub path: FastPath,
    /// Before connection tracking.
    pub raw: Vec<Rule>,
    /// The first of the input filter: who may pass at once.
    pub input: Vec<Rule>,
    /// The first of the forward filter.
    pub forward: Option<Rule>,
}

/// `link` finds the kernel's link for an interface of the file, `outside` are those whose new connections are not forwarded,
/// `open` tells the services that clients may reach.
pub(super) fn plan(
    config: &Config,
    link: impl Fn(&str) -> Option<IfName>,
    outside: &[IfName],
    open: impl Fn(&VirtualServer) -> bool,
) -> Plan {
    let is_inside =
        |interface: &Interface| link(&interface.label).is_some_and(|link| !outside.contains(&link));
    let all: usize = config.services().map(|service| service.real_servers.len()).sum();
    let untracked = match all <= MOST_SERVERS {
        true => untracked(config, is_inside),
        false => Vec::new(),
    };
    let servers: BTreeSet<Endpoint> = untracked.iter().copied().flat_map(servers).collect();
    let addresses: BTreeSet<IpAddr> = servers.iter().map(|server| server.address).collect();
    let behind = |interface: &&Interface| interface.networks().iter().any(|net| has_any(&addresses, net));
    let sides: Vec<&Interface> = config.interfaces.iter().filter(behind).collect();
    let mut plan = Plan::default();
    let links: Vec<IfName> = sides.iter().filter_map(|side| link(&side.label)).collect();
    let raw = raw_rules(&sides, &links, &addresses);
    // With more links or networks, looking for them would cost a packet as much as tracking.
    let fits = |rule: &Rule| rule.to_string().len() <= LONGEST_LINE;
    if raw.iter().all(fits) && !links.is_empty() {
        plan.raw = raw;
        let open = untracked.iter().filter(|service| open(service));
        plan.path.services = open.filter_map(|service| service.endpoint()).collect();
        plan.path.servers = servers;
        plan.input.push(Rule::AcceptKnown { not_from: links });
    }
    plan.input.push(Rule::AcceptEstablished);
    // Without an interface to masquerade on there are no flows of a gateway.
    if !outside.is_empty() {
        let (with, _) = short_ways(config);
        let links = with.into_iter().filter_map(|interface| link(&interface.label));
        plan.path.offload = links.collect();
        plan.forward = Some(Rule::Offload);
    }
    plan
}

/// The interfaces of the flowtable, and those whose packets never take the short way. With more than it has room for, VLANs on a link of the flowtable are
/// left to that one: the kernel finds their flows there, by the VLAN's id (nft_dev_forward_path, net/netfilter/nft_flow_offload.c).
pub(crate) fn short_ways(config: &Config) -> (Vec<&Interface>, Vec<&Interface>) {
    let all: Vec<&Interface> = config.interfaces.iter().collect();
    if all.len() <= MOST_LINKS {
        return (all, Vec::new());
    }
    let is_vlan = |interface: &&Interface| matches!(interface.kind, InterfaceKind::Vlan(_));
    let (mut vlans, mut with): (Vec<_>, Vec<_>) = all.into_iter().partition(is_vlan);
    let mut without = with.split_off(with.len().min(MOST_LINKS));
    let below: BTreeSet<&str> = with.iter().map(|link| link.label.as_str()).collect();
    vlans.retain(|vlan| !vlan.kind.below().iter().any(|link| below.contains(link.as_str())));
    without.extend(vlans.split_off(vlans.len().min(MOST_LINKS - with.len())));
    with.extend(vlans);
    (with, without)
}

/// `sides` have the servers behind them, none of which is the way to the rest of the world: so whoever comes from there is in
/// one of their networks. `links` are theirs. What comes most often, requests, is decided by the first rule.
fn raw_rules(sides: &[&Interface], links: &[IfName], servers: &BTreeSet<IpAddr>) -> Vec<Rule> {
    let mut nets: Vec<IpNet> = Vec::new();
    for side in sides {
        nets.extend(side.networks());
        nets.extend(side.addresses.iter().map(|net| IpNet::from(net.addr())));
    }
    let nets = IpNet::aggregate(&nets);
    let families = Family::ALL.into_iter();
    let families: Vec<Family> = families
        .filter(|family| servers.iter().any(|server| family.is_of(*server)))
        .collect();
    let requests = families.iter().map(|family| Rule::UntrackRequests {
        family: *family,
        not_from: links.to_vec(),
    });
    let replies = links.iter().flat_map(|link| {
        families.iter().map(|family| Rule::UntrackReplies {
            family: *family,
            link: link.clone(),
            not_to: nets
                .iter()
                .filter(|net| family.is_of(net.addr()))
                .copied()
                .collect(),
        })
    });
    requests.chain(replies).collect()
}

/// An interface of the file, as the servers behind it see it.
struct Side {
    nets: BTreeSet<IpNet>,
    /// From outside only replies pass; and a side that leads to the rest of the world has clients that are not beside the servers.
    is_inside: bool,
}

/// The services whose connections are not tracked.
fn untracked(config: &Config, is_inside: impl Fn(&Interface) -> bool) -> Vec<&VirtualServer> {
    let side = |interface: &Interface| Side {
        nets: interface.networks(),
        is_inside: is_inside(interface) && interface.gateway.is_none(),
    };
    let sides: Vec<Side> = config.interfaces.iter().map(side).collect();
    let needs_tracking = |service: &&VirtualServer| needs_tracking(config, service, &sides);
    // Answers of one-packet services are never tracked.
    let (single, others): (Vec<_>, Vec<_>) =
        config.services().partition(|service| service.settings.one_packet);
    let (mut tracked, mut rest): (Vec<_>, Vec<_>) = others.into_iter().partition(needs_tracking);
    // Of a server that a tracked service or a port forward shares the replies have to be seen; so its other services are
    // tracked as well.
    let mut shared: BTreeSet<IpAddr> = config.port_forwards.iter().map(|forward| forward.to).collect();
    while !tracked.is_empty() || !shared.is_empty() {
        shared.extend(std::mem::take(&mut tracked).into_iter().flat_map(addresses));
        (tracked, rest) = rest
            .into_iter()
            .partition(|service| addresses(service).any(|server| shared.contains(&server)));
        shared.clear();
    }
    rest.extend(single.into_iter().filter(|service| !needs_tracking(service)));
    rest
}

fn addresses(service: &VirtualServer) -> impl Iterator<Item = IpAddr> + use<'_> {
    service.real_servers.iter().map(|real| real.address.address)
}

/// The servers of a service with one port of one protocol.
fn servers(service: &VirtualServer) -> impl Iterator<Item = Endpoint> + use<'_> {
    let endpoint = service.endpoint();
    service.real_servers.iter().filter_map(move |real| {
        Some(Endpoint {
            address: real.address.address,
            port: real.address.port,
            protocol: endpoint?.protocol,
        })
    })
}

fn needs_tracking(config: &Config, service: &VirtualServer, sides: &[Side]) -> bool {
    // A mark is given by a rule that asks for replies.
    let Some(listen) = service.endpoint() else {
        return true;
    };
    // Connections are put together from two.
    if service.syn_proxy {
        return true;
    }
    // The answers do not pass the box.
    if forwards_whole(service) || service.real_servers.is_empty() {
        return true;
    }
    let beside_servers = |net: &IpNet| net.contains(&listen.address);
    service.real_servers.iter().any(|real| {
        let server = real.address.address;
        let Some(side) = config.towards(server).and_then(|index| sides.get(index)) else {
            return true;
        };
        let replies_pass = side.is_inside
            && side.nets.iter().any(|net| net.contains(&server))
            && !side.nets.iter().any(beside_servers);
        // TCP connects from a port on which nobody listens. The others begin conversations of their own from their service's
        // port (NTP, SIP, WireGuard), which are to be masqueraded; but not where everything from there is taken for an answer.
        let may_begin = listen.protocol != Protocol::Tcp && !service.settings.one_packet;
        let hidden = config.masquerades.iter().any(|m| m.from.contains(&server));
        !replies_pass || may_begin && hidden
    })
}

fn has_any(addresses: &BTreeSet<IpAddr>, net: &IpNet) -> bool {
    addresses.range(net.network()..=net.broadcast()).next().is_some()
}
