//! Rates for whole reports: between two of a kind, or along a row of them as `top` asks for it. What cannot be told
//! (no reading before, an entry made anew, counters that could not be read) stays without a rate.
//! Must not: read a clock; the times of readings are in the reports.

use std::collections::{BTreeMap, VecDeque};

use crate::control::{
    CountersReport, ForwardReport, GatewayReport, InterfaceReport, InterfacesReport, Response, ServerReport,
    ServicesReport,
};
use crate::traffic::{
    LinkCounters, Load, Processor, TRAFFIC_WINDOW_MS, Traffic, TrafficRates, elapsed_ms, rate,
};

/// A reading that came a little early still spans its time.
const LEAST_WINDOW_MS: u64 = TRAFFIC_WINDOW_MS * 39 / 40;

/// Two readings for one look (somebody opened a service) are too close to be compared with each other.
const LEAST_LINK_MS: u64 = 450;

/// Fills in the rates of `after`, which answers the same request as `before`.
pub fn between(before: &Response, after: &mut Response) {
    match (before, after) {
        (Response::Services(before), Response::Services(after)) => services(before, after),
        (Response::Interfaces(before), Response::Interfaces(after)) => interfaces(before, after),
        (Response::Gateway(before), Response::Gateway(after)) => gateway(before, after),
        _ => {}
    }
}

fn services(before: &ServicesReport, after: &mut ServicesReport) {
    let Some(over_ms) = elapsed_ms(before.read_at_ms, after.read_at_ms) else {
        return;
    };
    let known: BTreeMap<_, _> = before
        .services
        .iter()
        .map(|s| ((&s.name, &s.listen), s))
        .collect();
    for service in &mut after.services {
        let Some(then) = known.get(&(&service.name, &service.listen)) else {
            continue;
        };
        service.rates = traffic(then.traffic, service.traffic, over_ms);
        let servers: BTreeMap<_, _> = then.servers.iter().map(|s| (&s.address, s.traffic)).collect();
        for server in &mut service.servers {
            let then = servers.get(&server.address).copied().flatten();
            server.rates = traffic(then, server.traffic, over_ms);
        }
    }
}

fn traffic(before: Option<Traffic>, after: Option<Traffic>, over_ms: u64) -> Option<TrafficRates> {
    after?.rates_since(&before?, over_ms)
}

fn interfaces(before: &InterfacesReport, after: &mut InterfacesReport) {
    let Some(over_ms) = elapsed_ms(before.read_at_ms, after.read_at_ms) else {
        return;
    };
    let known: BTreeMap<_, _> = before.interfaces.iter().filter_map(counted).collect();
    for interface in &mut after.interfaces {
        interface.rates = counted(interface)
            .and_then(|(key, now)| Some((known.get(&key)?, now)))
            .and_then(|(then, now)| now.rates_since(then, over_ms));
    }
}

type LinkKey = (Option<String>, String);

/// A link that is there, with its counters.
fn counted(interface: &InterfaceReport) -> Option<(LinkKey, LinkCounters)> {
    let link = interface.link.clone()?;
    Some(((interface.label.clone(), link), interface.counters()))
}

fn gateway(before: &GatewayReport, after: &mut GatewayReport) {
    let Some(over_ms) = elapsed_ms(before.read_at_ms, after.read_at_ms) else {
        return;
    };
    forwards(&before.forwards, &mut after.forwards, over_ms);
    let pairs = [
        (&before.masquerades, &mut after.masquerades),
        (&before.hairpins, &mut after.hairpins),
    ];
    for (before, after) in pairs {
        for translation in after {
            let same = before.iter().find(|then| {
                (&then.from, &then.out, &then.to) == (&translation.from, &translation.out, &translation.to)
            });
            translation.connections_per_second = same
                .filter(|then| then.active && translation.active)
                .and_then(|then| rate(then.connections, translation.connections, over_ms));
        }
    }
}

fn forwards(before: &[ForwardReport], after: &mut [ForwardReport], over_ms: u64) {
    for forward in after {
        let same = before
            .iter()
            .find(|then| (&then.listen, &then.protocol) == (&forward.listen, &forward.protocol));
        forward.connections_per_second = same
            .filter(|then| then.active && forward.active)
            .and_then(|then| rate(then.connections, forward.connections, over_ms));
    }
}

