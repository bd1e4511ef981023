//! The types of check, and the times that those have of their own which are made for one kind of server.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::super::fault::quoted;
use super::super::reader::{Reader, Value};
use crate::check::CheckParams;

/// The word that `type` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(in crate::config) enum Kind {
    #[serde(rename = "tcp")]
    Tcp,
    #[serde(rename = "http")]
    Http,
    #[serde(rename = "https")]
    Https,
    #[serde(rename = "tls")]
    Tls,
    #[serde(rename = "udp")]
    Udp,
    #[serde(rename = "dns")]
    Dns,
    #[serde(rename = "icmp")]
    Icmp,
    #[serde(rename = "grpc")]
    Grpc,
    #[serde(rename = "grpcs")]
    Grpcs,
    #[serde(rename = "agent")]
    Agent,
    #[serde(rename = "kube-apiserver")]
    KubeApiserver,
    #[serde(rename = "healthCheckNodePort")]
    HealthCheckNodePort,
    #[serde(rename = "none")]
    None,
}

// An apiserver that ends says so by /readyz and goes on serving for its --shutdown-delay-duration; installations give it some
// 30 s and more. At worst 3 + 3 * 3 + 2 * 1 = 14 s pass until it is out of the pool. /readyz asks etcd, which may take more
// than a second when there is much to do.
pub(in crate::config) const APISERVER_INTERVAL: Duration = Duration::from_secs(3);
pub(in crate::config) const APISERVER_TIMEOUT: Duration = Duration::from_secs(3);
pub(in crate::config) const APISERVER_RETRY_INTERVAL: Duration = Duration::from_secs(1);

impl Kind {
    pub const WORDS: [&str; 13] = [
        "tcp",
        "http",
        "https",
        "tls",
        "udp",
        "dns",
        "icmp",
        "grpc",
        "grpcs",
        "agent",
        "kube-apiserver",
        "healthCheckNodePort",
        "none",
    ];
    /// Words that operators may expect, and that are not in this version.
    const LATER: [&str; 3] = ["smtp", "file", "bfd"];
    /// Words of other programs for what is here.
    const FOREIGN: [(&str, &str); 10] = [
        ("ping", "icmp"),
        ("ping_check", "icmp"),
        ("icmp6", "icmp"),
        ("ssl", "tls"),
        ("ssl_get", "https"),
        ("http_get", "http"),
        ("tcp_check", "tcp"),
        ("script", "agent"),
        ("misc", "agent"),
        ("agent-check", "agent"),
    ];

    pub fn read(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<Spanned<Kind>> {
        let given = value.text().unwrap_or_default().to_ascii_lowercase();
        if let Some((_, ours)) = Kind::FOREIGN.iter().find(|(theirs, _)| *theirs == given) {
            let message = format!("{} is not called that here", quoted(&given));
            reader.fault(value.span(), message, format!("write \"{ours}\""));
            return None;
        }
        reader.word(value, &Kind::WORDS, &Kind::LATER)
    }

    pub const fn as_str(self) -> &'static str {
        Kind::WORDS[self as usize]
    }

    pub fn has_tls(self) -> bool {
        matches!(self, Kind::Https | Kind::Tls | Kind::Grpcs | Kind::KubeApiserver)
    }

    /// Whether a port that the traffic does not have makes no difference.
    pub fn has_no_port(self) -> bool {
        matches!(self, Kind::Icmp | Kind::None)
    }

    /// Whether it says something of a server of another protocol than TCP.
    pub fn looks_beyond_tcp(self) -> bool {
        matches!(self, Kind::Udp | Kind::Dns | Kind::Icmp | Kind::None)
    }

    /// What holds where the file says nothing.
    pub fn defaults(self) -> CheckParams {
        match self {
            Kind::KubeApiserver => CheckParams {
                interval: APISERVER_INTERVAL,
                timeout: APISERVER_TIMEOUT,
                retry_interval: APISERVER_RETRY_INTERVAL,
                ..CheckParams::default()
            },
            _ => CheckParams::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for word in Kind::WORDS {
            let text = format!("\"{word}\"");
            let value = toml::de::ValueDeserializer::parse(&text).unwrap();
            assert_eq!(Kind::deserialize(value).unwrap().as_str(), word);
        }
    }
}
