//! Passes: read back, plan, apply, read back again, until nothing is left to do or the kernel keeps refusing. A change
//! of one server's health takes the short way: its pool is planned from what is known and nothing is read back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use lb_core::control::{ApplyReport, Response};
use lb_core::desired::{self, FORWARDING, Network, Pools};
use lb_core::model::VirtualKey;
use lb_core::observed::{Observed, SysctlName};
use lb_core::plan::{self, Step};
use lb_core::ports::KernelError;
use tokio::sync::oneshot;

use crate::engine::{AUDIT_INTERVAL, Engine};
use crate::kernel_thread::{Job, Outcomes};

/// A pass that has not settled after so many rounds is left to the next audit.
const ROUNDS: u32 = 4;

/// How long a start waits for the results of first checks before it reads everything back.
const FIRST_CHECKS: Duration = Duration::from_millis(250);

/// Somebody who waits for the next whole pass to end.
#[derive(Debug)]
pub struct Waiter {
    pub report: ApplyReport,
    pub reply: oneshot::Sender<Response>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    /// Reading back; these sysctls were asked for.
    Observing(BTreeSet<SysctlName>),
    /// `moves_packets`: some of the steps change links, addresses or routes.
    Applying { moves_packets: bool },
    /// Pools only, by the short way.
    ApplyingPools,
}

#[derive(Debug, Default)]
pub struct Reconcile {
    phase: Phase,
    round: u32,
    /// Whether this pass carries out a new configuration: then its steps are no repairs.
    changed: bool,
    changed_next: bool,
    full_wanted: bool,
    dirty: BTreeSet<VirtualKey>,
    /// Pools whose servers changed their health since the kernel was last read: their steps are no repairs.
    expected: BTreeSet<VirtualKey>,
    /// The same for the filter: a service is to be opened.
    opening: bool,
    /// When links, addresses or routes were changed last: checks that began before say nothing.
    network_changed: Option<Instant>,
    /// At a start: when what was applied is read back.
    verify_at: Option<Instant>,
    steps: Vec<String>,
    failed: Vec<String>,
    pub last_failed: Vec<String>,
    pub repairs: u64,
    pub last_full: Option<Instant>,
    /// When the neighbours are told of addresses whose services are not all open: no longer than first checks take.
    announce_at: Option<Instant>,
    /// Announcements under way: their answers are not those of a pass.
    announcements: u32,
    /// Waiters of the pass that runs, and of the one after it.
    current: Vec<Waiter>,
    next: Vec<Waiter>,
}

impl Reconcile {
    pub fn next_audit(&self, started: Instant) -> Instant {
        self.last_full.unwrap_or(started) + AUDIT_INTERVAL
    }

    /// When the loop has to come back, at the latest.
    pub fn deadline(&self, started: Instant) -> Instant {
        let pass = self.verify_at.unwrap_or_else(|| self.next_audit(started));
        self.announce_at.map_or(pass, |at| at.min(pass))
    }

    pub fn network_changed_since(&self, started: Instant) -> bool {
        self.phase == Phase::Applying { moves_packets: true }
            || self.network_changed.is_some_and(|changed| started < changed)
    }

    pub fn audit_soon(&mut self) {
        self.full_wanted = true;
    }

    pub fn pool_dirty(&mut self, service: VirtualKey) {
        self.dirty.insert(service);
    }

    /// A service has become ready for its clients, or a new one has to wait: the filter follows.
    pub fn doors_changed(&mut self) {
        self.opening = true;
    }

    /// A new configuration is in force: a whole pass is due, and its waiter is answered at its end.
    pub fn config_changed(&mut self, waiter: Option<Waiter>) {
        self.changed_next = true;
        self.full_wanted = true;
        self.next.extend(waiter);
    }
}

