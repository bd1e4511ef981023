//! Where a service listens: its `listen` and `protocol`, one of each or lists, and what others have taken already.
//! Must not: look at interfaces but through what they own.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use super::address::{Purpose, explain_endpoint, family, unusable};
use super::fault::{Wrong, quoted, some_of};
use super::model::VirtualServer;
use super::reader::{Reader, Section, Value};
use super::topology::Topology;
use crate::model::{Endpoint, PortRange, Protocol};

pub(super) const PROTOCOL: Protocol = Protocol::Tcp;
pub(super) const PROTOCOLS: [&str; 3] = [
    Protocol::Tcp.as_str(),
    Protocol::Udp.as_str(),
    Protocol::Sctp.as_str(),
];

/// What a service listens on, as far as it could be read.
#[derive(Debug, Default)]
pub(super) struct Listen {
    /// Every entry once per protocol.
    pub ranges: Vec<PortRange>,
    pub protocols: Vec<Protocol>,
    /// Its first address.
    pub address: Option<IpAddr>,
    /// More than one port or protocol: not one of IPVS's plain services.
    pub group: bool,
    /// Something could not be read.
    pub broken: bool,
}

impl Listen {
    /// Of a plain service.
    pub fn endpoint(&self) -> Option<Endpoint> {
        let only = self.ranges.first().filter(|_| !self.group)?;
        Some(Endpoint {
            address: only.address,
            port: only.first,
            protocol: only.protocol,
        })
    }

    /// Whether this protocol is among them, as far as they could be read.
    pub fn has(&self, protocol: Protocol) -> bool {
        self.protocols.contains(&protocol)
    }
}

/// One entry of `listen`.
#[derive(Debug, Clone)]
pub(super) struct Ports {
    pub address: IpAddr,
    pub first: u16,
    pub last: u16,
    pub span: Range<usize>,
}

pub(super) fn read(
    reader: &mut Reader<'_>,
    section: &Section<'_, '_>,
    topology: &Topology,
    taken: &mut TakenPorts,
    name: Option<&str>,
) -> Listen {
    let protocols = protocols(reader, section);
    let help = "add the address that clients connect to: listen = \"192.168.0.1:80\"";
    let Some(value) = reader.required(section, "listen", help) else {
        return Listen {
            protocols: protocols.unwrap_or_default(),
            broken: true,
            ..Listen::default()
        };
    };
    let empty = "at least one \"ADDRESS:PORT\" or \"ADDRESS:FIRST-LAST\"";
    let values = reader.one_or_more(value, empty);
    let entries: Vec<Ports> = values
        .iter()
        .filter_map(|value| ports(reader, *value, topology))
        .collect();
    let broken = protocols.is_none() || values.is_empty() || entries.len() < values.len();
    judge_families(reader, &entries);
    let protocols = protocols.unwrap_or_default();
    let ranges = entries.iter().any(|ports| ports.first < ports.last);
    let service = taken.next_service();
    for ports in &entries {
        taken.take(reader, ports, &protocols, service, name);
    }
    let each = |ports: &Ports| {
        let Ports {
            address, first, last, ..
        } = *ports;
        let range = move |protocol: &Protocol| PortRange {
            address,
            protocol: *protocol,
            first,
            last,
        };
        protocols.iter().map(range).collect::<Vec<_>>()
    };
    Listen {
        ranges: entries.iter().flat_map(each).collect(),
        address: entries.first().map(|ports| ports.address),
        group: values.len() > 1 || ranges || protocols.len() > 1,
        protocols,
        broken,
    }
}

