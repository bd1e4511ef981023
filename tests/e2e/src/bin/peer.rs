//! A client or a server of UDP and TCP for both address families, where nginx and curl have nothing to say. A server
//! answers with one line: its name, and whom it sees. This is a test program; it runs in one of the lab's namespaces.
//!
//! `peer serve udp|tcp|sctp ADDRESS NAME`
//! `peer health ADDRESS SERVICE serving|not-serving`: a server of gRPC with the health service
//! `peer ask udp|tcp|sctp ADDRESS TIMES`: from a new port each time; a line per answer, `-` where none came. Over SCTP each is an
//! association from its beginning to its end
//! `peer talk udp ADDRESS TIMES`: all from one port
//! `peer reuse tcp ADDRESS TIMES`: as `ask`, but every connection from the same port
//! `peer hold tcp|udp ADDRESS CONNECTIONS`: see `lb_e2e::hold`
//! `peer sink tcp ADDRESS NAME`: a server that takes all that it is sent before it answers, with the number of bytes as well
//! `peer push tcp ADDRESS BYTES`: sends so many, then prints the answer
//! `peer unwrap ipip|ip6ip6`, `peer unwrap gue ADDRESS`: the far end of a tunnel. A line for each packet: who sent the outer
//! one, and the inner one's two ends; the inner one is taken as if it had come by itself
//! `peer scan tcp|udp ADDRESS`: a line for each port that answers in any way
//! `peer flood tcp ADDRESS TIMES SECONDS`: so many SYNs, evenly over the time, each from another address of FLOOD_SOURCES
//! `peer answers ADDRESS TIMES SECONDS [FROM]`: so many SYN-ACKs and RSTs to the ports of half-open checks of the address, which nobody asked for:
//! from addresses of FLOOD_SOURCES, or all in the name of one server

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use lb_core::check::PROBE_PORTS;
use lb_e2e::sctp;
use socket2::{Domain, Protocol, Socket, Type};

