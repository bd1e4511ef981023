//! What is asked of a server, and how often: the parameters of one check, complete and in range.
//! Must not: know TOML, or open sockets.

mod datagram;
mod http;
mod list;
mod tls;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::ParseIntError;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

pub use self::datagram::{DnsCheck, DnsName, QueryType, Question, Rcode, Transport, UdpCheck};
pub use self::http::{BodyTest, HttpCheck, Method, Page, Pattern, Statuses};
pub use self::list::CheckList;
pub use self::tls::{Identity, Pem, TlsCheck, Verify};
use crate::model::RealKey;

/// What a check asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CheckKind {
    /// A TCP connection is opened, at least by half, and ended.
    Tcp(Close),
    /// A TLS handshake.
    Tls(TlsCheck),
    Http(HttpCheck),
    Udp(UdpCheck),
    Dns(DnsCheck),
    /// An ICMP echo, of the version of the server's address.
    Icmp,
    Grpc(GrpcCheck),
    Agent(AgentCheck),
    /// No check: the server is in the pool as long as it is in the file.
    None,
}

impl CheckKind {
    /// Whether the weight of a server follows from what its checks are told.
    pub fn counts_endpoints(&self) -> bool {
        matches!(self, CheckKind::Http(http) if http.counts_endpoints)
    }

    /// The word of the file for it.
    pub fn word(&self) -> &'static str {
        match self {
            CheckKind::Tcp(_) => "tcp",
            CheckKind::Tls(_) => "tls",
            CheckKind::Http(http) if http.counts_endpoints => "healthCheckNodePort",
            CheckKind::Http(http) if http.tls.is_some() => "https",
            CheckKind::Http(_) => "http",
            CheckKind::Udp(_) => "udp",
            CheckKind::Dns(_) => "dns",
            CheckKind::Icmp => "icmp",
            CheckKind::Grpc(grpc) if grpc.tls.is_some() => "grpcs",
            CheckKind::Grpc(_) => "grpc",
            CheckKind::Agent(_) => "agent",
            CheckKind::None => "none",
        }
    }

    /// What a check that passed has seen.
    pub fn passed(&self) -> &'static str {
        match self {
            CheckKind::Tcp(Close::HalfOpen) => "SYN-ACK",
            CheckKind::Tcp(_) => "connected",
            CheckKind::Tls(_) => "TLS handshake done",
            CheckKind::Http(_) | CheckKind::Dns(_) => "answered as it should",
            CheckKind::Udp(udp) if udp.expect.is_some() => "answered as it should",
            CheckKind::Udp(_) => "nobody says that the port is closed",
            CheckKind::Icmp => "echo reply",
            CheckKind::Grpc(_) => "SERVING",
            CheckKind::Agent(_) => "its agent says that it is up",
            CheckKind::None => "not checked",
        }
    }

    pub fn tls(&self) -> Option<&TlsCheck> {
        match self {
            CheckKind::Tls(tls) => Some(tls),
            CheckKind::Http(http) => http.tls.as_ref(),
            CheckKind::Grpc(grpc) => grpc.tls.as_ref(),
            _ => None,
        }
    }
}

/// From where half-open checks come, and nothing else of the box: outside of the range from which the kernel chooses
/// (`ip_local_port_range`), and reserved. A target sees all of them in turn.
pub const PROBE_PORTS: RangeInclusive<u16> = 61_000..=61_767;

/// The first half of every half-open check's sequence number on this machine, until it is started again. An answer acknowledges it: who sends
/// us segments that nobody asked for does not know it, whatever address he gives for his own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProbeCookie(pub u16);

impl ProbeCookie {
    /// The whole of a number, whose successor begins with the cookie as well.
    pub const fn sequence(self, rest: u16) -> u32 {
        (self.0 as u32) << 16 | (rest % u16::MAX) as u32
    }
}

/// `0x3fa1`.
impl fmt::Display for ProbeCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

impl FromStr for ProbeCookie {
    type Err = ParseIntError;
    fn from_str(word: &str) -> Result<ProbeCookie, ParseIntError> {
        u16::from_str_radix(word.strip_prefix("0x").unwrap_or_default(), 16).map(ProbeCookie)
    }
}

/// How a TCP connection ends on which nothing was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Close {
    /// Before it is one: SYN, SYN-ACK, RST. The server's program does not hear of it.
    #[default]
    HalfOpen,
    /// As any other: FIN.
    Fin,
    /// RST (SO_LINGER 0): many servers write nothing into their logs about such a connection.
    Rst,
}

