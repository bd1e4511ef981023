//! Checks that an operator makes by hand (`probe`): the same exchange as the agent's own, told step by step. Must not: feed health, certificates'
//! warnings, or the events with what they find.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use lb_core::check::{CheckKind, CheckParams, Close};
use lb_core::config::{VirtualServer, check_of_words, check_types};
use lb_core::control::{ProbeReport, ProbeStep, ProbeVerdict, Response};
use lb_core::health::{CheckResult, Outcome, Told};
use lb_core::model::{RealKey, ServerKey};
use lb_core::suggest::nearest;
use tokio::sync::oneshot;

use crate::engine::Engine;
use crate::probe::{Begun, Watched, watch};
use crate::report::{listed, ms, told};
use crate::targets::TargetId;

/// Who started a check in the loop's own sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    Check(TargetId, RealKey),
    /// The same, of one that has a place in the crowd.
    Crowd(TargetId, RealKey),
    /// One of [`ByHand`].
    Hand(u64),
}

/// Half-open checks made by hand, which the loop's sockets make.
#[derive(Debug, Default)]
pub struct ByHand {
    next: u64,
    waiting: BTreeMap<u64, (ProbeReport, oneshot::Sender<Response>)>,
}

/// What is asked, and for whom.
struct Order {
    server: RealKey,
    params: Arc<CheckParams>,
    user: Option<(String, ServerKey)>,
    of_several: Option<(usize, usize)>,
}

impl Engine {
    /// `place`: which check of a server with several, from 0.
    pub fn probe(
        &mut self,
        words: &[String],
        only_tell: bool,
        place: usize,
        reply: oneshot::Sender<Response>,
    ) {
        let order = match self.order(words, place) {
            Ok(order) => order,
            Err(message) => {
                let _ = reply.send(Response::Error { message });
                return;
            }
        };
        let mut report = self.begun(&order);
        let way = match order.user {
            Some(_) => self.way(order.server, &order.params),
            None => self.way_anywhere(order.server, &order.params),
        };
        let way = match way {
            Ok(way) => way,
            Err(outcome) => {
                judge(&mut report, &order.params.kind, &outcome, Told::Nothing);
                let _ = reply.send(Response::Probe(report));
                return;
            }
        };
        report.source = way.source();
        report.bound_to = way.device.as_ref().map(ToString::to_string);
        if only_tell {
            let _ = reply.send(Response::Probe(report));
            return;
        }
        if order.params.kind == CheckKind::Tcp(Close::HalfOpen) {
            let hand = self.by_hand.next;
            self.by_hand.next += 1;
            let begun = self
                .tcp_checks
                .start(Instant::now(), Asker::Hand(hand), &way, &order.params);
            if begun != Begun::No {
                self.by_hand.waiting.insert(hand, (report, reply));
                self.tcp_checks.flush();
                return;
            }
        }
        let trust = self.trust.clone();
        tokio::spawn(async move {
            let Watched { result, steps } = watch(&way, &order.params, &trust).await;
            report.steps = steps;
            concluded(&mut report, &order.params.kind, &result);
            // Who asked may have gone.
            let _ = reply.send(Response::Probe(report));
        });
    }

    /// A half-open check has ended.
    pub fn probed(&mut self, hand: u64, result: &CheckResult) {
        let Some((mut report, reply)) = self.by_hand.waiting.remove(&hand) else {
            return;
        };
        let kind = CheckKind::Tcp(Close::HalfOpen);
        report.steps = half_open_steps(&report.target, result);
        concluded(&mut report, &kind, result);
        let _ = reply.send(Response::Probe(report));
    }

    fn order(&self, words: &[String], place: usize) -> Result<Order, String> {
        let [first, second, keys @ ..] = words else {
            return Err(
                "`probe` needs SERVICE SERVER, or TYPE ADDRESS:PORT; `help probe` says more".to_owned(),
            );
        };
        let mut services = self.config.iter().flat_map(|config| config.services());
        let service = services.find(|service| service.name == *first);
        let is_type = check_types().contains(&first.as_str());
        if let Some(service) = service {
            let ordered = self.order_of(service, second, place);
            // A service may be called `http`.
            let means_type = is_type && (ordered.is_err() || !keys.is_empty());
            match keys {
                _ if means_type => {}
                [] => return ordered,
                _ => {
                    return Err(format!(
                        "the check of {first} has its keys in lb.toml; leave them out here, or write `probe TYPE ADDRESS:PORT KEY=VALUE`"
                    ));
                }
            }
        }
        let read = check_of_words(first, second, keys, self.config.as_ref());
        let (server, params) = read.map_err(|faults| match is_type {
            true => faults,
            false => self.neither(first),
        })?;
        if params.kind == CheckKind::None {
            return Err(
                "a check of type \"none\" asks nothing; `probe tcp ADDRESS:PORT` asks a port".to_owned(),
            );
        }
        Ok(Order {
            server,
            params: Arc::new(params),
            user: None,
            of_several: None,
        })
    }

