//! `[[interface]]` and the tables within it.

use super::super::{interface as reader, links};
use super::form::{Content, Form, Unset};
use super::{KEY, Key, Table};
use crate::link_kind::{BondMode, LacpRate, XmitHashPolicy};

pub(super) const PREFIX: &str = "^[0-9A-Fa-f:.]+/(12[0-8]|1[01][0-9]|[1-9]?[0-9])$";
pub(super) const ADDRESS: &str = "^[0-9A-Fa-f:.]+$";
/// An address, in brackets before a port if it is one of IPv6; with ports or without.
pub(super) const MACHINE: &str = "^([0-9A-Fa-f:.]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5}(-[0-9]{1,5})?)?$";
const MAC: &str = "^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$";

/// What the file calls a link.
const LABEL: Form = Form::Text {
    content: Content::Interface,
    what: "the name (or, without one, the MAC address) of a link",
    pattern: "",
    count: None,
};

const NETWORK: Form = Form::Text {
    content: Content::Network,
    what: "a network, `\"10.0.0.0/8\"`",
    pattern: PREFIX,
    count: None,
};

const NEXT_HOP: Form = Form::Text {
    content: Content::Address,
    what: "an address on one of the interface's networks",
    pattern: ADDRESS,
    count: None,
};

pub static INTERFACE: Table = Table {
    path: "interface",
    title: "[[interface]]",
    about: "A network interface: a card, or a link that the appliance makes.",
    header: "[[interface]]",
    groups: &[&[
        Key {
            name: "name",
            form: Form::Text {
                content: Content::Plain,
                what: "letters, digits, `.`, `_` and `-`, at most 15",
                pattern: "^[A-Za-z0-9._-]{1,15}$",
                count: None,
            },
            unset: Unset::Said("needed, unless `match` is given"),
            about: "the kernel's name of the link; together with `match`, the name that this file uses for it",
            example: "name = \"eth2\"",
            ..KEY
        },
        Key {
            name: "match",
            form: Form::Table(&MATCH),
            about: "the link with this MAC address, whatever the kernel calls it",
            example: "match = { mac = \"52:54:00:00:00:01\" }",
            ..KEY
        },
        Key {
            name: "vlan",
            form: Form::Table(&VLAN),
            unset: Unset::Said("none: a network card"),
            about: "a VLAN that the appliance makes, called `name`",
            example: "vlan = { link = \"eth1\", id = 100 }",
            see: Some("vlans-bonds-and-bridges"),
            ..KEY
        },
        Key {
            name: "bond",
            form: Form::Table(&BOND),
            unset: Unset::Said("none: a network card"),
            about: "a bond that the appliance makes, called `name`",
            example: "bond = { links = [\"eth3\", \"eth4\"] }",
            see: Some("vlans-bonds-and-bridges"),
            ..KEY
        },
        Key {
            name: "bridge",
            form: Form::Table(&BRIDGE),
            unset: Unset::Said("none: a network card"),
            about: "a bridge that the appliance makes, called `name`",
            example: "bridge = { links = [\"eth3\", \"eth4\"] }",
            see: Some("vlans-bonds-and-bridges"),
            ..KEY
        },
        Key {
            name: "addresses",
            form: Form::List(&Form::Text {
                content: Content::Prefix,
                what: "`\"ADDRESS/PREFIX\"`",
                pattern: PREFIX,
                count: None,
            }),
            unset: Unset::Said("`[]`"),
            about: "its addresses, IPv4 and IPv6; `[]` is a link that is up without an address. The box's own connections, such \
                    as checks, do not come from a `/128` if there is another address",
            example: "addresses = [\"198.51.100.7/24\", \"2001:db8::7/64\"]",
            ..KEY
        },
        Key {
            name: "gateway",
            form: NEXT_HOP,
            unset: Unset::Said("none"),
            about: "next hop of the default route",
            example: "gateway = \"198.51.100.1\"",
            ..KEY
        },
        Key {
            name: "mtu",
            form: Form::Number {
                range: &reader::MTU,
                unit: "bytes",
            },
            unset: Unset::Said(
                "what the card came with; of a VLAN that of the link below it, of a bond 1500, of a bridge the smallest of its links",
            ),
            about: "the largest packet; at least 1280 with an IPv6 address",
            example: "mtu = 9000",
            ..KEY
        },
        Key {
            name: "mss_clamp",
            form: Form::Either(&[
                Form::Flag,
                Form::Number {
                    range: &reader::MSS,
                    unit: "bytes",
                },
            ]),
            unset: Unset::Flag(false),
            about: "`true`: TCP connections through this interface use segments that fit into its MTU; or the size of such a \
                    segment",
            example: "mss_clamp = true",
            ..KEY
        },
        Key {
            name: "routes",
            form: Form::Tables(&ROUTE, None),
            unset: Unset::Said("none"),
            about: "networks that are reached through a router on one of the interface's networks, as \
                    `[{ to = \"10.0.0.0/8\", via = \"192.168.0.253\" }]`",
            example: "routes = [{ to = \"10.0.0.0/8\", via = \"198.51.100.1\" }]",
            ..KEY
        },
    ]],
};

