//! `[[masquerade]]`: whose connections take the address of the interface that they leave through.
//! Must not: know services.

use std::collections::BTreeMap;

use super::fault::{quoted, some_of};
use super::model::Masquerade;
use super::reader::{Reader, Section, Value};
use super::route::network;
use super::shape;
use super::topology::Topology;
use crate::model::MacAddress;

pub(super) fn read(reader: &mut Reader<'_>, root: &Section<'_, '_>, topology: &Topology) -> Vec<Masquerade> {
    let help = "write [[masquerade]] on a line of its own, then from = \"172.16.0.0/24\" and out = \"eth0\"";
    let mut masquerades = Vec::new();
    let mut seen = BTreeMap::new();
    for section in reader.tables(root, "masquerade", &shape::MASQUERADE, help) {
        let from = reader.required(
            &section,
            "from",
            "add the network behind the appliance: from = \"172.16.0.0/24\"",
        );
        let out = reader.required(
            &section,
            "out",
            "add the interface towards the outside: out = \"eth0\"",
        );
        let from = from.and_then(|value| network(reader, value));
        let out = out.and_then(|value| interface(reader, value, topology));
        let (Some(from), Some(out)) = (from, out) else {
            continue;
        };
        if let Some(first) = seen.get(&(*from.get_ref(), out.clone())) {
            let message = format!(
                "connections from {} through {out} are masqueraded twice",
                from.get_ref()
            );
            let help = format!("first on {}; remove one of the two", reader.line(first));
            reader.fault(from.span(), message, help);
        } else {
            seen.insert((*from.get_ref(), out.clone()), from.span());
        }
        masquerades.push(Masquerade {
            from: from.into_inner(),
            out,
        });
    }
    masquerades
}

/// The label of an interface of this file.
fn interface(reader: &mut Reader<'_>, value: Value<'_, '_>, topology: &Topology) -> Option<String> {
    let allowed = match some_of(topology.names.iter()) {
        known if known.is_empty() => {
            "this file has no [[interface]]; add the one towards the outside".to_owned()
        }
        known => format!("the interfaces of this file: {known}"),
    };
    let text = reader
        .leaf::<String>(value, |value| value.mismatch("text", &allowed))?
        .into_inner();
    let label = text
        .parse::<MacAddress>()
        .map_or_else(|_| text.clone(), |mac| mac.to_string());
    if topology.labels.contains_key(&label) {
        return Some(label);
    }
    if !topology.nameless && !reader.damage.hides_interfaces() {
        reader.fault(
            value.span(),
            format!("no interface of this file is named {}", quoted(&text)),
            allowed,
        );
    }
    None
}
