//! The proxies of haproxy.cfg: what frontends, backends and listeners say, over their defaults.
//! Must not: put the two ends of a service together.

use std::time::Duration;

use super::super::machine::is_interface_name;
use super::super::remarks::{Place, Remarks, shown};
use super::bind::{self, Bound, Host};
use super::lines::{Line, Section};
use super::options::{Options, time};
use super::probe::Probe;
use super::words::{Dropped, called};

/// What a `defaults` can say as well as a proxy.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub mode: Option<String>,
    pub balance: Option<(Place, Vec<String>)>,
    pub consistent: bool,
    pub connect: Option<Duration>,
    pub check: Option<Duration>,
    /// The longest time that a connection may be idle, and who says it.
    pub idle: Option<(Duration, Place)>,
    pub probe: Probe,
    pub server: Options,
    pub all_backups: bool,
    pub default_backend: Option<(Place, String)>,
}

/// `stick-table` and `stick on`.
#[derive(Debug, Clone, Default)]
pub(super) struct Stick {
    pub table: Option<Place>,
    pub expire: Option<Duration>,
    pub on: Option<Place>,
    pub prefix: Option<u8>,
}

#[derive(Debug, Clone)]
pub(super) struct Proxy {
    pub place: Place,
    pub kind: String,
    pub name: String,
    pub settings: Settings,
    /// With the interface, where it is named.
    pub binds: Vec<(Place, Bound, Option<String>)>,
    /// Lines of servers, to be read when the service is known.
    pub servers: Vec<Line>,
    /// Lines that make servers of what a name server says.
    pub templates: Vec<Place>,
    pub stick: Stick,
    /// There are `use_backend` rules.
    pub chooses: Option<Place>,
    pub terminates: Option<Place>,
    pub is_statistics: bool,
}

impl Settings {
    /// Whether the line is one of these.
    pub fn take(&mut self, line: &Line, dropped: &mut Dropped, remarks: &mut Remarks) -> bool {
        let called = called(line);
        match called.as_str() {
            "mode" => self.mode = Some(line.word(1).to_owned()),
            "balance" => self.balance = Some((line.place, line.from(1).iter().take(2).cloned().collect())),
            "hash-type" => self.consistent = line.word(1) == "consistent",
            "default-server" => self.server.read(line, 1, dropped, remarks),
            "default_backend" => self.default_backend = Some((line.place, line.word(1).to_owned())),
            "option allbackups" => self.all_backups = line.word(0) != "no",
            "timeout connect" | "contimeout" => self.connect = read_time(line, remarks),
            "timeout check" => self.check = read_time(line, remarks),
            "timeout client" | "timeout server" | "timeout tunnel" => {
                self.idle(line.word(2), line.place);
                dropped.add(line);
            }
            "clitimeout" | "srvtimeout" => {
                self.idle(line.word(1), line.place);
                dropped.add(line);
            }
            _ => return self.probe.take(line, dropped, remarks),
        }
        true
    }
}

impl Settings {
    /// 0 is no limit.
    fn idle(&mut self, given: &str, place: Place) {
        let time = time(given).map(|time| if time.is_zero() { Duration::MAX } else { time });
        self.idle = self.idle.max(time.map(|time| (time, place)));
    }
}

fn read_time(line: &Line, remarks: &mut Remarks) -> Option<Duration> {
    let given = line.words.last().map_or("", String::as_str);
    let read = time(given);
    if read.is_none() {
        remarks.fault(
            line.place,
            format!("`{}` is no time; it is left out", shown(given)),
        );
    }
    read
}

/// `section` with the settings that hold where it says nothing.
pub(super) fn read(section: &Section, defaults: &Settings, remarks: &mut Remarks) -> Proxy {
    let mut proxy = Proxy {
        place: section.place,
        kind: section.kind.clone(),
        name: section.head.first().cloned().unwrap_or_default(),
        settings: Settings {
            probe: defaults.probe.clone().inherited(),
            ..defaults.clone()
        },
        binds: Vec::new(),
        servers: Vec::new(),
        templates: Vec::new(),
        stick: Stick::default(),
        chooses: None,
        terminates: None,
        is_statistics: false,
    };
    let mut dropped = Dropped::default();
    // `listen NAME ADDRESS:PORT`, as it was once written.
    if let Some(addresses) = section.head.get(1).filter(|word| word.contains(':')) {
        proxy.bound(addresses, None, section.place, remarks);
    }
    for line in &section.lines {
        proxy.line(line, &mut dropped, remarks);
    }
    dropped.tell(remarks);
    proxy
}

impl Proxy {
    pub fn is_http(&self) -> bool {
        self.settings.mode.as_deref() == Some("http")
    }

