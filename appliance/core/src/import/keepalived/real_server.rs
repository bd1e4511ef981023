//! A `real_server` as a server of lb.toml. Must not: know the other servers of its service.

use std::net::IpAddr;

use super::super::draft::{Address, Server, Service};
use super::super::machine::Machine;
use super::super::remarks::{Place, Remarks, shown};
use super::checker::{self, Target};
use super::inherited::Inherited;
use super::tree::Statement;
use super::virtual_server::{Method, VirtualServer, method};
use super::words::{self, value};

/// The most that a server can weigh here.
const MOST_WEIGHT: u64 = 65_535;
/// The most connections that the kernel compares with.
const MOST_CONNECTIONS: u64 = i32::MAX as u64;

/// `real_server ADDRESS [PORT]`; port 0: none.
pub(super) fn endpoint(statement: &Statement) -> Result<(IpAddr, u16), Address> {
    let given = statement.arguments().join(" ");
    let address = statement.argument(0).unwrap_or_default().parse::<IpAddr>();
    let port = statement.argument(1).map_or(Ok(0), str::parse::<u16>);
    match (address, port) {
        (Ok(address), Ok(port)) => Ok((address, port)),
        (Err(_), _) => Err(Address::Unusable(
            given,
            "a server is given by its address here, names are not looked up".to_owned(),
        )),
        (_, Err(_)) => Err(Address::Unusable(
            given,
            "its port cannot be read; 1 to 65535".to_owned(),
        )),
    }
}

/// What the real server says beside its checkers.
struct Real<'s> {
    inherited: Inherited,
    method: Method,
    checkers: Vec<&'s Statement>,
    upper: Option<u64>,
    lower: Option<u64>,
}

/// The server, and the way that its packets are to take.
pub(super) fn server(
    statement: &Statement,
    of: &VirtualServer<'_>,
    service: &Service,
    machine: &Machine,
    remarks: &mut Remarks,
) -> (Server, Method) {
    let place = statement.place;
    let mut real = Real {
        inherited: of.inherited.clone(),
        method: of.method,
        checkers: Vec::new(),
        upper: None,
        lower: None,
    };
    let mut server = Server::new(place, Address::Unusable(String::new(), String::new()));
    if let Some(weight) = of.weight {
        self::weight(weight, place, &mut server, remarks);
    }
    for inner in statement.statements() {
        read(inner, &mut real, &mut server, remarks);
    }
    let (ip, port) = match endpoint(statement) {
        Ok(endpoint) => endpoint,
        Err(unusable) => return (unusable_server(server, unusable, remarks), real.method),
    };
    let listen = service.listen.first().map_or(0, |listen| listen.first);
    server.address = address(
        service,
        ip,
        port,
        real.method,
        of.persistence.is_some() || of.one_packet,
        remarks,
        place,
    );
    if real.inherited.inhibit {
        server.keys.put("when_down", "\"inhibit\"");
    }
    limits(&real, &mut server, remarks);
    let bare = matches!(server.address, Address::Known(_, 0));
    let target = Target {
        protocol: service.protocol,
        ip,
        port: match (port, service.is_group()) {
            (0, false) => listen,
            (port, _) => port,
        },
        place,
        bare,
        machine,
    };
    let mut notes = Vec::new();
    (server.check, server.others) =
        checker::checks(&real.checkers, &real.inherited, &target, &mut notes, remarks);
    server.notes.extend(notes);
    (server, real.method)
}

fn unusable_server(mut server: Server, address: Address, remarks: &mut Remarks) -> Server {
    if let Address::Unusable(given, reason) = &address {
        remarks.fault(server.place, format!("real_server {}: {reason}", shown(given)));
    }
    server.address = address;
    server.check.put("type", "\"none\"");
    server
}

fn read<'s>(inner: &'s Statement, real: &mut Real<'s>, server: &mut Server, remarks: &mut Remarks) {
    let mut number = || value(inner, "a number", remarks, |text| text.parse::<u64>().ok());
    match inner.word() {
        "weight" => {
            if let Some(weight) = number() {
                self::weight(weight, inner.place, server, remarks);
            }
        }
        "uthreshold" => real.upper = number().filter(|number| *number > 0),
        "lthreshold" => real.lower = number().filter(|number| *number > 0),
        "lvs_method" | "lb_kind" => real.method = method(inner, remarks).unwrap_or(real.method),
        "snmp_name" => remarks.dropped(
            inner.place,
            "snmp_name: servers have no names here, they are called by their addresses",
        ),
        word if checker::is_checker(word) => real.checkers.push(inner),
        _ if real.inherited.take(inner, remarks) => {}
        _ => words::drop_with_reason(inner, remarks),
    }
}

fn weight(weight: u64, place: Place, server: &mut Server, remarks: &mut Remarks) {
    if weight > MOST_WEIGHT {
        let message = format!(
            "weight {weight} becomes {MOST_WEIGHT}, the most there is; make all weights smaller in proportion"
        );
        remarks.fault(place, message);
    }
    if weight == 1 {
        server.keys.remove("weight");
    } else {
        server.keys.put("weight", weight.min(MOST_WEIGHT).to_string());
    }
}

fn address(
    service: &Service,
    ip: IpAddr,
    port: u16,
    method: Method,
    whole: bool,
    remarks: &mut Remarks,
    place: Place,
) -> Address {
    let only = service.listen.first().map_or(0, |listen| listen.first);
    if service.is_group() {
        let mapped = method == Method::Nat && !whole;
        return Address::Known(ip, if mapped { port } else { 0 });
    }
    if method != Method::Nat && port != only && port != 0 {
        remarks.differs(
            place,
            format!("the port {port} is that of the service, {only}: packets arrive as they are, and keepalived's port means nothing"),
        );
        return Address::Known(ip, only);
    }
    Address::Known(ip, if port == 0 { only } else { port })
}

fn limits(real: &Real<'_>, server: &mut Server, remarks: &mut Remarks) {
    let Some(upper) = real.upper else {
        if real.lower.is_some() {
            remarks.dropped(server.place, "lthreshold without uthreshold means nothing");
        }
        return;
    };
    let upper = upper.min(MOST_CONNECTIONS);
    server.keys.put("max_connections", upper.to_string());
    match real.lower {
        Some(lower) if lower < upper => server.keys.put("resume_connections", lower.to_string()),
        Some(lower) => {
            let message = format!(
                "lthreshold {lower} is not below the uthreshold of {upper}; three quarters of that count"
            );
            remarks.fault(server.place, message);
        }
        None => {}
    }
}
