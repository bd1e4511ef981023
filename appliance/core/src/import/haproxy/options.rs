//! The options behind a `server` and a `default-server`. Must not: know the proxy that they are in.

use std::time::Duration;

use super::super::remarks::{Remarks, shown};
use super::super::values::is_dns_name;
use super::lines::Line;
use super::words::Dropped;

/// Numbers in HAProxy's times are milliseconds, unless a unit follows.
pub(super) fn time(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let micros: u64 = match unit {
        "us" => 1,
        "" | "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return None,
    };
    number.checked_mul(micros).map(Duration::from_micros)
}

#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    pub check: bool,
    pub agent: bool,
    pub agent_port: Option<u16>,
    pub agent_send: Option<String>,
    pub agent_inter: Option<Duration>,
    pub inter: Option<Duration>,
    pub fastinter: Option<Duration>,
    pub downinter: Option<Duration>,
    pub rise: Option<u64>,
    pub fall: Option<u64>,
    pub port: Option<u16>,
    pub address: Option<std::net::IpAddr>,
    pub weight: Option<u64>,
    pub maxconn: Option<u64>,
    pub slowstart: Option<Duration>,
    pub backup: bool,
    pub disabled: bool,
    /// The servers speak TLS, to clients of the proxy or to its checks.
    pub ssl: bool,
    pub check_ssl: Option<bool>,
    pub check_sni: Option<String>,
    pub track: Option<String>,
}

/// Options with a value that nothing stands for, and why.
const WITH_VALUE: [(&str, &[&str]); 5] = [
    (
        "a connection goes to the server itself here, with the client's own address, and is not opened by a proxy",
        &[
            "source",
            "usesrc",
            "interface",
            "tcp-ut",
            "max-reuse",
            "pool-max-conn",
            "pool-purge-delay",
            "pool-low-conn",
            "socks4",
            "namespace",
        ],
    ),
    (
        "names are not looked up here",
        &[
            "resolvers",
            "resolve-opts",
            "resolve-prefer",
            "resolve-net",
            "init-addr",
        ],
    ),
    (
        "it is about TLS between proxy and server, and TLS passes through here",
        &[
            "ca-file",
            "crt",
            "crl-file",
            "ciphers",
            "ciphersuites",
            "curves",
            "sigalgs",
            "verify",
            "verifyhost",
            "sni",
            "alpn",
            "npn",
            "check-alpn",
            "ssl-min-ver",
            "ssl-max-ver",
        ],
    ),
    (
        "it is about HTTP, and requests are not read here",
        &["cookie", "proto", "check-proto", "ws", "redir"],
    ),
    (
        "nothing here stands for it",
        &[
            "maxqueue",
            "minconn",
            "error-limit",
            "observe",
            "on-error",
            "id",
            "guid",
            "log-proto",
            "set-proxy-v2-tlv-fmt",
            "proxy-v2-options",
            "shard",
            "hash-key",
            "strict-maxconn",
        ],
    ),
];

/// Switches that nothing stands for, and why.
const SWITCHES: [(&str, &[&str]); 3] = [
    (
        "the client's own address arrives at the server here, which must not expect the PROXY protocol any more",
        &[
            "send-proxy",
            "send-proxy-v2",
            "send-proxy-v2-ssl",
            "send-proxy-v2-ssl-cn",
            "check-send-proxy",
        ],
    ),
    (
        "it is about TLS between proxy and server, and TLS passes through here",
        &[
            "force-sslv3",
            "force-tlsv10",
            "force-tlsv11",
            "force-tlsv12",
            "force-tlsv13",
            "no-sslv3",
            "no-tlsv10",
            "no-tlsv11",
            "no-tlsv12",
            "no-tlsv13",
            "no-tls-tickets",
            "tls-tickets",
            "no-ssl-reuse",
            "ssl-reuse",
            "allow-0rtt",
            "no-verifyhost",
        ],
    ),
    (
        "nothing here stands for it",
        &[
            "tfo",
            "non-stick",
            "stick",
            "no-backup",
            "check-via-socks4",
            "no-tfo",
            "no-send-proxy",
            "no-send-proxy-v2",
        ],
    ),
];