impl Engine {
    pub fn continue_reconcile(&mut self, now: Instant) {
        if self.reconcile.announce_at.is_some_and(|at| now >= at) {
            self.reconcile.announce_at = None;
            self.announce(plan::announce(&self.network, self.network.quiet.clone()));
        }
        if self.reconcile.phase != Phase::Idle {
            return;
        }
        // The short way first: a server that is down must leave its pool now.
        let urgent = self.reconcile.opening || !self.reconcile.dirty.is_empty();
        if urgent && self.start_pools() {
            return;
        }
        if let Some(at) = self.reconcile.verify_at {
            if now >= at {
                self.reconcile.verify_at = None;
                self.observe();
            }
            return;
        }
        if self.reconcile.full_wanted || now >= self.reconcile.next_audit(self.started) {
            self.start_full_pass();
        }
    }

    pub fn start_full_pass(&mut self) {
        self.reconcile.full_wanted = false;
        self.reconcile.changed = std::mem::take(&mut self.reconcile.changed_next);
        self.reconcile.round = 1;
        self.reconcile.steps.clear();
        self.reconcile.failed.clear();
        let waiters = std::mem::take(&mut self.reconcile.next);
        self.reconcile.current = waiters;
        self.observe();
    }

    fn observe(&mut self) {
        let network = self.wanted_network(&self.observed);
        let names = sysctl_names(&network);
        self.send(Job::Observe(names.clone()));
        self.reconcile.phase = Phase::Observing(names);
    }

    fn wanted_network(&self, observed: &Observed) -> Network {
        desired::network(
            self.config.as_ref(),
            &observed.links,
            self.memory_bytes,
            |service| self.checks.is_open(service),
        )
    }

    fn wanted_pools(&self) -> Pools {
        let services = self.config.iter().flat_map(|c| &c.virtual_servers);
        services
            .map(|service| (service.key, self.desired_pool(service)))
            .collect()
    }

    pub fn on_observed(&mut self, observed: Result<Observed, KernelError>) {
        let Phase::Observing(asked) = std::mem::take(&mut self.reconcile.phase) else {
            log::error!("a read-back arrived that nobody asked for");
            return;
        };
        let observed = match observed {
            Ok(observed) => observed,
            Err(error) => {
                self.reconcile.failed.push(error.to_string());
                return self.end_pass();
            }
        };
        self.links_seen(&observed);
        self.observed = observed;
        if let Some(config) = &self.config {
            let seen = &self.observed.virtual_servers;
            let serving = |key: &lb_core::model::ServerKey| {
                let real = seen.get(&key.service).and_then(|v| v.servers.get(&key.server));
                real.is_some_and(|r| r.weight.value() > 0)
            };
            self.checks.configure(Instant::now(), config, serving);
        } else {
            self.checks
                .configure(Instant::now(), &lb_core::config::Config::empty(), |_| false);
        }
        self.network = self.wanted_network(&self.observed);
        let steps = plan::diff(&self.network, &self.wanted_pools(), &self.observed);
        self.reconcile.expected = std::mem::take(&mut self.reconcile.dirty);
        let all_asked = sysctl_names(&self.network).is_subset(&asked);
        let settled = steps.is_empty() && all_asked;
        if settled || self.reconcile.round > ROUNDS || self.only_refused_again(&steps, all_asked) {
            return self.end_pass();
        }
        self.note_repairs(&steps);
        self.reconcile.failed.clear();
        let moves_packets = steps.iter().any(Step::moves_packets);
        self.send(Job::Apply(steps));
        self.reconcile.phase = Phase::Applying { moves_packets };
    }

    /// The kernel refused exactly this before: asking once more is for the next audit.
    fn only_refused_again(&self, steps: &[Step], all_asked: bool) -> bool {
        let failed = &self.reconcile.failed;
        let refused = |step: &Step| {
            let line = format!("{step}: ");
            failed.iter().any(|f| f.starts_with(&line))
        };
        all_asked && self.reconcile.round > 1 && steps.iter().all(refused)
    }

