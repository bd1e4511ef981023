//! What of a new configuration is tried out in a network that nobody meets, before anything of the running machine is touched: which part
//! of it, on what, by which steps, and what the refusals mean. Must not: carry a step out, or know namespaces.

mod place;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::{Config, VirtualServer, changed};
use crate::desired::{self, DesiredReal, DesiredVirtual, FORWARDING, Network};
use crate::link_kind::LinkKind;
use crate::model::{Forward, IfName, MacAddress, Protocol, RealKey, VirtualKey, VirtualSettings};
use crate::observed::{Machine, Observed, ObservedLink, SysctlName};
use crate::own_mtu::OwnMtus;
use crate::plan::{self, Step};
use crate::ports::{KernelError, KernelFault};

pub use place::faults;

/// More servers than these are not rehearsed, and of one service not more than its share of them: what the kernel refuses about a server follows
/// from its keys, which many have in common, and each costs memory of a small machine.
const MOST_SERVERS: usize = 1_024;
const SERVERS_OF_SERVICE: usize = 64;

/// In the place of a card: a link of its name, its address and its MTU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandIn {
    pub name: IfName,
    pub mac: MacAddress,
    pub mtu: u32,
}

/// For the cards of the machine, as they came. Its other links are made anew, if the file has them.
pub fn stand_ins(links: &BTreeMap<IfName, ObservedLink>, own: &OwnMtus) -> Vec<StandIn> {
    let cards = links
        .iter()
        .filter(|(_, link)| !link.loopback && link.kind.is_none());
    let stand_in = |(name, link): (&IfName, &ObservedLink)| {
        Some(StandIn {
            name: name.clone(),
            mac: link.card_mac()?,
            mtu: own.of(name, link).unwrap_or(link.mtu),
        })
    };
    cards.filter_map(stand_in).collect()
}

/// What of a configuration is new to the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    config: Config,
    /// Those whose place in IPVS is tried.
    services: BTreeSet<VirtualKey>,
}

/// `None`: the kernel is asked for nothing that it does not hold already in the same way.
pub fn part(old: Option<&Config>, new: &Config) -> Option<Part> {
    let Some(old) = old else {
        let services = new.services().map(|service| service.key).collect();
        let config = new.clone();
        return Some(Part { config, services });
    };
    let changed = changed(old, new);
    let mut services = others_to_the_kernel(old, new, &changed.services);
    if changed.network {
        let config = new.clone();
        return Some(Part { config, services });
    }
    services.retain(|key| is_of_new_kind(old, new, key));
    if services.is_empty() {
        return None;
    }
    let config = of_services(new, &services);
    Some(Part { config, services })
}

/// The links stand, and services do not need them to be taken.
fn of_services(config: &Config, services: &BTreeSet<VirtualKey>) -> Config {
    let these = config.virtual_servers.iter();
    Config {
        virtual_servers: these
            .filter(|service| services.contains(&service.key))
            .cloned()
            .collect(),
        ..Config::empty()
    }
}

/// Of these services those that differ in what the kernel can refuse. Weights, checks and names it takes as they come.
fn others_to_the_kernel(old: &Config, new: &Config, changed: &BTreeSet<VirtualKey>) -> BTreeSet<VirtualKey> {
    let of = |config: &'_ Config| -> BTreeMap<VirtualKey, Arc<VirtualServer>> {
        let services = config.virtual_servers.iter();
        let services = services.filter(|service| changed.contains(&service.key));
        services.map(|service| (service.key, service.clone())).collect()
    };
    let before = of(old);
    let differs = |key: &VirtualKey, service: &VirtualServer| {
        before
            .get(key)
            .is_none_or(|old| seen_by_the_kernel(old) != seen_by_the_kernel(service))
    };
    let after = of(new).into_iter();
    let after = after.filter(|(key, service)| differs(key, service));
    after.map(|(key, _)| key).collect()
}

/// All that the kernel can refuse about a service on links that stand: not which addresses and ports it and its servers have.
#[derive(PartialEq, Eq)]
struct Kind {
    has_mark: bool,
    listens: BTreeSet<(Protocol, bool)>,
    settings: VirtualSettings,
    syn_proxy: bool,
    servers: BTreeSet<(bool, Forward)>,
}

fn kind(service: &VirtualServer) -> Kind {
    let listens = service.listen.iter();
    let servers = service.of_file();
    Kind {
        has_mark: matches!(service.key, VirtualKey::Mark(_)),
        listens: listens
            .map(|range| (range.protocol, range.address.is_ipv6()))
            .collect(),
        settings: service.settings,
        syn_proxy: service.syn_proxy,
        servers: servers
            .map(|real| (real.address.address.is_ipv6(), real.forward))
            .collect(),
    }
}

