//! What services and servers have counted, out of a dump. Must not: talk to the kernel.

use std::collections::BTreeMap;

use lb_core::model::{RealKey, ServerKey};
use lb_core::observed::{ServerActivity, ServiceActivity};
use lb_core::traffic::Traffic;
use lb_wire::ipvs::{DestEntry, Stats};

use super::table::{identity, real_key};
use super::{Entry, ServerActivities, ServiceActivities};

/// What services have counted; their connections are counted with their servers.
pub(super) fn services(entries: &[Entry]) -> ServiceActivities {
    let counted = |(entry, _): &Entry| {
        let activity = ServiceActivity {
            traffic: traffic(&entry.stats),
            ..ServiceActivity::default()
        };
        Some((identity(&entry.service.key).ok()?, activity))
    };
    entries.iter().filter_map(counted).collect()
}

pub(super) fn servers(entries: &[Entry]) -> ServerActivities {
    let mut activity = BTreeMap::new();
    for (entry, servers) in entries {
        let Ok(service) = identity(&entry.service.key) else {
            continue;
        };
        for server in servers {
            let (server, counted) = self::server(server);
            activity.insert(ServerKey { service, server }, counted);
        }
    }
    activity
}

pub(super) fn server(entry: &DestEntry) -> (RealKey, ServerActivity) {
    let counted = ServerActivity {
        active_connections: entry.active_connections,
        inactive_connections: entry.inactive_connections,
        traffic: traffic(&entry.stats),
    };
    (real_key(entry.dest.key), counted)
}

fn traffic(stats: &Stats) -> Traffic {
    Traffic {
        connections: stats.connections,
        in_packets: stats.in_packets,
        in_bytes: stats.in_bytes,
        out_packets: stats.out_packets,
        out_bytes: stats.out_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_wire::ipvs::{Dest, DestEntry, DestKey, ForwardMethod, Service, ServiceEntry, ServiceKey};

    fn entry(key: ServiceKey) -> Entry {
        let service = ServiceEntry {
            service: Service::plain(key, "rr"),
            stats: Stats {
                in_bytes: 9,
                out_bytes: 10,
                ..Stats::default()
            },
        };
        let server = DestEntry {
            dest: Dest {
                key: DestKey {
                    address: [172, 16, 0, 11].into(),
                    port: 30080,
                },
                forward: ForwardMethod::Masquerade,
                tunnel: lb_wire::ipvs::TunnelSettings::default(),
                weight: 1,
                upper_threshold: 0,
                lower_threshold: 0,
            },
            active_connections: 2,
            inactive_connections: 5,
            persistent_connections: 0,
            stats: Stats {
                connections: 70_000_000_000,
                in_packets: 1,
                out_packets: 2,
                ..Stats::default()
            },
        };
        (service, vec![server])
    }

    #[test]
    fn what_is_ours_is_counted_under_its_key() {
        let web = "192.168.0.1:30080/tcp".parse().unwrap();
        let ours = ServiceKey::Address {
            protocol: 6,
            address: [192, 168, 0, 1].into(),
            port: 30080,
        };
        let foreign = ServiceKey::Address {
            protocol: 33,
            address: [192, 168, 0, 1].into(),
            port: 53,
        };
        let entries = [entry(ours), entry(foreign)];
        let counted = ServerActivity {
            active_connections: 2,
            inactive_connections: 5,
            traffic: Traffic {
                connections: 70_000_000_000,
                in_packets: 1,
                out_packets: 2,
                ..Traffic::default()
            },
        };
        let key = ServerKey {
            service: web,
            server: RealKey {
                address: [172, 16, 0, 11].into(),
                port: 30080,
            },
        };
        assert_eq!(servers(&entries), [(key, counted)].into());
        let whole = ServiceActivity {
            traffic: Traffic {
                in_bytes: 9,
                out_bytes: 10,
                ..Traffic::default()
            },
            ..ServiceActivity::default()
        };
        assert_eq!(services(&entries), [(web, whole)].into());
    }
}
