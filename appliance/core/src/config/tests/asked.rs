//! What checks ask, by chance, and how that is written in a file.

use std::fmt::Write;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use proptest::prelude::*;

use crate::check::{
    AgentCheck, BodyTest, CheckKind, Close, DnsCheck, DnsName, GrpcCheck, HttpCheck, Identity, Method, Page,
    Pattern, Pem, QueryType, Question, Rcode, Statuses, TlsCheck, Transport, UdpCheck, Verify,
};
use crate::config::{missing_files, parse, warnings};

fn tls() -> impl Strategy<Value = TlsCheck> {
    let verify = prop_oneof![
        "[a-z][a-z0-9._-]{0,20}".prop_map(|name| Verify::Ca(Pem::File(name))),
        any::<[u8; 32]>().prop_map(Verify::Fingerprint),
        Just(Verify::Nobody),
    ];
    let name = prop::option::of("[a-z][a-z0-9]{0,8}\\.[a-z]{2,4}");
    let file = "[a-z][a-z0-9._-]{0,20}";
    let identity = (file, file).prop_map(|(certificate, key)| Identity {
        certificate: Pem::File(certificate),
        key: Pem::File(key),
    });
    let end = (0u64..8_784).prop_map(Duration::from_hours);
    (name, verify, prop::option::of(identity), end).prop_map(
        |(server_name, verify, identity, expiry_warning)| TlsCheck {
            server_name,
            verify,
            identity,
            expiry_warning,
        },
    )
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

fn udp() -> impl Strategy<Value = UdpCheck> {
    let expect = prop::option::of(prop::collection::vec(any::<u8>(), 1..20));
    (prop::collection::vec(any::<u8>(), 0..20), expect).prop_map(|(send, expect)| UdpCheck { send, expect })
}

fn dns() -> impl Strategy<Value = DnsCheck> {
    let name = prop_oneof![Just(".".to_owned()), "([a-z0-9_-]{1,20}\\.){0,4}[a-z]{2,9}"];
    let asked = (
        prop::sample::select(QueryType::ALL.to_vec()),
        prop::sample::select(Rcode::ALL.to_vec()),
    );
    let transport = prop_oneof![Just(Transport::Udp), Just(Transport::Tcp)];
    let expect = prop::option::of(any::<IpAddr>());
    (name, asked, transport, expect).prop_map(|(name, (query, rcode), transport, expect)| {
        let fits = |address: &IpAddr| match query {
            QueryType::A => address.is_ipv4(),
            QueryType::Aaaa => address.is_ipv6(),
            _ => false,
        };
        DnsCheck {
            question: Question {
                name: DnsName::new(&name).unwrap(),
                query,
            },
            rcode,
            expect: expect.filter(|address| fits(address) && rcode == Rcode::NoError),
            transport,
        }
    })
}

fn grpc() -> impl Strategy<Value = GrpcCheck> {
    let host = prop::option::of("[a-z0-9.]{1,20}");
    (prop::option::of(tls()), host, "[a-zA-Z0-9.]{0,20}").prop_map(|(tls, host, service)| GrpcCheck {
        tls,
        host,
        service,
    })
}

/// Every type but "none"; an agent needs a port.
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
        2 => prop_oneof![Just(Close::HalfOpen), Just(Close::Fin), Just(Close::Rst)].prop_map(CheckKind::Tcp),
        1 => tls().prop_map(CheckKind::Tls),
        2 => http.prop_map(CheckKind::Http),
        1 => udp().prop_map(CheckKind::Udp),
        1 => dns().prop_map(CheckKind::Dns),
        1 => Just(CheckKind::Icmp),
        1 => grpc().prop_map(CheckKind::Grpc),
        1 => prop::option::of("[ -~]{1,20}").prop_map(|send| CheckKind::Agent(AgentCheck { send })),
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
        Verify::Ca(Pem::File(name) | Pem::Text(name)) => writeln!(text, "ca = {}", quoted(name)),
        Verify::Fingerprint(print) => {
            let digits: Vec<String> = print.iter().map(|byte| format!("{byte:02X}")).collect();
            writeln!(text, "fingerprint = \"{}\"", digits.join(":"))
        }
        Verify::Nobody => writeln!(text, "verify = false"),
    };
    if let Some(Identity { certificate, key }) = &tls.identity {
        for (name, Pem::File(pem) | Pem::Text(pem)) in
            [("client_certificate", certificate), ("client_key", key)]
        {
            let _ = writeln!(text, "{name} = {}", quoted(pem));
        }
    }
    let end = super::super::time::show(tls.expiry_warning);
    let _ = writeln!(text, "expiry_warning = \"{end}\"");
    text
}

