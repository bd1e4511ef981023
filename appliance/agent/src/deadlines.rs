//! Places in the order of their deadlines: a binary heap that knows where each place stands in it, so that one that changes
//! is found at once. A place takes eight bytes here; its deadline is asked for where it is kept anyhow.
//! Must not: read the clock, or know what is due.

use std::cmp::Ordering;

/// Of a place that stands nowhere.
const ABSENT: u32 = u32::MAX;

#[derive(Debug, Clone, Default)]
pub struct Deadlines {
    /// None is later than the two at twice its position and one or two more.
    heap: Vec<u32>,
    /// By place: where it stands in the heap.
    positions: Vec<u32>,
}

impl Deadlines {
    /// The place whose deadline is the earliest.
    pub fn first(&self) -> Option<u32> {
        self.heap.first().copied()
    }

    /// The deadline of a place may be another now. `when` tells that of each; `None`: there is nothing to wait for.
    pub fn changed<T: Ord>(&mut self, place: u32, when: impl Fn(u32) -> Option<T>) {
        let order = |a: u32, b: u32| (when(a), a).cmp(&(when(b), b));
        match (self.position(place), when(place)) {
            (None, None) => {}
            (None, Some(_)) => {
                self.heap.push(place);
                self.stands(self.heap.len() - 1);
                self.rise(self.heap.len() - 1, &order);
            }
            (Some(at), Some(_)) => {
                self.rise(at, &order);
                self.sink(at, &order);
            }
            (Some(at), None) => self.remove(at, &order),
        }
    }

    fn remove(&mut self, at: usize, order: &impl Fn(u32, u32) -> Ordering) {
        let gone = self.heap.swap_remove(at);
        self.positions[gone as usize] = ABSENT;
        if at < self.heap.len() {
            self.stands(at);
            self.rise(at, order);
            self.sink(at, order);
        }
    }

    fn position(&self, place: u32) -> Option<usize> {
        let position = self.positions.get(place as usize);
        position.filter(|at| **at != ABSENT).map(|at| *at as usize)
    }

    /// Notes where the place stands that is at this position.
    fn stands(&mut self, at: usize) {
        let place = self.heap[at] as usize;
        if place >= self.positions.len() {
            self.positions.resize(place + 1, ABSENT);
        }
        self.positions[place] = u32::try_from(at).unwrap_or(ABSENT);
    }

    fn exchange(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.stands(a);
        self.stands(b);
    }

    fn rise(&mut self, mut at: usize, order: &impl Fn(u32, u32) -> Ordering) {
        while at > 0 {
            let above = (at - 1) / 2;
            if order(self.heap[above], self.heap[at]).is_le() {
                return;
            }
            self.exchange(above, at);
            at = above;
        }
    }

    fn sink(&mut self, mut at: usize, order: &impl Fn(u32, u32) -> Ordering) {
        loop {
            let below = [2 * at + 1, 2 * at + 2].into_iter();
            let below = below.filter(|child| *child < self.heap.len());
            let earliest = below.min_by(|a, b| order(self.heap[*a], self.heap[*b]));
            let Some(child) = earliest.filter(|child| order(self.heap[*child], self.heap[at]).is_lt()) else {
                return;
            };
            self.exchange(at, child);
            at = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_is_always_the_earliest(
            changes in prop::collection::vec((0u32..40, prop::option::of(0u8..20)), 0..200),
        ) {
            let mut when = [None; 40];
            let mut deadlines = Deadlines::default();
            for (place, deadline) in changes {
                when[place as usize] = deadline;
                deadlines.changed(place, |place| when[place as usize]);
                let earliest = (0..40).filter(|place| when[*place as usize].is_some());
                let earliest = earliest.min_by_key(|place| (when[*place as usize], *place));
                prop_assert_eq!(deadlines.first(), earliest);
            }
            // One after the other they come in order.
            let mut last = None;
            while let Some(first) = deadlines.first() {
                prop_assert!(last <= when[first as usize]);
                last = when[first as usize].take();
                deadlines.changed(first, |place| when[place as usize]);
            }
            prop_assert!(when.iter().all(Option::is_none));
        }
    }
}
