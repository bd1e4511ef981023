//! The traffic that passes through a side, and the counts of what it is made of. A run that lost anything is no figure.
//! Must not: know how it is balanced or translated.
//!
//! - A **connection** is one TCP connection from a new port: established, one request of some 40 bytes, one answer of some 90
//!   bytes in one segment, closed by the server and then by the client. One after another: the next begins when the last has ended.
//! - A **request** is the same request with the same small answer on one connection that stays. One after another.
//! - A **megabyte** is 1,000,000 bytes of one large answer on one connection, as fast as it goes, with the segmentation offloads
//!   that virtio has.

use std::net::SocketAddr;
use std::time::Duration;

use lb_lab::load::{Client, Program, Server};
use lb_lab::{HOST02, LabError, VIP};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::configs::PORT;

/// The longest silence while a machine is emulated on a busy one.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much of each is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    pub connections: u64,
    pub requests: u64,
    pub megabytes: u64,
}

impl Amounts {
    pub const WHOLE: Amounts = Amounts {
        connections: 8_000,
        requests: 20_000,
        megabytes: 2_000,
    };
    /// Within some percent, in a tenth of the time.
    pub const QUICK: Amounts = Amounts {
        connections: 1_500,
        requests: 4_000,
        megabytes: 300,
    };
    /// What everything has seen once before it is measured.
    pub const WARM: Amounts = Amounts {
        connections: 100,
        requests: 200,
        megabytes: 20,
    };
}

/// Whose way through the lb.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// host01 to the service, whose servers are on both workers.
    Balanced,
    /// worker01 to host02.
    Gateway,
}

impl Way {
    pub const ALL: [Way; 2] = [Way::Balanced, Way::Gateway];

    pub fn as_str(self) -> &'static str {
        match self {
            Way::Balanced => "balanced",
            Way::Gateway => "gateway",
        }
    }

    fn client(self) -> &'static str {
        match self {
            Way::Balanced => "host01",
            Way::Gateway => "worker01",
        }
    }

    fn target(self) -> SocketAddr {
        let address = match self {
            Way::Balanced => VIP,
            Way::Gateway => HOST02,
        };
        SocketAddr::new(address.parse().expect("the lab's addresses are addresses"), PORT)
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    Connection,
    Request,
    Megabyte,
}

impl Unit {
    /// What a connection leaves behind is cleared away two minutes later, so connections are the last to be measured.
    pub const IN_ORDER: [Unit; 3] = [Unit::Megabyte, Unit::Request, Unit::Connection];

    pub fn as_str(self) -> &'static str {
        match self {
            Unit::Connection => "connection",
            Unit::Request => "request",
            Unit::Megabyte => "MB",
        }
    }

    pub fn of(self, amounts: Amounts) -> u64 {
        match self {
            Unit::Connection => amounts.connections,
            Unit::Request => amounts.requests,
            Unit::Megabyte => amounts.megabytes,
        }
    }
}

/// The servers, and the program that is client and server.
#[derive(Debug)]
pub struct Traffic {
    program: Program,
    _servers: Vec<Server>,
}

impl Traffic {
    pub fn new() -> Result<Traffic> {
        let program = Program::own()?;
        let servers = [
            ("worker01", "172.16.0.11"),
            ("worker02", "172.16.0.12"),
            ("host02", HOST02),
        ];
        let servers: lb_lab::Result<Vec<Server>> = servers
            .iter()
            .map(|(name, address)| program.serve(name, name, &[&format!("{address}:{PORT}")]))
            .collect();
        Ok(Traffic {
            program,
            _servers: servers?,
        })
    }

    /// Carries `amount` units through; all of them, or it is an error.
    pub fn run(&self, way: Way, unit: Unit, amount: u64) -> Result<()> {
        let to = way.target();
        let mut client = match unit {
            Unit::Connection => Client::short(to, amount),
            Unit::Request => Client::kept_alive(to, amount),
            Unit::Megabyte => Client::bulk(to, amount * 1_000_000),
        };
        client.parallel = 1;
        client.patience = PATIENCE;
        let report = self.program.run(way.client(), &client)?;
        let lost = report.lost();
        if lost.is_empty() {
            return Ok(());
        }
        Err(LabError::Unexpected(format!(
            "{}: {} lost something: {}",
            way.as_str(),
            report.summary(),
            lost.join("; ")
        ))
        .into())
    }
}
