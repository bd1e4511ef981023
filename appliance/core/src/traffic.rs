//! Counters, and the rates between two readings of them. A reading carries the time at which it was taken; a counter that
//! has gone back belongs to something that was made anew, and gives no rate rather than a wrong one.
//! Must not: know where counters come from, or call what is not known zero.

use serde::{Deserialize, Serialize};

/// The kernel adds the counters of its processors up every two seconds (ip_vs_est.c), each service and server at its own
/// moment: over a shorter time than this, one such step more or less would halve or double a rate, in milliseconds.
pub const TRAFFIC_WINDOW_MS: u64 = 4_000;

/// What IPVS has counted of a service or a server since it was added to the kernel's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Traffic {
    pub connections: u64,
    /// From clients.
    pub in_packets: u64,
    pub in_bytes: u64,
    /// To clients; stands still where servers answer past the box.
    pub out_packets: u64,
    pub out_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct TrafficRates {
    pub connections_per_second: f64,
    pub in_packets_per_second: f64,
    pub in_bytes_per_second: f64,
    pub out_packets_per_second: f64,
    pub out_bytes_per_second: f64,
    /// The time that these are the average of.
    pub over_ms: u64,
}

/// What a link has counted since it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinkCounters {
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct LinkRates {
    pub rx_bits_per_second: f64,
    pub rx_packets_per_second: f64,
    /// Errors and drops of both directions.
    pub lost_packets_per_second: f64,
    pub tx_bits_per_second: f64,
    pub tx_packets_per_second: f64,
    pub over_ms: u64,
}

/// The connection tracking table. What is counted, is counted since the kernel started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tracking {
    pub count: u64,
    pub max: u64,
    /// Packets that were dropped because the table was full and nothing could give way.
    pub dropped: u64,
    /// Connections that gave way to others because the table was full.
    pub early_dropped: u64,
    /// Entries that could not be inserted, mostly because two packets of one connection raced.
    pub insert_failed: u64,
    /// Look-ups that had to begin again because the table was being resized.
    pub search_restarts: u64,
}

/// The queues between the network cards and the kernel (softnet), since the kernel started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Softnet {
    /// Packets that were dropped because a processor's queue was full.
    pub dropped: u64,
    /// Times that a processor had more packets than one turn allows.
    pub squeezed: u64,
}

/// One processor, since the kernel started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Processor {
    pub busy_ms: u64,
    pub idle_ms: u64,
}

/// How busy the processors were between two readings, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Load {
    pub average_percent: f64,
    /// Of the busiest one: packets of one flow are worked off by one processor.
    pub busiest_percent: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memory {
    pub total_kb: u64,
    /// What programs could still get.
    pub available_kb: u64,
}

/// The time from one reading to the next; `None` where there was none, or where the clock was not read.
pub fn elapsed_ms(before_ms: u64, after_ms: u64) -> Option<u64> {
    if before_ms == 0 {
        return None;
    }
    after_ms.checked_sub(before_ms).filter(|elapsed| *elapsed > 0)
}

/// Per second, in thousandths; `None` if the counter has gone back.
pub fn rate(before: u64, after: u64, over_ms: u64) -> Option<f64> {
    let counted = after.checked_sub(before)?;
    if over_ms == 0 {
        return None;
    }
    Some(thousandths(counted as f64 * 1000.0 / over_ms as f64))
}

fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

impl Traffic {
    /// Whether this can be a later reading of the same counters.
    pub fn follows(&self, before: &Traffic) -> bool {
        self.connections >= before.connections
            && self.in_packets >= before.in_packets
            && self.in_bytes >= before.in_bytes
            && self.out_packets >= before.out_packets
            && self.out_bytes >= before.out_bytes
    }

    pub fn rates_since(&self, before: &Traffic, over_ms: u64) -> Option<TrafficRates> {
        Some(TrafficRates {
            connections_per_second: rate(before.connections, self.connections, over_ms)?,
            in_packets_per_second: rate(before.in_packets, self.in_packets, over_ms)?,
            in_bytes_per_second: rate(before.in_bytes, self.in_bytes, over_ms)?,
            out_packets_per_second: rate(before.out_packets, self.out_packets, over_ms)?,
            out_bytes_per_second: rate(before.out_bytes, self.out_bytes, over_ms)?,
            over_ms,
        })
    }
}

