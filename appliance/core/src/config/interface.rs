//! `[[interface]]`: names and addresses of the appliance's own links, and whether they fit together.
//! Must not: know what services listen on.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use ipnet::IpNet;
use toml::Spanned;

use super::address::{Purpose, not_a_host, read_prefix, unusable};
use super::fault::{Wrong, quoted};
use super::links::Below;
use super::model::{Interface, LinkSelector, MssClamp};
use super::reader::{Reader, Section, Value};
use super::route::{self, Hops};
use super::topology::{InterfaceIndex, Topology};
use super::{shape, stack};
use crate::link::FALLBACK_TUNNELS;
use crate::model::{IfName, MacAddress};

/// RFC 791: every module forwards 68 octets; RFC 8200: every link with IPv6 carries 1280.
const MTU_MIN: u32 = 68;
pub(super) const MTU_MIN_V6: u32 = 1280;
const MTU_MAX: u32 = 65_535;
pub(super) const MTU: RangeInclusive<u32> = MTU_MIN..=MTU_MAX;
/// Less is no use to anybody (RFC 9293: 536 is what everybody takes), more does not fit into a jumbo frame.
pub(super) const MSS: RangeInclusive<u32> = 500..=9_000;

/// Reads all interfaces. One that has faults may be left out: there is no configuration then.
pub(super) fn read(reader: &mut Reader<'_>, root: &Section<'_, '_>) -> (Vec<Interface>, Topology) {
    let help = "write [[interface]] on a line of its own, and its keys on the lines below";
    let mut topology = Topology::default();
    let mut names = Names::default();
    let (mut interfaces, mut hops, mut stacked) = (Vec::new(), Vec::new(), Vec::new());
    for (index, section) in reader
        .tables(root, "interface", &shape::INTERFACE, help)
        .iter()
        .enumerate()
    {
        let named = names.read(reader, section);
        topology.nameless |= named.is_none();
        let label = named
            .as_ref()
            .map_or_else(|| "another interface".to_owned(), |(label, _)| label.clone());
        topology.labels.entry(label.clone()).or_insert(index);
        topology.names.push(label);
        let addresses = addresses(reader, section, &mut topology, index);
        let mut below = Below::read(reader, section);
        let next = Hops::read(reader, section);
        below.six = next.six();
        below.six = addresses
            .iter()
            .find(|a| a.addr().is_ipv6())
            .map(IpNet::to_string)
            .or(below.six);
        below.mtu = mtu(reader, section, below.six.as_deref());
        below.own = own(section, &addresses);
        let mss_clamp = mss_clamp(reader, section);
        if let Some((label, selector)) = named {
            interfaces.push(Interface {
                label,
                selector,
                kind: below.kind.clone(),
                addresses,
                gateway: next.gateway.as_ref().map(|gateway| *gateway.get_ref()),
                mtu: below.mtu.as_ref().map(|mtu| *mtu.get_ref()),
                mss_clamp,
                routes: next.routes(),
            });
        }
        hops.push(next);
        stacked.push(below);
    }
    stack::judge(reader, &mut topology, &stacked);
    interfaces.extend(stack::undescribed(&topology, &stacked));
    report_overlaps(reader, &topology);
    route::judge(reader, &topology, &hops);
    (interfaces, topology)
}

/// Names and MAC addresses so far, with their places.
#[derive(Default)]
struct Names {
    labels: BTreeMap<String, Range<usize>>,
    macs: BTreeMap<MacAddress, Range<usize>>,
}

