//! `[[virtual_server]]` and its `[[virtual_server.real_server]]`: what is balanced, on which address, over which servers.
//! Must not: look at interfaces but through what they own and reach.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use super::answers::Places;
use super::check::CheckListKeys;
use super::fault::quoted;
use super::forward;
use super::listen::{self, Listen, TakenPorts};
use super::model::VirtualServer;
use super::pool::PoolKeys;
use super::reader::{Reader, Section};
use super::server::{Pool, Shared};
use super::shape;
use super::time::whole_seconds;
use super::topology::Topology;
use crate::model::{
    Endpoint, Forward, MarkKey, Persistence, Protocol, RealKey, Scheduler, VirtualKey, VirtualSettings,
};

/// The kernel counts in seconds.
pub(super) const PERSISTENCE_TIMEOUT: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(24 * 31);
pub(super) const LONGEST_NAME: usize = 63;
pub(super) const SCHEDULER: Scheduler = Scheduler::Wlc;

/// What services have taken so far, with the places.
#[derive(Default)]
struct Taken {
    names: BTreeMap<String, Range<usize>>,
    ports: TakenPorts,
    /// Servers mostly share one check.
    checks: Shared,
}

/// Reads services, wherever they stand. One that has faults may be left out: there is no configuration then.
pub(super) struct Services<'p> {
    topology: &'p Topology,
    taken: Taken,
    read: Vec<Arc<VirtualServer>>,
    places: Places,
}

impl<'p> Services<'p> {
    pub fn new(topology: &'p Topology) -> Services<'p> {
        Services {
            topology,
            taken: Taken::default(),
            read: Vec::new(),
            places: Places::new(),
        }
    }

    /// Takes a service as it was read before; `None` if another one has its name or a port of it.
    pub fn take_over(&mut self, service: &Arc<VirtualServer>) -> Option<()> {
        let taken = &mut self.taken;
        let known = taken.names.insert(service.name.clone(), 0..0).is_some();
        let free = taken.ports.take_over(service) && !known;
        self.read.push(service.clone());
        free.then_some(())
    }

    pub fn read(&mut self, reader: &mut Reader<'_>, root: &Section<'_, '_>) {
        let help = "write [[virtual_server]] on a line of its own, and its keys on the lines below";
        for value in reader.unopened_tables(root, "virtual_server", help) {
            if let Some(section) = reader.table(value, &shape::VIRTUAL_SERVER, help) {
                let service = virtual_server(reader, &section, self.topology, &mut self.taken);
                if let Some((service, places)) = service {
                    if service.settings.one_packet {
                        self.places.insert(self.read.len(), places);
                    }
                    self.read.push(Arc::new(service));
                }
            }
        }
    }

    /// The services, where those stand whose answers are to be judged, and which ports they take.
    pub fn finish(self) -> (Vec<Arc<VirtualServer>>, Places, TakenPorts) {
        (self.read, self.places, self.taken.ports)
    }
}

fn virtual_server(
    reader: &mut Reader<'_>,
    section: &Section<'_, '_>,
    topology: &Topology,
    taken: &mut Taken,
) -> Option<(VirtualServer, BTreeMap<RealKey, Range<usize>>)> {
    let name = name(reader, section, taken);
    let forward = forward::read(reader, section);
    let scheduler = reader.word_or(section.value("scheduler"), SCHEDULER, &Scheduler::WORDS, &[]);
    let listen = listen::read(reader, section, topology, &mut taken.ports, name.as_deref());
    let check = CheckListKeys::read(reader, section.value("check"), topology);
    check.judge(reader);
    let persistence = persistence(reader, section, listen.address);
    let one_packet = one_packet(reader, section, &listen.protocols);
    let pool = Pool::new(
        topology,
        &listen,
        check,
        forward.unwrap_or(Forward::Nat),
        persistence.is_none_or(|persistence| persistence.is_some()),
        one_packet.is_some_and(|one_packet| one_packet),
    );
    let (real_servers, places) = pool.read(reader, section, &mut taken.checks);
    let rules = PoolKeys::read(reader, section);
    rules.judge(reader, &real_servers);
    judge_checks(reader, section, &listen, &pool);
    let whole = forward.is_some_and(|forward| forward != Forward::Nat);
    let syn_proxy = syn_proxy(reader, section, &listen, whole);
    forward?;
    let key = key(&listen)?;
    let service = VirtualServer {
        name: name?,
        key,
        settings: VirtualSettings {
            scheduler: scheduler?,
            persistence: persistence?,
            one_packet: one_packet?,
        },
        syn_proxy: syn_proxy?,
        pool: rules.rules()?,
        listen: listen.ranges,
        real_servers,
    };
    Some((service, places))
}

/// The mark itself is given when all services are known.
fn key(listen: &Listen) -> Option<VirtualKey> {
    if listen.broken {
        return None;
    }
    if let Some(endpoint) = listen.endpoint() {
        return Some(endpoint.into());
    }
    let mark = MarkKey {
        mark: 0,
        ipv6: listen.address?.is_ipv6(),
    };
    Some(mark.into())
}

/// By default a check opens a TCP connection to the traffic's port. That says nothing of another protocol, and there may be
/// no such port.
fn judge_checks(reader: &mut Reader<'_>, section: &Section<'_, '_>, listen: &Listen, pool: &Pool<'_>) {
    let span = |key| {
        let value = section.value(key);
        value.map_or(section.span.clone(), |value| value.span())
    };
    if pool.has_portless_default() {
        let help = "name a TCP port of every server: check = { port = 80 }; or check = { type = \"none\" } for servers \
                    that are never checked";
        let message = "nothing says which port of its servers shall be checked";
        reader.fault(span("listen"), message, help);
        return;
    }
    let (false, Some(protocol)) = (listen.has(Protocol::Tcp), listen.protocols.first()) else {
        return;
    };
    if pool.has_default_check() {
        let help = "ask by another type of check, such as \"dns\", \"udp\" or \"icmp\"; or name a TCP port of the same server: \
                    check = { port = 53 }; or check = { type = \"none\" } for servers that are never checked";
        let message = format!("a TCP connection does not tell whether a {protocol} server works");
        reader.fault(span("protocol"), message, help);
    }
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
        Ipv6Addr::BITS
    } else {
        Ipv4Addr::BITS
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

fn one_packet(reader: &mut Reader<'_>, section: &Section<'_, '_>, protocols: &[Protocol]) -> Option<bool> {
    let Some(value) = section.value("one_packet") else {
        return Some(false);
    };
    let wanted = reader.flag(value)?;
    if wanted && protocols.iter().any(|protocol| *protocol != Protocol::Udp) {
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

/// A connection is put together from two, by connection tracking: both directions have to pass, and its port alone has to tell
/// the service.
fn syn_proxy(
    reader: &mut Reader<'_>,
    section: &Section<'_, '_>,
    listen: &Listen,
    whole: bool,
) -> Option<bool> {
    let Some(value) = section.value("syn_proxy") else {
        return Some(false);
    };
    let wanted = reader.flag(value)?;
    let is_tcp = |endpoint: Endpoint| endpoint.protocol == Protocol::Tcp;
    let fits = listen.broken || listen.endpoint().is_some_and(is_tcp);
    if wanted && (whole || !fits) {
        let message = "only clients of a TCP service with one port and forward = \"nat\" can be proved first";
        reader.fault(value.span(), message, "remove `syn_proxy`");
        return None;
    }
    Some(wanted)
}

fn name(reader: &mut Reader<'_>, section: &Section<'_, '_>, taken: &mut Taken) -> Option<String> {
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
    if !plain || !begins || text.len() > LONGEST_NAME {
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
