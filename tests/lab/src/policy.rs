//! What kube-proxy (iptables mode) and a policy engine do on a worker, as nftables rules; and the policy's counters.
//! Must not: know how namespaces are made; it writes rules and reads counters.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::Value;

use crate::{GATEWAY, HOST01, LabError, Result, SourceNat};

/// kube-proxy's mark for packets that must be masqueraded.
const MASQUERADE_MARK: &str = "0x4000";

/// The rules of one worker.
#[derive(Debug, Clone, Copy)]
pub struct WorkerRules<'a> {
    /// The worker's own address, on which the NodePort answers.
    pub node: &'a str,
    pub node_port: u16,
    /// The pod's address, wherever it runs.
    pub pod: &'a str,
    pub holds_pod: bool,
    pub source_nat: SourceNat,
}

impl WorkerRules<'_> {
    /// One atomic replacement of both tables.
    pub fn nft(&self) -> String {
        let out = match self.source_nat {
            SourceNat::OtherNodes => "oifname \"eth0\" ",
            SourceNat::Always => "",
        };
        let (node, port, pod) = (self.node, self.node_port, self.pod);
        let mut text = format!(
            "table ip kube-proxy\ndelete table ip kube-proxy\ntable ip kube-proxy {{\n\
               chain prerouting {{\n    type nat hook prerouting priority dstnat;\n    \
                 ip daddr {node} tcp dport {port} meta mark set meta mark | {MASQUERADE_MARK} dnat to {pod}:80\n  }}\n\
               chain postrouting {{\n    type nat hook postrouting priority srcnat;\n    \
                 {out}meta mark & {MASQUERADE_MARK} == {MASQUERADE_MARK} masquerade\n  }}\n}}\n\
             table ip network-policy\ndelete table ip network-policy\n"
        );
        if self.holds_pod {
            text.push_str(&network_policy(pod));
        }
        text
    }
}

fn network_policy(pod: &str) -> String {
    let set = "{ type ipv4_addr; size 4096; flags dynamic; counter; }";
    format!(
        "table ip network-policy {{\n\
           set accepted {set}\n  set refused {set}\n\
           chain forward {{\n    type filter hook forward priority filter;\n    \
             ct state established,related accept\n    \
             ip daddr {pod} ip saddr {{ {HOST01}, {GATEWAY} }} update @accepted {{ ip saddr counter }} accept\n    \
             ip daddr {pod} update @refused {{ ip saddr counter }} drop\n  }}\n}}\n"
    )
}

/// Packets that would have opened a connection to the pod, by the source that the policy saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyCounters {
    pub accepted: BTreeMap<Ipv4Addr, u64>,
    pub refused: BTreeMap<Ipv4Addr, u64>,
}

impl PolicyCounters {
    /// From `nft -j list table ip network-policy`.
    pub fn parse(json: &str) -> Result<PolicyCounters> {
        let value: Value = serde_json::from_str(json)
            .map_err(|error| LabError::Unexpected(format!("nft -j list table: {error}")))?;
        let sets = value["nftables"].as_array().into_iter().flatten();
        let mut counters = PolicyCounters::default();
        for set in sets.map(|object| &object["set"]) {
            let counts = match set["name"].as_str() {
                Some("accepted") => &mut counters.accepted,
                Some("refused") => &mut counters.refused,
                _ => continue,
            };
            for element in set["elem"].as_array().into_iter().flatten() {
                let element = &element["elem"];
                let source = element["val"].as_str().and_then(|text| text.parse().ok());
                let packets = element["counter"]["packets"].as_u64();
                if let (Some(source), Some(packets)) = (source, packets) {
                    counts.insert(source, packets);
                }
            }
        }
        Ok(counters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_per_source() {
        let json = r#"{"nftables":[{"metainfo":{}},{"set":{"name":"refused","elem":[
            {"elem":{"val":"172.16.0.12","counter":{"packets":3,"bytes":180}}}]}},
            {"set":{"name":"accepted"}}]}"#;
        let counters = PolicyCounters::parse(json).unwrap();
        assert_eq!(counters.refused[&Ipv4Addr::new(172, 16, 0, 12)], 3);
        assert!(counters.accepted.is_empty());
    }

    #[test]
    fn only_the_worker_with_the_pod_has_the_policy() {
        let mut rules = WorkerRules {
            node: "172.16.0.11",
            node_port: 30080,
            pod: "10.244.1.2",
            holds_pod: false,
            source_nat: SourceNat::OtherNodes,
        };
        assert!(!rules.nft().contains("chain forward"));
        rules.holds_pod = true;
        assert!(rules.nft().contains("chain forward"));
    }
}
