//! What each request comes to: who answers it, and whether at once.
//! Must not: carry one out; the files of their subjects do.

use std::time::Instant;

use lb_core::control::{CheckNowReport, Request, Response};
use lb_core::doctor::Wire;
use lb_core::observed::Activity;
use tokio::sync::oneshot;

use crate::engine::Engine;
use crate::rehearsals::Connections;

impl Engine {
    fn check_now(&mut self, name: Option<&str>) -> Response {
        let key = match self.chosen_key(name) {
            Ok(key) => key,
            Err(message) => return Response::Error { message },
        };
        let checks = self.checks.check_now(Instant::now(), key.as_ref());
        Response::CheckNow(CheckNowReport { checks })
    }

    /// Answers at once, or when what was asked for is carried out.
    pub(crate) fn answer(
        &mut self,
        request: Request,
        activity: &Activity,
        wire: &Wire,
        reply: oneshot::Sender<Response>,
    ) {
        let response = match request {
            // Answered when they are carried out.
            Request::ConfigPut { .. }
            | Request::ConfigApply { .. }
            | Request::ConfigRollback { .. }
            | Request::ConfigImport { .. }
            | Request::ConfigCheck { .. } => return self.in_turn(request, Connections::new(), reply),
            Request::ConfigDiff {
                from: Some(from),
                to: Some(to),
                ..
            } => return self.diff_of_two(from, to, reply),
            Request::ConfigDiff { .. } | Request::ConfigImportDiff { .. } => {
                return self.in_turn(request, activity.servers.clone(), reply);
            }
            Request::ConfigExport { without_keys } => return self.export(without_keys, reply),
            Request::ConfigConfirm { by } => return self.confirm(&by, reply),
            Request::ConfigAbort { by } => return self.abort(&by, reply),
            Request::Probe {
                words,
                only_tell,
                place,
            } => return self.probe(&words, only_tell, place, reply),
            Request::CheckNow { name } => self.check_now(name.as_deref()),
            Request::Drain { server, service } => self.drain(&server, service, false, activity),
            Request::DrainCosts { server, service } => self.drain_costs(&server, service),
            Request::Undrain { server, service } => self.drain(&server, service, true, activity),
            Request::ConfigRemove { name, by } => self.remove_file(&name, &by),
            Request::Drains => Response::Drains(self.drains_report(activity)),
            Request::Doctor { name } => self.doctor(name.as_deref(), activity, wire),
            Request::Console { console, news } => self.console_news(&console, news),
            other => {
                if activity.read_at_ms > 0 {
                    self.drops
                        .note(Instant::now(), &activity.tracking, &activity.softnet);
                }
                self.report(&other, activity)
            }
        };
        // The client may have gone: what it asked for is done all the same.
        let _ = reply.send(response);
    }
}
