//! What the operator has set aside: servers that get no new connections until he takes it back. It survives reboots.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::model::RealKey;

/// A machine with all its ports, or one server, in one service or in all of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DrainTarget {
    pub address: IpAddr,
    pub port: Option<u16>,
    /// By its name; none: all.
    pub service: Option<String>,
}

impl DrainTarget {
    pub fn covers(&self, service: &str, server: RealKey) -> bool {
        self.address == server.address
            && self.port.is_none_or(|port| port == server.port)
            && self.service.as_deref().is_none_or(|name| name == service)
    }

    pub fn server(&self) -> String {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).to_string(),
            None => self.address.to_string(),
        }
    }
}

impl fmt::Display for DrainTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.server())?;
        match &self.service {
            Some(service) => write!(f, " of {service}"),
            None => Ok(()),
        }
    }
}

/// `172.16.0.11:30080` is a server, `172.16.0.11` a machine.
impl FromStr for DrainTarget {
    type Err = String;
    fn from_str(text: &str) -> Result<DrainTarget, String> {
        let (address, port) = if let Ok(socket) = text.parse::<SocketAddr>() {
            (socket.ip(), Some(socket.port()))
        } else if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse() {
            (address, None)
        } else {
            return Err(format!(
                "`{text}` is no server: write ADDRESS:PORT as in lb.toml, or ADDRESS for all ports of a machine"
            ));
        };
        Ok(DrainTarget {
            address,
            port,
            service: None,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// Seconds since 1970 (UTC), by the appliance's clock.
    pub since_unix_s: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Drains(BTreeMap<DrainTarget, Drain>);

impl Drains {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `false`: it was set aside before.
    pub fn add(&mut self, target: DrainTarget, since_unix_s: u64) -> bool {
        let is_new = !self.0.contains_key(&target);
        if is_new {
            self.0.insert(target, Drain { since_unix_s });
        }
        is_new
    }

    /// Takes back exactly this.
    pub fn remove(&mut self, target: &DrainTarget) -> bool {
        self.0.remove(target).is_some()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&DrainTarget, &Drain)> {
        self.0.iter()
    }

    /// The first that sets this server aside.
    pub fn of(&self, service: &str, server: RealKey) -> Option<(&DrainTarget, &Drain)> {
        self.0.iter().find(|(target, _)| target.covers(service, server))
    }
}
