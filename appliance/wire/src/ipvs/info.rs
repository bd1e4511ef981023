//! Facts about IPVS as a whole: its version and table size (GET_INFO), its idle timeouts (GET_CONFIG, SET_CONFIG).

use super::{EntryError, IpvsAttribute, IpvsMessage};

/// The answer to [`IpvsMessage::get_info`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// Such as `(1, 2, 1)`.
    pub version: (u8, u8, u8),
    /// Buckets of the connection table.
    pub connection_table_size: u32,
}

impl Info {
    pub fn from_message(message: &IpvsMessage) -> Result<Info, EntryError> {
        let mut version = None;
        let mut size = None;
        for attribute in &message.attributes {
            match attribute {
                IpvsAttribute::InfoVersion(value) => version = Some(value.to_be_bytes()),
                IpvsAttribute::InfoConnTabSize(value) => size = Some(*value),
                _ => {}
            }
        }
        let [_, major, minor, patch] = version.ok_or(EntryError::Missing("IPVS_INFO_ATTR_VERSION"))?;
        Ok(Info {
            version: (major, minor, patch),
            connection_table_size: size.ok_or(EntryError::Missing("IPVS_INFO_ATTR_CONN_TAB_SIZE"))?,
        })
    }
}

/// Seconds after which an entry of the connection table ends without traffic. 0 in a request keeps the old value
/// (ip_vs_set_timeout).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    pub tcp_s: u32,
    pub tcp_fin_s: u32,
    pub udp_s: u32,
}

impl Timeouts {
    /// A protocol that the kernel was built without has no attribute, and here 0.
    pub fn from_message(message: &IpvsMessage) -> Timeouts {
        let mut timeouts = Timeouts::default();
        for attribute in &message.attributes {
            match attribute {
                IpvsAttribute::TimeoutTcp(value) => timeouts.tcp_s = *value,
                IpvsAttribute::TimeoutTcpFin(value) => timeouts.tcp_fin_s = *value,
                IpvsAttribute::TimeoutUdp(value) => timeouts.udp_s = *value,
                _ => {}
            }
        }
        timeouts
    }

    pub(super) fn attributes(self) -> Vec<IpvsAttribute> {
        vec![
            IpvsAttribute::TimeoutTcp(self.tcp_s),
            IpvsAttribute::TimeoutTcpFin(self.tcp_fin_s),
            IpvsAttribute::TimeoutUdp(self.udp_s),
        ]
    }
}
