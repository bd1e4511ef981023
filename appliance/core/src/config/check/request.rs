//! The keys of a check that sends requests of HTTP: what it asks for, and which answers are right.
//! Must not: know who may answer.

use toml::Spanned;

use super::super::reader::{Reader, Section};
use super::super::shape;
use super::values::{body, headers, host, method, path, statuses};
use super::{ENDPOINTS_PATH, PATH, inner, or};
use crate::check::{BodyTest, CheckKind, HttpCheck, Method, Page, Statuses, TlsCheck};

pub(in crate::config) const MOST_PAGES: usize = 16;

#[derive(Debug, Clone, Default)]
pub(super) struct RequestKeys {
    method: Option<Spanned<Method>>,
    host: Option<Spanned<String>>,
    headers: Option<Spanned<Vec<(String, String)>>>,
    page: PageKeys,
    urls: Option<Spanned<Vec<Page>>>,
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
            path: or(self.path, &base.path),
            status: or(self.status, &base.status),
            body: or(self.body, &base.body),
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

impl RequestKeys {
    pub fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> RequestKeys {
        RequestKeys {
            method: section.value("method").and_then(|value| method(reader, value)),
            host: section.value("host").and_then(|value| host(reader, value)),
            headers: section.value("headers").and_then(|value| headers(reader, value)),
            page: PageKeys::read(reader, section),
            urls: urls(reader, section),
        }
    }

    pub fn over(self, base: &RequestKeys) -> RequestKeys {
        RequestKeys {
            method: or(self.method, &base.method),
            host: or(self.host, &base.host),
            headers: or(self.headers, &base.headers),
            page: self.page.over(&base.page),
            urls: or(self.urls, &base.urls),
        }
    }

    pub fn host(&self) -> Option<String> {
        inner(&self.host)
    }

    /// An answer to HEAD has no body.
    pub fn judge(&self, reader: &mut Reader<'_>) {
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

    /// 200 or 503, whatever a service's check says whose keys are beneath.
    pub fn endpoints(&self) -> CheckKind {
        let path = inner(&self.page.path).unwrap_or_else(|| ENDPOINTS_PATH.to_owned());
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

    pub fn http(&self, tls: Option<TlsCheck>, path: &str) -> CheckKind {
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
            pages.push(keys.page(PATH));
        }
    }
    if pages.is_empty() || pages.len() > MOST_PAGES {
        let message = format!("`urls` has {} requests", tables.len());
        reader.fault(value.span(), message, format!("allowed: 1 to {MOST_PAGES}"));
        return None;
    }
    Some(Spanned::new(value.span(), pages))
}
