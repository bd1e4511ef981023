//! Services and servers as reports: their health, their weight, and what they have counted.
//! Must not: change anything or format for humans.

use std::time::Instant;

use lb_core::check::CheckKind;
use lb_core::config::{Config, RealServer, VirtualServer};
use lb_core::control::*;
use lb_core::health::{Health, Machine, Outcome, Standing, Told};
use lb_core::model::{ServerKey, VirtualKey};
use lb_core::observed::Activity;
use lb_core::suggest::nearest;

use super::ms;
use crate::engine::Engine;
use crate::targets::Target;

impl Engine {
    pub fn services(&self, name: Option<&str>, activity: &Activity) -> Response {
        let chosen = match self.chosen(name) {
            Ok(chosen) => chosen,
            Err(message) => return Response::Error { message },
        };
        let services = chosen
            .into_iter()
            .map(|s| self.service_report(s, activity))
            .collect();
        Response::Services(ServicesReport {
            read_at_ms: activity.read_at_ms,
            services,
        })
    }

    /// The service with this name, or all.
    pub fn chosen(&self, name: Option<&str>) -> Result<Vec<&VirtualServer>, String> {
        match name {
            Some(name) => self.named(name).map(|service| vec![service]),
            None => Ok(self.config.iter().flat_map(Config::services).collect()),
        }
    }

    /// The key of the service with this name, if one is given.
    pub fn chosen_key(&self, name: Option<&str>) -> Result<Option<VirtualKey>, String> {
        let named = name.map(|name| self.named(name)).transpose()?;
        Ok(named.map(|service| service.key))
    }

    /// The service with this name, or the sentence that there is none.
    pub fn named(&self, name: &str) -> Result<&VirtualServer, String> {
        let mut all = self.config.iter().flat_map(Config::services);
        all.find(|service| service.name == name).ok_or_else(|| {
            let names: Vec<_> = self.config.iter().flat_map(service_names).collect();
            let near = nearest(name, names.iter().copied());
            let near = near.map_or_else(|| ";".to_owned(), |near| format!(", did you mean `{near}`?"));
            format!(
                "there is no service `{name}`{near} the services are: {}",
                listed(&names)
            )
        })
    }

    pub fn service_report(&self, service: &VirtualServer, activity: &Activity) -> ServiceReport {
        let (quorum, weight_up) = self.checks.quorum(&service.key);
        ServiceReport {
            quorum,
            weight_up,
            name: service.name.clone(),
            listen: service.ports(),
            protocol: service.protocols(),
            fwmark: match service.key {
                VirtualKey::Mark(key) => Some(format!("{:#010x}", key.mark)),
                VirtualKey::Endpoint(_) => None,
            },
            scheduler: service.settings.scheduler.to_string(),
            forward: service
                .real_servers
                .first()
                .map_or_else(String::new, |real| real.forward.to_string()),
            mode: self.checks.mode(&service.key).word().to_owned(),
            traffic: activity.services.get(&service.key).map(|a| a.traffic),
            rates: None,
            servers: service
                .real_servers
                .iter()
                .map(|r| self.server_report(service, r, activity))
                .collect(),
        }
    }

    fn server_report(&self, service: &VirtualServer, real: &RealServer, activity: &Activity) -> ServerReport {
        let key = service.server_key(real);
        let deciding = self.checks.deciding(&key);
        let target = deciding.map(|(_, target)| target);
        let machine = target.map(|target| &target.machine);
        let seen = self
            .observed
            .virtual_servers
            .get(&key.service)
            .and_then(|v| v.servers.get(&key.server));
        let counted = activity.servers.get(&key);
        let now = Instant::now();
        ServerReport {
            address: real.address.to_string(),
            health: machine.map_or(HealthWord::Up, Machine::word),
            since_ms: ms(now.saturating_duration_since(self.since(&key, machine))),
            weight: seen.map_or(0, |r| r.weight.value().div_ceil(service.pool.scale())),
            configured_weight: real.weight.value(),
            active_connections: counted.map_or(0, |a| a.active_connections),
            inactive_connections: counted.map_or(0, |a| a.inactive_connections),
            traffic: counted.map(|a| a.traffic),
            rates: None,
            last_check: target.and_then(|target| last_check(&target.machine, &target.params.kind, now)),
            several: self.several(&key, real, now).map(Box::new),
            standing: self.standing(service, real, target, now),
        }
    }

    /// Since when it has been what it is: of one with several checks as a whole.
    fn since(&self, key: &ServerKey, deciding: Option<&Machine>) -> Instant {
        match (deciding, self.checks.stands(key)) {
            (None, _) => self.config_since,
            (Some(machine), _) if machine.word() == HealthWord::CannotCheck => machine.since(),
            (_, Some(Standing::Up { since, .. } | Standing::Down { since, .. })) => since,
            (Some(machine), _) => machine.since(),
        }
    }

    fn several(&self, key: &ServerKey, real: &RealServer, now: Instant) -> Option<SeveralReport> {
        let targets: Vec<&Target> = self.checks.targets_of(key).collect();
        let (decides, _) = self.checks.deciding(key).filter(|_| targets.len() > 1)?;
        let mut labels = real.checks.labels(real.address);
        let checks = targets.iter().zip(&labels).map(|(target, label)| OneOfSeveral {
            check: label.clone(),
            health: target.machine.word(),
            since_ms: ms(now.saturating_duration_since(target.machine.since())),
            last_check: last_check(&target.machine, &target.params.kind, now),
        });
        let passes = |target: &&&Target| target.machine.health() == Health::Up;
        Some(SeveralReport {
            passing: targets.iter().filter(passes).count(),
            checks: checks.collect(),
            decides: labels.swap_remove(decides),
        })
    }

