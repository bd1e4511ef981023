//! One check of one server: the exchange that its type asks for, all within one deadline. Must not: keep state
//! or decide what a result means for the pool. Told apart here: what the server did, and what our own side could not do.

mod account;
mod agent;
mod answer;
mod asked;
mod dns;
mod grpc;
mod half_open;
mod http;
mod icmp;
mod plain;
mod sessions;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;
mod udp;
mod validity;
mod watched;
mod way;
mod x509;

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use lb_core::check::{CheckKind, CheckParams, Close, GrpcCheck, HttpCheck, TlsCheck};
use lb_core::health::{CheckResult, Outcome, Told};
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time;

use self::account::Account;
pub use self::half_open::Route;
pub use self::plain::{Begun, TcpChecks};
use self::tcp::Connects;
pub use self::tls::Trust;
use self::tls::{Handshake, Protocol, Shown};
pub use self::watched::{Watched, watch};
pub use self::way::Way;

/// How far an attempt has come: what a deadline that ends says; and the account of one that is watched.
#[derive(Debug, Default)]
struct Progress {
    at: AtomicU8,
    account: Option<Account>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    Handshake,
    /// Nothing of the answer has come.
    Answer,
    /// The status has come.
    Body,
    /// A datagram is on its way.
    Sent,
    /// What came was no answer to the question.
    Astray,
    Dns,
    Grpc,
    Line,
    /// The TLS handshake is over.
    Farewell,
}

impl Stage {
    /// Before "within 1s", in the order of the stages.
    const LATE: [&str; 10] = [
        "no answer",
        "connected, but no TLS handshake",
        "connected, but no HTTP answer",
        "an HTTP answer that was not whole",
        "no answer",
        "an answer, but not to the question, and no other",
        "connected, but no DNS answer that was whole",
        "connected, but no gRPC answer that was whole",
        "connected, but no line",
        "no end",
    ];
}

impl Progress {
    fn is_at(&self, stage: Stage) {
        self.at.store(stage as u8, Ordering::Relaxed);
    }

    fn was_at(&self, stage: Stage) -> bool {
        self.at.load(Ordering::Relaxed) == stage as u8
    }

    /// Tells whoever watches; what there is to tell is made for them only.
    fn note(&self, what: &str, lines: impl FnOnce() -> Vec<String>) {
        if let Some(account) = &self.account {
            account.note(what, lines());
        }
    }

    /// Who has accepted a connection is there, and is not what the network keeps from us.
    fn late(&self, timeout: Duration) -> Outcome {
        let at = usize::from(self.at.load(Ordering::Relaxed));
        let why = format!("{} within {}", Stage::LATE[at], in_words(timeout));
        match self.was_at(Stage::Connecting) || self.was_at(Stage::Sent) {
            true => Outcome::Silent(why),
            false => Outcome::Fail(why),
        }
    }
}

fn late(timeout: Duration) -> String {
    format!("no answer within {}", in_words(timeout))
}

/// What a check that passed has seen beside that.
#[derive(Debug, Default)]
struct Seen {
    told: Told,
    certificate_ends: Option<SystemTime>,
}

pub async fn check(way: &Way, params: &CheckParams, trust: &Trust) -> CheckResult {
    attempt(way, params, trust, Instant::now(), &Progress::default()).await
}

async fn attempt(
    way: &Way,
    params: &CheckParams,
    trust: &Trust,
    started: Instant,
    progress: &Progress,
) -> CheckResult {
    let attempt = Attempt {
        way,
        trust,
        progress,
        seen: Mutex::default(),
    };
    let outcome = match time::timeout(params.timeout, attempt.make(&params.kind)).await {
        Ok(Ok(())) => Outcome::Pass,
        Ok(Err(outcome)) => outcome,
        Err(_elapsed) if attempt.wants_silence(&params.kind) => Outcome::Pass,
        Err(_elapsed) => attempt.progress.late(params.timeout),
    };
    let seen = match outcome {
        Outcome::Pass => attempt.seen.into_inner().unwrap_or_else(PoisonError::into_inner),
        _ => {
            trust.forget_session(way.target);
            Seen::default()
        }
    };
    CheckResult {
        outcome,
        told: seen.told,
        certificate_ends: seen.certificate_ends,
        ended: Instant::now(),
        latency: started.elapsed(),
    }
}

struct Attempt<'a> {
    way: &'a Way,
    trust: &'a Trust,
    progress: &'a Progress,
    seen: Mutex<Seen>,
}

