//! Between IPVS's entries and the appliance's own types: what was dumped becomes what was observed, a step becomes a
//! request. Must not: talk to the kernel, or lose a service because it cannot be ours.

use std::collections::{BTreeMap, BTreeSet};

use lb_core::desired::DesiredReal;
use lb_core::flat::FlatMap;
use lb_core::model::{
    Endpoint, Forward, Gue, Limit, MarkKey, Persistence, Protocol, RealKey, Scheduler, Tunnel, VirtualKey,
    VirtualSettings, Weight,
};
use lb_core::observed::{ForeignService, IpvsTimeouts, Observed, ObservedReal, ObservedVirtual};
use lb_core::plan::Step;
use lb_wire::ipvs::{
    Dest, DestKey, Family, ForwardMethod, IpvsMessage, SVC_F_HASHED, SVC_F_ONEPACKET, SVC_F_PERSISTENT,
    Service, ServiceKey, TUNNEL_F_CSUM, TUNNEL_GUE, TUNNEL_IPIP, Timeouts, TunnelSettings,
};

#[cfg(test)]
mod tests;

/// The IPVS part of what is observed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IpvsTable {
    pub virtual_servers: BTreeMap<VirtualKey, ObservedVirtual>,
    /// `None` only where there is no IPVS to ask.
    pub timeouts: Option<IpvsTimeouts>,
    /// Services that no configuration of ours can have made.
    pub foreign_services: BTreeSet<ForeignService>,
}

impl IpvsTable {
    /// Whether this is what is known.
    pub(crate) fn is_of(&self, known: &Observed) -> bool {
        self.virtual_servers == known.virtual_servers
            && self.timeouts == known.ipvs_timeouts
            && self.foreign_services == known.foreign_services
    }
}

/// The table without the servers.
pub(super) fn observed(services: &[Service]) -> IpvsTable {
    let mut table = IpvsTable::default();
    for service in services {
        match identity(&service.key) {
            Ok(key) => {
                let seen = ObservedVirtual {
                    settings: settings(service),
                    servers: FlatMap::new(),
                };
                table.virtual_servers.insert(key, seen);
            }
            Err(foreign) => {
                table.foreign_services.insert(foreign);
            }
        }
    }
    table
}

/// Whether the services are those that are known, each of them once. Their servers are not looked at.
pub(super) fn services_are(services: &[Service], known: &Observed) -> bool {
    let (mut ours, mut foreign) = (Vec::with_capacity(services.len()), Vec::new());
    for service in services {
        match identity(&service.key) {
            Ok(key) => ours.push((key, service)),
            Err(key) => foreign.push(key),
        }
    }
    ours.sort_unstable_by_key(|(key, _)| *key);
    foreign.sort_unstable();
    let settings = ours.iter().map(|(key, service)| (key, settings(service)));
    let known_settings = known.virtual_servers.iter();
    settings.eq(known_settings.map(|(key, seen)| (key, seen.settings)))
        && foreign.iter().eq(&known.foreign_services)
}

/// The service as one that a configuration can name, or else as a foreign one.
pub(super) fn identity(key: &ServiceKey) -> Result<VirtualKey, ForeignService> {
    match *key {
        ServiceKey::Fwmark { family, mark } => {
            let ipv6 = family == Family::V6;
            let key = MarkKey { mark, ipv6 };
            match key.is_ours() {
                true => Ok(key.into()),
                false => Err(ForeignService::Fwmark { mark, ipv6 }),
            }
        }
        ServiceKey::Address {
            protocol,
            address,
            port,
        } => Protocol::ALL
            .into_iter()
            .find(|known| u16::from(known.number()) == protocol)
            .map(|protocol| {
                VirtualKey::Endpoint(Endpoint {
                    address,
                    port,
                    protocol,
                })
            })
            .ok_or(ForeignService::Address {
                address,
                port,
                protocol,
            }),
    }
}

/// `None` when our request for the same settings would differ from what is there.
fn settings(seen: &Service) -> Option<VirtualSettings> {
    let persistence = Persistence {
        timeout_s: seen.timeout_s,
        prefix: prefix(seen)?,
    };
    let settings = VirtualSettings {
        scheduler: Scheduler::by_name(&seen.scheduler)?,
        persistence: (seen.flags & SVC_F_PERSISTENT != 0).then_some(persistence),
        one_packet: seen.flags & SVC_F_ONEPACKET != 0,
    };
    let ours = service(seen.key, &settings);
    let same = Service {
        flags: ours.flags | SVC_F_HASHED,
        ..ours
    };
    (*seen == same).then_some(settings)
}

/// Of persistence's netmask; `None` for one with holes.
fn prefix(service: &Service) -> Option<u8> {
    match service.key.family() {
        Family::V4 => {
            let mask = u32::from_be_bytes(service.netmask);
            let ones = mask.leading_ones();
            (mask.count_ones() == ones).then(|| u8::try_from(ones).ok())?
        }
        Family::V6 => u8::try_from(u32::from_ne_bytes(service.netmask)).ok(),
    }
}

/// A weight above our limit reads as the limit, and as one that nothing fits.
pub(super) fn observed_real(dest: &Dest) -> (RealKey, ObservedReal) {
    let weight = Weight::new(dest.weight);
    let seen = ObservedReal {
        weight: weight.or(Weight::new(Weight::MAX)).unwrap_or(Weight::ZERO),
        forward: forward(dest),
        limit: weight.map(|_| Limit {
            most: dest.upper_threshold,
            resume: dest.lower_threshold,
        }),
    };
    (real_key(dest.key), seen)
}

