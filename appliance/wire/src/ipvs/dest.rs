//! A real server on the wire: IPVS_DEST_ATTR_* one by one, and the typed view of what they say together.

use std::net::IpAddr;

use netlink_packet_core::{
    DecodeError, DefaultNla, ErrorContext, Nla, NlaBuffer, Parseable, emit_u16, emit_u16_be, emit_u32,
    parse_u8, parse_u16, parse_u16_be, parse_u32,
};

use super::entry::{EntryError, Family, address_bytes};
use super::nested::{ADDRESS_BYTES, parse_address};
use super::stats::Stats;

mod listed;

pub use listed::{ListedDest, ListedServer};

const ADDR: u16 = 1;
const PORT: u16 = 2;
const FWD_METHOD: u16 = 3;
const WEIGHT: u16 = 4;
const U_THRESH: u16 = 5;
const L_THRESH: u16 = 6;
const ACTIVE_CONNS: u16 = 7;
const INACT_CONNS: u16 = 8;
const PERSIST_CONNS: u16 = 9;
const STATS: u16 = 10;
const ADDR_FAMILY: u16 = 11;
const STATS64: u16 = 12;
const TUN_TYPE: u16 = 13;
const TUN_PORT: u16 = 14;
const TUN_FLAGS: u16 = 15;

/// IP_VS_CONN_F_TUNNEL_TYPE_IPIP.
pub const TUNNEL_IPIP: u8 = 0;
/// IP_VS_CONN_F_TUNNEL_TYPE_GUE.
pub const TUNNEL_GUE: u8 = 1;
/// IP_VS_TUNNEL_ENCAP_FLAG_CSUM: without it the wrapping has no checksum (IP_VS_TUNNEL_ENCAP_FLAG_NOCSUM is 0).
pub const TUNNEL_F_CSUM: u16 = 1;

/// What the kernel looks a server of a service up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestKey {
    pub address: IpAddr,
    pub port: u16,
}

/// IP_VS_CONN_F_FWD_MASK: how packets reach a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardMethod {
    Masquerade,
    LocalNode,
    Tunnel,
    DirectRoute,
    Bypass,
    Other(u32),
}

/// How packets are wrapped; all zero for a server that is reached otherwise, and for IPIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TunnelSettings {
    /// IP_VS_CONN_F_TUNNEL_TYPE_*.
    pub kind: u8,
    /// Of UDP, for GUE.
    pub port: u16,
    /// IP_VS_TUNNEL_ENCAP_FLAG_*.
    pub flags: u16,
}

/// A server with the settings that NEW and SET carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dest {
    pub key: DestKey,
    pub forward: ForwardMethod,
    pub tunnel: TunnelSettings,
    /// An i32 that must not be negative in the kernel.
    pub weight: u32,
    /// Connections above which the server gets no more; 0: no limit.
    pub upper_threshold: u32,
    /// Connections below which it gets them again.
    pub lower_threshold: u32,
}

/// A server as a dump tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DestEntry {
    pub dest: Dest,
    pub active_connections: u32,
    pub inactive_connections: u32,
    pub persistent_connections: u32,
    pub stats: Stats,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DestAttribute {
    Address([u8; ADDRESS_BYTES]),
    Port(u16),
    ForwardMethod(u32),
    Weight(u32),
    UpperThreshold(u32),
    LowerThreshold(u32),
    ActiveConnections(u32),
    InactiveConnections(u32),
    PersistentConnections(u32),
    /// Nested counters, as they came; see [`Stats`].
    Stats(Vec<u8>),
    AddressFamily(u16),
    /// The same in 64 bits.
    Stats64(Vec<u8>),
    TunnelType(u8),
    TunnelPort(u16),
    TunnelFlags(u16),
    Other(DefaultNla),
}

impl From<u32> for ForwardMethod {
    fn from(number: u32) -> ForwardMethod {
        match number {
            0 => ForwardMethod::Masquerade,
            1 => ForwardMethod::LocalNode,
            2 => ForwardMethod::Tunnel,
            3 => ForwardMethod::DirectRoute,
            4 => ForwardMethod::Bypass,
            other => ForwardMethod::Other(other),
        }
    }
}

impl From<ForwardMethod> for u32 {
    fn from(method: ForwardMethod) -> u32 {
        match method {
            ForwardMethod::Masquerade => 0,
            ForwardMethod::LocalNode => 1,
            ForwardMethod::Tunnel => 2,
            ForwardMethod::DirectRoute => 3,
            ForwardMethod::Bypass => 4,
            ForwardMethod::Other(number) => number,
        }
    }
}

