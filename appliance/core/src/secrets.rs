//! What must not leave the box: which header fields let somebody in, lb.toml without its secrets, and any text without those that are known.
//! Must not: read files.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml_parser::Source;
use toml_parser::lexer::TokenKind;

/// In the place of a secret.
pub const HIDDEN: &str = "(not shown)";

/// Parts of names: what lets somebody in is called so.
const SECRET_NAMES: [&str; 10] = [
    "authorization",
    "cookie",
    "token",
    "secret",
    "password",
    "passwd",
    "api-key",
    "apikey",
    "x-auth",
    "credential",
];
/// Keys of lb.toml whose values may let somebody in, whatever they look like.
const SECRET_KEYS: [&str; 4] = ["headers", "client_key", "send", "send_hex"];
/// Shorter texts are found everywhere by chance, and so are words such as `Bearer` or `PING`.
const SHORTEST: usize = 4;
const LONGEST_WORD: usize = 8;
pub(crate) const KEY_BEGINS: &str = "PRIVATE KEY-----";
/// Hashes of passwords (PHC string format).
const HASH_BEGINS: &str = "$argon2";

/// Whether a header field's value lets whoever knows it in.
pub fn is_secret_field(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

/// A configuration that may be shown to others, and the secrets that were in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Redacted {
    pub text: String,
    pub secrets: BTreeSet<String>,
}

/// A value as it may be shown beside the path of its key, such as `virtual_server.web.check.headers`. `value`: as it was typed, TOML or a bare word.
pub fn shown_value(path: &str, value: &str) -> String {
    let segments = || path.split('.');
    let is_secret = |segment: &str| SECRET_KEYS.contains(&segment) || is_secret_field(segment);
    if segments().any(is_secret) {
        return HIDDEN.to_owned();
    }
    let key = segments().next_back().unwrap_or_default();
    let quoted = toml::Value::String(value.to_owned()).to_string();
    // A bare word is read as text, as the change itself reads it.
    let read = [value, quoted.as_str()].into_iter().find_map(|value| {
        let line = format!("{} = {value}", toml::Value::String(key.to_owned()));
        Some((redact(&line)?.text != line, value))
    });
    match read {
        Some((false, _)) => value.to_owned(),
        _ => HIDDEN.to_owned(),
    }
}

/// lb.toml without the values of `headers`, `send`, `client_key` and the like, without queries of paths, and without comments.
/// `None`: it cannot be read, so that secrets cannot be told from the rest.
pub fn redact(text: &str) -> Option<Redacted> {
    let document = DeTable::parse(text).ok()?;
    let mut found = Found::default();
    found.table(document.get_ref(), false);
    let source = Source::new(text);
    for token in source.lex().filter(|token| token.kind() == TokenKind::Comment) {
        let span = token.span();
        found.places.push((span.start()..span.end(), "#".to_owned()));
    }
    found
        .places
        .sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    let mut redacted = text.to_owned();
    for (span, instead) in found.places {
        redacted.replace_range(span, &instead);
    }
    Some(Redacted {
        text: redacted,
        secrets: found.secrets,
    })
}

#[derive(Default)]
struct Found {
    places: Vec<(Range<usize>, String)>,
    secrets: BTreeSet<String>,
}

impl Found {
    fn table(&mut self, table: &DeTable<'_>, secret: bool) {
        for (key, value) in table {
            let key = key.get_ref();
            let secret = secret || SECRET_KEYS.contains(&key.as_ref()) || is_secret_field(key);
            self.value(key, value, secret);
        }
    }

    fn value(&mut self, key: &str, value: &Spanned<DeValue<'_>>, secret: bool) {
        match value.get_ref() {
            DeValue::Table(table) => self.table(table, secret),
            DeValue::Array(array) => array.iter().for_each(|value| self.value(key, value, secret)),
            DeValue::String(text) => self.text(key, text, value.span(), secret),
            _ if secret => self.places.push((value.span(), stand_in(key))),
            _ => {}
        }
    }