pub(super) fn real_key(key: DestKey) -> RealKey {
    RealKey {
        address: key.address,
        port: key.port,
    }
}

/// `None` for a step that does not concern IPVS.
pub(super) fn request(step: &Step) -> Option<IpvsMessage> {
    Some(match step {
        Step::SetIpvsTimeouts(timeouts) => IpvsMessage::set_config(Timeouts {
            tcp_s: timeouts.tcp_s,
            tcp_fin_s: timeouts.tcp_fin_s,
            udp_s: timeouts.udp_s,
        }),
        Step::AddVirtual {
            service: key,
            settings,
        } => IpvsMessage::new_service(&service(service_key(key), settings)),
        Step::EditVirtual {
            service: key,
            settings,
        } => IpvsMessage::set_service(&service(service_key(key), settings)),
        Step::DeleteVirtual(service) => IpvsMessage::del_service(&service_key(service)),
        Step::AddReal {
            service,
            server,
            real,
        } => IpvsMessage::new_dest(&service_key(service), &dest(server, real)),
        Step::EditReal {
            service,
            server,
            real,
        } => IpvsMessage::set_dest(&service_key(service), &dest(server, real)),
        Step::DeleteReal { service, server } => {
            IpvsMessage::del_dest(&service_key(service), &dest_key(server))
        }
        Step::DeleteForeign(foreign) => IpvsMessage::del_service(&foreign_key(foreign)),
        _ => return None,
    })
}

fn service(key: ServiceKey, settings: &VirtualSettings) -> Service {
    let mut service = Service::plain(key, settings.scheduler.as_str());
    if settings.one_packet {
        service.flags |= SVC_F_ONEPACKET;
    }
    if let Some(Persistence { timeout_s, prefix }) = settings.persistence {
        service.flags |= SVC_F_PERSISTENT;
        service.timeout_s = timeout_s;
        service.netmask = match key.family() {
            Family::V4 => u32::MAX
                .checked_shl(32 - u32::from(prefix))
                .unwrap_or(0)
                .to_be_bytes(),
            Family::V6 => u32::from(prefix).to_ne_bytes(),
        };
    }
    service
}

pub(super) fn service_key(service: &VirtualKey) -> ServiceKey {
    match *service {
        VirtualKey::Endpoint(Endpoint {
            address,
            port,
            protocol,
        }) => ServiceKey::Address {
            protocol: protocol.number().into(),
            address,
            port,
        },
        VirtualKey::Mark(key) => foreign_key(&ForeignService::Fwmark {
            mark: key.mark,
            ipv6: key.ipv6,
        }),
    }
}

fn foreign_key(foreign: &ForeignService) -> ServiceKey {
    match *foreign {
        ForeignService::Fwmark { mark, ipv6 } => ServiceKey::Fwmark {
            family: if ipv6 { Family::V6 } else { Family::V4 },
            mark,
        },
        ForeignService::Address {
            address,
            port,
            protocol,
        } => ServiceKey::Address {
            protocol,
            address,
            port,
        },
    }
}

fn dest(server: &RealKey, real: &DesiredReal) -> Dest {
    let (forward, tunnel) = method(real.forward);
    Dest {
        key: dest_key(server),
        forward,
        tunnel,
        weight: real.weight.value(),
        upper_threshold: real.limit.most,
        lower_threshold: real.limit.resume,
    }
}

/// The method, and how packets are wrapped.
fn method(forward: Forward) -> (ForwardMethod, TunnelSettings) {
    match forward {
        Forward::Nat => (ForwardMethod::Masquerade, TunnelSettings::default()),
        Forward::Direct => (ForwardMethod::DirectRoute, TunnelSettings::default()),
        Forward::Tunnel(Tunnel::Ipip) => {
            let kind = TUNNEL_IPIP;
            let settings = TunnelSettings {
                kind,
                ..TunnelSettings::default()
            };
            (ForwardMethod::Tunnel, settings)
        }
        Forward::Tunnel(Tunnel::Gue(Gue { port, checksum })) => {
            // Remote checksum offload (IP_VS_TUNNEL_ENCAP_FLAG_REMCSUM) only spares a sender the checksum of packets that it
            // makes itself; those that it forwards have theirs already.
            let flags = if checksum { TUNNEL_F_CSUM } else { 0 };
            let kind = TUNNEL_GUE;
            (ForwardMethod::Tunnel, TunnelSettings { kind, port, flags })
        }
    }
}

/// `None` for a way that we never take.
fn forward(dest: &Dest) -> Option<Forward> {
    let TunnelSettings { kind, port, flags } = dest.tunnel;
    let checksum = flags == TUNNEL_F_CSUM;
    let forward = match (dest.forward, kind) {
        (ForwardMethod::Masquerade, _) => Forward::Nat,
        (ForwardMethod::DirectRoute, _) => Forward::Direct,
        (ForwardMethod::Tunnel, TUNNEL_IPIP) => Forward::Tunnel(Tunnel::Ipip),
        (ForwardMethod::Tunnel, TUNNEL_GUE) => Forward::Tunnel(Tunnel::Gue(Gue { port, checksum })),
        _ => return None,
    };
    (method(forward) == (dest.forward, dest.tunnel)).then_some(forward)
}

fn dest_key(server: &RealKey) -> DestKey {
    DestKey {
        address: server.address,
        port: server.port,
    }
}
