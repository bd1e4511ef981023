//! The statements of a `virtual_server`, read into what they say. Must not: look at its servers' own blocks.

use std::net::IpAddr;
use std::str::FromStr;

use super::super::draft::Note;
use super::super::remarks::{Place, Remarks, shown};
use super::inherited::Inherited;
use super::tree::Statement;
use super::words::{self, is_on, value};
use crate::model::Scheduler;

/// keepalived's own, where `persistence_timeout` has no number.
const PERSISTENCE_TIMEOUT: u64 = 360;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Nat,
    Direct,
    Ipip,
    Gue { port: u16, checksum: bool },
}

#[derive(Debug)]
pub(super) struct VirtualServer<'s> {
    pub statement: &'s Statement,
    pub inherited: Inherited,
    pub scheduler: String,
    scheduled: Option<Place>,
    pub method: Method,
    pub protocol: Option<&'static str>,
    /// In seconds.
    pub persistence: Option<(Place, u64)>,
    pub prefix: Option<(Place, u8)>,
    pub one_packet: bool,
    /// Of a server that says none.
    pub weight: Option<u64>,
    pub quorum: Option<(Place, u64)>,
    pub hysteresis: Option<(Place, u64)>,
    pub name: Option<String>,
    pub ipv6: bool,
    pub servers: Vec<&'s Statement>,
    /// The failover pool, and the percentage of the servers whose failure calls it.
    pub backups: Vec<&'s Statement>,
    pub threshold: Option<(Place, u64)>,
    pub sorry: Option<&'s Statement>,
    pub notes: Vec<Note>,
}

pub(super) fn read<'s>(statement: &'s Statement, remarks: &mut Remarks) -> VirtualServer<'s> {
    let mut server = VirtualServer {
        statement,
        inherited: Inherited::default(),
        scheduler: "wlc".to_owned(),
        scheduled: None,
        method: Method::Nat,
        protocol: None,
        persistence: None,
        prefix: None,
        one_packet: false,
        weight: None,
        quorum: None,
        hysteresis: None,
        name: None,
        ipv6: false,
        servers: Vec::new(),
        backups: Vec::new(),
        threshold: None,
        sorry: None,
        notes: Vec::new(),
    };
    for inner in statement.statements() {
        let known = server.inherited.take(inner, remarks)
            || server.serves(inner, remarks)
            || server.way(inner, remarks);
        if !known {
            words::drop_with_reason(inner, remarks);
        }
    }
    further_words(statement, remarks);
    server.judge(remarks);
    server
}

/// What stands behind the address and the port, or the name of a group.
fn further_words(statement: &Statement, remarks: &mut Remarks) {
    let known = match statement.argument(2) {
        Some("inet6") if statement.argument(0) == Some("fwmark") => 3,
        _ => 2,
    };
    if let Some(words) = statement
        .arguments()
        .get(known..)
        .filter(|words| !words.is_empty())
    {
        let message = format!(
            "`{}` behind where it listens: nothing here stands for it",
            shown(&words.join(" "))
        );
        remarks.dropped(statement.place, message);
    }
}

impl<'s> VirtualServer<'s> {
    /// The servers, and whether they are of the failover pool.
    pub fn pool(&self) -> impl Iterator<Item = (&'s Statement, bool)> {
        let primary = self.servers.iter().map(|server| (*server, false));
        primary.chain(self.backups.iter().map(|server| (*server, true)))
    }

    /// Who serves, and when the sorry server does.
    fn serves(&mut self, inner: &'s Statement, remarks: &mut Remarks) -> bool {
        let mut number = || {
            value(inner, "a number", remarks, |text| text.parse().ok())
                .map(|number: u64| (inner.place, number))
        };
        match inner.word() {
            "real_server" => self.servers.push(inner),
            "backup_real_server" => self.backups.push(inner),
            "failover_threshold" => self.threshold = number(),
            "weight" => self.weight = number().map(|(_, weight)| weight),
            "sorry_server" => self.sorry = Some(inner),
            "quorum" => self.quorum = number(),
            "hysteresis" => self.hysteresis = number(),
            "snmp_name" | "virtual_server_name" => self.name = inner.argument(0).map(str::to_owned),
            _ => return false,
        }
        true
    }

    /// How clients are shared out, and how packets travel.
    fn way(&mut self, inner: &'s Statement, remarks: &mut Remarks) -> bool {
        let place = inner.place;
        match inner.word() {
            "lb_algo" | "lvs_sched" => self.schedule(inner, remarks),
            "lb_kind" | "lvs_method" => self.method = method(inner, remarks).unwrap_or(self.method),
            "protocol" => self.protocol = Some(protocol(inner, remarks)),
            "persistence_timeout" => {
                let seconds = match inner.argument(0) {
                    None => Some(PERSISTENCE_TIMEOUT),
                    Some(_) => value(inner, "a number of seconds", remarks, |text| text.parse().ok()),
                };
                self.persistence = seconds.map(|seconds| (place, seconds));
            }
            "persistence_granularity" => self.prefix = prefix(inner, remarks).map(|prefix| (place, prefix)),
            "ops" => self.one_packet = is_on(inner),
            "ip_family" => self.ipv6 = inner.argument(0) == Some("inet6"),
            _ => return false,
        }
        true
    }

