//! The maps `marks4` and `marks6`, from a range of ports to the mark of its service, and the rules around them. A range is one
//! element, however wide: an interval of a concatenated key (address . protocol . port), whose two ends are given.
//! Must not: hold more than the messages and rules of marks; `encode` and `read` have the others.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::net::IpAddr;

use ipnet::IpNet;
use lb_core::model::{IfName, MarkKey, PortRange};
use lb_core::ruleset::{Rule, Ruleset, TABLE};
use nftnl::MsgType;
use nftnl::expr::{Bitwise, Cmp, CmpOp, Counter, Masquerade, Meta};

use super::expressions::{load_key4, load_key6, match_byte, match_name, match_source};
use super::message::{ATTR_TABLE, Attributes, put_bytes, put_nested};
use super::raw::{ConntrackDirection, MapLookup, Plain};
use super::services::{IPV4_ADDRESS, IPV6_ADDRESS, concatenation, endpoint4, endpoint6, key_type};

/// TYPE_MARK of nft's enum datatypes.
const MARK: u32 = 19;
/// Bytes of a mark.
const MARK_LEN: u32 = 4;

// include/uapi/linux/netfilter/nf_tables.h
const NFTA_SET_NAME: u16 = 2;
const NFTA_SET_FLAGS: u16 = 3;
const NFTA_SET_KEY_TYPE: u16 = 4;
const NFTA_SET_KEY_LEN: u16 = 5;
const NFTA_SET_DATA_TYPE: u16 = 6;
const NFTA_SET_DATA_LEN: u16 = 7;
const NFTA_SET_DESC: u16 = 9;
const NFTA_SET_ID: u16 = 10;
const NFTA_SET_USERDATA: u16 = 13;
/// Time limits, objects, statements: such a map has none of them.
const NFTA_SET_EXTRAS: [u16; 4] = [11, 15, 17, 18];
const NFTA_SET_DESC_CONCAT: u16 = 2;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_SET_FIELD_LEN: u16 = 1;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_DATA: u16 = 2;
const NFTA_SET_ELEM_KEY_END: u16 = 10;
/// Flags, timeout, statements, object, end of an interval of the other kind.
const NFTA_SET_ELEM_EXTRAS: [u16; 5] = [3, 4, 7, 9, 11];
const NFTA_DATA_VALUE: u16 = 1;
/// NFT_SET_INTERVAL | NFT_SET_MAP | NFT_SET_CONCAT
const FLAGS: u32 = 0x4 | 0x8 | 0x80;

/// For nft's eyes (enum nftnl_udata_set_types: type, length, value): keys are in network byte order (2), marks in the
/// machine's own (1).
const BYTE_ORDERS: [u8; 12] = [0, 4, 2, 0, 0, 0, 1, 4, 1, 0, 0, 0];

/// Elements of one message: below [`Plain::MAX_LEN`] with the longest keys.
const ELEMENTS: usize = 400;

/// IP_CT_DIR_REPLY
const REPLY: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MarkMap {
    V4,
    V6,
}

impl MarkMap {
    pub(super) const ALL: [MarkMap; 2] = [MarkMap::V4, MarkMap::V6];

