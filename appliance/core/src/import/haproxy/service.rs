//! A frontend with its backend, or a `listen`, as services of lb.toml. Must not: read lines but through those who know them.

use std::time::Duration;

use super::super::draft::{Address, Draft, Keys, Listen, MOST_LISTENS, Note, Server, Service};
use super::super::names;
use super::super::remarks::{Place, Remarks, shown};
use super::super::values::{self, family};
use super::bind::{Bound, Host};
use super::proxy::{Proxy, Stick};
use super::server::{self, Named, Read};
use super::words::Dropped;

const LONGEST_PERSISTENCE: Duration = Duration::from_hours(744);
const LONGEST_SLOW_START: Duration = Duration::from_hours(1);

/// So many names get an address that stands for them.
const MOST_NAMES: usize = 128;

/// `*` is one address for all of the file.
#[derive(Debug, Default)]
pub(super) struct Anywhere {
    v4: Option<std::net::IpAddr>,
    v6: Option<std::net::IpAddr>,
    /// What has a name only.
    named: std::collections::BTreeMap<(String, bool), std::net::IpAddr>,
}

pub(super) fn add(
    (front, back): (&Proxy, &Proxy),
    named: &Named<'_>,
    anywhere: &mut Anywhere,
    draft: &mut Draft,
    remarks: &mut Remarks,
) {
    draft.listens += back.servers.len() + front.binds.len();
    if draft.listens > MOST_LISTENS {
        remarks.fault(
            front.place,
            "there are too many servers and services; this one is left out",
        );
        return;
    }
    let servers = servers(back, named, remarks);
    let listens = listens(front, &servers, anywhere, draft, remarks);
    if listens.is_empty() {
        remarks.fault(
            front.place,
            format!(
                "{} has no address to listen on; it is left out",
                shown(&front.name)
            ),
        );
        return;
    }
    let is_v4 = |listen: &Listen| listen.address.is_ipv4();
    let both = listens.iter().any(is_v4) && !listens.iter().all(is_v4);
    for v4 in [true, false] {
        let of_family = listens
            .iter()
            .copied()
            .filter(|listen| is_v4(listen) == v4)
            .collect();
        for listen in split(of_family, &servers, back) {
            let service = service(front, back, listen, both, &servers, remarks);
            draft.services.push(service);
        }
    }
}

/// Where it listens. Addresses of a family that no server has are left out: a proxy translates, and this does not.
fn listens(
    front: &Proxy,
    servers: &[Read],
    anywhere: &mut Anywhere,
    draft: &mut Draft,
    remarks: &mut Remarks,
) -> Vec<Listen> {
    let mut listens = Vec::new();
    let has = |v4: bool| {
        servers
            .iter()
            .filter_map(|read| read.server.ip())
            .any(|ip| ip.is_ipv4() == v4)
    };
    let any_known = has(true) || has(false);
    for (place, bound, interface) in &front.binds {
        let v4 = match &bound.host {
            Host::At(ip) => ip.is_ipv4(),
            Host::Any(v4) => *v4,
            Host::Named(_) => !any_known || has(true),
        };
        if any_known && !has(v4) {
            let (theirs, ours) = if v4 { ("IPv6", "IPv4") } else { ("IPv4", "IPv6") };
            let message = format!(
                "it listens on {ours}, and all servers are {theirs}; addresses are not translated here, and it is left out"
            );
            remarks.fault(*place, message);
            continue;
        }
        if let Some(listen) = listen(
            *place,
            (bound, v4),
            interface.as_deref(),
            anywhere,
            draft,
            remarks,
        ) {
            listens.push(listen);
        }
    }
    listens
}

fn servers(back: &Proxy, named: &Named<'_>, remarks: &mut Remarks) -> Vec<Read> {
    let mut dropped = Dropped::default();
    let only = back
        .settings
        .balance
        .as_ref()
        .is_some_and(|(_, words)| words.first().is_some_and(|word| word == "first"));
    let servers: Vec<Read> = back
        .servers
        .iter()
        .map(|line| server::server(line, (back, named), only, &mut dropped, remarks))
        .collect();
    dropped.tell(remarks);
    servers
}

