//! `vlan`, `bond` and `bridge` of an interface: what one of them says by itself.
//! Must not: know the other interfaces; `stack` judges how they fit together.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;

use super::fault::{Wrong, quoted};
use super::model::{Bond, Bridge, InterfaceKind, Vlan};
use super::reader::{Reader, Section, Value};
use super::{shape, time};
use crate::link_kind::{BondMode, LacpRate, XmitHashPolicy};
use crate::model::MacAddress;

/// IEEE 802.1Q: 0 is no VLAN, and 4095 is reserved.
pub(super) const VLAN_IDS: RangeInclusive<u32> = 1..=4094;
/// Shorter costs more than it finds; longer loses what the bond is there to save.
pub(super) const MIIMON: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(10);
pub(super) const MIIMON_DEFAULT: Duration = Duration::from_millis(100);
/// BR_MIN_FORWARD_DELAY and BR_MAX_FORWARD_DELAY.
pub(super) const FORWARD_DELAY: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(30);
/// IEEE 802.1D.
pub(super) const FORWARD_DELAY_DEFAULT: Duration = Duration::from_secs(15);
pub(super) const BOND_MODE: BondMode = BondMode::ActiveBackup;
pub(super) const LACP_RATE: LacpRate = LacpRate::Slow;
pub(super) const XMIT_HASH_POLICY: XmitHashPolicy = XmitHashPolicy::Layer34;

const VLAN_WRITTEN: &str = "write vlan = { link = \"eth0\", id = 100 }";
const BOND_WRITTEN: &str = "write bond = { links = [\"eth0\", \"eth1\"] }";
const BRIDGE_WRITTEN: &str = "write bridge = { links = [\"eth0\", \"eth1\"] }";

/// What one interface says of the links below it.
#[derive(Debug)]
pub(super) struct Below {
    pub kind: InterfaceKind,
    /// Where each of `kind.below()` stands.
    pub spans: Vec<Range<usize>>,
    /// Where the VLAN's id stands.
    pub id: Option<Range<usize>>,
    pub primary: Option<Range<usize>>,
    /// What a bond's or bridge's link cannot have: the first such key.
    pub own: Option<(&'static str, Range<usize>)>,
    pub mtu: Option<Spanned<u32>>,
    /// What needs IPv6 on it: an address, or a next hop.
    pub six: Option<String>,
}

impl Below {
    pub fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Below {
        let mut below = Below {
            kind: InterfaceKind::Card,
            spans: Vec::new(),
            id: None,
            primary: None,
            own: None,
            mtu: None,
            six: None,
        };
        let [vlan, bond, bridge] = ["vlan", "bond", "bridge"].map(|key| section.value(key));
        let made: Vec<Value<'_, '_>> = [vlan, bond, bridge].into_iter().flatten().collect();
        if let [_, second, ..] = made.as_slice() {
            let help =
                "an interface is one of `vlan`, `bond` and `bridge`; give each an [[interface]] of its own";
            let first = made[0].key;
            let message = format!("`{}` beside `{first}` in one interface", second.key);
            reader.fault(second.span(), message, help);
        }
        if let (Some(made), Some(at)) = (made.first(), section.key_span("match")) {
            let help = "`match` finds a network card; remove it, and name the new link with `name`";
            reader.fault(at, format!("`match` beside `{}`", made.key), help);
        }
        if let Some(value) = vlan {
            below.vlan(reader, value);
        } else if let Some(value) = bond {
            below.bond(reader, value);
        } else if let Some(value) = bridge {
            below.bridge(reader, value);
        }
        below
    }

    fn vlan(&mut self, reader: &mut Reader<'_>, value: Value<'_, '_>) {
        let Some(section) = reader.table(value, &shape::VLAN, VLAN_WRITTEN) else {
            return;
        };
        let link = reader
            .required(&section, "link", VLAN_WRITTEN)
            .and_then(|value| label(reader, value));
        let id = reader
            .required(&section, "id", VLAN_WRITTEN)
            .and_then(|value| reader.integer(value, VLAN_IDS));
        if let (Some((link, span)), Some(id)) = (link, id) {
            self.spans.push(span);
            self.id = Some(id.span());
            // VLAN_IDS are 12 bits.
            let id = u16::try_from(id.into_inner()).unwrap_or_default();
            self.kind = InterfaceKind::Vlan(Vlan { link, id });
        }
    }

