//! IPVS_STATS_ATTR_*: what a service or a server has counted. STATS holds most counters as u32, STATS64 all as u64;
//! both use the same numbers, so a value's width is told by its length.
//! Must not: fail. Counters are for looking at, and an entry is worth more than they are.

use super::nested::attributes;

/// Counted since the entry was added, and rates of the last seconds. All stand still while net.ipv4.vs.run_estimation
/// is 0.
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
    /// From the content of a STATS or STATS64 attribute. Counters that are missing or of an unknown width are zero.
    pub(super) fn from_nested(bytes: &[u8]) -> Stats {
        let mut stats = Stats::default();
        for (kind, value) in attributes(bytes).map_while(Result::ok) {
            if let (Some(counter), Some(value)) = (stats.counter(kind), number(value)) {
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

fn number(value: &[u8]) -> Option<u64> {
    let narrow = |bytes: &[u8]| bytes.try_into().ok().map(u32::from_ne_bytes);
    let wide = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_ne_bytes);
    narrow(value).map(u64::from).or_else(|| wide(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_widths_are_taken_and_nonsense_is_passed_over() {
        let mut bytes = vec![8, 0, 1, 0, 7, 0, 0, 0];
        bytes.extend([12, 0, 4, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
        bytes.extend([6, 0, 2, 0, 9, 9, 0, 0]);
        bytes.extend([8, 0, 99, 0, 9, 9, 9, 9]);
        let expected = Stats {
            connections: 7,
            in_bytes: (1 << 32) + 1,
            ..Stats::default()
        };
        assert_eq!(Stats::from_nested(&bytes), expected);
        assert_eq!(Stats::from_nested(&bytes[..22]), expected);
        assert_eq!(Stats::from_nested(&[200, 0, 1]), Stats::default());
    }
}
