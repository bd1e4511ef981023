//! What the interfaces of the file own and reach: labels, addresses, networks, with the place where each was said.
//! Answers for thousands of addresses without looking at each. Must not: report faults of services.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::address::not_a_host;

/// An interface by its position in the file.
pub(super) type InterfaceIndex = usize;

#[derive(Debug, Default)]
pub(super) struct Topology {
    /// By label; a MAC address is there by its canonical text.
    pub labels: BTreeMap<String, InterfaceIndex>,
    /// The label of each interface, or a stand-in for one that could not be read.
    pub names: Vec<String>,
    owned: BTreeMap<IpAddr, (InterfaceIndex, Range<usize>)>,
    networks: BTreeMap<IpNet, BTreeMap<InterfaceIndex, Range<usize>>>,
    lengths: BTreeSet<u8>,
    /// Where an address stands that was there before: that its network was there as well is no news.
    pub twice: BTreeSet<usize>,
    /// Interfaces with an address that could not be read: their networks are not all known.
    pub doubtful: BTreeSet<InterfaceIndex>,
    /// Labels that belong to a bond or bridge, with its label.
    pub members: BTreeMap<String, String>,
    /// An interface's label could not be read.
    pub nameless: bool,
}

/// Two interfaces whose networks overlap.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overlap {
    /// The one that stands later in the file, where the fault is shown.
    pub later: (IpNet, Range<usize>),
    pub earlier: (IpNet, Range<usize>, InterfaceIndex),
}

impl Topology {
    /// Notes an address; gives the one that was there before.
    pub fn own(
        &mut self,
        address: IpAddr,
        interface: InterfaceIndex,
        span: Range<usize>,
    ) -> Option<(InterfaceIndex, Range<usize>)> {
        if let Some(earlier) = self.owned.get(&address) {
            return Some(earlier.clone());
        }
        self.owned.insert(address, (interface, span));
        None
    }

    pub fn connect(&mut self, network: IpNet, interface: InterfaceIndex, span: Range<usize>) {
        self.lengths.insert(network.prefix_len());
        self.networks
            .entry(network.trunc())
            .or_default()
            .entry(interface)
            .or_insert(span);
    }

    /// The interface that has this very address.
    pub fn owner(&self, address: IpAddr) -> Option<InterfaceIndex> {
        self.owned.get(&address).map(|(interface, _)| *interface)
    }

    /// The addresses of one family, in order.
    pub fn owned(&self, v4: bool) -> impl Iterator<Item = IpAddr> {
        self.owned
            .keys()
            .copied()
            .filter(move |address| address.is_ipv4() == v4)
    }

    /// The connected networks that hold an address, the longest prefix first.
    pub fn networks_of(&self, address: IpAddr) -> impl Iterator<Item = (IpNet, InterfaceIndex)> {
        let candidates = self
            .lengths
            .iter()
            .rev()
            .filter_map(move |length| truncated(address, *length));
        candidates.flat_map(|network| {
            let owners = self.networks.get(&network).into_iter().flat_map(BTreeMap::keys);
            owners.map(move |interface| (network, *interface))
        })
    }

    /// Whether this is, prefix and all, a network of the interface.
    pub fn is_connected(&self, network: IpNet, interface: InterfaceIndex) -> bool {
        self.networks
            .get(&network)
            .is_some_and(|owners| owners.contains_key(&interface))
    }

    /// Whose network this is, prefix and all, if it is one of IPv4. (Those of IPv6 have another metric than routes have.)
    pub fn v4_network_of(&self, network: IpNet) -> Option<InterfaceIndex> {
        let v4 = network.addr().is_ipv4() && network.prefix_len() < network.max_prefix_len();
        let owners = self.networks.get(&network).filter(|_| v4)?;
        owners.keys().next().copied()
    }

    /// Whether an interface reaches an address without a router.
    pub fn on_link(&self, address: IpAddr, interface: InterfaceIndex) -> bool {
        let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        link_local || self.networks_of(address).any(|(_, owner)| owner == interface)
    }

    /// What an address is to a connected network, if not a host of it.
    pub fn not_a_host(&self, address: IpAddr) -> Option<(&'static str, IpNet)> {
        self.networks_of(address)
            .find_map(|(network, _)| not_a_host(address, network).map(|what| (what, network)))
    }

