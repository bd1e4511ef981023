//! Places for what goes on at a time. Who comes first is first, also who needs many: nobody is passed for ever. Must not: know what goes on.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub struct Stage {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// The number of who comes next, and of who is let in next.
    comes: u64,
    turn: u64,
}

/// Places that are taken until it is dropped.
#[derive(Debug)]
pub struct Places<'s> {
    stage: &'s Stage,
    number: usize,
}

impl Stage {
    pub const fn new(places: usize) -> Stage {
        Stage {
            state: Mutex::new(State {
                free: places,
                comes: 0,
                turn: 0,
            }),
            changed: Condvar::new(),
        }
    }

    /// Waits for its turn, and then for so many free places.
    pub fn enter(&self, number: usize) -> Places<'_> {
        let mut state = self.state();
        let mine = state.comes;
        state.comes += 1;
        while state.turn != mine || state.free < number {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.turn += 1;
        state.free -= number;
        drop(state);
        self.changed.notify_all();
        Places { stage: self, number }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Places<'_> {
    fn drop(&mut self) {
        self.stage.state().free += self.number;
        self.stage.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_more_are_on_than_there_are_places_and_nobody_is_passed() {
        static STAGE: Stage = Stage::new(4);
        let (on, most, order) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for (place, number) in [2, 2, 4, 1, 1, 1, 3].into_iter().enumerate() {
                let (on, most, order) = (&on, &most, &order);
                scope.spawn(move || {
                    let _places = STAGE.enter(number);
                    order.lock().unwrap().push(place);
                    let now = on.fetch_add(number, Ordering::SeqCst) + number;
                    most.fetch_max(now, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(30));
                    on.fetch_sub(number, Ordering::SeqCst);
                });
                // They come one after the other.
                thread::sleep(Duration::from_millis(5));
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), 4);
        let order = order.into_inner().unwrap();
        assert!(order.iter().position(|place| *place == 2) == Some(2), "{order:?}");
        assert_eq!(order.len(), 7);
    }
}
