//! Echoes and what comes back (RFC 792, RFC 4443 section 4), over a socket of pings, which needs no privilege but
//! net.ipv4.ping_group_range. Must not: wait; the caller does, on the socket.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use lb_core::echo::Heard;
use lb_core::icmp::{self, ECHO_HEADER};
use socket2::{Domain, Protocol, Socket, Type};

use super::said::{self, Entry};

/// A route that is refused by the receiver's queue is an error of the packet, not of the socket.
const MOST: usize = 65_535;

#[derive(Debug)]
pub struct EchoSocket {
    socket: Socket,
    target: IpAddr,
}

impl EchoSocket {
    /// Leaves by `link`, or as the routes say. `whole`: a packet that is too big for the path is lost, instead of cut.
    pub fn open(target: IpAddr, link: Option<&str>, whole: bool) -> io::Result<EchoSocket> {
        let (domain, protocol) = match target {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        let socket = Socket::new(domain, Type::DGRAM, Some(protocol))?;
        socket.set_nonblocking(true)?;
        if let Some(link) = link {
            socket.bind_device(Some(link.as_bytes()))?;
        }
        said::keep_errors(&socket, target.is_ipv6())?;
        if whole {
            never_cut(&socket, target)?;
        }
        // An error of an earlier echo is told by the queue, and would be told again by the next call.
        let any = match target {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        socket.bind(&SocketAddr::new(any, 0).into())?;
        Ok(EchoSocket { socket, target })
    }

    /// With so many bytes behind the header. `false`: it is too big for the path, which [`heard`](Self::heard) tells.
    pub fn send(&self, sequence: u16, size: usize) -> io::Result<bool> {
        let message = icmp::echo(self.target.is_ipv6(), sequence, (0..=u8::MAX).cycle().take(size));
        let to = SocketAddr::new(self.target, 0).into();
        // What an echo before it was told comes first, once.
        for _ in 0..2 {
            match self.socket.send_to(&message, &to) {
                Ok(_) => return Ok(true),
                Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => return Ok(false),
                Err(error) if error.raw_os_error() == Some(libc::EHOSTUNREACH) => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::from_raw_os_error(libc::EHOSTUNREACH))
    }

    /// The next thing that was said; `None`: nothing now. `unsent` is the number of an echo that did not leave.
    pub fn heard(&self, unsent: u16) -> io::Result<Option<Heard>> {
        if let Some(entry) = said::next(&self.socket, self.target.is_ipv6())? {
            return Ok(Some(error(entry, unsent)));
        }
        let mut bytes = [MaybeUninit::<u8>::uninit(); MOST];
        loop {
            match self.socket.recv_from(&mut bytes) {
                Ok((length, from)) => {
                    // SAFETY: so many bytes were written by the kernel.
                    let message = unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<u8>(), length) };
                    if let Some(heard) = from.as_socket().and_then(|from| self.reply(message, from.ip())) {
                        return Ok(Some(heard));
                    }
                }
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                // The same as the queue tells, which was read or is read next.
                Err(_) => {
                    return Ok(said::next(&self.socket, self.target.is_ipv6())?.map(|e| error(e, unsent)));
                }
            }
        }
    }

    fn reply(&self, message: &[u8], from: IpAddr) -> Option<Heard> {
        let (sequence, _) = icmp::echo_reply(self.target.is_ipv6(), message)?;
        Some(Heard::Reply {
            from,
            sequence,
            length: message.len(),
        })
    }
}

impl AsFd for EchoSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What was sent comes back from its ICMP header on; of what did not leave nothing does.
fn error(entry: Entry, unsent: u16) -> Heard {
    let number = entry
        .sent
        .get(6..ECHO_HEADER)
        .and_then(|bytes| bytes.try_into().ok());
    let sequence = number.filter(|_| entry.from.is_some()).map(u16::from_be_bytes);
    Heard::Error {
        from: entry.from,
        error: entry.error,
        sequence: sequence.unwrap_or(unsent),
    }
}

/// The don't-fragment bit, and no fragments of our own (IP_PMTUDISC_DO, ip(7)).
fn never_cut(socket: &Socket, target: IpAddr) -> io::Result<()> {
    let (level, name, value) = match target {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO),
        IpAddr::V6(_) => (
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_DO,
        ),
    };
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the value is a c_int of that length, and lives as long as the call.
    let done =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length) };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
