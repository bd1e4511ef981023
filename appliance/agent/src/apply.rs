//! Where a configuration comes from and how a new one is put in force. A file with faults changes nothing: at boot the
//! last configuration that was applied is used instead, while running the present one stays. Must not: decide when a trial ends.

use std::time::Instant;

use lb_core::config::{self, Before, Config, Faults, Parts};
use lb_core::control::{
    ApplyReport, ChangeState, CheckReport, ConfigSource, ConfigText, Kept, KeptName, Response, Terms,
    VolumeState,
};
use lb_core::mirror;
use tokio::sync::oneshot;

use crate::archive::{Archive, Change};
use crate::engine::Engine;
use crate::reconcile::Waiter;
use crate::rehearsals::Then;
use crate::report::chain;
use crate::store::{APPLIED_FILE, CONFIG_FILE, PENDING_FILE, RETURNED_FILE, SAMPLE_FILE, Store};
use crate::trial::Origin;
use crate::{Places, boot_choice, journal, report, seed, trial};

/// What a start finds.
#[derive(Debug)]
pub struct Loaded {
    pub config: Option<(Config, Parts)>,
    /// Of its text, as [`config::fingerprint`] gives it.
    pub mark: Option<u64>,
    pub source: ConfigSource,
    pub problems: Vec<String>,
    /// What was on trial when the agent before ended, in a sentence.
    pub returned: Option<String>,
    /// What has taken lb.toml's place at this start, in a sentence.
    pub replaced: Option<String>,
    /// How it stands in the history.
    pub change: Change,
    /// Text that came from lb.toml and is not yet known to be applicable.
    pub unsaved: Option<Vec<u8>>,
}

/// What has taken lb.toml's place before a start reads it: a seed, or a choice of the boot menu.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    /// In a sentence, if something was taken.
    pub taken: Option<String>,
    /// As it stands in the history then.
    pub change: Option<Change>,
    /// Why nothing was, with the remedy.
    pub problem: Option<String>,
}

/// An import that was decided is completed, whatever comes. A choice of the boot menu, or else a seed, if it is its time, becomes lb.toml first. Then lb.toml; if that has faults or is missing, the last applied one; then the mirror; then the history; then nothing. What was on trial
/// when the agent before ended is none of them.
pub fn load(store: &Store, places: &Places) -> Loaded {
    let completed = journal::resume(store);
    // What was confirmed, and could not be completed now, has not returned.
    let waits = journal::stays(store);
    let returned = match waits {
        true => None,
        false => trial::clear_away(store),
    };
    if !waits {
        journal::forget_pending(store);
    }
    let replaced = replace(store, places).or(completed);
    let mut loaded = load_file(store, places);
    if let Some(problem) = replaced.problem {
        log::error!("{problem}");
        loaded.problems.insert(0, problem);
    }
    Loaded {
        returned,
        replaced: replaced.taken,
        change: replaced.change.unwrap_or(loaded.change),
        ..loaded
    }
}

/// Who has chosen a configuration by hand does not mean the one that a seed brings at every boot.
fn replace(store: &Store, places: &Places) -> Replaced {
    let chosen = boot_choice::take(store, places);
    if chosen == Replaced::default() {
        return seed::take(store, places);
    }
    seed::clear_away(places);
    chosen
}

fn load_file(store: &Store, places: &Places) -> Loaded {
    let mut problems = Vec::new();
    match read(store, CONFIG_FILE) {
        Ok(Some((config, text))) => {
            return Loaded {
                config: Some(config),
                mark: Some(config::fingerprint(&text)),
                source: ConfigSource::File,
                problems,
                returned: None,
                replaced: None,
                change: Change::boot(),
                unsaved: Some(text),
            };
        }
        Ok(None) => {}
        Err(fault) => {
            for line in fault.lines() {
                log::error!("{line}");
            }
            problems.push(format!(
                "{CONFIG_FILE} has faults and is not used; `config check` shows them, `config put` replaces it"
            ));
        }
    }
    match fall_back(store, places) {
        Some((config, text, source)) => {
            if problems.is_empty() {
                problems.push(format!("{CONFIG_FILE} is missing; `config put` writes a new one"));
            }
            problems.push(why(source).to_owned());
            problems.iter().for_each(|p| log::error!("{p}"));
            Loaded {
                config: Some(config),
                mark: Some(config::fingerprint(&text)),
                source,
                problems,
                returned: None,
                replaced: None,
                change: Change::boot(),
                unsaved: None,
            }
        }
        None => nothing(store, places, problems),
    }
}

