//! What the kernel's dumps of links, addresses and routes mean. The dumps are taken one after the other: what changes between
//! them is seen at the next reading, which the link monitor asks for.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use futures_util::TryStreamExt;
use ipnet::IpNet;
use lb_core::config::Route;
use lb_core::link_kind::LINK_GROUP;
use lb_core::model::{IfName, MacAddress};
use lb_core::observed::{ObservedLink, ROUTE_PROTOCOL};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType,
};
use rtnetlink::{Error, Handle, RouteMessageBuilder};

use super::made::{self, Names};

/// All links, with what is on them.
pub(super) async fn links(handle: Handle) -> Result<BTreeMap<IfName, ObservedLink>, Error> {
    let links: Vec<LinkMessage> = handle.link().get().execute().try_collect().await?;
    let addresses: Vec<AddressMessage> = handle.address().get().execute().try_collect().await?;
    let mut routes: Vec<RouteMessage> = Vec::new();
    for all in [
        RouteMessageBuilder::<Ipv4Addr>::new().build(),
        RouteMessageBuilder::<Ipv6Addr>::new().build(),
    ] {
        let dump: Vec<RouteMessage> = handle.route().get(all).execute().try_collect().await?;
        routes.extend(dump);
    }
    let names: Names = links
        .iter()
        .filter_map(|message| Some((message.header.index, name(message)?)))
        .collect();
    let mut by_index: BTreeMap<u32, (IfName, ObservedLink)> = links
        .iter()
        .filter_map(|message| link(message, &names))
        .map(|(name, link)| (link.index, (name, link)))
        .collect();
    for (index, address) in addresses.iter().filter_map(address) {
        if let Some((_, link)) = by_index.get_mut(&index) {
            link.addresses.insert(address);
        }
    }
    for (index, route) in routes.iter().filter_map(route) {
        if let Some((_, link)) = by_index.get_mut(&index) {
            link.routes.insert(route);
        }
    }
    for (name, link) in by_index.values_mut() {
        link.receive_queues = receive_queues(name);
    }
    Ok(by_index.into_values().collect())
}

/// Only a card has a device, and queues of its own.
fn receive_queues(name: &IfName) -> u32 {
    let link = Path::new("/sys/class/net").join(name.as_str());
    if !link.join("device").exists() {
        return 0;
    }
    let queues = fs::read_dir(link.join("queues")).into_iter().flatten().flatten();
    let receive = queues.filter(|queue| queue.file_name().to_string_lossy().starts_with("rx-"));
    u32::try_from(receive.count()).unwrap_or(u32::MAX)
}

pub(super) async fn link_named(handle: Handle, name: String) -> Result<LinkMessage, Error> {
    let found: Vec<LinkMessage> = handle
        .link()
        .get()
        .match_name(name)
        .execute()
        .try_collect()
        .await?;
    found.into_iter().next().ok_or(Error::RequestFailed)
}

/// The Ethernet address; the loopback's zeros are none.
pub(super) fn mac(message: &LinkMessage) -> Option<MacAddress> {
    if message.header.link_layer_type != LinkLayerType::Ether {
        return None;
    }
    message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Address(bytes) => bytes.as_slice().try_into().ok().map(MacAddress),
        _ => None,
    })
}

/// `None`: a name that no configuration can hold.
pub(super) fn name(message: &LinkMessage) -> Option<IfName> {
    message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(text) => text.parse().ok(),
        _ => None,
    })
}

fn link(message: &LinkMessage, names: &Names) -> Option<(IfName, ObservedLink)> {
    let flags = message.header.flags;
    let mut link = ObservedLink {
        index: message.header.index,
        mac: mac(message),
        kind: made::kind(message, names),
        active: made::active(message, names),
        loopback: flags.contains(LinkFlags::Loopback),
        admin_up: flags.contains(LinkFlags::Up),
        ..ObservedLink::default()
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Carrier(state) => link.carrier = *state == 1 && link.admin_up,
            LinkAttribute::Mtu(bytes) => link.mtu = *bytes,
            LinkAttribute::PermAddress(bytes) => {
                link.permanent_mac = bytes.as_slice().try_into().ok().map(MacAddress);
            }
            LinkAttribute::Group(group) => link.ours = *group == LINK_GROUP,
            LinkAttribute::Controller(index) => link.master = names.get(index).cloned(),
            _ => {}
        }
    }
    Some((name(message)?, link))
}

/// IFA_LOCAL is our own address; IFA_ADDRESS is the peer's on point-to-point links, and for IPv6 the only one.
fn address(message: &AddressMessage) -> Option<(u32, IpNet)> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let any = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    });
    let address = local.or(any)?;
    if matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
        return None;
    }
    let address = IpNet::new(address, message.header.prefix_len).ok()?;
    Some((message.header.index, address))
}

/// `None`: not one of ours, or one that we cannot have made (without a gateway, of several paths).
fn route(message: &RouteMessage) -> Option<(u32, Route)> {
    let header = &message.header;
    let ours = header.protocol == RouteProtocol::from(ROUTE_PROTOCOL)
        && header.table == RouteHeader::RT_TABLE_MAIN
        && header.kind == RouteType::Unicast;
    if !ours {
        return None;
    }
    let mut to = match header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let (mut via, mut index) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(destination) => to = ip(destination)?,
            RouteAttribute::Gateway(gateway) => via = ip(gateway),
            RouteAttribute::Oif(oif) => index = Some(*oif),
            _ => {}
        }
    }
    let to = IpNet::new(to, header.destination_prefix_length).ok()?;
    Some((index?, Route { to, via: via? }))
}

pub(crate) fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}
