//! Many services, as lb.toml for the appliance and as keepalived.conf for the reference.
//! Must not: give one side what the other does not get.

use std::fmt::Write;

use serde::Serialize;

use crate::configs::{empty_toml, routed_toml, service_conf};

/// What both sides reload and start with, and nobody checks.
pub const MANY: Many = Many {
    services: 1_000,
    servers: 5,
    check: Check::None,
    pace: Pace::Steady,
};
/// The same with a check of each server every five seconds: 1,000 checks a second.
pub const CHECKED: Many = Many {
    check: Check::Tcp,
    ..MANY
};
/// The same, asked over HTTP.
pub const ASKED: Many = Many {
    check: Check::Http,
    ..MANY
};
/// Over HTTPS: 100 checks a second.
pub const ASKED_TLS: Many = Many {
    services: 100,
    check: Check::Https,
    ..MANY
};
/// A check of each server every second, so that one that refuses is known soon: 200 checks a second.
pub const WATCHED: Many = Many {
    services: 40,
    check: Check::Tcp,
    pace: Pace::Often,
    ..MANY
};
/// Over HTTP, as many.
pub const WATCHED_HTTP: Many = Many {
    check: Check::Http,
    ..WATCHED
};
/// Over HTTPS: 40 checks a second.
pub const WATCHED_TLS: Many = Many {
    services: 8,
    check: Check::Https,
    ..WATCHED
};
/// As many as the appliance has to hold.
pub const MOST: Many = Many { servers: 40, ..MANY };

/// How each server is checked. Those that are, are all addresses of one machine, where each of them answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    None,
    /// By a TCP connection.
    Tcp,
    /// `GET /`, whose status has to be 200.
    Http,
    /// The same over TLS, whoever answers.
    Https,
}

/// How often each server is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// Every five seconds, and a second time one second after a failure.
    Steady,
    /// Every second, and a second time 200 ms after a failure.
    Often,
}

impl Pace {
    /// Seconds between two checks of one server.
    const fn interval_s(self) -> usize {
        match self {
            Pace::Steady => 5,
            Pace::Often => 1,
        }
    }

    /// Milliseconds until a check that failed is made again.
    const fn again_ms(self) -> usize {
        match self {
            Pace::Steady => 1_000,
            Pace::Often => 200,
        }
    }
}

impl Check {
    pub fn as_str(self) -> &'static str {
        match self {
            Check::None => "unchecked",
            Check::Tcp => "checked",
            Check::Http => "checked-http",
            Check::Https => "checked-https",
        }
    }

    pub fn port(self) -> u16 {
        match self {
            Check::Https => 443,
            _ => 80,
        }
    }

    /// In lb.toml.
    fn toml(self, pace: Pace) -> String {
        let asks = match self {
            Check::None => return "type = \"none\"".to_owned(),
            Check::Tcp => "",
            Check::Http => "type = \"http\", path = \"/\", status = 200, ",
            Check::Https => "type = \"https\", path = \"/\", status = 200, verify = false, ",
        };
        format!(
            "{asks}interval = \"{}s\", timeout = \"1s\", retries = 1, retry_interval = \"{}ms\"",
            pace.interval_s(),
            pace.again_ms()
        )
    }

    /// In keepalived.conf. keepalived verifies no certificate.
    fn conf(self, pace: Pace) -> String {
        let (name, asks) = match self {
            Check::None => return String::new(),
            Check::Tcp => ("TCP_CHECK", ""),
            Check::Http => ("HTTP_GET", CONF_URL),
            Check::Https => ("SSL_GET", CONF_URL),
        };
        let again = pace.again_ms() as f64 / 1e3;
        format!(
            "        {name} {{\n{asks}            connect_timeout 1\n            retry 1\n            \
             delay_before_retry {again}\n        }}\n"
        )
    }
}

const CONF_URL: &str =
    "            url {\n                path /\n                status_code 200\n            }\n";

/// Many services with ports from [`Many::FIRST_PORT`] on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Many {
    pub services: usize,
    /// Of each.
    pub servers: usize,
    pub check: Check,
    pub pace: Pace,
}

