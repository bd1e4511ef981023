//! What is known, as the reports of `lb_core::control`. Must not: change anything or format for humans.

mod checks;
mod doctor;
mod events;
mod interfaces;
mod links;
mod services;

pub use doctor::ToAsk;
pub(crate) use services::{listed, told};
use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use ipnet::IpNet;
use lb_core::config::{PortForward, VirtualServer};
use lb_core::control::*;
use lb_core::desired::{self, FORWARDING, masquerade_rules};
use lb_core::model::IfName;
use lb_core::observed::Activity;
use lb_core::pool::Mode;
use lb_core::ruleset::{Chain, Rule};
use lb_core::traffic::Tracking;

use crate::checks::Counted;
use crate::engine::Engine;
use crate::{Places, console, system};

/// With less on the config volume the next change may not be kept: its text is written up to three times beside the old one.
const SCARCE_BYTES: u64 = 256 << 10;
/// The connection tracking table is close to full from this share on, in percent.
const CONNTRACK_ALARM: u64 = 80;

/// Whether one of the problems told so far has the same reason.
fn says_the_volume(init: &InitReport, told: &[String], problem: &str) -> bool {
    let detail = init.config_volume.detail.as_str();
    !detail.is_empty() && problem.contains(detail) && told.iter().any(|told| told.contains(detail))
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// What init has written about itself; `None` where our init does not run.
pub fn init_report(places: &Places) -> Option<InitReport> {
    let text = std::fs::read(places.runtime.join("init.json")).ok()?;
    serde_json::from_slice(&text).ok()
}

impl Engine {
    pub fn report(&self, request: &Request, activity: &Activity) -> Response {
        match request {
            Request::Status => Response::Status(self.status(activity)),
            Request::Services { name } => self.services(name.as_deref(), activity),
            Request::Checks { name } => self.checks_report(name.as_deref()),
            Request::Events { last, about } => self.events(*last, about.as_deref()),
            Request::Interfaces => Response::Interfaces(self.interfaces(activity)),
            Request::Gateway => Response::Gateway(self.gateway(activity)),
            Request::Path(packet) => Response::Path(self.path(*packet, activity)),
            Request::Counters { service } => self.counters(service.as_deref(), activity),
            Request::ConfigShow { kept } => self.config_text(*kept),
            Request::ConfigFiles => self.files(),
            Request::ConfigHistory => Response::History(self.history_report()),
            Request::Version => Response::Version(VersionReport {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                kernel: system::kernel_release(),
                slot: init_report(&self.places).and_then(|r| r.slot),
            }),
            Request::CheckNow { .. }
            | Request::Probe { .. }
            | Request::Console { .. }
            | Request::Drain { .. }
            | Request::DrainCosts { .. }
            | Request::Undrain { .. }
            | Request::Drains
            | Request::ConfigRemove { .. }
            | Request::Doctor { .. }
            | Request::Connections { .. }
            | Request::ConfigCheck { .. }
            | Request::ConfigPut { .. }
            | Request::ConfigExport { .. }
            | Request::ConfigApply { .. }
            | Request::ConfigConfirm { .. }
            | Request::ConfigAbort { .. }
            | Request::ConfigDiff { .. }
            | Request::ConfigImportDiff { .. }
            | Request::ConfigImport { .. }
            | Request::ConfigRollback { .. } => Response::Error {
                message: "this request is answered elsewhere".to_owned(),
            },
        }
    }

    fn status(&self, activity: &Activity) -> StatusReport {
        let servers = self
            .config
            .as_ref()
            .map_or_else(Counted::default, |config| self.checks.count(config));
        let init = init_report(&self.places);
        let pid = std::process::id();
        StatusReport {
            hostname: self.observed.hostname.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: system::uptime_ms(),
            config: ConfigStatus {
                source: self.source,
                persistent: self.not_persistent().is_none(),
                age_ms: self.config.as_ref().map(|_| ms(self.config_since.elapsed())),
                pending: self.pending_report(),
                replaced: self.replaced.clone(),
            },
            problems: self.problems(activity, init.as_ref()),
            services: self.config.as_ref().map_or(0, |c| c.virtual_servers.len()),
            servers_up: servers.up,
            servers_down: servers.down,
            servers_drained: servers.drained,
            servers: servers.all,
            reconcile: ReconcileStatus {
                age_ms: self.reconcile.last_full.map(|at| ms(at.elapsed())),
                repairs: self.reconcile.repairs,
                failed: self.reconcile.last_failed.clone(),
            },
            agent: AgentStatus {
                pid,
                uptime_ms: ms(self.started.elapsed()),
                resident_kb: system::resident_kb(pid),
                init_resident_kb: if init.is_some() { system::resident_kb(1) } else { 0 },
                checks_late_ms: self.lateness.most(Instant::now()).as_secs_f64() * 1e3,
            },
            conntrack_count: activity.tracking.count,
            conntrack_max: activity.tracking.max,
            console: console::report(&self.store, &self.places.runtime),
            init,
        }
    }

    /// The most important first: configuration, network, services, resources.
    fn problems(&self, activity: &Activity, init: Option<&InitReport>) -> Vec<String> {
        let mut problems: Vec<String> = self.pending_problem().into_iter().collect();
        problems.extend(self.config_problems.iter().cloned());
        problems.extend(self.archive_problem.clone());
        let of_init = init.iter().flat_map(|report| report.problems.iter());
        // What init has found at the boot may have been mended since.
        let consoles = console::report(&self.store, &self.places.runtime);
        let stands = |problem: &&String| !problem.starts_with(VOLUME_FULL) && !consoles.has_mended(problem);
        problems.extend(of_init.filter(stands).cloned());
        problems.extend(system::free_bytes(&self.store.path("")).and_then(no_room));
        // What init has said of the volume says it already.
        let told = |problem: &String| init.is_some_and(|report| says_the_volume(report, &problems, problem));
        let unsaved = self.not_persistent().filter(|problem| !told(problem));
        problems.extend(unsaved);
        problems.extend(self.network.problems.iter().cloned());
        if self
            .config
            .as_ref()
            .is_some_and(|config| config.interfaces.is_empty())
        {
            problems.push(
                "lb.toml has no [[interface]]: no address, nothing is forwarded; `setup` asks for what is missing, `config put` takes another one"
                    .to_owned(),
            );
        }
        problems.extend(self.carrier_problems());
        for service in self.config.iter().flat_map(|c| &c.virtual_servers) {
            problems.extend(self.pool_problem(service));
        }
        for (behind, machines, silent) in self.checks.silence.frozen() {
            problems.push(format!(
                "{silent} of {machines} machines behind {label} fell silent at once, so their servers keep their traffic unjudged; \
                 look at {label}, its switch, and at policies that drop checks",
                label = self.label_of(behind)
            ));
        }
        problems.extend(self.drains_problem());
        problems.extend(consoles.problem());
        problems.extend(self.checks.unchecked_problem());
        problems.extend(self.lateness.problem(Instant::now()));
        problems.extend(self.certificates.problems(SystemTime::now()));
        let failed = self.reconcile.last_failed.iter();
        problems.extend(failed.map(|f| format!("the kernel refused: {f}; it is tried again every 10 s")));
        let Tracking { count, max, .. } = activity.tracking;
        if count * 100 > max * CONNTRACK_ALARM {
            problems.push(format!(
                "the connection tracking table holds {count} of {max} entries; give the machine more memory"
            ));
        }
        if activity.ipvs_defends {
            problems.push(
                "memory is scarce: IPVS gives up half-open connections and drops new ones; `top` shows which \
                 service is busy: a flood of SYNs is kept away by `syn_proxy`; or give the machine more memory"
                    .to_owned(),
            );
        }
        problems.extend(self.drops.problems(Instant::now()));
        problems
    }

    fn pool_problem(&self, service: &VirtualServer) -> Option<String> {
        let name = &service.name;
        let short = service.pool.shortage();
        let says = format!("`services {name}` says why");
        Some(match self.checks.mode(&service.key) {
            Mode::Primary => return None,
            Mode::Waiting | Mode::Empty if service.of_file().next().is_none() => format!(
                "service {name} has no servers: its clients are refused; `config add virtual_server.{name}.real_server \
                 address=ADDRESS:PORT` gives it one"
            ),
            Mode::Empty if self.checks.is_drained_whole(service) => format!(
                "service {name} refuses its clients: `drain` has set all of its servers aside; `undrain` takes that back"
            ),
            Mode::Waiting | Mode::Empty
                if service
                    .of_file()
                    .any(|real| self.checks.is_drained(service, real)) =>
            {
                format!(
                    "service {name} has no server that takes connections: `drain` has set some aside, and the others are down; {says}"
                )
            }
            Mode::Waiting | Mode::Empty => format!("service {name} has no server that is up; {says}"),
            Mode::Short => format!("service {name} is below its quorum; {says}"),
            Mode::Backup => {
                format!("service {name} {short}; its backup servers take part; {says}")
            }
            Mode::Sorry => {
                format!("service {name} {short}; its sorry_server answers; {says}")
            }
            Mode::Held => format!("service {name} is served by servers that flap; {says}"),
            Mode::KeptLast => {
                format!(
                    "service {name} has no server that is up; the last that were keep its traffic (panic); {says}"
                )
            }
            Mode::All => {
                format!("service {name} has no server that is up; all get its traffic (panic); {says}")
            }
        })
    }

    fn gateway(&self, activity: &Activity) -> GatewayReport {
        let masquerades = self.config.iter().flat_map(|c| &c.masquerades).map(|m| {
            let out = self.network.resolved.get(&m.out).cloned().flatten();
            let rules = out.map(|out| masquerade_rules(m, &out)).unwrap_or_default();
            TranslationReport {
                to: m.to.iter().map(ToString::to_string).collect(),
                ..self.translation(&m.from, &m.out, &rules, activity)
            }
        });
        let mut hairpinned: Vec<(IpNet, IfName)> = Vec::new();
        for rule in self.network.ruleset.rules(Chain::Postrouting) {
            if let Rule::Hairpin { from, out } | Rule::HairpinForwarded { from, out } = rule
                && !hairpinned.iter().any(|(net, link)| (net, link) == (from, out))
            {
                hairpinned.push((*from, out.clone()));
            }
        }
        let hairpins = hairpinned.iter();
        let hairpins = hairpins.map(|(from, out)| self.hairpin(from, out, activity));
        let forwards = self.config.iter().flat_map(|c| &c.port_forwards);
        let forwards = forwards.map(|forward| self.forward(forward, activity));
        let routes = self.network.links.iter().flat_map(|(name, link)| {
            let seen = self.observed.links.get(name);
            link.routes.iter().map(move |route| RouteReport {
                to: route.to.to_string(),
                via: route.via.to_string(),
                link: name.to_string(),
                active: seen.is_some_and(|l| l.routes.contains(route)),
            })
        });
        GatewayReport {
            read_at_ms: activity.read_at_ms,
            forwarding: self.observed.sysctls.get(FORWARDING[0]).is_some_and(|v| v == "1"),
            masquerades: masquerades.collect(),
            hairpins: hairpins.collect(),
            forwards: forwards.collect(),
            routes: routes.collect(),
            conntrack: activity.tracking,
            backlog_dropped: activity.softnet.dropped,
        }
    }

    /// Services with a single port, those with several, and forwarded ports have a rule each, where there are such.
    fn hairpin(&self, from: &IpNet, out: &IfName, activity: &Activity) -> TranslationReport {
        let wanted = self.network.ruleset.rules(Chain::Postrouting).iter();
        let rules: Vec<Rule> = wanted
            .filter(|rule| match rule {
                Rule::Hairpin { from: net, out: link }
                | Rule::HairpinMarked { from: net, out: link }
                | Rule::HairpinForwarded { from: net, out: link } => (net, link) == (from, out),
                _ => false,
            })
            .cloned()
            .collect();
        self.translation(from, out.as_str(), &rules, activity)
    }

    fn forward(&self, forward: &PortForward, activity: &Activity) -> ForwardReport {
        let words = |words: &mut dyn Iterator<Item = String>| words.collect::<Vec<_>>();
        let range = |address, first: u16| {
            let socket = SocketAddr::new(address, first);
            match forward.last - forward.first {
                0 => socket.to_string(),
                more => format!("{socket}-{}", first + more),
            }
        };
        let rules: Vec<Rule> = desired::forwards(forward)
            .into_iter()
            .map(Rule::Forward)
            .collect();
        ForwardReport {
            listen: range(forward.address, forward.first),
            protocol: words(&mut forward.protocols.iter().map(ToString::to_string)).join(", "),
            to: range(forward.to, forward.to_first),
            from: words(&mut forward.from.iter().map(ToString::to_string)),
            active: self.holds(&rules, Chain::Dstnat),
            connections: counted(&rules, activity),
            connections_per_second: None,
        }
    }

    /// No rules: the interface is not there.
    fn translation(&self, from: &IpNet, out: &str, rules: &[Rule], activity: &Activity) -> TranslationReport {
        TranslationReport {
            from: from.to_string(),
            out: out.to_owned(),
            to: Vec::new(),
            active: self.holds(rules, Chain::Postrouting),
            connections: counted(rules, activity),
            connections_per_second: None,
        }
    }

    /// Whether the kernel has all of them.
    fn holds(&self, rules: &[Rule], chain: Chain) -> bool {
        let held = self.observed.ruleset.as_ref();
        let held = held.map_or(&[][..], |held| held.rules(chain));
        !rules.is_empty() && rules.iter().all(|rule| held.contains(rule))
    }
}

/// In a sentence, with the remedy, if so many bytes are too few.
fn no_room(free: u64) -> Option<String> {
    (free < SCARCE_BYTES).then(|| {
        format!(
            "{VOLUME_FULL}: {} kB are left, and the next change may not be saved; remove files from it (`config files` lists them)",
            free / 1000
        )
    })
}

/// The connections that these rules have translated.
fn counted(rules: &[Rule], activity: &Activity) -> u64 {
    let seen = activity.translated.iter();
    seen.filter(|(rule, _)| rules.contains(rule))
        .map(|(_, connections)| connections)
        .sum()
}

pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_with_little_room_is_told_in_time() {
        assert_eq!(no_room(SCARCE_BYTES), None);
        let told = no_room(1_500).unwrap();
        assert!(
            told.starts_with("the config volume is full: 1 kB are left"),
            "{told}"
        );
    }
}
