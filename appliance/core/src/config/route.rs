//! Gateways and routes of the interfaces: next hops that are on their links, and destinations that are there once.
//! Must not: know names, MAC addresses or services.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;
use toml::Spanned;

use super::address::{Purpose, explain_address, family, read_prefix, unusable};
use super::fault::Wrong;
use super::model::Route;
use super::reader::{Reader, Section, Value};
use super::shape;
use super::topology::{InterfaceIndex, Topology};

/// What one interface says about next hops; judged once all interfaces are known.
pub(super) struct Hops {
    pub gateway: Option<Spanned<IpAddr>>,
    routes: Vec<(Spanned<IpNet>, Spanned<IpAddr>)>,
}

impl Hops {
    pub fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Hops {
        Hops {
            gateway: section.value("gateway").and_then(|value| next_hop(reader, value)),
            routes: routes(reader, section),
        }
    }

    /// The first next hop of IPv6.
    pub fn six(&self) -> Option<String> {
        let gateway = self.gateway.iter();
        let hops = gateway.chain(self.routes.iter().map(|(_, via)| via));
        let mut six = hops.map(|hop| *hop.get_ref()).filter(IpAddr::is_ipv6);
        six.next().map(|hop| hop.to_string())
    }

    pub fn routes(&self) -> Vec<Route> {
        self.routes
            .iter()
            .map(|(to, via)| Route {
                to: *to.get_ref(),
                via: *via.get_ref(),
            })
            .collect()
    }
}

fn next_hop(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<Spanned<IpAddr>> {
    let address = reader.leaf::<IpAddr>(value, explain_address)?;
    match unusable(*address.get_ref(), Purpose::NextHop) {
        None => Some(address),
        Some(wrong) => {
            reader.faults.add(value.span(), wrong);
            None
        }
    }
}

fn routes(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Vec<(Spanned<IpNet>, Spanned<IpAddr>)> {
    let help = "write routes = [{ to = \"10.0.0.0/8\", via = \"192.168.0.253\" }]";
    let mut routes = Vec::new();
    for section in reader.tables(section, "routes", &shape::ROUTE, help) {
        let to = reader
            .required(&section, "to", help)
            .and_then(|value| network(reader, value));
        let via = reader
            .required(&section, "via", help)
            .and_then(|value| next_hop(reader, value));
        routes.extend(to.zip(via));
    }
    routes
}

/// A network: an address with a prefix length and no bits behind it.
pub(super) fn network(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<Spanned<IpNet>> {
    let network = read_prefix(reader, value)?;
    let net = *network.get_ref();
    if net.trunc() != net {
        let help = format!(
            "write the network itself, \"{}\", or one host, \"{}/{}\"",
            net.trunc(),
            net.addr(),
            net.max_prefix_len()
        );
        reader.fault(
            value.span(),
            format!("`{net}` has bits set behind its prefix"),
            help,
        );
        return None;
    }
    let unusable = unusable(net.addr(), Purpose::NextHop).filter(|_| !net.addr().is_unspecified());
    if unusable.is_some() {
        let message = format!("`{net}` is no network of hosts that can be reached");
        reader.fault(
            value.span(),
            message,
            "allowed: unicast networks, such as \"10.0.0.0/8\"",
        );
        return None;
    }
    Some(network)
}

/// Gateways and routes of all interfaces: next hops on their links, destinations once each.
pub(super) fn judge(reader: &mut Reader<'_>, topology: &Topology, hops: &[Hops]) {
    let mut destinations: BTreeMap<IpNet, Range<usize>> = BTreeMap::new();
    for (index, hops) in hops.iter().enumerate() {
        if let Some(gateway) = &hops.gateway {
            judge_next_hop(reader, topology, index, gateway, "gateway");
            let to = default_route(*gateway.get_ref());
            judge_destination(reader, &mut destinations, to, gateway.span());
        }
        for (to, via) in &hops.routes {
            let same_family = to.get_ref().addr().is_ipv4() == via.get_ref().is_ipv4();
            if !same_family {
                let (to_family, via_family) = (family(to.get_ref().addr()), family(*via.get_ref()));
                let message = format!(
                    "`{}` is {via_family}, and `{}` is {to_family}",
                    via.get_ref(),
                    to.get_ref()
                );
                reader.fault(
                    via.span(),
                    message,
                    format!("give an {to_family} address of a router"),
                );
            } else {
                judge_next_hop(reader, topology, index, via, "via");
            }
            if topology.is_connected(*to.get_ref(), index) {
                let message = format!(
                    "`{}` is the network of {} itself",
                    to.get_ref(),
                    topology.names[index]
                );
                reader.fault(to.span(), message, "it needs no route; remove this one");
            } else if let Some(owner) = topology.v4_network_of(*to.get_ref()) {
                // Both are of the same metric: the kernel takes the second one for the first (EEXIST).
                let message = format!("`{}` is the network of {}", to.get_ref(), topology.names[owner]);
                let help = "its hosts are there, and nowhere else; remove the route, or give that interface another address";
                reader.fault(to.span(), message, help);
            }
            judge_destination(reader, &mut destinations, *to.get_ref(), to.span());
        }
    }
}

fn default_route(gateway: IpAddr) -> IpNet {
    match gateway {
        IpAddr::V4(_) => IpNet::V4(ipnet::Ipv4Net::default()),
        IpAddr::V6(_) => IpNet::V6(ipnet::Ipv6Net::default()),
    }
}

fn judge_destination(
    reader: &mut Reader<'_>,
    destinations: &mut BTreeMap<IpNet, Range<usize>>,
    to: IpNet,
    span: Range<usize>,
) {
    let Some(first) = destinations.get(&to) else {
        destinations.insert(to, span);
        return;
    };
    let message = match to.prefix_len() {
        0 => format!("a second default route for {}", family(to.addr())),
        _ => format!("a second route to {to}"),
    };
    let help = format!(
        "the first is on {}; one is allowed in the whole file",
        reader.line(first)
    );
    reader.fault(span, message, help);
}

fn judge_next_hop(
    reader: &mut Reader<'_>,
    topology: &Topology,
    index: InterfaceIndex,
    hop: &Spanned<IpAddr>,
    key: &str,
) {
    let address = *hop.get_ref();
    let name = &topology.names[index];
    let wrong = if topology.owner(address).is_some() {
        let help = "a next hop is another machine; give the router's address";
        Some(Wrong::new(
            format!("{key} `{address}` is the appliance's own address"),
            help,
        ))
    } else if let Some((what, network)) = topology.not_a_host(address) {
        let help = "give the router's own address";
        Some(Wrong::new(
            format!("{key} `{address}` is {what} of {network}"),
            help,
        ))
    } else if !topology.on_link(address, index) && !topology.doubtful.contains(&index) {
        not_on_link(reader, topology, index, address)
            .map(|help| Wrong::new(format!("{key} `{address}` is in no network of {name}"), help))
    } else {
        None
    };
    if let Some(wrong) = wrong {
        reader.faults.add(hop.span(), wrong);
    }
}

/// The remedy for a next hop that is not on its link; `None` if the file is too damaged to tell.
fn not_on_link(
    reader: &Reader<'_>,
    topology: &Topology,
    index: InterfaceIndex,
    address: IpAddr,
) -> Option<String> {
    if reader.damage.hides_interfaces() {
        return None;
    }
    let other = topology.networks_of(address).next();
    Some(match other {
        Some((network, other)) if other != index => {
            format!("{network} is on {}: move it there", topology.names[other])
        }
        _ => "a next hop is in a network of its interface's `addresses`".to_owned(),
    })
}
