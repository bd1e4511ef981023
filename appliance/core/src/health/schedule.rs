//! When a check is due: at a constant rate, at a phase that derives from the target. So checks of many servers spread
//! over the interval for ever, and a reload that changes nothing about a check does not move it.

use std::time::{Duration, Instant};

/// Slots of one target: `epoch + phase + k * interval`, where the phase is a hash of the target within the interval.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    epoch: Instant,
    seed: u64,
}

impl Schedule {
    /// `epoch` is the same for all schedules of a process; `target` names what is checked.
    pub fn new(epoch: Instant, target: &str) -> Schedule {
        Schedule {
            epoch,
            seed: fnv1a(target.as_bytes()),
        }
    }

    /// A moment in nanoseconds since the epoch, and back.
    pub fn moment(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.epoch))
    }

    pub fn instant(&self, moment: u64) -> Instant {
        self.epoch + Duration::from_nanos(moment)
    }

    /// The first slot after `now`, moved by up to `jitter` (differently in each slot).
    pub fn next(&self, now: Instant, interval: Duration, jitter: Duration) -> Instant {
        let interval_ns = nanos(interval).max(1);
        let elapsed_ns = nanos(now.saturating_duration_since(self.epoch));
        let phase_ns = self.seed % interval_ns;
        let slot = if elapsed_ns < phase_ns {
            0
        } else {
            (elapsed_ns - phase_ns) / interval_ns + 1
        };
        let mut due_ns = phase_ns + slot * interval_ns;
        if !jitter.is_zero() {
            due_ns += fnv1a(&(self.seed ^ slot).to_le_bytes()) % nanos(jitter).max(1);
        }
        self.epoch + Duration::from_nanos(due_ns)
    }
}

/// 64 bits of nanoseconds are 584 years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}

/// FNV-1a with a final mix, so that targets that differ in their last digit land far apart.
/// Own code because the phase must stay the same over releases of the standard library's hasher.
fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for &byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    #[test]
    fn slots_are_one_interval_apart_and_in_the_future() {
        let epoch = Instant::now();
        let schedule = Schedule::new(epoch, "172.16.0.11:30080");
        let first = schedule.next(epoch, INTERVAL, Duration::ZERO);
        assert!(first > epoch && first <= epoch + INTERVAL);
        assert_eq!(schedule.next(first, INTERVAL, Duration::ZERO), first + INTERVAL);
        let just_before = first - Duration::from_nanos(1);
        assert_eq!(schedule.next(just_before, INTERVAL, Duration::ZERO), first);
    }

    #[test]
    fn a_reload_does_not_move_the_phase() {
        let epoch = Instant::now();
        let now = epoch + Duration::from_secs(3_600);
        let before = Schedule::new(epoch, "a").next(now, INTERVAL, Duration::ZERO);
        assert_eq!(
            Schedule::new(epoch, "a").next(now, INTERVAL, Duration::ZERO),
            before
        );
    }

    #[test]
    fn many_targets_spread_over_the_interval() {
        let epoch = Instant::now();
        let mut per_second = [0u32; 10];
        for i in 0..1_000 {
            let target = format!("10.0.{}.{}:80", i / 250, i % 250);
            let due = Schedule::new(epoch, &target).next(epoch, INTERVAL, Duration::ZERO) - epoch;
            per_second[(due.as_secs() % 10) as usize] += 1;
        }
        assert!(
            per_second.iter().all(|&n| (60..=140).contains(&n)),
            "{per_second:?}"
        );
    }

    #[test]
    fn jitter_stays_below_its_limit_and_varies() {
        let epoch = Instant::now();
        let schedule = Schedule::new(epoch, "a");
        let jitter = Duration::from_millis(500);
        let mut now = epoch;
        let mut moves = std::collections::BTreeSet::new();
        for _ in 0..20 {
            let plain = schedule.next(now, INTERVAL, Duration::ZERO);
            let moved = schedule.next(now, INTERVAL, jitter) - plain;
            assert!(moved < jitter);
            moves.insert(moved);
            now = plain;
        }
        assert!(moves.len() > 15);
    }
}
