//! Servers that have left the file and still have connections. They stay in the configuration in force, as what they are, so that
//! checks, rules and pools go on knowing them, until their last connection has ended or their time is over.
//! Must not: say what the kernel does with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_core::check::{CheckKind, CheckList, CheckParams};
use lb_core::config::{Config, RealServer, VirtualServer, WhenDown};
use lb_core::model::{RealKey, ServerKey, VirtualKey, Weight};
use lb_core::observed::Observed;
use lb_core::pool::Tier;

use crate::control::{self, SharedActivity};
use crate::engine::{Engine, Event};

/// How often the connections of those that leave are counted.
const LOOKS: Duration = Duration::from_secs(1);
/// A connection that was under way when its server was looked at is there when it is looked at again.
const IDLE_LOOKS: u8 = 2;

#[derive(Debug, Clone, Copy)]
struct Departure {
    /// Then its connections are ended.
    until: Instant,
    /// So many times in a row it was seen without any connection.
    idle: u8,
}

#[derive(Debug, Default)]
pub struct Departures {
    leaving: BTreeMap<ServerKey, Departure>,
    next_look: Option<Instant>,
}

/// Connections of servers, active or not, that the kernel knows.
pub type Counted = Vec<(ServerKey, u64)>;

impl Departures {
    /// How long a server may stay, at most.
    pub fn time_left(&self, key: &ServerKey, now: Instant) -> Option<Duration> {
        let departure = self.leaving.get(key)?;
        Some(departure.until.saturating_duration_since(now))
    }

    pub fn next_look(&self) -> Option<Instant> {
        self.next_look
    }

    fn begin(&mut self, key: ServerKey, until: Instant, now: Instant) {
        self.leaving.entry(key).or_insert(Departure { until, idle: 0 });
        self.next_look.get_or_insert(now + LOOKS);
    }

    /// Those that do not leave any more, because they are of the file again or their service has gone, are forgotten.
    fn keep(&mut self, config: &Config) {
        if self.leaving.is_empty() {
            return;
        }
        let leave = |service: &VirtualServer| -> Vec<ServerKey> {
            service.leaving().map(|real| service.server_key(real)).collect()
        };
        let leaving: BTreeSet<ServerKey> = config.services().flat_map(leave).collect();
        self.leaving.retain(|key, _| leaving.contains(key));
    }

    /// The servers that have gone for good, of those that were looked at.
    fn seen(&mut self, counted: &Counted, now: Instant) -> Vec<ServerKey> {
        for (key, connections) in counted {
            if let Some(departure) = self.leaving.get_mut(key) {
                departure.idle = match connections {
                    0 => departure.idle.saturating_add(1),
                    _ => 0,
                };
            }
        }
        let gone = |departure: &Departure| now >= departure.until || departure.idle >= IDLE_LOOKS;
        let gone = self.leaving.extract_if(.., |_, departure| gone(departure));
        gone.map(|(key, _)| key).collect()
    }
}

/// Who leaves a service that has become another: its servers that the new one has not.
fn left<'o>(old: &'o VirtualServer, new: &VirtualServer) -> impl Iterator<Item = &'o RealServer> {
    let stays: BTreeSet<RealKey> = new.real_servers.iter().map(|real| real.address).collect();
    old.real_servers
        .iter()
        .filter(move |real| !stays.contains(&real.address))
}

impl Engine {
    /// Servers of the configuration in force that the new one has not stay in it as long as they have connections.
    pub fn keep_leaving(&mut self, new: &mut Config, now: Instant) {
        let (begun, said) = self.stay_on(new, now);
        for (key, until) in begun {
            self.departures.begin(key, until, now);
        }
        self.departures.keep(new);
        for text in said {
            self.tell(log::Level::Info, &text);
        }
    }

    /// Puts them into the new one; until when each may stay, and what is to be told of it.
    pub fn stay_on(&self, new: &mut Config, now: Instant) -> (Vec<(ServerKey, Instant)>, Vec<String>) {
        let (mut begun, mut said) = (Vec::new(), Vec::new());
        for service in &mut new.virtual_servers {
            let old = self.service(&service.key);
            let Some(old) = old.filter(|old| !std::ptr::eq(*old, service.as_ref())) else {
                continue;
            };
            let leaving: Vec<RealServer> = left(old, service)
                .filter(|real| service.lets_leave() && self.is_in_kernel(&service.key, real))
                .map(|real| RealServer {
                    tier: Tier::Leaving,
                    ..real.clone()
                })
                .collect();
            for real in &leaving {
                begun.push((service.server_key(real), now + service.pool.drain_timeout));
                if !old.leaving().any(|known| known.address == real.address) {
                    said.push(format!(
                        "server {} of {} is no longer in lb.toml: it leaves with its last connection",
                        real.address, service.name
                    ));
                }
            }
            if !leaving.is_empty() {
                Arc::make_mut(service).real_servers.extend(leaving);
            }
        }
        (begun, said)
    }

