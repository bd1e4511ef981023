//! `[virtual_server.check]`: what every type of check has.

use super::super::check::{self, Kind, down};
use super::form::{Content, Form, Unset};
use super::interface::ADDRESS;
use super::{KEY, Key, OfType, Table, asked};
use crate::check::{CheckList, CheckParams};

pub static CHECK: Table = Table {
    path: "virtual_server.check",
    title: "a server's `check`",
    about: "How servers are checked. At a server, single keys replace those of the service's check, and a list replaces all of it.",
    header: "[[virtual_server]]",
    groups: &[ALWAYS, asked::TCP_AND_HTTP, asked::TLS, asked::EXCHANGE],
};

/// The value of a key `check`.
pub(super) const LIST: Form = Form::UpTo(
    &Form::Either(&[Form::Table(&CHECK), Form::Words(&Kind::WORDS)]),
    CheckList::MOST,
);

const fn of_apiserver(unset: Unset) -> OfType {
    OfType {
        kind: Kind::KubeApiserver,
        about: None,
        unset: Some(unset),
    }
}

const ALWAYS: &[Key] = &[
    Key {
        name: "type",
        form: Form::Words(&Kind::WORDS),
        unset: Unset::Text(Kind::Tcp.as_str()),
        about: "`\"tcp\"`: the port accepts a connection; `\"http\"`, `\"https\"`: requests are answered as they should be; `\"tls\"`: a \
                TLS handshake succeeds; `\"udp\"`, `\"dns\"`: a datagram is answered; `\"icmp\"`: an echo is; `\"grpc\"`, `\"grpcs\"`: the \
                health service says SERVING; `\"agent\"`: a program on the server says that all is well; `\"kube-apiserver\"`, \
                `\"healthCheckNodePort\"`: what Kubernetes says; `\"none\"`: the server is never checked and always gets its share",
        example: "check = { type = \"icmp\" }",
        ..KEY
    },
    Key {
        name: "address",
        form: Form::Text {
            content: Content::Address,
            what: "an address without a port",
            pattern: ADDRESS,
            count: None,
        },
        unset: Unset::Said("the server's"),
        about: "another address than the traffic's, such as one in a network for management; it may be of the other address family",
        example: "check = { address = \"172.16.0.99\" }",
        keepalived: Some("connect_ip"),
        ..KEY
    },
    Key {
        name: "port",
        form: Form::Number {
            range: &check::PORT,
            unit: "",
        },
        unset: Unset::Said("the server's"),
        about: "another port than the traffic's; not with `\"icmp\"`, which has none",
        example: "check = { port = 8080 }",
        keepalived: Some("connect_port"),
        ..KEY
    },
    Key {
        name: "source",
        form: Form::Text {
            content: Content::OwnAddress,
            what: "an address of an interface of this file",
            pattern: ADDRESS,
            count: None,
        },
        unset: Unset::Said("what the kernel picks"),
        about: "the address of the appliance that the check comes from, of the family of where it goes; one of `addresses` of an \
                interface",
        example: "check = { source = \"172.16.0.254\" }",
        keepalived: Some("bindto"),
        ..KEY
    },
    Key {
        name: "interface",
        form: Form::Text {
            content: Content::Interface,
            what: "an interface of this file",
            pattern: "",
            count: None,
        },
        unset: Unset::Said("what the routes say"),
        about: "the interface that the check leaves through, as this file calls it; what is not in its networks or routes is taken \
                for a neighbour there",
        example: "check = { interface = \"eth1\" }",
        keepalived: Some("bind_if"),
        ..KEY
    },
    Key {
        name: "interval",
        form: Form::Time(&check::INTERVAL),
        unset: Unset::Time(CheckParams::INTERVAL),
        of_types: &[of_apiserver(Unset::Time(check::APISERVER_INTERVAL))],
        about: "from the start of one check to the start of the next; a check starts up to 10 ms late, together with others that \
                are due by then",
        example: "check = { interval = \"5s\" }",
        alias: Some("delay_loop"),
        ..KEY
    },
    Key {
        name: "timeout",
        form: Form::Time(&check::TIMEOUT),
        unset: Unset::Time(CheckParams::TIMEOUT),
        of_types: &[of_apiserver(Unset::Time(check::APISERVER_TIMEOUT))],
        about: "for one whole attempt; it may be longer than the interval, the next check then waits",
        example: "check = { timeout = \"500ms\" }",
        alias: Some("connect_timeout"),
        ..KEY
    },
    Key {
        name: "retries",
        form: Form::Number {
            range: &check::RETRIES,
            unit: "",
        },
        unset: Unset::Number(CheckParams::RETRIES),
        about: "extra attempts before a server that is up counts as down",
        example: "check = { retries = 3 }",
        alias: Some("retry"),
        ..KEY
    },
    Key {
        name: "retry_interval",
        form: Form::Time(&check::RETRY_INTERVAL),
        unset: Unset::Time(CheckParams::RETRY_INTERVAL),
        of_types: &[of_apiserver(Unset::Time(check::APISERVER_RETRY_INTERVAL))],
        about: "between those attempts",
        example: "check = { retry_interval = \"1s\" }",
        alias: Some("delay_before_retry"),
        ..KEY
    },
    Key {
        name: "rise",
        form: Form::Number {
            range: &check::RISE,
            unit: "",
        },
        unset: Unset::Number(CheckParams::RISE),
        about: "successes in a row before a server that was up once counts as up again",
        example: "check = { rise = 5 }",
        ..KEY
    },
    Key {
        name: "jitter",
        form: Form::Time(&check::JITTER),
        unset: Unset::Time(CheckParams::JITTER),
        about: "moves each check by up to this much, at most by the interval",
        example: "check = { jitter = \"200ms\" }",
        ..KEY
    },
    Key {
        name: "down_interval",
        form: Form::Time(&check::INTERVAL),
        unset: Unset::Said("the same"),
        about: "`interval` of a server that has been down for five minutes; at least the interval",
        example: "check = { down_interval = \"30s\" }",
        ..KEY
    },
    Key {
        name: "hold_down",
        form: Form::Time(&down::HOLD),
        unset: Unset::Time(CheckParams::HOLD_DOWN),
        about: "how long a server that goes down again and again is kept out: nothing for the first two times, then this, doubled \
                each time. `\"0s\"`: never",
        example: "check = { hold_down = \"30s\" }",
        ..KEY
    },
    Key {
        name: "hold_down_max",
        form: Form::Time(&down::HOLD_MAX),
        unset: Unset::Time(CheckParams::HOLD_DOWN_MAX),
        about: "up to this; who stayed up for so long is forgiven",
        example: "check = { hold_down_max = \"10m\" }",
        ..KEY
    },
];
