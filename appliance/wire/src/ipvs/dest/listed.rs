//! One message of a list of servers, read straight from its bytes: a whole table has thousands, and is read back again and
//! again. The same as [`DestEntry::from_attributes`] of the decoded message.
//! Must not: take what [`DestAttribute`] would refuse.

use netlink_packet_core::{
    DecodeError, ErrorContext, ParseableParametrized, parse_u8, parse_u16, parse_u16_be, parse_u32,
};
use netlink_packet_generic::GenlHeader;

use super::super::CMD_ATTR_DEST;
use super::super::nested::{attributes, parse_address};
use super::*;

/// `None`: a message about something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedDest(pub Option<Result<DestEntry, EntryError>>);

/// The same without what it has counted: most who read a table do not ask for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedServer(pub Option<Result<Dest, EntryError>>);

impl ParseableParametrized<[u8], GenlHeader> for ListedDest {
    fn parse_with_param(buffer: &[u8], _header: GenlHeader) -> Result<Self, DecodeError> {
        Ok(ListedDest(first(buffer)?.map(|seen| seen.entry())))
    }
}

impl ParseableParametrized<[u8], GenlHeader> for ListedServer {
    fn parse_with_param(buffer: &[u8], _header: GenlHeader) -> Result<Self, DecodeError> {
        Ok(ListedServer(first(buffer)?.map(|seen| seen.dest())))
    }
}

fn first(buffer: &[u8]) -> Result<Option<Seen<'_>>, DecodeError> {
    let mut first = None;
    for attribute in attributes(buffer) {
        let (kind, value) = attribute.context("IPVS message")?;
        if kind == CMD_ATTR_DEST && first.is_none() {
            first = Some(read(value)?);
        }
    }
    Ok(first)
}

fn read(nested: &[u8]) -> Result<Seen<'_>, DecodeError> {
    let mut seen = Seen::default();
    for attribute in attributes(nested) {
        let (kind, value) = attribute?;
        seen.take(kind, value)
            .with_context(|| format!("IPVS_DEST_ATTR {kind}"))?;
    }
    Ok(seen)
}

impl<'a> Seen<'a> {
    fn take(&mut self, kind: u16, value: &'a [u8]) -> Result<(), DecodeError> {
        match kind {
            ADDR => self.address = Some(parse_address(value)?),
            PORT => self.port = Some(parse_u16_be(value)?),
            FWD_METHOD => self.forward = Some(parse_u32(value)?),
            WEIGHT => self.weight = Some(parse_u32(value)?),
            U_THRESH => self.upper_threshold = parse_u32(value)?,
            L_THRESH => self.lower_threshold = parse_u32(value)?,
            ACTIVE_CONNS => self.active = parse_u32(value)?,
            INACT_CONNS => self.inactive = parse_u32(value)?,
            PERSIST_CONNS => self.persistent = parse_u32(value)?,
            STATS => self.stats = Some(value),
            ADDR_FAMILY => self.family = Some(parse_u16(value)?),
            STATS64 => self.stats64 = Some(value),
            TUN_TYPE => self.tunnel.kind = parse_u8(value)?,
            TUN_PORT => self.tunnel.port = parse_u16_be(value)?,
            TUN_FLAGS => self.tunnel.flags = parse_u16(value)?,
            _ => {}
        }
        Ok(())
    }
}
