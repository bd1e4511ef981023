//! Places in the order of their deadlines: a binary heap that knows where each place stands in it, so that one that changes
//! is found at once. 20 bytes a place, side by side: each check leaves this order and comes back to it.
//! Must not: read the clock, or know what is due.

use std::time::{Duration, Instant};

/// Of a place that stands nowhere.
const ABSENT: u32 = u32::MAX;

#[derive(Debug, Clone, Default)]
pub struct Deadlines {
    /// Moments are counted from the first deadline that there was.
    epoch: Option<Instant>,
    /// Moments in nanoseconds, and places. None is later than the two at twice its position and one or two more.
    heap: Vec<(i64, u32)>,
    /// By place: where it stands in the heap.
    positions: Vec<u32>,
}

impl Deadlines {
    /// The place whose deadline is the earliest.
    pub fn first(&self) -> Option<u32> {
        self.heap.first().map(|(_, place)| *place)
    }

    /// The deadline of a place is this from now on; `None`: there is nothing to wait for.
    pub fn change(&mut self, place: u32, deadline: Option<Instant>) {
        let moment = deadline.map(|at| self.moment(at));
        match (self.position(place), moment) {
            (None, None) => {}
            (None, Some(moment)) => {
                self.heap.push((moment, place));
                self.settle(self.heap.len() - 1);
            }
            (Some(at), Some(moment)) => {
                self.heap[at].0 = moment;
                self.settle(at);
            }
            (Some(at), None) => {
                self.heap.swap_remove(at);
                self.positions[place as usize] = ABSENT;
                if at < self.heap.len() {
                    self.settle(at);
                }
            }
        }
    }

    /// 63 bits of nanoseconds are 292 years.
    fn moment(&mut self, at: Instant) -> i64 {
        let epoch = *self.epoch.get_or_insert(at);
        let nanos = |span: Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
        match at.checked_duration_since(epoch) {
            Some(after) => nanos(after),
            None => -nanos(epoch.saturating_duration_since(at)),
        }
    }

    fn position(&self, place: u32) -> Option<usize> {
        let position = self.positions.get(place as usize);
        position.filter(|at| **at != ABSENT).map(|at| *at as usize)
    }

    /// Puts one at this position, and notes where it stands.
    fn put(&mut self, at: usize, entry: (i64, u32)) {
        let place = entry.1 as usize;
        if place >= self.positions.len() {
            self.positions.resize(place + 1, ABSENT);
        }
        self.positions[place] = u32::try_from(at).unwrap_or(ABSENT);
        self.heap[at] = entry;
    }

    /// What is at this position may belong further up or down: those on its way make room, and each is moved once.
    fn settle(&mut self, mut at: usize) {
        let entry = self.heap[at];
        while at > 0 {
            let above = self.heap[(at - 1) / 2];
            if entry >= above {
                break;
            }
            self.put(at, above);
            at = (at - 1) / 2;
        }
        let mut below = 2 * at + 1;
        while below < self.heap.len() {
            let mut next = self.heap[below];
            if let Some(other) = self.heap.get(below + 1).filter(|other| **other < next) {
                (below, next) = (below + 1, *other);
            }
            if entry <= next {
                break;
            }
            self.put(at, next);
            at = below;
            below = 2 * at + 1;
        }
        self.put(at, entry);
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
            let start = Instant::now();
            let mut when: [Option<Instant>; 40] = [None; 40];
            let mut deadlines = Deadlines::default();
            for (place, deadline) in changes {
                // The first deadline is not always the earliest.
                when[place as usize] = deadline.map(|seconds| start + Duration::from_secs(seconds.into()));
                deadlines.change(place, when[place as usize]);
                let earliest = (0..40).filter(|place| when[*place as usize].is_some());
                let earliest = earliest.min_by_key(|place| (when[*place as usize], *place));
                prop_assert_eq!(deadlines.first(), earliest);
            }
            // One after the other they come in order.
            let mut last = None;
            while let Some(first) = deadlines.first() {
                prop_assert!(last <= when[first as usize]);
                last = when[first as usize].take();
                deadlines.change(first, None);
            }
            prop_assert!(when.iter().all(Option::is_none));
        }
    }
}
