//! `config import`: the whole state of a machine out of one text, verified before anything is changed, and then in force as any other configuration,
//! with its certificates, keys and drains. Must not: know how it comes to the disk (that is `journal`).

use std::collections::BTreeMap;

use lb_core::config::{self, Config};
use lb_core::control::{ChangeReport, CheckReport, Response, Sign, Terms};
use lb_core::export::{Export, PENDING, holds_key, read};
use lb_core::pool::{DrainTarget, Drains};
use log::Level;
use tokio::sync::oneshot;

use crate::apply::{self, Candidate, Read};
use crate::drains::{self, DRAINS_FILE};
use crate::engine::{Engine, Event};
use crate::guarded::guarded;
use crate::journal::{self, Back, Failed, VERSION, origin};
use crate::rehearsals::{Connections, Then};
use crate::report::chain;
use crate::trial::{Kept, Origin};

/// An import that can be carried out.
pub struct Incoming {
    /// With the drains that are left.
    pub export: Export,
    pub read: Read,
    pub drains: Drains,
    /// What is to be known of it, one sentence each.
    pub remarks: Vec<String>,
}

/// An import on trial: nothing of it is on the disk as a start would use it.
#[derive(Debug)]
pub struct Tried {
    export: Export,
    former_drains: Drains,
    /// The disk has refused it once: what the file asserts does not try again without end.
    pub was_refused: bool,
    /// What of it is on the disk since then.
    pub back: Back,
}

/// An import that is on its way to the disk. Meanwhile nothing else changes.
pub enum Importing {
    /// It was not on trial.
    AtOnce {
        candidate: Box<Candidate>,
        drains: Drains,
        reply: oneshot::Sender<Response>,
    },
    /// It was, and is confirmed.
    Trial {
        by: String,
        reply: oneshot::Sender<Response>,
    },
}

/// How it has come there.
pub struct Committed {
    export: Export,
    outcome: Result<Option<String>, Failed>,
}

/// Why it cannot be.
enum Unfit {
    Said(String),
    /// Its lb.toml has faults.
    Faulty(CheckReport),
}

impl Engine {
    /// What it would change; nothing is changed.
    pub fn import_diff(&mut self, text: &str, how: (bool, Connections), reply: oneshot::Sender<Response>) {
        let may = self.may_change().and_then(|()| journal::refusal(&self.store));
        match may.map_err(Unfit::Said).and_then(|()| self.incoming(text)) {
            Ok(incoming) => self.diff_import(incoming, how, reply),
            Err(unfit) => unfit.answer(reply),
        }
    }

    pub fn import(&mut self, text: String, terms: &Terms, reply: oneshot::Sender<Response>) {
        let may = self.may_change().and_then(|()| self.is_still(terms.over));
        let may = may.and_then(|()| journal::refusal(&self.store));
        let incoming = match may.map_err(Unfit::Said).and_then(|()| self.incoming(&text)) {
            Ok(incoming) => incoming,
            Err(unfit) => return unfit.answer(reply),
        };
        // It may be long, and so are the copies that follow.
        drop(text);
        let Incoming {
            export,
            read,
            drains,
            remarks,
        } = incoming;
        let candidate = Candidate {
            read,
            check: CheckReport {
                warnings: remarks,
                ..apply::faultless()
            },
            // Faults that the kernel finds are told at their place.
            text: export.configuration.clone().into_bytes(),
            without_rehearsal: terms.without_rehearsal,
            change: apply::change(terms, &format!("import {}", origin(&export))),
        };
        let then = Then::Import(Box::new((export, drains)), terms.confirm_ms);
        self.rehearse(candidate, then, reply);
    }

    /// Nothing of it is on the disk yet.
    pub fn begin_import(
        &mut self,
        (export, drains): (Export, Drains),
        candidate: Candidate,
        window_ms: Option<u64>,
        reply: oneshot::Sender<Response>,
    ) {
        if let Some(window) = window_ms {
            return self.try_import(export, drains, candidate, window, reply);
        }
        let importing = Importing::AtOnce {
            candidate: Box::new(candidate),
            drains,
            reply,
        };
        self.commit_import(export, importing);
    }

