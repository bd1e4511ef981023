//! Whose fault a failure is: the server's, or our own (a link, the network on its side). Must not: open sockets or read the clock.

use lb_core::desired;
use lb_core::health::{CheckResult, Health, Outcome};

use super::{Checks, Links};
use crate::probe::Way;
use crate::silence::Just;
use crate::targets::{Target, TargetId};

impl Checks {
    /// Whether a server's silence is judged only when it is known who else is silent. The first that falls silent has others asked.
    pub(super) fn waits_for_others(&mut self, id: TargetId, result: &CheckResult) -> bool {
        let Some(target) = self.targets.at(id) else {
            return false;
        };
        let Some(behind) = target.behind else {
            return false;
        };
        let (now, params) = (result.ended, &target.params);
        self.silence.was_heard(behind, id);
        let is_up = target.machine.health() == Health::Up;
        if !is_up || self.fail_static.is_zero() || !matches!(result.outcome, Outcome::Silent(_)) {
            return false;
        }
        let is_at_its_last = target.is_at_its_last();
        if target.machine.failures() == 0 {
            // Until the next verdict about it, with time to spare.
            let lately = (params.retry_interval + params.timeout) * 2;
            let others = self.silence.whom_to_ask(target, now, lately, &self.targets);
            for other in others {
                let asked = self.targets.change(other, |other| other.machine.hurry(now));
                if asked != Some(true) {
                    self.silence.was_heard(behind, other);
                }
            }
        }
        is_at_its_last && self.silence.waits(behind, now)
    }

    /// Whether what went wrong goes wrong for most others behind the same interface.
    pub(super) fn is_our_fault(&mut self, id: TargetId, result: &CheckResult, links: &Links) -> bool {
        let Some(target) = self.targets.at(id) else {
            return false;
        };
        let Some(behind) = target.behind else {
            return false;
        };
        let is_at_its_last = target.is_at_its_last();
        let just = Just {
            id,
            silent: matches!(result.outcome, Outcome::Silent(_)),
            ended: result.ended,
        };
        let limit = self.fail_static;
        match &result.outcome {
            Outcome::CannotCheck(_) => self.others_cannot_check_either(id, behind, links),
            Outcome::Silent(_) if is_at_its_last => self.silence.is_ours(behind, just, limit, &self.targets),
            _ if self.silence.is_frozen(behind) => self.silence.is_ours(behind, just, limit, &self.targets),
            _ => false,
        }
    }

    fn others_cannot_check_either(&self, id: TargetId, behind: u32, links: &Links) -> bool {
        let own = self.targets.at(id).map(|target| target.server);
        let fine = |other: &Target| {
            other.behind == Some(behind)
                && Some(other.server) != own
                && other.machine.was_checked()
                && !other.machine.cannot_check()
                && own_fault(links, &Way::from(&other.params, other.server)).is_none()
        };
        !self.targets.all().any(fine)
    }
}

/// Why a check that goes this way would only show a fault of our own, if that is so.
pub fn own_fault(links: &Links, way: &Way) -> Option<Outcome> {
    let leaves = match &way.device {
        Some(name) => links.get_key_value(name),
        None => desired::egress(links, way.target.ip()),
    };
    let reason = match leaves {
        None => "no route to the server".to_owned(),
        Some((name, link)) if !link.admin_up => format!("{name} is down"),
        Some((name, link)) if !link.carrier && !link.loopback => format!("{name} has no carrier"),
        Some(_) => return None,
    };
    Some(Outcome::CannotCheck(reason))
}
