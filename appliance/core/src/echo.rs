//! The account of a row of echoes: which came back, how long they took, what was said instead. Time is an argument: what has
//! passed since the row began. Must not: send.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::icmp::IcmpError;

/// What was heard on the socket of echoes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    Reply {
        from: IpAddr,
        sequence: u16,
        /// In bytes, without headers.
        length: usize,
    },
    Error {
        /// Who says so; `None`: this machine itself.
        from: Option<IpAddr>,
        error: IcmpError,
        sequence: u16,
    },
}

/// What it means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Said {
    Reply {
        took: Duration,
    },
    Duplicate {
        took: Duration,
    },
    Error {
        from: Option<IpAddr>,
        error: IcmpError,
    },
    /// Of an echo that was never sent, or not from where it was sent to.
    Strange,
}

#[derive(Debug, Clone)]
pub struct Echoes {
    target: IpAddr,
    sent: BTreeMap<u16, Sent>,
    duplicates: u64,
    errors: BTreeMap<(Option<IpAddr>, IcmpError), u64>,
    mtu: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    at: Duration,
    took: Option<Duration>,
    refused: bool,
}

impl Echoes {
    pub fn to(target: IpAddr) -> Echoes {
        Echoes {
            target,
            sent: BTreeMap::new(),
            duplicates: 0,
            errors: BTreeMap::new(),
            mtu: None,
        }
    }

    pub fn sent(&mut self, sequence: u16, now: Duration) {
        let sent = Sent {
            at: now,
            took: None,
            refused: false,
        };
        self.sent.insert(sequence, sent);
    }

    pub fn heard(&mut self, heard: Heard, now: Duration) -> Said {
        match heard {
            Heard::Reply { from, sequence, .. } => {
                let Some(sent) = self.sent.get_mut(&sequence).filter(|_| from == self.target) else {
                    return Said::Strange;
                };
                let took = now.saturating_sub(sent.at);
                if sent.took.is_some() {
                    self.duplicates += 1;
                    return Said::Duplicate { took };
                }
                sent.took = Some(took);
                Said::Reply { took }
            }
            Heard::Error {
                from,
                error,
                sequence,
            } => {
                let Some(sent) = self.sent.get_mut(&sequence) else {
                    return Said::Strange;
                };
                sent.refused = true;
                *self.errors.entry((from, error)).or_default() += 1;
                if error.is_too_big() && error.mtu > 0 {
                    self.mtu = Some(self.mtu.map_or(error.mtu, |mtu| mtu.min(error.mtu)));
                }
                Said::Error { from, error }
            }
        }
    }

    /// Nothing more can come.
    pub fn is_settled(&self) -> bool {
        let mut sent = self.sent.values();
        sent.all(|sent| sent.took.is_some() || sent.refused)
    }

    pub fn report(&self) -> EchoReport {
        let mut times: Vec<f64> = self
            .sent
            .values()
            .filter_map(|sent| sent.took)
            .map(milliseconds)
            .collect();
        times.sort_by(f64::total_cmp);
        let (sent, received) = (self.sent.len(), times.len());
        let median = match received {
            0 => None,
            odd if odd % 2 == 1 => Some(times[odd / 2]),
            even => Some((times[even / 2 - 1] + times[even / 2]) / 2.0),
        };
        let error = |((from, error), count): (&(Option<IpAddr>, IcmpError), &u64)| EchoErrorReport {
            from: *from,
            says: error.to_string(),
            count: *count,
        };
        EchoReport {
            address: self.target,
            sent,
            received,
            duplicates: self.duplicates,
            loss_percent: match sent {
                0 => 0.0,
                sent => 100.0 * (sent - received) as f64 / sent as f64,
            },
            min_ms: times.first().copied(),
            median_ms: median,
            max_ms: times.last().copied(),
            errors: self.errors.iter().map(error).collect(),
            path_mtu: self.mtu,
        }
    }
}

/// In milliseconds, to the microsecond.
pub fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EchoReport {
    pub address: IpAddr,
    pub sent: usize,
    /// Without duplicates.
    pub received: usize,
    pub duplicates: u64,
    pub loss_percent: f64,
    /// `null`: nothing came back.
    pub min_ms: Option<f64>,
    pub median_ms: Option<f64>,
    pub max_ms: Option<f64>,
    pub errors: Vec<EchoErrorReport>,
    /// In bytes, with headers; `null`: none was told.
    pub path_mtu: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EchoErrorReport {
    /// `null`: this machine itself.
    pub from: Option<IpAddr>,
    pub says: String,
    pub count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    fn reply(sequence: u16) -> Heard {
        let from = "10.0.0.1".parse().unwrap();
        Heard::Reply {
            from,
            sequence,
            length: 8,
        }
    }

    #[test]
    fn echoes_are_counted_once_and_what_was_said_instead_is_kept() {
        let mut echoes = Echoes::to("10.0.0.1".parse().unwrap());
        (1..=4u16).for_each(|n| echoes.sent(n, ms(1000 * u64::from(n))));
        assert_eq!(echoes.heard(reply(1), ms(1003)), Said::Reply { took: ms(3) });
        assert_eq!(echoes.heard(reply(1), ms(1004)), Said::Duplicate { took: ms(4) });
        assert_eq!(echoes.heard(reply(9), ms(1004)), Said::Strange);
        let other = Heard::Reply {
            from: "10.0.0.2".parse().unwrap(),
            sequence: 2,
            length: 8,
        };
        assert_eq!(echoes.heard(other, ms(2001)), Said::Strange);
        echoes.heard(reply(2), ms(2001));
        assert!(!echoes.is_settled());
        let error = IcmpError {
            v6: false,
            kind: 3,
            code: 4,
            mtu: 1400,
        };
        let from = "10.0.0.254".parse().ok();
        let said = echoes.heard(
            Heard::Error {
                from,
                error,
                sequence: 3,
            },
            ms(3001),
        );
        assert_eq!(said, Said::Error { from, error });
        let report = echoes.report();
        assert_eq!((report.sent, report.received, report.duplicates), (4, 2, 1));
        assert_eq!((report.loss_percent, report.path_mtu), (50.0, Some(1400)));
        assert_eq!(
            (report.min_ms, report.median_ms, report.max_ms),
            (Some(1.0), Some(2.0), Some(3.0))
        );
        assert_eq!(report.errors[0].count, 1);
        echoes.heard(reply(4), ms(4009));
        assert!(echoes.is_settled());
        assert_eq!(echoes.report().median_ms, Some(3.0));
    }

    #[test]
    fn nothing_sent_is_nothing_lost() {
        let report = Echoes::to("::1".parse().unwrap()).report();
        assert_eq!((report.loss_percent, report.median_ms), (0.0, None));
    }
}
