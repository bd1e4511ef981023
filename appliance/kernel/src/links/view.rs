//! Neighbours and routes as the kernel holds them, and which route it would take to an address.
//! Must not: change anything, or leave out what is not ours.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt;
use lb_core::model::MacAddress;
use lb_core::neighbours::{Hop, Neighbour, NeighbourState, RouteEntry, RouteTo};
use lb_core::observed::ROUTE_PROTOCOL;
use lb_core::ports::{KernelError, KernelFault};
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState as Nud,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteProtocol,
    RouteType,
};
use rtnetlink::{Error, Handle, RouteMessageBuilder};

use super::connection::Connection;
use super::read::ip;
use crate::activity::since_boot_ms;
use crate::fault;

/// The kernel tells ages in hundredths of a second (USER_HZ).
const TICK_MS: u64 = 10;
/// RTM_F_CLONED: a remembered result, not an entry.
const CLONED: u32 = 0x200;

/// Reads over a socket of its own.
#[derive(Debug)]
pub struct NetworkView(pub(super) Connection);

type LinkNames = BTreeMap<u32, String>;

impl NetworkView {
    pub fn open() -> Result<NetworkView, KernelError> {
        Connection::open()
            .map(NetworkView)
            .map_err(|fault| fault::during("open rtnetlink", fault))
    }

    /// All that may be asked for by ARP or neighbour discovery, by link and address.
    pub fn neighbours(&mut self) -> Result<Vec<Neighbour>, KernelError> {
        let mut read = || -> Result<_, KernelFault> {
            let names = self.0.run_again(link_names)?;
            let entries = self.0.run_again(|handle| async move {
                let dump = handle.neighbours().get().execute();
                dump.try_collect::<Vec<NeighbourMessage>>().await
            })?;
            let mut found: Vec<Neighbour> = entries.iter().filter_map(|e| neighbour(e, &names)).collect();
            found.sort_by(|one, other| (&one.link, one.address).cmp(&(&other.link, other.address)));
            Ok(found)
        };
        read().map_err(|fault| fault::during("read the neighbours", fault))
    }

    /// All entries that lead somewhere else, but for those of link-local addresses; the closest networks last.
    pub fn routes(&mut self) -> Result<Vec<RouteEntry>, KernelError> {
        let reading = |fault| fault::during("read the routes", fault);
        let names = self.0.run_again(link_names).map_err(reading)?;
        let dump = self.0.run_again(all_routes).map_err(reading)?;
        Ok(dump
            .iter()
            .filter(|message| leads_elsewhere(message))
            .map(|message| entry(message, &names))
            .collect())
    }

    /// What the kernel does with a packet of our own to this address.
    pub fn route_to(&mut self, address: IpAddr) -> Result<RouteTo, KernelError> {
        let asking = |fault| fault::during(format!("find the route to {address}"), fault);
        let names = self.0.run_again(link_names).map_err(asking)?;
        let way = self
            .0
            .run_again(|handle| ask(handle, address, RouteFlags::empty()))
            .map_err(asking)?;
        // An older kernel cannot tell which entry it was.
        let route = self
            .0
            .run_again(|handle| ask(handle, address, RouteFlags::FibMatch))
            .ok()
            .map(|message| entry(&message, &names));
        let chosen = entry(&way, &names);
        let hop = chosen.hops.into_iter().next().unwrap_or(Hop {
            via: None,
            link: None,
            interface: None,
        });
        let next = hop.via.unwrap_or(address);
        let is_next = |n: &Neighbour| n.address == next && Some(&n.link) == hop.link.as_ref();
        let neighbour = self.neighbours()?.into_iter().find(is_next);
        Ok(RouteTo {
            address,
            kind: chosen.kind,
            source: chosen.source,
            mtu: mtu(&way),
            route,
            neighbour,
            hop,
            roles: Vec::new(),
        })
    }
}

async fn link_names(handle: Handle) -> Result<LinkNames, Error> {
    let links: Vec<LinkMessage> = handle.link().get().execute().try_collect().await?;
    let name = |message: &LinkMessage| {
        message.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.clone()),
            _ => None,
        })
    };
    Ok(links
        .iter()
        .filter_map(|message| Some((message.header.index, name(message)?)))
        .collect())
}

async fn all_routes(handle: Handle) -> Result<Vec<RouteMessage>, Error> {
    let mut routes = Vec::new();
    for all in [
        RouteMessageBuilder::<Ipv4Addr>::new().build(),
        RouteMessageBuilder::<Ipv6Addr>::new().build(),
    ] {
        let dump: Vec<RouteMessage> = handle.route().get(all).execute().try_collect().await?;
        routes.extend(dump);
    }
    Ok(routes)
}

async fn ask(handle: Handle, address: IpAddr, flags: RouteFlags) -> Result<RouteMessage, Error> {
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let mut message = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(address, bits)
        .map_err(|_| Error::RequestFailed)?
        .build();
    message.header.flags = flags;
    let mut answers = Box::pin(handle.route().get(message).execute());
    answers.try_next().await?.ok_or(Error::RequestFailed)
}

