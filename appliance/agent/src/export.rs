//! `config export`: what this machine is, as one text: lb.toml, what is set aside, and the certificates and keys that lb.toml names, each by its
//! name. Must not: take any other file of the config volume, or change anything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use lb_core::config;
use lb_core::control::{ExportReport, Response};
use lb_core::export::{
    Export, FILE, MOST_BYTES, MOST_FILE, MOST_FILES, Origin, WriteError, holds_key, may_hold,
};
use lb_core::pool::Drains;
use lb_core::{date, history, secrets};
use tokio::sync::oneshot;

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

/// What is asked for, and all that the loop knows of it.
struct Order {
    text: Vec<u8>,
    named: BTreeSet<String>,
    remarks: Vec<String>,
    origin: Origin,
    drains: Drains,
    without_keys: bool,
}

impl Engine {
    /// The files are read beside the loop.
    pub fn export(&self, without_keys: bool, reply: oneshot::Sender<Response>) {
        let order = match self.to_export(without_keys) {
            Ok(order) => order,
            Err(message) => return drop(reply.send(Response::Error { message })),
        };
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || {
            let response = match exported(order, &store) {
                Ok(report) => Response::Export(report),
                Err(message) => Response::Error { message },
            };
            // The client may have gone: nobody misses the answer.
            let _ = reply.send(response);
        });
    }

    fn to_export(&self, without_keys: bool) -> Result<Order, String> {
        if self.pending.is_some() {
            return Err("a configuration is on trial, so that it is not clear what is to be exported; `config confirm` keeps it, `config abort` \
                        returns to the former one"
                .to_owned());
        }
        if self.importing.is_some() {
            return Err("an import is being written to the disk; try again in a moment".to_owned());
        }
        let text = self.file()?;
        let Some((config, _)) = apply::check(&text, self.in_force()).0 else {
            return Err(
                "lb.toml has faults, and no machine could import it; `config check` shows them".to_owned(),
            );
        };
        if without_keys && holds_key(&text) {
            return Err("lb.toml itself holds a private key (`client_key`), and an export without it would be another configuration; export it with its \
                        keys, or have `client_key` name a file beside lb.toml"
                .to_owned());
        }
        let mut remarks = Vec::new();
        if self.mark.is_some_and(|mark| mark != config::fingerprint(&text)) {
            remarks.push(
                "lb.toml is not what is in force (`config diff` shows what differs); the export has lb.toml"
                    .to_owned(),
            );
        }
        Ok(Order {
            text,
            named: config::named_files(&config),
            remarks,
            origin: Origin {
                version: VERSION.to_owned(),
                host: self.observed.hostname.clone(),
                made: format!("{} UTC", date::second(SystemTime::now())),
            },
            drains: self.checks.drains.clone(),
            without_keys,
        })
    }
}

fn exported(order: Order, store: &Store) -> Result<ExportReport, String> {
    let Order {
        text,
        named,
        remarks,
        origin,
        drains,
        without_keys,
    } = order;
    let none = |error: WriteError| {
        format!("there is no export: {error}; `config show` shows lb.toml, which `config put` takes")
    };
    let configuration =
        String::from_utf8(text).map_err(|_| "lb.toml is not UTF-8; `config check` says where".to_owned())?;
    let mut gathered = gather(store, named, configuration.len(), without_keys).map_err(none)?;
    gathered.remarks.extend(remarks);
    let export = Export {
        origin,
        configuration,
        drains: drains::written(&drains),
        files: gathered.files,
        left_out: gathered.left_out,
    };
    let text = export.text().map_err(none)?;
    Ok(ExportReport {
        name: FILE.to_owned(),
        bytes: text.len(),
        sha256: history::sha256(text.as_bytes()),
        holds: holds(&export, drains.iter().count()),
        secrets: secret(&export),
        remarks: gathered.remarks,
        text,
    })
}

/// No more than an export may hold comes into memory. `bytes`: of lb.toml.
fn gather(
    store: &Store,
    named: BTreeSet<String>,
    mut bytes: usize,
    without_keys: bool,
) -> Result<Gathered, WriteError> {
    if named.len() > MOST_FILES {
        return Err(WriteError::TooMany(named.len()));
    }
    let mut gathered = Gathered::default();
    for name in named {
        let why = match store.read_most(&name, MOST_FILE) {
            Ok(Some(content)) if without_keys && holds_key(&content) => "is a private key".to_owned(),
            Ok(Some(content)) if may_hold(&name, &content) => {
                bytes += content.len();
                if bytes > MOST_BYTES {
                    return Err(WriteError::TooLong(bytes));
                }
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
