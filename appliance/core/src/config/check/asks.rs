//! What a check asks: the keys that only some types of check have, and which mean something to which.
//! Must not: know when checks are made.

use std::ops::Range;

use toml::Spanned;

use super::super::fault::Wrong;
use super::super::reader::{Reader, Section};
use super::exchange::ExchangeKeys;
use super::kind::Kind;
use super::request::RequestKeys;
use super::trust::TlsKeys;
use super::values::close;
use super::{APISERVER_PATH, PATH, inner, or};
use crate::check::{CheckKind, Close, GrpcCheck};
use crate::config::keys::{CHECK, Key};

/// The keys that a `check` table gives.
#[derive(Debug, Clone, Default)]
pub(super) struct AskKeys {
    close: Option<Spanned<Close>>,
    request: RequestKeys,
    tls: TlsKeys,
    exchange: ExchangeKeys,
    /// Where the keys of this very table stand.
    given: Vec<(&'static Key, Range<usize>)>,
}

impl AskKeys {
    pub fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> AskKeys {
        let given = CHECK.keys().filter(|key| !key.kinds().is_empty());
        let given = given.filter_map(|key| Some((key, section.key_span(key.name)?)));
        AskKeys {
            close: section.value("close").and_then(|value| close(reader, value)),
            request: RequestKeys::read(reader, section),
            tls: TlsKeys::read(reader, section),
            exchange: ExchangeKeys::read(reader, section),
            given: given.collect(),
        }
    }

    pub fn over(self, base: &AskKeys) -> AskKeys {
        AskKeys {
            close: or(self.close, &base.close),
            request: self.request.over(&base.request),
            tls: self.tls.over(&base.tls),
            exchange: self.exchange.over(&base.exchange),
            given: self.given,
        }
    }

    /// Keys that mean nothing to a check of this type, and those that do not fit to each other.
    pub fn judge(&self, reader: &mut Reader<'_>, kind: Kind) {
        for (key, span) in &self.given {
            let (fits, key) = (key.kinds(), key.name);
            if !fits.contains(&kind) {
                let kinds: Vec<String> = fits.iter().map(|kind| format!("\"{}\"", kind.as_str())).collect();
                let message = format!("`{key}` means nothing to a check of type \"{}\"", kind.as_str());
                let help = format!(
                    "it belongs to type = {}; remove it, or set `type`",
                    kinds.join(", ")
                );
                reader.fault(span.clone(), message, help);
            }
        }
        self.request.judge(reader);
        self.exchange.judge(reader, kind);
        if kind.has_tls() {
            self.tls.judge(reader);
        }
    }

    pub fn names_trust(&self) -> bool {
        self.tls.names_trust()
    }

    pub fn says_anything(&self) -> bool {
        !self.given.is_empty()
    }

    pub fn check(&self, kind: Kind) -> CheckKind {
        let tls = || Some(self.tls.check());
        match kind {
            Kind::None => CheckKind::None,
            Kind::Tcp => CheckKind::Tcp(inner(&self.close).unwrap_or_default()),
            Kind::Tls => CheckKind::Tls(self.tls.check()),
            Kind::Http => self.request.http(None, PATH),
            Kind::Https => self.request.http(tls(), PATH),
            Kind::KubeApiserver => self.request.http(tls(), APISERVER_PATH),
            Kind::HealthCheckNodePort => self.request.endpoints(),
            Kind::Udp => CheckKind::Udp(self.exchange.udp()),
            Kind::Dns => CheckKind::Dns(self.exchange.dns()),
            Kind::Icmp => CheckKind::Icmp,
            Kind::Grpc => self.grpc(None),
            Kind::Grpcs => self.grpc(Some(self.tls.check())),
            Kind::Agent => CheckKind::Agent(self.exchange.agent()),
        }
    }

    fn grpc(&self, tls: Option<crate::check::TlsCheck>) -> CheckKind {
        CheckKind::Grpc(GrpcCheck {
            tls,
            host: self.request.host(),
            service: self.exchange.service(),
        })
    }
}

/// A check that trusts nobody by name has to say so.
pub(super) fn untrusted(kind: Kind) -> Wrong {
    let help = "name who may answer: `ca` or `fingerprint`; or say verify = false, and anybody may";
    let message = format!(
        "a check of type \"{}\" does not know whom to trust",
        kind.as_str()
    );
    Wrong::new(message, help)
}
