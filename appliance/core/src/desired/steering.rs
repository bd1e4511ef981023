//! Receive packet steering: which processors work on what a card receives (Documentation/networking/scaling.rst). A card
//! interrupts one processor for each queue; with fewer queues than processors, the others are given their part by flow.
//! Must not: read anything; the names are files below /sys.

use std::collections::BTreeMap;

use crate::model::IfName;
use crate::observed::{ObservedLink, SysctlName};

/// Every queue's processors: all of them where queues are few, and those that it interrupts where each has its own.
pub fn steering(processors: u32, links: &BTreeMap<IfName, ObservedLink>) -> BTreeMap<SysctlName, String> {
    let mut wanted = BTreeMap::new();
    for (name, link) in links {
        let few = link.receive_queues < processors;
        let mask = if few { all(processors) } else { "0".to_owned() };
        for queue in 0..link.receive_queues {
            let file = format!("class/net/{name}/queues/rx-{queue}/rps_cpus");
            wanted.insert(file, mask.clone());
        }
    }
    wanted
}

/// As the kernel takes it: 32 processors to a word, the highest first.
fn all(processors: u32) -> String {
    let whole = (0..processors / 32).map(|_| "ffffffff".to_owned());
    let rest = (!processors.is_multiple_of(32)).then(|| format!("{:x}", (1_u32 << (processors % 32)) - 1));
    rest.into_iter().chain(whole).collect::<Vec<_>>().join(",")
}

/// The kernel shows a mask with a digit for every four processors that the machine might have.
pub fn is_same_mask(name: &str, seen: &str, wanted: &str) -> bool {
    let digits = |mask: &str| mask.trim_start_matches(['0', ',']).to_owned();
    name.ends_with("/rps_cpus") && digits(seen) == digits(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(processors: u32, receive_queues: u32) -> Vec<String> {
        let link = ObservedLink {
            receive_queues,
            ..ObservedLink::default()
        };
        let links = BTreeMap::from([("eth0".parse().unwrap(), link)]);
        let wanted = steering(processors, &links).into_iter();
        wanted.map(|(name, mask)| format!("{name} {mask}")).collect()
    }

    #[test]
    fn few_queues_are_for_all_processors_and_enough_of_them_for_their_own() {
        let file = |queue| format!("class/net/eth0/queues/rx-{queue}/rps_cpus");
        assert_eq!(of(2, 1), [format!("{} 3", file(0))]);
        assert_eq!(of(3, 2), [format!("{} 7", file(0)), format!("{} 7", file(1))]);
        for enough in [(1, 1), (2, 2), (1, 2)] {
            assert!(of(enough.0, enough.1).iter().all(|line| line.ends_with(" 0")));
        }
        assert!(of(2, 0).is_empty());
    }

    #[test]
    fn masks_are_the_same_however_many_digits_they_have() {
        assert_eq!(all(32), "ffffffff");
        assert_eq!(all(40), "ff,ffffffff");
        assert_eq!(all(64), "ffffffff,ffffffff");
        let name = "class/net/eth0/queues/rx-0/rps_cpus";
        assert!(is_same_mask(name, "03", "3"));
        assert!(is_same_mask(name, "00000000,00000000", "0"));
        assert!(!is_same_mask(name, "1", "3") && !is_same_mask(name, "ff,00000000", "ff"));
        assert!(!is_same_mask("net/ipv4/vs/drop_entry", "01", "1"));
    }
}
