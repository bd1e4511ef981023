//! The end of the way of a packet that is for a service: which of its servers may be chosen, and why others may not.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::{PathServer, Walk};
use crate::config::VirtualServer;
use crate::control::{HealthWord, ServerReport, ServiceReport};
use crate::desired::egress;
use crate::model::VirtualKey;
use crate::pool::Tier;
use crate::ruleset::{Chain, Rule};

impl Walk<'_> {
    pub(super) fn balance(&mut self, service: &VirtualServer, shown: &ServiceReport) {
        let by = match service.key {
            VirtualKey::Mark(key) => format!(" (by its mark {:#010x})", key.mark),
            VirtualKey::Endpoint(_) => String::new(),
        };
        if !self.facts.observed.virtual_servers.contains_key(&service.key) {
            self.step(
                "service",
                format!("{} is not in IPVS's table", service.name),
                None,
            );
            return self.end(
                false,
                "refused: the kernel does not hold the service; `status` says why",
            );
        }
        let forward = if shown.forward.is_empty() {
            "nat"
        } else {
            &shown.forward
        };
        let what = format!(
            "{}{by}: scheduler {}, {forward}, mode {}",
            shown.name, shown.scheduler, shown.mode
        );
        self.step("service", what, None);
        if let Some(step) = self.report.steps.last_mut() {
            step.connections = shown.traffic.map(|traffic| traffic.connections);
        }
        if let Some(persistence) = service.settings.persistence {
            let what = format!("a client that had a server lately keeps it ({persistence})");
            self.step("persistence", what, None);
        }
        let servers: Vec<PathServer> = shown
            .servers
            .iter()
            .map(|server| self.server(server, shown))
            .collect();
        let ways: BTreeSet<&str> = servers
            .iter()
            .filter_map(|server| server.link.as_deref())
            .collect();
        let ways: Vec<&str> = ways.into_iter().collect();
        if !ways.is_empty() {
            self.step("leaves", format!("by {}", ways.join(", ")), None);
        }
        let live = servers.iter().filter(|server| server.why_not.is_none());
        // IPVS chooses them all the same, until their checks fail.
        let lost = live.clone().filter(|server| server.link.is_none());
        let lost: Vec<String> = lost.map(|server| server.address.clone()).collect();
        let live = live.count();
        self.report.servers = servers;
        if live > 0 && lost.len() == live {
            let of_all = "lost: no route leads to a server that may be chosen; `interfaces` and `route` show what is there";
            return self.end(false, of_all);
        }
        let but = match lost.as_slice() {
            [] => String::new(),
            lost => format!("; no route leads to {}", lost.join(" and ")),
        };
        match live {
            0 => self.end(false, "refused: no server may be chosen now; the list says why"),
            1 => self.end(true, "goes to the one server that may be chosen"),
            many => self.end(
                true,
                format!("goes to one of {many} servers, by {}{but}", shown.scheduler),
            ),
        }
    }

    fn server(&self, server: &ServerReport, service: &ServiceReport) -> PathServer {
        let address = server.address.parse::<SocketAddr>().map(|socket| socket.ip());
        let address = address.or_else(|_| server.address.parse());
        let out = address
            .ok()
            .and_then(|address| egress(&self.facts.observed.links, address));
        let out = out.map(|(name, _)| name);
        let hides = |rule: &Rule| match (rule, self.from) {
            (Rule::Hairpin { from, out: link }, Some(client)) => {
                self.mark.is_none() && Some(link) == out && from.contains(&client)
            }
            (Rule::HairpinMarked { from, out: link }, Some(client)) => {
                self.mark.is_some() && Some(link) == out && from.contains(&client)
            }
            _ => false,
        };
        let nat = service.forward.is_empty() || service.forward == "nat";
        PathServer {
            address: server.address.clone(),
            weight: server.weight,
            why_not: why_not(server),
            link: out.map(ToString::to_string),
            sees_client: !(nat && self.rules.rules(Chain::Postrouting).iter().any(hides)),
        }
    }
}

fn why_not(server: &ServerReport) -> Option<String> {
    if server.weight > 0 {
        return None;
    }
    if let Some(drain) = &server.standing.drained_by {
        return Some(format!("set aside by `drain {drain}`"));
    }
    let found = server
        .last_check
        .as_ref()
        .filter(|check| !check.ok)
        .map(|check| check.reason.as_str());
    Some(match (server.health, server.standing.role, found) {
        (HealthWord::Up, Tier::Primary, _) => "weight 0".to_owned(),
        (HealthWord::Up, Tier::Leaving, _) => {
            "no longer in lb.toml: it keeps the connections that it has".to_owned()
        }
        (HealthWord::Up, Tier::Backup | Tier::Sorry, _) => "a backup, and not its turn".to_owned(),
        (health, _, Some(reason)) => format!("{}: {reason}", health.as_str()),
        (health, _, None) => health.as_str().to_owned(),
    })
}
