//! How long a guest was busy, to the nanosecond, as its kernel tells in /proc/timer_list. In a machine whose clock counts
//! (`VmOptions::counting`) that is the number of its instructions. Must not: know what the guest was busy with.

use std::ops::Sub;

use regex::Regex;
use serde::Serialize;

/// Nanoseconds since the guest's start. Reading is itself work for the guest; it is the same each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    now: u64,
    idle: u64,
}

/// Nanoseconds of the guest between two readings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Span {
    pub elapsed: u64,
    pub busy: u64,
}

impl Reading {
    /// From the text of /proc/timer_list of a guest with one processor.
    pub fn parse(timer_list: &str) -> Option<Reading> {
        let value = |pattern: &str| -> Option<u64> {
            let expression = Regex::new(pattern).expect("the patterns are constant");
            expression.captures(timer_list)?[1].parse().ok()
        };
        Some(Reading {
            now: value(r"(?m)^now at (\d+) nsecs$")?,
            // Waiting for the disk is idle as well.
            idle: value(r"\.idle_sleeptime *: (\d+) nsecs")? + value(r"\.iowait_sleeptime *: (\d+) nsecs")?,
        })
    }
}

impl Sub for Reading {
    type Output = Span;

    fn sub(self, earlier: Reading) -> Span {
        let elapsed = self.now - earlier.now;
        Span {
            elapsed,
            busy: elapsed.saturating_sub(self.idle - earlier.idle),
        }
    }
}

impl Span {
    /// Of the time, how much the guest was busy: 0 to 1.
    pub fn load(self) -> f64 {
        self.busy as f64 / (self.elapsed as f64).max(1.0)
    }

    /// Busy nanoseconds without those that `background`, a span without work, had for the same time.
    pub fn beyond(self, background: Span) -> f64 {
        self.busy as f64 - background.load() * self.elapsed as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMER_LIST: &str = "Timer List Version: v0.10\nHRTIMER_MAX_CLOCK_BASES: 8\nnow at 21347000123 nsecs\n\n\
        cpu: 0\n clock 0:\n  .base:       ffff\n  .expires_next   : 21348000000 nsecs\n  .idle_sleeptime : 19347000100 nsecs\n  \
        .iowait_sleeptime: 23 nsecs\n";

    #[test]
    fn busy_is_what_is_not_idle() {
        let later = Reading::parse(TIMER_LIST).unwrap();
        let earlier = Reading {
            now: 20_347_000_123,
            idle: 18_847_000_123,
        };
        let span = later - earlier;
        assert_eq!(
            span,
            Span {
                elapsed: 1_000_000_000,
                busy: 500_000_000
            }
        );
        assert_eq!(
            Reading::parse("now at 5 nsecs\n"),
            None,
            "a kernel that does not say"
        );
    }

    #[test]
    fn the_background_is_taken_off_for_the_time_that_passed() {
        let background = Span {
            elapsed: 10_000,
            busy: 100,
        };
        let span = Span {
            elapsed: 2_000,
            busy: 1_020,
        };
        assert_eq!(span.beyond(background), 1_000.0);
        assert_eq!(span.beyond(Span::default()), 1_020.0);
    }
}
