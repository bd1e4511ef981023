//! The types of check, and the times that those have of their own which are made for one kind of server.

use std::time::Duration;

use serde::Deserialize;

use crate::check::CheckParams;

/// The word that `type` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Kind {
    #[serde(rename = "tcp")]
    Tcp,
    #[serde(rename = "http")]
    Http,
    #[serde(rename = "https")]
    Https,
    #[serde(rename = "tls")]
    Tls,
    #[serde(rename = "kube-apiserver")]
    KubeApiserver,
    #[serde(rename = "healthCheckNodePort")]
    HealthCheckNodePort,
    #[serde(rename = "none")]
    None,
}

impl Kind {
    pub const WORDS: [&str; 7] = [
        "tcp",
        "http",
        "https",
        "tls",
        "kube-apiserver",
        "healthCheckNodePort",
        "none",
    ];
    /// Words that operators may expect, and that are not in this version.
    pub const LATER: [&str; 12] = [
        "ssl", "udp", "dns", "icmp", "ping", "smtp", "script", "misc", "file", "grpc", "agent", "bfd",
    ];

    pub fn as_str(self) -> &'static str {
        Kind::WORDS[self as usize]
    }

    pub fn has_tls(self) -> bool {
        matches!(self, Kind::Https | Kind::Tls | Kind::KubeApiserver)
    }

    /// What holds where the file says nothing.
    pub fn defaults(self) -> CheckParams {
        match self {
            // An apiserver that ends says so by /readyz and goes on serving for its --shutdown-delay-duration; installations
            // give it some 30 s and more. At worst 3 + 3 * 3 + 2 * 1 = 14 s pass until it is out of the pool. /readyz asks etcd,
            // which may take more than a second when there is much to do.
            Kind::KubeApiserver => CheckParams {
                interval: Duration::from_secs(3),
                timeout: Duration::from_secs(3),
                retries: 2,
                retry_interval: Duration::from_secs(1),
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
