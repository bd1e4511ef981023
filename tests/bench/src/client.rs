//! host01's impatient client: a new request every few milliseconds, whatever became of the earlier ones, until the first is
//! answered with 200. Runs as a process of its own inside host01's namespace. Must not: judge anything but the status line.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Socket, Type};

/// Between two requests: the resolution of the figure.
const EVERY: Duration = Duration::from_millis(20);
/// As with `curl -m 2`.
const PATIENCE: Duration = Duration::from_secs(2);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 192.168.0.1\r\nConnection: close\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 ";

struct Attempt {
    socket: Socket,
    started: Instant,
    sent: bool,
    answer: Vec<u8>,
}

/// What has become of an attempt.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Pending,
    Failed,
    Answered,
}

/// Returns at the first 200 from `server`, however long that takes; whoever started this ends it when it is late.
pub fn first_answer(server: SocketAddr) -> io::Result<()> {
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut next = Instant::now();
    loop {
        if Instant::now() >= next {
            attempts.extend(Attempt::start(server));
            next += EVERY;
        }
        wait(&attempts, next.saturating_duration_since(Instant::now()))?;
        let mut answered = false;
        attempts.retain_mut(|attempt| {
            let fate = attempt.advance();
            answered |= fate == Fate::Answered;
            fate == Fate::Pending && attempt.started.elapsed() < PATIENCE
        });
        if answered {
            return Ok(());
        }
    }
}

fn wait(attempts: &[Attempt], limit: Duration) -> io::Result<()> {
    let mut sockets: Vec<PollFd<'_>> = attempts
        .iter()
        .map(|attempt| PollFd::new(&attempt.socket, attempt.interest()))
        .collect();
    let limit = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(limit.min(EVERY).subsec_nanos()),
    };
    poll(&mut sockets, Some(&limit))?;
    Ok(())
}

impl Attempt {
    /// `None` when the connection cannot even be begun: no route yet.
    fn start(server: SocketAddr) -> Option<Attempt> {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None).ok()?;
        socket.set_nonblocking(true).ok()?;
        match socket.connect(&server.into()) {
            Err(failure) if failure.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
                None
            }
            _ => Some(Attempt {
                socket,
                started: Instant::now(),
                sent: false,
                answer: Vec::new(),
            }),
        }
    }

    fn interest(&self) -> PollFlags {
        if self.sent { PollFlags::IN } else { PollFlags::OUT }
    }

    fn advance(&mut self) -> Fate {
        if !self.sent {
            match self.socket.write(REQUEST) {
                Ok(_) => self.sent = true,
                Err(failure) if is_early(&failure) => return Fate::Pending,
                Err(_) => return Fate::Failed,
            }
        }
        let mut buffer = [0; 2048];
        match self.socket.read(&mut buffer) {
            Ok(0) => Fate::Failed,
            Ok(count) => {
                self.answer.extend_from_slice(&buffer[..count]);
                judge(&self.answer)
            }
            Err(failure) if is_early(&failure) => Fate::Pending,
            Err(_) => Fate::Failed,
        }
    }
}

/// Not connected yet, or nothing to read yet.
fn is_early(failure: &io::Error) -> bool {
    failure.kind() == io::ErrorKind::WouldBlock
}

fn judge(answer: &[u8]) -> Fate {
    let length = answer.len().min(ANSWER.len());
    if answer[..length] != ANSWER[..length] {
        Fate::Failed
    } else if length == ANSWER.len() {
        Fate::Answered
    } else {
        Fate::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn only_200_is_an_answer() {
        assert_eq!(judge(b"HTTP/1.1 200 OK\r\n"), Fate::Answered);
        assert_eq!(judge(b"HTTP/1.1 2"), Fate::Pending);
        assert_eq!(judge(b"HTTP/1.1 502 Bad Gateway\r\n"), Fate::Failed);
    }

    /// One that is never answered, one that is closed, one with a 502, and at last a 200.
    #[test]
    fn it_keeps_trying_until_somebody_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = std::thread::spawn(move || first_answer(address));
        let _silent = listener.accept().unwrap();
        drop(listener.accept().unwrap());
        for status in ["502 Bad Gateway", "200 OK"] {
            assert!(!client.is_finished());
            let (mut socket, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let count = socket.read(&mut request).unwrap();
            assert_eq!(&request[..count], REQUEST);
            write!(socket, "HTTP/1.1 {status}\r\n\r\n").unwrap();
        }
        client.join().unwrap().unwrap();
    }
}
