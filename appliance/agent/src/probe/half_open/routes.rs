//! Where a probe begins: the address that the kernel gives to what goes to a target, asked once and kept by who asks; and whether the next
//! one leaves as a frame. Must not: outlive a change of links, addresses or routes; who keeps it is told of them.

use std::net::IpAddr;

use lb_core::health::Outcome;

use crate::probe::Way;

/// Then one goes the kernel's way, and what its route says is asked anew.
const FRAMES_IN_A_ROW: u8 = 15;
/// In the place of a next hop: the kernel was not asked, or there is none.
const UNASKED: u16 = u16::MAX;
const NOWHERE: u16 = u16::MAX - 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub(super) source: IpAddr,
    /// Of the interface that it has to leave through; 0: the kernel chooses.
    pub(super) index: u32,
    /// The target's place in the order of ports.
    pub(super) begin: u16,
    lasts: bool,
    /// So many of the next ones may leave as frames.
    frames: u8,
    /// The place of the neighbour that these go to.
    hop: u16,
}

impl Route {
    /// `begin`: the target's place in the order of ports.
    pub fn of(way: &Way, begin: u16) -> Result<Route, Outcome> {
        let (source, index) = way.begin()?;
        Ok(Route {
            source,
            index,
            begin,
            lasts: way.is_any(),
            frames: 0,
            hop: UNASKED,
        })
    }

    /// Whether the next check may go the same way. With further wishes the kernel says each time whether the address and the interface
    /// are there.
    pub fn lasts(&self) -> bool {
        self.lasts
    }

    /// The place of the neighbour that the next SYN goes to as a frame; `None`: it goes the kernel's way. It is kept only while checks pass,
    /// and the first one after anything else has a new route: so what a frame does was done by the kernel before.
    pub(super) fn next_frame(&mut self, ask: impl FnOnce(IpAddr) -> Option<u16>) -> Option<u16> {
        let Some(left) = self.frames.checked_sub(1).filter(|_| self.lasts) else {
            // Not all at the same time: the first row of each target has a length of its own.
            self.frames = match self.hop {
                UNASKED => 1 + (self.begin % u16::from(FRAMES_IN_A_ROW)) as u8,
                _ => FRAMES_IN_A_ROW,
            };
            self.hop = UNASKED;
            return None;
        };
        self.frames = left;
        if self.hop == UNASKED {
            self.hop = ask(self.source).unwrap_or(NOWHERE);
        }
        Some(self.hop).filter(|hop| *hop != NOWHERE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(lasts: bool, begin: u16) -> Route {
        Route {
            source: [172, 16, 0, 254].into(),
            index: 0,
            begin,
            lasts,
            frames: 0,
            hop: UNASKED,
        }
    }

    #[test]
    fn the_first_and_every_sixteenth_go_the_kernels_way() {
        let (mut kept, mut asked) = (route(true, 14), 0);
        let mut ways = Vec::new();
        for _ in 0..33 {
            let place = kept.next_frame(|_| {
                asked += 1;
                Some(7)
            });
            assert!(place.is_none_or(|place| place == 7));
            ways.push(place.is_none());
        }
        let by_kernel: Vec<usize> = (0..33).filter(|number| ways[*number]).collect();
        assert_eq!((by_kernel, asked), (vec![0, 16, 32], 2));
    }

    #[test]
    fn first_rows_differ_and_none_is_empty() {
        let row = |begin| {
            let mut kept = route(true, begin);
            assert_eq!(kept.next_frame(|_| Some(7)), None);
            std::iter::from_fn(|| kept.next_frame(|_| Some(7))).count()
        };
        let rows: Vec<usize> = (0..30).map(row).collect();
        assert_eq!(rows, (1..=15).chain(1..=15).collect::<Vec<_>>());
    }

    #[test]
    fn without_a_neighbour_or_with_further_wishes_all_do() {
        let (mut nowhere, mut asked) = (route(true, 14), 0);
        let places = (0..32).filter_map(|_| {
            nowhere.next_frame(|_| {
                asked += 1;
                None
            })
        });
        assert_eq!(places.count(), 0);
        assert_eq!(asked, 2);
        let mut wished = route(false, 14);
        assert!((0..32).all(|_| wished.next_frame(|_| Some(7)).is_none()));
    }
}
