//! What of one configuration another one changes, so that only that is carried out.
//! Must not: know what the kernel holds.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Config, VirtualServer};
use crate::model::VirtualKey;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Anything but services.
    pub network: bool,
    /// Services that are new, have gone, or are not as they were.
    pub services: BTreeSet<VirtualKey>,
}

pub fn changed(old: &Config, new: &Config) -> Changed {
    let network = |config: &Config| Config {
        virtual_servers: Vec::new(),
        hostname: config.hostname.clone(),
        timeouts: config.timeouts,
        interfaces: config.interfaces.clone(),
        masquerades: config.masquerades.clone(),
        port_forwards: config.port_forwards.clone(),
    };
    let mut before: BTreeMap<VirtualKey, &VirtualServer> = old
        .virtual_servers
        .iter()
        .map(|service| (service.key, service))
        .collect();
    let mut services = BTreeSet::new();
    for service in &new.virtual_servers {
        if before.remove(&service.key) != Some(service) {
            services.insert(service.key);
        }
    }
    services.extend(before.into_keys());
    Changed {
        network: network(old) != network(new),
        services,
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
