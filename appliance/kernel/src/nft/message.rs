//! Netlink messages of nf_tables as bytes: requests that ask for something, and attributes taken out of answers.
//! The numbers are those of include/uapi/linux/netlink.h and include/uapi/linux/netfilter/nf_tables.h.

use std::collections::BTreeMap;

use lb_core::ports::KernelFault;
use lb_core::ruleset::TABLE;
use netlink_packet_core::NlasIterator;

use crate::fault;

/// NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE and the others' equals: always the first.
pub(super) const ATTR_TABLE: u16 = 1;

const NLMSG_HDR_LEN: usize = 16;
const NFGENMSG_LEN: usize = 4;

/// What there is to ask for, with the number of its GET message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Get {
    Table,
    Chains,
    Rules,
    Sets,
    Elements,
    Generation,
    Objects,
    Flowtables,
}

impl Get {
    fn number(self) -> u16 {
        match self {
            Get::Table => 1,
            Get::Chains => 4,
            Get::Rules => 7,
            Get::Sets => 10,
            Get::Elements => 13,
            Get::Generation => 16,
            Get::Objects => 19,
            Get::Flowtables => 23,
        }
    }

    fn is_dump(self) -> bool {
        !matches!(self, Get::Table | Get::Generation)
    }

    /// The request, limited to our table where the kernel can do that. `set`: whose elements.
    pub(super) fn request(self, sequence: u32, set: Option<&str>) -> Vec<u8> {
        let flags = if self.is_dump() {
            libc::NLM_F_REQUEST | libc::NLM_F_DUMP
        } else {
            libc::NLM_F_REQUEST | libc::NLM_F_ACK
        };
        let mut bytes = vec![0; NLMSG_HDR_LEN];
        let subsystem = libc::NFNL_SUBSYS_NFTABLES as u16;
        bytes[4..6].copy_from_slice(&(subsystem << 8 | self.number()).to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags as u16).to_ne_bytes());
        bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        bytes.extend([libc::NFPROTO_INET as u8, libc::NFNETLINK_V0 as u8, 0, 0]);
        if self != Get::Generation {
            put_string(&mut bytes, ATTR_TABLE, TABLE);
        }
        if let Some(set) = set {
            put_string(&mut bytes, NFTA_SET_ELEM_LIST_SET, set);
        }
        let length = bytes.len() as u32;
        bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        bytes
    }
}

/// NFTA_SET_ELEM_LIST_SET: whose elements a list is, in requests and answers.
const NFTA_SET_ELEM_LIST_SET: u16 = 2;

fn put_string(bytes: &mut Vec<u8>, kind: u16, text: &str) {
    put_bytes(bytes, kind, &[text.as_bytes(), &[0]].concat());
}

/// One attribute, with the padding behind it.
pub(super) fn put_bytes(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = 4 + value.len() as u16;
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// One attribute that holds others.
pub(super) fn put_nested(bytes: &mut Vec<u8>, kind: u16, inner: &[u8]) {
    put_bytes(bytes, kind | libc::NLA_F_NESTED as u16, inner);
}

/// A message's header, and what follows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// `bytes` is one whole message, at least as long as its header.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Message<'a>> {
        let (header, payload) = bytes.split_at_checked(NLMSG_HDR_LEN)?;
        let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        Some(Message {
            kind: half(4),
            flags: half(6),
            sequence: u32::from_ne_bytes([header[8], header[9], header[10], header[11]]),
            payload,
        })
    }

    /// For an NLMSG_ERROR: `None` is an acknowledgement.
    pub(super) fn refusal(&self) -> Option<KernelFault> {
        let Some((code, echo)) = self.payload.split_first_chunk::<4>() else {
            return Some(fault::plain("an error message without a code"));
        };
        let errno = -i32::from_ne_bytes(*code);
        if errno == 0 {
            return None;
        }
        // NETLINK_CAP_ACK is on: of the message that is answered only the header comes back, then the attributes.
        let words = echo
            .get(NLMSG_HDR_LEN..)
            .filter(|_| self.flags & libc::NLM_F_ACK_TLVS as u16 != 0)
            .and_then(fault::ext_ack_words);
        Some(fault::from_errno(errno, words.as_deref()))
    }
}

