//! A card as somebody has to know it who is to choose one: by its name, its address, and whether it has a cable.
//! Must not: ask the kernel.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    pub name: String,
    pub mac: Option<String>,
    /// In a word: `up`, `no-carrier`, `down`.
    pub state: String,
    /// As the kernel says it, in words; virtual ones mostly do not.
    pub speed: Option<String>,
}

impl Card {
    pub fn has_cable(&self) -> bool {
        self.state == "up"
    }

    /// `cable, 1 Gbit/s`.
    pub fn cable(&self) -> String {
        match (self.state.as_str(), &self.speed) {
            ("up", Some(speed)) => format!("cable, {speed}"),
            ("up", None) => "cable".to_owned(),
            ("no-carrier", _) => "no cable, or nobody at its other end".to_owned(),
            ("down", _) => "off until lb.toml names it".to_owned(),
            (other, _) => other.to_owned(),
        }
    }
}

/// What is offered: the first one with a cable among those that are not `taken`; else the first of these; else the first of all.
pub fn offered(cards: &[Card], taken: Option<&str>) -> Option<String> {
    let free = || cards.iter().filter(|card| Some(card.name.as_str()) != taken);
    let card = free().find(|card| card.has_cable());
    let card = card.or_else(|| free().next()).or_else(|| cards.first());
    card.map(|card| card.name.clone())
}

/// The places of those that are to be shown again: whose cable has come or gone; all, when there are others than before.
pub fn changed(before: &[Card], now: &[Card]) -> Vec<usize> {
    let same = before.len() == now.len() && before.iter().zip(now).all(|(one, other)| one.name == other.name);
    let differs = |place: &usize| !same || before[*place].cable() != now[*place].cable();
    (0..now.len()).filter(differs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(name: &str, state: &str) -> Card {
        Card {
            name: name.to_owned(),
            mac: None,
            state: state.to_owned(),
            speed: None,
        }
    }

    #[test]
    fn a_card_with_a_cable_is_offered_before_one_without() {
        let cards = [card("eth0", "no-carrier"), card("eth1", "up"), card("eth2", "up")];
        assert_eq!(offered(&cards, None).as_deref(), Some("eth1"));
        assert_eq!(offered(&cards, Some("eth1")).as_deref(), Some("eth2"));
        assert_eq!(offered(&cards[..2], Some("eth1")).as_deref(), Some("eth0"));
        assert_eq!(offered(&cards[..1], Some("eth0")).as_deref(), Some("eth0"));
        assert_eq!(offered(&[], None), None);
    }

    #[test]
    fn what_has_changed_is_shown_again() {
        let before = [card("eth0", "no-carrier"), card("eth1", "up")];
        let mut now = before.clone();
        assert!(changed(&before, &now).is_empty());
        now[0].state = "up".to_owned();
        assert_eq!(changed(&before, &now), [0]);
        now[0].speed = Some("1 Gbit/s".to_owned());
        assert_eq!(now[0].cable(), "cable, 1 Gbit/s");
        // Their numbers have moved.
        assert_eq!(changed(&before, &now[1..]), [0]);
        let three = [before[0].clone(), card("eth0a", "up"), before[1].clone()];
        assert_eq!(changed(&before, &three), [0, 1, 2]);
    }
}
