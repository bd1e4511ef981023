//! The boot as a list of stages, run in order, each timed. A stage may wait for something (the agent) and is then asked
//! again; one that no console can do without holds the boot when it fails, until the operator retries or goes on.
//! Must not: know what the stages do.

use std::time::Duration;

use lb_core::control::StageReport;

/// One stage; `C` is what the stages work on.
#[derive(Debug)]
pub struct Stage<C> {
    pub name: &'static str,
    /// The boot does not go on by itself when this stage has failed.
    pub holds: bool,
    pub start: fn(&mut C) -> Result<Progress, String>,
    /// Asked after [`Progress::Waiting`], with the time since the start.
    pub wait: fn(&mut C, Duration) -> Result<Progress, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Done; the word for the console, `ok` if there is nothing to say.
    Done(&'static str),
    Waiting,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// The next stage has not been started.
    Ready,
    Waiting {
        since: Duration,
    },
    Held {
        reason: String,
    },
}

/// A stage that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub report: StageReport,
    /// The line for the console.
    pub line: String,
}

#[derive(Debug)]
pub struct Boot<C: 'static> {
    stages: &'static [Stage<C>],
    next: usize,
    state: State,
}

impl<C> Boot<C> {
    pub fn new(stages: &'static [Stage<C>]) -> Boot<C> {
        Boot {
            stages,
            next: 0,
            state: State::Ready,
        }
    }

    pub fn is_over(&self) -> bool {
        self.next == self.stages.len()
    }

    /// Why the boot does not go on, and at which stage.
    pub fn held(&self) -> Option<(&'static str, &str)> {
        match (&self.state, self.stages.get(self.next)) {
            (State::Held { reason }, Some(stage)) => Some((stage.name, reason)),
            _ => None,
        }
    }

    /// Whether something will come of calling [`Boot::advance`] again.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    /// Runs the failed stage again.
    pub fn retry(&mut self) {
        if self.held().is_some() {
            self.state = State::Ready;
        }
    }

    /// Goes on behind the failed stage.
    pub fn skip(&mut self) {
        if self.held().is_some() {
            self.next += 1;
            self.state = State::Ready;
        }
    }

    /// Starts the next stage, or asks the one that waits. `now` is the time since the kernel started. `None`: nothing
    /// has ended.
    pub fn advance(&mut self, context: &mut C, now: impl Fn() -> Duration) -> Option<Ended> {
        let stage = self.stages.get(self.next)?;
        let began = match &self.state {
            State::Held { .. } => return None,
            State::Ready => now(),
            State::Waiting { since } => *since,
        };
        let first = self.state == State::Ready;
        // If the stage panics, the boot is found held at it.
        self.state = State::Held {
            reason: "the stage was not finished".to_owned(),
        };
        let result = if first {
            (stage.start)(context)
        } else {
            (stage.wait)(context, now().saturating_sub(began))
        };
        match result {
            Ok(Progress::Waiting) => {
                self.state = State::Waiting { since: began };
                None
            }
            Ok(Progress::Done(word)) => Some(self.end(began, now(), Ok(word))),
            Err(reason) => Some(self.end(began, now(), Err(reason))),
        }
    }

    fn end(&mut self, began: Duration, now: Duration, result: Result<&'static str, String>) -> Ended {
        let stage = &self.stages[self.next];
        let report = StageReport {
            name: stage.name.to_owned(),
            at_ms: millis(began),
            took_ms: millis(now.saturating_sub(began)),
            failed: result.as_ref().err().cloned(),
        };
        let line = line(&report, now, result.as_ref().copied().unwrap_or("FAILED"));
        match result {
            Err(reason) if stage.holds => self.state = State::Held { reason },
            _ => {
                self.next += 1;
                self.state = State::Ready;
            }
        }
        Ended { report, line }
    }
}

