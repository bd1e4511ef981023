//! Whole associations of SCTP (RFC 9260) by raw sockets, for machines whose kernel has none: four packets to begin, data both ways,
//! three to end. Both ends check every CRC32c and verification tag; what is lost is not sent again.
//! Must not: be an SCTP.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

mod packet;

use packet::{
    COOKIE_ACK, COOKIE_ECHO, Chunk, DATA, FIRST_TSN, INIT, INIT_ACK, Packet, SACK, SHUTDOWN, SHUTDOWN_ACK,
    SHUTDOWN_COMPLETE, crc32c,
};

const SOCK_RAW: i32 = 3;
const SCTP: i32 = 132;
const MOST_BYTES: usize = 2_048;
/// How often a client asks in one association.
const QUESTIONS: u32 = 3;

/// What a server knows of a client since its cookie came back.
struct Association {
    tag: u32,
    client_tag: u32,
    next_tsn: u32,
    packets: u32,
}

/// Answers every datum with `name` and the client's address. An association that has ended is told on standard output, with the
/// number of its client's packets since the cookie; packets of another server's association get nothing.
pub fn serve(address: SocketAddr, name: &str) -> io::Result<()> {
    let socket = raw(address)?;
    socket.bind(&SocketAddr::new(address.ip(), 0).into())?;
    let socket = UdpSocket::from(socket);
    let mut associations = HashMap::new();
    let mut buffer = [0; MOST_BYTES];
    loop {
        let (count, client) = socket.recv_from(&mut buffer)?;
        let packet = Packet::parse(address.is_ipv4(), &buffer[..count]);
        let Some(packet) = packet.filter(|packet| packet.to == address.port()) else {
            continue;
        };
        let (tag, chunks) = answers(&mut associations, name, client.ip(), &packet).unwrap_or_default();
        for chunk in chunks {
            let answer = Packet {
                from: packet.to,
                to: packet.from,
                tag,
                chunk,
            };
            socket.send_to(&answer.encode(), SocketAddr::new(client.ip(), 0))?;
        }
    }
}

/// With the tag that the client wants to see.
fn answers(
    associations: &mut HashMap<(IpAddr, u16), Association>,
    name: &str,
    client: IpAddr,
    packet: &Packet,
) -> Option<(u32, Vec<Chunk>)> {
    let key = (client, packet.from);
    let chunk = &packet.chunk;
    // Another server has another one for the same client.
    let own_tag = crc32c(format!("{name} {client} {}", packet.from).as_bytes());
    match chunk.kind {
        // Nothing is remembered before the cookie comes back.
        INIT if packet.tag == 0 => {
            let tag = chunk.number()?;
            let cookie = [own_tag, tag].map(u32::to_be_bytes).concat();
            return Some((tag, vec![Chunk::init_ack(own_tag, &cookie)]));
        }
        COOKIE_ECHO => {
            let (own, theirs) = chunk.cookie()?.split_first_chunk::<4>()?;
            let association = Association {
                tag: u32::from_be_bytes(*own),
                client_tag: u32::from_be_bytes(theirs.try_into().ok()?),
                next_tsn: FIRST_TSN,
                packets: 0,
            };
            if association.tag == own_tag {
                associations.insert(key, association);
            }
        }
        _ => {}
    }
    let association = associations.get_mut(&key).filter(|a| a.tag == packet.tag)?;
    association.packets += 1;
    let chunks = match chunk.kind {
        COOKIE_ECHO => vec![Chunk::new(COOKIE_ACK, [])],
        DATA => {
            let tsn = association.next_tsn;
            association.next_tsn += 1;
            vec![
                Chunk::sack(chunk.number()?),
                Chunk::data(tsn, &format!("{name} {client}")),
            ]
        }
        SHUTDOWN => vec![Chunk::new(SHUTDOWN_ACK, [])],
        SHUTDOWN_COMPLETE => {
            println!("{name} {client} {} packets", association.packets);
            vec![]
        }
        _ => vec![],
    };
    let tag = association.client_tag;
    if chunk.kind == SHUTDOWN_COMPLETE {
        associations.remove(&key);
    }
    Some((tag, chunks))
}

/// One association from `port`, with some questions; what all of them were answered.
pub fn ask(address: SocketAddr, port: u16, patience: Duration) -> io::Result<String> {
    let client = Client::new(address, port, patience)?;
    client.send(0, Chunk::init(client.tag))?;
    let answer = client.receive(INIT_ACK)?;
    let tag = answer.number().ok_or_else(unexpected)?;
    let cookie = answer.cookie().ok_or_else(unexpected)?;
    client.send(tag, Chunk::new(COOKIE_ECHO, cookie))?;
    client.receive(COOKIE_ACK)?;
    let mut texts = Vec::new();
    let mut last = 0;
    for tsn in FIRST_TSN..FIRST_TSN + QUESTIONS {
        client.send(tag, Chunk::data(tsn, "?"))?;
        let acknowledged = client.receive(SACK)?.number();
        let data = client.receive(DATA)?;
        last = data.number().ok_or_else(unexpected)?;
        if acknowledged != Some(tsn) || last != tsn {
            return Err(unexpected());
        }
        client.send(tag, Chunk::sack(last))?;
        texts.push(data.text());
    }
    client.send(tag, Chunk::shutdown(last))?;
    client.receive(SHUTDOWN_ACK)?;
    client.send(tag, Chunk::new(SHUTDOWN_COMPLETE, []))?;
    texts.dedup();
    Ok(texts.join(", "))
}

struct Client {
    socket: UdpSocket,
    address: SocketAddr,
    port: u16,
    tag: u32,
    patience: Duration,
}

impl Client {
    fn new(address: SocketAddr, port: u16, patience: Duration) -> io::Result<Client> {
        let socket = raw(address)?;
        // Connected: only what comes from the address that was asked is an answer.
        socket.connect(&SocketAddr::new(address.ip(), 0).into())?;
        socket.set_read_timeout(Some(patience))?;
        Ok(Client {
            socket: UdpSocket::from(socket),
            address,
            port,
            tag: 0x1b2c_0000 | u32::from(port),
            patience,
        })
    }

    fn send(&self, tag: u32, chunk: Chunk) -> io::Result<()> {
        let packet = Packet {
            from: self.port,
            to: self.address.port(),
            tag,
            chunk,
        };
        self.socket.send(&packet.encode()).map(drop)
    }

    /// The next chunk for this end, which has to be of this kind.
    fn receive(&self, kind: u8) -> io::Result<Chunk> {
        let started = Instant::now();
        let mut buffer = [0; MOST_BYTES];
        while started.elapsed() < self.patience {
            let count = self.socket.recv(&mut buffer)?;
            let packet = Packet::parse(self.address.is_ipv4(), &buffer[..count]);
            let ours = |packet: &Packet| {
                (packet.from, packet.to, packet.tag) == (self.address.port(), self.port, self.tag)
            };
            if let Some(packet) = packet.filter(ours) {
                return Some(packet.chunk)
                    .filter(|chunk| chunk.kind == kind)
                    .ok_or_else(unexpected);
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

fn unexpected() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

fn raw(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    Socket::new(domain, Type::from(SOCK_RAW), Some(Protocol::from(SCTP)))
}
