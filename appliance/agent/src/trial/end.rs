//! How a trial ends: it is confirmed, by a person or by what the file asserts, is given up, or returns when its time is over.
//! Must not: begin one, or decide when its time is over (that is `lb_core::confirm`).

use std::collections::BTreeMap;
use std::time::Instant;

use lb_core::confirm::Verdict;
use lb_core::control::{ChangeState, CheckReport, ConfigSource, Response};
use log::Level;
use tokio::sync::oneshot;

use super::{NOT_KEPT, RETURNED, STAY, kept_as};
use crate::apply;
use crate::engine::Engine;
use crate::import::Importing;
use crate::reconcile::Waiter;
use crate::report::chain;
use crate::store::{CONFIG_FILE, PENDING_FILE, RETURNED_FILE, Store};

/// Who confirms a configuration where no person does.
const ASSERTED: &str = "what the file asserts";

/// What is lb.toml from now on.
pub struct Kept {
    pub text: Vec<u8>,
    /// To be told of it.
    pub remark: Option<String>,
    /// The disk has not said that it has it; in a sentence.
    pub unsure: Option<String>,
}

/// The candidate becomes lb.toml in one step. The error: it does not. What else there is: it has, and a power cut may undo it. To return then would leave
/// it lb.toml, for the next start.
fn keep(store: &Store) -> Result<Option<String>, String> {
    store
        .rename_here(PENDING_FILE, CONFIG_FILE)
        .map_err(|error| chain(&error))?;
    let synced = store.sync_names(CONFIG_FILE);
    Ok(synced.err().map(|error| {
        format!(
            "the confirmed configuration is in force and is {CONFIG_FILE}, but the disk has not said that it has it: {}; after a power cut the former one may \
             be back. `log` tells of the disk, and `config apply` tries again",
            chain(&error)
        )
    }))
}

impl Engine {
    /// `config confirm`.
    pub fn confirm(&mut self, by: &str, reply: oneshot::Sender<Response>) {
        if let Err(message) = self.is_importing() {
            return drop(reply.send(Response::Error { message }));
        }
        if let Err(message) = self.keep_pending(by, reply) {
            self.tell(Level::Error, &message);
        }
    }

    /// lb.toml becomes the candidate in one step; then the kernel is read once more, and what it holds is kept for later starts.
    fn keep_pending(&mut self, by: &str, reply: oneshot::Sender<Response>) -> Result<(), String> {
        if let Err(why) = self.begin_anew() {
            return self.kept(Err(why), by, reply);
        }
        let Some(pending) = &self.pending else {
            let _ = reply.send(self.nothing_pending());
            return Ok(());
        };
        if let Some(tried) = &pending.import {
            let export = tried.kept(&self.checks.drains);
            self.commit_import(
                export,
                Importing::Trial {
                    by: by.to_owned(),
                    reply,
                },
            );
            return Ok(());
        }
        let kept = keep(&self.store).and_then(|unsure| {
            let (text, remark) = (self.file()?, None);
            Ok(Kept { text, remark, unsure })
        });
        self.kept(kept, by, reply)
    }

    /// `kept`: what is lb.toml now; or why it is not.
    pub fn kept(
        &mut self,
        kept: Result<Kept, String>,
        by: &str,
        reply: oneshot::Sender<Response>,
    ) -> Result<(), String> {
        let Some(pending) = &self.pending else {
            let _ = reply.send(self.nothing_pending());
            return Ok(());
        };
        let Kept { text, remark, unsure } = match kept {
            Ok(kept) => kept,
            Err(why) => {
                let message = format!(
                    "the configuration cannot be confirmed: {why}; it returns to the former one in {} s",
                    pending.trial.left(Instant::now()).as_secs()
                );
                let _ = reply.send(Response::Error {
                    message: message.clone(),
                });
                return Err(message);
            }
        };
        let change = pending.change.clone();
        self.pending = None;
        self.trust.lend(BTreeMap::new());
        self.unmark_pending();
        let told = format!("CONFIRMED by {by}: the configuration is kept");
        // Nobody has typed it: it is printed on the consoles, as a return is.
        let level = match by {
            ASSERTED => Level::Error,
            _ => Level::Warn,
        };
        self.tell(level, &told);
        self.last_trial = Some((Instant::now(), told));
        self.source = ConfigSource::File;
        self.keeper.hold(text, change);
        let check = CheckReport {
            warnings: remark.into_iter().collect(),
            ..apply::faultless()
        };
        let mut report = self.changed_report(check, ChangeState::Confirmed);
        if let Some(unsure) = unsure {
            self.tell(Level::Error, &unsure);
            self.config_problems.push(unsure.clone());
            report.persisted = false;
            report.persist_fault = Some(unsure);
        }
        self.reconcile.config_changed([Waiter { report, reply }]);
        Ok(())
    }

