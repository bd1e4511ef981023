//! `[[virtual_server]]` and the small tables within it.

use std::net::Ipv6Addr;

use super::super::{check, forward, pool, service};
use super::check::LIST;
use super::form::{Content, Count, Form, Unset};
use super::gateway::{PORTS, PROTOCOL};
use super::server::{REAL_SERVER, SORRY_SERVER};
use super::{KEY, Key, Table};
use crate::model::{Gue, Scheduler};
use crate::pool::{Panic, PoolRules};

/// A weight, or a part of all of it.
const PART: Form = Form::Either(&[
    Form::Number {
        range: &pool::WEIGHTS,
        unit: "",
    },
    Form::Percent,
]);

/// As the kernel's net/netfilter/ipvs/ip_vs_*.c do it.
const SCHEDULERS: [(&str, &str); 14] = [
    ("rr", "one server after the other"),
    (
        "wrr",
        "one after the other; of weight 2 twice as often as of weight 1",
    ),
    (
        "lc",
        "the server with the fewest connections, whatever its weight",
    ),
    ("wlc", "the server with the fewest connections for its weight"),
    (
        "fo",
        "the server with the highest weight takes all; the next one when it is down",
    ),
    (
        "ovf",
        "the server with the highest weight, until it has as many active connections as its weight; then the next one",
    ),
    (
        "lblc",
        "for caches: a destination address keeps its server, unless that has more active connections than its weight, and another one less than half of its own",
    ),
    (
        "lblcr",
        "as lblc, with a group of servers for each destination address, that grows while they are busy",
    ),
    ("dh", "by a hash of the destination address, from a table of 256"),
    (
        "sh",
        "by a hash of the client's address, from a table of 256; when servers change, many clients get another one",
    ),
    (
        "mh",
        "by a hash of the client's address (Maglev); when servers change, few clients get another one",
    ),
    (
        "sed",
        "the server that would have the fewest connections for its weight with this one",
    ),
    ("nq", "an idle server if there is one, else as sed"),
    (
        "twos",
        "of two servers, drawn by weight, the one with fewer connections for its weight",
    ),
];

pub static VIRTUAL_SERVER: Table = Table {
    path: "virtual_server",
    title: "[[virtual_server]]",
    about: "A service that is balanced.",
    header: "[[virtual_server]]",
    groups: &[WHERE, POOL],
};

/// What is balanced, and how.
const WHERE: &[Key] = &[
    Key {
        name: "name",
        form: Form::Text {
            content: Content::Plain,
            what: "letters, digits, `.`, `_`, `-`, `:` and `/`, beginning with a letter or digit",
            pattern: "^[A-Za-z0-9][A-Za-z0-9._:/-]*$",
            count: Some(Count {
                most: service::LONGEST_NAME,
                unit: "characters",
            }),
        },
        unset: Unset::Needed,
        about: "a name of your choice, unique",
        example: "name = \"nginx\"",
        ..KEY
    },
    Key {
        name: "listen",
        form: Form::OneOrMore(&PORTS),
        unset: Unset::Needed,
        about: "where clients connect to: one port, or several; the address must be one of an \
                interface of this file",
        example: "listen = \"192.168.0.1:443\"",
        see: Some("several-ports-or-protocols"),
        ..KEY
    },
    PROTOCOL,
    Key {
        name: "scheduler",
        form: Form::Words(&Scheduler::WORDS),
        unset: Unset::Text(service::SCHEDULER.as_str()),
        about: "who gets the next connection, by one of the kernel's schedulers; while IPVS changes it, for some milliseconds, new \
                connections are refused",
        meanings: &SCHEDULERS,
        example: "scheduler = \"sh\"",
        keepalived: Some("lvs_sched"),
        ..KEY
    },
    Key {
        name: "forward",
        form: Form::Words(&forward::WAYS),
        unset: Unset::Text(forward::WAYS[0]),
        about: "how packets reach the servers: rewritten, by MAC address, or wrapped into others",
        example: "forward = \"tunnel\"",
        keepalived: Some("lvs_method"),
        see: Some("how-packets-reach-the-servers"),
        ..KEY
    },
    Key {
        name: "tunnel",
        form: Form::Table(&TUNNEL),
        unset: Unset::Said("`{ type = \"ipip\" }`"),
        about: "with `forward = \"tunnel\"`: how packets are wrapped, as `{ type = \"gue\", port = 5555, checksum = true }`",
        example: "forward = \"tunnel\"\ntunnel = { type = \"gue\" }",
        see: Some("how-packets-reach-the-servers"),
        ..KEY
    },
    Key {
        name: "persistence",
        form: Form::Table(&PERSISTENCE),
        unset: Unset::Said("none"),
        about: "a client's new connections go to the server that it had, until it has had none for `timeout`: `{ timeout = \"5m\", prefix = 32 }`",
        example: "persistence = { timeout = \"5m\" }",
        keepalived: Some("persistence_timeout"),
        ..KEY
    },
    Key {
        name: "one_packet",
        form: Form::Flag,
        unset: Unset::Flag(false),
        about: "`true`: every datagram is scheduled by itself (UDP only), and no client is remembered",
        example: "protocol = \"udp\"\none_packet = true\ncheck = \"icmp\"",
        keepalived: Some("ops"),
        see: Some("every-datagram-by-itself"),
        ..KEY
    },
    Key {
        name: "syn_proxy",
        form: Form::Flag,
        unset: Unset::Flag(false),
        about: "`true`: clients are proved before they are connected",
        example: "syn_proxy = true",
        see: Some("floods-of-syns"),
        ..KEY
    },
];

