//! One console's lock: it locks when nothing was typed for some time, and opens with the password. After a wrong one the next has to wait, longer each time, and
//! never for good. Must not: know the password, or read a clock.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// How long a console may be left alone before it locks. Less locks people out while they think.
pub const IDLE: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_hours(24);
pub const IDLE_DEFAULT: Duration = Duration::from_mins(10);
/// After the first wrong password; each further one doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The owner of the machine who mistypes must get in as well.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// So many wrong passwords are told one by one, and then each time that their number has doubled: whoever tries all night must not push all else out of
/// the events.
const TOLD_SINGLY: u32 = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    locked: bool,
    last_key: Instant,
    /// Wrong passwords since it was opened with the right one.
    wrong: u32,
    /// No password is looked at before.
    not_before: Option<Instant>,
}

/// What came of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// It was not looked at: so much time is left.
    Early(Duration),
    /// So many were wrong before.
    Right { wrong: u32 },
    Wrong {
        /// Since it was opened.
        times: u32,
        wait: Duration,
        /// Whether it belongs into the log and the events.
        told: bool,
    },
}

impl Lock {
    /// An open console.
    pub fn open(now: Instant) -> Lock {
        Lock {
            locked: false,
            last_key: now,
            wrong: 0,
            not_before: None,
        }
    }

    pub fn is_locked(&self) -> bool {
        self.locked
    }

    /// Something was typed.
    pub fn key(&mut self, now: Instant) {
        self.last_key = self.last_key.max(now);
    }

    /// When it locks if nothing is typed.
    pub fn due(&self, idle: Duration) -> Instant {
        self.last_key + idle
    }

    /// Locks if nothing was typed for `idle`; whether it is locked.
    pub fn look(&mut self, idle: Duration, now: Instant) -> bool {
        self.locked |= now >= self.due(idle);
        self.locked
    }

    /// At once.
    pub fn lock(&mut self) {
        self.locked = true;
    }

    /// There is no password any more.
    pub fn unguarded(&mut self, now: Instant) {
        *self = Lock::open(now);
    }

    /// How long no password is looked at.
    pub fn waits(&self, now: Instant) -> Option<Duration> {
        let left = self.not_before?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Somebody gave a password, at the lock or at an open console that asks for it.
    pub fn attempt(&mut self, right: bool, now: Instant) -> Attempt {
        if let Some(left) = self.waits(now) {
            return Attempt::Early(left);
        }
        if right {
            let wrong = self.wrong;
            *self = Lock::open(now);
            return Attempt::Right { wrong };
        }
        let wait = wait_after(self.wrong);
        self.wrong = self.wrong.saturating_add(1);
        self.not_before = Some(now + wait);
        Attempt::Wrong {
            times: self.wrong,
            wait,
            told: self.wrong <= TOLD_SINGLY || self.wrong.is_power_of_two(),
        }
    }
}

/// 1 s, 2 s, 4 s, 8 s, 16 s, 30 s, and so on.
fn wait_after(wrong: u32) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << wrong.min(5));
    doubled.min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_locks_when_nothing_is_typed_and_at_once_when_it_is_told_to() {
        let start = Instant::now();
        let mut lock = Lock::open(start);
        assert!(!lock.look(10 * SECOND, start + 9 * SECOND));
        lock.key(start + 9 * SECOND);
        assert!(!lock.look(10 * SECOND, start + 18 * SECOND));
        assert_eq!(lock.due(10 * SECOND), start + 19 * SECOND);
        assert!(lock.look(10 * SECOND, start + 19 * SECOND));
        // A key does not open it.
        lock.key(start + 20 * SECOND);
        assert!(lock.look(10 * SECOND, start + 20 * SECOND) && lock.is_locked());
        assert_eq!(
            lock.attempt(true, start + 21 * SECOND),
            Attempt::Right { wrong: 0 }
        );
        assert!(!lock.look(10 * SECOND, start + 30 * SECOND));
        lock.lock();
        assert!(lock.is_locked());
        lock.unguarded(start + 40 * SECOND);
        assert!(!lock.is_locked());
    }

    #[test]
    fn waits_grow_to_their_limit_and_a_right_password_ends_them() {
        let mut now = Instant::now();
        let mut lock = Lock::open(now);
        lock.lock();
        let mut waits = Vec::new();
        let mut told = Vec::new();
        for number in 1..=20 {
            let Attempt::Wrong {
                times,
                wait,
                told: is_told,
            } = lock.attempt(false, now)
            else {
                panic!("attempt {number}");
            };
            assert_eq!(times, number);
            waits.push(wait.as_secs());
            told.extend(is_told.then_some(number));
            assert_eq!(lock.waits(now + wait / 2), Some(wait - wait / 2));
            now += wait;
            assert_eq!(lock.waits(now), None);
        }
        assert_eq!(waits[..8], [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(told, [1, 2, 3, 4, 8, 16]);
        assert_eq!(lock.attempt(true, now), Attempt::Right { wrong: 20 });
        assert!(!lock.is_locked());
        assert!(matches!(lock.attempt(false, now), Attempt::Wrong { wait, .. } if wait == SECOND));
    }

    #[derive(Debug, Clone)]
    enum Act {
        Key,
        Pass(u64),
        Look,
        Lock,
        Try(bool),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            Just(Act::Key),
            (0u64..40_000).prop_map(Act::Pass),
            Just(Act::Look),
            Just(Act::Lock),
            any::<bool>().prop_map(Act::Try),
        ];
        proptest::collection::vec(act, 0..200)
    }

    proptest! {
        /// Only the right password opens it, none is looked at before its time, and never is the next one more than 30 s away.
        #[test]
        fn only_the_right_password_in_its_time_opens_it(acts in acts()) {
            let start = Instant::now();
            let (mut now, idle) = (start, 60 * SECOND);
            let mut lock = Lock::open(start);
            let mut typed = start;
            let mut last_wrong: Option<(Instant, Duration)> = None;
            for act in acts {
                let before = lock.is_locked();
                match act {
                    Act::Pass(ms) => now += Duration::from_millis(ms),
                    Act::Key => {
                        lock.key(now);
                        typed = now;
                    }
                    Act::Look => {
                        let locked = lock.look(idle, now);
                        prop_assert_eq!(locked, before || now - typed >= idle);
                    }
                    Act::Lock => lock.lock(),
                    Act::Try(right) => match lock.attempt(right, now) {
                        Attempt::Early(left) => {
                            let (at, wait) = last_wrong.expect("only after a wrong one");
                            prop_assert_eq!(now + left, at + wait);
                            prop_assert_eq!(lock.is_locked(), before);
                        }
                        Attempt::Right { .. } => {
                            prop_assert!(right && !lock.is_locked());
                            prop_assert!(last_wrong.is_none_or(|(at, wait)| now >= at + wait));
                            last_wrong = None;
                            typed = now;
                        }
                        Attempt::Wrong { wait, .. } => {
                            prop_assert!(!right && lock.is_locked() == before);
                            prop_assert!(last_wrong.is_none_or(|(at, former)| now >= at + former && wait >= former));
                            prop_assert!(wait >= FIRST_WAIT && wait <= LONGEST_WAIT);
                            last_wrong = Some((now, wait));
                        }
                    },
                }
                if before {
                    prop_assert!(lock.is_locked() || matches!(act, Act::Try(true)));
                }
            }
        }
    }
}
