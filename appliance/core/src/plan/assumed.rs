//! What the kernel holds after a step has succeeded, as far as the step itself tells; the next read-back has the last word.
//! Must not: guess what the kernel does beyond the step.

use std::sync::Arc;

use crate::model::VirtualKey;
use crate::observed::{Observed, ObservedReal, ObservedVirtual};
use crate::plan::Step;

use super::assumed_links::assume_of_links;

impl Observed {
    /// A step about a link or a service that is not known changes nothing.
    pub fn assume(&mut self, step: &Step) {
        match step {
            Step::SetHostname(name) => self.hostname.clone_from(name),
            Step::SetSysctl { name, value } => {
                self.sysctls.insert(name.clone(), value.clone());
            }
            Step::ReplaceRuleset(rules) => self.ruleset = Some(Arc::new(rules.as_ref().clone())),
            Step::DeleteRuleset => self.ruleset = None,
            Step::SetIpvsTimeouts(timeouts) => self.ipvs_timeouts = Some(*timeouts),
            Step::DeleteForeign(foreign) => {
                self.foreign_services.remove(foreign);
            }
            Step::Announce { .. } => {}
            Step::CreateLink { .. }
            | Step::ChangeLink { .. }
            | Step::ClaimLink(_)
            | Step::DeleteLink(_)
            | Step::SetMaster { .. }
            | Step::ReleaseLink(_)
            | Step::SetLinkUp(_)
            | Step::SetLinkDown(_)
            | Step::SetMtu { .. }
            | Step::AddAddress { .. }
            | Step::DeleteAddress { .. }
            | Step::AddRoute { .. }
            | Step::DeleteRoute { .. } => assume_of_links(&mut self.links, step),
            Step::AddVirtual { service, .. }
            | Step::EditVirtual { service, .. }
            | Step::DeleteVirtual(service)
            | Step::AddReal { service, .. }
            | Step::EditReal { service, .. }
            | Step::DeleteReal { service, .. } => self.assume_of_pool(service, step),
        }
    }

    fn assume_of_pool(&mut self, service: &VirtualKey, step: &Step) {
        let pools = &mut self.virtual_servers;
        match step {
            Step::AddVirtual { settings, .. } | Step::EditVirtual { settings, .. } => {
                let seen = pools.entry(*service).or_insert_with(|| ObservedVirtual {
                    settings: None,
                    servers: Default::default(),
                });
                seen.settings = Some(*settings);
            }
            Step::DeleteVirtual(_) => drop(pools.remove(service)),
            Step::AddReal { server, real, .. } | Step::EditReal { server, real, .. } => {
                if let Some(seen) = pools.get_mut(service) {
                    let real = ObservedReal {
                        weight: real.weight,
                        forward: Some(real.forward),
                        limit: Some(real.limit),
                    };
                    seen.servers.insert(*server, real);
                }
            }
            Step::DeleteReal { server, .. } => {
                if let Some(seen) = pools.get_mut(service) {
                    seen.servers.remove(server);
                }
            }
            _ => {}
        }
    }
}
