//! VLANs, bonds and bridges as messages of rtnetlink, in both directions.
//! Must not: choose; what a kind is made of, the caller says.

use std::collections::BTreeMap;

use lb_core::link_kind::{
    BondMode, BondSettings, BridgeSettings, LINK_GROUP, LacpRate, LinkKind, XmitHashPolicy,
};
use lb_core::model::IfName;
use lb_core::rehearsal::StandIn;
use rtnetlink::packet_route::link::{
    BondLacpRate, BondMode as Mode, BondXmitHashPolicy, BridgeStpState, InfoBond, InfoBridge, InfoData,
    InfoKind, InfoVlan, LinkAttribute, LinkInfo, LinkMessage, VlanProtocol,
};

/// How many milliseconds one of the kernel's units of a bridge's times has (USER_HZ).
const BRIDGE_UNIT_MS: u32 = 10;

/// Names of all links by their index.
pub(super) type Names = BTreeMap<u32, IfName>;

/// The message that makes a link, or changes one (`live`: only what a running link takes). `index` finds a link.
pub(super) fn message<E>(
    link: &IfName,
    kind: &LinkKind,
    live: bool,
    mut index: impl FnMut(&IfName) -> Result<u32, E>,
) -> Result<LinkMessage, E> {
    let mut message = LinkMessage::default();
    let attributes = &mut message.attributes;
    attributes.push(LinkAttribute::IfName(link.to_string()));
    if !live {
        attributes.push(LinkAttribute::Group(LINK_GROUP));
    }
    let info = match kind {
        LinkKind::Vlan { parent, id } => {
            attributes.push(LinkAttribute::Link(index(parent)?));
            (InfoKind::Vlan, InfoData::Vlan(vec![InfoVlan::Id(*id)]))
        }
        LinkKind::Bond(bond) => {
            // Index 0 is no link: without a primary one.
            let primary = bond.primary.as_ref().map_or(Ok(0), index)?;
            (InfoKind::Bond, InfoData::Bond(bond_data(bond, primary, live)))
        }
        LinkKind::Bridge(bridge) => (InfoKind::Bridge, InfoData::Bridge(bridge_data(bridge))),
    };
    attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(info.0),
        LinkInfo::Data(info.1),
    ]));
    Ok(message)
}

/// The message that makes a link in a card's place. It takes part in everything that Ethernet links do.
pub(super) fn stand_in(card: &StandIn) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(card.name.to_string()),
        LinkAttribute::Address(card.mac.0.to_vec()),
        LinkAttribute::Mtu(card.mtu),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Dummy)]),
    ];
    message
}

fn bond_data(bond: &BondSettings, primary: u32, live: bool) -> Vec<InfoBond> {
    let mut data = Vec::new();
    if !live {
        data.push(InfoBond::Mode(to_mode(bond.mode)));
        data.extend(bond.lacp_rate.map(|rate| InfoBond::AdLacpRate(to_rate(rate))));
    }
    data.push(InfoBond::MiiMon(bond.miimon_ms));
    data.extend(
        bond.xmit_hash_policy
            .map(|policy| InfoBond::XmitHashPolicy(to_policy(policy))),
    );
    if bond.mode.has_primary() {
        data.push(InfoBond::Primary(primary));
    }
    data
}

fn bridge_data(bridge: &BridgeSettings) -> Vec<InfoBridge> {
    let state = match bridge.stp {
        true => BridgeStpState::KernelStp,
        false => BridgeStpState::Disabled,
    };
    let delay = bridge
        .forward_delay_ms
        .map(|ms| InfoBridge::ForwardDelay(ms / BRIDGE_UNIT_MS));
    delay.into_iter().chain([InfoBridge::StpState(state)]).collect()
}

/// `None`: a card, or something that we never make.
pub(super) fn kind(message: &LinkMessage, names: &Names) -> Option<LinkKind> {
    match data(message)? {
        InfoData::Vlan(infos) => vlan(message, infos, names),
        InfoData::Bond(infos) => bond(infos, names).map(LinkKind::Bond),
        InfoData::Bridge(infos) => Some(LinkKind::Bridge(bridge(infos))),
        _ => None,
    }
}

fn data(message: &LinkMessage) -> Option<&InfoData> {
    let infos = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    });
    infos?.iter().find_map(|info| match info {
        LinkInfo::Data(data) => Some(data),
        _ => None,
    })
}

fn vlan(message: &LinkMessage, infos: &[InfoVlan], names: &Names) -> Option<LinkKind> {
    let parent = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Link(index) => names.get(index),
        _ => None,
    });
    let (mut id, mut ours) = (None, true);
    for info in infos {
        match info {
            InfoVlan::Id(number) => id = Some(*number),
            InfoVlan::Protocol(protocol) => ours = *protocol == VlanProtocol::Ieee8021Q,
            _ => {}
        }
    }
    let (parent, id) = (parent?.clone(), id?);
    ours.then_some(LinkKind::Vlan { parent, id })
}

fn bond(infos: &[InfoBond], names: &Names) -> Option<BondSettings> {
    let (mut mode, mut miimon_ms) = (None, 0);
    let (mut primary, mut lacp_rate, mut xmit_hash_policy) = (None, None, None);
    for info in infos {
        match info {
            InfoBond::Mode(seen) => mode = BondMode::ALL.iter().find(|mode| to_mode(**mode) == *seen),
            InfoBond::MiiMon(ms) => miimon_ms = *ms,
            InfoBond::Primary(index) => primary = names.get(index).cloned(),
            InfoBond::AdLacpRate(seen) => {
                lacp_rate = LacpRate::ALL.iter().copied().find(|rate| to_rate(*rate) == *seen);
            }
            InfoBond::XmitHashPolicy(seen) => {
                let mut all = XmitHashPolicy::ALL.iter().copied();
                xmit_hash_policy = all.find(|policy| to_policy(*policy) == *seen);
            }
            _ => {}
        }
    }
    let settings = BondSettings {
        mode: *mode?,
        miimon_ms,
        primary,
        lacp_rate,
        xmit_hash_policy,
    };
    Some(settings.settled())
}