/// `[  2.31] Mounts ................ ok 12 ms`, and the reason below it if there is one.
fn line(report: &StageReport, now: Duration, word: &str) -> String {
    let dots = ".".repeat(22usize.saturating_sub(report.name.len()));
    let line = format!(
        "[{:6.2}] {} {dots} {word} {} ms",
        now.as_secs_f64(),
        report.name,
        report.took_ms
    );
    match &report.failed {
        Some(reason) => format!("{line}\n         {reason}"),
        None => line,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// What the stages of the tests do, and what they were asked.
    #[derive(Default)]
    struct Fake {
        mounts: Vec<Result<Progress, String>>,
        ready_after: Duration,
        log: Vec<String>,
    }

    const STAGES: &[Stage<Fake>] = &[
        Stage {
            name: "Mounts",
            holds: true,
            start: Fake::mount,
            wait: Fake::never,
        },
        Stage {
            name: "Config volume",
            holds: false,
            start: Fake::volume,
            wait: Fake::never,
        },
        Stage {
            name: "Ready",
            holds: false,
            start: |_| Ok(Progress::Waiting),
            wait: Fake::ready,
        },
    ];

    impl Fake {
        fn mount(&mut self) -> Result<Progress, String> {
            self.log.push("mount".into());
            self.mounts.pop().unwrap_or(Ok(Progress::Done("ok")))
        }

        fn volume(&mut self) -> Result<Progress, String> {
            self.log.push("volume".into());
            Err("no partition".into())
        }

        fn ready(&mut self, waited: Duration) -> Result<Progress, String> {
            self.log.push(format!("ready? {}", waited.as_millis()));
            Ok(if waited >= self.ready_after {
                Progress::Done("ok")
            } else {
                Progress::Waiting
            })
        }

        fn never(&mut self, _: Duration) -> Result<Progress, String> {
            Err("asked though it did not wait".into())
        }
    }

    /// A clock that is 5 ms later each time it is looked at.
    fn clock() -> impl Fn() -> Duration {
        let now = Cell::new(2300);
        move || {
            now.set(now.get() + 5);
            Duration::from_millis(now.get())
        }
    }

    #[test]
    fn stages_run_in_order_and_a_failure_that_does_not_hold_is_passed_by() {
        let (mut fake, mut boot, now) = (Fake::default(), Boot::new(STAGES), clock());
        let first = boot.advance(&mut fake, &now).unwrap();
        assert_eq!(first.line, "[  2.31] Mounts ................ ok 5 ms");
        assert_eq!((first.report.at_ms, first.report.took_ms), (2305, 5));
        let second = boot.advance(&mut fake, &now).unwrap();
        assert_eq!(
            second.line,
            "[  2.32] Config volume ......... FAILED 5 ms\n         no partition"
        );
        assert_eq!(second.report.failed.as_deref(), Some("no partition"));
        assert!(boot.held().is_none() && !boot.is_over());
    }

    #[test]
    fn a_waiting_stage_is_asked_until_it_is_done() {
        let mut fake = Fake {
            ready_after: Duration::from_millis(20),
            ..Fake::default()
        };
        let (mut boot, now) = (Boot::new(STAGES), clock());
        boot.advance(&mut fake, &now);
        boot.advance(&mut fake, &now);
        let mut turns = 0;
        let ended = loop {
            turns += 1;
            if let Some(ended) = boot.advance(&mut fake, &now) {
                break ended;
            }
            assert!(boot.is_waiting());
        };
        assert!(turns > 2 && ended.report.took_ms >= 20);
        assert!(boot.is_over() && boot.advance(&mut fake, &now).is_none());
    }

    #[test]
    fn a_failure_that_holds_stops_the_boot_until_it_is_retried() {
        let mut fake = Fake {
            mounts: vec![Err("mount proc on /proc: ENOENT".into())],
            ..Fake::default()
        };
        let (mut boot, now) = (Boot::new(STAGES), clock());
        boot.advance(&mut fake, &now);
        assert_eq!(boot.held(), Some(("Mounts", "mount proc on /proc: ENOENT")));
        assert!(boot.advance(&mut fake, &now).is_none());
        assert_eq!(fake.log, ["mount"]);
        boot.retry();
        assert!(boot.advance(&mut fake, &now).unwrap().report.failed.is_none());
        assert!(boot.held().is_none());
        boot.retry();
        boot.skip();
        boot.advance(&mut fake, &now);
        assert_eq!(fake.log, ["mount", "mount", "volume"]);
    }

    #[test]
    fn a_held_stage_can_be_skipped() {
        let mut fake = Fake {
            mounts: vec![Err("no".into())],
            ..Fake::default()
        };
        let (mut boot, now) = (Boot::new(STAGES), clock());
        boot.advance(&mut fake, &now);
        boot.skip();
        boot.advance(&mut fake, &now);
        assert_eq!(fake.log, ["mount", "volume"]);
    }

    #[test]
    fn a_stage_that_panics_is_found_held() {
        const STAGES: &[Stage<()>] = &[Stage {
            name: "Mounts",
            holds: true,
            start: |_| panic!("bug"),
            wait: |_, _| Err(String::new()),
        }];
        let mut boot = Boot::new(STAGES);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            boot.advance(&mut (), || Duration::ZERO);
        }));
        assert!(caught.is_err());
        assert_eq!(boot.held(), Some(("Mounts", "the stage was not finished")));
    }
}
