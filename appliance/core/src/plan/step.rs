//! One change of the kernel's state, complete in itself: the executor has no choices left.

use std::fmt;

use ipnet::IpNet;

use crate::config::Route;
use crate::desired::DesiredReal;
use crate::link_kind::{LINK_GROUP, LinkKind};
use crate::model::{IfName, RealKey, VirtualKey, VirtualSettings};
use crate::observed::{ForeignService, IpvsTimeouts, SysctlName};
use crate::ruleset::{Chain, Ruleset};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    SetHostname(String),
    SetSysctl {
        name: SysctlName,
        value: String,
    },
    /// The whole table, in one transaction: the old content or the new, never a part.
    ReplaceRuleset(Box<Ruleset>),
    /// Removes the table `inet lb`.
    DeleteRuleset,
    /// Makes a link that carries our mark, switched off.
    CreateLink {
        link: IfName,
        kind: Box<LinkKind>,
    },
    /// Settings that a link of this kind takes while it runs.
    ChangeLink {
        link: IfName,
        kind: Box<LinkKind>,
    },
    /// Puts our mark on a link that somebody else has made.
    ClaimLink(IfName),
    /// With it go the VLANs on it; its links are free again.
    DeleteLink(IfName),
    SetMaster {
        link: IfName,
        master: IfName,
    },
    ReleaseLink(IfName),
    SetLinkUp(IfName),
    SetLinkDown(IfName),
    SetMtu {
        link: IfName,
        mtu: u32,
    },
    AddAddress {
        link: IfName,
        address: IpNet,
    },
    DeleteAddress {
        link: IfName,
        address: IpNet,
    },
    AddRoute {
        link: IfName,
        route: Route,
    },
    DeleteRoute {
        link: IfName,
        route: Route,
    },
    SetIpvsTimeouts(IpvsTimeouts),
    AddVirtual {
        service: VirtualKey,
        settings: VirtualSettings,
    },
    EditVirtual {
        service: VirtualKey,
        settings: VirtualSettings,
    },
    DeleteVirtual(VirtualKey),
    AddReal {
        service: VirtualKey,
        server: RealKey,
        real: DesiredReal,
    },
    EditReal {
        service: VirtualKey,
        server: RealKey,
        real: DesiredReal,
    },
    DeleteReal {
        service: VirtualKey,
        server: RealKey,
    },
    DeleteForeign(ForeignService),
    /// Tells the neighbours who owns an address (gratuitous ARP, unsolicited neighbour advertisement).
    Announce {
        link: IfName,
        address: std::net::IpAddr,
    },
}

impl Step {
    /// Whether packets may take another way afterwards: links, addresses, routes.
    pub fn moves_packets(&self) -> bool {
        matches!(
            self,
            Step::CreateLink { .. }
                | Step::ChangeLink { .. }
                | Step::DeleteLink(_)
                | Step::SetMaster { .. }
                | Step::ReleaseLink(_)
                | Step::SetLinkUp(_)
                | Step::SetLinkDown(_)
                | Step::AddAddress { .. }
                | Step::DeleteAddress { .. }
                | Step::AddRoute { .. }
                | Step::DeleteRoute { .. }
        )
    }

    /// The virtual server whose pool the step changes.
    pub fn service(&self) -> Option<VirtualKey> {
        match self {
            Step::AddVirtual { service, .. }
            | Step::EditVirtual { service, .. }
            | Step::DeleteVirtual(service)
            | Step::AddReal { service, .. }
            | Step::EditReal { service, .. }
            | Step::DeleteReal { service, .. } => Some(*service),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::SetHostname(name) => write!(f, "set hostname {name}"),
            Step::SetSysctl { name, value } => write!(f, "set sysctl {name} {value}"),
            Step::ReplaceRuleset(rules) => {
                write!(f, "replace ruleset: {} services", rules.services.len())?;
                if !rules.marks.is_empty() {
                    write!(f, ", {} ranges of ports", rules.marks.len())?;
                }
                if !rules.answers.is_empty() {
                    write!(f, ", {} sources of answers", rules.answers.len())?;
                }
                let chains = Chain::ALL.iter().filter(|chain| rules.has(**chain));
                for chain in chains {
                    write!(f, ", {} {}", rules.rules(*chain).len(), chain.name())?;
                }
                Ok(())
            }
            Step::DeleteRuleset => f.write_str("delete ruleset"),
            Step::CreateLink { link, kind } => write!(f, "add link {link} {kind}"),
            Step::ChangeLink { link, kind } => write!(f, "set link {link} {kind}"),
            Step::ClaimLink(link) => write!(f, "set link {link} group {LINK_GROUP}"),
            Step::DeleteLink(link) => write!(f, "delete link {link}"),
            Step::SetMaster { link, master } => write!(f, "set link {link} master {master}"),
            Step::ReleaseLink(link) => write!(f, "set link {link} nomaster"),
            Step::SetLinkUp(link) => write!(f, "set link {link} up"),
            Step::SetLinkDown(link) => write!(f, "set link {link} down"),
            Step::SetMtu { link, mtu } => write!(f, "set link {link} mtu {mtu}"),
            Step::AddAddress { link, address } => write!(f, "add address {address} to {link}"),
            Step::DeleteAddress { link, address } => {
                write!(f, "delete address {address} from {link}")
            }
            Step::AddRoute { link, route } => {
                write!(f, "add route {} via {} dev {link}", route.to, route.via)
            }
            Step::DeleteRoute { link, route } => {
                write!(f, "delete route {} via {} dev {link}", route.to, route.via)
            }
            Step::SetIpvsTimeouts(t) => {
                write!(
                    f,
                    "set ipvs timeouts tcp {} fin {} udp {}",
                    t.tcp_s, t.tcp_fin_s, t.udp_s
                )
            }
            Step::AddVirtual { service, settings } => write!(f, "add virtual {service} {settings}"),
            Step::EditVirtual { service, settings } => write!(f, "edit virtual {service} {settings}"),
            Step::DeleteVirtual(service) => write!(f, "delete virtual {service}"),
            Step::AddReal {
                service,
                server,
                real,
            } => {
                write!(f, "add real {server} {real} to {service}")
            }
            Step::EditReal {
                service,
                server,
                real,
            } => {
                write!(f, "edit real {server} {real} of {service}")
            }
            Step::DeleteReal { service, server } => {
                write!(f, "delete real {server} from {service}")
            }
            Step::DeleteForeign(service) => write!(f, "delete foreign virtual {service}"),
            Step::Announce { link, address } => write!(f, "announce {address} on {link}"),
        }
    }
}
