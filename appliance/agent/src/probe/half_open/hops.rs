//! The neighbours through which SYNs leave as frames: what the kernel says of them, one look for all on a link, which is believed for a
//! short time. Must not: ask by itself, or outlive a change of links, addresses or routes; who keeps a place is told of them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use lb_core::model::MacAddress;
use lb_core::ports::NextHop;

/// A neighbour that has another card since then is found out by the SYN that is sent again.
const BELIEVED: Duration = Duration::from_secs(10);
/// Whom a look has not found may be there a moment later; but thousands of them are not looked for one by one.
const AGAIN: Duration = Duration::from_secs(1);
/// The kernel keeps fewer neighbours than this.
const MOST: usize = 4_096;

#[derive(Debug, Default)]
pub struct Hops {
    known: Vec<Known>,
    places: BTreeMap<NextHop, u16>,
    looked: BTreeMap<Side, Instant>,
}

/// The neighbours of one family on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Side {
    pub index: u32,
    pub is_v4: bool,
}

impl From<NextHop> for Side {
    fn from(hop: NextHop) -> Side {
        Side {
            index: hop.index,
            is_v4: hop.address.is_ipv4(),
        }
    }
}

#[derive(Debug)]
struct Known {
    hop: NextHop,
    /// With the time until which it is believed.
    address: Option<(MacAddress, Instant)>,
}

impl Known {
    fn at(&self, now: Instant) -> Option<(u32, MacAddress)> {
        let believed = self.address.filter(|(_, until)| now < *until);
        believed.map(|(address, _)| (self.hop.index, address))
    }
}

impl Hops {
    /// Where what is known of this one is found. `None`: there are too many.
    pub fn place(&mut self, hop: NextHop) -> Option<u16> {
        if let Some(place) = self.places.get(&hop) {
            return Some(*place);
        }
        let place = u16::try_from(self.known.len()).ok();
        let place = place.filter(|place| usize::from(*place) < MOST)?;
        self.known.push(Known { hop, address: None });
        self.places.insert(hop, place);
        Some(place)
    }

    /// The link, and the address on it. `look` tells of all neighbours there are: for one that is not known, or no longer.
    pub fn at(
        &mut self,
        place: u16,
        now: Instant,
        look: impl FnOnce(Side, &mut dyn FnMut(IpAddr, MacAddress)),
    ) -> Option<(u32, MacAddress)> {
        let known = self.known.get(usize::from(place))?;
        let (side, believed) = (Side::from(known.hop), known.at(now));
        if believed.is_some() {
            return believed;
        }
        self.look(side, now, look);
        self.known.get(usize::from(place))?.at(now)
    }

    fn look(
        &mut self,
        side: Side,
        now: Instant,
        look: impl FnOnce(Side, &mut dyn FnMut(IpAddr, MacAddress)),
    ) {
        let last = self.looked.get(&side);
        if last.is_some_and(|last| now < *last + AGAIN) {
            return;
        }
        self.looked.insert(side, now);
        let beside = |known: &&mut Known| Side::from(known.hop) == side;
        self.known
            .iter_mut()
            .filter(beside)
            .for_each(|known| known.address = None);
        look(side, &mut |address, ethernet| {
            let index = side.index;
            let place = self.places.get(&NextHop { index, address });
            if let Some(known) = place.and_then(|place| self.known.get_mut(usize::from(*place))) {
                known.address = Some((ethernet, now + BELIEVED));
            }
        });
    }

    /// What left this way had no answer.
    pub fn doubt(&mut self, place: u16) {
        if let Some(known) = self.known.get_mut(usize::from(place)) {
            known.address = None;
        }
    }

    /// All places are others' from now on.
    pub fn forget(&mut self) {
        *self = Hops::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
    const OTHER: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);

    fn hop(last: u8) -> NextHop {
        NextHop {
            index: 2,
            address: [172, 16, 0, last].into(),
        }
    }

