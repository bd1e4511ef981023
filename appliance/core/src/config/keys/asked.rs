//! `[virtual_server.check]`: what only some types of check have.

use super::super::check::{self, Kind, exchange, request, trust, values};
use super::form::{Content, Count, Form, Unset};
use super::{KEY, Key, OfType, Table};
use crate::check::{Close, Method, QueryType, Rcode, Statuses, TlsCheck, Transport};

const HTTP: &[Kind] = &[Kind::Http, Kind::Https, Kind::KubeApiserver];
/// Of an answer that is what kube-proxy gives, the body is not tested.
const REQUEST: &[Kind] = &[
    Kind::Http,
    Kind::Https,
    Kind::KubeApiserver,
    Kind::HealthCheckNodePort,
];
const HOST: &[Kind] = &[
    Kind::Http,
    Kind::Https,
    Kind::KubeApiserver,
    Kind::HealthCheckNodePort,
    Kind::Grpc,
    Kind::Grpcs,
];
const OVER_TLS: &[Kind] = &[Kind::Https, Kind::Tls, Kind::Grpcs, Kind::KubeApiserver];
const UDP: &[Kind] = &[Kind::Udp];
const DNS: &[Kind] = &[Kind::Dns];

const PEM: Form = Form::Text {
    content: Content::Pem,
    what: "PEM between `\"\"\"`, or the name of a file beside lb.toml on the config volume",
    pattern: "",
    count: None,
};
const BYTES: Form = Form::Text {
    content: Content::Plain,
    what: "text",
    pattern: "",
    count: Some(Count {
        most: exchange::MOST_BYTES,
        unit: "bytes",
    }),
};
const HEX: Form = Form::Text {
    content: Content::Plain,
    what: "hexadecimal digits, with spaces or colons between or not",
    pattern: "^[0-9A-Fa-f: ]+$",
    count: None,
};

const fn of_grpc(kind: Kind) -> OfType {
    OfType {
        kind,
        about: Some("the `:authority`"),
        unset: None,
    }
}

const PATH: Key = Key {
    name: "path",
    form: Form::Text {
        content: Content::Plain,
        what: "a path and perhaps a query, `\"/healthz?full\"`",
        pattern: "^/[!-~]*$",
        count: Some(Count {
            most: values::LONGEST,
            unit: "characters",
        }),
    },
    unset: Unset::Text(check::PATH),
    about: "what is asked for, with its query",
    example: "check = { type = \"http\", path = \"/healthz\" }",
    keepalived: Some("path"),
    of_types: &[
        OfType {
            kind: Kind::KubeApiserver,
            about: None,
            unset: Some(Unset::Text(check::APISERVER_PATH)),
        },
        OfType {
            kind: Kind::HealthCheckNodePort,
            about: None,
            unset: Some(Unset::Text(check::ENDPOINTS_PATH)),
        },
    ],
    types: REQUEST,
    ..KEY
};
const STATUS: Key = Key {
    name: "status",
    form: Form::OneOrMore(&Form::Either(&[
        Form::Number {
            range: &values::STATUS,
            unit: "",
        },
        Form::Text {
            content: Content::Plain,
            what: "a range `\"200-299\"`",
            pattern: "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$",
            count: None,
        },
    ])),
    unset: Unset::Text(Statuses::DEFAULT),
    about: "statuses that are right. A redirect is not followed; its status is the answer",
    example: "check = { type = \"http\", status = [200, \"401-403\"] }",
    keepalived: Some("status_code"),
    types: HTTP,
    ..KEY
};
const BODY_CONTAINS: Key = Key {
    name: "body_contains",
    form: Form::Text {
        content: Content::Plain,
        what: "text",
        pattern: "",
        count: None,
    },
    about: "text that the body has to contain",
    example: "check = { type = \"http\", body_contains = \"ok\" }",
    types: HTTP,
    ..KEY
};
const BODY_MATCHES: Key = Key {
    name: "body_matches",
    form: Form::Text {
        content: Content::Plain,
        what: "a regular expression",
        pattern: "",
        count: None,
    },
    about: "instead: a regular expression that is found somewhere in the body; `^` and `$` are its ends, and case counts (Unicode \
            classes such as `\\p{L}` are not known)",
    example: "check = { type = \"http\", body_matches = \"^ok\" }",
    keepalived: Some("regex"),
    types: HTTP,
    ..KEY
};