    /// Beside the loop: some hundred files may have to be on the disk, and the checks go on meanwhile.
    pub fn commit_import(&mut self, export: Export, importing: Importing) {
        self.importing = Some(importing);
        let (store, events) = (self.store.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || {
            // All that changes something waits for it, too.
            let committed = guarded(|| journal::commit(&store, &export));
            let outcome = committed.unwrap_or_else(|fault| {
                let message = format!("while the import was written: {fault}, and import it again");
                let back = Back::default();
                Err(Failed { message, back })
            });
            // The loop is gone only when the process ends; the next start goes on.
            let _ = events.blocking_send(Event::Imported(Box::new(Committed { export, outcome })));
        });
    }

    /// It is on the disk, or is not.
    pub fn imported(&mut self, committed: Committed) {
        let Some(importing) = self.importing.take() else {
            return;
        };
        let Committed { export, outcome } = committed;
        match importing {
            Importing::AtOnce {
                candidate,
                drains,
                reply,
            } => match outcome {
                Ok(remark) => self.enact_import(export, (*candidate, drains), remark, reply),
                Err(Failed { message, .. }) => {
                    self.tell(Level::Error, &message);
                    let _ = reply.send(Response::Error { message });
                }
            },
            Importing::Trial { by, reply } => {
                let text = export.configuration.into_bytes();
                if let Ok(Some(remark)) = &outcome {
                    self.tell(Level::Error, remark);
                }
                let kept = |remark| Kept {
                    text,
                    remark,
                    unsure: None,
                };
                let kept = outcome.map(kept).map_err(|failed| {
                    if let Some(tried) = self.pending.as_mut().and_then(|p| p.import.as_mut()) {
                        tried.was_refused = true;
                        tried.back = failed.back;
                    }
                    failed.message
                });
                if let Err(message) = self.kept(kept, &by, reply) {
                    self.tell(Level::Error, &message);
                }
            }
        }
    }

    fn enact_import(
        &mut self,
        export: Export,
        (mut candidate, drains): (Candidate, Drains),
        remark: Option<String>,
        reply: oneshot::Sender<Response>,
    ) {
        if let Some(remark) = remark {
            self.tell(Level::Error, &remark);
            candidate.check.warnings.push(remark);
        }
        self.tell_import(&export, &drains);
        self.enact(candidate, reply);
        self.replace_drains(drains);
    }

    /// Whether something else may be changed; else why not, with the remedy.
    pub fn is_importing(&self) -> Result<(), String> {
        match &self.importing {
            None => Ok(()),
            Some(_) => Err(
                "nothing was changed: an import is being written to the disk; try again in a moment"
                    .to_owned(),
            ),
        }
    }

    /// A change that gives up an import which is not complete, if it succeeds; where that cannot be, nothing is changed, and the error says why.
    pub fn instead_of_import<T, E>(
        &mut self,
        change: impl FnOnce(&Engine) -> Result<T, E>,
    ) -> Result<Result<T, E>, String> {
        let (changed, told) = journal::instead(&self.store, || change(self))?;
        if let Some(told) = told {
            self.config_problems
                .retain(|problem| changed.is_err() || !problem.starts_with(journal::NOT_COMPLETE));
            let level = match told == journal::GIVEN_UP {
                true => Level::Warn,
                false => Level::Error,
            };
            self.tell(level, &told);
        }
        Ok(changed)
    }

    /// It returns, and may be on the disk in part. What is to be told of that.
    fn take_back_import(&self, back: &mut Back) -> String {
        let gone = back.go(&self.store);
        // Whatever stays: what has returned must not come again.
        let outcomes = [gone, journal::withdraw(&self.store)];
        let stays: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
        match stays.as_slice() {
            [] => String::new(),
            some => format!(
                "; but on the disk {}; `config import` of an export of this machine puts it right",
                some.join("; ")
            ),
        }
    }

