//! Names of services: what they serve, and where that is not enough, how and where.
//! Must not: leave two services with one name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::draft::Service;

/// The longest name that a service may have.
const LONGEST: usize = 63;

/// What is usually behind a port: IANA's registry, and the defaults of what is often balanced.
const PORTS: [(u16, &str); 42] = [
    (21, "ftp"),
    (22, "ssh"),
    (25, "smtp"),
    (53, "dns"),
    (69, "tftp"),
    (80, "http"),
    (110, "pop3"),
    (123, "ntp"),
    (143, "imap"),
    (389, "ldap"),
    (443, "https"),
    (465, "smtps"),
    (514, "syslog"),
    (587, "submission"),
    (636, "ldaps"),
    (853, "dns-tls"),
    (993, "imaps"),
    (995, "pop3s"),
    (1433, "mssql"),
    (1521, "oracle"),
    (1812, "radius"),
    (1813, "radius-acct"),
    (1883, "mqtt"),
    (2049, "nfs"),
    (2379, "etcd"),
    (3128, "squid"),
    (3306, "mysql"),
    (3389, "rdp"),
    (5000, "registry"),
    (5060, "sip"),
    (5061, "sips"),
    (5432, "postgresql"),
    (5671, "amqps"),
    (5672, "amqp"),
    (6379, "redis"),
    (6443, "kube-apiserver"),
    (8883, "mqtts"),
    (9092, "kafka"),
    (9200, "elasticsearch"),
    (9345, "rke2-supervisor"),
    (22623, "machine-config"),
    (27017, "mongodb"),
];

/// By port: `dns`, `dns-udp`, `dns-203.0.113.1`, `dns-udp-203.0.113.1`.
pub(super) fn by_port(address: IpAddr, port: u16, last: u16, protocol: &str) -> Vec<String> {
    let known = PORTS.iter().find(|(known, _)| *known == port && port == last);
    let base = match known {
        Some((_, word)) => (*word).to_owned(),
        None if port == last => format!("{protocol}-{port}"),
        None => format!("{protocol}-{port}-{last}"),
    };
    match known {
        Some(_) => vec![
            base.clone(),
            format!("{base}-{protocol}"),
            format!("{base}-{address}"),
            format!("{base}-{protocol}-{address}"),
        ],
        None => vec![base.clone(), format!("{base}-{address}")],
    }
}

/// A name of the source as lb.toml can hold it; `None` if nothing is left of it.
pub(super) fn fitting(name: &str) -> Option<String> {
    let kept = |c: char| {
        if c.is_ascii_alphanumeric() || "._-:/".contains(c) {
            c
        } else {
            '-'
        }
    };
    let plain: String = name.chars().map(kept).collect();
    let begun = plain.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let short: String = begun.chars().take(LONGEST).collect();
    (!short.is_empty()).then_some(short)
}

/// The name of each service: the first of its candidates that nobody else could have, else with a number behind it.
pub(super) fn assign(services: &[Service]) -> Vec<String> {
    let mut wanted: BTreeMap<&str, usize> = BTreeMap::new();
    for service in services {
        let own: BTreeSet<&str> = service.names.iter().map(String::as_str).collect();
        for name in own {
            *wanted.entry(name).or_default() += 1;
        }
    }
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let mut assigned = Vec::with_capacity(services.len());
    for service in services {
        let alone = service
            .names
            .iter()
            .find(|name| wanted.get(name.as_str()) == Some(&1));
        let best = alone.or(service.names.last()).map_or("service", String::as_str);
        let best = fitting(best).unwrap_or_else(|| "service".to_owned());
        let mut name = best.clone();
        while !taken.insert(name.clone()) {
            let number = numbers.entry(best.clone()).or_insert(1);
            *number += 1;
            let ending = format!("-{number}");
            let kept: String = best.chars().take(LONGEST - ending.len()).collect();
            name = kept + &ending;
        }
        assigned.push(name);
    }
    assigned
}
