//! What each type of checker asks, as keys of a check. Must not: know when checks are made.

use super::super::draft::{Keys, Note};
use super::super::remarks::{Remarks, shown};
use super::super::values;
use super::checker::{Target, way};
use super::inherited::Inherited;
use super::tree::Statement;
use super::{url, words};

pub(super) fn ask(
    checker: &Statement,
    rest: &[&Statement],
    timing: &Inherited,
    target: &Target<'_>,
    keys: &mut Keys,
    notes: &mut Vec<Note>,
    remarks: &mut Remarks,
) {
    let kind = match checker.word() {
        "HTTP_GET" => "http",
        "SSL_GET" => "https",
        "DNS_CHECK" => "dns",
        "UDP_CHECK" => "udp",
        "PING_CHECK" => "icmp",
        "MISC_CHECK" if target.protocol != "tcp" => "icmp",
        _ => "tcp",
    };
    keys.put("type", values::text(kind));
    match checker.word() {
        "HTTP_GET" | "SSL_GET" => url::http(checker, rest, timing, keys, notes, remarks),
        "DNS_CHECK" => dns(rest, keys, remarks),
        "UDP_CHECK" => udp(rest, keys, remarks),
        "SMTP_CHECK" => smtp(checker, rest, target, keys, remarks),
        "MISC_CHECK" => script(checker, rest, kind, notes, remarks),
        _ => rest
            .iter()
            .for_each(|statement| words::drop_with_reason(statement, remarks)),
    }
    if kind == "tcp" && checker.word() == "TCP_CHECK" && target.port == 6443 {
        let text = "an apiserver that ends says so by /readyz only: type = \"kube-apiserver\" asks for it";
        notes.push(Note {
            place: checker.place,
            text: text.to_owned(),
        });
    }
}

fn dns(rest: &[&Statement], keys: &mut Keys, remarks: &mut Remarks) {
    const QUERIES: [&str; 9] = ["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"];
    let (mut name, mut query) = (String::from("."), String::from("SOA"));
    for statement in rest {
        match (statement.word(), statement.argument(0)) {
            ("name", Some(given)) => match crate::check::DnsName::new(given) {
                Some(_) => name = given.to_owned(),
                None => {
                    let message = format!("{} is no name that DNS can carry; `.` is asked for", shown(given));
                    remarks.fault(statement.place, message);
                }
            },
            ("type", Some(given)) if QUERIES.contains(&given.to_ascii_uppercase().as_str()) => {
                query = given.to_ascii_uppercase();
            }
            ("type", given) => {
                let message = format!(
                    "a query of type {} cannot be made here; SOA is",
                    shown(given.unwrap_or_default())
                );
                remarks.fault(statement.place, message);
            }
            _ => words::drop_with_reason(statement, remarks),
        }
    }
    keys.put("name", values::text(&name));
    keys.put("query", values::text(&query));
}

/// `Ab12f 3` is AB 12 0F 03: pairs, where a blank ends one early.
fn hex(words: &[String]) -> Option<String> {
    let mut bytes = Vec::new();
    for word in words {
        let digits = word.as_bytes();
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        bytes.extend(digits.chunks(2).map(|pair| {
            let pair = String::from_utf8_lossy(pair).to_ascii_lowercase();
            format!("{pair:0>2}")
        }));
    }
    ((1..=1024).contains(&bytes.len())).then(|| bytes.join(" "))
}

fn udp(rest: &[&Statement], keys: &mut Keys, remarks: &mut Remarks) {
    for statement in rest {
        let parts: Vec<String> = statement
            .arguments()
            .iter()
            .flat_map(|word| word.split_whitespace().map(str::to_owned))
            .collect();
        let place = statement.place;
        match (statement.word(), hex(&parts)) {
            ("payload", Some(hex)) => keys.put("send_hex", values::text(&hex)),
            ("require_reply", Some(hex)) => {
                keys.put("expect_hex", values::text(&hex));
                remarks.differs(
                    place,
                    "require_reply: these bytes may stand anywhere in the answer here, not at its beginning only",
                );
            }
            ("require_reply", None) => {
                let message = "require_reply without bytes, or with `X` in them, cannot be said here: the check passes without an \
                               answer too, unless `expect` or `expect_hex` says what has to be in it";
                remarks.fault(place, message);
            }
            ("min_reply_length" | "max_reply_length", _) => {
                remarks.dropped(
                    place,
                    format!("{}: the length of an answer is not looked at", statement.word()),
                );
            }
            ("payload", None) => remarks.fault(
                place,
                "this payload is not written in hexadecimal digits; it is left out",
            ),
            _ => words::drop_with_reason(statement, remarks),
        }
    }
}

