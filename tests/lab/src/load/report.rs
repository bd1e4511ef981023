//! What a client saw: everything that was answered, and everything that was not.
//! Must not: forgive anything.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// How many losses are told one by one; all are counted.
const TOLD: usize = 200;

/// The one JSON document of a client. Times are seconds since it began.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// When it began.
    pub started_unix_ms: u64,
    pub seconds: f64,
    /// Connections that were begun, and those that came to their regular end.
    pub begun: u64,
    pub completed: u64,
    /// Requests that were sent, and those with the whole and right answer.
    pub requests: u64,
    pub answers: u64,
    /// Of the answers' bodies.
    pub bytes: u64,
    /// Who gave the answers.
    pub servers: BTreeMap<String, u64>,
    /// Connections that took a second or more to be established: a SYN was lost on the way, and sent again.
    pub slow: Moments,
    /// Answers that took a second or more.
    pub slow_answers: Moments,
    pub longest_answer_ms: u64,
    pub losses: u64,
    pub losses_by_kind: BTreeMap<String, u64>,
    /// The first of them.
    pub first_losses: Vec<Loss>,
}

/// A count, and when the first ones were.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    pub count: u64,
    pub first_at_s: Vec<f64>,
}

/// Something that was asked for and did not come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    pub at_s: f64,
    /// `refused`, `reset`, `timeout`, `unreachable`, `short`, `wrong`; `local`: the client's own fault; `other`.
    pub kind: String,
    /// `connect`, `request`, `answer` or `close`.
    pub during: String,
    /// The client's own end of the connection.
    pub from: String,
    pub what: String,
}

/// Counts so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub begun: u64,
    pub answers: u64,
    pub losses: u64,
}

impl Report {
    pub fn progress(&self) -> Progress {
        Progress {
            begun: self.begun,
            answers: self.answers,
            losses: self.losses,
        }
    }

    pub fn lose(&mut self, loss: Loss) {
        self.losses += 1;
        *self.losses_by_kind.entry(loss.kind.clone()).or_default() += 1;
        if self.first_losses.len() < TOLD {
            self.first_losses.push(loss);
        }
    }

    /// In one line.
    pub fn summary(&self) -> String {
        format!(
            "{} connections, {} of {} requests answered, {} bytes in {:.1} s ({:.0} connections/s), {} slow, \
             longest answer {} ms, lost {} {:?}",
            self.begun,
            self.answers,
            self.requests,
            self.bytes,
            self.seconds,
            self.begun as f64 / self.seconds.max(0.001),
            self.slow.count,
            self.longest_answer_ms,
            self.losses,
            self.losses_by_kind
        )
    }

    /// What keeps this from being a client that lost nothing; empty when nothing was lost.
    pub fn lost(&self) -> Vec<String> {
        let mut lost: Vec<String> = self.first_losses.iter().map(ToString::to_string).collect();
        if self.losses > self.first_losses.len() as u64 {
            lost.push(format!("and more: {} in all", self.losses));
        }
        // The counts have to agree: what neither ended well nor was counted as lost would be lost in silence.
        if self.begun != self.completed + self.losses || self.requests < self.answers {
            lost.push(format!("the counts do not add up: {self:?}"));
        }
        lost
    }
}

impl Moments {
    pub fn add(&mut self, at_s: f64) {
        self.count += 1;
        if self.first_at_s.len() < TOLD {
            self.first_at_s.push(at_s);
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{:.3} s: {} ({}) at {}: {}",
            self.at_s, self.kind, self.during, self.from, self.what
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_told_and_counted() {
        let mut report = Report {
            begun: 300,
            completed: 300,
            ..Report::default()
        };
        assert_eq!(report.lost(), Vec::<String>::new());
        report.completed = 0;
        assert_eq!(report.lost().len(), 1, "neither complete nor lost");
        for _ in 0..300 {
            report.lose(Loss {
                kind: "reset".into(),
                ..Loss::default()
            });
        }
        assert_eq!(report.losses_by_kind["reset"], 300);
        assert_eq!(report.lost().len(), TOLD + 1);
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }
}
