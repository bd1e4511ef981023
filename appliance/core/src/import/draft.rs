//! What will be written: services and servers with the keys that they are going to have, as TOML values.
//! Must not: know where they come from, or whether lb.toml may hold them.

use std::net::IpAddr;

use super::machine::Machine;
use super::remarks::Place;

/// Keys with their values as they stand in the file, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Keys(Vec<(&'static str, String)>);

impl Keys {
    /// The last value that a key is given counts.
    pub fn put(&mut self, key: &'static str, value: impl Into<String>) {
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key, value)),
        }
    }

    pub fn value(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, value)| value.as_str())
    }

    pub fn remove(&mut self, key: &str) {
        self.0.retain(|(known, _)| *known != key);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether they are the same but for the values of these.
    pub fn same_but_for(&self, some: &[&str], other: &Keys) -> bool {
        let rest = |keys: &Keys| {
            let mut rest: Vec<_> = keys
                .0
                .iter()
                .filter(|(key, _)| !some.contains(key))
                .cloned()
                .collect();
            rest.sort();
            rest
        };
        rest(self) == rest(other)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(key, value)| (*key, value.as_str()))
    }
}

/// A comment that asks for a decision, and the line that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub place: Place,
    pub text: String,
}

/// An entry of `listen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listen {
    pub address: IpAddr,
    pub first: u16,
    /// Included.
    pub last: u16,
}

#[derive(Debug, Clone)]
pub(super) struct Server {
    pub place: Place,
    pub address: Address,
    pub keys: Keys,
    pub check: Keys,
    /// What else has to pass; none of nearly all servers.
    pub others: Vec<Keys>,
    /// Its checks are written as a list, however many they are, for they are not those of its service.
    pub listed: bool,
    pub notes: Vec<Note>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// Port 0: packets keep theirs.
    Known(IpAddr, u16),
    /// It cannot be used, and why: the server is written as a comment.
    Unusable(String, String),
}

impl Server {
    pub fn new(place: Place, address: Address) -> Server {
        Server {
            place,
            address,
            keys: Keys::default(),
            check: Keys::default(),
            others: Vec::new(),
            listed: false,
            notes: Vec::new(),
        }
    }

    /// All of its checks, in their order.
    pub fn checks(&self) -> Vec<Keys> {
        [&self.check].into_iter().chain(&self.others).cloned().collect()
    }

    pub fn ip(&self) -> Option<IpAddr> {
        match self.address {
            Address::Known(ip, _) => Some(ip),
            Address::Unusable(..) => None,
        }
    }

    pub fn weight(&self) -> u64 {
        let weight = self.keys.value("weight");
        weight.and_then(|weight| weight.parse().ok()).unwrap_or(1)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Service {
    pub place: Place,
    /// What it could be called, the best first.
    pub names: Vec<String>,
    pub listen: Vec<Listen>,
    pub protocol: &'static str,
    pub keys: Keys,
    pub notes: Vec<Note>,
    pub servers: Vec<Server>,
    pub sorry: Option<Server>,
}

impl Service {
    /// More than one port: its servers need no port of their own.
    pub fn is_group(&self) -> bool {
        !matches!(self.listen.as_slice(), [only] if only.first == only.last)
    }

    pub fn is_direct(&self) -> bool {
        self.keys.value("forward") == Some("\"direct\"")
    }
}

/// All services together listen on so many addresses. What is named once can be used again and again: without an end a
/// small text would become a large one.
pub(super) const MOST_LISTENS: usize = 65_536;

/// Everything that will be written.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// Of `[timeouts]`.
    pub timeouts: Keys,
    pub machine: Machine,
    pub services: Vec<Service>,
    /// On how many addresses they listen, all together; for those of a proxy its servers count as well.
    pub listens: usize,
}