    fn note_repairs(&mut self, steps: &[Step]) {
        let audit =
            self.reconcile.round == 1 && !self.reconcile.changed && self.reconcile.last_full.is_some();
        let opening = std::mem::take(&mut self.reconcile.opening);
        if !audit {
            return self.log_steps(steps);
        }
        for step in steps {
            let expected = match step {
                Step::ReplaceRuleset(_) => opening,
                Step::Announce { .. } => true,
                other => other
                    .service()
                    .is_some_and(|key| self.reconcile.expected.contains(&key)),
            };
            if !expected {
                log::warn!("repair: {}", self.line(step));
                self.reconcile.repairs += 1;
            } else {
                self.log_step(step);
            }
        }
    }

    /// A link that has got its carrier back is announced, and what could not be checked is checked at once.
    fn links_seen(&mut self, observed: &Observed) {
        let mut regained = false;
        for (name, link) in &observed.links {
            let before = self.observed.links.get(name);
            if link.loopback {
                continue;
            }
            if link.carrier && before.is_some_and(|b| !b.carrier) {
                regained = true;
                let owned = self.network.links.get(name).map(|wanted| &wanted.addresses);
                let announce = |address: &ipnet::IpNet| Step::Announce {
                    link: name.clone(),
                    address: address.addr(),
                };
                let steps: Vec<Step> = owned.into_iter().flatten().map(announce).collect();
                log::warn!("link {name} has a carrier");
                self.announce(steps);
            } else if !link.carrier && link.admin_up && before.is_some_and(|b| b.carrier) {
                log::warn!("link {name} has lost its carrier");
            }
        }
        if regained || observed.links != self.observed.links {
            self.checks.retry_unchecked(Instant::now());
        }
    }

    fn announce(&mut self, steps: Vec<Step>) {
        if !steps.is_empty() {
            self.send(Job::Apply(steps));
            self.reconcile.announcements += 1;
        }
    }

    pub fn on_applied(&mut self, outcomes: Outcomes) {
        if self.reconcile.announcements > 0 {
            let announced = outcomes
                .iter()
                .all(|(step, _)| matches!(step, Step::Announce { .. }));
            if announced {
                self.reconcile.announcements -= 1;
                return;
            }
        }
        // What the kernel refuses again at each audit changes nothing, and must not keep long checks from ending.
        let moved = |(step, result): &(Step, Result<(), KernelError>)| result.is_ok() && step.moves_packets();
        if outcomes.iter().any(moved) {
            self.reconcile.network_changed = Some(Instant::now());
        }
        for (step, result) in &outcomes {
            match result {
                Ok(()) => {
                    let line = self.line(step);
                    self.reconcile.steps.push(line);
                }
                Err(error) => {
                    log::error!("{error}");
                    self.reconcile.failed.push(error.to_string());
                }
            }
        }
        match std::mem::take(&mut self.reconcile.phase) {
            Phase::Applying { .. } => {
                self.reconcile.round += 1;
                let added = |(step, _): &(Step, _)| matches!(step, Step::AddAddress { .. });
                if outcomes.iter().any(added) && !self.network.quiet.is_empty() {
                    self.reconcile.announce_at = Some(Instant::now() + FIRST_CHECKS);
                }
                // The network stands, as far as it can: checks need not wait for the proof, and at a start the proof waits for
                // the first of them, so that clients are let in as early as can be.
                if !self.checking {
                    self.checking = true;
                    self.assume_applied(&outcomes);
                    self.reconcile.verify_at = Some(Instant::now() + FIRST_CHECKS);
                } else {
                    self.observe();
                }
            }
            Phase::ApplyingPools => self.pools_applied(&outcomes),
            Phase::Idle | Phase::Observing(_) => log::error!("steps were carried out that nobody asked for"),
        }
    }

    /// Links that were just switched on are taken to have their cable in, so that the first checks are made.
    fn assume_applied(&mut self, outcomes: &Outcomes) {
        for (step, _) in outcomes.iter().filter(|(_, result)| result.is_ok()) {
            self.observed.assume(step);
            if let Step::SetLinkUp(name) = step
                && let Some(link) = self.observed.links.get_mut(name)
            {
                link.carrier = true;
            }
        }
    }

