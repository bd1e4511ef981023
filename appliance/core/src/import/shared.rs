//! What the checks of a service's servers have in common, which is written once.
//! Must not: know what the keys mean.

use std::collections::BTreeMap;

use super::draft::{Keys, Server};

const NONE: &str = "\"none\"";

fn is_checked(server: &Server) -> bool {
    server.check.value("type") != Some(NONE)
}

/// Keys that every type of check heeds.
const ANY_TYPE: [&str; 11] = [
    "type",
    "address",
    "port",
    "source",
    "interface",
    "interval",
    "timeout",
    "retries",
    "retry_interval",
    "rise",
    "down_interval",
];
/// Types that have no keys but those.
const PLAIN: [&str; 2] = ["\"tcp\"", "\"icmp\""];

/// Takes what the checks have in common out of them. A key that every one of them has is common: the value that most have,
/// of several the first one. What only some have stays with them, so that nobody inherits it who would heed it.
pub(super) fn share(servers: &mut [Server]) -> Vec<Keys> {
    if servers.iter().any(|server| !server.others.is_empty()) {
        return share_list(servers);
    }
    let common = share_keys(servers);
    [common].into_iter().filter(|common| !common.is_empty()).collect()
}

/// Where some have several checks: those that most servers have are the service's, and all others are written out whole.
fn share_list(servers: &mut [Server]) -> Vec<Keys> {
    let mut times: BTreeMap<Vec<Keys>, (usize, usize)> = BTreeMap::new();
    for (place, server) in servers
        .iter()
        .enumerate()
        .filter(|(_, server)| is_checked(server))
    {
        times.entry(server.checks()).or_insert((0, place)).0 += 1;
    }
    let most = times
        .into_iter()
        .max_by_key(|(_, (times, place))| (*times, std::cmp::Reverse(*place)));
    let common = most.map(|(checks, _)| checks).unwrap_or_default();
    for server in servers {
        server.listed = server.checks() != common;
        if !server.listed {
            (server.check, server.others) = (Keys::default(), Vec::new());
        }
    }
    common
}

fn share_keys(servers: &mut [Server]) -> Keys {
    let mut common = Keys::default();
    if !servers.iter().any(is_checked) {
        if !servers.is_empty() {
            common.put("type", NONE);
        }
        servers
            .iter_mut()
            .for_each(|server| server.check = Keys::default());
        return common;
    }
    let checked: Vec<&Server> = servers.iter().filter(|server| is_checked(server)).collect();
    let kind = most(&checked, "type").map(str::to_owned);
    let of_kind = |server: &&Server| server.check.value("type") == kind.as_deref();
    let alike: Vec<&Server> = checked.iter().copied().filter(of_kind).collect();
    let others_are_plain = checked.iter().filter(|server| !of_kind(server)).all(|server| {
        server
            .check
            .value("type")
            .is_some_and(|kind| PLAIN.contains(&kind))
    });
    let Some(first) = alike.first() else {
        return common;
    };
    for (key, _) in first.check.iter() {
        let heeding = if others_are_plain && !ANY_TYPE.contains(&key) {
            &alike
        } else {
            &checked
        };
        if let Some(value) = most(heeding, key) {
            common.put(key, value);
        }
    }
    for server in servers.iter_mut().filter(|server| is_checked(server)) {
        for (key, value) in common.iter() {
            if server.check.value(key) == Some(value) {
                server.check.remove(key);
            }
        }
    }
    common
}

/// The value that most have, if all have one; of several the first.
fn most<'s>(servers: &[&'s Server], key: &str) -> Option<&'s str> {
    let mut values: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (place, server) in servers.iter().enumerate() {
        values.entry(server.check.value(key)?).or_insert((0, place)).0 += 1;
    }
    let most = values
        .iter()
        .max_by_key(|(_, (times, place))| (*times, std::cmp::Reverse(*place)));
    most.map(|(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use super::super::draft::Address;
    use super::super::remarks::Place;
    use super::*;

    fn server(check: &[(&'static str, &str)]) -> Server {
        let place = Place { file: 0, line: 1 };
        let mut server = Server::new(place, Address::Known([192, 0, 2, 1].into(), 80));
        for (key, value) in check {
            server.check.put(key, *value);
        }
        server
    }

    #[test]
    fn what_most_servers_are_asked_is_the_services_where_some_have_several_checks() {
        let tcp = || server(&[("type", "\"tcp\""), ("rise", "1")]);
        let both = || {
            let mut server = tcp();
            server.others.push(Keys::default());
            server.others[0].put("type", "\"icmp\"");
            server
        };
        let mut servers = [tcp(), both(), both(), server(&[("type", NONE)])];
        let common = share(&mut servers);
        assert_eq!(common.len(), 2);
        assert_eq!(
            servers.each_ref().map(|server| server.listed),
            [true, false, false, true]
        );
        assert!(servers[1].check.is_empty() && servers[1].others.is_empty());
        assert_eq!(keys(&servers[0].check), [("type", "\"tcp\""), ("rise", "1")]);
        assert!(share(&mut []).is_empty());
    }

    fn keys(keys: &Keys) -> Vec<(&str, &str)> {
        keys.iter().collect()
    }

    #[test]
    fn most_decide_and_only_what_differs_stays() {
        let mut servers = [
            server(&[("type", "\"http\""), ("path", "\"/a\""), ("timeout", "\"1s\"")]),
            server(&[("type", "\"tcp\""), ("timeout", "\"3s\"")]),
            server(&[("type", NONE)]),
            server(&[("type", "\"tcp\""), ("timeout", "\"1s\"")]),
        ];
        let common = share_keys(&mut servers);
        assert_eq!(keys(&common), [("type", "\"tcp\""), ("timeout", "\"1s\"")]);
        assert_eq!(
            keys(&servers[0].check),
            [("type", "\"http\""), ("path", "\"/a\"")]
        );
        assert_eq!(keys(&servers[1].check), [("timeout", "\"3s\"")]);
        assert_eq!(keys(&servers[2].check), [("type", NONE)]);
        assert!(servers[3].check.is_empty());
    }

    #[test]
    fn of_two_the_first_one_decides() {
        let mut servers = [
            server(&[("timeout", "\"10s\"")]),
            server(&[("timeout", "\"30s\"")]),
        ];
        assert_eq!(keys(&share_keys(&mut servers)), [("timeout", "\"10s\"")]);
        assert_eq!(keys(&servers[1].check), [("timeout", "\"30s\"")]);
    }

    #[test]
    fn servers_that_are_never_checked_say_so_once() {
        let mut servers = [server(&[("type", NONE)]), server(&[("type", NONE)])];
        assert_eq!(keys(&share_keys(&mut servers)), [("type", NONE)]);
        assert!(servers.iter().all(|server| server.check.is_empty()));
        assert!(share(&mut []).is_empty());
    }
}
