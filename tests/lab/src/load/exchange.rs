//! One connection of a client: it is established, requests get their answers, it ends. What goes wrong is a [`Failure`] with
//! its kind and its place. Must not: try anything twice.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::options::Client;
use super::pattern::{PIECE, Pattern};

/// For the header of an answer.
const HEADER_LIMIT: usize = 2048;

/// How a connection came to an end that it should not have had.
#[derive(Debug)]
pub struct Failure {
    pub kind: &'static str,
    pub during: &'static str,
    pub what: String,
}

impl Failure {
    pub fn wrong(during: &'static str, what: impl Into<String>) -> Failure {
        Failure {
            kind: "wrong",
            during,
            what: what.into(),
        }
    }

    pub fn io(during: &'static str) -> impl Fn(io::Error) -> Failure {
        move |error| {
            let kind = kind_of(&error);
            let what = match kind {
                "timeout" => "nothing came in time".to_owned(),
                _ => error.to_string(),
            };
            Failure { kind, during, what }
        }
    }
}

fn kind_of(error: &io::Error) -> &'static str {
    // What a connect that may block no longer says when SO_SNDTIMEO is over.
    if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) {
        return "timeout";
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => "refused",
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => "reset",
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "timeout",
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "unreachable",
        ErrorKind::UnexpectedEof => "short",
        ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable => "local",
        _ => "other",
    }
}

/// An established connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Who answered on it first; nobody else may later.
    server: Option<String>,
    pub established_in: Duration,
}

/// A whole and right answer.
#[derive(Debug)]
pub struct Answer {
    pub server: String,
    pub bytes: u64,
    pub took: Duration,
}

/// What a thread keeps from one exchange to the next.
#[derive(Debug)]
pub struct Desk {
    pattern: Pattern,
    buffer: Vec<u8>,
}

impl Desk {
    pub fn new() -> Desk {
        Desk {
            pattern: Pattern::new(),
            buffer: vec![0; PIECE],
        }
    }
}

/// A socket with the orders' own address; `port` 0 is the kernel's choice.
pub fn socket(client: &Client, to: SocketAddr, port: u16, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), kind, None)?;
    socket.set_write_timeout(Some(client.patience))?;
    socket.set_read_timeout(Some(client.patience))?;
    if port != 0 || client.from.is_some() {
        let any: IpAddr = if to.is_ipv4() {
            [0; 4].into()
        } else {
            [0; 16].into()
        };
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::new(client.from.unwrap_or(any), port).into())?;
    }
    Ok(socket)
}

impl Connection {
    /// Failures come with the client's own end, as far as there is one.
    pub fn open(client: &Client, to: SocketAddr, port: u16) -> Result<Connection, (Failure, String)> {
        let unbound = |error| (Failure::io("connect")(error), format!(":{port}"));
        let socket = socket(client, to, port, Type::STREAM).map_err(unbound)?;
        socket.set_tcp_nodelay(true).map_err(unbound)?;
        let started = Instant::now();
        if let Err(error) = socket.connect(&to.into()) {
            return Err((Failure::io("connect")(error), end_of(&socket)));
        }
        Ok(Connection {
            stream: socket.into(),
            server: None,
            established_in: started.elapsed(),
        })
    }

    pub fn local_end(&self) -> String {
        let address = self.stream.local_addr();
        address.map(|address| address.to_string()).unwrap_or_default()
    }

    /// One request and its whole answer; `last` asks the server to close then.
    pub fn ask(&mut self, desk: &mut Desk, bytes: u64, last: bool) -> Result<Answer, Failure> {
        let started = Instant::now();
        let path = if bytes == 0 {
            "/".to_owned()
        } else {
            format!("/bytes/{bytes}")
        };
        let close = if last { "Connection: close\r\n" } else { "" };
        let request = format!("GET {path} HTTP/1.1\r\nHost: load\r\n{close}\r\n");
        let sent = self.stream.write_all(request.as_bytes());
        sent.map_err(Failure::io("request"))?;
        let (server, length) = self.read_answer(desk, bytes)?;
        let before = self.server.get_or_insert_with(|| server.clone());
        if *before != server {
            return Err(Failure::wrong("answer", format!("from {server} after {before}")));
        }
        Ok(Answer {
            server,
            bytes: length,
            took: started.elapsed(),
        })
    }

    fn read_answer(&mut self, desk: &mut Desk, wanted: u64) -> Result<(String, u64), Failure> {
        let mut filled = 0;
        let body = loop {
            if let Some(end) = find(&desk.buffer[..filled], b"\r\n\r\n") {
                break end + 4;
            }
            if filled >= HEADER_LIMIT {
                return Err(Failure::wrong("answer", "a header without an end"));
            }
            filled += self.read(&mut desk.buffer[filled..HEADER_LIMIT])?;
        };
        let (server, length) = header(&desk.buffer[..body])?;
        if wanted > 0 && length != wanted {
            return Err(Failure::wrong("answer", format!("{length} bytes are announced")));
        }
        let mut got = (filled - body) as u64;
        if wanted > 0 {
            check(&desk.pattern, 0, &desk.buffer[body..filled])?;
        }
        while got < length {
            let room = (length - got).min(PIECE as u64) as usize;
            let count = self.read(&mut desk.buffer[..room])?;
            if wanted > 0 {
                check(&desk.pattern, got, &desk.buffer[..count])?;
            }
            got += count as u64;
        }
        if got > length {
            return Err(Failure::wrong(
                "answer",
                format!("{got} bytes instead of {length}"),
            ));
        }
        Ok((server, length))
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        match self.stream.read(buffer) {
            Ok(0) => Err(Failure::io("answer")(ErrorKind::UnexpectedEof.into())),
            Ok(count) => Ok(count),
            Err(error) => Err(Failure::io("answer")(error)),
        }
    }

    /// Sees the server's end of the connection, which was asked for, and closes ours.
    pub fn end(mut self) -> Result<(), Failure> {
        match self.stream.read(&mut [0; 16]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(Failure::wrong("close", "more than the answer")),
            Err(error) => Err(Failure::io("close")(error)),
        }
    }
}

fn end_of(socket: &Socket) -> String {
    let address = socket.local_addr().ok().and_then(|address| address.as_socket());
    address.map(|address| address.to_string()).unwrap_or_default()
}

/// The server's name and the length of the body.
fn header(bytes: &[u8]) -> Result<(String, u64), Failure> {
    let text = String::from_utf8_lossy(bytes);
    if !text.starts_with("HTTP/1.1 200 ") {
        let line = text.lines().next().unwrap_or_default();
        return Err(Failure::wrong("answer", line));
    }
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let length = field("Content-Length: ").and_then(|length| length.parse().ok());
    match (field("Server: "), length) {
        (Some(server), Some(length)) => Ok((server.to_owned(), length)),
        _ => Err(Failure::wrong("answer", "no server or no length in the header")),
    }
}

fn check(pattern: &Pattern, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
    if pattern.at(offset, bytes.len()) == bytes {
        return Ok(());
    }
    Err(Failure::wrong("answer", format!("other bytes at {offset}")))
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_header_of_an_ok_answer_counts() {
        let ok = b"HTTP/1.1 200 OK\r\nServer: one\r\nContent-Length: 12\r\n\r\n";
        assert_eq!(header(ok).unwrap(), ("one".to_owned(), 12));
        assert_eq!(header(b"HTTP/1.1 503 No\r\n\r\n").unwrap_err().kind, "wrong");
        assert_eq!(header(b"HTTP/1.1 200 OK\r\n\r\n").unwrap_err().kind, "wrong");
    }
}