    fn is_in_kernel(&self, service: &VirtualKey, real: &RealServer) -> bool {
        let pool = self.observed.virtual_servers.get(service);
        pool.is_some_and(|pool| pool.servers.contains_key(&real.address))
    }

    /// At a start: what the kernel has and the file has not was about to leave when the agent ended.
    pub fn adopt_leaving(&mut self, observed: &Observed, now: Instant) {
        let Some(config) = &mut self.config else {
            return;
        };
        let checks = CheckList::one(CheckParams {
            kind: CheckKind::None,
            ..CheckParams::default()
        });
        for service in config
            .virtual_servers
            .iter_mut()
            .filter(|service| service.lets_leave())
        {
            let Some(seen) = observed.virtual_servers.get(&service.key) else {
                continue;
            };
            let known: BTreeSet<RealKey> = service.real_servers.iter().map(|real| real.address).collect();
            let others = seen.servers.iter().filter(|(server, _)| !known.contains(server));
            let leaving: Vec<RealServer> = others
                .filter_map(|(server, seen)| {
                    Some(RealServer {
                        address: *server,
                        weight: Weight::ZERO,
                        forward: seen.forward?,
                        when_down: WhenDown::Remove,
                        limit: seen.limit.unwrap_or_default(),
                        tier: Tier::Leaving,
                        checks: checks.clone(),
                    })
                })
                .collect();
            for real in &leaving {
                let key = service.server_key(real);
                self.departures.begin(key, now + service.pool.drain_timeout, now);
            }
            if !leaving.is_empty() {
                Arc::make_mut(service).real_servers.extend(leaving);
            }
        }
    }

    /// Counts the connections of those that leave, when it is time; the answer is an event.
    pub fn look_after_leaving(&mut self, now: Instant) {
        if self.departures.next_look.is_none_or(|at| now < at) {
            return;
        }
        self.departures.next_look = None;
        let leaving: Vec<ServerKey> = self.departures.leaving.keys().copied().collect();
        if leaving.is_empty() {
            return;
        }
        let (activity, events) = (self.activity.clone(), self.events.clone());
        tokio::spawn(async move {
            let counted = count(activity, leaving).await;
            // The loop is gone only when the process ends.
            let _ = events.send(Event::Counted(counted)).await;
        });
    }

    /// Those without connections, and those whose time is over or that have died, leave the configuration in force.
    pub fn counted(&mut self, counted: &Counted) {
        let now = Instant::now();
        let mut gone = self.departures.seen(counted, now);
        let dead: Vec<ServerKey> = self
            .departures
            .leaving
            .keys()
            .filter(|key| self.is_dropped(key, now))
            .copied()
            .collect();
        for key in dead {
            self.departures.leaving.remove(&key);
            gone.push(key);
        }
        if !self.departures.leaving.is_empty() {
            self.departures.next_look = Some(now + LOOKS);
        }
        for key in gone {
            let name = self.service_name(&key.service);
            let text = format!(
                "server {} of {name} has left: it was taken out of lb.toml",
                key.server
            );
            self.tell(log::Level::Info, &text);
            self.part_with(&key, now);
        }
    }

    /// Its pool has given it up.
    fn is_dropped(&self, key: &ServerKey, now: Instant) -> bool {
        let service = self.service(&key.service);
        service.is_none_or(|service| {
            !self
                .checks
                .desired(service, now)
                .servers
                .contains_key(&key.server)
        })
    }

    fn part_with(&mut self, key: &ServerKey, now: Instant) {
        let Some(config) = &mut self.config else {
            return;
        };
        let place = crate::by_listen::place(config, &self.by_listen, &key.service);
        let Some(service) = place.and_then(|at| config.virtual_servers.get_mut(at)) else {
            return;
        };
        Arc::make_mut(service)
            .real_servers
            .retain(|real| real.address != key.server || real.tier != Tier::Leaving);
        let config = &self.config;
        if let Some(config) = config {
            let service = crate::by_listen::find(config, &self.by_listen, &key.service);
            self.checks
                .configure_one(now, config, &key.service, service, |_| None);
        }
        // Rules that know servers follow.
        self.reconcile.doors_changed();
        self.reconcile.pool_dirty(key.service);
    }
}

/// A server that the kernel does not have has no connections.
async fn count(activity: SharedActivity, leaving: Vec<ServerKey>) -> Counted {
    let read = move || {
        let mut counted: BTreeMap<ServerKey, u64> = leaving.iter().map(|key| (*key, 0)).collect();
        let services: BTreeSet<VirtualKey> = leaving.iter().map(|key| key.service).collect();
        for service in services {
            match control::lock(&activity).servers(&service) {
                Ok(servers) => {
                    for (server, seen) in servers {
                        let key = ServerKey { service, server };
                        counted.entry(key).and_modify(|count| *count = seen.connections());
                    }
                }
                // What is not known is not nothing.
                Err(fault) => {
                    log::warn!("connections of leaving servers: {fault}");
                    counted.retain(|key, _| key.service != service);
                }
            }
        }
        counted.into_iter().collect()
    };
    tokio::task::spawn_blocking(read).await.unwrap_or_default()
}
