//! Links and the gateway's part: forwarding, masquerade, routes, connection tracking.
//! Must not: say why something is not active; `status` has the reason.

use lb_core::control::{
    ForwardReport, GatewayReport, InterfaceReport, InterfacesReport, MemberReport, StackReport,
    TranslationReport,
};
use lb_core::traffic::{LinkCounters, LinkRates, Tracking};

use super::table::{Cell, line, total, widths};
use super::text::{Screen, Tone, clean, labelled, width, wrap};
use super::units::{bytes, count, rate};

pub fn interfaces(report: &InterfacesReport, screen: &Screen) -> String {
    if report.interfaces.is_empty() {
        return format!(
            "{}\n",
            wrap(
                "This machine has no network interface. Add one to the virtual machine.",
                screen.width,
                0
            )
        );
    }
    let blocks: Vec<_> = report.interfaces.iter().map(|i| interface(i, screen)).collect();
    blocks.join("\n")
}

fn interface(interface: &InterfaceReport, screen: &Screen) -> String {
    let mut text = title(interface, screen);
    text.push_str(&built(&interface.stack, screen));
    let addresses = if interface.addresses.is_empty() {
        "none".to_owned()
    } else {
        interface.addresses.join(", ")
    };
    text.push_str(&format!(
        "  addresses  {}\n",
        wrap(&clean(&addresses), screen.width - 13, 13)
    ));
    if interface.link.is_none() {
        return text;
    }
    text.push_str(&counter_rows(&interface.counters(), screen));
    text.push_str(&pace(interface.rates.as_ref(), screen));
    text
}

/// What was received and sent, a line each.
pub fn counter_rows(counted: &LinkCounters, screen: &Screen) -> String {
    let received = [
        counted.rx_bytes,
        counted.rx_packets,
        counted.rx_errors,
        counted.rx_dropped,
    ];
    let sent = [
        counted.tx_bytes,
        counted.tx_packets,
        counted.tx_errors,
        counted.tx_dropped,
    ];
    let mut text = String::new();
    let rows = [counters("received", received), counters("sent", sent)];
    let columns = widths(rows.iter().map(Vec::as_slice));
    for row in &rows {
        let wide = 2 + total(&columns) > screen.width;
        let cells = || row.iter().map(|c| c.text.trim()).collect::<Vec<_>>().join("  ");
        let counters = if wide {
            wrap(&cells(), screen.width - 13, 13)
        } else {
            line(row, &columns, screen)
        };
        text.push_str(&format!("  {counters}\n"));
    }
    text
}

/// What goes through now; nothing where that is not known.
pub fn pace(rates: Option<&LinkRates>, screen: &Screen) -> String {
    let Some(rates) = rates else {
        return String::new();
    };
    let now = format!(
        "in {}bit/s, {} packets/s; out {}bit/s, {} packets/s; lost {}/s",
        prefixed(rates.rx_bits_per_second),
        rate(rates.rx_packets_per_second),
        prefixed(rates.tx_bits_per_second),
        rate(rates.tx_packets_per_second),
        rate(rates.lost_packets_per_second)
    );
    format!("  now        {}\n", wrap(&now, screen.width - 13, 13))
}

/// `8.1 M` as it is, `512` with a blank behind it: a unit follows.
pub fn prefixed(value: f64) -> String {
    let text = rate(value);
    if text.contains(' ') { text } else { text + " " }
}

/// What it stands on and what it belongs to, a line each.
pub fn built(stack: &StackReport, screen: &Screen) -> String {
    let mut text = String::new();
    let mut add = |name: &str, value: String| {
        let value = wrap(&clean(&value), screen.width - 13, 13);
        text.push_str(&format!("  {name:<9}  {value}\n"));
    };
    if let Some(vlan) = &stack.vlan {
        add("vlan", format!("{} on {}", vlan.id, vlan.link));
    }
    if let Some(bond) = &stack.bond {
        add(
            "bond",
            format!("{}: {}", bond.mode, members(&bond.links, bond.active.as_deref())),
        );
    }
    if let Some(bridge) = &stack.bridge {
        let stp = if bridge.stp { "with STP" } else { "without STP" };
        add("bridge", format!("{stp}: {}", members(&bridge.links, None)));
    }
    if let Some(master) = &stack.master {
        add("part of", master.clone());
    }
    text
}

/// What is well needs no word.
fn members(links: &[MemberReport], active: Option<&str>) -> String {
    let words = links.iter().map(|member| {
        let active = active == Some(member.link.as_str());
        match (member.state.as_str(), active) {
            ("up", true) => format!("{} (active)", member.link),
            ("up", false) => member.link.clone(),
            (state, _) => format!("{} ({state})", member.link),
        }
    });
    let words: Vec<String> = words.collect();
    match words.is_empty() {
        true => "no links".to_owned(),
        false => words.join(", "),
    }
}

fn title(interface: &InterfaceReport, screen: &Screen) -> String {
    let tone = match interface.state.as_str() {
        "up" => Tone::Good,
        "down" | "missing" => Tone::Bad,
        _ => Tone::Doubtful,
    };
    let name = interface
        .label
        .as_deref()
        .or(interface.link.as_deref())
        .unwrap_or("?");
    let mut facts = Vec::new();
    match (&interface.label, &interface.link) {
        (Some(label), Some(link)) if label != link => facts.push(format!("is {link}")),
        (Some(_), None) => facts.push("no link matches it; check its name or MAC in lb.toml".to_owned()),
        (None, _) => facts.push("not in lb.toml".to_owned()),
        _ => {}
    }
    facts.extend(interface.mtu.map(|mtu| format!("mtu {mtu}")));
    facts.extend(interface.mac.clone());
    let facts = clean(&facts.join(", ")).into_owned();
    let (name, state) = (clean(name), clean(&interface.state));
    let heading = format!(
        "{}  {}",
        screen.paint(Tone::Strong, &name),
        screen.paint(tone, &state)
    );
    let used = width(&name) + 2 + width(&state);
    if used + 2 + width(&facts) <= screen.width {
        return format!("{heading}  {facts}\n").trim_end().to_owned() + "\n";
    }
    format!("{heading}\n  {}\n", wrap(&facts, screen.width - 2, 2))
}

