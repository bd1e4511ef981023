//! `config export`: what this machine is, as one text: lb.toml, what is set aside, and the certificates and keys that lb.toml names, each by its
//! name. Must not: take any other file of the config volume, or change anything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use lb_core::config::{self, Before};
use lb_core::control::{ExportReport, Response};
use lb_core::export::{Export, FILE, MOST_FILE, Origin, holds_key, may_hold};
use lb_core::{date, history, secrets};

use crate::apply;
use crate::drains;
use crate::engine::Engine;
use crate::journal::VERSION;
use crate::store::Store;

/// The files that are taken, and what is to be said of the others.
#[derive(Debug, Default)]
struct Gathered {
    files: BTreeMap<String, Vec<u8>>,
    left_out: BTreeSet<String>,
    remarks: Vec<String>,
}

impl Engine {
    pub fn export(&self, without_keys: bool) -> Response {
        match self.exported(without_keys) {
            Ok(report) => Response::Export(report),
            Err(message) => Response::Error { message },
        }
    }

    fn exported(&self, without_keys: bool) -> Result<ExportReport, String> {
        if self.pending.is_some() {
            return Err("a configuration is on trial, so that it is not clear what is to be exported; `config confirm` keeps it, `config abort` \
                        returns to the former one"
                .to_owned());
        }
        let text = self.file()?;
        let mut gathered = gather(&self.store, &text, self.in_force(), without_keys)?;
        if self.mark.is_some_and(|mark| mark != config::fingerprint(&text)) {
            gathered.remarks.push(
                "lb.toml is not what is in force (`config diff` shows what differs); the export has lb.toml"
                    .to_owned(),
            );
        }
        let configuration = String::from_utf8(text)
            .map_err(|_| "lb.toml is not UTF-8; `config check` says where".to_owned())?;
        let export = Export {
            origin: Origin {
                version: VERSION.to_owned(),
                host: self.observed.hostname.clone(),
                made: format!("{} UTC", date::second(SystemTime::now())),
            },
            configuration,
            drains: drains::written(&self.checks.drains),
            files: gathered.files,
            left_out: gathered.left_out,
        };
        let text = export.text().map_err(|error| {
            format!("there is no export: {error}; `config show` shows lb.toml, which `config put` takes")
        })?;
        Ok(ExportReport {
            name: FILE.to_owned(),
            bytes: text.len(),
            sha256: history::sha256(text.as_bytes()),
            holds: holds(&export, self.checks.drains.iter().count()),
            secrets: secret(&export),
            remarks: gathered.remarks,
            text,
        })
    }
}

fn gather(
    store: &Store,
    text: &[u8],
    before: Option<Before<'_>>,
    without_keys: bool,
) -> Result<Gathered, String> {
    let Some((config, _)) = apply::check(text, before).0 else {
        return Err(
            "lb.toml has faults, and no machine could import it; `config check` shows them".to_owned(),
        );
    };
    if without_keys && holds_key(text) {
        return Err("lb.toml itself holds a private key (`client_key`), and an export without it would be another configuration; export it with its \
                    keys, or have `client_key` name a file beside lb.toml"
            .to_owned());
    }
    let mut gathered = Gathered::default();
    for name in config::named_files(&config) {
        let why = match store.read(&name) {
            Ok(Some(content)) if without_keys && holds_key(&content) => "is a private key".to_owned(),
            Ok(Some(content)) if may_hold(&name, &content) => {
                gathered.files.insert(name, content);
                continue;
            }
            Ok(Some(content)) if content.len() > MOST_FILE => {
                format!("is longer than {} MiB", MOST_FILE >> 20)
            }
            Ok(Some(_)) => "holds no PEM, or has a name that no certificate has".to_owned(),
            Ok(None) => "is not on this machine".to_owned(),
            Err(error) => format!("cannot be read: {error}"),
        };
        gathered.remarks.push(format!(
            "{name} is left out: it {why}; the other machine needs one of its own"
        ));
        gathered.left_out.insert(name);
    }
    Ok(gathered)
}

fn holds(export: &Export, drains: usize) -> Vec<String> {
    let files = export
        .files
        .iter()
        .map(|(name, content)| match holds_key(content) {
            true => format!("key {name}"),
            false => format!("certificate {name}"),
        });
    let drains = match drains {
        0 => "no drains".to_owned(),
        1 => "1 drain".to_owned(),
        many => format!("{many} drains"),
    };
    ["lb.toml".to_owned(), drains].into_iter().chain(files).collect()
}

/// What lets somebody in.
fn secret(export: &Export) -> Vec<String> {
    let mut secret = Vec::new();
    if holds_key(export.configuration.as_bytes()) {
        secret.push("a private key in lb.toml".to_owned());
    }
    // The name of a file is none, whatever key gives it.
    let is_name = |word: &String| export.files.contains_key(word) || export.left_out.contains(word);
    let redacted = secrets::redact(&export.configuration);
    if redacted.is_some_and(|redacted| !redacted.secrets.iter().all(is_name)) {
        secret.push("secrets in lb.toml (`headers`, `send` and the like)".to_owned());
    }
    let keys = export.files.iter().filter(|(_, content)| holds_key(content));
    secret.extend(keys.map(|(name, _)| format!("the private key {name}")));
    secret
}
