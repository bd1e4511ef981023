//! How interfaces are built on each other: that what they name is there, is of a kind that fits, belongs to one only, and that
//! nothing stands on itself. Must not: know the keys; `links` reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::fault::{quoted, some_of};
use super::interface::{MTU_MIN_V6, interface_name};
use super::links::Below;
use super::model::{Interface, InterfaceKind, LinkSelector};
use super::reader::Reader;
use super::topology::{InterfaceIndex, Topology};
use crate::link_kind::ETHERNET_MTU;

/// Reports what does not fit, and notes in `topology` whose links belong to whom.
pub(super) fn judge(reader: &mut Reader<'_>, topology: &mut Topology, below: &[Below]) {
    let mut stack = Stack {
        below,
        targets: BTreeMap::new(),
    };
    stack.find_targets(reader, topology);
    stack.judge_members(reader, topology);
    stack.judge_vlans(reader, topology);
    stack.judge_circles(reader, topology);
}

/// The links of bonds and bridges that no [[interface]] describes, as interfaces.
pub(super) fn undescribed(topology: &Topology, below: &[Below]) -> Vec<Interface> {
    let members = below.iter().flat_map(|below| below.kind.members());
    let mut seen = BTreeSet::new();
    members
        .filter(|label| !topology.labels.contains_key(*label) && seen.insert(*label))
        .filter_map(|label| {
            Some(Interface {
                label: label.clone(),
                selector: LinkSelector::Name(label.parse().ok()?),
                kind: InterfaceKind::Card,
                addresses: Vec::new(),
                gateway: None,
                mtu: None,
                mss_clamp: None,
                routes: Vec::new(),
            })
        })
        .collect()
}

/// The kernel's limit for links on top of each other (MAX_NEST_DEV).
const MAX_HEIGHT: usize = 8;

struct Stack<'b> {
    below: &'b [Below],
    /// What is named at a place, where that is an interface of the file.
    targets: BTreeMap<usize, InterfaceIndex>,
}

