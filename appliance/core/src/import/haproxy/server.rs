//! A `server` as a server of lb.toml, with its check. Must not: know the other servers.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::draft::{Address, Keys, Note, Server};
use super::super::remarks::{Place, Remarks, shown};
use super::super::values::{self, time_within, whole};
use super::bind;
use super::lines::Line;
use super::options::Options;
use super::proxy::{Proxy, Settings};
use super::words::Dropped;

// HAProxy's own, where the file says nothing.
const INTER: Duration = Duration::from_secs(2);
const FALL: u64 = 3;
const RISE: u64 = 2;

// What lb.toml allows.
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_hours(1);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_mins(5);
const RETRY_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_hours(1);
/// What an agent listens on in the guide's example.
const AGENT_PORT: u16 = 9707;

/// A server, and what else it says.
pub(super) struct Read {
    pub server: Server,
    pub options: Options,
}

/// Servers with their proxies, by the names of both.
pub(super) type Named<'p> = BTreeMap<(&'p str, &'p str), (&'p Proxy, &'p Line)>;

pub(super) fn named(proxies: &[Proxy]) -> Named<'_> {
    let mut named = Named::new();
    for proxy in proxies {
        for line in &proxy.servers {
            named.entry((&proxy.name, line.word(1))).or_insert((proxy, line));
        }
    }
    named
}

