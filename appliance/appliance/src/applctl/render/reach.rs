//! Neighbours and routes as text. Must not: know where they were read.

use lb_core::neighbours::{
    Hop, Neighbour, NeighbourState, NeighboursReport, RouteEntry, RouteTo, destination,
};

use super::table::{Cell, heads, line, total, widths};
use super::text::{Screen, Tone, clean, labelled, width, wrap};
use super::units::span;

pub fn neighbours(report: &NeighboursReport, screen: &Screen) -> String {
    let mut text = String::new();
    if !report.neighbours.is_empty() {
        let rows: Vec<(Vec<Cell>, String)> = report
            .neighbours
            .iter()
            .map(|n| (cells(n), n.roles.join(", ")))
            .collect();
        text = table(&["ADDRESS", "INTERFACE", "MAC", "STATE", "AGE"], &rows, screen);
    } else if report.without_entry.is_empty() {
        let sentence = "There are no neighbours: nothing was sent to any lately.";
        text.push_str(&format!("{}\n", wrap(sentence, screen.width, 0)));
    }
    for address in &report.without_entry {
        let sentence = format!(
            "{address} has no entry: nothing was sent to it lately, or it is behind a router (`route {address}` tells)."
        );
        text.push_str(&format!("{}\n", wrap(&sentence, screen.width - 2, 2)));
    }
    text
}

fn cells(neighbour: &Neighbour) -> Vec<Cell> {
    let tone = match neighbour.state {
        NeighbourState::Reachable => Tone::Good,
        NeighbourState::Failed => Tone::Bad,
        NeighbourState::Incomplete => Tone::Doubtful,
        _ => Tone::Plain,
    };
    let interface = neighbour.interface.as_ref().unwrap_or(&neighbour.link);
    let age = match (neighbour.confirmed_ms, &neighbour.mac) {
        (Some(confirmed), _) => span(confirmed),
        // It was never seen to be there.
        (None, Some(_)) => "-".to_owned(),
        (None, None) => span(neighbour.updated_ms),
    };
    vec![
        Cell::plain(neighbour.address.to_string()),
        Cell::plain(clean(interface)),
        Cell::plain(neighbour.mac.clone().unwrap_or_else(|| "-".to_owned())),
        Cell::new(neighbour.state.as_str(), tone),
        Cell::right(age),
    ]
}

/// Rows with a remark each, which stands behind where all fits, and below where it does not.
pub fn table(names: &[&str], rows: &[(Vec<Cell>, String)], screen: &Screen) -> String {
    let Some((first, _)) = rows.first() else {
        return String::new();
    };
    let heads = heads(names, first);
    let columns = aligned(&heads, rows, screen);
    let mut text = row(&heads, "", &columns, screen);
    for (cells, remark) in rows {
        text.push_str(&row(cells, remark, &columns, screen));
    }
    text
}

/// The columns of as many rows as fit beside each other: a long IPv6 address does not cost the others their table.
fn aligned(heads: &[Cell], rows: &[(Vec<Cell>, String)], screen: &Screen) -> Vec<usize> {
    let mut rows: Vec<&[Cell]> = rows.iter().map(|(cells, _)| cells.as_slice()).collect();
    rows.sort_by_key(|cells| cells.iter().map(|cell| width(&cell.text)).sum::<usize>());
    loop {
        let columns = widths(rows.iter().copied().chain([heads]));
        if total(&columns) <= screen.width || rows.pop().is_none() {
            return columns;
        }
    }
}

fn row(cells: &[Cell], remark: &str, columns: &[usize], screen: &Screen) -> String {
    let fits = cells
        .iter()
        .zip(columns)
        .all(|(cell, column)| width(&cell.text) <= *column);
    let remark = clean(remark);
    let mut text = if fits && total(columns) <= screen.width {
        line(cells, columns, screen).trim_end().to_owned()
    } else {
        let words: Vec<&str> = cells.iter().map(|cell| cell.text.trim()).collect();
        wrap(&words.join(" "), screen.width - 4, 4)
    };
    let beside = fits && total(columns) + 2 + width(&remark) <= screen.width;
    match (remark.is_empty(), beside) {
        (true, _) => {}
        (false, true) => {
            let missing = cells.iter().zip(columns).next_back().map_or(0, |(cell, column)| {
                if cell.is_right() {
                    0
                } else {
                    column.saturating_sub(width(&cell.text))
                }
            });
            text.push_str(&format!("{}  {remark}", " ".repeat(missing)));
        }
        (false, false) => text.push_str(&format!("\n    {}", wrap(&remark, screen.width - 4, 4))),
    }
    text.push('\n');
    text
}

pub fn routes(routes: &[RouteEntry], screen: &Screen) -> String {
    if routes.is_empty() {
        let sentence = "There are no routes: no link is up that has an address.";
        return format!("{}\n", wrap(sentence, screen.width, 0));
    }
    let rows: Vec<(Vec<Cell>, String)> = routes.iter().flat_map(lines).collect();
    table(&["TO", "VIA", "INTERFACE", "SOURCE", "MADE BY"], &rows, screen)
}

/// A route of several ways is a line for each.
fn lines(route: &RouteEntry) -> Vec<(Vec<Cell>, String)> {
    let mut remarks = Vec::new();
    if route.table != 254 {
        remarks.push(format!("table {}", route.table));
    }
    if let Some(metric) = route.metric {
        remarks.push(format!("metric {metric}"));
    }
    let line = |(at, hop): (usize, &Hop)| {
        let to = match at {
            0 if route.to == "::/0" => "default (IPv6)".to_owned(),
            0 => destination(&route.to).to_owned(),
            _ => "  or".to_owned(),
        };
        let via = match (hop.via, route.kind.as_str()) {
            (Some(via), _) => via.to_string(),
            (None, "unicast") => "on the link".to_owned(),
            (None, kind) => kind.to_owned(),
        };
        let cells = vec![
            Cell::plain(to),
            Cell::plain(via),
            Cell::plain(clean(on(hop))),
            Cell::plain(route.source.map_or("-".to_owned(), |source| source.to_string())),
            Cell::plain(origin(&route.origin)),
        ];
        let remark = if at == 0 {
            remarks.join(", ")
        } else {
            String::new()
        };
        (cells, remark)
    };
    route.hops.iter().enumerate().map(line).collect()
}

