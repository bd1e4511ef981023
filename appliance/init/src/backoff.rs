//! How long the next start of a program is held back: not at all after the first end, then twice as long each time,
//! until it has lived for a while; one that came to its work waits for no longer than half of its life. It never gives up.
//! Pure. Must not: look at a clock.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
/// Long enough that a program which dies at each start leaves the processor to the traffic.
pub const LONGEST: Duration = Duration::from_secs(10);
/// Long enough that a start was not what killed it: the agent has its first pass behind it. While it is held back nobody
/// checks the servers, so that is kept short; a life at least twice as long leaves the processor to the traffic as well.
const WORKED: Duration = Duration::from_millis(500);
/// Whoever has lived this long starts anew.
const PROVEN: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    /// The program has ended after living this long: how long to wait before it is started again.
    pub fn after(&mut self, alive: Duration) -> Duration {
        if alive >= PROVEN {
            self.next = Duration::ZERO;
        } else if alive >= WORKED {
            self.next = self.next.min(alive / 2);
        }
        let delay = self.next;
        self.next = (delay * 2).clamp(FIRST, LONGEST);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_at_once_then_the_delay_doubles_up_to_its_bound() {
        let mut backoff = Backoff::default();
        let delays: Vec<_> = (0..10)
            .map(|_| backoff.after(Duration::from_millis(499)).as_millis())
            .collect();
        assert_eq!(delays, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }

    #[test]
    fn one_that_worked_is_back_within_half_of_its_life() {
        let mut backoff = Backoff::default();
        for _ in 0..10 {
            backoff.after(Duration::from_millis(10));
        }
        assert_eq!(backoff.after(Duration::from_secs(1)), Duration::from_millis(500));
        assert_eq!(
            backoff.after(Duration::from_millis(800)),
            Duration::from_millis(400)
        );
        assert_eq!(backoff.after(Duration::from_secs(59)), Duration::from_millis(800));
        // And one that dies at each start is held back again.
        assert_eq!(backoff.after(Duration::ZERO), Duration::from_millis(1_600));
    }

    #[test]
    fn a_minute_of_life_starts_anew() {
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            backoff.after(Duration::from_millis(10));
        }
        assert_eq!(backoff.after(PROVEN), Duration::ZERO);
        assert_eq!(backoff.after(Duration::ZERO), FIRST);
    }
}
