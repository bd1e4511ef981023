//! What is asked of a server, and how often: the parameters of one check, complete and in range.
//! Must not: know TOML, or open sockets.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What a check asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CheckKind {
    /// A TCP connection is opened and closed.
    Tcp(Close),
    /// A TLS handshake.
    Tls(TlsCheck),
    Http(HttpCheck),
    /// No check: the server is in the pool as long as it is in the file.
    None,
}

impl CheckKind {
    /// Whether the weight of a server follows from what its checks are told.
    pub fn counts_endpoints(&self) -> bool {
        matches!(self, CheckKind::Http(http) if http.counts_endpoints)
    }

    /// What a check that passed has seen.
    pub fn passed(&self) -> &'static str {
        match self {
            CheckKind::Tcp(_) => "connected",
            CheckKind::Tls(_) => "TLS handshake done",
            CheckKind::Http(_) => "answered as it should",
            CheckKind::None => "not checked",
        }
    }
}

/// How a TCP connection ends on which nothing was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Close {
    /// As any other: FIN.
    #[default]
    Fin,
    /// RST (SO_LINGER 0): many servers write nothing into their logs about such a connection.
    Rst,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsCheck {
    /// The name in the server's certificate, sent as SNI (RFC 6066, section 3); without one the certificate has to have the
    /// server's address.
    pub server_name: Option<String>,
    pub verify: Verify,
}

/// Who may answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verify {
    /// Who has a certificate that leads to one of these, in PEM.
    Ca(CaSource),
    /// Whose certificate has this SHA-256.
    Fingerprint([u8; 32]),
    /// Anybody.
    Nobody,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CaSource {
    /// The PEM itself.
    Text(String),
    /// Name of a file beside lb.toml.
    File(String),
}

/// Requests of HTTP/1.1, one after the other, each over a connection of its own; all have to be answered as they should.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpCheck {
    /// https.
    pub tls: Option<TlsCheck>,
    pub method: Method,
    /// None: the server's `ADDRESS:PORT`.
    pub host: Option<String>,
    /// Further header fields.
    pub headers: Vec<(String, String)>,
    /// At least one.
    pub pages: Vec<Page>,
    /// The answer says how many endpoints of the service are on the server, as kube-proxy's health check of a service does
    /// (pkg/proxy/healthcheck/service_health.go): so many times its weight is the server's.
    pub counts_endpoints: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Method {
    #[default]
    Get,
    Head,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
        }
    }
}

/// One request, and what its answer has to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Page {
    /// With its query.
    pub path: String,
    pub status: Statuses,
    pub body: BodyTest,
}

/// Ranges of statuses (RFC 9110, section 15).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Statuses(pub Vec<RangeInclusive<u16>>);

impl Statuses {
    pub const LEAST: u16 = 100;
    pub const MOST: u16 = 599;

    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

impl Default for Statuses {
    /// Success.
    fn default() -> Statuses {
        Statuses(vec![200..=299])
    }
}

impl fmt::Display for Statuses {
    /// `200-299, 401`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, range) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            if range.start() == range.end() {
                write!(out, "{comma}{}", range.start())?;
            } else {
                write!(out, "{comma}{}-{}", range.start(), range.end())?;
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum BodyTest {
    /// It is not read.
    #[default]
    Any,
    Contains(String),
    Matches(Pattern),
}

/// A regular expression that compiles. It is kept as text: a compiled one may take a thousand times as much.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern(String);

impl Pattern {
    /// What it may take, compiled (bytes).
    const MOST_BYTES: usize = 64 << 10;

    pub fn new(text: &str) -> Result<Pattern, String> {
        Pattern::compiled(text).map_err(|error| error.to_string())?;
        Ok(Pattern(text.to_owned()))
    }

    fn compiled(text: &str) -> Result<regex_lite::Regex, regex_lite::Error> {
        let mut builder = regex_lite::RegexBuilder::new(text);
        builder.size_limit(Pattern::MOST_BYTES).build()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn matches(&self, text: &str) -> bool {
        Pattern::compiled(&self.0).is_ok_and(|pattern| pattern.is_match(text))
    }
}

/// The parameters of one server's check.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CheckParams {
    pub kind: CheckKind,
    /// Another port than the traffic's.
    pub port: Option<u16>,
    /// From the start of one check to the start of the next.
    pub interval: Duration,
    /// For one whole attempt.
    pub timeout: Duration,
    /// Extra attempts before an up server counts as down.
    pub retries: u32,
    /// From the end of a failed attempt to the next, while up and unsure.
    pub retry_interval: Duration,
    /// Successes in a row before a down server counts as up. The first check after boot needs one.
    pub rise: u32,
    /// The schedule is moved by up to this much, differently for each check.
    pub jitter: Duration,
    /// From the start of one check to the next of a server that has been down for long; none: as always.
    pub down_interval: Option<Duration>,
    /// How long a server that has gone down again and again is kept out, doubled each time, up to the second.
    pub hold_down: Duration,
    pub hold_down_max: Duration,
}

impl CheckParams {
    /// Whether an answer over TLS is taken from whoever gives it.
    pub fn trusts_anybody(&self) -> bool {
        let tls = match &self.kind {
            CheckKind::Tls(tls) => Some(tls),
            CheckKind::Http(http) => http.tls.as_ref(),
            CheckKind::Tcp(_) | CheckKind::None => None,
        };
        tls.is_some_and(|tls| tls.verify == Verify::Nobody)
    }
}

impl Default for CheckParams {
    fn default() -> Self {
        CheckParams {
            kind: CheckKind::Tcp(Close::Fin),
            port: None,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            retries: 2,
            retry_interval: Duration::from_millis(500),
            rise: 2,
            jitter: Duration::ZERO,
            down_interval: None,
            hold_down: Duration::from_secs(10),
            hold_down_max: Duration::from_mins(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_written_as_they_are_read() {
        let statuses = Statuses(vec![200..=299, 401..=401]);
        assert_eq!(statuses.to_string(), "200-299, 401");
        assert!(statuses.contains(204) && statuses.contains(401));
        assert!(!statuses.contains(300) && !statuses.contains(400));
        assert!(Statuses::default().contains(200) && !Statuses::default().contains(301));
    }

    #[test]
    fn patterns_are_compared_by_their_text() {
        let pattern = Pattern::new("^ok( |$)").unwrap();
        assert_eq!(pattern, Pattern::new("^ok( |$)").unwrap());
        assert!(pattern.matches("ok then") && !pattern.matches("not ok"));
        assert!(Pattern::new("(").is_err());
        assert!(Pattern::new("(a{1000}){1000}").is_err(), "too large");
    }
}