    fn standing(
        &self,
        service: &VirtualServer,
        real: &RealServer,
        target: Option<&Target>,
        now: Instant,
    ) -> StandingReport {
        let drained = self.checks.drains.of(&service.name, real.address);
        let left = self.departures.time_left(&service.server_key(real), now);
        let ramped = match self.checks.stands(&service.server_key(real)) {
            Some(Standing::Up {
                since,
                settled: false,
            }) => service.pool.ramped(now.saturating_duration_since(since)),
            _ => 100,
        };
        StandingReport {
            role: real.tier,
            drained_by: drained.map(|(drain, _)| drain.to_string()),
            leaves_in_ms: left.map(ms),
            starts_with_percent: Some(ramped).filter(|percent| *percent < 100),
            ..target.map_or_else(StandingReport::default, |target| checked(target, now))
        }
    }

    /// Each service in one line; servers only of the one that was asked for.
    pub fn counters(&self, name: Option<&str>, activity: &Activity) -> Response {
        let mut service = None;
        if let Some(name) = name {
            match self.services(Some(name), activity) {
                Response::Services(report) => service = report.services.into_iter().next(),
                other => return other,
            }
        }
        let all = self.config.iter().flat_map(|c| &c.virtual_servers);
        let services: Vec<_> = all.map(|s| self.service_counters(s, activity)).collect();
        let sum = |of: fn(&ServiceCounters) -> u64| services.iter().map(of).sum();
        Response::Counters(CountersReport {
            hostname: self.observed.hostname.clone(),
            read_at_ms: activity.read_at_ms,
            processors: activity.processors.clone(),
            load: None,
            memory: activity.memory,
            conntrack: activity.tracking,
            softnet: activity.softnet,
            ipvs: BalancedReport {
                active_connections: sum(|s| s.active_connections),
                inactive_connections: sum(|s| s.inactive_connections),
                table_buckets: activity.ipvs_buckets,
            },
            interfaces: self.interfaces(activity).interfaces,
            services,
            service,
        })
    }

    fn service_counters(&self, service: &VirtualServer, activity: &Activity) -> ServiceCounters {
        let up = |real: &&RealServer| self.checks.is_up(&service.server_key(real));
        let counted = activity.services.get(&service.key);
        ServiceCounters {
            name: service.name.clone(),
            listen: service.ports(),
            protocol: service.protocols(),
            servers_up: service.of_file().filter(up).count(),
            servers: service.of_file().count(),
            active_connections: counted.map_or(0, |a| a.active_connections),
            inactive_connections: counted.map_or(0, |a| a.inactive_connections),
            traffic: counted.map(|a| a.traffic),
            rates: None,
        }
    }
}

/// What its checks say of how it stands.
pub(super) fn checked(target: &Target, now: Instant) -> StandingReport {
    let until = |at: Instant| ms(at.saturating_duration_since(now));
    let (machine, flaps) = (&target.machine, target.machine.flaps());
    StandingReport {
        held_for_ms: machine.held_until().map(until),
        failures: machine.failures().into(),
        failures_needed: target.params.retries + 1,
        passes: machine.passes().into(),
        passes_needed: target.params.rise,
        next_check_in_ms: machine.due().map(until),
        flaps: flaps.count.into(),
        flaps_over_ms: ms(now.saturating_duration_since(flaps.since)),
        check_shared_by: u32::try_from(target.users().len()).unwrap_or(u32::MAX),
        ..StandingReport::default()
    }
}

pub(super) fn last_check(machine: &Machine, kind: &CheckKind, now: Instant) -> Option<LastCheckReport> {
    let last = machine.last()?;
    let reason = told(kind, &last.outcome, machine.told());
    Some(LastCheckReport {
        ok: last.outcome == Outcome::Pass,
        reason,
        latency_ms: (last.latency.as_secs_f64() * 1e6).round() / 1e3,
        age_ms: ms(now.saturating_duration_since(last.ended)),
    })
}

/// What a check has found, in words.
pub(crate) fn told(kind: &CheckKind, outcome: &Outcome, told: Told) -> String {
    match outcome {
        Outcome::Pass => match told {
            Told::Nothing => kind.passed().to_owned(),
            Told::Endpoints(count) if count.get() == 1 => "told of 1 local endpoint".to_owned(),
            Told::Endpoints(count) => format!("told of {count} local endpoints"),
            Told::Percent(percent) => format!("wants {percent} % of its weight"),
            Told::Drain => "wants no new connections".to_owned(),
        },
        Outcome::Fail(why) | Outcome::Refused(why) | Outcome::Silent(why) | Outcome::CannotCheck(why) => {
            why.clone()
        }
    }
}

/// Some of them, if there are many.
pub(crate) fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    match names.len().saturating_sub(SHOWN) {
        _ if names.is_empty() => "none".to_owned(),
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..SHOWN].join(", ")),
    }
}

pub(super) fn service_names(config: &Config) -> Vec<&str> {
    config.virtual_servers.iter().map(|s| s.name.as_str()).collect()
}
