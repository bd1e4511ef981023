//! Neighbours and routes as the kernel tells them, and whose they are by the configuration.
//! Must not: ask the kernel, or format for humans.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::control::{InterfaceReport, ServiceReport};

/// What the kernel knows of an address on a link (enum NUD_*, include/uapi/linux/neighbour.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NeighbourState {
    Reachable,
    Stale,
    Delay,
    Probe,
    Incomplete,
    Failed,
    Permanent,
    /// It is to be asked, and was not yet.
    None,
}

impl NeighbourState {
    pub fn as_str(self) -> &'static str {
        match self {
            NeighbourState::Reachable => "reachable",
            NeighbourState::Stale => "stale",
            NeighbourState::Delay => "delay",
            NeighbourState::Probe => "probe",
            NeighbourState::Incomplete => "incomplete",
            NeighbourState::Failed => "failed",
            NeighbourState::Permanent => "permanent",
            NeighbourState::None => "none",
        }
    }
}

/// An entry of the kernel's table of neighbours (ARP and IPv6's neighbour discovery).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    pub address: IpAddr,
    pub link: String,
    /// `null`: it has not answered.
    pub mac: Option<String>,
    pub state: NeighbourState,
    /// Since it last proved that it is there; `null` where it has not.
    pub confirmed_ms: Option<u64>,
    /// Since the entry was last used, and since its state last changed.
    pub used_ms: u64,
    pub updated_ms: u64,
    /// The file's name for the link.
    #[serde(default)]
    pub interface: Option<String>,
    /// What it is here: `server of nginx`, `gateway of default`.
    #[serde(default)]
    pub roles: Vec<String>,
}

impl Neighbour {
    /// It was asked and has not answered.
    pub fn is_silent(&self) -> bool {
        match self.state {
            NeighbourState::Failed => true,
            NeighbourState::Incomplete => self.mac.is_none(),
            _ => false,
        }
    }
}

/// An entry of the kernel's routing tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteEntry {
    /// `10.0.0.0/8`; `0.0.0.0/0` and `::/0` are the default routes.
    pub to: String,
    /// `unicast`, `local`, `blackhole`, `unreachable`, `prohibit` and others.
    pub kind: String,
    /// Where packets go; several share the connections.
    pub hops: Vec<Hop>,
    /// The address that packets of this machine's own have.
    pub source: Option<IpAddr>,
    pub metric: Option<u32>,
    /// Who made it: `lb.toml`, `kernel`, `ra` (a router's advertisement), `static` and others.
    pub origin: String,
    /// 254 is the main table.
    pub table: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// `null`: the addresses are on the link itself.
    pub via: Option<IpAddr>,
    pub link: Option<String>,
    /// The file's name for the link.
    #[serde(default)]
    pub interface: Option<String>,
}

/// How this machine reaches one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTo {
    pub address: IpAddr,
    /// As in [`RouteEntry`]; `local`: it is one of this machine's own.
    pub kind: String,
    pub hop: Hop,
    pub source: Option<IpAddr>,
    /// In bytes, where a smaller one than the link's is known for the path.
    pub mtu: Option<u32>,
    /// The entry that decided.
    pub route: Option<RouteEntry>,
    /// The next hop, on its link; `null`: nothing was sent there lately.
    pub neighbour: Option<Neighbour>,
    /// What the address itself is here.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// What the configuration says of addresses. Without an agent that can be asked it is empty.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub services: Vec<ServiceReport>,
    pub interfaces: Vec<InterfaceReport>,
    pub routes: Vec<RouteEntry>,
}

/// Services that a role names; a machine may serve thousands.
const MOST_SERVICES: usize = 3;

impl Known {
    /// The file's name for a link.
    pub fn label(&self, link: &str) -> Option<String> {
        let mut interfaces = self.interfaces.iter();
        interfaces
            .find(|interface| interface.link.as_deref() == Some(link))
            .and_then(|interface| interface.label.clone())
    }

    /// The kernel's name for what the file or the kernel calls so.
    pub fn link(&self, name: &str) -> Option<String> {
        let is_it =
            |i: &&InterfaceReport| i.label.as_deref() == Some(name) || i.link.as_deref() == Some(name);
        self.interfaces.iter().find(is_it)?.link.clone()
    }

