//! What stands for nothing in lb.toml, and why. Must not: know values.

use std::collections::BTreeMap;

use super::super::remarks::{Place, Remarks, shown};
use super::lines::Line;

const LOG: &str =
    "connections are not logged here; changes of servers are, with their reasons (`log`, `events`)";
const HTTP: &str = "it is about HTTP, and requests are not read here";
const RULES: &str =
    "rules that look at a connection do not exist here: it goes by its address and port alone";
const SIZE: &str = "there is no process here that connections go through: the kernel's table has room for what the memory holds";
const PROXY: &str =
    "a connection goes to the server itself here, and is not opened for the client by a proxy";
const IDLE: &str = "an idle connection is forgotten here after `tcp` of [timeouts], one time for all services (7440 s, or the longest of these if that is longer)";
const STATS: &str = "HAProxy's own pages and sockets: `status`, `services` and `top` show the state here";
const MAIL: &str = "no mail is sent from here; `events` tells what has happened";
const DOWN: &str = "a server that is down gets no new connections here, whoever asks";

/// First words, or two where the first is `option` or `timeout`.
const WITHOUT: [(&str, &[&str]); 9] = [
    (
        LOG,
        &[
            "log",
            "log-format",
            "log-tag",
            "log-steps",
            "error-log-format",
            "option tcplog",
            "option httplog",
            "option httpslog",
            "option dontlognull",
            "option dontlog-normal",
            "option logasap",
            "option log-separate-errors",
            "option log-health-checks",
            "unique-id-format",
            "unique-id-header",
            "capture",
        ],
    ),
    (
        HTTP,
        &[
            "option forwardfor",
            "option httpclose",
            "option http-server-close",
            "option http-keep-alive",
            "option http-buffer-request",
            "option http-use-htx",
            "option forceclose",
            "option originalto",
            "option prefer-last-server",
            "option http-no-delay",
            "option http-pretend-keepalive",
            "option http-ignore-probes",
            "option accept-invalid-http-request",
            "option accept-invalid-http-response",
            "timeout http-request",
            "timeout http-keep-alive",
            "http-request",
            "http-response",
            "http-after-response",
            "http-reuse",
            "http-send-name-header",
            "http-error",
            "errorfile",
            "errorfiles",
            "errorloc",
            "errorloc302",
            "errorloc303",
            "cookie",
            "compression",
            "redirect",
            "reqadd",
            "reqrep",
            "rspadd",
            "appsession",
            "monitor-uri",
            "monitor",
            "monitor-net",
            "dynamic-cookie-key",
        ],
    ),
    (
        RULES,
        &[
            "acl",
            "tcp-request",
            "tcp-response",
            "filter",
            "declare",
            "quic-initial",
            "block",
            "use-server",
            "email-alert",
        ],
    ),
    (
        SIZE,
        &[
            "maxconn",
            "backlog",
            "fullconn",
            "rate-limit",
            "bind-process",
            "grace",
            "max-keep-alive-queue",
            "max-session-srv-conns",
            "option splice-auto",
            "option splice-request",
            "option splice-response",
            "option tcp-smart-accept",
            "option tcp-smart-connect",
            "option nolinger",
            "option idle-close-on-response",
            "option contstats",
            "option socket-stats",
            "option clitcpka",
            "option srvtcpka",
            "option tcpka",
            "clitcpka-cnt",
            "clitcpka-idle",
            "clitcpka-intvl",
            "srvtcpka-cnt",
            "srvtcpka-idle",
            "srvtcpka-intvl",
            "option abortonclose",
        ],
    ),
    (
        PROXY,
        &[
            "retries",
            "retry-on",
            "option redispatch",
            "redispatch",
            "option transparent",
            "dispatch",
            "source",
            "timeout queue",
            "option http_proxy",
            "option independent-streams",
            "load-server-state-from-file",
            "server-state-file-name",
            "transparent",
        ],
    ),
    (
        IDLE,
        &[
            "timeout client",
            "timeout server",
            "timeout tunnel",
            "timeout client-fin",
            "timeout server-fin",
            "timeout client-hs",
            "timeout tarpit",
            "clitimeout",
            "srvtimeout",
        ],
    ),
    (STATS, &["stats", "description", "id", "enabled", "guid"]),
    (MAIL, &["email-alert"]),
    (
        DOWN,
        &["option persist", "persist", "force-persist", "ignore-persist"],
    ),
];

/// How a directive is called: its first word, or two.
pub(super) fn called(line: &Line) -> String {
    match line.word(0) {
        first @ ("option" | "timeout") => format!("{first} {}", line.word(1)),
        "no" if line.word(1) == "option" => format!("option {}", line.word(2)),
        first => first.to_owned(),
    }
}

fn reason(called: &str) -> Option<&'static str> {
    let known = WITHOUT.iter().find(|(_, words)| words.contains(&called));
    known.map(|(reason, _)| *reason)
}

/// So many are named in one remark.
const MOST_NAMED: usize = 12;

/// What a section has that nothing stands for, by the reason.
#[derive(Debug, Default)]
pub(super) struct Dropped(BTreeMap<String, Vec<(Place, String)>>);

impl Dropped {
    pub fn add(&mut self, line: &Line) {
        let called = called(line);
        match reason(&called) {
            Some(reason) => self.because(line.place, &called, reason),
            None => {
                let words = line.words.join(" ");
                self.because(line.place, &words, "this is not known here");
            }
        }
    }

    pub fn because(&mut self, place: Place, what: &str, reason: &str) {
        self.0
            .entry(reason.to_owned())
            .or_default()
            .push((place, shown(what)));
    }

    /// One remark for each reason, at its first line; the others are named with theirs.
    pub fn tell(self, remarks: &mut Remarks) {
        for (reason, found) in self.0 {
            let first = found[0].0;
            let named = |(place, what): &(Place, String)| match *place == first {
                true => what.clone(),
                false => format!("{what} (line {})", place.line),
            };
            let mut words: Vec<String> = found.iter().take(MOST_NAMED).map(named).collect();
            if found.len() > MOST_NAMED {
                words.push(format!("and {} more", found.len() - MOST_NAMED));
            }
            remarks.dropped(first, format!("{}: {reason}", words.join(", ")));
        }
    }
}
