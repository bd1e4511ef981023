//! The links that the appliance makes: VLANs, bonds and bridges, in the kernel's words.
//! Must not: know who asked for them, or what is on them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::IfName;

/// IFLA_GROUP of every link that the appliance has made: how it knows them again, after a restart as well. It is set in the
/// same message that makes the link. Group 0 is everybody's.
pub const LINK_GROUP: u32 = 205;

/// The mtu (bytes) of an Ethernet link that nobody has given another.
pub const ETHERNET_MTU: u32 = 1500;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $(#[serde(rename = $word)] $variant),+
        }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$variant),+];
            /// In the order of [`Self::ALL`].
            pub const WORDS: &[&str] = &[$($word),+];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word),+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// How a bond uses its links (bond_mode_tbl).
    BondMode {
        BalanceRr = "balance-rr",
        ActiveBackup = "active-backup",
        BalanceXor = "balance-xor",
        Broadcast = "broadcast",
        Lacp = "802.3ad",
        BalanceTlb = "balance-tlb",
        BalanceAlb = "balance-alb"
    }
}

words! {
    /// How often the partner is asked for LACPDUs (bond_lacp_rate_tbl): every 30 s or every second.
    LacpRate { Slow = "slow", Fast = "fast" }
}

words! {
    /// What decides which link a packet takes (xmit_hashtype_tbl).
    XmitHashPolicy {
        Layer2 = "layer2",
        Layer34 = "layer3+4",
        Layer23 = "layer2+3",
        Encap23 = "encap2+3",
        Encap34 = "encap3+4",
        VlanSrcmac = "vlan+srcmac"
    }
}

impl BondMode {
    /// bond_uses_primary.
    pub fn has_primary(self) -> bool {
        matches!(
            self,
            BondMode::ActiveBackup | BondMode::BalanceTlb | BondMode::BalanceAlb
        )
    }

    /// Whether packets are spread by the hash of their addresses (bond_mode_uses_xmit_hash, as far as it is not switched
    /// off by tlb_dynamic_lb, which is on).
    pub fn has_hash(self) -> bool {
        matches!(self, BondMode::BalanceXor | BondMode::Lacp)
    }
}

/// A bond without its links. What its mode has no use for is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BondSettings {
    pub mode: BondMode,
    /// How often the carriers are looked at.
    pub miimon_ms: u32,
    pub primary: Option<IfName>,
    pub lacp_rate: Option<LacpRate>,
    pub xmit_hash_policy: Option<XmitHashPolicy>,
}

impl BondSettings {
    /// Leaves out what the mode has no use for.
    pub fn settled(mut self) -> BondSettings {
        self.primary = self.primary.filter(|_| self.mode.has_primary());
        self.lacp_rate = self.lacp_rate.filter(|_| self.mode == BondMode::Lacp);
        self.xmit_hash_policy = self.xmit_hash_policy.filter(|_| self.mode.has_hash());
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BridgeSettings {
    pub stp: bool,
    /// How long a port listens and then learns before it forwards; without STP nothing waits.
    pub forward_delay_ms: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkKind {
    /// IEEE 802.1Q.
    Vlan {
        parent: IfName,
        id: u16,
    },
    Bond(BondSettings),
    Bridge(BridgeSettings),
}

impl LinkKind {
    /// The kernel's word (IFLA_INFO_KIND).
    pub fn word(&self) -> &'static str {
        match self {
            LinkKind::Vlan { .. } => "vlan",
            LinkKind::Bond(_) => "bond",
            LinkKind::Bridge(_) => "bridge",
        }
    }

    pub fn parent(&self) -> Option<&IfName> {
        match self {
            LinkKind::Vlan { parent, .. } => Some(parent),
            LinkKind::Bond(_) | LinkKind::Bridge(_) => None,
        }
    }

    pub fn is_bond(&self) -> bool {
        matches!(self, LinkKind::Bond(_))
    }

    /// Whether a link of this kind can be changed into `wanted`, or has to be made anew: a VLAN keeps its parent and id, and a
    /// bond's mode and LACP rate are for bonds without links (BOND_OPTFLAG_NOSLAVES, BOND_OPTFLAG_IFDOWN).
    pub fn can_become(&self, wanted: &LinkKind) -> bool {
        match (self, wanted) {
            (LinkKind::Vlan { .. }, LinkKind::Vlan { .. }) => self == wanted,
            (LinkKind::Bond(seen), LinkKind::Bond(wanted)) => {
                (seen.mode, seen.lacp_rate) == (wanted.mode, wanted.lacp_rate)
            }
            (LinkKind::Bridge(_), LinkKind::Bridge(_)) => true,
            _ => false,
        }
    }
}

/// What `ip link add NAME` and `ip link set NAME` take behind the name.
impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkKind::Vlan { parent, id } => write!(f, "link {parent} type vlan id {id}"),
            LinkKind::Bond(bond) => {
                write!(f, "type bond mode {} miimon {}", bond.mode, bond.miimon_ms)?;
                if let Some(primary) = &bond.primary {
                    write!(f, " primary {primary}")?;
                }
                if let Some(rate) = bond.lacp_rate {
                    write!(f, " lacp_rate {rate}")?;
                }
                if let Some(policy) = bond.xmit_hash_policy {
                    write!(f, " xmit_hash_policy {policy}")?;
                }
                Ok(())
            }
            LinkKind::Bridge(bridge) => {
                write!(f, "type bridge stp_state {}", u8::from(bridge.stp))?;
                if let Some(ms) = bridge.forward_delay_ms {
                    // In hundredths of a second, as ip has it.
                    write!(f, " forward_delay {}", ms / 10)?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_kernels_in_both_directions() {
        for (mode, word) in BondMode::ALL.iter().zip(BondMode::WORDS) {
            assert_eq!(mode.as_str(), *word);
        }
        assert_eq!(XmitHashPolicy::ALL.len(), 6);
    }

    #[test]
    fn a_link_prints_as_ip_takes_it() {
        let bond = BondSettings {
            mode: BondMode::Lacp,
            miimon_ms: 100,
            primary: Some("eth0".parse().unwrap()),
            lacp_rate: Some(LacpRate::Fast),
            xmit_hash_policy: Some(XmitHashPolicy::Layer34),
        };
        assert_eq!(
            LinkKind::Bond(bond.settled()).to_string(),
            "type bond mode 802.3ad miimon 100 lacp_rate fast xmit_hash_policy layer3+4"
        );
        let bridge = BridgeSettings {
            stp: true,
            forward_delay_ms: Some(4_000),
        };
        assert_eq!(
            LinkKind::Bridge(bridge).to_string(),
            "type bridge stp_state 1 forward_delay 400"
        );
    }
}
