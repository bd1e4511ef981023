//! All ports of an address, asked as fast as it can take it: after each group goes a ping, and when its answer is there, so
//! is everything that the address itself had to say to the group. Must not: ask a port twice.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

/// Sockets at a time: they fit into the queues between, and under the usual limit of open files with the group before.
const GROUP: usize = 200;
/// A ping that is not answered by then was dropped, and so may have been a question.
const PATIENCE: Duration = Duration::from_secs(10);
/// For answers to the last group that come from behind the address.
const LAST: Duration = Duration::from_secs(1);

/// The ports of TCP ([`Type::STREAM`]) or UDP ([`Type::DGRAM`]) that answer in any way.
pub fn scan(address: IpAddr, kind: Type) -> io::Result<Vec<u16>> {
    let mut echo = Echo::new(address)?;
    let (mut open, mut before) = (Vec::new(), Vec::new());
    let ports: Vec<u16> = (1..=u16::MAX).collect();
    for group in ports.chunks(GROUP) {
        let asked = ask(address, kind, group)?;
        echo.exchange()?;
        // The group before has had all the time that this one took.
        open.extend(answered(std::mem::replace(&mut before, asked), kind)?);
    }
    std::thread::sleep(LAST);
    open.extend(answered(before, kind)?);
    Ok(open)
}

fn ask(address: IpAddr, kind: Type, ports: &[u16]) -> io::Result<Vec<(u16, Socket)>> {
    let ask = |port: &u16| {
        let target = SocketAddr::new(address, *port);
        let socket = Socket::new(Domain::for_address(target), kind, None)?;
        socket.set_nonblocking(true)?;
        // It is under way, or it has failed: then the socket says so later.
        let _ = socket.connect(&target.into());
        if kind == Type::DGRAM {
            let _ = socket.send(b"?");
        }
        Ok((*port, socket))
    };
    ports.iter().map(ask).collect()
}

fn answered(asked: Vec<(u16, Socket)>, kind: Type) -> io::Result<Vec<u16>> {
    let mut open = Vec::new();
    for (port, socket) in asked {
        let refused = socket.take_error()?;
        // A datagram's socket has a peer from the beginning; an answer, if there is one, is waiting.
        let answered = match kind {
            Type::DGRAM => (&socket).read(&mut [0; 1]).is_ok(),
            _ => socket.peer_addr().is_ok(),
        };
        if refused.is_some() || answered {
            open.push(port);
        }
    }
    Ok(open)
}

/// Pings, one at a time.
struct Echo {
    /// Raw; as a UDP socket, for the standard library reads into initialised memory.
    socket: UdpSocket,
    is_v4: bool,
    sequence: u16,
}

impl Echo {
    fn new(address: IpAddr) -> io::Result<Echo> {
        const SOCK_RAW: i32 = 3;
        let is_v4 = address.is_ipv4();
        let (domain, protocol) = match is_v4 {
            true => (Domain::IPV4, Protocol::ICMPV4),
            false => (Domain::IPV6, Protocol::ICMPV6),
        };
        let socket = Socket::new(domain, Type::from(SOCK_RAW), Some(protocol))?;
        socket.connect(&SocketAddr::new(address, 0).into())?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Echo {
            socket: socket.into(),
            is_v4,
            sequence: 0,
        })
    }

    fn exchange(&mut self) -> io::Result<()> {
        // RFC 792 and RFC 4443: type, code, checksum, identifier, sequence number.
        let (request, reply, header) = if self.is_v4 { (8, 0, 20) } else { (128, 129, 0) };
        self.sequence += 1;
        let [id, sequence] = [std::process::id() as u16, self.sequence].map(u16::to_be_bytes);
        let mut message = [request, 0, 0, 0, id[0], id[1], sequence[0], sequence[1]];
        // Of ICMPv6 the kernel makes the checksum.
        if self.is_v4 {
            let sum = checksum(&message).to_be_bytes();
            message[2..4].copy_from_slice(&sum);
        }
        self.socket.send(&message)?;
        let (sent, mut buffer) = (Instant::now(), [0; 256]);
        while sent.elapsed() < PATIENCE {
            let length = self.socket.recv(&mut buffer)?;
            // An IPv4 socket is given the IP header as well, which has no options.
            let answer = buffer[..length].get(header..).unwrap_or_default();
            if answer.first() == Some(&reply) && answer.get(4..8) == Some(&message[4..8]) {
                return Ok(());
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

/// RFC 1071, of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let sum: u32 = words.sum();
    !((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_with_its_checksum_sums_up_to_nothing() {
        let mut message = [8, 0, 0, 0, 0xab, 0xcd, 0xff, 0xfe];
        let sum = checksum(&message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
        assert_eq!(checksum(&message), 0);
    }
}
