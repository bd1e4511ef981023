//! A configuration on trial: it is in force, and has until a deadline to be confirmed, by a person or by what the file itself
//! asserts. Must not: read a clock, gather facts, or carry anything out.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// How long a trial may last.
pub const WINDOW: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);
/// What is asserted has to hold for so long before it counts: a moment proves little.
pub const STEADY: Duration = Duration::from_secs(2);

/// What confirms a configuration without a person, when all of it holds. Nothing: only a person does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Assertions {
    pub gateway_answers: Option<Gateways>,
    pub servers_up: Option<ServersUp>,
}

/// Who has to answer an ICMP echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gateways {
    /// The `gateway` of every interface that has one.
    OfInterfaces,
    Address(IpAddr),
}

/// How many servers of a service have to be up, of as many as were before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServersUp {
    /// At least so many, or as many as were.
    Number(u32),
    /// 1 to 100.
    Percent(u8),
}

impl ServersUp {
    /// Never more than there were, and one at least where there was one.
    pub fn of(self, before: u32) -> u32 {
        match self {
            ServersUp::Number(number) => number.min(before),
            ServersUp::Percent(percent) => {
                let part = u64::from(before) * u64::from(percent);
                u32::try_from(part.div_ceil(100)).unwrap_or(before)
            }
        }
    }
}

impl fmt::Display for ServersUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServersUp::Number(number) => write!(f, "{number}"),
            ServersUp::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl Assertions {
    pub fn is_empty(&self) -> bool {
        self.gateway_answers.is_none() && self.servers_up.is_none()
    }

    /// The keys of `[confirm]` that are given.
    pub fn keys(&self) -> Vec<&'static str> {
        let keys = [
            ("gateway_answers", self.gateway_answers.is_some()),
            ("servers_up", self.servers_up.is_some()),
        ];
        let given = keys.into_iter().filter(|(_, given)| *given);
        given.map(|(key, _)| key).collect()
    }
}

/// What is known since the trial began; nothing from before counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The kernel holds all of the configuration; else what it refused.
    pub refused: Option<String>,
    /// Each gateway that has to answer; the error says how it failed last.
    pub gateways: Vec<(IpAddr, Result<(), String>)>,
    /// Each service that had servers up before.
    pub services: Vec<ServiceFacts>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceFacts {
    pub name: String,
    pub before: u32,
    /// Whose check passed since the trial began.
    pub now: u32,
}

/// One assertion, and whether it held when it was looked at last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `servers_up = 1: nginx has 0 of 2`.
    pub text: String,
    pub holds: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Wait,
    /// All that the file asserts holds.
    Confirm,
    /// Its time is over.
    Return,
}

/// Why no other change may begin meanwhile, and what to do.
pub fn refusal(left: Duration) -> String {
    format!(
        "nothing was changed: a configuration is PENDING, and returns to the former one in {} s; `config confirm` keeps it, `config \
         abort` returns at once, and then another one can be applied",
        left.as_secs()
    )
}

/// From the moment that a configuration is put in force to its confirmation or return.
#[derive(Debug, Clone)]
pub struct Trial {
    began: Instant,
    window: Duration,
    assertions: Assertions,
    findings: Vec<Finding>,
    /// Everything has held since then.
    held_since: Option<Instant>,
}

impl Trial {
    pub fn begin(now: Instant, window: Duration, assertions: Assertions) -> Trial {
        Trial {
            began: now,
            window: window.clamp(*WINDOW.start(), *WINDOW.end()),
            assertions,
            findings: Vec::new(),
            held_since: None,
        }
    }

    pub fn began(&self) -> Instant {
        self.began
    }

    pub fn window(&self) -> Duration {
        self.window
    }

    pub fn assertions(&self) -> &Assertions {
        &self.assertions
    }

    pub fn deadline(&self) -> Instant {
        self.began + self.window
    }

    pub fn left(&self, now: Instant) -> Duration {
        self.deadline().saturating_duration_since(now)
    }

    /// What was found at the last look.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What does not hold.
    pub fn failing(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| !finding.holds)
    }

    pub fn look(&mut self, now: Instant, facts: &Facts) {
        if self.assertions.is_empty() {
            return;
        }
        self.findings = findings(&self.assertions, facts);
        match self.all_hold() {
            true => drop(self.held_since.get_or_insert(now)),
            false => self.held_since = None,
        }
    }

    fn all_hold(&self) -> bool {
        !self.findings.is_empty() && self.findings.iter().all(|finding| finding.holds)
    }

    pub fn verdict(&self, now: Instant) -> Verdict {
        let steady = |since: Instant| now.saturating_duration_since(since) >= STEADY;
        match (self.held_since, now >= self.deadline()) {
            (Some(_), true) => Verdict::Confirm,
            (Some(since), false) if steady(since) => Verdict::Confirm,
            (None, true) => Verdict::Return,
            (_, false) => Verdict::Wait,
        }
    }
}

