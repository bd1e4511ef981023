//! What `top` shows, drawn into a canvas of any size: the machine, its links, and a list of services, or of one
//! service's servers. What does not fit is left out, the least important first. Must not: ask for anything.

use lb_core::control::{CountersReport, HealthWord, InterfaceReport, ServerReport, ServiceReport};
use lb_core::traffic::TrafficRates;

use super::state::{Sort, State};
use crate::applctl::fullscreen::Canvas;
use crate::applctl::render::{Tone, amount, rate, span};

/// Names are cut to no less than this.
const NAME: usize = 12;
/// The marker, before the names.
const MARGIN: usize = 1;

/// Where the list is on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Places {
    header: usize,
    links: usize,
    list: usize,
}

fn places(rows: usize, links: usize) -> Places {
    let header = if rows >= 8 { 2 } else { 1 };
    let links = match rows {
        0..8 => 0,
        _ => links.min((rows / 6).max(1)),
    };
    let above = header + if links > 0 { links + 1 } else { 0 } + 1;
    Places {
        header,
        links,
        list: rows.saturating_sub(above + 1),
    }
}

/// How many lines the list has.
pub fn list_lines(report: Option<&CountersReport>, rows: usize) -> usize {
    places(rows, report.map_or(0, |r| r.interfaces.len())).list
}

/// The whole screen. `trouble` stands in the place of the keys.
pub fn draw(
    report: Option<&CountersReport>,
    state: &mut State,
    trouble: Option<&str>,
    (columns, rows): (usize, usize),
) -> Canvas {
    let mut canvas = Canvas::new(columns, rows);
    if let Some(report) = report {
        let places = places(rows, report.interfaces.len());
        header(&mut canvas, report, state, places.header);
        let mut row = places.header;
        if places.links > 0 {
            links(&mut canvas, report, row, places.links);
            row += places.links + 1;
        }
        match (state.servers(report), &report.service) {
            (Some(servers), Some(service)) => {
                let lines: Vec<Line> = servers.iter().map(|s| server_line(s)).collect();
                list(&mut canvas, &opened(service), &lines, state, row, places.list);
            }
            _ => {
                let lines: Vec<Line> = state.services(report).iter().map(|s| service_line(s)).collect();
                list(&mut canvas, "SERVICE", &lines, state, row, places.list);
            }
        }
    }
    match trouble {
        Some(trouble) => canvas.write(rows - 1, 0, trouble, Tone::Bad),
        None => canvas.write(rows - 1, 0, &keys(state, columns), Tone::Faint),
    }
    canvas
}

/// Without the keys, and without an end: for a log.
pub fn text(report: &CountersReport, state: &mut State, columns: usize, most: usize) -> String {
    let services = state.servers(report).map_or(report.services.len(), |s| s.len());
    let links = report.interfaces.len();
    let shown = services.min(most);
    let rows = (2 + links + 1 + 1 + shown + 1).max(6 * links).max(8);
    let mut canvas = draw(Some(report), state, None, (columns, rows));
    canvas.write(rows - 1, 0, &" ".repeat(columns), Tone::Plain);
    let mut lines = canvas.lines();
    if shown < services {
        lines.push(format!("{} more", services - shown));
    }
    lines.join("\n") + "\n"
}

fn header(canvas: &mut Canvas, report: &CountersReport, state: &State, rows: usize) {
    let (columns, _) = canvas.size();
    let memory = report.memory;
    let used = memory.total_kb.saturating_sub(memory.available_kb);
    let percent = (used * 100).checked_div(memory.total_kb).unwrap_or(0);
    let mut machine = vec![(report.hostname.clone(), Tone::Strong)];
    if let Some(load) = &report.load {
        let tone = level(load.busiest_percent);
        let busiest = match report.processors.len() {
            0 | 1 => String::new(),
            _ => format!(", busiest {:.0}%", load.busiest_percent),
        };
        machine.push((format!("cpu {:.0}%{busiest}", load.average_percent), tone));
    }
    machine.push((
        format!(
            "memory {percent}% of {}B",
            amount(memory.total_kb.saturating_mul(1024))
        ),
        level(percent as f64),
    ));
    machine.push((format!("up {}", span(report.read_at_ms)), Tone::Plain));
    let pace = format!("every {} s", state.interval_s);
    let room = columns.saturating_sub(pace.len() + 2);
    parts(canvas, 0, room, &machine);
    canvas.write(0, columns.saturating_sub(pace.len()), &pace, Tone::Faint);
    if rows < 2 {
        return;
    }
    let tracking = report.conntrack;
    let full = (tracking.count * 100).checked_div(tracking.max).unwrap_or(0);
    let lost = tracking.dropped + tracking.early_dropped + report.softnet.dropped;
    let balanced = report.ipvs;
    let tables = [
        (
            format!("tracked {} of {}", amount(tracking.count), amount(tracking.max)),
            level(full as f64),
        ),
        (
            format!("dropped {}", amount(lost)),
            if lost > 0 { Tone::Doubtful } else { Tone::Plain },
        ),
        (
            format!(
                "balanced {} active, {} other",
                amount(balanced.active_connections),
                amount(balanced.inactive_connections)
            ),
            Tone::Plain,
        ),
        (format!("{} buckets", amount(balanced.table_buckets)), Tone::Plain),
    ];
    parts(canvas, 1, columns, &tables);
}