    fn text(&mut self, key: &str, text: &str, span: Range<usize>, secret: bool) {
        if secret || text.contains(KEY_BEGINS) || text.contains(HASH_BEGINS) {
            let words = text.split_whitespace().chain([text.trim()]);
            for word in words.filter(|word| is_telling(word)) {
                self.secrets.insert(word.to_owned());
                // As JSON and the reasons of failures have it.
                self.secrets.insert(word.escape_debug().to_string());
            }
            self.places.push((span, stand_in(key)));
        } else if let Some((path, query)) = text.split_once('?').filter(|_| key == "path") {
            self.secrets
                .extend(Some(query.to_owned()).filter(|query| is_telling(query)));
            self.places
                .push((span, format!("\"{}?hidden\"", path.escape_default())));
        }
    }
}

/// In a file, in the place of a value: of this key's form something has to be left that is read without a fault.
fn stand_in(key: &str) -> String {
    let text = if key == "send_hex" { "00" } else { HIDDEN };
    format!("\"{text}\"")
}

/// Whether a secret is looked for in other texts.
fn is_telling(word: &str) -> bool {
    let is_plain = word.len() <= LONGEST_WORD && word.bytes().all(|byte| byte.is_ascii_alphabetic());
    word.len() >= SHORTEST && !is_plain
}

/// A text without these secrets, without private keys, hashes of passwords, and what stands behind the name of a secret field.
pub fn scrub(text: &str, secrets: &BTreeSet<String>) -> String {
    let mut text = without_keys(text);
    // The longest first: a part of one may be another.
    let mut known: Vec<&String> = secrets.iter().collect();
    known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    for secret in known {
        if text.contains(secret.as_str()) {
            text = text.replace(secret.as_str(), HIDDEN);
        }
    }
    text.split_inclusive('\n').map(line).collect()
}

/// PEM of private keys, to its end, or to the end of the text.
fn without_keys(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        let has_mark = line.contains(KEY_BEGINS);
        let begins = has_mark && line.contains("BEGIN");
        let ends = has_mark && line.contains("END ");
        if begins && !inside {
            out.push_str(&format!("{HIDDEN}\n"));
        }
        if !inside && !begins {
            out.push_str(line);
        }
        inside = (inside || begins) && !ends;
    }
    out
}

fn line(line: &str) -> String {
    let (body, end) = match line.strip_suffix('\n') {
        Some(body) => (body, "\n"),
        None => (line, ""),
    };
    let body = match body.find(HASH_BEGINS) {
        Some(at) => format!("{}{HIDDEN}", &body[..at]),
        None => body.to_owned(),
    };
    // `Authorization: Bearer x`, `"cookie": "x"`, `x-api-key = x`.
    for (at, _) in body.match_indices([':', '=']) {
        let name = body[..at].trim_end().trim_end_matches(['"', '\'']);
        let begin = name.rfind(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c));
        let name = &name[begin.map_or(0, |begin| begin + 1)..];
        if is_secret_field(name) && !body[at + 1..].trim().is_empty() {
            return format!("{} {HIDDEN}{end}", &body[..=at]);
        }
    }
    body + end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_unless_it_lets_somebody_in() {
        for (path, value) in [
            ("virtual_server.nginx.scheduler", "wrr"),
            ("virtual_server.nginx.real_server.10.0.0.11:80.weight", "5"),
            ("interface.eth0.addresses", "192.168.0.1/24,192.168.0.2/24"),
            ("virtual_server.nginx.persistence", "{ timeout = \"5m\" }"),
            ("virtual_server.nginx.check.path", "/healthz"),
        ] {
            assert_eq!(shown_value(path, value), value, "{path}");
        }
        for (path, value) in [
            ("virtual_server.nginx.check.headers", "{ host = \"a\" }"),
            ("virtual_server.nginx.check.headers.x-api-key", "opensesame"),
            ("virtual_server.nginx.check.client_key", "me.pem"),
            ("virtual_server.nginx.check.send", "AUTH opensesame"),
            ("virtual_server.nginx.check.path", "/healthz?token=opensesame"),
            (
                "virtual_server.nginx.check",
                "{ type = \"http\", headers = { authorization = \"opensesame\" } }",
            ),
            (
                "virtual_server.nginx.check.ca",
                "-----BEGIN PRIVATE KEY-----opensesame",
            ),
        ] {
            assert_eq!(shown_value(path, value), HIDDEN, "{path}");
        }
    }

    #[test]
    fn fields_that_let_somebody_in_are_known() {
        for secret in [
            "Authorization",
            "Proxy-Authorization",
            "Cookie",
            "Set-Cookie",
            "X-Api-Key",
            "X_API_KEY",
            "X-Vault-Token",
        ] {
            assert!(is_secret_field(secret), "{secret}");
        }
        for open in [
            "Host",
            "Accept",
            "Content-Type",
            "X-Load-Balancing-Endpoint-Weight",
        ] {
            assert!(!is_secret_field(open), "{open}");
        }
    }

    const FILE: &str = r#"
