//! haproxy.cfg as lb.toml: the proxies in TCP mode. Must not: read files or the environment.

mod bind;
mod lines;
mod options;
mod probe;
mod proxy;
mod server;
mod service;
mod statuses;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Imported;
use super::draft::Draft;
use super::finish::finish;
use super::remarks::{Remarks, Severity, shown};
use super::values;
use lines::Section;
use proxy::{Proxy, Settings};
use service::Anywhere;
use words::Dropped;

/// Idle connections are forgotten after that where the file says nothing.
const IDLE: Duration = Duration::from_secs(7_440);
const LONGEST_IDLE: Duration = Duration::from_hours(168);

/// What is true of every service, said once.
const ALWAYS: [&str; 4] = [
    "connections go to the servers themselves, with the client's own address: answers have to come back through this machine, so \
     that it has to be the servers' gateway; if they reach the outside through it, add a [[masquerade]]",
    "a server gets traffic only after a check has passed; HAProxy takes a server for up before its first check",
    "`timeout` is for one whole check; `retries` is `fall` less one, and the attempts after the first follow each other by \
     `retry_interval`",
    "a server that goes down again and again is held back for a while (`hold_down`); \"0s\" switches that off",
];

/// `name` is what remarks call the text.
pub fn import(name: &str, text: &str) -> Imported {
    let mut remarks = Remarks::new(name);
    if text.len() > super::MOST_BYTES {
        remarks.of_all(
            Severity::Fault,
            "nothing could be produced: the text is larger than 2 MiB",
        );
        return Imported {
            toml: String::new(),
            remarks: remarks.finish(),
        };
    }
    let sections = lines::sections(text, &mut remarks);
    let proxies = proxies(&sections, &mut remarks);
    let mut draft = Draft::default();
    services(&proxies, &mut draft, &mut remarks);
    timeouts(&proxies, &mut draft, &mut remarks);
    if !draft.services.is_empty() {
        ALWAYS
            .iter()
            .for_each(|text| remarks.of_all(Severity::Differs, *text));
    }
    finish(draft, "haproxy", remarks)
}

fn proxies(sections: &[Section], remarks: &mut Remarks) -> Vec<Proxy> {
    let mut named: BTreeMap<String, Settings> = BTreeMap::new();
    let mut defaults = Settings::default();
    let mut proxies = Vec::new();
    for section in sections {
        // `defaults NAME from OTHER`, `backend NAME from DEFAULTS`.
        let from = section
            .head
            .iter()
            .position(|word| word == "from")
            .and_then(|at| section.head.get(at + 1));
        let base = from.and_then(|from| named.get(from));
        if let Some(from) = from.filter(|_| base.is_none()) {
            remarks.fault(
                section.place,
                format!("there are no defaults {} before this line", shown(from)),
            );
        }
        match section.kind.as_str() {
            "defaults" => {
                defaults = self::defaults(section, base.cloned().unwrap_or_default(), remarks);
                if let Some(name) = section.head.first().filter(|name| *name != "from") {
                    named.insert(name.clone(), defaults.clone());
                }
            }
            "frontend" | "backend" | "listen" => {
                proxies.push(proxy::read(section, base.unwrap_or(&defaults), remarks))
            }
            kind => other(section, kind, remarks),
        }
    }
    proxies
}

fn defaults(section: &Section, mut settings: Settings, remarks: &mut Remarks) -> Settings {
    let mut dropped = Dropped::default();
    for line in &section.lines {
        if !settings.take(line, &mut dropped, remarks) {
            dropped.add(line);
        }
    }
    dropped.tell(remarks);
    settings
}

/// Sections without servers.
fn other(section: &Section, kind: &str, remarks: &mut Remarks) {
    let why = match kind {
        "global" => "it is about HAProxy's own process",
        "peers" => "what is remembered is not copied to another machine",
        "resolvers" => "names are not looked up here",
        "mailers" => "no mail is sent from here; `events` tells what has happened",
        "userlist" | "cache" | "fcgi-app" | "http-errors" => {
            "it is about HTTP, and requests are not read here"
        }
        "log-forward" | "ring" | "log-profile" => {
            "logs are not forwarded here; syslog over UDP is balanced by a service with `one_packet`"
        }
        _ => "nothing here stands for it",
    };
    let mut words: Vec<&str> = section.lines.iter().map(|line| line.word(0)).collect();
    let mut seen = BTreeSet::new();
    words.retain(|word| seen.insert(*word));
    let more = words.len().saturating_sub(30);
    words.truncate(30);
    let mut list: Vec<String> = words.into_iter().map(shown).collect();
    if more > 0 {
        list.push(format!("and {more} more"));
    }
    let list = if list.is_empty() {
        String::new()
    } else {
        format!(" ({})", list.join(", "))
    };
    remarks.dropped(section.place, format!("{kind}{list}: {why}"));
}

