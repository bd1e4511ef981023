//! A configuration on trial: it is in force in the kernel and nowhere else. lb.toml is what a start uses, so it stays, or is put back to,
//! what was in force before; the candidate waits beside it, and takes its place in one step when it is confirmed.
//! Must not: decide when a trial ends (that is `lb_core::confirm`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lb_core::config::{self, Config, Parts};
use lb_core::confirm::{Trial, Verdict, refusal};
use lb_core::control::{AssertionReport, ChangeState, CheckReport, ConfigSource, PendingReport, Response};
use log::Level;
use tokio::sync::oneshot;

use crate::apply::{self, Candidate};
use crate::archive::{Archive, Change};
use crate::engine::Engine;
use crate::evidence::Evidence;
use crate::import::{Importing, Tried};
use crate::journal;
use crate::reconcile::Waiter;
use crate::report::{chain, ms};
use crate::store::{APPLIED_FILE, CONFIG_FILE, PENDING_FILE, RETURNED_FILE, Store};
use crate::system;

/// How it begins what is told of a configuration that was given up.
const RETURNED: &str = "RETURNED to the former configuration";

/// Of an import.
const NOT_KEPT: &str =
    ", but neither its certificates and keys nor what it sets aside: import it again to try it once more";

/// In the runtime directory while a configuration is pending: the deadline, in milliseconds since the kernel's start. The console's
/// prompt reads it.
pub const PENDING_MARK: &str = "pending";

/// Where the candidate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It is lb.toml as it is on the disk.
    File,
    /// A paste, or the history.
    Elsewhere,
}

/// What is in force, and what it returns to.
#[derive(Debug)]
pub struct Pending {
    pub trial: Trial,
    pub evidence: Evidence,
    change: Change,
    former: Former,
    /// If it was imported.
    pub import: Option<Tried>,
}

/// All that is to be as it was.
#[derive(Debug)]
struct Former {
    config: Option<Config>,
    parts: Parts,
    mark: Option<u64>,
    source: ConfigSource,
    since: Instant,
    problems: Vec<String>,
}

/// At a start: what was pending is not confirmed any more. What is to be told of it.
pub fn clear_away(store: &Store) -> Option<String> {
    let candidate = store.read(PENDING_FILE).ok().flatten()?;
    // The power went while lb.toml was being put back.
    if store
        .read(CONFIG_FILE)
        .is_ok_and(|file| file.as_ref() == Some(&candidate))
        && let Ok(Some(former)) = store.read(APPLIED_FILE)
        && let Err(error) = store.write(CONFIG_FILE, &former)
    {
        log::error!("{CONFIG_FILE} is not what was in force before: {}", chain(&error));
    }
    if let Err(error) = store.rename(PENDING_FILE, RETURNED_FILE) {
        log::error!("{PENDING_FILE} stays: {}", chain(&error));
    }
    let not_kept = match journal::forget_pending(store) {
        true => NOT_KEPT,
        false => "",
    };
    Some(format!(
        "{RETURNED}: one was pending when the agent or the machine ended, and was not confirmed; its text is \
         kept as {} (`config show returned`){not_kept}; `config put` or `config apply` puts another one in force",
        store.path(RETURNED_FILE).display()
    ))
}

impl Engine {
    /// Whether a change may begin; else why not, with the remedy.
    pub fn may_change(&self) -> Result<(), String> {
        self.is_importing()?;
        match &self.pending {
            None => Ok(()),
            Some(pending) => Err(refusal(pending.trial.left(Instant::now()))),
        }
    }