fn listen(
    place: Place,
    (bound, v4): (&Bound, bool),
    interface: Option<&str>,
    anywhere: &mut Anywhere,
    draft: &mut Draft,
    remarks: &mut Remarks,
) -> Option<Listen> {
    let (first, last) = (bound.first, bound.last);
    let address = match &bound.host {
        Host::At(address) => owned(*address, place, interface, draft, remarks)?,
        Host::Any(v4) => {
            let known = if *v4 { &mut anywhere.v4 } else { &mut anywhere.v6 };
            let address = known.or_else(|| draft.machine.placeholder(*v4, place))?;
            *known = Some(address);
            let message = format!(
                "`*` is no address: a service listens on those that it names; {address} stands for it, replace it"
            );
            remarks.fault(place, message);
            address
        }
        Host::Named(name) => {
            let key = (name.clone(), v4);
            let mut address = anywhere.named.get(&key).copied();
            if address.is_none() && anywhere.named.len() < MOST_NAMES {
                address = draft.machine.placeholder(v4, place);
            }
            let Some(address) = address else {
                let message = format!(
                    "{} is a name, and names are not looked up; it is left out",
                    shown(name)
                );
                remarks.fault(place, message);
                return None;
            };
            anywhere.named.insert(key, address);
            let message = format!(
                "{} is a name, and names are not looked up; {address} stands for it, replace it",
                shown(name)
            );
            remarks.fault(place, message);
            address
        }
    };
    Some(Listen { address, first, last })
}

/// An address that the file gives, as one of an interface.
fn owned(
    address: std::net::IpAddr,
    place: Place,
    interface: Option<&str>,
    draft: &mut Draft,
    remarks: &mut Remarks,
) -> Option<std::net::IpAddr> {
    let index = match interface {
        Some(name) => draft.machine.interface(name),
        None => draft.machine.first(),
    };
    let fits = draft.machine.adopt(index, address, place);
    if !fits {
        let message = format!("{address} can be no address of an interface; it is left out");
        remarks.fault(place, message);
    }
    fits.then_some(address)
}

/// Clients are remembered for a service as a whole, whose ports then cannot be mapped.
fn split(listens: Vec<Listen>, servers: &[Read], back: &Proxy) -> Vec<Vec<Listen>> {
    let mut seen = std::collections::BTreeSet::new();
    let listens: Vec<Listen> = listens
        .into_iter()
        .filter(|listen| seen.insert(*listen))
        .collect();
    let ports: Vec<u16> = servers.iter().filter_map(|read| port(&read.server)).collect();
    let maps = |listen: &Listen| ports.iter().any(|port| ![0, listen.first].contains(port));
    if listens.is_empty() {
        return Vec::new();
    }
    if listens.len() > 1 && back.stick.on.is_some() && listens.iter().any(maps) {
        return listens.into_iter().map(|listen| vec![listen]).collect();
    }
    vec![listens]
}

fn port(server: &Server) -> Option<u16> {
    match server.address {
        Address::Known(_, port) => Some(port),
        Address::Unusable(..) => None,
    }
}

fn service(
    front: &Proxy,
    back: &Proxy,
    listen: Vec<Listen>,
    both: bool,
    servers: &[Read],
    remarks: &mut Remarks,
) -> Service {
    let first = listen[0];
    let name = names::fitting(&front.name).unwrap_or_else(|| "service".to_owned());
    let mut service = Service {
        place: front.place,
        names: vec![
            name.clone(),
            format!("{name}-{}", family(first.address).to_ascii_lowercase()),
            format!("{name}-{}", first.address),
            format!("{name}-{}-{}", first.address, first.first),
        ],
        listen,
        protocol: "tcp",
        keys: Keys::default(),
        notes: Vec::new(),
        servers: Vec::new(),
        sorry: None,
    };
    scheduler(back, servers, &mut service.keys, remarks);
    persistence(&back.stick, &mut service, remarks);
    slow_start(servers, &mut service.keys, remarks);
    backups(back, servers, remarks);
    decisions(front, back, &mut service, remarks);
    for read in servers {
        if let Some(server) = fitted(read, both, &service, remarks) {
            service.servers.push(server);
        }
    }
    service
}

/// What lb.toml asks to decide of the service.
fn decisions(front: &Proxy, back: &Proxy, service: &mut Service, remarks: &mut Remarks) {
    if let Some(place) = front.terminates {
        let text = "HAProxy ends TLS here; now it passes through, and the servers have to speak it, with a certificate of their own";
        service.notes.push(Note {
            place,
            text: text.to_owned(),
        });
        remarks.fault(place, "ssl: TLS is not ended here, it passes through: the servers have to speak TLS themselves, with the certificate");
    }
    for place in &back.templates {
        let text =
            "HAProxy learns these servers from a name server; here each of them is written as a real_server";
        service.notes.push(Note {
            place: *place,
            text: text.to_owned(),
        });
    }
}

