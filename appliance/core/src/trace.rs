//! The hops on the way to an address, and when the way has ended. Must not: send.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::echo::milliseconds;
use crate::icmp::IcmpError;

/// What one probe, with a limited number of hops, was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Icmp {
        from: IpAddr,
        error: IcmpError,
    },
    /// The port took the connection, or sent a datagram back.
    Open,
    /// The port refused (RST).
    Closed,
    /// It could not be sent, in the kernel's words.
    Unsent(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceReport {
    pub address: IpAddr,
    /// `udp`, or `tcp` to this port.
    pub protocol: String,
    pub port: Option<u16>,
    pub hops: Vec<TraceHop>,
    /// Whether `address` itself has answered.
    pub arrived: bool,
    /// Why it ended, in a sentence.
    pub end: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceHop {
    /// The number of the hop, from 1.
    pub number: u8,
    /// Who answered; several where connections are spread over several ways.
    pub from: Vec<IpAddr>,
    /// Of each probe, in ms; `null`: no answer.
    pub took_ms: Vec<Option<f64>>,
    /// What it said, where that is more than "passed on from here".
    pub says: Option<String>,
    /// What the answering machine is here.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// Silent hops in a row after which nothing more is to be expected.
pub const MOST_SILENT: usize = 6;
pub const MOST_HOPS: u8 = 30;

impl TraceReport {
    pub fn to(address: IpAddr, port: Option<u16>) -> TraceReport {
        TraceReport {
            address,
            protocol: if port.is_some() { "tcp" } else { "udp" }.to_owned(),
            port,
            hops: Vec::new(),
            arrived: false,
            end: String::new(),
        }
    }

    /// Begins the next hop and gives its number; `None`: the way has ended, and `end` says why.
    pub fn next_hop(&mut self) -> Option<u8> {
        let silent = self
            .hops
            .iter()
            .rev()
            .take_while(|hop| hop.from.is_empty())
            .count();
        if !self.end.is_empty() {
            return None;
        }
        if silent >= MOST_SILENT {
            self.end = format!(
                "no answer from the last {silent} hops: a filter drops the probes or the answers, or nobody is there"
            );
            return None;
        }
        let number = u8::try_from(self.hops.len()).unwrap_or(u8::MAX).saturating_add(1);
        if number > MOST_HOPS {
            self.end = format!("not there after {MOST_HOPS} hops");
            return None;
        }
        self.hops.push(TraceHop {
            number,
            from: Vec::new(),
            took_ms: Vec::new(),
            says: None,
            roles: Vec::new(),
        });
        Some(number)
    }

    /// The answer to a probe of the hop that was begun last.
    pub fn answered(&mut self, answer: Option<(Answer, Duration)>) {
        let address = self.address;
        let Some(hop) = self.hops.last_mut() else {
            return;
        };
        let Some((answer, took)) = answer else {
            hop.took_ms.push(None);
            return;
        };
        hop.took_ms.push(Some(milliseconds(took)));
        let (from, says) = match answer {
            Answer::Icmp { from, error } if error.is_time_exceeded() => (from, None),
            Answer::Icmp { from, error } => {
                let there = from == address && error.is_port_unreachable();
                self.arrived |= from == address;
                self.end = match (there, from == address) {
                    (true, _) => format!("{address} has answered"),
                    (false, true) => format!("{address} has answered: {error}"),
                    (false, false) => format!("{from} passes nothing on to {address}: {error}"),
                };
                (from, (!there).then(|| error.to_string()))
            }
            Answer::Open | Answer::Closed => {
                let open = answer == Answer::Open;
                self.arrived = true;
                let word = if open { "open" } else { "closed (RST)" };
                self.end = match self.port {
                    Some(port) => format!("{address} has answered: port {port} is {word}"),
                    None => format!("{address} has answered"),
                };
                (address, Some(word.to_owned()))
            }
            Answer::Unsent(words) => {
                self.end = format!(
                    "the kernel does not send it: {words}; `route {address}` tells the way that there is"
                );
                hop.took_ms.pop();
                return;
            }
        };
        if !hop.from.contains(&from) {
            hop.from.push(from);
        }
        hop.says = hop.says.take().or(says);
    }
}

#[cfg(test)]
mod tests;
