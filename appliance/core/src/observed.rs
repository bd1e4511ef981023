//! What was read back from the kernel: only the fields that the appliance manages, and nothing that counts or ages.
//! Must not: hold counters (they are in [`Activity`]), or say what should be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::check::ProbeCookie;
use crate::config::Route;
use crate::flat::FlatMap;
use crate::link_kind::LinkKind;
use crate::model::{
    Forward, IfName, Limit, MacAddress, RealKey, ServerKey, VirtualKey, VirtualSettings, Weight,
};
use crate::ruleset::{Rule, Ruleset};
use crate::traffic::{LinkCounters, Memory, Processor, Softnet, Tracking, Traffic};

/// A sysctl by its path below /proc/sys, such as `net/ipv4/ip_forward`.
pub type SysctlName = String;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    pub hostname: String,
    /// Those that were asked for and that the kernel has.
    pub sysctls: BTreeMap<SysctlName, String>,
    pub links: BTreeMap<IfName, ObservedLink>,
    /// The table `inet lb`; `None` when the kernel has no such table. Shared, since it can have thousands of elements and is
    /// mostly the one that was read before.
    pub ruleset: Option<Arc<Ruleset>>,
    pub virtual_servers: BTreeMap<VirtualKey, ObservedVirtual>,
    /// `None` where there is no IPVS.
    pub ipvs_timeouts: Option<IpvsTimeouts>,
    /// IPVS services that no configuration of ours can have made.
    pub foreign_services: BTreeSet<ForeignService>,
}

impl Observed {
    /// Whether both are the same but for the servers of the services.
    pub fn has_frame_of(&self, other: &Observed) -> bool {
        let services = |observed: &'_ Observed| -> Vec<_> {
            let services = observed.virtual_servers.iter();
            services.map(|(key, seen)| (*key, seen.settings)).collect()
        };
        self.hostname == other.hostname
            && self.sysctls == other.sysctls
            && self.links == other.links
            && self.ruleset == other.ruleset
            && self.ipvs_timeouts == other.ipvs_timeouts
            && self.foreign_services == other.foreign_services
            && services(self) == services(other)
    }

    /// Takes what was read of one service; `None`: there is no such service.
    pub fn take_servers(&mut self, service: &VirtualKey, servers: Option<FlatMap<RealKey, ObservedReal>>) {
        match servers {
            Some(servers) => {
                if let Some(seen) = self.virtual_servers.get_mut(service) {
                    seen.servers = servers;
                }
            }
            None => drop(self.virtual_servers.remove(service)),
        }
    }
}

/// What the sizes of tables and the steering of packets follow from, and by what answers to its checks are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    pub memory_bytes: u64,
    pub processors: u32,
    pub cookie: ProbeCookie,
}