    /// The word is the name of no service, and no type of check.
    fn neither(&self, word: &str) -> String {
        let services = self.config.iter().flat_map(|config| config.services());
        let names = services.map(|service| service.name.as_str());
        let near = nearest(word, names.chain(check_types().iter().copied()));
        let near = near.map_or_else(|| ";".to_owned(), |near| format!("; did you mean `{near}`?"));
        format!(
            "no service is called `{word}`, and no type of check{near} `services` lists the services, `explain check.type` the types"
        )
    }

    fn order_of(&self, service: &VirtualServer, word: &str, place: usize) -> Result<Order, String> {
        let is_it = |key: &RealKey| key.to_string() == word || key.address.to_string() == word;
        let mut found = service.real_servers.iter().filter(|real| is_it(&real.address));
        let name = &service.name;
        let (real, more) = match (found.next(), found.next()) {
            (Some(real), more) => (real, more),
            (None, _) => {
                let known: Vec<String> = service
                    .real_servers
                    .iter()
                    .map(|r| r.address.to_string())
                    .collect();
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                let known = listed(&known);
                return Err(format!("{name} has no server {word}; its servers are: {known}"));
            }
        };
        if more.is_some() {
            return Err(format!(
                "{name} has several servers at {word}; give the port as well"
            ));
        }
        if real.checks.is_none() {
            return Err(format!(
                "{word} of {name} is not checked (type \"none\"); `probe tcp {}` asks its port",
                real.address
            ));
        }
        let checks = real.checks.all();
        let Some(params) = checks.get(place) else {
            return Err(format!("{word} of {name} has {} checks now", checks.len()));
        };
        Ok(Order {
            server: real.address,
            params: params.clone(),
            user: Some((name.clone(), service.server_key(real))),
            of_several: (checks.len() > 1).then_some((place + 1, checks.len())),
        })
    }

    fn begun(&self, order: &Order) -> ProbeReport {
        let target = order.params.target(order.server);
        let place = order.of_several.map_or(0, |(place, _)| place - 1);
        let machine = order
            .user
            .as_ref()
            .and_then(|(_, key)| self.checks.targets_of(key).nth(place));
        ProbeReport {
            kind: order.params.kind.word().to_owned(),
            target: match target.port() {
                0 => target.ip().to_string(),
                _ => target.to_string(),
            },
            service: order.user.as_ref().map(|(name, _)| name.clone()),
            server: order.user.as_ref().map(|(_, key)| key.server.to_string()),
            of_several: order.of_several,
            health: machine.map(|target| target.machine.word()),
            timeout_ms: ms(order.params.timeout),
            source: None,
            bound_to: None,
            route: None,
            steps: Vec::new(),
            verdict: ProbeVerdict::CannotCheck,
            reason: String::new(),
            took_ms: 0.0,
        }
    }
}

/// SYN, and what came back.
fn half_open_steps(target: &str, result: &CheckResult) -> Vec<ProbeStep> {
    let step = |at_ms, what: &str, line: String| ProbeStep {
        at_ms,
        what: what.to_owned(),
        lines: vec![line],
    };
    let mut steps = vec![step(
        0.0,
        "request",
        format!("SYN to {target}; a SYN-ACK is answered with RST (close = \"half-open\")"),
    )];
    let answer = match &result.outcome {
        Outcome::Pass => "SYN-ACK",
        Outcome::Refused(_) => "RST",
        _ => return steps,
    };
    steps.push(step(took_ms(result), "answer", answer.to_owned()));
    steps
}

fn took_ms(result: &CheckResult) -> f64 {
    (result.latency.as_secs_f64() * 1e6).round() / 1e3
}

fn concluded(report: &mut ProbeReport, kind: &CheckKind, result: &CheckResult) {
    report.took_ms = took_ms(result);
    judge(report, kind, &result.outcome, result.told);
}

fn judge(report: &mut ProbeReport, kind: &CheckKind, outcome: &Outcome, says: Told) {
    report.verdict = match outcome {
        Outcome::Pass => ProbeVerdict::Pass,
        Outcome::CannotCheck(_) => ProbeVerdict::CannotCheck,
        Outcome::Fail(_) | Outcome::Refused(_) | Outcome::Silent(_) => ProbeVerdict::Fail,
    };
    report.reason = told(kind, outcome, says);
}