impl DestKey {
    /// The family is always sent: without it the kernel takes the service's, wrongly for a server of the other one.
    pub(super) fn attributes(&self) -> Vec<DestAttribute> {
        vec![
            DestAttribute::AddressFamily(Family::of(self.address).number()),
            DestAttribute::Address(address_bytes(self.address)),
            DestAttribute::Port(self.port),
        ]
    }
}

impl Dest {
    /// The tunnel's are always sent: what a SET does not say is zero afterwards.
    pub(super) fn attributes(&self) -> Vec<DestAttribute> {
        let mut attributes = self.key.attributes();
        attributes.extend([
            DestAttribute::ForwardMethod(self.forward.into()),
            DestAttribute::Weight(self.weight),
            DestAttribute::TunnelType(self.tunnel.kind),
            DestAttribute::TunnelPort(self.tunnel.port),
            DestAttribute::TunnelFlags(self.tunnel.flags),
            DestAttribute::UpperThreshold(self.upper_threshold),
            DestAttribute::LowerThreshold(self.lower_threshold),
        ]);
        attributes
    }
}

/// The attributes of one server, each looked up once.
#[derive(Default)]
struct Seen<'a> {
    family: Option<u16>,
    address: Option<[u8; ADDRESS_BYTES]>,
    port: Option<u16>,
    forward: Option<u32>,
    weight: Option<u32>,
    tunnel: TunnelSettings,
    upper_threshold: u32,
    lower_threshold: u32,
    active: u32,
    inactive: u32,
    persistent: u32,
    stats: Option<&'a [u8]>,
    stats64: Option<&'a [u8]>,
}

impl<'a> Seen<'a> {
    fn new(attributes: &'a [DestAttribute]) -> Seen<'a> {
        let mut seen = Seen::default();
        for attribute in attributes {
            match attribute {
                DestAttribute::AddressFamily(value) => seen.family = Some(*value),
                DestAttribute::Address(value) => seen.address = Some(*value),
                DestAttribute::Port(value) => seen.port = Some(*value),
                DestAttribute::ForwardMethod(value) => seen.forward = Some(*value),
                DestAttribute::Weight(value) => seen.weight = Some(*value),
                DestAttribute::TunnelType(value) => seen.tunnel.kind = *value,
                DestAttribute::TunnelPort(value) => seen.tunnel.port = *value,
                DestAttribute::TunnelFlags(value) => seen.tunnel.flags = *value,
                DestAttribute::UpperThreshold(value) => seen.upper_threshold = *value,
                DestAttribute::LowerThreshold(value) => seen.lower_threshold = *value,
                DestAttribute::ActiveConnections(value) => seen.active = *value,
                DestAttribute::InactiveConnections(value) => seen.inactive = *value,
                DestAttribute::PersistentConnections(value) => seen.persistent = *value,
                DestAttribute::Stats(value) => seen.stats = Some(value),
                DestAttribute::Stats64(value) => seen.stats64 = Some(value),
                DestAttribute::Other(_) => {}
            }
        }
        seen
    }

    fn key(&self) -> Result<DestKey, EntryError> {
        let family = self
            .family
            .ok_or(EntryError::Missing("IPVS_DEST_ATTR_ADDR_FAMILY"))?;
        let address = self.address.ok_or(EntryError::Missing("IPVS_DEST_ATTR_ADDR"))?;
        Ok(DestKey {
            address: Family::from_number(family)?.address(address),
            port: self.port.ok_or(EntryError::Missing("IPVS_DEST_ATTR_PORT"))?,
        })
    }
}

impl DestEntry {
    /// Thresholds and counters that a dump leaves out are zero.
    pub fn from_attributes(attributes: &[DestAttribute]) -> Result<DestEntry, EntryError> {
        Seen::new(attributes).entry()
    }
}

impl Seen<'_> {
    fn dest(&self) -> Result<Dest, EntryError> {
        let forward = self
            .forward
            .ok_or(EntryError::Missing("IPVS_DEST_ATTR_FWD_METHOD"))?;
        Ok(Dest {
            key: self.key()?,
            forward: forward.into(),
            tunnel: self.tunnel,
            weight: self.weight.ok_or(EntryError::Missing("IPVS_DEST_ATTR_WEIGHT"))?,
            upper_threshold: self.upper_threshold,
            lower_threshold: self.lower_threshold,
        })
    }

    fn entry(&self) -> Result<DestEntry, EntryError> {
        let seen = self;
        let stats = seen.stats64.or(seen.stats).unwrap_or_default();
        Ok(DestEntry {
            dest: seen.dest()?,
            active_connections: seen.active,
            inactive_connections: seen.inactive,
            persistent_connections: seen.persistent,
            stats: Stats::from_nested(stats),
        })
    }
}

