//! What rules say of addresses and ports that are changed: whose address connections take, where ports lead, and which
//! connections have their segments limited. Each prints as words of a rule's line and parses back from them.
//! Must not: know chains or expressions.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::model::Protocol;

/// The address that connections take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lent {
    /// The one of the interface that the kernel picks.
    Picked,
    /// One of these, both ends included; a client has the same one every time.
    Range(IpAddr, IpAddr),
    /// This one, for every client whose number is `index` of `of`.
    Share { address: IpAddr, index: u32, of: u32 },
}

impl Lent {
    /// One rule for addresses that follow one another, else one for each. They are in order, and there is none twice.
    pub fn among(addresses: &[IpAddr]) -> Vec<Lent> {
        let (Some(first), Some(last)) = (addresses.first(), addresses.last()) else {
            return vec![Lent::Picked];
        };
        if addresses.windows(2).all(|pair| follows(pair[0], pair[1])) {
            return vec![Lent::Range(*first, *last)];
        }
        let of = addresses.len() as u32;
        let share = |(index, address): (u32, &IpAddr)| Lent::Share {
            address: *address,
            index,
            of,
        };
        (0..).zip(addresses).map(share).collect()
    }

    pub(super) fn from_words(words: &[&str]) -> Option<Lent> {
        match words {
            [] => Some(Lent::Picked),
            ["to", range] => {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let (first, last): (IpAddr, IpAddr) = (first.parse().ok()?, last.parse().ok()?);
                (first.is_ipv4() == last.is_ipv4() && first <= last).then_some(Lent::Range(first, last))
            }
            ["to", address, "share", index, "of", of] => {
                let (index, of) = (index.parse().ok()?, of.parse().ok()?);
                let address = address.parse().ok()?;
                (index < of).then_some(Lent::Share { address, index, of })
            }
            _ => None,
        }
    }
}

fn follows(before: IpAddr, after: IpAddr) -> bool {
    match (before, after) {
        (IpAddr::V4(before), IpAddr::V4(after)) => u32::from(before).checked_add(1) == Some(after.into()),
        (IpAddr::V6(before), IpAddr::V6(after)) => u128::from(before).checked_add(1) == Some(after.into()),
        _ => false,
    }
}

/// With a space before it, or nothing.
impl fmt::Display for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lent::Picked => Ok(()),
            Lent::Range(first, last) if first == last => write!(f, " to {first}"),
            Lent::Range(first, last) => write!(f, " to {first}-{last}"),
            Lent::Share { address, index, of } => write!(f, " to {address} share {index} of {of}"),
        }
    }
}

/// Ports of the box that lead to another machine, for one protocol and one network of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortForward {
    pub protocol: Protocol,
    pub address: IpAddr,
    pub first: u16,
    /// Included.
    pub last: u16,
    /// Of the same family as `address`, as is `from`.
    pub to: IpAddr,
    /// `None`: the one that the client asked for.
    pub to_port: Option<u16>,
    /// Who may; `None`: everybody.
    pub from: Option<IpNet>,
}

impl PortForward {
    pub(super) fn from_words(words: &[&str]) -> Option<PortForward> {
        let (words, from) = match words {
            [words @ .., "from", from] => (words, Some(from.parse::<IpNet>().ok()?)),
            _ => (words, None),
        };
        let &[protocol, listen, "to", to] = words else {
            return None;
        };
        let (listen, last) = match listen.rsplit_once('-') {
            Some((listen, last)) => (listen, Some(last.parse().ok()?)),
            None => (listen, None),
        };
        let listen: SocketAddr = listen.parse().ok()?;
        let (to, to_port) = match to.parse::<IpAddr>() {
            Ok(to) => (to, None),
            Err(_) => {
                let to: SocketAddr = to.parse().ok()?;
                (to.ip(), Some(to.port()))
            }
        };
        let forward = PortForward {
            protocol: Protocol::ALL.into_iter().find(|p| p.as_str() == protocol)?,
            address: listen.ip(),
            first: listen.port(),
            last: last.unwrap_or(listen.port()),
            to,
            to_port,
            from,
        };
        forward.is_sound().then_some(forward)
    }

    fn is_sound(&self) -> bool {
        let v4 = self.address.is_ipv4();
        let families = self.to.is_ipv4() == v4 && self.from.is_none_or(|from| from.addr().is_ipv4() == v4);
        let one_port = self.first == self.last;
        families && self.first <= self.last && (one_port || self.to_port.is_none())
    }
}

/// `tcp 192.0.2.1:80-90 to 172.16.0.11 from 10.0.0.0/8`.
impl fmt::Display for PortForward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}",
            self.protocol,
            SocketAddr::new(self.address, self.first)
        )?;
        if self.first < self.last {
            write!(f, "-{}", self.last)?;
        }
        match self.to_port {
            Some(port) => write!(f, " to {}", SocketAddr::new(self.to, port))?,
            None => write!(f, " to {}", self.to)?,
        }
        self.from.map_or(Ok(()), |from| write!(f, " from {from}"))
    }
}

/// Through an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    In,
    Out,
}

impl Way {
    pub const ALL: [Way; 2] = [Way::In, Way::Out];

    pub const fn as_str(self) -> &'static str {
        match self {
            Way::In => "in",
            Way::Out => "out",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub const ALL: [Family; 2] = [Family::V4, Family::V6];

    pub const fn as_str(self) -> &'static str {
        match self {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        }
    }

    pub fn is_of(self, address: IpAddr) -> bool {
        (self == Family::V4) == address.is_ipv4()
    }

    /// The shortest headers that stand before a TCP segment: RFC 791, RFC 8200, RFC 9293.
    pub const fn headers(self) -> u32 {
        match self {
            Family::V4 => 20 + 20,
            Family::V6 => 40 + 20,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_a_row_are_one_rule_and_others_share() {
        let lent = |addresses: &[&str]| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
            let lines = Lent::among(&addresses);
            lines.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(lent(&[]), [""]);
        assert_eq!(lent(&["192.0.2.7"]), [" to 192.0.2.7"]);
        assert_eq!(lent(&["192.0.2.255", "192.0.3.0"]), [" to 192.0.2.255-192.0.3.0"]);
        assert_eq!(
            lent(&["2001:db8::f", "2001:db8::10"]),
            [" to 2001:db8::f-2001:db8::10"]
        );
        let shares = [" to 192.0.2.7 share 0 of 2", " to 192.0.2.9 share 1 of 2"];
        assert_eq!(lent(&["192.0.2.7", "192.0.2.9"]), shares);
    }
}
