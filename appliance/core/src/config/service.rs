//! `[[virtual_server]]` and its `[[virtual_server.real_server]]`: what is balanced, on which address, over which servers.
//! Must not: look at interfaces but through what they own and reach.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;

use super::address::{Purpose, explain_endpoint, family, unusable};
use super::check::CheckKeys;
use super::fault::{Wrong, quoted, some_of};
use super::model::{RealServer, VirtualServer, WhenDown};
use super::reader::{Reader, Section, Value};
use super::shape;
use super::time::whole_seconds;
use super::topology::Topology;
use crate::model::{Forward, Persistence, Protocol, RealKey, Scheduler, VirtualKey, VirtualSettings, Weight};

/// What IPVS or other balancers have as well, but this version does not.
/// The kernel counts in seconds.
const PERSISTENCE_TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24 * 31);
const LATER_FORWARDS: [&str; 3] = ["gue", "gre", "fullnat"];

/// What services have taken so far, with the places.
#[derive(Default)]
struct Taken {
    names: BTreeMap<String, Range<usize>>,
    listens: BTreeMap<VirtualKey, (String, Range<usize>)>,
}

/// Reads all services. One that has faults may be left out: there is no configuration then.
pub(super) fn read(
    reader: &mut Reader<'_>,
    root: &Section<'_, '_>,
    topology: &Topology,
) -> Vec<VirtualServer> {
    let help = "write [[virtual_server]] on a line of its own, and its keys on the lines below";
    let mut taken = Taken::default();
    let sections = reader.tables(root, "virtual_server", &shape::VIRTUAL_SERVER, help);
    sections
        .iter()
        .filter_map(|section| virtual_server(reader, section, topology, &mut taken))
        .collect()
}

fn virtual_server(
    reader: &mut Reader<'_>,
    section: &Section<'_, '_>,
    topology: &Topology,
    taken: &mut Taken,
) -> Option<VirtualServer> {
    let name = name(reader, section, taken);
    let protocol = reader.word_or(
        section.value("protocol"),
        Protocol::Tcp,
        &Protocol::ALL.map(Protocol::as_str),
        &[],
    );
    let forward = reader.word_or(
        section.value("forward"),
        Forward::Nat,
        &Forward::ALL.map(Forward::as_str),
        &LATER_FORWARDS,
    );
    let schedulers = Scheduler::ALL.map(Scheduler::as_str);
    let scheduler = reader.word_or(section.value("scheduler"), Scheduler::Wlc, &schedulers, &[]);
    let listen = listen(reader, section, topology);
    if let (Some(listen), Some(protocol)) = (&listen, protocol) {
        taken.listen(reader, listen, protocol, name.as_deref());
    }
    let check = CheckKeys::read(reader, section.value("check"));
    check.judge_jitter(reader);
    let address = listen.as_ref().map(|listen| listen.get_ref().ip());
    let pool = Pool {
        topology,
        listen: listen.as_ref().map(|listen| *listen.get_ref()),
        check,
        forward: forward.unwrap_or(Forward::Nat),
        unchecked: Cell::new(false),
    };
    let real_servers = pool.read(reader, section);
    if let Some(protocol) = protocol.filter(|protocol| *protocol != Protocol::Tcp) {
        judge_checks(reader, section, protocol, &pool);
    }
    let persistence = persistence(reader, section, address);
    let one_packet = one_packet(reader, section, protocol);
    forward?;
    let listen = listen?.into_inner();
    Some(VirtualServer {
        name: name?,
        listen: VirtualKey {
            address: listen.ip(),
            port: listen.port(),
            protocol: protocol?,
        },
        settings: VirtualSettings {
            scheduler: scheduler?,
            persistence: persistence?,
            one_packet: one_packet?,
        },
        real_servers,
    })
}

/// By default a check opens a TCP connection to the traffic's port. That says nothing of another protocol.
fn judge_checks(reader: &mut Reader<'_>, section: &Section<'_, '_>, protocol: Protocol, pool: &Pool<'_>) {
    if !pool.unchecked.get() {
        return;
    }
    let span = section
        .value("protocol")
        .map_or(section.span.clone(), |value| value.span());
    let help = "name a TCP port of the same server: check = { port = 53 }; or check = { type = \"none\" } for servers \
                that are never checked";
    let message = format!("a TCP connection does not tell whether a {protocol} server works");
    reader.fault(span, message, help);
}

/// `None` for a fault, `Some(None)` for a service without persistence.
fn persistence(
    reader: &mut Reader<'_>,
    section: &Section<'_, '_>,
    listen: Option<IpAddr>,
) -> Option<Option<Persistence>> {
    let Some(value) = section.value("persistence") else {
        return Some(None);
    };
    let written = "write persistence = { timeout = \"5m\" }";
    let table = reader.table(value, &shape::PERSISTENCE, written)?;
    let timeout = reader.required(
        &table,
        "timeout",
        "add how long a client is remembered: timeout = \"5m\"",
    );
    let timeout = timeout.and_then(|value| whole_seconds(reader, value, &PERSISTENCE_TIMEOUT));
    let most = if listen.is_some_and(|address| address.is_ipv6()) {
        128
    } else {
        32
    };
    let prefix = match table.value("prefix") {
        Some(value) => reader.integer(value, 1..=most)?.into_inner(),
        None => most,
    };
    Some(Some(Persistence {
        timeout_s: timeout?,
        prefix: u8::try_from(prefix).ok()?,
    }))
}

