//! What a check that somebody watches tells of itself, step by step; of any other nothing is kept. Must not: change what a check does, but
//! for reading the beginning of a body that the check does not look at.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::{Bytes, Incoming};
use lb_core::control::ProbeStep;
use lb_core::secrets;

/// Of a text that a server has sent, in characters.
const MOST_LINE: usize = 160;
/// Of header fields.
const MOST_FIELDS: usize = 40;
/// Of a body or a datagram, in bytes.
const MOST_BODY: usize = 240;
/// For a body that the check itself does not wait for.
const BODY_PATIENCE: Duration = Duration::from_millis(300);

#[derive(Debug)]
pub(super) struct Account {
    started: Instant,
    /// When the check is over at the latest.
    deadline: Instant,
    steps: Mutex<Vec<ProbeStep>>,
}

impl Account {
    pub fn new(started: Instant, timeout: Duration) -> Account {
        Account {
            started,
            deadline: started + timeout,
            steps: Mutex::default(),
        }
    }

    pub fn note(&self, what: &str, lines: Vec<String>) {
        let step = ProbeStep {
            at_ms: milliseconds(self.started.elapsed()),
            what: what.to_owned(),
            lines,
        };
        self.steps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(step);
    }

    pub fn into_steps(self) -> Vec<ProbeStep> {
        self.steps.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the beginning of a body that the check does not look at, and takes no longer than the check may.
    pub async fn peek(&self, body: Incoming) {
        let left = self.deadline.saturating_duration_since(Instant::now()) / 2;
        let begin = tokio::time::timeout(BODY_PATIENCE.min(left), beginning(body)).await;
        if let Ok(bytes) = begin {
            self.body(&bytes, "the check does not look at it");
        }
    }

    pub fn body(&self, bytes: &[u8], remark: &str) {
        let remark = if remark.is_empty() {
            String::new()
        } else {
            format!(" ({remark})")
        };
        let lines = match bytes {
            [] => vec![format!("empty{remark}")],
            bytes => vec![format!("begins with{remark}: {}", quoted(bytes))],
        };
        self.note("body", lines);
    }
}

async fn beginning(mut body: Incoming) -> Bytes {
    let mut bytes = Vec::new();
    while bytes.len() <= MOST_BODY
        && let Some(Ok(frame)) = body.frame().await
    {
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(&data[..data.len().min(MOST_BODY + 1)]);
        }
    }
    bytes.into()
}

/// Bytes in quotes, harmless to a terminal.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let first = &bytes[..bytes.len().min(MOST_BODY)];
    let text = match std::str::from_utf8(first) {
        Ok(text) => text.escape_debug().to_string(),
        Err(_) => first.escape_ascii().to_string(),
    };
    let more = if bytes.len() > MOST_BODY { "..." } else { "" };
    format!("\"{text}\"{more}")
}

/// Header fields, a line each; what lets somebody in is not shown.
pub(super) fn fields(headers: &HeaderMap) -> Vec<String> {
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        if secrets::is_secret_field(name.as_str()) {
            return format!("{name}: {}", secrets::HIDDEN);
        }
        let value = value.as_bytes();
        let first = &value[..value.len().min(MOST_LINE)];
        let more = if value.len() > MOST_LINE { "..." } else { "" };
        format!("{name}: {}{more}", String::from_utf8_lossy(first))
    };
    let mut lines: Vec<String> = headers.iter().take(MOST_FIELDS).map(line).collect();
    if headers.len() > MOST_FIELDS {
        lines.push(format!("and {} more fields", headers.len() - MOST_FIELDS));
    }
    lines
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
