//! The servers of a service by the old interface of IPVS (IP_VS_SO_GET_*), which tells a server in 96 bytes at fixed places where
//! netlink takes 400 in nested attributes, and costs the kernel a tenth: enough to see whether they are those that are known.
//! Must not: answer where it cannot see everything that netlink tells. It is blind to IPv6 and to tunnels.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use lb_core::flat::FlatMap;
use lb_core::model::{Endpoint, Forward, Limit, RealKey, VirtualKey};
use lb_core::observed::ObservedReal;
use lb_wire::ipvs::ForwardMethod;
use socket2::{Domain, Socket, Type};

mod raw;
#[cfg(test)]
mod tests;

/// Of include/uapi/linux/ip_vs.h.
const IP_VS_SO_GET_SERVICE: libc::c_int = 1152 + 3;
const IP_VS_SO_GET_DESTS: libc::c_int = 1152 + 4;
/// IP_VS_CONN_F_FWD_MASK.
const FORWARD_MASK: u32 = 0x7;

/// struct ip_vs_service_entry.
const SERVICE: usize = 104;
const SERVICE_SERVERS: usize = 44;
/// struct ip_vs_get_dests without its table.
const QUESTION: usize = 24;
const QUESTION_SERVERS: usize = 16;
/// Both begin with the service: protocol, address, port, mark.
const PROTOCOL: usize = 0;
const ADDRESS: usize = 4;
const PORT: usize = 8;
const MARK: usize = 12;
/// struct ip_vs_dest_entry.
const SERVER: usize = 96;
const SERVER_ADDRESS: usize = 0;
const SERVER_PORT: usize = 4;
const SERVER_FLAGS: usize = 8;
const SERVER_WEIGHT: usize = 12;
const SERVER_UPPER: usize = 16;
const SERVER_LOWER: usize = 20;

/// Asks, over a socket that is opened when it is needed.
#[derive(Debug, Default)]
pub(super) struct Plain {
    socket: Option<Socket>,
    buffer: Vec<u8>,
    /// Which of the known servers were found.
    found: Vec<bool>,
}

impl Plain {
    /// Whether the kernel has just these servers. `None`: this interface does not tell.
    pub(super) fn servers_are(
        &mut self,
        service: &VirtualKey,
        known: &FlatMap<RealKey, ObservedReal>,
    ) -> Option<bool> {
        if service.is_ipv6() || !known.iter().all(|(server, real)| is_plain(server, real)) {
            return None;
        }
        let answer = self.ask(service, known);
        answer
            .map_err(|error| log::debug!("IPVS: the servers of {service} by getsockopt: {error}"))
            .ok()
    }

    fn ask(&mut self, service: &VirtualKey, known: &FlatMap<RealKey, ObservedReal>) -> io::Result<bool> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => none.insert(Socket::new(Domain::IPV4, Type::DGRAM, None)?),
        };
        // Servers of the other family are counted there, and left out of the list.
        question(service, SERVICE, &mut self.buffer);
        if !raw::ask(socket, IP_VS_SO_GET_SERVICE, &mut self.buffer)?
            || number(&self.buffer, SERVICE_SERVERS) as usize != known.len()
        {
            return Ok(false);
        }
        question(service, QUESTION + SERVER * known.len(), &mut self.buffer);
        let servers = u32::try_from(known.len()).map_err(io::Error::other)?;
        put(&mut self.buffer, QUESTION_SERVERS, servers.to_ne_bytes());
        if !raw::ask(socket, IP_VS_SO_GET_DESTS, &mut self.buffer)? {
            return Ok(false);
        }
        Ok(are(&self.buffer[QUESTION..], known, &mut self.found))
    }
}

fn is_plain(server: &RealKey, real: &ObservedReal) -> bool {
    server.address.is_ipv4()
        && matches!(real.forward, Some(Forward::Nat | Forward::Direct))
        && real.limit.is_some()
}

/// What both structures begin with; the rest is zeros, as which no server can be.
fn question(service: &VirtualKey, size: usize, buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.resize(size, 0);
    match *service {
        VirtualKey::Endpoint(Endpoint {
            address,
            port,
            protocol,
        }) => {
            put(buffer, PROTOCOL, u16::from(protocol.number()).to_ne_bytes());
            if let IpAddr::V4(address) = address {
                put(buffer, ADDRESS, address.octets());
            }
            put(buffer, PORT, port.to_be_bytes());
        }
        VirtualKey::Mark(key) => put(buffer, MARK, key.mark.to_ne_bytes()),
    }
}

/// Whether a table of entries has each of the known servers once, and no other.
fn are(table: &[u8], known: &FlatMap<RealKey, ObservedReal>, found: &mut Vec<bool>) -> bool {
    found.clear();
    found.resize(known.len(), false);
    table.chunks_exact(SERVER).all(|entry| {
        let octets: [u8; 4] = part(entry, SERVER_ADDRESS);
        let server = RealKey {
            address: Ipv4Addr::from(octets).into(),
            port: u16::from_be_bytes(part(entry, SERVER_PORT)),
        };
        let Some((at, real)) = known.find(&server) else {
            return false;
        };
        !std::mem::replace(&mut found[at], true) && is(entry, real)
    }) && found.iter().all(|found| *found)
}

fn is(entry: &[u8], real: &ObservedReal) -> bool {
    let method = ForwardMethod::from(number(entry, SERVER_FLAGS) & FORWARD_MASK);
    let limit = Limit {
        most: number(entry, SERVER_UPPER),
        resume: number(entry, SERVER_LOWER),
    };
    let as_forwarded = match real.forward {
        Some(Forward::Nat) => method == ForwardMethod::Masquerade,
        Some(Forward::Direct) => method == ForwardMethod::DirectRoute,
        _ => false,
    };
    as_forwarded && number(entry, SERVER_WEIGHT) == real.weight.value() && Some(limit) == real.limit
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(part(bytes, at))
}

/// The places are constants within the structures.
fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let part = bytes.get(at..).and_then(|rest| rest.first_chunk());
    part.copied().unwrap_or([0; N])
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}
