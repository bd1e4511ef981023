//! Whether the agent's loop still turns: it counts in a file, every few seconds, and a count that stays is a hung agent, which forwards and
//! checks nothing new. Must not: kill anybody, read the file, or judge an agent while this machine itself was stopped.

use std::time::{Duration, Instant};

use lb_core::control::PULSE_EVERY;

/// Looks with the same count until it hangs: half a minute, far more than the longest turn of a machine under load.
const LOOKS: u32 = 6;
/// The same before the first beat: a start reads the configuration and what the kernel has.
const LOOKS_AT_START: u32 = 24;
/// A look that comes so late says that init did not run either: a virtual machine was paused, or its host was.
const LATE: u32 = 2;

#[derive(Debug, Default)]
pub struct Pulse {
    count: Option<u64>,
    has_beaten: bool,
    still: u32,
    next: Option<Instant>,
}

impl Pulse {
    /// An agent has started: what was seen before is another's.
    pub fn started(&mut self, now: Instant) {
        *self = Pulse {
            next: Some(now + PULSE_EVERY),
            ..Pulse::default()
        };
    }

    pub fn stop(&mut self) {
        *self = Pulse::default();
    }

    /// `None`: no agent runs.
    pub fn next_look(&self) -> Option<Instant> {
        self.next
    }

    /// When a look is due. `count`: what is in the file; without one nothing is known, and nobody is judged. For how long the agent has stood still, if
    /// that is too long.
    pub fn look(&mut self, now: Instant, count: Option<u64>) -> Option<Duration> {
        let due = self.next?;
        self.next = Some(now + PULSE_EVERY);
        if count.is_none() || count != self.count {
            // An agent begins with 0, and its loop goes on from there.
            self.has_beaten |= count > Some(0);
            self.count = count;
            self.still = 0;
            return None;
        }
        if now.saturating_duration_since(due) < PULSE_EVERY * (LATE - 1) {
            self.still += 1;
        }
        let limit = if self.has_beaten { LOOKS } else { LOOKS_AT_START };
        (self.still >= limit).then(|| PULSE_EVERY * self.still)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks, each with the time since the one before in seconds, and the count that is found. The number of the one that finds a hung agent.
    fn hangs(looks: impl IntoIterator<Item = (u64, Option<u64>)>) -> Option<usize> {
        let mut now = Instant::now();
        let mut pulse = Pulse::default();
        pulse.started(now);
        for (n, (after, count)) in looks.into_iter().enumerate() {
            now += Duration::from_secs(after);
            if pulse.look(now, count).is_some() {
                return Some(n + 1);
            }
        }
        None
    }

    #[test]
    fn a_count_that_stays_is_a_hung_agent_and_one_that_moves_is_not() {
        assert_eq!(hangs((0..1_000).map(|n| (5, Some(n)))), None);
        // Beats at every second look.
        assert_eq!(hangs((0..1_000).map(|n| (5, Some(n / 5)))), None);
        let stops = |at: u64| (0..100).map(move |n| (5, Some(n.min(at))));
        assert_eq!(hangs(stops(10)), Some(11 + LOOKS as usize));
        // It stopped right after its first turn.
        assert_eq!(hangs((0..100).map(|_| (5, Some(1)))), Some(1 + LOOKS as usize));
    }

    #[test]
    fn a_start_may_take_longer_but_not_for_ever() {
        assert_eq!(
            hangs((0..100).map(|_| (5, Some(0)))),
            Some(1 + LOOKS_AT_START as usize)
        );
        let late = (0..100).map(|n: u64| (5, Some(n.saturating_sub(20))));
        assert_eq!(hangs(late), None);
    }

    #[test]
    fn a_machine_that_was_stopped_judges_nobody() {
        let paused = (0..100).map(|_| (3600, Some(1)));
        assert_eq!(hangs(paused), None);
    }

    #[test]
    fn without_a_file_nobody_is_judged() {
        assert_eq!(hangs((0..100).map(|_| (5, None))), None);
        // It was there, and is unreadable now and then.
        let now_and_then = (0..100).map(|n| (5, (n % 4 != 0).then_some(7)));
        assert_eq!(hangs(now_and_then), None);
    }

    #[test]
    fn looks_are_due_only_while_an_agent_runs() {
        let now = Instant::now();
        let mut pulse = Pulse::default();
        assert_eq!((pulse.next_look(), pulse.look(now, Some(1))), (None, None));
        pulse.started(now);
        assert_eq!(pulse.next_look(), Some(now + PULSE_EVERY));
        pulse.stop();
        assert_eq!(pulse.next_look(), None);
    }
}
