//! `drain`, `undrain` and `drains`: what the operator sets aside, kept in a file of its own beside lb.toml.
//! Must not: decide what that means for a pool.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lb_core::config::{Config, RealServer, VirtualServer};
use lb_core::control::{DrainReport, DrainsReport, Response};
use lb_core::model::VirtualKey;
use lb_core::observed::{Activity, ServerActivity};
use lb_core::pool::{DrainTarget, Drains, Mode};
use lb_core::suggest::nearest;
use log::Level;
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::report;
use crate::store::Store;

/// Beside lb.toml.
pub use lb_core::files::DRAINS as DRAINS_FILE;
/// What of it could not be understood is kept under this name.
const BAD_FILE: &str = "drains.toml.bad";
/// Before that a pace says nothing.
const PACE_AFTER: Duration = Duration::from_secs(3);

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    drain: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    server: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    /// Seconds since 1970.
    since: u64,
}

/// What was set aside before; the sentence says what could not be read.
pub fn load(store: &Store) -> (Drains, Option<String>) {
    let read = match store.read(DRAINS_FILE) {
        Ok(None) => return (Drains::default(), None),
        Ok(Some(bytes)) => parse(&bytes),
        Err(error) => Err(error.to_string()),
    };
    match read {
        Ok(drains) => (drains, None),
        Err(why) => {
            // The next drain writes the file anew: nothing may be lost by that.
            let _ = std::fs::rename(store.path(DRAINS_FILE), store.path(BAD_FILE));
            let problem = format!(
                "{DRAINS_FILE} cannot be read, and no server is set aside: {why}; it is kept as {BAD_FILE}, `drain` sets servers aside anew"
            );
            log::error!("{problem}");
            (Drains::default(), Some(problem))
        }
    }
}

pub fn parse(bytes: &[u8]) -> Result<Drains, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let mut drains = Drains::default();
    for entry in file.drain {
        let target: DrainTarget = entry.server.parse()?;
        let service = entry.service;
        drains.add(DrainTarget { service, ..target }, entry.since);
    }
    Ok(drains)
}

/// As the file has it.
pub fn written(drains: &Drains) -> String {
    let drain = drains.iter().map(|(target, drain)| Entry {
        server: target.server(),
        service: target.service.clone(),
        since: drain.since_unix_s,
    });
    let file = File {
        drain: drain.collect(),
    };
    let text = toml::to_string(&file).unwrap_or_default();
    format!("# Written by `drain` and `undrain`.\n{text}")
}

/// As they are typed.
fn words(target: &DrainTarget) -> String {
    match &target.service {
        Some(service) => format!("{} {service}", target.server()),
        None => target.server(),
    }
}

/// How many connections there were when somebody first looked.
pub type Paces = BTreeMap<DrainTarget, (Instant, u64)>;

impl Engine {
    /// Sets a server aside, or takes that back (`undo`).
    pub fn drain(
        &mut self,
        server: &str,
        service: Option<String>,
        undo: bool,
        activity: &Activity,
    ) -> Response {
        // It brings drains of its own, or is writing these.
        if let Err(message) = self.is_importing() {
            return Response::Error { message };
        }
        let target = self.drain_target(server, service);
        let target = target.and_then(|target| match undo {
            true => self.meant(target),
            false => Ok(target),
        });
        let target = match target {
            Ok(target) => target,
            Err(message) => return Response::Error { message },
        };
        if undo {
            self.checks.drains.remove(&target);
        }
        if !undo && self.targeted(&target).next().is_none() {
            let message = self.no_such_server(&target);
            return Response::Error { message };
        }
        if !undo {
            self.checks.drains.add(target.clone(), unix_now());
        }
        if let Some(former) = self.former_drains_mut() {
            // An import on trial may return: what the operator does meanwhile stays.
            match undo {
                true => drop(former.remove(&target)),
                false => drop(former.add(target.clone(), unix_now())),
            }
        }
        let fault = self.keep_drains();
        let services: Vec<VirtualKey> = self.targeted(&target).map(|(service, _)| service.key).collect();
        let named = self.named_services(&services);
        match undo {
            true => self.tell(Level::Info, &format!("{target} is no longer set aside ({named})")),
            false => self.tell(
                Level::Warn,
                &format!("{target} is set aside ({named}): it gets no new connections"),
            ),
        }
        self.paces.remove(&target);
        let served: Vec<VirtualKey> = services
            .iter()
            .filter(|key| !undo && self.checks.mode(key) != Mode::Empty)
            .copied()
            .collect();
        self.settle(&services);
        let mut report = self.drains_report(activity);
        let servers = self.targeted(&target);
        report.servers = servers
            .map(|(service, real)| format!("{} of {}", real.address, service.name))
            .collect();
        report.undone = undo;
        report.persist_fault = fault;
        report.warnings = self.emptied(&served);
        Response::Drains(report)
    }

