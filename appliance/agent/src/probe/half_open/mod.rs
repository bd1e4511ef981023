//! All half-open checks that are under way: a SYN goes out, and SYN-ACK or RST come back, as for connect(). No socket is there to go on,
//! so the kernel answers a SYN-ACK with RST, and the server's program hears nothing (decision 18). To targets that have just passed, SYNs go
//! as frames, past what the kernel does for each packet of its own (decision 27).
//! Must not: decide what a result means, or wait for the network.

mod flights;
mod hops;
mod ports;
mod raw;
mod routes;
mod said;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use lb_core::check::ProbeCookie;
use lb_core::health::Outcome;
use lb_core::model::MacAddress;
use lb_core::ports::{Frame, FramePort};
use lb_core::syn::{Packet, Syn};
use rustix::io::Errno;
use socket2::Domain;

use self::flights::{Flight, Flights};
use self::hops::Hops;
use self::ports::Ports;
use self::raw::Raw;
pub use self::routes::Route;
use self::said::Said;
use self::segment::{Answer, Quote};
use super::{Way, classify, late};

/// A SYN without an answer is sent again after this, and then after twice as long (RFC 6298, as the kernel's own).
const RESEND: Duration = Duration::from_secs(1);

/// `A`: what the one who asks knows a check by.
#[derive(Debug)]
pub struct HalfOpen<A> {
    v4: Option<Raw>,
    v6: Option<Raw>,
    /// `None`: all SYNs go the kernel's way.
    frames: Option<Box<dyn FramePort>>,
    /// Whether answers have to belong to a flow that the kernel knows.
    tracked: bool,
    hops: Hops,
    ports: Ports,
    began: Instant,
    flights: Flights<A>,
    outbox: Vec<Outgoing>,
    ended: Vec<Ended<A>>,
}

/// A check that has ended: who asked, when it began, when it ended, and how.
pub type Ended<A> = (A, Instant, Instant, Outcome);

#[derive(Debug)]
struct Outgoing {
    packet: Packet,
    to: IpAddr,
    index: u32,
    port: u16,
    sequence: u32,
    /// The link and the neighbour of a frame; `None`: it goes the kernel's way.
    frame: Option<(u32, MacAddress)>,
}

impl Outgoing {
    fn as_frame(&self) -> Option<Frame<'_>> {
        self.frame.map(|(index, to)| Frame {
            index,
            to,
            packet: self.packet.bytes(),
        })
    }
}

impl<A> HalfOpen<A> {
    /// Inside of an asynchronous runtime. With what could not be opened, and why. Deadlines are whole [`flights::SLOT`]s from `now`. `cookie`: what
    /// the input filter knows answers by.
    pub fn open(
        now: Instant,
        cookie: ProbeCookie,
        frames: Option<Box<dyn FramePort>>,
    ) -> (HalfOpen<A>, Vec<(&'static str, io::Error)>) {
        let mut faults = Vec::new();
        let mut open = |domain, family| {
            Raw::open(domain)
                .map_err(|error| faults.push((family, error)))
                .ok()
        };
        let half_open = HalfOpen {
            v4: open(Domain::IPV4, "IPv4"),
            v6: open(Domain::IPV6, "IPv6"),
            frames,
            tracked: false,
            hops: Hops::default(),
            ports: Ports::new(cookie),
            began: now,
            flights: Flights::new(now),
            outbox: Vec::new(),
            ended: Vec::new(),
        };
        (half_open, faults)
    }

    /// Ports on which services listen. `tracked`: what comes to our ports and belongs to no flow is a service's.
    pub fn avoid(&mut self, taken: &BTreeSet<u16>, tracked: bool) {
        self.ports.avoid(taken);
        self.tracked = tracked;
    }

    /// Links, addresses or routes have changed: every [`Route`] is to be forgotten as well.
    pub fn forget_hops(&mut self) {
        self.hops.forget();
    }

    /// Begins a check, of which [`HalfOpen::flush`] sends the SYN, by a route that [`Route::of`] has told; gives it back if it cannot
    /// be made in this way.
    pub fn start(
        &mut self,
        now: Instant,
        asker: A,
        target: SocketAddr,
        route: &mut Route,
        timeout: Duration,
    ) -> Result<(), A> {
        let Some(port) = self.free_port(target, route, now).filter(|_| self.speaks(target)) else {
            return Err(asker);
        };
        let syn = Syn {
            source: route.source,
            port,
            target,
            sequence: self.ports.sequence(),
        };
        let hop = self.next_frame(target, route);
        let frame = hop.and_then(|hop| self.through(hop, now));
        self.post(&syn, route.index, frame);
        // There is time left for the kernel's way, should the neighbour be another one by now.
        let patience = match frame {
            Some(_) => RESEND.min(timeout / 2),
            None => RESEND,
        };
        let flight = Flight {
            asker,
            syn,
            index: route.index,
            hop: hop.filter(|_| frame.is_some()),
            started: now,
            timeout,
            patience,
        };
        self.flights.add(flight, now + timeout.min(patience));
        Ok(())
    }

    /// Whether there is a socket for this family.
    pub fn speaks(&self, target: SocketAddr) -> bool {
        let raw = if target.is_ipv4() { &self.v4 } else { &self.v6 };
        raw.is_some()
    }

    /// How a check of this target goes from now on, until links, addresses or routes change.
    pub fn route(&self, way: &Way) -> Result<Route, Outcome> {
        Route::of(way, self.ports.begin(way.target))
    }

    /// The place of the neighbour, if this one may leave as a frame.
    fn next_frame(&mut self, target: SocketAddr, route: &mut Route) -> Option<u16> {
        let frames = self.frames.as_mut().filter(|_| !self.tracked)?;
        let hops = &mut self.hops;
        route.next_frame(|source| hops.place(frames.next_hop(source, target.ip())?))
    }

    fn through(&mut self, hop: u16, now: Instant) -> Option<(u32, MacAddress)> {
        let frames = self.frames.as_mut()?;
        self.hops.at(hop, now, |side, tell| {
            frames.neighbours(side.index, side.is_v4, tell)
        })
    }

    /// The first in the target's order from which nothing is on its way there.
    fn free_port(&self, target: SocketAddr, route: &Route, now: Instant) -> Option<u16> {
        let since = now.saturating_duration_since(self.began);
        let is_free = |port: &u16| !self.flights.any(*port, |flight| flight.syn.target == target);
        self.ports.of(route.begin, since).find(is_free)
    }

    fn post(&mut self, syn: &Syn, index: u32, frame: Option<(u32, MacAddress)>) {
        let packet = syn.packet().expect("a route begins in its target's family");
        self.outbox.push(Outgoing {
            packet,
            to: syn.target.ip(),
            index,
            port: syn.port,
            sequence: syn.sequence,
            frame,
        });
    }

    /// Sends what [`HalfOpen::start`] has begun, with few calls.
    pub fn flush(&mut self) {
        if self.outbox.is_empty() {
            return;
        }
        self.flush_frames();
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
            let Outgoing {
                port, sequence, to, ..
            } = outbox[at];
            let outcome = match Errno::from_io_error(&error) {
                Some(Errno::AGAIN) => {
                    Outcome::CannotCheck("too many checks wait for neighbours that do not answer".to_owned())
                }
                _ => classify(&error),
            };
            let is_it = |flight: &Flight<A>| flight.syn.sequence == sequence && flight.syn.target.ip() == to;
            if let Some(flight) = self.flights.take(port, is_it) {
                self.conclude(flight, Instant::now(), outcome);
            }
        }
        outbox.clear();
        self.outbox = outbox;
        // After a start it was one of thousands.
        self.outbox.shrink_to(64);
    }

