//! The queue of errors of a socket (IP_RECVERR, ip(7)): what routers and hosts say about what it has sent. It needs no raw socket.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};

use lb_core::icmp::IcmpError;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use socket2::Socket;

/// include/uapi/linux/errqueue.h.
const SO_EE_ORIGIN_LOCAL: u8 = 1;
/// ICMP "fragmentation needed", as which the kernel's own refusal is told; and ICMPv6 "packet too big".
const TOO_BIG: (u8, u8) = (3, 4);
const TOO_BIG_V6: (u8, u8) = (2, 0);
/// The header of what was sent, of which the first bytes come back.
const ECHOED: usize = 64;

/// One entry of the queue.
#[derive(Debug)]
pub(crate) struct Entry {
    /// `None`: this machine itself.
    pub from: Option<IpAddr>,
    pub error: IcmpError,
    /// The beginning of what was sent, behind the IP header.
    pub sent: Vec<u8>,
}

/// Errors are kept for [`next`].
pub(crate) fn keep_errors(socket: &Socket, v6: bool) -> io::Result<()> {
    let set = match v6 {
        true => setsockopt(&socket.as_fd(), sockopt::Ipv6RecvErr, &true),
        false => setsockopt(&socket.as_fd(), sockopt::Ipv4RecvErr, &true),
    };
    Ok(set?)
}

/// Takes the first entry; `None`: there is none now.
pub(crate) fn next(socket: &Socket, v6: bool) -> io::Result<Option<Entry>> {
    let mut bytes = [0; ECHOED];
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let mut control = vec![0; 512];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags);
    let (length, told) = match message {
        Err(Errno::EAGAIN) => return Ok(None),
        Err(error) => return Err(error.into()),
        Ok(message) => (message.bytes, message.cmsgs()?.find_map(|part| told(part, v6))),
    };
    let sent = bytes[..length].to_vec();
    // An entry that says nothing that we know is passed over.
    match told {
        Some((from, error)) => Ok(Some(Entry { from, error, sent })),
        None => next(socket, v6),
    }
}

fn told(part: ControlMessageOwned, v6: bool) -> Option<(Option<IpAddr>, IcmpError)> {
    let (error, from) = match part {
        ControlMessageOwned::Ipv4RecvErr(error, from) => {
            let from = from.map(|from| IpAddr::V4(Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr))));
            (error, from)
        }
        ControlMessageOwned::Ipv6RecvErr(error, from) => {
            let from = from.map(|from| IpAddr::V6(Ipv6Addr::from(from.sin6_addr.s6_addr)));
            (error, from)
        }
        _ => return None,
    };
    let local = error.ee_origin == SO_EE_ORIGIN_LOCAL;
    let too_big = if v6 { TOO_BIG_V6 } else { TOO_BIG };
    let (kind, code) = match (local, error.ee_errno as i32) {
        (false, _) => (error.ee_type, error.ee_code),
        (true, libc::EMSGSIZE) => too_big,
        // Nobody answered on the link: what a router would say.
        (true, libc::EHOSTUNREACH) => {
            if v6 {
                (1, 3)
            } else {
                (3, 1)
            }
        }
        (true, _) => return None,
    };
    let mtu = if (kind, code) == too_big { error.ee_info } else { 0 };
    let error = IcmpError { v6, kind, code, mtu };
    Some((from.filter(|_| !local), error))
}
