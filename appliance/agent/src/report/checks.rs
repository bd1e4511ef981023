//! What is checked, as a report. Must not: change anything or format for humans.

use std::time::Instant;

use lb_core::control::{Response, TargetReport, TargetsReport};

use super::ms;
use super::services::{checked, last_check};
use crate::engine::Engine;
use crate::targets::Target;

impl Engine {
    pub fn checks_report(&self, name: Option<&str>) -> Response {
        let only = match self.chosen_key(name) {
            Ok(only) => only,
            Err(message) => return Response::Error { message },
        };
        let wanted = |target: &&Target| {
            let mut users = target.users().iter();
            only.is_none_or(|only| users.any(|user| user.service == only))
        };
        let now = Instant::now();
        let mut targets: Vec<&Target> = self.checks.targets().filter(wanted).collect();
        targets.sort_by_key(|target| target.params.target(target.server));
        let checks = targets.into_iter().map(|target| self.target_report(target, now));
        Response::Checks(TargetsReport {
            checks: checks.collect(),
        })
    }

    fn target_report(&self, target: &Target, now: Instant) -> TargetReport {
        let (params, machine) = (&target.params, &target.machine);
        let goes_to = params.target(target.server);
        let named = |user: &lb_core::model::ServerKey| {
            format!("{} of {}", user.server, self.service_name(&user.service))
        };
        TargetReport {
            target: match goes_to.port() {
                0 => goes_to.ip().to_string(),
                _ => goes_to.to_string(),
            },
            kind: params.kind.word().to_owned(),
            interval_ms: ms(params.interval),
            timeout_ms: ms(params.timeout),
            health: machine.word(),
            since_ms: ms(now.saturating_duration_since(machine.since())),
            last_check: last_check(machine, &params.kind, now),
            servers: target.users().iter().map(named).collect(),
            standing: checked(target, now),
        }
    }
}