    fn bond(&mut self, reader: &mut Reader<'_>, value: Value<'_, '_>) {
        let Some(section) = reader.table(value, &shape::BOND, BOND_WRITTEN) else {
            return;
        };
        let links = self.links(reader, &section, BOND_WRITTEN);
        let mode = reader.word_or(section.value("mode"), BOND_MODE, BondMode::WORDS, &[]);
        let miimon = match section.value("miimon") {
            Some(value) => milliseconds(reader, value),
            None => Some(MIIMON_DEFAULT),
        };
        let primary = section.value("primary").and_then(|value| label(reader, value));
        let rate = section
            .value("lacp_rate")
            .and_then(|value| reader.word::<LacpRate>(value, LacpRate::WORDS, &[]));
        let policy = section
            .value("xmit_hash_policy")
            .and_then(|value| reader.word::<XmitHashPolicy>(value, XmitHashPolicy::WORDS, &[]));
        let Some(mode) = mode else { return };
        for (key, fits, modes) in [
            (
                "primary",
                mode.has_primary(),
                "active-backup, balance-tlb and balance-alb",
            ),
            ("lacp_rate", mode == BondMode::Lacp, "802.3ad"),
            ("xmit_hash_policy", mode.has_hash(), "balance-xor and 802.3ad"),
        ] {
            if let Some(at) = section.key_span(key).filter(|_| !fits) {
                let help = format!("it is for {modes}; remove it, or choose such a mode");
                reader.fault(at, format!("`{key}` has no meaning in mode {mode}"), help);
            }
        }
        if let Some((primary, span)) = &primary
            && !links.contains(primary)
            && mode.has_primary()
            && !links.is_empty()
        {
            let help = format!("one of the bond's links: {}", links.join(", "));
            reader.fault(
                span.clone(),
                format!("{} is no link of this bond", quoted(primary)),
                help,
            );
        }
        self.primary = primary.as_ref().map(|(_, span)| span.clone());
        self.kind = InterfaceKind::Bond(Bond {
            links,
            mode,
            miimon: miimon.unwrap_or(MIIMON_DEFAULT),
            primary: primary.map(|(primary, _)| primary),
            lacp_rate: default_for(mode == BondMode::Lacp, rate, LACP_RATE),
            xmit_hash_policy: default_for(mode.has_hash(), policy, XMIT_HASH_POLICY),
        });
    }

    fn bridge(&mut self, reader: &mut Reader<'_>, value: Value<'_, '_>) {
        let Some(section) = reader.table(value, &shape::BRIDGE, BRIDGE_WRITTEN) else {
            return;
        };
        let links = self.links(reader, &section, BRIDGE_WRITTEN);
        let stp = section.value("stp").and_then(|value| {
            reader.leaf::<bool>(value, |value| value.mismatch("true or false", "write stp = true"))
        });
        let stp = stp.is_some_and(Spanned::into_inner);
        let delay = section.value("forward_delay").and_then(|value| {
            let seconds = time::whole_seconds(reader, value, &FORWARD_DELAY)?;
            Some(Duration::from_secs(seconds.into()))
        });
        if let Some(at) = section.key_span("forward_delay").filter(|_| !stp) {
            let help = "without STP a port forwards at once; remove it, or add stp = true";
            reader.fault(at, "`forward_delay` has no meaning without `stp`", help);
        }
        self.kind = InterfaceKind::Bridge(Bridge {
            links,
            stp,
            forward_delay: stp.then(|| delay.unwrap_or(FORWARD_DELAY_DEFAULT)),
        });
    }

    /// The labels of a bond's or bridge's links, each once.
    fn links(&mut self, reader: &mut Reader<'_>, section: &Section<'_, '_>, written: &str) -> Vec<String> {
        if reader.required(section, "links", written).is_none() {
            return Vec::new();
        }
        let values = reader.list(section, "links", written);
        if values.is_empty()
            && let Some(value) = section.value("links")
        {
            reader.fault(value.span(), "`links` is empty", written);
        }
        let mut links: Vec<String> = Vec::new();
        for value in values {
            let Some((label, span)) = label(reader, value) else {
                continue;
            };
            if links.contains(&label) {
                let message = format!("the link {} is there twice", quoted(&label));
                reader.fault(span, message, "name each link once");
                continue;
            }
            links.push(label);
            self.spans.push(span);
        }
        links
    }
}

fn default_for<T>(applies: bool, given: Option<Spanned<T>>, default: T) -> Option<T> {
    applies.then(|| given.map_or(default, Spanned::into_inner))
}

/// What the file calls a link; a MAC address in its canonical form.
fn label(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<(String, Range<usize>)> {
    let help = "give the name of a link, such as \"eth0\"";
    let text = reader.leaf::<String>(value, |value| value.mismatch("text", help))?;
    let label = match text.get_ref().parse::<MacAddress>() {
        Ok(mac) => mac.to_string(),
        Err(_) => text.get_ref().clone(),
    };
    Some((label, value.span()))
}

fn milliseconds(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<Duration> {
    let time = time::read(reader, value, &MIIMON)?.into_inner();
    if time.subsec_nanos() % 1_000_000 == 0 {
        return Some(time);
    }
    let help = format!("the kernel counts whole milliseconds: \"{}ms\"", time.as_millis());
    let message = format!("{} has parts of a millisecond", time::show(time));
    reader.faults.add(value.span(), Wrong::new(message, help));
    None
}
