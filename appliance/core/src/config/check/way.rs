//! The way of a check: where it goes, from which of the box's addresses, and through which interface.
//! Must not: look at interfaces but through what they own.

use std::net::IpAddr;
use std::ops::Range;

use toml::Spanned;

use super::super::address::{Purpose, family, unusable};
use super::super::fault::{quoted, some_of};
use super::super::masquerade;
use super::super::reader::{Reader, Section, Value};
use super::super::topology::Topology;
use super::{PORT, inner, or};

#[derive(Debug, Clone, Default)]
pub(super) struct WayKeys {
    address: Option<Spanned<IpAddr>>,
    pub port: Option<Spanned<u32>>,
    source: Option<Spanned<IpAddr>>,
    interface: Option<String>,
    /// A port that could not be read: it is not missing as well.
    pub broken_port: bool,
    /// Where this very table has one.
    pub own_port: Option<Range<usize>>,
}

impl WayKeys {
    pub fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>, topology: &Topology) -> WayKeys {
        let port = section.value("port");
        let mut keys = WayKeys {
            address: section
                .value("address")
                .and_then(|value| target(reader, value, topology)),
            port: port.and_then(|value| reader.integer(value, PORT)),
            source: section
                .value("source")
                .and_then(|value| source(reader, value, topology)),
            interface: section.value("interface").and_then(|value| {
                let missing = "this file has no [[interface]]; add it, or remove this key";
                masquerade::interface(reader, value, topology, missing)
            }),
            broken_port: false,
            own_port: section.key_span("port"),
        };
        keys.broken_port = port.is_some() && keys.port.is_none();
        keys
    }

    pub fn over(self, base: &WayKeys) -> WayKeys {
        WayKeys {
            address: or(self.address, &base.address),
            port: or(self.port, &base.port),
            source: or(self.source, &base.source),
            interface: or(self.interface, &base.interface),
            broken_port: self.broken_port || base.broken_port,
            own_port: self.own_port,
        }
    }

    /// From one family to another nothing goes; `true` if that is so.
    pub fn judge(&self, reader: &mut Reader<'_>, server: IpAddr) -> bool {
        let Some(source) = &self.source else {
            return false;
        };
        let (from, to) = (*source.get_ref(), self.address().unwrap_or(server));
        if from.is_ipv4() == to.is_ipv4() {
            return false;
        }
        let message = format!(
            "`{from}` is {}, and the check goes to {to}, which is {}",
            family(from),
            family(to)
        );
        let help = format!(
            "give an {} address of the appliance, or remove `source`",
            family(to)
        );
        reader.fault(source.span(), message, help);
        true
    }

    pub fn address(&self) -> Option<IpAddr> {
        inner(&self.address)
    }

    pub fn port(&self) -> Option<u16> {
        let port = self.port.as_ref()?;
        u16::try_from(*port.get_ref()).ok()
    }

    pub fn source(&self) -> Option<IpAddr> {
        inner(&self.source)
    }

    pub fn interface(&self) -> Option<String> {
        self.interface.clone()
    }
}

fn address(reader: &mut Reader<'_>, value: Value<'_, '_>, help: &str) -> Option<Spanned<IpAddr>> {
    let text = reader.leaf::<String>(value, |value| value.mismatch("an address in quotes", help))?;
    match text.get_ref().parse() {
        Ok(address) => Some(Spanned::new(value.span(), address)),
        Err(_) => {
            let help = match text.get_ref().parse::<std::net::SocketAddr>() {
                Ok(_) => format!("write the port as `port`; {help}"),
                Err(_) => help.to_owned(),
            };
            reader.fault(
                value.span(),
                format!("{} is no address", quoted(text.get_ref())),
                help,
            );
            None
        }
    }
}

fn target(reader: &mut Reader<'_>, value: Value<'_, '_>, topology: &Topology) -> Option<Spanned<IpAddr>> {
    let help = "the address that is asked instead of the server's, such as \"172.16.1.11\"";
    let address = address(reader, value, help)?;
    if let Some(wrong) = unusable(*address.get_ref(), Purpose::Server) {
        reader.faults.add(value.span(), wrong);
        return None;
    }
    if let Some(interface) = topology.owner(*address.get_ref()) {
        let message = format!("`{}` is the appliance's own address", address.get_ref());
        let help = format!(
            "it is one of {}; a check asks another machine",
            topology.names[interface]
        );
        reader.fault(value.span(), message, help);
        return None;
    }
    if let Some((what, network)) = topology.not_a_host(*address.get_ref()) {
        let message = format!("`{}` is {what} of {network}", address.get_ref());
        reader.fault(value.span(), message, "give the address of a machine");
        return None;
    }
    Some(address)
}

fn source(reader: &mut Reader<'_>, value: Value<'_, '_>, topology: &Topology) -> Option<Spanned<IpAddr>> {
    let all = topology.owned(true).chain(topology.owned(false));
    let help = match some_of(all) {
        none if none.is_empty() => "this file gives the appliance no address".to_owned(),
        known => format!("the appliance's addresses: {known}"),
    };
    let address = address(reader, value, &help)?;
    let is_ours = topology.owner(*address.get_ref()).is_some();
    if !is_ours && topology.doubtful.is_empty() && !reader.damage.hides_interfaces() {
        let message = format!("the appliance has no address {}", address.get_ref());
        reader.fault(value.span(), message, help);
        return None;
    }
    is_ours.then_some(address)
}
