//! What speaks for a configuration on trial: echoes of gateways, and checks that passed, since it began. What was known before says
//! nothing of it. Must not: judge.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_core::check::{CheckKind, CheckParams};
use lb_core::config::{Config, Interface, RealServer, VirtualServer};
use lb_core::confirm::{Facts, Gateways, ServiceFacts, Trial};
use lb_core::health::Outcome;
use lb_core::model::{IfName, RealKey};

use crate::engine::{Engine, Event};
use crate::probe::{self, Way};

/// How often it is looked at.
const LOOKS: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Evidence {
    /// How many servers of each service, by its name, were up before.
    up_before: BTreeMap<String, u32>,
    /// What was heard of gateways last.
    gateways: BTreeMap<IpAddr, Result<(), String>>,
    /// Since when the kernel has what is on trial; only what began later counts.
    since: Option<Instant>,
    next_look: Instant,
}

impl Evidence {
    /// What is so now, before anything changes.
    pub fn before(engine: &Engine, now: Instant) -> Evidence {
        let services = engine.config.iter().flat_map(Config::services);
        let up = |service: &VirtualServer| {
            let keys = service.of_file().map(|real| service.server_key(real));
            keys.filter(|key| engine.checks.is_up(key)).count()
        };
        let up_before = services.map(|service| (service.name.clone(), up(service)));
        Evidence {
            up_before: up_before
                .filter_map(|(name, up)| Some((name, u32::try_from(up).ok().filter(|up| *up > 0)?)))
                .collect(),
            gateways: BTreeMap::new(),
            since: None,
            next_look: now,
        }
    }

    /// `None`: nothing is asserted.
    pub fn next_look(&self, trial: &Trial) -> Option<Instant> {
        (!trial.assertions().is_empty()).then_some(self.next_look)
    }
}

impl Engine {
    pub fn look_at_assertions(&mut self, now: Instant) {
        let due = self.pending.as_ref().is_some_and(|pending| {
            let look = pending.evidence.next_look(&pending.trial);
            look.is_some_and(|at| now >= at)
        });
        if !due {
            return;
        }
        let under_way = self.reconcile.is_changing();
        let Some(pending) = &mut self.pending else {
            return;
        };
        pending.evidence.next_look = now + LOOKS;
        if under_way {
            return;
        }
        let since = *pending.evidence.since.get_or_insert(now);
        let gateways = self.asserted_gateways();
        let facts = self.facts(&gateways, since);
        if let Some(pending) = &mut self.pending {
            pending.trial.look(now, &facts);
        }
        for (gateway, device) in gateways {
            self.ask_gateway(gateway, device);
        }
    }

    /// With the interface that they are behind, where that is said.
    fn asserted_gateways(&self) -> Vec<(IpAddr, Option<IfName>)> {
        let asserted = self
            .pending
            .as_ref()
            .and_then(|pending| pending.trial.assertions().gateway_answers);
        match asserted {
            None => Vec::new(),
            Some(Gateways::Address(address)) => vec![(address, None)],
            Some(Gateways::OfInterfaces) => {
                let interfaces = self.config.iter().flat_map(|config| &config.interfaces);
                let behind = |interface: &Interface| {
                    let device = self.network.resolved.get(&interface.label).cloned().flatten();
                    Some((interface.gateway?, device))
                };
                interfaces.filter_map(behind).collect()
            }
        }
    }

    fn facts(&self, gateways: &[(IpAddr, Option<IfName>)], since: Instant) -> Facts {
        let Some(pending) = &self.pending else {
            return Facts::default();
        };
        let heard = |(address, _): &(IpAddr, Option<IfName>)| {
            let heard = pending.evidence.gateways.get(address).cloned();
            (*address, heard.unwrap_or_else(|| Err("not asked yet".to_owned())))
        };
        let services = self.config.iter().flat_map(Config::services);
        let counted = services.filter_map(|service| {
            Some(ServiceFacts {
                name: service.name.clone(),
                before: *pending.evidence.up_before.get(&service.name)?,
                now: self.proved_since(service, since),
            })
        });
        Facts {
            refused: self.reconcile.last_failed.first().cloned(),
            gateways: gateways.iter().map(heard).collect(),
            services: counted.collect(),
        }
    }

    /// Servers that are up, and whose last check, of several each, was begun since then and has passed; and those that are never checked.
    fn proved_since(&self, service: &VirtualServer, since: Instant) -> u32 {
        let proved = |real: &&RealServer| {
            let key = service.server_key(real);
            // Of one that is never checked there are none.
            self.checks.is_up(&key)
                && self.checks.targets_of(&key).all(|target| {
                    target.machine.last().is_some_and(|last| {
                        let begun = last.ended.checked_sub(last.latency);
                        last.outcome == Outcome::Pass && begun.is_some_and(|begun| begun >= since)
                    })
                })
        };
        u32::try_from(service.of_file().filter(proved).count()).unwrap_or(u32::MAX)
    }

    /// The answer is an event.
    fn ask_gateway(&self, address: IpAddr, device: Option<IfName>) {
        let params = Arc::new(CheckParams {
            kind: CheckKind::Icmp,
            timeout: LOOKS,
            ..CheckParams::default()
        });
        let server = RealKey { address, port: 0 };
        let way = Way {
            target: SocketAddr::new(address, 0),
            device,
            ..Way::from(&params, server)
        };
        let (events, trust) = (self.events.clone(), self.trust.clone());
        let sent = Instant::now();
        tokio::spawn(async move {
            let result = probe::check(&way, &params, &trust).await;
            let answer = match result.outcome {
                Outcome::Pass => Ok(()),
                Outcome::Fail(why)
                | Outcome::Refused(why)
                | Outcome::Silent(why)
                | Outcome::CannotCheck(why) => Err(why),
            };
            // The loop is gone only when the process ends.
            let _ = events
                .send(Event::GatewayHeard {
                    address,
                    sent,
                    answer,
                })
                .await;
        });
    }

    /// Of an echo that was sent before the kernel had what is on trial nothing is learnt.
    pub fn gateway_heard(&mut self, address: IpAddr, sent: Instant, answer: Result<(), String>) {
        if let Some(pending) = &mut self.pending
            && pending.evidence.since.is_some_and(|since| sent >= since)
        {
            pending.evidence.gateways.insert(address, answer);
        }
    }
}
