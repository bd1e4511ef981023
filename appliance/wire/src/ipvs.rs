//! One message of the generic netlink family `IPVS`: its commands, its first level of attributes, and the requests
//! that are made of them. What is nested below is in `service`, `dest` and `stats`.
//! Must not: offer IPVS_CMD_FLUSH or IPVS_CMD_ZERO as requests; nothing here clears a table.

mod append;
mod command;
mod dest;
mod entry;
mod info;
mod nested;
mod service;
mod stats;

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, ErrorContext, NLA_F_NESTED, Nla, NlaBuffer, NlasIterator, Parseable,
    ParseableParametrized, emit_u32, parse_u32,
};
use netlink_packet_generic::{GenlFamily, GenlHeader};

pub use command::Command;
pub use dest::{
    Dest, DestAttribute, DestEntry, DestKey, ForwardMethod, ListedDest, ListedServer, TUNNEL_F_CSUM,
    TUNNEL_GUE, TUNNEL_IPIP, TunnelSettings,
};
pub use entry::{EntryError, Family};
pub use info::{Info, Timeouts};
pub use service::{
    ListedService, SVC_F_HASHED, SVC_F_ONEPACKET, SVC_F_PERSISTENT, Service, ServiceAttribute, ServiceEntry,
    ServiceFlags, ServiceKey,
};
pub use stats::Stats;

use nested::parse_all;

/// IPVS_GENL_NAME: what CTRL_CMD_GETFAMILY is asked for.
pub const FAMILY_NAME: &str = "IPVS";
/// IPVS_GENL_VERSION.
pub const FAMILY_VERSION: u8 = 1;

/// IPVS_CMD_ATTR_*; in an IPVS_CMD_SET_INFO message, IPVS_INFO_ATTR_*.
const CMD_ATTR_SERVICE: u16 = 1;
const CMD_ATTR_DEST: u16 = 2;
const CMD_ATTR_TIMEOUT_TCP: u16 = 4;
const CMD_ATTR_TIMEOUT_TCP_FIN: u16 = 5;
const CMD_ATTR_TIMEOUT_UDP: u16 = 6;
const INFO_ATTR_VERSION: u16 = 1;
const INFO_ATTR_CONN_TAB_SIZE: u16 = 2;

/// A command and its attributes, in the order in which they are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpvsMessage {
    pub command: Command,
    pub attributes: Vec<IpvsAttribute>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IpvsAttribute {
    Service(Vec<ServiceAttribute>),
    Dest(Vec<DestAttribute>),
    /// Seconds.
    TimeoutTcp(u32),
    /// Seconds.
    TimeoutTcpFin(u32),
    /// Seconds.
    TimeoutUdp(u32),
    /// NF IPVS's own version, one byte for each of its three numbers.
    InfoVersion(u32),
    /// Buckets of the connection table.
    InfoConnTabSize(u32),
    Other(DefaultNla),
}

impl IpvsMessage {
    fn new(command: Command, attributes: Vec<IpvsAttribute>) -> IpvsMessage {
        IpvsMessage { command, attributes }
    }

    pub fn new_service(service: &Service) -> IpvsMessage {
        let service = IpvsAttribute::Service(service.attributes());
        IpvsMessage::new(Command::NewService, vec![service])
    }

    /// The kernel replaces all of a service's settings and keeps its servers and connections.
    pub fn set_service(service: &Service) -> IpvsMessage {
        let service = IpvsAttribute::Service(service.attributes());
        IpvsMessage::new(Command::SetService, vec![service])
    }

    pub fn del_service(key: &ServiceKey) -> IpvsMessage {
        let service = IpvsAttribute::Service(key.attributes());
        IpvsMessage::new(Command::DelService, vec![service])
    }

    /// To be sent with NLM_F_DUMP.
    pub fn dump_services() -> IpvsMessage {
        IpvsMessage::new(Command::GetService, Vec::new())
    }

    pub fn new_dest(service: &ServiceKey, dest: &Dest) -> IpvsMessage {
        IpvsMessage::about_dest(Command::NewDest, service, dest.attributes())
    }

    /// The kernel replaces all of a server's settings and keeps its connections.
    pub fn set_dest(service: &ServiceKey, dest: &Dest) -> IpvsMessage {
        IpvsMessage::about_dest(Command::SetDest, service, dest.attributes())
    }

    pub fn del_dest(service: &ServiceKey, dest: &DestKey) -> IpvsMessage {
        IpvsMessage::about_dest(Command::DelDest, service, dest.attributes())
    }

    /// To be sent with NLM_F_DUMP. A service that does not exist has an empty list, not an error.
    pub fn dump_dests(service: &ServiceKey) -> IpvsMessage {
        let service = IpvsAttribute::Service(service.attributes());
        IpvsMessage::new(Command::GetDest, vec![service])
    }

    pub fn get_info() -> IpvsMessage {
        IpvsMessage::new(Command::GetInfo, Vec::new())
    }

    pub fn get_config() -> IpvsMessage {
        IpvsMessage::new(Command::GetConfig, Vec::new())
    }