/// The link that carries a bond's traffic.
pub(super) fn active(message: &LinkMessage, names: &Names) -> Option<IfName> {
    let InfoData::Bond(infos) = data(message)? else {
        return None;
    };
    infos.iter().find_map(|info| match info {
        InfoBond::ActivePort(index) => names.get(index).cloned(),
        _ => None,
    })
}

fn bridge(infos: &[InfoBridge]) -> BridgeSettings {
    let (mut stp, mut delay) = (false, None);
    for info in infos {
        match info {
            InfoBridge::StpState(state) => stp = *state != BridgeStpState::Disabled,
            InfoBridge::ForwardDelay(units) => delay = Some(units * BRIDGE_UNIT_MS),
            _ => {}
        }
    }
    BridgeSettings {
        stp,
        forward_delay_ms: delay.filter(|_| stp),
    }
}

fn to_mode(mode: BondMode) -> Mode {
    match mode {
        BondMode::BalanceRr => Mode::BalanceRr,
        BondMode::ActiveBackup => Mode::ActiveBackup,
        BondMode::BalanceXor => Mode::BalanceXor,
        BondMode::Broadcast => Mode::Broadcast,
        BondMode::Lacp => Mode::Ieee8023Ad,
        BondMode::BalanceTlb => Mode::BalanceTlb,
        BondMode::BalanceAlb => Mode::BalanceAlb,
    }
}

fn to_rate(rate: LacpRate) -> BondLacpRate {
    match rate {
        LacpRate::Slow => BondLacpRate::Slow,
        LacpRate::Fast => BondLacpRate::Fast,
    }
}

fn to_policy(policy: XmitHashPolicy) -> BondXmitHashPolicy {
    match policy {
        XmitHashPolicy::Layer2 => BondXmitHashPolicy::Layer2,
        XmitHashPolicy::Layer34 => BondXmitHashPolicy::Layer34,
        XmitHashPolicy::Layer23 => BondXmitHashPolicy::Layer23,
        XmitHashPolicy::Encap23 => BondXmitHashPolicy::Encap23,
        XmitHashPolicy::Encap34 => BondXmitHashPolicy::Encap34,
        XmitHashPolicy::VlanSrcmac => BondXmitHashPolicy::VlanSrcMac,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> IfName {
        text.parse().unwrap()
    }

    /// What is asked for reads back as itself; a reading has more (times, ids) and says which links by their indices.
    #[test]
    fn every_kind_reads_as_it_was_written() {
        let names: Names = [(2, name("eth0")), (3, name("eth1"))].into();
        let index = |link: &IfName| names.iter().find(|(_, n)| *n == link).map(|(i, _)| *i).ok_or(());
        let bond = |mode| BondSettings {
            mode,
            miimon_ms: 100,
            primary: Some(name("eth1")),
            lacp_rate: Some(LacpRate::Fast),
            xmit_hash_policy: Some(XmitHashPolicy::Encap34),
        };
        let mut kinds: Vec<LinkKind> = BondMode::ALL
            .iter()
            .map(|mode| LinkKind::Bond(bond(*mode).settled()))
            .collect();
        kinds.push(LinkKind::Vlan {
            parent: name("eth0"),
            id: 4094,
        });
        for (stp, forward_delay_ms) in [(true, Some(4_000)), (false, None)] {
            kinds.push(LinkKind::Bridge(BridgeSettings {
                stp,
                forward_delay_ms,
            }));
        }
        for wanted in kinds {
            let written = message(&name("x0"), &wanted, false, index).unwrap();
            assert!(written.attributes.contains(&LinkAttribute::Group(LINK_GROUP)));
            assert_eq!(kind(&written, &names), Some(wanted));
        }
    }

    #[test]
    fn what_a_running_bond_refuses_is_not_sent() {
        let bond = BondSettings {
            mode: BondMode::Lacp,
            miimon_ms: 50,
            primary: None,
            lacp_rate: Some(LacpRate::Slow),
            xmit_hash_policy: Some(XmitHashPolicy::Layer34),
        };
        let live = bond_data(&bond, 0, true);
        let policy = InfoBond::XmitHashPolicy(BondXmitHashPolicy::Layer34);
        assert_eq!(live, [InfoBond::MiiMon(50), policy]);
        // No primary is a primary with index 0.
        let backup = BondSettings {
            mode: BondMode::ActiveBackup,
            ..bond
        };
        assert!(bond_data(&backup, 0, true).contains(&InfoBond::Primary(0)));
    }

    #[test]
    fn service_tags_are_not_ours() {
        let names: Names = [(2, name("eth0"))].into();
        let vlan = LinkKind::Vlan {
            parent: name("eth0"),
            id: 7,
        };
        let mut written = message(&name("x0"), &vlan, false, |_| Ok::<u32, ()>(2)).unwrap();
        written
            .attributes
            .retain(|attribute| !matches!(attribute, LinkAttribute::LinkInfo(_)));
        let infos = vec![InfoVlan::Id(7), InfoVlan::Protocol(VlanProtocol::Ieee8021Ad)];
        written.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Vlan),
            LinkInfo::Data(InfoData::Vlan(infos)),
        ]));
        assert_eq!(kind(&written, &names), None);
    }
}
