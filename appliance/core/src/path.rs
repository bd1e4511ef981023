//! The way of a client's first packet through this machine: by the rules that the kernel holds, the links and the services, step by
//! step to its end. Must not: ask the kernel, or decide anything; the kernel does, and this says what it will.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::config::{Config, VirtualServer};
use crate::control::ServiceReport;
use crate::desired::{FORWARDING, egress};
use crate::model::{Endpoint, IfName, PortRange, Protocol};
use crate::neighbours::RouteTo;
use crate::observed::{Activity, Observed};
use crate::ruleset::{Chain, PortForward, Rule, Ruleset};

mod balance;

/// What was read.
#[derive(Debug)]
pub struct Facts<'f> {
    pub config: &'f Config,
    pub observed: &'f Observed,
    pub activity: &'f Activity,
}

/// The packet that is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packet {
    pub to: SocketAddr,
    /// `None`: that of the service there, else TCP.
    pub protocol: Option<Protocol>,
    /// `None`: a client that is beyond all networks of the file.
    pub from: Option<IpAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathReport {
    /// `tcp to 192.168.0.1:30080 from 192.168.0.10`.
    pub packet: String,
    pub steps: Vec<PathStep>,
    pub servers: Vec<PathServer>,
    /// Whether it gets through, and the end of the way in a sentence.
    pub passes: bool,
    pub end: String,
    /// Of one that goes through to somebody else: to whom.
    #[serde(default)]
    pub goes_to: Option<IpAddr>,
}

