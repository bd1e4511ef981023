//! A client or a server of UDP and TCP for both address families, where nginx and curl have nothing to say. A server
//! answers with one line: its name, and whom it sees. This is a test program; it runs in one of the lab's namespaces.
//!
//! `peer serve udp|tcp ADDRESS NAME`
//! `peer ask udp|tcp ADDRESS TIMES`: from a new port each time; a line per answer, `-` where none came
//! `peer talk udp ADDRESS TIMES`: all from one port
//! `peer reuse tcp ADDRESS TIMES`: as `ask`, but every connection from the same port
//! `peer unwrap`: a line for each packet inside of an IPIP packet: who sent the outer one, and the inner one's two ends
//! `peer scan tcp ADDRESS`: a line for each port that answers in any way

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// How long an answer is waited for: a lost SYN or a server that is not there shows, a slow machine does not.
const PATIENCE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["serve", "udp", address, name] => serve_udp(address, name),
        ["serve", "tcp", address, name] => serve_tcp(address, name),
        ["ask", "tcp", address, times] => ask(address, times, ask_tcp),
        ["ask", "udp", address, times] => ask(address, times, |address| datagram(&socket(address)?)),
        ["reuse", "tcp", address, times] => ask(address, times, reuse_tcp),
        ["unwrap"] => unwrap_packets(),
        ["scan", "tcp", address] => scan(address),
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

fn serve_udp(address: &str, name: &str) -> io::Result<()> {
    let socket = UdpSocket::bind(parse(address)?)?;
    let mut request = [0; 1500];
    loop {
        let (_, client) = socket.recv_from(&mut request)?;
        // For a service whose answers do not find back, this line is what tells of the request.
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

fn unwrap_packets() -> io::Result<()> {
    const SOCK_RAW: i32 = 3;
    const IPIP: i32 = 4;
    let mut socket = Socket::new(Domain::IPV4, Type::from(SOCK_RAW), Some(Protocol::from(IPIP)))?;
    let mut packet = [0; 65_535];
    loop {
        let length = socket.read(&mut packet)?;
        let address = |at: usize| -> Option<Ipv4Addr> {
            let bytes: [u8; 4] = packet[..length].get(at..at + 4)?.try_into().ok()?;
            Some(bytes.into())
        };
        // Both headers are without options: 20 bytes, the source at 12, the destination at 16.
        if let (Some(outer), Some(from), Some(to)) = (address(12), address(32), address(36)) {
            println!("{outer} {from} {to}");
        }
    }
}

/// A port that is filtered says nothing within the time of a group.
fn scan(address: &str) -> io::Result<()> {
    const GROUP: usize = 1_000;
    const GROUP_PATIENCE: Duration = Duration::from_millis(250);
    let address: IpAddr = address.parse().map_err(io::Error::other)?;
    let ports: Vec<u16> = (1..=u16::MAX).collect();
    for group in ports.chunks(GROUP) {
        let mut sockets = Vec::new();
        for port in group {
            let target = SocketAddr::new(address, *port);
            let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            let _ = socket.connect(&target.into());
            sockets.push((*port, socket));
        }
        std::thread::sleep(GROUP_PATIENCE);
        for (port, socket) in sockets {
            let refused = socket.take_error()?;
            if refused.is_some() || socket.peer_addr().is_ok() {
                println!("{port}");
            }
        }
    }
    Ok(())
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