/// Its servers, and how they come and go.
const POOL: &[Key] = &[
    Key {
        name: "quorum",
        form: PART,
        unset: Unset::Number(PoolRules::QUORUM),
        about: "how much of the weight of its (primary) servers has to be up: a weight, or a percentage such as `\"50%\"` of all of it",
        example: "quorum = \"50%\"",
        keepalived: Some("quorum"),
        see: Some("quorum-backups-and-the-last-server"),
        ..KEY
    },
    Key {
        name: "quorum_hysteresis",
        form: PART,
        unset: Unset::Said("none"),
        about: "the quorum is won at so much more and lost at so much less, in the same units",
        example: "quorum = 3\nquorum_hysteresis = 1",
        keepalived: Some("hysteresis"),
        ..KEY
    },
    Key {
        name: "panic",
        form: Form::Words(&Panic::WORDS),
        unset: Unset::Text(Panic::WORDS[0]),
        about: "when no server is up: `\"none\"`: clients are refused; `\"keep-last\"`: the servers that were the last to be up keep \
                their traffic; `\"all\"`: all servers get it",
        example: "panic = \"all\"",
        ..KEY
    },
    Key {
        name: "kill_after",
        form: Form::Time(&pool::KILL_AFTER),
        unset: Unset::Time(PoolRules::DEFAULT.kill_after),
        about: "so long the connections of a server that went down may hope that it comes back; then they are ended. A port that \
                refuses ends them at once",
        example: "kill_after = \"30s\"",
        ..KEY
    },
    Key {
        name: "drain_timeout",
        form: Form::Time(&pool::DRAIN_TIMEOUT),
        unset: Unset::Time(PoolRules::DEFAULT.drain_timeout),
        about: "so long a server that was taken out of the file keeps the connections that it has, at most; those of UDP are the clients that it has answered within `[timeouts] udp`",
        example: "drain_timeout = \"1h\"",
        ..KEY
    },
    Key {
        name: "slow_start",
        form: Form::Time(&pool::SLOW_START),
        unset: Unset::Time(PoolRules::DEFAULT.slow_start),
        about: "a server that comes up begins with a tenth of its weight and has all of it after this time, with a scheduler that \
                heeds weights (`wlc`, `wrr`, `sed`, `nq`); weights are at most 6,553 then",
        example: "slow_start = \"30s\"",
        ..KEY
    },
    Key {
        name: "check",
        form: LIST,
        unset: Unset::Said("that of a TCP port"),
        about: "how its servers are checked; `check = \"TYPE\"` is short for `check = { type = \"TYPE\" }`. Of a list all have to \
                pass",
        see: Some("several-checks-for-one-server"),
        example: "check = { type = \"http\", path = \"/healthz\" }",
        ..KEY
    },
    Key {
        name: "real_server",
        form: Form::Tables(&REAL_SERVER, None),
        unset: Unset::Said("none"),
        about: "a server",
        example: "[[virtual_server.real_server]]\naddress = \"172.16.0.11:80\"",
        keepalived: Some("real_server"),
        ..KEY
    },
    Key {
        name: "sorry_server",
        form: Form::Table(&SORRY_SERVER),
        unset: Unset::Said("none"),
        about: "a server that answers while the quorum is lost and no backup is up",
        example: "sorry_server = { address = \"172.16.0.20:80\" }",
        keepalived: Some("sorry_server"),
        ..KEY
    },
];

pub static TUNNEL: Table = Table {
    path: "virtual_server.tunnel",
    title: "a service's `tunnel`",
    about: "How packets are wrapped on their way to the servers.",
    header: "[[virtual_server]]",
    groups: &[&[
        Key {
            name: "type",
            form: Form::Words(&forward::WRAPPINGS),
            unset: Unset::Text(forward::WRAPPINGS[0]),
            about: "the wrapping: IP in IP (RFC 2003, RFC 2473), or UDP",
            example: "forward = \"tunnel\"\ntunnel = { type = \"gue\" }",
            ..KEY
        },
        Key {
            name: "port",
            form: Form::Number {
                range: &check::PORT,
                unit: "",
            },
            unset: Unset::Number(Gue::PORT as u32),
            about: "with `\"gue\"`: the UDP port of the servers; the default is IANA's",
            example: "forward = \"tunnel\"\ntunnel = { type = \"gue\", port = 5555 }",
            ..KEY
        },
        Key {
            name: "checksum",
            form: Form::Flag,
            unset: Unset::Flag(Gue::CHECKSUM),
            about: "with `\"gue\"`: whether there is a UDP checksum",
            example: "forward = \"tunnel\"\ntunnel = { type = \"gue\", checksum = false }",
            ..KEY
        },
    ]],
};

const PREFIX_BITS: std::ops::RangeInclusive<u32> = 1..=Ipv6Addr::BITS;

pub static PERSISTENCE: Table = Table {
    path: "virtual_server.persistence",
    title: "a service's `persistence`",
    about: "A client's new connections go to the server that it had.",
    header: "[[virtual_server]]",
    groups: &[&[
        Key {
            name: "timeout",
            form: Form::Seconds(&service::PERSISTENCE_TIMEOUT),
            unset: Unset::Needed,
            about: "until it has had none for so long",
            example: "persistence = { timeout = \"5m\" }",
            keepalived: Some("persistence_timeout"),
            ..KEY
        },
        Key {
            name: "prefix",
            form: Form::Number {
                range: &PREFIX_BITS,
                unit: "bits (to 32 with IPv4)",
            },
            unset: Unset::Said("all bits"),
            about: "clients whose addresses agree in so many bits are one client",
            example: "persistence = { timeout = \"5m\", prefix = 24 }",
            keepalived: Some("persistence_granularity"),
            ..KEY
        },
    ]],
};