fn counters(what: &str, [sum, packets, errors, dropped]: [u64; 4]) -> Vec<Cell> {
    let alarm = |number: u64, word: &str| {
        let tone = if number == 0 { Tone::Plain } else { Tone::Doubtful };
        Cell::new(format!("{} {word}", count(number)), tone)
    };
    vec![
        Cell::plain(format!("{what:<9}")),
        Cell::right(bytes(sum)),
        Cell::right(format!("{} packets", count(packets))),
        alarm(errors, "errors"),
        alarm(dropped, "dropped"),
    ]
}

pub fn gateway(report: &GatewayReport, screen: &Screen) -> String {
    let (word, tone) = if report.forwarding {
        ("on", Tone::Good)
    } else {
        ("off", Tone::Bad)
    };
    let mut text = labelled("Forwarding", word, tone, screen);
    text.push_str(&listed("Masquerade", translations(&report.masquerades), screen));
    if !report.hairpins.is_empty() {
        text.push_str(&listed("Hairpin", translations(&report.hairpins), screen));
    }
    if !report.forwards.is_empty() {
        text.push_str(&listed("Forwards", forwards(&report.forwards), screen));
    }
    let routes = report
        .routes
        .iter()
        .map(|r| (format!("{} via {} on {}", r.to, r.via, r.link), r.active));
    text.push_str(&listed("Routes", routes.collect(), screen));
    text.push_str(&tracked(report.conntrack.count, report.conntrack.max, screen));
    text.push_str(&dropped(report, screen));
    text
}

/// What the machine could not take since it started.
fn dropped(report: &GatewayReport, screen: &Screen) -> String {
    let Tracking {
        dropped,
        early_dropped,
        ..
    } = report.conntrack;
    let mut parts = Vec::new();
    if dropped > 0 {
        parts.push(format!("{} packets, the table was full", count(dropped)));
    }
    if early_dropped > 0 {
        parts.push(format!(
            "{} connections gave way in a full table",
            count(early_dropped)
        ));
    }
    if report.backlog_dropped > 0 {
        parts.push(format!(
            "{} packets, a processor did not keep up",
            count(report.backlog_dropped)
        ));
    }
    match parts.is_empty() {
        true => labelled("Dropped", "nothing", Tone::Plain, screen),
        false => labelled("Dropped", &parts.join("; "), Tone::Doubtful, screen),
    }
}

fn translations(reports: &[TranslationReport]) -> Vec<(String, bool)> {
    let line = |report: &TranslationReport| {
        let TranslationReport {
            from,
            out,
            to,
            active,
            connections,
            connections_per_second,
        } = report;
        let counted = match (*active, *connections) {
            (false, _) => String::new(),
            (true, 1) => ", 1 connection".to_owned(),
            (true, n) => format!(", {} connections", count(n)),
        };
        let to = match to.as_slice() {
            [] => String::new(),
            [only] => format!(" as {only}"),
            [first, .., last] => format!(" as {} addresses from {first} to {last}", to.len()),
        };
        let pace = connections_per_second
            .filter(|_| *active)
            .map(|pace| format!(", {}/s", rate(pace)))
            .unwrap_or_default();
        (format!("{from} out of {out}{to}{counted}{pace}"), *active)
    };
    reports.iter().map(line).collect()
}

fn forwards(reports: &[ForwardReport]) -> Vec<(String, bool)> {
    let line = |report: &ForwardReport| {
        let counted = match (report.active, report.connections) {
            (false, _) => String::new(),
            (true, 1) => ", 1 connection".to_owned(),
            (true, n) => format!(", {} connections", count(n)),
        };
        let from = match report.from.as_slice() {
            [] => String::new(),
            nets => format!(" for {}", nets.join(", ")),
        };
        let pace = report.connections_per_second.filter(|_| report.active);
        let pace = pace.map(|pace| format!(", {}/s", rate(pace))).unwrap_or_default();
        let ForwardReport {
            listen, protocol, to, ..
        } = report;
        let line = format!("{listen} {protocol} to {to}{from}{counted}{pace}");
        (line, report.active)
    };
    reports.iter().map(line).collect()
}

/// A label before the first item; an item that the kernel does not hold says so.
fn listed(label: &str, items: Vec<(String, bool)>, screen: &Screen) -> String {
    if items.is_empty() {
        return labelled(label, "none configured", Tone::Plain, screen);
    }
    let mut text = String::new();
    for (at, (item, active)) in items.into_iter().enumerate() {
        let label = if at == 0 { label } else { "" };
        text.push_str(&match active {
            true => labelled(label, &item, Tone::Plain, screen),
            false => labelled(
                label,
                &format!("{item}: not active, `status` says why"),
                Tone::Bad,
                screen,
            ),
        });
    }
    text
}

/// How full the connection tracking table is.
pub fn tracked(used: u64, most: u64, screen: &Screen) -> String {
    let tone = match used.saturating_mul(100).checked_div(most) {
        Some(0..80) | None => Tone::Plain,
        Some(80..95) => Tone::Doubtful,
        Some(_) => Tone::Bad,
    };
    labelled(
        "Tracked",
        &format!("{} of {} connections", count(used), count(most)),
        tone,
        screen,
    )
}
