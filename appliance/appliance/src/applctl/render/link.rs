//! Links as text: a line for each, or all about one. Must not: know where they were read.

use lb_core::link::{LinkReport, LinksReport};

use super::network::{built, counter_rows, prefixed};
use super::reach::table;
use super::table::Cell;
use super::text::{Screen, Tone, clean, width, wrap};
use super::units::{bytes, count, rate, span, speed as speed_of};

/// Width of a name in front of its value, with the blanks around it.
const NAME: usize = 13;

/// A carrier that has only come, or has gone and come again with a reboot of the switch, is not worth a word.
const MANY_CHANGES: u32 = 3;

pub fn links(report: &LinksReport, screen: &Screen) -> String {
    let (unused, shown): (Vec<&LinkReport>, Vec<&LinkReport>) =
        report.links.iter().partition(|link| link.is_unused_fallback());
    let rows: Vec<(Vec<Cell>, String)> = shown.into_iter().map(|l| (cells(l), remark(l))).collect();
    let heads = ["INTERFACE", "STATE", "FOR", "SPEED", "IN", "OUT", "LOST"];
    table(&heads, &rows, screen) + &left_out(&unused, screen)
}

/// What is no interface for anybody here, and would only be wondered at in the table.
fn left_out(unused: &[&LinkReport], screen: &Screen) -> String {
    if unused.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = unused.iter().map(|link| link.link.as_str()).collect();
    let sentence = format!(
        "Left out: {}. The kernel makes them by itself, for tunnels; nothing uses them.",
        names.join(", ")
    );
    format!("{}\n", wrap(&clean(&sentence), screen.width, 0))
}

fn cells(link: &LinkReport) -> Vec<Cell> {
    let rates = link.rates.as_ref();
    let pace = |bits: Option<f64>, sum: u64| match bits {
        Some(bits) => format!("{}bit/s", prefixed(bits)),
        None => bytes(sum),
    };
    let counted = &link.counters;
    let lost = rates.map_or_else(
        || count(counted.lost()),
        |rates| format!("{}/s", rate(rates.lost_packets_per_second)),
    );
    vec![
        Cell::plain(clean(name(link))),
        Cell::new(clean(&link.state), tone(link)),
        Cell::right(age(link).unwrap_or_else(|| "-".to_owned())),
        Cell::right(speed(link).unwrap_or_else(|| "-".to_owned())),
        Cell::right(pace(rates.map(|r| r.rx_bits_per_second), counted.rx_bytes)),
        Cell::right(pace(rates.map(|r| r.tx_bits_per_second), counted.tx_bytes)),
        Cell::right(lost),
    ]
}

fn name(link: &LinkReport) -> &str {
    link.interface.as_deref().unwrap_or(&link.link)
}

/// What tells it from the others, where that is not seen in the columns.
fn remark(link: &LinkReport) -> String {
    let mut words = Vec::new();
    if link.stack.kind != "card" {
        words.push(link.stack.kind.clone());
    }
    if name(link) != link.link {
        words.push(format!("is {}", link.link));
    }
    if let Some(vlan) = &link.stack.vlan {
        words.push(format!("{} on {}", vlan.id, vlan.link));
    }
    if let Some(active) = link.stack.bond.as_ref().and_then(|bond| bond.active.as_ref()) {
        words.push(format!("{active} is active"));
    }
    if let Some(master) = &link.stack.master {
        words.push(format!("in {master}"));
    }
    if let Some(number) = link.carrier_changes.filter(|number| *number > MANY_CHANGES) {
        words.push(format!("{} changes of its carrier", count(number.into())));
    }
    words.join(", ")
}

fn tone(link: &LinkReport) -> Tone {
    match link.state.as_str() {
        "up" => Tone::Good,
        "down" => Tone::Bad,
        _ => Tone::Doubtful,
    }
}

/// What the agent did not see change is at least so old.
fn age(link: &LinkReport) -> Option<String> {
    let age = link.carrier_age?;
    let sign = if age.change_seen { "" } else { ">" };
    Some(format!("{sign}{}", span(age.ms)))
}

