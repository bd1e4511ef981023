//! The MTU that each card had when it was first seen, before anything was set on it: what a card goes back to when lb.toml names no other.
//! The agent keeps it in a file that lasts as long as the machine runs. Must not: remember links that the appliance makes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{IfName, MacAddress};
use crate::observed::ObservedLink;

/// The smallest MTU of an Ethernet link (bytes; ETH_MIN_MTU): no card has less of its own.
const LEAST: u32 = 68;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnMtus(BTreeMap<IfName, Card>);

/// Another card under the same name has another index, and mostly another address of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Card {
    index: u32,
    permanent_mac: Option<MacAddress>,
    mtu: u32,
}

impl Card {
    fn is(&self, link: &ObservedLink) -> bool {
        (self.index, self.permanent_mac) == (link.index, link.permanent_mac)
    }
}

/// A card as the file has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    index: u32,
    permanent_mac: Option<String>,
    mtu: u32,
}

impl OwnMtus {
    /// Takes note of the cards that are seen for the first time; whether there are any. One that is missing is not forgotten: it may
    /// come back as it was left.
    pub fn see(&mut self, links: &BTreeMap<IfName, ObservedLink>) -> bool {
        let mut new = false;
        for (name, link) in links {
            // What is made of others follows them.
            let card = !link.loopback && link.kind.is_none() && link.mtu >= LEAST;
            if !card || self.0.get(name).is_some_and(|known| known.is(link)) {
                continue;
            }
            let card = Card {
                index: link.index,
                permanent_mac: link.permanent_mac,
                mtu: link.mtu,
            };
            self.0.insert(name.clone(), card);
            new = true;
        }
        new
    }

    /// `None`: a card that was not seen before, or no card.
    pub fn of(&self, name: &IfName, link: &ObservedLink) -> Option<u32> {
        let known = self.0.get(name).filter(|known| known.is(link))?;
        Some(known.mtu)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The file's text.
    pub fn written(&self) -> String {
        let entry = |card: &Card| Entry {
            index: card.index,
            permanent_mac: card.permanent_mac.map(|mac| mac.to_string()),
            mtu: card.mtu,
        };
        let file: BTreeMap<&str, Entry> = self
            .0
            .iter()
            .map(|(name, card)| (name.as_str(), entry(card)))
            .collect();
        serde_json::to_string(&file).expect("names, numbers and text have a JSON form")
    }

    /// The error says what is wrong with the file.
    pub fn read(bytes: &[u8]) -> Result<OwnMtus, String> {
        let file: BTreeMap<String, Entry> =
            serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let cards = file.into_iter().map(|(name, entry)| {
            let wrong = |what: String| format!("{name}: {what}");
            if entry.mtu < LEAST {
                return Err(wrong(format!("no card has an MTU of {}", entry.mtu)));
            }
            let mac = entry.permanent_mac.as_deref().map(str::parse).transpose();
            let card = Card {
                index: entry.index,
                permanent_mac: mac.map_err(|error| wrong(format!("{error}")))?,
                mtu: entry.mtu,
            };
            let name = name.parse().map_err(|error| wrong(format!("{error}")))?;
            Ok((name, card))
        });
        cards.collect::<Result<_, String>>().map(OwnMtus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeKernel;
    use crate::link_kind::LinkKind;
    use crate::plan::Step;

    fn name(text: &str) -> IfName {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_sight_counts() {
        let mut kernel = FakeKernel::with_links(&["eth0"]);
        let mut own = OwnMtus::default();
        assert!(own.see(&kernel.state.links));
        let eth0 = name("eth0");
        kernel.state.links.get_mut(&eth0).unwrap().mtu = 1400;
        assert!(!own.see(&kernel.state.links));
        assert_eq!(own.of(&eth0, &kernel.state.links[&eth0]), Some(1500));
        // Not seen for a while: it comes back as it was left.
        let mut without = kernel.state.links.clone();
        without.clear();
        assert!(!own.see(&without) && !own.see(&kernel.state.links));
        assert_eq!(own.of(&eth0, &kernel.state.links[&eth0]), Some(1500));
    }

    #[test]
    fn another_card_under_the_same_name_has_its_own() {
        let mut kernel = FakeKernel::with_links(&["eth0"]);
        let mut own = OwnMtus::default();
        own.see(&kernel.state.links);
        let eth0 = name("eth0");
        let first = kernel.state.links[&eth0].clone();
        for (index, mac) in [
            (9, first.permanent_mac),
            (first.index, "52:54:00:00:00:99".parse().ok()),
        ] {
            let link = kernel.state.links.get_mut(&eth0).unwrap();
            (link.index, link.permanent_mac, link.mtu) = (index, mac, 9000);
            assert_eq!(own.of(&eth0, link), None);
            let mut seen = own.clone();
            assert!(seen.see(&kernel.state.links));
            assert_eq!(seen.of(&eth0, &kernel.state.links[&eth0]), Some(9000));
        }
    }

    /// What a bond lends to a card is not the card.
    #[test]
    fn the_address_in_use_is_no_mark_of_a_card() {
        let mut kernel = FakeKernel::with_links(&["eth0"]);
        let mut own = OwnMtus::default();
        own.see(&kernel.state.links);
        let link = kernel.state.links.get_mut(&name("eth0")).unwrap();
        link.mac = "52:54:00:00:00:77".parse().ok();
        assert_eq!(own.of(&name("eth0"), link), Some(1500));
    }

    #[test]
    fn only_cards_are_remembered() {
        let mut kernel = FakeKernel::with_links(&["eth0", "lo"]);
        kernel.state.links.get_mut(&name("lo")).unwrap().loopback = true;
        let vlan = LinkKind::Vlan {
            parent: name("eth0"),
            id: 1,
        };
        kernel.state.assume(&Step::CreateLink {
            link: name("v1"),
            kind: vlan.into(),
        });
        let mut own = OwnMtus::default();
        own.see(&kernel.state.links);
        let known: Vec<&str> = own.0.keys().map(IfName::as_str).collect();
        assert_eq!(known, ["eth0"]);
    }

    #[test]
    fn the_file_is_read_as_it_was_written() {
        let mut kernel = FakeKernel::with_links(&["eth0", "eth1"]);
        kernel.state.links.get_mut(&name("eth1")).unwrap().permanent_mac = None;
        let mut own = OwnMtus::default();
        own.see(&kernel.state.links);
        let text = own.written();
        assert_eq!(
            text,
            "{\"eth0\":{\"index\":2,\"permanent_mac\":\"52:54:00:00:00:01\",\"mtu\":1500},\
             \"eth1\":{\"index\":3,\"permanent_mac\":null,\"mtu\":1500}}"
        );
        assert_eq!(OwnMtus::read(text.as_bytes()), Ok(own));
        for damaged in [
            &text.as_bytes()[..text.len() / 2],
            b"",
            b"\xff\0",
            b"[]",
            text.replace("1500", "0").as_bytes(),
            text.replace("1500", "-1").as_bytes(),
            text.replace("52:54", "52").as_bytes(),
            text.replace("eth1", "e/h1").as_bytes(),
        ] {
            let read = OwnMtus::read(damaged);
            assert!(read.is_err(), "{}", String::from_utf8_lossy(damaged));
        }
    }
}
