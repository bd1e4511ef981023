//! The gateway's rules: whose address connections take, where ports lead, and how long segments may be.
//! Must not: know services.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::config::{self, Config, Interface, Masquerade, MssClamp};
use crate::model::IfName;
use crate::ruleset::{Family, Lent, PortForward, Rule, Way};

/// The rules of one entry of the file: one, or for a pool with gaps one for each address.
pub fn masquerade_rules(masquerade: &Masquerade, out: &IfName) -> Vec<Rule> {
    let rule = |to| Rule::Masquerade {
        from: masquerade.from,
        out: out.clone(),
        to,
    };
    Lent::among(&masquerade.to).into_iter().map(rule).collect()
}

/// Both ends of a connection learn of the limit from the other's first packet: one of the two arrives through the interface,
/// the other leaves through it.
pub(super) fn clamps(interface: &Interface, link: &IfName, mtu: Option<u32>, way: Way) -> Vec<Rule> {
    let clamp = |family: Family| {
        let bytes = match interface.mss_clamp? {
            MssClamp::Bytes(bytes) => bytes,
            MssClamp::Mtu => u16::try_from(mtu?.saturating_sub(family.headers())).unwrap_or(u16::MAX),
        };
        Some(Rule::ClampMss {
            link: link.clone(),
            way,
            family,
            bytes,
        })
    };
    Family::ALL.into_iter().filter_map(clamp).collect()
}

/// What one entry of the file means for each protocol and each network of clients. Ports that become others are one by one.
pub fn forwards(forward: &config::PortForward) -> Vec<PortForward> {
    let spans: Vec<(u16, u16, Option<u16>)> = match forward.to_first == forward.first {
        true => vec![(forward.first, forward.last, None)],
        false => (forward.first..=forward.last)
            .zip(forward.to_first..)
            .map(|(port, to)| (port, port, Some(to)))
            .collect(),
    };
    let clients: Vec<_> = match forward.from.as_slice() {
        [] => vec![None],
        from => from.iter().copied().map(Some).collect(),
    };
    let mut all = Vec::new();
    for protocol in &forward.protocols {
        for from in &clients {
            all.extend(spans.iter().map(|(first, last, to_port)| PortForward {
                protocol: *protocol,
                address: forward.address,
                first: *first,
                last: *last,
                to: forward.to,
                to_port: *to_port,
                from: *from,
            }));
        }
    }
    all
}

/// A client beside the machine that a port leads to, or that machine itself, has to come from the box's address, or the
/// answers would not come back through it.
pub(super) fn hairpins(config: &Config, link: impl Fn(&str) -> Option<IfName>) -> Vec<Rule> {
    let targets: BTreeSet<IpAddr> = config.port_forwards.iter().map(|forward| forward.to).collect();
    let mut rules = Vec::new();
    for interface in &config.interfaces {
        let Some(out) = link(&interface.label) else {
            continue;
        };
        let nets = interface.networks();
        for from in &nets {
            let mut beside = nets
                .iter()
                .filter(|net| net.addr().is_ipv4() == from.addr().is_ipv4());
            if beside.any(|net| targets.range(net.network()..=net.broadcast()).next().is_some()) {
                rules.push(Rule::HairpinForwarded {
                    from: *from,
                    out: out.clone(),
                });
            }
        }
    }
    rules
}
