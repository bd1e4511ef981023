//! How a new configuration is judged and put in force. A file with faults changes nothing: the present one stays.
//! Must not: decide when a trial ends, or what a start uses (that is `load`).

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Instant;

use lb_core::config::{self, Before, Config, Faults, Parts};
use lb_core::control::{
    ApplyReport, ChangeState, CheckReport, ConfigSource, ConfigText, Kept, KeptName, Response, Terms,
    VolumeState,
};
use tokio::sync::oneshot;

use crate::archive::{Archive, Change};
use crate::engine::Engine;
use crate::reconcile::Waiter;
use crate::rehearsals::Then;
use crate::report::{self, chain};
use crate::store::{CONFIG_FILE, PENDING_FILE, RETURNED_FILE};
use crate::trial::Origin;

pub type Read = (Config, Parts);

/// The verdict on a text that is to be put in force, without warnings: they can wait until it is.
/// `before`: what is in force.
pub fn check(bytes: &[u8], before: Option<Before<'_>>) -> (Option<Read>, CheckReport) {
    match config::parse_bytes_after(bytes, before) {
        Ok(read) => (Some(read), faultless()),
        Err(faults) => (
            None,
            faulty(&faults, CONFIG_FILE, &String::from_utf8_lossy(bytes)),
        ),
    }
}

/// What is allowed and hardly meant, also of files that are not beside lb.toml.
pub fn warnings(config: &Config, is_there: impl Fn(&str) -> bool) -> Vec<String> {
    let mut warnings = config::warnings(config);
    warnings.extend(config::missing_files(config, is_there));
    warnings
}

pub fn faultless() -> CheckReport {
    CheckReport {
        ok: true,
        faults: Vec::new(),
        rendered: String::new(),
        warnings: Vec::new(),
    }
}

/// `name`: of the file that has them.
pub fn faulty(faults: &Faults, name: &str, text: &str) -> CheckReport {
    CheckReport {
        ok: false,
        faults: faults.reports(text),
        rendered: faults.render(name, text),
        warnings: Vec::new(),
    }
}

/// A text that is about to be put in force.
pub struct Candidate {
    pub read: Read,
    pub check: CheckReport,
    pub text: Vec<u8>,
    pub change: Change,
    /// Who gives it wants it whatever the kernel would say.
    pub without_rehearsal: bool,
}

impl Candidate {
    /// Nobody means to put it in force now.
    pub fn only_shown(read: Read, check: CheckReport, text: Vec<u8>) -> Candidate {
        Candidate {
            read,
            check,
            text,
            change: Change::boot(),
            without_rehearsal: false,
        }
    }
}

impl Engine {
    /// `config put`: validate, write, apply. Nothing changes unless the text is valid and has been saved.
    pub fn put(&mut self, text: String, terms: &Terms, reply: oneshot::Sender<Response>) {
        match self.is_still(terms.over) {
            Ok(()) => self.put_bytes(text.into_bytes(), terms, &made(terms), reply),
            Err(message) => drop(reply.send(Response::Error { message })),
        }
    }

    /// Whether lb.toml is the one that a change began with: two people may be at it.
    pub fn is_still(&self, over: Option<u64>) -> Result<(), String> {
        let Some(over) = over else { return Ok(()) };
        let on_disk = self.store.read(CONFIG_FILE);
        let on_disk =
            on_disk.map_err(|e| format!("nothing was changed: {CONFIG_FILE} cannot be read: {e}"))?;
        match config::fingerprint(&on_disk.unwrap_or_default()) == over {
            true => Ok(()),
            false => Err(format!(
                "nothing was changed: somebody else has changed {CONFIG_FILE} meanwhile; `config show` shows it, then try again"
            )),
        }
    }

    /// `config rollback`: a text that is kept, as if it were put.
    pub fn roll_back(&mut self, kept: Kept, terms: &Terms, reply: oneshot::Sender<Response>) {
        let text = match kept {
            Kept::Named(KeptName::Sample) => Err(
                "nothing was changed: the sample was never in force; `config put` takes what you make of it"
                    .to_owned(),
            ),
            kept => self.kept_text(kept),
        };
        match text {
            Ok(text) => self.put_bytes(text, terms, &format!("rollback to {kept}"), reply),
            Err(message) => {
                let _ = reply.send(Response::Error { message });
            }
        }
    }

