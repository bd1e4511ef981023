//! A virtual server on the wire: IPVS_SVC_ATTR_* one by one, and the typed view of what they say together.
//! Identity, settings and counters are three types, so that counters cannot slip into a comparison.

use std::borrow::Cow;
use std::net::IpAddr;

use netlink_packet_core::{
    DecodeError, DefaultNla, ErrorContext, Nla, NlaBuffer, Parseable, emit_u16, emit_u16_be, emit_u32,
    parse_u16, parse_u16_be, parse_u32,
};

use super::entry::{EntryError, Family, address_bytes};
use super::nested::{ADDRESS_BYTES, emit_text, parse_address, parse_array, parse_text, text_len};
use super::stats::Stats;

mod listed;

pub use listed::ListedService;

/// IP_VS_SVC_F_*: persistent port, in the kernel's table (set by the kernel itself), one-packet scheduling.
pub const SVC_F_PERSISTENT: u32 = 0x1;
pub const SVC_F_HASHED: u32 = 0x2;
pub const SVC_F_ONEPACKET: u32 = 0x4;

const AF: u16 = 1;
const PROTOCOL: u16 = 2;
const ADDR: u16 = 3;
const PORT: u16 = 4;
const FWMARK: u16 = 5;
const SCHED_NAME: u16 = 6;
const FLAGS: u16 = 7;
const TIMEOUT: u16 = 8;
const NETMASK: u16 = 9;
const STATS: u16 = 10;
const PE_NAME: u16 = 11;
const STATS64: u16 = 12;

/// What the kernel looks a service up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceKey {
    Address {
        /// IANA number.
        protocol: u16,
        address: IpAddr,
        port: u16,
    },
    Fwmark {
        family: Family,
        mark: u32,
    },
}

/// A service with all settings that NEW and SET carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub key: ServiceKey,
    /// `none` for a service without a scheduler.
    pub scheduler: String,
    /// SVC_F_*.
    pub flags: u32,
    /// Persistence, in seconds.
    pub timeout_s: u32,
    /// Which clients persistence takes for one: IPv4 a netmask in network order, IPv6 a prefix length in host order.
    pub netmask: [u8; 4],
    /// The persistence engine.
    pub pe_name: Option<String>,
}

/// A service as a dump tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceEntry {
    pub service: Service,
    pub stats: Stats,
}

/// struct ip_vs_flags: bits outside `mask` keep their value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceFlags {
    pub flags: u32,
    pub mask: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceAttribute {
    AddressFamily(u16),
    Protocol(u16),
    Address([u8; ADDRESS_BYTES]),
    Port(u16),
    Fwmark(u32),
    SchedulerName(String),
    Flags(ServiceFlags),
    Timeout(u32),
    Netmask([u8; 4]),
    /// Nested counters, as they came; see [`Stats`].
    Stats(Vec<u8>),
    PeName(String),
    /// The same in 64 bits.
    Stats64(Vec<u8>),
    Other(DefaultNla),
}

impl ServiceKey {
    pub fn family(&self) -> Family {
        match self {
            ServiceKey::Address { address, .. } => Family::of(*address),
            ServiceKey::Fwmark { family, .. } => *family,
        }
    }

    pub(super) fn attributes(&self) -> Vec<ServiceAttribute> {
        let family = ServiceAttribute::AddressFamily(self.family().number());
        match self {
            ServiceKey::Address {
                protocol,
                address,
                port,
            } => vec![
                family,
                ServiceAttribute::Protocol(*protocol),
                ServiceAttribute::Address(address_bytes(*address)),
                ServiceAttribute::Port(*port),
            ],
            ServiceKey::Fwmark { mark, .. } => vec![family, ServiceAttribute::Fwmark(*mark)],
        }
    }
}

impl Service {
    /// A service without persistence: the netmask that leaves every client on its own.
    pub fn plain(key: ServiceKey, scheduler: impl Into<String>) -> Service {
        Service {
            key,
            scheduler: scheduler.into(),
            flags: 0,
            timeout_s: 0,
            netmask: Service::host_netmask(key.family()),
            pe_name: None,
        }
    }

    /// 255.255.255.255, or a prefix length of 128.
    pub fn host_netmask(family: Family) -> [u8; 4] {
        match family {
            Family::V4 => [255; 4],
            Family::V6 => 128_u32.to_ne_bytes(),
        }
    }

