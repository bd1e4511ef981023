//! The appliance's interfaces, as far as the source tells of them: every address once, no network on two interfaces.
//! Must not: know services, or write anything.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::remarks::Place;

/// What is assumed of a network whose length nobody gives.
const V4_GUESS: u8 = 24;
const V6_GUESS: u8 = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    pub name: String,
    /// The link and the id, if it is a VLAN.
    pub vlan: Option<(String, u16)>,
    pub addresses: Vec<Owned>,
    pub gateway: Option<IpAddr>,
    pub routes: Vec<(IpNet, IpAddr)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owned {
    pub net: IpNet,
    pub origin: Origin,
    pub place: Option<Place>,
}

/// How sure an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    Given,
    /// The address is given, and the length of its network is not.
    Guessed,
    /// Only somebody who knows the network can say it.
    Placeholder,
}

#[derive(Debug, Default)]
pub(super) struct Machine {
    interfaces: Vec<Interface>,
    names: BTreeMap<String, usize>,
    owned: BTreeMap<IpAddr, usize>,
    /// Networks and whose they are.
    networks: BTreeMap<IpNet, usize>,
    lengths: BTreeSet<u8>,
    /// Addresses that are somebody else's.
    foreign: BTreeSet<IpAddr>,
    first: Option<usize>,
    /// Destinations of routes.
    routed: BTreeSet<IpNet>,
}

/// Letters, digits, `.`, `_` and `-`, at most 15, and none of the kernel's own words.
pub(super) fn is_interface_name(name: &str) -> bool {
    let plain = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let own = ["lo", "all", "default", ".", ".."].contains(&name);
    plain && !own && (1..=15).contains(&name.len())
}

/// `eth0.100`: the link below, and the id.
fn as_vlan(name: &str) -> Option<(&str, u16)> {
    let (link, id) = name.rsplit_once('.')?;
    let id = id.parse().ok().filter(|id| (1..=4094).contains(id))?;
    is_interface_name(link).then_some((link, id))
}

impl Machine {
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    pub fn interface(&mut self, name: &str) -> usize {
        if let Some(known) = self.names.get(name) {
            return *known;
        }
        let vlan = as_vlan(name).map(|(link, id)| (link.to_owned(), id));
        if let Some((link, _)) = &vlan {
            self.interface(link);
        }
        self.names.insert(name.to_owned(), self.interfaces.len());
        self.interfaces.push(Interface {
            name: name.to_owned(),
            vlan,
            addresses: Vec::new(),
            gateway: None,
            routes: Vec::new(),
        });
        self.interfaces.len() - 1
    }

    /// The first interface that has an address, or could have one; made if there is none. It stays the same one.
    pub fn first(&mut self) -> usize {
        if let Some(first) = self.first {
            return first;
        }
        let below = self
            .interfaces
            .iter()
            .filter_map(|i| Some(i.vlan.as_ref()?.0.as_str()));
        let below: BTreeSet<&str> = below.collect();
        let fits = |i: &Interface| !i.addresses.is_empty() || !below.contains(i.name.as_str());
        let first = match self.interfaces.iter().position(fits) {
            Some(first) => first,
            None => self.another(),
        };
        self.first = Some(first);
        first
    }

    /// A card that nothing is known of.
    pub fn another(&mut self) -> usize {
        // Beside a card that has another name on the old machine, and is most likely the first one here.
        let first = usize::from(self.interfaces.iter().any(|i| is_named_by_place(&i.name)));
        let free = (first..)
            .map(|n| format!("eth{n}"))
            .find(|name| !self.names.contains_key(name));
        self.interface(&free.unwrap_or_default())
    }

    pub fn has(&self, address: IpAddr) -> bool {
        self.owned.contains_key(&address)
    }

    pub fn owner(&self, address: IpAddr) -> Option<usize> {
        self.owned.get(&address).copied()
    }

