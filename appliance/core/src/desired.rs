//! What the kernel should hold: from the configuration, the health of the servers, and which links there are.
//! Pure; each part of the world has its own function, so that a change of one server costs one service.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::check::ProbeCookie;
use crate::config::{Config, Route, VirtualServer};
use crate::flat::FlatMap;
use crate::link_kind::LinkKind;
use crate::model::{Forward, IfName, Limit, RealKey, VirtualKey, VirtualSettings, Weight};
use crate::observed::{IpvsTimeouts, Machine, ObservedLink, SysctlName};
use crate::own_mtu::OwnMtus;
use crate::ruleset::{Chain, Rule, Ruleset, Way};

mod answers;
#[cfg(test)]
mod answers_tests;
mod fast;
#[cfg(test)]
mod fast_tests;
mod gateway;
mod groups;
mod links;
mod mtus;
mod proxy;
mod steering;
mod sysctl;
#[cfg(test)]
mod tests;

pub(crate) use fast::short_ways;
pub use gateway::{forwards, masquerade_rules};
pub use steering::{is_same_mask, steering};
pub use sysctl::{FORWARDING, IPV6_OFF, IPVS_DEFENCES, ipvs_defends, sysctls};

/// A rule's line is its comment in the kernel, which has room for 255 bytes.
const LONGEST_LINE: usize = 240;

/// Everything but IPVS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Network {
    pub hostname: String,
    /// Without the forwarding switches, which have their own moment: last.
    pub sysctls: BTreeMap<SysctlName, String>,
    pub links: BTreeMap<IfName, DesiredLink>,
    pub ruleset: Ruleset,
    pub forwarding: bool,
    pub timeouts: IpvsTimeouts,
    /// Addresses with a service that is not open yet: a neighbour that learns of one now may send its waiting SYN into the
    /// filter, and the next a second later.
    pub quiet: BTreeSet<IpAddr>,
    /// What the configuration asks for and this machine cannot give, each with its remedy.
    pub problems: Vec<String>,
    /// The file's interfaces and the links they were found to be.
    pub resolved: BTreeMap<String, Option<IfName>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DesiredLink {
    pub up: bool,
    /// `None`: whatever it has; only where it is not known what the card came with.
    pub mtu: Option<u32>,
    pub addresses: BTreeSet<IpNet>,
    pub routes: BTreeSet<Route>,
    /// What it is to be, if it is not simply there.
    pub kind: Option<LinkKind>,
    /// The bond or bridge that it belongs to.
    pub master: Option<IfName>,
    /// Those that belong to it, in the order in which they are taken in: a bond takes the first one's MAC address.
    pub members: Vec<IfName>,
    /// How many links it stands on, one on the other: lower ones are built first.
    pub rank: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredVirtual {
    pub settings: VirtualSettings,
    pub servers: FlatMap<RealKey, DesiredReal>,
}

impl DesiredVirtual {
    /// How many servers take new connections.
    pub fn live(&self) -> usize {
        self.servers
            .values()
            .filter(|real| real.weight > Weight::ZERO)
            .count()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DesiredReal {
    pub weight: Weight,
    pub forward: Forward,
    pub limit: Limit,
}

impl fmt::Display for DesiredReal {
    /// `weight 1 nat`, `weight 1 nat max 1000 resume 800`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "weight {} {}", self.weight, self.forward)?;
        let Limit { most, resume } = self.limit;
        if most > 0 {
            write!(f, " max {most}")?;
        }
        if resume > 0 {
            write!(f, " resume {resume}")?;
        }
        Ok(())
    }
}

/// IPVS's part: all services, by key.
pub type Pools = BTreeMap<VirtualKey, DesiredVirtual>;

/// By what a machine lives.
#[derive(Debug, Clone, Copy)]
pub enum Given<'c> {
    Config(&'c Config),
    /// It has lost what it had: it answers nobody, forwards nothing, and its cards are off.
    Nothing,
    /// It has never had any, and somebody is about to give it one: its cards are on, so that their cables can be told, and have no address of any kind.
    FirstContact,
}

impl<'c> Given<'c> {
    fn config(self) -> Option<&'c Config> {
        match self {
            Given::Config(config) => Some(config),
            Given::Nothing | Given::FirstContact => None,
        }
    }
}

impl<'c> From<Option<&'c Config>> for Given<'c> {
    fn from(config: Option<&'c Config>) -> Given<'c> {
        config.map_or(Given::Nothing, Given::Config)
    }
}

/// Links, addresses, routes, rules and sysctls. `own` is what cards have where the file names no MTU. `machine` sizes the tables, and has the cookie of its checks. A service that is not `open` yet
/// is left out of the input filter: its clients' SYNs are dropped, and sent again a second later, instead of refused.
pub fn network<'c>(
    given: impl Into<Given<'c>>,
    links: &BTreeMap<IfName, ObservedLink>,
    own: &OwnMtus,
    machine: impl Into<Machine>,
    open: impl Fn(&VirtualServer) -> bool,
) -> Network {
    let given = given.into();
    let config = given.config();
    let mut network = wanted_links(given, links, own);
    let machine = machine.into();
    if let Some(config) = config {
        network.hostname = config.hostname.as_str().to_owned();
        network.forwarding = true;
        network.ruleset = ruleset(config, &network, links, machine.cookie, &open);
        let services = config.services();
        let closed = services.filter(|service| !network.ruleset.admits(&service.key));
        let ranges = closed.flat_map(|service| &service.listen);
        network.quiet = ranges.map(|range| range.address).collect();
    } else {
        network.ruleset = ruleset(&Config::empty(), &network, links, machine.cookie, open);
    }
    network.timeouts = config.map_or(IpvsTimeouts::DEFAULT, |config| config.timeouts);
    network.sysctls = sysctls(machine.memory_bytes, &network.timeouts, network.links.keys());
    network.sysctls.extend([sysctl::ipv6(given)]);
    network.sysctls.extend(steering(machine.processors, links));
    network
}

