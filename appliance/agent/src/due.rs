//! Begins the checks that are due: those by TCP and plain HTTP in the loop's own sockets, others as tasks. Must not: know what a result means.

use std::sync::Arc;
use std::time::Instant;

use lb_core::check::{CheckKind, CheckParams};
use lb_core::health::Outcome;
use lb_core::model::RealKey;

use crate::by_hand::Asker;
use crate::checks;
use crate::engine::{Engine, Event};
use crate::probe::{self, Begun, Route, Way};
use crate::targets::TargetId;

/// So many checks take no time that counts.
const LOOK_AT_CLOCK: u32 = 16;

/// One that is due.
#[derive(Debug)]
pub struct Check {
    due: Instant,
    id: TargetId,
    server: RealKey,
    params: Arc<CheckParams>,
}

impl Engine {
    pub fn start_checks(&mut self, now: Instant) {
        let mut at = now;
        for number in 1.. {
            let Some((due, id, target)) = self.checks.take_due(now) else {
                break;
            };
            // The last of a thousand that are due at once waits for those before it.
            if number % LOOK_AT_CLOCK == 0 {
                at = Instant::now();
            }
            let check = Check {
                due,
                id,
                server: target.server,
                params: target.params.clone(),
            };
            let route = target.route;
            self.start_check(check, route, at);
        }
        self.tcp_checks.flush();
    }

    /// `route`: how the one before got to its target, where nothing has changed since.
    fn start_check(&mut self, check: Check, route: Option<Route>, now: Instant) {
        let Check { due, id, server, .. } = check;
        let asker = Asker::Check(id, server);
        if let Some(mut route) = route {
            let target = check.params.target(server);
            if self
                .tcp_checks
                .start_again(now, asker, target, &mut route, check.params.timeout)
            {
                self.checks.take_route(id, Some(route));
                return self.lateness.note(due, now);
            }
        }
        let way = match self.way(server, &check.params) {
            Ok(way) => way,
            Err(outcome) => return self.tcp_checks.end(asker, outcome),
        };
        // They wait for no answer, and take no memory for one.
        if matches!(check.params.kind, CheckKind::Tcp(_)) {
            let begun = self.tcp_checks.start(now, asker, &way, &check.params);
            if let Begun::Half(route) = begun {
                self.checks.take_route(id, Some(route).filter(Route::lasts));
            }
            if begun != Begun::No {
                return self.lateness.note(due, now);
            }
        }
        if let Some((check, way)) = self.crowd.enter((check, way)) {
            self.begin(check, way);
        }
    }

    /// One of the crowd has ended: its place is the next one's.
    pub fn leave(&mut self) {
        if let Some((check, way)) = self.crowd.leave() {
            self.begin(check, way);
        }
    }

    fn begin(&mut self, check: Check, way: Way) {
        let Check {
            due,
            id,
            server,
            params,
        } = check;
        let now = Instant::now();
        self.lateness.note(due, now);
        // One by TCP is here because those sockets cannot make it.
        let is_tcp = matches!(params.kind, CheckKind::Tcp(_));
        if !is_tcp {
            let begun = self
                .tcp_checks
                .start(now, Asker::Crowd(id, server), &way, &params);
            if begun != Begun::No {
                return;
            }
        }
        let (events, trust) = (self.events.clone(), self.trust.clone());
        tokio::spawn(async move {
            let result = probe::check(&way, &params, &trust).await;
            // The loop is gone only when the process ends.
            let _ = events.send(Event::Checked(id, server, result)).await;
        });
    }

    /// As [`Engine::way`], of a server that need not be behind an interface of ours: the kernel knows whether a route leads there.
    pub fn way_anywhere(&self, server: RealKey, params: &CheckParams) -> Result<Way, Outcome> {
        let device = |label: &str| self.network.resolved.get(label).cloned().flatten();
        Way::of(params, server, device)
    }

    /// How a check gets to its server, or why it would only show a fault of our own.
    pub fn way(&self, server: RealKey, params: &CheckParams) -> Result<Way, Outcome> {
        let way = self.way_anywhere(server, params)?;
        match checks::own_fault(&self.observed.links, &way) {
            Some(outcome) => Err(outcome),
            None => Ok(way),
        }
    }
}
