//! How the interfaces are built: what a VLAN stands on, what a bond or bridge is made of, and which of it is well.
//! Must not: change anything or format for humans.

use lb_core::config::{Interface, InterfaceKind};
use lb_core::control::{BondReport, BridgeReport, MemberReport, StackReport, VlanReport};
use lb_core::link_kind::LinkKind;
use lb_core::model::IfName;
use lb_core::observed::ObservedLink;

use super::interfaces::link_state;
use crate::engine::Engine;

impl Engine {
    /// What the file says of an interface; for a link that it does not name, what the kernel says.
    pub(super) fn stack(&self, label: Option<&String>, link: Option<&IfName>) -> StackReport {
        let seen = link.and_then(|name| self.observed.links.get(name));
        let interfaces = self.config.iter().flat_map(|config| &config.interfaces);
        let interface = interfaces
            .into_iter()
            .find(|interface| Some(&interface.label) == label);
        let mut report = match (interface, link) {
            (Some(interface), _) => self.described(interface, link, seen),
            (None, Some(name)) => self.found(name, seen),
            (None, None) => StackReport::default(),
        };
        report.master = seen.and_then(|link| link.master.as_ref()).map(IfName::to_string);
        report
    }

    fn described(
        &self,
        interface: &Interface,
        link: Option<&IfName>,
        seen: Option<&ObservedLink>,
    ) -> StackReport {
        let mut report = StackReport {
            kind: interface.kind.word().to_owned(),
            ..StackReport::default()
        };
        let members = interface.kind.members().iter();
        let members = members.map(|label| self.member(label, link)).collect();
        match &interface.kind {
            InterfaceKind::Card => {}
            InterfaceKind::Vlan(vlan) => {
                report.vlan = Some(VlanReport {
                    link: vlan.link.clone(),
                    id: vlan.id,
                });
            }
            InterfaceKind::Bond(bond) => {
                report.bond = Some(BondReport {
                    mode: bond.mode.to_string(),
                    active: active(seen),
                    links: members,
                });
            }
            InterfaceKind::Bridge(bridge) => {
                report.bridge = Some(BridgeReport {
                    stp: bridge.stp,
                    links: members,
                });
            }
        }
        report
    }

    /// A link of a bond or bridge, by its label.
    fn member(&self, label: &String, master: Option<&IfName>) -> MemberReport {
        let link = self.network.resolved.get(label).and_then(Option::as_ref);
        let seen = link.and_then(|name| self.observed.links.get(name));
        let free = seen.is_some_and(|link| link.master.as_ref() != master);
        MemberReport {
            link: link.map_or(label.clone(), IfName::to_string),
            state: if free { "free" } else { link_state(seen) }.to_owned(),
        }
    }

    fn found(&self, name: &IfName, seen: Option<&ObservedLink>) -> StackReport {
        let links = self.observed.links.iter();
        let links = links.filter(|(_, link)| link.master.as_ref() == Some(name));
        let links = links.map(|(member, link)| MemberReport {
            link: member.to_string(),
            state: link_state(Some(link)).to_owned(),
        });
        let mut report = StackReport::default();
        match seen.and_then(|link| link.kind.as_ref()) {
            None => {}
            Some(LinkKind::Vlan { parent, id }) => {
                report.kind = "vlan".to_owned();
                report.vlan = Some(VlanReport {
                    link: parent.to_string(),
                    id: *id,
                });
            }
            Some(LinkKind::Bond(bond)) => {
                report.kind = "bond".to_owned();
                report.bond = Some(BondReport {
                    mode: bond.mode.to_string(),
                    active: active(seen),
                    links: links.collect(),
                });
            }
            Some(LinkKind::Bridge(bridge)) => {
                report.kind = "bridge".to_owned();
                report.bridge = Some(BridgeReport {
                    stp: bridge.stp,
                    links: links.collect(),
                });
            }
        }
        report
    }

    /// Links without a carrier, where that is not told by what they stand on.
    pub(super) fn carrier_problems(&self) -> Vec<String> {
        let links = &self.observed.links;
        let lost = |link: &&ObservedLink| link.admin_up && !link.carrier;
        let mut problems = Vec::new();
        for (label, name) in &self.network.resolved {
            let Some(link) = name.as_ref().and_then(|name| links.get(name)).filter(lost) else {
                continue;
            };
            let parent = link.kind.as_ref().and_then(LinkKind::parent);
            if parent
                .and_then(|parent| links.get(parent))
                .is_some_and(|parent| !parent.carrier)
            {
                continue;
            }
            problems.push(match &link.kind {
                None => format!("interface {label} has no carrier; check the cable and the switch"),
                Some(kind) => format!(
                    "{} {label} has no carrier: none of its links has one; `interfaces` lists them",
                    kind.word()
                ),
            });
        }
        problems
    }
}

fn active(seen: Option<&ObservedLink>) -> Option<String> {
    seen?.active.as_ref().map(IfName::to_string)
}
