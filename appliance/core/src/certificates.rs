//! Certificates of servers that end soon, as checks over TLS have seen them. `now` is what the appliance's clock says, which may be
//! wrong. Must not: verify anything.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::check::CheckParams;
use crate::health::{CheckResult, Outcome};

const DAY: Duration = Duration::from_hours(24);
/// More are not listed by themselves: they mostly have one cause.
const LISTED: usize = 3;

/// Those that end within the time that their checks name.
#[derive(Debug, Default)]
pub struct Certificates(BTreeMap<SocketAddr, Ending>);

#[derive(Debug)]
struct Ending {
    at: SystemTime,
    /// Whether it is over, and by how many days: what the log was told.
    told: (bool, u64),
}

impl Certificates {
    /// What the log is told: once, and again when the days that are left have become others.
    pub fn note(
        &mut self,
        target: SocketAddr,
        params: &CheckParams,
        result: &CheckResult,
        now: SystemTime,
    ) -> Option<String> {
        // Nothing is known of the certificate now.
        if result.outcome != Outcome::Pass {
            return None;
        }
        let within = params.kind.tls().map_or(Duration::ZERO, |tls| tls.expiry_warning);
        let soon = |at: &SystemTime| !within.is_zero() && *at <= now + within;
        let Some(at) = result.certificate_ends.filter(soon) else {
            self.0.remove(&target);
            return None;
        };
        let told = match at.duration_since(now) {
            Ok(left) => (false, days(left)),
            Err(past) => (true, days(past.duration())),
        };
        let known = self.0.insert(target, Ending { at, told });
        let is_news = known.is_none_or(|known| known.told != told);
        is_news.then(|| remark(target, at, now))
    }

    /// The configuration is another one: what still ends soon will be seen again.
    pub fn forget(&mut self) {
        self.0.clear();
    }

    /// The nearest end first.
    pub fn problems(&self, now: SystemTime) -> Vec<String> {
        let mut endings: Vec<_> = self
            .0
            .iter()
            .map(|(target, ending)| (ending.at, target))
            .collect();
        endings.sort();
        let remedy = "renew it on the server; or is the appliance's clock wrong?";
        let listed = endings.iter().take(LISTED);
        let mut problems: Vec<String> = listed
            .map(|(at, target)| format!("{}: {remedy}", remark(**target, *at, now)))
            .collect();
        if let more @ 1.. = endings.len().saturating_sub(LISTED) {
            problems.push(format!(
                "certificates of {more} more servers end soon; the log names them"
            ));
        }
        problems
    }
}

/// `certificate of 172.16.0.11:443 ends in 9 days`.
fn remark(target: SocketAddr, at: SystemTime, now: SystemTime) -> String {
    match at.duration_since(now) {
        Ok(left) => format!("certificate of {target} ends in {}", in_words(left)),
        Err(past) => format!("certificate of {target} ended {} ago", in_words(past.duration())),
    }
}

fn days(time: Duration) -> u64 {
    time.as_secs() / DAY.as_secs()
}

fn in_words(time: Duration) -> String {
    let count = |number: u64, unit: &str| match number {
        1 => format!("1 {unit}"),
        number => format!("{number} {unit}s"),
    };
    match days(time) {
        0 => count(time.as_secs() / 3_600, "hour"),
        days => count(days, "day"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::check::{CheckKind, TlsCheck, Verify};
    use crate::health::Told;

    fn tls(expiry_warning: Duration) -> CheckParams {
        CheckParams {
            kind: CheckKind::Tls(TlsCheck {
                server_name: None,
                verify: Verify::Nobody,
                identity: None,
                expiry_warning,
            }),
            ..CheckParams::default()
        }
    }

    fn seen(ends: Option<SystemTime>) -> CheckResult {
        CheckResult {
            outcome: Outcome::Pass,
            told: Told::Nothing,
            certificate_ends: ends,
            ended: Instant::now(),
            latency: Duration::ZERO,
        }
    }

    #[test]
    fn an_end_is_told_once_a_day() {
        let now = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        let mut certificates = Certificates::default();
        let target = "10.0.0.1:443".parse().unwrap();
        let params = tls(14 * DAY);
        let ends = now + 20 * DAY;
        let mut told = Vec::new();
        for half_day in 0..44 {
            let at = now + half_day * DAY / 2;
            told.extend(certificates.note(target, &params, &seen(Some(ends)), at));
        }
        assert_eq!(told.len(), 14 + 3, "{told:?}");
        assert_eq!(told[0], "certificate of 10.0.0.1:443 ends in 14 days");
        assert_eq!(told[13], "certificate of 10.0.0.1:443 ends in 1 day");
        assert_eq!(told[14], "certificate of 10.0.0.1:443 ends in 12 hours");
        assert_eq!(told[15], "certificate of 10.0.0.1:443 ended 12 hours ago");
        let problems = certificates.problems(ends + 3 * DAY);
        assert!(
            problems[0].starts_with("certificate of 10.0.0.1:443 ended 3 days ago: renew it"),
            "{problems:?}"
        );
        // It was renewed.
        assert_eq!(
            certificates.note(target, &params, &seen(Some(ends + 365 * DAY)), ends),
            None
        );
        assert!(certificates.problems(ends).is_empty());
    }

    #[test]
    fn only_who_wants_to_know_is_told() {
        let now = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        let mut certificates = Certificates::default();
        let target = "10.0.0.1:443".parse().unwrap();
        let ends = seen(Some(now + DAY));
        for params in [tls(Duration::ZERO), CheckParams::default()] {
            assert_eq!(certificates.note(target, &params, &ends, now), None);
        }
        let failed = CheckResult {
            outcome: Outcome::Fail("refused".to_owned()),
            ..seen(None)
        };
        assert!(certificates.note(target, &tls(2 * DAY), &ends, now).is_some());
        assert_eq!(certificates.note(target, &tls(2 * DAY), &failed, now), None);
        assert_eq!(certificates.problems(now).len(), 1, "a failure is no renewal");
        for port in 444..450 {
            certificates.note(SocketAddr::new(target.ip(), port), &tls(2 * DAY), &ends, now);
        }
        let problems = certificates.problems(now);
        assert_eq!(problems.len(), 4);
        assert_eq!(
            problems[3],
            "certificates of 4 more servers end soon; the log names them"
        );
        certificates.forget();
        assert!(certificates.problems(now).is_empty());
    }
}
