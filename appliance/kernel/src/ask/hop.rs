//! One probe with a limited number of hops: a datagram to a port where nobody listens, or a TCP SYN. Who ends it says so on the
//! socket's queue of errors. Must not: wait; the caller does, on the socket.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use lb_core::trace::Answer;
use socket2::{Domain, Protocol, Socket, Type};

use super::said;
use crate::fault;

/// What traceroute(8) has always begun at: nobody listens there.
const FIRST_PORT: u16 = 33_434;

#[derive(Debug)]
pub struct HopProbe {
    socket: Socket,
    target: IpAddr,
    tcp: bool,
}

impl HopProbe {
    /// Sends it. `port`: a SYN goes there; else a datagram, to another port for each `number`.
    pub fn send(target: IpAddr, hops: u8, port: Option<u16>, number: u16) -> io::Result<HopProbe> {
        let domain = if target.is_ipv4() {
            Domain::IPV4
        } else {
            Domain::IPV6
        };
        let (kind, protocol) = match port {
            Some(_) => (Type::STREAM, Protocol::TCP),
            None => (Type::DGRAM, Protocol::UDP),
        };
        let socket = Socket::new(domain, kind, Some(protocol))?;
        socket.set_nonblocking(true)?;
        match target {
            IpAddr::V4(_) => socket.set_ttl_v4(hops.into())?,
            IpAddr::V6(_) => socket.set_unicast_hops_v6(hops.into())?,
        }
        said::keep_errors(&socket, target.is_ipv6())?;
        let probe = HopProbe {
            socket,
            target,
            tcp: port.is_some(),
        };
        let port = port.unwrap_or(FIRST_PORT.wrapping_add(number % 512));
        match probe.socket.connect(&SocketAddr::new(target, port).into()) {
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            // Refused at once: this machine's own address. The answer is asked for next.
            Err(error) if error.raw_os_error() == Some(libc::ECONNREFUSED) && probe.tcp => {}
            other => other?,
        }
        if probe.tcp {
            // A connection that came about is taken back (RST), so that no server keeps it.
            probe.socket.set_linger(Some(Duration::ZERO))?;
        } else {
            probe.socket.send(&[0; 32])?;
        }
        Ok(probe)
    }

    /// Waits for being writable or readable, by what it is.
    pub fn awaits_writable(&self) -> bool {
        self.tcp
    }

    /// `None`: nothing yet.
    pub fn answer(&self) -> io::Result<Option<Answer>> {
        if let Some(entry) = said::next(&self.socket, self.target.is_ipv6())? {
            let (from, error) = (entry.from.unwrap_or(self.target), entry.error);
            return Ok(Some(match entry.from {
                Some(_) => Answer::Icmp { from, error },
                None => Answer::Unsent(error.to_string()),
            }));
        }
        if !self.tcp {
            let mut bytes = [std::mem::MaybeUninit::uninit(); 1];
            return match self.socket.recv(&mut bytes) {
                Ok(_) => Ok(Some(Answer::Open)),
                Err(_) => Ok(None),
            };
        }
        match self.socket.take_error()? {
            Some(error) if error.raw_os_error() == Some(libc::ECONNREFUSED) => Ok(Some(Answer::Closed)),
            Some(error) => Ok(Some(Answer::Unsent(fault::from_io(&error).to_string()))),
            None => Ok(self.socket.peer_addr().is_ok().then_some(Answer::Open)),
        }
    }
}

impl AsFd for HopProbe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
