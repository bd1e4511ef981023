//! `[[masquerade]]`: whose connections take an address of the interface that they leave through.
//! Must not: know services.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;

use super::address::family;
use super::fault::{quoted, some_of};
use super::model::Masquerade;
use super::reader::{Reader, Section, Value};
use super::route::network;
use super::shape;
use super::topology::Topology;
use crate::model::MacAddress;

/// Each address is one of an interface's: nobody lists more.
const MAX_POOL: usize = 256;

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
        let out = out.and_then(|value| {
            let missing = "this file has no [[interface]]; add the one towards the outside";
            interface(reader, value, topology, missing)
        });
        let (Some(from), Some(out)) = (from, out) else {
            continue;
        };
        let to = match section.value("to") {
            Some(value) => pool(reader, value, topology, &out, from.get_ref()),
            None => Vec::new(),
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
            to,
        });
    }
    masquerades
}

/// The addresses in order: one, a range, or a list of both. Each is one of the interface `out`, of the family of `from`.
fn pool(
    reader: &mut Reader<'_>,
    value: Value<'_, '_>,
    topology: &Topology,
    out: &str,
    from: &IpNet,
) -> Vec<IpAddr> {
    let lender = Lender {
        topology,
        out,
        v4: from.addr().is_ipv4(),
    };
    let mut pool: BTreeMap<IpAddr, Range<usize>> = BTreeMap::new();
    for value in reader.one_or_more(value, &lender.allowed()) {
        for address in lender.addresses(reader, value) {
            if let Some(first) = pool.get(&address) {
                let help = format!("first given on {}; give each address once", reader.line(first));
                reader.fault(value.span(), format!("`{address}` is in the pool twice"), help);
                break;
            }
            pool.insert(address, value.span());
        }
    }
    if pool.len() > MAX_POOL {
        let message = format!("a pool of {} addresses", pool.len());
        reader.fault(value.span(), message, format!("allowed: up to {MAX_POOL}"));
    }
    pool.into_keys().collect()
}

/// The interface whose addresses are lent.
struct Lender<'t> {
    topology: &'t Topology,
    out: &'t str,
    v4: bool,
}

impl Lender<'_> {
    fn owns(&self, address: IpAddr) -> bool {
        let interface = self.topology.labels.get(self.out).copied();
        self.topology.owner(address) == interface
    }

    fn allowed(&self) -> String {
        let out = self.out;
        let here = self.topology.owned(self.v4).filter(|address| self.owns(*address));
        match some_of(here) {
            here if here.is_empty() => {
                let family = if self.v4 { "IPv4" } else { "IPv6" };
                format!("{out} has no {family} address")
            }
            here => format!("the addresses of {out}: {here}"),
        }
    }

    /// One, or all of a range; none after a fault.
    fn addresses(&self, reader: &mut Reader<'_>, value: Value<'_, '_>) -> Vec<IpAddr> {
        let allowed = self.allowed();
        let Some(text) = value.text() else {
            let wanted = "an address without prefix length, a range, or a list of them";
            reader.faults.add(value.span(), value.mismatch(wanted, &allowed));
            return Vec::new();
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let ends = (first.trim().parse::<IpAddr>(), last.trim().parse::<IpAddr>());
        let (Ok(first), Ok(last)) = ends else {
            let message = format!("{} is no address, nor a range of them", quoted(text));
            reader.fault(value.span(), message, allowed);
            return Vec::new();
        };
        let wrong = match (first, last) {
            (first, _) if first.is_ipv4() != self.v4 => {
                let ours = if self.v4 { "IPv4" } else { "IPv6" };
                Some(format!("`{first}` is {}, and `from` is {ours}", family(first)))
            }
            (first, last) if first.is_ipv4() != last.is_ipv4() => Some(format!(
                "{} begins in one family and ends in another",
                quoted(text)
            )),
            (first, last) if first > last => Some(format!("{} ends before it begins", quoted(text))),
            _ => None,
        };
        if let Some(message) = wrong {
            reader.fault(value.span(), message, allowed);
            return Vec::new();
        }
        let addresses: Vec<IpAddr> = in_range(first, last).take(MAX_POOL + 1).collect();
        let foreign = addresses.iter().find(|address| !self.owns(**address));
        if let Some(foreign) = foreign.filter(|_| !reader.damage.hides_interfaces()) {
            let message = format!(
                "`{foreign}` is no address of {}, so that answers would not come back",
                self.out
            );
            reader.fault(value.span(), message, allowed);
            return Vec::new();
        }
        addresses
    }
}

/// All addresses from one to another of its family.
fn in_range(first: IpAddr, last: IpAddr) -> Box<dyn Iterator<Item = IpAddr>> {
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            Box::new((u32::from(first)..=u32::from(last)).map(|bits| IpAddr::V4(bits.into())))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            Box::new((u128::from(first)..=u128::from(last)).map(|bits| IpAddr::V6(bits.into())))
        }
        _ => Box::new(std::iter::empty()),
    }
}

/// The label of an interface of this file.
/// `missing`: what is said of a file without any.
pub(super) fn interface(
    reader: &mut Reader<'_>,
    value: Value<'_, '_>,
    topology: &Topology,
    missing: &str,
) -> Option<String> {
    let allowed = match some_of(topology.names.iter()) {
        known if known.is_empty() => missing.to_owned(),
        known => format!("the interfaces of this file: {known}"),
    };
    let text = reader
        .leaf::<String>(value, |value| value.mismatch("text", &allowed))?
        .into_inner();
    let label = text
        .parse::<MacAddress>()
        .map_or_else(|_| text.clone(), |mac| mac.to_string());
    if let Some(master) = topology.members.get(&label) {
        let message = format!(
            "{} belongs to {master}, and nothing leaves through it alone",
            quoted(&label)
        );
        reader.fault(
            value.span(),
            message,
            format!("write {} = \"{master}\"", value.key),
        );
        return None;
    }
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