    /// `config abort`.
    pub fn abort(&mut self, by: &str, reply: oneshot::Sender<Response>) {
        if let Err(message) = self.is_importing() {
            return drop(reply.send(Response::Error { message }));
        }
        if self.pending.is_none() {
            let _ = reply.send(self.nothing_pending());
            return;
        }
        self.return_to_former(Level::Warn, &format!("aborted by {by}"), reply);
    }

    /// `level`: of the sentence about it; errors are printed on the consoles.
    fn return_to_former(&mut self, level: Level, why: &str, reply: oneshot::Sender<Response>) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        self.unmark_pending();
        let kept = match self.store.rename(PENDING_FILE, RETURNED_FILE) {
            Ok(()) => kept_as(&self.store),
            Err(error) => format!("its text is lost: {}", chain(&error)),
        };
        let import = pending.import.map(|tried| self.give_up_import(tried));
        let kept = match &import {
            Some((_, stays)) => format!("{kept}{NOT_KEPT}{stays}"),
            None => kept,
        };
        let told = format!("{RETURNED}: {why}; {kept}");
        self.tell(level, &told);
        self.last_trial = Some((Instant::now(), told.clone()));
        let former = pending.former;
        self.parts = former.parts;
        self.mark = former.mark;
        self.source = former.source;
        self.config_since = former.since;
        self.config_problems = former.problems;
        // Its text has taken the place of one that returned before.
        self.config_problems
            .retain(|problem| !problem.starts_with(RETURNED));
        if level == Level::Error {
            // Nobody may have looked when it happened: `status` says it until something else is put in force.
            self.config_problems.push(format!("{told}; {STAY}"));
        }
        let report = self.changed_report(apply::faultless(), ChangeState::Returned);
        self.replace_config(former.config, Waiter { report, reply });
        if let Some((drains, _)) = import {
            self.replace_drains(drains);
        }
    }

    /// When the loop has to look at the trial again.
    pub fn trial_deadline(&self) -> Option<Instant> {
        let pending = self.pending.as_ref().filter(|_| self.importing.is_none())?;
        let look = pending.evidence.next_look(&pending.trial);
        Some(look.map_or(pending.trial.deadline(), |look| {
            look.min(pending.trial.deadline())
        }))
    }

    /// Looks at what is asserted, when it is time, and ends the trial when that is due.
    pub fn attend_trial(&mut self, now: Instant) {
        if self.importing.is_some() {
            // It is being kept.
            return;
        }
        self.look_at_assertions(now);
        let Some(pending) = &self.pending else {
            return;
        };
        match pending.trial.verdict(now) {
            Verdict::Wait => {}
            // It could not be kept before.
            Verdict::Confirm if pending.import.as_ref().is_some_and(|tried| tried.was_refused) => {
                if self.trial_is_over(now) {
                    self.return_unconfirmed();
                }
            }
            Verdict::Confirm => {
                let (reply, _nobody_waits) = oneshot::channel();
                if self.keep_pending(ASSERTED, reply).is_err() && self.trial_is_over(now) {
                    self.return_unconfirmed();
                }
            }
            Verdict::Return => self.return_unconfirmed(),
        }
    }

    fn trial_is_over(&self, now: Instant) -> bool {
        self.pending
            .as_ref()
            .is_some_and(|pending| now >= pending.trial.deadline())
    }

    fn return_unconfirmed(&mut self) {
        let Some(pending) = &self.pending else {
            return;
        };
        let window = pending.trial.window().as_secs();
        let failing: Vec<&str> = pending
            .trial
            .failing()
            .map(|finding| finding.text.as_str())
            .collect();
        let why = match failing.is_empty() {
            true => format!("it was not confirmed within {window} s"),
            false => format!("it was not confirmed within {window} s; {}", failing.join("; ")),
        };
        let (reply, _nobody_waits) = oneshot::channel();
        self.return_to_former(Level::Error, &why, reply);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io;

    use super::*;

    #[test]
    fn what_the_disk_has_not_taken_is_told_and_is_lb_toml_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write(CONFIG_FILE, "former");
        write(PENDING_FILE, "new");
        let failing = Store::synced_by(dir.path().to_owned(), |_: &File| {
            Err(io::Error::from_raw_os_error(5))
        });
        let told = keep(&failing).unwrap().unwrap();
        assert!(
            told.contains(
                "is in force and is lb.toml, but the disk has not said that it has it: cannot write"
            ) && told.contains("`config apply` tries again"),
            "{told}"
        );
        assert!(failing.holds(CONFIG_FILE, b"new"));
        // Nothing to be kept.
        assert!(keep(&failing).is_err());
        write(PENDING_FILE, "newer");
        let working = Store::new(dir.path().to_owned());
        assert_eq!(keep(&working), Ok(None));
        assert!(working.holds(CONFIG_FILE, b"newer"));
    }
}
