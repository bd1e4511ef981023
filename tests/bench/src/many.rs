//! Many services, as lb.toml for the appliance and as keepalived.conf for the reference.
//! Must not: give one side what the other does not get.

use std::fmt::Write;

use serde::Serialize;

use crate::configs::{empty_toml, routed_toml, service_conf};

/// What both sides reload and start with, and nobody checks.
pub const MANY: Many = Many {
    services: 1_000,
    servers: 5,
    checked: false,
};
/// The same with a check of each server every [`Many::INTERVAL_S`]: 1,000 checks a second.
pub const CHECKED: Many = Many {
    checked: true,
    ..MANY
};
/// As many as the appliance has to hold.
pub const MOST: Many = Many { servers: 40, ..MANY };

/// Many services with ports from [`Many::FIRST_PORT`] on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Many {
    pub services: usize,
    /// Of each.
    pub servers: usize,
    /// By a TCP connection. These servers are all addresses of one machine, where each of them answers.
    pub checked: bool,
}

impl Many {
    const FIRST_PORT: usize = 10_000;
    pub const SERVER_PORT: u16 = 80;
    /// Seconds between two checks of one server.
    pub const INTERVAL_S: usize = 5;
    /// What the changed server weighs.
    pub const HEAVY: u32 = 7;
    /// The machine that has all servers that are checked, its name in the lab, and their network. The way there is one neighbour:
    /// the kernel keeps no more than a thousand.
    pub const HOST: &str = "172.16.0.11";
    pub const HOST_NAME: &str = "worker01";
    pub const NETWORK: &str = "10.100.0.0/16";

    pub fn total(self) -> usize {
        self.services * self.servers
    }

    /// The service in the middle, whose first server is the one that is changed.
    fn chosen(self) -> usize {
        self.services / 2
    }

    fn service(number: usize) -> String {
        format!("192.168.0.1:{}", Self::FIRST_PORT + number)
    }

    /// `ADDRESS:PORT` of the service whose server is changed, and of others.
    pub fn changed_service(self) -> String {
        Self::service(self.chosen())
    }

    pub fn first_service(self) -> String {
        Self::service(0)
    }

    pub fn last_service(self) -> String {
        Self::service(self.services - 1)
    }

    /// The table for ipvsadm in the reference's root.
    pub const TABLE: &str = "etc/keepalived/many.ipvs";

    /// The reference's file in its root.
    pub fn conf_path(self, changed: bool) -> String {
        let checked = if self.checked { "checked" } else { "unchecked" };
        let which = if changed { "changed" } else { "many" };
        format!("etc/keepalived/{which}-{checked}.conf")
    }

    /// Without services.
    pub fn links_toml(self) -> String {
        match self.checked {
            true => routed_toml(Self::NETWORK, Self::HOST),
            false => empty_toml(),
        }
    }

    pub fn toml(self, changed: bool) -> String {
        let mut text = self.links_toml();
        let check = match self.checked {
            true => format!(
                "interval = \"{}s\", timeout = \"1s\", retries = 1, retry_interval = \"1s\"",
                Self::INTERVAL_S
            ),
            false => "type = \"none\"".to_owned(),
        };
        for service in 0..self.services {
            let _ = write!(
                text,
                "\n[[virtual_server]]\nname = \"s{service}\"\nlisten = \"{}\"\nscheduler = \"rr\"\n\
                 check = {{ {check} }}\n",
                Self::service(service)
            );
            for server in 0..self.servers {
                let address = self.address(service, server);
                let port = Self::SERVER_PORT;
                let _ = write!(
                    text,
                    "[[virtual_server.real_server]]\naddress = \"{address}:{port}\"\n"
                );
                let weight = self.weight(service, server, changed);
                if weight != 1 {
                    let _ = writeln!(text, "weight = {weight}");
                }
            }
        }
        text
    }

    pub fn conf(self, changed: bool) -> String {
        let check = match self.checked {
            true => {
                "        TCP_CHECK {\n            connect_timeout 1\n            retry 1\n            \
                 delay_before_retry 1\n        }\n"
            }
            false => "",
        };
        let timing = format!("delay_loop {}", Self::INTERVAL_S);
        let services = (0..self.services).map(|service| {
            let servers: String = (0..self.servers)
                .map(|server| {
                    let address = self.address(service, server);
                    let (port, weight) = (Self::SERVER_PORT, self.weight(service, server, changed));
                    format!("    real_server {address} {port} {{\n        weight {weight}\n{check}    }}\n")
                })
                .collect();
            service_conf((Self::FIRST_PORT + service) as u16, &timing, &servers)
        });
        services.collect()
    }

    /// The same for `ipvsadm --restore`: what the kernel has to be told, and nothing else.
    pub fn table(self) -> String {
        let mut text = String::new();
        for number in 0..self.services {
            let service = Self::service(number);
            let _ = writeln!(text, "-A -t {service} -s rr");
            for server in 0..self.servers {
                let (address, port) = (self.address(number, server), Self::SERVER_PORT);
                let _ = writeln!(text, "-a -t {service} -r {address}:{port} -m -w 1");
            }
        }
        text
    }

    fn address(self, service: usize, server: usize) -> String {
        let number = service * self.servers + server;
        let network = if self.checked { "10.100" } else { "172.16" };
        format!("{network}.{}.{}", 1 + number / 250, 1 + number % 250)
    }

    fn weight(self, service: usize, server: usize, changed: bool) -> u32 {
        let heavy = changed && server == 0 && service == self.chosen();
        if heavy { Self::HEAVY } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::config;

    const FEW: Many = Many {
        services: 3,
        servers: 2,
        checked: false,
    };
    const FEW_CHECKED: Many = Many { checked: true, ..FEW };

    #[test]
    fn both_sides_have_the_same_services_and_servers() {
        for (many, checks) in [(FEW, 0), (FEW_CHECKED, 6)] {
            let (toml, conf) = (many.toml(false), many.conf(false));
            for (word, count) in [("[[virtual_server]]", 3), ("real_server]]", 6)] {
                assert_eq!(toml.matches(word).count(), count, "{word}");
            }
            let words = [("virtual_server ", 3), ("real_server ", 6), ("weight 1\n", 6)];
            for (word, count) in words.into_iter().chain([("TCP_CHECK", checks)]) {
                assert_eq!(conf.matches(word).count(), count, "{word}");
            }
            assert!(toml.contains("192.168.0.1:10002") && conf.contains("192.168.0.1 10002"));
        }
        assert_eq!(FEW.last_service(), "192.168.0.1:10002");
        let table = FEW.table();
        assert_eq!(table.matches("-A -t").count(), 3);
        assert_eq!(table.matches("-a -t").count(), 6);
    }

    #[test]
    fn one_server_is_changed_in_the_service_that_is_named() {
        let (before, after) = (FEW.conf(false), FEW.conf(true));
        let lines = || before.lines().zip(after.lines());
        let differ: Vec<_> = lines().filter(|(a, b)| a != b).collect();
        assert_eq!(differ.len(), 1);
        assert!(differ[0].1.ends_with("weight 7"));
        assert_eq!(FEW.changed_service(), "192.168.0.1:10001");
        let service = FEW
            .toml(true)
            .split("[[virtual_server]]")
            .nth(2)
            .map(str::to_owned);
        assert!(service.is_some_and(|text| text.contains("weight = 7")));
    }

    #[test]
    fn the_appliance_takes_them() {
        for text in [FEW.toml(true), FEW_CHECKED.toml(true)] {
            let parsed = config::parse(&text);
            assert!(parsed.is_ok(), "{text}");
        }
    }
}
