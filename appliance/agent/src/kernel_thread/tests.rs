//! Jobs on a kernel in memory, and changes that arrive while it is read.

use std::sync::Mutex;

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
        meanwhile: Arc<Mutex<Vec<Step>>>,
    ) -> (Writer, mpsc::Receiver<Event>) {
        let (events, inbox) = mpsc::channel(8);
        let kernel = Special {
            kernel: FakeKernel::with_links(&["eth0"]),
            sender,
            meanwhile,
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
    let (mut writer, _inbox) = Special::writer(None, Arc::default());
    let forward = |value: &str| Step::SetSysctl {
        name: FORWARDING[0].to_owned(),
        value: value.to_owned(),
    };
    let asked = [FORWARDING[0].to_owned()].into();
    writer.kernel.observe_frame(&asked).unwrap();
    let steps = vec![Step::ReplaceRuleset(Box::default()), forward("1"), forward("0")];
    let outcomes = carry_out(&mut *writer.kernel, steps);
    let refused: Vec<usize> = outcomes.refused.iter().map(|(at, _)| *at).collect();
    assert_eq!(refused, [0, 1]);
    assert_eq!(outcomes.done().collect::<Vec<_>>(), [&forward("0")]);
}

fn service(port: u16) -> VirtualKey {
    format!("10.0.0.1:{port}/tcp").parse().unwrap()
}

fn server() -> RealKey {
    RealKey {
        address: "10.1.0.1".parse().unwrap(),
        port: 80,
    }
}

fn add(port: u16, weight: u32) -> Step {
    Step::AddReal {
        service: service(port),
        server: server(),
        real: DesiredReal {
            weight: Weight::new(weight).unwrap(),
            forward: Forward::Nat,
            limit: Limit::default(),
        },
    }
}

fn open(port: u16) -> Step {
    Step::AddVirtual {
        service: service(port),
        settings: Scheduler::Rr.into(),
    }
}

/// While the first service is read: the first and the last lose theirs, and there is another one.
fn changes_of_three() -> Vec<Step> {
    let lose = |port| Step::DeleteReal {
        service: service(port),
        server: server(),
    };
    vec![
        lose(1),
        lose(3),
        open(4),
        add(4, 5),
        Step::DeleteVirtual(service(2)),
    ]
}

#[test]
fn a_change_does_not_wait_for_an_audit_and_is_no_difference() {
    let (jobs, todo) = std_mpsc::channel();
    let meanwhile = Arc::default();
    let (mut writer, mut inbox) = Special::writer(Some(jobs), Arc::clone(&meanwhile));
    let before = vec![open(1), add(1, 1), open(2), add(2, 1), open(3), add(3, 1)];
    assert_eq!(carry_out(&mut *writer.kernel, before).refused, []);
    let mut audit = |known: &Arc<Observed>| writer.audit(&BTreeSet::new(), Arc::clone(known), &todo);
    let known = match audit(&Arc::default()) {
        Event::Observed(Scope::Everything, observed) => Arc::new(observed.unwrap()),
        _ => panic!("three services are nothing that was known"),
    };
    assert!(matches!(audit(&known), Event::AsKnown));
    *meanwhile.lock().unwrap() = changes_of_three();
    assert!(matches!(audit(&known), Event::AsKnown));
    assert!(matches!(
        inbox.try_recv(),
        Ok(Event::Applied(Purpose::Services, _))
    ));
    assert!(matches!(audit(&known), Event::Observed(..)));
}

#[test]
fn a_change_does_not_wait_for_a_read_back_and_is_seen_by_it() {
    let meanwhile = changes_of_three();
    let (jobs, todo) = std_mpsc::channel();
    let (mut writer, mut inbox) = Special::writer(Some(jobs), Arc::new(Mutex::new(meanwhile)));
    let before = vec![open(1), add(1, 1), open(2), add(2, 1), open(3), add(3, 1)];
    assert_eq!(carry_out(&mut *writer.kernel, before).refused, []);
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
