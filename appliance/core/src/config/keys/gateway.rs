//! `[[masquerade]]` and `[[port_forward]]`.

use super::super::listen;
use super::form::{Content, Form, Unset};
use super::interface::{MACHINE, PREFIX};
use super::{KEY, Key, Table};

const NETWORK: Form = Form::Text {
    content: Content::Network,
    what: "a network, `\"172.16.0.0/24\"`",
    pattern: PREFIX,
    count: None,
};

/// A port, or a range of them, of an address.
pub(super) const PORTS: Form = Form::Text {
    content: Content::OwnEndpoint,
    what: "`\"ADDRESS:PORT\"` or `\"ADDRESS:FIRST-LAST\"`",
    pattern: MACHINE,
    count: None,
};

pub(super) const PROTOCOL: Key = Key {
    name: "protocol",
    form: Form::OneOrMore(&Form::Words(&listen::PROTOCOLS)),
    unset: Unset::Text(listen::PROTOCOL.as_str()),
    about: "the transport protocol, or several",
    example: "protocol = [\"tcp\", \"udp\"]\ncheck = { port = 80 }",
    keepalived: Some("protocol"),
    ..KEY
};

pub static MASQUERADE: Table = Table {
    path: "masquerade",
    title: "[[masquerade]]",
    about: "Whose connections take an address of the interface that they leave through.",
    header: "[[masquerade]]",
    groups: &[&[
        Key {
            name: "from",
            form: NETWORK,
            unset: Unset::Needed,
            about: "the machines behind the box",
            example: "from = \"172.16.0.0/16\"",
            ..KEY
        },
        Key {
            name: "out",
            form: Form::Text {
                content: Content::Interface,
                what: "an interface of this file",
                pattern: "",
                count: None,
            },
            unset: Unset::Needed,
            about: "the interface towards the outside",
            example: "out = \"eth0\"",
            ..KEY
        },
        Key {
            name: "to",
            form: Form::OneOrMore(&Form::Text {
                content: Content::Address,
                what: "an address of `out`, or a range `\"192.168.0.20-192.168.0.29\"`",
                pattern: "^[0-9A-Fa-f:. -]+$",
                count: None,
            }),
            unset: Unset::Said("the one that the kernel picks"),
            about: "the addresses that these connections take",
            example: "to = \"192.168.0.2\"",
            ..KEY
        },
    ]],
};

pub static PORT_FORWARD: Table = Table {
    path: "port_forward",
    title: "[[port_forward]]",
    about: "Ports of the appliance that lead to another machine.",
    header: "[[port_forward]]",
    groups: &[&[
        Key {
            name: "listen",
            form: PORTS,
            unset: Unset::Needed,
            about: "where clients connect to; the address must be one of an interface of this file",
            example: "listen = \"192.168.0.1:2223\"",
            ..KEY
        },
        Key {
            name: "to",
            form: Form::Text {
                content: Content::Endpoint,
                what: "`\"ADDRESS\"`, `\"ADDRESS:PORT\"` or `\"ADDRESS:FIRST-LAST\"`",
                pattern: MACHINE,
                count: None,
            },
            unset: Unset::Needed,
            about: "the machine, of the same address family; the address alone keeps the port. For a range also an equally long \
                    one (up to 100 ports, if they are others)",
            example: "to = \"172.16.0.12:22\"",
            ..KEY
        },
        Key {
            example: "protocol = \"udp\"",
            keepalived: None,
            ..PROTOCOL
        },
        Key {
            name: "from",
            form: Form::OneOrMore(&NETWORK),
            unset: Unset::Said("everybody"),
            about: "networks of clients that may; the packets of all others are dropped",
            example: "from = [\"192.168.0.10/32\"]",
            ..KEY
        },
    ]],
};