    pub fn roles(&self, address: IpAddr) -> Vec<String> {
        let mut roles = Vec::new();
        let names: Vec<&str> = self
            .services
            .iter()
            .filter(|service| servers(service).contains(&address))
            .map(|service| service.name.as_str())
            .collect();
        if let Some(last) = names.get(..MOST_SERVICES).filter(|_| names.len() > MOST_SERVICES) {
            let more = names.len() - MOST_SERVICES;
            roles.push(format!("server of {} and {more} more services", last.join(", ")));
        } else if !names.is_empty() {
            roles.push(format!("server of {}", names.join(", ")));
        }
        let behind = self.routes.iter().filter(|route| {
            let mut hops = route.hops.iter();
            hops.any(|hop| hop.via == Some(address))
        });
        let behind: BTreeSet<&str> = behind.map(|route| destination(&route.to)).collect();
        if !behind.is_empty() {
            let behind: Vec<&str> = behind.into_iter().collect();
            roles.push(format!("gateway of {}", behind.join(", ")));
        }
        roles
    }

    /// Fills in what the configuration says.
    pub fn name(&self, neighbour: &mut Neighbour) {
        neighbour.interface = self.label(&neighbour.link);
        neighbour.roles = self.roles(neighbour.address);
    }
}

/// `0.0.0.0/0` as it is spoken of.
pub fn destination(to: &str) -> &str {
    match to {
        "0.0.0.0/0" | "::/0" => "default",
        other => other,
    }
}

/// The addresses of a service's servers.
fn servers(service: &ServiceReport) -> BTreeSet<IpAddr> {
    let servers = service.servers.iter();
    servers.filter_map(|server| machine(&server.address)).collect()
}

/// `172.16.0.11:30080` and `172.16.0.11` are on one machine.
fn machine(text: &str) -> Option<IpAddr> {
    let with_port = text.parse::<SocketAddr>().map(|socket| socket.ip());
    with_port.or_else(|_| text.trim_matches(['[', ']']).parse()).ok()
}

/// Of the neighbours those that `arp` was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighboursReport {
    pub neighbours: Vec<Neighbour>,
    /// Addresses that belong to what was asked for and have no entry: nothing was sent there lately, or they are behind a router.
    pub without_entry: Vec<IpAddr>,
}

/// `name` is of a service, of an interface, an address, an address and a port, or a MAC address. `None`: it is nothing of these.
pub fn select(name: &str, neighbours: Vec<Neighbour>, known: &Known) -> Option<NeighboursReport> {
    let chosen = |keep: &dyn Fn(&Neighbour) -> bool| -> Vec<Neighbour> {
        neighbours.iter().filter(|n| keep(n)).cloned().collect()
    };
    if let Some(service) = known.services.iter().find(|service| service.name == name) {
        return Some(among(servers(service), &chosen(&|_| true)));
    }
    let of_link = chosen(&|n| n.link == name || n.interface.as_deref() == Some(name));
    if !of_link.is_empty() || known.link(name).is_some() {
        return Some(NeighboursReport {
            neighbours: of_link,
            without_entry: Vec::new(),
        });
    }
    if let Some(address) = machine(name) {
        return Some(among([address].into(), &neighbours));
    }
    let of_mac = chosen(&|n| n.mac.as_deref().is_some_and(|mac| mac.eq_ignore_ascii_case(name)));
    (!of_mac.is_empty()).then_some(NeighboursReport {
        neighbours: of_mac,
        without_entry: Vec::new(),
    })
}

fn among(addresses: BTreeSet<IpAddr>, neighbours: &[Neighbour]) -> NeighboursReport {
    let is_among = |n: &&Neighbour| addresses.contains(&n.address);
    let neighbours: Vec<Neighbour> = neighbours.iter().filter(is_among).cloned().collect();
    let has_entry = |address: &IpAddr| neighbours.iter().any(|n| n.address == *address);
    let without_entry = addresses.iter().copied().filter(|a| !has_entry(a)).collect();
    NeighboursReport {
        neighbours,
        without_entry,
    }
}

#[cfg(test)]
mod tests;