/// Only the links with what is on them.
pub fn wanted_links<'c>(
    given: impl Into<Given<'c>>,
    links: &BTreeMap<IfName, ObservedLink>,
    own: &OwnMtus,
) -> Network {
    let mut network = Network {
        hostname: "lb".to_owned(),
        ..Network::default()
    };
    let given = given.into();
    let on = matches!(given, Given::FirstContact);
    links::unnamed(links, on, &mut network);
    if let Some(config) = given.config() {
        links::named(config, links, &mut network);
    }
    mtus::settle(&mut network, links, own);
    network
}

impl Network {
    /// The MTU that the link of this interface is to have, if it is there.
    pub fn mtu_of(&self, label: &str) -> Option<u32> {
        self.links.get(self.resolved.get(label)?.as_ref()?)?.mtu
    }

    /// The link that holds an address.
    pub fn holder(&self, address: IpAddr) -> Option<&IfName> {
        let mut links = self.links.iter();
        links
            .find(|(_, link)| link.addresses.iter().any(|a| a.addr() == address))
            .map(|(name, _)| name)
    }
}

/// What the box itself answers, what it forwards, and whom it hides behind its own address.
fn ruleset(
    config: &Config,
    wanted: &Network,
    links: &BTreeMap<IfName, ObservedLink>,
    cookie: ProbeCookie,
    open: impl Fn(&VirtualServer) -> bool,
) -> Ruleset {
    let link = |label: &str| wanted.resolved.get(label).cloned().flatten();
    let mut outside: Vec<IfName> = Vec::new();
    let mut postrouting = hairpins(config, link);
    postrouting.extend(gateway::hairpins(config, link));
    // The first rule that fits decides: the closest network, whatever the order of the file.
    let mut masquerades: Vec<_> = config.masquerades.iter().collect();
    masquerades.sort_by_key(|masquerade| std::cmp::Reverse(masquerade.from.prefix_len()));
    for masquerade in masquerades {
        if let Some(out) = link(&masquerade.out) {
            postrouting.extend(gateway::masquerade_rules(masquerade, &out));
            if !outside.contains(&out) {
                outside.push(out);
            }
        }
    }
    let forwards: Vec<_> = config.port_forwards.iter().flat_map(gateway::forwards).collect();
    // The kernel finds these by their index. What is still to be made has none, and is in the plan of the next round.
    let there = |label: &str| link(label).filter(|name| links.contains_key(name));
    let fast = fast::plan(config, there, &outside, &open);
    let answers = answers::plan(config, there, &outside);
    let mut forward: Vec<Rule> = fast.forward.into_iter().collect();
    // What is not new from outside passes anyway: only where many rules follow this one saves work.
    forward.extend((!forwards.is_empty()).then_some(Rule::AcceptEstablished));
    forward.extend(forwards.iter().copied().map(Rule::AcceptForwarded));
    forward.extend(outside.into_iter().map(Rule::DropNewFrom));
    let services = || config.services().filter(|v| open(v));
    let mtus = config
        .interfaces
        .iter()
        .filter_map(|interface| Some(links.get(&link(&interface.label)?)?.mtu));
    let proxy = proxy::rules(services(), mtus);
    let mut rules = Ruleset::for_services(services().filter_map(VirtualServer::endpoint));
    rules.marks = services().flat_map(groups::marks).collect();
    rules.fast = fast.path;
    rules.answers = answers.sources;
    // What comes most often is decided first.
    let others = [
        Rule::AcceptChecks(cookie),
        Rule::AcceptLoopback,
        Rule::AcceptIcmp,
        Rule::AcceptIcmpv6,
        Rule::AcceptServices4,
        Rule::AcceptServices6,
    ];
    let clamps = |way| {
        let interfaces = config.interfaces.iter();
        let clamps = interfaces.filter_map(move |interface| {
            let name = link(&interface.label)?;
            let wanted = wanted.links.get(&name).and_then(|wanted| wanted.mtu);
            let mtu = wanted.or(links.get(&name).map(|seen| seen.mtu));
            Some(gateway::clamps(interface, &name, mtu, way))
        });
        clamps.flatten()
    };
    rules
        .with(
            Chain::Raw,
            proxy.raw.into_iter().chain(fast.raw).chain(answers.raw),
        )
        // Before replies leave the chain.
        .with(Chain::MangleIn, clamps(Way::In))
        .with(Chain::MangleIn, groups::marking(config))
        .with(Chain::Dstnat, forwards.into_iter().map(Rule::Forward))
        .with(Chain::Input, proxy.input)
        .with(Chain::Input, fast.input.into_iter().chain(others))
        .with(Chain::Input, groups::any(config).then_some(Rule::AcceptMarked))
        .with(Chain::Forward, forward.into_iter().chain(answers.forward))
        .with(Chain::Output, proxy.output)
        .with(Chain::MangleOut, clamps(Way::Out))
        .with(Chain::Postrouting, postrouting)
}