impl Names {
    /// What the file calls an interface, and how its link is found.
    fn read(&mut self, reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Option<(String, LinkSelector)> {
        let name = section.value("name").map(|value| self.name(reader, value));
        let mac = section.value("match").map(|value| self.mac(reader, value));
        match (name, mac) {
            (None, None) => {
                let made = ["vlan", "bond", "bridge"].map(|key| section.value(key).is_some());
                let (what, help) = match made.contains(&true) {
                    true => ("`name`", "add the name of the new link, such as name = \"bond0\""),
                    false => (
                        "`name` or `match`",
                        "add name = \"eth0\" (the kernel's name) or match = { mac = \"52:54:00:00:00:01\" }",
                    ),
                };
                reader.missing(section, format!("[[interface]] without {what}"), help);
                None
            }
            (Some(name), None) => name.map(|name| (name.to_string(), LinkSelector::Name(name))),
            (None, Some(mac)) => mac.map(|mac| (mac.to_string(), LinkSelector::Mac(mac))),
            (Some(name), Some(mac)) => Some((name?.to_string(), LinkSelector::Mac(mac?))),
        }
    }

    fn name(&mut self, reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<IfName> {
        let text = reader.leaf::<String>(value, |value| value.mismatch("text", NAMES))?;
        let shown = quoted(text.get_ref());
        let name = match interface_name(text.get_ref()) {
            Ok(name) => name,
            Err(wrong) => {
                reader.faults.add(value.span(), wrong);
                return None;
            }
        };
        match self.labels.get(name.as_str()) {
            Some(first) => {
                let help = format!(
                    "first given on {}; every interface has a name of its own",
                    reader.line(first)
                );
                reader.fault(
                    value.span(),
                    format!("the interface name {shown} is there twice"),
                    help,
                );
            }
            None => drop(self.labels.insert(name.to_string(), value.span())),
        }
        Some(name)
    }

    fn mac(&mut self, reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<MacAddress> {
        let written = "write match = { mac = \"52:54:00:00:00:01\" }";
        let section = reader.table(value, &shape::MATCH, written)?;
        let value = reader.required(&section, "mac", written)?;
        let allowed = "allowed: six pairs of hex digits joined by `:`, such as \"52:54:00:00:00:01\"";
        let text = reader.leaf::<String>(value, |value| value.mismatch("text", allowed))?;
        let shown = quoted(text.get_ref());
        let Ok(mac) = text.get_ref().parse::<MacAddress>() else {
            let help = match text.get_ref().replace(['-', '.'], ":").parse::<MacAddress>() {
                Ok(mac) => format!("write \"{mac}\""),
                Err(_) => format!("{allowed}; not a group address"),
            };
            reader.fault(
                value.span(),
                format!("{shown} is no MAC address of a network card"),
                help,
            );
            return None;
        };
        match self.macs.get(&mac) {
            Some(first) => {
                let help = format!("first given on {}; one link is one interface", reader.line(first));
                reader.fault(
                    value.span(),
                    format!("the MAC address {shown} is there twice"),
                    help,
                );
            }
            None => drop(self.macs.insert(mac, value.span())),
        }
        Some(mac)
    }
}

const NAMES: &str = "allowed: 1 to 15 letters, digits, `.`, `_` and `-`, such as \"eth0\"";

/// Stricter than the kernel: a name that can be typed and told apart anywhere.
pub(super) fn interface_name(text: &str) -> Result<IfName, Wrong> {
    // The last one is a file where the kernel keeps links.
    if ["lo", "all", "default", "bonding_masters"].contains(&text) {
        let help = "`lo`, `all`, `default` and `bonding_masters` are the kernel's own; name the link that carries the traffic";
        return Err(Wrong::new(
            format!("{} is no name for an interface here", quoted(text)),
            help,
        ));
    }
    if FALLBACK_TUNNELS.contains(&text) {
        let help = "the kernel makes a link of this name by itself, for tunnels, and no other one can have it; name the link that carries the traffic (`link` \
                    lists them)";
        return Err(Wrong::new(
            format!("{} is no name for an interface here", quoted(text)),
            help,
        ));
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let name = text.parse::<IfName>().ok().filter(|_| text.bytes().all(plain));
    name.ok_or_else(|| Wrong::new(format!("{} cannot be an interface's name", quoted(text)), NAMES))
}

fn addresses(
    reader: &mut Reader<'_>,
    section: &Section<'_, '_>,
    topology: &mut Topology,
    index: InterfaceIndex,
) -> Vec<IpNet> {
    let help = "write addresses = [\"192.168.0.1/24\"]; [] means up without an address";
    let values = reader.list(section, "addresses", help);
    values
        .into_iter()
        .filter_map(|value| own_address(reader, value, topology, index))
        .collect()
}

fn own_address(
    reader: &mut Reader<'_>,
    value: Value<'_, '_>,
    topology: &mut Topology,
    index: InterfaceIndex,
) -> Option<IpNet> {
    let Some(address) = read_prefix(reader, value) else {
        topology.doubtful.insert(index);
        // What it says is on this interface, whatever is wrong with its length.
        let text = value.text().unwrap_or_default();
        if let Ok(address) = text.split('/').next().unwrap_or_default().parse() {
            topology.own(address, index, value.span());
        }
        return None;
    };
    let network = address.into_inner();
    let addr = network.addr();
    if let Some((earlier, span)) = topology.own(addr, index, value.span()) {
        let help = format!(
            "first given on {}, for {}",
            reader.line(&span),
            topology.names[earlier]
        );
        reader.fault(value.span(), format!("the address `{addr}` is there twice"), help);
        topology.twice.insert(value.span().start);
    } else if let Some(wrong) = wrong_for_a_link(network) {
        reader.faults.add(value.span(), wrong);
    }
    topology.connect(network, index, value.span());
    Some(network)
}

/// Why an interface cannot have this address and length.
fn wrong_for_a_link(network: IpNet) -> Option<Wrong> {
    let address = network.addr();
    if let Some(wrong) = unusable(address, Purpose::Own) {
        return Some(wrong);
    }
    if network.prefix_len() == 0 {
        let max = network.max_prefix_len();
        let help = format!("allowed: 1 to {max}; a default route is `gateway`");
        return Some(Wrong::new(
            format!("`{network}` puts every address on this link"),
            help,
        ));
    }
    if matches!(address, std::net::IpAddr::V6(v6) if v6.is_unicast_link_local()) {
        let help = "leave it out: the kernel gives each link a link-local address by itself, and it is not the file's to change";
        return Some(Wrong::new(format!("`{address}` is a link-local address"), help));
    }
    let what = not_a_host(address, network)?;
    let help = "give the address of this machine in its network, such as \"192.168.0.1/24\"";
    Some(Wrong::new(
        format!("`{address}` is {what} of {}", network.trunc()),
        help,
    ))
}

/// The first key that has no place in a link of a bond or bridge.
fn own(section: &Section<'_, '_>, addresses: &[IpNet]) -> Option<(&'static str, Range<usize>)> {
    let keys = [
        ("addresses", !addresses.is_empty()),
        ("gateway", true),
        ("routes", true),
        ("mss_clamp", true),
    ];
    let given = keys.into_iter().filter(|(_, counts)| *counts);
    given
        .filter_map(|(key, _)| Some((key, section.key_span(key)?)))
        .next()
}

/// `six`: what of IPv6 the interface has. The kernel takes none of it on a link with a smaller mtu.
fn mtu(reader: &mut Reader<'_>, section: &Section<'_, '_>, six: Option<&str>) -> Option<Spanned<u32>> {
    let mtu = reader.integer(section.value("mtu")?, MTU)?;
    if let (Some(v6), ..MTU_MIN_V6) = (six, *mtu.get_ref()) {
        let help = format!("allowed with IPv6 (RFC 8200): {MTU_MIN_V6} to {MTU_MAX}");
        reader.fault(
            mtu.span(),
            format!("an mtu of {} is too small for `{v6}`", mtu.get_ref()),
            help,
        );
    }
    Some(mtu)
}

fn mss_clamp(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Option<MssClamp> {
    let value = section.value("mss_clamp")?;
    match value.boolean() {
        Some(true) => return Some(MssClamp::Mtu),
        Some(false) => return None,
        None => {}
    }
    if !value.is_integer() {
        let help = format!(
            "allowed: true (what fits into the interface's mtu), or {} to {} bytes",
            MSS.start(),
            MSS.end()
        );
        reader
            .faults
            .add(value.span(), value.mismatch("true or a number of bytes", &help));
        return None;
    }
    let bytes = reader.integer(value, MSS)?.into_inner();
    u16::try_from(bytes).ok().map(MssClamp::Bytes)
}

fn report_overlaps(reader: &mut Reader<'_>, topology: &Topology) {
    let overlaps = topology.overlaps().into_iter();
    for overlap in overlaps.filter(|overlap| !topology.twice.contains(&overlap.later.1.start)) {
        let (earlier, place, interface) = overlap.earlier;
        let message = format!(
            "the network {} overlaps {earlier} of {}",
            overlap.later.0, topology.names[interface]
        );
        let help = format!(
            "that one is on {}; an address can be reached through one interface only",
            reader.line(&place)
        );
        reader.fault(overlap.later.1, message, help);
    }
}