/// `None`: of a link where nobody is asked, such as the loopback, or a group's address.
fn neighbour(message: &NeighbourMessage, names: &LinkNames) -> Option<Neighbour> {
    let state = match message.header.state {
        Nud::Reachable => NeighbourState::Reachable,
        Nud::Stale => NeighbourState::Stale,
        Nud::Delay => NeighbourState::Delay,
        Nud::Probe => NeighbourState::Probe,
        Nud::Incomplete => NeighbourState::Incomplete,
        Nud::Failed => NeighbourState::Failed,
        Nud::Permanent => NeighbourState::Permanent,
        Nud::None => NeighbourState::None,
        _ => return None,
    };
    let (mut address, mut mac, mut ages) = (None, None, (0, 0, 0));
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => address = Some(IpAddr::V4(*v4)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => address = Some(IpAddr::V6(*v6)),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.as_slice().try_into().ok(),
            NeighbourAttribute::CacheInfo(info) => {
                let ms = |ticks: u32| u64::from(ticks) * TICK_MS;
                ages = (ms(info.confirmed), ms(info.used), ms(info.updated));
            }
            _ => {}
        }
    }
    let answered = mac.is_some() && !matches!(state, NeighbourState::Failed | NeighbourState::Permanent);
    Some(Neighbour {
        address: address?,
        link: names.get(&message.header.ifindex)?.clone(),
        mac: mac.map(|bytes| MacAddress(bytes).to_string()),
        state,
        // The kernel makes an entry as if it was confirmed at a time that may lie before its start: then it never was (neigh_create).
        confirmed_ms: answered.then_some(ages.0).filter(|age| *age <= since_boot_ms()),
        used_ms: ages.1,
        updated_ms: ages.2,
        interface: None,
        roles: Vec::new(),
    })
}

fn leads_elsewhere(message: &RouteMessage) -> bool {
    let is_link_local = message.attributes.iter().any(|attribute| {
        matches!(attribute, RouteAttribute::Destination(RouteAddress::Inet6(v6)) if v6.is_unicast_link_local())
    });
    let kind = message.header.kind;
    let here = [
        RouteType::Local,
        RouteType::Broadcast,
        RouteType::Anycast,
        RouteType::Multicast,
    ];
    !is_link_local && !here.contains(&kind) && message.header.flags.bits() & CLONED == 0
}

fn entry(message: &RouteMessage, names: &LinkNames) -> RouteEntry {
    let header = &message.header;
    let mut to = match header.destination_prefix_length {
        0 if header.address_family == rtnetlink::packet_route::AddressFamily::Inet6 => {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        }
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    let (mut source, mut metric, mut table) = (None, None, u32::from(header.table));
    let mut hops = Vec::new();
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(destination) => to = ip(destination).unwrap_or(to),
            RouteAttribute::PrefSource(address) => source = ip(address),
            RouteAttribute::Priority(value) => metric = Some(*value),
            RouteAttribute::Table(value) => table = *value,
            RouteAttribute::MultiPath(paths) => {
                hops.extend(
                    paths
                        .iter()
                        .map(|path| hop(&path.attributes, Some(path.interface_index), names)),
                );
            }
            _ => {}
        }
    }
    if hops.is_empty() {
        hops.push(hop(&message.attributes, None, names));
    }
    RouteEntry {
        to: format!("{to}/{}", header.destination_prefix_length),
        kind: kind(header.kind),
        hops,
        source,
        metric,
        origin: origin(header.protocol),
        table: if table == 0 {
            RouteHeader::RT_TABLE_MAIN.into()
        } else {
            table
        },
    }
}

fn hop(attributes: &[RouteAttribute], index: Option<u32>, names: &LinkNames) -> Hop {
    let (mut via, mut index) = (None, index);
    for attribute in attributes {
        match attribute {
            RouteAttribute::Gateway(gateway) => via = ip(gateway),
            RouteAttribute::Via(rtnetlink::packet_route::route::RouteVia::Inet6(v6)) => {
                via = Some(IpAddr::V6(*v6))
            }
            RouteAttribute::Via(rtnetlink::packet_route::route::RouteVia::Inet(v4)) => {
                via = Some(IpAddr::V4(*v4))
            }
            RouteAttribute::Oif(oif) => index = Some(*oif),
            _ => {}
        }
    }
    Hop {
        via,
        link: index.and_then(|index| names.get(&index).cloned()),
        interface: None,
    }
}

fn kind(kind: RouteType) -> String {
    match kind {
        RouteType::Unicast => "unicast".to_owned(),
        RouteType::Local => "local".to_owned(),
        RouteType::Broadcast => "broadcast".to_owned(),
        RouteType::Anycast => "anycast".to_owned(),
        RouteType::Multicast => "multicast".to_owned(),
        RouteType::BlackHole => "blackhole".to_owned(),
        RouteType::Unreachable => "unreachable".to_owned(),
        RouteType::Prohibit => "prohibit".to_owned(),
        other => format!("type {}", u8::from(other)),
    }
}

fn origin(protocol: RouteProtocol) -> String {
    match protocol {
        ours if ours == RouteProtocol::from(ROUTE_PROTOCOL) => "lb.toml".to_owned(),
        RouteProtocol::Kernel => "kernel".to_owned(),
        RouteProtocol::Boot => "boot".to_owned(),
        RouteProtocol::Static => "static".to_owned(),
        RouteProtocol::Ra => "ra".to_owned(),
        RouteProtocol::IcmpRedirect => "redirect".to_owned(),
        RouteProtocol::Dhcp => "dhcp".to_owned(),
        other => format!("protocol {}", u8::from(other)),
    }
}

fn mtu(message: &RouteMessage) -> Option<u32> {
    let metrics = message.attributes.iter().filter_map(|attribute| match attribute {
        RouteAttribute::Metrics(metrics) => Some(metrics),
        _ => None,
    });
    metrics.flatten().find_map(|metric| match metric {
        RouteMetric::Mtu(mtu) => Some(*mtu),
        _ => None,
    })
}