/// The server as this service's, with the port that it has there. `both`: there is a service for the other family.
fn fitted(read: &Read, both: bool, service: &Service, remarks: &mut Remarks) -> Option<Server> {
    let mut server = read.server.clone();
    let Address::Known(ip, port) = server.address else {
        return Some(server);
    };
    let first = service.listen[0];
    if ip.is_ipv4() != first.address.is_ipv4() {
        if both {
            return None;
        }
        let reason = format!(
            "it is {}, and the service listens on {}",
            family(ip),
            family(first.address)
        );
        remarks.fault(
            server.place,
            format!("{ip}: {reason}; addresses are not translated here"),
        );
        server.address = Address::Unusable(values::address(&server.address).replace('"', ""), reason);
        return Some(server);
    }
    let kept = service.is_group() && (port == 0 || service.keys.value("persistence").is_some());
    server.address = match (kept, port) {
        (true, _) => Address::Known(ip, 0),
        (false, 0) => Address::Known(ip, first.first),
        (false, port) => Address::Known(ip, port),
    };
    let is_checked = server.check.value("type") != Some("\"none\"");
    if kept && is_checked && server.check.value("port").is_none() {
        let port = if port == 0 { first.first } else { port };
        server.check.put("port", port.to_string());
    }
    Some(server)
}

fn scheduler(back: &Proxy, servers: &[Read], keys: &mut Keys, remarks: &mut Remarks) {
    let weights: Vec<u64> = servers
        .iter()
        .map(|read| read.options.weight.unwrap_or(1))
        .collect();
    let heeds = weights.iter().any(|weight| *weight != weights[0])
        || servers.iter().any(|read| read.options.slowstart.is_some());
    let turns = if heeds { "wrr" } else { "rr" };
    let (place, words) = match &back.settings.balance {
        Some((place, words)) => (*place, words.as_slice()),
        None => (back.place, [].as_slice()),
    };
    let word = words.first().map_or("roundrobin", String::as_str);
    let method = word.split('(').next().unwrap_or_default();
    let scheduler = match method {
        "roundrobin" | "static-rr" => turns,
        "leastconn" => "wlc",
        "random" => "twos",
        "source" if back.settings.consistent => "mh",
        "source" => "sh",
        "first" => {
            remarks.differs(place, "balance first: `fo` fills the server with the greatest weight up to its max_connections, then the next; \
                                    give them weights in the order that is meant");
            "fo"
        }
        _ => {
            let message = format!(
                "balance {} looks into requests, which are not read here; clients go by their address (sh)",
                shown(word)
            );
            remarks.fault(place, message);
            "sh"
        }
    };
    if scheduler == "sh" && method == "source" {
        remarks.differs(place, "balance source: a server that comes or goes moves other clients too; hash-type consistent is `mh` here");
    }
    keys.put("scheduler", values::text(scheduler));
}

fn persistence(stick: &Stick, service: &mut Service, remarks: &mut Remarks) {
    let Some(on) = stick.on else {
        if let Some(place) = stick.table {
            remarks.dropped(place, "stick-table: nothing sticks to it (`stick on src`); what rules count in it is not counted here");
        }
        return;
    };
    let timeout = match stick.expire.filter(|expire| *expire >= Duration::from_secs(1)) {
        Some(expire) => expire.min(LONGEST_PERSISTENCE),
        None => {
            remarks.differs(
                on,
                "the table has no `expire`: clients are remembered for 744h, the most there is",
            );
            LONGEST_PERSISTENCE
        }
    };
    let most = if service.listen[0].address.is_ipv4() {
        32
    } else {
        128
    };
    let prefix = stick.prefix.filter(|prefix| (1..most).contains(prefix));
    let prefix = prefix.map_or_else(String::new, |prefix| format!(", prefix = {prefix}"));
    let whole = values::time(Duration::from_secs(timeout.as_secs()));
    service
        .keys
        .put("persistence", format!("{{ timeout = {whole}{prefix} }}"));
}

/// Of the service here, of each server there.
fn slow_start(servers: &[Read], keys: &mut Keys, remarks: &mut Remarks) {
    let longest = servers
        .iter()
        .filter_map(|read| Some((read.options.slowstart?, read.server.place)))
        .max();
    let Some((longest, place)) = longest.filter(|(time, _)| !time.is_zero()) else {
        return;
    };
    let time = values::time_within(
        longest,
        &(Duration::ZERO..=LONGEST_SLOW_START),
        "slowstart",
        place,
        remarks,
    );
    keys.put("slow_start", time);
    if servers.iter().any(|read| read.options.slowstart != Some(longest)) {
        remarks.differs(
            place,
            "slowstart: it is one time for all servers of a service here, the longest",
        );
    }
}

fn backups(back: &Proxy, servers: &[Read], remarks: &mut Remarks) {
    let mut backups = servers.iter().filter(|read| read.options.backup).skip(1);
    if let Some(second) = backups.next().filter(|_| !back.settings.all_backups) {
        let message = "backup: all backup servers serve when no other one is up; HAProxy takes the first of them alone, unless there is \
                       `option allbackups`";
        remarks.differs(second.server.place, message);
    }
}
