//! `[[port_forward]]`: ports of the appliance that lead to another machine.
//! Must not: look at interfaces but through what they own and reach.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::address::{Purpose, family, unusable};
use super::fault::{Wrong, quoted};
use super::listen::{self, Ports, TakenPorts};
use super::model::PortForward;
use super::reader::{Reader, Section, Value};
use super::route::network;
use super::shape;
use super::topology::Topology;

/// The kernel moves a range only port by port, which takes a rule for each.
const MAX_MOVED: u16 = 100;

pub(super) fn read(
    reader: &mut Reader<'_>,
    root: &Section<'_, '_>,
    topology: &Topology,
    mut taken: TakenPorts,
) -> Vec<PortForward> {
    let help = "write [[port_forward]] on a line of its own, then listen = \"192.168.0.1:2222\" and \
                to = \"172.16.0.11:22\"";
    taken.begin_forwards();
    let sections = reader.tables(root, "port_forward", &shape::PORT_FORWARD, help);
    sections
        .iter()
        .filter_map(|section| port_forward(reader, section, topology, &mut taken))
        .collect()
}

fn port_forward(
    reader: &mut Reader<'_>,
    section: &Section<'_, '_>,
    topology: &Topology,
    taken: &mut TakenPorts,
) -> Option<PortForward> {
    let protocols = listen::protocols(reader, section);
    let help = "add where clients connect to: listen = \"192.168.0.1:2222\"";
    let listen = reader.required(section, "listen", help);
    let listen = listen.and_then(|value| listen::ports(reader, value, topology));
    let help = "add the machine that it leads to: to = \"172.16.0.11:22\"";
    let to = reader.required(section, "to", help);
    let (listen, to) = (listen?, to?);
    if let Some(protocols) = &protocols {
        taken.forward(reader, &listen, protocols);
    }
    let target = target(reader, to, &listen, topology);
    let from = match section.value("from") {
        Some(value) => clients(reader, value, &listen),
        None => Some(Vec::new()),
    };
    let (to, to_first) = target?;
    Some(PortForward {
        address: listen.address,
        first: listen.first,
        last: listen.last,
        protocols: protocols?,
        to,
        to_first,
        from: from?,
    })
}

/// The machine, and where the first port leads.
fn target(
    reader: &mut Reader<'_>,
    value: Value<'_, '_>,
    listen: &Ports,
    topology: &Topology,
) -> Option<(IpAddr, u16)> {
    let (address, ports) = destination(reader, value)?;
    let wrong = unusable(address, Purpose::Server)
        .or_else(|| misplaced(address, listen, topology))
        .or_else(|| misfit(listen, ports));
    if let Some(wrong) = wrong {
        reader.faults.add(value.span(), wrong);
        return None;
    }
    Some((address, ports.map_or(listen.first, |(first, _)| first)))
}

/// An address alone, or with a port or a range of them.
fn destination(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<(IpAddr, Option<(u16, u16)>)> {
    if let Some(address) = value.text().and_then(|text| text.parse::<IpAddr>().ok()) {
        return Some((address, None));
    }
    let (socket, last): (SocketAddr, u16) = match listen::range(value) {
        Some(Ok(range)) => range,
        Some(Err(wrong)) => {
            reader.faults.add(value.span(), wrong);
            return None;
        }
        None => {
            let socket = listen::endpoint(reader, value, Purpose::Server)?;
            (socket, socket.port())
        }
    };
    if socket.port() == 0 {
        reader.fault(value.span(), "`0` is no port", "allowed: 1 to 65535");
        return None;
    }
    Some((socket.ip(), Some((socket.port(), last))))
}

/// Why connections to there cannot go to this address.
fn misplaced(address: IpAddr, listen: &Ports, topology: &Topology) -> Option<Wrong> {
    if let Some(interface) = topology.owner(address) {
        let message = format!("`{address}` is the appliance's own address");
        let help = format!(
            "it is one of {}; a forward leads to another machine",
            topology.names[interface]
        );
        return Some(Wrong::new(message, help));
    }
    if let Some((what, network)) = topology.not_a_host(address) {
        let message = format!("`{address}` is {what} of {network}");
        return Some(Wrong::new(message, "give the address of the machine itself"));
    }
    if address.is_ipv4() == listen.address.is_ipv4() {
        return None;
    }
    let (ours, theirs) = (family(listen.address), family(address));
    let message = format!("`{address}` is {theirs}, and `listen` is {ours}");
    Some(Wrong::new(message, format!("give an {ours} address")))
}

/// Why the ports there are not those that clients ask for.
fn misfit(listen: &Ports, ports: Option<(u16, u16)>) -> Option<Wrong> {
    let (first, last) = ports?;
    let asked = listen.last - listen.first;
    let help = "give the address alone, which keeps the ports, or as many ports as `listen` has";
    if last - first != asked {
        let counted = |ports: u16| match ports {
            0 => "1 port".to_owned(),
            more => format!("{} ports", u32::from(more) + 1),
        };
        let message = format!(
            "{} of `listen` cannot lead to {}",
            counted(asked),
            counted(last - first)
        );
        return Some(Wrong::new(message, help));
    }
    if first != listen.first && asked >= MAX_MOVED {
        let message = format!("{} ports cannot be moved", u32::from(asked) + 1);
        return Some(Wrong::new(
            message,
            format!("up to {MAX_MOVED} can; give the address alone, which keeps the ports"),
        ));
    }
    None
}

/// Networks of the same family, each once.
fn clients(reader: &mut Reader<'_>, value: Value<'_, '_>, listen: &Ports) -> Option<Vec<IpNet>> {
    let values = reader.one_or_more(value, "at least one network, such as \"192.168.0.0/24\"");
    let mut clients: Vec<IpNet> = Vec::new();
    for value in &values {
        let Some(net) = network(reader, *value).map(|net| net.into_inner()) else {
            continue;
        };
        let v4 = listen.address.is_ipv4();
        if net.addr().is_ipv4() != v4 {
            let message = format!(
                "{} is {}, and `listen` is {}",
                quoted(&net.to_string()),
                family(net.addr()),
                family(listen.address)
            );
            reader.fault(
                value.span(),
                message,
                "a client has an address of the same family",
            );
        } else if clients.contains(&net) {
            reader.fault(
                value.span(),
                format!("`{net}` is there twice"),
                "give each network once",
            );
        } else {
            clients.push(net);
        }
    }
    (!values.is_empty() && clients.len() == values.len()).then_some(clients)
}
