//! What `doctor` and the way of a packet need, and what they say. Must not: judge (that is `lb_core::doctor`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lb_core::config::{Config, VirtualServer};
use lb_core::control::Response;
use lb_core::doctor::{Facts, Hop, Wire, examine, stranger};
use lb_core::model::{Forward, MacAddress, Protocol, RealKey};
use lb_core::observed::Activity;
use lb_core::path::{self, Packet, PathReport};

use crate::engine::Engine;

/// Each address takes half a second.
const MOST_ADDRESSES: usize = 8;
/// All are asked at once.
const MOST_SERVERS: usize = 256;

/// What `doctor` asks of the wire.
#[derive(Debug, Default)]
pub struct ToAsk {
    /// The addresses of ours that somebody else may have, each with the index and the Ethernet address of the link that holds it.
    pub holders: Vec<(u32, MacAddress, IpAddr)>,
    /// Servers, and whose client they are shown.
    pub strangers: Vec<(IpAddr, Vec<RealKey>)>,
    /// Next hops of routes, each with the index and the Ethernet address of its link.
    pub hops: Vec<(u32, MacAddress, Hop)>,
}

impl Engine {
    pub fn doctor(&self, name: Option<&str>, activity: &Activity, wire: &Wire) -> Response {
        let services = match self.chosen(name) {
            Ok(services) => services,
            Err(message) => return Response::Error { message },
        };
        let nothing = Config::empty();
        let is_down = |service: &&&VirtualServer| {
            let mut servers = service.of_file().peekable();
            servers.peek().is_some() && !servers.any(|real| self.checks.is_up(&service.server_key(real)))
        };
        let down = services
            .iter()
            .filter(is_down)
            .map(|service| service.name.clone());
        let facts = Facts {
            config: self.config.as_ref().unwrap_or(&nothing),
            observed: &self.observed,
            activity,
            wire,
            down: &down.collect(),
        };
        Response::Doctor(examine(&facts, services.into_iter()))
    }

    /// The way of a packet through the machine as it is now.
    pub fn path(&self, packet: Packet, activity: &Activity) -> PathReport {
        let nothing = Config::empty();
        let facts = path::Facts {
            config: self.config.as_ref().unwrap_or(&nothing),
            observed: &self.observed,
            activity,
        };
        path::follow(&facts, packet, |service| self.service_report(service, activity))
    }

    /// What has to be asked of the wire for this service, or for all.
    pub fn to_ask(&self, name: Option<&str>) -> ToAsk {
        let services = self.chosen(name).unwrap_or_default();
        let addresses: BTreeSet<IpAddr> = services
            .iter()
            .flat_map(|service| &service.listen)
            .map(|range| range.address)
            .collect();
        let held = |address: IpAddr| {
            let link = self.observed.links.get(self.network.holder(address)?)?;
            Some((link.index, link.mac.filter(|_| link.carrier)?, address))
        };
        let strangers = [true, false].into_iter().filter_map(|is_ipv4| {
            let servers = self.servers_to_ask(&services, is_ipv4);
            let stranger = stranger(self.config.as_ref()?, is_ipv4)?;
            (!servers.is_empty()).then_some((stranger, servers))
        });
        ToAsk {
            holders: addresses
                .into_iter()
                .filter_map(held)
                .take(MOST_ADDRESSES)
                .collect(),
            strangers: strangers.collect(),
            hops: self.hops_to_ask(),
        }
    }

    /// Of the routes that are in force. A link without a carrier is told by `status`.
    fn hops_to_ask(&self) -> Vec<(u32, MacAddress, Hop)> {
        let mut hops = Vec::new();
        for (name, wanted) in &self.network.links {
            let link = self.observed.links.get(name).filter(|link| link.carrier);
            let Some((link, mac)) = link.and_then(|link| Some((link, link.mac?))) else {
                continue;
            };
            let mut behind: BTreeMap<IpAddr, Vec<String>> = BTreeMap::new();
            for route in wanted.routes.intersection(&link.routes) {
                behind.entry(route.via).or_default().push(route.to.to_string());
            }
            hops.extend(behind.into_iter().map(|(address, to)| {
                let (index, link) = (link.index, name.to_string());
                (index, mac, Hop { address, link, to })
            }));
        }
        hops.truncate(MOST_ADDRESSES);
        hops
    }

    /// TCP servers behind NAT that pass their checks: what a dead one does tells nothing.
    fn servers_to_ask(&self, services: &[&VirtualServer], is_ipv4: bool) -> Vec<RealKey> {
        let mut servers = BTreeSet::new();
        for service in services {
            let is_tcp = service.listen.iter().all(|range| range.protocol == Protocol::Tcp);
            let of_file = service.of_file().filter(|_| is_tcp);
            let wanted = of_file.filter(|real| {
                real.forward == Forward::Nat
                    && real.address.port != 0
                    && real.address.address.is_ipv4() == is_ipv4
                    && self.checks.is_up(&service.server_key(real))
            });
            servers.extend(wanted.map(|real| real.address));
        }
        servers.into_iter().take(MOST_SERVERS).collect()
    }
}
