//! `[confirm]`: what confirms a configuration that was applied with a deadline, without a person.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::fault::quoted;
use super::model::Interface;
use super::reader::{Reader, Section, Value};
use super::{address, shape};
use crate::confirm::{Assertions, Gateways, ServersUp};

/// How many servers `servers_up` may ask for.
pub(super) const SERVERS: RangeInclusive<u32> = 1..=65_535;

pub(super) fn read(reader: &mut Reader<'_>, root: &Section<'_, '_>, interfaces: &[Interface]) -> Assertions {
    let written = "write [confirm] on a line of its own, and its keys on the lines below";
    let table = root
        .value("confirm")
        .and_then(|value| reader.table(value, &shape::CONFIRM, written));
    let Some(table) = table else {
        return Assertions::default();
    };
    let gateway = table.value("gateway_answers");
    let servers = table.value("servers_up");
    Assertions {
        gateway_answers: gateway.and_then(|value| gateways(reader, value, interfaces)),
        servers_up: servers.and_then(|value| servers_up(reader, value)),
    }
}

/// `true`, or an address.
fn gateways(reader: &mut Reader<'_>, value: Value<'_, '_>, interfaces: &[Interface]) -> Option<Gateways> {
    let help =
        "allowed: true (the gateway of each interface), or an address in quotes, such as \"192.168.0.254\"";
    match value.boolean() {
        Some(true) if interfaces.iter().all(|interface| interface.gateway.is_none()) => {
            let message = "`gateway_answers` without a gateway: no [[interface]] has one";
            reader.fault(
                value.span(),
                message,
                "write the address that has to answer, such as \"192.168.0.254\", or give an interface its `gateway`",
            );
            return None;
        }
        Some(true) => return Some(Gateways::OfInterfaces),
        Some(false) => return None,
        None => {}
    }
    let Some(text) = value.text() else {
        reader
            .faults
            .add(value.span(), value.mismatch("true or an address", help));
        return None;
    };
    match text.parse::<IpAddr>() {
        Ok(given) => match address::unusable(given, address::Purpose::Server) {
            None => Some(Gateways::Address(given)),
            Some(wrong) => {
                reader.faults.add(value.span(), wrong);
                None
            }
        },
        Err(_) => {
            reader.fault(value.span(), format!("{} is no address", quoted(text)), help);
            None
        }
    }
}

/// A number, or `"50%"`.
fn servers_up(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<ServersUp> {
    let Some(text) = value.text() else {
        let number = reader.integer(value, SERVERS)?;
        return Some(ServersUp::Number(number.into_inner()));
    };
    let percent = text
        .strip_suffix('%')
        .and_then(|number| number.trim().parse::<u8>().ok())
        .filter(|percent| (1..=100).contains(percent));
    if percent.is_none() {
        let help = "allowed: a number without quotes, such as 1, or \"1%\" to \"100%\" of the servers that were up before";
        reader.fault(
            value.span(),
            format!("{} is no number of servers", quoted(text)),
            help,
        );
    }
    percent.map(ServersUp::Percent)
}
