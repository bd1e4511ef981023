//! All half-open checks that are under way: a SYN goes out, and SYN-ACK or RST come back, as for connect(). No socket is there to go on,
//! so the kernel answers a SYN-ACK with RST, and the server's program hears nothing (decision 18).
//! Must not: decide what a result means, or wait for the network.

mod ports;
mod raw;
mod routes;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use lb_core::check::PROBE_PORTS;
use lb_core::health::Outcome;
use rustix::io::Errno;
use socket2::Domain;

use self::ports::Ports;
use self::raw::Raw;
use self::routes::Routes;
use self::segment::{Answer, Packet, Quote, Syn};
use super::{Way, classify, late};

/// A SYN without an answer is sent again after this, and then after twice as long (RFC 6298, as the kernel's own).
const RESEND: Duration = Duration::from_secs(1);

/// `A`: what the one who asks knows a check by.
#[derive(Debug)]
pub struct HalfOpen<A> {
    v4: Option<Raw>,
    v6: Option<Raw>,
    ports: Ports,
    routes: Routes,
    began: Instant,
    /// By the port that they come from, counted from the first one.
    flights: Vec<Vec<Flight<A>>>,
    /// When something is to be done about a flight: its port and its sequence number.
    turns: BTreeSet<(Instant, u16, u32)>,
    outbox: Vec<Outgoing>,
    ended: Vec<Ended<A>>,
}

/// A check that has ended: who asked, when it began, when it ended, and how.
pub type Ended<A> = (A, Instant, Instant, Outcome);

#[derive(Debug)]
struct Flight<A> {
    asker: A,
    syn: Syn,
    index: u32,
    started: Instant,
    timeout: Duration,
    /// When it is this one's turn.
    turn: Instant,
    /// For how long an answer is waited for before the next SYN.
    patience: Duration,
}

#[derive(Debug)]
struct Outgoing {
    packet: Packet,
    to: IpAddr,
    index: u32,
    port: u16,
    sequence: u32,
}

