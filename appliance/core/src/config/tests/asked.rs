//! What checks ask, by chance, and how that is written in a file.

use std::fmt::Write;
use std::ops::RangeInclusive;

use proptest::prelude::*;

use crate::check::{
    BodyTest, CaSource, CheckKind, Close, HttpCheck, Method, Page, Pattern, Statuses, TlsCheck, Verify,
};

fn tls() -> impl Strategy<Value = TlsCheck> {
    let verify = prop_oneof![
        "[a-z][a-z0-9._-]{0,20}".prop_map(|name| Verify::Ca(CaSource::File(name))),
        any::<[u8; 32]>().prop_map(Verify::Fingerprint),
        Just(Verify::Nobody),
    ];
    let name = prop::option::of("[a-z][a-z0-9]{0,8}\\.[a-z]{2,4}");
    (name, verify).prop_map(|(server_name, verify)| TlsCheck { server_name, verify })
}

fn statuses() -> impl Strategy<Value = Statuses> {
    let range = (Statuses::LEAST..=Statuses::MOST, 0u16..100);
    let range = range.prop_map(|(first, more)| first..=(first + more).min(Statuses::MOST));
    prop::collection::vec(range, 1..4).prop_map(Statuses)
}

fn page() -> impl Strategy<Value = Page> {
    let body = prop_oneof![
        Just(BodyTest::Any),
        "[ -~]{1,20}".prop_map(BodyTest::Contains),
        "[a-z ]{0,10}(\\^|\\.|\\[ab\\]){0,2}"
            .prop_map(|text| BodyTest::Matches(Pattern::new(&text).unwrap())),
    ];
    ("/[a-zA-Z0-9._~!$&'()*+,;=:@/?%-]{0,20}", statuses(), body).prop_map(|(path, status, body)| Page {
        path,
        status,
        body,
    })
}

/// Every type but "none".
pub(super) fn asked() -> impl Strategy<Value = CheckKind> {
    let method = prop_oneof![Just(Method::Get), Just(Method::Head)];
    let headers = prop::collection::btree_map("X-[A-Za-z0-9-]{1,8}", "[!-~]{1,10}", 0..3);
    let host = prop::option::of("[a-z0-9.]{1,20}");
    let pages = prop::collection::vec(page(), 1..4);
    let http = (prop::option::of(tls()), method, host, headers, pages);
    let http = http.prop_map(|(tls, method, host, headers, mut pages)| {
        // An answer to HEAD has no body.
        if method == Method::Head {
            pages.iter_mut().for_each(|page| page.body = BodyTest::Any);
        }
        HttpCheck {
            tls,
            method,
            host,
            headers: headers.into_iter().collect(),
            pages,
            counts_endpoints: false,
        }
    });
    prop_oneof![
        2 => prop_oneof![Just(Close::Fin), Just(Close::Rst)].prop_map(CheckKind::Tcp),
        1 => tls().prop_map(CheckKind::Tls),
        2 => http.prop_map(CheckKind::Http),
    ]
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn written_page(page: &Page, separator: &str) -> String {
    let range = |range: &RangeInclusive<u16>| match range.start() == range.end() {
        true => range.start().to_string(),
        false => format!("\"{}-{}\"", range.start(), range.end()),
    };
    let ranges: Vec<String> = page.status.0.iter().map(range).collect();
    let mut keys = vec![
        format!("path = {}", quoted(&page.path)),
        format!("status = [{}]", ranges.join(", ")),
    ];
    match &page.body {
        BodyTest::Any => {}
        BodyTest::Contains(text) => keys.push(format!("body_contains = {}", quoted(text))),
        BodyTest::Matches(pattern) => keys.push(format!("body_matches = {}", quoted(pattern.as_str()))),
    }
    keys.join(separator)
}

fn written_tls(tls: &TlsCheck) -> String {
    let mut text = String::new();
    if let Some(name) = &tls.server_name {
        let _ = writeln!(text, "server_name = {}", quoted(name));
    }
    let _ = match &tls.verify {
        Verify::Ca(CaSource::File(name) | CaSource::Text(name)) => writeln!(text, "ca = {}", quoted(name)),
        Verify::Fingerprint(print) => {
            let digits: Vec<String> = print.iter().map(|byte| format!("{byte:02X}")).collect();
            writeln!(text, "fingerprint = \"{}\"", digits.join(":"))
        }
        Verify::Nobody => writeln!(text, "verify = false"),
    };
    text
}

/// Keys of a `check`, a line each.
pub(super) fn written_kind(kind: &CheckKind) -> String {
    let http = match kind {
        CheckKind::None => return "type = \"none\"\n".to_owned(),
        CheckKind::Tcp(Close::Fin) => return "type = \"tcp\"\n".to_owned(),
        CheckKind::Tcp(Close::Rst) => return "type = \"tcp\"\nclose = \"rst\"\n".to_owned(),
        CheckKind::Tls(tls) => return format!("type = \"tls\"\n{}", written_tls(tls)),
        CheckKind::Http(http) => http,
    };
    let mut text = match &http.tls {
        Some(tls) => format!("type = \"https\"\n{}", written_tls(tls)),
        None => "type = \"http\"\n".to_owned(),
    };
    let _ = writeln!(text, "method = \"{}\"", http.method.as_str());
    if let Some(host) = &http.host {
        let _ = writeln!(text, "host = {}", quoted(host));
    }
    let headers: Vec<String> = http
        .headers
        .iter()
        .map(|(name, value)| format!("{} = {}", quoted(name), quoted(value)))
        .collect();
    let _ = writeln!(text, "headers = {{ {} }}", headers.join(", "));
    if let [page] = http.pages.as_slice() {
        let _ = writeln!(text, "{}", written_page(page, "\n"));
    } else {
        let pages: Vec<String> = http
            .pages
            .iter()
            .map(|page| format!("{{ {} }}", written_page(page, ", ")))
            .collect();
        let _ = writeln!(text, "urls = [{}]", pages.join(", "));
    }
    text
}
