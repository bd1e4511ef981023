//! The texts of /proc/stat, /proc/meminfo, /proc/net/stat/nf_conntrack and /proc/net/softnet_stat. What a line does not
//! say is 0. Must not: read files.

use lb_core::traffic::{Memory, Processor, Softnet, Tracking};

/// USER_HZ is 100 on every architecture that the appliance runs on.
const TICK_MS: u64 = 10;

/// One for each line `cpuN`: user nice system idle iowait irq softirq steal, in ticks. Time that the hypervisor took
/// (steal) is not idle: nothing else could have run in it.
pub(super) fn processors(stat: &str) -> Vec<Processor> {
    let ticks = |line: &str| -> Option<Processor> {
        let (name, counts) = line.split_once(' ')?;
        name.strip_prefix("cpu")?.parse::<u32>().ok()?;
        let mut ticks = [0u64; 8];
        for (count, word) in ticks.iter_mut().zip(counts.split_ascii_whitespace()) {
            *count = word.parse().ok()?;
        }
        let [user, nice, system, idle, iowait, irq, softirq, steal] = ticks;
        Some(Processor {
            busy_ms: (user + nice + system + irq + softirq + steal).saturating_mul(TICK_MS),
            idle_ms: (idle + iowait).saturating_mul(TICK_MS),
        })
    };
    stat.lines().filter_map(ticks).collect()
}

pub(super) fn memory(meminfo: &str) -> Memory {
    let field = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.split_ascii_whitespace().next());
        number.and_then(|n| n.parse().ok()).unwrap_or(0)
    };
    Memory {
        total_kb: field("MemTotal:"),
        available_kb: field("MemAvailable:"),
    }
}

/// A heading, and a line of hexadecimal numbers for each processor (nf_conntrack_standalone.c). The number of entries and
/// the table's size are not from here.
pub(super) fn tracking(stat: &str) -> Tracking {
    let mut lines = stat.lines();
    let names: Vec<&str> = lines
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .collect();
    let rows: Vec<Vec<&str>> = lines.map(|l| l.split_ascii_whitespace().collect()).collect();
    let sum = |name: &str| {
        let column = names.iter().position(|n| *n == name);
        let cells = rows.iter().filter_map(|row| row.get(column?));
        cells.map(|cell| u64::from_str_radix(cell, 16).unwrap_or(0)).sum()
    };
    Tracking {
        dropped: sum("drop"),
        early_dropped: sum("early_drop"),
        insert_failed: sum("insert_failed"),
        search_restarts: sum("search_restart"),
        ..Tracking::default()
    }
}

/// A line of hexadecimal numbers for each processor: processed dropped time_squeeze … (softnet_seq_show).
pub(super) fn softnet(stat: &str) -> Softnet {
    let mut sum = Softnet::default();
    for line in stat.lines() {
        let mut numbers = line
            .split_ascii_whitespace()
            .map(|word| u64::from_str_radix(word, 16).unwrap_or(0))
            .skip(1);
        sum.dropped += numbers.next().unwrap_or(0);
        sum.squeezed += numbers.next().unwrap_or(0);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_one_by_one() {
        let text =
            "cpu  10 0 20 70 0 0 0 0 0 0\ncpu0 1 2 3 40 5 6 7 8 9 9\ncpu1 1 0 0 9\nintr 1 2\ncpufreq 3\n";
        let expected = [(270, 450), (10, 90)].map(|(busy_ms, idle_ms)| Processor { busy_ms, idle_ms });
        assert_eq!(processors(text), expected);
        assert!(processors("cpu0 x\n").is_empty());
    }

    #[test]
    fn memory_that_is_left() {
        let text = "MemTotal:         244536 kB\nMemFree:           90000 kB\nMemAvailable:     120000 kB\n";
        let expected = Memory {
            total_kb: 244_536,
            available_kb: 120_000,
        };
        assert_eq!(memory(text), expected);
        assert_eq!(memory("MemTotal:"), Memory::default());
    }

    #[test]
    fn drops_of_connection_tracking_are_summed_over_processors() {
        // From Linux 6.12, with counters made distinct.
        let text = "\
entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart
0000000a  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000001 00000010 00000003 00000000  00000000 00000000 00000000 00000004
0000000a  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000002 00000020 00000000 00000000  00000000 00000000 00000000 00000001
";
        let expected = Tracking {
            dropped: 0x30,
            early_dropped: 3,
            insert_failed: 3,
            search_restarts: 5,
            ..Tracking::default()
        };
        assert_eq!(tracking(text), expected);
        assert_eq!(tracking(""), Tracking::default());
        assert_eq!(tracking("entries drop\n"), Tracking::default());
    }

    #[test]
    fn drops_of_the_queues_are_summed_over_processors() {
        let text = "000013b1 00000002 00000001 00000000\n00000013 0000000e 00000000 00000000\n";
        assert_eq!(
            softnet(text),
            Softnet {
                dropped: 16,
                squeezed: 1
            }
        );
        assert_eq!(softnet("1\n\n"), Softnet::default());
    }
}
