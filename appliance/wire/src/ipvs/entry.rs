//! What the typed views of services and servers share: address families, and the reasons why an entry makes no sense.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use super::nested::ADDRESS_BYTES;

/// AF_INET and AF_INET6, the two families that IPVS balances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    V4,
    V6,
}

/// The numbers of include/linux/socket.h.
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

impl Family {
    pub fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }

    pub fn number(self) -> u16 {
        match self {
            Family::V4 => AF_INET,
            Family::V6 => AF_INET6,
        }
    }

    pub(super) fn from_number(number: u16) -> Result<Family, EntryError> {
        match number {
            AF_INET => Ok(Family::V4),
            AF_INET6 => Ok(Family::V6),
            other => Err(EntryError::Family(other)),
        }
    }

    pub(super) fn address(self, bytes: [u8; ADDRESS_BYTES]) -> IpAddr {
        match self {
            Family::V4 => {
                let [a, b, c, d, ..] = bytes;
                Ipv4Addr::new(a, b, c, d).into()
            }
            Family::V6 => Ipv6Addr::from(bytes).into(),
        }
    }
}

pub(super) fn address_bytes(address: IpAddr) -> [u8; ADDRESS_BYTES] {
    let mut bytes = [0; ADDRESS_BYTES];
    match address {
        IpAddr::V4(v4) => bytes[..4].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => bytes = v6.octets(),
    }
    bytes
}

/// The attributes of one entry do not add up to a service or a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EntryError {
    #[error("without {0}")]
    Missing(&'static str),
    #[error("of address family {0}")]
    Family(u16),
}