    fn line(&mut self, line: &Line, dropped: &mut Dropped, remarks: &mut Remarks) {
        match line.word(0) {
            "bind" => self.bind(line, dropped, remarks),
            "server" if line.words.len() < 3 => {
                remarks.fault(line.place, "a server has a name and an address; it is left out")
            }
            "server" => self.servers.push(line.clone()),
            "server-template" => {
                let message = "server-template: servers are given by their addresses, each of them; names are not looked up";
                remarks.fault(line.place, message);
                self.templates.push(line.place);
            }
            "use_backend" if line.words.len() == 2 => {
                self.settings.default_backend = Some((line.place, line.word(1).to_owned()));
            }
            "use_backend" => {
                self.chooses.get_or_insert(line.place);
                let why =
                    "a backend cannot be chosen by what a connection says; give each its own address or port";
                dropped.because(line.place, &line.words.join(" "), why);
            }
            "stick-table" => self.table(line, remarks),
            "stick" => self.stick(line, remarks),
            "stats" if ["enable", "uri"].contains(&line.word(1)) => {
                self.is_statistics = true;
                dropped.add(line);
            }
            "disabled" => remarks.fault(
                line.place,
                "disabled: this proxy does nothing; what is made of it does: remove it",
            ),
            _ if self.settings.take(line, dropped, remarks) => {}
            _ => dropped.add(line),
        }
    }

    fn bound(&mut self, addresses: &str, interface: Option<&str>, place: Place, remarks: &mut Remarks) {
        for address in addresses.split(',') {
            match bind::bound(address) {
                Ok(Bound {
                    host: Host::At(ip), ..
                }) if ip.is_loopback() => {
                    remarks.dropped(
                        place,
                        format!("{ip}: what only the machine itself can reach serves nobody here"),
                    );
                }
                Ok(bound) => self.binds.push((place, bound, interface.map(str::to_owned))),
                Err(message) => remarks.fault(place, message),
            }
        }
    }

    /// `bind ADDRESS:PORT[,...] [OPTIONS]`.
    fn bind(&mut self, line: &Line, dropped: &mut Dropped, remarks: &mut Remarks) {
        let named = line
            .words
            .iter()
            .position(|word| word == "interface")
            .and_then(|at| line.words.get(at + 1));
        let named = named.filter(|name| is_interface_name(name)).cloned();
        self.bound(line.word(1), named.as_deref(), line.place, remarks);
        let mut words = line.from(2).iter().map(String::as_str);
        let mut others = Vec::new();
        while let Some(word) = words.next() {
            match word {
                "ssl" => self.terminates = Some(line.place),
                "accept-proxy" => {
                    let message = "accept-proxy: the PROXY protocol is not read here; it would arrive at the servers, as it is";
                    remarks.fault(line.place, message);
                }
                "interface" if named.is_some() => {
                    words.next();
                }
                "crt" | "ca-file" | "verify" | "alpn" | "ciphers" | "crt-list" => {
                    words.next();
                }
                word => others.push(word),
            }
        }
        if !others.is_empty() {
            let why = "a service has an address and ports here, and no options of its socket";
            dropped.because(line.place, &format!("bind ... {}", others.join(" ")), why);
        }
    }

    /// `stick-table type ip size 1m expire 30m`.
    fn table(&mut self, line: &Line, remarks: &mut Remarks) {
        let after = |word: &str| {
            let at = line.words.iter().position(|known| known == word)?;
            line.words.get(at + 1).map(String::as_str)
        };
        self.stick.table = Some(line.place);
        self.stick.expire = after("expire").and_then(time);
        if !matches!(after("type"), Some("ip" | "ipv6")) {
            let message = "this stick-table is not of clients' addresses; only these are remembered here";
            remarks.fault(line.place, message);
            self.stick.table = None;
        }
        if let Some(peers) = after("peers") {
            remarks.dropped(
                line.place,
                format!(
                    "peers {}: what is remembered is not copied to another machine",
                    shown(peers)
                ),
            );
        }
    }

    /// `stick on src`, with `stick match` and `stick store-request`.
    fn stick(&mut self, line: &Line, remarks: &mut Remarks) {
        let key = line.words.iter().find(|word| word.starts_with("src"));
        let Some(key) = key.filter(|_| line.words.len() < 5) else {
            let message = format!(
                "`{}`: clients are known by their addresses here, always; a service whose clients all go to one server has the others \
                 as backup = true",
                shown(&line.words.join(" "))
            );
            remarks.fault(line.place, message);
            return;
        };
        self.stick.on = Some(line.place);
        let mask = key
            .split_once("ipmask(")
            .and_then(|(_, rest)| rest.split([')', ',']).next());
        self.stick.prefix = mask.and_then(|mask| mask.parse().ok()).or(self.stick.prefix);
    }
}