impl<A> HalfOpen<A> {
    /// Inside of an asynchronous runtime. With what could not be opened, and why.
    pub fn open() -> (HalfOpen<A>, Vec<(&'static str, io::Error)>) {
        let mut faults = Vec::new();
        let mut open = |domain, family| {
            Raw::open(domain)
                .map_err(|error| faults.push((family, error)))
                .ok()
        };
        let half_open = HalfOpen {
            v4: open(Domain::IPV4, "IPv4"),
            v6: open(Domain::IPV6, "IPv6"),
            ports: Ports::new(),
            routes: Routes::default(),
            began: Instant::now(),
            flights: PROBE_PORTS.map(|_| Vec::new()).collect(),
            turns: BTreeSet::new(),
            outbox: Vec::new(),
            ended: Vec::new(),
        };
        (half_open, faults)
    }

    /// Ports on which services listen.
    pub fn avoid(&mut self, taken: &BTreeSet<u16>) {
        self.ports.avoid(taken);
    }

    /// Links, addresses or routes have changed.
    pub fn forget_routes(&mut self) {
        self.routes.forget();
    }

    /// Begins a check, of which [`HalfOpen::flush`] sends the SYN; gives it back if it cannot be made in this way.
    pub fn start(&mut self, asker: A, way: &Way, timeout: Duration) -> Result<(), A> {
        let raw = if way.target.is_ipv4() { &self.v4 } else { &self.v6 };
        if raw.is_none() {
            return Err(asker);
        }
        let started = Instant::now();
        let Some(port) = self.free_port(way.target, started) else {
            return Err(asker);
        };
        match self.routes.of(way) {
            Ok(route) => {
                let syn = Syn {
                    source: route.source,
                    port,
                    target: way.target,
                    sequence: self.ports.sequence(),
                };
                let patience = RESEND;
                let turn = started + timeout.min(patience);
                self.turns.insert((turn, port, syn.sequence));
                self.post(&syn, route.index);
                self.flights[place(port)].push(Flight {
                    asker,
                    syn,
                    index: route.index,
                    started,
                    timeout,
                    turn,
                    patience,
                });
            }
            Err(outcome) => self.ended.push((asker, started, Instant::now(), outcome)),
        }
        Ok(())
    }

    /// The first in the target's order from which nothing is on its way there.
    fn free_port(&self, target: SocketAddr, now: Instant) -> Option<u16> {
        let since = now.saturating_duration_since(self.began);
        let is_free = |port: &u16| {
            let mut flights = self.flights[place(*port)].iter();
            flights.all(|flight| flight.syn.target != target)
        };
        self.ports.of(target, since).find(is_free)
    }

    fn post(&mut self, syn: &Syn, index: u32) {
        let packet = syn.packet().expect("a route begins in its target's family");
        self.outbox.push(Outgoing {
            packet,
            to: syn.target.ip(),
            index,
            port: syn.port,
            sequence: syn.sequence,
        });
    }

    /// Sends what [`HalfOpen::start`] has begun, with few calls.
    pub fn flush(&mut self) {
        let mut outbox = std::mem::take(&mut self.outbox);
        outbox.sort_by_key(|out| (out.to.is_ipv4(), out.index));
        let mut refused: Vec<(usize, io::Error)> = Vec::new();
        let mut begin = 0;
        for group in outbox.chunk_by(|a, b| (a.to.is_ipv4(), a.index) == (b.to.is_ipv4(), b.index)) {
            let raw = if group[0].to.is_ipv4() {
                &mut self.v4
            } else {
                &mut self.v6
            };
            if let Some(raw) = raw {
                let packets: Vec<_> = group.iter().map(|out| (out.packet, out.to)).collect();
                raw.send(&packets, group[0].index, |at, error| {
                    refused.push((begin + at, error))
                });
            }
            begin += group.len();
        }
        for (at, error) in refused {
            let Outgoing { port, sequence, .. } = outbox[at];
            let outcome = match Errno::from_io_error(&error) {
                Some(Errno::AGAIN) => {
                    Outcome::CannotCheck("too many checks wait for neighbours that do not answer".to_owned())
                }
                _ => classify(&error),
            };
            if let Some(flight) = self.take(port, |flight| flight.syn.sequence == sequence) {
                self.conclude(flight, Instant::now(), outcome);
            }
        }
        outbox.clear();
        self.outbox = outbox;
        if self.turns.is_empty() {
            // After a start, of thousands.
            self.outbox.shrink_to(64);
        }
    }

    /// When [`HalfOpen::take_ended`] has something to say though the network has not.
    pub fn deadline(&self) -> Option<Instant> {
        self.turns.first().map(|(at, ..)| *at)
    }

    /// Until [`HalfOpen::take_ended`] has something to say because of the network.
    pub async fn ready(&self) {
        if !self.ended.is_empty() {
            return;
        }
        let of = async |raw: &Option<Raw>| match raw {
            Some(raw) => raw.ready().await,
            None => std::future::pending().await,
        };
        tokio::select! {
            () = of(&self.v4) => {}
            () = of(&self.v6) => {}
        }
    }

    /// Those that have ended by now.
    pub fn take_ended(&mut self) -> Vec<Ended<A>> {
        let (mut answers, mut errors) = (Vec::new(), Vec::new());
        for raw in [&mut self.v4, &mut self.v6].into_iter().flatten() {
            raw.receive(|answer| answers.push(answer));
            raw.receive_errors(|quote, error| errors.push((quote, error)));
        }
        let now = Instant::now();
        for answer in answers {
            self.answered(now, &answer);
        }
        for (quote, error) in errors {
            self.told(now, &quote, &error);
        }
        self.turn(now);
        std::mem::take(&mut self.ended)
    }

    /// An answer to an earlier probe, or to none, acknowledges another number.
    fn answered(&mut self, now: Instant, answer: &Answer) {
        let is_it = |flight: &Flight<A>| {
            let syn = &flight.syn;
            syn.target == answer.from
                && syn.sequence.wrapping_add(1) == answer.acknowledges
                && answer.to.is_none_or(|to| to == syn.source)
        };
        if let Some(flight) = self.take(answer.port, is_it) {
            let outcome = match answer.refuses {
                true => classify(&Errno::CONNREFUSED.into()),
                false => Outcome::Pass,
            };
            self.conclude(flight, now, outcome);
        }
    }

    fn told(&mut self, now: Instant, quote: &Quote, error: &io::Error) {
        let is_it =
            |flight: &Flight<A>| flight.syn.target == quote.target && flight.syn.sequence == quote.sequence;
        if let Some(flight) = self.take(quote.port, is_it) {
            self.conclude(flight, now, classify(error));
        }
    }

    /// Those that wait for too long end; to those that may wait on, the SYN is sent again.
    fn turn(&mut self, now: Instant) {
        while let Some((_, port, sequence)) = self.turns.first().filter(|(at, ..)| *at <= now).copied() {
            let Some(mut flight) = self.take(port, |flight| flight.syn.sequence == sequence) else {
                self.turns.pop_first();
                continue;
            };
            let end = flight.started + flight.timeout;
            if end <= now {
                let outcome = Outcome::Silent(late(flight.timeout));
                self.conclude(flight, now, outcome);
                continue;
            }
            flight.patience *= 2;
            flight.turn = end.min(now + flight.patience);
            self.turns.insert((flight.turn, port, sequence));
            self.post(&flight.syn, flight.index);
            self.flights[place(port)].push(flight);
        }
        self.flush();
    }

    fn take(&mut self, port: u16, is_it: impl Fn(&Flight<A>) -> bool) -> Option<Flight<A>> {
        let flights = self.flights.get_mut(place(port))?;
        let at = flights.iter().position(is_it)?;
        let flight = flights.swap_remove(at);
        if flights.is_empty() {
            // Most ports have one at a time, and after a start many.
            *flights = Vec::new();
        }
        self.turns.remove(&(flight.turn, port, flight.syn.sequence));
        Some(flight)
    }

    fn conclude(&mut self, flight: Flight<A>, now: Instant, outcome: Outcome) {
        if outcome.failure().is_some() {
            // The next one asks the kernel anew where it begins.
            self.routes.forget_one(flight.syn.target.ip());
        }
        self.ended.push((flight.asker, flight.started, now, outcome));
    }
}

/// Beyond the last one for a port that is none of ours.
fn place(port: u16) -> usize {
    usize::from(port.wrapping_sub(*PROBE_PORTS.start()))
}
