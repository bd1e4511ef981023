//! A check by hand as text: what was asked, by which way, a line for each thing seen, and the verdict. Must not: know what is checked.

use lb_core::control::{HealthWord, ProbeReport, ProbeStep, ProbeVerdict};

use super::reach::way;
use super::text::{Screen, Tone, clean, labelled, wrap};
use super::units::{exact, latency};

/// Columns of the time and the name of a step.
const TIME: usize = 9;
const NAME: usize = 12;

/// What is asked of whom, and by which way.
pub fn probe_begun(report: &ProbeReport, screen: &Screen) -> String {
    let what = format!(
        "{} to {}, within {}",
        report.kind,
        report.target,
        exact(report.timeout_ms)
    );
    let what = match report.of_several {
        Some((number, all)) => format!("{number} of {all}: {what}"),
        None => what,
    };
    let mut text = labelled("Check", &what, Tone::Strong, screen);
    if let (Some(service), Some(server)) = (&report.service, &report.server) {
        let health = report.health.map(HealthWord::as_str).unwrap_or("not checked");
        let is = match report.of_several {
            Some(_) => format!("; this check of it is {health} to the agent"),
            None => format!(", which is {health} to the agent"),
        };
        let server = format!("server {server} of {service}{is}");
        text.push_str(&labelled("For", &server, Tone::Plain, screen));
    }
    text.push_str(&labelled("Way", &begin(report), Tone::Plain, screen));
    if let Some(route) = &report.route {
        let (words, tone) = way(route);
        text.push_str(&labelled("", &words, tone, screen));
    }
    text
}

/// What was seen, and the verdict.
pub fn probe_ended(report: &ProbeReport, screen: &Screen) -> String {
    let mut text = String::new();
    for step in &report.steps {
        text.push_str(&lines(step, screen));
    }
    let (word, tone) = match report.verdict {
        ProbeVerdict::Pass => ("passed", Tone::Good),
        ProbeVerdict::Fail => ("failed", Tone::Bad),
        ProbeVerdict::CannotCheck => ("not made", Tone::Doubtful),
    };
    let verdict = match report.verdict {
        ProbeVerdict::CannotCheck => format!("{word}: {} (it says nothing of the server)", report.reason),
        _ => format!("{word} after {}: {}", latency(report.took_ms), report.reason),
    };
    text.push_str(&labelled("Verdict", &verdict, tone, screen));
    text
}

fn begin(report: &ProbeReport) -> String {
    let source = match report.source {
        Some(source) => format!("from {source}"),
        None => "no source address: no way leads there; `route ADDRESS` tells".to_owned(),
    };
    match &report.bound_to {
        Some(link) => format!("{source} through {link} (the check's `interface`)"),
        None => source,
    }
}

/// `    0.4 ms  connect     TCP connection from ...`
fn lines(step: &ProbeStep, screen: &Screen) -> String {
    let indent = TIME + 2 + NAME;
    let mut text = String::new();
    for (at, line) in step.lines.iter().enumerate() {
        let head = match at {
            0 => format!("{:>TIME$}  {:<NAME$}", latency(step.at_ms), clean(&step.what)),
            _ => " ".repeat(indent),
        };
        let cleaned = clean(line);
        let line = wrap(&cleaned, screen.width.saturating_sub(indent + 2), indent + 2);
        text.push_str(&format!("{head}{line}\n"));
    }
    text
}
