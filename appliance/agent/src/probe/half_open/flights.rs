//! The probes that are under way, by the port that they come from, and when it is whose turn. Both cost the same however many there
//! are. Must not: know what an answer means.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lb_core::check::PROBE_PORTS;
use lb_core::syn::Syn;

/// Turns that fall into one of these come together, at its end.
pub const SLOT: Duration = Duration::from_millis(10);
/// So many places are kept when nothing is under way; after a start there were thousands.
const KEPT: usize = 64;
const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub struct Flight<A> {
    pub asker: A,
    pub syn: Syn,
    /// Of the interface that it has to leave through; 0: any.
    pub index: u32,
    /// The place of the neighbour, where the last SYN has left as a frame.
    pub hop: Option<u16>,
    pub started: Instant,
    pub timeout: Duration,
    /// For how long an answer is waited for before the next SYN.
    pub patience: Duration,
}

#[derive(Debug)]
struct Place<A> {
    flight: Option<Flight<A>>,
    /// Which of all it is that have been here.
    number: u32,
    /// The next one from the same port, or the next one that is free.
    next: u32,
}

#[derive(Debug)]
pub struct Flights<A> {
    places: Vec<Place<A>>,
    /// The first one from each port, counted from the first port.
    first: Box<[u32]>,
    free: u32,
    count: usize,
    /// Slots are counted from here.
    epoch: Instant,
    /// Of the last one that was added.
    number: u32,
    /// By slot: where a flight is whose turn it may be, and its number. Those that have ended stay until then.
    turns: BTreeMap<u64, Vec<(u32, u32)>>,
}

impl<A> Flights<A> {
    pub fn new(epoch: Instant) -> Flights<A> {
        Flights {
            places: Vec::new(),
            first: PROBE_PORTS.map(|_| NONE).collect(),
            free: NONE,
            count: 0,
            epoch,
            number: 0,
            turns: BTreeMap::new(),
        }
    }

    /// `turn`: when something is to be done about it.
    pub fn add(&mut self, flight: Flight<A>, turn: Instant) {
        self.number = self.number.wrapping_add(1);
        let number = self.number;
        let Some(first) = self.first.get_mut(offset(flight.syn.port)) else {
            return;
        };
        let at = self.free;
        let place = Place {
            flight: Some(flight),
            number,
            next: *first,
        };
        let at = match self.places.get_mut(at as usize) {
            Some(free) => {
                self.free = free.next;
                *free = place;
                at
            }
            None => {
                self.places.push(place);
                self.places.len() as u32 - 1
            }
        };
        *first = at;
        self.count += 1;
        let since = turn.saturating_duration_since(self.epoch).as_micros();
        let slot = since.div_ceil(SLOT.as_micros()) as u64;
        self.turns.entry(slot).or_default().push((at, number));
    }

    /// Whether one of those from this port is such a one.
    pub fn any(&self, port: u16, is_it: impl Fn(&Flight<A>) -> bool) -> bool {
        let mut at = self.first.get(offset(port)).copied().unwrap_or(NONE);
        while let Some(place) = self.places.get(at as usize) {
            if place.flight.as_ref().is_some_and(&is_it) {
                return true;
            }
            at = place.next;
        }
        false
    }

    /// Takes the one that is meant; it is no longer under way.
    pub fn take(&mut self, port: u16, is_it: impl Fn(&Flight<A>) -> bool) -> Option<Flight<A>> {
        self.take_place(port, |_, flight| is_it(flight))
    }

    /// The same, by where it is as well.
    fn take_place(&mut self, port: u16, is_it: impl Fn(u32, &Flight<A>) -> bool) -> Option<Flight<A>> {
        let mut at = *self.first.get(offset(port))?;
        let mut before = NONE;
        loop {
            let place = self.places.get_mut(at as usize)?;
            if let Some(flight) = place.flight.take_if(|flight| is_it(at, flight)) {
                let next = std::mem::replace(&mut place.next, self.free);
                self.free = at;
                match self.places.get_mut(before as usize) {
                    Some(before) => before.next = next,
                    None => self.first[offset(port)] = next,
                }
                self.count -= 1;
                self.rest();
                return Some(flight);
            }
            (before, at) = (at, place.next);
        }
    }

    /// With nothing under way there is nothing to wait for.
    fn rest(&mut self) {
        if self.count == 0 {
            self.turns.clear();
            if self.places.len() > KEPT {
                (self.places, self.free) = (Vec::new(), NONE);
            }
        }
    }