impl Options {
    /// Reads the words of a line from `index` on.
    pub fn read(&mut self, line: &Line, index: usize, dropped: &mut Dropped, remarks: &mut Remarks) {
        let mut words = line.from(index).iter().map(String::as_str);
        // Of a check by TLS nobody verifies the answer here either, until somebody decides who may give it.
        let asks_by_tls = line.from(index).iter().any(|word| word == "check-ssl");
        while let Some(word) = words.next() {
            if self.switch(word) {
                continue;
            }
            if word == "verify" && asks_by_tls && words.clone().next() == Some("none") {
                words.next();
                continue;
            }
            let (why, valued) = match (reason(&SWITCHES, word), reason(&WITH_VALUE, word)) {
                (Some(why), _) => (Some(why), false),
                (None, Some(why)) => (Some(why), true),
                (None, None) => (None, false),
            };
            if let Some(why) = why {
                let what = match valued.then(|| words.next()).flatten() {
                    Some(value) => format!("{word} {value}"),
                    None => word.to_owned(),
                };
                dropped.because(line.place, &what, why);
                continue;
            }
            match is_valued(word) {
                true => self.value(word, words.next().unwrap_or_default(), line, dropped, remarks),
                false => dropped.because(line.place, word, "this is not known here"),
            }
        }
    }

    fn switch(&mut self, word: &str) -> bool {
        match word {
            "check" => self.check = true,
            "no-check" => self.check = false,
            "agent-check" => self.agent = true,
            "no-agent-check" => self.agent = false,
            "backup" => self.backup = true,
            "disabled" => self.disabled = true,
            "enabled" => self.disabled = false,
            "ssl" => self.ssl = true,
            "no-ssl" => self.ssl = false,
            "check-ssl" => self.check_ssl = Some(true),
            "no-check-ssl" => self.check_ssl = Some(false),
            _ => return false,
        }
        true
    }

    fn value(&mut self, word: &str, given: &str, line: &Line, dropped: &mut Dropped, remarks: &mut Remarks) {
        let number = || given.parse::<u64>().ok();
        let port = || given.parse::<u16>().ok().filter(|port| *port > 0);
        let read = match word {
            "inter" => keep(&mut self.inter, time(given)),
            "fastinter" => keep(&mut self.fastinter, time(given)),
            "downinter" => keep(&mut self.downinter, time(given)),
            "agent-inter" => keep(&mut self.agent_inter, time(given)),
            "slowstart" => keep(&mut self.slowstart, time(given)),
            "rise" => keep(&mut self.rise, number()),
            "fall" => keep(&mut self.fall, number()),
            "weight" => keep(&mut self.weight, number()),
            "maxconn" => keep(&mut self.maxconn, number()),
            "port" => keep(&mut self.port, port()),
            "agent-port" => keep(&mut self.agent_port, port()),
            "addr" => keep(
                &mut self.address,
                super::bind::server(given).ok().map(|(address, _)| address),
            ),
            "agent-send" => keep(
                &mut self.agent_send,
                Some(given.trim_end_matches('\n').to_owned()),
            ),
            "check-sni" => keep(&mut self.check_sni, is_dns_name(given).then(|| given.to_owned())),
            "track" => keep(&mut self.track, Some(given.to_owned())),
            _ => {
                self.told(word, given, line, dropped);
                true
            }
        };
        if !read {
            let message = format!("{word} cannot be `{}`; it is left out", shown(given));
            remarks.fault(line.place, message);
        }
    }

    /// What has a value, and a remark of its own.
    fn told(&self, word: &str, given: &str, line: &Line, dropped: &mut Dropped) {
        let why = match word {
            "agent-addr" => "an agent is asked at the server's own address, or that of `address`",
            "on-marked-down" => {
                "connections of a server that went down are ended after `kill_after` (5 s) here, always"
            }
            _ => "connections stay where they are when servers come back",
        };
        dropped.because(line.place, &format!("{word} {given}"), why);
    }
}

fn keep<T>(target: &mut Option<T>, value: Option<T>) -> bool {
    let read = value.is_some();
    if read {
        *target = value;
    }
    read
}

fn is_valued(word: &str) -> bool {
    const VALUED: [&str; 18] = [
        "inter",
        "fastinter",
        "downinter",
        "agent-inter",
        "slowstart",
        "rise",
        "fall",
        "weight",
        "maxconn",
        "port",
        "agent-port",
        "addr",
        "agent-send",
        "check-sni",
        "track",
        "agent-addr",
        "on-marked-down",
        "on-marked-up",
    ];
    VALUED.contains(&word)
}

fn reason(table: &[(&'static str, &[&str])], word: &str) -> Option<&'static str> {
    let known = table.iter().find(|(_, words)| words.contains(&word));
    known.map(|(why, _)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_milliseconds_by_default() {
        for (text, expected) in [
            ("2000", Some(Duration::from_secs(2))),
            ("500ms", Some(Duration::from_millis(500))),
            ("1m", Some(Duration::from_mins(1))),
            ("1d", Some(Duration::from_hours(24))),
            ("100us", Some(Duration::from_micros(100))),
            ("", None),
            ("5x", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(time(text), expected, "{text}");
        }
    }
}
