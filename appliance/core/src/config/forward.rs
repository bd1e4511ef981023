//! A service's `forward` and `tunnel`: how packets reach its servers, and how they are wrapped.
//! Must not: judge servers.

use serde::Deserialize;

use super::check::PORT;
use super::reader::{Reader, Section};
use super::shape;
use crate::model::{Forward, Gue, Tunnel};

/// What other balancers have as well, but this version does not.
const LATER_FORWARDS: [&str; 1] = ["fullnat"];
/// What IPVS has as well, but this version does not.
const LATER_TUNNELS: [&str; 1] = ["gre"];
/// The default is the first.
pub(super) const WAYS: [&str; 3] = ["nat", "direct", "tunnel"];
/// The default is the first.
pub(super) const WRAPPINGS: [&str; 2] = ["ipip", "gue"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Way {
    Nat,
    Direct,
    Tunnel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wrapping {
    Ipip,
    Gue,
}

/// `None` for a fault.
pub(super) fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Option<Forward> {
    let way = reader.word_or(section.value("forward"), Way::Nat, &WAYS, &LATER_FORWARDS);
    let tunnel = tunnel(reader, section);
    let forward = match way? {
        Way::Nat => Forward::Nat,
        Way::Direct => Forward::Direct,
        Way::Tunnel => return tunnel.map(Forward::Tunnel),
    };
    if let Some(span) = section.key_span("tunnel") {
        let message =
            format!("`tunnel` says how packets are wrapped, and with forward = \"{forward}\" none are");
        reader.fault(span, message, "set forward = \"tunnel\", or remove `tunnel`");
        return None;
    }
    Some(forward)
}

fn tunnel(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Option<Tunnel> {
    let Some(value) = section.value("tunnel") else {
        return Some(Tunnel::Ipip);
    };
    let written = "write tunnel = { type = \"gue\", port = 5555 }";
    let table = reader.table(value, &shape::TUNNEL, written)?;
    let wrapping = reader.word_or(table.value("type"), Wrapping::Ipip, &WRAPPINGS, &LATER_TUNNELS);
    let port = match table.value("port") {
        Some(value) => reader
            .integer(value, PORT)
            .and_then(|port| u16::try_from(port.into_inner()).ok()),
        None => Some(Gue::PORT),
    };
    let checksum = match table.value("checksum") {
        Some(value) => reader.flag(value),
        None => Some(Gue::CHECKSUM),
    };
    match wrapping? {
        Wrapping::Gue => Some(Tunnel::Gue(Gue {
            port: port?,
            checksum: checksum?,
        })),
        Wrapping::Ipip => {
            for key in ["port", "checksum"] {
                if let Some(span) = table.key_span(key) {
                    let message = format!("`{key}` has no meaning in an IPIP tunnel");
                    reader.fault(span, message, format!("set type = \"gue\", or remove `{key}`"));
                }
            }
            Some(Tunnel::Ipip)
        }
    }
}
