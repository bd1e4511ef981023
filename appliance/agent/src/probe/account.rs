//! What a check that somebody watches tells of itself, step by step; of any other nothing is kept. Must not: change what a check does, but
//! for reading the beginning of a body that the check does not look at.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lb_core::control::ProbeStep;
use lb_core::secrets;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::answer::Answer;
use super::http::READ;

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
    pub async fn peek<S>(&self, stream: &mut S, mut answer: Answer, bodiless: bool)
    where
        S: AsyncRead + Unpin,
    {
        let left = self.deadline.saturating_duration_since(Instant::now()) / 2;
        let reading = read_on(stream, &mut answer, bodiless);
        let ended = tokio::time::timeout(BODY_PATIENCE.min(left), reading).await;
        if ended.is_ok() || !answer.body.is_empty() {
            self.body(&answer.body, "the check does not look at it");
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

async fn read_on<S>(stream: &mut S, answer: &mut Answer, bodiless: bool)
where
    S: AsyncRead + Unpin,
{
    let mut buffer = [0; READ];
    while answer.body.len() <= MOST_BODY
        && !answer.is_whole(false)
        && let Ok(length @ 1..) = stream.read(&mut buffer).await
        && answer.take(&buffer[..length], bodiless).is_ok()
    {}
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

/// Header fields as they are sent, a line each; what lets somebody in is not shown.
pub(super) fn fields<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut more = 0;
    for (name, value) in fields {
        match () {
            () if lines.len() == MOST_FIELDS => more += 1,
            () if secrets::is_secret_field(name) => lines.push(format!("{name}: {}", secrets::HIDDEN)),
            () => lines.push(format!("{name}: {}", line(value))),
        }
    }
    if more > 0 {
        lines.push(format!("and {more} more fields"));
    }
    lines
}

pub(super) fn line(text: &[u8]) -> String {
    let first = &text[..text.len().min(MOST_LINE)];
    let more = if text.len() > MOST_LINE { "..." } else { "" };
    format!("{}{more}", String::from_utf8_lossy(first))
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