impl Close {
    pub const ALL: [Close; 3] = [Close::HalfOpen, Close::Fin, Close::Rst];
    /// In the order of [`Self::ALL`]; the default is the first.
    pub const WORDS: [&'static str; 3] = ["half-open", "fin", "rst"];
}

/// grpc.health.v1.Health/Check over HTTP/2.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct GrpcCheck {
    pub tls: Option<TlsCheck>,
    /// None: the server's `ADDRESS:PORT`.
    pub host: Option<String>,
    /// Empty: the server as a whole.
    pub service: String,
}

/// A program on the server that says in one line how it is, as HAProxy's agent-check asks it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct AgentCheck {
    /// A line that is sent first, without its end.
    pub send: Option<String>,
}

/// The parameters of one check of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CheckParams {
    pub kind: CheckKind,
    /// Another address than the traffic's.
    pub address: Option<IpAddr>,
    /// Another port than the traffic's.
    pub port: Option<u16>,
    /// One of the box's own addresses, from which the check comes.
    pub source: Option<IpAddr>,
    /// The interface that it leaves through, by its label.
    pub interface: Option<String>,
    /// From the start of one check to the start of the next.
    pub interval: Duration,
    /// For one whole attempt.
    pub timeout: Duration,
    /// Extra attempts before an up server counts as down.
    pub retries: u32,
    /// From the end of a failed attempt to the next, while up and unsure.
    pub retry_interval: Duration,
    /// Successes in a row before a down server counts as up. The first check after boot needs one.
    pub rise: u32,
    /// The schedule is moved by up to this much, differently for each check.
    pub jitter: Duration,
    /// From the start of one check to the next of a server that has been down for long; none: as always.
    pub down_interval: Option<Duration>,
    /// How long a server that has gone down again and again is kept out, doubled each time, up to the second.
    pub hold_down: Duration,
    pub hold_down_max: Duration,
}

impl CheckParams {
    pub const INTERVAL: Duration = Duration::from_secs(2);
    pub const TIMEOUT: Duration = Duration::from_secs(1);
    pub const RETRIES: u32 = 2;
    pub const RETRY_INTERVAL: Duration = Duration::from_millis(500);
    pub const RISE: u32 = 2;
    pub const JITTER: Duration = Duration::ZERO;
    pub const HOLD_DOWN: Duration = Duration::from_secs(10);
    pub const HOLD_DOWN_MAX: Duration = Duration::from_mins(5);

    /// Where the check of this server goes.
    pub fn target(&self, server: RealKey) -> SocketAddr {
        let address = self.address.unwrap_or(server.address);
        let port = match self.kind {
            // Of all servers of a machine it is the same.
            CheckKind::Icmp => 0,
            _ => self.port.unwrap_or(server.port),
        };
        SocketAddr::new(address, port)
    }

    /// `tcp`; `http :8080` and `tcp 172.16.1.11:80` where it goes elsewhere than this server's traffic.
    pub fn label(&self, server: RealKey) -> String {
        let (word, target) = (self.kind.word(), self.target(server));
        match (target.ip() == server.address, target.port()) {
            (true, port) if port == server.port || port == 0 => word.to_owned(),
            (true, port) => format!("{word} :{port}"),
            (false, 0) => format!("{word} {}", target.ip()),
            (false, _) => format!("{word} {target}"),
        }
    }

    /// Whether the two ask the same of a server: what one has learnt is true for the other.
    pub fn asks_as(&self, other: &CheckParams) -> bool {
        let way = |check: &CheckParams| (check.address, check.port, check.source);
        self.kind == other.kind && way(self) == way(other) && self.interface == other.interface
    }

    /// Whether an answer over TLS is taken from whoever gives it.
    pub fn trusts_anybody(&self) -> bool {
        self.kind.tls().is_some_and(|tls| tls.verify == Verify::Nobody)
    }
}

impl Default for CheckParams {
    fn default() -> Self {
        CheckParams {
            kind: CheckKind::Tcp(Close::HalfOpen),
            address: None,
            port: None,
            source: None,
            interface: None,
            interval: CheckParams::INTERVAL,
            timeout: CheckParams::TIMEOUT,
            retries: CheckParams::RETRIES,
            retry_interval: CheckParams::RETRY_INTERVAL,
            rise: CheckParams::RISE,
            jitter: CheckParams::JITTER,
            down_interval: None,
            hold_down: CheckParams::HOLD_DOWN,
            hold_down_max: CheckParams::HOLD_DOWN_MAX,
        }
    }
}
