//! A valid configuration. Every value here has been checked: what a `Config` says can be carried out.
//! Order is the file's, so that status and plans list things as the operator wrote them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::check::{CheckList, CheckParams};
use crate::confirm::Assertions;
use crate::link_kind::{BondMode, LacpRate, XmitHashPolicy};
use crate::model::{
    Endpoint, Forward, IfName, Limit, MacAddress, PortRange, Protocol, RealKey, ServerKey, VirtualKey,
    VirtualSettings, Weight,
};
use crate::observed::IpvsTimeouts;
use crate::pool::{PoolRules, Tier};

/// What /config/lb.toml asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub hostname: HostName,
    /// When idle connections are forgotten, by IPVS and by connection tracking.
    pub timeouts: IpvsTimeouts,
    /// When most machines behind an interface fall silent at once, their servers keep their traffic for so long while some
    /// still answer, and without end while none does. Zero: never.
    pub fail_static: Duration,
    /// What confirms this configuration without a person, when it is applied with a deadline.
    pub confirm: Assertions,
    pub interfaces: Vec<Interface>,
    pub masquerades: Vec<Masquerade>,
    pub port_forwards: Vec<PortForward>,
    /// One that another configuration has as well is there once.
    pub virtual_servers: Vec<Arc<VirtualServer>>,
}

impl Config {
    /// Nothing configured: what an empty file means.
    pub fn empty() -> Config {
        Config {
            hostname: HostName::default(),
            timeouts: IpvsTimeouts::DEFAULT,
            fail_static: super::static_failure::DEFAULT,
            confirm: Assertions::default(),
            interfaces: vec![],
            masquerades: vec![],
            port_forwards: vec![],
            virtual_servers: vec![],
        }
    }
}

impl Config {
    /// In the order of the file.
    pub fn services(&self) -> impl Iterator<Item = &VirtualServer> + Clone {
        self.virtual_servers.iter().map(Arc::as_ref)
    }

    /// The interface that leads to an address, by the longest prefix of its networks; its gateway leads everywhere.
    pub fn towards(&self, address: IpAddr) -> Option<usize> {
        let longest = |interface: &Interface| {
            let own = interface.addresses.iter().map(IpNet::trunc);
            let routed = interface.routes.iter().map(|route| route.to);
            let near = own.chain(routed).filter(|net| net.contains(&address));
            let gateway = interface
                .gateway
                .is_some_and(|gateway| gateway.is_ipv4() == address.is_ipv4());
            near.map(|net| net.prefix_len()).max().or(gateway.then_some(0))
        };
        let interfaces = self.interfaces.iter().enumerate();
        interfaces
            .filter_map(|(index, interface)| Some((longest(interface)?, index)))
            .max()
            .map(|(_, index)| index)
    }
}

impl Config {
    /// The interface that a check of this server leaves through.
    pub fn checked_through(&self, server: RealKey, check: &CheckParams) -> Option<usize> {
        match &check.interface {
            Some(label) => self
                .interfaces
                .iter()
                .position(|interface| interface.label == *label),
            None => self.towards(check.target(server).ip()),
        }
    }
}

/// One DNS label (RFC 1123 section 2.1): letters, digits and hyphens, at most 63 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostName(String);

impl HostName {
    /// RFC 1123.
    pub const MAX_LEN: usize = 63;
    pub const DEFAULT: &'static str = "lb";

    pub fn new(text: &str) -> Option<HostName> {
        let bytes_ok = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let ends_ok = !text.starts_with('-') && !text.ends_with('-');
        ((1..=HostName::MAX_LEN).contains(&text.len()) && bytes_ok && ends_ok)
            .then(|| HostName(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for HostName {
    fn default() -> Self {
        HostName(HostName::DEFAULT.to_owned())
    }
}

/// How the file's interface is found among the kernel's links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkSelector {
    Name(IfName),
    Mac(MacAddress),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The name used in this file: the kernel's own, or with `match` a name of the operator's choice (by default the MAC's text).
    pub label: String,
    pub selector: LinkSelector,
    pub kind: InterfaceKind,
    /// Addresses with their prefix length; the host bits are kept.
    pub addresses: Vec<IpNet>,
    /// Next hop of the default route of its address family.
    pub gateway: Option<IpAddr>,
    pub mtu: Option<u32>,
    pub mss_clamp: Option<MssClamp>,
    pub routes: Vec<Route>,
}

/// The largest segment that TCP connections through an interface may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MssClamp {
    /// What fits into the interface's MTU.
    Mtu,
    Bytes(u16),
}

/// What is below an interface. Other interfaces are named by their labels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum InterfaceKind {
    /// A link that the machine has. The links of a bond or bridge that no [[interface]] describes are such interfaces, too.
    #[default]
    Card,
    Vlan(Vlan),
    Bond(Bond),
    Bridge(Bridge),
}

impl InterfaceKind {
    pub fn word(&self) -> &'static str {
        match self {
            InterfaceKind::Card => "card",
            InterfaceKind::Vlan(_) => "vlan",
            InterfaceKind::Bond(_) => "bond",
            InterfaceKind::Bridge(_) => "bridge",
        }
    }

    /// The labels of what it is built on.
    pub fn below(&self) -> &[String] {
        match self {
            InterfaceKind::Card => &[],
            InterfaceKind::Vlan(vlan) => std::slice::from_ref(&vlan.link),
            _ => self.members(),
        }
    }

    /// The labels of a bond's or bridge's links.
    pub fn members(&self) -> &[String] {
        match self {
            InterfaceKind::Bond(bond) => &bond.links,
            InterfaceKind::Bridge(bridge) => &bridge.links,
            InterfaceKind::Card | InterfaceKind::Vlan(_) => &[],
        }
    }
}

/// The frames of `link` that carry this id (IEEE 802.1Q).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vlan {
    pub link: String,
    /// 1 to 4094.
    pub id: u16,
}

