//! Requests that never stop: one client that asks again and again while a story does its worst, and every answer kept.
//! Must not: judge; the story does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lb_lab::cluster::{Fetch, curl};

/// Between one answer and the next request.
const PAUSE: Duration = Duration::from_millis(20);

/// One request.
#[derive(Debug, Clone)]
pub struct Record {
    /// When it was sent.
    pub at: Instant,
    pub fetch: Fetch,
}

/// A client that runs until [`Stream::stop`].
#[derive(Debug)]
pub struct Stream {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Record>>,
}

impl Stream {
    /// `curl -m 2 URL` in `namespace`, over and over.
    pub fn start(namespace: &'static str, url: &'static str) -> Stream {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut records = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let at = Instant::now();
                match curl(namespace, url, Duration::from_secs(2)) {
                    Ok(fetch) => records.push(Record { at, fetch }),
                    Err(failure) => panic!("curl could not be run: {failure}"),
                }
                std::thread::sleep(PAUSE);
            }
            records
        });
        Stream { stop, thread }
    }

    /// Every request, in order.
    pub fn stop(self) -> Records {
        self.stop.store(true, Ordering::Relaxed);
        Records(self.thread.join().expect("the client runs until it is stopped"))
    }
}

/// What a client saw, in order.
#[derive(Debug, Clone)]
pub struct Records(pub Vec<Record>);

impl Records {
    /// From the first answered request on.
    pub fn since_first_page(&self) -> Records {
        let first = self.0.iter().position(|record| record.fetch.is_default_page());
        Records(self.0[first.unwrap_or(self.0.len())..].to_vec())
    }

    pub fn pages(&self) -> usize {
        self.0
            .iter()
            .filter(|record| record.fetch.is_default_page())
            .count()
    }

    /// Requests that did not get the page, with their time since the first request.
    pub fn failures(&self) -> Vec<(Duration, Fetch)> {
        let Some(first) = self.0.first() else {
            return Vec::new();
        };
        let failed = self.0.iter().filter(|record| !record.fetch.is_default_page());
        failed
            .map(|record| (record.at - first.at, record.fetch.clone()))
            .collect()
    }

    /// Fails the story unless there were at least `least` pages and nothing else.
    pub fn assert_all_pages(&self, least: usize, occasion: &str) {
        let failures = self.failures();
        assert!(
            failures.is_empty(),
            "{occasion}: {} of {} requests failed: {failures:?}",
            failures.len(),
            self.0.len()
        );
        assert!(
            self.pages() >= least,
            "{occasion}: only {} requests were made, {least} prove something",
            self.pages()
        );
    }
}
