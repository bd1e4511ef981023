//! The checkers of a real server as its checks. Must not: know the service beyond its protocol.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::draft::{Keys, Note};
use super::super::machine::Machine;
use super::super::remarks::{Place, Remarks, shown};
use super::super::values::{self, time_within, whole};
use super::ask;
use super::inherited::Inherited;
use super::tree::Statement;
use super::words;
use crate::check::CheckList;

// keepalived's own, where the file says nothing (keepalived.conf(5)).
const DELAY_LOOP: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const DELAY_BEFORE_RETRY: Duration = Duration::from_secs(1);
const DELAY_BEFORE_RETRY_HTTP: Duration = Duration::from_secs(3);

// What lb.toml allows.
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_hours(1);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_mins(5);
const RETRY_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_hours(1);
const RETRIES: RangeInclusive<u64> = 0..=100;

/// What is checked.
pub(super) struct Target<'t> {
    pub protocol: &'static str,
    pub ip: IpAddr,
    /// The server's; 0: it has none.
    pub port: u16,
    /// Of the real server.
    pub place: Place,
    /// It has no port of its own.
    pub bare: bool,
    pub machine: &'t Machine,
}

const CHECKERS: [&str; 10] = [
    "HTTP_GET",
    "SSL_GET",
    "DNS_CHECK",
    "SMTP_CHECK",
    "TCP_CHECK",
    "UDP_CHECK",
    SCRIPT,
    "PING_CHECK",
    "FILE_CHECK",
    "BFD_CHECK",
];
const SCRIPT: &str = "MISC_CHECK";
/// For these there is nothing here.
const NOWHERE: [&str; 2] = ["FILE_CHECK", "BFD_CHECK"];
/// What does not make two checks different ones.
const PACE: [&str; 5] = ["interval", "timeout", "retries", "retry_interval", "rise"];

pub(super) fn is_checker(word: &str) -> bool {
    CHECKERS.contains(&word)
}

/// The first check, and what else has to pass, in the order of the file.
pub(super) fn checks(
    checkers: &[&Statement],
    inherited: &Inherited,
    target: &Target<'_>,
    notes: &mut Vec<Note>,
    remarks: &mut Remarks,
) -> (Keys, Vec<Keys>) {
    let is_asked = |checker: &&&Statement| !NOWHERE.contains(&checker.word());
    let asked: Vec<&Statement> = checkers.iter().filter(is_asked).copied().collect();
    if asked.is_empty() {
        return (unchecked(checkers, target, remarks), Vec::new());
    }
    let scripts_only = asked.iter().all(|checker| checker.word() == SCRIPT);
    for checker in checkers
        .iter()
        .filter(|checker| NOWHERE.contains(&checker.word()))
    {
        let message = format!(
            "{}: there is no such check here; its other checks decide",
            checker.word()
        );
        remarks.dropped(checker.place, message);
    }
    let mut all: Vec<(&Statement, Keys)> = Vec::new();
    for checker in asked {
        if checker.word() == SCRIPT && !scripts_only {
            let message = "MISC_CHECK: there are no scripts here; its other checks decide. Let the server say what the script found out: an \
                           \"agent\" in the list reads a line from a port of it";
            remarks.fault(checker.place, message);
            continue;
        }
        let keys = one(checker, inherited, target, notes, remarks);
        let same = all.iter().find(|(_, known)| known.same_but_for(&PACE, &keys));
        if let Some((known, _)) = same {
            let message = format!(
                "{}: here it asks the same as {} on line {}",
                checker.word(),
                known.word(),
                known.place.line
            );
            remarks.dropped(checker.place, message);
        } else if all.len() == CheckList::MOST {
            let message = format!(
                "{}: a server has at most {} checks here; one \"agent\" on the server can answer for several",
                checker.word(),
                CheckList::MOST
            );
            remarks.dropped(checker.place, message);
        } else {
            all.push((checker, keys));
        }
    }
    let mut all = all.into_iter().map(|(_, keys)| keys);
    (all.next().unwrap_or_default(), all.collect())
}

fn unchecked(checkers: &[&Statement], target: &Target<'_>, remarks: &mut Remarks) -> Keys {
    let mut keys = Keys::default();
    keys.put("type", "\"none\"");
    if checkers.is_empty() {
        remarks.fault(
            target.place,
            "it has no checker: keepalived takes it for alive for ever, and so does check = \"none\"; give it a check",
        );
    }
    for checker in checkers {
        let message = format!(
            "{}: there is no such check here, and the server is never checked",
            checker.word()
        );
        remarks.fault(checker.place, message);
    }
    keys
}