fn one_packet(
    reader: &mut Reader<'_>,
    section: &Section<'_, '_>,
    protocol: Option<Protocol>,
) -> Option<bool> {
    let Some(value) = section.value("one_packet") else {
        return Some(false);
    };
    let wanted = reader
        .leaf::<bool>(value, |value| {
            value.mismatch("true or false", "allowed: true and false")
        })?
        .into_inner();
    if wanted && protocol.is_some_and(|protocol| protocol != Protocol::Udp) {
        let message = "only datagrams can be scheduled one by one";
        reader.fault(
            value.span(),
            message,
            "remove `one_packet`, or set protocol = \"udp\"",
        );
        return None;
    }
    Some(wanted)
}

fn name(reader: &mut Reader<'_>, section: &Section<'_, '_>, taken: &mut Taken) -> Option<String> {
    const MAX_LEN: usize = 63;
    let allowed =
        "allowed: 1 to 63 letters, digits, `.`, `_`, `-`, `:` and `/`, beginning with a letter or digit";
    let value = reader.required(section, "name", "add a name of your choice: name = \"nginx\"")?;
    let text = reader
        .leaf::<String>(value, |value| value.mismatch("text", allowed))?
        .into_inner();
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"._-:/".contains(&b));
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !plain || !begins || text.len() > MAX_LEN {
        reader.fault(
            value.span(),
            format!("{} cannot be a service's name", quoted(&text)),
            allowed,
        );
        return None;
    }
    if let Some(first) = taken.names.get(&text) {
        let help = format!(
            "first given on {}; every service has a name of its own",
            reader.line(first)
        );
        reader.fault(
            value.span(),
            format!("the service name {} is there twice", quoted(&text)),
            help,
        );
    } else {
        taken.names.insert(text.clone(), value.span());
    }
    Some(text)
}

impl Taken {
    fn listen(
        &mut self,
        reader: &mut Reader<'_>,
        listen: &Spanned<SocketAddr>,
        protocol: Protocol,
        name: Option<&str>,
    ) {
        let (address, port) = (listen.get_ref().ip(), listen.get_ref().port());
        let key = VirtualKey {
            address,
            port,
            protocol,
        };
        if let Some((other, first)) = self.listens.get(&key) {
            let help = format!(
                "{other} on {} has it; every service listens on an address or port of its own",
                reader.line(first)
            );
            reader.fault(listen.span(), format!("two services listen on {key}"), help);
        } else {
            let name = name.unwrap_or("another service").to_owned();
            self.listens.insert(key, (name, listen.span()));
        }
    }
}

/// An address with a port from 1.
fn endpoint(reader: &mut Reader<'_>, value: Value<'_, '_>, purpose: Purpose) -> Option<Spanned<SocketAddr>> {
    let endpoint = reader.leaf::<SocketAddr>(value, explain_endpoint)?;
    let wrong = match endpoint.get_ref() {
        socket if socket.port() == 0 => Some(Wrong::new("`0` is no port", "allowed: 1 to 65535")),
        SocketAddr::V6(v6) if v6.scope_id() != 0 => Some(Wrong::new(
            format!("`{v6}` has a zone"),
            "write the address without `%`",
        )),
        socket => unusable(socket.ip(), purpose),
    };
    match wrong {
        None => Some(endpoint),
        Some(wrong) => {
            reader.faults.add(value.span(), wrong);
            None
        }
    }
}

fn listen(
    reader: &mut Reader<'_>,
    section: &Section<'_, '_>,
    topology: &Topology,
) -> Option<Spanned<SocketAddr>> {
    let help = "add the address that clients connect to: listen = \"192.168.0.1:80\"";
    let value = reader.required(section, "listen", help)?;
    let listen = endpoint(reader, value, Purpose::Listen)?;
    let address = listen.get_ref().ip();
    if topology.owner(address).is_none() && !reader.damage.hides_interfaces() {
        let message = format!("`{address}` is no address of this appliance");
        reader.fault(value.span(), message, own_addresses(topology, address));
    }
    Some(listen)
}

/// What a service could listen on instead, and how to make it what was asked for.
fn own_addresses(topology: &Topology, wanted: IpAddr) -> String {
    let allowed = match some_of(topology.owned(wanted.is_ipv4())) {
        owned if owned.is_empty() => format!("no interface of this file has an {} address", family(wanted)),
        owned => format!("the interfaces of this file have {owned}"),
    };
    match topology.networks_of(wanted).next() {
        Some((network, interface)) if topology.not_a_host(wanted).is_none() => {
            let name = &topology.names[interface];
            let addition = format!("\"{wanted}/{}\"", network.prefix_len());
            format!("{allowed}; or add {addition} to the addresses of {name}")
        }
        _ => allowed,
    }
}

