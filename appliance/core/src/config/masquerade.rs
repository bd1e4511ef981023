//! `[[masquerade]]`: whose connections take the address of the interface that they leave through.
//! Must not: know services.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::address::family;
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
        let to = section
            .value("to")
            .and_then(|value| address(reader, value, topology, &out, from.get_ref()));
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
            to,
        });
    }
    masquerades
}

/// An address of the interface `out`, of the family of `from`.
fn address(
    reader: &mut Reader<'_>,
    value: Value<'_, '_>,
    topology: &Topology,
    out: &str,
    from: &IpNet,
) -> Option<IpAddr> {
    let interface = topology.labels.get(out).copied();
    let owned = topology.owned(from.addr().is_ipv4());
    let here = owned.filter(|address| topology.owner(*address) == interface);
    let allowed = match some_of(here) {
        here if here.is_empty() => format!("{out} has no {} address", family(from.addr())),
        here => format!("the addresses of {out}: {here}"),
    };
    let to = reader
        .leaf::<IpAddr>(value, |value| {
            value.mismatch("an address without prefix length", &allowed)
        })?
        .into_inner();
    let same_family = to.is_ipv4() == from.addr().is_ipv4();
    if (topology.owner(to) == interface && same_family) || reader.damage.hides_interfaces() {
        return Some(to);
    }
    let message = match same_family {
        true => format!("`{to}` is no address of {out}, so that answers would not come back"),
        false => format!("`{to}` is {}, and `from` is {}", family(to), family(from.addr())),
    };
    reader.fault(value.span(), message, allowed);
    None
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