    fn tell_import(&mut self, export: &Export, drains: &Drains) {
        let set_aside = drains.iter().count();
        let files = export.files.len();
        let told = format!(
            "an import {} takes the place of the whole configuration: drains: {set_aside}, certificates and keys: {files}",
            origin(export)
        );
        self.tell(Level::Warn, &told);
    }

    /// Its files are lent to the checks, and its drains are in memory, until it is confirmed.
    fn try_import(
        &mut self,
        export: Export,
        drains: Drains,
        candidate: Candidate,
        window_ms: u64,
        reply: oneshot::Sender<Response>,
    ) {
        let kept = export.text().map_err(|error| error.to_string()).and_then(|text| {
            self.store
                .write(PENDING, text.as_bytes())
                .map_err(|error| chain(&error))
        });
        if let Err(why) = kept {
            let message = format!(
                "nothing was changed: an import that cannot be kept cannot be confirmed: {why}; without --confirm it is applied all the same, if it \
                 can be written"
            );
            return drop(reply.send(Response::Error { message }));
        }
        self.trust.lend(export.files.clone());
        self.try_out(candidate, Origin::Elsewhere, window_ms, reply);
        if self.pending.is_none() {
            // It was refused, and who asked was told why.
            self.trust.lend(BTreeMap::new());
            self.trust.forget();
            journal::forget_pending(&self.store);
            return;
        }
        self.tell_import(&export, &drains);
        let former_drains = self.replace_drains(drains);
        if let Some(pending) = &mut self.pending {
            pending.import = Some(Tried {
                export,
                former_drains,
                was_refused: false,
                back: Back::default(),
            });
        }
    }

    /// It returns; what is to be set aside then, and what is to be told of the disk.
    pub fn give_up_import(&self, mut tried: Tried) -> (Drains, String) {
        self.trust.lend(BTreeMap::new());
        let stays = self.take_back_import(&mut tried.back);
        journal::forget_pending(&self.store);
        (tried.former_drains, stays)
    }

    /// Before it is tried again to keep it: nothing of the last time may be taken for what was there before.
    pub fn begin_anew(&mut self) -> Result<(), String> {
        match self.pending.as_mut().and_then(|p| p.import.as_mut()) {
            Some(tried) => tried.back.go(&self.store),
            None => Ok(()),
        }
    }

    /// What a start would set aside, while an import is on trial.
    pub fn former_drains(&self) -> Option<&Drains> {
        let tried = self.pending.as_ref()?.import.as_ref()?;
        Some(&tried.former_drains)
    }

    pub fn former_drains_mut(&mut self) -> Option<&mut Drains> {
        let tried = self.pending.as_mut()?.import.as_mut()?;
        Some(&mut tried.former_drains)
    }

    /// Verifies all of it.
    fn incoming(&self, text: &str) -> Result<Incoming, Unfit> {
        let mut export = read(text.as_bytes(), VERSION).map_err(|fault| {
            Unfit::Said(format!("nothing was changed: the export cannot be used: {fault}"))
        })?;
        let read = self.judge(&export)?;
        let config = &read.0;
        let named = config::named_files(config);
        let strange = export
            .files
            .keys()
            .chain(&export.left_out)
            .find(|name| !named.contains(*name));
        if let Some(name) = strange {
            return Err(Unfit::Said(format!(
                "nothing was changed: the export has {name}, and its lb.toml names no such file; export it again"
            )));
        }
        let drains = drains::parse(export.drains.as_bytes()).map_err(|why| {
            Unfit::Said(format!(
                "nothing was changed: {DRAINS_FILE} of the export: {why}; export it again"
            ))
        })?;
        let (drains, lost) = drains_of(config, &drains);
        export.drains = drains::written(&drains);
        let mut remarks = Vec::new();
        if export.origin.version != VERSION {
            remarks.push(format!(
                "the export is of version {}, and this is {VERSION}; all of it is understood",
                export.origin.version
            ));
        }
        remarks.extend(lost.iter().map(|target| {
            format!("the drain of {target} is left out: the lb.toml of the export has no such server")
        }));
        let kept = named
            .iter()
            .filter(|name| !export.files.contains_key(*name) && self.store.path(name).is_file());
        remarks
            .extend(kept.map(|name| format!("{name} is not in the export; the one on this machine is used")));
        Ok(Incoming {
            export,
            read,
            drains,
            remarks,
        })
    }

