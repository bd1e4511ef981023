//! What was dropped lately. Nobody polls for it: whoever asks for a report brings a reading, and what has been dropped
//! since the reading before stays worth a warning for a while.
//! Must not: warn of what was dropped before the first reading; nobody knows when that was.

use std::time::{Duration, Instant};

use crate::traffic::{Softnet, Tracking};

/// Long enough for somebody who comes to look, short enough that a remedy shows.
const RECENT: Duration = Duration::from_secs(600);

/// One counter of drops.
#[derive(Debug, Clone, Copy, Default)]
struct Watched {
    last: Option<(Instant, u64)>,
    risen: Option<Risen>,
}

/// So many, at some time between these two readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Risen {
    from: Instant,
    to: Instant,
    by: u64,
}

impl Watched {
    fn note(&mut self, now: Instant, count: u64) {
        if let Some((then, before)) = self.last
            && count > before
        {
            let by = count - before;
            self.risen = Some(match self.recent(now) {
                Some(risen) => Risen {
                    to: now,
                    by: risen.by.saturating_add(by),
                    ..risen
                },
                None => Risen {
                    from: then,
                    to: now,
                    by,
                },
            });
        }
        self.last = Some((now, count));
    }

    fn recent(&self, now: Instant) -> Option<Risen> {
        self.risen
            .filter(|risen| now.saturating_duration_since(risen.to) < RECENT)
    }
}

/// The counters that mean harm when they rise.
#[derive(Debug, Clone, Copy, Default)]
pub struct DropWatch {
    dropped: Watched,
    early_dropped: Watched,
    softnet: Watched,
}

impl DropWatch {
    pub fn note(&mut self, now: Instant, tracking: &Tracking, softnet: &Softnet) {
        self.dropped.note(now, tracking.dropped);
        self.early_dropped.note(now, tracking.early_dropped);
        self.softnet.note(now, softnet.dropped);
    }

    /// One sentence each, with the remedy.
    pub fn problems(&self, now: Instant) -> Vec<String> {
        let tell = |watched: &Watched, what: &str, one: &str, many: &str, remedy: &str| {
            let risen = watched.recent(now)?;
            let thing = if risen.by == 1 { one } else { many };
            let within = within(now.saturating_duration_since(risen.from));
            Some(format!(
                "{what} {} {thing} within the last {within}; {remedy}",
                risen.by
            ))
        };
        let memory = "the table is full: give the machine more memory, or shorten [timeouts]";
        [
            tell(
                &self.dropped,
                "connection tracking has dropped",
                "packet",
                "packets",
                memory,
            ),
            tell(
                &self.early_dropped,
                "connection tracking has given up",
                "connection",
                "connections",
                memory,
            ),
            tell(
                &self.softnet,
                "the processors have dropped",
                "received packet",
                "received packets",
                "they cannot keep up: give the machine more or faster processors",
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Rounded up, so that what is said to be within it is.
fn within(span: Duration) -> String {
    let seconds = span.as_secs() + 1;
    match seconds {
        0..=120 => format!("{seconds} s"),
        121..=7_200 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h", seconds.div_ceil(3_600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn tracking(dropped: u64, early_dropped: u64) -> Tracking {
        Tracking {
            dropped,
            early_dropped,
            ..Tracking::default()
        }
    }

    #[test]
    fn what_was_dropped_before_the_first_reading_is_past() {
        let start = Instant::now();
        let mut watch = DropWatch::default();
        watch.note(
            start,
            &tracking(100, 100),
            &Softnet {
                dropped: 9,
                squeezed: 0,
            },
        );
        assert!(watch.problems(start).is_empty());
        watch.note(
            at(start, 60),
            &tracking(100, 100),
            &Softnet {
                dropped: 9,
                squeezed: 5,
            },
        );
        assert!(watch.problems(at(start, 60)).is_empty());
    }

    #[test]
    fn drops_are_told_for_ten_minutes_and_add_up() {
        let start = Instant::now();
        let none = Softnet::default();
        let mut watch = DropWatch::default();
        watch.note(start, &tracking(100, 0), &none);
        watch.note(at(start, 59), &tracking(101, 0), &none);
        let said = watch.problems(at(start, 59));
        assert_eq!(said.len(), 1);
        assert!(
            said[0].starts_with("connection tracking has dropped 1 packet within the last 60 s; "),
            "{said:?}"
        );
        // Looking again does not make it go away, and more is more.
        watch.note(at(start, 100), &tracking(101, 0), &none);
        assert_eq!(watch.problems(at(start, 100)).len(), 1);
        watch.note(at(start, 599), &tracking(111, 2), &none);
        let said = watch.problems(at(start, 599));
        assert!(said[0].contains("11 packets within the last 10 min"), "{said:?}");
        assert!(
            said[1].contains("given up 2 connections within the last 9 min"),
            "{said:?}"
        );
        assert!(watch.problems(at(start, 1_200)).is_empty());
        // Afterwards it begins anew.
        watch.note(
            at(start, 8_000),
            &tracking(112, 2),
            &Softnet {
                dropped: 3,
                squeezed: 0,
            },
        );
        let said = watch.problems(at(start, 8_000));
        assert!(
            said[0].contains("dropped 1 packet within the last 3 h"),
            "{said:?}"
        );
        assert!(
            said[1].starts_with("the processors have dropped 3 received packets"),
            "{said:?}"
        );
    }

    #[test]
    fn a_counter_that_went_back_is_no_drop() {
        let start = Instant::now();
        let mut watch = DropWatch::default();
        watch.note(start, &tracking(u64::MAX, 0), &Softnet::default());
        watch.note(at(start, 1), &tracking(5, 0), &Softnet::default());
        assert!(watch.problems(at(start, 1)).is_empty());
    }
}