    fn put_bytes(&mut self, text: Vec<u8>, terms: &Terms, what: &str, reply: oneshot::Sender<Response>) {
        if let Err(message) = self.may_change() {
            let _ = reply.send(Response::Error { message });
            return;
        }
        let (read, check) = check(&text, self.in_force());
        let Some(read) = read else {
            let fault = "nothing was written, because the configuration has faults".to_owned();
            return refuse(check, false, Some(fault), reply);
        };
        // Valid, and hardly meant: a paste that went wrong would take every address away.
        if read.0.interfaces.is_empty() {
            let message = "nothing was changed: the text has no [[interface]], and the appliance would lose its addresses";
            let _ = reply.send(Response::Error {
                message: message.to_owned(),
            });
            return;
        }
        let change = change(terms, what);
        let candidate = Candidate {
            read,
            check,
            text,
            change,
            without_rehearsal: terms.without_rehearsal,
        };
        self.rehearse(candidate, Then::Put(terms.confirm_ms), reply);
    }

    /// The text is nowhere yet.
    pub fn write_and_enact(
        &mut self,
        candidate: Candidate,
        window_ms: Option<u64>,
        reply: oneshot::Sender<Response>,
    ) {
        if let Some(window) = window_ms {
            return self.try_out(candidate, Origin::Elsewhere, window, reply);
        }
        let written = self.instead_of_import(|engine| engine.store.write(CONFIG_FILE, &candidate.text));
        match written {
            Ok(Ok(())) => self.enact(candidate, reply),
            Ok(Err(error)) => {
                let mut fault = report::chain(&error);
                if self.store.holds(CONFIG_FILE, &candidate.text) {
                    // Its name has changed, and the disk has not said that it has it.
                    fault.push_str(
                        ". It is lb.toml now, not in force, and after a power cut either one may be lb.toml: `config apply` puts it in force when the disk works",
                    );
                }
                refuse(candidate.check, false, Some(fault), reply);
            }
            Err(why) => cannot(&why, reply),
        }
    }

    /// It is lb.toml already.
    pub fn enact_file(&mut self, candidate: Candidate, reply: oneshot::Sender<Response>) {
        match self.instead_of_import(|_| Ok::<(), Infallible>(())) {
            Ok(_) => self.enact(candidate, reply),
            Err(why) => cannot(&why, reply),
        }
    }

    /// `config apply`: what lb.toml says now.
    pub fn apply_file(&mut self, terms: &Terms, reply: oneshot::Sender<Response>) {
        let text = match self.may_change().and_then(|()| self.file()) {
            Ok(text) => text,
            Err(message) => {
                let _ = reply.send(Response::Error { message });
                return;
            }
        };
        let (read, check) = check(&text, self.in_force());
        let Some(read) = read else {
            return refuse(check, true, None, reply);
        };
        let candidate = Candidate {
            read,
            check,
            text,
            change: change(terms, "apply"),
            without_rehearsal: terms.without_rehearsal,
        };
        self.rehearse(candidate, Then::Apply(terms.confirm_ms), reply);
    }

    /// `config check`: all that can be said of a text without putting it in force. `None`: of lb.toml.
    /// `name`: as which it is told.
    pub fn check_text(
        &mut self,
        text: Option<String>,
        name: Option<String>,
        reply: oneshot::Sender<Response>,
    ) {
        let text = match text.map_or_else(|| self.file(), |text| Ok(text.into_bytes())) {
            Ok(text) => text,
            Err(message) => return drop(reply.send(Response::Error { message })),
        };
        let (read, mut check) = check(&text, self.in_force());
        let Some(read) = read else {
            return drop(reply.send(Response::Check(check)));
        };
        check.warnings = warnings(&read.0, |name| self.store.path(name).is_file());
        let candidate = Candidate::only_shown(read, check, text);
        let name = name.unwrap_or_else(|| CONFIG_FILE.to_owned());
        self.rehearse(candidate, Then::Tell(name), reply);
    }

