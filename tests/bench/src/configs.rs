//! One service, written for each side: as lb.toml for the appliance, as keepalived.conf for the reference (its haproxy.cfg is in
//! guest/comparison). Must not: give one side what the other does not get.

/// The service that traffic is balanced for, and the port of its servers.
pub const PORT: u16 = 8080;
/// On the appliance's config volume: what is in force, many services, and the same with one server changed.
pub const LB_TOML: &str = "lb.toml";
pub const MANY_TOML: &str = "many.toml";
pub const CHANGED_TOML: &str = "changed.toml";
/// The scenario's file in the reference's root.
pub const SCENARIO_CONF: &str = "etc/keepalived/scenario.conf";

const LINKS: &str = "hostname = \"lb\"\n\n\
    [[interface]]\nname = \"eth0\"\naddresses = [\"192.168.0.1/24\"]\n\n\
    [[interface]]\nname = \"eth1\"\naddresses = [\"172.16.0.254/16\"]\n";
const MASQUERADE: &str = "\n[[masquerade]]\nfrom = \"172.16.0.0/16\"\nout = \"eth0\"\n";
const BALANCED: &str = "\n[[virtual_server]]\nname = \"bench\"\nlisten = \"192.168.0.1:8080\"\nscheduler = \"rr\"\n\
    check = { type = \"tcp\", interval = \"10s\" }\n\n\
    [[virtual_server.real_server]]\naddress = \"172.16.0.11:8080\"\n\n\
    [[virtual_server.real_server]]\naddress = \"172.16.0.12:8080\"\n";

/// The appliance's lb.toml while traffic passes.
pub fn balanced_toml() -> String {
    format!("{LINKS}{MASQUERADE}{BALANCED}")
}

/// The links alone.
pub fn empty_toml() -> String {
    format!("{LINKS}{MASQUERADE}")
}

/// The links, with a way to servers behind another machine.
pub fn routed_toml(to: &str, via: &str) -> String {
    format!("{LINKS}routes = [{{ to = \"{to}\", via = \"{via}\" }}]\n{MASQUERADE}")
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

pub(crate) fn service_conf(port: u16, timing: &str, servers: &str) -> String {
    format!(
        "virtual_server 192.168.0.1 {port} {{\n    {timing}\n    lb_algo rr\n    lb_kind NAT\n    protocol TCP\n\n\
         {servers}}}\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::config;

    #[test]
    fn the_appliance_takes_them() {
        for text in [
            balanced_toml(),
            empty_toml(),
            routed_toml("10.100.0.0/16", "172.16.0.11"),
        ] {
            let parsed = config::parse(&text);
            assert!(parsed.is_ok(), "{text}");
        }
    }
}
