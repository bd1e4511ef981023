//! The marks of services over several ports or protocols. A mark follows from the service's name alone, so that other
//! services may come and go without its connections being counted to another service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::model::VirtualServer;
use crate::model::{MarkKey, VirtualKey};

/// Gives each service that has a mark its own. Of two names that make the same one, the later in the alphabet takes the
/// next that is free.
pub(super) fn assign(services: &mut [Arc<VirtualServer>]) {
    let grouped = services
        .iter_mut()
        .filter(|service| matches!(service.key, VirtualKey::Mark(_)));
    let by_name: BTreeMap<String, &mut Arc<VirtualServer>> =
        grouped.map(|service| (service.name.clone(), service)).collect();
    let mut taken = BTreeSet::new();
    for (name, service) in by_name {
        let mut low = hash(&name);
        while !taken.insert(low) {
            low = low.wrapping_add(1) & !MarkKey::RANGE_MASK;
        }
        let VirtualKey::Mark(key) = service.key else {
            continue;
        };
        let mark = MarkKey::RANGE | low;
        // One that was read before has its mark already, and stays shared.
        if key.mark != mark {
            Arc::make_mut(service).key = MarkKey { mark, ..key }.into();
        }
    }
}

/// FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv), its 32 bits folded to 24 as described there.
fn hash(name: &str) -> u32 {
    const OFFSET: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    let wide = name
        .bytes()
        .fold(OFFSET, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(PRIME));
    (wide >> 24) ^ (wide & !MarkKey::RANGE_MASK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Scheduler;
    use crate::pool::PoolRules;

    fn marks(names: &[&str]) -> Vec<u32> {
        let service = |name: &&str| {
            Arc::new(VirtualServer {
                name: (*name).to_owned(),
                key: MarkKey { mark: 0, ipv6: false }.into(),
                listen: vec![],
                settings: Scheduler::Rr.into(),
                syn_proxy: false,
                pool: PoolRules::DEFAULT,
                real_servers: vec![],
            })
        };
        let mut services: Vec<_> = names.iter().map(service).collect();
        assign(&mut services);
        let mark = |service: &Arc<VirtualServer>| match service.key {
            VirtualKey::Mark(key) => key.mark,
            VirtualKey::Endpoint(_) => 0,
        };
        services.iter().map(mark).collect()
    }

    #[test]
    fn a_mark_follows_from_the_name_and_survives_all_releases() {
        assert_eq!(marks(&["nginx"]), [0x4c00_0000 | hash("nginx")]);
        assert_eq!(hash(""), 0x1c_9dc5 ^ 0x81);
        // From the published test vectors: FNV-1a of "foobar" is 0xbf9cf968.
        assert_eq!(hash("foobar"), 0x9c_f968 ^ 0xbf);
        let [before] = marks(&["nginx"])[..] else { panic!() };
        assert!(marks(&["a", "nginx", "z"]).contains(&before));
    }

    #[test]
    fn two_names_never_share_a_mark_and_the_file_s_order_does_not_matter() {
        // Names that collide in 24 bits, found by trying.
        let names: Vec<String> = (0..20_000).map(|n| format!("s{n}")).collect();
        let mut by_hash = BTreeMap::new();
        let pair = names
            .iter()
            .find_map(|name| by_hash.insert(hash(name), name).map(|first| [first, name]))
            .unwrap();
        let [a, b] = pair.map(String::as_str);
        let (there, back) = (marks(&[a, b]), marks(&[b, a]));
        assert_ne!(there[0], there[1]);
        assert_eq!(there, [back[1], back[0]]);
    }
}