/// `None` for a fault.
pub(super) fn protocols(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Option<Vec<Protocol>> {
    let Some(value) = section.value("protocol") else {
        return Some(vec![PROTOCOL]);
    };
    let values = reader.one_or_more(value, "at least one of \"tcp\", \"udp\" and \"sctp\"");
    let mut protocols = Vec::new();
    let mut broken = values.is_empty();
    for value in values {
        let Some(protocol) = reader.word::<Protocol>(value, &PROTOCOLS, &[]) else {
            broken = true;
            continue;
        };
        let protocol = protocol.into_inner();
        if protocols.contains(&protocol) {
            let message = format!("the protocol {protocol} is there twice");
            reader.fault(value.span(), message, "name each protocol once");
            broken = true;
        } else {
            protocols.push(protocol);
        }
    }
    (!broken).then_some(protocols)
}

fn judge_families(reader: &mut Reader<'_>, entries: &[Ports]) {
    let Some(first) = entries.first().map(|ports| ports.address) else {
        return;
    };
    let other = entries
        .iter()
        .find(|ports| ports.address.is_ipv4() != first.is_ipv4());
    if let Some(other) = other {
        let (theirs, ours) = (family(other.address), family(first));
        let message = format!(
            "`{}` is {theirs}, and the service listens on {ours} already",
            other.address
        );
        let help = format!("a service stays within one family; write a [[virtual_server]] for {theirs}");
        reader.fault(other.span.clone(), message, help);
    }
}

pub(super) fn ports(reader: &mut Reader<'_>, value: Value<'_, '_>, topology: &Topology) -> Option<Ports> {
    let (socket, last) = match range(value) {
        Some(range) => {
            let judged = range.and_then(|(socket, last)| match judge(socket, Purpose::Listen) {
                Some(wrong) => Err(wrong),
                None => Ok((socket, last)),
            });
            match judged {
                Ok(range) => range,
                Err(wrong) => {
                    reader.faults.add(value.span(), wrong);
                    return None;
                }
            }
        }
        None => {
            let socket = endpoint(reader, value, Purpose::Listen)?;
            (socket, socket.port())
        }
    };
    let address = socket.ip();
    if topology.owner(address).is_none() && !reader.damage.hides_interfaces() {
        let message = format!("`{address}` is no address of this appliance");
        reader.fault(value.span(), message, own_addresses(topology, address));
    }
    Some(Ports {
        address,
        first: socket.port(),
        last,
        span: value.span(),
    })
}

/// `ADDRESS:FIRST-LAST`; `None` for what does not look like it.
pub(super) fn range(value: Value<'_, '_>) -> Option<Result<(SocketAddr, u16), Wrong>> {
    let (host, ports) = value.text()?.rsplit_once(':')?;
    let (first, last) = ports.split_once('-')?;
    // An address that cannot be read is explained as that of a single port.
    let any: SocketAddr = format!("{host}:1").parse().ok()?;
    let numbers = first.parse::<u16>().ok().zip(last.parse::<u16>().ok());
    Some(match numbers {
        Some((first, last)) if first <= last => {
            let mut socket = any;
            socket.set_port(first);
            Ok((socket, last))
        }
        Some((first, last)) => {
            let message = format!("{} ends before it begins", quoted(ports));
            Err(Wrong::new(message, format!("write \"{host}:{last}-{first}\"")))
        }
        None => {
            let help = format!("allowed: FIRST-LAST, each 1 to 65535, such as \"{host}:30000-32767\"");
            Err(Wrong::new(
                format!("{} is no range of ports", quoted(ports)),
                help,
            ))
        }
    })
}

/// An address with a port from 1.
pub(super) fn endpoint(
    reader: &mut Reader<'_>,
    value: Value<'_, '_>,
    purpose: Purpose,
) -> Option<SocketAddr> {
    let endpoint = reader.leaf::<SocketAddr>(value, explain_endpoint)?.into_inner();
    match judge(endpoint, purpose) {
        None => Some(endpoint),
        Some(wrong) => {
            reader.faults.add(value.span(), wrong);
            None
        }
    }
}

fn judge(socket: SocketAddr, purpose: Purpose) -> Option<Wrong> {
    match socket {
        socket if socket.port() == 0 => Some(Wrong::new("`0` is no port", "allowed: 1 to 65535")),
        SocketAddr::V6(v6) if v6.scope_id() != 0 => Some(Wrong::new(
            format!("`{v6}` has a zone"),
            "write the address without `%`",
        )),
        socket => unusable(socket.ip(), purpose),
    }
}

/// What a service could listen on instead, and how to make it what was asked for.
fn own_addresses(topology: &Topology, wanted: IpAddr) -> String {
    let allowed = match some_of(topology.owned(wanted.is_ipv4())) {
        owned if owned.is_empty() => format!("no interface of this file has an {} address", family(wanted)),
        owned => format!("the interfaces of this file have {owned}"),
    };
    match topology.networks_of(wanted).next() {
        Some((network, interface)) if topology.not_a_host(wanted).is_none() => {
            let name = &topology.names[interface];
            let addition = format!("\"{wanted}/{}\"", network.prefix_len());
            format!("{allowed}; or add {addition} to the addresses of {name}")
        }
        _ => allowed,
    }
}

/// The ports that services have taken so far, with the places. Those of one address and protocol are apart.
#[derive(Debug, Default)]
pub(super) struct TakenPorts {
    services: usize,
    /// What is noted from now on are forwards.
    forwards: bool,
    ports: BTreeMap<(IpAddr, Protocol), BTreeMap<u16, TakenRange>>,
}

#[derive(Debug)]
struct TakenRange {
    last: u16,
    service: usize,
    name: String,
    span: Range<usize>,
}

impl TakenPorts {
    fn next_service(&mut self) -> usize {
        self.services += 1;
        self.services
    }

    /// The services are all noted: a port that a forward wants must be free.
    pub fn begin_forwards(&mut self) {
        self.forwards = true;
    }

    pub fn forward(&mut self, reader: &mut Reader<'_>, ports: &Ports, protocols: &[Protocol]) {
        let own = self.next_service();
        self.take(reader, ports, protocols, own, Some("a [[port_forward]]"));
    }

    /// Notes the ports of a service that was read before; whether they were free.
    pub fn take_over(&mut self, read: &VirtualServer) -> bool {
        let service = self.next_service();
        let mut free = true;
        for range in &read.listen {
            let ranges = self.ports.entry((range.address, range.protocol)).or_default();
            let before = ranges.range(..=range.last).next_back();
            free &= before.is_none_or(|(_, other)| other.last < range.first);
            let taken = TakenRange {
                last: range.last,
                service,
                name: read.name.clone(),
                span: 0..0,
            };
            ranges.insert(range.first, taken);
        }
        free
    }

    /// Notes the ports; one that is there already is a fault.
    fn take(
        &mut self,
        reader: &mut Reader<'_>,
        ports: &Ports,
        protocols: &[Protocol],
        service: usize,
        name: Option<&str>,
    ) {
        let mut told = false;
        for protocol in protocols {
            let ranges = self.ports.entry((ports.address, *protocol)).or_default();
            let before = ranges.range(..=ports.last).next_back();
            if let Some((first, other)) = before.filter(|(_, other)| other.last >= ports.first) {
                let both = PortRange {
                    address: ports.address,
                    protocol: *protocol,
                    first: ports.first.max(*first),
                    last: ports.last.min(other.last),
                };
                if !told {
                    let (message, help) = match self.forwards {
                        true => taken(reader, both, other),
                        false => twice(reader, both, other, service),
                    };
                    reader.fault(ports.span.clone(), message, help);
                }
                told = true;
                continue;
            }
            let range = TakenRange {
                last: ports.last,
                service,
                name: name.unwrap_or("another service").to_owned(),
                span: ports.span.clone(),
            };
            ranges.insert(ports.first, range);
        }
    }
}

fn taken(reader: &Reader<'_>, both: PortRange, other: &TakenRange) -> (String, String) {
    let help = format!(
        "{} on {} has it; a port leads to one place",
        other.name,
        reader.line(&other.span)
    );
    (format!("{both} is taken already"), help)
}

fn twice(reader: &Reader<'_>, both: PortRange, other: &TakenRange, service: usize) -> (String, String) {
    let line = reader.line(&other.span);
    if other.service == service {
        let message = format!("the service listens on {both} twice");
        return (message, format!("first given on {line}; name each port once"));
    }
    let help = format!(
        "{} on {line} has it; every service listens on an address or port of its own",
        other.name
    );
    (format!("two services listen on {both}"), help)
}
