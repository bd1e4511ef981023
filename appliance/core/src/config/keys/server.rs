//! `[[virtual_server.real_server]]` and `[virtual_server.sorry_server]`.

use super::super::model::WhenDown;
use super::super::server;
use super::check::LIST;
use super::form::{Content, Form, Unset};
use super::interface::MACHINE;
use super::{KEY, Key, Table};
use crate::model::Weight;

const ADDRESS: Key = Key {
    name: "address",
    form: Form::Text {
        content: Content::Endpoint,
        what: "`\"ADDRESS:PORT\"`; of a service of several ports also `\"ADDRESS\"`",
        pattern: MACHINE,
        count: None,
    },
    unset: Unset::Needed,
    about: "where the server is, of the same address family as `listen`; behind NAT the port may differ",
    example: "address = \"172.16.0.11:8080\"",
    ..KEY
};

pub static REAL_SERVER: Table = Table {
    path: "virtual_server.real_server",
    title: "[[virtual_server.real_server]]",
    about: "A server of a service.",
    header: "[[virtual_server.real_server]]",
    groups: &[&[
        ADDRESS,
        Key {
            name: "weight",
            form: Form::Number {
                range: &server::WEIGHT,
                unit: "",
            },
            unset: Unset::Number(Weight::ONE.value()),
            about: "its share of new connections; 0 takes none and keeps those it has",
            example: "weight = 10",
            keepalived: Some("weight"),
            ..KEY
        },
        Key {
            name: "when_down",
            form: Form::Words(&WhenDown::WORDS),
            unset: Unset::Text(WhenDown::Remove.as_str()),
            about: "`\"remove\"`: a server that is down gets no new connections, and after `kill_after` leaves the kernel's table, \
                    which ends those that it has; `\"inhibit\"`: it stays at weight 0, and they go on",
            example: "when_down = \"inhibit\"",
            keepalived: Some("inhibit_on_failure"),
            ..KEY
        },
        Key {
            name: "backup",
            form: Form::Flag,
            unset: Unset::Flag(false),
            about: "`true`: it takes part only while the quorum is lost",
            example: "backup = true",
            ..KEY
        },
        Key {
            name: "max_connections",
            form: Form::Number {
                range: &server::CONNECTIONS,
                unit: "",
            },
            unset: Unset::Said("no limit"),
            about: "it gets no new connections while it has so many, in every state: also those that ended within `tcp_fin` (120 s) \
                    are counted, as `services` shows under CONNS and more. When all servers have theirs, new clients are refused",
            example: "max_connections = 1000",
            keepalived: Some("uthreshold"),
            ..KEY
        },
        Key {
            name: "resume_connections",
            form: Form::Number {
                range: &server::CONNECTIONS,
                unit: "",
            },
            unset: Unset::Said("three quarters of `max_connections`"),
            about: "it gets new ones again below so many",
            example: "max_connections = 1000\nresume_connections = 500",
            keepalived: Some("lthreshold"),
            ..KEY
        },
        Key {
            name: "check",
            form: LIST,
            unset: Unset::Said("the service's"),
            about: "single keys that replace those of the service's check; or a list, which replaces all of the service's",
            example: "check = { timeout = \"10s\" }",
            ..KEY
        },
    ]],
};

pub static SORRY_SERVER: Table = Table {
    path: "virtual_server.sorry_server",
    title: "a service's `sorry_server`",
    about: "The server that answers while the quorum is lost and no backup is up.",
    header: "[virtual_server.sorry_server]",
    groups: &[&[
        Key {
            example: "address = \"172.16.0.20:80\"",
            ..ADDRESS
        },
        Key {
            name: "check",
            form: LIST,
            unset: Unset::Said("the service's"),
            about: "single keys that replace those of the service's check; or a list, which replaces all of the service's",
            example: "address = \"172.16.0.20:80\"\ncheck = \"none\"",
            ..KEY
        },
    ]],
};