impl Stack<'_> {
    fn find_targets(&mut self, reader: &mut Reader<'_>, topology: &Topology) {
        let unsure = topology.nameless || reader.damage.hides_interfaces();
        for below in self.below {
            let is_vlan = matches!(below.kind, InterfaceKind::Vlan(_));
            for (label, span) in below.kind.below().iter().zip(&below.spans) {
                if let Some(target) = topology.labels.get(label) {
                    self.targets.insert(span.start, *target);
                } else if is_vlan {
                    if !unsure {
                        let message = format!("no interface of this file is named {}", quoted(label));
                        let known = some_of(topology.names.iter());
                        let help = format!(
                            "add [[interface]] with name = \"{label}\" and addresses = []; there are: {known}"
                        );
                        reader.fault(span.clone(), message, help);
                    }
                } else if !label.contains(':') {
                    if let Err(wrong) = interface_name(label) {
                        reader.faults.add(span.clone(), wrong);
                    }
                } else if !unsure {
                    let message = format!("no interface of this file is named {}", quoted(label));
                    let help = format!("add [[interface]] with match = {{ mac = \"{label}\" }}");
                    reader.fault(span.clone(), message, help);
                }
            }
        }
    }

    /// A link belongs to one bond or bridge, and then it has nothing of its own.
    fn judge_members(&self, reader: &mut Reader<'_>, topology: &mut Topology) {
        let mut taken: BTreeMap<String, (InterfaceIndex, Range<usize>)> = BTreeMap::new();
        for (index, below) in self.below.iter().enumerate() {
            let master = topology.names[index].clone();
            for (label, span) in below.kind.members().iter().zip(&below.spans) {
                if let Some((first, place)) = taken.get(label) {
                    let message = format!("{} belongs to {}", quoted(label), topology.names[*first]);
                    let help = format!(
                        "that is said on {}; a link is in one bond or bridge only",
                        reader.line(place)
                    );
                    reader.fault(span.clone(), message, help);
                    continue;
                }
                taken.insert(label.clone(), (index, span.clone()));
                topology.members.insert(label.clone(), master.clone());
                if let Some(target) = self.targets.get(&span.start).filter(|target| **target != index) {
                    self.judge_member(reader, &master, &below.kind, (label, span), &self.below[*target]);
                }
            }
        }
    }

    fn judge_member(
        &self,
        reader: &mut Reader<'_>,
        master: &str,
        kind: &InterfaceKind,
        (label, span): (&str, &Range<usize>),
        member: &Below,
    ) {
        let bond = matches!(kind, InterfaceKind::Bond(_));
        match &member.kind {
            InterfaceKind::Vlan(_) | InterfaceKind::Bond(_) | InterfaceKind::Bridge(_) if bond => {
                let message = format!("{label} is a {}, and no card", member.kind.word());
                let help = "a bond's links are network cards; VLANs and bridges stand on the bond";
                reader.fault(span.clone(), message, help);
            }
            InterfaceKind::Bridge(_) => {
                let help = "a bridge's links are cards, bonds and VLANs; name those of the other bridge";
                reader.fault(span.clone(), format!("{label} is a bridge itself"), help);
            }
            _ => {}
        }
        if let Some((key, at)) = &member.own {
            let message = format!("{label} belongs to {master}, and cannot have `{key}`");
            let help = format!("that is said on {}; move it to {master}", reader.line(span));
            reader.fault(at.clone(), message, help);
        }
        if let Some(mtu) = member.mtu.as_ref().filter(|_| bond) {
            let message = format!("the mtu of {label} is that of {master}");
            reader.fault(
                mtu.span(),
                message,
                format!("remove it, and give {master} an `mtu`"),
            );
        }
    }

    fn judge_vlans(&self, reader: &mut Reader<'_>, topology: &Topology) {
        let mut taken: BTreeMap<(&str, u16), Range<usize>> = BTreeMap::new();
        for below in self.below {
            let (InterfaceKind::Vlan(vlan), [span], Some(id)) = (&below.kind, &below.spans[..], &below.id)
            else {
                continue;
            };
            if let Some(first) = taken.get(&(vlan.link.as_str(), vlan.id)) {
                let message = format!("VLAN {} of {} is there twice", vlan.id, vlan.link);
                let help = format!("first on {}; remove one of the two", reader.line(first));
                reader.fault(id.clone(), message, help);
            } else {
                taken.insert((&vlan.link, vlan.id), id.clone());
            }
            if let Some(master) = topology.members.get(&vlan.link) {
                let message = format!(
                    "{} belongs to {master}, and carries no VLAN of its own",
                    vlan.link
                );
                reader.fault(span.clone(), message, format!("write link = \"{master}\""));
            }
            self.judge_mtu(reader, below, (&vlan.link, span));
        }
    }

    /// A VLAN's packets pass through the link below it.
    fn judge_mtu(&self, reader: &mut Reader<'_>, below: &Below, (link, span): (&str, &Range<usize>)) {
        let parent = self
            .targets
            .get(&span.start)
            .map(|target| self.mtu(*target, MAX_HEIGHT));
        if let (Some(mtu), Some(most)) = (&below.mtu, parent)
            && *mtu.get_ref() > most
        {
            let mtu_text = *mtu.get_ref();
            let message = format!("an mtu of {mtu_text} is above that of {link}, {most}");
            let help = format!("at most {most}, or give {link} mtu = {mtu_text}");
            reader.fault(mtu.span(), message, help);
        }
        if let (None, Some(..MTU_MIN_V6), Some(six)) = (&below.mtu, parent, &below.six) {
            let message = format!(
                "the mtu of {link}, {}, is too small for `{six}`",
                parent.unwrap_or_default()
            );
            let help =
                format!("IPv6 needs {MTU_MIN_V6} (RFC 8200): give {link} an mtu of {MTU_MIN_V6} or more");
            reader.fault(span.clone(), message, help);
        }
    }

    /// What an interface can carry: its own mtu, or that of what is below a VLAN.
    fn mtu(&self, index: InterfaceIndex, depth: usize) -> u32 {
        let below = &self.below[index];
        let inherited = match (&below.kind, below.spans.first()) {
            (InterfaceKind::Vlan(_), Some(span)) if depth > 0 => self.targets.get(&span.start),
            _ => None,
        };
        match (&below.mtu, inherited) {
            (Some(mtu), _) => *mtu.get_ref(),
            (None, Some(parent)) => self.mtu(*parent, depth - 1),
            (None, None) => ETHERNET_MTU,
        }
    }

    /// Circles, each at the place where the walk comes back to where it has been; and what is too high.
    fn judge_circles(&self, reader: &mut Reader<'_>, topology: &Topology) {
        let mut heights = BTreeMap::new();
        for start in 0..self.below.len() {
            self.height(reader, topology, start, &mut Vec::new(), &mut heights);
        }
    }

    /// How many links an interface stands on, one on the other.
    fn height(
        &self,
        reader: &mut Reader<'_>,
        topology: &Topology,
        index: InterfaceIndex,
        path: &mut Vec<(InterfaceIndex, Range<usize>)>,
        heights: &mut BTreeMap<InterfaceIndex, usize>,
    ) -> usize {
        if let Some(from) = path.iter().position(|(earlier, _)| *earlier == index) {
            report_circle(reader, topology, &path[from..]);
            return 0;
        }
        if let Some(height) = heights.get(&index) {
            return *height;
        }
        let mut height = 0;
        for span in &self.below[index].spans {
            let Some(next) = self.targets.get(&span.start) else {
                continue;
            };
            path.push((index, span.clone()));
            // Those above the limit are known to be too high without looking further down.
            if path.len() <= MAX_HEIGHT + 1 {
                height = height.max(1 + self.height(reader, topology, *next, path, heights));
            }
            path.pop();
            if height == MAX_HEIGHT + 1 {
                let message = format!("more than {MAX_HEIGHT} links on top of each other");
                let help = "take some out; one VLAN on a bond is what most networks need";
                reader.fault(span.clone(), message, help);
            }
        }
        heights.insert(index, height);
        height
    }
}

fn report_circle(reader: &mut Reader<'_>, topology: &Topology, circle: &[(InterfaceIndex, Range<usize>)]) {
    let ([(first, _), ..], [.., (_, span)]) = (circle, circle) else {
        return;
    };
    let steps: Vec<String> = circle
        .iter()
        .map(|(at, span)| format!("{} ({})", topology.names[*at], reader.line(span)))
        .collect();
    let name = &topology.names[*first];
    let message = format!("{name} is built on itself: {} on {name}", steps.join(" on "));
    reader.fault(span.clone(), message, "take one of these links out of the circle");
}
