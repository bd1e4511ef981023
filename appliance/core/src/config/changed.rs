//! What of one configuration another one changes, so that only that is carried out.
//! Must not: know what the kernel holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::model::{Config, RealServer, VirtualServer};
use crate::confirm::Assertions;
use crate::model::VirtualKey;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Anything but services.
    pub network: bool,
    /// Services that are new, have gone, or are not as they were.
    pub services: BTreeSet<VirtualKey>,
    /// Whether one of them differs in what the filter's rules are made of, and not only in weights, checks or its name.
    pub rules: bool,
}

pub fn changed(old: &Config, new: &Config) -> Changed {
    let network = |config: &Config| Config {
        virtual_servers: Vec::new(),
        hostname: config.hostname.clone(),
        timeouts: config.timeouts,
        fail_static: config.fail_static,
        // It says when this file is confirmed, and nothing about what is in force.
        confirm: Assertions::default(),
        interfaces: config.interfaces.clone(),
        masquerades: config.masquerades.clone(),
        port_forwards: config.port_forwards.clone(),
    };
    let (old_services, new_services) = not_shared(old, new);
    let mut before: BTreeMap<VirtualKey, &Arc<VirtualServer>> =
        old_services.map(|service| (service.key, service)).collect();
    let (mut services, mut rules) = (BTreeSet::new(), false);
    for service in new_services {
        let old = before.remove(&service.key);
        if old.is_some_and(|old| Arc::ptr_eq(old, service) || old == service) {
            continue;
        }
        services.insert(service.key);
        rules |= !old.is_some_and(|old| same_rules(old, service));
    }
    rules |= !before.is_empty();
    services.extend(before.into_keys());
    Changed {
        network: network(old) != network(new),
        services,
        rules,
    }
}

type Services<'c> = Box<dyn Iterator<Item = &'c Arc<VirtualServer>> + 'c>;

/// The services of both without those that are there once for both, and at the same place: nearly all.
fn not_shared<'c>(old: &'c Config, new: &'c Config) -> (Services<'c>, Services<'c>) {
    let of = |own: &'c Config, other: &'c Config| -> Services<'c> {
        let theirs = other
            .virtual_servers
            .iter()
            .map(Some)
            .chain(std::iter::repeat(None));
        let pairs = own.virtual_servers.iter().zip(theirs);
        Box::new(pairs.filter_map(|(service, other)| {
            let shared = other.is_some_and(|other| Arc::ptr_eq(service, other));
            (!shared).then_some(service)
        }))
    };
    (of(old, new), of(new, old))
}

/// Of two services with one key.
fn same_rules(old: &VirtualServer, new: &VirtualServer) -> bool {
    let servers = |service: &VirtualServer| {
        let servers = service.real_servers.iter();
        servers
            .map(|real| (real.address, real.forward))
            .collect::<Vec<_>>()
    };
    old.listen == new.listen
        && old.settings == new.settings
        && old.syn_proxy == new.syn_proxy
        && servers(old) == servers(new)
}

/// What a new configuration changes without a step in the kernel, in words: what servers are checked by, and what decides who
/// gets connections.
pub fn unseen_by_the_kernel(old: &Config, new: &Config) -> Vec<String> {
    let mut all = Vec::new();
    if old.fail_static != new.fail_static {
        all.push("fail_static".to_owned());
    }
    let (old_services, new_services) = not_shared(old, new);
    let before: BTreeMap<VirtualKey, &Arc<VirtualServer>> =
        old_services.map(|service| (service.key, service)).collect();
    for new in new_services {
        let Some(old) = before.get(&new.key) else {
            continue;
        };
        let mut what = Vec::new();
        if old.name != new.name {
            what.push("the name");
        }
        if of_servers(old, new, |a, b| a.checks != b.checks) {
            what.push("checks");
        }
        if old.pool != new.pool || of_servers(old, new, |a, b| (a.tier, a.when_down) != (b.tier, b.when_down))
        {
            what.push("the rules of the pool");
        }
        if !what.is_empty() {
            all.push(format!("{} of {}", enumerated(&what), new.name));
        }
    }
    all
}

/// Whether a server that is in both differs so.
fn of_servers(
    old: &VirtualServer,
    new: &VirtualServer,
    differ: impl Fn(&RealServer, &RealServer) -> bool,
) -> bool {
    let before: BTreeMap<_, _> = old.real_servers.iter().map(|real| (real.address, real)).collect();
    new.real_servers
        .iter()
        .any(|real| before.get(&real.address).is_some_and(|old| differ(old, real)))
}