/// `server NAME ADDRESS[:PORT] [OPTIONS]`. The port is that of the address as it is written; 0: none.
pub(super) fn server(
    line: &Line,
    (back, named): (&Proxy, &Named<'_>),
    only: bool,
    dropped: &mut Dropped,
    remarks: &mut Remarks,
) -> Read {
    let place = line.place;
    let settings = &back.settings;
    let mut options = settings.server.clone();
    options.read(line, 3, dropped, remarks);
    let address = match bind::server(line.word(2)) {
        Ok((ip, port)) => Address::Known(ip, port.unwrap_or(0)),
        Err(reason) => {
            let message = format!("server {} {}: {reason}", shown(line.word(1)), shown(line.word(2)));
            remarks.fault(place, message);
            Address::Unusable(line.word(2).to_owned(), reason)
        }
    };
    let mut server = Server::new(place, address);
    load(&options, &mut server, only, dropped, remarks);
    let mut notes = Vec::new();
    let checks = match tracked(&options, &server, (back, named), remarks) {
        Some((settings, options)) => check(&options, settings, place, &mut notes, dropped, remarks),
        None => check(&options, settings, place, &mut notes, dropped, remarks),
    };
    (server.check, server.others) = checks;
    server.notes.extend(notes);
    if options.ssl {
        let message = "ssl: HAProxy speaks TLS to this server; here it gets what the client sends, so that clients have to speak TLS";
        remarks.fault(place, message);
    }
    Read { server, options }
}

/// What is asked of the server whose state this one shares.
fn tracked<'p>(
    options: &Options,
    server: &Server,
    (back, named): (&Proxy, &Named<'p>),
    remarks: &mut Remarks,
) -> Option<(&'p Settings, Options)> {
    let track = options.track.as_deref()?;
    let (proxy, name) = track.split_once('/').unwrap_or((back.name.as_str(), track));
    let found = named.get(&(proxy, name)).copied();
    let address = found.and_then(|(_, line)| bind::server(line.word(2)).ok());
    let Some(((proxy, line), (ip, port))) = found.zip(address) else {
        let message = format!(
            "track {}: there is no such server; this one is asked itself",
            shown(track)
        );
        remarks.fault(server.place, message);
        return None;
    };
    // What is to say of its options is said where they are.
    let mut theirs = proxy.settings.server.clone();
    theirs.read(line, 3, &mut Dropped::default(), &mut Remarks::new(""));
    if server.ip() != Some(ip) {
        theirs.address = theirs.address.or(Some(ip));
    }
    theirs.port = theirs
        .port
        .or(port.filter(|port| server.address != Address::Known(ip, *port)));
    let message = format!(
        "track {}: this server has a check of its own here, which asks the same",
        shown(track)
    );
    remarks.differs(server.place, message);
    Some((&proxy.settings, theirs))
}

fn load(options: &Options, server: &mut Server, only: bool, dropped: &mut Dropped, remarks: &mut Remarks) {
    let place = server.place;
    if let Some(weight) = options.weight.filter(|weight| *weight != 1) {
        server.keys.put("weight", weight.min(65_535).to_string());
    }
    if options.disabled {
        server.keys.put("weight", "0");
        let text = "it is disabled there, and has a weight of 0 here: remove the weight, or the server";
        server.notes.push(Note {
            place,
            text: text.to_owned(),
        });
        remarks.differs(place, "disabled: a weight of 0, so that it gets no new connections; `drain` and `undrain` do that without the file");
    }
    if options.backup {
        server.keys.put("backup", "true");
    }
    match options.maxconn.filter(|most| *most > 0) {
        Some(most) if only => server.keys.put("max_connections", most.min(i32::MAX as u64).to_string()),
        Some(most) => dropped.because(
            place,
            &format!("maxconn {most}"),
            "what is more waits in HAProxy, and would be refused here, where connections that ended less than 120 s ago count as well; \
             max_connections = N if the server needs a limit",
        ),
        None => {}
    }
}

fn check(
    options: &Options,
    settings: &Settings,
    place: Place,
    notes: &mut Vec<Note>,
    dropped: &mut Dropped,
    remarks: &mut Remarks,
) -> (Keys, Vec<Keys>) {
    let mut keys = Keys::default();
    let mut others = Vec::new();
    match (options.check || options.track.is_some(), options.agent) {
        (false, false) => {
            keys.put("type", "\"none\"");
            remarks.fault(
                place,
                "there is no `check`: HAProxy takes it for alive for ever, and so does check = \"none\"; give it a check",
            );
            return (keys, others);
        }
        (false, true) => keys = agent(options, place, remarks),
        (true, agent) => {
            keys = settings.probe.keys(options, place, notes);
            others.extend(agent.then(|| self::agent(options, place, remarks)));
        }
    }
    for keys in [&mut keys].into_iter().chain(&mut others) {
        timed(options, settings, place, keys, remarks);
        down_interval(options, place, keys, dropped, remarks);
    }
    (keys, others)
}

fn agent(options: &Options, place: Place, remarks: &mut Remarks) -> Keys {
    let mut keys = Keys::default();
    keys.put("type", "\"agent\"");
    if let Some(send) = options.agent_send.as_deref() {
        keys.put("send", values::text(send));
    }
    if options.agent_port.is_none() {
        remarks.fault(
            place,
            format!("agent-check without agent-port: {AGENT_PORT} is a guess"),
        );
    }
    keys.put("port", options.agent_port.unwrap_or(AGENT_PORT).to_string());
    keys
}

fn timed(options: &Options, settings: &Settings, place: Place, keys: &mut Keys, remarks: &mut Remarks) {
    let is_agent = keys.value("type") == Some("\"agent\"");
    let inter = options
        .agent_inter
        .filter(|_| is_agent)
        .or(options.inter)
        .unwrap_or(INTER);
    keys.put("interval", time_within(inter, &INTERVAL, "inter", place, remarks));
    let connect = settings.connect.map_or(inter, |connect| connect.min(inter));
    let is_open = keys.value("type") == Some("\"tcp\"");
    let timeout = match settings.check {
        // A connection has the time to connect, and an answer this one.
        Some(check) if !is_open => check,
        Some(_) => connect,
        None => inter,
    };
    keys.put(
        "timeout",
        time_within(timeout, &TIMEOUT, "the time of a check", place, remarks),
    );
    let fall = options.fall.unwrap_or(FALL);
    keys.put("retries", whole(fall.saturating_sub(1), &(0..=100)).to_string());
    let pause = options.fastinter.unwrap_or(inter);
    keys.put(
        "retry_interval",
        time_within(pause, &RETRY_INTERVAL, "fastinter", place, remarks),
    );
    keys.put(
        "rise",
        whole(options.rise.unwrap_or(RISE), &(1..=100)).to_string(),
    );
}

fn down_interval(
    options: &Options,
    place: Place,
    keys: &mut Keys,
    dropped: &mut Dropped,
    remarks: &mut Remarks,
) {
    let inter = options.inter.unwrap_or(INTER);
    match options.downinter {
        Some(down) if down > inter && down >= *INTERVAL.start() => {
            keys.put("down_interval", time_within(down, &INTERVAL, "downinter", place, remarks));
            remarks.differs(place, "downinter: it counts for a server that has been down for five minutes");
        }
        Some(_) => dropped.because(
            place,
            "downinter",
            "`down_interval` may only be longer than `interval`; a server that is down is checked every `interval`",
        ),
        None => {}
    }
}