    fn judge(&self, export: &Export) -> Result<Read, Unfit> {
        let (read, mut check) = apply::check(export.configuration.as_bytes(), self.in_force());
        let Some(read) = read else {
            if export.origin.version != VERSION {
                check.rendered.push_str(&format!(
                    "The export is of version {}, and this is {VERSION}: import it there, or bring this machine to that version first.\n",
                    export.origin.version
                ));
            }
            return Err(Unfit::Faulty(check));
        };
        match read.0.interfaces.is_empty() {
            true => Err(Unfit::Said(
                "nothing was changed: the lb.toml of the export has no [[interface]], and the appliance would lose its addresses".to_owned(),
            )),
            false => Ok(read),
        }
    }

    /// Certificates, keys and drains that would be others.
    pub fn changed_besides(&self, incoming: &Incoming) -> Vec<ChangeReport> {
        let file = |(name, content): (&String, &Vec<u8>)| {
            let kind = if holds_key(content) { "key" } else { "certificate" };
            let (sign, what) = match self.store.read(name) {
                Ok(Some(held)) if held == *content => return None,
                Ok(None) => (Sign::Added, "new"),
                _ => (Sign::Changed, "another one"),
            };
            Some(ChangeReport {
                sign,
                text: format!("{kind} {name}: {what}, {} bytes", content.len()),
            })
        };
        let mut changes: Vec<ChangeReport> = incoming.export.files.iter().filter_map(file).collect();
        let (before, after) = (&self.checks.drains, &incoming.drains);
        let only = |one: &Drains, other: &Drains| -> Vec<DrainTarget> {
            let targets = one.iter().map(|(target, _)| target.clone());
            targets
                .filter(|target| other.iter().all(|(known, _)| known != target))
                .collect()
        };
        changes.extend(only(before, after).into_iter().map(|target| ChangeReport {
            sign: Sign::Removed,
            text: format!("drain of {target}: it gets new connections again"),
        }));
        changes.extend(only(after, before).into_iter().map(|target| ChangeReport {
            sign: Sign::Added,
            text: format!("drain of {target}: it gets no new connections"),
        }));
        changes
    }
}

impl Tried {
    /// As it is confirmed: with what was set aside meanwhile.
    pub fn kept(&self, drains: &Drains) -> Export {
        Export {
            drains: drains::written(drains),
            ..self.export.clone()
        }
    }
}

impl Unfit {
    fn answer(self, reply: oneshot::Sender<Response>) {
        match self {
            // The client may have gone: nobody misses the answer.
            Unfit::Said(message) => drop(reply.send(Response::Error { message })),
            Unfit::Faulty(check) => {
                let fault =
                    "nothing was written, because the configuration of the export has faults".to_owned();
                apply::refuse(check, false, Some(fault), reply);
            }
        }
    }
}

/// Those that set a server of this configuration aside, and the others.
fn drains_of(config: &Config, drains: &Drains) -> (Drains, Vec<DrainTarget>) {
    let (mut kept, mut lost) = (Drains::default(), Vec::new());
    for (target, drain) in drains.iter() {
        let covered = config.services().any(|service| {
            let mut servers = service.of_file();
            servers.any(|real| target.covers(&service.name, real.address))
        });
        match covered {
            true => drop(kept.add(target.clone(), drain.since_unix_s)),
            false => lost.push(target.clone()),
        }
    }
    (kept, lost)
}
