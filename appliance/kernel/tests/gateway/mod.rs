//! A client outside, a server inside, and the gateway between them, which holds the table.
#![allow(clippy::unwrap_used)] // Tests: a panic is the failure report.

use std::time::Duration;

use lb_core::plan::Step;
use lb_core::ports::KernelPort;
use lb_core::ruleset::{Chain, Rule, Ruleset};
use lb_kernel::{Kernel, Parts};

use crate::namespace::Peer;

/// A packet that is dropped shows as nothing for this long; one that passes needs far less.
pub const PATIENCE: Duration = Duration::from_millis(800);

pub struct Network {
    pub kernel: Kernel,
    pub client: Peer,
    pub server: Peer,
}

impl Network {
    /// client 198.51.100.10 -- wan0 .1 [gateway] lan0 172.16.0.254 -- server 172.16.0.11, and the same in IPv6.
    pub fn new() -> Network {
        let (client, server) = (Peer::new(), Peer::new());
        client.connect("wan0", "eth0", &["198.51.100.10/24", "2001:db8:a::10/64"]);
        server.connect("lan0", "eth0", &["172.16.0.11/24", "2001:db8:b::11/64"]);
        let mut kernel = Kernel::open(Parts { ipvs: false }).unwrap();
        for (link, address) in [
            ("wan0", "198.51.100.1/24"),
            ("wan0", "2001:db8:a::1/64"),
            ("lan0", "172.16.0.254/24"),
            ("lan0", "2001:db8:b::fe/64"),
        ] {
            let link: lb_core::model::IfName = link.parse().unwrap();
            let address = address.parse().unwrap();
            kernel.apply(&Step::SetLinkUp(link.clone())).unwrap();
            kernel.apply(&Step::AddAddress { link, address }).unwrap();
        }
        server.sh("ip route add default via 172.16.0.254; ip -6 route add default via 2001:db8:b::fe");
        client.sh("ip route add 172.16.0.0/24 via 198.51.100.1");
        for name in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            let (name, value) = (name.to_owned(), "1".to_owned());
            kernel.apply(&Step::SetSysctl { name, value }).unwrap();
        }
        Network {
            kernel,
            client,
            server,
        }
    }

    pub fn rules(&mut self, rules: Ruleset) {
        self.kernel.apply(&Step::ReplaceRuleset(Box::new(rules))).unwrap();
    }
}

/// What the box answers, with these services.
pub fn open_for(services: &[&str]) -> Ruleset {
    let input = [
        Rule::AcceptLoopback,
        Rule::AcceptEstablished,
        Rule::AcceptIcmp,
        Rule::AcceptIcmpv6,
        Rule::AcceptServices4,
        Rule::AcceptServices6,
    ];
    Ruleset::for_services(services.iter().map(|s| s.parse().unwrap())).with(Chain::Input, input)
}
