//! The table's maps, as messages and read back: from ports of an address to what the rules ask about them. A range of ports is one
//! element, however wide: an interval of a concatenated key (address . protocol . port), whose two ends are given.
//! Must not: know the rules that ask.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lb_core::model::PortRange;
use lb_core::ruleset::{AnswerMap, AnswerSource, Family, Rule, Ruleset, TABLE};
use nftnl::MsgType;

use super::message::{ATTR_TABLE, Attributes, put_bytes, put_nested};
use super::raw::Plain;
use super::services::{
    INET_SERVICE, IPV4_ADDRESS, IPV6_ADDRESS, TYPE_BITS, concatenation, endpoint4, endpoint6, key_type,
};

/// TYPE_MARK of nft's enum datatypes.
const MARK: u32 = 19;

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
/// NFT_SET_MAP
const SINGLE_PORTS: u32 = 0x8;
/// NFT_SET_INTERVAL | NFT_SET_MAP | NFT_SET_CONCAT
const RANGES: u32 = 0x4 | 0x8 | 0x80;

/// Elements of one message: below [`Plain::MAX_LEN`] with the longest keys.
const ELEMENTS: usize = 400;

/// A map of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Map {
    /// `marks4` and `marks6`: what clients may reach, with the mark of its service.
    Marks(Family),
    Answers(AnswerMap),
}

/// How the values of a map look.
struct Values {
    /// One of nft's data types, or several of them in one number.
    kind: u32,
    len: u32,
    /// For nft's eyes (enum byteorder): 1 is the machine's own, 2 the network's.
    byte_order: u8,
}

impl Map {
    pub(super) const ALL: [Map; 6] = [
        Map::Marks(Family::V4),
        Map::Marks(Family::V6),
        Map::Answers(AnswerMap::Ports(Family::V4)),
        Map::Answers(AnswerMap::Ports(Family::V6)),
        Map::Answers(AnswerMap::Ranges(Family::V4)),
        Map::Answers(AnswerMap::Ranges(Family::V6)),
    ];

