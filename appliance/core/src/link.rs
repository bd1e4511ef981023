//! A link with all that the kernel knows of it. Must not: ask the kernel, or format for humans.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::control::{CarrierAge, InterfaceReport, StackReport};
use crate::traffic::{LinkCounters, LinkRates, elapsed_ms};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinksReport {
    /// When the counters were read, since the kernel started.
    pub read_at_ms: u64,
    pub links: Vec<LinkReport>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkReport {
    /// The kernel's name.
    pub link: String,
    /// The file's name; `null` for a link that the file does not name, or while the agent cannot be asked.
    pub interface: Option<String>,
    pub index: u32,
    /// `up`, `no-carrier`, `down`.
    pub state: String,
    #[serde(flatten)]
    pub stack: StackReport,
    /// VLANs that stand on it.
    pub vlans: Vec<String>,
    pub mac: Option<String>,
    /// The one that the card came with.
    pub permanent_mac: Option<String>,
    pub mtu: u32,
    /// `null` where the driver does not say, as virtual ones.
    pub speed_mbit: Option<u32>,
    /// `full`, `half`.
    pub duplex: Option<String>,
    /// `null` for a link that no card is behind.
    pub driver: Option<String>,
    pub rx_queues: u32,
    pub tx_queues: u32,
    /// Link-local ones too.
    pub addresses: Vec<String>,
    /// How often the carrier has come or gone since the link exists.
    pub carrier_changes: Option<u32>,
    pub carrier_age: Option<CarrierAge>,
    #[serde(flatten)]
    pub counters: LinkCounters,
    /// Kinds of errors and drops that were counted, in the kernel's words (struct rtnl_link_stats64).
    pub losses: BTreeMap<String, u64>,
    /// `null`: not asked for, or counted anew since the reading before.
    pub rates: Option<LinkRates>,
}

/// What the kernel makes for each kind of tunnel that it knows, by itself (fb_tunnel_dev; net/core/sysctl_net_core.c).
pub const FALLBACK_TUNNELS: [&str; 9] = [
    "tunl0", "sit0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip6gre0", "ip_vti0", "ip6_vti0",
];

impl LinkReport {
    /// A device for tunnels that the kernel has made for itself, and that nobody uses.
    pub fn is_unused_fallback(&self) -> bool {
        FALLBACK_TUNNELS.contains(&self.link.as_str())
            && self.state == "down"
            && self.mac.is_none()
            && self.interface.is_none()
            && self.addresses.is_empty()
    }
}

impl LinksReport {
    /// Takes over what only the agent knows.
    pub fn name(&mut self, interfaces: &[InterfaceReport]) {
        for link in &mut self.links {
            let mut all = interfaces.iter();
            if let Some(known) = all.find(|known| known.link.as_ref() == Some(&link.link)) {
                link.interface = known.label.clone();
                link.carrier_age = known.carrier_age;
            }
        }
    }

    /// Leaves the link that the file or the kernel calls so; the file's names come first, as everywhere. `false`: there is none.
    pub fn select(&mut self, name: &str) -> bool {
        let labelled = self
            .links
            .iter()
            .any(|link| link.interface.as_deref() == Some(name));
        self.links.retain(|link| match labelled {
            true => link.interface.as_deref() == Some(name),
            false => link.link == name,
        });
        !self.links.is_empty()
    }

    /// Fills in the rates since an earlier reading.
    pub fn rate_since(&mut self, before: &LinksReport) {
        let Some(over_ms) = elapsed_ms(before.read_at_ms, self.read_at_ms) else {
            return;
        };
        for link in &mut self.links {
            let then = before.links.iter().find(|then| then.index == link.index);
            link.rates = then.and_then(|then| link.counters.rates_since(&then.counters, over_ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(name: &str, index: u32, rx_bytes: u64) -> LinkReport {
        LinkReport {
            link: name.to_owned(),
            interface: None,
            index,
            state: "up".to_owned(),
            stack: StackReport::default(),
            vlans: Vec::new(),
            mac: None,
            permanent_mac: None,
            mtu: 1500,
            speed_mbit: None,
            duplex: None,
            driver: None,
            rx_queues: 1,
            tx_queues: 1,
            addresses: Vec::new(),
            carrier_changes: None,
            carrier_age: None,
            counters: LinkCounters {
                rx_bytes,
                ..LinkCounters::default()
            },
            losses: BTreeMap::new(),
            rates: None,
        }
    }

    #[test]
    fn rates_are_of_the_same_link() {
        let before = LinksReport {
            read_at_ms: 1_000,
            links: vec![link("eth0", 2, 0), link("eth1", 3, 500)],
        };
        let mut after = LinksReport {
            read_at_ms: 2_000,
            links: vec![link("eth0", 2, 1_000), link("eth1", 9, 600)],
        };
        after.rate_since(&before);
        assert_eq!(after.links[0].rates.unwrap().rx_bits_per_second, 8_000.0);
        assert_eq!(after.links[1].rates, None, "made anew");
    }

    #[test]
    fn a_tunnel_that_somebody_uses_is_a_link_as_others() {
        let unused = LinkReport {
            state: "down".to_owned(),
            ..link("tunl0", 2, 0)
        };
        assert!(unused.is_unused_fallback());
        let change = |change: fn(&mut LinkReport)| {
            let mut link = unused.clone();
            change(&mut link);
            link.is_unused_fallback()
        };
        assert!(!change(|link| link.state = "up".to_owned()));
        assert!(!change(|link| link.interface = Some("tunnel".to_owned())));
        assert!(!change(|link| link.addresses.push("192.0.2.1/32".to_owned())));
        // A card may be called so.
        assert!(!change(|link| link.mac = Some("52:54:00:00:00:01".to_owned())));
        assert!(!change(|link| link.link = "tunl1".to_owned()));
    }

    /// The file may call one link what the kernel calls another.
    #[test]
    fn the_files_names_come_first() {
        let mut swapped = [link("eth0", 2, 0), link("eth1", 3, 0)];
        swapped[0].interface = Some("eth1".to_owned());
        swapped[1].interface = Some("eth0".to_owned());
        for (name, index) in [("eth0", Some(3)), ("eth1", Some(2)), ("eth7", None)] {
            let mut report = LinksReport {
                read_at_ms: 1,
                links: swapped.to_vec(),
            };
            assert_eq!(report.select(name), index.is_some());
            assert_eq!(report.links.first().map(|link| link.index), index);
        }
    }
}
