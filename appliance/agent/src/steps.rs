//! Steps as lines of the log. Must not: decide which of them are repairs.

use std::collections::{BTreeMap, HashMap};
use std::mem::{Discriminant, discriminant};

use lb_core::model::VirtualKey;
use lb_core::plan::Step;

use crate::engine::Engine;

impl Engine {
    /// The step as it is shown: a mark says nothing without its service's name.
    pub fn line(&self, step: &Step) -> String {
        let marked = step.service().filter(|key| matches!(key, VirtualKey::Mark(_)));
        match marked.and_then(|key| self.service(&key)) {
            Some(service) => format!("{step} ({})", service.name),
            None => step.to_string(),
        }
    }

    /// More steps than an operator reads, and than the log holds without losing what came before, are counted by their kinds.
    pub fn log_steps(&self, steps: &[Step]) {
        const MANY: usize = 200;
        if steps.len() <= MANY {
            return steps.iter().for_each(|step| self.log_step(step));
        }
        log::info!("{} steps: {}", steps.len(), counted(steps));
    }

    /// The many sysctls of a start are worth a line each only to those who look for them.
    pub fn log_step(&self, step: &Step) {
        let level = match step {
            Step::SetSysctl { .. } => log::Level::Debug,
            _ => log::Level::Info,
        };
        log::log!(level, "{}", self.line(step));
    }
}

/// `40000 x add real, 1000 x add service`. Only one step of each kind is written out: there may be tens of thousands.
fn counted(steps: &[Step]) -> String {
    let mut kinds: HashMap<Discriminant<Step>, (&Step, usize)> = HashMap::new();
    for step in steps {
        kinds.entry(discriminant(step)).or_insert((step, 0)).1 += 1;
    }
    let mut words: BTreeMap<String, usize> = BTreeMap::new();
    for (step, times) in kinds.into_values() {
        let line = step.to_string();
        let kind: Vec<&str> = line.split(' ').take(2).collect();
        *words.entry(kind.join(" ")).or_default() += times;
    }
    let counted = words.iter().map(|(kind, times)| format!("{times} x {kind}"));
    counted.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_steps_are_counted_by_their_kinds() {
        let service = |port: u16| format!("10.0.0.1:{port}/tcp").parse().unwrap();
        let steps = [
            Step::DeleteVirtual(service(80)),
            Step::DeleteRuleset,
            Step::DeleteVirtual(service(81)),
        ];
        let line = |step: &Step| step.to_string().split(' ').take(2).collect::<Vec<_>>().join(" ");
        let (service, rules) = (line(&steps[0]), line(&steps[1]));
        let mut expected = [(service, 2), (rules, 1)];
        expected.sort();
        let expected = expected.map(|(kind, times)| format!("{times} x {kind}"));
        assert_eq!(counted(&steps), expected.join(", "));
    }
}
