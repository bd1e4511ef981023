//! A `virtual_server` as one service of lb.toml, or as several where one cannot say the same.
//! Must not: read statements but through those who know them.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::draft::{Address, Draft, Keys, Listen, MOST_LISTENS, Note, Server, Service};
use super::super::names;
use super::super::remarks::{Place, Remarks, shown};
use super::super::values;
use super::group::{Entry, Groups};
use super::pool;
use super::real_server::{self, endpoint};
use super::tree::Statement;
use super::virtual_server::{self, Method, VirtualServer};

/// Of `persistence`, in seconds.
const PERSISTENCE: RangeInclusive<u64> = 1..=744 * 3600;

pub(super) fn add(statement: &Statement, groups: &Groups, draft: &mut Draft, remarks: &mut Remarks) {
    let server = virtual_server::read(statement, remarks);
    if draft.listens > MOST_LISTENS {
        return;
    }
    let listens = listens(&server, groups, draft, remarks);
    draft.listens += listens.len().max(1);
    if draft.listens > MOST_LISTENS {
        remarks.fault(
            statement.place,
            "there are too many services and addresses; those from here on are left out",
        );
        return;
    }
    let is_v4 = |listen: &Listen| listen.address.is_ipv4();
    let both = listens.iter().any(is_v4) && !listens.iter().all(is_v4);
    for listen in split(&server, listens, remarks) {
        let service = service(&server, listen, both, draft, remarks);
        draft.services.push(service);
    }
}

/// Where it listens; for a mark an address that has to be replaced.
fn listens(
    server: &VirtualServer<'_>,
    groups: &Groups,
    draft: &mut Draft,
    remarks: &mut Remarks,
) -> Vec<Listen> {
    let mut listens = Vec::new();
    for (place, entry) in groups.listen(server.statement, remarks) {
        match entry {
            Entry::Listen(listen) => {
                let first = draft.machine.first();
                if draft.machine.adopt(first, listen.address, place) {
                    listens.push(listen);
                } else {
                    remarks.fault(
                        place,
                        format!(
                            "{} can be no address of an interface; it is left out",
                            listen.address
                        ),
                    );
                }
            }
            Entry::Mark(mark, v6) => listens.extend(of_mark(server, &mark, v6, place, draft, remarks)),
        }
    }
    if listens.is_empty() {
        remarks.fault(
            server.statement.place,
            "nothing says where this service listens; it is left out",
        );
    }
    listens
}

fn of_mark(
    server: &VirtualServer<'_>,
    mark: &str,
    v6: bool,
    place: Place,
    draft: &mut Draft,
    remarks: &mut Remarks,
) -> Option<Listen> {
    let endpoints = || server.servers.iter().filter_map(|real| endpoint(real).ok());
    let v6 = v6 || server.ipv6 || endpoints().next().is_some_and(|(ip, _)| ip.is_ipv6());
    let port = endpoints().map(|(_, port)| port).find(|port| *port > 0);
    let address = draft.machine.placeholder(!v6, place)?;
    let (first, last) = port.map_or((1, u16::MAX), |port| (port, port));
    let message = format!(
        "fwmark {}: a service is a list of addresses and ports here, which the rules that set the mark know; {address} stands for \
         them",
        shown(mark)
    );
    remarks.fault(place, message);
    Some(Listen { address, first, last })
}

/// A service stays within one family, and its servers have to fit to all of its ports.
fn split(server: &VirtualServer<'_>, listens: Vec<Listen>, remarks: &mut Remarks) -> Vec<Vec<Listen>> {
    let (v4, v6): (Vec<Listen>, Vec<Listen>) =
        listens.into_iter().partition(|listen| listen.address.is_ipv4());
    let families: Vec<Vec<Listen>> = [v4, v6]
        .into_iter()
        .filter(|listens| !listens.is_empty())
        .collect();
    let place = server.statement.place;
    if families.len() > 1 {
        remarks.differs(
            place,
            "a service stays within one address family here: this one becomes one for IPv4 and one for IPv6",
        );
    }
    let whole = server.persistence.is_some() || server.one_packet || server.method != Method::Nat;
    let mut services = Vec::new();
    for mut listens in families {
        let mut seen = std::collections::BTreeSet::new();
        listens.retain(|listen| seen.insert(*listen));
        let ports: Vec<u16> = server
            .pool()
            .filter_map(|(real, _)| Some(endpoint(real).ok()?.1))
            .collect();
        let maps = |listen: &Listen| {
            listen.first == listen.last && ports.iter().any(|port| ![0, listen.first].contains(port))
        };
        if listens.len() > 1 && whole && listens.iter().any(maps) {
            let message = "the ports are mapped, which a service of several ports cannot do here with persistence, with ops, or \
                           without NAT: each address and port becomes a service of its own";
            remarks.differs(place, message);
            services.extend(listens.into_iter().map(|listen| vec![listen]));
        } else {
            if listens.len() > 1 {
                let message = "the addresses and ports are one service here, with one table of connections for all of them; \
                               keepalived makes one of each";
                remarks.differs(place, message);
            }
            services.push(listens);
        }
    }
    services
}