impl Nla for DestAttribute {
    fn value_len(&self) -> usize {
        match self {
            DestAttribute::Port(_)
            | DestAttribute::AddressFamily(_)
            | DestAttribute::TunnelPort(_)
            | DestAttribute::TunnelFlags(_) => size_of::<u16>(),
            DestAttribute::TunnelType(_) => size_of::<u8>(),
            DestAttribute::Address(bytes) => bytes.len(),
            DestAttribute::Stats(nested) | DestAttribute::Stats64(nested) => nested.len(),
            DestAttribute::Other(other) => other.value_len(),
            _ => size_of::<u32>(),
        }
    }

    fn kind(&self) -> u16 {
        match self {
            DestAttribute::Address(_) => ADDR,
            DestAttribute::Port(_) => PORT,
            DestAttribute::ForwardMethod(_) => FWD_METHOD,
            DestAttribute::Weight(_) => WEIGHT,
            DestAttribute::UpperThreshold(_) => U_THRESH,
            DestAttribute::LowerThreshold(_) => L_THRESH,
            DestAttribute::ActiveConnections(_) => ACTIVE_CONNS,
            DestAttribute::InactiveConnections(_) => INACT_CONNS,
            DestAttribute::PersistentConnections(_) => PERSIST_CONNS,
            DestAttribute::Stats(_) => STATS,
            DestAttribute::AddressFamily(_) => ADDR_FAMILY,
            DestAttribute::Stats64(_) => STATS64,
            DestAttribute::TunnelType(_) => TUN_TYPE,
            DestAttribute::TunnelPort(_) => TUN_PORT,
            DestAttribute::TunnelFlags(_) => TUN_FLAGS,
            DestAttribute::Other(other) => other.kind(),
        }
    }

    fn emit_value(&self, buffer: &mut [u8]) {
        match self {
            DestAttribute::TunnelType(value) => buffer[0] = *value,
            DestAttribute::AddressFamily(value) | DestAttribute::TunnelFlags(value) => {
                emit_u16(buffer, *value).expect("value_len is the size of a u16");
            }
            DestAttribute::Port(value) | DestAttribute::TunnelPort(value) => {
                emit_u16_be(buffer, *value).expect("value_len is the size of a u16");
            }
            DestAttribute::ForwardMethod(value)
            | DestAttribute::Weight(value)
            | DestAttribute::UpperThreshold(value)
            | DestAttribute::LowerThreshold(value)
            | DestAttribute::ActiveConnections(value)
            | DestAttribute::InactiveConnections(value)
            | DestAttribute::PersistentConnections(value) => {
                emit_u32(buffer, *value).expect("value_len is the size of a u32");
            }
            DestAttribute::Address(bytes) => buffer.copy_from_slice(bytes),
            DestAttribute::Stats(nested) | DestAttribute::Stats64(nested) => buffer.copy_from_slice(nested),
            DestAttribute::Other(other) => other.emit_value(buffer),
        }
    }
}

impl<'a> Parseable<NlaBuffer<&'a [u8]>> for DestAttribute {
    fn parse(buffer: &NlaBuffer<&'a [u8]>) -> Result<Self, DecodeError> {
        let value = buffer.value();
        let attribute = match buffer.kind() {
            ADDR => parse_address(value).map(DestAttribute::Address),
            PORT => parse_u16_be(value).map(DestAttribute::Port),
            FWD_METHOD => parse_u32(value).map(DestAttribute::ForwardMethod),
            WEIGHT => parse_u32(value).map(DestAttribute::Weight),
            U_THRESH => parse_u32(value).map(DestAttribute::UpperThreshold),
            L_THRESH => parse_u32(value).map(DestAttribute::LowerThreshold),
            ACTIVE_CONNS => parse_u32(value).map(DestAttribute::ActiveConnections),
            INACT_CONNS => parse_u32(value).map(DestAttribute::InactiveConnections),
            PERSIST_CONNS => parse_u32(value).map(DestAttribute::PersistentConnections),
            STATS => Ok(DestAttribute::Stats(value.to_vec())),
            ADDR_FAMILY => parse_u16(value).map(DestAttribute::AddressFamily),
            STATS64 => Ok(DestAttribute::Stats64(value.to_vec())),
            TUN_TYPE => parse_u8(value).map(DestAttribute::TunnelType),
            TUN_PORT => parse_u16_be(value).map(DestAttribute::TunnelPort),
            TUN_FLAGS => parse_u16(value).map(DestAttribute::TunnelFlags),
            _ => DefaultNla::parse(buffer).map(DestAttribute::Other),
        };
        attribute.with_context(|| format!("IPVS_DEST_ATTR {}", buffer.kind()))
    }
}