/// Attributes by number; of a number that comes twice, the last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Attributes<'a>(pub BTreeMap<u16, &'a [u8]>);

impl<'a> Attributes<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Attributes<'a>, KernelFault> {
        Ok(Attributes(list(bytes)?.into_iter().collect()))
    }

    /// Of an nf_tables message: they follow its nfgenmsg.
    pub(super) fn of_message(payload: &'a [u8]) -> Result<Attributes<'a>, KernelFault> {
        Attributes::parse(payload.get(NFGENMSG_LEN..).unwrap_or_default())
    }

    pub(super) fn bytes(&self, kind: u16) -> &'a [u8] {
        self.0.get(&kind).copied().unwrap_or_default()
    }

    /// A number in network byte order; absent is 0, as for the kernel.
    pub(super) fn number(&self, kind: u16) -> u32 {
        self.bytes(kind)
            .first_chunk::<4>()
            .map_or(0, |b| u32::from_be_bytes(*b))
    }

    /// The same in 64 bits.
    pub(super) fn long_number(&self, kind: u16) -> u64 {
        self.bytes(kind)
            .first_chunk::<8>()
            .map_or(0, |b| u64::from_be_bytes(*b))
    }

    /// A text without its NUL.
    pub(super) fn text(&self, kind: u16) -> String {
        let bytes = self.bytes(kind);
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }

    pub(super) fn has(&self, kind: u16) -> bool {
        self.0.contains_key(&kind)
    }
}

/// Attributes in their order.
pub(super) fn list(bytes: &[u8]) -> Result<Vec<(u16, &[u8])>, KernelFault> {
    NlasIterator::new(bytes)
        .map(|attribute| {
            let attribute =
                attribute.map_err(|e| fault::plain(format!("a malformed netlink attribute: {e}")))?;
            let length = attribute.value_length();
            Ok((attribute.kind(), &attribute.into_inner()[4..4 + length]))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_holds_its_length_and_names_the_table() {
        let bytes = Get::Elements.request(7, Some("services4"));
        let message = Message::new(&bytes).unwrap();
        assert_eq!(
            u32::from_ne_bytes(bytes[0..4].try_into().unwrap()) as usize,
            bytes.len()
        );
        assert_eq!((message.kind, message.sequence), (10 << 8 | 13, 7));
        let attributes = Attributes::of_message(message.payload).unwrap();
        assert_eq!(attributes.text(ATTR_TABLE), "lb");
        assert_eq!(attributes.text(NFTA_SET_ELEM_LIST_SET), "services4");
    }

    #[test]
    fn attributes_are_taken_apart_and_bad_lengths_are_faults() {
        let bytes = [8, 0, 3, 0x80, 0, 0, 1, 2, 5, 0, 1, 0, b'x', 0, 0, 0];
        let attributes = Attributes::parse(&bytes).unwrap();
        assert_eq!(attributes.number(3), 258);
        assert_eq!(attributes.text(1), "x");
        assert_eq!(attributes.number(9), 0);
        assert!(Attributes::parse(&[40, 0, 1, 0, 1, 2, 3, 4]).is_err());
    }

    #[test]
    fn an_error_without_code_is_not_an_acknowledgement() {
        let message = |payload| Message {
            kind: 2,
            flags: 0,
            sequence: 1,
            payload,
        };
        assert!(message(&[0, 0]).refusal().is_some());
        assert_eq!(message(&[0, 0, 0, 0]).refusal(), None);
        assert_eq!(message(&(-17i32).to_ne_bytes()).refusal().unwrap().text, "EEXIST");
    }
}
