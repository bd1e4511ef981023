//! The top level, `[timeouts]`, `[checks]` and `[confirm]`.

use std::time::Duration;

use super::super::model::HostName;
use super::super::{confirm, static_failure, timeouts};
use super::form::{Content, Count, Form, Unset};
use super::gateway::{MASQUERADE, PORT_FORWARD};
use super::interface::{ADDRESS, INTERFACE};
use super::service::VIRTUAL_SERVER;
use super::{KEY, Key, Table};
use crate::observed::IpvsTimeouts;

pub static ROOT: Table = Table {
    path: "",
    title: "the top level",
    about: "The tables of lb.toml, and the one key outside of them.",
    header: "",
    groups: &[&[
        Key {
            name: "hostname",
            form: Form::Text {
                content: Content::Plain,
                what: "letters, digits and hyphens, none of these at either end",
                pattern: "^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$",
                count: Some(Count {
                    most: HostName::MAX_LEN,
                    unit: "characters",
                }),
            },
            unset: Unset::Text(HostName::DEFAULT),
            about: "the box's own name, one DNS label (RFC 1123)",
            example: "hostname = \"lb-a\"",
            ..KEY
        },
        Key {
            name: "timeouts",
            form: Form::Table(&TIMEOUTS),
            about: "when idle connections are forgotten",
            example: "[timeouts]\nudp = \"30s\"",
            keepalived: Some("lvs_timeouts"),
            ..KEY
        },
        Key {
            name: "checks",
            form: Form::Table(&CHECKS),
            about: "what holds for all checks together",
            example: "[checks]\nfail_static = \"1m\"",
            ..KEY
        },
        Key {
            name: "confirm",
            form: Form::Table(&CONFIRM),
            about: "what confirms a configuration without a person",
            example: "[confirm]\nservers_up = 1",
            ..KEY
        },
        Key {
            name: "interface",
            form: Form::Tables(&INTERFACE, None),
            unset: Unset::Said("none"),
            about: "a network interface",
            example: "[[interface]]\nname = \"eth2\"\naddresses = [\"203.0.113.2/24\"]",
            ..KEY
        },
        Key {
            name: "masquerade",
            form: Form::Tables(&MASQUERADE, None),
            unset: Unset::Said("none"),
            about: "whose connections are hidden behind an interface's address",
            example: "[[masquerade]]\nfrom = \"10.0.0.0/8\"\nout = \"eth0\"",
            ..KEY
        },
        Key {
            name: "port_forward",
            form: Form::Tables(&PORT_FORWARD, None),
            unset: Unset::Said("none"),
            about: "ports that lead to another machine",
            example: "[[port_forward]]\nlisten = \"192.168.0.1:2200\"\nto = \"172.16.0.11:22\"",
            ..KEY
        },
        Key {
            name: "virtual_server",
            form: Form::Tables(&VIRTUAL_SERVER, None),
            unset: Unset::Said("none"),
            about: "a service that is balanced",
            example: "[[virtual_server]]\nname = \"nginx\"\nlisten = \"192.168.0.1:80\"",
            keepalived: Some("virtual_server"),
            ..KEY
        },
    ]],
};

const fn seconds(seconds: u32) -> Unset {
    Unset::Time(Duration::from_secs(seconds as u64))
}

pub static TIMEOUTS: Table = Table {
    path: "timeouts",
    title: "[timeouts]",
    about: "When idle connections are forgotten, by IPVS and by connection tracking alike.",
    header: "[timeouts]",
    groups: &[&[
        Key {
            name: "tcp",
            form: Form::Seconds(&timeouts::IDLE),
            unset: seconds(IpvsTimeouts::DEFAULT.tcp_s),
            about: "an established TCP connection; the default is that of RFC 5382, REQ-5",
            example: "tcp = \"1h\"",
            keepalived: Some("lvs_timeouts tcp"),
            ..KEY
        },
        Key {
            name: "tcp_fin",
            form: Form::Seconds(&timeouts::IDLE),
            unset: seconds(IpvsTimeouts::DEFAULT.tcp_fin_s),
            about: "a TCP connection after its first FIN",
            example: "tcp_fin = \"30s\"",
            keepalived: Some("lvs_timeouts tcpfin"),
            ..KEY
        },
        Key {
            name: "udp",
            form: Form::Seconds(&timeouts::IDLE),
            unset: seconds(IpvsTimeouts::DEFAULT.udp_s),
            about: "a UDP flow; the default is that of RFC 4787, REQ-5",
            example: "udp = \"5m\"",
            keepalived: Some("lvs_timeouts udp"),
            ..KEY
        },
    ]],
};

pub static CHECKS: Table = Table {
    path: "checks",
    title: "[checks]",
    about: "What holds for all checks together.",
    header: "[checks]",
    groups: &[&[Key {
        name: "fail_static",
        form: Form::Time(&static_failure::ALLOWED),
        unset: Unset::Time(static_failure::DEFAULT),
        about: "when most machines behind one interface fall silent at once, this is taken for a fault of the network, and their \
                servers keep their traffic: for so long while some machines still answer, and without end while none does. \
                `\"0s\"`: never",
        example: "fail_static = \"1m\"",
        see: Some("when-everything-fails-at-once"),
        ..KEY
    }]],
};

pub static CONFIRM: Table = Table {
    path: "confirm",
    title: "[confirm]",
    about: "What confirms a configuration that was applied with `--confirm`, without a person; at the deadline it returns if it does not hold.",
    header: "[confirm]",
    groups: &[&[
        Key {
            name: "gateway_answers",
            form: Form::Either(&[
                Form::Flag,
                Form::Text {
                    content: Content::Address,
                    what: "an address",
                    pattern: ADDRESS,
                    count: None,
                },
            ]),
            unset: Unset::Flag(false),
            about: "`true`: the `gateway` of each interface answers an ICMP echo; or one address that has to",
            example: "gateway_answers = \"192.168.0.254\"",
            see: Some("changing-the-configuration-safely"),
            ..KEY
        },
        Key {
            name: "servers_up",
            form: Form::Either(&[
                Form::Number {
                    range: &confirm::SERVERS,
                    unit: "servers",
                },
                Form::Percent,
            ]),
            unset: Unset::Nothing,
            about: "of each service that had servers up before: at least so many are up, or such a part of those that were. A server \
                    counts when a check has passed that began with the new configuration; servers without checks count. Never more \
                    are asked for than were up",
            example: "servers_up = \"50%\"",
            see: Some("changing-the-configuration-safely"),
            ..KEY
        },
    ]],
};