    pub(super) fn name(self) -> &'static str {
        match self {
            MarkMap::V4 => "marks4",
            MarkMap::V6 => "marks6",
        }
    }

    fn c_name(self) -> &'static CStr {
        match self {
            MarkMap::V4 => c"marks4",
            MarkMap::V6 => c"marks6",
        }
    }

    fn id(self) -> u32 {
        match self {
            MarkMap::V4 => 0x4c04,
            MarkMap::V6 => 0x4c06,
        }
    }

    pub(super) fn is_used(self, rules: &Ruleset) -> bool {
        let (mark, accept) = match self {
            MarkMap::V4 => (Rule::MarkServices4, Rule::AcceptMarks4),
            MarkMap::V6 => (Rule::MarkServices6, Rule::AcceptMarks6),
        };
        rules.all_rules().any(|rule| *rule == mark || *rule == accept)
    }

    fn holds(self, range: &PortRange) -> bool {
        range.address.is_ipv6() == (self == MarkMap::V6)
    }

    /// Type and length of a key, and the lengths of its fields.
    fn key(self) -> (u32, u32, [u32; 3]) {
        match self {
            MarkMap::V4 => (key_type(IPV4_ADDRESS), 12, [4, 1, 2]),
            MarkMap::V6 => (key_type(IPV6_ADDRESS), 24, [16, 1, 2]),
        }
    }

    /// The messages that make the map and its elements, each with what it is for.
    pub(super) fn messages(self, marks: &BTreeMap<PortRange, u32>) -> Vec<(Plain, String)> {
        let creation = (self.creation(), format!("map {}", self.name()));
        let elements = self.element_messages(MsgType::Add, marks);
        [creation].into_iter().chain(elements).collect()
    }

    /// The messages that add or delete those of `marks` that belong in this map.
    pub(super) fn element_messages(
        self,
        kind: MsgType,
        marks: &BTreeMap<PortRange, u32>,
    ) -> Vec<(Plain, String)> {
        let number = match kind {
            MsgType::Add => libc::NFT_MSG_NEWSETELEM,
            MsgType::Del => libc::NFT_MSG_DELSETELEM,
        };
        let ours: Vec<_> = marks.iter().filter(|(range, _)| self.holds(range)).collect();
        let messages = ours.chunks(ELEMENTS).map(|some| {
            let what = format!("elements of {}", self.name());
            (self.elements(number as u16, some), what)
        });
        messages.collect()
    }

    pub(super) fn deletion(self) -> Plain {
        Plain {
            kind: libc::NFT_MSG_DELSET as u16,
            attributes: self.head(NFTA_SET_NAME),
        }
    }

    fn creation(self) -> Plain {
        let (key_type, key_len, fields) = self.key();
        let mut attributes = self.head(NFTA_SET_NAME);
        for (kind, number) in [
            (NFTA_SET_FLAGS, FLAGS),
            (NFTA_SET_KEY_TYPE, key_type),
            (NFTA_SET_KEY_LEN, key_len),
            (NFTA_SET_DATA_TYPE, MARK),
            (NFTA_SET_DATA_LEN, MARK_LEN),
            (NFTA_SET_ID, self.id()),
        ] {
            put_bytes(&mut attributes, kind, &number.to_be_bytes());
        }
        let mut concat = Vec::new();
        for length in fields {
            let mut field = Vec::new();
            put_bytes(&mut field, NFTA_SET_FIELD_LEN, &length.to_be_bytes());
            put_nested(&mut concat, NFTA_LIST_ELEM, &field);
        }
        let mut description = Vec::new();
        put_nested(&mut description, NFTA_SET_DESC_CONCAT, &concat);
        put_nested(&mut attributes, NFTA_SET_DESC, &description);
        put_bytes(&mut attributes, NFTA_SET_USERDATA, &BYTE_ORDERS);
        Plain {
            kind: libc::NFT_MSG_NEWSET as u16,
            attributes,
        }
    }

    fn elements(self, kind: u16, some: &[(&PortRange, &u32)]) -> Plain {
        let mut list = Vec::new();
        for (range, mark) in some {
            let mut element = Vec::new();
            put_value(&mut element, NFTA_SET_ELEM_KEY, &key(range, range.first));
            put_value(&mut element, NFTA_SET_ELEM_KEY_END, &key(range, range.last));
            put_value(&mut element, NFTA_SET_ELEM_DATA, &mark.to_ne_bytes());
            put_nested(&mut list, NFTA_LIST_ELEM, &element);
        }
        let mut attributes = self.head(NFTA_SET_ELEM_LIST_SET);
        put_nested(&mut attributes, NFTA_SET_ELEM_LIST_ELEMENTS, &list);
        Plain { kind, attributes }
    }

    /// The table's name and the map's.
    fn head(self, name: u16) -> Vec<u8> {
        let mut attributes = Vec::new();
        let text = |name: &str| [name.as_bytes(), &[0]].concat();
        put_bytes(&mut attributes, ATTR_TABLE, &text(TABLE));
        put_bytes(&mut attributes, name, &text(self.name()));
        attributes
    }

    /// Whether a set that was read back is as [`MarkMap::messages`] makes it.
    pub(super) fn is_as_made(self, set: &Attributes<'_>) -> bool {
        let (key_type, key_len, _) = self.key();
        set.number(NFTA_SET_FLAGS) == FLAGS
            && (set.number(NFTA_SET_KEY_TYPE), set.number(NFTA_SET_KEY_LEN)) == (key_type, key_len)
            && (set.number(NFTA_SET_DATA_TYPE), set.number(NFTA_SET_DATA_LEN)) == (MARK, MARK_LEN)
            && !NFTA_SET_EXTRAS.iter().any(|kind| set.has(*kind))
    }

    /// The range that an element means, with its mark; `None` for what a configuration cannot hold.
    pub(super) fn range(self, element: &Attributes<'_>) -> Option<(PortRange, u32)> {
        if NFTA_SET_ELEM_EXTRAS.iter().any(|kind| element.has(*kind)) {
            return None;
        }
        let value = |kind| {
            let data = Attributes::parse(element.bytes(kind)).ok()?;
            Some(data.bytes(NFTA_DATA_VALUE))
        };
        let endpoint = match self {
            MarkMap::V4 => endpoint4,
            MarkMap::V6 => endpoint6,
        };
        let first = endpoint(value(NFTA_SET_ELEM_KEY)?)?;
        let last = endpoint(value(NFTA_SET_ELEM_KEY_END)?)?;
        let mark = u32::from_ne_bytes(value(NFTA_SET_ELEM_DATA)?.try_into().ok()?);
        let whole = (first.address, first.protocol) == (last.address, last.protocol);
        let range = PortRange {
            address: first.address,
            protocol: first.protocol,
            first: first.port,
            last: last.port,
        };
        (whole && range.first <= range.last).then_some((range, mark))
    }
}

