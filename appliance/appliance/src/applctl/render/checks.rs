//! What is checked, a target in two lines: how and how it stands, and below why, and for whom. Must not: sort.

use lb_core::control::{HealthWord, TargetReport, TargetsReport};

use super::table::{Cell, heads, line, widths};
use super::text::{Screen, Tone, clean, wrap};
use super::units::span;
use super::why::reason;

const INDENT: usize = 4;

pub fn checks(report: &TargetsReport, screen: &Screen) -> String {
    let rows: Vec<Vec<Cell>> = report.checks.iter().map(fields).collect();
    let Some(first) = rows.first() else {
        return "Nothing is checked.\n".to_owned();
    };
    let head = heads(&["CHECK", "TYPE", "EVERY", "HEALTH", "FOR"], first);
    let columns = widths([&head].into_iter().chain(&rows).map(Vec::as_slice));
    let mut text = format!("{}\n", line(&head, &columns, screen));
    for (row, check) in rows.iter().zip(&report.checks) {
        text.push_str(&format!("{}\n", line(row, &columns, screen)));
        let mut below = reason(check.health, check.last_check.as_ref(), &check.standing);
        below.push_str("; for ");
        below.push_str(&clean(&check.servers.join(", ")));
        let below = wrap(&below, screen.width.saturating_sub(INDENT), INDENT);
        text.push_str(&format!("{:INDENT$}{below}\n", ""));
    }
    text
}

fn fields(check: &TargetReport) -> Vec<Cell> {
    let tone = match check.health {
        HealthWord::Up => Tone::Good,
        HealthWord::Down => Tone::Bad,
        HealthWord::Held | HealthWord::Unproven | HealthWord::CannotCheck => Tone::Doubtful,
    };
    let every = match check.interval_ms % 1000 {
        0 => span(check.interval_ms),
        _ => format!("{} ms", check.interval_ms),
    };
    vec![
        Cell::plain(clean(&check.target)),
        Cell::plain(clean(&check.kind)),
        Cell::right(every),
        Cell::new(check.health.as_str(), tone),
        Cell::plain(span(check.since_ms)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::control::{LastCheckReport, StandingReport};

    #[test]
    fn a_target_says_how_it_stands_and_for_whom() {
        let standing = StandingReport {
            next_check_in_ms: Some(1_500),
            check_shared_by: 2,
            ..StandingReport::default()
        };
        let check = TargetReport {
            target: "172.16.0.11:30080".to_owned(),
            kind: "tcp".to_owned(),
            interval_ms: 2_000,
            timeout_ms: 1_000,
            health: HealthWord::Down,
            since_ms: 12_000,
            last_check: Some(LastCheckReport {
                ok: false,
                reason: "connection refused".to_owned(),
                latency_ms: 0.4,
                age_ms: 500,
            }),
            servers: vec![
                "172.16.0.11:30080 of nginx".to_owned(),
                "172.16.0.11:30080 of again".to_owned(),
            ],
            standing,
        };
        let report = TargetsReport { checks: vec![check] };
        assert_eq!(
            checks(&report, &Screen::plain(72)),
            "CHECK              TYPE  EVERY  HEALTH  FOR\n\
             172.16.0.11:30080  tcp      2s  down    12s\n    \
             connection refused after 0.4 ms, next try in 1.5s; check shared by 2\n    \
             services; for 172.16.0.11:30080 of nginx, 172.16.0.11:30080 of again\n"
        );
        assert_eq!(
            checks(&TargetsReport::default(), &Screen::plain(72)),
            "Nothing is checked.\n"
        );
    }
}
