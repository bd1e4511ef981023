//! The rules of services over several ports or protocols: their packets get a mark, by which IPVS tells the service.
//! Without such a service there are none of these rules. Must not: choose marks; `config` has.

use crate::config::{Config, VirtualServer};
use crate::model::{PortRange, VirtualKey};
use crate::ruleset::Rule;

use super::forwards_whole;

fn groups(config: &Config) -> impl Iterator<Item = &VirtualServer> {
    config
        .services()
        .filter(|service| matches!(service.key, VirtualKey::Mark(_)))
}

pub(super) fn any(config: &Config) -> bool {
    groups(config).next().is_some()
}

/// The ports of a service, with its mark.
pub(super) fn marks(service: &VirtualServer) -> impl Iterator<Item = (PortRange, u32)> {
    let mark = match service.key {
        VirtualKey::Mark(key) => Some(key.mark),
        VirtualKey::Endpoint(_) => None,
    };
    let ranges = service.listen.iter().copied();
    ranges.filter_map(move |range| Some((range, mark?)))
}

/// Sets the marks, at the end of their chain. Replies come first: a range may hold the port of one of the box's own connections, whose answers IPVS
/// would take for a client's.
pub(super) fn marking(config: &Config) -> Vec<Rule> {
    let of = |ipv6| groups(config).any(|service| service.key.is_ipv6() == ipv6);
    let rules = [(of(false), Rule::MarkServices4), (of(true), Rule::MarkServices6)];
    let mut marking: Vec<Rule> = rules
        .into_iter()
        .filter_map(|(wanted, rule)| wanted.then_some(rule))
        .collect();
    if !marking.is_empty() {
        marking.insert(0, Rule::AcceptReplies);
    }
    marking
}

/// Packets that are still for a service were not translated: their server answers the client by itself.
pub(super) fn whole(config: &Config) -> impl Iterator<Item = Rule> {
    let of = |ipv6| {
        let mut whole = groups(config).filter(|service| forwards_whole(service));
        whole.any(|service| service.key.is_ipv6() == ipv6)
    };
    let v4 = of(false).then_some(Rule::AcceptMarks4);
    let v6 = of(true).then_some(Rule::AcceptMarks6);
    v4.into_iter().chain(v6)
}