fn level(percent: f64) -> Tone {
    match percent {
        percent if percent < 80.0 => Tone::Plain,
        percent if percent < 95.0 => Tone::Doubtful,
        _ => Tone::Bad,
    }
}

/// As many of them as have room, in their order.
fn parts(canvas: &mut Canvas, row: usize, room: usize, parts: &[(String, Tone)]) {
    let mut at = 0;
    for (text, tone) in parts {
        let width = text.chars().count();
        if at > 0 && at + width > room {
            return;
        }
        canvas.write(row, at, text, *tone);
        at += width + 2;
    }
}

/// A column of figures.
struct Column {
    head: &'static str,
    width: usize,
    /// The smaller, the longer it stays when columns get scarce.
    rank: usize,
    sort: Option<Sort>,
}

const fn column(head: &'static str, width: usize, rank: usize, sort: Option<Sort>) -> Column {
    Column {
        head,
        width,
        rank,
        sort,
    }
}

const LINK_COLUMNS: [Column; 5] = [
    column("RX bit/s", 8, 0, None),
    column("RX pkt/s", 8, 2, None),
    column("TX bit/s", 8, 1, None),
    column("TX pkt/s", 8, 3, None),
    column("LOST/s", 7, 4, None),
];

const LIST_COLUMNS: [Column; 7] = [
    column("CONN/s", 7, 0, Some(Sort::Connections)),
    column("IN PKT/s", 8, 5, Some(Sort::Packets)),
    column("OUT PKT/s", 9, 6, Some(Sort::Packets)),
    column("IN B/s", 7, 1, Some(Sort::InBytes)),
    column("OUT B/s", 7, 2, Some(Sort::OutBytes)),
    column("ACTIVE", 7, 3, Some(Sort::Active)),
    column("UP", 6, 4, None),
];

/// Which columns fit beside a name, by rank, and the width that is left for names.
fn fitting(columns: &[Column], room: usize) -> (Vec<usize>, usize) {
    let mut by_rank: Vec<usize> = (0..columns.len()).collect();
    by_rank.sort_by_key(|at| columns[*at].rank);
    let mut left = room.saturating_sub(MARGIN);
    let mut shown = Vec::new();
    for at in by_rank {
        let width = columns[at].width + 1;
        if left < NAME + width {
            break;
        }
        left -= width;
        shown.push(at);
    }
    shown.sort_unstable();
    (shown, left)
}

struct Line {
    name: String,
    tone: Tone,
    figures: Vec<String>,
}

fn links(canvas: &mut Canvas, report: &CountersReport, row: usize, most: usize) {
    let (room, _) = canvas.size();
    let (shown, left) = fitting(&LINK_COLUMNS, room);
    headings(canvas, row, "INTERFACE", &LINK_COLUMNS, &shown, left, None);
    for (at, interface) in report.interfaces.iter().take(most).enumerate() {
        let line = link_line(interface);
        figures(canvas, row + 1 + at, &line, &LINK_COLUMNS, &shown, left, false);
    }
}

fn link_line(interface: &InterfaceReport) -> Line {
    let name = interface.label.as_ref().or(interface.link.as_ref());
    let name = name.cloned().unwrap_or_default();
    let tone = match interface.state.as_str() {
        "up" => Tone::Plain,
        "no-carrier" => Tone::Doubtful,
        _ => Tone::Faint,
    };
    let figures = match (&interface.rates, tone) {
        (Some(rates), Tone::Plain) => vec![
            rate(rates.rx_bits_per_second),
            rate(rates.rx_packets_per_second),
            rate(rates.tx_bits_per_second),
            rate(rates.tx_packets_per_second),
            rate(rates.lost_packets_per_second),
        ],
        (None, Tone::Plain) => vec!["-".to_owned(); LINK_COLUMNS.len()],
        _ => vec![String::new(); LINK_COLUMNS.len()],
    };
    let name = match tone {
        Tone::Plain => name,
        _ => format!("{name} {}", interface.state),
    };
    Line { name, tone, figures }
}

fn opened(service: &ServiceReport) -> String {
    format!("{} {}/{}", service.name, service.listen, service.protocol)
}

fn service_line(service: &lb_core::control::ServiceCounters) -> Line {
    let mut figures = paced(service.rates.as_ref());
    figures.push(amount(service.active_connections));
    let (up, all) = (service.servers_up as u64, service.servers as u64);
    figures.push(match all {
        0..1000 => format!("{up}/{all}"),
        _ => format!("{}%", up * 100 / all),
    });
    Line {
        name: service.name.clone(),
        tone: match up {
            0 if all > 0 => Tone::Bad,
            up if up < all => Tone::Doubtful,
            _ => Tone::Plain,
        },
        figures,
    }
}