fn services(proxies: &[Proxy], draft: &mut Draft, remarks: &mut Remarks) {
    let backends: BTreeMap<&str, usize> = proxies
        .iter()
        .enumerate()
        .filter(|(_, proxy)| proxy.kind != "frontend")
        .map(|(index, proxy)| (proxy.name.as_str(), index))
        .collect();
    // No placeholder is the address of a server.
    let servers = proxies.iter().flat_map(|proxy| &proxy.servers);
    servers
        .filter_map(|line| bind::server(line.word(2)).ok())
        .for_each(|(ip, _)| draft.machine.is_foreign(ip));
    let mut used = BTreeSet::new();
    let mut anywhere = Anywhere::default();
    let named = server::named(proxies);
    for (index, proxy) in proxies
        .iter()
        .enumerate()
        .filter(|(_, proxy)| proxy.kind != "backend")
    {
        if refused(proxy, remarks) {
            let named = proxy.settings.default_backend.as_ref();
            used.extend(named.and_then(|(_, name)| backends.get(name.as_str())));
            continue;
        }
        let back = backend_of(proxy, index, &backends, remarks);
        let Some(back) = back else {
            let message = format!(
                "{} has no servers that it uses always (default_backend); it is left out",
                shown(&proxy.name)
            );
            remarks.fault(proxy.chooses.unwrap_or(proxy.place), message);
            continue;
        };
        used.insert(back);
        if refused(&proxies[back], remarks) {
            continue;
        }
        service::add((proxy, &proxies[back]), &named, &mut anywhere, draft, remarks);
    }
    tell_unused(proxies, &used, remarks);
}

/// Where all connections go that nothing else is said of.
fn backend_of(
    proxy: &Proxy,
    index: usize,
    backends: &BTreeMap<&str, usize>,
    remarks: &mut Remarks,
) -> Option<usize> {
    if proxy.kind == "listen" && !proxy.servers.is_empty() {
        return Some(index);
    }
    let (place, name) = proxy.settings.default_backend.as_ref()?;
    let known = backends.get(name.as_str()).copied();
    if known.is_none() {
        remarks.fault(*place, format!("there is no backend {}", shown(name)));
    }
    known
}

fn tell_unused(proxies: &[Proxy], used: &BTreeSet<usize>, remarks: &mut Remarks) {
    for (index, proxy) in proxies.iter().enumerate() {
        if proxy.kind == "backend" && !used.contains(&index) && !refused(proxy, remarks) {
            let message = format!(
                "no frontend uses the backend {} always; it is left out with its servers",
                shown(&proxy.name)
            );
            remarks.dropped(proxy.place, message);
        }
    }
}

/// What is no business of a balancer of connections.
fn refused(proxy: &Proxy, remarks: &mut Remarks) -> bool {
    let name = shown(&proxy.name);
    if proxy.is_statistics && proxy.servers.is_empty() {
        let message = format!(
            "{} {name}: HAProxy's own page is not here; `status`, `services` and `top` show the state",
            proxy.kind
        );
        remarks.dropped(proxy.place, message);
        return true;
    }
    if !proxy.is_http() {
        return false;
    }
    let message = format!(
        "{} {name}: mode http is refused. Requests are not read here, connections are balanced as they are: with `mode tcp`, and servers \
         that end TLS themselves, it can be taken over",
        proxy.kind
    );
    remarks.fault(proxy.place, message);
    true
}

/// A connection may be idle for as long as the longest of HAProxy's times, if that is longer than usual here.
fn timeouts(proxies: &[Proxy], draft: &mut Draft, remarks: &mut Remarks) {
    let idle = proxies
        .iter()
        .filter(|proxy| !proxy.is_http())
        .filter_map(|proxy| proxy.settings.idle)
        .max();
    if let Some((idle, place)) = idle.filter(|(idle, _)| *idle > IDLE && !draft.services.is_empty()) {
        if idle > LONGEST_IDLE {
            remarks.differs(
                place,
                "an idle connection is forgotten after 168 h here, the most there is",
            );
        }
        let whole = Duration::from_secs(idle.min(LONGEST_IDLE).as_secs());
        draft.timeouts.put("tcp", values::time(whole));
    }
}
