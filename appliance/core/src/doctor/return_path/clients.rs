//! What the connections that are balanced now show of a server's way back. Must not: read them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::RealServer;
use crate::doctor::Facts;
use crate::observed::Connection;

/// How long IPVS keeps a connection without a packet, in s, where that is not to be set (net/netfilter/ipvs/ip_vs_proto_tcp.c,
/// tcp_timeouts).
const SYN_RECV: u64 = 60;
const TIME_WAIT: u64 = 120;
const CLOSE_WAIT: u64 = 60;
const LAST_ACK: u64 = 30;
/// A client that has its SYN-ACK answers it at once: a SYN that is so old (s) is no longer just under way.
const UNDER_WAY: u64 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clients {
    /// A client from elsewhere has been answered, within the minutes for which IPVS remembers it.
    pub answered: bool,
    /// A client from elsewhere waits in vain now.
    pub waiting: bool,
    /// And it is one that has been answered, and no more since it began to wait.
    pub relapsed: bool,
}

/// For so long (s) nothing has come, the least of all connections of a client.
#[derive(Debug, Clone, Copy, Default)]
struct Silence {
    answered: Option<u64>,
    waiting: Option<u64>,
}

/// Connections of clients from elsewhere, by the address of their server.
#[derive(Debug)]
pub struct Table<'f>(BTreeMap<IpAddr, Vec<&'f Connection>>);

impl<'f> Table<'f> {
    pub fn of(facts: &Facts<'f>) -> Table<'f> {
        let interfaces = facts.config.interfaces.iter();
        let networks: Vec<IpNet> = interfaces.flat_map(|interface| interface.networks()).collect();
        // A client beside the server comes to it with an address of the lb's, which the server answers whatever its gateway is.
        let is_hidden = |connection: &Connection| {
            let (client, server) = (connection.client.ip(), connection.server.ip());
            networks
                .iter()
                .any(|net| net.contains(&client) && net.contains(&server))
        };
        let mut table: BTreeMap<IpAddr, Vec<&Connection>> = BTreeMap::new();
        for connection in facts.wire.connections.iter().filter(|one| !is_hidden(one)) {
            table.entry(connection.server.ip()).or_default().push(connection);
        }
        Table(table)
    }
}

/// Of this server, whichever service it is that they came by.
pub fn clients(facts: &Facts<'_>, table: &Table<'_>, real: &RealServer) -> Clients {
    let of_server =
        |connection: &&&Connection| real.address.port == 0 || connection.server.port() == real.address.port;
    let connections = table.0.get(&real.address.address).into_iter().flatten();
    let timeouts = &facts.config.timeouts;
    let mut silences: BTreeMap<IpAddr, Silence> = BTreeMap::new();
    for connection in connections.filter(of_server) {
        let silence = silences.entry(connection.client.ip()).or_default();
        let since = |timeout: u64| timeout.saturating_sub(connection.expires_s);
        let least =
            |known: Option<u64>, timeout| Some(known.map_or(since(timeout), |k| k.min(since(timeout))));
        match connection.state.as_str() {
            "ESTABLISHED" => silence.answered = least(silence.answered, timeouts.tcp_s.into()),
            "FIN_WAIT" => silence.answered = least(silence.answered, timeouts.tcp_fin_s.into()),
            "TIME_WAIT" => silence.answered = least(silence.answered, TIME_WAIT),
            "CLOSE_WAIT" => silence.answered = least(silence.answered, CLOSE_WAIT),
            "LAST_ACK" => silence.answered = least(silence.answered, LAST_ACK),
            "SYN_RECV" if since(SYN_RECV) >= UNDER_WAY => silence.waiting = least(silence.waiting, SYN_RECV),
            _ => {}
        }
    }
    let relapsed = |silence: &Silence| {
        let both = silence.waiting.zip(silence.answered);
        // A SYN that was lost before it was answered once waits as long in the table.
        both.is_some_and(|(waiting, answered)| waiting < answered)
    };
    Clients {
        answered: silences.values().any(|silence| silence.answered.is_some()),
        waiting: silences.values().any(|silence| silence.waiting.is_some()),
        relapsed: silences.values().any(relapsed),
    }
}