    pub(super) fn c_name(self) -> &'static CStr {
        match self {
            Map::Marks(Family::V4) => c"marks4",
            Map::Marks(Family::V6) => c"marks6",
            Map::Answers(AnswerMap::Ports(Family::V4)) => c"answers4",
            Map::Answers(AnswerMap::Ports(Family::V6)) => c"answers6",
            Map::Answers(AnswerMap::Ranges(Family::V4)) => c"answer_ranges4",
            Map::Answers(AnswerMap::Ranges(Family::V6)) => c"answer_ranges6",
        }
    }

    pub(super) fn name(self) -> &'static str {
        self.c_name().to_str().unwrap_or_default()
    }

    /// Its number in the transaction, apart from those of sets.
    fn id(self) -> u32 {
        let place = Map::ALL.iter().position(|map| *map == self);
        0x4c00 + place.unwrap_or_default() as u32
    }

    pub(super) fn family(self) -> Family {
        match self {
            Map::Marks(family) => family,
            Map::Answers(map) => map.family(),
        }
    }

    pub(super) fn is_used(self, rules: &Ruleset) -> bool {
        let asks = |rule: &Rule| match (self, rule) {
            (Map::Marks(Family::V4), Rule::MarkServices4 | Rule::AcceptMarks4)
            | (Map::Marks(Family::V6), Rule::MarkServices6 | Rule::AcceptMarks6) => true,
            (Map::Answers(ours), Rule::AnswerBy(map) | Rule::UntrackAnswersBy { map, .. }) => *map == ours,
            _ => false,
        };
        rules.all_rules().any(asks)
    }

    /// Whether its keys are ranges.
    fn has_ranges(self) -> bool {
        !matches!(self, Map::Answers(AnswerMap::Ports(_)))
    }

    fn flags(self) -> u32 {
        match self.has_ranges() {
            true => RANGES,
            false => SINGLE_PORTS,
        }
    }

    /// Type and length of a key, and the lengths of its fields.
    fn key(self) -> (u32, u32, [u32; 3]) {
        match self.family() {
            Family::V4 => (key_type(IPV4_ADDRESS), 12, [4, 1, 2]),
            Family::V6 => (key_type(IPV6_ADDRESS), 24, [16, 1, 2]),
        }
    }

    fn values(self) -> Values {
        let (address, address_len) = match self.family() {
            Family::V4 => (IPV4_ADDRESS, 4),
            Family::V6 => (IPV6_ADDRESS, 16),
        };
        let (kind, len, byte_order) = match self {
            Map::Marks(_) => (MARK, 4, 1),
            Map::Answers(AnswerMap::Ports(_)) => (address << TYPE_BITS | INET_SERVICE, address_len + 4, 2),
            Map::Answers(AnswerMap::Ranges(_)) => (address, address_len, 2),
        };
        Values {
            kind,
            len,
            byte_order,
        }
    }

    /// What of the rules belongs in this map.
    fn content(self, rules: &Ruleset) -> Vec<(PortRange, Vec<u8>)> {
        match self {
            Map::Marks(family) => {
                let marks = rules.marks.iter();
                let ours = marks.filter(|(range, _)| family.is_of(range.address));
                ours.map(|(range, mark)| (*range, mark.to_ne_bytes().to_vec()))
                    .collect()
            }
            Map::Answers(map) => {
                let ours = rules
                    .answers
                    .iter()
                    .filter(|(range, source)| map.holds(range, source));
                ours.map(|(range, source)| (*range, value(source))).collect()
            }
        }
    }

    /// The message that makes the map, with what it is for.
    pub(super) fn creation(self) -> (Plain, String) {
        let (key_type, key_len, fields) = self.key();
        let values = self.values();
        let mut attributes = self.head(NFTA_SET_NAME);
        for (kind, number) in [
            (NFTA_SET_FLAGS, self.flags()),
            (NFTA_SET_KEY_TYPE, key_type),
            (NFTA_SET_KEY_LEN, key_len),
            (NFTA_SET_DATA_TYPE, values.kind),
            (NFTA_SET_DATA_LEN, values.len),
            (NFTA_SET_ID, self.id()),
        ] {
            put_bytes(&mut attributes, kind, &number.to_be_bytes());
        }
        if self.has_ranges() {
            let mut concat = Vec::new();
            for length in fields {
                let mut field = Vec::new();
                put_bytes(&mut field, NFTA_SET_FIELD_LEN, &length.to_be_bytes());
                put_nested(&mut concat, NFTA_LIST_ELEM, &field);
            }
            let mut description = Vec::new();
            put_nested(&mut description, NFTA_SET_DESC_CONCAT, &concat);
            put_nested(&mut attributes, NFTA_SET_DESC, &description);
        }
        // enum nftnl_udata_set_types: type, length, value.
        let byte_orders = [0, 4, 2, 0, 0, 0, 1, 4, values.byte_order, 0, 0, 0];
        put_bytes(&mut attributes, NFTA_SET_USERDATA, &byte_orders);
        let message = Plain {
            kind: libc::NFT_MSG_NEWSET as u16,
            attributes,
        };
        (message, format!("map {}", self.name()))
    }

    /// The messages that add or delete what `to` has in this map and `from` has not.
    pub(super) fn element_messages(
        self,
        kind: MsgType,
        from: &Ruleset,
        to: &Ruleset,
    ) -> Vec<(Plain, String)> {
        let number = match kind {
            MsgType::Add => libc::NFT_MSG_NEWSETELEM,
            MsgType::Del => libc::NFT_MSG_DELSETELEM,
        };
        let there: BTreeMap<PortRange, Vec<u8>> = self.content(from).into_iter().collect();
        let mut differing = self.content(to);
        differing.retain(|(range, value)| there.get(range) != Some(value));
        let messages = differing.chunks(ELEMENTS).map(|some| {
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

    fn elements(self, kind: u16, some: &[(PortRange, Vec<u8>)]) -> Plain {
        let mut list = Vec::new();
        for (range, value) in some {
            let mut element = Vec::new();
            put_value(&mut element, NFTA_SET_ELEM_KEY, &key(range, range.first));
            if self.has_ranges() {
                put_value(&mut element, NFTA_SET_ELEM_KEY_END, &key(range, range.last));
            }
            put_value(&mut element, NFTA_SET_ELEM_DATA, value);
            put_nested(&mut list, NFTA_LIST_ELEM, &element);
        }
        let mut attributes = self.head(NFTA_SET_ELEM_LIST_SET);
        put_nested(&mut attributes, NFTA_SET_ELEM_LIST_ELEMENTS, &list);
        Plain { kind, attributes }
    }

    /// The table's name and the map's.
    fn head(self, name: u16) -> Vec<u8> {
        let mut attributes = Vec::new();
        put_bytes(&mut attributes, ATTR_TABLE, &[TABLE.as_bytes(), &[0]].concat());
        put_bytes(&mut attributes, name, self.c_name().to_bytes_with_nul());
        attributes
    }

    /// Whether a set that was read back is as [`Map::creation`] makes it.
    pub(super) fn is_as_made(self, set: &Attributes<'_>) -> bool {
        let (key_type, key_len, _) = self.key();
        let values = self.values();
        set.number(NFTA_SET_FLAGS) == self.flags()
            && (set.number(NFTA_SET_KEY_TYPE), set.number(NFTA_SET_KEY_LEN)) == (key_type, key_len)
            && (set.number(NFTA_SET_DATA_TYPE), set.number(NFTA_SET_DATA_LEN)) == (values.kind, values.len)
            && !NFTA_SET_EXTRAS.iter().any(|kind| set.has(*kind))
    }

    /// Takes an element that was read back into the rules; `None` for what a configuration cannot hold.
    pub(super) fn take(self, element: &Attributes<'_>, rules: &mut Ruleset) -> Option<()> {
        let range = self.range(element)?;
        let value = value_of(element, NFTA_SET_ELEM_DATA)?;
        match self {
            Map::Marks(_) => {
                let mark = u32::from_ne_bytes(value.try_into().ok()?);
                rules.marks.insert(range, mark);
            }
            Map::Answers(map) => {
                let source = source(map, value)?;
                rules.answers.insert(range, source);
            }
        }
        Some(())
    }

    fn range(self, element: &Attributes<'_>) -> Option<PortRange> {
        let extra = NFTA_SET_ELEM_EXTRAS.iter().any(|kind| element.has(*kind));
        if extra || element.has(NFTA_SET_ELEM_KEY_END) != self.has_ranges() {
            return None;
        }
        let endpoint = match self.family() {
            Family::V4 => endpoint4,
            Family::V6 => endpoint6,
        };
        let first = endpoint(value_of(element, NFTA_SET_ELEM_KEY)?)?;
        let last = match self.has_ranges() {
            true => endpoint(value_of(element, NFTA_SET_ELEM_KEY_END)?)?,
            false => first,
        };
        let whole = (first.address, first.protocol) == (last.address, last.protocol);
        let range = PortRange {
            address: first.address,
            protocol: first.protocol,
            first: first.port,
            last: last.port,
        };
        (whole && range.first <= range.last).then_some(range)
    }
}

fn key(range: &PortRange, port: u16) -> Box<[u8]> {
    match range.address {
        IpAddr::V4(address) => concatenation(&address.octets(), range.protocol, port),
        IpAddr::V6(address) => concatenation(&address.octets(), range.protocol, port),
    }
}

/// Address . port, or the address alone.
fn value(source: &AnswerSource) -> Vec<u8> {
    let mut value = match source.address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    if let Some(port) = source.port {
        value.extend(port.to_be_bytes());
        value.extend([0, 0]);
    }
    value
}

fn source(map: AnswerMap, value: &[u8]) -> Option<AnswerSource> {
    let (address, rest): (IpAddr, &[u8]) = match map.family() {
        Family::V4 => {
            let (address, rest) = value.split_first_chunk::<4>()?;
            (Ipv4Addr::from(*address).into(), rest)
        }
        Family::V6 => {
            let (address, rest) = value.split_first_chunk::<16>()?;
            (Ipv6Addr::from(*address).into(), rest)
        }
    };
    let port = match (map, rest) {
        (AnswerMap::Ports(_), [high, low, 0, 0]) => Some(u16::from_be_bytes([*high, *low])),
        (AnswerMap::Ranges(_), []) => None,
        _ => return None,
    };
    Some(AnswerSource { address, port })
}

fn value_of<'a>(element: &Attributes<'a>, kind: u16) -> Option<&'a [u8]> {
    let data = Attributes::parse(element.bytes(kind)).ok()?;
    Some(data.bytes(NFTA_DATA_VALUE))
}

fn put_value(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let mut data = Vec::new();
    put_bytes(&mut data, NFTA_DATA_VALUE, value);
    put_nested(bytes, kind, &data);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_map_is_called_what_its_rules_call_it() {
        for map in AnswerMap::ALL {
            assert_eq!(Map::Answers(map).name(), map.name());
            assert!(Map::ALL.contains(&Map::Answers(map)));
        }
    }

    #[test]
    fn sources_read_back_as_written_and_others_are_none() {
        for (map, address, port) in [
            (AnswerMap::ALL[0], "192.0.2.1", Some(53)),
            (AnswerMap::ALL[1], "2001:db8::1", Some(65_535)),
            (AnswerMap::ALL[2], "192.0.2.1", None),
            (AnswerMap::ALL[3], "2001:db8::1", None),
        ] {
            let address = address.parse().unwrap();
            let written = AnswerSource { address, port };
            let bytes = value(&written);
            assert_eq!(bytes.len() as u32, Map::Answers(map).values().len);
            assert_eq!(source(map, &bytes), Some(written));
            assert_eq!(source(map, &bytes[1..]), None);
            assert_eq!(source(map, &[&bytes[..], &[0]].concat()), None);
        }
    }
}
