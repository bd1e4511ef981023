//! Echoes and hops as text, a line each as they come, and the account at the end. Must not: know how they were sent.

use std::net::IpAddr;

use lb_core::echo::{EchoReport, Heard, Said, milliseconds};
use lb_core::trace::{TraceHop, TraceReport};

use super::text::{Screen, Tone, labelled, wrap};
use super::units::{count, latency};

/// What was heard, as it comes.
pub fn heard(heard: &Heard, said: &Said, screen: &Screen) -> String {
    let (Heard::Reply { sequence, .. } | Heard::Error { sequence, .. }) = heard;
    let (tone, text) = match (said, heard) {
        (Said::Reply { took }, Heard::Reply { from, length, .. }) => {
            let took = latency(milliseconds(*took));
            (
                Tone::Plain,
                format!("{sequence}: {from} answers, {length} bytes, {took}"),
            )
        }
        (Said::Duplicate { took }, Heard::Reply { from, .. }) => {
            let took = latency(milliseconds(*took));
            (
                Tone::Doubtful,
                format!("{sequence}: {from} answers again, {took}"),
            )
        }
        (Said::Error { from, error }, _) => (Tone::Bad, format!("{sequence}: {}: {error}", who(*from))),
        _ => return String::new(),
    };
    let text = wrap(&text, screen.width - 4, 4);
    format!("{}\n", screen.paint(tone, &text))
}

fn who(from: Option<IpAddr>) -> String {
    from.map_or("this machine".to_owned(), |from| from.to_string())
}

pub fn echoes(report: &EchoReport, screen: &Screen) -> String {
    let lost = report.sent - report.received.min(report.sent);
    let tone = match (lost, report.received) {
        (0, _) => Tone::Good,
        (_, 0) => Tone::Bad,
        _ => Tone::Doubtful,
    };
    let duplicates = match report.duplicates {
        0 => String::new(),
        1 => ", 1 duplicate".to_owned(),
        number => format!(", {} duplicates", count(number)),
    };
    let account = format!(
        "{} sent, {} answered{duplicates}, {:.0}% lost",
        report.sent, report.received, report.loss_percent
    );
    let mut text = labelled("Echoes", &account, tone, screen);
    if let (Some(min), Some(median), Some(max)) = (report.min_ms, report.median_ms, report.max_ms) {
        let [min, median, max] = [min, median, max].map(latency);
        let times = format!("{min} at least, {median} in the middle, {max} at most");
        text.push_str(&labelled("Time", &times, Tone::Plain, screen));
    }
    for error in &report.errors {
        let times = match error.count {
            1 => String::new(),
            number => format!(" ({} times)", count(number)),
        };
        let says = format!("{}: {}{times}", who(error.from), error.says);
        text.push_str(&labelled("Error", &says, Tone::Bad, screen));
    }
    if let Some(mtu) = report.path_mtu {
        text.push_str(&labelled(
            "Path MTU",
            &format!("{mtu} bytes"),
            Tone::Plain,
            screen,
        ));
    }
    if report.received == 0 && report.errors.is_empty() {
        let remark = format!(
            "Nothing came back. `route {0}` tells whether the next hop is there; a host may also answer no echoes and still serve: \
             `trace {0} --port N` asks a port.",
            report.address
        );
        text.push_str(&format!("{}\n", wrap(&remark, screen.width, 0)));
    }
    text
}

/// ` 3  10.0.0.1  0.4 ms  0.3 ms  *  gateway of default`.
pub fn hop(hop: &TraceHop, screen: &Screen) -> String {
    let mut words = Vec::new();
    match hop.from.as_slice() {
        [] => {}
        from => words.push(
            from.iter()
                .map(IpAddr::to_string)
                .collect::<Vec<_>>()
                .join(" or "),
        ),
    }
    words.extend(
        hop.took_ms
            .iter()
            .map(|took| took.map_or("*".to_owned(), latency)),
    );
    words.extend(hop.roles.iter().cloned());
    words.extend(hop.says.clone());
    if words.is_empty() {
        // No probe of it was sent; the end says why.
        return String::new();
    }
    let text = words.join(", ");
    format!("{:>2}  {}\n", hop.number, wrap(&text, screen.width - 4, 4))
}

pub fn trace_end(report: &TraceReport, screen: &Screen) -> String {
    let tone = if report.arrived { Tone::Good } else { Tone::Bad };
    let (first, rest) = report
        .end
        .split_at(report.end.chars().next().map_or(0, char::len_utf8));
    let sentence = format!("{}{rest}.", first.to_uppercase());
    let text = wrap(&sentence, screen.width, 0);
    text.lines()
        .map(|line| format!("{}\n", screen.paint(tone, line)))
        .collect()
}
