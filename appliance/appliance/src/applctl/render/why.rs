//! Why a server stands as it does, in one line: its last check, what comes next, and what else bears on it.
//! Must not: change what the report says, or end with a full stop.

use lb_core::control::{HealthWord, LastCheckReport, ServerReport, StandingReport};
use lb_core::pool::Tier;

use super::text::clean;
use super::units::{latency, span};

/// `connection refused after 0.4 ms (3 of 3), next try in 1s; 4 flaps in 3h; check shared by 3 services`.
pub fn why(server: &ServerReport) -> String {
    let reason = |health| reason(health, server.last_check.as_ref(), &server.standing);
    let Some(several) = &server.several else {
        return reason(server.health);
    };
    let decides = several.checks.iter().find(|one| one.check == several.decides);
    let health = decides.map_or(server.health, |one| one.health);
    let stands = match (health, decides) {
        (HealthWord::Up, _) | (_, None) => String::new(),
        (health, Some(one)) => format!(" {} {}", health.as_str(), span(one.since_ms)),
    };
    format!(
        "{}{stands}: {}; {} of {} checks pass",
        clean(&several.decides),
        reason(health),
        several.passing,
        several.checks.len()
    )
}

/// The same of anything that is checked.
pub fn reason(health: HealthWord, last: Option<&LastCheckReport>, standing: &StandingReport) -> String {
    let mut parts = vec![last_check(health, last, standing)];
    if let Some(drain) = &standing.drained_by {
        parts.push(format!("set aside by drain {}", clean(drain)));
    }
    match standing.role {
        Tier::Primary => {}
        Tier::Backup => parts.push("backup".to_owned()),
        Tier::Sorry => parts.push("sorry server".to_owned()),
        Tier::Leaving => parts.push(match standing.leaves_in_ms {
            Some(left) => format!(
                "no longer in lb.toml, its connections have at most {}",
                span(left)
            ),
            None => "no longer in lb.toml".to_owned(),
        }),
    }
    if let Some(left) = standing.held_for_ms {
        parts.push(format!("held for {}", span(left.max(1_000))));
    }
    if let Some(percent) = standing.starts_with_percent {
        parts.push(format!("starts slowly: {percent} %"));
    }
    if standing.flaps > 1 {
        parts.push(format!(
            "{} flaps in {}",
            standing.flaps,
            span(standing.flaps_over_ms)
        ));
    }
    if standing.check_shared_by > 1 {
        parts.push(format!("check shared by {} services", standing.check_shared_by));
    }
    parts.join("; ")
}