    /// The bytes of lb.toml, or a sentence that says why there are none.
    pub fn file(&self) -> Result<Vec<u8>, String> {
        let path = self.store.path(CONFIG_FILE);
        match self.store.read(CONFIG_FILE) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(format!(
                "{} does not exist; `setup` asks for one, `config edit` and `config put` write it",
                path.display()
            )),
            Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
        }
    }

    /// The text of lb.toml, or of another one that is kept.
    pub fn config_text(&self, kept: Option<Kept>) -> Response {
        let path = match kept {
            None => self.store.path(CONFIG_FILE).display().to_string(),
            Some(Kept::Number(number)) => format!("configuration {number} of the history"),
            Some(Kept::Named(name)) => self.kept_path(name).display().to_string(),
        };
        let text = kept.map_or_else(|| self.file(), |kept| self.kept_text(kept));
        match text {
            Ok(bytes) => Response::Config(ConfigText {
                path,
                text: String::from_utf8_lossy(&bytes).into_owned(),
            }),
            Err(message) => Response::Error { message },
        }
    }

    /// The text of a configuration that is kept; else the sentence to say.
    pub fn kept_text(&self, kept: Kept) -> Result<Vec<u8>, String> {
        let name = match kept {
            Kept::Number(number) => return Archive::beside(&self.store).text(number),
            Kept::Named(name) => name,
        };
        let path = self.kept_path(name);
        let (text, absent) = match name {
            KeptName::Pending => (
                self.store.read(PENDING_FILE),
                "no configuration is pending; `config show` shows lb.toml".to_owned(),
            ),
            KeptName::Returned => (
                self.store.read(RETURNED_FILE),
                format!("there is no {}: no configuration was given up", path.display()),
            ),
            KeptName::Sample => {
                let text = std::fs::read(&path);
                return text.map_err(|error| format!("{} cannot be read: {error}", path.display()));
            }
        };
        match text {
            Ok(Some(text)) => Ok(text),
            Ok(None) => Err(absent),
            Err(error) => Err(format!("{} cannot be read: {}", path.display(), chain(&error))),
        }
    }

    fn kept_path(&self, name: KeptName) -> PathBuf {
        match name {
            KeptName::Pending => self.store.path(PENDING_FILE),
            KeptName::Returned => self.store.path(RETURNED_FILE),
            // A first boot leaves a copy on the volume; this one is always there.
            KeptName::Sample => self.places.sample.clone(),
        }
    }

    /// What a start would use is this text already.
    pub fn enact(&mut self, candidate: Candidate, reply: oneshot::Sender<Response>) {
        let (config, parts) = candidate.read;
        let services = match config.virtual_servers.len() {
            1 => "1 service".to_owned(),
            several => format!("{several} services"),
        };
        let Change { why, by } = &candidate.change;
        self.tell(
            log::Level::Warn,
            &format!("a new configuration is in force ({why}, {by}): {services}"),
        );
        self.mark = Some(config::fingerprint(&candidate.text));
        self.keeper.hold(candidate.text, candidate.change);
        self.source = ConfigSource::File;
        self.config_since = Instant::now();
        self.config_problems.clear();
        let report = self.changed_report(candidate.check, ChangeState::Applied);
        self.parts = parts;
        self.replace_config(Some(config), Waiter { report, reply });
    }

    /// What who waits for a change will be told, but for the steps.
    pub fn changed_report(&self, check: CheckReport, state: ChangeState) -> ApplyReport {
        let fault = self.not_persistent();
        ApplyReport {
            applied: true,
            check,
            steps: Vec::new(),
            changed: Vec::new(),
            failed: Vec::new(),
            persisted: fault.is_none(),
            persist_fault: fault,
            mirrored: false,
            state,
            pending: None,
            number: None,
            former: None,
        }
    }

    /// Why what is written to the config volume would not survive a reboot, if so.
    pub fn not_persistent(&self) -> Option<String> {
        let volume = report::init_report(&self.places)?.config_volume;
        match volume.state {
            VolumeState::Memory | VolumeState::NotMounted => Some(format!(
                "the files of /config are in memory only: {}",
                volume.detail
            )),
            VolumeState::ReadOnly => Some(format!("the config volume is read-only: {}", volume.detail)),
            VolumeState::Persistent | VolumeState::Restored => None,
        }
    }
}

/// Longer comments are cut.
const COMMENT_CHARACTERS: usize = 200;

/// How the text of a `config put` came about, in the history's words.
fn made(terms: &Terms) -> String {
    match terms
        .made
        .as_deref()
        .map(str::trim)
        .filter(|made| !made.is_empty())
    {
        Some(made) => made.chars().take(COMMENT_CHARACTERS).collect(),
        None => "put".to_owned(),
    }
}

/// As it stands in the history.
pub fn change(terms: &Terms, what: &str) -> Change {
    let comment = terms
        .comment
        .as_deref()
        .map(str::trim)
        .filter(|text| !text.is_empty());
    let comment = comment.map(|text| text.chars().take(COMMENT_CHARACTERS).collect::<String>());
    let what = match terms.without_rehearsal {
        true => format!("{what} without a rehearsal"),
        false => what.to_owned(),
    };
    Change {
        by: terms.by.clone(),
        why: match comment {
            Some(comment) => format!("{what}: {comment}"),
            None => what,
        },
    }
}

/// Before anything was changed.
fn cannot(why: &str, reply: oneshot::Sender<Response>) {
    let message = format!("nothing was changed: {why}");
    // The client may have gone: nobody misses the answer.
    let _ = reply.send(Response::Error { message });
}

pub fn refuse(check: CheckReport, persisted: bool, fault: Option<String>, reply: oneshot::Sender<Response>) {
    // The client may have gone: nobody misses the answer.
    let _ = reply.send(Response::Apply(ApplyReport {
        applied: false,
        check,
        steps: Vec::new(),
        changed: Vec::new(),
        failed: Vec::new(),
        persisted,
        persist_fault: fault,
        mirrored: false,
        state: ChangeState::Applied,
        pending: None,
        number: None,
        former: None,
    }));
}