fn why(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::Mirror => "the configuration in force is the copy outside the config volume",
        ConfigSource::History => {
            "the configuration in force is the newest one of the history that can be used"
        }
        _ => "the configuration in force is the last one that was applied successfully",
    }
}

fn fall_back(store: &Store, places: &Places) -> Option<(Read, Vec<u8>, ConfigSource)> {
    let usable = |found: Found, name: &str| match found {
        Ok(found) => found,
        Err(fault) => {
            let first = fault.lines().next().unwrap_or_default();
            log::error!("{name} cannot be used: {first}");
            None
        }
    };
    if let Some((config, text)) = usable(read(store, APPLIED_FILE), APPLIED_FILE) {
        return Some((config, text, ConfigSource::LastApplied));
    }
    if let Some((config, text)) = usable(from_mirror(places), "mirror") {
        return Some((config, text, ConfigSource::Mirror));
    }
    let archive = Archive::beside(store);
    archive.list().entries.into_iter().find_map(|entry| {
        let name = format!("configuration {} of the history", entry.number);
        let read = archive.text(entry.number).and_then(|text| parse(text, &name));
        let (config, text) = usable(read.map(Some), &name)?;
        Some((config, text, ConfigSource::History))
    })
}

/// Without any configuration: services stay off, and the operator is told what to do.
fn nothing(store: &Store, places: &Places, mut problems: Vec<String>) -> Loaded {
    if problems.is_empty() {
        let sample = std::fs::read(&places.sample).ok();
        let written = sample.is_some_and(|sample| store.write(SAMPLE_FILE, &sample).is_ok());
        let hint = if written {
            format!(" ({} is an annotated sample)", store.path(SAMPLE_FILE).display())
        } else {
            String::new()
        };
        problems.push(format!(
            "there is no configuration: `setup` asks for one, and `config put` takes {}{hint}",
            store.path(CONFIG_FILE).display()
        ));
    }
    problems.push("nothing is configured: no addresses, no services, no forwarding".to_owned());
    problems.iter().for_each(|p| log::error!("{p}"));
    Loaded {
        config: None,
        mark: None,
        source: ConfigSource::None,
        problems,
        returned: None,
        replaced: None,
        change: Change::boot(),
        unsaved: None,
    }
}

pub type Read = (Config, Parts);
type Found = Result<Option<(Read, Vec<u8>)>, String>;

/// A file's configuration; the error is the rendered faults.
fn read(store: &Store, name: &str) -> Found {
    match store.read(name) {
        Ok(None) => Ok(None),
        Ok(Some(bytes)) => parse(bytes, name).map(Some),
        Err(error) => Err(format!("{name} cannot be read: {error}")),
    }
}

fn from_mirror(places: &Places) -> Found {
    let Some(partition) = &places.mirror else {
        return Ok(None);
    };
    let read = std::fs::File::open(partition).map_err(|e| e.to_string());
    let newest = read.and_then(|mut file| mirror::read_newest(&mut file).map_err(|e| report::chain(&e)));
    match newest {
        Ok(Some(record)) => parse(record.payload, "mirror").map(Some),
        Ok(None) => Ok(None),
        Err(error) => Err(format!("the mirror cannot be read: {error}")),
    }
}

fn parse(bytes: Vec<u8>, name: &str) -> Result<(Read, Vec<u8>), String> {
    match config::parse_bytes_after(&bytes, None) {
        Ok(config) => Ok((config, bytes)),
        Err(faults) => Err(faults.render(name, &String::from_utf8_lossy(&bytes))),
    }
}

