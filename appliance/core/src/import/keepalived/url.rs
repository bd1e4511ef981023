//! HTTP_GET and SSL_GET as keys of a check. Must not: know when checks are made.

use super::super::draft::{Keys, Note};
use super::super::remarks::{Remarks, shown};
use super::super::values::{self, is_dns_name, is_host, is_path};
use super::inherited::Inherited;
use super::tree::Statement;
use super::words;
use crate::check::Pattern;

/// What lb.toml has for one check.
const MOST_URLS: usize = 16;

/// One request.
struct Page {
    path: String,
    status: Option<String>,
    matches: Option<String>,
}

impl Page {
    fn inline(&self) -> String {
        let mut keys = vec![format!("path = {}", values::text(&self.path))];
        keys.extend(self.status.iter().map(|status| format!("status = {status}")));
        keys.extend(
            self.matches
                .iter()
                .map(|pattern| format!("body_matches = {pattern}")),
        );
        format!("{{ {} }}", keys.join(", "))
    }
}

pub(super) fn http(
    checker: &Statement,
    rest: &[&Statement],
    timing: &Inherited,
    keys: &mut Keys,
    notes: &mut Vec<Note>,
    remarks: &mut Remarks,
) {
    let mut host = timing.virtualhost.clone();
    let mut pages = Vec::new();
    let (mut name, mut sends_host) = (None, false);
    for statement in rest {
        let place = statement.place;
        match statement.word() {
            "url" => pages.push(page(statement, &mut host, remarks)),
            "http_protocol" => remarks.differs(place, "http_protocol: checks speak HTTP/1.1 here"),
            "sni_name" => name = sni(statement, remarks),
            "enable_sni" => sends_host = true,
            "fast_recovery" => {
                remarks.differs(
                    place,
                    "fast_recovery: all URLs of a check are asked at once here, every time",
                );
            }
            "tls_compliant" => remarks.differs(place, "tls_compliant: connections of checks always end so"),
            _ => words::drop_with_reason(statement, remarks),
        }
    }
    if pages.len() > MOST_URLS {
        let message = format!(
            "{} URLs: a check has 16 here, and the others are left out",
            pages.len()
        );
        remarks.fault(checker.place, message);
        pages.truncate(MOST_URLS);
    }
    write_pages(&pages, keys);
    if let Some(host) = &host {
        keys.put("host", values::text(host));
    }
    if checker.word() == "SSL_GET" {
        // The name of the Host field is what keepalived sends as SNI; without one there is none.
        let sent = host.filter(|host| sends_host && is_dns_name(host));
        trust(checker, name.or(sent), keys, notes);
    }
}

fn trust(checker: &Statement, name: Option<String>, keys: &mut Keys, notes: &mut Vec<Note>) {
    let text = "keepalived verifies no certificate: say who may answer by `ca` or `fingerprint` in the place of `verify = false`";
    notes.push(Note {
        place: checker.place,
        text: text.to_owned(),
    });
    keys.put("verify", "false");
    if let Some(name) = name {
        keys.put("server_name", values::text(&name));
    }
}

fn write_pages(pages: &[Page], keys: &mut Keys) {
    match pages {
        [] => keys.put("path", "\"/\""),
        [page] => {
            keys.put("path", values::text(&page.path));
            page.status
                .iter()
                .for_each(|status| keys.put("status", status.as_str()));
            page.matches
                .iter()
                .for_each(|pattern| keys.put("body_matches", pattern.as_str()));
        }
        pages => {
            let all: Vec<String> = pages.iter().map(Page::inline).collect();
            keys.put("urls", format!("[{}]", all.join(", ")));
        }
    }
}

fn sni(statement: &Statement, remarks: &mut Remarks) -> Option<String> {
    words::value(statement, "a name of a host", remarks, |text| {
        is_dns_name(text).then(|| text.to_owned())
    })
}

fn page(url: &Statement, host: &mut Option<String>, remarks: &mut Remarks) -> Page {
    let mut page = Page {
        path: "/".to_owned(),
        status: None,
        matches: None,
    };
    let mut inverted = false;
    for statement in url.statements() {
        let place = statement.place;
        match statement.word() {
            "path" => {
                let path = words::value(statement, "a path that begins with /", remarks, |text| {
                    is_path(text).then(|| text.to_owned())
                });
                page.path = path.unwrap_or(page.path);
            }
            "status_code" => page.status = status(statement, remarks),
            "virtualhost" => one_host(statement, host, remarks),
            "digest" => {
                let message = "digest: the body is not hashed here, and not looked at; body_contains = \"...\" tests it";
                remarks.fault(place, message);
            }
            "regex" => page.matches = pattern(statement, remarks),
            "regex_no_match" => inverted = true,
            "regex_options" | "regex_stack" | "regex_min_offset" | "regex_max_offset" => {
                let message = format!(
                    "{}: patterns have no options here; (?i), (?m) and (?s) in front of the pattern stand for some",
                    statement.word()
                );
                remarks.fault(place, message);
            }
            "tls_compliant" => {}
            // What they are is not repeated.
            "username" | "password" => {
                let message = format!(
                    "{}: requests are made without a name and a password; `headers = {{ Authorization = \"Basic ...\" }}` of the check \
                     sends them",
                    statement.word()
                );
                remarks.fault(place, message);
            }
            _ => words::drop_with_reason(statement, remarks),
        }
    }
    if inverted && page.matches.take().is_some() {
        remarks.fault(
            url.place,
            "regex_no_match: what must not be in a body cannot be said here; the pattern is left out",
        );
    }
    page
}

/// A check has one host for all that it asks for: the first.
fn one_host(statement: &Statement, host: &mut Option<String>, remarks: &mut Remarks) {
    let read = |text: &str| is_host(text).then(|| text.to_owned());
    let given = words::value(statement, "a name of a host", remarks, read);
    match (&*host, given) {
        (Some(known), Some(given)) if *known != given => {
            let message =
                format!("virtualhost {given}: a check has one host for all its URLs here, which is {known}");
            remarks.fault(statement.place, message);
        }
        (_, given) => *host = given.or_else(|| host.take()),
    }
}

/// Statuses and ranges of them.
fn status(statement: &Statement, remarks: &mut Remarks) -> Option<String> {
    let mut all = Vec::new();
    for given in statement.arguments() {
        let (first, last) = given.split_once('-').unwrap_or((given, given));
        let number = |text: &str| {
            text.parse::<u16>()
                .ok()
                .filter(|status| (100..=599).contains(status))
        };
        match number(first)
            .zip(number(last))
            .filter(|(first, last)| first <= last)
        {
            Some((first, last)) if first == last => all.push(first.to_string()),
            Some((first, last)) => all.push(format!("\"{first}-{last}\"")),
            None => {
                let message = format!("{} is no status from 100 to 599; it is left out", shown(given));
                remarks.fault(statement.place, message);
            }
        }
    }
    (!all.is_empty()).then(|| values::one_or_list(&all))
}

fn pattern(statement: &Statement, remarks: &mut Remarks) -> Option<String> {
    let given = statement.arguments().join(" ");
    match Pattern::new(&given) {
        Ok(_) => Some(values::text(&given)),
        Err(error) => {
            let message = format!(
                "the pattern {} cannot be used here, and is left out: {}",
                shown(&given),
                shown(&error)
            );
            remarks.fault(statement.place, message);
            None
        }
    }
}
