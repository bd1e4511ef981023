//! Where a configuration comes from and how a new one is put in force. A file with faults changes nothing: at boot the
//! last configuration that was applied is used instead, while running the present one stays.

use std::time::Instant;

use lb_core::config::{self, Before, Config, Faults, Parts};
use lb_core::control::{ApplyReport, CheckReport, ConfigSource, ConfigText, Response, VolumeState};
use lb_core::mirror;
use tokio::sync::oneshot;

use crate::engine::Engine;
use crate::reconcile::Waiter;
use crate::store::{APPLIED_FILE, CONFIG_FILE, SAMPLE_FILE, Store};
use crate::{Places, report};

/// What a start finds.
pub struct Loaded {
    pub config: Option<(Config, Parts)>,
    pub source: ConfigSource,
    pub problems: Vec<String>,
    /// Text that came from lb.toml and is not yet known to be applicable.
    pub unsaved: Option<Vec<u8>>,
}

/// lb.toml; if that has faults or is missing, the last applied one; then the mirror; then nothing.
pub fn load(store: &Store, places: &Places) -> Loaded {
    let mut problems = Vec::new();
    match read(store, CONFIG_FILE) {
        Ok(Some((config, text))) => {
            return Loaded {
                config: Some(config),
                source: ConfigSource::File,
                problems,
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
    let fallbacks = [
        (ConfigSource::LastApplied, APPLIED_FILE),
        (ConfigSource::Mirror, "mirror"),
    ];
    for (source, name) in fallbacks {
        let found = if source == ConfigSource::Mirror {
            from_mirror(places)
        } else {
            read(store, name)
        };
        match found {
            Ok(Some((config, _))) => {
                if problems.is_empty() {
                    problems.push(format!("{CONFIG_FILE} is missing; `config put` writes a new one"));
                }
                problems.push(match source {
                    ConfigSource::Mirror => {
                        "the configuration in force is the copy outside the config volume".to_owned()
                    }
                    _ => {
                        "the configuration in force is the last one that was applied successfully".to_owned()
                    }
                });
                problems.iter().for_each(|p| log::error!("{p}"));
                return Loaded {
                    config: Some(config),
                    source,
                    problems,
                    unsaved: None,
                };
            }
            Ok(None) => {}
            Err(fault) => log::error!(
                "{name} cannot be used: {}",
                fault.lines().next().unwrap_or_default()
            ),
        }
    }
    nothing(store, places, problems)
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
            "there is no configuration: write {} with `config put`{hint}",
            store.path(CONFIG_FILE).display()
        ));
    }
    problems.push("nothing is configured: no addresses, no services, no forwarding".to_owned());
    problems.iter().for_each(|p| log::error!("{p}"));
    Loaded {
        config: None,
        source: ConfigSource::None,
        problems,
        unsaved: None,
    }
}

type Read = (Config, Parts);
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

/// The verdict on a text, for `config check`.
pub fn verdict(bytes: &[u8], before: Option<Before<'_>>, store: &Store) -> CheckReport {
    let (read, mut report) = check(bytes, before);
    if let Some((config, _)) = read {
        report.warnings = warnings(&config, store);
    }
    report
}

/// What is allowed and hardly meant, also of files that are not beside lb.toml.
pub fn warnings(config: &Config, store: &Store) -> Vec<String> {
    let mut warnings = config::warnings(config);
    warnings.extend(config::missing_files(config, |name| store.path(name).is_file()));
    warnings
}

fn faultless() -> CheckReport {
    CheckReport {
        ok: true,
        faults: Vec::new(),
        rendered: String::new(),
        warnings: Vec::new(),
    }
}

fn faulty(faults: &Faults, text: &str) -> CheckReport {
    CheckReport {
        ok: false,
        faults: faults.reports(text),
        rendered: faults.render(CONFIG_FILE, text),
        warnings: Vec::new(),
    }
}

impl Engine {
    /// `config put`: validate, write, apply. Nothing changes unless the text is valid and has been saved.
    pub fn put(&mut self, text: String, reply: oneshot::Sender<Response>) {
        let (config, check) = check(text.as_bytes(), self.in_force());
        // Valid, and hardly meant: a paste that went wrong would take every address away.
        if config
            .as_ref()
            .is_some_and(|(config, _)| config.interfaces.is_empty())
        {
            let message = "nothing was changed: the text has no [[interface]], and the appliance would lose its addresses";
            let _ = reply.send(Response::Error {
                message: message.to_owned(),
            });
            return;
        }
        let saved = match &config {
            Some(_) => self
                .store
                .write(CONFIG_FILE, text.as_bytes())
                .map_err(|e| report::chain(&e)),
            None => Err("nothing was written, because the configuration has faults".to_owned()),
        };
        match (config, saved) {
            (Some(config), Ok(())) => self.enact(config, check, text.into_bytes(), reply),
            (_, saved) => {
                let refused = ApplyReport {
                    applied: false,
                    check,
                    steps: Vec::new(),
                    changed: Vec::new(),
                    failed: Vec::new(),
                    persisted: false,
                    persist_fault: saved.err(),
                };
                let _ = reply.send(Response::Apply(refused));
            }
        }
    }

    /// `config apply`: what lb.toml says now.
    pub fn apply_file(&mut self, reply: oneshot::Sender<Response>) {
        let bytes = match self.file() {
            Ok(bytes) => bytes,
            Err(message) => {
                let _ = reply.send(Response::Error { message });
                return;
            }
        };
        let (config, check) = check(&bytes, self.in_force());
        match config {
            Some(config) => self.enact(config, check, bytes, reply),
            None => {
                let refused = ApplyReport {
                    applied: false,
                    check,
                    steps: Vec::new(),
                    changed: Vec::new(),
                    failed: Vec::new(),
                    persisted: true,
                    persist_fault: None,
                };
                let _ = reply.send(Response::Apply(refused));
            }
        }
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

    pub fn config_text(&self) -> Response {
        match self.file() {
            Ok(bytes) => Response::Config(ConfigText {
                path: self.store.path(CONFIG_FILE).display().to_string(),
                text: String::from_utf8_lossy(&bytes).into_owned(),
            }),
            Err(message) => Response::Error { message },
        }
    }

    fn enact(
        &mut self,
        (config, parts): Read,
        check: CheckReport,
        text: Vec<u8>,
        reply: oneshot::Sender<Response>,
    ) {
        let services = config.virtual_servers.len();
        self.tell(
            log::Level::Warn,
            &format!("a new configuration is in force: {services} services"),
        );
        self.keeper.hold(text);
        self.source = ConfigSource::File;
        self.config_since = Instant::now();
        self.config_problems.clear();
        let fault = self.not_persistent();
        let report = ApplyReport {
            applied: true,
            check,
            steps: Vec::new(),
            changed: Vec::new(),
            failed: Vec::new(),
            persisted: fault.is_none(),
            persist_fault: fault,
        };
        self.parts = parts;
        self.replace_config(config, Waiter { report, reply });
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
