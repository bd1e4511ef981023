//! What the kernel holds, as lines for people who help: the rules of the table `inet lb`, and IPVS. Must not: say what should be.

use std::fmt::Display;

use crate::desired::DesiredReal;
use crate::observed::Observed;
use crate::plan::Step;
use crate::ruleset::{Chain, Ruleset};

/// Each chain with its rules, and the elements of the sets and maps.
pub fn ruleset(rules: &Ruleset) -> String {
    let mut text = String::from("table inet lb\n");
    for chain in Chain::ALL.into_iter().filter(|chain| rules.has(*chain)) {
        let place = chain.place();
        let policy = if place.drops { "drop" } else { "accept" };
        text.push_str(&format!(
            "\nchain {}: {:?} {:?} priority {} policy {policy}\n",
            place.name, place.kind, place.hook, place.priority
        ));
        for rule in rules.rules(chain) {
            text.push_str(&format!("  {rule}\n"));
        }
    }
    let fast = &rules.fast;
    set(&mut text, "services", rules.services.iter());
    set(
        &mut text,
        "marks",
        rules
            .marks
            .iter()
            .map(|(ports, mark)| format!("{ports} : {mark:#x}")),
    );
    set(
        &mut text,
        "answers",
        rules
            .answers
            .iter()
            .map(|(ports, source)| format!("{ports} : {source:?}")),
    );
    set(&mut text, "untracked", fast.services.iter());
    set(&mut text, "servers", fast.servers.iter());
    set(&mut text, "flowtable", fast.offload.iter());
    text
}

fn set(text: &mut String, name: &str, elements: impl Iterator<Item = impl Display>) {
    let lines: Vec<String> = elements.map(|element| format!("  {element}\n")).collect();
    if !lines.is_empty() {
        text.push_str(&format!(
            "\nset {name}: {} elements\n{}",
            lines.len(),
            lines.concat()
        ));
    }
}

/// Services and their servers, as the steps that make them.
pub fn ipvs(observed: &Observed) -> String {
    let mut text = match observed.ipvs_timeouts {
        Some(timeouts) => format!("{}\n", Step::SetIpvsTimeouts(timeouts)),
        None => "there is no IPVS\n".to_owned(),
    };
    for (service, seen) in &observed.virtual_servers {
        let service = *service;
        match seen.settings {
            Some(settings) => text.push_str(&format!("{}\n", Step::AddVirtual { service, settings })),
            None => text.push_str(&format!("virtual {service} with settings that lb never makes\n")),
        }
        for (server, real) in &seen.servers {
            let line = match (real.forward, real.limit) {
                (Some(forward), Some(limit)) => {
                    let weight = real.weight;
                    let (server, real) = (
                        *server,
                        DesiredReal {
                            weight,
                            forward,
                            limit,
                        },
                    );
                    Step::AddReal {
                        service,
                        server,
                        real,
                    }
                    .to_string()
                }
                _ => format!("real {server} of {service} with settings that lb never makes"),
            };
            text.push_str(&format!("  {line}\n"));
        }
    }
    for foreign in &observed.foreign_services {
        text.push_str(&format!("foreign virtual {foreign}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flat::FlatMap;
    use crate::model::{RealKey, VirtualKey};
    use crate::observed::{ObservedReal, ObservedVirtual};
    use crate::ruleset::Rule;

    #[test]
    fn rules_stand_in_their_chains_and_sets_are_listed() {
        let rules = Ruleset::for_services(["192.168.0.1:80/tcp".parse().unwrap()])
            .with(Chain::Forward, [Rule::AcceptEstablished]);
        let text = ruleset(&rules);
        assert!(
            text.contains("chain input: Filter Input priority 0 policy drop\n"),
            "{text}"
        );
        let established = Rule::AcceptEstablished.to_string();
        assert!(
            text.contains(&format!("policy accept\n  {established}\n")),
            "{text}"
        );
        assert!(
            text.contains("set services: 1 elements\n  192.168.0.1:80/tcp\n"),
            "{text}"
        );
    }

    #[test]
    fn ipvs_reads_as_the_steps_that_make_it() {
        let mut observed = Observed::default();
        assert_eq!(ipvs(&observed), "there is no IPVS\n");
        let mut servers = FlatMap::new();
        let server = RealKey {
            address: "172.16.0.11".parse().unwrap(),
            port: 80,
        };
        let real = ObservedReal {
            weight: crate::model::Weight::ZERO,
            forward: None,
            limit: None,
        };
        servers.insert(server, real);
        let key: VirtualKey = "192.168.0.1:80/tcp".parse().unwrap();
        let settings = None;
        observed
            .virtual_servers
            .insert(key, ObservedVirtual { settings, servers });
        let text = ipvs(&observed);
        assert!(
            text.contains("virtual 192.168.0.1:80/tcp with settings"),
            "{text}"
        );
        assert!(
            text.contains("  real 172.16.0.11:80 of 192.168.0.1:80/tcp with"),
            "{text}"
        );
    }
}