/// The verdict on a text that is to be put in force, without warnings: they can wait until it is.
/// `before`: what is in force.
pub fn check(bytes: &[u8], before: Option<Before<'_>>) -> (Option<Read>, CheckReport) {
    match config::parse_bytes_after(bytes, before) {
        Ok(read) => (Some(read), faultless()),
        Err(faults) => (None, faulty(&faults, &String::from_utf8_lossy(bytes))),
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

pub fn faulty(faults: &Faults, text: &str) -> CheckReport {
    CheckReport {
        ok: false,
        faults: faults.reports(text),
        rendered: faults.render(CONFIG_FILE, text),
        warnings: Vec::new(),
    }
}

/// A text that is about to be put in force.
pub struct Candidate {
    pub read: Read,
    pub check: CheckReport,
    pub text: Vec<u8>,
    pub change: Change,
}

impl Replaced {
    /// What came last counts; what is wrong with either is told.
    fn or(self, before: Replaced) -> Replaced {
        Replaced {
            taken: self.taken.or(before.taken),
            change: self.change.or(before.change),
            problem: self.problem.or(before.problem),
        }
    }
}

impl Engine {
    /// `config put`: validate, write, apply. Nothing changes unless the text is valid and has been saved.
    pub fn put(&mut self, text: String, terms: &Terms, reply: oneshot::Sender<Response>) {
        match self.is_still(terms.over) {
            Ok(()) => self.put_bytes(text.into_bytes(), terms, "put", reply),
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
        match self.kept_text(kept) {
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
        match self.store.write(CONFIG_FILE, &candidate.text) {
            Ok(()) => self.enact(candidate, reply),
            Err(error) => refuse(candidate.check, false, Some(report::chain(&error)), reply),
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
        };
        self.rehearse(candidate, Then::Apply(terms.confirm_ms), reply);
    }

    /// `config check`: all that can be said of a text without putting it in force. `None`: of lb.toml.
    pub fn check_text(&mut self, text: Option<String>, reply: oneshot::Sender<Response>) {
        let text = match text.map_or_else(|| self.file(), |text| Ok(text.into_bytes())) {
            Ok(text) => text,
            Err(message) => return drop(reply.send(Response::Error { message })),
        };
        let (read, mut check) = check(&text, self.in_force());
        let Some(read) = read else {
            return drop(reply.send(Response::Check(check)));
        };
        check.warnings = warnings(&read.0, |name| self.store.path(name).is_file());
        let change = Change::boot();
        let candidate = Candidate {
            read,
            check,
            text,
            change,
        };
        self.rehearse(candidate, Then::Tell, reply);
    }

    /// The bytes of lb.toml, or a sentence that says why there are none.
    pub fn file(&self) -> Result<Vec<u8>, String> {
        let path = self.store.path(CONFIG_FILE);
        match self.store.read(CONFIG_FILE) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(format!(
                "{} does not exist; `config put` writes it",
                path.display()
            )),
            Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
        }
    }

    /// The text of lb.toml, or of another one that is kept.
    pub fn config_text(&self, kept: Option<Kept>) -> Response {
        let file = |name: &str| self.store.path(name).display().to_string();
        let path = match kept {
            None => file(CONFIG_FILE),
            Some(Kept::Number(number)) => format!("configuration {number} of the history"),
            Some(Kept::Named(name)) => file(file_of(name)),
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
        let path = self.store.path(file_of(name));
        match self.store.read(file_of(name)) {
            Ok(Some(text)) => Ok(text),
            Ok(None) => Err(match name {
                KeptName::Pending => "no configuration is pending; `config show` shows lb.toml".to_owned(),
                KeptName::Returned => {
                    format!("there is no {}: no configuration was given up", path.display())
                }
            }),
            Err(error) => Err(format!("{} cannot be read: {}", path.display(), chain(&error))),
        }
    }

    /// What a start would use is this text already.
    pub fn enact(&mut self, candidate: Candidate, reply: oneshot::Sender<Response>) {
        let (config, parts) = candidate.read;
        let services = config.virtual_servers.len();
        self.tell(
            log::Level::Warn,
            &format!("a new configuration is in force: {services} services"),
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
            state,
            pending: None,
            number: None,
        }
    }

    /// Why what is written to the config volume would not survive a reboot, if so.
    pub fn not_persistent(&self) -> Option<String> {
        let volume = report::init_report(&self.places)?.config_volume;
        match volume.state {
            VolumeState::Memory | VolumeState::NotMounted => Some(format!(
                "the configuration is in memory only and is lost at a reboot: {}",
                volume.detail
            )),
            VolumeState::ReadOnly => Some(format!("the config volume is read-only: {}", volume.detail)),
            VolumeState::Persistent | VolumeState::Restored => None,
        }
    }
}

/// Longer comments are cut.
const COMMENT_CHARACTERS: usize = 200;

/// As it stands in the history.
pub fn change(terms: &Terms, what: &str) -> Change {
    let comment = terms
        .comment
        .as_deref()
        .map(str::trim)
        .filter(|text| !text.is_empty());
    let comment = comment.map(|text| text.chars().take(COMMENT_CHARACTERS).collect::<String>());
    Change {
        by: terms.by.clone(),
        why: match comment {
            Some(comment) => format!("{what}: {comment}"),
            None => what.to_owned(),
        },
    }
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
        state: ChangeState::Applied,
        pending: None,
        number: None,
    }));
}

/// Beside lb.toml.
fn file_of(name: KeptName) -> &'static str {
    match name {
        KeptName::Pending => PENDING_FILE,
        KeptName::Returned => RETURNED_FILE,
    }
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