/// `both`: there is one for the other family, which has the servers of that.
fn service(
    server: &VirtualServer<'_>,
    listen: Vec<Listen>,
    both: bool,
    draft: &Draft,
    remarks: &mut Remarks,
) -> Service {
    let first = listen[0];
    let protocol = server.protocol.unwrap_or("udp");
    let mut service = Service {
        place: server.statement.place,
        names: names(server, first, protocol),
        listen,
        protocol,
        keys: Keys::default(),
        notes: server.notes.clone(),
        servers: Vec::new(),
        sorry: None,
    };
    service.keys.put("scheduler", values::text(&server.scheduler));
    let mut method = None;
    for (real, backup) in server.pool() {
        let other = endpoint(real).is_ok_and(|(ip, _)| ip.is_ipv4() != first.address.is_ipv4());
        if other && both {
            continue;
        }
        let (mut real, way) = real_server::server(real, server, &service, &draft.machine, remarks);
        if backup {
            real.keys.put("backup", "true");
        }
        let first = *method.get_or_insert(way);
        if first != way {
            let message = "the servers of a service are all reached in one way here, the first one's";
            remarks.fault(real.place, message);
        }
        service.servers.push(real);
    }
    forward(method.unwrap_or(server.method), &mut service.keys);
    keep(server, first, &mut service.keys, remarks);
    pool::rules(server, &mut service, remarks);
    service.sorry = server.sorry.map(|sorry| self::sorry(sorry, &service, remarks));
    service
}

fn names(server: &VirtualServer<'_>, first: Listen, protocol: &str) -> Vec<String> {
    let group = (server.statement.argument(0) == Some("group"))
        .then(|| server.statement.argument(1))
        .flatten();
    let given = server.name.as_deref().or(group).and_then(names::fitting);
    let by_port = names::by_port(first.address, first.first, first.last, protocol);
    let family = values::family(first.address).to_ascii_lowercase();
    match given {
        Some(name) => vec![
            name.clone(),
            format!("{name}-{protocol}"),
            format!("{name}-{family}"),
            format!("{name}-{}", by_port[0]),
            format!("{name}-{}-{}", by_port[0], first.address),
        ],
        None => by_port,
    }
}

fn forward(method: Method, keys: &mut Keys) {
    match method {
        Method::Nat => {}
        Method::Direct => keys.put("forward", "\"direct\""),
        Method::Ipip => keys.put("forward", "\"tunnel\""),
        Method::Gue { port, checksum } => {
            keys.put("forward", "\"tunnel\"");
            let checksum = if checksum { "" } else { ", checksum = false" };
            keys.put("tunnel", format!("{{ type = \"gue\", port = {port}{checksum} }}"));
        }
    }
}

/// For how long clients are remembered.
fn keep(server: &VirtualServer<'_>, first: Listen, keys: &mut Keys, remarks: &mut Remarks) {
    if let Some((place, given)) = server.persistence {
        let seconds = values::whole(given, &PERSISTENCE);
        if seconds != given {
            remarks.differs(
                place,
                format!("persistence_timeout {given} s becomes {seconds} s, the most there is"),
            );
        }
        let most = if first.address.is_ipv4() { 32 } else { 128 };
        let prefix = match server.prefix {
            Some((place, prefix)) if !(1..=most).contains(&prefix) => {
                remarks.fault(
                    place,
                    format!("a length of {prefix} bits cannot be; every client is a client of its own"),
                );
                String::new()
            }
            Some((_, prefix)) => format!(", prefix = {prefix}"),
            None => String::new(),
        };
        keys.put(
            "persistence",
            format!(
                "{{ timeout = {}{prefix} }}",
                values::time(Duration::from_secs(seconds))
            ),
        );
    }
    if server.one_packet {
        keys.put("one_packet", "true");
    }
}

/// keepalived never checks it.
fn sorry(statement: &Statement, service: &Service, remarks: &mut Remarks) -> Server {
    let only = service.listen.first().map_or(0, |listen| listen.first);
    let address = match endpoint(statement) {
        Ok((ip, 0)) if !service.is_group() => Address::Known(ip, only),
        Ok((ip, port)) => sorry_address(ip, port, service),
        Err(unusable) => {
            remarks.fault(
                statement.place,
                "sorry_server: it is given by its address here, names are not looked up",
            );
            unusable
        }
    };
    let mut server = Server::new(statement.place, address);
    server.check.put("type", "\"none\"");
    server.notes.push(Note {
        place: statement.place,
        text: "keepalived never checks it; without the `check` below it is checked as the servers are"
            .to_owned(),
    });
    server
}

fn sorry_address(ip: IpAddr, port: u16, service: &Service) -> Address {
    let mapped = service.keys.value("forward").is_none()
        && service.keys.value("persistence").is_none()
        && service.keys.value("one_packet").is_none();
    let only = service.listen.first().map_or(0, |listen| listen.first);
    match (service.is_group(), mapped) {
        (true, false) => Address::Known(ip, 0),
        (false, false) if service.keys.value("forward").is_some() => Address::Known(ip, only),
        _ => Address::Known(ip, port),
    }
}
