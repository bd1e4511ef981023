//! The table's sets and maps read back: services, marks, answers, and those of the fast path. What is in one that we would not have put
//! there, or one that is missing or made otherwise, becomes a foreign rule.

use std::collections::BTreeSet;

use lb_core::model::Endpoint;
use lb_core::ports::KernelFault;
use lb_core::ruleset::Chain;

use super::fast::FastSet;
use super::maps::Map;
use super::message::{Attributes, Get, list};
use super::read::{Held, for_ours};
use super::services::ServiceSet;
use super::socket::Socket;

// include/uapi/linux/netfilter/nf_tables.h
const NFTA_SET_NAME: u16 = 2;
const NFTA_SET_FLAGS: u16 = 3;
const NFTA_SET_KEY_TYPE: u16 = 4;
const NFTA_SET_KEY_LEN: u16 = 5;
/// Data, time limits, objects, statements: a set of services has none of them.
const NFTA_SET_EXTRAS: [u16; 6] = [6, 7, 11, 15, 17, 18];
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_SET_ELEM_KEY: u16 = 1;
/// Data, flags, timeout, statements, object, end of an interval.
const NFTA_SET_ELEM_EXTRAS: [u16; 7] = [2, 3, 4, 7, 9, 10, 11];
const NFTA_DATA_VALUE: u16 = 1;

pub(super) fn read(socket: &mut Socket, seen: &mut Held) -> Result<(), KernelFault> {
    let mut missing = ServiceSet::ALL.to_vec();
    let (mut maps, mut fast_sets) = (Vec::new(), Vec::new());
    for_ours(socket, Get::Sets, |attributes| {
        let name = attributes.text(NFTA_SET_NAME);
        let map = Map::ALL.into_iter().find(|map| map.name() == name);
        if let Some(map) = map.filter(|map| map.is_used(&seen.rules) && map.is_as_made(attributes)) {
            maps.push(map);
            return Ok(());
        }
        let fast = FastSet::of_name(&name);
        let services = ServiceSet::ALL.into_iter().find(|set| set.name() == name);
        missing.retain(|set| Some(*set) != services);
        let like = services.or(fast.map(FastSet::like));
        if like.is_some_and(|set| is_as_made(set, attributes)) {
            fast_sets.extend(fast);
        } else {
            seen.foreign(Chain::Input, format!("set {name}"));
        }
        Ok(())
    })?;
    for map in &maps {
        read_map(socket, *map, seen)?;
    }
    seen.maps = maps;
    for set in ServiceSet::ALL {
        if missing.contains(&set) {
            seen.foreign(Chain::Input, format!("set {} is missing", set.name()));
            continue;
        }
        let endpoints = read_endpoints(socket, set.name(), set, seen)?;
        seen.rules.services.extend(endpoints);
    }
    for set in &fast_sets {
        let endpoints = read_endpoints(socket, &set.name().to_string_lossy(), set.like(), seen)?;
        set.fill(&mut seen.rules.fast, endpoints);
    }
    for set in FastSet::ALL {
        if set.is_used(&seen.rules.fast) != fast_sets.contains(&set) {
            let name = set.name().to_string_lossy();
            seen.foreign(Chain::Raw, format!("set {name} is missing, or not needed"));
        }
    }
    Ok(())
}

/// Whether a set has the properties that we give to such ones.
fn is_as_made(set: ServiceSet, attributes: &Attributes<'_>) -> bool {
    let key = (NFTA_SET_KEY_TYPE, NFTA_SET_KEY_LEN);
    set.key() == (attributes.number(key.0), attributes.number(key.1))
        && attributes.number(NFTA_SET_FLAGS) == 0
        && !NFTA_SET_EXTRAS.iter().any(|kind| attributes.has(*kind))
}

/// The elements of the set `name`, which looks like `set`.
fn read_endpoints(
    socket: &mut Socket,
    name: &str,
    set: ServiceSet,
    seen: &mut Held,
) -> Result<BTreeSet<Endpoint>, KernelFault> {
    let (mut endpoints, mut strays) = (BTreeSet::new(), Vec::new());
    socket.ask(Get::Elements, Some(name), |message| {
        let attributes = Attributes::of_message(message.payload)?;
        let elements = attributes.bytes(NFTA_SET_ELEM_LIST_ELEMENTS);
        read_elements(set, elements, &mut endpoints, &mut strays)
    })?;
    for stray in strays {
        seen.foreign(Chain::Input, format!("{stray} of {name}"));
    }
    Ok(endpoints)
}

fn read_map(socket: &mut Socket, map: Map, seen: &mut Held) -> Result<(), KernelFault> {
    let mut strays = Vec::new();
    socket.ask(Get::Elements, Some(map.name()), |message| {
        let attributes = Attributes::of_message(message.payload)?;
        for (_, element) in list(attributes.bytes(NFTA_SET_ELEM_LIST_ELEMENTS))? {
            let taken = map.take(&Attributes::parse(element)?, &mut seen.rules);
            if taken.is_none() {
                strays.push(format!("element {element:02x?} of {}", map.name()));
            }
        }
        Ok(())
    })?;
    for stray in strays {
        seen.foreign(Chain::Input, stray);
    }
    Ok(())
}

fn read_elements(
    set: ServiceSet,
    elements: &[u8],
    services: &mut BTreeSet<Endpoint>,
    strays: &mut Vec<String>,
) -> Result<(), KernelFault> {
    for (_, element) in list(elements)? {
        let element = Attributes::parse(element)?;
        let key = Attributes::parse(element.bytes(NFTA_SET_ELEM_KEY))?.bytes(NFTA_DATA_VALUE);
        let plain = !NFTA_SET_ELEM_EXTRAS.iter().any(|kind| element.has(*kind));
        match set.service(key).filter(|_| plain) {
            Some(service) => {
                services.insert(service);
            }
            None => strays.push(format!("element {key:02x?}")),
        }
    }
    Ok(())
}