impl PathReport {
    /// What the kernel knows of the next hop there: it ends at one that does not answer.
    pub fn heed(&mut self, route: &RouteTo) {
        let silent = route.neighbour.as_ref().filter(|neighbour| neighbour.is_silent());
        let step = self.steps.iter_mut().find(|step| step.stage == "route");
        if let (Some(neighbour), Some(step)) = (silent, step) {
            let (next, link) = (neighbour.address, &neighbour.link);
            step.what = format!("{}; the next hop {next} does not answer there", step.what);
            self.passes = false;
            self.end = format!(
                "lost: {next} does not answer on {link}; see whether it is on, or whether lb.toml names the right one"
            );
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStep {
    /// `arrives`, `input`, `service` and so on: the chain or the stage.
    pub stage: String,
    pub what: String,
    /// The line of the rule that does it.
    pub rule: Option<String>,
    /// Connections that the rule has counted since it was loaded.
    pub connections: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathServer {
    pub address: String,
    /// In the kernel now.
    pub weight: u32,
    /// Why it is not chosen, where it is not.
    pub why_not: Option<String>,
    /// The link by which it is reached.
    pub link: Option<String>,
    /// Whether it sees the client's own address.
    pub sees_client: bool,
}

/// The report so far, and what the packet has become.
struct Walk<'f> {
    facts: &'f Facts<'f>,
    rules: &'f Ruleset,
    protocol: Protocol,
    to: SocketAddr,
    from: Option<IpAddr>,
    /// The link that it arrives on.
    link: Option<&'f IfName>,
    tracked: bool,
    mark: Option<u32>,
    report: PathReport,
}

/// `shown` gives a service as `services` reports it.
pub fn follow(
    facts: &Facts<'_>,
    packet: Packet,
    shown: impl Fn(&VirtualServer) -> ServiceReport,
) -> PathReport {
    let nothing = Ruleset::default();
    let protocol = packet
        .protocol
        .unwrap_or_else(|| protocol_at(facts.config, packet.to));
    let from = packet.from.map_or(String::new(), |from| format!(" from {from}"));
    let mut walk = Walk {
        facts,
        rules: facts.observed.ruleset.as_deref().unwrap_or(&nothing),
        protocol,
        to: packet.to,
        from: packet.from,
        link: None,
        tracked: true,
        mark: None,
        report: PathReport {
            packet: format!("{protocol} to {}{from}", packet.to),
            steps: Vec::new(),
            servers: Vec::new(),
            passes: false,
            end: String::new(),
            goes_to: None,
        },
    };
    walk.arrive();
    walk.before_routing();
    match (walk.forwarded_port(), walk.is_own()) {
        (Some(forward), _) => walk.forward(Some(forward)),
        (None, false) => walk.forward(None),
        (None, true) => walk.input(shown),
    }
    walk.report
}

fn protocol_at(config: &Config, to: SocketAddr) -> Protocol {
    let listens = |protocol: &Protocol| {
        let ranges = config.services().flat_map(|service| &service.listen);
        let mut ranges = ranges.filter(|range| range.protocol == *protocol);
        ranges.any(|range| holds(range, to))
    };
    Protocol::ALL.into_iter().find(listens).unwrap_or(Protocol::Tcp)
}

fn holds(range: &PortRange, to: SocketAddr) -> bool {
    range.address == to.ip() && (range.first..=range.last).contains(&to.port())
}

impl<'f> Walk<'f> {
    fn step(&mut self, stage: &str, what: impl Into<String>, rule: Option<&Rule>) {
        let counted = rule.and_then(|rule| {
            let mut translated = self.facts.activity.translated.iter();
            translated.find(|(counted, _)| counted == rule)
        });
        self.report.steps.push(PathStep {
            stage: stage.to_owned(),
            what: what.into(),
            rule: rule.map(ToString::to_string),
            connections: counted.map(|(_, connections)| *connections),
        });
    }

    fn end(&mut self, passes: bool, end: impl Into<String>) {
        self.report.passes = passes;
        self.report.end = end.into();
        if passes && self.link.is_none() {
            self.report.end += "; no answer gets back to such a client: an interface needs a `gateway`, or name another CLIENT";
        }
    }

    fn arrive(&mut self) {
        let links = &self.facts.observed.links;
        // Without a client: by the default route, as from anywhere.
        let far: IpAddr = match self.to {
            SocketAddr::V4(_) => std::net::Ipv4Addr::new(203, 0, 113, 1).into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 1).into(),
        };
        let asked = self.from.unwrap_or(far);
        let found = egress(links, asked).map(|(name, link)| (name, link.carrier));
        self.link = found.map(|(name, _)| name);
        let who = self
            .from
            .map_or("a client from afar".to_owned(), |from| from.to_string());
        let what = match found {
            Some((name, true)) => format!("on {}, the way to {who}", name),
            Some((name, false)) => format!("on {}, the way to {who}, which has no carrier now", name),
            None => format!("from {who}, to whom there is no route: no answer would get back"),
        };
        self.step("arrives", what, None);
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint {
            address: self.to.ip(),
            port: self.to.port(),
            protocol: self.protocol,
        }
    }

    /// What comes before the routing decision, but for changed destinations.
    fn before_routing(&mut self) {
        let (rules, key) = (self.rules, self.endpoint());
        let is_from = |links: &[IfName], link: Option<&IfName>| link.is_some_and(|link| links.contains(link));
        for rule in rules.rules(Chain::Raw) {
            let untracks = match rule {
                Rule::UntrackRequests { family, not_from } => {
                    family.is_of(key.address)
                        && rules.fast.services.contains(&key)
                        && !is_from(not_from, self.link)
                }
                Rule::UntrackSyns(service) => *service == key,
                _ => false,
            };
            if untracks {
                self.tracked = false;
                self.step("raw", "connection tracking is skipped", Some(rule));
                break;
            }
        }
        let mut marks = rules.marks.iter();
        let marked = marks.find(|(range, _)| range.protocol == self.protocol && holds(range, self.to));
        if let Some((range, mark)) = marked {
            self.mark = Some(*mark);
            self.step(
                "mangle_in",
                format!("gets the mark {mark:#010x} of {range}"),
                None,
            );
        }
    }

    /// The port forward that takes it.
    fn forwarded_port(&mut self) -> Option<PortForward> {
        let takes = |forward: &PortForward| {
            let is_let = |net: IpNet| self.from.is_some_and(|from| net.contains(&from));
            self.is_for(forward) && forward.from.is_none_or(is_let)
        };
        let mut rules = self.rules.rules(Chain::Dstnat).iter();
        let (rule, forward) = rules.find_map(|rule| match rule {
            Rule::Forward(forward) if takes(forward) => Some((rule, *forward)),
            _ => None,
        })?;
        self.to = SocketAddr::new(forward.to, forward.to_port.unwrap_or(self.to.port()));
        let what = format!("port_forward: it goes on to {}", self.to);
        self.step("dstnat", what, Some(rule));
        Some(forward)
    }

    /// Whether it leads somewhere else, for some clients at least.
    fn is_for(&self, forward: &PortForward) -> bool {
        let ports = forward.first..=forward.last;
        let is_there = forward.address == self.to.ip() && ports.contains(&self.to.port());
        is_there && forward.protocol == self.protocol
    }

    fn is_own(&self) -> bool {
        let mut links = self.facts.observed.links.values();
        links.any(|link| link.addresses.iter().any(|net| net.addr() == self.to.ip()))
    }

    /// Through the machine, to somebody else.
    fn forward(&mut self, by: Option<PortForward>) {
        let switch = FORWARDING[usize::from(self.to.is_ipv6())];
        let switched_on = self
            .facts
            .observed
            .sysctls
            .get(switch)
            .is_some_and(|value| value == "1");
        if !switched_on {
            self.step("forward", "forwarding is switched off", None);
            return self.end(false, "dropped: this machine forwards nothing; `status` says why");
        }
        let links = &self.facts.observed.links;
        let Some((out, _)) = egress(links, self.to.ip()) else {
            self.step("route", format!("no route leads to {}", self.to.ip()), None);
            return self.end(
                false,
                format!(
                    "refused: no route leads to {}; `route` lists those that there are",
                    self.to.ip()
                ),
            );
        };
        self.step("route", format!("leaves by {}", out), None);
        let decides = |rule: &&Rule| match rule {
            Rule::AcceptForwarded(forward) => Some(forward) == by.as_ref(),
            Rule::DropNewFrom(link) => self.link == Some(link),
            _ => false,
        };
        let rule = self.rules.rules(Chain::Forward).iter().find(decides);
        match rule {
            Some(rule @ Rule::DropNewFrom(link)) => {
                let what = format!(
                    "{link} faces outside (a masquerade leaves there): nothing new is forwarded from it"
                );
                self.step("forward", what, Some(rule));
                return self.end(false, "dropped; a `port_forward` in lb.toml lets a port through");
            }
            Some(rule) => self.step("forward", "let through", Some(rule)),
            None => self.step("forward", "let through: no rule is against it", None),
        }
        self.report.goes_to = Some(self.to.ip());
        let source = self.source(out, by.is_some());
        self.end(true, format!("goes to {} by {out}, {source}", self.to));
    }

    /// Whose address a forwarded connection has.
    fn source(&mut self, out: &IfName, by_port: bool) -> &'static str {
        let Some(from) = self.from else {
            return "with the client's own address";
        };
        let changes = |rule: &&Rule| match rule {
            Rule::HairpinForwarded { from: net, out: link } => by_port && link == out && net.contains(&from),
            Rule::Masquerade {
                from: net, out: link, ..
            } => link == out && net.contains(&from),
            _ => false,
        };
        match self.rules.rules(Chain::Postrouting).iter().find(changes) {
            Some(rule @ Rule::Masquerade { .. }) => {
                self.step(
                    "postrouting",
                    "masqueraded: it takes an address of this machine",
                    Some(rule),
                );
                "with an address of this machine"
            }
            Some(rule) => {
                self.step(
                    "postrouting",
                    "hairpin: client and server are on one side",
                    Some(rule),
                );
                "with an address of this machine"
            }
            None => "with the client's own address",
        }
    }

    /// To the machine itself.
    fn input(&mut self, shown: impl Fn(&VirtualServer) -> ServiceReport) {
        if self.facts.observed.ruleset.is_none() {
            self.step(
                "input",
                "the table `inet lb` is missing: nothing is filtered until it is repaired",
                None,
            );
        } else {
            let decides = |rule: &&Rule| self.accepts(rule);
            match self.rules.rules(Chain::Input).iter().find(decides) {
                Some(rule @ Rule::ProxySyns { .. }) => {
                    self.step(
                        "input",
                        "syn_proxy: the client is proved by a cookie first",
                        Some(rule),
                    );
                }
                Some(rule) => self.step("input", "let in", Some(rule)),
                None => {
                    self.step("input", "no rule lets it in", None);
                    let end = self.refusal();
                    return self.end(false, end);
                }
            }
        }
        match self.service() {
            Some(service) => self.balance(service, &shown(service)),
            None => self.end(
                true,
                format!(
                    "no service listens on {}: this machine answers itself, if it does",
                    self.endpoint()
                ),
            ),
        }
    }

    /// Why no rule lets it in.
    fn refusal(&self) -> String {
        let mut rules = self.rules.rules(Chain::Dstnat).iter();
        let for_others = rules.any(|rule| matches!(rule, Rule::Forward(forward) if self.is_for(forward)));
        match self.service() {
            Some(service) => format!(
                "dropped: service {0} is closed until one of its servers has passed a check; `services {0}` says how they are",
                service.name
            ),
            None if for_others => {
                "dropped: the `port_forward` there is for other clients (its `from`)".to_owned()
            }
            None => format!("dropped: no service of lb.toml listens on {}", self.endpoint()),
        }
    }

    fn accepts(&self, rule: &Rule) -> bool {
        let (rules, key) = (self.rules, self.endpoint());
        let v4 = key.address.is_ipv4();
        match rule {
            Rule::AcceptKnown { not_from } => {
                !self.tracked && !self.link.is_some_and(|link| not_from.contains(link))
            }
            Rule::ProxySyns { service, .. } => *service == key,
            Rule::AcceptServices4 => v4 && rules.services.contains(&key),
            Rule::AcceptServices6 => !v4 && rules.services.contains(&key),
            Rule::AcceptMarked => self.mark.is_some(),
            _ => false,
        }
    }

    fn service(&self) -> Option<&'f VirtualServer> {
        let mut services = self.facts.config.services();
        services.find(|service| {
            let mut listen = service.listen.iter();
            listen.any(|range| range.protocol == self.protocol && holds(range, self.to))
        })
    }
}

#[cfg(test)]
mod tests;