    /// Overlapping networks on two interfaces: for each network one that was there before, if any. Networks nest or are
    /// apart, so that in their order each needs to be compared with the closest one around it only.
    pub fn overlaps(&self) -> Vec<Overlap> {
        let mut around: Vec<(IpNet, InterfaceIndex, &Range<usize>)> = Vec::new();
        let mut overlaps = Vec::new();
        for (network, owners) in self
            .networks
            .iter()
            .filter(|(network, _)| !is_link_local(network))
        {
            for (interface, span) in owners {
                while around.pop_if(|(outer, ..)| !outer.contains(network)).is_some() {}
                if let Some((outer, other, other_span)) =
                    around.last().filter(|(_, other, _)| other != interface)
                {
                    let (this, that) = ((*network, span, *interface), (*outer, *other_span, *other));
                    let (later, earlier) = if span.start > other_span.start {
                        (this, that)
                    } else {
                        (that, this)
                    };
                    overlaps.push(Overlap {
                        later: (later.0, later.1.clone()),
                        earlier: (earlier.0, earlier.1.clone(), earlier.2),
                    });
                }
                around.push((*network, *interface, span));
            }
        }
        let mut seen = BTreeSet::new();
        overlaps.retain(|overlap| seen.insert(overlap.later.1.start));
        overlaps
    }
}

/// Every link has these (RFC 4291 section 2.5.6); they cannot overlap.
fn is_link_local(network: &IpNet) -> bool {
    matches!(network, IpNet::V6(v6) if v6.network().is_unicast_link_local())
}

fn truncated(address: IpAddr, length: u8) -> Option<IpNet> {
    match address {
        IpAddr::V4(v4) => Ipv4Net::new(v4, length).ok().map(|net| IpNet::V4(net.trunc())),
        IpAddr::V6(v6) => Ipv6Net::new(v6, length).ok().map(|net| IpNet::V6(net.trunc())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology(networks: &[(&str, InterfaceIndex)]) -> Topology {
        let mut topology = Topology::default();
        for (place, (network, interface)) in networks.iter().enumerate() {
            topology.connect(network.parse().unwrap(), *interface, place..place);
        }
        topology
    }

    fn overlaps(networks: &[(&str, InterfaceIndex)]) -> Vec<(usize, usize)> {
        let found = topology(networks).overlaps();
        found
            .into_iter()
            .map(|o| (o.earlier.1.start, o.later.1.start))
            .collect()
    }

    #[test]
    fn networks_overlap_only_between_interfaces() {
        assert_eq!(
            overlaps(&[("10.0.0.1/24", 0), ("10.0.0.2/32", 0), ("10.0.1.1/24", 1)]),
            []
        );
        assert_eq!(overlaps(&[("10.0.0.1/24", 0), ("10.0.0.2/24", 1)]), [(0, 1)]);
        assert_eq!(
            overlaps(&[("10.0.5.1/24", 0), ("10.0.0.2/16", 1), ("10.0.9.1/24", 2)]),
            [(0, 1), (1, 2)]
        );
        assert_eq!(
            overlaps(&[("2001:db8::1/64", 0), ("2001:db8::2/128", 1)]),
            [(0, 1)]
        );
        assert_eq!(overlaps(&[("fe80::1/64", 0), ("fe80::1/64", 1)]), []);
    }

    #[test]
    fn the_longest_prefix_comes_first() {
        let topology = topology(&[("10.0.0.1/8", 0), ("10.1.0.1/16", 0), ("10.1.2.3/32", 1)]);
        let found: Vec<String> = topology
            .networks_of("10.1.2.3".parse().unwrap())
            .map(|(net, _)| net.to_string())
            .collect();
        assert_eq!(found, ["10.1.2.3/32", "10.1.0.0/16", "10.0.0.0/8"]);
        assert!(topology.on_link("10.200.0.1".parse().unwrap(), 0));
        assert!(!topology.on_link("10.200.0.1".parse().unwrap(), 1));
        assert!(!topology.on_link("2001:db8::1".parse().unwrap(), 0));
        assert!(topology.on_link("fe80::1".parse().unwrap(), 1));
    }
}
