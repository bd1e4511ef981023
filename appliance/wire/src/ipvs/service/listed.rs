//! One message of a list of services, read straight from its bytes and without what it has counted: the same as the service of
//! [`ServiceEntry::from_attributes`] of the decoded message. Must not: take what [`ServiceAttribute`] would refuse.

use netlink_packet_core::{
    DecodeError, ErrorContext, ParseableParametrized, parse_u16, parse_u16_be, parse_u32,
};
use netlink_packet_generic::GenlHeader;

use super::super::CMD_ATTR_SERVICE;
use super::super::nested::{attributes, parse_address, parse_array, parse_text};
use super::*;

/// `None`: a message about something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedService(pub Option<Result<Service, EntryError>>);

impl ParseableParametrized<[u8], GenlHeader> for ListedService {
    fn parse_with_param(buffer: &[u8], _header: GenlHeader) -> Result<Self, DecodeError> {
        let mut service = None;
        for attribute in attributes(buffer) {
            let (kind, value) = attribute.context("IPVS message")?;
            if kind == CMD_ATTR_SERVICE && service.is_none() {
                service = Some(read(value)?.service());
            }
        }
        Ok(ListedService(service))
    }
}

fn read(nested: &[u8]) -> Result<Seen<'_>, DecodeError> {
    let mut seen = Seen::default();
    for attribute in attributes(nested) {
        let (kind, value) = attribute?;
        seen.take(kind, value)
            .with_context(|| format!("IPVS_SVC_ATTR {kind}"))?;
    }
    Ok(seen)
}

impl Seen<'_> {
    fn take(&mut self, kind: u16, value: &[u8]) -> Result<(), DecodeError> {
        match kind {
            AF => self.family = Some(parse_u16(value)?),
            PROTOCOL => self.protocol = Some(parse_u16(value)?),
            ADDR => self.address = Some(parse_address(value)?),
            PORT => self.port = Some(parse_u16_be(value)?),
            FWMARK => self.fwmark = Some(parse_u32(value)?),
            SCHED_NAME => self.scheduler = Some(Cow::Owned(parse_text(value))),
            FLAGS => self.flags = Some(parse_flags(value)?),
            TIMEOUT => self.timeout = Some(parse_u32(value)?),
            NETMASK => self.netmask = Some(parse_array(value)?),
            PE_NAME => self.pe_name = Some(Cow::Owned(parse_text(value))),
            _ => {}
        }
        Ok(())
    }
}
