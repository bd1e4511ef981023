//! What names a service and a server: in IPVS, in the rules, in plans and logs. Each prints as one word or two, and a
//! service's key parses back from them. Must not: know where a mark comes from (`config` derives it from a name).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

use super::Protocol;

/// One address, port and protocol that clients connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    pub address: IpAddr,
    pub port: u16,
    pub protocol: Protocol,
}

/// `192.168.0.1:30080/tcp`, `[2001:db8::1]:443/tcp`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}",
            SocketAddr::new(self.address, self.port),
            self.protocol
        )
    }
}

impl FromStr for Endpoint {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bad = || KeyError(text.to_owned());
        let (socket, protocol) = text.rsplit_once('/').ok_or_else(bad)?;
        let socket: SocketAddr = socket.parse().map_err(|_| bad())?;
        let protocol = Protocol::ALL
            .into_iter()
            .find(|p| p.as_str() == protocol)
            .ok_or_else(bad)?;
        Ok(Endpoint {
            address: socket.ip(),
            port: socket.port(),
            protocol,
        })
    }
}

/// Ports of one address and protocol, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    pub address: IpAddr,
    pub protocol: Protocol,
    pub first: u16,
    pub last: u16,
}

impl PortRange {
    /// `192.168.0.1:30000-32767`: as lb.toml has it.
    pub fn ports(&self) -> String {
        let first = SocketAddr::new(self.address, self.first);
        match self.first == self.last {
            true => first.to_string(),
            false => format!("{first}-{}", self.last),
        }
    }
}

/// `192.168.0.1:30000-32767/tcp`.
impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ports(), self.protocol)
    }
}

impl From<Endpoint> for PortRange {
    fn from(endpoint: Endpoint) -> PortRange {
        PortRange {
            address: endpoint.address,
            protocol: endpoint.protocol,
            first: endpoint.port,
            last: endpoint.port,
        }
    }
}

/// The mark that the rules put on packets for a service of several ports or protocols. IPVS keeps such services apart by
/// address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MarkKey {
    pub mark: u32,
    pub ipv6: bool,
}

impl MarkKey {
    /// Ours are those with this high byte; others are left for other uses.
    pub const RANGE: u32 = 0x4c00_0000;
    /// The bits that tell whether a mark is one of ours.
    pub const RANGE_MASK: u32 = 0xff00_0000;

    pub fn is_ours(self) -> bool {
        self.mark & MarkKey::RANGE_MASK == MarkKey::RANGE
    }
}

/// `fwmark 0x4c12ab34/ipv4`.
impl fmt::Display for MarkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.ipv6 { "ipv6" } else { "ipv4" };
        write!(f, "fwmark {:#010x}/{family}", self.mark)
    }
}

/// Identity of a virtual server in IPVS: what the kernel looks up for the first packet of each connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VirtualKey {
    Endpoint(Endpoint),
    Mark(MarkKey),
}

impl VirtualKey {
    pub fn is_ipv6(&self) -> bool {
        match self {
            VirtualKey::Endpoint(endpoint) => endpoint.address.is_ipv6(),
            VirtualKey::Mark(mark) => mark.ipv6,
        }
    }
}

impl From<Endpoint> for VirtualKey {
    fn from(endpoint: Endpoint) -> VirtualKey {
        VirtualKey::Endpoint(endpoint)
    }
}

impl From<MarkKey> for VirtualKey {
    fn from(mark: MarkKey) -> VirtualKey {
        VirtualKey::Mark(mark)
    }
}

impl fmt::Display for VirtualKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VirtualKey::Endpoint(endpoint) => endpoint.fmt(f),
            VirtualKey::Mark(mark) => mark.fmt(f),
        }
    }
}

impl FromStr for VirtualKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let Some(mark) = text.strip_prefix("fwmark 0x") else {
            return text.parse().map(VirtualKey::Endpoint);
        };
        let bad = || KeyError(text.to_owned());
        let (mark, family) = mark.split_once('/').ok_or_else(bad)?;
        let mark = u32::from_str_radix(mark, 16).map_err(|_| bad())?;
        let ipv6 = match family {
            "ipv4" => false,
            "ipv6" => true,
            _ => return Err(bad()),
        };
        Ok(VirtualKey::Mark(MarkKey { mark, ipv6 }))
    }
}

/// A key's text form did not parse.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not ADDRESS:PORT/PROTOCOL, nor fwmark 0xMARK/ipv4")]
pub struct KeyError(String);

/// Identity of a real server within its virtual server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RealKey {
    pub address: IpAddr,
    /// 0: the one that the packet has (a service of several ports).
    pub port: u16,
}

impl RealKey {
    pub fn socket(self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

/// `172.16.0.11:30080`; `172.16.0.11` for a server that keeps the packet's port.
impl fmt::Display for RealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            0 => self.address.fmt(f),
            _ => self.socket().fmt(f),
        }
    }
}

/// One server of one service: what a health machine belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerKey {
    pub service: VirtualKey,
    pub server: RealKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_print_and_parse_back() {
        for text in [
            "192.168.0.1:30080/tcp",
            "[2001:db8::1]:443/tcp",
            "fwmark 0x4c00000a/ipv4",
            "fwmark 0x4cffffff/ipv6",
        ] {
            assert_eq!(text.parse::<VirtualKey>().unwrap().to_string(), text);
        }
        for text in [
            "192.168.0.1:30080",
            "192.168.0.1/tcp",
            "a:1/tcp",
            "1.2.3.4:5/icmp",
            "1.2.3.4:70000/tcp",
            "fwmark 0x4c00000a",
            "fwmark 0x4c00000a/ipx",
            "fwmark 0xx/ipv4",
        ] {
            assert!(text.parse::<VirtualKey>().is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_and_servers_print_as_the_file_has_them() {
        let range = |address: &str, first, last| PortRange {
            address: address.parse().unwrap(),
            protocol: Protocol::Udp,
            first,
            last,
        };
        assert_eq!(range("192.0.2.1", 53, 53).to_string(), "192.0.2.1:53/udp");
        assert_eq!(range("2001:db8::1", 1, 9).ports(), "[2001:db8::1]:1-9");
        let server = |address: &str, port| RealKey {
            address: address.parse().unwrap(),
            port,
        };
        assert_eq!(server("2001:db8::1", 0).to_string(), "2001:db8::1");
        assert_eq!(server("2001:db8::1", 80).to_string(), "[2001:db8::1]:80");
    }

    #[test]
    fn a_mark_of_ours_is_told_by_its_high_byte() {
        let ours = |mark| MarkKey { mark, ipv6: false }.is_ours();
        assert!(ours(0x4c00_0000) && ours(0x4cff_ffff));
        assert!(!ours(0) && !ours(0x4d00_0000) && !ours(0x14c0_0000));
    }
}
