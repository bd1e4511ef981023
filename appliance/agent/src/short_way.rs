//! The short way: a change of single services is planned from what is known, and nothing is read back, so that it costs what
//! it changes, however many others there are. A server whose health has changed takes it, and so does a new configuration
//! that changes services only. Must not: change links, addresses or routes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_core::config::{Changed, Config, changed, unseen_by_the_kernel};
use lb_core::model::VirtualKey;
use lb_core::plan::{self, Step};

use crate::by_listen::find;
use crate::engine::Engine;
use crate::kernel_thread::{Job, Outcomes, Purpose};
use crate::reconcile::{Waiter, serving};

/// While one service after the other becomes ready, as at a start, opening them takes a third of the time at most: the filter's
/// sets are planned and read whole, and servers that are up wait meanwhile.
const DOORS_PAUSE: u32 = 2;

/// Who waits for what is being carried out, and for the next time.
#[derive(Debug, Default)]
pub struct ShortWay {
    current: Option<Vec<Waiter>>,
    next: Vec<Waiter>,
    /// When the filter that is being carried out was begun.
    doors_since: Option<Instant>,
    /// Not before then is it changed again, but for who waits.
    doors_at: Option<Instant>,
}

impl ShortWay {
    pub fn is_under_way(&self) -> bool {
        self.current.is_some()
    }

    pub fn has_waiters(&self) -> bool {
        let current = self.current.as_ref();
        !self.next.is_empty() || current.is_some_and(|current| !current.is_empty())
    }

    /// When services may be opened that are ready.
    pub fn doors_at(&self) -> Option<Instant> {
        self.doors_at.filter(|_| !self.is_under_way())
    }

    fn may_open(&self, now: Instant) -> bool {
        !self.next.is_empty() || self.doors_at.is_none_or(|at| now >= at)
    }

    fn doors_moved(&mut self, now: Instant) {
        if let Some(since) = self.doors_since.take() {
            let took: Duration = now.saturating_duration_since(since);
            self.doors_at = Some(now + took * DOORS_PAUSE);
        }
    }
}

impl Engine {
    /// Puts a configuration in force, and answers the waiter when the kernel has it.
    pub fn replace_config(&mut self, mut config: Option<Config>, mut waiter: Waiter) {
        if let Some(config) = &mut config {
            self.keep_leaving(config, Instant::now());
        }
        let old = self.put_in_force(config);
        if let (Some(old), Some(new)) = (&old, &self.config) {
            waiter.report.changed = unseen_by_the_kernel(old, new);
        }
        // What was planned of the one before is over; so it is clear whose steps are to come.
        let waiters = std::mem::take(&mut self.reconcile.short.next);
        if !self.reconcile.knows() {
            self.checks_configured = false;
            return self.reconcile.config_changed(waiters.into_iter().chain([waiter]));
        }
        let changed = match (&old, &self.config) {
            (Some(old), Some(new)) => changed(old, new),
            _ => Changed {
                network: true,
                rules: true,
                services: Default::default(),
            },
        };
        drop(old);
        if changed.network {
            self.configure_checks(Instant::now());
            return self.reconcile.config_changed(waiters.into_iter().chain([waiter]));
        }
        self.configure_changed(&changed);
        self.reconcile.opening |= changed.rules || changed.services.iter().any(|key| self.door_moves(key));
        self.reconcile.dirty.extend(changed.services);
        self.reconcile.short.next = waiters;
        self.reconcile.short.next.push(waiter);
    }

    fn configure_changed(&mut self, changed: &Changed) {
        let Some(config) = &self.config else {
            return;
        };
        let now = Instant::now();
        for key in &changed.services {
            let service = find(config, &self.by_listen, key);
            let observed = &self.observed;
            self.checks
                .configure_one(now, config, key, service, |key| serving(observed, key));
        }
    }

    /// Whether the filter is not yet, or no longer, as the service is.
    fn door_moves(&self, key: &VirtualKey) -> bool {
        let service = self.service(key);
        self.network.ruleset.admits(key) != service.is_some_and(|service| self.checks.is_open(service))
    }

    /// Whether steps are on their way now.
    pub fn try_short_way(&mut self, now: Instant) -> bool {
        let reconcile = &self.reconcile;
        if reconcile.is_applying() || reconcile.short.is_under_way() {
            return false;
        }
        let opens = reconcile.opening && reconcile.short.may_open(now);
        if !opens && reconcile.dirty.is_empty() && reconcile.short.next.is_empty() {
            return false;
        }
        let steps = self.plan_services(opens);
        let waiters = std::mem::take(&mut self.reconcile.short.next);
        if steps.is_empty() {
            self.keep_and_answer(waiters, &[]);
            return false;
        }
        self.log_steps(&steps);
        self.send(Job::Apply(Purpose::Services, steps));
        self.reconcile.short.current = Some(waiters);
        self.reconcile.short.doors_since = opens.then_some(now);
        true
    }

    fn plan_services(&mut self, opens: bool) -> Vec<Step> {
        let mut steps = Vec::new();
        for key in std::mem::take(&mut self.reconcile.dirty) {
            let seen = self.observed.virtual_servers.get(&key);
            match self.service(&key) {
                Some(service) => steps.extend(plan::diff_pool(key, &self.desired_pool(service), seen)),
                None => steps.extend(seen.map(|_| Step::DeleteVirtual(key))),
            }
        }
        if opens {
            self.reconcile.opening = false;
            self.network = self.wanted_network(&self.observed);
            let rules = &self.network.ruleset;
            if self.observed.ruleset.as_deref() != Some(rules) {
                steps.push(Step::ReplaceRuleset(Box::new(rules.clone())));
                steps.extend(plan::announce_opened(&self.network, &self.observed));
            }
        }
        steps
    }

    fn keep_and_answer(&mut self, waiters: Vec<Waiter>, steps: &[String]) {
        if !waiters.is_empty() {
            let answers = self.answers(waiters, steps, &[]);
            self.keep_or_answer(answers, true);
        }
    }

    /// What was applied is known; after a refusal only a read-back tells, and who waits waits for that.
    pub fn short_way_applied(&mut self, outcomes: &Outcomes) {
        for step in outcomes.done() {
            Arc::make_mut(&mut self.observed).assume(step);
        }
        let waiters = self.reconcile.short.current.take().unwrap_or_default();
        self.reconcile.short.doors_moved(Instant::now());
        if !outcomes.refused.is_empty() {
            self.reconcile.doubt();
            if !waiters.is_empty() {
                self.reconcile.config_changed(waiters);
            }
            return;
        }
        if !waiters.is_empty() {
            let steps: Vec<String> = outcomes.steps.iter().map(|step| self.line(step)).collect();
            self.keep_and_answer(waiters, &steps);
        }
    }
}