    pub fn set_config(timeouts: Timeouts) -> IpvsMessage {
        IpvsMessage::new(Command::SetConfig, timeouts.attributes())
    }

    fn about_dest(command: Command, service: &ServiceKey, dest: Vec<DestAttribute>) -> IpvsMessage {
        let service = IpvsAttribute::Service(service.attributes());
        IpvsMessage::new(command, vec![service, IpvsAttribute::Dest(dest)])
    }
}

impl GenlFamily for IpvsMessage {
    fn family_name() -> &'static str {
        FAMILY_NAME
    }

    fn command(&self) -> u8 {
        self.command.into()
    }

    fn version(&self) -> u8 {
        FAMILY_VERSION
    }
}

impl Emitable for IpvsMessage {
    fn buffer_len(&self) -> usize {
        self.attributes.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.attributes.as_slice().emit(buffer);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for IpvsMessage {
    fn parse_with_param(buffer: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        let command = Command::from(header.cmd);
        let attributes = NlasIterator::new(buffer)
            .map(|attribute| IpvsAttribute::parse_with_param(&attribute?, command))
            .collect::<Result<_, _>>()
            .context("IPVS message")?;
        Ok(IpvsMessage { command, attributes })
    }
}

impl Nla for IpvsAttribute {
    fn value_len(&self) -> usize {
        match self {
            IpvsAttribute::Service(nested) => nested.as_slice().buffer_len(),
            IpvsAttribute::Dest(nested) => nested.as_slice().buffer_len(),
            IpvsAttribute::Other(other) => other.value_len(),
            _ => size_of::<u32>(),
        }
    }

    fn kind(&self) -> u16 {
        match self {
            IpvsAttribute::Service(_) => CMD_ATTR_SERVICE | NLA_F_NESTED,
            IpvsAttribute::Dest(_) => CMD_ATTR_DEST | NLA_F_NESTED,
            IpvsAttribute::TimeoutTcp(_) => CMD_ATTR_TIMEOUT_TCP,
            IpvsAttribute::TimeoutTcpFin(_) => CMD_ATTR_TIMEOUT_TCP_FIN,
            IpvsAttribute::TimeoutUdp(_) => CMD_ATTR_TIMEOUT_UDP,
            IpvsAttribute::InfoVersion(_) => INFO_ATTR_VERSION,
            IpvsAttribute::InfoConnTabSize(_) => INFO_ATTR_CONN_TAB_SIZE,
            IpvsAttribute::Other(other) => other.kind(),
        }
    }

    fn emit_value(&self, buffer: &mut [u8]) {
        match self {
            IpvsAttribute::Service(nested) => nested.as_slice().emit(buffer),
            IpvsAttribute::Dest(nested) => nested.as_slice().emit(buffer),
            IpvsAttribute::TimeoutTcp(value)
            | IpvsAttribute::TimeoutTcpFin(value)
            | IpvsAttribute::TimeoutUdp(value)
            | IpvsAttribute::InfoVersion(value)
            | IpvsAttribute::InfoConnTabSize(value) => {
                emit_u32(buffer, *value).expect("value_len is the size of a u32");
            }
            IpvsAttribute::Other(other) => other.emit_value(buffer),
        }
    }
}

/// An IPVS_CMD_SET_INFO message has a numbering of its own.
impl<'a> ParseableParametrized<NlaBuffer<&'a [u8]>, Command> for IpvsAttribute {
    fn parse_with_param(buffer: &NlaBuffer<&'a [u8]>, command: Command) -> Result<Self, DecodeError> {
        let value = buffer.value();
        Ok(match (command, buffer.kind()) {
            (Command::SetInfo, INFO_ATTR_VERSION) => {
                IpvsAttribute::InfoVersion(parse_u32(value).context("IPVS_INFO_ATTR_VERSION")?)
            }
            (Command::SetInfo, INFO_ATTR_CONN_TAB_SIZE) => {
                IpvsAttribute::InfoConnTabSize(parse_u32(value).context("IPVS_INFO_ATTR_CONN_TAB_SIZE")?)
            }
            (Command::SetInfo, _) => IpvsAttribute::Other(DefaultNla::parse(buffer)?),
            (_, CMD_ATTR_SERVICE) => IpvsAttribute::Service(parse_all(value)?),
            (_, CMD_ATTR_DEST) => IpvsAttribute::Dest(parse_all(value)?),
            (_, CMD_ATTR_TIMEOUT_TCP) => {
                IpvsAttribute::TimeoutTcp(parse_u32(value).context("IPVS_CMD_ATTR_TIMEOUT_TCP")?)
            }
            (_, CMD_ATTR_TIMEOUT_TCP_FIN) => {
                IpvsAttribute::TimeoutTcpFin(parse_u32(value).context("IPVS_CMD_ATTR_TIMEOUT_TCP_FIN")?)
            }
            (_, CMD_ATTR_TIMEOUT_UDP) => {
                IpvsAttribute::TimeoutUdp(parse_u32(value).context("IPVS_CMD_ATTR_TIMEOUT_UDP")?)
            }
            _ => IpvsAttribute::Other(DefaultNla::parse(buffer)?),
        })
    }
}