/// A rehearsal costs a network, and where the kernel holds a service of the same kind, nothing is learned by it.
fn is_of_new_kind(old: &Config, new: &Config, key: &VirtualKey) -> bool {
    let of = |config: &Config| {
        let mut services = config.virtual_servers.iter();
        services.find(|service| service.key == *key).cloned()
    };
    let Some(new) = of(new) else { return false };
    let wanted = kind(&new);
    // Mostly it is the service itself that is of the same kind.
    let is_known = of(old).is_some_and(|old| kind(&old) == wanted)
        || old.virtual_servers.iter().any(|service| kind(service) == wanted);
    !is_known
}

fn seen_by_the_kernel(service: &VirtualServer) -> impl PartialEq {
    let servers = service.of_file();
    let servers: Vec<_> = servers
        .map(|real| (real.address, real.forward, real.limit))
        .collect();
    (
        service.listen.clone(),
        service.settings,
        service.syn_proxy,
        servers,
    )
}

/// What the rehearsal asks a new network for. All other settings follow from the machine and not from the file, and some of them are the whole
/// machine's in whichever network they are set.
pub fn sysctls() -> BTreeSet<SysctlName> {
    FORWARDING.map(str::to_owned).into()
}

impl Part {
    /// The same of what is in force, to tell what the kernel refuses for its own reasons from what it refuses of a change.
    pub fn of_former(&self, old: &Config) -> Part {
        let services: BTreeSet<VirtualKey> = old.services().map(|service| service.key).collect();
        let services = services.intersection(&self.services).copied().collect();
        // Without links it is about services alone.
        let config = match self.config.interfaces.is_empty() {
            true => of_services(old, &services),
            false => old.clone(),
        };
        Part { config, services }
    }

    /// The steps from what the rehearsal's network holds; and what was wanted. `again`: the services were tried already, and what waited for links
    /// to be there is tried now.
    pub fn steps(&self, observed: &mut Observed, again: bool, machine: Machine) -> (Network, Vec<Step>) {
        let mut own = OwnMtus::default();
        own.see(&observed.links);
        let open = |_: &VirtualServer| true;
        let network = desired::network(Some(&self.config), &observed.links, &own, machine, open);
        let pools: Vec<_> = if again {
            observed.virtual_servers.clear();
            Vec::new()
        } else {
            self.pools()
        };
        let mut steps = plan::diff_each(&network, pools.into_iter(), observed);
        steps.retain(is_rehearsed);
        (network, steps)
    }

    fn pools(&self) -> Vec<(VirtualKey, DesiredVirtual)> {
        let mut room = MOST_SERVERS;
        let services = self.config.services();
        let services = services.filter(|service| self.services.contains(&service.key));
        let pool = |service: &VirtualServer| {
            let servers = service.of_file().take(room.min(SERVERS_OF_SERVICE));
            let servers: BTreeMap<_, _> = servers
                .map(|real| {
                    let wanted = DesiredReal {
                        weight: real.weight,
                        forward: real.forward,
                        limit: real.limit,
                    };
                    (real.address, wanted)
                })
                .collect();
            room -= servers.len();
            let settings = service.settings;
            let servers = servers.into_iter().collect();
            (service.key, DesiredVirtual { settings, servers })
        };
        services.map(pool).collect()
    }
}

/// Whether a step concerns nothing but the network that it is carried out in. The host's name, devices, and tables that all networks share do
/// not belong to it, and nobody is there to be told of an address.
fn is_rehearsed(step: &Step) -> bool {
    match step {
        Step::SetSysctl { name, .. } => FORWARDING.contains(&name.as_str()),
        Step::SetHostname(_) | Step::Announce { .. } => false,
        _ => true,
    }
}

/// Whether the kernel has said that it does not take this. Else it was short of something, or did not answer, and says nothing of the file.
pub fn is_verdict(error: &KernelError) -> bool {
    // EINTR, EAGAIN, ENOMEM, ENFILE, EMFILE, ENOSPC, ENOBUFS.
    const PASSING: [i32; 7] = [4, 11, 12, 23, 24, 28, 105];
    error.fault.errno.is_some_and(|errno| !PASSING.contains(&errno))
}

/// A step that the kernel has refused there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The step's line.
    pub step: String,
    pub fault: KernelFault,
    subject: Subject,
}

