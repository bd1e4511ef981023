//! Steps as lines of the log. Must not: decide which of them are repairs.

use std::collections::BTreeMap;

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
    pub fn log_step(&self, step: &Step) {
        let level = match step {
            Step::SetSysctl { .. } => log::Level::Debug,
            _ => log::Level::Info,
        };
        log::log!(level, "{}", self.line(step));
    }
}
