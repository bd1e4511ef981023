//! A request at the end of a datagram, written in one pass: a length is filled in when what it counts is there.
//! `genl::encode` gives the same bytes, but asks every attribute for its length once for each level above it.
//! Must not: know any attribute's number.

use netlink_packet_core::{Emitable, NLM_F_REQUEST, Nla};
use netlink_packet_generic::{GenlFamily, GenlHeader};

use super::{IpvsAttribute, IpvsMessage};

/// struct nlattr and struct nlmsghdr (bytes).
const ATTRIBUTE_HEADER: usize = 4;
const MESSAGE_HEADER: usize = 16;
/// NLA_ALIGNTO and NLMSG_ALIGNTO.
const ALIGNMENT: usize = 4;

impl IpvsMessage {
    /// `flags` are added to NLM_F_REQUEST.
    pub fn append_to(&self, datagram: &mut Vec<u8>, family_id: u16, flags: u16, sequence: u32) {
        let start = datagram.len();
        datagram.extend([0; 4]);
        datagram.extend(family_id.to_ne_bytes());
        datagram.extend((NLM_F_REQUEST | flags).to_ne_bytes());
        datagram.extend(sequence.to_ne_bytes());
        // The kernel knows the sender by itself.
        datagram.extend([0; 4]);
        let header = GenlHeader {
            cmd: self.command(),
            version: self.version(),
        };
        datagram.resize(start + MESSAGE_HEADER + header.buffer_len(), 0);
        header.emit(&mut datagram[start + MESSAGE_HEADER..]);
        for attribute in &self.attributes {
            match attribute {
                IpvsAttribute::Service(nested) => append_nested(datagram, attribute.kind(), nested),
                IpvsAttribute::Dest(nested) => append_nested(datagram, attribute.kind(), nested),
                single => append(datagram, single),
            }
        }
        let length = u32::try_from(datagram.len() - start).expect("a request is short");
        datagram[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }
}

fn append_nested(bytes: &mut Vec<u8>, kind: u16, nested: &[impl Nla]) {
    let start = open(bytes, kind);
    for attribute in nested {
        append(bytes, attribute);
    }
    close(bytes, start);
}

fn append(bytes: &mut Vec<u8>, attribute: &impl Nla) {
    let start = open(bytes, attribute.kind());
    bytes.resize(start + ATTRIBUTE_HEADER + attribute.value_len(), 0);
    attribute.emit_value(&mut bytes[start + ATTRIBUTE_HEADER..]);
    close(bytes, start);
}

fn open(bytes: &mut Vec<u8>, kind: u16) -> usize {
    let start = bytes.len();
    bytes.extend([0; 2]);
    bytes.extend(kind.to_ne_bytes());
    start
}

/// The length does not count the padding.
fn close(bytes: &mut Vec<u8>, start: usize) {
    let length = u16::try_from(bytes.len() - start).expect("the attributes of a request are short");
    bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
}
