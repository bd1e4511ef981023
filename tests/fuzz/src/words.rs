//! The words that are put in the place of others: those of lb.toml's keys, those of the corpus, and what lies at limits.
//! Must not: change an input.

use std::collections::BTreeSet;

use lb_core::config::keys::{self, Form};

/// Numbers where types, ports, prefixes and this product's own limits end.
pub const NUMBERS: [&str; 34] = [
    "0",
    "1",
    "2",
    "00",
    "01",
    "-1",
    "31",
    "32",
    "33",
    "64",
    "127",
    "128",
    "129",
    "255",
    "256",
    "999",
    "1000",
    "1001",
    "1024",
    "4094",
    "4095",
    "32767",
    "65535",
    "65536",
    "86400",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
];

/// Values at the limits of their form, and characters that a terminal or a reader may take for something else.
const VALUES: [&str; 56] = [
    "0.0.0.0",
    "255.255.255.255",
    "127.0.0.1",
    "224.0.0.1",
    "169.254.1.1",
    "010.0.0.1",
    "0.0.0.0/0",
    "10.0.0.0/8",
    "192.168.0.1/24",
    "192.168.0.1/32",
    "192.168.0.1/33",
    "::",
    "::/0",
    "::1",
    "fe80::1",
    "ff02::1",
    "::ffff:10.0.0.1",
    "2001:db8::1",
    "2001:db8::1/64",
    "[2001:db8::1]:80",
    "192.168.0.1:0",
    "192.168.0.1:65535",
    "192.168.0.1:1-65535",
    "10.0.0.1-10.0.0.255",
    "0s",
    "1ns",
    "0.5s",
    "100ms",
    "18446744073709551615s",
    "106751991167300d",
    "100%",
    "0%",
    "101%",
    "1e308",
    "nan",
    "-inf",
    "0x7fffffffffffffff",
    "1_000",
    "true",
    "false",
    "2026-01-01T00:00:00Z",
    "\"",
    "\"\"\"",
    "'''",
    "[[",
    "]]",
    "{",
    "}",
    "\\",
    "\\u0000",
    "\u{0}",
    "\u{1b}[2J",
    "\u{202e}",
    "\u{feff}",
    "\u{6f22}",
    "e\u{301}",
];

/// Longer words are parts of texts.
const LONGEST: usize = 40;

/// All words, each once and in order.
pub fn dictionary(entries: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut all = BTreeSet::new();
    for place in keys::places() {
        all.insert(place.path.clone());
        all.insert(place.key.name.to_owned());
        all.insert(place.table.header.to_owned());
        all.insert(place.key.example.to_owned());
        all.extend(
            place
                .key
                .alias
                .into_iter()
                .chain(place.key.keepalived)
                .map(str::to_owned),
        );
        form(&place.key.form, &mut all);
    }
    all.extend(NUMBERS.iter().chain(&VALUES).map(|word| (*word).to_owned()));
    let mut all: BTreeSet<Vec<u8>> = all.into_iter().map(String::into_bytes).collect();
    for entry in entries {
        let words = entry.split(|byte| byte.is_ascii_whitespace() || b"\"',=".contains(byte));
        all.extend(words.filter(|word| word.len() <= LONGEST).map(<[u8]>::to_vec));
    }
    all.remove(&Vec::new());
    all.into_iter().collect()
}

fn form(form_: &Form, all: &mut BTreeSet<String>) {
    match form_ {
        Form::Words(words) | Form::AnyCase(words) => all.extend(words.iter().map(|word| (*word).to_owned())),
        Form::Number { range, .. } => {
            let (first, last) = (u64::from(*range.start()), u64::from(*range.end()));
            let around = [first, first.saturating_sub(1), last, last + 1];
            all.extend(around.iter().map(u64::to_string));
        }
        Form::Time(range) | Form::Seconds(range) => {
            let (first, last) = (range.start().as_millis(), range.end().as_millis());
            let around = [first, first.saturating_sub(1), last, last + 1];
            all.extend(around.iter().map(|millis| format!("{millis}ms")));
        }
        Form::Either(forms) => forms.iter().for_each(|inner| form(inner, all)),
        Form::List(inner) | Form::OneOrMore(inner) => form(inner, all),
        _ => {}
    }
}
