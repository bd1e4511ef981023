//! Counts a service's SYNs and their answers where they leave and where they arrive. A connection that took a second is one
//! whose SYN, or whose answer, was sent again: because somebody dropped it, or because an emulated machine had no processor
//! for a second. These counts tell which: what was sent and never arrived was dropped.
//! Must not: know what is in between.

use std::time::{Duration, Instant};

use lb_lab::command::{run, run_with};
use lb_lab::{LabError, Result};
use serde_json::Value;

/// What counts, and where: the clients' side sends SYNs and gets answers, the servers' side the other way round.
const CLIENTS: (&[&str], &str) = (
    &["host01", "host02"],
    "chain out { type filter hook output priority -350; \
     ip daddr 192.168.0.1 tcp dport 8080 tcp flags & (syn | ack) == syn counter name syns; }\n\
     chain in { type filter hook prerouting priority -350; \
     ip saddr 192.168.0.1 tcp sport 8080 tcp flags & (syn | ack) == (syn | ack) counter name answers; }\n",
);
/// The servers' ports are 8080 and the next ones; the checks come from the box's own address and are not counted.
const SERVERS: (&[&str], &str) = (
    &["worker01", "worker02", "master"],
    "chain in { type filter hook prerouting priority -350; \
     ip saddr 192.168.0.0/24 tcp dport 8080-8089 tcp flags & (syn | ack) == syn counter name syns; }\n\
     chain out { type filter hook output priority -350; \
     ip daddr 192.168.0.0/24 tcp sport 8080-8089 tcp flags & (syn | ack) == (syn | ack) counter name answers; }\n",
);

/// What is still under way when its connection has ended is there by then.
const UNDER_WAY: Duration = Duration::from_secs(5);

/// Counters in the namespaces of clients and servers.
#[derive(Debug, Clone, Copy)]
pub struct Tally(());

/// Packets that were sent and did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    pub syns: i64,
    pub answers: i64,
}

impl Tally {
    /// Once in a cage, before the traffic.
    pub fn begin() -> Result<Tally> {
        for (namespaces, chains) in [CLIENTS, SERVERS] {
            let script =
                format!("table inet tally {{\ncounter syns {{ }}\ncounter answers {{ }}\n{chains}}}\n");
            for namespace in namespaces {
                run_with(&["ip", "netns", "exec", namespace, "nft", "-f", "-"], &script)?;
            }
        }
        Ok(Tally(()))
    }

    /// When every connection has ended: so far.
    pub fn dropped(self) -> Result<Dropped> {
        let asked = Instant::now();
        loop {
            let (clients, servers) = (sum(CLIENTS.0)?, sum(SERVERS.0)?);
            let dropped = Dropped {
                syns: clients.0 - servers.0,
                answers: servers.1 - clients.1,
            };
            if !dropped.any() || asked.elapsed() > UNDER_WAY {
                return Ok(dropped);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Dropped {
    pub fn any(self) -> bool {
        self.syns != 0 || self.answers != 0
    }
}

/// SYNs and answers in all of these namespaces.
fn sum(namespaces: &[&str]) -> Result<(i64, i64)> {
    let (mut syns, mut answers) = (0, 0);
    for namespace in namespaces {
        let counters = run(&["ip", "netns", "exec", namespace, "nft", "-j", "list", "counters"])?;
        syns += packets(&counters, "syns")?;
        answers += packets(&counters, "answers")?;
    }
    Ok((syns, answers))
}

fn packets(listed: &str, name: &str) -> Result<i64> {
    let unreadable = || LabError::Unexpected(format!("nft listed no counter {name}: {listed}"));
    let document: Value = serde_json::from_str(listed).map_err(|_| unreadable())?;
    let objects = document["nftables"].as_array().into_iter().flatten();
    let mut counters = objects.map(|object| &object["counter"]);
    let ours = counters.find(|counter| counter["table"] == "tally" && counter["name"] == name);
    ours.and_then(|counter| counter["packets"].as_i64())
        .ok_or_else(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_among_others() {
        let listed = r#"{"nftables": [{"metainfo": {"version": "1"}},
            {"counter": {"family": "inet", "name": "syns", "table": "seen", "packets": 1, "bytes": 60}},
            {"counter": {"family": "inet", "name": "syns", "table": "tally", "packets": 7, "bytes": 420}}]}"#;
        assert_eq!(packets(listed, "syns").unwrap(), 7);
        assert!(packets(listed, "answers").is_err());
        assert!(packets("", "syns").is_err());
    }
}
