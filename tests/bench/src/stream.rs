//! host01's requests with real curl at a steady pace, and which of them failed. A request that hangs does not hold the next
//! one back. Must not: know who answers.

use std::time::{Duration, Instant};

use lb_lab::VIP;
use lb_lab::cluster::{NODE_PORT, curl};
use serde::Serialize;

/// Every answer is nginx's default page within this, as in the scenario, or the request has failed.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Serialize)]
pub struct Stream {
    pub requests: usize,
    /// Seconds from the first request to each one that failed.
    pub failed: Vec<f64>,
    /// What curl said to the first that failed.
    pub first_complaint: Option<String>,
}

impl Stream {
    /// A request at once and then one every `pace`, for `length`.
    pub fn run(length: Duration, pace: Duration) -> Stream {
        let url = format!("http://{VIP}:{NODE_PORT}/");
        let count = u32::try_from(length.as_nanos() / pace.as_nanos()).unwrap_or(u32::MAX);
        let began = Instant::now();
        let complaints: Vec<(f64, Option<String>)> = std::thread::scope(|scope| {
            let requests: Vec<_> = (0..count)
                .map(|number| {
                    let due = pace * number;
                    std::thread::sleep(due.saturating_sub(began.elapsed()));
                    let at = began.elapsed().as_secs_f64();
                    let url = &url;
                    (at, scope.spawn(move || complaint(url)))
                })
                .collect();
            let ended = requests.into_iter().map(|(at, request)| {
                let complaint = request
                    .join()
                    .unwrap_or_else(|_| Some("the request panicked".into()));
                (at, complaint)
            });
            ended.collect()
        });
        Stream::from(complaints)
    }

    fn from(complaints: Vec<(f64, Option<String>)>) -> Stream {
        let requests = complaints.len();
        let failed: Vec<(f64, String)> = complaints
            .into_iter()
            .filter_map(|(at, complaint)| Some((at, complaint?)))
            .collect();
        Stream {
            requests,
            first_complaint: failed.first().map(|(_, complaint)| complaint.clone()),
            failed: failed.into_iter().map(|(at, _)| at).collect(),
        }
    }

    /// When the last request failed; `None` if none did.
    pub fn last_failure(&self) -> Option<f64> {
        self.failed.last().copied()
    }
}

/// `None` for the default page; otherwise what went wrong.
fn complaint(url: &str) -> Option<String> {
    match curl("host01", url, PATIENCE) {
        Ok(fetch) if fetch.is_default_page() => None,
        Ok(fetch) => Some(format!("{} (status {})", fetch.complaint, fetch.status)),
        Err(failure) => Some(failure.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_keep_their_times_and_the_first_its_reason() {
        let stream = Stream::from(vec![
            (0.0, None),
            (0.5, Some("timed out".into())),
            (1.0, None),
            (1.5, Some("refused".into())),
        ]);
        assert_eq!((stream.requests, &stream.failed[..]), (4, &[0.5, 1.5][..]));
        assert_eq!(stream.first_complaint.as_deref(), Some("timed out"));
        assert_eq!(stream.last_failure(), Some(1.5));
    }
}