    /// Asks for this one while the kernel knows those; and whether the kernel was asked.
    fn at(
        hops: &mut Hops,
        place: u16,
        now: Instant,
        knows: &[(u8, MacAddress)],
    ) -> (Option<MacAddress>, bool) {
        let mut looked = false;
        let found = hops.at(place, now, |side, tell| {
            looked = true;
            assert_eq!(side, Side::from(hop(0)));
            knows
                .iter()
                .for_each(|(last, mac)| tell(hop(*last).address, *mac));
        });
        (found.map(|(index, mac)| (assert_eq!(index, 2), mac).1), looked)
    }

    #[test]
    fn what_the_kernel_says_is_believed_for_ten_seconds_and_not_after_silence() {
        let (mut hops, start) = (Hops::default(), Instant::now());
        let place = hops.place(hop(11)).unwrap();
        assert_eq!(at(&mut hops, place, start, &[(11, ONE)]), (Some(ONE), true));
        let late = start + BELIEVED;
        let before = late - Duration::from_millis(1);
        assert_eq!(at(&mut hops, place, before, &[]), (Some(ONE), false));
        assert_eq!(at(&mut hops, place, late, &[(11, OTHER)]), (Some(OTHER), true));
        // What was said before the silence does not count after it.
        hops.doubt(place);
        assert_eq!(at(&mut hops, place, late, &[(11, ONE)]), (None, false));
        assert_eq!(
            at(&mut hops, place, late + AGAIN, &[(11, ONE)]),
            (Some(ONE), true)
        );
        assert_eq!(at(&mut hops, place, late + AGAIN + BELIEVED, &[]), (None, true));
    }

    #[test]
    fn one_look_is_for_all_and_there_is_one_a_second() {
        let (mut hops, start) = (Hops::default(), Instant::now());
        let places = [11, 12, 13].map(|last| hops.place(hop(last)).unwrap());
        let both = [(11, ONE), (12, OTHER), (99, ONE)];
        assert_eq!(at(&mut hops, places[0], start, &both), (Some(ONE), true));
        assert_eq!(at(&mut hops, places[1], start, &[]), (Some(OTHER), false));
        let soon = start + AGAIN - Duration::from_millis(1);
        assert_eq!(at(&mut hops, places[2], soon, &[(13, ONE)]), (None, false));
        // Those whom the kernel no longer knows are forgotten by every look.
        let now = start + AGAIN;
        assert_eq!(
            at(&mut hops, places[2], now, &[(13, ONE), (12, ONE)]),
            (Some(ONE), true)
        );
        assert_eq!(at(&mut hops, places[1], now, &[]), (Some(ONE), false));
        assert_eq!(at(&mut hops, places[0], now, &[]), (None, false));
    }

    #[test]
    fn the_other_family_and_other_links_are_looked_at_by_themselves() {
        let (mut hops, start) = (Hops::default(), Instant::now());
        let six = NextHop {
            index: 2,
            address: "fe80::1".parse().unwrap(),
        };
        let beside = NextHop { index: 3, ..hop(11) };
        for hop in [hop(11), six, beside] {
            let place = hops.place(hop).unwrap();
            let found = hops.at(place, start, |side, tell| {
                assert_eq!(side, Side::from(hop));
                tell(hop.address, ONE);
            });
            assert_eq!(found, Some((hop.index, ONE)));
        }
    }

    #[test]
    fn each_neighbour_has_one_place_until_all_are_forgotten() {
        let mut hops = Hops::default();
        assert_eq!(hops.place(hop(11)), Some(0));
        assert_eq!(hops.place(hop(12)), Some(1));
        assert_eq!(hops.place(hop(11)), Some(0));
        hops.forget();
        assert_eq!(at(&mut hops, 0, Instant::now(), &[(11, ONE)]), (None, false));
        assert_eq!(hops.place(hop(12)), Some(0));
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let mut hops = Hops::default();
        let places = (0..10_000).map(|index| {
            let address = [172, 16, 0, 11].into();
            hops.place(NextHop { index, address })
        });
        assert_eq!(places.flatten().count(), MOST);
    }
}
