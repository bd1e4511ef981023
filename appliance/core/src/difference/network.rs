//! Everything but services: links, addresses, routes, the gateway, and what holds for all.
//! Must not: know which links the machine has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::{Changes, Known, mtu, seconds};
use crate::config::{Config, Interface, MssClamp, PortForward};

pub(super) fn compare(old: &Config, new: &Config, known: Known<'_>, changes: &mut Changes) {
    let host = |name: &crate::config::HostName| name.as_str().to_owned();
    changes.value("hostname", &old.hostname, &new.hostname, host, "");
    for (key, old, new) in [
        ("tcp", old.timeouts.tcp_s, new.timeouts.tcp_s),
        ("tcp_fin", old.timeouts.tcp_fin_s, new.timeouts.tcp_fin_s),
        ("udp", old.timeouts.udp_s, new.timeouts.udp_s),
    ] {
        let what = format!("timeout {key}");
        changes.value(&what, &old, &new, |value| format!("{value} s"), "");
    }
    changes.value("fail_static", &old.fail_static, &new.fail_static, seconds, "");
    if old.confirm != new.confirm {
        changes.changed("what [confirm] asserts".to_owned());
    }
    interfaces(old, new, known, changes);
    let shown = |config: &Config| -> Vec<String> {
        let entries = config.masquerades.iter();
        entries
            .map(|entry| match entry.to.is_empty() {
                true => format!("{} through {}", entry.from, entry.out),
                false => format!("{} through {} as {}", entry.from, entry.out, listed(&entry.to)),
            })
            .collect()
    };
    set(
        "masquerade",
        &shown(old),
        &shown(new),
        "new connections only",
        changes,
    );
    let shown = |config: &Config| -> Vec<String> { config.port_forwards.iter().map(forward).collect() };
    set(
        "port_forward",
        &shown(old),
        &shown(new),
        "connections that exist go on",
        changes,
    );
}

fn listed<T: Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.join(", ")
}

fn forward(entry: &PortForward) -> String {
    let to_last = entry.to_first + (entry.last - entry.first);
    let range = |address, first: u16, last: u16| {
        let socket = std::net::SocketAddr::new(address, first);
        if first == last {
            socket.to_string()
        } else {
            format!("{socket}-{last}")
        }
    };
    let from = match entry.from.is_empty() {
        true => String::new(),
        false => format!(" from {}", listed(&entry.from)),
    };
    format!(
        "{} ({}) to {}{from}",
        range(entry.address, entry.first, entry.last),
        listed(&entry.protocols),
        range(entry.to, entry.to_first, to_last)
    )
}

/// Things that are there or not.
fn set(what: &str, old: &[String], new: &[String], cost: &str, changes: &mut Changes) {
    let (before, after): (BTreeSet<_>, BTreeSet<_>) = (old.iter().collect(), new.iter().collect());
    for gone in before.difference(&after) {
        changes.removed(format!("{what} {gone}: {cost}"));
    }
    for come in after.difference(&before) {
        changes.added(format!("{what} {come}"));
    }
}

fn interfaces(old: &Config, new: &Config, known: Known<'_>, changes: &mut Changes) {
    let by_label = |config: &Config| -> BTreeMap<String, Interface> {
        let all = config.interfaces.iter();
        all.map(|interface| (interface.label.clone(), interface.clone()))
            .collect()
    };
    let (before, after) = (by_label(old), by_label(new));
    for (label, interface) in &before {
        if !after.contains_key(label) {
            let kind = interface.kind.word();
            let cost = match kind {
                _ if !(known.there)(label) => {
                    "this machine has no such link, so that nothing goes through it"
                }
                "card" => "it is switched off, and what goes through it ends",
                _ => "it is deleted, and what goes through it ends",
            };
            changes.removed(format!(
                "interface {label} ({kind}) with {}: {cost}{}",
                addresses(interface),
                behind(interface, new)
            ));
        }
    }
    for (label, interface) in &after {
        match before.get(label) {
            None => {
                let kind = interface.kind.word();
                changes.added(format!(
                    "interface {label} ({kind}) with {}",
                    addresses(interface)
                ));
            }
            Some(former) => {
                interface_changes(label, former, interface, changes);
                let before = mtu::Link::of(former, old, known.mtus.0(label));
                let after = mtu::Link::of(interface, new, known.mtus.1(label));
                changes.0.extend(mtu::change(label, &before, &after));
                clamp_changes(label, former, interface, changes);
            }
        }
    }
}

