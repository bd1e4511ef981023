//! `config files` and `config remove`: what lies on the config volume, what names it, and its end.
//! Must not: touch a file of the appliance's own.

use std::fs;
use std::time::UNIX_EPOCH;

use lb_core::config::{self, Config};
use lb_core::control::{FileReport, FilesReport, Response};
use lb_core::files::{own_file, uses};
use log::Level;

use crate::engine::Engine;
use crate::report::chain;
use crate::store::CONFIG_FILE;

/// The configurations that may name a file: as they are told, and their texts.
#[derive(Default)]
struct Naming {
    configs: Vec<(&'static str, Config, String)>,
    /// What is not known.
    problem: Option<String>,
}

impl Naming {
    fn uses(&self, file: &str) -> Vec<String> {
        let configs = self.configs.iter();
        configs
            .flat_map(|(of, config, text)| uses(config, text, of, file))
            .collect()
    }
}

impl Engine {
    pub fn files(&self) -> Response {
        match self.files_report() {
            Ok(report) => Response::Files(report),
            Err(message) => Response::Error { message },
        }
    }

    fn files_report(&self) -> Result<FilesReport, String> {
        let naming = self.naming();
        let directory = self.store.path("");
        let unreadable = |error| format!("{} cannot be listed: {error}", directory.display());
        let mut files = Vec::new();
        for entry in fs::read_dir(&directory).map_err(unreadable)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // What is staged comes and goes.
            let Some(data) = entry
                .metadata()
                .ok()
                .filter(|data| data.is_file() && !name.starts_with('.'))
            else {
                continue;
            };
            let modified = data
                .modified()
                .ok()
                .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            files.push(FileReport {
                bytes: data.len(),
                modified_unix_s: modified.map(|since| since.as_secs()),
                own: own_file(&name).map(|own| own.what.to_owned()),
                used_by: naming.uses(&name),
                name,
            });
        }
        files.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(FilesReport {
            files,
            removed: None,
            problems: naming.problem.into_iter().collect(),
        })
    }

    /// lb.toml as it is on the disk, and what is in force where that is something else (on trial, or a fallback).
    fn naming(&self) -> Naming {
        let mut naming = Naming::default();
        let text = self.store.read(CONFIG_FILE);
        let disk = match text {
            Ok(text) => text,
            Err(error) => {
                naming.problem = Some(format!(
                    "what {CONFIG_FILE} names is not known: it cannot be read: {error}"
                ));
                None
            }
        };
        let same = disk.as_deref().map(config::fingerprint) == self.mark;
        if let Some(config) = self.config.as_ref() {
            let (of, text) = match (&self.pending, same) {
                (_, true) => (CONFIG_FILE, disk.as_deref().unwrap_or_default()),
                (Some(_), false) => ("the configuration on trial", &[][..]),
                (None, false) => ("the configuration in force", &[][..]),
            };
            naming
                .configs
                .push((of, config.clone(), String::from_utf8_lossy(text).into_owned()));
        }
        let Some(bytes) = disk.filter(|_| !same) else {
            return naming;
        };
        match config::parse_bytes(&bytes) {
            Ok(config) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                naming.configs.push((CONFIG_FILE, config, text));
            }
            Err(_) => {
                naming.problem = Some(format!(
                    "what {CONFIG_FILE} names is not known: it has faults; `config check` shows them"
                ));
            }
        }
        naming
    }

    /// When this answers, the file is gone, also after a power cut; else it is as it was, and the sentence says why.
    pub fn remove_file(&mut self, name: &str, by: &str) -> Response {
        let removed = self.may_remove(name).and_then(|()| {
            let removed = self.instead_of_import(|engine| engine.store.remove(name))?;
            removed.map_err(|error| {
                let gone = !self.store.path(name).exists();
                let cause = chain(&error);
                match gone {
                    true => format!("`{name}` is removed, and may be there again after a power cut: {cause}"),
                    false => format!("nothing was removed: {cause}"),
                }
            })
        });
        if let Err(message) = removed {
            return Response::Error { message };
        }
        self.trust.forget();
        self.tell(
            Level::Warn,
            &format!("{name} was removed from the config volume ({by})"),
        );
        match self.files_report() {
            Ok(report) => Response::Files(FilesReport {
                removed: Some(name.to_owned()),
                ..report
            }),
            Err(message) => Response::Error { message },
        }
    }

    fn may_remove(&self, name: &str) -> Result<(), String> {
        let no = |why: String| Err(format!("nothing was removed: {why}"));
        self.is_importing()?;
        if name.contains('/') || name.contains('\0') || name.is_empty() {
            return no("a file is given by its name alone, as `config files` lists it".to_owned());
        }
        if let Some(own) = own_file(name) {
            return no(format!("{name} is {}: {}", own.what, own.remedy));
        }
        match self.store.path(name).symlink_metadata() {
            Ok(data) if data.is_dir() => {
                return no(format!(
                    "{name} is a directory, which the appliance does not use; remove it on another machine"
                ));
            }
            Ok(_) => {}
            Err(_) => {
                return no(format!(
                    "there is no file {name} on the config volume; `config files` lists them"
                ));
            }
        }
        let naming = self.naming();
        if let Some(problem) = &naming.problem {
            return no(format!("{problem}, and then remove {name}"));
        }
        let uses = naming.uses(name);
        match uses.as_slice() {
            [] => Ok(()),
            [one] => no(format!(
                "{name} is in use by {one}; change that first (`config set`, `config edit`)"
            )),
            [one, rest @ ..] => no(format!(
                "{name} is in use by {one} and {} more (`config files` lists them); change that first (`config set`, `config edit`)",
                rest.len()
            )),
        }
    }
}
