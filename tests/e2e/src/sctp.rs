//! The first half of SCTP's handshake (RFC 9260) by raw sockets, for machines whose kernel has none: INIT there, INIT ACK
//! back. Both ends check the CRC32c, which whoever rewrites an address or a port has to put right.
//! Must not: be an SCTP.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

const SOCK_RAW: i32 = 3;
const SCTP: i32 = 132;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
/// The parameter of an INIT ACK that brings our text.
const STATE_COOKIE: u16 = 7;
/// Ports, verification tag, checksum.
const HEADER: usize = 12;
/// What comes before the first parameter: the chunk's header, and the fixed fields of INIT and INIT ACK.
const FIXED: usize = 20;
const TAG: u32 = 0x1b2c_3d4e;

/// Answers INITs for `address` with `name` and the client's address; those with a wrong checksum get nothing.
pub fn serve(address: SocketAddr, name: &str) -> io::Result<()> {
    let socket = raw(address)?;
    socket.bind(&SocketAddr::new(address.ip(), 0).into())?;
    let socket = UdpSocket::from(socket);
    let mut buffer = [0; 2048];
    loop {
        let (count, client) = socket.recv_from(&mut buffer)?;
        let Some(packet) = Packet::parse(address, &buffer[..count]) else {
            continue;
        };
        if packet.to == address.port() && packet.chunk == INIT {
            let text = format!("{name} {}", client.ip());
            let answer = encode(packet.to, packet.from, packet.initiate_tag, INIT_ACK, &text);
            socket.send_to(&answer, SocketAddr::new(client.ip(), 0))?;
        }
    }
}

/// One INIT from `port`; the text of the INIT ACK.
pub fn ask(address: SocketAddr, port: u16, patience: Duration) -> io::Result<String> {
    let socket = raw(address)?;
    // Connected: only what comes from the address that was asked is an answer.
    socket.connect(&SocketAddr::new(address.ip(), 0).into())?;
    socket.set_read_timeout(Some(patience))?;
    let socket = UdpSocket::from(socket);
    socket.send(&encode(port, address.port(), 0, INIT, ""))?;
    let started = Instant::now();
    let mut buffer = [0; 2048];
    while started.elapsed() < patience {
        let count = socket.recv(&mut buffer)?;
        let packet = Packet::parse(address, &buffer[..count]);
        let ours = |packet: &Packet| (packet.from, packet.to) == (address.port(), port);
        if let Some(packet) = packet.filter(ours)
            && (packet.chunk, packet.tag) == (INIT_ACK, TAG)
        {
            return Ok(packet.text);
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn raw(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    Socket::new(domain, Type::from(SOCK_RAW), Some(Protocol::from(SCTP)))
}

#[derive(Debug, PartialEq, Eq)]
struct Packet {
    from: u16,
    to: u16,
    tag: u32,
    chunk: u8,
    initiate_tag: u32,
    text: String,
}

impl Packet {
    /// `None` for what is none, or has a wrong checksum. Raw IPv4 sockets give the IP header as well.
    fn parse(address: SocketAddr, bytes: &[u8]) -> Option<Packet> {
        let ip_header = if address.is_ipv4() {
            usize::from(bytes.first()? & 15) * 4
        } else {
            0
        };
        let bytes = bytes.get(ip_header..)?;
        let short = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let long = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let told: [u8; 4] = bytes.get(8..HEADER)?.try_into().ok()?;
        let mut zeroed = bytes.to_vec();
        zeroed[8..HEADER].fill(0);
        if crc32c(&zeroed) != u32::from_le_bytes(told) {
            return None;
        }
        let parameter = HEADER + FIXED;
        let text = match short(parameter) {
            Some(STATE_COOKIE) => bytes.get(parameter + 4..parameter + usize::from(short(parameter + 2)?))?,
            _ => &[],
        };
        Some(Packet {
            from: short(0)?,
            to: short(2)?,
            tag: long(4)?,
            chunk: *bytes.get(HEADER)?,
            initiate_tag: long(HEADER + 4)?,
            text: String::from_utf8_lossy(text).into_owned(),
        })
    }
}

fn encode(from: u16, to: u16, tag: u32, chunk: u8, text: &str) -> Vec<u8> {
    let parameter = if text.is_empty() { 0 } else { 4 + text.len() };
    let length = (FIXED + parameter) as u16;
    let mut bytes = Vec::new();
    bytes.extend([from, to].map(u16::to_be_bytes).concat());
    bytes.extend(tag.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend([chunk, 0]);
    bytes.extend(length.to_be_bytes());
    // Initiate tag, receiver window, streams out and in, initial TSN.
    bytes.extend(TAG.to_be_bytes());
    bytes.extend(65_535_u32.to_be_bytes());
    bytes.extend([1_u16, 1].map(u16::to_be_bytes).concat());
    bytes.extend(1_u32.to_be_bytes());
    if parameter > 0 {
        bytes.extend([STATE_COOKIE, parameter as u16].map(u16::to_be_bytes).concat());
        bytes.extend(text.as_bytes());
    }
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let checksum = crc32c(&bytes);
    bytes[8..HEADER].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// RFC 9260, appendix A.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| {
        if crc & 1 == 1 {
            crc >> 1 ^ 0x82f6_3b78
        } else {
            crc >> 1
        }
    };
    !bytes
        .iter()
        .fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnoli_s() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_packet_is_read_as_it_was_written_and_no_other() {
        let address = "[::1]:9899".parse().unwrap();
        let mut bytes = encode(5, 6, 7, INIT_ACK, "one 192.0.2.1");
        let packet = Packet::parse(address, &bytes).unwrap();
        assert_eq!(
            (packet.from, packet.to, packet.tag, packet.chunk),
            (5, 6, 7, INIT_ACK)
        );
        assert_eq!(
            (packet.initiate_tag, packet.text.as_str()),
            (TAG, "one 192.0.2.1")
        );
        bytes[0] ^= 1;
        assert_eq!(Packet::parse(address, &bytes), None);
    }
}