/// What the servers of one service have in common.
struct Pool<'t> {
    topology: &'t Topology,
    /// `None` if it could not be read.
    listen: Option<SocketAddr>,
    check: CheckKeys,
    forward: Forward,
    /// A server was read whose check would be the default: TCP to the traffic's port.
    unchecked: Cell<bool>,
}

impl Pool<'_> {
    fn read(&self, reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Vec<RealServer> {
        let help =
            "write [[virtual_server.real_server]] on a line of its own, and its keys on the lines below";
        let mut seen = BTreeMap::new();
        let sections = reader.tables(section, "real_server", &shape::REAL_SERVER, help);
        sections
            .iter()
            .filter_map(|section| self.real_server(reader, section, &mut seen))
            .collect()
    }

    fn real_server(
        &self,
        reader: &mut Reader<'_>,
        section: &Section<'_, '_>,
        seen: &mut BTreeMap<RealKey, Range<usize>>,
    ) -> Option<RealServer> {
        let address = self.address(reader, section, seen);
        let weight = match section.value("weight") {
            Some(value) => reader
                .integer(value, 0..=Weight::MAX)
                .and_then(|n| Weight::new(n.into_inner())),
            None => Some(Weight::ONE),
        };
        let when_down = section.value("when_down");
        let when_down = reader.word_or(when_down, WhenDown::default(), &["inhibit", "remove"], &[]);
        let own = CheckKeys::read(reader, section.value("check"));
        let own_schedule = own.moves_schedule();
        let check = own.over(&self.check);
        if !check.names_target() {
            self.unchecked.set(true);
        }
        if own_schedule {
            check.judge_jitter(reader);
        }
        Some(RealServer {
            address: address?,
            weight: weight?,
            forward: self.forward,
            when_down: when_down?,
            check: check.params(),
        })
    }

    fn address(
        &self,
        reader: &mut Reader<'_>,
        section: &Section<'_, '_>,
        seen: &mut BTreeMap<RealKey, Range<usize>>,
    ) -> Option<RealKey> {
        let value = reader.required(
            section,
            "address",
            "add where the server is: address = \"172.16.0.11:80\"",
        )?;
        let socket = endpoint(reader, value, Purpose::Server)?.into_inner();
        let key = RealKey {
            address: socket.ip(),
            port: socket.port(),
        };
        if let Some(wrong) = self.misplaced(key.address).or_else(|| self.misforwarded(key)) {
            reader.faults.add(value.span(), wrong);
        }
        if let Some(first) = seen.get(&key) {
            let help = format!(
                "first given on {}; for more of the load, give it a higher `weight`",
                reader.line(first)
            );
            reader.fault(value.span(), format!("the server {key} is there twice"), help);
        } else {
            seen.insert(key, value.span());
        }
        Some(key)
    }

    /// What a server cannot do that answers its clients by itself.
    fn misforwarded(&self, key: RealKey) -> Option<Wrong> {
        let listen = self.listen.filter(|_| self.forward != Forward::Nat)?;
        let forward = self.forward;
        if key.port != listen.port() {
            let message = format!(
                "`{key}` has another port than its service, which listens on {}",
                listen.port()
            );
            let help = format!(
                "with forward = \"{forward}\" packets arrive as they are; give the port {}",
                listen.port()
            );
            return Some(Wrong::new(message, help));
        }
        if forward == Forward::Direct && self.topology.networks_of(key.address).next().is_none() {
            let message = format!("`{}` is on no network of the appliance", key.address);
            let help =
                "with forward = \"direct\" a server is reached by its MAC address; use \"tunnel\" or \"nat\"";
            return Some(Wrong::new(message, help));
        }
        None
    }

    /// Why traffic for this service cannot go to this address.
    fn misplaced(&self, address: IpAddr) -> Option<Wrong> {
        if let Some(interface) = self.topology.owner(address) {
            let message = format!("`{address}` is the appliance's own address");
            let help = format!(
                "it is one of {}; a server is another machine",
                self.topology.names[interface]
            );
            return Some(Wrong::new(message, help));
        }
        if let Some((what, network)) = self.topology.not_a_host(address) {
            let message = format!("`{address}` is {what} of {network}");
            return Some(Wrong::new(message, "give the address of the server itself"));
        }
        let listen = self
            .listen
            .filter(|listen| listen.is_ipv4() != address.is_ipv4())?;
        let (ours, theirs) = (family(listen.ip()), family(address));
        let message = format!("`{address}` is {theirs}, and its service listens on {ours}");
        Some(Wrong::new(
            message,
            format!("a service stays within one family; give an {ours} address"),
        ))
    }
}
