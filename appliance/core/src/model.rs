//! The vocabulary shared by every room: keys, weights, names. Parsed once, cannot be wrong afterwards.
//! Must not: know the configuration file's shape, the kernel's encodings, or how anything is shown beyond `Display`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::health::Share;

mod forward;
mod keys;

pub use forward::{Forward, Gue, Tunnel};
pub use keys::{Endpoint, KeyError, MarkKey, PortRange, RealKey, ServerKey, VirtualKey};

/// The transport protocols that a virtual server can balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    pub const ALL: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

    pub const fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }

    /// The IANA protocol number.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The kernel's IPVS schedulers (net/netfilter/ipvs/ip_vs_*.c), by the name that the kernel knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheduler {
    Rr,
    Wrr,
    Lc,
    Wlc,
    Fo,
    Ovf,
    Lblc,
    Lblcr,
    Dh,
    Sh,
    Mh,
    Sed,
    Nq,
    Twos,
}

impl Scheduler {
    pub const ALL: [Scheduler; 14] = [
        Scheduler::Rr,
        Scheduler::Wrr,
        Scheduler::Lc,
        Scheduler::Wlc,
        Scheduler::Fo,
        Scheduler::Ovf,
        Scheduler::Lblc,
        Scheduler::Lblcr,
        Scheduler::Dh,
        Scheduler::Sh,
        Scheduler::Mh,
        Scheduler::Sed,
        Scheduler::Nq,
        Scheduler::Twos,
    ];

    /// In the order of [`Self::ALL`].
    pub const WORDS: [&'static str; 14] = {
        let mut words = [""; 14];
        let mut at = 0;
        while at < words.len() {
            words[at] = Scheduler::ALL[at].as_str();
            at += 1;
        }
        words
    };

    pub const fn as_str(self) -> &'static str {
        match self {
            Scheduler::Rr => "rr",
            Scheduler::Wrr => "wrr",
            Scheduler::Lc => "lc",
            Scheduler::Wlc => "wlc",
            Scheduler::Fo => "fo",
            Scheduler::Ovf => "ovf",
            Scheduler::Lblc => "lblc",
            Scheduler::Lblcr => "lblcr",
            Scheduler::Dh => "dh",
            Scheduler::Sh => "sh",
            Scheduler::Mh => "mh",
            Scheduler::Sed => "sed",
            Scheduler::Nq => "nq",
            Scheduler::Twos => "twos",
        }
    }

    /// The scheduler with this kernel name, if there is one.
    pub fn by_name(name: &str) -> Option<Scheduler> {
        Scheduler::ALL.into_iter().find(|s| s.as_str() == name)
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A client's new connections go to the server that it had, until it has had none for this long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Persistence {
    pub timeout_s: u32,
    /// Clients whose addresses agree in so many bits are one client.
    pub prefix: u8,
}

/// `300s/32`
impl fmt::Display for Persistence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s/{}", self.timeout_s, self.prefix)
    }
}

/// How a virtual server chooses servers: all that IPVS keeps of it beside its key and its servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VirtualSettings {
    pub scheduler: Scheduler,
    pub persistence: Option<Persistence>,
    /// Every datagram is scheduled on its own, and none leaves an entry (UDP only).
    pub one_packet: bool,
}

impl From<Scheduler> for VirtualSettings {
    fn from(scheduler: Scheduler) -> VirtualSettings {
        VirtualSettings {
            scheduler,
            persistence: None,
            one_packet: false,
        }
    }
}

/// `scheduler rr persistence 300s/32 one-packet`
impl fmt::Display for VirtualSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scheduler {}", self.scheduler)?;
        if let Some(persistence) = &self.persistence {
            write!(f, " persistence {persistence}")?;
        }
        if self.one_packet {
            f.write_str(" one-packet")?;
        }
        Ok(())
    }
}

/// A real server's share of new connections; 0 takes no new ones and keeps the old ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Weight(u32);

