//! The server: HTTP/1.1 as far as [`super::exchange`] and curl speak it. Each thread takes a connection and serves it to its
//! end; there is always one more that waits for the next. Must not: be what is measured.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use socket2::{Domain, Socket, Type};

use super::pattern::{PIECE, Pattern};

/// Enough for a burst of some thousand clients; the machine's own limit may be lower.
const BACKLOG: i32 = 4096;
/// A request of ours has less than a tenth of this.
const REQUEST_LIMIT: usize = 4096;
const STACK: usize = 128 * 1024;

pub(super) struct Server {
    name: String,
    pattern: Pattern,
}

impl Server {
    pub(super) fn new(name: &str) -> Server {
        Server {
            name: name.to_owned(),
            pattern: Pattern::new(),
        }
    }
}

/// One address, with the threads that wait at it.
struct Door {
    server: Arc<Server>,
    listener: TcpListener,
    waiting: AtomicUsize,
}

/// Serves until it is killed.
pub fn serve(name: &str, addresses: &[SocketAddr]) -> io::Result<()> {
    let server = Arc::new(Server::new(name));
    for address in addresses {
        let door = Arc::new(Door {
            server: Arc::clone(&server),
            listener: listen(*address)?,
            waiting: AtomicUsize::new(1),
        });
        start(door)?;
    }
    println!("ready");
    loop {
        thread::park();
    }
}

pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn start(door: Arc<Door>) -> io::Result<()> {
    let thread = thread::Builder::new().stack_size(STACK);
    thread.spawn(move || work(&door)).map(drop)
}

fn work(door: &Arc<Door>) {
    let mut buffer = vec![0; REQUEST_LIMIT];
    loop {
        let accepted = door.listener.accept();
        // The last one that waits leaves somebody in its place; one that stays behind is used again.
        if door.waiting.fetch_sub(1, Ordering::SeqCst) == 1 {
            door.waiting.fetch_add(1, Ordering::SeqCst);
            if let Err(failure) = start(Arc::clone(door)) {
                eprintln!("load: no more threads: {failure}");
                door.waiting.fetch_sub(1, Ordering::SeqCst);
            }
        }
        if let Ok((stream, client)) = accepted {
            // What goes wrong here is the client's to notice: it has no whole answer.
            let _ = converse(&door.server, &stream, client, &mut buffer);
        }
        door.waiting.fetch_add(1, Ordering::SeqCst);
    }
}

/// Requests and answers until one of both closes.
fn converse(
    server: &Server,
    mut stream: &TcpStream,
    client: SocketAddr,
    buffer: &mut [u8],
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut filled = 0;
    loop {
        let count = stream.read(&mut buffer[filled..])?;
        if count == 0 {
            return Ok(());
        }
        filled += count;
        // One request at a time: nothing of ours sends the next before it has the answer.
        if !buffer[..filled].ends_with(b"\r\n\r\n") {
            continue;
        }
        let request = String::from_utf8_lossy(&buffer[..filled]).into_owned();
        filled = 0;
        answer(server, stream, client, &request)?;
        if request.contains("Connection: close") {
            return Ok(());
        }
    }
}

/// One request, which is there, and its answer; whether the connection goes on.
pub(super) fn converse_once(server: &Server, mut stream: &TcpStream) -> io::Result<bool> {
    let mut buffer = [0; REQUEST_LIMIT];
    let count = stream.read(&mut buffer)?;
    // One segment holds it whole.
    let request = String::from_utf8_lossy(&buffer[..count]);
    if !request.ends_with("\r\n\r\n") {
        return Ok(false);
    }
    answer(server, stream, stream.peer_addr()?, &request)?;
    Ok(!request.contains("Connection: close"))
}

fn answer(server: &Server, mut stream: &TcpStream, client: SocketAddr, request: &str) -> io::Result<()> {
    let path = request.split(' ').nth(1).unwrap_or("/");
    let wanted: Option<u64> = path.strip_prefix("/bytes/").and_then(|count| count.parse().ok());
    let (name, client) = (&server.name, client.ip());
    let body = match wanted {
        None => format!("{name} {client}\n"),
        Some(_) => String::new(),
    };
    let length = wanted.unwrap_or(body.len() as u64);
    let mut text =
        format!("HTTP/1.1 200 OK\r\nServer: {name}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes();
    let mut offset = 0;
    // The beginning goes with the header: a small answer is one segment.
    if let Some(wanted) = wanted {
        offset = wanted.min(1024);
        text.extend_from_slice(server.pattern.at(0, offset as usize));
    }
    stream.write_all(&text)?;
    while let Some(rest) = wanted.map(|wanted| wanted - offset).filter(|rest| *rest > 0) {
        let piece = rest.min(PIECE as u64) as usize;
        stream.write_all(server.pattern.at(offset, piece))?;
        offset += piece as u64;
    }
    Ok(())
}