pub(super) const TCP_AND_HTTP: &[Key] = &[
    Key {
        name: "close",
        form: Form::Words(&Close::WORDS),
        unset: Unset::Text(Close::WORDS[0]),
        about: "how far the connection goes, and how it ends: `\"half-open\"`, SYN, SYN-ACK, RST, of which the server's program hears nothing; \
                `\"fin\"`, a whole connection that ends as any other; `\"rst\"`, a whole one that ends by RST, about which many servers \
                write nothing into their logs",
        example: "check = { close = \"rst\" }",
        types: &[Kind::Tcp],
        ..KEY
    },
    PATH,
    STATUS,
    BODY_CONTAINS,
    BODY_MATCHES,
    Key {
        name: "urls",
        form: Form::Tables(&URL, Some(request::MOST_PAGES)),
        about: "requests instead of `path`, `status` and the body's keys: `[{ path = \"/healthz\" }, { path = \"/ready\", status = 204, \
                body_contains = \"ok\" }]`. `method`, `host` and `headers` are the same for all. Each is made over a connection of its \
                own, in order, within one `timeout`; all have to be answered as they should",
        example: "check = { type = \"http\", urls = [{ path = \"/healthz\" }, { path = \"/ready\", status = 204 }] }",
        keepalived: Some("url"),
        types: HTTP,
        ..KEY
    },
    Key {
        name: "method",
        form: Form::Words(&Method::WORDS),
        unset: Unset::Text(Method::WORDS[0]),
        about: "the method; an answer to HEAD has no body to test",
        example: "check = { type = \"http\", method = \"HEAD\" }",
        types: HTTP,
        ..KEY
    },
    Key {
        name: "host",
        form: Form::Text {
            content: Content::Plain,
            what: "a name or an address, and a port if it is not the usual one",
            pattern: "^[A-Za-z0-9._~:\\[\\]-]+$",
            count: Some(Count {
                most: values::LONGEST_HOST,
                unit: "characters",
            }),
        },
        unset: Unset::Said("the server's `ADDRESS:PORT`"),
        about: "the Host field",
        of_types: &[of_grpc(Kind::Grpc), of_grpc(Kind::Grpcs)],
        example: "check = { type = \"http\", host = \"www.example.com\" }",
        keepalived: Some("virtualhost"),
        types: HOST,
        ..KEY
    },
    Key {
        name: "headers",
        form: Form::Fields(values::MOST_HEADERS),
        about: "further fields, as `{ \"X-Check\" = \"lb\" }`",
        example: "check = { type = \"http\", headers = { \"X-Check\" = \"lb\" } }",
        types: REQUEST,
        ..KEY
    },
];

pub static URL: Table = Table {
    path: "virtual_server.check.urls",
    title: "one of a check's `urls`",
    about: "One of several requests of a check.",
    header: "[[virtual_server]]",
    groups: &[&[
        Key {
            unset: Unset::Needed,
            of_types: &[],
            example: "check = { type = \"http\", urls = [{ path = \"/healthz\" }] }",
            ..PATH
        },
        Key {
            example: "check = { type = \"http\", urls = [{ path = \"/ready\", status = 204 }] }",
            ..STATUS
        },
        Key {
            example: "check = { type = \"http\", urls = [{ path = \"/ready\", body_contains = \"ok\" }] }",
            ..BODY_CONTAINS
        },
        Key {
            example: "check = { type = \"http\", urls = [{ path = \"/ready\", body_matches = \"^ok\" }] }",
            ..BODY_MATCHES
        },
    ]],
};

pub(super) const TLS: &[Key] = &[
    Key {
        name: "server_name",
        form: Form::Text {
            content: Content::Plain,
            what: "a DNS name",
            pattern: "^[A-Za-z0-9._-]+$",
            count: None,
        },
        unset: Unset::Said("none: the server's address has to be in it"),
        about: "the name that has to be in the certificate, and is sent to the server too (SNI)",
        example: "check = { type = \"tls\", ca = \"ca.pem\", server_name = \"www.example.com\" }",
        keepalived: Some("enable_sni"),
        types: OVER_TLS,
        ..KEY
    },
    Key {
        name: "ca",
        form: PEM,
        about: "who signs the server's certificate: the certificate of the authority, or of several. A file, such as `\"ca.pem\"`, is \
                read when the configuration is; a seed or `config import` puts it there",
        example: "check = { type = \"tls\", ca = \"ca.pem\" }",
        types: OVER_TLS,
        ..KEY
    },
    Key {
        name: "fingerprint",
        form: Form::Text {
            content: Content::Plain,
            what: "64 hexadecimal digits with or without colons",
            pattern: "^[0-9A-Fa-f:]+$",
            count: None,
        },
        about: "instead of `ca`: the SHA-256 of the server's own certificate, as `openssl x509 -in FILE -noout -fingerprint -sha256` \
                prints it. Its name and dates are not looked at; it changes with every renewal",
        example: "check = { type = \"tls\", fingerprint = \"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\" }",
        types: OVER_TLS,
        ..KEY
    },
    Key {
        name: "verify",
        form: Form::Flag,
        about: "instead of both: `false` takes an answer from anybody, and every `config check` says so",
        example: "check = { type = \"tls\", verify = false }",
        types: OVER_TLS,
        ..KEY
    },
    Key {
        name: "client_certificate",
        form: PEM,
        about: "for a server that wants to know who asks: a certificate, with those between it and its authority",
        example: "check = { type = \"tls\", ca = \"ca.pem\", client_certificate = \"lb.pem\", client_key = \"lb.key\" }",
        types: OVER_TLS,
        ..KEY
    },
    Key {
        name: "client_key",
        form: PEM,
        about: "the key of `client_certificate`, without a password",
        example: "check = { type = \"tls\", ca = \"ca.pem\", client_certificate = \"lb.pem\", client_key = \"lb.key\" }",
        types: OVER_TLS,
        ..KEY
    },
    Key {
        name: "expiry_warning",
        form: Form::Time(&trust::EXPIRY_WARNING),
        unset: Unset::Time(TlsCheck::EXPIRY_WARNING),
        about: "so long before the server's certificate ends, `status` and the log say so; `\"0s\"`: never",
        example: "check = { type = \"tls\", ca = \"ca.pem\", expiry_warning = \"720h\" }",
        types: OVER_TLS,
        ..KEY
    },
];

