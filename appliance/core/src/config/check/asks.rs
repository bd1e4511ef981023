//! What an HTTP or TLS check asks and what it expects: the keys that only some types of check have.
//! Must not: know when checks are made.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use toml::Spanned;

use super::super::fault::{Wrong, quoted};
use super::super::reader::{Reader, Section, Value};
use super::super::shape;
use super::kind::Kind;
use crate::check::{
    BodyTest, CaSource, CheckKind, Close, HttpCheck, Method, Page, Pattern, Statuses, TlsCheck, Verify,
};

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
const TRUST: [&str; 3] = ["ca", "fingerprint", "verify"];
/// A header's name or value; a path with its query.
const LONGEST: usize = 1_024;
const MOST_PAGES: usize = 16;
const MOST_HEADERS: usize = 16;
/// Fields that the check itself writes: RFC 9112, sections 3.2, 6 and 9.
const OWN_FIELDS: [&str; 5] = ["host", "connection", "content-length", "transfer-encoding", "te"];
const STATUS_HELP: &str = "write status = 200, status = \"200-299\", or a list of both";
const FINGERPRINT_HELP: &str = "the SHA-256 of the certificate: 64 hexadecimal digits, colons between them are fine; \
                                `openssl x509 -in FILE -noout -fingerprint -sha256` prints it";
const CA_HELP: &str = "give the certificate itself, ca = \"\"\"-----BEGIN CERTIFICATE-----...\"\"\", or the name of a \
                       file beside lb.toml, such as ca = \"ca.pem\"";

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

