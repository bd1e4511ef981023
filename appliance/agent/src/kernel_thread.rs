//! The one writer to the kernel: a thread that holds the [`KernelPort`] and carries out jobs in the order of their
//! arrival, but for changes, which need not wait for the end of a read-back. Must not: choose. The only rule here is that
//! forwarding is not switched on when the filter was refused.

use std::collections::{BTreeSet, VecDeque};
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
                Job::Apply(purpose, steps) => {
                    let outcomes = writer.apply(steps);
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
            while let Ok(job) = todo.try_recv() {
                let Job::Apply(purpose, steps) = job else {
                    self.aside.push_back(job);
                    continue;
                };
                let outcomes = self.apply(steps);
                outcomes.done().for_each(|step| observed.assume(step));
                // The loop's end is seen at the end of this job.
                let _ = self.tell(Event::Applied(purpose, outcomes));
            }
        }
        Ok(observed)
    }

    fn apply(&mut self, steps: Vec<Step>) -> Outcomes {
        let mut filter_refused = false;
        let (mut start, mut refused) = (0, Vec::new());
        // Thousands of steps concern services: the kernel takes such a row at once.
        let of_services = |step: &Step| step.service().is_some();
        for row in steps.chunk_by(|step, next| of_services(step) && of_services(next)) {
            let errors = if of_services(&row[0]) {
                self.kernel.apply_services(row)
            } else {
                self.apply_one(&row[0], &mut filter_refused)
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

    fn apply_one(&mut self, step: &Step, filter_refused: &mut bool) -> Result<(), KernelError> {
        if *filter_refused && switches_forwarding_on(step) {
            return Err(not_without_filter(step));
        }
        let outcome = self.kernel.apply(step);
        *filter_refused |= outcome.is_err() && matches!(step, Step::ReplaceRuleset(_));
        outcome
    }
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
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use lb_core::desired::DesiredReal;
    use lb_core::fake::FakeKernel;
    use lb_core::flat::FlatMap;
    use lb_core::model::{Forward, Limit, RealKey, Scheduler, Weight};
    use lb_core::observed::ObservedReal;

    /// Refuses the filter, and hands in a job while servers are read.
    struct Special {
        kernel: FakeKernel,
        sender: Option<std_mpsc::Sender<Job>>,
        meanwhile: Arc<Mutex<Vec<Step>>>,
    }

    impl Special {
        fn writer(
            sender: Option<std_mpsc::Sender<Job>>,
            meanwhile: Vec<Step>,
        ) -> (Writer, mpsc::Receiver<Event>) {
            let (events, inbox) = mpsc::channel(8);
            let kernel = Special {
                kernel: FakeKernel::with_links(&["eth0"]),
                sender,
                meanwhile: Arc::new(Mutex::new(meanwhile)),
            };
            let kernel = Box::new(kernel);
            (
                Writer {
                    kernel,
                    events,
                    aside: VecDeque::new(),
                },
                inbox,
            )
        }
    }

    impl KernelPort for Special {
        fn observe_frame(&mut self, sysctls: &BTreeSet<SysctlName>) -> Result<Observed, KernelError> {
            self.kernel.observe_frame(sysctls)
        }
        fn observe_servers(
            &mut self,
            service: &VirtualKey,
        ) -> Result<Option<FlatMap<RealKey, ObservedReal>>, KernelError> {
            let steps = std::mem::take(&mut *self.meanwhile.lock().unwrap());
            if let Some(jobs) = self.sender.as_ref().filter(|_| !steps.is_empty()) {
                jobs.send(Job::Apply(Purpose::Services, steps)).unwrap();
            }
            self.kernel.observe_servers(service)
        }
        fn apply(&mut self, step: &Step) -> Result<(), KernelError> {
            match step {
                Step::ReplaceRuleset(_) => Err(KernelError {
                    action: step.to_string(),
                    fault: KernelFault {
                        errno: Some(1),
                        text: "EPERM".to_owned(),
                    },
                }),
                other => self.kernel.apply(other),
            }
        }
    }

    #[test]
    fn without_a_filter_nothing_is_forwarded() {
        let (mut writer, _inbox) = Special::writer(None, vec![]);
        let forward = |value: &str| Step::SetSysctl {
            name: FORWARDING[0].to_owned(),
            value: value.to_owned(),
        };
        let asked = [FORWARDING[0].to_owned()].into();
        writer.kernel.observe_frame(&asked).unwrap();
        let steps = vec![Step::ReplaceRuleset(Box::default()), forward("1"), forward("0")];
        let outcomes = writer.apply(steps);
        let refused: Vec<usize> = outcomes.refused.iter().map(|(at, _)| *at).collect();
        assert_eq!(refused, [0, 1]);
        assert_eq!(outcomes.done().collect::<Vec<_>>(), [&forward("0")]);
    }

    #[test]
    fn a_change_does_not_wait_for_a_read_back_and_is_seen_by_it() {
        let service = |port: u16| format!("10.0.0.1:{port}/tcp").parse::<VirtualKey>().unwrap();
        let server: RealKey = RealKey {
            address: "10.1.0.1".parse().unwrap(),
            port: 80,
        };
        let add = |port, weight: u32| Step::AddReal {
            service: service(port),
            server,
            real: DesiredReal {
                weight: Weight::new(weight).unwrap(),
                forward: Forward::Nat,
                limit: Limit::default(),
            },
        };
        let open = |port| Step::AddVirtual {
            service: service(port),
            settings: Scheduler::Rr.into(),
        };
        // While the first service is read: the first and the last lose theirs, and there is another one.
        let lose = |port| Step::DeleteReal {
            service: service(port),
            server,
        };
        let meanwhile = vec![
            lose(1),
            lose(3),
            open(4),
            add(4, 5),
            Step::DeleteVirtual(service(2)),
        ];
        let (jobs, todo) = std_mpsc::channel();
        let (mut writer, mut inbox) = Special::writer(Some(jobs), meanwhile);
        let before = vec![open(1), add(1, 1), open(2), add(2, 1), open(3), add(3, 1)];
        assert_eq!(writer.apply(before).refused, []);
        let seen = writer
            .observe(&BTreeSet::new(), Scope::Everything, &todo)
            .unwrap();
        assert!(matches!(
            inbox.try_recv(),
            Ok(Event::Applied(Purpose::Services, _))
        ));
        let truth = writer.kernel.observe(&BTreeSet::new()).unwrap();
        assert_eq!(seen, truth);
        let weights: Vec<_> = seen.virtual_servers.values().map(|v| v.servers.len()).collect();
        assert_eq!(weights, [0, 0, 1]);
    }
}
