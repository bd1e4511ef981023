//! Answers of one-packet services behind NAT. IPVS forgets such a datagram's client at once, so that the answer is not translated
//! back by it: a rule without memory does it. Must not: decide whose answers can be told apart; `config` has.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::LONGEST_LINE;
use crate::config::{Config, Interface};
use crate::model::{IfName, PortRange};
use crate::ruleset::{AnswerMap, AnswerSource, Rule};

#[derive(Debug, Default)]
pub(super) struct Plan {
    pub sources: BTreeMap<PortRange, AnswerSource>,
    /// Before connection tracking, the last there: most packets have left the chain by then.
    pub raw: Vec<Rule>,
    /// The last of the forward filter: what it drops is not translated.
    pub forward: Vec<Rule>,
}

/// `link` finds the kernel's link for an interface of the file, `outside` are those whose new connections are not forwarded: what
/// comes from there without being tracked cannot be told from an attack.
pub(super) fn plan(config: &Config, link: impl Fn(&str) -> Option<IfName>, outside: &[IfName]) -> Plan {
    let mut plan = Plan::default();
    let mut used: BTreeSet<(AnswerMap, usize)> = BTreeSet::new();
    let inside = |index: &usize| {
        let link = link(&config.interfaces[*index].label);
        link.is_some_and(|link| !outside.contains(&link))
    };
    for service in config.virtual_servers.iter().filter(|v| v.settings.one_packet) {
        for real in &service.real_servers {
            let Some(side) = config.towards(real.address.address).filter(inside) else {
                continue;
            };
            for (answers, asked) in service.answers(real) {
                let source = AnswerSource {
                    address: asked.address,
                    port: (asked.first == asked.last).then_some(asked.first),
                };
                let map = AnswerMap::ALL
                    .into_iter()
                    .find(|map| map.holds(&answers, &source));
                used.extend(map.map(|map| (map, side)));
                plan.sources.insert(answers, source);
            }
        }
    }
    for (map, side) in &used {
        let side = &config.interfaces[*side];
        plan.raw
            .extend(link(&side.label).map(|link| untrack(*map, side, link)));
    }
    let maps: BTreeSet<AnswerMap> = used.into_iter().map(|(map, _)| map).collect();
    plan.forward = maps.into_iter().map(Rule::AnswerBy).collect();
    plan
}

/// A client in one of these networks takes the box's address there, which its server answers: nothing is to be translated, and
/// what the server sends there is its own. Networks that do not fit into the rule's line are left out.
fn untrack(map: AnswerMap, side: &Interface, link: IfName) -> Rule {
    let own = side.addresses.iter().map(|net| IpNet::from(net.addr()));
    let nets: Vec<IpNet> = side.networks().into_iter().chain(own).collect();
    let mut not_to = IpNet::aggregate(&nets);
    not_to.retain(|net| map.family().is_of(net.addr()));
    let rule = |not_to: &[IpNet]| Rule::UntrackAnswersBy {
        map,
        link: link.clone(),
        not_to: not_to.to_vec(),
    };
    while not_to.len() > 1 && rule(&not_to).to_string().len() > LONGEST_LINE {
        not_to.pop();
    }
    rule(&not_to)
}