    /// Puts a configuration in force until it is confirmed or its time is over.
    pub fn try_out(
        &mut self,
        candidate: Candidate,
        origin: Origin,
        window_ms: u64,
        reply: oneshot::Sender<Response>,
    ) {
        let refused = match self.reconcile.is_changing() {
            true => Err(
                "nothing was changed: another change is being carried out; try again in a moment".to_owned(),
            ),
            false => self.set_candidate_aside(&candidate, origin),
        };
        if let Err(message) = refused {
            let _ = reply.send(Response::Error { message });
            return;
        }
        let now = Instant::now();
        let window = Duration::from_millis(window_ms);
        let (config, parts) = candidate.read;
        let trial = Trial::begin(now, window, config.confirm);
        let evidence = Evidence::before(self, now);
        let problems = std::mem::take(&mut self.config_problems);
        let former = Former {
            config: self.config.as_ref().map(without_leaving),
            parts: std::mem::replace(&mut self.parts, parts),
            mark: self.mark.replace(config::fingerprint(&candidate.text)),
            source: std::mem::replace(&mut self.source, ConfigSource::Pending),
            since: std::mem::replace(&mut self.config_since, now),
            problems,
        };
        self.tell(
            Level::Warn,
            &format!(
                "PENDING: a new configuration is in force ({}, {}); it returns to the former one in {} s unless it is confirmed",
                candidate.change.why,
                candidate.change.by,
                trial.window().as_secs()
            ),
        );
        self.mark_pending(&trial, now);
        self.pending = Some(Pending {
            trial,
            evidence,
            change: candidate.change,
            former,
            import: None,
        });
        let mut report = self.changed_report(candidate.check, ChangeState::Pending);
        report.persisted = false;
        report.persist_fault = None;
        report.pending = self.pending_report();
        self.replace_config(Some(config), Waiter { report, reply });
    }

    /// The candidate is on the disk beside lb.toml, and lb.toml is what a start has to use.
    fn set_candidate_aside(&self, candidate: &Candidate, origin: Origin) -> Result<(), String> {
        let fault = |error| {
            format!(
                "nothing was changed: a configuration that cannot be kept cannot be confirmed: {}; without --confirm it is applied all \
                 the same, if its text can be written",
                chain(&error)
            )
        };
        self.store.write(PENDING_FILE, &candidate.text).map_err(fault)?;
        let former = self.put_back(origin);
        if former.is_err() {
            let _ = self.store.remove(PENDING_FILE);
        }
        former
    }

    /// lb.toml becomes, or is, what is in force now.
    fn put_back(&self, origin: Origin) -> Result<(), String> {
        let on_disk = self.store.read(CONFIG_FILE).ok().flatten();
        let Some(on_disk) = on_disk else {
            return Ok(());
        };
        if Some(config::fingerprint(&on_disk)) == self.mark {
            return Ok(());
        }
        if origin == Origin::Elsewhere {
            // A start falls back from a file with faults, as the last one did.
            return match config::parse_bytes_after(&on_disk, self.in_force()) {
                Err(_) => Ok(()),
                Ok(_) => Err(format!(
                    "nothing was changed: {CONFIG_FILE} on the disk is not what is in force, and would be used if the machine started \
                     now; `config diff` shows it, `config apply --confirm` tries it out first"
                )),
            };
        }
        let done = match (self.config.is_some(), self.text_in_force()) {
            (false, _) => self.store.remove(CONFIG_FILE),
            (true, Some(former)) => self.store.write(CONFIG_FILE, &former),
            (true, None) => {
                return Err(
                    "nothing was changed: the text of what is in force is not on the disk, so that a start could not return to it; \
                     apply it without --confirm"
                        .to_owned(),
                );
            }
        };
        done.map_err(|error| format!("nothing was changed: {}", chain(&error)))
    }

