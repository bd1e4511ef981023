//! Datagrams: sent, and sent back with the server's name in front. Must not: send one again.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{SockRef, Socket, Type};

use super::exchange::{Answer, Failure, socket};
use super::options::Client;

const LARGEST: usize = 65_535;

/// For bursts of large datagrams, as far as the machine allows it.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// Serves until it is killed.
pub fn serve(name: &str, addresses: &[SocketAddr]) -> io::Result<()> {
    let name: Arc<str> = name.into();
    for address in addresses {
        let (name, socket) = (Arc::clone(&name), UdpSocket::bind(address)?);
        SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
        thread::spawn(move || echo(&name, &socket));
    }
    println!("ready");
    loop {
        thread::park();
    }
}

fn echo(name: &str, socket: &UdpSocket) {
    let mut buffer = vec![0; LARGEST];
    loop {
        // An error is what the network said of an earlier answer.
        if let Ok((count, client)) = socket.recv_from(&mut buffer) {
            let answer = [name.as_bytes(), b" ", &buffer[..count]].concat();
            let _ = socket.send_to(&answer, client);
        }
    }
}

/// One thread's socket, and the number of its next datagram.
#[derive(Debug)]
pub struct Talk {
    socket: Socket,
    next: u64,
    patience: Duration,
}

impl Talk {
    pub fn open(client: &Client, to: SocketAddr, port: u16) -> Result<Talk, Failure> {
        let socket = socket(client, to, port, Type::DGRAM).map_err(Failure::io("connect"))?;
        socket.connect(&to.into()).map_err(Failure::io("connect"))?;
        Ok(Talk {
            socket,
            next: 0,
            patience: client.patience,
        })
    }

    pub fn local_end(&self) -> String {
        let address = self
            .socket
            .local_addr()
            .ok()
            .and_then(|address| address.as_socket());
        address.map(|address| address.to_string()).unwrap_or_default()
    }

    /// One datagram of `bytes` bytes there and back. An answer to an earlier one, which was counted as lost, is passed over.
    pub fn ask(&mut self, bytes: u64) -> Result<Answer, Failure> {
        let started = Instant::now();
        let mut request = format!("{:020}", self.next).into_bytes();
        request.resize(request.len().max(bytes as usize), b'.');
        self.next += 1;
        self.socket.send(&request).map_err(Failure::io("request"))?;
        let mut buffer = vec![0; LARGEST];
        loop {
            let count = io::Read::read(&mut &self.socket, &mut buffer).map_err(Failure::io("answer"))?;
            let answer = &buffer[..count];
            let Some(name) = answer.iter().position(|byte| *byte == b' ') else {
                return Err(Failure::wrong("answer", "no name"));
            };
            if answer[name + 1..] == request[..] {
                return Ok(Answer {
                    server: String::from_utf8_lossy(&answer[..name]).into_owned(),
                    bytes: count as u64,
                    took: started.elapsed(),
                });
            }
            if answer.len() != name + 1 + request.len() || started.elapsed() > self.patience {
                return Err(Failure::wrong("answer", "not what was sent"));
            }
        }
    }
}
