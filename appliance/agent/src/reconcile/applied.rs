//! What follows when the kernel has carried steps out, or refused them: what is known of it then, and who is told.
//! Must not: plan.

use std::sync::Arc;
use std::time::Instant;

use lb_core::link_kind::LinkKind;
use lb_core::observed::{Observed, ObservedLink};
use lb_core::plan::Step;

use super::{FIRST_CHECKS, Phase, Waiter};
use crate::apply;
use crate::engine::Engine;
use crate::kernel_thread::{Outcomes, Purpose, Scope};

impl Engine {
    pub fn on_applied(&mut self, purpose: Purpose, outcomes: Outcomes) {
        for (_, error) in &outcomes.refused {
            log::error!("{error}");
        }
        match purpose {
            Purpose::Announcement => {}
            Purpose::Pass => self.pass_applied(&outcomes),
            Purpose::Services => {
                self.short_way_applied(&outcomes);
                if let Some((scope, observed)) = self.reconcile.held.take() {
                    let with_it = |mut observed: Observed| {
                        outcomes.done().for_each(|step| observed.assume(step));
                        observed
                    };
                    self.on_observed(scope, observed.map(with_it));
                }
            }
        }
    }

    fn pass_applied(&mut self, outcomes: &Outcomes) {
        // What the kernel refuses again at each audit changes nothing, and must not keep long checks from ending.
        if outcomes.done().any(Step::moves_packets) {
            self.reconcile.network_changed = Some(Instant::now());
        }
        if !self.reconcile.current.is_empty() {
            let lines: Vec<String> = outcomes.done().map(|step| self.line(step)).collect();
            self.reconcile.steps.extend(lines);
        }
        let refused = outcomes.refused.iter().map(|(_, error)| error.to_string());
        self.reconcile.failed.extend(refused);
        self.reconcile.phase = Phase::Idle;
        self.reconcile.round += 1;
        let added = |step: &Step| matches!(step, Step::AddAddress { .. });
        if outcomes.steps.iter().any(added) && !self.network.quiet.is_empty() {
            self.reconcile.announce_at = Some(Instant::now() + FIRST_CHECKS);
        }
        self.assume_applied(outcomes);
        // The network stands, as far as it can: checks need not wait for the proof, and at a start the proof waits for
        // the first of them, so that clients are let in as early as can be.
        if !self.checking {
            self.checking = true;
            self.reconcile.verify_at = Some(Instant::now() + FIRST_CHECKS);
        } else if outcomes.refused.is_empty() {
            self.observe(Scope::Frame);
        } else {
            self.observe(Scope::Everything);
        }
    }

    /// Cards that were just switched on are taken to have their cable in, so that the first checks are made; and with them the
    /// VLANs on them. A bond looks at its links before it has a carrier.
    fn assume_applied(&mut self, outcomes: &Outcomes) {
        // Of links the read-back tells, which is on its way.
        let known = |step: &&Step| !self.checking || step.service().is_some();
        let observed = Arc::make_mut(&mut self.observed);
        for step in outcomes.done().filter(known) {
            observed.assume(step);
            let Step::SetLinkUp(name) = step else {
                continue;
            };
            let links = &mut observed.links;
            let parent = |link: &ObservedLink| link.kind.as_ref().and_then(LinkKind::parent).cloned();
            let carrier = match links.get(name) {
                Some(link) if link.kind.is_none() => true,
                Some(link) => parent(link)
                    .and_then(|parent| links.get(&parent))
                    .is_some_and(|parent| parent.carrier),
                None => false,
            };
            if let Some(link) = links.get_mut(name) {
                link.carrier |= carrier;
            }
        }
    }

    /// What was carried out is kept, if nothing failed and it is the last word: what the keeper holds may be a newer one, which a later pass carries out.
    pub fn keep_or_answer(&mut self, answers: Vec<Waiter>, is_done: bool) {
        match is_done && !self.reconcile.has_newer() {
            true => self.keeper.keep(answers),
            false => self.keeper.answer(answers),
        }
    }

    pub(super) fn end_pass(&mut self) {
        let failed = std::mem::take(&mut self.reconcile.failed);
        self.reconcile.last_full = Some(Instant::now());
        let steps = std::mem::take(&mut self.reconcile.steps);
        let waiters = std::mem::take(&mut self.reconcile.current);
        let answers = self.answers(waiters, &steps, &failed);
        self.keep_or_answer(answers, failed.is_empty());
        self.reconcile.last_failed = failed;
        self.checking = true;
        self.become_ready();
    }

    /// The waiters with what they are told.
    pub fn answers(&self, waiters: Vec<Waiter>, steps: &[String], failed: &[String]) -> Vec<Waiter> {
        if waiters.is_empty() {
            return waiters;
        }
        let config = self.config.as_ref();
        let has = |name: &str| self.trust.has(name);
        let mut warnings = config.map_or_else(Vec::new, |config| apply::warnings(config, has));
        // What this machine cannot give of what the file asks for.
        warnings.extend(self.network.problems.iter().cloned());
        let told = |mut waiter: Waiter| {
            waiter.report.steps = steps.to_vec();
            waiter.report.failed = failed.to_vec();
            // Behind what is to be said of the change itself.
            waiter.report.check.warnings.extend(warnings.iter().cloned());
            waiter
        };
        waiters.into_iter().map(told).collect()
    }
}
