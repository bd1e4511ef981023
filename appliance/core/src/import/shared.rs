//! What the checks of a service's servers have in common, which is written once.
//! Must not: know what the keys mean.

use std::collections::BTreeMap;

use super::draft::{Keys, Server};

const NONE: &str = "\"none\"";

fn is_checked(server: &Server) -> bool {
    server.check.value("type") != Some(NONE)
}

/// Takes what the checks have in common out of them. A key that every one of them has is common: the value that most have,
/// of several the first one. What only some have stays with them, so that nobody inherits it.
pub(super) fn share(servers: &mut [Server]) -> Keys {
    let mut common = Keys::default();
    let checked = || servers.iter().filter(|server| is_checked(server));
    let count = checked().count();
    let Some(first) = checked().next() else {
        if !servers.is_empty() {
            common.put("type", NONE);
        }
        servers.iter_mut().for_each(|server| server.check = Keys::default());
        return common;
    };
    for (key, _) in first.check.iter() {
        let mut values: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        let given = checked().filter_map(|server| server.check.value(key));
        for (place, value) in given.enumerate() {
            values.entry(value).or_insert((0, place)).0 += 1;
        }
        let given: usize = values.values().map(|(times, _)| times).sum();
        if given < count {
            continue;
        }
        let most = values
            .iter()
            .max_by_key(|(_, (times, place))| (*times, std::cmp::Reverse(*place)));
        if let Some((value, _)) = most {
            common.put(key, *value);
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
        let common = share(&mut servers);
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
        let mut servers = [server(&[("timeout", "\"10s\"")]), server(&[("timeout", "\"30s\"")])];
        assert_eq!(keys(&share(&mut servers)), [("timeout", "\"10s\"")]);
        assert_eq!(keys(&servers[1].check), [("timeout", "\"30s\"")]);
    }

    #[test]
    fn servers_that_are_never_checked_say_so_once() {
        let mut servers = [server(&[("type", NONE)]), server(&[("type", NONE)])];
        assert_eq!(keys(&share(&mut servers)), [("type", NONE)]);
        assert!(servers.iter().all(|server| server.check.is_empty()));
        assert!(share(&mut []).is_empty());
    }
}