    pub(super) fn attributes(&self) -> Vec<ServiceAttribute> {
        let flags = ServiceFlags {
            flags: self.flags,
            mask: u32::MAX,
        };
        let mut attributes = self.key.attributes();
        attributes.extend([
            ServiceAttribute::SchedulerName(self.scheduler.clone()),
            ServiceAttribute::Flags(flags),
            ServiceAttribute::Timeout(self.timeout_s),
            ServiceAttribute::Netmask(self.netmask),
        ]);
        attributes.extend(self.pe_name.clone().map(ServiceAttribute::PeName));
        attributes
    }
}

/// The attributes of one service, each looked up once.
#[derive(Default)]
struct Seen<'a> {
    family: Option<u16>,
    protocol: Option<u16>,
    address: Option<[u8; ADDRESS_BYTES]>,
    port: Option<u16>,
    fwmark: Option<u32>,
    scheduler: Option<Cow<'a, str>>,
    flags: Option<ServiceFlags>,
    timeout: Option<u32>,
    netmask: Option<[u8; 4]>,
    pe_name: Option<Cow<'a, str>>,
    stats: Option<&'a [u8]>,
    stats64: Option<&'a [u8]>,
}

impl<'a> Seen<'a> {
    fn new(attributes: &'a [ServiceAttribute]) -> Seen<'a> {
        let mut seen = Seen::default();
        for attribute in attributes {
            match attribute {
                ServiceAttribute::AddressFamily(value) => seen.family = Some(*value),
                ServiceAttribute::Protocol(value) => seen.protocol = Some(*value),
                ServiceAttribute::Address(value) => seen.address = Some(*value),
                ServiceAttribute::Port(value) => seen.port = Some(*value),
                ServiceAttribute::Fwmark(value) => seen.fwmark = Some(*value),
                ServiceAttribute::SchedulerName(value) => seen.scheduler = Some(Cow::Borrowed(value)),
                ServiceAttribute::Flags(value) => seen.flags = Some(*value),
                ServiceAttribute::Timeout(value) => seen.timeout = Some(*value),
                ServiceAttribute::Netmask(value) => seen.netmask = Some(*value),
                ServiceAttribute::PeName(value) => seen.pe_name = Some(Cow::Borrowed(value)),
                ServiceAttribute::Stats(value) => seen.stats = Some(value),
                ServiceAttribute::Stats64(value) => seen.stats64 = Some(value),
                ServiceAttribute::Other(_) => {}
            }
        }
        seen
    }

    fn key(&self) -> Result<ServiceKey, EntryError> {
        let family = self.family.ok_or(EntryError::Missing("IPVS_SVC_ATTR_AF"))?;
        let family = Family::from_number(family)?;
        if let Some(mark) = self.fwmark {
            return Ok(ServiceKey::Fwmark { family, mark });
        }
        let address = self.address.ok_or(EntryError::Missing("IPVS_SVC_ATTR_ADDR"))?;
        Ok(ServiceKey::Address {
            protocol: self
                .protocol
                .ok_or(EntryError::Missing("IPVS_SVC_ATTR_PROTOCOL"))?,
            address: family.address(address),
            port: self.port.ok_or(EntryError::Missing("IPVS_SVC_ATTR_PORT"))?,
        })
    }
}

impl ServiceEntry {
    /// Settings that a dump leaves out count as not set.
    pub fn from_attributes(attributes: &[ServiceAttribute]) -> Result<ServiceEntry, EntryError> {
        let seen = Seen::new(attributes);
        let stats = Stats::from_nested(seen.stats64.or(seen.stats).unwrap_or_default());
        let service = seen.service()?;
        Ok(ServiceEntry { service, stats })
    }
}

impl Seen<'_> {
    fn service(self) -> Result<Service, EntryError> {
        let key = self.key()?;
        let scheduler = self
            .scheduler
            .ok_or(EntryError::Missing("IPVS_SVC_ATTR_SCHED_NAME"))?;
        Ok(Service {
            key,
            scheduler: scheduler.into_owned(),
            flags: self.flags.map_or(0, |f| f.flags & f.mask),
            timeout_s: self.timeout.unwrap_or(0),
            netmask: self
                .netmask
                .unwrap_or_else(|| Service::host_netmask(key.family())),
            pe_name: self.pe_name.map(Cow::into_owned),
        })
    }
}