pub static MATCH: Table = Table {
    path: "interface.match",
    title: "an interface's `match`",
    about: "How a network card is found.",
    header: "[[interface]]",
    groups: &[&[Key {
        name: "mac",
        form: Form::Text {
            content: Content::Mac,
            what: "a MAC address, `\"52:54:00:00:00:01\"`",
            pattern: MAC,
            count: None,
        },
        unset: Unset::Needed,
        about: "the card's own address, whatever a bond has given it",
        example: "match = { mac = \"52:54:00:00:00:01\" }",
        ..KEY
    }]],
};

pub static ROUTE: Table = Table {
    path: "interface.routes",
    title: "an interface's `routes`",
    about: "A network behind a router.",
    header: "[[interface]]",
    groups: &[&[
        Key {
            name: "to",
            form: NETWORK,
            unset: Unset::Needed,
            about: "the network that is there",
            example: "routes = [{ to = \"10.0.0.0/8\", via = \"198.51.100.1\" }]",
            ..KEY
        },
        Key {
            name: "via",
            form: NEXT_HOP,
            unset: Unset::Needed,
            about: "the router",
            example: "routes = [{ to = \"10.0.0.0/8\", via = \"198.51.100.1\" }]",
            ..KEY
        },
    ]],
};

pub static VLAN: Table = Table {
    path: "interface.vlan",
    title: "an interface's `vlan`",
    about: "The frames of a link that carry a tag (IEEE 802.1Q).",
    header: "[[interface]]",
    groups: &[&[
        Key {
            name: "link",
            form: LABEL,
            unset: Unset::Needed,
            about: "another interface of the file: a card (`addresses = []` if it carries nothing else), a bond, a bridge or a VLAN",
            example: "vlan = { link = \"eth1\", id = 100 }",
            ..KEY
        },
        Key {
            name: "id",
            form: Form::Number {
                range: &links::VLAN_IDS,
                unit: "",
            },
            unset: Unset::Needed,
            about: "the tag",
            example: "vlan = { link = \"eth1\", id = 100 }",
            ..KEY
        },
    ]],
};

/// As Documentation/networking/bonding.rst of the kernel.
const BOND_MODES: [(&str, &str); 7] = [
    (
        "balance-rr",
        "packets in turn; one connection may use all cards, out of order",
    ),
    (
        "active-backup",
        "one card works, and another one when it fails; the switch need not know",
    ),
    (
        "balance-xor",
        "by the hash of `xmit_hash_policy`; the switch groups the ports by hand",
    ),
    ("broadcast", "everything on all cards"),
    ("802.3ad", "as balance-xor, with LACP: the switch has to speak it"),
    (
        "balance-tlb",
        "what is sent goes by the least busy card; the switch need not know",
    ),
    (
        "balance-alb",
        "as balance-tlb, and what is received is spread by ARP",
    ),
];

