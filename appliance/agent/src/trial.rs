//! A configuration on trial: it is in force in the kernel and nowhere else. lb.toml is what a start uses, so it stays, or is put back to,
//! what was in force before; the candidate waits beside it, and takes its place in one step when it is confirmed.
//! Must not: decide when a trial ends (that is `lb_core::confirm`).

use std::time::{Duration, Instant};

use lb_core::config::{self, Config, Parts};
use lb_core::confirm::{Trial, refusal};
use lb_core::control::{AssertionReport, ChangeState, ConfigSource, PendingReport, Response};
use log::Level;
use tokio::sync::oneshot;

use crate::apply::Candidate;
use crate::archive::{Archive, Change};
use crate::engine::Engine;
use crate::evidence::Evidence;
use crate::import::Tried;
use crate::journal;
use crate::reconcile::Waiter;
use crate::report::{chain, ms};
use crate::store::{APPLIED_FILE, CONFIG_FILE, PENDING_FILE, RETURNED_FILE, Store};
use crate::system;

/// How it begins what is told of a configuration that was given up.
const RETURNED: &str = "RETURNED to the former configuration";

/// What else can be done, for `status`.
const STAY: &str = "`config apply` stays with the former one, and ends this line";

/// Of an import.
const NOT_KEPT: &str =
    ", but neither its certificates and keys nor what it sets aside: import it again to try it once more";

/// In the runtime directory while a configuration is pending: the deadline, in milliseconds since the kernel's start. The console's
/// prompt reads it.
pub const PENDING_MARK: &str = "pending";

mod end;

pub use end::Kept;

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
        "{RETURNED}: one was pending when the agent or the machine ended, and was not confirmed; {}{not_kept}; {STAY}",
        kept_as(store)
    ))
}

/// Where the text is that returned, and how it is tried once more.
fn kept_as(store: &Store) -> String {
    format!(
        "its text is kept as {} (`config show returned` shows it, `config rollback returned` puts it in force)",
        store.path(RETURNED_FILE).display()
    )
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
            false => self
                .instead_of_import(|engine| engine.set_candidate_aside(&candidate, origin))
                .unwrap_or_else(|why| Err(format!("nothing was changed: {why}"))),
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

    pub fn pending_report(&self) -> Option<PendingReport> {
        let pending = self.pending.as_ref()?;
        let findings = pending.trial.findings().iter();
        Some(PendingReport {
            left_ms: ms(pending.trial.left(Instant::now())),
            window_ms: ms(pending.trial.window()),
            by: pending.change.by.clone(),
            why: pending.change.why.clone(),
            asserted: pending
                .trial
                .assertions()
                .keys()
                .into_iter()
                .map(str::to_owned)
                .collect(),
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
