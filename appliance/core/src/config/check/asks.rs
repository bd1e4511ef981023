//! What an HTTP or TLS check asks and what it expects: the keys that only some types of check have.
//! Must not: know when checks are made.

use std::ops::Range;

use toml::Spanned;

use super::super::fault::Wrong;
use super::super::reader::{Reader, Section};
use super::super::shape;
use super::kind::Kind;
use super::values::{TRUST, body, close, headers, host, method, path, server_name, statuses, trust};
use crate::check::{BodyTest, CheckKind, Close, HttpCheck, Method, Page, Statuses, TlsCheck, Verify};

const HTTP: &[Kind] = &[Kind::Http, Kind::Https, Kind::KubeApiserver];
/// Of an answer that is what kube-proxy gives, the body is not tested.
const REQUEST: &[Kind] = &[
    Kind::Http,
    Kind::Https,
    Kind::KubeApiserver,
    Kind::HealthCheckNodePort,
];
const TLS: &[Kind] = &[Kind::Https, Kind::Tls, Kind::KubeApiserver];
/// Which types of check a key means something to.
const FITS: [(&str, &[Kind]); 13] = [
    ("close", &[Kind::Tcp]),
    ("method", HTTP),
    ("host", REQUEST),
    ("headers", REQUEST),
    ("path", REQUEST),
    ("status", HTTP),
    ("body_contains", HTTP),
    ("body_matches", HTTP),
    ("urls", HTTP),
    ("server_name", TLS),
    ("ca", TLS),
    ("fingerprint", TLS),
    ("verify", TLS),
];
const MOST_PAGES: usize = 16;

/// The keys that a `check` table gives.
#[derive(Debug, Clone, Default)]
pub(super) struct AskKeys {
    close: Option<Spanned<Close>>,
    method: Option<Spanned<Method>>,
    host: Option<Spanned<String>>,
    headers: Option<Spanned<Vec<(String, String)>>>,
    page: PageKeys,
    urls: Option<Spanned<Vec<Page>>>,
    server_name: Option<Spanned<String>>,
    trust: Option<Spanned<Verify>>,
    /// Where the keys of this very table stand.
    given: Vec<(&'static str, Range<usize>)>,
    /// Whether the file says who may answer, be it with a fault.
    names_trust: bool,
}

/// The keys of one request.
#[derive(Debug, Clone, Default)]
struct PageKeys {
    path: Option<Spanned<String>>,
    status: Option<Spanned<Statuses>>,
    body: Option<Spanned<BodyTest>>,
}

impl PageKeys {
    fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> PageKeys {
        PageKeys {
            path: section.value("path").and_then(|value| path(reader, value)),
            status: section.value("status").and_then(|value| statuses(reader, value)),
            body: body(reader, section),
        }
    }

    fn over(self, base: &PageKeys) -> PageKeys {
        PageKeys {
            path: self.path.or_else(|| base.path.clone()),
            status: self.status.or_else(|| base.status.clone()),
            body: self.body.or_else(|| base.body.clone()),
        }
    }

    fn page(&self, path: &str) -> Page {
        Page {
            path: inner(&self.path).unwrap_or_else(|| path.to_owned()),
            status: inner(&self.status).unwrap_or_default(),
            body: inner(&self.body).unwrap_or_default(),
        }
    }
}

fn inner<T: Clone>(given: &Option<Spanned<T>>) -> Option<T> {
    given.as_ref().map(|given| given.get_ref().clone())
}

impl AskKeys {
    pub fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> AskKeys {
        let given = FITS
            .iter()
            .filter_map(|(key, _)| Some((*key, section.key_span(key)?)));
        let given: Vec<_> = given.collect();
        let names_trust = given.iter().any(|(key, _)| TRUST.contains(key));
        AskKeys {
            close: section.value("close").and_then(|value| close(reader, value)),
            method: section.value("method").and_then(|value| method(reader, value)),
            host: section.value("host").and_then(|value| host(reader, value)),
            headers: section.value("headers").and_then(|value| headers(reader, value)),
            page: PageKeys::read(reader, section),
            urls: urls(reader, section),
            server_name: section
                .value("server_name")
                .and_then(|value| server_name(reader, value)),
            trust: trust(reader, section),
            given,
            names_trust,
        }
    }

