//! Links, addresses and routes over rtnetlink: read them all, carry out one change. Blocking, with a runtime of its own.
//! Must not: touch routes without our protocol number, or IPv6's link-local addresses.

mod connection;
mod detail;
mod made;
mod monitor;
mod read;
mod view;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use lb_core::config::Route;
use lb_core::link_kind::{LINK_GROUP, LinkKind};
use lb_core::model::{IfName, MacAddress};
use lb_core::observed::{ObservedLink, ROUTE_PROTOCOL};
use lb_core::ports::KernelFault;
use lb_core::rehearsal::StandIn;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, CacheInfo};
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::packet_route::route::{RouteMessage, RouteProtocol};
use rtnetlink::{AddressMessageBuilder, LinkMessageBuilder, LinkUnspec, RouteMessageBuilder};

use crate::fault;
use connection::Connection;
pub use monitor::LinkMonitor;
pub(crate) use read::ip;
pub use view::NetworkView;

/// A handle on the links of the network namespace in which it was opened.
#[derive(Debug)]
pub(crate) struct Links(Connection);

impl Links {
    pub(crate) fn open() -> Result<Links, KernelFault> {
        Connection::open().map(Links)
    }

    pub(crate) fn observe(&mut self) -> Result<BTreeMap<IfName, ObservedLink>, KernelFault> {
        self.0.run_again(read::links)
    }

    /// Makes a link with our mark, switched off.
    pub(crate) fn create(&mut self, link: &IfName, kind: &LinkKind) -> Result<(), KernelFault> {
        let message = made::message(link, kind, false, |name| self.index(name))?;
        self.0
            .run(|handle| async move { handle.link().add(message).execute().await })
    }

    /// Makes a dummy with the name, the address and the MTU of a card, switched off.
    pub(crate) fn stand_in(&mut self, card: &StandIn) -> Result<(), KernelFault> {
        let message = made::stand_in(card);
        self.0
            .run(|handle| async move { handle.link().add(message).execute().await })
    }

    pub(crate) fn change(&mut self, link: &IfName, kind: &LinkKind) -> Result<(), KernelFault> {
        let message = made::message(link, kind, true, |name| self.index(name))?;
        self.0
            .run(|handle| async move { handle.link().change(message).execute().await })
    }

    pub(crate) fn claim(&mut self, link: &IfName) -> Result<(), KernelFault> {
        self.set(link, |message| message.link_group(LINK_GROUP))
    }

    pub(crate) fn delete(&mut self, link: &IfName) -> Result<(), KernelFault> {
        let index = self.index(link)?;
        self.0
            .run(|handle| async move { handle.link().del(index).execute().await })
    }

    pub(crate) fn set_master(&mut self, link: &IfName, master: &IfName) -> Result<(), KernelFault> {
        let master = self.index(master)?;
        self.set(link, |message| message.controller(master))
    }

    pub(crate) fn release(&mut self, link: &IfName) -> Result<(), KernelFault> {
        self.set(link, LinkMessageBuilder::nocontroller)
    }

    pub(crate) fn set_up(&mut self, link: &IfName) -> Result<(), KernelFault> {
        self.set(link, LinkMessageBuilder::up)
    }

    pub(crate) fn set_down(&mut self, link: &IfName) -> Result<(), KernelFault> {
        self.set(link, LinkMessageBuilder::down)
    }

    pub(crate) fn set_mtu(&mut self, link: &IfName, mtu: u32) -> Result<(), KernelFault> {
        self.set(link, |message| message.mtu(mtu))
    }

    fn set(
        &mut self,
        link: &IfName,
        change: impl FnOnce(LinkMessageBuilder<LinkUnspec>) -> LinkMessageBuilder<LinkUnspec>,
    ) -> Result<(), KernelFault> {
        let message: LinkMessage = change(LinkUnspec::new_with_index(self.index(link)?)).build();
        self.0
            .run(|handle| async move { handle.link().set(message).execute().await })
    }

    pub(crate) fn add_address(&mut self, link: &IfName, address: IpNet) -> Result<(), KernelFault> {
        let (index, mut message) = (self.index(link)?, address_message(address));
        if matches!(address, IpNet::V6(_)) {
            // Usable at once: the address is ours by configuration, and a check that waits for it would fail.
            message
                .attributes
                .push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        if matches!(address, IpNet::V6(v6) if v6.prefix_len() == 128) {
            // Deprecated (RFC 4862 section 5.5.4): an address for services, which servers may hold as well. What the box begins
            // itself comes from another one if there is one, as it does with IPv4.
            let mut lifetimes = CacheInfo::default();
            lifetimes.ifa_preferred = 0;
            lifetimes.ifa_valid = u32::MAX;
            message.attributes.push(AddressAttribute::CacheInfo(lifetimes));
        }
        self.0.run(|handle| async move {
            let mut request = handle.address().add(index, address.addr(), address.prefix_len());
            message.header.index = index;
            *request.message_mut() = message;
            request.execute().await
        })
    }

    pub(crate) fn delete_address(&mut self, link: &IfName, address: IpNet) -> Result<(), KernelFault> {
        let mut message = address_message(address);
        message.header.index = self.index(link)?;
        self.0
            .run(|handle| async move { handle.address().del(message).execute().await })
    }

    pub(crate) fn add_route(&mut self, link: &IfName, route: Route) -> Result<(), KernelFault> {
        let message = route_message(self.index(link)?, route)?;
        self.0
            .run(|handle| async move { handle.route().add(message).execute().await })
    }

    pub(crate) fn delete_route(&mut self, link: &IfName, route: Route) -> Result<(), KernelFault> {
        let message = route_message(self.index(link)?, route)?;
        self.0
            .run(|handle| async move { handle.route().del(message).execute().await })
    }

    /// A link's index and Ethernet address.
    pub(crate) fn identity(&mut self, link: &IfName) -> Result<(u32, Option<MacAddress>), KernelFault> {
        let name = link.to_string();
        let message = self.0.run(|handle| read::link_named(handle, name))?;
        Ok((message.header.index, read::mac(&message)))
    }

    fn index(&mut self, link: &IfName) -> Result<u32, KernelFault> {
        self.identity(link).map(|(index, _)| index)
    }
}

/// For IPv4 with the network's broadcast address, where the prefix leaves room for one.
fn address_message(address: IpNet) -> AddressMessage {
    match address {
        IpNet::V4(net) => AddressMessageBuilder::<Ipv4Addr>::new()
            .address(net.addr(), net.prefix_len())
            .build(),
        IpNet::V6(net) => AddressMessageBuilder::<Ipv6Addr>::new()
            .address(net.addr(), net.prefix_len())
            .build(),
    }
}

fn route_message(index: u32, route: Route) -> Result<RouteMessage, KernelFault> {
    let message = RouteMessageBuilder::<std::net::IpAddr>::new()
        .destination_prefix(route.to.network(), route.to.prefix_len())
        .and_then(|message| message.gateway(route.via))
        .map_err(|e| fault::plain(e.to_string()))?;
    Ok(message
        .output_interface(index)
        .protocol(RouteProtocol::from(ROUTE_PROTOCOL))
        .build())
}
