//! Connections that are kept and are silent until somebody wants to know what has become of them. The client's side is played by
//! `peer`, in its namespace; [`Held`] is the story's end of it.
//! Must not: try anything twice.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use lb_lab::command::command;
use lb_lab::{LabError, Result};

use crate::Peers;

/// For an answer. Who is told that its connection is over is told sooner.
const PATIENCE: Duration = Duration::from_secs(1);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: held\r\n\r\n";

/// What one question came to: the server's name, or `reset`, `closed`, `silence`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    pub said: String,
    pub took: Duration,
}

/// Kept connections; they end when dropped.
#[derive(Debug)]
pub struct Held {
    process: Child,
    said: BufReader<ChildStdout>,
    /// Who serves each.
    servers: Vec<String>,
}

impl Held {
    /// So many from `namespace`, each of which has been answered once.
    pub fn open(peers: &Peers, namespace: &str, address: &str, connections: usize) -> Result<Held> {
        Held::start(peers, namespace, ("tcp", address), connections)
    }

    /// The same of datagrams: ports, which keep their server as long as it is there. They are answered by `peer serve udp`.
    pub fn talk(peers: &Peers, namespace: &str, address: &str, ports: usize) -> Result<Held> {
        Held::start(peers, namespace, ("udp", address), ports)
    }

    fn start(
        peers: &Peers,
        namespace: &str,
        (protocol, address): (&str, &str),
        connections: usize,
    ) -> Result<Held> {
        let mut process = command("ip")
            .args(["netns", "exec", namespace])
            .arg(peers.program())
            .args(["hold", protocol, address, &connections.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(LabError::io(format!("start a client in {namespace}")))?;
        let said = process.stdout.take().map(BufReader::new);
        let said = said.ok_or_else(|| LabError::Unexpected("a client without an output".into()))?;
        let mut held = Held {
            process,
            said,
            servers: Vec::new(),
        };
        for _ in 0..connections {
            let word = held.word()?;
            held.servers.push(word.said);
        }
        Ok(held)
    }

    /// The numbers of those that this server serves.
    pub fn at(&self, server: &str) -> Vec<usize> {
        let all = self.servers.iter().enumerate();
        all.filter(|(_, name)| *name == server)
            .map(|(number, _)| number)
            .collect()
    }

    /// Asks on one connection.
    pub fn ask(&mut self, number: usize) -> Result<Word> {
        let input = self.process.stdin.as_mut();
        let asked = input.map_or(Ok(()), |input| writeln!(input, "{number}"));
        asked.map_err(LabError::io("ask on a kept connection"))?;
        self.word()
    }

    /// Asks on all of them: each is answered by the server that it had.
    pub fn assert_whole(&mut self, occasion: &str) -> Result<()> {
        for number in 0..self.servers.len() {
            let word = self.ask(number)?;
            assert_eq!(word.said, self.servers[number], "{occasion}: connection {number}");
        }
        Ok(())
    }

    fn word(&mut self) -> Result<Word> {
        let mut line = String::new();
        let read = self.said.read_line(&mut line);
        read.map_err(LabError::io("read what became of a connection"))?;
        let word = line.trim().rsplit_once(' ').and_then(|(said, took)| {
            let took = Duration::from_micros(took.parse().ok()?);
            Some(Word {
                said: said.to_owned(),
                took,
            })
        });
        word.ok_or_else(|| LabError::Unexpected(format!("a client that keeps connections said `{line}`")))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The client: opens TCP connections, then asks on the one whose number is on the next line, until there is no line.
pub fn hold(address: SocketAddr, connections: usize) -> io::Result<()> {
    let open = || {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    keep(connections, open, ask)
}

/// The client of datagrams, over IPv4.
pub fn talk(address: SocketAddr, ports: usize) -> io::Result<()> {
    let open = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(socket)
    };
    keep(ports, open, exchange)
}

fn keep<C>(
    count: usize,
    open: impl Fn() -> io::Result<C>,
    ask: impl Fn(&C) -> io::Result<String>,
) -> io::Result<()> {
    let mut kept = Vec::new();
    for _ in 0..count {
        let begun = Instant::now();
        let one = open()?;
        say(begun, ask(&one));
        kept.push(one);
    }
    for line in io::stdin().lines() {
        let number: usize = line?.trim().parse().map_err(io::Error::other)?;
        let one = kept.get(number);
        let one = one.ok_or_else(|| io::Error::other(format!("there is no connection {number}")))?;
        say(Instant::now(), ask(one));
    }
    Ok(())
}

/// The name of who answers a datagram: the answer's first word.
fn exchange(socket: &UdpSocket) -> io::Result<String> {
    socket.send(b"who\n")?;
    let mut answer = [0; 256];
    let length = socket.recv(&mut answer)?;
    let text = String::from_utf8_lossy(answer.get(..length).unwrap_or_default()).into_owned();
    let name = text.split_whitespace().next();
    name.map(str::to_owned)
        .ok_or_else(|| io::Error::other("an answer without a server"))
}

fn say(begun: Instant, answer: io::Result<String>) {
    let took = begun.elapsed().as_micros();
    let word = answer.unwrap_or_else(|error| {
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "reset",
            ErrorKind::UnexpectedEof => "closed",
            ErrorKind::WouldBlock | ErrorKind::TimedOut => "silence",
            _ => "error",
        }
        .to_owned()
    });
    println!("{word} {took}");
}

/// The name of who answers.
fn ask(mut stream: &TcpStream) -> io::Result<String> {
    stream.write_all(REQUEST)?;
    let (mut text, mut piece) = (Vec::new(), [0; 2048]);
    while !is_whole(&text) {
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        text.extend_from_slice(&piece[..count]);
    }
    let text = String::from_utf8_lossy(&text);
    let name = text.lines().find_map(|line| line.strip_prefix("Server: "));
    name.map(str::to_owned)
        .ok_or_else(|| io::Error::other("an answer without a server"))
}

/// A header, and as many bytes as it announces.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((header, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = header
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    length
        .and_then(|length| length.parse().ok())
        .is_some_and(|length: usize| body.len() >= length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        let answer = b"HTTP/1.1 200 OK\r\nServer: one\r\nContent-Length: 4\r\n\r\none\n";
        assert!(is_whole(answer));
        for length in 0..answer.len() {
            assert!(!is_whole(&answer[..length]), "{length} bytes");
        }
    }
}