    /// When it may be somebody's turn.
    pub fn next_turn(&self) -> Option<Instant> {
        let (slot, _) = self.turns.first_key_value()?;
        Some(self.epoch + Duration::from_micros(slot.saturating_mul(SLOT.as_micros() as u64)))
    }

    /// Takes one whose turn has come by now.
    pub fn take_turn(&mut self, now: Instant) -> Option<Flight<A>> {
        while self.next_turn().is_some_and(|at| at <= now) {
            let mut first = self.turns.first_entry()?;
            let Some((at, number)) = first.get_mut().pop() else {
                first.remove();
                continue;
            };
            let place = self
                .places
                .get(at as usize)
                .filter(|place| place.number == number);
            let port = place.and_then(|place| Some(place.flight.as_ref()?.syn.port));
            if let Some(port) = port {
                return self.take_place(port, |place, _| place == at);
            }
        }
        None
    }

    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = &Flight<A>> {
        self.places.iter().filter_map(|place| place.flight.as_ref())
    }
}

/// Beyond the last one for a port that is none of ours.
fn offset(port: u16) -> usize {
    usize::from(port.wrapping_sub(*PROBE_PORTS.start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(number: u32, port: u16, started: Instant) -> Flight<u32> {
        Flight {
            asker: number,
            syn: Syn {
                source: "172.16.0.254".parse().unwrap(),
                port,
                target: "172.16.0.11:80".parse().unwrap(),
                sequence: number,
            },
            index: 0,
            hop: None,
            started,
            timeout: SLOT * 100,
            patience: SLOT * 100,
        }
    }

    fn is(number: u32) -> impl Fn(&Flight<u32>) -> bool {
        move |flight| flight.asker == number
    }

    #[test]
    fn those_from_one_port_are_told_apart_in_any_order() {
        let epoch = Instant::now();
        let mut flights = Flights::new(epoch);
        let port = *PROBE_PORTS.start();
        for round in 0..3 {
            for number in 0..5 {
                flights.add(flight(number, port, epoch), epoch + SLOT);
            }
            flights.add(flight(9, *PROBE_PORTS.end(), epoch), epoch + SLOT);
            for number in [2, 4, 0, 3, 1] {
                assert!(flights.any(port, is(number)) && !flights.any(port + 1, is(number)));
                assert_eq!(flights.take(port, is(number)).unwrap().asker, number, "{round}");
                assert!(!flights.any(port, is(number)) && flights.take(port, is(number)).is_none());
            }
            assert!(flights.next_turn().is_some());
            assert!(flights.take(*PROBE_PORTS.end(), is(9)).is_some());
            assert_eq!(flights.next_turn(), None);
            assert_eq!(flights.places.len(), 6);
        }
        flights.add(flight(1, 80, epoch), epoch);
        assert!(flights.take(80, is(1)).is_none(), "none of our ports");
    }

    #[test]
    fn turns_come_together_and_never_early() {
        let epoch = Instant::now();
        let mut flights = Flights::new(epoch);
        let port = *PROBE_PORTS.start();
        for number in 0..40 {
            let turn = epoch + Duration::from_millis(u64::from(number));
            flights.add(flight(number, port + number as u16, epoch), turn);
        }
        // One has ended, and its place is another's now, which may have drawn the same sequence number.
        flights.take(port + 5, is(5)).unwrap();
        let mut other = flight(50, port + 5, epoch);
        other.syn.sequence = 5;
        flights.add(other, epoch + SLOT * 9);
        let mut now = epoch;
        let mut taken = 0;
        while let Some(at) = flights.next_turn() {
            assert!(at >= now, "{:?}", at - epoch);
            now = at;
            while let Some(flight) = flights.take_turn(now) {
                taken += 1;
                if flight.asker != 50 {
                    let turn = epoch + Duration::from_millis(flight.asker.into());
                    assert!(turn <= now && now < turn + SLOT, "{}", flight.asker);
                }
            }
        }
        assert_eq!((taken, now), (40, epoch + SLOT * 9));
    }

    #[test]
    fn what_thousands_took_is_given_back() {
        let epoch = Instant::now();
        let mut flights = Flights::new(epoch);
        for number in 0..5_000u32 {
            flights.add(
                flight(number, *PROBE_PORTS.start() + (number % 700) as u16, epoch),
                epoch + SLOT,
            );
        }
        while flights.take_turn(epoch + SLOT).is_some() {}
        assert_eq!((flights.places.capacity(), flights.turns.len()), (0, 0));
        flights.add(flight(1, *PROBE_PORTS.start(), epoch), epoch + SLOT);
        assert!(flights.take_turn(epoch + SLOT).is_some());
    }
}
