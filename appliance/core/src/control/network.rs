//! What links, the gateway and connections are reported as. Must not: format for humans.

use serde::{Deserialize, Serialize};

use crate::traffic::{LinkCounters, LinkRates, Tracking};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InterfacesReport {
    /// When the counters were read, since the kernel started; 0 if they could not be read.
    pub read_at_ms: u64,
    pub interfaces: Vec<InterfaceReport>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InterfaceReport {
    /// The file's name for it; `None` for a link that the file does not name.
    pub label: Option<String>,
    /// The kernel's name; `None` when no link matches.
    pub link: Option<String>,
    pub mac: Option<String>,
    /// `up`, `no-carrier`, `down`, `missing`.
    pub state: String,
    pub mtu: Option<u32>,
    #[serde(flatten)]
    pub stack: StackReport,
    pub addresses: Vec<String>,
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
    /// `null`: not asked for, or counted anew since the reading before.
    pub rates: Option<LinkRates>,
    /// How long its carrier is as it is; `null` for a link that is missing.
    pub carrier_age: Option<CarrierAge>,
}

/// How long a link has had its carrier, or has been without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarrierAge {
    pub ms: u64,
    /// Whether the agent saw it change; else it has been so since before the agent began.
    pub change_seen: bool,
}

impl InterfaceReport {
    pub fn counters(&self) -> LinkCounters {
        LinkCounters {
            rx_bytes: self.rx_bytes,
            rx_packets: self.rx_packets,
            rx_errors: self.rx_errors,
            rx_dropped: self.rx_dropped,
            tx_bytes: self.tx_bytes,
            tx_packets: self.tx_packets,
            tx_errors: self.tx_errors,
            tx_dropped: self.tx_dropped,
        }
    }
}

/// What an interface stands on, and what it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackReport {
    /// `card`, `vlan`, `bond`, `bridge`.
    pub kind: String,
    pub vlan: Option<VlanReport>,
    pub bond: Option<BondReport>,
    pub bridge: Option<BridgeReport>,
    /// The bond or bridge that it belongs to now.
    pub master: Option<String>,
}

impl Default for StackReport {
    fn default() -> StackReport {
        StackReport {
            kind: "card".to_owned(),
            vlan: None,
            bond: None,
            bridge: None,
            master: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VlanReport {
    pub link: String,
    pub id: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BondReport {
    pub mode: String,
    /// The link that carries the traffic; `null` in modes where all do, or none has a carrier.
    pub active: Option<String>,
    pub links: Vec<MemberReport>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeReport {
    pub stp: bool,
    pub links: Vec<MemberReport>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberReport {
    pub link: String,
    /// `up`, `no-carrier`, `down`, `missing`; `free`: it is not taken in at the moment.
    pub state: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GatewayReport {
    /// When the counters were read, since the kernel started; 0 if they could not be read.
    pub read_at_ms: u64,
    /// net.ipv4.ip_forward.
    pub forwarding: bool,
    pub masquerades: Vec<TranslationReport>,
    /// Clients beside their servers, whose address is hidden from these.
    pub hairpins: Vec<TranslationReport>,
    pub forwards: Vec<ForwardReport>,
    pub routes: Vec<RouteReport>,
    pub conntrack: Tracking,
    /// Packets that were dropped because a processor's queue was full, since the kernel started.
    pub backlog_dropped: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TranslationReport {
    pub from: String,
    pub out: String,
    /// The addresses that they take, in order; none: the interface's.
    pub to: Vec<String>,
    /// Whether the kernel holds the rule.
    pub active: bool,
    /// Connections that it has translated since the rules were last loaded.
    pub connections: u64,
    /// `null`: not asked for, or counted anew since the reading before.
    pub connections_per_second: Option<f64>,
}

/// Ports that lead to another machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForwardReport {
    pub listen: String,
    pub protocol: String,
    pub to: String,
    /// Who may; none: everybody.
    pub from: Vec<String>,
    /// Whether the kernel holds its rules.
    pub active: bool,
    /// Connections that it has forwarded since the rules were last loaded.
    pub connections: u64,
    /// `null`: not asked for, or counted anew since the reading before.
    pub connections_per_second: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteReport {
    pub to: String,
    pub via: String,
    pub link: String,
    pub active: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionsReport {
    pub total: u64,
    pub connections: Vec<ConnectionReport>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionReport {
    pub protocol: String,
    pub client: String,
    pub service: String,
    pub server: String,
    pub state: String,
    pub expires_s: u64,
}
