//! Passes: read back, plan, apply, read back again, until nothing is left to do or the kernel keeps refusing. The servers of
//! the services are read back at a start, when an audit (`audit`) finds that something differs, and when the kernel has refused
//! something; otherwise they are known. What concerns single services takes the short way (`short_way`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_core::control::{ApplyReport, Response};
use lb_core::desired::{self, FORWARDING, Given, IPV6_OFF, Network};
use lb_core::model::{ServerKey, VirtualKey, Weight};
use lb_core::observed::{Observed, SysctlName};
use lb_core::plan::{self, Step};
use lb_core::ports::KernelError;
use tokio::sync::oneshot;

use crate::carriers::Without;
use crate::engine::Engine;
use crate::kernel_thread::{Job, Purpose, Scope};
use crate::short_way::ShortWay;

mod applied;
mod audit;
#[cfg(test)]
mod tests;

use audit::Audits;

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

impl Waiter {
    pub fn answer(self) {
        // The client may have gone: the change stands all the same.
        let _ = self.reply.send(Response::Apply(self.report));
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    /// Reading back since then; these sysctls were asked for.
    Observing(BTreeSet<SysctlName>, Instant),
    /// `moves_packets`: some of the steps change links, addresses or routes.
    Applying { moves_packets: bool },
}

#[derive(Debug, Default)]
pub struct Reconcile {
    phase: Phase,
    round: u32,
    /// Whether this pass carries out a new configuration: then its steps are no repairs.
    changed: bool,
    changed_next: bool,
    pass_wanted: bool,
    /// What is known of the servers in the kernel may be wrong.
    doubtful: bool,
    pub(crate) dirty: BTreeSet<VirtualKey>,
    /// Pools whose servers changed their health since the kernel was last read: their steps are no repairs.
    expected: BTreeSet<VirtualKey>,
    /// The same for the filter: a service is to be opened.
    pub(crate) opening: bool,
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
    audits: Audits,
    /// Waiters of the pass that runs, and of the one after it.
    current: Vec<Waiter>,
    next: Vec<Waiter>,
    pub(crate) short: ShortWay,
    /// A read-back that arrived while the short way was being carried out.
    held: Option<(Scope, Result<Observed, KernelError>)>,
}

impl Reconcile {
    /// When the loop has to come back, at the latest; `None` while only an event can bring it on.
    pub fn deadline(&self, started: Instant) -> Option<Instant> {
        let idle = self.phase == Phase::Idle;
        let pass = idle.then(|| self.verify_at.unwrap_or_else(|| self.next_audit(started)));
        let doors = self.short.doors_at();
        let doors = doors.filter(|_| self.opening && !self.is_applying());
        [pass, self.announce_at, doors].into_iter().flatten().min()
    }

    pub fn network_changed_since(&self, started: Instant) -> bool {
        self.phase == Phase::Applying { moves_packets: true }
            || self.network_changed.is_some_and(|changed| started < changed)
    }

    /// Links, addresses or routes have changed.
    pub fn links_changed(&mut self) {
        self.pass_wanted = true;
    }

    pub fn pool_dirty(&mut self, service: VirtualKey) {
        self.dirty.insert(service);
    }

    /// A service has become ready for its clients, or a new one has to wait: the filter follows.
    pub fn doors_changed(&mut self) {
        self.opening = true;
    }

    /// A new configuration is in force: a pass is due, and who waits for it is answered at its end.
    pub fn config_changed(&mut self, waiters: impl IntoIterator<Item = Waiter>) {
        self.changed_next = true;
        self.pass_wanted = true;
        self.next.extend(waiters);
    }

    /// A change was refused: what the kernel holds shows only when it is read.
    pub fn doubt(&mut self) {
        self.doubtful = true;
        self.pass_wanted = true;
    }

    /// Whether a change is being carried out, or a start.
    pub fn is_changing(&self) -> bool {
        let waiting = !self.current.is_empty() || !self.next.is_empty() || self.short.has_waiters();
        waiting || self.changed_next || !self.knows()
    }

    /// Whether a configuration has come that neither this pass nor the short way has carried out.
    fn has_newer(&self) -> bool {
        self.changed_next || self.short.has_waiters()
    }

    /// Whether the network has been set up, and what the kernel holds is known.
    pub fn knows(&self) -> bool {
        self.last_full.is_some()
    }