fn one(
    checker: &Statement,
    inherited: &Inherited,
    target: &Target<'_>,
    notes: &mut Vec<Note>,
    remarks: &mut Remarks,
) -> Keys {
    let mut timing = inherited.clone();
    let mut way = Keys::default();
    let mut rest = Vec::new();
    for statement in checker.statements() {
        let known = timing.take(statement, remarks) || self::way(statement, target, &mut way, remarks);
        if !known {
            rest.push(statement);
        }
    }
    let mut keys = Keys::default();
    ask::ask(checker, &rest, &timing, target, &mut keys, notes, remarks);
    for (key, value) in way.iter() {
        keys.put(key, value);
    }
    let kind = keys
        .value("type")
        .unwrap_or_default()
        .trim_matches('"')
        .to_owned();
    // A port that is open over TCP says nothing of another protocol, unless it is named.
    let needs_port = target.bare || (target.protocol != "tcp" && !["dns", "udp"].contains(&kind.as_str()));
    if !needs_port && keys.value("port") == Some(target.port.to_string().as_str()) {
        keys.remove("port");
    }
    if needs_port && keys.value("port").is_none() && !["icmp", "none"].contains(&kind.as_str()) {
        give_port(checker.place, target.port, &kind, &mut keys, remarks);
    }
    timed(checker, &timing, &mut keys, remarks);
    keys
}

/// Where the check goes, and from where. Whether the statement is about that.
pub(super) fn way(
    statement: &Statement,
    target: &Target<'_>,
    keys: &mut Keys,
    remarks: &mut Remarks,
) -> bool {
    let place = statement.place;
    match statement.word() {
        "connect_port" => {
            let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
            if let Some(port) = words::value(statement, "a port", remarks, port) {
                keys.put("port", port.to_string());
            }
        }
        "connect_ip" => {
            let address = words::value(statement, "an address", remarks, |text| {
                text.parse::<IpAddr>().ok()
            });
            if let Some(address) = address.filter(|address| *address != target.ip) {
                keys.put("address", values::text(&address.to_string()));
            }
        }
        "bindto" => source(statement, target, keys, remarks),
        "bind_if" => match statement.argument(0) {
            Some(name) if target.machine.is_own_name(name) => keys.put("interface", values::text(name)),
            name => {
                let name = shown(name.unwrap_or_default());
                let message = format!("bind_if {name}: no [[interface]] of the file is called that");
                remarks.fault(place, message);
            }
        },
        "bind_port" | "fwmark" => {
            let word = statement.word();
            remarks.dropped(
                place,
                format!("{word}: checks choose their own port, and carry no mark"),
            );
        }
        "log_all_failures" | "warmup" => words::drop_with_reason(statement, remarks),
        _ => return false,
    }
    true
}

fn source(statement: &Statement, target: &Target<'_>, keys: &mut Keys, remarks: &mut Remarks) {
    let read = |text: &str| text.parse::<IpAddr>().ok();
    let Some(source) = words::value(statement, "an address", remarks, read) else {
        return;
    };
    if target.machine.has(source) {
        keys.put("source", values::text(&source.to_string()));
        return;
    }
    let message = format!(
        "bindto {source}: no interface of the file has this address; give it to one, and source = \"{source}\" to the check"
    );
    remarks.fault(statement.place, message);
}

fn give_port(place: Place, port: u16, kind: &str, keys: &mut Keys, remarks: &mut Remarks) {
    let port = match (port, kind) {
        (0, "http") => 80,
        (0, "https") => 443,
        (0, "dns") => 53,
        (0, _) => {
            let message = "nothing says which port is asked: the machine is asked by ICMP instead; give the check a type and a port";
            remarks.fault(place, message);
            *keys = Keys::default();
            return keys.put("type", "\"icmp\"");
        }
        (port, _) => port,
    };
    keys.put("port", port.to_string());
}

/// The times, with keepalived's own defaults written out where ours are others.
fn timed(checker: &Statement, timing: &Inherited, keys: &mut Keys, remarks: &mut Remarks) {
    let word = checker.word();
    let is_http = matches!(word, "HTTP_GET" | "SSL_GET");
    let (interval_place, interval) = timing.delay_loop.unwrap_or((checker.place, DELAY_LOOP));
    keys.put(
        "interval",
        time_within(interval, &INTERVAL, "delay_loop", interval_place, remarks),
    );
    let (place, timeout) = timing.connect_timeout.unwrap_or((checker.place, CONNECT_TIMEOUT));
    keys.put(
        "timeout",
        time_within(timeout, &TIMEOUT, "connect_timeout", place, remarks),
    );
    let usual = match word {
        "DNS_CHECK" => 3,
        "MISC_CHECK" => 0,
        _ => 1,
    };
    let (place, retries) = timing.retry.unwrap_or((checker.place, usual));
    if !RETRIES.contains(&retries) {
        remarks.differs(place, format!("retry {retries} becomes 100, the most there is"));
    }
    keys.put("retries", whole(retries, &RETRIES).to_string());
    let usual = match word {
        "DNS_CHECK" => interval,
        _ if is_http => DELAY_BEFORE_RETRY_HTTP,
        _ => DELAY_BEFORE_RETRY,
    };
    let (place, pause) = timing.delay_before_retry.unwrap_or((checker.place, usual));
    keys.put(
        "retry_interval",
        time_within(pause, &RETRY_INTERVAL, "delay_before_retry", place, remarks),
    );
    keys.put("rise", "1");
}
