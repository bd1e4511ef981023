//! Checks that wait for an answer, in the loop's sockets or as tasks: so many at a time, and the others in line. Many are due at once after a start,
//! and each takes memory for as long as it waits. Must not: know what is checked, or start anything.

use std::collections::VecDeque;

/// As many as wait for an answer when 1,000 are begun each second and no server answers within a second.
const AT_ONCE: usize = 1_024;

#[derive(Debug)]
pub struct Crowd<T> {
    under_way: usize,
    in_line: VecDeque<T>,
}

impl<T> Default for Crowd<T> {
    fn default() -> Crowd<T> {
        Crowd {
            under_way: 0,
            in_line: VecDeque::new(),
        }
    }
}

impl<T> Crowd<T> {
    /// Hands the check back if it is to begin now.
    pub fn enter(&mut self, check: T) -> Option<T> {
        if self.under_way < AT_ONCE {
            self.under_way += 1;
            return Some(check);
        }
        self.in_line.push_back(check);
        None
    }

    /// One has ended. The one that is to begin in its place, if there is a line.
    pub fn leave(&mut self) -> Option<T> {
        let next = self.in_line.pop_front();
        if next.is_none() {
            self.under_way = self.under_way.saturating_sub(1);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_first_begins_first_and_nobody_is_forgotten() {
        let mut crowd = Crowd::default();
        let begun = (0..AT_ONCE + 2).filter_map(|check| crowd.enter(check));
        assert_eq!(begun.count(), AT_ONCE);
        assert_eq!((crowd.leave(), crowd.leave()), (Some(AT_ONCE), Some(AT_ONCE + 1)));
        assert_eq!((crowd.leave(), crowd.leave()), (None, None));
        assert_eq!(
            (crowd.enter(7), crowd.enter(8), crowd.enter(9)),
            (Some(7), Some(8), None)
        );
    }
}
