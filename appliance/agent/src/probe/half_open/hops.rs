//! The neighbours through which SYNs leave as frames: what the kernel says of each, which is believed for a short time.
//! Must not: ask by itself, or outlive a change of links, addresses or routes; who keeps a place is told of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lb_core::model::MacAddress;
use lb_core::ports::NextHop;

/// A neighbour that has another card since then is found out by the SYN that is sent again.
const BELIEVED: Duration = Duration::from_secs(10);
/// The kernel keeps fewer neighbours than this.
const MOST: usize = 4_096;

#[derive(Debug, Default)]
pub struct Hops {
    known: Vec<Known>,
    places: BTreeMap<NextHop, u16>,
}

#[derive(Debug)]
struct Known {
    hop: NextHop,
    /// With the time until which it is believed.
    address: Option<(MacAddress, Instant)>,
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

    /// The link, and the address on it; `ask` is for what is not known, or no longer.
    pub fn at(
        &mut self,
        place: u16,
        now: Instant,
        ask: impl FnOnce(&NextHop) -> Option<MacAddress>,
    ) -> Option<(u32, MacAddress)> {
        let known = self.known.get_mut(usize::from(place))?;
        known.address = known.address.filter(|(_, until)| now < *until);
        if known.address.is_none() {
            known.address = ask(&known.hop).map(|address| (address, now + BELIEVED));
        }
        known.address.map(|(address, _)| (known.hop.index, address))
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

    fn hop(last: u8) -> NextHop {
        NextHop {
            index: 2,
            address: [172, 16, 0, last].into(),
        }
    }

    #[test]
    fn what_the_kernel_says_is_believed_for_ten_seconds_and_not_after_silence() {
        let (mut hops, start) = (Hops::default(), Instant::now());
        let [one, other] = [MacAddress([2, 0, 0, 0, 0, 1]), MacAddress([2, 0, 0, 0, 0, 2])];
        let place = hops.place(hop(11)).unwrap();
        assert_eq!(hops.at(place, start, |_| None), None);
        assert_eq!(hops.at(place, start, |_| Some(one)), Some((2, one)));
        let late = start + BELIEVED;
        let before = late - Duration::from_millis(1);
        assert_eq!(hops.at(place, before, |_| Some(other)), Some((2, one)));
        assert_eq!(hops.at(place, late, |_| Some(other)), Some((2, other)));
        hops.doubt(place);
        assert_eq!(hops.at(place, late, |_| Some(one)), Some((2, one)));
        assert_eq!(hops.at(place, late + BELIEVED, |_| None), None);
    }

    #[test]
    fn each_neighbour_has_one_place_until_all_are_forgotten() {
        let mut hops = Hops::default();
        assert_eq!(hops.place(hop(11)), Some(0));
        assert_eq!(hops.place(hop(12)), Some(1));
        assert_eq!(hops.place(hop(11)), Some(0));
        hops.forget();
        assert_eq!(hops.at(0, Instant::now(), |_| Some(MacAddress([2; 6]))), None);
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
