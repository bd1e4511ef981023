//! The nftables table that the appliance owns, as typed rules in its base chains: `inet lb`. What the chains are is data here;
//! a rule prints as one line and parses back from it (`rule`).
//! Must not: know netlink. A rule that the kernel holds and that is none of these is [`Rule::Foreign`].

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Endpoint, PortRange, VirtualKey};

mod answers;
mod fast;
mod rule;
mod translation;

pub use answers::{AnswerMap, AnswerSource};
pub use fast::FastPath;
pub use rule::{Rule, RuleError};
pub use translation::{Family, Lent, PortForward, Way};

/// The table's name; its family is `inet`, so one table serves IPv4 and IPv6.
pub const TABLE: &str = "lb";

/// The whole content of the table. Counters are not part of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ruleset {
    /// Addresses and ports that clients may reach: the elements of the sets `services4` and `services6`.
    pub services: BTreeSet<Endpoint>,
    /// Ports that clients may reach as well, with the mark of their service: the elements of the maps `marks4` and `marks6`,
    /// which the table has while a rule needs them.
    pub marks: BTreeMap<PortRange, u32>,
    /// Ports of servers of one-packet services, with the source that answers from there take: the elements of [`AnswerMap`]s.
    pub answers: BTreeMap<PortRange, AnswerSource>,
    pub fast: FastPath,
    /// Never an empty list.
    chains: BTreeMap<Chain, Vec<Rule>>,
}

/// The base chains that the table may have, in the order in which a packet meets them. A chain is in the kernel while it
/// has rules, for every chain costs each packet a call; those with a policy that drops always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Chain {
    /// Before connection tracking.
    Raw,
    /// Marks and changes of packets that arrive.
    MangleIn,
    /// Where the destination of new connections is changed.
    Dstnat,
    /// What the box itself answers.
    Input,
    Forward,
    /// What the box itself sends, and what IPVS sends on, before connection tracking.
    Output,
    /// Changes of packets that leave.
    MangleOut,
    /// Where the source of new connections is changed.
    Postrouting,
}

/// Where a chain is hooked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub name: &'static str,
    pub kind: ChainKind,
    pub hook: Hook,
    /// enum nf_ip_hook_priorities.
    pub priority: i32,
    /// What becomes of a packet that no rule decides.
    pub drops: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    Filter,
    Nat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    Prerouting,
    Input,
    Forward,
    Output,
    Postrouting,
}

impl Chain {
    pub const ALL: [Chain; 8] = [
        Chain::Raw,
        Chain::MangleIn,
        Chain::Dstnat,
        Chain::Input,
        Chain::Forward,
        Chain::Output,
        Chain::MangleOut,
        Chain::Postrouting,
    ];

    pub const fn place(self) -> Place {
        use ChainKind::{Filter, Nat};
        let (name, kind, hook, priority, drops) = match self {
            Chain::Raw => ("raw", Filter, Hook::Prerouting, -300, false),
            Chain::MangleIn => ("mangle_in", Filter, Hook::Prerouting, -150, false),
            Chain::Dstnat => ("dstnat", Nat, Hook::Prerouting, -100, false),
            Chain::Input => ("input", Filter, Hook::Input, 0, true),
            Chain::Forward => ("forward", Filter, Hook::Forward, 0, false),
            Chain::Output => ("output", Filter, Hook::Output, -300, false),
            Chain::MangleOut => ("mangle_out", Filter, Hook::Postrouting, -150, false),
            Chain::Postrouting => ("postrouting", Nat, Hook::Postrouting, 100, false),
        };
        Place {
            name,
            kind,
            hook,
            priority,
            drops,
        }
    }

    pub const fn name(self) -> &'static str {
        self.place().name
    }
}

impl Ruleset {
    pub fn for_services(services: impl IntoIterator<Item = Endpoint>) -> Ruleset {
        Ruleset {
            services: services.into_iter().collect(),
            ..Ruleset::default()
        }
    }

    /// The rules of a chain, in their order.
    pub fn rules(&self, chain: Chain) -> &[Rule] {
        self.chains.get(&chain).map_or(&[], Vec::as_slice)
    }

    pub fn push(&mut self, chain: Chain, rule: Rule) {
        self.chains.entry(chain).or_default().push(rule);
    }

    /// The same with these rules at the end of a chain.
    #[must_use]
    pub fn with(mut self, chain: Chain, rules: impl IntoIterator<Item = Rule>) -> Ruleset {
        for rule in rules {
            self.push(chain, rule);
        }
        self
    }

    /// Whether the table has this chain.
    pub fn has(&self, chain: Chain) -> bool {
        chain.place().drops || self.chains.contains_key(&chain)
    }

    /// Whether clients of this service are let in.
    pub fn admits(&self, service: &VirtualKey) -> bool {
        match service {
            VirtualKey::Endpoint(endpoint) => self.services.contains(endpoint),
            VirtualKey::Mark(key) => self.marks.values().any(|mark| *mark == key.mark),
        }
    }

    /// All rules, in the order of a packet's way.
    pub fn all_rules(&self) -> impl Iterator<Item = &Rule> {
        self.chains.values().flatten()
    }

    /// Whether nothing but the services is different, and the rules that come and go with services.
    pub fn same_rules(&self, other: &Ruleset) -> bool {
        let others = |rules: &Ruleset, chain| -> Vec<Rule> {
            let rules = rules
                .rules(chain)
                .iter()
                .filter(|rule| !rule.comes_with_a_service());
            rules.cloned().collect()
        };
        let same_links = self.fast.offload == other.fast.offload;
        let mut chains = Chain::ALL.into_iter();
        same_links && chains.all(|chain| others(self, chain) == others(other, chain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chain_has_a_name_of_its_own_and_all_are_in_the_order_of_a_packet() {
        let names: BTreeSet<_> = Chain::ALL.iter().map(|chain| chain.name()).collect();
        assert_eq!(names.len(), Chain::ALL.len());
        assert!(Chain::ALL.is_sorted());
    }

    #[test]
    fn a_chain_is_there_while_it_has_rules_and_the_filter_always() {
        let rules = Ruleset::default();
        assert!(rules.has(Chain::Input) && !rules.has(Chain::Forward));
        assert_eq!(rules.clone().with(Chain::Forward, []), rules);
        assert!(
            rules
                .with(Chain::Forward, [Rule::AcceptEstablished])
                .has(Chain::Forward)
        );
    }
}
