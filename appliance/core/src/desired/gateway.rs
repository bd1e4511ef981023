//! The gateway's rules: whose address connections take, and how long their segments may be.
//! Must not: know services.

use crate::config::{Interface, Masquerade, MssClamp};
use crate::model::IfName;
use crate::ruleset::{Family, Lent, Rule, Way};

/// The rules of one entry of the file: one, or for a pool with gaps one for each address.
pub fn masquerade_rules(masquerade: &Masquerade, out: &IfName) -> Vec<Rule> {
    let rule = |to| Rule::Masquerade {
        from: masquerade.from,
        out: out.clone(),
        to,
    };
    Lent::among(&masquerade.to).into_iter().map(rule).collect()
}

/// Both ends of a connection learn of the limit from the other's first packet: one of the two arrives through the interface,
/// the other leaves through it.
pub(super) fn clamps(interface: &Interface, link: &IfName, mtu: Option<u32>, way: Way) -> Vec<Rule> {
    let clamp = |family: Family| {
        let bytes = match interface.mss_clamp? {
            MssClamp::Bytes(bytes) => bytes,
            MssClamp::Mtu => u16::try_from(mtu?.saturating_sub(family.headers())).unwrap_or(u16::MAX),
        };
        Some(Rule::ClampMss {
            link: link.clone(),
            way,
            family,
            bytes,
        })
    };
    Family::ALL.into_iter().filter_map(clamp).collect()
}
