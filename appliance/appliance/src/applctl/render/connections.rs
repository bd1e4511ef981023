//! The connections that IPVS holds, by service. A client and a server in one line where they fit, else in two.
//! Must not: sort them otherwise than by service; the agent has its order.

use std::collections::BTreeMap;

use lb_core::control::{ConnectionReport, ConnectionsReport};

use super::table::{Cell, heads, line, total, widths};
use super::text::{Screen, Tone, clean, wrap};
use super::units::{count, span};

pub fn connections(report: &ConnectionsReport, screen: &Screen) -> String {
    if report.connections.is_empty() {
        return match report.total {
            0 => "No connections.\n".to_owned(),
            total => format!("{}, none listed.\n", connections_of(total)),
        };
    }
    let mut services: BTreeMap<String, Vec<&ConnectionReport>> = BTreeMap::new();
    for connection in &report.connections {
        services
            .entry(format!("{}/{}", connection.service, connection.protocol))
            .or_default()
            .push(connection);
    }
    let blocks = services
        .iter()
        .map(|(service, held)| block(service, held, screen));
    let mut text = blocks.collect::<Vec<_>>().join("\n");
    let listed = report.connections.len() as u64;
    let rest = if listed < report.total {
        format!(
            "{} of {}; --limit N lists more.",
            count(listed),
            connections_of(report.total)
        )
    } else {
        format!("{}.", connections_of(report.total.max(listed)))
    };
    text.push_str(&format!("\n{}\n", wrap(&rest, screen.width, 0)));
    text
}

fn connections_of(total: u64) -> String {
    format!("{} connection{}", count(total), if total == 1 { "" } else { "s" })
}

fn block(service: &str, held: &[&ConnectionReport], screen: &Screen) -> String {
    let rows: Vec<Vec<Cell>> = held.iter().map(|c| fields(c)).collect();
    let head = heads(&["CLIENT", "SERVER", "STATE", "EXPIRES"], &rows[0]);
    let columns = widths([&head].into_iter().chain(&rows).map(Vec::as_slice));
    let mut text = format!(
        "{}\n",
        screen.paint(Tone::Strong, &wrap(&clean(service), screen.width, 2))
    );
    if 2 + total(&columns) <= screen.width {
        for row in [&head].into_iter().chain(&rows) {
            text.push_str(&format!("  {}\n", line(row, &columns, screen)));
        }
        return text;
    }
    for connection in held {
        let state = format!(
            "to {}, {}, expires in {}",
            connection.server,
            connection.state,
            expiry(connection)
        );
        text.push_str(&format!(
            "  {}\n",
            wrap(&clean(&connection.client), screen.width - 2, 2)
        ));
        text.push_str(&format!("    {}\n", wrap(&clean(&state), screen.width - 4, 4)));
    }
    text
}

fn fields(connection: &ConnectionReport) -> Vec<Cell> {
    vec![
        Cell::plain(clean(&connection.client)),
        Cell::plain(clean(&connection.server)),
        Cell::plain(clean(&connection.state)),
        Cell::right(expiry(connection)),
    ]
}

fn expiry(connection: &ConnectionReport) -> String {
    span(connection.expires_s.saturating_mul(1000))
}