pub(super) const EXCHANGE: &[Key] = &[
    Key {
        name: "send",
        form: BYTES,
        unset: Unset::Said("nothing: an empty datagram"),
        about: "what is sent, as text",
        example: "check = { type = \"udp\", send = \"ping\", expect = \"pong\" }",
        keepalived: Some("payload"),
        of_types: &[OfType {
            kind: Kind::Agent,
            about: Some("a line that is sent first; its end is added"),
            unset: Some(Unset::Said("nothing")),
        }],
        types: &[Kind::Udp, Kind::Agent],
        ..KEY
    },
    Key {
        name: "send_hex",
        form: HEX,
        about: "instead of `send`: the bytes, as `\"0d 0a ff\"`; for what is not UTF-8",
        example: "check = { type = \"udp\", send_hex = \"0d 0a ff\", expect = \"pong\" }",
        types: UDP,
        ..KEY
    },
    Key {
        name: "expect",
        form: BYTES,
        unset: Unset::Said("any answer, or none"),
        about: "what has to be in the answer, as text",
        example: "check = { type = \"udp\", send = \"ping\", expect = \"pong\" }",
        keepalived: Some("require_reply"),
        of_types: &[OfType {
            kind: Kind::Dns,
            about: Some("an address that has to be among the answers to `\"A\"` or `\"AAAA\"`"),
            unset: Some(Unset::Nothing),
        }],
        types: &[Kind::Udp, Kind::Dns],
        ..KEY
    },
    Key {
        name: "expect_hex",
        form: HEX,
        about: "instead of `expect`: the bytes",
        example: "check = { type = \"udp\", send = \"ping\", expect_hex = \"70 6f\" }",
        types: UDP,
        ..KEY
    },
    Key {
        name: "name",
        form: Form::Text {
            content: Content::Plain,
            what: "a name of DNS",
            pattern: "^[^ ]+$",
            count: None,
        },
        unset: Unset::Text("."),
        about: "what is asked for",
        example: "check = { type = \"dns\", name = \"www.example.com\" }",
        keepalived: Some("name"),
        types: DNS,
        ..KEY
    },
    Key {
        name: "query",
        form: Form::AnyCase(QueryType::WORDS),
        unset: Unset::Said("`\"SOA\"` of `\".\"`, else `\"A\"`"),
        about: "the type of record that is asked for",
        example: "check = { type = \"dns\", query = \"NS\" }",
        keepalived: Some("type"),
        types: DNS,
        ..KEY
    },
    Key {
        name: "rcode",
        form: Form::AnyCase(Rcode::WORDS),
        unset: Unset::Text(exchange::RCODE.as_str()),
        about: "how the answer has to be",
        example: "check = { type = \"dns\", rcode = \"REFUSED\" }",
        types: DNS,
        ..KEY
    },
    Key {
        name: "transport",
        form: Form::AnyCase(&Transport::WORDS),
        unset: Unset::Text(Transport::WORDS[0]),
        about: "`\"udp\"`, and TCP for an answer that does not fit; or `\"tcp\"`",
        example: "check = { type = \"dns\", transport = \"tcp\" }",
        types: DNS,
        ..KEY
    },
    Key {
        name: "service",
        form: Form::Text {
            content: Content::Plain,
            what: "the service's full name, `\"helloworld.Greeter\"`",
            pattern: "^[!-~]+$",
            count: Some(Count {
                most: exchange::LONGEST,
                unit: "characters",
            }),
        },
        unset: Unset::Said("the server as a whole"),
        about: "whose health is asked for",
        example: "check = { type = \"grpc\", service = \"helloworld.Greeter\" }",
        types: &[Kind::Grpc, Kind::Grpcs],
        ..KEY
    },
];
