//! What is set aside, and what became of the change that was asked for. Must not: know what a drain means.

use lb_core::control::{DrainReport, DrainsReport};

use super::table::{Cell, heads, line, total, widths};
use super::text::{Screen, Tone, bullets, clean, paragraph, wrap};
use super::units::{count, some, span};

pub fn drains(report: &DrainsReport, screen: &Screen) -> String {
    let mut text = table(&report.drains, screen);
    text.push_str(&affected(report, screen));
    text.push_str(&bullets(&report.warnings, Tone::Doubtful, screen));
    if let Some(fault) = &report.persist_fault {
        let sentence = format!("This does not survive a reboot: {}.", clean(fault));
        text.push_str(&paragraph(&sentence, Tone::Bad, screen));
    }
    text
}

/// The servers that the change was about.
fn affected(report: &DrainsReport, screen: &Screen) -> String {
    const SHOWN: usize = 20;
    if report.servers.is_empty() {
        return String::new();
    }
    let shown: Vec<_> = report
        .servers
        .iter()
        .take(SHOWN)
        .map(|server| clean(server))
        .collect();
    let more = match report.servers.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {}", some(more, "more server")),
    };
    let what = if report.undone { "Taken back" } else { "Set aside" };
    paragraph(
        &format!("{what}: {}{more}.", shown.join(", ")),
        Tone::Plain,
        screen,
    )
}

fn table(drains: &[DrainReport], screen: &Screen) -> String {
    if drains.is_empty() {
        return "Nothing is set aside.\n".to_owned();
    }
    let rows: Vec<Vec<Cell>> = drains.iter().map(fields).collect();
    let head = heads(
        &["SET ASIDE", "SERVICE", "SERVERS", "CONNS", "EMPTY IN"],
        &rows[0],
    );
    let columns = widths([&head].into_iter().chain(&rows).map(Vec::as_slice));
    if total(&columns) <= screen.width {
        let lines = [&head].into_iter().chain(&rows);
        return lines
            .map(|row| format!("{}\n", line(row, &columns, screen)))
            .collect();
    }
    let sentences = drains.iter().map(|drain| {
        let service = drain.service.as_deref().unwrap_or("all services");
        let sentence = format!(
            "{} of {}: {} connections left",
            clean(&drain.server),
            clean(service),
            count(drain.connections)
        );
        format!("{}\n", wrap(&sentence, screen.width, 2))
    });
    sentences.collect()
}

fn fields(drain: &DrainReport) -> Vec<Cell> {
    let empty_in = match drain.empty_in_s {
        Some(0) => "empty".to_owned(),
        Some(seconds) => format!("about {}", span(seconds.saturating_mul(1000))),
        None => "-".to_owned(),
    };
    vec![
        Cell::plain(clean(&drain.server)),
        Cell::plain(clean(drain.service.as_deref().unwrap_or("all"))),
        Cell::right(count(drain.servers)),
        Cell::right(count(drain.connections)),
        Cell::plain(empty_in),
    ]
}