impl Nla for ServiceAttribute {
    fn value_len(&self) -> usize {
        match self {
            ServiceAttribute::AddressFamily(_)
            | ServiceAttribute::Protocol(_)
            | ServiceAttribute::Port(_) => size_of::<u16>(),
            ServiceAttribute::Address(bytes) => bytes.len(),
            ServiceAttribute::Fwmark(_) | ServiceAttribute::Timeout(_) | ServiceAttribute::Netmask(_) => {
                size_of::<u32>()
            }
            ServiceAttribute::Flags(_) => 2 * size_of::<u32>(),
            ServiceAttribute::SchedulerName(text) | ServiceAttribute::PeName(text) => text_len(text),
            ServiceAttribute::Stats(nested) | ServiceAttribute::Stats64(nested) => nested.len(),
            ServiceAttribute::Other(other) => other.value_len(),
        }
    }

    fn kind(&self) -> u16 {
        match self {
            ServiceAttribute::AddressFamily(_) => AF,
            ServiceAttribute::Protocol(_) => PROTOCOL,
            ServiceAttribute::Address(_) => ADDR,
            ServiceAttribute::Port(_) => PORT,
            ServiceAttribute::Fwmark(_) => FWMARK,
            ServiceAttribute::SchedulerName(_) => SCHED_NAME,
            ServiceAttribute::Flags(_) => FLAGS,
            ServiceAttribute::Timeout(_) => TIMEOUT,
            ServiceAttribute::Netmask(_) => NETMASK,
            ServiceAttribute::Stats(_) => STATS,
            ServiceAttribute::PeName(_) => PE_NAME,
            ServiceAttribute::Stats64(_) => STATS64,
            ServiceAttribute::Other(other) => other.kind(),
        }
    }

    fn emit_value(&self, buffer: &mut [u8]) {
        match self {
            ServiceAttribute::AddressFamily(value) | ServiceAttribute::Protocol(value) => {
                emit_u16(buffer, *value).expect("value_len is the size of a u16");
            }
            ServiceAttribute::Port(value) => {
                emit_u16_be(buffer, *value).expect("value_len is the size of a u16");
            }
            ServiceAttribute::Fwmark(value) | ServiceAttribute::Timeout(value) => {
                emit_u32(buffer, *value).expect("value_len is the size of a u32");
            }
            ServiceAttribute::Flags(value) => {
                buffer[..4].copy_from_slice(&value.flags.to_ne_bytes());
                buffer[4..].copy_from_slice(&value.mask.to_ne_bytes());
            }
            ServiceAttribute::Address(bytes) => buffer.copy_from_slice(bytes),
            ServiceAttribute::Netmask(bytes) => buffer.copy_from_slice(bytes),
            ServiceAttribute::SchedulerName(text) | ServiceAttribute::PeName(text) => {
                emit_text(text, buffer);
            }
            ServiceAttribute::Stats(nested) | ServiceAttribute::Stats64(nested) => {
                buffer.copy_from_slice(nested)
            }
            ServiceAttribute::Other(other) => other.emit_value(buffer),
        }
    }
}

impl<'a> Parseable<NlaBuffer<&'a [u8]>> for ServiceAttribute {
    fn parse(buffer: &NlaBuffer<&'a [u8]>) -> Result<Self, DecodeError> {
        let value = buffer.value();
        let attribute = match buffer.kind() {
            AF => parse_u16(value).map(ServiceAttribute::AddressFamily),
            PROTOCOL => parse_u16(value).map(ServiceAttribute::Protocol),
            ADDR => parse_address(value).map(ServiceAttribute::Address),
            PORT => parse_u16_be(value).map(ServiceAttribute::Port),
            FWMARK => parse_u32(value).map(ServiceAttribute::Fwmark),
            SCHED_NAME => Ok(ServiceAttribute::SchedulerName(parse_text(value))),
            FLAGS => parse_flags(value).map(ServiceAttribute::Flags),
            TIMEOUT => parse_u32(value).map(ServiceAttribute::Timeout),
            NETMASK => parse_array(value).map(ServiceAttribute::Netmask),
            STATS => Ok(ServiceAttribute::Stats(value.to_vec())),
            PE_NAME => Ok(ServiceAttribute::PeName(parse_text(value))),
            STATS64 => Ok(ServiceAttribute::Stats64(value.to_vec())),
            _ => DefaultNla::parse(buffer).map(ServiceAttribute::Other),
        };
        attribute.with_context(|| format!("IPVS_SVC_ATTR {}", buffer.kind()))
    }
}

fn parse_flags(value: &[u8]) -> Result<ServiceFlags, DecodeError> {
    let [f0, f1, f2, f3, m0, m1, m2, m3] = parse_array(value)?;
    Ok(ServiceFlags {
        flags: u32::from_ne_bytes([f0, f1, f2, f3]),
        mask: u32::from_ne_bytes([m0, m1, m2, m3]),
    })
}