fn smtp(
    checker: &Statement,
    rest: &[&Statement],
    target: &Target<'_>,
    keys: &mut Keys,
    remarks: &mut Remarks,
) {
    let message = "SMTP_CHECK: there is no check by SMTP; that the port is open is checked, and not that a banner comes";
    remarks.differs(checker.place, message);
    let hosts: Vec<&Statement> = rest
        .iter()
        .copied()
        .filter(|statement| statement.word() == "host")
        .collect();
    let own = hosts
        .iter()
        .position(|host| asked(host).is_none_or(|asked| asked == target.ip.to_string()));
    for (index, host) in hosts.iter().enumerate() {
        // Old files give the connection in a block of its own, and several where all of them have to answer.
        if index == own.unwrap_or(0) {
            for inner in host.statements() {
                if !way(inner, target, keys, remarks) {
                    words::drop_with_reason(inner, remarks);
                }
            }
            continue;
        }
        let message = format!(
            "host {}: a check asks one address and port here, and this one is not asked",
            shown(asked(host).unwrap_or("without connect_ip"))
        );
        remarks.fault(host.place, message);
    }
    for statement in rest {
        match statement.word() {
            "host" => {}
            "helo_name" => remarks.dropped(statement.place, "helo_name: nothing is said to the server"),
            _ => words::drop_with_reason(statement, remarks),
        }
    }
}

/// The address that a `host` of SMTP_CHECK names.
fn asked(host: &Statement) -> Option<&str> {
    let named = host
        .statements()
        .iter()
        .find(|inner| inner.word() == "connect_ip");
    named.and_then(|inner| inner.argument(0))
}

/// What could ask the same without a script.
fn instead(path: &str) -> &'static str {
    let asks = |name: &str| {
        path.split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| word == name)
    };
    if ["dig", "nslookup", "host", "dns"].iter().any(|name| asks(name)) {
        "type = \"dns\" asks a name server here"
    } else if ["curl", "wget", "http", "https"].iter().any(|name| asks(name)) {
        "type = \"http\" or \"https\" asks a web server here"
    } else {
        "let the server say it: type = \"agent\" reads a line from a port of the server"
    }
}

/// What a script found out has to be found out in another way; which one is the operator's decision.
fn script(
    checker: &Statement,
    rest: &[&Statement],
    kind: &str,
    notes: &mut Vec<Note>,
    remarks: &mut Remarks,
) {
    let of = |word: &str| rest.iter().find(|statement| statement.word() == word);
    let path = of("misc_path")
        .map(|statement| statement.arguments().join(" "))
        .unwrap_or_default();
    let program = path.split_whitespace().next().unwrap_or_default();
    let instead = instead(&path);
    let dynamic = match of("misc_dynamic") {
        Some(_) => "; an agent's line can hold a part of the weight, such as 75%",
        None => "",
    };
    let decided = match kind {
        "icmp" => "that the machine answers ICMP",
        _ => "that the port is open",
    };
    let message = format!(
        "MISC_CHECK {}: there are no scripts here. Until it is decided, {decided} is checked; {instead}{dynamic}",
        shown(program)
    );
    remarks.fault(checker.place, message);
    let text = format!("the script {} is not run: {instead}", shown(program));
    notes.push(Note {
        place: checker.place,
        text,
    });
    for statement in rest {
        match statement.word() {
            "misc_path" | "misc_dynamic" => {}
            "misc_timeout" | "user" => {
                remarks.dropped(
                    statement.place,
                    format!("{}: it is about the script", statement.word()),
                );
            }
            _ => words::drop_with_reason(statement, remarks),
        }
    }
}
