//! The one writer to the kernel: a thread that holds the [`KernelPort`] and carries out jobs in the order of their
//! arrival, but for changes, which need not wait for the end of a read-back. Must not: choose. The only rule here is that
//! forwarding is not switched on when the filter was refused.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::thread;

use lb_core::desired::FORWARDING;
use lb_core::model::VirtualKey;
use lb_core::observed::{Observed, SysctlName};
use lb_core::plan::Step;
use lb_core::ports::{KernelError, KernelFault, KernelPort};
use tokio::sync::{mpsc, oneshot};

use crate::engine::Event;

pub enum Job {
    /// Reads everything back, for somebody who only looks.
    Look(
        BTreeSet<SysctlName>,
        oneshot::Sender<Result<Observed, KernelError>>,
    ),
    Observe(BTreeSet<SysctlName>, Scope),
    /// Reads everything back if it is not what is known.
    Audit(BTreeSet<SysctlName>, Arc<Observed>),
    Apply(Purpose, Vec<Step>),
}

/// How much is read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Everything,
    /// All but the servers of the services.
    Frame,
}

/// Whose steps they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A pass's.
    Pass,
    /// Of single services, by the short way.
    Services,
    Announcement,
}

/// What became of the steps.
#[derive(Debug, Default)]
pub struct Outcomes {
    pub steps: Vec<Step>,
    /// By the position of the step, in their order.
    pub refused: Vec<(usize, KernelError)>,
}

impl Outcomes {
    /// The steps that were carried out.
    pub fn done(&self) -> impl Iterator<Item = &Step> {
        let mut refused = self.refused.iter().map(|(at, _)| *at).peekable();
        let steps = self.steps.iter().enumerate();
        steps
            .filter(move |(at, _)| refused.next_if_eq(at).is_none())
            .map(|(_, step)| step)
    }
}

/// Starts the thread; its answers arrive as events. It ends when the sender of jobs is dropped.
pub fn start(
    kernel: Box<dyn KernelPort>,
    events: mpsc::Sender<Event>,
) -> std::io::Result<std_mpsc::Sender<Job>> {
    let (jobs, todo) = std_mpsc::channel();
    let mut writer = Writer {
        kernel,
        events,
        aside: VecDeque::new(),
    };
    thread::Builder::new().name("kernel".to_owned()).spawn(move || {
        while let Some(job) = writer.aside.pop_front().or_else(|| todo.recv().ok()) {
            let done = match job {
                Job::Look(sysctls, reply) => {
                    // Who asked may have gone.
                    let _ = reply.send(writer.observe(&sysctls, Scope::Everything, &todo));
                    Ok(())
                }
                Job::Observe(sysctls, scope) => {
                    let observed = writer.observe(&sysctls, scope, &todo);
                    writer.tell(Event::Observed(scope, observed))
                }
                Job::Audit(sysctls, known) => {
                    let event = writer.audit(&sysctls, known, &todo);
                    writer.tell(event)
                }
                Job::Apply(purpose, steps) => {
                    let outcomes = carry_out(&mut *writer.kernel, steps);
                    writer.tell(Event::Applied(purpose, outcomes))
                }
            };
            if done.is_err() {
                return;
            }
        }
    })?;
    Ok(jobs)
}

struct Writer {
    kernel: Box<dyn KernelPort>,
    events: mpsc::Sender<Event>,
    /// What arrived during a read-back and is no change.
    aside: VecDeque<Job>,
}

/// The loop has ended.
struct Ended;

impl Writer {
    fn tell(&self, event: Event) -> Result<(), Ended> {
        self.events.blocking_send(event).map_err(|_| Ended)
    }

    /// Service by service; a change that arrives meanwhile is carried out in between, and is part of what was observed.
    fn observe(
        &mut self,
        sysctls: &BTreeSet<SysctlName>,
        scope: Scope,
        todo: &std_mpsc::Receiver<Job>,
    ) -> Result<Observed, KernelError> {
        let mut observed = self.kernel.observe_frame(sysctls)?;
        if scope == Scope::Frame {
            return Ok(observed);
        }
        let services: Vec<VirtualKey> = observed.virtual_servers.keys().copied().collect();
        for service in services {
            let servers = self.kernel.observe_servers(&service)?;
            observed.take_servers(&service, servers);
            self.meanwhile(todo, |step| observed.assume(step));
        }
        Ok(observed)
    }