    pub fn is_own_name(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Whether an address is in a network of an interface.
    pub fn owner_of_network(&self, address: IpAddr) -> Option<usize> {
        let longest = self.lengths.iter().rev();
        longest
            .filter_map(|length| IpNet::new(address, *length).ok())
            .find_map(|net| self.networks.get(&net.trunc()).copied())
    }

    /// Notes an address that no placeholder may be.
    pub fn is_foreign(&mut self, address: IpAddr) {
        self.foreign.insert(address);
    }

    pub fn has_gateway(&self, v4: bool) -> bool {
        let default = if v4 {
            IpNet::V4(Ipv4Net::default())
        } else {
            IpNet::V6(Ipv6Net::default())
        };
        self.routed.contains(&default)
    }

    /// Whether the network is apart from those of the other interfaces.
    fn is_free(&self, net: IpNet, index: usize) -> bool {
        let net = net.trunc();
        let around = self.lengths.iter().filter(|length| **length <= net.prefix_len());
        let mut outer = around.filter_map(|length| IpNet::new(net.addr(), *length).ok());
        if outer.any(|outer| {
            self.networks
                .get(&outer.trunc())
                .is_some_and(|owner| *owner != index)
        }) {
            return false;
        }
        if self.networks.get(&net) == Some(&index) {
            return true;
        }
        let all =
            IpNet::new_assert(net.network(), 0)..=IpNet::new_assert(net.broadcast(), net.max_prefix_len());
        let mut inner = self.networks.range(all).filter(|(inner, _)| net.contains(*inner));
        inner.all(|(_, owner)| *owner == index)
    }

    fn add(&mut self, index: usize, net: IpNet, origin: Origin, place: Option<Place>) {
        self.owned.insert(net.addr(), index);
        self.networks.insert(net.trunc(), index);
        self.lengths.insert(net.prefix_len());
        self.interfaces[index]
            .addresses
            .push(Owned { net, origin, place });
    }

    /// Gives an interface an address with the length that it is given. `false`: it cannot have it.
    pub fn own(&mut self, index: usize, net: IpNet, place: Place) -> bool {
        if self.has(net.addr()) {
            return true;
        }
        let fits =
            is_usable(net.addr()) && net.prefix_len() > 0 && is_host_of(net) && self.is_free(net, index);
        if fits {
            self.add(index, net, Origin::Given, Some(place));
        }
        fits
    }

    /// Gives an address of unknown length to the interface whose network holds it, or to `index` with a length that is a
    /// guess. `false`: nobody can have it.
    pub fn adopt(&mut self, index: usize, address: IpAddr, place: Place) -> bool {
        if self.has(address) {
            return true;
        }
        if !is_usable(address) {
            return false;
        }
        if let Some(owner) = self.owner_of_network(address) {
            let host = IpNet::from(address);
            if self.is_free(host, owner) {
                self.add(owner, host, Origin::Given, Some(place));
                return true;
            }
        }
        match self.guess(index, address) {
            Some(net) => {
                self.add(index, net, Origin::Guessed, Some(place));
                true
            }
            None => false,
        }
    }

    /// The largest network up to the usual one that is nobody else's.
    fn guess(&self, index: usize, address: IpAddr) -> Option<IpNet> {
        let (usual, most) = match address {
            IpAddr::V4(_) => (V4_GUESS, 32),
            IpAddr::V6(_) => (V6_GUESS, 128),
        };
        let nets = (usual..=most).filter_map(|length| IpNet::new(address, length).ok());
        nets.filter(|net| is_host_of(*net))
            .find(|net| self.is_free(*net, index))
    }

    /// Makes a network around an address that no interface reaches, with an address that has to be replaced.
    pub fn reach(&mut self, index: usize, address: IpAddr, place: Place) -> Option<IpNet> {
        let net = self.guess(index, address)?;
        let own = self.free_host(net)?;
        let net = IpNet::new(own, net.prefix_len()).ok()?;
        self.add(index, net, Origin::Placeholder, Some(place));
        Some(net)
    }

    /// The highest host of a network that is not known to be somebody's; routers and balancers are often there.
    fn free_host(&self, net: IpNet) -> Option<IpAddr> {
        let taken = |address: &IpAddr| self.has(*address) || self.foreign.contains(address);
        let free = |address: &IpAddr| {
            !taken(address) && IpNet::new(*address, net.prefix_len()).is_ok_and(is_host_of)
        };
        match net.broadcast() {
            IpAddr::V4(last) => {
                let last = u32::from(last);
                (0..256)
                    .map(|n| IpAddr::from(Ipv4Addr::from(last.saturating_sub(n))))
                    .filter(|a| net.contains(a))
                    .find(free)
            }
            IpAddr::V6(last) => {
                let last = u128::from(last);
                (0..256)
                    .map(|n| IpAddr::from(Ipv6Addr::from(last.saturating_sub(n))))
                    .filter(|a| net.contains(a))
                    .find(free)
            }
        }
    }

    /// An address of the documentation networks (RFC 5737, RFC 3849) for a service that has none.
    pub fn placeholder(&mut self, v4: bool, place: Place) -> Option<IpAddr> {
        let nets: &[IpNet] = if v4 {
            &[
                IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(192, 0, 2, 0), 24)),
                IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(198, 51, 100, 0), 24)),
            ]
        } else {
            &[
                IpNet::V6(Ipv6Net::new_assert(
                    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
                    64,
                )),
                IpNet::V6(Ipv6Net::new_assert(
                    Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0),
                    64,
                )),
            ]
        };
        let index = self.first();
        for net in nets.iter().filter(|net| self.is_free(**net, index)) {
            let hosts: Vec<IpAddr> = net.hosts().take(250).collect();
            let free = hosts.into_iter().find(|a| {
                !self.has(*a)
                    && !self.foreign.contains(a)
                    && is_host_of(IpNet::from(*a))
                    && *a != net.network()
            });
            if let Some(own) = free {
                let net = IpNet::new(own, net.prefix_len()).ok()?;
                self.add(index, net, Origin::Placeholder, Some(place));
                return Some(own);
            }
        }
        None
    }

    /// A default route, or another one; the next hop has to be in a network of the interface.
    pub fn route(&mut self, to: IpNet, via: IpAddr, interface: Option<usize>) -> Option<usize> {
        let owner = self.owner_of_network(via)?;
        let next_hop =
            is_usable(via) && !self.has(via) && to.trunc() == to && to.addr().is_ipv4() == via.is_ipv4();
        if !next_hop || interface.is_some_and(|interface| interface != owner) || self.is_no_host(via) {
            return None;
        }
        let is_default = to.prefix_len() == 0;
        let is_taken = !is_default && (self.networks.contains_key(&to) || !is_usable(to.addr()));
        if is_taken || !self.routed.insert(to) {
            return None;
        }
        let interface = &mut self.interfaces[owner];
        match is_default && interface.gateway.is_none() {
            true => interface.gateway = Some(via),
            // Also the default route of the other family: lb.toml has one gateway for an interface.
            false => interface.routes.push((to, via)),
        }
        Some(owner)
    }

    fn is_no_host(&self, address: IpAddr) -> bool {
        let nets = self
            .lengths
            .iter()
            .filter_map(|length| IpNet::new(address, *length).ok());
        let mut known = nets.filter(|net| self.networks.contains_key(&net.trunc()));
        known.any(|net| !is_host_of(net))
    }
}

/// Whether it can be an address of a machine that is reached from elsewhere.
pub(super) fn is_usable(address: IpAddr) -> bool {
    let special = address.is_unspecified() || address.is_loopback() || address.is_multicast();
    special_of_family(address).is_none() && !special
}

fn special_of_family(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) if v4.is_broadcast() || v4.octets()[0] == 0 => Some("never assigned"),
        IpAddr::V4(v4) if v4.is_link_local() => Some("link-local"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("link-local"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("IPv4"),
        _ => None,
    }
}

/// Whether the address is a host of its own network.
fn is_host_of(net: IpNet) -> bool {
    let bits = net.max_prefix_len() - net.prefix_len();
    bits < 2 || (net.addr() != net.network() && !(net.addr().is_ipv4() && net.addr() == net.broadcast()))
}

/// `ens18`, `enp1s0`, `em1`, `p1p1`: as udev names cards by where they are; here they are called as the kernel does.
pub fn is_named_by_place(name: &str) -> bool {
    let digits = |rest: &str| rest.starts_with(|first: char| first.is_ascii_digit());
    name.starts_with("en")
        || ["em", "p"]
            .iter()
            .any(|begin| name.strip_prefix(begin).is_some_and(digits))
}
