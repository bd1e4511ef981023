//! What HAProxy's checks ask: `option httpchk` and its relatives, `http-check`, `tcp-check`.
//! Must not: know when checks are made.

use super::super::draft::{Keys, Note};
use super::super::remarks::{Place, Remarks, shown};
use super::super::values::{self, is_host, is_path};
use super::lines::Line;
use super::options::Options;
use super::statuses;
use super::words::{Dropped, called};
use crate::check::Pattern;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Tcp,
    Http,
    Tls,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Probe {
    kind: Kind,
    place: Option<Place>,
    path: Option<String>,
    head: bool,
    host: Option<String>,
    status: Option<String>,
    /// The key and the value.
    body: Option<(&'static str, String)>,
    port: Option<u16>,
    ssl: bool,
    /// What is said to a server, and is not said here.
    lost: Option<Place>,
    /// A connection is described.
    connected: bool,
    /// The option of this proxy that says what is asked.
    option: Option<(Place, String)>,
}

/// Checks that speak a protocol which is not spoken here.
const PROTOCOLS: [(&str, &str); 6] = [
    ("option mysql-check", "MySQL"),
    ("option pgsql-check", "PostgreSQL"),
    ("option redis-check", "Redis"),
    ("option ldap-check", "LDAP"),
    ("option smtpchk", "SMTP"),
    ("option spop-check", "SPOP"),
];

impl Probe {
    /// As a proxy has it of its defaults, whose options it may replace.
    pub fn inherited(mut self) -> Probe {
        self.option = None;
        self.connected = false;
        self
    }

    /// The last option says what is asked.
    fn replaces(&mut self, line: &Line, called: &str, remarks: &mut Remarks) {
        if let Some((place, former)) = self.option.take().filter(|(_, former)| *former != called) {
            let message = format!(
                "{former}: of several the last one counts, which is `{called}` on line {}",
                line.place.line
            );
            remarks.dropped(place, message);
        }
        self.option = Some((line.place, called.to_owned()));
    }

    /// Whether the line is about checks.
    pub fn take(&mut self, line: &Line, dropped: &mut Dropped, remarks: &mut Remarks) -> bool {
        let called = called(line);
        if line.word(0) == "no" && called.starts_with("option ") && called.contains("ch") {
            *self = Probe::default();
            return true;
        }
        let says = [
            "option httpchk",
            "option tcp-check",
            "option ssl-hello-chk",
            "option external-check",
        ];
        if says.contains(&called.as_str()) || PROTOCOLS.iter().any(|(option, _)| *option == called) {
            self.replaces(line, &called, remarks);
        }
        match called.as_str() {
            "option httpchk" => self.httpchk(line, remarks),
            "option tcp-check" => self.kind = Kind::Tcp,
            "option ssl-hello-chk" => {
                self.kind = Kind::Tls;
                self.place = Some(line.place);
            }
            "option external-check" | "external-check" => {
                let message = "external-check: there are no scripts here. That the port is open is checked; let the server say what the \
                               script found out: type = \"agent\"";
                remarks.fault(line.place, message);
            }
            "http-check" => self.http_check(line, dropped, remarks),
            "tcp-check" => self.tcp_check(line, dropped, remarks),
            called => {
                let Some((_, protocol)) = PROTOCOLS.iter().find(|(option, _)| *option == called) else {
                    return false;
                };
                self.kind = Kind::Tcp;
                let message = format!(
                    "{called}: there is no check by {protocol}; that the port is open is checked. For more let the server say it: \
                     type = \"agent\""
                );
                remarks.differs(line.place, message);
            }
        }
        true
    }

    /// `option httpchk [METHOD] [URI] [VERSION]`; one word is the URI.
    fn httpchk(&mut self, line: &Line, remarks: &mut Remarks) {
        *self = Probe {
            kind: Kind::Http,
            place: Some(line.place),
            option: self.option.take(),
            ..Probe::default()
        };
        match line.from(2) {
            [] => self.method("OPTIONS", line.place, remarks),
            [uri] => {
                self.method("OPTIONS", line.place, remarks);
                self.uri(uri, line.place, remarks);
            }
            [method, uri, version @ ..] => {
                self.method(method, line.place, remarks);
                self.uri(uri, line.place, remarks);
                self.fields(&version.join(" "), line.place, remarks);
            }
        }
    }

    fn method(&mut self, method: &str, place: Place, remarks: &mut Remarks) {
        match method {
            "GET" => self.head = false,
            "HEAD" => self.head = true,
            method => {
                self.head = false;
                remarks.differs(place, format!("checks ask by GET here, not by {}", shown(method)));
            }
        }
    }

    fn uri(&mut self, uri: &str, place: Place, remarks: &mut Remarks) {
        if is_path(uri) {
            self.path = Some(uri.to_owned());
        } else {
            remarks.fault(place, format!("{} is no path; / is asked for", shown(uri)));
        }
    }

    /// `HTTP/1.1\r\nHost:\ www`, as it was written before `http-check send`.
    fn fields(&mut self, version: &str, place: Place, remarks: &mut Remarks) {
        for field in version
            .split(['\r', '\n'])
            .map(str::trim)
            .filter(|field| !field.is_empty())
        {
            match field.split_once(':') {
                Some((name, value)) => self.field(name.trim(), value.trim(), place, remarks),
                None if field.starts_with("HTTP/1.1") => {}
                None => remarks.differs(place, format!("checks speak HTTP/1.1 here, not {}", shown(field))),
            }
        }
    }

    fn field(&mut self, name: &str, value: &str, place: Place, remarks: &mut Remarks) {
        let lower = name.to_ascii_lowercase();
        match lower.as_str() {
            "host" if is_host(value) => self.host = Some(value.to_owned()),
            "connection" => {}
            _ => remarks.fault(
                place,
                format!(
                    "the field {} is not sent; add it to `headers` of the check",
                    shown(name)
                ),
            ),
        }
    }

    fn http_check(&mut self, line: &Line, dropped: &mut Dropped, remarks: &mut Remarks) {
        match line.word(1) {
            "expect" => self.expect(line, remarks),
            "send" => self.send(line, remarks),
            "connect" => self.connect(line, remarks),
            "disable-on-404" => {
                let message = "disable-on-404: an answer that is not right makes a server go down here; `drain` sets one aside, and an \
                               agent can ask for that";
                remarks.fault(line.place, message);
            }
            _ => dropped.because(line.place, &line.words.join(" "), "nothing here stands for it"),
        }
    }

    /// `http-check send meth GET uri /x ver HTTP/1.1 hdr Host www`.
    fn send(&mut self, line: &Line, remarks: &mut Remarks) {
        let mut words = line.from(2).iter().map(String::as_str);
        let place = line.place;
        while let Some(word) = words.next() {
            let value = words.next().unwrap_or_default();
            match word {
                "meth" => self.method(value, place, remarks),
                "uri" => self.uri(value, place, remarks),
                "ver" => self.fields(value, place, remarks),
                "hdr" => {
                    let content = words.next().unwrap_or_default();
                    self.field(value, content, place, remarks);
                }
                word => remarks.fault(
                    place,
                    format!("{} of a request cannot be said here; it is left out", shown(word)),
                ),
            }
        }
    }

    /// `http-check expect [!] status 200`, and `rstatus`, `string`, `rstring`.
    fn expect(&mut self, line: &Line, remarks: &mut Remarks) {
        let place = line.place;
        let words: Vec<&str> = line.from(2).iter().map(String::as_str).collect();
        let at = words
            .iter()
            .position(|word| ["status", "rstatus", "string", "rstring"].contains(word));
        let Some(at) = at.filter(|_| !words.contains(&"!")) else {
            let message = format!(
                "`{}` cannot be said here; it is left out",
                shown(&line.words.join(" "))
            );
            remarks.fault(place, message);
            return;
        };
        let given = words[at + 1..].join(" ");
        match words[at] {
            "status" => self.status = statuses::numbers(&given, place, remarks),
            "rstatus" => self.status = statuses::classes(&given, place, remarks),
            "string" if !given.is_empty() => self.body = Some(("body_contains", values::text(&given))),
            "rstring" if Pattern::new(&given).is_ok() => {
                self.body = Some(("body_matches", values::text(&given)))
            }
            _ => remarks.fault(
                place,
                format!(
                    "the pattern {} cannot be used here; it is left out",
                    shown(&given)
                ),
            ),
        }
    }

    fn tcp_check(&mut self, line: &Line, dropped: &mut Dropped, remarks: &mut Remarks) {
        match line.word(1) {
            "connect" => self.connect(line, remarks),
            "comment" | "" => {}
            word if self.lost.is_some() => {
                dropped.because(
                    line.place,
                    &format!("tcp-check {word}"),
                    "a check by TCP says nothing and reads nothing",
                );
            }
            word => {
                self.lost = Some(line.place);
                let message = format!(
                    "tcp-check {word}: nothing is said to the server; that the port is open is checked, and not what it answers. Let \
                     the server say it if that counts: type = \"agent\"",
                );
                remarks.fault(line.place, message);
            }
        }
    }

    /// `connect [port N] [ssl] [sni NAME]`.
    fn connect(&mut self, line: &Line, remarks: &mut Remarks) {
        let words = line.from(2);
        if std::mem::replace(&mut self.connected, true) {
            let message = format!(
                "`{}`: a check makes one connection here, the first one",
                shown(&line.words.join(" "))
            );
            remarks.fault(line.place, message);
            return;
        }
        for (at, word) in words.iter().enumerate() {
            match word.as_str() {
                "ssl" => self.ssl = true,
                "port" => match words
                    .get(at + 1)
                    .and_then(|port| port.parse().ok())
                    .filter(|port| *port > 0)
                {
                    Some(port) => self.port = Some(port),
                    None => remarks.fault(line.place, "the port cannot be read; it is left out"),
                },
                _ => {}
            }
        }
    }

    /// The keys of the check of one server.
    pub fn keys(&self, options: &Options, place: Place, notes: &mut Vec<Note>) -> Keys {
        let mut keys = Keys::default();
        let tls = options.check_ssl.unwrap_or(options.ssl) || self.ssl;
        let kind = match (self.kind, tls) {
            (Kind::Http, false) => "http",
            (Kind::Http, true) => "https",
            (Kind::Tls, _) | (Kind::Tcp, true) => "tls",
            (Kind::Tcp, false) => "tcp",
        };
        keys.put("type", values::text(kind));
        if self.kind == Kind::Http {
            self.request(&mut keys);
        }
        if ["https", "tls"].contains(&kind) {
            let text = "say who may answer by `ca` or `fingerprint` in the place of `verify = false`";
            let at = self.place.unwrap_or(place);
            notes.push(Note {
                place: at,
                text: text.to_owned(),
            });
            keys.put("verify", "false");
            if let Some(name) = &options.check_sni {
                keys.put("server_name", values::text(name));
            }
        }
        if let Some(lost) = self.lost.filter(|_| self.kind == Kind::Tcp) {
            let text = "what `tcp-check` says and reads there is not asked here: every server whose port is open gets clients";
            notes.push(Note {
                place: lost,
                text: text.to_owned(),
            });
        }
        if let Some(address) = options.address {
            keys.put("address", values::text(&address.to_string()));
        }
        if let Some(port) = options.port.or(self.port) {
            keys.put("port", port.to_string());
        }
        keys
    }

    fn request(&self, keys: &mut Keys) {
        keys.put("path", values::text(self.path.as_deref().unwrap_or("/")));
        if self.head && self.body.is_none() {
            keys.put("method", "\"HEAD\"");
        }
        if let Some(host) = &self.host {
            keys.put("host", values::text(host));
        }
        // HAProxy takes 2xx and 3xx where nothing is said; we take 2xx.
        let usual = if self.body.is_some() {
            "\"100-599\""
        } else {
            "\"200-399\""
        };
        keys.put("status", self.status.as_deref().unwrap_or(usual));
        if let Some((key, value)) = &self.body {
            keys.put(key, value.as_str());
        }
    }
}
