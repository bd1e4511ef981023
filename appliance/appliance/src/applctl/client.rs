//! The client of the agent's control socket: one line of JSON out, one line back. Every wait is bounded and ends at
//! Ctrl-C. Must not: know what the answers mean.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lb_core::control::{Request, Response};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use thiserror::Error;

use super::interrupt::{Interrupt, Wake};

/// An answer may list every connection and every server; more than this is not an answer.
const MAX_RESPONSE_BYTES: usize = 256 << 20;
/// Reports are made from what the agent holds.
const REPORT_PATIENCE: Duration = Duration::from_secs(10);
/// Applying waits for the kernel and the disk.
const APPLY_PATIENCE: Duration = Duration::from_secs(120);
/// A check may take five minutes.
const PROBE_PATIENCE: Duration = Duration::from_secs(310);

#[derive(Debug, Error)]
pub enum AskError {
    #[error("the agent is not running (its socket is {})", path.display())]
    Absent {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the agent does not answer: nothing came within {} seconds", .0.as_secs())]
    Silent(Duration),
    #[error("the agent ended before it answered")]
    Closed,
    #[error("the agent cannot be asked")]
    Io(#[source] io::Error),
    #[error("the agent's answer is not understood")]
    Garbled(#[source] serde_json::Error),
    #[error("the agent's answer is too long")]
    TooLong,
    #[error("interrupted")]
    Interrupted,
    /// A change that was asked for, and whose end nobody has waited for.
    #[error(
        "interrupted, and not taken back: the appliance carries it out all the same; `status` and `config history` say what came of it"
    )]
    Unheard,
}

/// Asks with the patience that the request needs.
pub fn ask(path: &Path, request: &Request, interrupt: &Interrupt) -> Result<Response, AskError> {
    let patience = match request {
        Request::ConfigPut { .. }
        | Request::ConfigApply { .. }
        | Request::ConfigCheck { .. }
        | Request::ConfigRollback { .. }
        | Request::ConfigConfirm { .. }
        | Request::ConfigAbort { .. }
        | Request::ConfigDiff { .. }
        | Request::ConfigImportDiff { .. }
        | Request::ConfigImport { .. } => APPLY_PATIENCE,
        Request::Probe { .. } => PROBE_PATIENCE,
        _ => REPORT_PATIENCE,
    };
    ask_within(path, request, interrupt, patience)
}

pub fn ask_within(
    path: &Path,
    request: &Request,
    interrupt: &Interrupt,
    patience: Duration,
) -> Result<Response, AskError> {
    let mut text = serde_json::to_vec(request).map_err(AskError::Garbled)?;
    text.push(b'\n');
    let talk = Talk {
        stream: open(path)?,
        interrupt,
        deadline: Instant::now() + patience,
        patience,
    };
    talk.send(&text)?;
    let answer = talk.receive().map_err(|error| match error {
        AskError::Interrupted if changes(request) => AskError::Unheard,
        error => error,
    })?;
    if answer.is_empty() {
        return Err(AskError::Closed);
    }
    serde_json::from_slice(&answer).map_err(AskError::Garbled)
}

/// Whether something is different behind it; the agent goes on with it when nobody listens any more.
fn changes(request: &Request) -> bool {
    matches!(
        request,
        Request::ConfigPut { .. }
            | Request::ConfigApply { .. }
            | Request::ConfigRollback { .. }
            | Request::ConfigConfirm { .. }
            | Request::ConfigAbort { .. }
            | Request::ConfigImport { .. }
            | Request::ConfigRemove { .. }
            | Request::Drain { .. }
            | Request::Undrain { .. }
    )
}

/// Connects without waiting: the agent either listens or does not.
fn open(path: &Path) -> Result<UnixStream, AskError> {
    let absent = |source: io::Error| AskError::Absent {
        path: path.to_owned(),
        source,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(|e| AskError::Io(e.into()))?;
    let address = SocketAddrUnix::new(path).map_err(|e| absent(e.into()))?;
    connect(&socket, &address).map_err(|e| absent(e.into()))?;
    Ok(UnixStream::from(socket))
}

struct Talk<'a> {
    stream: UnixStream,
    interrupt: &'a Interrupt,
    deadline: Instant,
    patience: Duration,
}

impl Talk<'_> {
    fn send(&self, mut text: &[u8]) -> Result<(), AskError> {
        while !text.is_empty() {
            match (&self.stream).write(text) {
                Ok(sent) => text = &text[sent..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.woken(
                        self.interrupt
                            .wait_writable(self.stream.as_fd(), Some(self.left())),
                    )?;
                }
                // It closes at once what it cannot take; its answer may say why.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => return Err(AskError::Io(error)),
            }
        }
        Ok(())
    }

