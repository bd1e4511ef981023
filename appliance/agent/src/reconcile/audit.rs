//! Audits: what others have changed in the kernel is found within seconds. Mostly nothing has, so the kernel is first compared
//! with what is known of it; only what differs is read back whole, and planned.
//! Must not: plan, or skip the plan while a former one has left something to do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_core::observed::SysctlName;

use super::{Phase, Reconcile};
use crate::engine::Engine;
use crate::kernel_thread::{Job, Scope};

/// The kernel is looked at at this pace; a table that takes long, less often: looking takes at most a twentieth of the time.
pub(super) const AUDIT_INTERVAL: Duration = Duration::from_secs(10);
const AUDIT_SHARE: u32 = 20;
const AUDIT_INTERVAL_MAX: Duration = Duration::from_mins(1);
/// However well everything compares, it is read back whole, and planned, at this pace: against faults of our own.
const WHOLE_INTERVAL: Duration = Duration::from_mins(5);

/// What the last audits have found.
#[derive(Debug, Default)]
pub(super) struct Audits {
    /// The last one, and how long that may stand.
    last: Option<Instant>,
    interval: Duration,
    /// When everything was last read back whole.
    whole: Option<Instant>,
    /// The last plan found nothing to do. What has become to do since then is known as such, and takes the short way or a pass.
    pub settled: bool,
}

impl Audits {
    pub fn next(&self, started: Instant) -> Instant {
        self.last.unwrap_or(started) + self.interval.max(AUDIT_INTERVAL)
    }

    pub fn is_due(&self, started: Instant, now: Instant) -> bool {
        self.last.is_none() || now >= self.next(started)
    }

    /// The kernel was looked at, from `since` to `now`.
    fn done(&mut self, since: Instant, now: Instant) {
        self.last = Some(now);
        self.interval = ((now - since) * AUDIT_SHARE).min(AUDIT_INTERVAL_MAX);
    }

    pub fn read_whole(&mut self, since: Instant, now: Instant) {
        self.done(since, now);
        self.whole = Some(now);
    }

    /// Whether it is enough to compare.
    pub fn may_compare(&self, now: Instant) -> bool {
        self.settled && self.whole.is_some_and(|whole| now < whole + WHOLE_INTERVAL)
    }
}

impl Reconcile {
    pub fn next_audit(&self, started: Instant) -> Instant {
        self.audits.next(started)
    }
}

impl Engine {
    /// The answer is [`on_as_known`](Self::on_as_known), or what was read back.
    pub(super) fn compare(&mut self) {
        let names: BTreeSet<SysctlName> = self.managed_sysctls();
        self.send(Job::Audit(names.clone(), Arc::clone(&self.observed)));
        self.reconcile.phase = Phase::Observing(names, Instant::now());
    }

    /// Everything in the kernel. `doubtful`: what is known of it may be wrong.
    pub(super) fn audit(&mut self, doubtful: bool, now: Instant) {
        // Steps that are on their way are not known yet.
        let known = !doubtful && !self.reconcile.changed && !self.reconcile.short.is_under_way();
        if known && self.reconcile.audits.may_compare(now) {
            return self.compare();
        }
        self.observe(Scope::Everything);
    }

    /// Nothing is other than it is known, and nothing was left to do.
    pub fn on_as_known(&mut self) {
        let Phase::Observing(_, since) = std::mem::take(&mut self.reconcile.phase) else {
            log::error!("an audit has ended that nobody asked for");
            return;
        };
        self.reconcile.audits.done(since, Instant::now());
        self.end_pass();
    }
}
