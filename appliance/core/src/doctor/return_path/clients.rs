//! What the connections that are balanced now show of a server's way back. Must not: read them.

use std::collections::BTreeSet;

use crate::config::RealServer;
use crate::doctor::Facts;
use crate::observed::Connection;

/// Without a packet of the client for so long a SYN is no longer just under way: IPVS keeps such a connection for 60 s
/// (net/netfilter/ipvs/ip_vs_proto_tcp.c, tcp_timeouts), and a client that has its SYN-ACK answers it at once.
const UNDER_WAY_EXPIRES_S: u64 = 58;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clients {
    /// A client from elsewhere has been answered, within the minutes for which IPVS remembers it.
    pub answered: bool,
    /// A client from elsewhere waits in vain now.
    pub waiting: bool,
    /// And it is one that has been answered.
    pub relapsed: bool,
}

/// Of this server, whichever service it is that they came by.
pub fn clients(facts: &Facts<'_>, real: &RealServer) -> Clients {
    let of_server = |connection: &&Connection| {
        let server = connection.server;
        server.ip() == real.address.address
            && (real.address.port == 0 || server.port() == real.address.port)
            && !is_hidden(facts, connection)
    };
    let (mut answered, mut waiting) = (BTreeSet::new(), BTreeSet::new());
    for connection in facts.wire.connections.iter().filter(of_server) {
        let client = connection.client.ip();
        match connection.state.as_str() {
            "ESTABLISHED" | "FIN_WAIT" | "TIME_WAIT" | "CLOSE_WAIT" | "LAST_ACK" => {
                answered.insert(client);
            }
            "SYN_RECV" if connection.expires_s <= UNDER_WAY_EXPIRES_S => {
                waiting.insert(client);
            }
            _ => {}
        }
    }
    Clients {
        answered: !answered.is_empty(),
        waiting: !waiting.is_empty(),
        relapsed: !answered.is_disjoint(&waiting),
    }
}

/// A client beside the server comes to it with an address of the lb's, which the server answers whatever its gateway is.
fn is_hidden(facts: &Facts<'_>, connection: &Connection) -> bool {
    let mut interfaces = facts.config.interfaces.iter();
    interfaces.any(|interface| {
        let mut networks = interface.networks().into_iter();
        networks.any(|net| net.contains(&connection.client.ip()) && net.contains(&connection.server.ip()))
    })
}
