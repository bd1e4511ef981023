//! The sets `services4` and `services6`: what a service is as a set's key. The fields of a concatenation stand one
//! after the other, each padded with zeros to a register (4 bytes): address . protocol . port.

use std::ffi::CStr;
use std::net::IpAddr;

use lb_core::model::{Endpoint, Protocol};
use nftnl::set::SetKey;

/// nft's data types (enum datatypes of its datatype.h), which it reads from a set's key type to print elements.
pub(super) const IPV4_ADDRESS: u32 = 7;
pub(super) const IPV6_ADDRESS: u32 = 8;
const INET_PROTOCOL: u32 = 12;
pub(super) const INET_SERVICE: u32 = 13;
/// nft gives each field of a concatenation 6 bits (TYPE_BITS).
pub(super) const TYPE_BITS: u32 = 6;

pub(super) const fn key_type(address: u32) -> u32 {
    ((address << TYPE_BITS) | INET_PROTOCOL) << TYPE_BITS | INET_SERVICE
}

/// One of the two sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServiceSet {
    V4,
    V6,
}

impl ServiceSet {
    pub(super) const ALL: [ServiceSet; 2] = [ServiceSet::V4, ServiceSet::V6];

    pub(super) fn name(self) -> &'static str {
        match self {
            ServiceSet::V4 => "services4",
            ServiceSet::V6 => "services6",
        }
    }

    pub(super) fn c_name(self) -> &'static CStr {
        match self {
            ServiceSet::V4 => c"services4",
            ServiceSet::V6 => c"services6",
        }
    }

    /// NFTA_SET_KEY_TYPE and NFTA_SET_KEY_LEN.
    pub(super) fn key(self) -> (u32, u32) {
        match self {
            ServiceSet::V4 => (Key4::TYPE, Key4::LEN),
            ServiceSet::V6 => (Key6::TYPE, Key6::LEN),
        }
    }

    /// The service that a key means; `None` for what a configuration cannot hold, such as another protocol.
    pub(super) fn service(self, key: &[u8]) -> Option<Endpoint> {
        match self {
            ServiceSet::V4 => endpoint4(key),
            ServiceSet::V6 => endpoint6(key),
        }
    }
}

pub(super) fn endpoint4(key: &[u8]) -> Option<Endpoint> {
    let (address, rest) = key.split_first_chunk::<4>()?;
    endpoint((*address).into(), rest)
}

pub(super) fn endpoint6(key: &[u8]) -> Option<Endpoint> {
    let (address, rest) = key.split_first_chunk::<16>()?;
    endpoint((*address).into(), rest)
}

fn endpoint(address: IpAddr, rest: &[u8]) -> Option<Endpoint> {
    let &[protocol, 0, 0, 0, high, low, 0, 0] = rest else {
        return None;
    };
    Some(Endpoint {
        address,
        port: u16::from_be_bytes([high, low]),
        protocol: Protocol::ALL.into_iter().find(|p| p.number() == protocol)?,
    })
}

/// A key of `services4`.
pub(super) struct Key4([u8; 4], Protocol, u16);
/// A key of `services6`.
pub(super) struct Key6([u8; 16], Protocol, u16);

pub(super) enum Key {
    V4(Key4),
    V6(Key6),
}

impl From<Endpoint> for Key {
    fn from(service: Endpoint) -> Key {
        match service.address {
            IpAddr::V4(a) => Key::V4(Key4(a.octets(), service.protocol, service.port)),
            IpAddr::V6(a) => Key::V6(Key6(a.octets(), service.protocol, service.port)),
        }
    }
}

impl SetKey for Key4 {
    const TYPE: u32 = key_type(IPV4_ADDRESS);
    const LEN: u32 = 12;

    fn data(&self) -> Box<[u8]> {
        concatenation(&self.0, self.1, self.2)
    }
}

impl SetKey for Key6 {
    const TYPE: u32 = key_type(IPV6_ADDRESS);
    const LEN: u32 = 24;

    fn data(&self) -> Box<[u8]> {
        concatenation(&self.0, self.1, self.2)
    }
}

pub(super) fn concatenation(address: &[u8], protocol: Protocol, port: u16) -> Box<[u8]> {
    let [high, low] = port.to_be_bytes();
    let rest = [protocol.number(), 0, 0, 0, high, low, 0, 0];
    [address, &rest].concat().into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_as_the_service() {
        for (text, set) in [
            ("192.0.2.1:443/tcp", ServiceSet::V4),
            ("[2001:db8::1]:6443/tcp", ServiceSet::V6),
        ] {
            let service: Endpoint = text.parse().unwrap();
            let (data, length) = match Key::from(service) {
                Key::V4(key) => (key.data(), Key4::LEN),
                Key::V6(key) => (key.data(), Key6::LEN),
            };
            assert_eq!(data.len(), length as usize);
            assert_eq!(set.service(&data), Some(service));
        }
    }

    #[test]
    fn a_key_that_is_no_service_is_none() {
        let dccp = [192, 0, 2, 1, 33, 0, 0, 0, 0, 53, 0, 0];
        let padding = [192, 0, 2, 1, 6, 0, 0, 0, 0, 53, 0, 9];
        for key in [&dccp[..], &padding, &dccp[..8], &[]] {
            assert_eq!(ServiceSet::V4.service(key), None);
            assert_eq!(ServiceSet::V6.service(key), None);
        }
    }
}