fn server_line(server: &ServerReport) -> Line {
    let mut figures = paced(server.rates.as_ref());
    figures.push(amount(u64::from(server.active_connections)));
    let (word, tone) = match server.health {
        HealthWord::Up => ("up", Tone::Plain),
        HealthWord::Held => ("held", Tone::Doubtful),
        HealthWord::Down => ("down", Tone::Bad),
        HealthWord::Unproven => ("new", Tone::Doubtful),
        HealthWord::CannotCheck => ("?", Tone::Doubtful),
    };
    figures.push(word.to_owned());
    Line {
        name: server.address.clone(),
        tone,
        figures,
    }
}

/// `-` is what is not known.
fn paced(rates: Option<&TrafficRates>) -> Vec<String> {
    let figure = |of: fn(&TrafficRates) -> f64| rates.map_or("-".to_owned(), |r| rate(of(r)));
    vec![
        figure(|r| r.connections_per_second),
        figure(|r| r.in_packets_per_second),
        figure(|r| r.out_packets_per_second),
        figure(|r| r.in_bytes_per_second),
        figure(|r| r.out_bytes_per_second),
    ]
}

/// The list, scrolled so that the marked line is seen.
fn list(canvas: &mut Canvas, title: &str, lines: &[Line], state: &mut State, row: usize, most: usize) {
    let (room, _) = canvas.size();
    let (shown, left) = fitting(&LIST_COLUMNS, room);
    headings(canvas, row, title, &LIST_COLUMNS, &shown, left, Some(state.sort));
    let marked = lines.iter().position(|l| Some(&l.name) == state.marked.as_ref());
    let at = marked.unwrap_or(0);
    if marked.is_none() {
        state.first = 0;
    }
    let last = lines.len().saturating_sub(most);
    state.first = state.first.min(last).min(at).max((at + 1).saturating_sub(most));
    if lines.is_empty() {
        canvas.write(row + 1, MARGIN, "none configured", Tone::Faint);
    }
    for (line, place) in lines.iter().skip(state.first).take(most).zip(0..) {
        let chosen = state.first + place == at;
        figures(canvas, row + 1 + place, line, &LIST_COLUMNS, &shown, left, chosen);
    }
}

fn headings(
    canvas: &mut Canvas,
    row: usize,
    title: &str,
    columns: &[Column],
    shown: &[usize],
    left: usize,
    sort: Option<Sort>,
) {
    let tone = |by| {
        if sort.is_some() && sort == by {
            Tone::Strong
        } else {
            Tone::Faint
        }
    };
    canvas.write(row, MARGIN, &cut(title, left), tone(Some(Sort::Name)));
    let mut at = MARGIN + left;
    for column in shown.iter().map(|at| &columns[*at]) {
        // Also without colour it shows what the list is sorted by.
        let by = sort.is_some() && sort == column.sort;
        let head = if by {
            format!("*{}", column.head)
        } else {
            column.head.to_owned()
        };
        let text = format!("{head:>width$}", width = column.width + 1);
        canvas.write(row, at, &text, tone(column.sort));
        at += column.width + 1;
    }
}

fn figures(
    canvas: &mut Canvas,
    row: usize,
    line: &Line,
    columns: &[Column],
    shown: &[usize],
    left: usize,
    chosen: bool,
) {
    if chosen {
        canvas.write(row, 0, ">", Tone::Strong);
    }
    let tone = if chosen && line.tone == Tone::Plain {
        Tone::Strong
    } else {
        line.tone
    };
    canvas.write(row, MARGIN, &cut(&line.name, left), tone);
    let mut at = MARGIN + left;
    for shown in shown {
        let width = columns[*shown].width + 1;
        let text = format!("{:>width$}", line.figures[*shown]);
        canvas.write(row, at, &text, line.tone);
        at += width;
    }
}

/// A name that is too long loses its middle: its end tells ports and numbers apart.
fn cut(name: &str, room: usize) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= room {
        return name.to_owned();
    }
    let kept = room.saturating_sub(2);
    let front = kept / 2;
    let back = &letters[letters.len() - (kept - front)..];
    let front: String = letters[..front].iter().collect();
    format!("{front}..{}", back.iter().collect::<String>())
}

fn keys(state: &State, columns: usize) -> String {
    let open = if state.opened.is_some() {
        "Esc back"
    } else {
        "Enter open"
    };
    let long =
        format!("q quit  arrows, {open}  sort: c conns p packets i in o out a active n name  +/- pace");
    if long.len() < columns {
        return long;
    }
    format!("q quit  {open}  sort c p i o a n  +/-")
}

#[cfg(test)]
mod tests;