    /// The text of what is in force, wherever it is found.
    pub fn text_in_force(&self) -> Option<Vec<u8>> {
        let mark = self.mark?;
        let is_it = |text: &Vec<u8>| config::fingerprint(text) == mark;
        let files = [CONFIG_FILE, APPLIED_FILE, PENDING_FILE];
        let mut files = files
            .iter()
            .filter_map(|name| self.store.read(name).ok().flatten());
        files.find(is_it).or_else(|| {
            let archive = Archive::beside(&self.store);
            let entries = archive.list().entries;
            let mut texts = entries.iter().filter_map(|entry| archive.text(entry.number).ok());
            texts.find(is_it)
        })
    }

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
        let kept = journal::withdraw(&self.store).and_then(|_| {
            let renamed = self.store.rename(PENDING_FILE, CONFIG_FILE);
            renamed.map_err(|error| chain(&error))
        });
        let text = kept.and_then(|()| self.file());
        self.kept(text.map(|text| (text, None)), by, reply)
    }

    /// `kept`: the text that is lb.toml now, and what is to be told of it; or why it is not.
    pub fn kept(
        &mut self,
        kept: Result<(Vec<u8>, Option<String>), String>,
        by: &str,
        reply: oneshot::Sender<Response>,
    ) -> Result<(), String> {
        let Some(pending) = &self.pending else {
            let _ = reply.send(self.nothing_pending());
            return Ok(());
        };
        let (text, remark) = match kept {
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
        self.tell(Level::Warn, &told);
        self.last_trial = Some((Instant::now(), told));
        self.source = ConfigSource::File;
        self.keeper.hold(text, change);
        let check = CheckReport {
            warnings: remark.into_iter().collect(),
            ..apply::faultless()
        };
        let report = self.changed_report(check, ChangeState::Confirmed);
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
            Ok(()) => format!(
                "its text is kept as {} (`config show returned`)",
                self.store.path(RETURNED_FILE).display()
            ),
            Err(error) => format!("its text is lost: {}", chain(&error)),
        };
        let import = pending.import.map(|tried| self.give_up_import(tried));
        let kept = match import {
            Some(_) => format!("{kept}{NOT_KEPT}{}", self.take_back_import(pending.former.mark)),
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
            self.config_problems.push(told);
        }
        let report = self.changed_report(apply::faultless(), ChangeState::Returned);
        self.replace_config(former.config, Waiter { report, reply });
        if let Some(drains) = import {
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
                if self.keep_pending("what the file asserts", reply).is_err() && self.trial_is_over(now) {
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

    pub fn pending_report(&self) -> Option<PendingReport> {
        let pending = self.pending.as_ref()?;
        let findings = pending.trial.findings().iter();
        Some(PendingReport {
            left_ms: ms(pending.trial.left(Instant::now())),
            window_ms: ms(pending.trial.window()),
            by: pending.change.by.clone(),
            why: pending.change.why.clone(),
            assertions: findings
                .map(|finding| AssertionReport {
                    text: finding.text.clone(),
                    holds: finding.holds,
                })
                .collect(),
        })
    }

    /// For `status`, first of all.
    pub fn pending_problem(&self) -> Option<String> {
        let pending = self.pending.as_ref()?;
        Some(format!(
            "PENDING: the configuration in force is on trial, and returns to the former one in {} s; `config confirm` keeps it, \
             `config abort` returns at once",
            pending.trial.left(Instant::now()).as_secs()
        ))
    }

    fn mark_pending(&self, trial: &Trial, now: Instant) {
        let until = system::uptime_ms().saturating_add(ms(trial.left(now)));
        let mark = self.places.runtime.join(PENDING_MARK);
        if let Err(error) = std::fs::write(&mark, format!("{until}\n")) {
            log::warn!("cannot write {}: {error}", mark.display());
        }
    }

    fn nothing_pending(&self) -> Response {
        let message = match &self.last_trial {
            Some((at, told)) => format!(
                "nothing is pending any more. {} s ago: {told}; `config history` lists what was in force",
                at.elapsed().as_secs()
            ),
            None => "nothing is pending; `config apply --confirm 2m` tries a configuration out, `config history` lists what was in force"
                .to_owned(),
        };
        Response::Error { message }
    }

    /// Also at a start, of the agent before.
    pub fn unmark_pending(&self) {
        let _ = std::fs::remove_file(self.places.runtime.join(PENDING_MARK));
    }
}

/// Those that were about to leave it leave what comes after it, too, without it.
fn without_leaving(config: &Config) -> Config {
    let mut config = config.clone();
    for service in &mut config.virtual_servers {
        if service.leaving().next().is_some() {
            let servers = &mut std::sync::Arc::make_mut(service).real_servers;
            servers.retain(|real| real.tier != lb_core::pool::Tier::Leaving);
        }
    }
    config
}
