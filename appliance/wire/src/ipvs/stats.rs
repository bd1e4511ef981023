//! IPVS_STATS_ATTR_*: what a service or a server has counted. STATS holds most counters as u32, STATS64 all as u64;
//! both use the same numbers, so a value's width is told by its length.

use netlink_packet_core::{
    DecodeError, DefaultNla, Nla, NlaBuffer, Parseable, emit_u32, emit_u64, parse_u32, parse_u64,
};

/// One counter, with its IPVS_STATS_ATTR_* number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatsAttribute {
    Narrow(u16, u32),
    Wide(u16, u64),
    Other(DefaultNla),
}

/// IPVS_STATS_ATTR_PAD: no counter, whatever its length.
const PAD: u16 = 11;

/// Counted since the entry was added, and rates of the last seconds (zero when net.ipv4.vs.run_estimation is off).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    pub connections: u64,
    pub in_packets: u64,
    pub out_packets: u64,
    pub in_bytes: u64,
    pub out_bytes: u64,
    pub connections_per_second: u64,
    pub in_packets_per_second: u64,
    pub out_packets_per_second: u64,
    pub in_bytes_per_second: u64,
    pub out_bytes_per_second: u64,
}

impl Stats {
    /// Counters without an attribute are zero.
    pub fn from_attributes(attributes: &[StatsAttribute]) -> Stats {
        let mut stats = Stats::default();
        for attribute in attributes {
            let (kind, value) = match attribute {
                StatsAttribute::Narrow(kind, value) => (*kind, u64::from(*value)),
                StatsAttribute::Wide(kind, value) => (*kind, *value),
                StatsAttribute::Other(_) => continue,
            };
            if let Some(counter) = stats.counter(kind) {
                *counter = value;
            }
        }
        stats
    }

    fn counter(&mut self, kind: u16) -> Option<&mut u64> {
        match kind {
            1 => Some(&mut self.connections),
            2 => Some(&mut self.in_packets),
            3 => Some(&mut self.out_packets),
            4 => Some(&mut self.in_bytes),
            5 => Some(&mut self.out_bytes),
            6 => Some(&mut self.connections_per_second),
            7 => Some(&mut self.in_packets_per_second),
            8 => Some(&mut self.out_packets_per_second),
            9 => Some(&mut self.in_bytes_per_second),
            10 => Some(&mut self.out_bytes_per_second),
            _ => None,
        }
    }
}

impl Nla for StatsAttribute {
    fn value_len(&self) -> usize {
        match self {
            StatsAttribute::Narrow(..) => size_of::<u32>(),
            StatsAttribute::Wide(..) => size_of::<u64>(),
            StatsAttribute::Other(other) => other.value_len(),
        }
    }

    fn kind(&self) -> u16 {
        match self {
            StatsAttribute::Narrow(kind, _) | StatsAttribute::Wide(kind, _) => *kind,
            StatsAttribute::Other(other) => other.kind(),
        }
    }

    fn emit_value(&self, buffer: &mut [u8]) {
        match self {
            StatsAttribute::Narrow(_, value) => {
                emit_u32(buffer, *value).expect("value_len is the size of a u32");
            }
            StatsAttribute::Wide(_, value) => {
                emit_u64(buffer, *value).expect("value_len is the size of a u64");
            }
            StatsAttribute::Other(other) => other.emit_value(buffer),
        }
    }
}

impl<'a> Parseable<NlaBuffer<&'a [u8]>> for StatsAttribute {
    fn parse(buffer: &NlaBuffer<&'a [u8]>) -> Result<Self, DecodeError> {
        let (kind, value) = (buffer.kind(), buffer.value());
        Ok(match value.len() {
            _ if kind == PAD => StatsAttribute::Other(DefaultNla::parse(buffer)?),
            4 => StatsAttribute::Narrow(kind, parse_u32(value)?),
            8 => StatsAttribute::Wide(kind, parse_u64(value)?),
            _ => StatsAttribute::Other(DefaultNla::parse(buffer)?),
        })
    }
}