    /// What is set aside that these words are about: exactly that; else the only one of this machine, server or service.
    fn meant(&self, target: DrainTarget) -> Result<DrainTarget, String> {
        let all = || self.checks.drains.iter().map(|(target, _)| target);
        if all().any(|other| *other == target) {
            return Ok(target);
        }
        let is_about = |other: &&DrainTarget| {
            other.address == target.address
                && target.port.is_none_or(|port| other.port == Some(port))
                && (target.service.is_none() || target.service == other.service)
        };
        let meant: Vec<&DrainTarget> = all().filter(is_about).collect();
        match meant.as_slice() {
            [one] => Ok((*one).clone()),
            [] => Err(format!("{target} is not set aside; {}", self.set_aside())),
            several => {
                let commands = several
                    .iter()
                    .map(|target| format!("`undrain {}`", words(target)));
                let commands: Vec<String> = commands.collect();
                Err(format!(
                    "nothing was changed: several drains are of {target}; one of them goes by {}",
                    commands.join(", ")
                ))
            }
        }
    }

    /// The services that would have no server left that is up.
    pub fn drain_costs(&self, server: &str, service: Option<String>) -> Response {
        let target = match self.drain_target(server, service) {
            Ok(target) => target,
            Err(message) => return Response::Error { message },
        };
        let now = Instant::now();
        let mut services: Vec<&VirtualServer> = self.targeted(&target).map(|(service, _)| service).collect();
        services.dedup_by_key(|service| service.key);
        let emptied = services.into_iter().filter(|service| {
            let covered = |real: &RealServer| target.covers(&service.name, real.address);
            let mode = self.checks.mode_without(service, covered, now);
            mode == Mode::Empty && self.checks.mode(&service.key) != Mode::Empty
        });
        let warnings = emptied.map(|service| {
            format!(
                "service {} has no other server that is up: its clients would be refused",
                service.name
            )
        });
        Response::Drains(DrainsReport {
            warnings: warnings.collect(),
            ..DrainsReport::default()
        })
    }

    /// Sets aside what these say, and nothing else; what was set aside until then.
    pub fn replace_drains(&mut self, drains: Drains) -> Drains {
        let former = std::mem::replace(&mut self.checks.drains, drains);
        let drains = &self.checks.drains;
        let moves = |service: &VirtualServer| {
            let mut servers = service.of_file();
            servers.any(|real| {
                let is = |drains: &Drains| drains.of(&service.name, real.address).is_some();
                is(drains) != is(&former)
            })
        };
        let services = self.config.iter().flat_map(Config::services);
        let moved: Vec<VirtualKey> = services.filter(|service| moves(service)).map(|v| v.key).collect();
        self.paces.clear();
        self.settle(&moved);
        former
    }

    /// By their names, as many as fit into a line.
    fn named_services(&self, keys: &[VirtualKey]) -> String {
        const SHOWN: usize = 6;
        let names: Vec<String> = keys
            .iter()
            .take(SHOWN)
            .map(|key| self.service_name(key))
            .collect();
        match keys.len() {
            0 => "no service has it now".to_owned(),
            all if all > SHOWN => format!("{} and {} more", names.join(", "), all - SHOWN),
            _ => names.join(", "),
        }
    }

    fn drain_target(&self, server: &str, service: Option<String>) -> Result<DrainTarget, String> {
        let target: DrainTarget = server.parse()?;
        if let Some(name) = &service {
            self.named(name)?;
        }
        Ok(DrainTarget { service, ..target })
    }