    /// What the loop is told of an audit: mostly that nothing is other than it knows.
    fn audit(
        &mut self,
        sysctls: &BTreeSet<SysctlName>,
        known: Arc<Observed>,
        todo: &std_mpsc::Receiver<Job>,
    ) -> Event {
        match self.is_as_known(sysctls, known, todo) {
            Ok(true) => Event::AsKnown,
            Ok(false) => {
                let observed = self.observe(sysctls, Scope::Everything, todo);
                Event::Observed(Scope::Everything, observed)
            }
            Err(error) => Event::Observed(Scope::Everything, Err(error)),
        }
    }

    /// Service by service, as [`observe`](Self::observe) does.
    fn is_as_known(
        &mut self,
        sysctls: &BTreeSet<SysctlName>,
        mut known: Arc<Observed>,
        todo: &std_mpsc::Receiver<Job>,
    ) -> Result<bool, KernelError> {
        if !self.kernel.frame_is(sysctls, &known)? {
            return Ok(false);
        }
        let services: Vec<VirtualKey> = known.virtual_servers.keys().copied().collect();
        for service in services {
            if let Some(seen) = known.virtual_servers.get(&service)
                && !self.kernel.servers_are(&service, &seen.servers)?
            {
                return Ok(false);
            }
            self.meanwhile(todo, |step| Arc::make_mut(&mut known).assume(step));
        }
        Ok(true)
    }

    /// Carries out the changes that have arrived; `done` takes each step that was.
    fn meanwhile(&mut self, todo: &std_mpsc::Receiver<Job>, mut done: impl FnMut(&Step)) {
        while let Ok(job) = todo.try_recv() {
            let Job::Apply(purpose, steps) = job else {
                self.aside.push_back(job);
                continue;
            };
            let outcomes = carry_out(&mut *self.kernel, steps);
            outcomes.done().for_each(&mut done);
            // The loop's end is seen at the end of this job.
            let _ = self.tell(Event::Applied(purpose, outcomes));
        }
    }
}

/// Step by step. The only rule here is that forwarding is not switched on when the filter was refused.
pub fn carry_out(kernel: &mut dyn KernelPort, steps: Vec<Step>) -> Outcomes {
    let mut filter_refused = false;
    let (mut start, mut refused) = (0, Vec::new());
    // Thousands of steps concern services: the kernel takes such a row at once.
    let of_services = |step: &Step| step.service().is_some();
    for row in steps.chunk_by(|step, next| of_services(step) && of_services(next)) {
        let errors = if of_services(&row[0]) {
            kernel.apply_services(row)
        } else {
            carry_out_one(kernel, &row[0], &mut filter_refused)
                .err()
                .map(|error| (0, error))
                .into_iter()
                .collect()
        };
        refused.extend(errors.into_iter().map(|(at, error)| (start + at, error)));
        start += row.len();
    }
    Outcomes { steps, refused }
}

fn carry_out_one(
    kernel: &mut dyn KernelPort,
    step: &Step,
    filter_refused: &mut bool,
) -> Result<(), KernelError> {
    if *filter_refused && switches_forwarding_on(step) {
        return Err(not_without_filter(step));
    }
    let outcome = kernel.apply(step);
    *filter_refused |= outcome.is_err() && matches!(step, Step::ReplaceRuleset(_));
    outcome
}

fn switches_forwarding_on(step: &Step) -> bool {
    matches!(step, Step::SetSysctl { name, value } if FORWARDING.contains(&name.as_str()) && value == "1")
}

fn not_without_filter(step: &Step) -> KernelError {
    let text = "not done, because the filter could not be set".to_owned();
    KernelError {
        action: step.to_string(),
        fault: KernelFault { errno: None, text },
    }
}

#[cfg(test)]
mod tests;
