//! What an HTTP check asks, and which answers are right.
//! Must not: know HTTP's bytes.

use std::fmt;
use std::ops::RangeInclusive;

use super::TlsCheck;

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
    pub const ALL: [Method; 2] = [Method::Get, Method::Head];
    /// In the order of [`Self::ALL`]; the default is the first.
    pub const WORDS: [&'static str; 2] = [Method::Get.as_str(), Method::Head.as_str()];

    pub const fn as_str(self) -> &'static str {
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
    /// Success.
    pub const DEFAULT: &'static str = "200-299";

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
