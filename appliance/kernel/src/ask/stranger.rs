//! Whether what servers answer to a stranger comes back through this machine, and over how many routers: a SYN from an address that nobody
//! has, and whose SYN-ACK is seen in time. The stranger takes its SYN back (RST), so that no server keeps it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use lb_core::model::RealKey;
use lb_core::observed::WayBack;
use lb_core::syn::{Packet, Syn};
use socket2::{Domain, Protocol, Socket, Type};

use crate::packet::{self, ETH_P_IP, ETH_P_IPV6};

/// IPPROTO_RAW: packets are sent with the header that they bring.
const RAW: i32 = 255;
/// A SYN or its answer may be lost: it is sent again after this.
const AGAIN: Duration = Duration::from_millis(250);
const WAIT: Duration = Duration::from_millis(750);
/// The first of the ports that the stranger speaks from, one for each server.
const FIRST_PORT: u16 = 40_000;
/// What senders begin with: by how much less a packet arrives is how many routers it has passed.
const INITIAL_TTLS: [u8; 3] = [64, 128, 255];

/// One server that is asked.
struct Question {
    server: RealKey,
    syn: Syn,
}

/// A SYN-ACK or RST of a server.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    from: SocketAddr,
    to: SocketAddr,
    acknowledged: u32,
    hops: u8,
}

/// Servers that nothing could be sent to are left out; at most 1,000 are asked.
pub(crate) fn ways_back(stranger: IpAddr, servers: &[RealKey]) -> io::Result<BTreeMap<RealKey, WayBack>> {
    let (domain, ethertype) = match stranger {
        IpAddr::V4(_) => (Domain::IPV4, ETH_P_IP),
        IpAddr::V6(_) => (Domain::IPV6, ETH_P_IPV6),
    };
    let listener = packet::listen_everywhere(ethertype)?;
    let sender = Socket::new(domain, Type::RAW, Some(Protocol::from(RAW)))?;
    let seed = RandomState::new().build_hasher().finish() as u32;
    let questions: Vec<Question> = (0..1_000u16)
        .zip(servers)
        .map(|(number, server)| Question {
            server: *server,
            syn: Syn {
                source: stranger,
                port: FIRST_PORT + number,
                target: SocketAddr::new(server.address, server.port),
                sequence: seed.wrapping_add(u32::from(number) << 16),
            },
        })
        .collect();
    let mut ways = BTreeMap::new();
    for question in &questions {
        if question.ask(&sender).is_ok() {
            ways.insert(question.server, WayBack::Nowhere);
        }
    }
    let begun = Instant::now();
    for end in [begun + AGAIN, begun + WAIT] {
        for question in questions.iter().filter(|_| end != begun + AGAIN) {
            if ways.get(&question.server) == Some(&WayBack::Nowhere) {
                let _ = question.ask(&sender);
            }
        }
        listen(&listener, end, |answer| {
            let Some(question) = questions.iter().find(|question| question.is_answered_by(answer)) else {
                return false;
            };
            let _ = send(&sender, question.syn.taken_back(), question.server.address);
            ways.insert(question.server, WayBack::Through { hops: answer.hops });
            ways.values().all(|way| *way != WayBack::Nowhere)
        })?;
    }
    Ok(ways)
}

impl Question {
    fn ask(&self, socket: &Socket) -> io::Result<()> {
        send(socket, self.syn.packet(), self.server.address)
    }

    fn is_answered_by(&self, answer: &Answer) -> bool {
        let syn = &self.syn;
        answer.from == syn.target
            && answer.to == SocketAddr::new(syn.source, syn.port)
            && answer.acknowledged == syn.sequence.wrapping_add(1)
    }
}

fn send(socket: &Socket, packet: Option<Packet>, to: IpAddr) -> io::Result<()> {
    let packet = packet.ok_or(io::ErrorKind::InvalidInput)?;
    // The port of a raw socket's address means nothing, and for IPv6 it has to be none.
    socket.send_to(packet.bytes(), &SocketAddr::new(to, 0).into())?;
    Ok(())
}

/// Hands on the answers of servers until the time is over, or `enough` says so.
fn listen(socket: &Socket, end: Instant, mut enough: impl FnMut(&Answer) -> bool) -> io::Result<()> {
    let mut bytes = [0u8; 256];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        socket.set_read_timeout(Some(left))?;
        match (&*socket).read(&mut bytes) {
            Ok(length) => {
                if answer(&bytes[..length]).is_some_and(|answer| enough(&answer)) {
                    return Ok(());
                }
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error),
        }
    }
}

/// A segment that answers a SYN, one way or the other.
fn answer(bytes: &[u8]) -> Option<Answer> {
    let sliced = SlicedPacket::from_ip(bytes).ok()?;
    let (from, to, ttl) = match sliced.net.as_ref()? {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            (
                header.source_addr().into(),
                header.destination_addr().into(),
                header.ttl(),
            )
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header();
            let (from, to) = (header.source_addr(), header.destination_addr());
            (IpAddr::V6(from), IpAddr::V6(to), header.hop_limit())
        }
        _ => return None,
    };
    let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else {
        return None;
    };
    let is_answer = tcp.ack() && (tcp.syn() || tcp.rst());
    let initial = INITIAL_TTLS.into_iter().find(|initial| *initial >= ttl)?;
    is_answer.then(|| Answer {
        from: SocketAddr::new(from, tcp.source_port()),
        to: SocketAddr::new(to, tcp.destination_port()),
        acknowledged: tcp.acknowledgment_number(),
        hops: initial - ttl,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(stranger: IpAddr, server: &str) -> Question {
        let target: SocketAddr = server.parse().unwrap();
        Question {
            server: RealKey {
                address: target.ip(),
                port: target.port(),
            },
            syn: Syn {
                source: stranger,
                port: 40_007,
                target,
                sequence: u32::MAX,
            },
        }
    }

    #[test]
    fn an_answer_is_known_by_all_that_it_says() {
        for (stranger, server, other) in [
            ("192.0.2.1", "172.16.0.11:30080", "192.0.2.2"),
            ("2001:db8::1", "[fd00::11]:30080", "2001:db8::2"),
        ] {
            let (stranger, other): (IpAddr, IpAddr) = (stranger.parse().unwrap(), other.parse().unwrap());
            let asked = question(stranger, server);
            let syn = asked.syn.packet().unwrap();
            assert_eq!(answer(syn.bytes()), None, "a question is no answer");
            // The server's answer: the same the other way round.
            let there = Syn {
                source: asked.server.address,
                port: asked.server.port,
                target: SocketAddr::new(stranger, asked.syn.port),
                sequence: 9,
            };
            let mut back = there.packet().unwrap().bytes().to_vec();
            let (ttl_at, tcp_at) = if stranger.is_ipv4() { (8, 20) } else { (7, 40) };
            back[ttl_at] = 61;
            // Flags SYN and ACK, and what is acknowledged: RFC 9293, section 3.1.
            back[tcp_at + 13] = 0x12;
            back[tcp_at + 8..tcp_at + 12].copy_from_slice(&0u32.to_be_bytes());
            let seen = answer(&back).unwrap();
            assert_eq!(seen.hops, 3);
            assert!(asked.is_answered_by(&seen));
            assert!(!question(other, server).is_answered_by(&seen));
            back[tcp_at + 11] = 1;
            assert!(
                !asked.is_answered_by(&answer(&back).unwrap()),
                "not what was asked"
            );
            for cut in 0..back.len() {
                answer(&back[..cut]);
            }
        }
    }
}