/// `a, b and c`.
fn enumerated(words: &[&str]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        all => all.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    const BASE: &str = "[[interface]]\nname = \"eth0\"\naddresses = [\"10.0.0.1/24\"]\n\
        [[virtual_server]]\nname = \"a\"\nlisten = \"10.0.0.1:80\"\n\
        [[virtual_server.real_server]]\naddress = \"10.0.0.2:80\"\n\
        [[virtual_server]]\nname = \"b\"\nlisten = \"10.0.0.1:81\"\n";

    fn shown(from: &str, to: &str) -> (bool, Vec<String>) {
        let changed = changed(&parse(from).unwrap(), &parse(to).unwrap());
        (
            changed.network,
            changed.services.iter().map(VirtualKey::to_string).collect(),
        )
    }

    #[test]
    fn services_are_told_by_what_they_listen_on() {
        assert_eq!(shown(BASE, &format!("# later\n{BASE}")), (false, vec![]));
        for (from, to) in [
            ("\"10.0.0.2:80\"", "\"10.0.0.3:80\""),
            ("\"10.0.0.2:80\"\n", "\"10.0.0.2:80\"\nweight = 2\n"),
            ("\"a\"", "\"c\""),
            ("name = \"a\"", "name = \"a\"\ncheck = { rise = 3 }"),
        ] {
            let to = BASE.replace(from, to);
            assert_eq!(
                shown(BASE, &to),
                (false, vec!["10.0.0.1:80/tcp".to_owned()]),
                "{to}"
            );
        }
        let moved = BASE.replace("10.0.0.1:81", "10.0.0.1:82");
        let expected = ["10.0.0.1:81/tcp", "10.0.0.1:82/tcp"].map(str::to_owned);
        assert_eq!(shown(BASE, &moved), (false, expected.into()));
    }

    #[test]
    fn weights_checks_and_names_are_not_in_the_rules() {
        let rules = |from: &str, to: &str| {
            let to = BASE.replace(from, to);
            changed(&parse(BASE).unwrap(), &parse(&to).unwrap()).rules
        };
        let server = "\"10.0.0.2:80\"\n";
        for more in ["weight = 2", "when_down = \"inhibit\"", "check = { rise = 3 }"] {
            assert!(!rules(server, &format!("{server}{more}\n")), "{more}");
        }
        assert!(!rules("\"a\"", "\"c\""));
        for (from, to) in [
            ("10.0.0.2:80", "10.0.0.3:80"),
            ("10.0.0.1:81", "10.0.0.1:82"),
            (
                "\nlisten = \"10.0.0.1:80\"",
                "\nlisten = \"10.0.0.1:80\"\nsyn_proxy = true",
            ),
            ("[[virtual_server.real_server]]\naddress = \"10.0.0.2:80\"\n", ""),
            ("[[virtual_server]]\nname = \"b\"\nlisten = \"10.0.0.1:81\"\n", ""),
        ] {
            assert!(rules(from, to), "{from}");
        }
    }

    #[test]
    fn what_takes_no_step_is_told() {
        let told = |from: &str, to: &str| {
            let to = BASE.replace(from, to);
            unseen_by_the_kernel(&parse(BASE).unwrap(), &parse(&to).unwrap())
        };
        let server = "\"10.0.0.2:80\"\n";
        assert_eq!(
            told(server, &format!("{server}check = {{ rise = 3 }}\n")),
            ["checks of a"]
        );
        assert_eq!(
            told(server, &format!("{server}weight = 3\n")),
            Vec::<String>::new()
        );
        assert_eq!(
            told("\"a\"", "\"c\"\nkill_after = \"1s\"\ncheck = \"none\""),
            ["the name, checks and the rules of the pool of c"]
        );
        assert_eq!(
            told("[[interface]]", "[checks]\nfail_static = \"1s\"\n[[interface]]"),
            ["fail_static"]
        );
        assert_eq!(told("a", "a"), Vec::<String>::new());
    }

    #[test]
    fn everything_else_is_the_network() {
        let wider = BASE.replace("/24", "/16");
        assert_eq!(shown(BASE, &wider), (true, vec![]));
        assert_eq!(shown(BASE, &format!("hostname = \"b\"\n{BASE}")), (true, vec![]));
        assert_eq!(
            shown(BASE, &format!("[timeouts]\nudp = \"30s\"\n{BASE}")),
            (true, vec![])
        );
    }
}