/// More services than these are counted.
const NAMED: usize = 3;

/// Which services have servers on the networks of an interface that goes.
fn behind(interface: &Interface, new: &Config) -> String {
    let networks = interface.networks();
    let is_there = |address: &std::net::IpAddr| networks.iter().any(|network| network.contains(address));
    let services = new.services().filter(|service| {
        let mut servers = service.of_file();
        servers.any(|real| is_there(&real.address.address))
    });
    let names: Vec<&str> = services.map(|service| service.name.as_str()).collect();
    let listed = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        _ if names.is_empty() => String::new(),
        0 => format!("; servers of {listed} are behind it"),
        more => format!("; servers of {listed} and {more} more are behind it"),
    }
}

fn addresses(interface: &Interface) -> String {
    match interface.addresses.is_empty() {
        true => "no address".to_owned(),
        false => listed(&interface.addresses),
    }
}

fn interface_changes(label: &str, old: &Interface, new: &Interface, changes: &mut Changes) {
    if old.selector != new.selector {
        changes.changed(format!(
            "interface {label} is another link: what goes through it is interrupted"
        ));
    }
    if old.kind != new.kind {
        let (from, to) = (old.kind.word(), new.kind.word());
        let how = if from == to {
            format!("its {to} keys")
        } else {
            format!("{from} -> {to}")
        };
        changes.changed(format!(
            "interface {label}, {how}: packets may be lost for a moment, connections go on"
        ));
    }
    let prefix_in = |address: &ipnet::IpNet, other: &Interface| {
        let mut others = other.addresses.iter();
        others
            .find(|own| own.addr() == address.addr())
            .map(ipnet::IpNet::prefix_len)
    };
    for address in &old.addresses {
        if let Some(length) = prefix_in(address, new).filter(|length| *length != address.prefix_len()) {
            changes.changed(format!(
                "prefix of {} of {label} {} -> {length}: the address stays",
                address.addr(),
                address.prefix_len()
            ));
        }
    }
    let only = |own: &Interface, other: &Interface| -> Vec<String> {
        let own = own
            .addresses
            .iter()
            .filter(|address| prefix_in(address, other).is_none());
        own.map(|address| format!("{address} of {label}")).collect()
    };
    let cost = "who is connected to it, or through it, is cut off";
    set("address", &only(old, new), &only(new, old), cost, changes);
    let gateway = |gateway: &Option<std::net::IpAddr>| gateway.map_or("none".to_owned(), |a| a.to_string());
    changes.value(
        &format!("gateway of {label}"),
        &old.gateway,
        &new.gateway,
        gateway,
        match (old.gateway, new.gateway) {
            (Some(_), None) => "the default route goes at once",
            (None, _) => "the default route comes at once",
            _ => "the default route moves at once",
        },
    );
    let shown = |interface: &Interface| -> Vec<String> {
        let routes = interface.routes.iter();
        routes
            .map(|route| format!("{} via {} of {label}", route.to, route.via))
            .collect()
    };
    set(
        "route",
        &shown(old),
        &shown(new),
        "packets take another way at once",
        changes,
    );
}

fn clamp_changes(label: &str, old: &Interface, new: &Interface, changes: &mut Changes) {
    let clamp = |clamp: &Option<MssClamp>| match clamp {
        None => "none".to_owned(),
        Some(MssClamp::Mtu) => "what fits the MTU".to_owned(),
        Some(MssClamp::Bytes(bytes)) => format!("{bytes} bytes"),
    };
    changes.value(
        &format!("mss_clamp of {label}"),
        &old.mss_clamp,
        &new.mss_clamp,
        clamp,
        "",
    );
}