/// `SYN-ACK in 0.4 ms, 3s ago`.
fn last_check(health: HealthWord, last: Option<&LastCheckReport>, standing: &StandingReport) -> String {
    let Some(last) = last else {
        // Up without a check: `type = "none"`, or it was serving when the agent started.
        let never = health == HealthWord::Up;
        return if never { "not checked" } else { "none yet" }.to_owned();
    };
    let reason = clean(&last.reason);
    let unsure = match health {
        HealthWord::Up if standing.failures > 0 => (standing.failures, standing.failures_needed),
        HealthWord::Down if standing.passes > 0 => (standing.passes, standing.passes_needed),
        _ => (0, 0),
    };
    let count = match unsure {
        (0, _) => String::new(),
        (n, all) => format!(" ({n} of {all})"),
    };
    let next = match standing.next_check_in_ms {
        Some(next) if health != HealthWord::Up || unsure.0 > 0 => {
            format!(", next try in {:.1}s", (next as f64 / 1e3))
        }
        _ => format!(", {} ago", span(last.age_ms)),
    };
    // A deadline that ended says how long it was.
    let took = match (
        last.ok,
        last.latency_ms > 0.0 && !reason.contains(" within ") && health != HealthWord::CannotCheck,
    ) {
        (true, _) => format!(" in {}", latency(last.latency_ms)),
        (false, true) => format!(" after {}", latency(last.latency_ms)),
        (false, false) => String::new(),
    };
    format!("{reason}{took}{count}{next}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::control::{OneOfSeveral, SeveralReport};

    fn server(health: HealthWord, ok: bool, reason: &str, standing: StandingReport) -> ServerReport {
        ServerReport {
            address: "10.0.0.1:80".to_owned(),
            health,
            since_ms: 12_000,
            weight: 0,
            configured_weight: 1,
            active_connections: 0,
            inactive_connections: 0,
            traffic: None,
            rates: None,
            last_check: Some(LastCheckReport {
                ok,
                reason: reason.to_owned(),
                latency_ms: 0.4,
                age_ms: 3_000,
            }),
            several: None,
            standing,
        }
    }

    #[test]
    fn a_line_says_what_was_seen_what_comes_and_what_else_there_is() {
        let standing = StandingReport {
            next_check_in_ms: Some(1_000),
            flaps: 4,
            flaps_over_ms: 3 * 3_600_000,
            check_shared_by: 3,
            ..StandingReport::default()
        };
        let down = server(HealthWord::Down, false, "connection refused", standing);
        assert_eq!(
            why(&down),
            "connection refused after 0.4 ms, next try in 1.0s; 4 flaps in 3h 00m; check shared by 3 services"
        );
        let unsure = StandingReport {
            failures: 1,
            failures_needed: 3,
            next_check_in_ms: Some(500),
            ..StandingReport::default()
        };
        let up = server(HealthWord::Up, false, "no answer within 1s", unsure);
        assert_eq!(why(&up), "no answer within 1s (1 of 3), next try in 0.5s");
    }

    #[test]
    fn a_server_with_several_checks_says_which_decides_and_how_many_pass() {
        let one = |check: &str, health, since_ms| OneOfSeveral {
            check: check.to_owned(),
            health,
            since_ms,
            last_check: None,
        };
        let with = |health, decides: &str, passing| {
            let standing = StandingReport {
                next_check_in_ms: Some(1_000),
                ..StandingReport::default()
            };
            let up = health == HealthWord::Up;
            let mut server = server(health, up, if up { "SYN-ACK" } else { "status 500" }, standing);
            server.several = Some(Box::new(SeveralReport {
                decides: decides.to_owned(),
                passing,
                checks: vec![
                    one("tcp", HealthWord::Up, 90_000),
                    one("http :8080", health, 12_000),
                ],
            }));
            why(&server)
        };
        assert_eq!(
            with(HealthWord::Down, "http :8080", 1),
            "http :8080 down 12s: status 500 after 0.4 ms, next try in 1.0s; 1 of 2 checks pass"
        );
        assert_eq!(
            with(HealthWord::Up, "tcp", 2),
            "tcp: SYN-ACK in 0.4 ms, 3s ago; 2 of 2 checks pass"
        );
    }

    #[test]
    fn what_keeps_a_server_from_its_clients_is_said() {
        let with = |standing| why(&server(HealthWord::Up, true, "SYN-ACK", standing));
        let nothing = StandingReport::default;
        assert_eq!(with(nothing()), "SYN-ACK in 0.4 ms, 3s ago");
        let drained = StandingReport {
            drained_by: Some("10.0.0.1".to_owned()),
            role: Tier::Backup,
            ..nothing()
        };
        assert_eq!(
            with(drained),
            "SYN-ACK in 0.4 ms, 3s ago; set aside by drain 10.0.0.1; backup"
        );
        let held = StandingReport {
            held_for_ms: Some(40_000),
            ..nothing()
        };
        let held = server(HealthWord::Held, true, "SYN-ACK", held);
        assert_eq!(why(&held), "SYN-ACK in 0.4 ms, 3s ago; held for 40s");
        let leaving = StandingReport {
            role: Tier::Leaving,
            leaves_in_ms: Some(250_000),
            ..nothing()
        };
        assert_eq!(
            with(leaving),
            "SYN-ACK in 0.4 ms, 3s ago; no longer in lb.toml, its connections have at most 4m 10s"
        );
    }
}