hostname = "lb" # the password is planted-0
[[virtual_server]]
name = "web"
check = { type = "https", path = "/health?key=planted-1", headers = { X-Plain = "planted-2", Authorization = "Bearer planted-3" } }
[virtual_server.check2]
client_key = """
-----BEGIN PRIVATE KEY-----
planted-4
-----END PRIVATE KEY-----
"""
client_certificate = "client.pem"
send = "planted-5"
send_hex = "706c616e746564"
my_token = ["planted-6"]
password = 70611
urls = [{ path = "/x?planted-7" }]
note = "$argon2id$v=19$planted-8"
"#;

    #[test]
    fn a_configuration_keeps_its_shape_and_loses_its_secrets() {
        let Redacted { text, secrets } = redact(FILE).unwrap();
        assert!(!text.contains("planted") && !text.contains("706"), "{text}");
        for kept in [
            "hostname = \"lb\"",
            "path = \"/health?hidden\"",
            "Authorization = \"(not shown)\"",
            "client_certificate = \"client.pem\"",
            "send_hex = \"00\"",
        ] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
        assert!(DeTable::parse(&text).is_ok(), "{text}");
        assert!(secrets.contains("planted-2") && secrets.contains("planted-3"));
        assert!(
            !secrets.contains("Bearer") && !secrets.contains("PRIVATE"),
            "{secrets:?}"
        );
        assert_eq!(redact("headers = { a = "), None);
        let of_no_form = redact("send_hex = 2\n").unwrap().text;
        assert_eq!(redact(&of_no_form).unwrap().text, of_no_form);
    }

    #[test]
    fn a_secret_is_found_in_quotes_too() {
        let file = "headers = { A = 'planted\"quoted' }\n";
        let secrets = redact(file).unwrap().secrets;
        for text in ["it says planted\"quoted", r#"{"reason": "planted\"quoted"}"#] {
            assert!(!scrub(text, &secrets).contains("planted"), "{text}");
        }
    }

    #[test]
    fn any_text_is_scrubbed_of_what_is_known_and_of_what_looks_like_it() {
        let secrets = redact(FILE).unwrap().secrets;
        let text = "agent: it says planted-3 and planted-6\nAuthorization: Basic planted-9\n  \"cookie\": \"planted-9\",\n\
                    hash $argon2id$v=19$planted-9\n-----BEGIN EC PRIVATE KEY-----\nplanted-9\n-----END EC PRIVATE KEY-----\nafter: it\n\
                    X-Api-Key=planted-9\nstatus: 200 for https://a/b\n-----BEGIN PRIVATE KEY-----\nplanted-9";
        let scrubbed = scrub(text, &secrets);
        assert!(!scrubbed.contains("planted"), "{scrubbed}");
        assert!(
            scrubbed.contains("after: it\n") && scrubbed.contains("status: 200 for https://a/b\n"),
            "{scrubbed}"
        );
        assert!(scrubbed.contains("Authorization: (not shown)\n"), "{scrubbed}");
    }
}
