//! What one configuration would change of another, in sentences with what each costs those who are connected.
//! Must not: know the steps that the kernel takes (that is `plan`), or count connections.

mod mtu;
mod network;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::check::CheckList;
use crate::config::{Config, RealServer, VirtualServer, WhenDown};
use crate::control::{ChangeReport, Sign};
use crate::model::{RealKey, ServerKey, VirtualKey};
use crate::pool::Tier;

/// How many connections a server has now, in every state.
pub type Connections<'c> = &'c dyn Fn(&ServerKey) -> u64;

/// The MTU of an interface's link by the interface's label, whether the file names it or not; `None`: it is not known.
pub type Mtus<'m> = &'m dyn Fn(&str) -> Option<u32>;

/// What the machine knows and the files do not say.
#[derive(Clone, Copy)]
pub struct Known<'k> {
    pub connections: Connections<'k>,
    /// As it is by what is in force, and as it would be.
    pub mtus: (Mtus<'k>, Mtus<'k>),
    /// Whether there is a link for this interface of what is in force.
    pub there: &'k dyn Fn(&str) -> bool,
}

impl std::fmt::Debug for Known<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Known")
    }
}

/// `old`: what is in force, if anything is. The network first, then the services in the order of what they listen on.
pub fn difference(old: Option<&Config>, new: &Config, known: Known<'_>) -> Vec<ChangeReport> {
    let nothing = Config::empty();
    let old = old.unwrap_or(&nothing);
    let connections = known.connections;
    let mut changes = Changes::default();
    network::compare(old, new, known, &mut changes);
    let before: BTreeMap<VirtualKey, &VirtualServer> = old.services().map(|v| (v.key, v)).collect();
    let after: BTreeMap<VirtualKey, &VirtualServer> = new.services().map(|v| (v.key, v)).collect();
    for (key, service) in &before {
        if !after.contains_key(key) {
            changes.removed(service_gone(service, connections));
        }
    }
    for (key, service) in &after {
        match before.get(key) {
            None => changes.added(service_new(service)),
            Some(old) => compare_services(old, service, connections, &mut changes),
        }
    }
    changes.0
}

#[derive(Default)]
struct Changes(Vec<ChangeReport>);

impl Changes {
    fn add(&mut self, sign: Sign, text: String) {
        self.0.push(ChangeReport { sign, text });
    }

    fn added(&mut self, text: String) {
        self.add(Sign::Added, text);
    }

    fn removed(&mut self, text: String) {
        self.add(Sign::Removed, text);
    }

    fn changed(&mut self, text: String) {
        self.add(Sign::Changed, text);
    }

    /// Nothing if both are the same.
    fn value<T: PartialEq>(&mut self, what: &str, old: &T, new: &T, show: impl Fn(&T) -> String, cost: &str) {
        if old != new {
            let cost = if cost.is_empty() {
                String::new()
            } else {
                format!(": {cost}")
            };
            self.changed(format!("{what} {} -> {}{cost}", show(old), show(new)));
        }
    }
}

/// `143 connections`, `1 connection`.
fn counted(number: u64, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        number => format!("{number} {thing}s"),
    }
}

fn seconds(time: &Duration) -> String {
    match time.subsec_millis() {
        0 => format!("{} s", time.as_secs()),
        _ => format!("{} ms", time.as_millis()),
    }
}

fn ports(service: &VirtualServer) -> String {
    format!("{} ({})", service.ports(), service.protocols())
}

fn service_new(service: &VirtualServer) -> String {
    let servers = service.of_file().count() as u64;
    let checked = service.of_file().any(|real| !real.checks.is_none());
    let when = match (servers, checked) {
        (0, _) => "it has no servers, and its clients are refused".to_owned(),
        (_, true) => "its clients are let in when one has passed its first check".to_owned(),
        (_, false) => "its clients are let in at once".to_owned(),
    };
    format!(
        "service {} on {} with {}: {when}",
        service.name,
        ports(service),
        counted(servers, "server")
    )
}

fn service_gone(service: &VirtualServer, connections: Connections<'_>) -> String {
    let servers = service.real_servers.iter();
    let sum: u64 = servers.map(|real| connections(&service.server_key(real))).sum();
    let cost = match sum {
        0 => "it has no connections".to_owned(),
        1 => "its connection ends at once".to_owned(),
        sum => format!("its {sum} connections end at once"),
    };
    format!("service {} on {}: {cost}", service.name, ports(service))
}

fn compare_services(
    old: &VirtualServer,
    new: &VirtualServer,
    connections: Connections<'_>,
    changes: &mut Changes,
) {
    if std::ptr::eq(old, new) {
        return;
    }
    let of = |what: &str| format!("{what} of {}", new.name);
    changes.value("name of service", &old.name, &new.name, String::clone, "");
    let ranges = |service: &VirtualServer| ports(service);
    if old.listen != new.listen {
        changes.changed(format!(
            "{} {} -> {}: connections go on",
            of("ports"),
            ranges(old),
            ranges(new)
        ));
    }
    changes.value(
        &of("scheduler"),
        &old.settings.scheduler,
        &new.settings.scheduler,
        ToString::to_string,
        "new connections are refused for some milliseconds",
    );
    changes.value(
        &of("persistence"),
        &old.settings.persistence,
        &new.settings.persistence,
        |value| value.map_or_else(|| "none".to_owned(), |value| value.to_string()),
        "",
    );
    changes.value(
        &of("one_packet"),
        &old.settings.one_packet,
        &new.settings.one_packet,
        bool::to_string,
        "",
    );
    let all: u64 = old
        .real_servers
        .iter()
        .map(|real| connections(&old.server_key(real)))
        .sum();
    let ends = format!("{} may end", counted(all, "connection"));
    changes.value(
        &of("syn_proxy"),
        &old.syn_proxy,
        &new.syn_proxy,
        bool::to_string,
        &ends,
    );
    compare_pools(old, new, changes);
    compare_servers(old, new, connections, changes);
}