impl Many {
    const FIRST_PORT: usize = 10_000;
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

    pub fn is_checked(self) -> bool {
        self.check != Check::None
    }

    pub fn checks_per_second(self) -> usize {
        self.total() / self.interval_s()
    }

    /// Seconds between two checks of one server.
    pub fn interval_s(self) -> usize {
        self.pace.interval_s()
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
        let which = if changed { "changed" } else { "many" };
        let often = match self.pace {
            Pace::Steady => "",
            Pace::Often => "-often",
        };
        format!("etc/keepalived/{which}-{}{often}.conf", self.check.as_str())
    }

    /// Without services.
    pub fn links_toml(self) -> String {
        match self.is_checked() {
            true => routed_toml(Self::NETWORK, Self::HOST),
            false => empty_toml(),
        }
    }

    pub fn toml(self, changed: bool) -> String {
        let mut text = self.links_toml();
        let check = self.check.toml(self.pace);
        for service in 0..self.services {
            let _ = write!(
                text,
                "\n[[virtual_server]]\nname = \"s{service}\"\nlisten = \"{}\"\nscheduler = \"rr\"\n\
                 check = {{ {check} }}\n",
                Self::service(service)
            );
            for server in 0..self.servers {
                let address = self.server(service, server);
                let _ = write!(text, "[[virtual_server.real_server]]\naddress = \"{address}\"\n");
                let weight = self.weight(service, server, changed);
                if weight != 1 {
                    let _ = writeln!(text, "weight = {weight}");
                }
            }
        }
        text
    }

    pub fn conf(self, changed: bool) -> String {
        let check = self.check.conf(self.pace);
        let timing = format!("delay_loop {}", self.interval_s());
        let services = (0..self.services).map(|service| {
            let servers: String = (0..self.servers)
                .map(|server| {
                    let address = self.address(service, server);
                    let (port, weight) = (self.check.port(), self.weight(service, server, changed));
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
                let address = self.server(number, server);
                let _ = writeln!(text, "-a -t {service} -r {address} -m -w 1");
            }
        }
        text
    }

    /// `ADDRESS:PORT` of the service and the server with this number, and the server's address.
    pub fn numbered(self, number: usize) -> (String, String, String) {
        let (service, server) = (number / self.servers, number % self.servers);
        let address = self.address(service, server);
        (Self::service(service), self.server(service, server), address)
    }

    fn server(self, service: usize, server: usize) -> String {
        format!("{}:{}", self.address(service, server), self.check.port())
    }

    fn address(self, service: usize, server: usize) -> String {
        let number = service * self.servers + server;
        let network = if self.is_checked() { "10.100" } else { "172.16" };
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
        check: Check::None,
        pace: Pace::Steady,
    };

    fn few(check: Check) -> Many {
        Many { check, ..FEW }
    }

    #[test]
    fn both_sides_have_the_same_services_and_servers() {
        for (many, checks) in [(FEW, 0), (few(Check::Tcp), 6)] {
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
    fn a_server_of_many_is_where_the_files_have_it() {
        let (service, server, address) = few(Check::Https).numbered(3);
        assert_eq!(
            (service.as_str(), server.as_str()),
            ("192.168.0.1:10001", "10.100.1.4:443")
        );
        assert!(few(Check::Https).toml(false).contains(&format!("\"{server}\"")));
        let conf = few(Check::Https).conf(false);
        assert!(conf.contains(&format!("real_server {address} 443 ")), "{conf}");
        assert_eq!(conf.matches("SSL_GET").count(), 6);
        assert_eq!(ASKED_TLS.checks_per_second(), 100);
    }

    #[test]
    fn the_appliance_takes_them() {
        for check in [Check::None, Check::Tcp, Check::Http, Check::Https] {
            for pace in [Pace::Steady, Pace::Often] {
                let text = Many { pace, ..few(check) }.toml(true);
                let parsed = config::parse(&text);
                assert!(parsed.is_ok(), "{text}");
            }
        }
    }
}
