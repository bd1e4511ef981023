//! What services and servers have counted, or how fast: a table with one line for each, the service first. Where it would
//! be too wide the names stand alone above their figures. Must not: show what is not known as zero.

use lb_core::control::{ServerReport, ServiceReport, ServicesReport};
use lb_core::traffic::{Traffic, TrafficRates};

use super::table::{Cell, heads, line, total, widths};
use super::text::{Screen, Tone, clean, wrap};
use super::units::{amount, rate};

/// What of the counters is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figures {
    Totals,
    Rates,
}

const INDENT: usize = 2;
const TOTALS: [&str; 7] = [
    "",
    "ACTIVE",
    "CONNS",
    "IN PKTS",
    "IN BYTES",
    "OUT PKTS",
    "OUT BYTES",
];
const RATES: [&str; 7] = [
    "",
    "ACTIVE",
    "CONN/s",
    "IN PKT/s",
    "IN B/s",
    "OUT PKT/s",
    "OUT B/s",
];

pub fn traffic(report: &ServicesReport, figures: Figures, screen: &Screen) -> String {
    if report.services.is_empty() {
        return super::services::services(report, screen);
    }
    let blocks: Vec<_> = report
        .services
        .iter()
        .map(|s| block(s, figures, screen))
        .collect();
    blocks.join("\n")
}

fn block(service: &ServiceReport, figures: Figures, screen: &Screen) -> String {
    let active = service
        .servers
        .iter()
        .map(|s| u64::from(s.active_connections))
        .sum();
    let figures_of = |active: u64, traffic: &Option<Traffic>, rates: &Option<TrafficRates>| match figures {
        Figures::Totals => totals(active, traffic),
        Figures::Rates => per_second(active, rates),
    };
    let mut rows = vec![row(
        "all".into(),
        figures_of(active, &service.traffic, &service.rates),
    )];
    rows.extend(service.servers.iter().map(|server: &ServerReport| {
        let active = u64::from(server.active_connections);
        row(
            clean(&server.address).into_owned(),
            figures_of(active, &server.traffic, &server.rates),
        )
    }));
    let names = match figures {
        Figures::Totals => TOTALS,
        Figures::Rates => RATES,
    };
    let head = heads(&names, &rows[0]);
    let title = format!("{}  {}/{}", service.name, service.listen, service.protocol);
    let mut text = format!(
        "{}\n",
        screen.paint(Tone::Strong, &wrap(&clean(&title), screen.width - INDENT, INDENT))
    );
    let columns = widths([&head].into_iter().chain(&rows).map(Vec::as_slice));
    if INDENT + total(&columns) <= screen.width {
        for row in [&head].into_iter().chain(&rows) {
            text.push_str(&format!("{:INDENT$}{}\n", "", line(row, &columns, screen)));
        }
        return text;
    }
    for row in &rows {
        let figures = head[1..].iter().zip(&row[1..]);
        let figures: Vec<_> = figures
            .map(|(head, cell)| format!("{} {}", cell.text, head.text.to_lowercase()))
            .collect();
        text.push_str(&format!(
            "{:INDENT$}{}\n{:4}{}\n",
            "",
            wrap(&row[0].text, screen.width - INDENT, INDENT),
            "",
            wrap(&figures.join(", "), screen.width - 4, 4)
        ));
    }
    text
}

fn row(name: String, figures: [String; 6]) -> Vec<Cell> {
    let mut row = vec![Cell::plain(name)];
    row.extend(figures.map(Cell::right));
    row
}

/// `-` is what is not known.
fn totals(active: u64, traffic: &Option<Traffic>) -> [String; 6] {
    let figure = |of: fn(&Traffic) -> u64| traffic.as_ref().map_or("-".to_owned(), |t| amount(of(t)));
    [
        amount(active),
        figure(|t| t.connections),
        figure(|t| t.in_packets),
        figure(|t| t.in_bytes),
        figure(|t| t.out_packets),
        figure(|t| t.out_bytes),
    ]
}

fn per_second(active: u64, rates: &Option<TrafficRates>) -> [String; 6] {
    let figure = |of: fn(&TrafficRates) -> f64| rates.as_ref().map_or("-".to_owned(), |r| rate(of(r)));
    [
        amount(active),
        figure(|r| r.connections_per_second),
        figure(|r| r.in_packets_per_second),
        figure(|r| r.in_bytes_per_second),
        figure(|r| r.out_packets_per_second),
        figure(|r| r.out_bytes_per_second),
    ]
}