fn text<T>(
    reader: &mut Reader<'_>,
    value: Value<'_, '_>,
    help: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Option<Spanned<T>> {
    let text = reader.leaf::<String>(value, |value| value.mismatch("text", help))?;
    match read(text.get_ref()) {
        Ok(read) => Some(Spanned::new(value.span(), read)),
        Err(message) => {
            reader.fault(value.span(), message, help);
            None
        }
    }
}

fn close(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<Spanned<Close>> {
    let help = "allowed: \"fin\" and \"rst\"";
    text(reader, value, help, |text| match text {
        "fin" => Ok(Close::Fin),
        "rst" => Ok(Close::Rst),
        _ => Err(format!("{} is no way to close a connection", quoted(text))),
    })
}

fn method(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<Spanned<Method>> {
    let help = "allowed: \"GET\" and \"HEAD\"";
    text(reader, value, help, |text| match text {
        "GET" => Ok(Method::Get),
        "HEAD" => Ok(Method::Head),
        _ => Err(format!("{} is no method of a check", quoted(text))),
    })
}

/// What RFC 9110 allows in a field's value (section 5.5), without what is not ASCII.
fn is_field_value(text: &str) -> bool {
    let plain = text
        .bytes()
        .all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\t');
    plain && text.len() <= LONGEST && text.trim() == text
}

/// A token: RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    plain && !text.is_empty() && text.len() <= LONGEST
}

fn host(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<Spanned<String>> {
    let help = "the value of the Host field: a name or an address, and a port if it is not the usual one";
    text(reader, value, help, |text| {
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte));
        let fits = plain && !text.is_empty() && text.len() <= 255;
        fits.then(|| text.to_owned())
            .ok_or_else(|| format!("{} is no host", quoted(text)))
    })
}

fn server_name(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<Spanned<String>> {
    let help = "the name in the server's certificate, such as \"www.example.com\"";
    text(reader, value, help, |text| {
        rustls_pki_types::DnsName::try_from(text)
            .map(|name| name.as_ref().to_owned())
            .map_err(|_| format!("{} is no name of a host", quoted(text)))
    })
}

fn path(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<Spanned<String>> {
    let help = "a path and perhaps a query, such as \"/healthz?full\"; what is not ASCII is written with %";
    text(reader, value, help, |text| {
        // pchar, `/` and `?`: RFC 3986, sections 3.3 and 3.4.
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte));
        let fits = text.starts_with('/') && plain && text.len() <= LONGEST;
        fits.then(|| text.to_owned())
            .ok_or_else(|| format!("{} is no path", quoted(text)))
    })
}

fn headers(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<Spanned<Vec<(String, String)>>> {
    let help = "write headers = { \"X-Check\" = \"lb\" }";
    let table: Spanned<BTreeMap<String, String>> =
        reader.leaf(value, |value| value.mismatch("a table of names and texts", help))?;
    let mut fields = Vec::new();
    for (name, content) in table.into_inner() {
        let wrong = if !is_token(&name) {
            Some(format!("{} is no name of a header field", quoted(&name)))
        } else if OWN_FIELDS.contains(&name.to_ascii_lowercase().as_str()) {
            Some(format!(
                "the field {} is written by the check itself",
                quoted(&name)
            ))
        } else if !is_field_value(&content) {
            Some(format!("{} cannot be a field's value", quoted(&content)))
        } else {
            None
        };
        match wrong {
            Some(message) => {
                let help = match name.to_ascii_lowercase().as_str() {
                    "host" => "set it by the key `host`",
                    _ => help,
                };
                reader.fault(value.span(), message, help);
            }
            None => fields.push((name, content)),
        }
    }
    if fields.len() > MOST_HEADERS {
        reader.fault(
            value.span(),
            format!("{} header fields", fields.len()),
            "at most 16",
        );
        return None;
    }
    Some(Spanned::new(value.span(), fields))
}

fn statuses(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<Spanned<Statuses>> {
    let allowed = Statuses::LEAST..=Statuses::MOST;
    let mut ranges: Vec<RangeInclusive<u16>> = Vec::new();
    for one in reader.one_or_more(value, STATUS_HELP) {
        if one.is_integer() {
            let range = u32::from(Statuses::LEAST)..=u32::from(Statuses::MOST);
            let status = reader.integer(one, range)?;
            let status = u16::try_from(status.into_inner()).ok()?;
            ranges.push(status..=status);
            continue;
        }
        let range = text(reader, one, STATUS_HELP, |text| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let number = |text: &str| text.parse::<u16>().ok().filter(|status| allowed.contains(status));
            let range = number(first)
                .zip(number(last))
                .filter(|(first, last)| first <= last);
            range.map(|(first, last)| first..=last).ok_or_else(|| {
                format!(
                    "{} is no status or range of statuses from 100 to 599",
                    quoted(text)
                )
            })
        })?;
        ranges.push(range.into_inner());
    }
    (!ranges.is_empty()).then(|| Spanned::new(value.span(), Statuses(ranges)))
}

fn body(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Option<Spanned<BodyTest>> {
    let contains = section.value("body_contains");
    let matches = section.value("body_matches");
    if let (Some(_), Some(matches)) = (contains, matches) {
        let message = "`body_matches` beside `body_contains`";
        reader.fault(
            matches.span(),
            message,
            "remove one of the two; a pattern can do both",
        );
        return None;
    }
    if let Some(value) = contains {
        return text(
            reader,
            value,
            "the text that has to be in the body",
            |text| match text {
                "" => Err("every body contains nothing".to_owned()),
                text => Ok(BodyTest::Contains(text.to_owned())),
            },
        );
    }
    let help = "a regular expression, such as \"^ok\\\\b\"";
    text(reader, matches?, help, |text| {
        let pattern =
            Pattern::new(text).map_err(|error| format!("{} is no pattern: {error}", quoted(text)))?;
        Ok(BodyTest::Matches(pattern))
    })
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

/// `ca`, `fingerprint` or `verify = false`.
fn trust(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Option<Spanned<Verify>> {
    let values: Vec<Value<'_, '_>> = TRUST.iter().filter_map(|key| section.value(key)).collect();
    let [value] = values.as_slice() else {
        if let Some(second) = values.get(1) {
            let message = format!("`{}` beside `{}`", second.key, values[0].key);
            reader.fault(
                second.span(),
                message,
                "one of `ca`, `fingerprint` and `verify` says who may answer",
            );
        }
        return None;
    };
    match value.key {
        "ca" => text(reader, *value, CA_HELP, ca),
        "fingerprint" => text(reader, *value, FINGERPRINT_HELP, fingerprint),
        _ => {
            if reader.flag(*value)? {
                let help = "name who may answer: `ca` or `fingerprint`; there is no list of authorities on the appliance";
                reader.fault(value.span(), "`verify = true` needs somebody to trust", help);
                return None;
            }
            Some(Spanned::new(value.span(), Verify::Nobody))
        }
    }
}

fn ca(text: &str) -> Result<Verify, String> {
    use rustls_pki_types::{CertificateDer, pem::PemObject};
    if text.contains("-----BEGIN") {
        let mut count = 0;
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            certificate.map_err(|_| "the PEM cannot be read".to_owned())?;
            count += 1;
        }
        return match count {
            0 => Err("there is no certificate in this PEM".to_owned()),
            _ => Ok(Verify::Ca(CaSource::Text(text.to_owned()))),
        };
    }
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !plain || text.is_empty() || text.starts_with('.') || text.len() > 64 {
        return Err(format!(
            "{} is neither a certificate nor the name of a file",
            quoted(text)
        ));
    }
    Ok(Verify::Ca(CaSource::File(text.to_owned())))
}

fn fingerprint(text: &str) -> Result<Verify, String> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let wrong = || format!("{} is no fingerprint", quoted(text));
    let mut print = [0; 32];
    if digits.len() != 64 {
        return Err(wrong());
    }
    for (byte, pair) in print.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
    }
    Ok(Verify::Fingerprint(print))
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