fn speed(link: &LinkReport) -> Option<String> {
    link.speed_mbit.map(speed_of)
}

/// All about one link.
pub fn link(link: &LinkReport, screen: &Screen) -> String {
    let mut text = title(link, screen);
    text.push_str(&built(&link.stack, screen));
    let mut add = |name: &str, value: String| {
        let value = wrap(&clean(&value), screen.width - NAME, NAME);
        text.push_str(&format!("  {name:<9}  {value}\n"));
    };
    if !link.vlans.is_empty() {
        add("carries", format!("VLANs {}", link.vlans.join(", ")));
    }
    add("carrier", carrier(link));
    add("speed", pace(link));
    add("driver", driver(link));
    add("mac", mac(link));
    add(
        "addresses",
        match link.addresses.is_empty() {
            true => "none".to_owned(),
            false => link.addresses.join(", "),
        },
    );
    text.push_str(&counter_rows(&link.counters, screen));
    let losses = link
        .losses
        .iter()
        .map(|(name, number)| format!("{name} {}", count(*number)));
    let losses: Vec<String> = losses.collect();
    if !losses.is_empty() {
        let value = wrap(&losses.join(", "), screen.width - NAME, NAME);
        text.push_str(&format!("  {:<9}  {value}\n", "of these"));
    }
    text.push_str(&super::network::pace(link.rates.as_ref(), screen));
    text
}

fn title(link: &LinkReport, screen: &Screen) -> String {
    let (name, state) = (clean(name(link)).into_owned(), clean(&link.state).into_owned());
    let mut facts = vec![format!("{}, mtu {}", link.stack.kind, link.mtu)];
    match &link.interface {
        Some(label) if *label != link.link => facts.push(format!("is {}", link.link)),
        Some(_) => {}
        None => facts.push("no name in lb.toml".to_owned()),
    }
    let facts = clean(&facts.join(", ")).into_owned();
    let heading = format!(
        "{}  {}",
        screen.paint(Tone::Strong, &name),
        screen.paint(tone(link), &state)
    );
    if width(&name) + width(&state) + width(&facts) + 4 <= screen.width {
        return format!("{heading}  {facts}\n");
    }
    format!("{heading}\n  {}\n", wrap(&facts, screen.width - 2, 2))
}

fn carrier(link: &LinkReport) -> String {
    let is = match (link.state.as_str(), &link.carrier_age) {
        ("up", _) => "there",
        ("down", _) => "not looked for, the link is switched off",
        _ => "none",
    };
    let age = match link.carrier_age {
        Some(age) if age.change_seen => format!(", for {}", span(age.ms)),
        Some(age) => format!(", for {} at least", span(age.ms)),
        None => String::new(),
    };
    let changes = match link.carrier_changes {
        None => String::new(),
        Some(1) => "; it has changed once".to_owned(),
        Some(number) => format!("; it has changed {} times", count(number.into())),
    };
    let remedy = match link.state.as_str() {
        "no-carrier" => "; check the cable and the switch",
        _ => "",
    };
    format!("{is}{age}{changes}{remedy}")
}

fn pace(link: &LinkReport) -> String {
    match (speed(link), &link.duplex) {
        (Some(speed), Some(duplex)) => format!("{speed}, {duplex} duplex"),
        (Some(speed), None) => speed,
        (None, _) => "the driver does not say".to_owned(),
    }
}

fn driver(link: &LinkReport) -> String {
    let queues = format!(
        "{} to receive, {} to send",
        super::units::some(link.rx_queues as usize, "queue"),
        link.tx_queues
    );
    match &link.driver {
        Some(driver) => format!("{driver}; {queues}"),
        None => format!("none, it is made in software; {queues}"),
    }
}

fn mac(link: &LinkReport) -> String {
    match (&link.mac, &link.permanent_mac) {
        (Some(mac), Some(card)) if mac != card => format!("{mac}; the card's own is {card}"),
        (Some(mac), _) => mac.clone(),
        (None, _) => "none".to_owned(),
    }
}
