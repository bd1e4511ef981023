//! What `top` shows: the machine, its links, and each service in one line; servers only of a service that was asked for,
//! because the rest could be tens of thousands. Must not: format for humans.

use serde::{Deserialize, Serialize};

use super::{InterfaceReport, ServiceReport};
use crate::traffic::{Load, Memory, Processor, Softnet, Tracking, Traffic, TrafficRates};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CountersReport {
    pub hostname: String,
    /// When the counters were read, since the kernel started; 0 if they could not be read.
    pub read_at_ms: u64,
    pub processors: Vec<Processor>,
    /// `null` in the first of two readings.
    pub load: Option<Load>,
    pub memory: Memory,
    pub conntrack: Tracking,
    pub softnet: Softnet,
    pub ipvs: BalancedReport,
    pub interfaces: Vec<InterfaceReport>,
    pub services: Vec<ServiceCounters>,
    /// The one that was asked for, with its servers.
    pub service: Option<ServiceReport>,
}

/// IPVS's connection table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BalancedReport {
    /// Established.
    pub active_connections: u64,
    /// All others that are still in the table.
    pub inactive_connections: u64,
    /// The table holds any number of connections; with many more than buckets it becomes slow.
    pub table_buckets: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceCounters {
    pub name: String,
    pub listen: String,
    pub protocol: String,
    pub servers_up: usize,
    pub servers: usize,
    pub active_connections: u64,
    pub inactive_connections: u64,
    /// `null`: the kernel does not hold it.
    pub traffic: Option<Traffic>,
    /// `null`: not known yet, or counted anew since the reading before.
    pub rates: Option<TrafficRates>,
}