    fn targeted<'e>(
        &'e self,
        target: &'e DrainTarget,
    ) -> impl Iterator<Item = (&'e VirtualServer, &'e RealServer)> {
        let services = self.config.iter().flat_map(Config::services);
        services.flat_map(move |service| {
            let servers = service.of_file();
            servers
                .filter(move |real| target.covers(&service.name, real.address))
                .map(move |real| (service, real))
        })
    }

    fn no_such_server(&self, target: &DrainTarget) -> String {
        const SHOWN: usize = 8;
        let wanted = target.service.as_deref();
        let services = self.config.iter().flat_map(Config::services);
        let services = services.filter(|service| wanted.is_none_or(|name| name == service.name));
        let mut known: Vec<String> = services
            .flat_map(|service| &service.real_servers)
            .map(|real| real.address.to_string())
            .collect();
        known.sort();
        known.dedup();
        let near = nearest(&target.server(), known.iter().map(String::as_str)).map(str::to_owned);
        let more = known.len().saturating_sub(SHOWN);
        known.truncate(SHOWN);
        let list = match (known.as_slice(), more) {
            ([], _) => "there are none".to_owned(),
            (some, 0) => format!("the servers are {}", some.join(", ")),
            (some, more) => format!("the servers are {} and {more} more", some.join(", ")),
        };
        let near = near.map_or_else(|| ";".to_owned(), |near| format!(", did you mean {near}?"));
        format!("lb.toml has no server {target}{near} {list}")
    }

    fn set_aside(&self) -> String {
        let all: Vec<String> = self
            .checks
            .drains
            .iter()
            .map(|(target, _)| target.to_string())
            .collect();
        match all.as_slice() {
            [] => "nothing is".to_owned(),
            some => format!("set aside are: {}", some.join(", ")),
        }
    }

    /// So that nobody forgets.
    pub fn drains_problem(&self) -> Option<String> {
        let count = self.checks.drains.iter().count();
        let (first, _) = self.checks.drains.iter().next()?;
        Some(match count {
            1 => format!("{first} is set aside by `drain`; `undrain` takes it back"),
            more => format!(
                "{first} and {} more are set aside by `drain`; `drains` lists them",
                more - 1
            ),
        })
    }

    /// Why it would not survive a reboot, if so.
    fn keep_drains(&mut self) -> Option<String> {
        let text = written(self.former_drains().unwrap_or(&self.checks.drains));
        let kept = self.instead_of_import(|engine| engine.store.write(DRAINS_FILE, text.as_bytes()));
        let kept = kept.and_then(|kept| kept.map_err(|error| report::chain(&error)));
        match kept {
            Ok(()) => self.not_persistent(),
            Err(fault) => {
                log::error!("what is set aside is not kept over a reboot: {fault}");
                Some(fault)
            }
        }
    }

    /// Services whose clients have nobody left.
    fn emptied(&self, services: &[VirtualKey]) -> Vec<String> {
        let services = services.iter().filter_map(|key| self.service(key));
        let empty = services.filter(|service| matches!(self.checks.mode(&service.key), Mode::Empty));
        empty
            .map(|service| {
                format!(
                    "service {} has no other server that is up: its clients are refused",
                    service.name
                )
            })
            .collect()
    }

    pub fn drains_report(&mut self, activity: &Activity) -> DrainsReport {
        let now = Instant::now();
        let targets: Vec<(DrainTarget, u64)> = self
            .checks
            .drains
            .iter()
            .map(|(target, drain)| (target.clone(), drain.since_unix_s))
            .collect();
        let mut drains = Vec::new();
        for (target, since_unix_s) in targets {
            let counted = self.targeted(&target).map(|(service, real)| {
                let seen = activity.servers.get(&service.server_key(real));
                seen.map_or(0, ServerActivity::connections)
            });
            let (servers, connections) = counted.fold((0, 0), |(servers, sum), own| (servers + 1, sum + own));
            let (since, first) = *self.paces.entry(target.clone()).or_insert((now, connections));
            drains.push(DrainReport {
                server: target.server(),
                service: target.service.clone(),
                since_unix_s,
                servers,
                connections,
                empty_in_s: empty_in(now.saturating_duration_since(since), first, connections),
            });
        }
        DrainsReport {
            drains,
            ..DrainsReport::default()
        }
    }
}

/// When the last connection will have ended, at the pace so far.
fn empty_in(elapsed: Duration, first: u64, left: u64) -> Option<u64> {
    let ended = first
        .checked_sub(left)
        .filter(|ended| *ended > 0 && elapsed >= PACE_AFTER);
    match left {
        0 => Some(0),
        _ => ended.map(|ended| elapsed.as_secs().saturating_mul(left) / ended),
    }
}

fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_is_written_as_it_is_read() {
        let mut drains = Drains::default();
        drains.add("172.16.0.11".parse().unwrap(), 1_764_134_400);
        let one = DrainTarget {
            service: Some("a \"b\"".to_owned()),
            ..("[fd00::1]:80".parse().unwrap())
        };
        drains.add(one, 7);
        let text = written(&drains);
        assert_eq!(parse(text.as_bytes()).unwrap(), drains, "{text}");
        assert_eq!(
            parse(written(&Drains::default()).as_bytes()).unwrap(),
            Drains::default()
        );
    }

    #[test]
    fn a_file_that_makes_no_sense_is_kept_and_told() {
        for text in [
            "[[drain]]\nserver = \"worker01\"\nsince = 1\n",
            "[[drain]\n",
            "x = 1\n",
        ] {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::new(dir.path().to_owned());
            store.write(DRAINS_FILE, text.as_bytes()).unwrap();
            let (drains, problem) = load(&store);
            assert!(drains.is_empty() && problem.unwrap().contains(BAD_FILE));
            assert_eq!(store.read(BAD_FILE).unwrap().unwrap(), text.as_bytes());
            assert_eq!(load(&store).1, None);
        }
    }

    #[test]
    fn the_end_is_estimated_from_the_pace() {
        let seconds = Duration::from_secs;
        assert_eq!(empty_in(seconds(10), 100, 50), Some(10));
        assert_eq!(empty_in(seconds(30), 100, 10), Some(3));
        assert_eq!(empty_in(seconds(1), 100, 50), None, "too early");
        assert_eq!(empty_in(seconds(10), 50, 60), None, "more than before");
        assert_eq!(empty_in(seconds(0), 5, 0), Some(0));
    }
}
