//! The fast path's part of the table: its sets, and the flowtable, as messages and read back.
//! Must not: know rules.

use std::collections::BTreeSet;
use std::ffi::CStr;

use lb_core::model::{Endpoint, IfName};
use lb_core::ports::KernelFault;
use lb_core::ruleset::{Family, FastPath, TABLE};
use nftnl::set::{Set, SetKey};
use nftnl::{MsgType, ProtoFamily, Table};

use super::encode::Writer;
use super::message::{ATTR_TABLE, Attributes, list, put_bytes, put_nested};
use super::raw::Plain;
use super::services::{Key, Key4, Key6, ServiceSet};

pub(super) const FLOWTABLE: &CStr = c"fast";

// include/uapi/linux/netfilter/nf_tables.h
const NFT_MSG_NEWFLOWTABLE: u16 = 22;
const NFT_MSG_DELFLOWTABLE: u16 = 24;
const NFTA_FLOWTABLE_NAME: u16 = 2;
const NFTA_FLOWTABLE_HOOK: u16 = 3;
const NFTA_FLOWTABLE_FLAGS: u16 = 7;
const NFTA_FLOWTABLE_HOOK_NUM: u16 = 1;
const NFTA_FLOWTABLE_HOOK_PRIORITY: u16 = 2;
const NFTA_FLOWTABLE_HOOK_DEVS: u16 = 3;
const NFTA_DEVICE_NAME: u16 = 1;
/// NF_NETDEV_INGRESS, and its priority.
const INGRESS: u32 = 0;
const PRIORITY: u32 = 0;

/// A set of the fast path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FastSet {
    Services4,
    Services6,
    Servers4,
    Servers6,
}

impl FastSet {
    pub(super) const ALL: [FastSet; 4] = [
        FastSet::Services4,
        FastSet::Services6,
        FastSet::Servers4,
        FastSet::Servers6,
    ];

    pub(super) fn services(family: Family) -> FastSet {
        match family {
            Family::V4 => FastSet::Services4,
            Family::V6 => FastSet::Services6,
        }
    }

    pub(super) fn servers(family: Family) -> FastSet {
        match family {
            Family::V4 => FastSet::Servers4,
            Family::V6 => FastSet::Servers6,
        }
    }

    pub(super) fn name(self) -> &'static CStr {
        match self {
            FastSet::Services4 => c"untracked4",
            FastSet::Services6 => c"untracked6",
            FastSet::Servers4 => c"servers4",
            FastSet::Servers6 => c"servers6",
        }
    }

    pub(super) fn of_name(name: &str) -> Option<FastSet> {
        let mut all = FastSet::ALL.into_iter();
        all.find(|set| set.name().to_str() == Ok(name))
    }

    /// Its number in the transaction, after those of the sets of services.
    pub(super) fn id(self) -> u32 {
        3 + self as u32
    }

    pub(super) fn is_ipv4(self) -> bool {
        matches!(self, FastSet::Services4 | FastSet::Servers4)
    }

    /// The set of services whose elements look the same.
    pub(super) fn like(self) -> ServiceSet {
        match self.is_ipv4() {
            true => ServiceSet::V4,
            false => ServiceSet::V6,
        }
    }

    /// The rules that use it are there while its address family has something to spare.
    pub(super) fn is_used(self, fast: &FastPath) -> bool {
        fast.has_family(self.is_ipv4())
    }

    fn content(self, fast: &FastPath) -> impl Iterator<Item = &Endpoint> {
        let endpoints = match self {
            FastSet::Services4 | FastSet::Services6 => &fast.services,
            FastSet::Servers4 | FastSet::Servers6 => &fast.servers,
        };
        endpoints
            .iter()
            .filter(move |endpoint| endpoint.address.is_ipv4() == self.is_ipv4())
    }

    pub(super) fn fill(self, fast: &mut FastPath, endpoints: impl IntoIterator<Item = Endpoint>) {
        match self {
            FastSet::Services4 | FastSet::Services6 => fast.services.extend(endpoints),
            FastSet::Servers4 | FastSet::Servers6 => fast.servers.extend(endpoints),
        }
    }
}

/// Writes the sets with their elements, and the flowtable.
pub(super) fn write(fast: &FastPath, table: &Table, writer: &mut Writer) {
    add_missing(&FastPath::default(), fast, table, writer);
    write_elements(&FastPath::default(), fast, table, writer, MsgType::Add);
}

/// Whether one becomes the other without a touch to a flowtable that stays.
pub(super) fn can_become(one: &FastPath, other: &FastPath) -> bool {
    one.offload == other.offload || one.offload.is_empty() || other.offload.is_empty()
}

/// The sets and the flowtable that `to` needs and `from` has not.
pub(super) fn add_missing(from: &FastPath, to: &FastPath, table: &Table, writer: &mut Writer) {
    write_frame(from, to, table, writer, MsgType::Add);
    if from.offload.is_empty() && !to.offload.is_empty() {
        writer.write(&flowtable(&to.offload), MsgType::Add, "flowtable fast");
    }
}

/// The other way round, when no rule asks for them any more.
pub(super) fn delete_unused(from: &FastPath, to: &FastPath, table: &Table, writer: &mut Writer) {
    write_frame(to, from, table, writer, MsgType::Del);
    if to.offload.is_empty() && !from.offload.is_empty() {
        writer.write(&flowtable_deletion(), MsgType::Del, "flowtable fast");
    }
}