impl Weight {
    /// The kernel takes any non-negative i32; above this, its schedulers' products of weight and connections overflow.
    pub const MAX: u32 = 65_535;
    pub const ZERO: Weight = Weight(0);
    pub const ONE: Weight = Weight(1);

    pub fn new(value: u32) -> Option<Weight> {
        (value <= Weight::MAX).then_some(Weight(value))
    }

    pub const fn value(self) -> u32 {
        self.0
    }

    /// So many times this weight, as far as weights go.
    pub fn scaled(self, factor: u32) -> Weight {
        Weight(self.0.saturating_mul(factor).min(Weight::MAX))
    }

    /// This share of it, as far as weights go. A small share of something is not nothing.
    pub fn share(self, share: Share) -> Weight {
        let exact = u64::from(self.0) * u64::from(share.percent());
        Weight(
            u32::try_from(exact.div_ceil(100))
                .unwrap_or(u32::MAX)
                .min(Weight::MAX),
        )
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many connections a server may have, in every state, before it gets no more (IPVS_DEST_ATTR_U_THRESH, L_THRESH).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limit {
    /// 0: any number.
    pub most: u32,
    /// It gets new ones again below so many. 0: three quarters of `most` (ip_vs_ctl.h, ip_vs_dest_conn_overhead; ip_vs_conn.c).
    pub resume: u32,
}

/// A network interface's name as the kernel allows it (net/core/dev.c, dev_valid_name): 1 to 15 bytes, no `/`, `:` or space.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct IfName(String);

impl IfName {
    /// IFNAMSIZ less the terminating NUL.
    pub const MAX_LEN: usize = 15;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IfName {
    type Err = IfNameError;
    fn from_str(text: &str) -> Result<Self, IfNameError> {
        let length_ok = (1..=IfName::MAX_LEN).contains(&text.len());
        let bytes_ok = text
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'/' && b != b':' && b != b'"' && b != b'%');
        if length_ok && bytes_ok && text != "." && text != ".." {
            Ok(IfName(text.to_owned()))
        } else {
            Err(IfNameError)
        }
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an interface name has 1 to 15 printable characters, without space, `/`, `:`, `%` or quotes")]
pub struct IfNameError;

/// An Ethernet address, written `52:54:00:00:00:01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl FromStr for MacAddress {
    type Err = MacAddressError;
    fn from_str(text: &str) -> Result<Self, MacAddressError> {
        let mut bytes = [0u8; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2).ok_or(MacAddressError)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| MacAddressError)?;
        }
        if parts.next().is_some() || bytes[0] & 1 == 1 || bytes == [0; 6] {
            return Err(MacAddressError);
        }
        Ok(MacAddress(bytes))
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a MAC address is six pairs of hex digits joined by `:`, and not a group address")]
pub struct MacAddressError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names_are_the_kernels() {
        for good in ["eth0", "enp0s31f6", "a", "bond0.100", "abcdefghijklmno"] {
            assert_eq!(good.parse::<IfName>().map(|n| n.to_string()), Ok(good.to_owned()));
        }
        for bad in [
            "",
            ".",
            "..",
            "eth 0",
            "a/b",
            "eth0:1",
            "abcdefghijklmnop",
            "ethé",
        ] {
            assert_eq!(bad.parse::<IfName>(), Err(IfNameError), "{bad}");
        }
    }

    #[test]
    fn mac_addresses_are_six_octets_of_one_station() {
        assert_eq!(
            "52:54:00:00:00:0A".parse::<MacAddress>().unwrap().to_string(),
            "52:54:00:00:00:0a"
        );
        for bad in [
            "",
            "52:54:00:00:00",
            "52:54:00:00:00:01:02",
            "5254.0000.0001",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
        ] {
            assert!(bad.parse::<MacAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_scheduler_is_found_by_its_name() {
        for s in Scheduler::ALL {
            assert_eq!(Scheduler::by_name(s.as_str()), Some(s));
        }
        assert_eq!(Scheduler::by_name("RR"), None);
    }
}