/// Several cards as one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bond {
    pub links: Vec<String>,
    pub mode: BondMode,
    pub miimon: Duration,
    /// One of `links`.
    pub primary: Option<String>,
    /// Only with 802.3ad.
    pub lacp_rate: Option<LacpRate>,
    /// Only where the mode has a hash.
    pub xmit_hash_policy: Option<XmitHashPolicy>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    pub links: Vec<String>,
    pub stp: bool,
    /// Only with STP.
    pub forward_delay: Option<Duration>,
}

impl Interface {
    /// Who is behind this interface: its own networks and those of its routes, but not the rest of the world.
    pub fn networks(&self) -> BTreeSet<IpNet> {
        let own = self.addresses.iter().map(IpNet::trunc);
        let neighbours = own.filter(|net| net.prefix_len() < net.max_prefix_len());
        let routed = self.routes.iter().map(|route| route.to);
        neighbours
            .chain(routed)
            .filter(|net| net.prefix_len() > 0)
            .collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// Destination; host bits are zero.
    pub to: IpNet,
    pub via: IpAddr,
}

/// Connections from `from` that leave through `out` take that interface's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masquerade {
    pub from: IpNet,
    /// Label of an interface of this file.
    pub out: String,
    /// Addresses of that interface, in order, none twice: a client keeps the one that it gets. None: the one that the
    /// kernel picks.
    pub to: Vec<IpAddr>,
}

/// Ports of an address of the box that lead to another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortForward {
    pub address: IpAddr,
    pub first: u16,
    /// Included.
    pub last: u16,
    /// None twice.
    pub protocols: Vec<Protocol>,
    pub to: IpAddr,
    /// Where the first port leads; the others follow it.
    pub to_first: u16,
    /// Who may; none: everybody.
    pub from: Vec<IpNet>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualServer {
    pub name: String,
    /// What IPVS knows it by: its only endpoint, or the mark of all its ports.
    pub key: VirtualKey,
    /// Where clients connect to, in the order of the file; every entry of the file once per protocol.
    pub listen: Vec<PortRange>,
    pub settings: VirtualSettings,
    /// A client is connected to a server only after it has answered to a cookie.
    pub syn_proxy: bool,
    pub pool: PoolRules,
    /// Of all tiers.
    pub real_servers: Vec<RealServer>,
}

impl VirtualServer {
    /// Of a service with one port of one protocol.
    pub fn endpoint(&self) -> Option<Endpoint> {
        match self.key {
            VirtualKey::Endpoint(endpoint) => Some(endpoint),
            VirtualKey::Mark(_) => None,
        }
    }

    /// Without those that have left the file and still have connections.
    pub fn of_file(&self) -> impl Iterator<Item = &RealServer> + Clone {
        self.real_servers.iter().filter(|real| real.tier != Tier::Leaving)
    }

    pub fn leaving(&self) -> impl Iterator<Item = &RealServer> {
        self.real_servers.iter().filter(|real| real.tier == Tier::Leaving)
    }

    /// Whether a server that is taken out of it keeps its connections for a while. With datagrams that are each scheduled by themselves it
    /// has none.
    pub fn lets_leave(&self) -> bool {
        !self.pool.drain_timeout.is_zero() && !self.settings.one_packet
    }

    pub fn server_key(&self, real: &RealServer) -> ServerKey {
        ServerKey {
            service: self.key,
            server: real.address,
        }
    }

    /// Behind NAT: the ports from which a server answers datagrams, and those that were asked.
    pub fn answers(&self, real: &RealServer) -> impl Iterator<Item = (PortRange, PortRange)> + use<'_> {
        let (server, nat) = (real.address, real.forward == Forward::Nat);
        let datagrams = move |asked: &&PortRange| nat && asked.protocol == Protocol::Udp;
        self.listen.iter().filter(datagrams).map(move |asked| {
            let (first, last) = match server.port {
                0 => (asked.first, asked.last),
                port => (port, port),
            };
            let address = server.address;
            let answers = PortRange {
                address,
                first,
                last,
                ..*asked
            };
            (answers, *asked)
        })
    }

    /// `192.168.0.1:80, 192.168.0.1:30000-32767`: as the file has it.
    pub fn ports(&self) -> String {
        once_each(self.listen.iter().map(PortRange::ports))
    }

    /// `tcp, udp`.
    pub fn protocols(&self) -> String {
        once_each(self.listen.iter().map(|range| range.protocol.to_string()))
    }
}

fn once_each(words: impl Iterator<Item = String>) -> String {
    let mut seen = BTreeSet::new();
    let words: Vec<String> = words.filter(|word| seen.insert(word.clone())).collect();
    words.join(", ")
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealServer {
    pub address: RealKey,
    pub weight: Weight,
    pub forward: Forward,
    pub when_down: WhenDown,
    pub limit: Limit,
    pub tier: Tier,
    /// The service's with this server's own keys laid over them, or its own; those that are the same are there once.
    pub checks: CheckList,
}

/// What happens to a server that is down: it stays at weight 0, or leaves the kernel's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenDown {
    Inhibit,
    #[default]
    Remove,
}

impl WhenDown {
    pub const WORDS: [&'static str; 2] = [WhenDown::Inhibit.as_str(), WhenDown::Remove.as_str()];

    pub const fn as_str(self) -> &'static str {
        match self {
            WhenDown::Inhibit => "inhibit",
            WhenDown::Remove => "remove",
        }
    }
}
