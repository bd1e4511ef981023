//! The text of /proc/net/dev. Its `drop` of the receiving side is rx_dropped and rx_missed_errors together
//! (dev_seq_printf_stats).

use std::collections::BTreeMap;

use lb_core::model::IfName;
use lb_core::traffic::LinkCounters;

/// Lines that are no link's, such as the two of the heading, are passed over.
pub(super) fn parse(text: &str) -> BTreeMap<IfName, LinkCounters> {
    text.lines().filter_map(link).collect()
}

fn link(line: &str) -> Option<(IfName, LinkCounters)> {
    let (name, counters) = line.split_once(':')?;
    let name = name.trim_start().parse().ok()?;
    let mut numbers = [0; 16];
    let mut fields = counters.split_ascii_whitespace();
    for number in &mut numbers {
        *number = fields.next()?.parse().ok()?;
    }
    // Receiving: bytes packets errs drop fifo frame compressed multicast. Sending: bytes packets errs drop …
    let [
        rx_bytes,
        rx_packets,
        rx_errors,
        rx_dropped,
        _,
        _,
        _,
        _,
        tx_bytes,
        tx_packets,
        tx_errors,
        tx_dropped,
        ..,
    ] = numbers;
    let counters = LinkCounters {
        rx_bytes,
        rx_packets,
        rx_errors,
        rx_dropped,
        tx_bytes,
        tx_packets,
        tx_errors,
        tx_dropped,
    };
    Some((name, counters))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Linux 6.12, with the second line's counters made distinct.
    const TEXT: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     704       8    0    0    0     0          0         0      704       8    0    0    0     0       0          0
 eth0:18446744073709551615 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
 eth1: 1 2 3
";

    #[test]
    fn each_counter_has_its_column() {
        let links = parse(TEXT);
        assert_eq!(links.len(), 2, "{links:?}");
        let expected = LinkCounters {
            rx_bytes: u64::MAX,
            rx_packets: 2,
            rx_errors: 3,
            rx_dropped: 4,
            tx_bytes: 9,
            tx_packets: 10,
            tx_errors: 11,
            tx_dropped: 12,
        };
        assert_eq!(links[&"eth0".parse().unwrap()], expected);
        assert_eq!(links[&"lo".parse().unwrap()].tx_packets, 8);
    }
}