/// The last readings, as many as rates need.
#[derive(Debug, Default)]
pub struct History {
    /// Oldest first; all but the first are younger than a window.
    readings: VecDeque<Reading>,
}

type Name = (String, String);

#[derive(Debug)]
struct Reading {
    at_ms: u64,
    processors: Vec<Processor>,
    links: BTreeMap<LinkKey, LinkCounters>,
    services: BTreeMap<Name, Traffic>,
    /// By the service that was asked for, and the server's address.
    servers: BTreeMap<Name, Traffic>,
}

impl History {
    /// Fills in the report's rates, and keeps its readings for the next one's.
    pub fn rate(&mut self, report: &mut CountersReport) {
        if report.read_at_ms == 0 {
            return;
        }
        if self.readings.back().is_some_and(|r| r.at_ms > report.read_at_ms) {
            // Another clock: another machine, or this one after a reboot.
            self.readings.clear();
        }
        let reading = Reading::of(report);
        let settled = |r: &&Reading| reading.at_ms - r.at_ms >= LEAST_LINK_MS;
        if let Some(last) = self.readings.iter().rev().find(settled) {
            let over_ms = reading.at_ms - last.at_ms;
            report.load = Load::between(&last.processors, &reading.processors);
            for interface in &mut report.interfaces {
                interface.rates = counted(interface)
                    .and_then(|(key, now)| Some((last.links.get(&key)?, now)))
                    .and_then(|(then, now)| now.rates_since(then, over_ms));
            }
        }
        for service in &mut report.services {
            let name = (service.name.clone(), service.listen.clone());
            service.rates = self.traffic(service.traffic, reading.at_ms, |r| r.services.get(&name));
        }
        if let Some(service) = &mut report.service {
            let name = (service.name.clone(), service.listen.clone());
            service.rates = self.traffic(service.traffic, reading.at_ms, |r| r.services.get(&name));
            for server in &mut service.servers {
                let name = server_name(&service.name, server);
                server.rates = self.traffic(server.traffic, reading.at_ms, |r| r.servers.get(&name));
            }
        }
        self.keep(reading);
    }

    /// Whether the next reading can have the rates of services.
    pub fn spans_a_window(&self) -> bool {
        match (self.readings.front(), self.readings.back()) {
            (Some(first), Some(last)) => last.at_ms - first.at_ms >= LEAST_WINDOW_MS,
            _ => false,
        }
    }

    /// Back to the youngest reading that is a window old, as long as the counters only grew from one to the next.
    fn traffic<'a>(
        &'a self,
        now: Option<Traffic>,
        now_ms: u64,
        of: impl Fn(&'a Reading) -> Option<&'a Traffic>,
    ) -> Option<TrafficRates> {
        let now = now?;
        let mut later = now;
        for reading in self.readings.iter().rev() {
            let then = *of(reading)?;
            if !later.follows(&then) {
                return None;
            }
            let over_ms = now_ms - reading.at_ms;
            if over_ms >= LEAST_WINDOW_MS {
                return now.rates_since(&then, over_ms);
            }
            later = then;
        }
        None
    }

    fn keep(&mut self, reading: Reading) {
        let now_ms = reading.at_ms;
        self.readings.push_back(reading);
        while self
            .readings
            .get(1)
            .is_some_and(|second| now_ms - second.at_ms >= LEAST_WINDOW_MS)
        {
            self.readings.pop_front();
        }
    }
}

impl Reading {
    fn of(report: &CountersReport) -> Reading {
        let service = report.service.iter();
        let servers = service.flat_map(|s| s.servers.iter().map(move |server| (&s.name, server)));
        Reading {
            at_ms: report.read_at_ms,
            processors: report.processors.clone(),
            links: report.interfaces.iter().filter_map(counted).collect(),
            services: report
                .services
                .iter()
                .filter_map(|s| Some(((s.name.clone(), s.listen.clone()), s.traffic?)))
                .collect(),
            servers: servers
                .filter_map(|(service, server)| Some((server_name(service, server), server.traffic?)))
                .collect(),
        }
    }
}

fn server_name(service: &str, server: &ServerReport) -> Name {
    (service.to_owned(), server.address.clone())
}

#[cfg(test)]
mod tests;