    fn schedule(&mut self, inner: &Statement, remarks: &mut Remarks) {
        let place = inner.place;
        if let Some(former) = self.scheduled.replace(place) {
            let message = format!(
                "a service has one scheduler, and the last one counts, which is on line {}",
                place.line
            );
            remarks.dropped(former, message);
        }
        let known = |text: &str| Scheduler::ALL.into_iter().find(|known| known.as_str() == text);
        match inner.argument(0).and_then(known) {
            Some(scheduler) => self.scheduler = scheduler.as_str().to_owned(),
            None => {
                let given = shown(inner.argument(0).unwrap_or_default());
                let message =
                    format!("{given} is no scheduler of IPVS; keepalived takes wlc then, and so does this");
                remarks.fault(place, message);
            }
        }
        for flag in inner.arguments().iter().skip(1) {
            let message = format!("{}: flags of schedulers cannot be set here", shown(flag));
            remarks.dropped(place, message);
        }
    }

    /// What only makes sense together.
    fn judge(&mut self, remarks: &mut Remarks) {
        let place = self.statement.place;
        if self.protocol.is_none() {
            let message = "there is no `protocol`: keepalived takes the service for UDP then, and so does this; set protocol = \"tcp\" \
                           and a fitting check if TCP is meant";
            remarks.fault(place, message);
            let text = "without a `protocol` keepalived takes this for UDP; if TCP is meant, remove `protocol` below";
            self.notes.push(Note {
                place,
                text: text.to_owned(),
            });
        }
        if let Some((place, 0)) = self.persistence {
            remarks.dropped(place, "persistence_timeout 0: clients are not remembered");
            self.persistence = None;
        }
        if let Some((place, _)) = self.prefix.filter(|_| self.persistence.is_none()) {
            remarks.dropped(
                place,
                "persistence_granularity: without persistence_timeout clients are not remembered",
            );
        }
        let one_packet = self.one_packet && self.protocol.unwrap_or("udp") != "udp";
        if one_packet {
            remarks.dropped(place, "ops: only datagrams of UDP can be scheduled one by one");
            self.one_packet = false;
        }
        if let Some((place, _)) = self.persistence.filter(|_| self.one_packet) {
            remarks.differs(
                place,
                "persistence_timeout beside ops: with one_packet no client is remembered",
            );
            self.persistence = None;
        }
    }
}

fn protocol(inner: &Statement, remarks: &mut Remarks) -> &'static str {
    let word = inner.argument(0).unwrap_or_default().to_ascii_lowercase();
    let known = ["tcp", "udp", "sctp"].into_iter().find(|known| *known == word);
    known.unwrap_or_else(|| {
        let message = format!(
            "{} is no protocol; keepalived takes UDP then, and so does this",
            shown(&word)
        );
        remarks.fault(inner.place, message);
        "udp"
    })
}

/// `lvs_method TUN type gue port 5555 nocsum`.
pub(super) fn method(statement: &Statement, remarks: &mut Remarks) -> Option<Method> {
    let words: Vec<&str> = statement.arguments().iter().map(String::as_str).collect();
    let after = |word: &str| {
        words
            .iter()
            .position(|known| *known == word)
            .and_then(|at| words.get(at + 1).copied())
    };
    let place = statement.place;
    match words.first().map(|word| word.to_ascii_uppercase()).as_deref() {
        Some("NAT") => Some(Method::Nat),
        Some("DR") => Some(Method::Direct),
        Some("FNAT") => {
            let message = "FNAT hides the clients behind the balancer's own addresses; NAT is written, which leaves their addresses as \
                           they are, so that the servers' gateway has to be this machine";
            remarks.fault(place, message);
            None
        }
        Some("TUN") => {
            match after("type") {
                Some("gue") => {
                    if words.contains(&"remcsum") {
                        remarks.differs(place, "remcsum: packets have their checksum here");
                    }
                    Some(Method::Gue {
                        port: after("port")
                            .and_then(|port| u16::from_str(port).ok())
                            .filter(|port| *port > 0)
                            .unwrap_or(6080),
                        checksum: !words.contains(&"nocsum"),
                    })
                }
                Some("gre") => {
                    remarks.fault(place, "tunnels by GRE cannot be made here; IPIP is written, which the servers have to unwrap");
                    Some(Method::Ipip)
                }
                _ => Some(Method::Ipip),
            }
        }
        other => {
            let message = format!(
                "{} is none of NAT, DR and TUN; it is left out, as if it were not there",
                shown(other.unwrap_or_default())
            );
            remarks.fault(place, message);
            None
        }
    }
}

/// A netmask, or a length of a prefix.
fn prefix(statement: &Statement, remarks: &mut Remarks) -> Option<u8> {
    let read = |text: &str| match text.parse::<IpAddr>() {
        Ok(mask) => ipnet::ip_mask_to_prefix(mask).ok(),
        Err(_) => text.parse::<u8>().ok().filter(|length| *length <= 128),
    };
    value(statement, "a netmask", remarks, read)
}