/// How long an answer is waited for: a lost SYN or a server that is not there shows, a slow machine does not.
const PATIENCE: Duration = Duration::from_secs(2);
/// The first of 131,072 addresses that nobody has (198.18.0.0/15, for measurements).
const FLOOD_SOURCES: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["serve", "udp", address, name] => serve_udp(address, name),
        ["serve", "tcp", address, name] => serve_tcp(address, name),
        ["serve", "sctp", address, name] => parse(address).and_then(|address| sctp::serve(address, name)),
        ["health", address, service, status] => {
            parse(address).and_then(|address| lb_e2e::health::serve(address, service, *status == "serving"))
        }
        ["ask", "sctp", address, times] => ask_sctp(address, times),
        ["ask", "tcp", address, times] => ask(address, times, ask_tcp),
        ["ask", "udp", address, times] => ask_udp(address, times),
        ["reuse", "tcp", address, times] => ask(address, times, reuse_tcp),
        ["hold", "tcp", address, connections] => hold(address, connections, lb_e2e::hold::hold),
        ["hold", "udp", address, ports] => hold(address, ports, lb_e2e::hold::talk),
        ["sink", "tcp", address, name] => sink(address, name),
        ["push", "tcp", address, bytes] => ask(address, "1", |address| push(address, bytes)),
        ["unwrap", "ipip"] => raw_tunnel(Domain::IPV4),
        ["unwrap", "ip6ip6"] => raw_tunnel(Domain::IPV6),
        ["unwrap", "gue", address] => gue_tunnel(address),
        ["scan", "tcp", address] => scan(address, Type::STREAM),
        ["scan", "udp", address] => scan(address, Type::DGRAM),
        ["flood", "tcp", address, times, seconds] => {
            parse_v4(address).and_then(|target| flood(times, seconds, |number| syn(number, target)))
        }
        ["answers", address, times, seconds, from @ ..] => parse_v4(address).and_then(|target| {
            let from = from.first().map(|from| parse_v4(from)).transpose()?;
            flood(times, seconds, |number| answer(number, from, *target.ip()))
        }),
        ["talk", "udp", address, times] => parse(address)
            .and_then(socket)
            .and_then(|socket| ask(address, times, |_| datagram(&socket))),
        other => Err(io::Error::other(format!("unknown command {other:?}"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("peer: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn parse(address: &str) -> io::Result<SocketAddr> {
    address.parse().map_err(io::Error::other)
}

fn parse_v4(address: &str) -> io::Result<SocketAddrV4> {
    address.parse().map_err(io::Error::other)
}

fn serve_udp(address: &str, name: &str) -> io::Result<()> {
    let socket = UdpSocket::bind(parse(address)?)?;
    let mut request = [0; 1500];
    loop {
        let (_, client) = socket.recv_from(&mut request)?;
        // For a client to whom answers do not find back, this line is what tells of the request.
        println!("{name} {}", client.ip());
        socket.send_to(format!("{name} {}", client.ip()).as_bytes(), client)?;
    }
}

fn serve_tcp(address: &str, name: &str) -> io::Result<()> {
    let listener = TcpListener::bind(parse(address)?)?;
    loop {
        let (mut stream, client) = listener.accept()?;
        // A check closes at once.
        let _ = stream.write_all(format!("{name} {}", client.ip()).as_bytes());
    }
}

fn ask(address: &str, times: &str, once: impl Fn(SocketAddr) -> io::Result<String>) -> io::Result<()> {
    let address = parse(address)?;
    for _ in 0..times.parse::<u32>().map_err(io::Error::other)? {
        match once(address) {
            Ok(answer) => println!("{answer}"),
            Err(_) => println!("-"),
        }
    }
    Ok(())
}

/// From a new port each time.
fn ask_sctp(address: &str, times: &str) -> io::Result<()> {
    const FIRST_PORT: u16 = 50_000;
    let next = std::cell::Cell::new(FIRST_PORT);
    ask(address, times, |address| {
        sctp::ask(address, next.replace(next.get() + 1), PATIENCE)
    })
}

/// From a port that no question before has had: a socket that is closed may leave its port to the next one, and the same port is
/// the same flow.
fn ask_udp(address: &str, times: &str) -> io::Result<()> {
    let asked = std::cell::RefCell::new(Vec::new());
    ask(address, times, |address| {
        let socket = socket(address)?;
        let answer = datagram(&socket);
        asked.borrow_mut().push(socket);
        answer
    })
}

fn ask_tcp(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}

/// From a port that the last connection has left a moment ago.
fn reuse_tcp(address: SocketAddr) -> io::Result<String> {
    const PORT: u16 = 40_404;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    // The client's own TIME_WAIT would keep its port: it ends with a reset, and what is between must cope.
    socket.set_linger(Some(Duration::ZERO))?;
    let any: SocketAddr = SocketAddr::new([0, 0, 0, 0].into(), PORT);
    socket.bind(&any.into())?;
    socket.connect_timeout(&address.into(), PATIENCE)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn hold(
    address: &str,
    connections: &str,
    how: impl Fn(SocketAddr, usize) -> io::Result<()>,
) -> io::Result<()> {
    how(parse(address)?, connections.parse().map_err(io::Error::other)?)
}

fn sink(address: &str, name: &str) -> io::Result<()> {
    let listener = TcpListener::bind(parse(address)?)?;
    loop {
        let (mut stream, client) = listener.accept()?;
        // A check closes at once.
        let bytes = io::copy(&mut stream, &mut io::sink()).unwrap_or(0);
        let _ = stream.write_all(format!("{name} {} {bytes}", client.ip()).as_bytes());
    }
}

fn push(address: SocketAddr, bytes: &str) -> io::Result<String> {
    let bytes: usize = bytes.parse().map_err(io::Error::other)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(10 * PATIENCE))?;
    stream.set_write_timeout(Some(10 * PATIENCE))?;
    stream.write_all(&vec![b'.'; bytes])?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// IPIP (protocol 4) or IPv6 in IPv6 (41).
fn raw_tunnel(domain: Domain) -> io::Result<()> {
    let protocol = if domain == Domain::IPV4 { 4 } else { 41 };
    let socket = raw(domain, protocol)?;
    let tunnel = Delivery::new()?;
    // As a UDP socket: the standard library reads into initialised memory, and tells who sent.
    let socket = UdpSocket::from(socket);
    let mut packet = [0; 65_535];
    loop {
        let (length, outer) = socket.recv_from(&mut packet)?;
        // An IPv4 socket is given the outer header as well, which has no options.
        let header = if domain == Domain::IPV4 { 20 } else { 0 };
        if let Some(inner) = packet[..length].get(header..) {
            tunnel.take(outer.ip(), inner)?;
        }
    }
}

/// GUE's header is 4 bytes here: version, type, length and flags 0, and the protocol of what is inside.
fn gue_tunnel(address: &str) -> io::Result<()> {
    let socket = UdpSocket::bind(parse(address)?)?;
    let tunnel = Delivery::new()?;
    let mut packet = [0; 65_535];
    loop {
        let (length, outer) = socket.recv_from(&mut packet)?;
        match &packet[..length] {
            [0, 4 | 41, 0, 0, inner @ ..] => tunnel.take(outer.ip(), inner)?,
            other => println!("not GUE: {:02x?}", &other[..other.len().min(8)]),
        }
    }
}

/// The machine's own stack, as the end of a tunnel.
struct Delivery {
    v4: Socket,
    v6: Socket,
}

impl Delivery {
    /// IPPROTO_RAW: what is sent begins with its IP header.
    fn new() -> io::Result<Delivery> {
        const RAW: i32 = 255;
        Ok(Delivery {
            v4: raw(Domain::IPV4, RAW)?,
            v6: raw(Domain::IPV6, RAW)?,
        })
    }

    fn take(&self, outer: IpAddr, inner: &[u8]) -> io::Result<()> {
        let v4 = |at: usize| -> Option<IpAddr> {
            let bytes: [u8; 4] = inner.get(at..at + 4)?.try_into().ok()?;
            Some(bytes.into())
        };
        let v6 = |at: usize| -> Option<IpAddr> {
            let bytes: [u8; 16] = inner.get(at..at + 16)?.try_into().ok()?;
            Some(bytes.into())
        };
        let ends = match inner.first().map(|byte| byte >> 4) {
            Some(4) => v4(12).zip(v4(16)),
            Some(6) => v6(8).zip(v6(24)),
            _ => None,
        };
        let Some((from, to)) = ends else {
            println!("not a packet: {:02x?}", &inner[..inner.len().min(8)]);
            return Ok(());
        };
        println!("{outer} {from} {to}");
        let socket = if to.is_ipv4() { &self.v4 } else { &self.v6 };
        socket.send_to(inner, &SocketAddr::new(to, 0).into()).map(drop)
    }
}

fn raw(domain: Domain, protocol: i32) -> io::Result<Socket> {
    const SOCK_RAW: i32 = 3;
    Socket::new(domain, Type::from(SOCK_RAW), Some(Protocol::from(protocol)))
}

fn scan(address: &str, kind: Type) -> io::Result<()> {
    let address: IpAddr = address.parse().map_err(io::Error::other)?;
    for port in lb_e2e::scan::scan(address, kind)? {
        println!("{port}");
    }
    Ok(())
}

/// Nobody waits for the answers. Prints how many were sent.
fn flood(times: &str, seconds: &str, segment: impl Fn(u32) -> Segment) -> io::Result<()> {
    const RAW: i32 = 255;
    const BATCH: u32 = 20;
    let times: u32 = times.parse().map_err(io::Error::other)?;
    let time = Duration::from_secs(seconds.parse().map_err(io::Error::other)?);
    let socket = raw(Domain::IPV4, RAW)?;
    // Another flood is one of other connections.
    let first = SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |time| time.subsec_nanos());
    let (begun, mut sent) = (Instant::now(), 0);
    for number in 0..times {
        let segment = segment(first.wrapping_add(number));
        let to = SocketAddr::from(segment.to).into();
        // A queue that is full for a moment is a segment that the network lost.
        sent += u32::from(socket.send_to(&segment.packet(), &to).is_ok());
        if number % BATCH == 0 {
            let due = time.mul_f64(f64::from(number) / f64::from(times));
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
    }
    println!("{sent}");
    Ok(())
}

struct Segment {
    from: SocketAddrV4,
    to: SocketAddrV4,
    sequence: u32,
    acknowledges: u32,
    flags: u8,
}

fn syn(number: u32, target: SocketAddrV4) -> Segment {
    let port = u16::try_from(1_024 + number % 60_000).unwrap_or(1_024);
    Segment {
        from: SocketAddrV4::new(nobody(number), port),
        to: target,
        sequence: number.wrapping_mul(2_654_435_761),
        acknowledges: 0,
        flags: 0x02,
    }
}

/// To a check that was never made; `from` is a server's address, or everybody's.
fn answer(number: u32, from: Option<SocketAddrV4>, target: Ipv4Addr) -> Segment {
    let from = from.unwrap_or_else(|| SocketAddrV4::new(nobody(number), 8_080));
    let ports = u32::from(*PROBE_PORTS.start())..=u32::from(*PROBE_PORTS.end());
    let port = ports.start() + number % (ports.end() - ports.start() + 1);
    Segment {
        from,
        to: SocketAddrV4::new(target, port as u16),
        sequence: number,
        acknowledges: number.wrapping_mul(2_654_435_761),
        flags: if number.is_multiple_of(2) { 0x12 } else { 0x14 },
    }
}

fn nobody(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(FLOOD_SOURCES.to_bits() | (number % (1 << 17)))
}

impl Segment {
    /// The kernel fills in the IP header's own checksum.
    fn packet(&self) -> [u8; 40] {
        let mut packet = [0; 40];
        packet[..10].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6]);
        packet[12..16].copy_from_slice(&self.from.ip().octets());
        packet[16..20].copy_from_slice(&self.to.ip().octets());
        packet[20..22].copy_from_slice(&self.from.port().to_be_bytes());
        packet[22..24].copy_from_slice(&self.to.port().to_be_bytes());
        packet[24..28].copy_from_slice(&self.sequence.to_be_bytes());
        packet[28..32].copy_from_slice(&self.acknowledges.to_be_bytes());
        // Five words of header, the flags, a window.
        packet[32..36].copy_from_slice(&[0x50, self.flags, 0xfa, 0xf0]);
        // The pseudo header: both addresses, the protocol, the length.
        let words = packet[12..]
            .chunks_exact(2)
            .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
        let sum: u32 = words.sum::<u32>() + 6 + 20;
        let folded = (sum & 0xffff) + (sum >> 16);
        let folded = (folded & 0xffff) + (folded >> 16);
        packet[36..38].copy_from_slice(&(!(folded as u16)).to_be_bytes());
        packet
    }
}

/// Connected: only what comes from `address` itself is an answer.
fn socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: &str = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn datagram(socket: &UdpSocket) -> io::Result<String> {
    socket.send(b"?")?;
    let mut answer = [0; 1500];
    let length = socket.recv(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}
