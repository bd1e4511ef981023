//! One set of services, written for each side: as lb.toml for the appliance, as keepalived.conf for the reference (its
//! haproxy.cfg is in guest/comparison). Must not: give one side what the other does not get.

use std::fmt::Write;

/// The service that traffic is balanced for, and the port of its servers.
pub const PORT: u16 = 8080;
/// On the appliance's config volume: what is in force, many services, and the same with one server changed.
pub const LB_TOML: &str = "lb.toml";
pub const MANY_TOML: &str = "many.toml";
pub const CHANGED_TOML: &str = "changed.toml";
/// Their like in the reference's root.
pub const MANY_CONF: &str = "etc/keepalived/many.conf";
pub const CHANGED_CONF: &str = "etc/keepalived/changed.conf";

const LINKS: &str = "hostname = \"lb\"\n\n\
    [[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\"]\n\n\
    [[interface]]\nname = \"eth1\"\naddresses = [\"172.16.0.254/16\"]\n\n\
    [[masquerade]]\nfrom = \"172.16.0.0/16\"\nout = \"eth0\"\n";
const BALANCED: &str = "\n[[virtual_server]]\nname = \"bench\"\nlisten = \"192.168.0.1:8080\"\nscheduler = \"rr\"\n\
    check = { type = \"tcp\", interval = \"10s\" }\n\n\
    [[virtual_server.real_server]]\naddress = \"172.16.0.11:8080\"\n\n\
    [[virtual_server.real_server]]\naddress = \"172.16.0.12:8080\"\n";

/// The appliance's lb.toml while traffic passes.
pub fn balanced_toml() -> String {
    format!("{LINKS}{BALANCED}")
}

/// The links alone.
pub fn empty_toml() -> String {
    LINKS.to_owned()
}

/// keepalived.conf for the same service.
pub fn balanced_conf() -> String {
    let servers = ["172.16.0.11", "172.16.0.12"].map(|address| {
        format!(
            "    real_server {address} {PORT} {{\n        weight 1\n        TCP_CHECK {{\n        }}\n    }}\n"
        )
    });
    service_conf(PORT, "delay_loop 10", &servers.concat())
}

/// What both sides reload and start with.
pub const MANY: Many = Many {
    services: 1_000,
    servers: 5,
};
/// As many as the appliance has to hold.
pub const MOST: Many = Many {
    services: 1_000,
    servers: 40,
};

/// Many services that nobody checks, with ports from [`Many::FIRST_PORT`] on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Many {
    pub services: usize,
    /// Of each.
    pub servers: usize,
}

impl Many {
    const FIRST_PORT: usize = 10_000;
    /// What the changed server weighs.
    pub const HEAVY: u32 = 7;

    pub fn total(self) -> usize {
        self.services * self.servers
    }

    /// The service in the middle, whose first server is the one that is changed.
    fn chosen(self) -> usize {
        self.services / 2
    }

    /// `ADDRESS:PORT` of the service whose server is changed, and that of the last one.
    pub fn changed_service(self) -> String {
        format!("192.168.0.1:{}", Self::FIRST_PORT + self.chosen())
    }

    pub fn last_service(self) -> String {
        format!("192.168.0.1:{}", Self::FIRST_PORT + self.services - 1)
    }

    pub fn toml(self, changed: bool) -> String {
        let mut text = LINKS.to_owned();
        for service in 0..self.services {
            let port = Self::FIRST_PORT + service;
            let _ = write!(
                text,
                "\n[[virtual_server]]\nname = \"s{service}\"\nlisten = \"192.168.0.1:{port}\"\nscheduler = \"rr\"\n\
                 check = {{ type = \"none\" }}\n"
            );
            for server in 0..self.servers {
                let address = self.address(service, server);
                let _ = write!(
                    text,
                    "[[virtual_server.real_server]]\naddress = \"{address}:80\"\n"
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
        let services = (0..self.services).map(|service| {
            let servers: String = (0..self.servers)
                .map(|server| {
                    let address = self.address(service, server);
                    let weight = self.weight(service, server, changed);
                    format!("    real_server {address} 80 {{\n        weight {weight}\n    }}\n")
                })
                .collect();
            service_conf((Self::FIRST_PORT + service) as u16, "delay_loop 10", &servers)
        });
        services.collect()
    }

    fn address(self, service: usize, server: usize) -> String {
        let number = service * self.servers + server;
        format!("172.16.{}.{}", 1 + number / 250, 1 + number % 250)
    }

    fn weight(self, service: usize, server: usize, changed: bool) -> u32 {
        let heavy = changed && server == 0 && service == self.chosen();
        if heavy { Self::HEAVY } else { 1 }
    }
}

fn service_conf(port: u16, timing: &str, servers: &str) -> String {
    format!(
        "virtual_server 192.168.0.1 {port} {{\n    {timing}\n    lb_algo rr\n    lb_kind NAT\n    protocol TCP\n\n\
         {servers}}}\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::config;

    const FEW: Many = Many {
        services: 3,
        servers: 2,
    };

    #[test]
    fn both_sides_have_the_same_services_and_servers() {
        let (toml, conf) = (FEW.toml(false), FEW.conf(false));
        for (word, count) in [("[[virtual_server]]", 3), ("real_server]]", 6)] {
            assert_eq!(toml.matches(word).count(), count, "{word}");
        }
        for (word, count) in [("virtual_server ", 3), ("real_server ", 6), ("weight 1\n", 6)] {
            assert_eq!(conf.matches(word).count(), count, "{word}");
        }
        assert!(toml.contains("192.168.0.1:10002") && conf.contains("192.168.0.1 10002"));
        assert_eq!(FEW.last_service(), "192.168.0.1:10002");
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
        for text in [balanced_toml(), empty_toml(), FEW.toml(true)] {
            let parsed = config::parse(&text);
            assert!(parsed.is_ok(), "{text}");
        }
    }
}
