//! How late checks begin: the most of the last minute or two. An agent that does not get the processor in time makes all its
//! verdicts late, and nothing else would say so.
//! Must not: judge a check, or count the time before checks were made at all.

use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);
/// Later than this, somebody waits for a verdict who has set it to seconds.
const TOO_LATE: Duration = Duration::from_secs(1);

/// Two figures, whatever the number of checks: of the minute that runs, and of the one before.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lateness {
    /// When the first of all began: until then nothing could.
    since: Option<Instant>,
    minute: Option<Instant>,
    running: Duration,
    before: Duration,
}

impl Lateness {
    /// A check that was due has begun.
    pub fn note(&mut self, due: Instant, begun: Instant) {
        self.turn(begun);
        let since = *self.since.get_or_insert(begun);
        self.running = self.running.max(begun.saturating_duration_since(due.max(since)));
    }

    fn turn(&mut self, now: Instant) {
        let minute = *self.minute.get_or_insert(now);
        let passed = now.saturating_duration_since(minute);
        if passed < MINUTE {
            return;
        }
        self.before = match passed < 2 * MINUTE {
            true => self.running,
            false => Duration::ZERO,
        };
        self.running = Duration::ZERO;
        self.minute = Some(now);
    }

    /// The most of the last minute, or of up to two.
    pub fn most(mut self, now: Instant) -> Duration {
        self.turn(now);
        self.running.max(self.before)
    }

    /// In a sentence, with the remedy.
    pub fn problem(self, now: Instant) -> Option<String> {
        let most = self.most(now);
        (most > TOO_LATE).then(|| {
            format!(
                "checks began up to {:.1} s late within the last two minutes: the machine is too busy for them; \
                 give it more or faster processors, or the checks a longer `interval`",
                most.as_secs_f64()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// The first check has begun, whenever it was due.
    fn begun(at: Instant) -> Lateness {
        let mut lateness = Lateness::default();
        lateness.note(at, at);
        lateness
    }

    #[test]
    fn the_most_is_kept_for_a_minute_or_two() {
        let start = Instant::now();
        let mut lateness = begun(start);
        lateness.note(start + ms(100), start + ms(130));
        lateness.note(start + ms(200), start + ms(207));
        assert_eq!(lateness.most(start + ms(300)), ms(30));
        // The next minute has its own, and that before still counts.
        lateness.note(start + ms(61_000), start + ms(61_002));
        assert_eq!(lateness.most(start + ms(62_000)), ms(30));
        lateness.note(start + ms(122_000), start + ms(122_003));
        assert_eq!(lateness.most(start + ms(122_000)), ms(3));
        // Nobody has been late for long when nothing has been due for long.
        assert_eq!(lateness.most(start + ms(600_000)), Duration::ZERO);
    }

    #[test]
    fn what_was_due_before_checks_were_made_is_not_late() {
        let start = Instant::now();
        let mut lateness = begun(start + ms(5_000));
        // Of many that were due at the start, one after another.
        lateness.note(start, start + ms(5_010));
        assert_eq!(lateness.most(start + ms(5_010)), ms(10));
        // Too early is not late.
        lateness.note(start + ms(9_000), start + ms(8_000));
        assert_eq!(lateness.most(start + ms(9_000)), ms(10));
    }

    #[test]
    fn more_than_a_second_is_a_problem_with_a_remedy() {
        let start = Instant::now();
        let mut lateness = begun(start);
        lateness.note(start, start + ms(1_000));
        assert_eq!(lateness.problem(start + ms(1_000)), None);
        lateness.note(start, start + ms(1_260));
        let said = lateness.problem(start + ms(2_000)).unwrap();
        assert!(
            said.starts_with(
                "checks began up to 1.3 s late within the last two minutes: the machine is too busy"
            ),
            "{said}"
        );
        assert_eq!(lateness.problem(start + ms(200_000)), None);
    }
}