    pub fn is_applying(&self) -> bool {
        matches!(self.phase, Phase::Applying { .. })
    }
}

impl Engine {
    pub fn continue_reconcile(&mut self, now: Instant) {
        if self.reconcile.announce_at.is_some_and(|at| now >= at) {
            self.reconcile.announce_at = None;
            self.announce(plan::announce(&self.network, self.network.quiet.clone()));
        }
        // A server that is down must leave its pool now, and who changed one waits: also while everything is read back.
        if self.try_short_way(now) || self.reconcile.phase != Phase::Idle {
            return;
        }
        if let Some(at) = self.reconcile.verify_at {
            if now >= at {
                self.reconcile.verify_at = None;
                self.observe(Scope::Frame);
            }
            return;
        }
        if self.reconcile.pass_wanted || now >= self.reconcile.next_audit(self.started) {
            self.start_pass(now);
        }
    }

    pub fn start_pass(&mut self, now: Instant) {
        self.reconcile.pass_wanted = false;
        self.reconcile.changed = std::mem::take(&mut self.reconcile.changed_next);
        self.reconcile.round = 1;
        self.reconcile.steps.clear();
        self.reconcile.failed.clear();
        let waiters = std::mem::take(&mut self.reconcile.next);
        self.reconcile.current = waiters;
        let doubtful = std::mem::take(&mut self.reconcile.doubtful);
        match doubtful || self.reconcile.audits.is_due(self.started, now) {
            true => self.audit(doubtful, now),
            false => self.observe(Scope::Frame),
        }
    }

    fn observe(&mut self, scope: Scope) {
        let names = self.managed_sysctls();
        self.send(Job::Observe(names.clone(), scope));
        self.reconcile.phase = Phase::Observing(names, Instant::now());
    }

    /// Those that a read-back has to tell.
    pub fn managed_sysctls(&self) -> BTreeSet<SysctlName> {
        let timeouts = self
            .config
            .as_ref()
            .map(|config| config.timeouts)
            .unwrap_or_default();
        let links = &self.observed.links;
        let mut sysctls = desired::sysctls(self.machine.memory_bytes, &timeouts, links.keys());
        sysctls.extend(desired::steering(self.machine.processors, links));
        let mut names = names(sysctls.keys());
        names.insert(IPV6_OFF.to_owned());
        names
    }

    pub fn wanted_network(&self, observed: &Observed) -> Network {
        let own = &self.own_mtus.own;
        let given = match &self.config {
            None if self.first_contact => Given::FirstContact,
            config => Given::from(config.as_ref()),
        };
        desired::network(given, &observed.links, own, self.machine, |service| {
            self.checks.is_open(service)
        })
    }

    pub fn on_observed(&mut self, scope: Scope, observed: Result<Observed, KernelError>) {
        if self.reconcile.short.is_under_way() {
            self.reconcile.held = Some((scope, observed));
            return;
        }
        let Phase::Observing(asked, since) = std::mem::take(&mut self.reconcile.phase) else {
            log::error!("a read-back arrived that nobody asked for");
            return;
        };
        let mut observed = match observed {
            Ok(observed) => observed,
            Err(error) => {
                self.reconcile.failed.push(error.to_string());
                return self.end_pass();
            }
        };
        let now = Instant::now();
        match scope {
            Scope::Everything => self.reconcile.audits.read_whole(since, now),
            Scope::Frame => self.keep_servers(&mut observed),
        }
        if self.observed.links != observed.links {
            self.forget_routes();
        }
        self.links_seen(&observed, now);
        self.carriers.seen(&observed.links, now);
        self.defence_seen(&observed);
        // Before any step for them leaves.
        if let Some(told) = self.own_mtus.see(&observed) {
            self.tell(log::Level::Warn, &told);
        }
        self.observed = Arc::new(observed);
        if !self.checks_configured {
            self.configure_checks(now);
        }
        self.network = self.wanted_network(&self.observed);
        let pools = self
            .services_in_order()
            .map(|service| (service.key, self.desired_pool(service)));
        let steps = plan::diff_each(&self.network, pools, &self.observed);
        self.reconcile.expected = std::mem::take(&mut self.reconcile.dirty);
        let all_asked = names(self.network.sysctls.keys()).is_subset(&asked);
        let settled = steps.is_empty() && all_asked;
        self.reconcile.audits.settled = settled;
        if settled || self.reconcile.round > ROUNDS || self.only_refused_again(&steps, all_asked) {
            return self.end_pass();
        }
        self.note_repairs(&steps);
        self.reconcile.failed.clear();
        let moves_packets = steps.iter().any(Step::moves_packets);
        self.send(Job::Apply(Purpose::Pass, steps));
        self.reconcile.phase = Phase::Applying { moves_packets };
    }