/// With one processor.
impl From<u64> for Machine {
    fn from(memory_bytes: u64) -> Machine {
        Machine {
            memory_bytes,
            processors: 1,
            cookie: ProbeCookie::default(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObservedLink {
    pub index: u32,
    /// `None` for links without an Ethernet address (tunnels).
    pub mac: Option<MacAddress>,
    /// The card's own address (IFLA_PERM_ADDRESS), whatever a bond has lent it. `None` where the kernel knows of none.
    pub permanent_mac: Option<MacAddress>,
    /// `None`: a card, or of a kind that the appliance never makes.
    pub kind: Option<LinkKind>,
    /// It carries our mark ([`crate::link_kind::LINK_GROUP`]): the appliance has made it.
    pub ours: bool,
    /// The bond or bridge that it belongs to.
    pub master: Option<IfName>,
    /// The one of a bond's links that carries the traffic, in modes that have such a one.
    pub active: Option<IfName>,
    pub loopback: bool,
    /// IFF_UP: somebody switched it on.
    pub admin_up: bool,
    /// The cable or the peer is there (IFLA_CARRIER); never true while the link is switched off.
    pub carrier: bool,
    pub mtu: u32,
    /// A card's queues for what it receives; 0 for links that are not cards.
    pub receive_queues: u32,
    /// Without the IPv6 link-local addresses (fe80::/10), which are the kernel's.
    pub addresses: BTreeSet<IpNet>,
    /// Routes of the main table through this link that carry our routing protocol number ([`ROUTE_PROTOCOL`]).
    pub routes: BTreeSet<Route>,
}

impl ObservedLink {
    /// The address by which a card is known.
    pub fn card_mac(&self) -> Option<MacAddress> {
        self.permanent_mac.or(self.mac)
    }

    /// A VLAN, bond or bridge that we have made.
    pub fn is_made(&self) -> bool {
        self.ours && self.kind.is_some()
    }
}

/// rtm_protocol of the appliance's own routes: above the values that include/uapi/linux/rtnetlink.h names.
pub const ROUTE_PROTOCOL: u8 = 205;

/// After so many seconds without a packet IPVS forgets a connection (IPVS_CMD_SET_CONFIG).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpvsTimeouts {
    pub tcp_s: u32,
    /// After a FIN was seen.
    pub tcp_fin_s: u32,
    pub udp_s: u32,
}

impl Default for IpvsTimeouts {
    fn default() -> IpvsTimeouts {
        IpvsTimeouts::DEFAULT
    }
}

impl IpvsTimeouts {
    /// 7,440 s is what RFC 5382 section 5 (REQ-5) asks of a NAT for established TCP, 120 s what RFC 4787 section 4.3
    /// (REQ-5) asks for UDP.
    pub const DEFAULT: IpvsTimeouts = IpvsTimeouts {
        tcp_s: 7_440,
        tcp_fin_s: 120,
        udp_s: 120,
    };
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedVirtual {
    /// `None`: an unknown scheduler, a persistence engine, or a flag that we never set.
    pub settings: Option<VirtualSettings>,
    pub servers: FlatMap<RealKey, ObservedReal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObservedReal {
    pub weight: Weight,
    /// `None`: local node and bypass, which we never set.
    pub forward: Option<Forward>,
    /// `None`: its weight is above [`Weight::MAX`], so that nothing about it is as we would set it.
    pub limit: Option<Limit>,
}

/// An IPVS service outside our model; it is deleted, and said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ForeignService {
    /// `ipv6`: the address family that the mark's service belongs to.
    Fwmark { mark: u32, ipv6: bool },
    /// A transport protocol (IANA number) that we do not balance; the kernel takes any 16 bits.
    Address {
        address: IpAddr,
        port: u16,
        protocol: u16,
    },
}

impl fmt::Display for ForeignService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ForeignService::Fwmark { mark, ipv6: false } => write!(f, "fwmark {mark} (ipv4)"),
            ForeignService::Fwmark { mark, ipv6: true } => write!(f, "fwmark {mark} (ipv6)"),
            ForeignService::Address {
                address,
                port,
                protocol,
            } => write!(f, "{address} port {port} protocol {protocol}"),
        }
    }
}

/// How much of what counts and ages is wanted: the servers can be tens of thousands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The machine, its links and what its rules have translated.
    Machine,
    /// The machine and its links, each service as a whole, and the servers of this one.
    Services(Option<VirtualKey>),
    /// Each service and each server.
    Servers,
}

/// What counts and ages: read for the operator's eyes, never compared. What was not wanted is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Activity {
    /// When, since the kernel started (CLOCK_BOOTTIME); 0: nothing was read.
    pub read_at_ms: u64,
    pub services: BTreeMap<VirtualKey, ServiceActivity>,
    pub servers: BTreeMap<ServerKey, ServerActivity>,
    /// Hash buckets of IPVS's connection table.
    pub ipvs_buckets: u64,
    /// Memory is scarce, and IPVS has raised its defences.
    pub ipvs_defends: bool,
    pub links: BTreeMap<IfName, LinkCounters>,
    /// Connections that the rules of the postrouting chain have translated since they were loaded.
    pub translated: Vec<(Rule, u64)>,
    pub tracking: Tracking,
    pub softnet: Softnet,
    pub processors: Vec<Processor>,
    pub memory: Memory,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServiceActivity {
    pub traffic: Traffic,
    /// Of all its servers.
    pub active_connections: u64,
    pub inactive_connections: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServerActivity {
    /// IPVS_DEST_ATTR_ACTIVE_CONNS: established connections.
    pub active_connections: u32,
    /// IPVS_DEST_ATTR_INACT_CONNS: all others that are still in the table.
    pub inactive_connections: u32,
    pub traffic: Traffic,
}

impl ServerActivity {
    /// In every state.
    pub fn connections(&self) -> u64 {
        u64::from(self.active_connections) + u64::from(self.inactive_connections)
    }
}

/// IPVS's connection table (/proc/net/ip_vs_conn), cut to a number of entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnectionTable {
    pub total: u64,
    pub listed: Vec<Connection>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    pub client: std::net::SocketAddr,
    pub service: std::net::SocketAddr,
    pub server: std::net::SocketAddr,
    /// IPPROTO name as the kernel prints it: `TCP`.
    pub protocol: String,
    /// The kernel's state name: `ESTABLISHED`, `FIN_WAIT`.
    pub state: String,
    /// Seconds until the entry expires without traffic.
    pub expires_s: u64,
}

/// Whether a server's answer to a client that only the lb can know comes back through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayBack {
    /// It came, over so many routers.
    Through { hops: u8 },
    /// None came.
    Nowhere,
}