    pub fn over(self, base: &AskKeys) -> AskKeys {
        AskKeys {
            close: self.close.or_else(|| base.close.clone()),
            method: self.method.or_else(|| base.method.clone()),
            host: self.host.or_else(|| base.host.clone()),
            headers: self.headers.or_else(|| base.headers.clone()),
            page: self.page.over(&base.page),
            urls: self.urls.or_else(|| base.urls.clone()),
            server_name: self.server_name.or_else(|| base.server_name.clone()),
            trust: self.trust.or_else(|| base.trust.clone()),
            given: self.given,
            names_trust: self.names_trust || base.names_trust,
        }
    }

    /// Keys of this table that mean nothing to a check of this type.
    pub fn judge(&self, reader: &mut Reader<'_>, kind: Kind) {
        for (key, span) in &self.given {
            let fits = FITS
                .iter()
                .find(|(known, _)| known == key)
                .map_or(&[][..], |(_, kinds)| kinds);
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
    }

    /// An answer to HEAD has no body.
    pub fn judge_body(&self, reader: &mut Reader<'_>) {
        let is_head = self
            .method
            .as_ref()
            .is_some_and(|method| *method.get_ref() == Method::Head);
        let in_urls = self
            .urls
            .as_ref()
            .filter(|urls| urls.get_ref().iter().any(|page| page.body != BodyTest::Any));
        let span = self
            .page
            .body
            .as_ref()
            .map(Spanned::span)
            .or(in_urls.map(Spanned::span));
        if let Some(span) = span.filter(|_| is_head) {
            reader.fault(
                span,
                "an answer to HEAD has no body to test",
                "remove the test, or `method`",
            );
        }
    }

    pub fn names_trust(&self) -> bool {
        self.names_trust
    }

    pub fn says_anything(&self) -> bool {
        !self.given.is_empty()
    }

    pub fn check(&self, kind: Kind) -> CheckKind {
        match kind {
            Kind::None => CheckKind::None,
            Kind::Tcp => CheckKind::Tcp(inner(&self.close).unwrap_or_default()),
            Kind::Tls => CheckKind::Tls(self.tls()),
            Kind::Http => self.http(None, "/"),
            Kind::Https => self.http(Some(self.tls()), "/"),
            Kind::KubeApiserver => self.http(Some(self.tls()), "/readyz"),
            Kind::HealthCheckNodePort => self.endpoints(),
        }
    }

    /// 200 or 503, whatever a service's check says whose keys are beneath.
    fn endpoints(&self) -> CheckKind {
        let path = inner(&self.page.path).unwrap_or_else(|| "/healthz".to_owned());
        CheckKind::Http(HttpCheck {
            tls: None,
            method: Method::Get,
            host: inner(&self.host),
            headers: inner(&self.headers).unwrap_or_default(),
            pages: vec![Page {
                path,
                status: Statuses(vec![200..=200]),
                body: BodyTest::Any,
            }],
            counts_endpoints: true,
        })
    }

    fn tls(&self) -> TlsCheck {
        TlsCheck {
            server_name: inner(&self.server_name),
            verify: inner(&self.trust).unwrap_or(Verify::Nobody),
        }
    }

    fn http(&self, tls: Option<TlsCheck>, path: &str) -> CheckKind {
        CheckKind::Http(HttpCheck {
            tls,
            method: inner(&self.method).unwrap_or_default(),
            host: inner(&self.host),
            headers: inner(&self.headers).unwrap_or_default(),
            pages: inner(&self.urls).unwrap_or_else(|| vec![self.page.page(path)]),
            counts_endpoints: false,
        })
    }
}

fn urls(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Option<Spanned<Vec<Page>>> {
    let value = section.value("urls")?;
    for key in ["path", "status", "body_contains", "body_matches"] {
        if let Some(span) = section.key_span(key) {
            let message = format!("`{key}` beside `urls`");
            reader.fault(span, message, "write it into each of the `urls` that it is for");
        }
    }
    let help = "write urls = [{ path = \"/healthz\" }, { path = \"/ready\", status = 204 }]";
    let tables = reader.tables(section, "urls", &shape::URL, help);
    let mut pages = Vec::new();
    for table in &tables {
        let given = reader.required(table, "path", "add what is asked for: path = \"/healthz\"");
        let keys = PageKeys::read(reader, table);
        if given.is_some() {
            pages.push(keys.page("/"));
        }
    }
    if pages.is_empty() || pages.len() > MOST_PAGES {
        let message = format!("`urls` has {} requests", tables.len());
        reader.fault(value.span(), message, "allowed: 1 to 16");
        return None;
    }
    Some(Spanned::new(value.span(), pages))
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
