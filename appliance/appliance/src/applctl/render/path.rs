//! The way of a packet as text: a line for each step, the servers, and the end. Must not: know how it was followed.

use lb_core::path::{PathReport, PathServer, PathStep};

use super::table::{Cell, heads, line, total, widths};
use super::text::{Screen, Tone, clean, labelled, wrap};
use super::units::count;

pub fn path(report: &PathReport, screen: &Screen) -> String {
    let mut text = labelled("Packet", &report.packet, Tone::Strong, screen);
    for step in &report.steps {
        text.push_str(&labelled(&step.stage, &what(step), Tone::Plain, screen));
    }
    text.push_str(&servers(&report.servers, screen));
    let tone = if report.passes { Tone::Good } else { Tone::Bad };
    text.push_str(&labelled("End", &report.end, tone, screen));
    text
}

fn what(step: &PathStep) -> String {
    let rule = step.rule.as_ref().map(|rule| format!(" (rule `{rule}`)"));
    let counted = step.connections.map(|number| match number {
        1 => ", 1 connection so far".to_owned(),
        number => format!(", {} connections so far", count(number)),
    });
    format!(
        "{}{}{}",
        step.what,
        rule.unwrap_or_default(),
        counted.unwrap_or_default()
    )
}

fn servers(servers: &[PathServer], screen: &Screen) -> String {
    let cells = |server: &PathServer| {
        vec![
            Cell::plain(clean(&server.address)),
            Cell::right(server.weight.to_string()),
            Cell::plain(clean(server.link.as_deref().unwrap_or("-"))),
            Cell::plain(if server.sees_client {
                "client"
            } else {
                "this machine"
            }),
        ]
    };
    let rows: Vec<Vec<Cell>> = servers.iter().map(cells).collect();
    let Some(first) = rows.first() else {
        return String::new();
    };
    let heads = heads(&["SERVER", "WEIGHT", "BY", "SEES"], first);
    let columns = widths(rows.iter().map(Vec::as_slice).chain([heads.as_slice()]));
    let wide = total(&columns) + 2 > screen.width;
    let mut text = match wide {
        true => String::new(),
        false => format!("  {}\n", line(&heads, &columns, screen).trim_end()),
    };
    for (row, server) in rows.iter().zip(servers) {
        let words: Vec<&str> = row.iter().map(|cell| cell.text.as_str()).collect();
        let row = match wide {
            true => wrap(&words.join(" "), screen.width - 4, 4),
            false => line(row, &columns, screen).trim_end().to_owned(),
        };
        text.push_str(&format!("  {row}\n"));
        if let Some(why) = &server.why_not {
            let why = wrap(&format!("not chosen: {}", clean(why)), screen.width - 4, 4);
            for line in why.lines() {
                text.push_str(&format!("    {}\n", screen.paint(Tone::Doubtful, line.trim())));
            }
        }
    }
    text
}