fn key(range: &PortRange, port: u16) -> Box<[u8]> {
    match range.address {
        IpAddr::V4(address) => concatenation(&address.octets(), range.protocol, port),
        IpAddr::V6(address) => concatenation(&address.octets(), range.protocol, port),
    }
}

fn put_value(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let mut data = Vec::new();
    put_bytes(&mut data, NFTA_DATA_VALUE, value);
    put_nested(bytes, kind, &data);
}

pub(super) fn match_replies(message: &mut nftnl::Rule<'_>) {
    message.add_expr(&ConntrackDirection);
    message.add_expr(&Cmp::new(CmpOp::Eq, REPLY));
}

/// The packet's mark becomes what the map says of its destination.
pub(super) fn set_mark(message: &mut nftnl::Rule<'_>, map: MarkMap) {
    match_destination(message, map);
    message.add_expr(&Meta::Mark { set: true });
    message.add_expr(&Counter);
}

/// Destinations that the map holds.
pub(super) fn match_destination(message: &mut nftnl::Rule<'_>, map: MarkMap) {
    let family = match map {
        MarkMap::V4 => libc::NFPROTO_IPV4,
        MarkMap::V6 => libc::NFPROTO_IPV6,
    };
    match_byte(message, &Meta::NfProto, family as u8);
    match map {
        MarkMap::V4 => load_key4(message),
        MarkMap::V6 => load_key6(message),
    }
    message.add_expr(&MapLookup(map.c_name()));
}

/// Packets with one of our marks.
pub(super) fn match_marked(message: &mut nftnl::Rule<'_>) {
    message.add_expr(&Meta::Mark { set: false });
    message.add_expr(&Bitwise::new(MarkKey::RANGE_MASK, 0u32));
    message.add_expr(&Cmp::new(CmpOp::Eq, MarkKey::RANGE));
}

/// The mark tells that the client asked for a service; the packet's destination is a server by now.
pub(super) fn hairpin(message: &mut nftnl::Rule<'_>, from: &IpNet, out: &IfName) {
    match_source(message, from);
    match_name(message, &Meta::OifName, out.as_str());
    match_marked(message);
    message.add_expr(&Counter);
    message.add_expr(&Masquerade);
}