impl Attempt<'_> {
    async fn make(&self, kind: &CheckKind) -> Result<(), Outcome> {
        match kind {
            CheckKind::Tcp(close) => self.tcp(*close).await,
            // Boxed: they are kilobytes, which a check of another kind would carry along.
            CheckKind::Tls(tls) => Box::pin(self.handshake(tls)).await,
            CheckKind::Http(http) => Box::pin(self.http(http)).await,
            CheckKind::Udp(check) => udp::exchange(self.way, check, self.progress).await,
            CheckKind::Dns(check) => dns::exchange(self.way, check, self.progress).await,
            CheckKind::Icmp => icmp::exchange(self.way, self.progress).await,
            CheckKind::Grpc(check) => Box::pin(self.grpc(check)).await,
            CheckKind::Agent(check) => {
                let told = agent::exchange(self.way, check, self.progress).await?;
                self.seen(|seen| seen.told = told);
                Ok(())
            }
            // Never due; asked all the same, it has nothing against the server.
            CheckKind::None => Ok(()),
        }
    }

    /// Whether that nothing came is no failure.
    fn wants_silence(&self, kind: &CheckKind) -> bool {
        match kind {
            CheckKind::Udp(check) => check.expect.is_none() && self.progress.was_at(Stage::Sent),
            CheckKind::Tls(_) => self.progress.was_at(Stage::Farewell),
            _ => false,
        }
    }

    /// By TLS 1.3 it has ended on our side before the server has looked at our certificate (RFC 8446, section 4.6.2), so that the
    /// farewell is what shows whether the server had anything against us.
    async fn handshake(&self, check: &TlsCheck) -> Result<(), Outcome> {
        let mut stream = self.tls(check, Protocol::Http1, Handshake::Whole).await?;
        self.progress.is_at(Stage::Farewell);
        let _ = stream.shutdown().await;
        match stream.read(&mut [0; 64]).await {
            Err(error) if tls::is_refusal(&error) => Err(tls::explain(&error)),
            _ => Ok(()),
        }
    }

    async fn connect(&self) -> Result<TcpStream, Outcome> {
        self.progress.is_at(Stage::Connecting);
        self.way.stream(self.progress).await
    }

    async fn tcp(&self, close: Close) -> Result<(), Outcome> {
        let stream = self.connect().await?;
        if close == Close::Rst {
            // Whatever it says, the connection was there.
            let _ = stream.set_zero_linger();
        }
        Ok(())
    }

    async fn tls(
        &self,
        check: &TlsCheck,
        protocol: Protocol,
        handshake: Handshake,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>, Outcome> {
        let shown = self.progress.account.as_ref().map(|_| Shown::default());
        let connector = match (&shown, handshake) {
            // It is to be seen as a whole.
            (Some(shown), _) => self.trust.watched(check, protocol, shown)?,
            (None, Handshake::Whole) => self.trust.whole(check, protocol)?.into(),
            (None, Handshake::Resumed) => self.trust.resuming(check, protocol, self.way.target)?,
        };
        let name = tls::name(check, self.way.target.ip())?;
        let stream = self.connect().await?;
        self.progress.is_at(Stage::Handshake);
        let connected = connector.connect(name, stream).await;
        if let Some(shown) = &shown {
            self.progress.certificates(check, shown);
        }
        let stream = connected.map_err(|error| tls::explain(&error))?;
        let connection = stream.get_ref().1;
        self.progress.note("tls", || tls::agreed(connection));
        if protocol == Protocol::Http2 && connection.alpn_protocol() != Some(tls::HTTP2) {
            return Err(Outcome::Fail(tls::NO_HTTP2.to_owned()));
        }
        let shown = connection.peer_certificates().and_then(<[_]>::first);
        let ends = shown.and_then(|certificate| validity::end(certificate));
        self.seen(|seen| seen.certificate_ends = ends);
        Ok(stream)
    }

    fn seen(&self, see: impl FnOnce(&mut Seen)) {
        see(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Every page over a connection of its own: so does a server that closes after each answer.
    async fn http(&self, check: &HttpCheck) -> Result<(), Outcome> {
        for page in &check.pages {
            let request = http::Request {
                check,
                page,
                target: self.way.target,
            };
            let told = match &check.tls {
                Some(tls) => {
                    let stream = self.tls(tls, Protocol::Http1, Handshake::Resumed).await?;
                    request.exchange(stream, self.progress).await?
                }
                None => request.exchange(self.connect().await?, self.progress).await?,
            };
            self.seen(|seen| seen.told = told);
        }
        Ok(())
    }

    async fn grpc(&self, check: &GrpcCheck) -> Result<(), Outcome> {
        let target = self.way.target.to_string();
        match &check.tls {
            Some(tls) => {
                let stream = self.tls(tls, Protocol::Http2, Handshake::Resumed).await?;
                grpc::exchange(stream, check, &target, self.progress).await
            }
            None => grpc::exchange(self.connect().await?, check, &target, self.progress).await,
        }
    }
}

/// EHOSTUNREACH, in words.
const UNREACHABLE: &str = "host unreachable";

/// keepalived takes unreachable networks for a failure of the server. Here they are ours: connect() says ENETUNREACH when our own
/// table has no route, and EHOSTUNREACH when a neighbour does not answer ARP or a filter sends ICMP, which is the server's.
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
        Errno::HOSTUNREACH => silent(UNREACHABLE),
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

/// A connection that was there and has ended otherwise than it should.
fn broken(error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
            Outcome::Fail("the connection was closed before the answer was whole".to_owned())
        }
        // h2 keeps the kind of an error, but not its number.
        io::ErrorKind::ConnectionReset => Outcome::Fail("connection reset".to_owned()),
        _ => match tls::explain(error) {
            Outcome::CannotCheck(why) if error.raw_os_error().is_none() => Outcome::Fail(why),
            other => other,
        },
    }
}

fn in_words(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}

/// Of what a server says, in the reason of a failure.
fn in_short(text: &str) -> String {
    const MOST: usize = 120;
    text[..text.floor_char_boundary(MOST)].to_owned()
}

/// Bytes of a server's, in quotes and harmless to a terminal.
fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 40;
    let (first, more) = match bytes.split_at_checked(MOST) {
        Some((first, rest)) if !rest.is_empty() => (first, "..."),
        _ => (bytes, ""),
    };
    format!("\"{}\"{more}", first.escape_ascii())
}