fn on(hop: &Hop) -> &str {
    hop.interface.as_deref().or(hop.link.as_deref()).unwrap_or("-")
}

fn origin(origin: &str) -> String {
    match origin {
        "ra" => "router advertisement".to_owned(),
        "kernel" => "address".to_owned(),
        other => clean(other).into_owned(),
    }
}

pub fn route(report: &RouteTo, screen: &Screen) -> String {
    let mut text = String::new();
    let mut add = |label: &str, value: &str, tone| text.push_str(&labelled(label, value, tone, screen));
    let mut address = report.address.to_string();
    if !report.roles.is_empty() {
        address = format!("{address}, {}", report.roles.join(", "));
    }
    add("Address", &address, Tone::Plain);
    match report.kind.as_str() {
        "local" => {
            add("Way", "this machine itself has the address", Tone::Plain);
            return text;
        }
        "unicast" => {}
        kind => add("Way", &format!("the route is of type {kind}"), Tone::Doubtful),
    }
    if let Some(route) = &report.route {
        let table = match route.table {
            254 => String::new(),
            other => format!(", table {other}"),
        };
        let to = destination(&route.to);
        add(
            "Route",
            &format!("{to}, made by {}{table}", origin(&route.origin)),
            Tone::Plain,
        );
    }
    add("Interface", &interface(&report.hop), Tone::Plain);
    let source = report
        .source
        .map_or("none".to_owned(), |source| source.to_string());
    add("Source", &source, Tone::Plain);
    match report.hop.via {
        Some(via) => add("Next hop", &via.to_string(), Tone::Plain),
        None => add("Next hop", "none, the address is on the link itself", Tone::Plain),
    }
    let (words, tone) = neighbour(report);
    add("Neighbour", &words, tone);
    if let Some(mtu) = report.mtu {
        add("Path MTU", &format!("{mtu} bytes"), Tone::Plain);
    }
    text
}

/// How the next hop is reached, in one line, for a check that goes there.
pub(super) fn way(report: &RouteTo) -> (String, Tone) {
    match report.kind.as_str() {
        "unicast" => {}
        "local" => return ("this machine itself has the address".to_owned(), Tone::Doubtful),
        kind => return (format!("the route is of type {kind}"), Tone::Bad),
    }
    let next = match report.hop.via {
        Some(via) => format!("next hop {via}"),
        None => "on the link itself".to_owned(),
    };
    let (words, tone) = neighbour(report);
    (
        format!("through {}, {next}: {words}", interface(&report.hop)),
        tone,
    )
}

fn interface(hop: &Hop) -> String {
    match (&hop.interface, &hop.link) {
        (Some(label), Some(link)) if label != link => format!("{label}, is {link}"),
        _ => on(hop).to_owned(),
    }
}

fn neighbour(report: &RouteTo) -> (String, Tone) {
    let next = report.hop.via.unwrap_or(report.address);
    let Some(neighbour) = &report.neighbour else {
        let words = format!("no entry, nothing was sent there lately; `ping {next}` asks");
        return (words, Tone::Plain);
    };
    let state = neighbour.state.as_str();
    match &neighbour.mac {
        _ if neighbour.is_silent() => {
            let words =
                format!("{state}: {next} does not answer on this link; is it on, and in this network?");
            (words, Tone::Bad)
        }
        Some(mac) => (format!("{mac}, {}", worth(neighbour)), Tone::Plain),
        None => (state.to_owned(), Tone::Plain),
    }
}

/// What an entry with an Ethernet address says of its neighbour. One that is called reachable has been seen lately, and may be gone since:
/// the kernel asks again half a minute later.
fn worth(neighbour: &Neighbour) -> String {
    let state = neighbour.state.as_str();
    let Some(age) = neighbour.confirmed_ms else {
        return state.to_owned();
    };
    let seen = format!("last seen {} ago", span(age));
    match neighbour.state {
        NeighbourState::Reachable => seen,
        NeighbourState::Stale => format!("{seen}, and not asked since (stale)"),
        NeighbourState::Delay | NeighbourState::Probe => {
            format!("{seen}, and is being asked again ({state})")
        }
        _ => format!("{seen} ({state})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_when_its_neighbour_was_seen_and_not_that_it_is_there() {
        let entry = |state, confirmed_ms| Neighbour {
            address: "172.16.0.11".parse().unwrap(),
            link: "eth1".to_owned(),
            mac: Some("52:54:00:00:00:0b".to_owned()),
            state,
            confirmed_ms,
            used_ms: 0,
            updated_ms: 0,
            interface: None,
            roles: Vec::new(),
        };
        let seen = Some(14_000);
        for (state, age, expected) in [
            (NeighbourState::Reachable, seen, "last seen 14s ago"),
            (
                NeighbourState::Stale,
                seen,
                "last seen 14s ago, and not asked since (stale)",
            ),
            (
                NeighbourState::Probe,
                seen,
                "last seen 14s ago, and is being asked again (probe)",
            ),
            (NeighbourState::Permanent, None, "permanent"),
            (NeighbourState::Incomplete, seen, "last seen 14s ago (incomplete)"),
        ] {
            assert_eq!(worth(&entry(state, age)), expected);
        }
    }
}
