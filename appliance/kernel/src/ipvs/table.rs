//! Between IPVS's entries and the appliance's own types: what was dumped becomes what was observed, a step becomes a
//! request. Must not: talk to the kernel, or lose a service because it cannot be ours.

use std::collections::{BTreeMap, BTreeSet};

use lb_core::model::{
    Forward, Persistence, Protocol, RealKey, Scheduler, ServerKey, VirtualKey, VirtualSettings, Weight,
};
use lb_core::observed::{ForeignService, IpvsTimeouts, ObservedReal, ObservedVirtual, ServerActivity};
use lb_core::plan::Step;
use lb_wire::ipvs::{
    Dest, DestEntry, DestKey, Family, ForwardMethod, IpvsMessage, SVC_F_HASHED, SVC_F_ONEPACKET,
    SVC_F_PERSISTENT, Service, ServiceEntry, ServiceKey, Timeouts,
};

use super::Entry;

/// The IPVS part of what is observed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IpvsTable {
    pub virtual_servers: BTreeMap<VirtualKey, ObservedVirtual>,
    /// `None` only where there is no IPVS to ask.
    pub timeouts: Option<IpvsTimeouts>,
    /// Services that no configuration of ours can have made.
    pub foreign_services: BTreeSet<ForeignService>,
}

pub(super) fn observed(entries: &[Entry]) -> IpvsTable {
    let mut table = IpvsTable::default();
    for (entry, servers) in entries {
        match identity(&entry.service.key) {
            Ok(key) => {
                let servers = servers.iter().map(observed_real).collect();
                let seen = observed_virtual(entry, servers);
                table.virtual_servers.insert(key, seen);
            }
            Err(foreign) => {
                table.foreign_services.insert(foreign);
            }
        }
    }
    table
}

pub(super) fn activity(entries: &[Entry]) -> BTreeMap<ServerKey, ServerActivity> {
    let mut activity = BTreeMap::new();
    for (entry, servers) in entries {
        let Ok(service) = identity(&entry.service.key) else {
            continue;
        };
        for server in servers {
            let key = ServerKey {
                service,
                server: real_key(server.dest.key),
            };
            let counted = ServerActivity {
                active_connections: server.active_connections,
                inactive_connections: server.inactive_connections,
                connections: server.stats.connections,
            };
            activity.insert(key, counted);
        }
    }
    activity
}

pub(super) fn is_ours(key: &ServiceKey) -> bool {
    identity(key).is_ok()
}

/// The service as one that a configuration can name, or else as a foreign one.
fn identity(key: &ServiceKey) -> Result<VirtualKey, ForeignService> {
    match *key {
        ServiceKey::Fwmark { family, mark } => Err(ForeignService::Fwmark {
            mark,
            ipv6: family == Family::V6,
        }),
        ServiceKey::Address {
            protocol,
            address,
            port,
        } => Protocol::ALL
            .into_iter()
            .find(|known| u16::from(known.number()) == protocol)
            .map(|protocol| VirtualKey {
                address,
                port,
                protocol,
            })
            .ok_or(ForeignService::Address {
                address,
                port,
                protocol,
            }),
    }
}

