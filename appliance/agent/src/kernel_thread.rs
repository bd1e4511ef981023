//! The one writer to the kernel: a thread that holds the [`KernelPort`] and carries out jobs in the order of their
//! arrival. Must not: choose. The only rule here is that forwarding is not switched on when the filter was refused.

use std::collections::BTreeSet;
use std::sync::mpsc as std_mpsc;
use std::thread;

use lb_core::desired::FORWARDING;
use lb_core::observed::SysctlName;
use lb_core::plan::Step;
use lb_core::ports::{KernelError, KernelFault, KernelPort};
use tokio::sync::mpsc;

use crate::engine::Event;

pub enum Job {
    Observe(BTreeSet<SysctlName>),
    Apply(Vec<Step>),
}

/// What became of each step.
pub type Outcomes = Vec<(Step, Result<(), KernelError>)>;

/// Starts the thread; its answers arrive as events. It ends when the sender of jobs is dropped.
pub fn start(
    mut kernel: Box<dyn KernelPort>,
    events: mpsc::Sender<Event>,
) -> std::io::Result<std_mpsc::Sender<Job>> {
    let (jobs, todo) = std_mpsc::channel();
    thread::Builder::new().name("kernel".to_owned()).spawn(move || {
        for job in todo {
            let event = match job {
                Job::Observe(sysctls) => Event::Observed(kernel.observe(&sysctls)),
                Job::Apply(steps) => Event::Applied(apply(kernel.as_mut(), steps)),
            };
            if events.blocking_send(event).is_err() {
                return;
            }
        }
    })?;
    Ok(jobs)
}

fn apply(kernel: &mut dyn KernelPort, steps: Vec<Step>) -> Outcomes {
    let mut filter_refused = false;
    let carry_out = |step: Step| {
        let result = if filter_refused && switches_forwarding_on(&step) {
            Err(not_without_filter(&step))
        } else {
            kernel.apply(&step)
        };
        filter_refused |= result.is_err() && matches!(step, Step::ReplaceRuleset(_));
        (step, result)
    };
    steps.into_iter().map(carry_out).collect()
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
    use super::*;
    use lb_core::fake::FakeKernel;
    use lb_core::observed::Observed;
    use lb_core::ruleset::Ruleset;

    struct NoFilter(FakeKernel);

    impl KernelPort for NoFilter {
        fn observe(&mut self, sysctls: &BTreeSet<SysctlName>) -> Result<Observed, KernelError> {
            self.0.observe(sysctls)
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
                other => self.0.apply(other),
            }
        }
    }

    #[test]
    fn without_a_filter_nothing_is_forwarded() {
        let mut kernel = NoFilter(FakeKernel::with_links(&["eth0"]));
        let forward = |value: &str| Step::SetSysctl {
            name: FORWARDING[0].to_owned(),
            value: value.to_owned(),
        };
        kernel.observe(&[FORWARDING[0].to_owned()].into()).unwrap();
        let steps = vec![
            Step::ReplaceRuleset(Ruleset::default()),
            forward("1"),
            forward("0"),
        ];
        let outcomes = apply(&mut kernel, steps);
        let ok: Vec<bool> = outcomes.iter().map(|(_, result)| result.is_ok()).collect();
        assert_eq!(ok, [false, false, true]);
    }
}
