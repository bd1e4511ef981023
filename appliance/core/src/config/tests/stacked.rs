//! Configurations with bonds, VLANs and bridges, and how they are written; for the properties.

use std::fmt::Write;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::link_kind::{BondMode, LacpRate, XmitHashPolicy};

prop_compose! {
    /// A bond of cards that have no [[interface]] of their own, VLANs on it, a bridge of one of them and another card.
    pub fn stack()(
        mode in prop::sample::select(BondMode::ALL),
        count in 0usize..4,
        primary in any::<bool>(),
        rate in prop::sample::select(LacpRate::ALL),
        policy in prop::sample::select(XmitHashPolicy::ALL),
        miimon_ms in 10u64..=10_000,
        ids in prop::collection::btree_set(1u16..=4094, 0..4),
        bridge in prop::option::of(prop::option::of(2u64..=30)),
    ) -> Vec<Interface> {
        let plain = |label: &str, kind| Interface {
            label: label.to_owned(),
            selector: LinkSelector::Name(label.parse().unwrap()),
            kind,
            addresses: vec![],
            gateway: None,
            mtu: None,
            mss_clamp: None,
            routes: vec![],
        };
        if count == 0 {
            return vec![];
        }
        let links: Vec<String> = (0..count).map(|n| format!("nic{n}")).collect();
        let bond = Bond {
            primary: links.last().filter(|_| primary && mode.has_primary()).cloned(),
            links: links.clone(),
            mode,
            miimon: Duration::from_millis(miimon_ms),
            lacp_rate: (mode == BondMode::Lacp).then_some(rate),
            xmit_hash_policy: mode.has_hash().then_some(policy),
        };
        let mut all = vec![plain("bond0", InterfaceKind::Bond(bond))];
        let vlan = |id: &u16| Vlan { link: "bond0".to_owned(), id: *id };
        all.extend(ids.iter().map(|id| plain(&format!("v{id}"), InterfaceKind::Vlan(vlan(id)))));
        let mut bare = links;
        if let Some(delay) = bridge {
            let vlan = ids.first().map(|id| format!("v{id}"));
            let links = vlan.into_iter().chain(["nic9".to_owned()]).collect();
            let forward_delay = delay.map(Duration::from_secs);
            let bridge = Bridge { links, stp: delay.is_some(), forward_delay };
            all.push(plain("br0", InterfaceKind::Bridge(bridge)));
            bare.push("nic9".to_owned());
        }
        all.extend(bare.iter().map(|name| plain(name, InterfaceKind::Card)));
        all
    }
}

/// The key that makes an interface what it is.
pub fn write_kind(text: &mut String, kind: &InterfaceKind) {
    let _ = match kind {
        InterfaceKind::Card => Ok(()),
        InterfaceKind::Vlan(Vlan { link, id }) => {
            writeln!(text, "vlan = {{ link = \"{link}\", id = {id} }}")
        }
        InterfaceKind::Bond(bond) => {
            let miimon = time::show(bond.miimon);
            let mut keys = format!(
                "links = {:?}, mode = \"{}\", miimon = \"{miimon}\"",
                bond.links, bond.mode
            );
            let words = [
                ("primary", bond.primary.clone()),
                ("lacp_rate", bond.lacp_rate.map(|rate| rate.to_string())),
                (
                    "xmit_hash_policy",
                    bond.xmit_hash_policy.map(|policy| policy.to_string()),
                ),
            ];
            for (key, word) in words {
                keys.extend(word.map(|word| format!(", {key} = \"{word}\"")));
            }
            writeln!(text, "bond = {{ {keys} }}")
        }
        InterfaceKind::Bridge(Bridge {
            links,
            stp,
            forward_delay,
        }) => {
            let delay = forward_delay.map(|delay| format!(", forward_delay = \"{}s\"", delay.as_secs()));
            writeln!(
                text,
                "bridge = {{ links = {links:?}, stp = {stp}{} }}",
                delay.unwrap_or_default()
            )
        }
    };
}