    /// Everything up to the line feed or the end.
    fn receive(&self) -> Result<Vec<u8>, AskError> {
        let mut answer = Vec::new();
        let mut chunk = vec![0; 64 << 10];
        loop {
            match (&self.stream).read(&mut chunk) {
                Ok(0) => return Ok(answer),
                Ok(read) => answer.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.woken(
                        self.interrupt
                            .wait_readable(self.stream.as_fd(), Some(self.left())),
                    )?;
                }
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(answer),
                Err(error) => return Err(AskError::Io(error)),
            }
            if answer.ends_with(b"\n") {
                return Ok(answer);
            }
            if answer.len() > MAX_RESPONSE_BYTES {
                return Err(AskError::TooLong);
            }
        }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn woken(&self, wake: io::Result<Wake>) -> Result<(), AskError> {
        match wake.map_err(AskError::Io)? {
            Wake::Ready => Ok(()),
            Wake::TimedOut => Err(AskError::Silent(self.patience)),
            Wake::Interrupted => Err(AskError::Interrupted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;

    /// Serves one connection with `reply` after having read the request line.
    fn asked(reply: &'static [u8], patience: Duration) -> Result<Response, AskError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap())
                .read_line(&mut line)
                .unwrap();
            stream.write_all(reply).unwrap();
            if reply == b"wait" {
                // Until the client gives up.
                let _ = stream.read(&mut [0]);
            }
            line
        });
        let answer = ask_within(&path, &Request::Version, &Interrupt::pair().0, patience);
        assert_eq!(server.join().unwrap(), "\"version\"\n");
        answer
    }

    #[test]
    fn answers_good_and_bad() {
        let long = Duration::from_secs(10);
        let good = asked(b"{\"error\":{\"message\":\"no\"}}\n", long).unwrap();
        assert_eq!(good, Response::Error { message: "no".into() });
        assert!(
            asked(b"{\"error\":{\"message\":\"no\"}}", long).is_ok(),
            "the line feed may be missing"
        );
        assert!(matches!(asked(b"", long), Err(AskError::Closed)));
        assert!(matches!(asked(b"{\"error\":", long), Err(AskError::Garbled(_))));
        assert!(matches!(asked(b"\xff\xfe\n", long), Err(AskError::Garbled(_))));
        assert!(matches!(
            asked(b"{\"status\":{}}\n", long),
            Err(AskError::Garbled(_))
        ));
        assert!(matches!(
            asked(b"wait", Duration::from_millis(20)),
            Err(AskError::Silent(_))
        ));
    }

    #[test]
    fn nobody_listens() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let ask = |path: &Path| ask(path, &Request::Status, &Interrupt::pair().0);
        assert!(matches!(ask(&path), Err(AskError::Absent { .. })));
        drop(UnixListener::bind(&path).unwrap());
        assert!(matches!(ask(&path), Err(AskError::Absent { .. })));
        let endless = dir.path().join("x".repeat(200));
        assert!(matches!(ask(&endless), Err(AskError::Absent { .. })));
    }
}