/// What of the file a step is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    /// One of the interface's keys: its own words are there, too, if it is one of a list.
    Interface {
        label: String,
        key: &'static str,
        of: Option<String>,
    },
    Service {
        key: VirtualKey,
        server: Option<RealKey>,
    },
    Rules,
    Other,
}

impl Refusal {
    /// The same step for the same reason.
    pub fn is_like(&self, other: &Refusal) -> bool {
        (&self.step, &self.fault) == (&other.step, &other.fault)
    }
}

/// Refusals without those that follow from others: a link that could not be made has no address.
#[derive(Debug, Default)]
pub struct Refusals {
    causes: Vec<Refusal>,
    links: BTreeSet<IfName>,
    services: BTreeSet<VirtualKey>,
}

impl Refusals {
    /// In the order of the steps.
    pub fn add(&mut self, network: &Network, step: &Step, error: &KernelError) {
        let follows = self.follows(step);
        match step {
            Step::AddVirtual { service, .. } | Step::EditVirtual { service, .. } => {
                self.services.insert(*service);
            }
            _ => self.links.extend(link_of(step).cloned()),
        }
        let step_line = step.to_string();
        if follows || self.causes.iter().any(|known| known.step == step_line) {
            return;
        }
        self.causes.push(Refusal {
            step: step_line,
            fault: error.fault.clone(),
            subject: subject(network, step),
        });
    }

    /// Whether a refusal of this step comes from one before it.
    pub fn follows(&self, step: &Step) -> bool {
        if matches!(step, Step::SetSysctl { .. }) {
            // Forwarding is not switched on without the filter.
            return self.causes.iter().any(|cause| cause.subject == Subject::Rules);
        }
        let below = match step {
            Step::CreateLink { kind, .. } => kind.parent(),
            Step::SetMaster { master, .. } => Some(master),
            _ => None,
        };
        let links = link_of(step).into_iter().chain(below);
        links.into_iter().any(|link| self.links.contains(link))
            || step.service().is_some_and(|key| self.services.contains(&key))
    }

    pub fn into_causes(self) -> Vec<Refusal> {
        self.causes
    }
}

fn link_of(step: &Step) -> Option<&IfName> {
    match step {
        Step::CreateLink { link, .. }
        | Step::ChangeLink { link, .. }
        | Step::ClaimLink(link)
        | Step::DeleteLink(link)
        | Step::SetMaster { link, .. }
        | Step::ReleaseLink(link)
        | Step::SetLinkUp(link)
        | Step::SetLinkDown(link)
        | Step::SetMtu { link, .. }
        | Step::AddAddress { link, .. }
        | Step::DeleteAddress { link, .. }
        | Step::AddRoute { link, .. }
        | Step::DeleteRoute { link, .. } => Some(link),
        _ => None,
    }
}

fn subject(network: &Network, step: &Step) -> Subject {
    let of_link = |link: &IfName, key: &'static str, of: Option<String>| {
        let mut resolved = network.resolved.iter();
        let found = resolved.find(|(_, name)| name.as_ref() == Some(link));
        found.map_or(Subject::Other, |(label, _)| Subject::Interface {
            label: label.clone(),
            key,
            of,
        })
    };
    match step {
        Step::AddAddress { link, address } => of_link(link, "addresses", Some(address.to_string())),
        Step::AddRoute { link, route } if route.to.prefix_len() == 0 => {
            of_link(link, "gateway", Some(route.via.to_string()))
        }
        Step::AddRoute { link, route } => of_link(link, "routes", Some(route.to.to_string())),
        Step::SetMtu { link, .. } => of_link(link, "mtu", None),
        Step::CreateLink { link, kind } | Step::ChangeLink { link, kind } => {
            of_link(link, kind_key(kind), None)
        }
        Step::SetMaster { master, .. } => {
            let kind = network.links.get(master).and_then(|link| link.kind.as_ref());
            of_link(master, kind.map_or("name", kind_key), None)
        }
        Step::ReplaceRuleset(_) => Subject::Rules,
        other => match (other.service(), link_of(other)) {
            (Some(key), _) => Subject::Service {
                key,
                server: server_of(other),
            },
            (None, Some(link)) => of_link(link, "name", None),
            (None, None) => Subject::Other,
        },
    }
}

fn server_of(step: &Step) -> Option<RealKey> {
    match step {
        Step::AddReal { server, .. } | Step::EditReal { server, .. } => Some(*server),
        _ => None,
    }
}

fn kind_key(kind: &LinkKind) -> &'static str {
    match kind {
        LinkKind::Vlan { .. } => "vlan",
        LinkKind::Bond(_) => "bond",
        LinkKind::Bridge(_) => "bridge",
    }
}
