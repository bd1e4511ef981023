//! One check of one server: connect, and where the check says so, TLS and HTTP, all within one deadline. Must not: keep state
//! or decide what a result means for the pool. Told apart here: what the server did, and what our own side could not do.

mod http;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use lb_core::check::{CheckKind, CheckParams, HttpCheck, TlsCheck};
use lb_core::health::{CheckResult, Outcome, Told};
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time;

pub use self::tcp::Connects;
pub use self::tls::Trust;

/// How far an attempt has come: what a deadline that ends says.
#[derive(Debug, Default)]
struct Progress(AtomicU8);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    Handshake,
    /// Nothing of the answer has come.
    Answer,
    /// The status has come.
    Body,
}

impl Progress {
    fn is_at(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Relaxed);
    }

    /// Who has accepted a connection is there, and is not what the network keeps from us.
    fn late(&self, timeout: Duration) -> Outcome {
        let why = self.lateness(timeout);
        match self.0.load(Ordering::Relaxed) == Stage::Connecting as u8 {
            true => Outcome::Silent(why),
            false => Outcome::Fail(why),
        }
    }

    fn lateness(&self, timeout: Duration) -> String {
        let within = in_words(timeout);
        let at = self.0.load(Ordering::Relaxed);
        if at == Stage::Handshake as u8 {
            format!("connected, but no TLS handshake within {within}")
        } else if at == Stage::Answer as u8 {
            format!("connected, but no HTTP answer within {within}")
        } else if at == Stage::Body as u8 {
            format!("an HTTP answer that was not whole within {within}")
        } else {
            late(timeout)
        }
    }
}

fn late(timeout: Duration) -> String {
    format!("no answer within {}", in_words(timeout))
}

/// `server`: where the traffic goes.
pub async fn check(server: SocketAddr, params: &CheckParams, trust: &Trust) -> CheckResult {
    let started = Instant::now();
    let target = SocketAddr::new(server.ip(), params.port.unwrap_or(server.port()));
    let progress = Progress::default();
    let attempt = Attempt {
        target,
        trust,
        progress: &progress,
    };
    let made = match time::timeout(params.timeout, attempt.make(&params.kind)).await {
        Ok(made) => made,
        Err(_elapsed) => Err(progress.late(params.timeout)),
    };
    let (outcome, told) = match made {
        Ok(told) => (Outcome::Pass, told),
        Err(outcome) => (outcome, Told::Nothing),
    };
    CheckResult {
        outcome,
        told,
        ended: Instant::now(),
        latency: started.elapsed(),
    }
}

struct Attempt<'a> {
    target: SocketAddr,
    trust: &'a Trust,
    progress: &'a Progress,
}

impl Attempt<'_> {
    async fn make(&self, kind: &CheckKind) -> Result<Told, Outcome> {
        match kind {
            // Boxed: they are kilobytes, which a check of another kind would carry along.
            CheckKind::Tls(tls) => drop(Box::pin(self.tls(tls)).await?),
            CheckKind::Http(http) => return Box::pin(self.http(http)).await,
            // Plain TCP is made by `Connects`, and nothing is never due: asked all the same, they have nothing against the server.
            CheckKind::Tcp(_) | CheckKind::None => {}
        }
        Ok(Told::Nothing)
    }

    async fn connect(&self) -> Result<TcpStream, Outcome> {
        self.progress.is_at(Stage::Connecting);
        TcpStream::connect(self.target)
            .await
            .map_err(|error| classify(&error))
    }

    async fn tls(&self, check: &TlsCheck) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>, Outcome> {
        let connector = self.trust.connector(check)?;
        let name = tls::name(check, self.target.ip())?;
        let stream = self.connect().await?;
        self.progress.is_at(Stage::Handshake);
        connector
            .connect(name, stream)
            .await
            .map_err(|error| tls::explain(&error))
    }

    /// Every page over a connection of its own: so does a server that closes after each answer.
    async fn http(&self, check: &HttpCheck) -> Result<Told, Outcome> {
        let mut told = Told::Nothing;
        for page in &check.pages {
            let request = http::Request {
                check,
                page,
                target: self.target,
                progress: self.progress,
            };
            told = match &check.tls {
                Some(tls) => request.exchange(self.tls(tls).await?).await?,
                None => request.exchange(self.connect().await?).await?,
            };
        }
        Ok(told)
    }
}

/// keepalived takes unreachable networks for a failure of the server. Here they are ours: connect() says ENETUNREACH when our own
/// table has no route, and EHOSTUNREACH when a neighbour does not answer ARP, which is the server's.
fn classify(error: &io::Error) -> Outcome {
    let Some(errno) = Errno::from_io_error(error) else {
        return Outcome::CannotCheck(error.to_string());
    };
    let fail = |text: &str| Outcome::Fail(text.to_owned());
    let silent = |text: &str| Outcome::Silent(text.to_owned());
    let cannot = |text: &str| Outcome::CannotCheck(text.to_owned());
    match errno {
        Errno::CONNREFUSED => Outcome::Refused("connection refused".to_owned()),
        Errno::CONNRESET => fail("connection reset"),
        Errno::CONNABORTED => fail("connection aborted"),
        Errno::HOSTUNREACH => silent("host unreachable"),
        Errno::HOSTDOWN => silent("host down"),
        Errno::TIMEDOUT => silent("no answer"),
        Errno::NETUNREACH => cannot("no route to the server"),
        Errno::NETDOWN => cannot("the link to the server is down"),
        Errno::ADDRNOTAVAIL => cannot("no local address or port is free"),
        Errno::PERM | Errno::ACCESS => cannot("the local filter forbids the connection"),
        Errno::MFILE | Errno::NFILE => cannot("too many open files"),
        Errno::NOBUFS | Errno::NOMEM => cannot("out of memory"),
        _ => Outcome::CannotCheck(error.to_string()),
    }
}

fn in_words(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}
