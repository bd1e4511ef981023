//! How the largest packet of a link changes, also where the file's key does not: a link without one follows its card or other links.
//! Must not: work out what a link has without a key (that is `desired`).

use crate::config::{Config, Interface, InterfaceKind};
use crate::control::{ChangeReport, Sign};

pub(super) struct Link {
    /// The file's key.
    key: Option<u32>,
    /// What the link has, in bytes.
    bytes: Option<u32>,
    /// Whose it is where there is no key.
    whose: String,
}

impl Link {
    pub fn of(interface: &Interface, config: &Config, bytes: Option<u32>) -> Link {
        let mut others = config.interfaces.iter();
        let master = others.find(|other| other.kind.members().contains(&interface.label));
        let whose = match (&interface.kind, master) {
            (InterfaceKind::Vlan(vlan), _) => format!("that of {}", vlan.link),
            (_, Some(master)) if master.mtu.is_some() || matches!(master.kind, InterfaceKind::Bond(_)) => {
                format!("that of {}", master.label)
            }
            (InterfaceKind::Bridge(_), _) => "the smallest of its links".to_owned(),
            (InterfaceKind::Bond(_), _) => "a bond's own".to_owned(),
            (InterfaceKind::Card, _) => "the link's own".to_owned(),
        };
        Link {
            key: interface.mtu,
            bytes: interface.mtu.or(bytes),
            whose,
        }
    }

    fn shown(&self) -> String {
        match (self.key, self.bytes) {
            (Some(bytes), _) => format!("{bytes} bytes"),
            (None, Some(bytes)) => format!("{bytes} bytes, {}", self.whose),
            (None, None) => self.whose.clone(),
        }
    }
}

pub(super) fn change(label: &str, old: &Link, new: &Link) -> Option<ChangeReport> {
    let known = old.bytes.zip(new.bytes);
    if old.key == new.key && known.is_none_or(|(before, after)| before == after) {
        return None;
    }
    let cost = match known {
        Some((before, after)) if before == after => "the link stays as it is",
        Some((before, after)) if before > after => {
            "packets may be lost for a moment; who sends larger ones learns of it by ICMP, and hangs where that is filtered"
        }
        Some(_) => {
            "packets may be lost for a moment; a neighbour on that link that takes less does not get larger ones"
        }
        None => "packets may be lost for a moment",
    };
    Some(ChangeReport {
        sign: Sign::Changed,
        text: format!("mtu of {label} {} -> {}: {cost}", old.shown(), new.shown()),
    })
}