/// Sets that `to` uses and `from` does not.
fn write_frame(from: &FastPath, to: &FastPath, table: &Table, writer: &mut Writer, kind: MsgType) {
    let sets = FastSet::ALL.into_iter();
    for set in sets.filter(|set| set.is_used(to) && !set.is_used(from)) {
        let what = format!("set {}", set.name().to_string_lossy());
        match set.is_ipv4() {
            true => writer.write(&message::<Key4>(set, table), kind, what),
            false => writer.write(&message::<Key6>(set, table), kind, what),
        }
    }
}

/// Adds or deletes what `to` has and `from` has not.
pub(super) fn write_elements(
    from: &FastPath,
    to: &FastPath,
    table: &Table,
    writer: &mut Writer,
    kind: MsgType,
) {
    for set in FastSet::ALL {
        let there: BTreeSet<&Endpoint> = set.content(from).collect();
        let keys = set.content(to).filter(|endpoint| !there.contains(endpoint));
        let keys = keys.copied().map(Key::from);
        match set.is_ipv4() {
            true => {
                let mut message = message::<Key4>(set, table);
                keys.for_each(|key| match key {
                    Key::V4(key) => message.add(&key),
                    Key::V6(_) => {}
                });
                write_filled(&message, set, writer, kind);
            }
            false => {
                let mut message = message::<Key6>(set, table);
                keys.for_each(|key| match key {
                    Key::V6(key) => message.add(&key),
                    Key::V4(_) => {}
                });
                write_filled(&message, set, writer, kind);
            }
        }
    }
}

fn message<K: SetKey>(set: FastSet, table: &Table) -> Set<'_, K> {
    Set::new_named(set.name(), set.id(), table, ProtoFamily::Inet)
}

fn write_filled<K: SetKey>(message: &Set<'_, K>, set: FastSet, writer: &mut Writer, kind: MsgType) {
    let name = set.name().to_string_lossy();
    for elements in message.elems_iter() {
        writer.write(&elements, kind, format!("elements of {name}"));
    }
}

fn flowtable_deletion() -> Plain {
    let mut attributes = Vec::new();
    put_bytes(&mut attributes, ATTR_TABLE, &[TABLE.as_bytes(), &[0]].concat());
    put_bytes(
        &mut attributes,
        NFTA_FLOWTABLE_NAME,
        FLOWTABLE.to_bytes_with_nul(),
    );
    Plain {
        kind: NFT_MSG_DELFLOWTABLE,
        attributes,
    }
}

fn flowtable<'l>(links: impl IntoIterator<Item = &'l IfName>) -> Plain {
    let text = |text: &[u8]| [text, &[0]].concat();
    let mut devices = Vec::new();
    for link in links {
        put_bytes(&mut devices, NFTA_DEVICE_NAME, &text(link.as_str().as_bytes()));
    }
    let mut hook = Vec::new();
    put_bytes(&mut hook, NFTA_FLOWTABLE_HOOK_NUM, &INGRESS.to_be_bytes());
    put_bytes(&mut hook, NFTA_FLOWTABLE_HOOK_PRIORITY, &PRIORITY.to_be_bytes());
    put_nested(&mut hook, NFTA_FLOWTABLE_HOOK_DEVS, &devices);
    let mut attributes = Vec::new();
    put_bytes(&mut attributes, ATTR_TABLE, &text(TABLE.as_bytes()));
    put_bytes(
        &mut attributes,
        NFTA_FLOWTABLE_NAME,
        FLOWTABLE.to_bytes_with_nul(),
    );
    put_nested(&mut attributes, NFTA_FLOWTABLE_HOOK, &hook);
    Plain {
        kind: NFT_MSG_NEWFLOWTABLE,
        attributes,
    }
}

/// The links of a flowtable, if it is just as ours are made.
pub(super) fn flowtable_links(attributes: &Attributes<'_>) -> Result<Option<Vec<IfName>>, KernelFault> {
    let hook = Attributes::parse(attributes.bytes(NFTA_FLOWTABLE_HOOK))?;
    let as_made = hook.number(NFTA_FLOWTABLE_HOOK_NUM) == INGRESS
        && hook.number(NFTA_FLOWTABLE_HOOK_PRIORITY) == PRIORITY
        && attributes.number(NFTA_FLOWTABLE_FLAGS) == 0
        && attributes.bytes(NFTA_FLOWTABLE_NAME) == FLOWTABLE.to_bytes_with_nul();
    let mut links = Vec::new();
    for (_, name) in list(hook.bytes(NFTA_FLOWTABLE_HOOK_DEVS))? {
        let name = String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(name));
        match name.parse() {
            Ok(link) => links.push(link),
            Err(_) => return Ok(None),
        }
    }
    Ok((as_made && !links.is_empty()).then_some(links))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flowtable_reads_back_as_its_links_and_one_made_otherwise_as_none() {
        let links: [IfName; 2] = ["eth0".parse().unwrap(), "eth1".parse().unwrap()];
        let mut message = flowtable(&links).attributes;
        let read = |bytes: &[u8]| flowtable_links(&Attributes::parse(bytes).unwrap()).unwrap();
        assert_eq!(read(&message).as_deref(), Some(&links[..]));
        put_bytes(&mut message, NFTA_FLOWTABLE_FLAGS, &1u32.to_be_bytes());
        assert_eq!(read(&message), None);
        assert_eq!(read(&flowtable([]).attributes), None);
    }

    #[test]
    fn every_set_has_a_name_and_a_number_of_its_own() {
        for set in FastSet::ALL {
            assert_eq!(FastSet::of_name(&set.name().to_string_lossy()), Some(set));
            assert!(FastSet::ALL.iter().filter(|other| other.id() == set.id()).count() == 1);
        }
    }
}