    /// The servers were not read: they are as they are known.
    fn keep_servers(&mut self, observed: &mut Observed) {
        let known = Arc::make_mut(&mut self.observed);
        for (key, seen) in &mut observed.virtual_servers {
            if let Some(known) = known.virtual_servers.get_mut(key) {
                std::mem::swap(&mut seen.servers, &mut known.servers);
            }
        }
    }

    /// All machines, by what is in force and by what the kernel holds.
    pub fn configure_checks(&mut self, now: Instant) {
        self.checks_configured = true;
        if !self.reconcile.knows() {
            let observed = std::mem::take(&mut self.observed);
            self.adopt_leaving(&observed, now);
            self.observed = observed;
        }
        let nothing = lb_core::config::Config::empty();
        let config = self.config.as_ref().unwrap_or(&nothing);
        let observed = &self.observed;
        self.checks.configure(now, config, |key| serving(observed, key));
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
        // A configuration that came while an audit was reading is in force already, and these are its steps.
        let changed = self.reconcile.changed || self.reconcile.changed_next;
        let audit = self.reconcile.round == 1 && !changed && self.reconcile.last_full.is_some();
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

    /// IPVS decides by itself, once a second; this tells when it was seen.
    fn defence_seen(&self, observed: &Observed) {
        match (
            desired::ipvs_defends(&self.observed),
            desired::ipvs_defends(observed),
        ) {
            (false, true) => {
                log::warn!("memory is scarce: IPVS gives up half-open connections and drops new ones")
            }
            (true, false) => log::info!("memory suffices: IPVS takes every connection again"),
            _ => {}
        }
    }

    /// A link that has got its carrier back is announced, and what could not be checked is checked at once.
    fn links_seen(&mut self, observed: &Observed, now: Instant) {
        let mut regained = false;
        let mut said = Vec::new();
        for (name, link) in &observed.links {
            let before = self.observed.links.get(name);
            if link.loopback {
                continue;
            }
            if let Some(active) = link
                .active
                .as_ref()
                .filter(|_| before.is_some_and(|b| b.active != link.active))
            {
                said.push(format!("{active} carries the traffic of {name}"));
            }
            let back = link.carrier && before.is_some_and(|b| !b.carrier);
            // A bridge or bond has changed its address with its links.
            let other = link.carrier && before.is_some_and(|b| b.index == link.index && b.mac != link.mac);
            if back || other {
                regained = true;
                let owned = self.network.links.get(name).map(|wanted| &wanted.addresses);
                let announce = |address: &ipnet::IpNet| Step::Announce {
                    link: name.clone(),
                    address: address.addr(),
                };
                let steps: Vec<Step> = owned.into_iter().flatten().map(announce).collect();
                if back {
                    said.push(format!("link {name} has a carrier"));
                }
                self.announce(steps);
            }
            match self.carriers.without(link, now) {
                Some(Without::Lost) => said.push(format!("link {name} has lost its carrier")),
                Some(Without::Never) => said.push(format!("link {name} has no carrier")),
                None => {}
            }
        }
        for text in said {
            self.tell(log::Level::Warn, &text);
        }
        if regained || observed.links != self.observed.links {
            self.checks.retry_unchecked(now);
        }
    }

    fn announce(&mut self, steps: Vec<Step>) {
        if !steps.is_empty() {
            self.send(Job::Apply(Purpose::Announcement, steps));
        }
    }
}

/// The weight by which the kernel sends new connections to this server, if it does.
pub fn serving(observed: &Observed, key: &ServerKey) -> Option<Weight> {
    let pool = observed.virtual_servers.get(&key.service);
    let real = pool.and_then(|pool| pool.servers.get(&key.server));
    real.map(|real| real.weight)
        .filter(|weight| *weight > Weight::ZERO)
}

fn names<'n>(sysctls: impl Iterator<Item = &'n SysctlName>) -> BTreeSet<SysctlName> {
    sysctls.cloned().chain(FORWARDING.map(str::to_owned)).collect()
}