fn observed_virtual(entry: &ServiceEntry, servers: BTreeMap<RealKey, ObservedReal>) -> ObservedVirtual {
    ObservedVirtual {
        settings: settings(&entry.service),
        servers,
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

/// A weight above our limit reads as the limit with thresholds, so that it differs from all that we would set.
fn observed_real(entry: &DestEntry) -> (RealKey, ObservedReal) {
    let dest = &entry.dest;
    let weight = Weight::new(dest.weight);
    let seen = ObservedReal {
        weight: weight.or(Weight::new(Weight::MAX)).unwrap_or(Weight::ZERO),
        forward: Forward::ALL
            .into_iter()
            .find(|forward| method(*forward) == dest.forward),
        thresholds: weight.is_none() || dest.upper_threshold != 0 || dest.lower_threshold != 0,
    };
    (real_key(dest.key), seen)
}

fn real_key(key: DestKey) -> RealKey {
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
            weight,
            forward,
        } => IpvsMessage::new_dest(&service_key(service), &dest(server, *weight, *forward)),
        Step::EditReal {
            service,
            server,
            weight,
            forward,
        } => IpvsMessage::set_dest(&service_key(service), &dest(server, *weight, *forward)),
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

fn service_key(service: &VirtualKey) -> ServiceKey {
    ServiceKey::Address {
        protocol: service.protocol.number().into(),
        address: service.address,
        port: service.port,
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

fn dest(server: &RealKey, weight: Weight, forward: Forward) -> Dest {
    Dest {
        key: dest_key(server),
        forward: method(forward),
        weight: weight.value(),
        upper_threshold: 0,
        lower_threshold: 0,
    }
}

fn method(forward: Forward) -> ForwardMethod {
    match forward {
        Forward::Nat => ForwardMethod::Masquerade,
        Forward::Direct => ForwardMethod::DirectRoute,
        Forward::Tunnel => ForwardMethod::Tunnel,
    }
}

fn dest_key(server: &RealKey) -> DestKey {
    DestKey {
        address: server.address,
        port: server.port,
    }
}

#[cfg(test)]
mod tests {
    use lb_wire::ipvs::Stats;

    use super::*;

    const DCCP: u16 = 33;

    fn web() -> VirtualKey {
        "192.168.0.1:30080/tcp".parse().unwrap()
    }

    fn server(last: u8) -> RealKey {
        RealKey {
            address: [172, 16, 0, last].into(),
            port: 30080,
        }
    }

    /// As the kernel dumps a service that we added.
    fn listed(key: ServiceKey, scheduler: &str) -> ServiceEntry {
        let service = Service {
            flags: SVC_F_HASHED,
            ..Service::plain(key, scheduler)
        };
        ServiceEntry {
            service,
            stats: Stats::default(),
        }
    }

    fn listed_server(last: u8, weight: u32) -> DestEntry {
        DestEntry {
            dest: Dest {
                weight,
                ..dest(&server(last), Weight::ONE, Forward::Nat)
            },
            active_connections: 2,
            inactive_connections: 5,
            persistent_connections: 0,
            stats: Stats {
                connections: 70_000_000_000,
                ..Stats::default()
            },
        }
    }

    fn only(entry: ServiceEntry, server: DestEntry) -> ObservedVirtual {
        let table = observed(&[(entry, vec![server])]);
        table.virtual_servers.into_values().next().unwrap()
    }

    #[test]
    fn what_we_add_is_what_we_observe() {
        let seen = only(listed(service_key(&web()), "wrr"), listed_server(11, 3));
        let real = ObservedReal {
            weight: Weight::new(3).unwrap(),
            forward: Some(Forward::Nat),
            thresholds: false,
        };
        let expected = ObservedVirtual {
            settings: Some(Scheduler::Wrr.into()),
            servers: [(server(11), real)].into(),
        };
        assert_eq!(seen, expected);
    }

    #[test]
    fn each_foreign_setting_of_a_service_shows() {
        let key = service_key(&web());
        let changes: [fn(&mut Service); 4] = [
            |s| s.flags |= 0x100,
            |s| s.netmask = [255, 255, 255, 0],
            |s| s.timeout_s = 300,
            |s| s.pe_name = Some("sip".to_owned()),
        ];
        for change in changes {
            let mut entry = listed(key, "rr");
            change(&mut entry.service);
            assert_eq!(only(entry, listed_server(11, 1)).settings, None);
        }
        let unknown = only(listed(key, "none"), listed_server(11, 1));
        assert_eq!(unknown.settings, None);
    }

    #[test]
    fn settings_read_back_as_they_were_asked_for() {
        for service_name in ["192.168.0.1:53/udp", "[2001:db8::1]:53/udp"] {
            let key: VirtualKey = service_name.parse().unwrap();
            for (prefix, one_packet) in [(1, false), (24, true), (32, false)] {
                let wanted = VirtualSettings {
                    scheduler: Scheduler::Sh,
                    persistence: Some(Persistence {
                        timeout_s: 300,
                        prefix,
                    }),
                    one_packet,
                };
                let mut seen = service(service_key(&key), &wanted);
                assert_eq!(settings(&seen), None, "the kernel sets the flag of its table");
                seen.flags |= SVC_F_HASHED;
                assert_eq!(settings(&seen), Some(wanted));
            }
        }
        let web = service_key(&web());
        let persistent = |netmask| Service {
            flags: SVC_F_HASHED | SVC_F_PERSISTENT,
            timeout_s: 9,
            netmask,
            ..Service::plain(web, "rr")
        };
        let prefix = |netmask| {
            settings(&persistent(netmask))
                .and_then(|s| s.persistence)
                .map(|p| p.prefix)
        };
        assert_eq!(prefix([255, 255, 254, 0]), Some(23));
        assert_eq!(prefix([255, 0, 255, 0]), None);
    }

    #[test]
    fn each_foreign_setting_of_a_server_shows() {
        let key = service_key(&web());
        let see = |change: fn(&mut Dest)| {
            let mut entry = listed_server(11, 1);
            change(&mut entry.dest);
            only(listed(key, "rr"), entry).servers[&server(11)]
        };
        assert!(see(|d| d.upper_threshold = 10).thresholds);
        assert!(see(|d| d.lower_threshold = 10).thresholds);
        assert_eq!(
            see(|d| d.forward = ForwardMethod::DirectRoute).forward,
            Some(Forward::Direct)
        );
        assert_eq!(see(|d| d.forward = ForwardMethod::LocalNode).forward, None);
        let heavy = see(|d| d.weight = Weight::MAX + 1);
        assert!(heavy.thresholds);
        assert_eq!(heavy.weight.value(), Weight::MAX);
        assert!(!see(|d| d.weight = Weight::MAX).thresholds);
    }

    #[test]
    fn services_outside_our_model_are_foreign_and_can_be_deleted() {
        let address = "192.0.2.1".parse().unwrap();
        let keys = [
            ServiceKey::Fwmark {
                family: Family::V4,
                mark: 7,
            },
            ServiceKey::Fwmark {
                family: Family::V6,
                mark: 7,
            },
            ServiceKey::Address {
                protocol: DCCP,
                address,
                port: 53,
            },
            ServiceKey::Address {
                protocol: 300,
                address,
                port: 0,
            },
        ];
        let entries: Vec<Entry> = keys.map(|key| (listed(key, "rr"), Vec::new())).into();
        let table = observed(&entries);
        assert!(table.virtual_servers.is_empty());
        assert!(keys.iter().all(|key| !is_ours(key)));
        let deleted: BTreeSet<ServiceKey> = table.foreign_services.iter().map(foreign_key).collect();
        assert_eq!(deleted, keys.into());
        assert!(activity(&entries).is_empty());
    }

    #[test]
    fn activity_belongs_to_a_server_of_a_service() {
        let entries = [(listed(service_key(&web()), "rr"), vec![listed_server(11, 1)])];
        let key = ServerKey {
            service: web(),
            server: server(11),
        };
        let counted = ServerActivity {
            active_connections: 2,
            inactive_connections: 5,
            connections: 70_000_000_000,
        };
        assert_eq!(activity(&entries), [(key, counted)].into());
    }

    #[test]
    fn steps_of_ipvs_are_requests_and_others_are_not() {
        let (service, server, settings) = (web(), server(11), VirtualSettings::from(Scheduler::Wlc));
        let (weight, forward) = (Weight::ZERO, Forward::Nat);
        let wire = Service::plain(service_key(&service), "wlc");
        let key = wire.key;
        let to = dest(&server, weight, forward);
        let cases = [
            (
                Step::AddVirtual { service, settings },
                IpvsMessage::new_service(&wire),
            ),
            (
                Step::EditVirtual { service, settings },
                IpvsMessage::set_service(&wire),
            ),
            (Step::DeleteVirtual(service), IpvsMessage::del_service(&key)),
            (
                Step::AddReal {
                    service,
                    server,
                    weight,
                    forward,
                },
                IpvsMessage::new_dest(&key, &to),
            ),
            (
                Step::EditReal {
                    service,
                    server,
                    weight,
                    forward,
                },
                IpvsMessage::set_dest(&key, &to),
            ),
            (
                Step::DeleteReal { service, server },
                IpvsMessage::del_dest(&key, &to.key),
            ),
        ];
        for (step, expected) in cases {
            assert_eq!(request(&step), Some(expected), "{step}");
        }
        assert_eq!(to.weight, 0);
        assert_eq!(request(&Step::DeleteRuleset), None);
    }
}