fn written_dns(dns: &DnsCheck) -> String {
    let transport = match dns.transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
    };
    let mut text = format!(
        "type = \"dns\"\nname = \"{}\"\nquery = \"{}\"\nrcode = \"{}\"\ntransport = \"{transport}\"\n",
        dns.question.name.as_str(),
        dns.question.query.as_str(),
        dns.rcode.as_str()
    );
    if let Some(address) = dns.expect {
        let _ = writeln!(text, "expect = \"{address}\"");
    }
    text
}

fn written_udp(udp: &UdpCheck) -> String {
    let mut text = "type = \"udp\"\n".to_owned();
    let mut write = |key: &str, bytes: &[u8]| {
        let _ = match std::str::from_utf8(bytes) {
            Ok(plain) => writeln!(text, "{key} = {}", quoted(plain)),
            Err(_) => {
                let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                writeln!(text, "{key}_hex = \"{}\"", digits.join(" "))
            }
        };
    };
    if !udp.send.is_empty() {
        write("send", &udp.send);
    }
    if let Some(expect) = &udp.expect {
        write("expect", expect);
    }
    text
}

fn written_grpc(grpc: &GrpcCheck) -> String {
    let mut text = match &grpc.tls {
        Some(tls) => format!("type = \"grpcs\"\n{}", written_tls(tls)),
        None => "type = \"grpc\"\n".to_owned(),
    };
    if let Some(host) = &grpc.host {
        let _ = writeln!(text, "host = {}", quoted(host));
    }
    if !grpc.service.is_empty() {
        let _ = writeln!(text, "service = {}", quoted(&grpc.service));
    }
    text
}

/// Keys of a `check`, a line each.
pub(super) fn written_kind(kind: &CheckKind) -> String {
    match kind {
        CheckKind::None => "type = \"none\"\n".to_owned(),
        CheckKind::Tcp(Close::HalfOpen) => "type = \"tcp\"\n".to_owned(),
        CheckKind::Tcp(Close::Fin) => "type = \"tcp\"\nclose = \"fin\"\n".to_owned(),
        CheckKind::Tcp(Close::Rst) => "type = \"tcp\"\nclose = \"rst\"\n".to_owned(),
        CheckKind::Tls(tls) => format!("type = \"tls\"\n{}", written_tls(tls)),
        CheckKind::Http(http) => written_http(http),
        CheckKind::Udp(udp) => written_udp(udp),
        CheckKind::Dns(dns) => written_dns(dns),
        CheckKind::Icmp => "type = \"icmp\"\n".to_owned(),
        CheckKind::Grpc(grpc) => written_grpc(grpc),
        CheckKind::Agent(AgentCheck { send: None }) => "type = \"agent\"\n".to_owned(),
        CheckKind::Agent(AgentCheck { send: Some(send) }) => {
            format!("type = \"agent\"\nsend = {}\n", quoted(send))
        }
    }
}

fn written_http(http: &HttpCheck) -> String {
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

#[test]
fn checks_that_say_less_than_they_seem_to_are_told() {
    let told = |service: &str| {
        let text = format!(
            "[[interface]]\nname = \"eth0\"\naddresses = [\"10.0.0.1/24\"]\n[[virtual_server]]\nname = \"a\"\n\
             listen = \"10.0.0.1:53\"\n{service}\n[[virtual_server.real_server]]\naddress = \"10.0.0.2:53\"\n"
        );
        warnings(&parse(&text).unwrap())
    };
    let by_udp = |service: &str| {
        told(service)
            .iter()
            .any(|said| said.contains("is TCP, and its checks ask by UDP"))
    };
    assert!(by_udp("check = \"dns\""));
    assert!(by_udp("check = { type = \"udp\", send = \"a\", expect = \"b\" }"));
    assert!(!by_udp("check = { type = \"dns\", transport = \"tcp\" }"));
    assert!(!by_udp("protocol = \"udp\"\ncheck = \"dns\""));
    let blind = told("protocol = \"udp\"\ncheck = \"udp\"");
    assert!(
        blind
            .iter()
            .any(|said| said.contains("hosts limit the ICMP errors")),
        "{blind:?}"
    );
}

#[test]
fn files_that_are_not_there_are_named_once() {
    let text = "[[interface]]\nname = \"eth0\"\naddresses = [\"10.0.0.1/24\"]\n[[virtual_server]]\nname = \"a\"\n\
                listen = \"10.0.0.1:443\"\n\
                check = { type = \"tls\", ca = \"ca.pem\", client_certificate = \"lb.pem\", client_key = \"lb.key\" }\n\
                [[virtual_server.real_server]]\naddress = \"10.0.0.2:443\"\n\
                [[virtual_server.real_server]]\naddress = \"10.0.0.3:443\"\n";
    let missing = |there: &[&str]| missing_files(&parse(text).unwrap(), |name| there.contains(&name));
    assert_eq!(missing(&["ca.pem", "lb.pem", "lb.key"]), [""; 0]);
    let said = missing(&["lb.pem"]);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].starts_with("service a: there is no ca.pem beside lb.toml, which `ca` names"),
        "{said:?}"
    );
}