fn findings(assertions: &Assertions, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(refused) = &facts.refused {
        findings.push(Finding {
            text: format!("the kernel holds all of it: {refused}"),
            holds: false,
        });
    }
    if assertions.gateway_answers.is_some() {
        let gateways = facts.gateways.iter();
        findings.extend(gateways.map(|(address, answer)| Finding {
            text: match answer {
                Ok(()) => format!("gateway_answers: {address} answers"),
                Err(why) => format!("gateway_answers: {address}: {why}"),
            },
            holds: answer.is_ok(),
        }));
    }
    if let Some(wanted) = assertions.servers_up {
        let services = facts.services.iter();
        findings.extend(services.map(|service| {
            let needed = wanted.of(service.before);
            Finding {
                text: format!(
                    "servers_up = {wanted}: {} has {} up of {needed} needed ({} were up before)",
                    service.name, service.now, service.before
                ),
                holds: service.now >= needed,
            }
        }));
        if facts.services.is_empty() {
            findings.push(Finding {
                text: format!("servers_up = {wanted}: no server was up before"),
                holds: true,
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVERS: Assertions = Assertions {
        gateway_answers: None,
        servers_up: Some(ServersUp::Percent(50)),
    };

    fn facts(now: u32) -> Facts {
        Facts {
            services: vec![ServiceFacts {
                name: "web".to_owned(),
                before: 3,
                now,
            }],
            ..Facts::default()
        }
    }

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn without_assertions_only_a_person_confirms() {
        let start = Instant::now();
        let mut trial = Trial::begin(start, seconds(10), Assertions::default());
        trial.look(start, &facts(3));
        assert_eq!(trial.verdict(start + seconds(9)), Verdict::Wait);
        assert_eq!(trial.left(start + seconds(4)), seconds(6));
        assert_eq!(trial.verdict(start + seconds(10)), Verdict::Return);
        assert_eq!(trial.left(start + seconds(11)), Duration::ZERO);
    }

    #[test]
    fn a_window_is_never_longer_or_shorter_than_allowed() {
        let start = Instant::now();
        for (asked, given) in [(0, 1), (7, 7), (99_999, 3_600)] {
            let trial = Trial::begin(start, seconds(asked), SERVERS);
            assert_eq!(trial.deadline(), start + seconds(given));
        }
    }

    #[test]
    fn what_holds_steadily_confirms_and_what_does_not_returns() {
        let start = Instant::now();
        let at = |number| start + seconds(number);
        let mut trial = Trial::begin(start, seconds(10), SERVERS);
        assert_eq!(trial.verdict(at(1)), Verdict::Wait, "nothing is known");
        trial.look(at(1), &facts(2));
        assert_eq!(trial.verdict(at(2)), Verdict::Wait, "only a moment");
        trial.look(at(2), &facts(1));
        trial.look(at(3), &facts(2));
        assert_eq!(trial.verdict(at(4)), Verdict::Wait, "it had not held between");
        assert_eq!(trial.verdict(at(5)), Verdict::Confirm);
        trial.look(at(6), &facts(1));
        assert_eq!(trial.verdict(at(9)), Verdict::Wait);
        assert_eq!(trial.verdict(at(10)), Verdict::Return);
        let failing: Vec<&str> = trial.failing().map(|finding| finding.text.as_str()).collect();
        assert_eq!(
            failing,
            ["servers_up = 50%: web has 1 up of 2 needed (3 were up before)"]
        );
    }

    #[test]
    fn a_window_shorter_than_steady_ends_by_what_was_seen_last() {
        let start = Instant::now();
        let mut trial = Trial::begin(start, seconds(1), SERVERS);
        trial.look(start, &facts(3));
        assert_eq!(trial.verdict(start + seconds(1)), Verdict::Confirm);
    }

    #[test]
    fn a_refusal_of_the_kernel_and_a_silent_gateway_hold_it_back() {
        let start = Instant::now();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let both = Assertions {
            gateway_answers: Some(Gateways::OfInterfaces),
            ..SERVERS
        };
        let mut trial = Trial::begin(start, seconds(5), both);
        let mut all = facts(3);
        all.gateways = vec![(address, Err("no answer within 1s".to_owned()))];
        trial.look(start, &all);
        assert!(
            trial
                .failing()
                .all(|finding| finding.text.contains("192.0.2.1: no answer"))
        );
        assert_eq!(trial.failing().count(), 1);
        all.gateways = vec![(address, Ok(()))];
        all.refused = Some("add route: EINVAL".to_owned());
        trial.look(start, &all);
        assert_eq!(trial.verdict(start + seconds(5)), Verdict::Return);
        all.refused = None;
        trial.look(start, &all);
        assert_eq!(trial.verdict(start + STEADY), Verdict::Confirm);
    }

    #[test]
    fn as_many_servers_as_there_were_are_enough() {
        for (wanted, before, needed) in [
            (ServersUp::Number(1), 3, 1),
            (ServersUp::Number(5), 3, 3),
            (ServersUp::Percent(50), 3, 2),
            (ServersUp::Percent(1), 1, 1),
            (ServersUp::Percent(100), 7, 7),
            (ServersUp::Percent(50), 0, 0),
        ] {
            assert_eq!(wanted.of(before), needed, "{wanted} of {before}");
        }
    }
}