fn compare_pools(old: &VirtualServer, new: &VirtualServer, changes: &mut Changes) {
    let of = |what: &str| format!("{what} of {}", new.name);
    let (old, new) = (&old.pool, &new.pool);
    let quorum = |quorum: &crate::pool::Quorum| match quorum {
        crate::pool::Quorum::Weight(weight) => weight.to_string(),
        crate::pool::Quorum::Percent(percent) => format!("{percent}%"),
    };
    changes.value(&of("quorum"), &old.quorum, &new.quorum, quorum, "");
    changes.value(
        &of("quorum_hysteresis"),
        &old.hysteresis,
        &new.hysteresis,
        quorum,
        "",
    );
    changes.value(
        &of("panic"),
        &old.panic,
        &new.panic,
        |panic| panic.as_str().to_owned(),
        "",
    );
    for (key, old, new) in [
        ("kill_after", old.kill_after, new.kill_after),
        ("drain_timeout", old.drain_timeout, new.drain_timeout),
        ("slow_start", old.slow_start, new.slow_start),
    ] {
        changes.value(&of(key), &old, &new, seconds, "");
    }
}

fn compare_servers(
    old: &VirtualServer,
    new: &VirtualServer,
    connections: Connections<'_>,
    changes: &mut Changes,
) {
    let by_address = |service: &VirtualServer| -> BTreeMap<RealKey, RealServer> {
        service
            .of_file()
            .map(|real| (real.address, real.clone()))
            .collect()
    };
    let (before, after) = (by_address(old), by_address(new));
    // One that left before and comes back is new to the file only.
    let still_there = |address: &RealKey| old.leaving().any(|real| real.address == *address);
    let name = &new.name;
    for (address, real) in &after {
        match before.get(address) {
            Some(known) => compare_one(known, real, name, changes),
            None => changes.added(format!(
                "server {address} of {name}, {}weight {}: {}",
                tier(real.tier),
                real.weight,
                match (real.checks.is_none(), still_there(address)) {
                    (true, _) => "it gets traffic at once",
                    (_, true) => "it was about to leave, and stays",
                    (_, false) => "it gets traffic when it has passed its first check",
                }
            )),
        }
    }
    for (address, real) in &before {
        if !after.contains_key(address) {
            let count = connections(&old.server_key(real));
            changes.removed(format!("server {address} of {name}: {}", leaves(new, count)));
        }
    }
}

/// What becomes of the connections of a server that is taken out of a service.
fn leaves(service: &VirtualServer, connections: u64) -> String {
    let some = counted(connections, "connection");
    let (drain, end) = match connections {
        0 => return "it has no connections".to_owned(),
        1 => ("drains", "ends"),
        _ => ("drain", "end"),
    };
    match service.lets_leave() {
        true => format!(
            "{some} {drain} for up to {}",
            seconds(&service.pool.drain_timeout)
        ),
        false => format!("{some} {end} at once"),
    }
}

fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::Primary => "",
        Tier::Backup => "backup, ",
        Tier::Sorry => "sorry_server, ",
        Tier::Leaving => "leaving, ",
    }
}

fn compare_one(old: &RealServer, new: &RealServer, name: &str, changes: &mut Changes) {
    let of = |what: &str| format!("{what} of server {} of {name}", new.address);
    changes.value(
        &of("weight"),
        &old.weight,
        &new.weight,
        ToString::to_string,
        "its connections stay",
    );
    changes.value(
        &of("forward"),
        &old.forward,
        &new.forward,
        ToString::to_string,
        "its connections go on as they began",
    );
    let down = |when: &WhenDown| match when {
        WhenDown::Inhibit => "inhibit".to_owned(),
        WhenDown::Remove => "remove".to_owned(),
    };
    changes.value(&of("when_down"), &old.when_down, &new.when_down, down, "");
    let part = |own: &Tier| match own {
        Tier::Primary => "primary".to_owned(),
        own => tier(*own).trim_end_matches(", ").to_owned(),
    };
    changes.value(&of("part"), &old.tier, &new.tier, part, "");
    let limit = |number: &u32| match number {
        0 => "none".to_owned(),
        number => number.to_string(),
    };
    changes.value(
        &of("max_connections"),
        &old.limit.most,
        &new.limit.most,
        limit,
        "",
    );
    changes.value(
        &of("resume_connections"),
        &old.limit.resume,
        &new.limit.resume,
        limit,
        "",
    );
    compare_checks(old, new, &of("check"), changes);
}

fn compare_checks(old: &RealServer, new: &RealServer, what: &str, changes: &mut Changes) {
    if old.checks == new.checks {
        return;
    }
    let all_in = |some: &CheckList, others: &CheckList| {
        some.iter()
            .all(|check| others.iter().any(|other| other.asks_as(check)))
    };
    let asks = all_in(&old.checks, &new.checks) && all_in(&new.checks, &old.checks);
    let (from, to) = (old.checks.words(), new.checks.words());
    if from != to && !asks {
        return changes.changed(format!(
            "{what} {from} -> {to}: it keeps its standing until it is checked"
        ));
    }
    changes.changed(match asks {
        true => format!("{what}: another pace; what is known of it stays"),
        false => format!("{what}: it is asked something else; it keeps its standing until it is checked"),
    });
}