/// A client that its server reaches without the box, because both are behind one interface, has to come from the box's
/// address: for every network of an interface that has servers.
fn hairpins(config: &Config, link: impl Fn(&str) -> Option<IfName>) -> Vec<Rule> {
    let servers = Servers::of(config);
    // Packets that are still for a service were not translated: their server answers the client by itself.
    let mut plain = config.services().filter(|v| v.endpoint().is_some());
    let mut rules = match plain.any(forwards_whole) {
        true => vec![Rule::AcceptServices4, Rule::AcceptServices6],
        false => Vec::new(),
    };
    rules.extend(groups::whole(config));
    let marked = groups::any(config);
    for interface in &config.interfaces {
        let Some(out) = link(&interface.label) else {
            continue;
        };
        let nets = interface.networks();
        for from in &nets {
            let same_family = |net: &&IpNet| net.addr().is_ipv4() == from.addr().is_ipv4();
            let beside = |net: &IpNet| servers.has_any(net);
            if nets.iter().filter(same_family).any(beside) {
                rules.push(Rule::Hairpin {
                    from: *from,
                    out: out.clone(),
                });
                rules.extend(marked.then(|| Rule::HairpinMarked {
                    from: *from,
                    out: out.clone(),
                }));
            }
        }
    }
    rules
}

/// Whether packets leave for the servers with the service's address.
fn forwards_whole(service: &VirtualServer) -> bool {
    service
        .real_servers
        .iter()
        .any(|real| real.forward != Forward::Nat)
}

/// Who all the servers are. A few questions are answered by looking at each of them, which mostly ends at the first; for
/// many they are sorted.
enum Servers<'c> {
    Listed(&'c Config),
    Sorted(Vec<IpAddr>),
}

impl Servers<'_> {
    const FEW: usize = 32;

    fn of(config: &Config) -> Servers<'_> {
        let networks = config
            .interfaces
            .iter()
            .map(|i| i.addresses.len() + i.routes.len());
        if networks.sum::<usize>() <= Servers::FEW {
            return Servers::Listed(config);
        }
        let mut sorted: Vec<IpAddr> = addresses(config).collect();
        sorted.sort_unstable();
        Servers::Sorted(sorted)
    }

    fn has_any(&self, net: &IpNet) -> bool {
        match self {
            Servers::Listed(config) => addresses(config).any(|address| net.contains(&address)),
            Servers::Sorted(sorted) => {
                let first = sorted.partition_point(|address| *address < net.network());
                sorted.get(first).is_some_and(|address| net.contains(address))
            }
        }
    }
}

fn addresses(config: &Config) -> impl Iterator<Item = IpAddr> {
    let servers = config.services().flat_map(|v| &v.real_servers);
    servers.map(|real| real.address.address)
}

/// Where packets to `address` leave, by the longest prefix among our addresses and routes: the link, if there is one.
/// Mirrors the main routing table as far as we own it.
pub fn egress(links: &BTreeMap<IfName, ObservedLink>, address: IpAddr) -> Option<(&IfName, &ObservedLink)> {
    links
        .iter()
        .filter_map(|(name, link)| {
            let connected = link.addresses.iter().map(|a| a.trunc());
            let routed = link.routes.iter().map(|r| r.to);
            let longest = connected
                .chain(routed)
                .filter(|net| net.contains(&address))
                .map(|net| net.prefix_len())
                .max()?;
            Some((longest, name, link))
        })
        .max_by_key(|(longest, ..)| *longest)
        .map(|(_, name, link)| (name, link))
}