    /// Whether there was anything to do.
    fn start_pools(&mut self) -> bool {
        let dirty = std::mem::take(&mut self.reconcile.dirty);
        let mut steps = Vec::new();
        for key in &dirty {
            if let Some(service) = self.service(key) {
                let pool = self.desired_pool(service);
                steps.extend(plan::diff_pool(
                    *key,
                    &pool,
                    self.observed.virtual_servers.get(key),
                ));
            }
        }
        if std::mem::take(&mut self.reconcile.opening) {
            self.network = self.wanted_network(&self.observed);
            let rules = &self.network.ruleset;
            if self.observed.ruleset.as_ref() != Some(rules) {
                steps.push(Step::ReplaceRuleset(rules.clone()));
                steps.extend(plan::announce_opened(&self.network, &self.observed));
            }
        }
        if steps.is_empty() {
            return false;
        }
        self.log_steps(&steps);
        self.reconcile.failed.clear();
        self.send(Job::Apply(steps));
        self.reconcile.phase = Phase::ApplyingPools;
        true
    }

    /// What was applied is known; after a refusal only a read-back tells.
    fn pools_applied(&mut self, outcomes: &Outcomes) {
        if outcomes.iter().any(|(_, result)| result.is_err()) {
            self.reconcile.full_wanted = true;
            return;
        }
        for (step, _) in outcomes {
            self.observed.assume(step);
        }
    }

    /// The step as it is shown: a mark says nothing without its service's name.
    fn line(&self, step: &Step) -> String {
        let marked = step.service().filter(|key| matches!(key, VirtualKey::Mark(_)));
        match marked.and_then(|key| self.service(&key)) {
            Some(service) => format!("{step} ({})", service.name),
            None => step.to_string(),
        }
    }

    /// More steps than an operator reads, and than the log holds without losing what came before, are counted by their kinds.
    fn log_steps(&self, steps: &[Step]) {
        const MANY: usize = 200;
        if steps.len() <= MANY {
            return steps.iter().for_each(|step| self.log_step(step));
        }
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for step in steps {
            let line = step.to_string();
            let kind: Vec<&str> = line.split(' ').take(2).collect();
            *kinds.entry(kind.join(" ")).or_default() += 1;
        }
        let counted: Vec<String> = kinds
            .iter()
            .map(|(kind, times)| format!("{times} x {kind}"))
            .collect();
        log::info!("{} steps: {}", steps.len(), counted.join(", "));
    }

    /// The many sysctls of a start are worth a line each only to those who look for them.
    fn log_step(&self, step: &Step) {
        let level = match step {
            Step::SetSysctl { .. } => log::Level::Debug,
            _ => log::Level::Info,
        };
        log::log!(level, "{}", self.line(step));
    }

    fn end_pass(&mut self) {
        let failed = std::mem::take(&mut self.reconcile.failed);
        self.reconcile.last_full = Some(Instant::now());
        if failed.is_empty() {
            self.keep_applied();
        }
        let steps = std::mem::take(&mut self.reconcile.steps);
        for Waiter { mut report, reply } in std::mem::take(&mut self.reconcile.current) {
            report.steps.clone_from(&steps);
            report.failed.clone_from(&failed);
            // What this machine cannot give of what the file asks for.
            report
                .check
                .warnings
                .extend(self.network.problems.iter().cloned());
            // The client may have gone: the change stands all the same.
            let _ = reply.send(Response::Apply(report));
        }
        self.reconcile.last_failed = failed;
        self.checking = true;
        self.become_ready();
    }
}

fn sysctl_names(network: &Network) -> BTreeSet<SysctlName> {
    network
        .sysctls
        .keys()
        .cloned()
        .chain(FORWARDING.map(str::to_owned))
        .collect()
}