pub static BOND: Table = Table {
    path: "interface.bond",
    title: "an interface's `bond`",
    about: "Several cards as one link.",
    header: "[[interface]]",
    groups: &[&[
        Key {
            name: "links",
            form: Form::List(&LABEL),
            unset: Unset::Needed,
            about: "cards: names of the kernel's, or interfaces of the file without addresses, such as one with `match`. The bond \
                    takes the first one's MAC address",
            example: "bond = { links = [\"eth3\", \"eth4\"] }",
            ..KEY
        },
        Key {
            name: "mode",
            form: Form::Words(BondMode::WORDS),
            unset: Unset::Text(links::BOND_MODE.as_str()),
            about: "how the cards share the traffic",
            meanings: &BOND_MODES,
            example: "bond = { links = [\"eth3\", \"eth4\"], mode = \"802.3ad\" }",
            ..KEY
        },
        Key {
            name: "miimon",
            form: Form::Time(&links::MIIMON),
            unset: Unset::Time(links::MIIMON_DEFAULT),
            about: "how often the carriers are looked at; whole milliseconds",
            example: "bond = { links = [\"eth3\", \"eth4\"], miimon = \"50ms\" }",
            ..KEY
        },
        Key {
            name: "primary",
            form: LABEL,
            unset: Unset::Said("none: the traffic stays where it is"),
            about: "the link that is used whenever it has a carrier (`active-backup`, `balance-tlb`, `balance-alb`)",
            example: "bond = { links = [\"eth3\", \"eth4\"], primary = \"eth3\" }",
            ..KEY
        },
        Key {
            name: "lacp_rate",
            form: Form::Words(LacpRate::WORDS),
            unset: Unset::Text(links::LACP_RATE.as_str()),
            about: "with `802.3ad`: `\"slow\"` asks the switch every 30 s, `\"fast\"` every second",
            example: "bond = { links = [\"eth3\", \"eth4\"], mode = \"802.3ad\", lacp_rate = \"fast\" }",
            ..KEY
        },
        Key {
            name: "xmit_hash_policy",
            form: Form::Words(XmitHashPolicy::WORDS),
            unset: Unset::Text(links::XMIT_HASH_POLICY.as_str()),
            about: "what decides which link a packet takes, with `802.3ad` and `balance-xor`",
            example: "bond = { links = [\"eth3\", \"eth4\"], mode = \"802.3ad\", xmit_hash_policy = \"layer2+3\" }",
            ..KEY
        },
    ]],
};

pub static BRIDGE: Table = Table {
    path: "interface.bridge",
    title: "an interface's `bridge`",
    about: "Links between which frames pass, unfiltered.",
    header: "[[interface]]",
    groups: &[&[
        Key {
            name: "links",
            form: Form::List(&LABEL),
            unset: Unset::Needed,
            about: "cards, bonds and VLANs",
            example: "bridge = { links = [\"eth3\", \"eth4\"] }",
            ..KEY
        },
        Key {
            name: "stp",
            form: Form::Flag,
            unset: Unset::Flag(false),
            about: "`true`: the spanning tree protocol, where the links could form a loop",
            example: "bridge = { links = [\"eth3\", \"eth4\"], stp = true }",
            ..KEY
        },
        Key {
            name: "forward_delay",
            form: Form::Seconds(&links::FORWARD_DELAY),
            unset: Unset::Time(links::FORWARD_DELAY_DEFAULT),
            about: "with STP: how long a port listens, and then learns, before it forwards",
            example: "bridge = { links = [\"eth3\", \"eth4\"], stp = true, forward_delay = \"4s\" }",
            ..KEY
        },
    ]],
};