impl LinkCounters {
    pub fn lost(&self) -> u64 {
        [self.rx_errors, self.rx_dropped, self.tx_errors, self.tx_dropped]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    pub fn rates_since(&self, before: &LinkCounters, over_ms: u64) -> Option<LinkRates> {
        let bits = |before, after| rate(before, after, over_ms).map(|bytes| thousandths(bytes * 8.0));
        Some(LinkRates {
            rx_bits_per_second: bits(before.rx_bytes, self.rx_bytes)?,
            rx_packets_per_second: rate(before.rx_packets, self.rx_packets, over_ms)?,
            lost_packets_per_second: rate(before.lost(), self.lost(), over_ms)?,
            tx_bits_per_second: bits(before.tx_bytes, self.tx_bytes)?,
            tx_packets_per_second: rate(before.tx_packets, self.tx_packets, over_ms)?,
            over_ms,
        })
    }
}

impl Load {
    /// `None` if a processor came, went, or has counted nothing.
    pub fn between(before: &[Processor], after: &[Processor]) -> Option<Load> {
        if before.len() != after.len() || after.is_empty() {
            return None;
        }
        let mut busy_all = 0;
        let mut all = 0;
        let mut busiest: f64 = 0.0;
        for (before, after) in before.iter().zip(after) {
            let busy = after.busy_ms.checked_sub(before.busy_ms)?;
            // The kernel's idle time can step back by a tick (Documentation/filesystems/proc.rst).
            let whole = busy.saturating_add(after.idle_ms.saturating_sub(before.idle_ms));
            if whole > 0 {
                busiest = busiest.max(percent(busy, whole));
            }
            busy_all += busy;
            all += whole;
        }
        (all > 0).then(|| Load {
            average_percent: percent(busy_all, all),
            busiest_percent: busiest,
        })
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    (part as f64 * 1000.0 / whole as f64).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn traffic(numbers: [u64; 5]) -> Traffic {
        let [connections, in_packets, in_bytes, out_packets, out_bytes] = numbers;
        Traffic {
            connections,
            in_packets,
            in_bytes,
            out_packets,
            out_bytes,
        }
    }

    #[test]
    fn two_readings_make_a_rate() {
        let before = traffic([10, 100, 1_000, 200, 2_000]);
        let after = traffic([14, 300, 5_000, 200, 2_001]);
        let rates = after.rates_since(&before, 4_000).unwrap();
        assert_eq!(
            rates,
            TrafficRates {
                connections_per_second: 1.0,
                in_packets_per_second: 50.0,
                in_bytes_per_second: 1_000.0,
                out_packets_per_second: 0.0,
                out_bytes_per_second: 0.25,
                over_ms: 4_000,
            }
        );
        assert_eq!(before.rates_since(&after, 4_000), None, "made anew");
        assert_eq!(after.rates_since(&before, 0), None);
    }

    #[test]
    fn links_count_bytes_and_are_measured_in_bits() {
        let before = LinkCounters {
            rx_bytes: 1_000,
            tx_dropped: 1,
            ..LinkCounters::default()
        };
        let after = LinkCounters {
            rx_bytes: 126_000,
            rx_errors: 2,
            tx_dropped: 3,
            ..before
        };
        let rates = after.rates_since(&before, 1_000).unwrap();
        assert_eq!(rates.rx_bits_per_second, 1_000_000.0);
        assert_eq!(rates.lost_packets_per_second, 4.0);
        assert_eq!(before.rates_since(&after, 1_000), None);
    }

    #[test]
    fn the_busiest_processor_is_told_from_the_average() {
        let at = |busy_ms, idle_ms| Processor { busy_ms, idle_ms };
        let before = [at(0, 0), at(100, 100)];
        let after = [at(750, 250), at(350, 850)];
        let load = Load::between(&before, &after).unwrap();
        assert_eq!((load.average_percent, load.busiest_percent), (50.0, 75.0));
        assert_eq!(Load::between(&before, &after[..1]), None);
        assert_eq!(Load::between(&after, &before), None);
        assert_eq!(Load::between(&before, &before), None);
        // Idle time that steps back is no time.
        assert_eq!(
            Load::between(&[at(0, 10)], &[at(10, 0)]).unwrap().busiest_percent,
            100.0
        );
    }

    #[test]
    fn a_clock_that_was_not_read_gives_no_time() {
        assert_eq!(elapsed_ms(0, 5), None);
        assert_eq!(elapsed_ms(5, 5), None);
        assert_eq!(elapsed_ms(6, 5), None);
        assert_eq!(elapsed_ms(5, 7), Some(2));
    }

    proptest! {
        #[test]
        fn rates_are_never_negative_and_never_of_counters_that_went_back(
            before: [u64; 5], after: [u64; 5], over_ms: u64,
        ) {
            let went_back = before.iter().zip(&after).any(|(b, a)| a < b);
            let (before, after) = (traffic(before), traffic(after));
            prop_assert_eq!(after.follows(&before), !went_back);
            match after.rates_since(&before, over_ms) {
                None => prop_assert!(went_back || over_ms == 0),
                Some(rates) => {
                    prop_assert!(!went_back);
                    for rate in [
                        rates.connections_per_second,
                        rates.in_packets_per_second,
                        rates.in_bytes_per_second,
                        rates.out_packets_per_second,
                        rates.out_bytes_per_second,
                    ] {
                        prop_assert!(rate.is_finite() && rate >= 0.0);
                    }
                }
            }
        }

        #[test]
        fn what_was_counted_is_rate_times_time(counted in 0u64..1 << 40, before in 0u64..1 << 40, over_ms in 1u64..1 << 30) {
            let rate = rate(before, before + counted, over_ms).unwrap();
            let again = rate * over_ms as f64 / 1000.0;
            // Rounded to thousandths per second.
            let slack = 1.0 + over_ms as f64 * 1e-6 + counted as f64 * 1e-9;
            prop_assert!((again - counted as f64).abs() <= slack, "{again} {counted}");
        }

        #[test]
        fn a_load_is_a_percentage(readings: [[u32; 2]; 4]) {
            let at = |[busy, idle]: [u32; 2]| Processor { busy_ms: busy.into(), idle_ms: idle.into() };
            let [a, b, c, d] = readings.map(at);
            if let Some(load) = Load::between(&[a, b], &[c, d]) {
                prop_assert!((0.0..=100.0).contains(&load.average_percent));
                prop_assert!((load.average_percent - 0.1..=100.0).contains(&load.busiest_percent));
            }
        }
    }
}