    /// What cannot leave as a frame stays, for the kernel's way.
    fn flush_frames(&mut self) {
        let Some(port) = &mut self.frames else {
            return;
        };
        let frames: Vec<Frame<'_>> = self.outbox.iter().filter_map(Outgoing::as_frame).collect();
        let mut left = if frames.is_empty() { 0 } else { port.send(&frames) };
        self.outbox.retain(|out| {
            let has_left = out.frame.is_some() && left > 0;
            left -= usize::from(has_left);
            !has_left
        });
    }

    /// When [`HalfOpen::take_ended`] has something to say though the network has not.
    pub fn deadline(&self) -> Option<Instant> {
        self.flights.next_turn()
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
            raw.receive_errors(|quote, said| errors.push((quote, said)));
        }
        let now = Instant::now();
        for answer in answers {
            self.answered(now, &answer);
        }
        for (quote, said) in errors {
            self.told(now, &quote, &said);
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
        let Some(flight) = self.flights.take(answer.port, is_it) else {
            return;
        };
        match answer.refuses {
            true => self.refused(flight, now, classify(&Errno::CONNREFUSED.into())),
            false => self.conclude(flight, now, Outcome::Pass),
        }
    }

    fn told(&mut self, now: Instant, quote: &Quote, said: &Said) {
        let is_it =
            |flight: &Flight<A>| flight.syn.target == quote.target && flight.syn.sequence == quote.sequence;
        if let Some(flight) = self.flights.take(quote.port, is_it) {
            let outcome = said.outcome(flight.syn.source);
            self.refused(flight, now, outcome);
        }
    }

    /// Whoever answers a frame so may no longer be the one whom the kernel would ask: it asks him itself then.
    fn refused(&mut self, mut flight: Flight<A>, now: Instant, outcome: Outcome) {
        let end = flight.started + flight.timeout;
        match flight.hop.take() {
            Some(hop) if now < end => {
                self.hops.doubt(hop);
                flight.patience = RESEND;
                self.post(&flight.syn, flight.index, None);
                self.flights.add(flight, end.min(now + RESEND));
            }
            _ => self.conclude(flight, now, outcome),
        }
    }

    /// Those that wait for too long end; to those that may wait on, the SYN is sent again.
    fn turn(&mut self, now: Instant) {
        while let Some(mut flight) = self.flights.take_turn(now) {
            let end = flight.started + flight.timeout;
            if end <= now {
                let outcome = Outcome::Silent(late(flight.timeout));
                self.conclude(flight, now, outcome);
                continue;
            }
            match flight.hop.take() {
                Some(hop) => {
                    self.hops.doubt(hop);
                    flight.patience = RESEND;
                }
                None => flight.patience *= 2,
            }
            let turn = end.min(now + flight.patience);
            self.post(&flight.syn, flight.index, None);
            self.flights.add(flight, turn);
        }
        self.flush();
    }

    fn conclude(&mut self, flight: Flight<A>, now: Instant, outcome: Outcome) {
        self.ended.push((flight.asker, flight.started, now, outcome));
    }
}
