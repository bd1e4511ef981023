//! Echoes and their replies as messages, and what routers and hosts say about packets that did not arrive (RFC 792, RFC 1122, RFC 1812,
//! RFC 4443), in words. Must not: send or receive, or know the IP packets around.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Type, code, checksum, identifier, sequence number (bytes).
pub const ECHO_HEADER: usize = 8;
/// By family: IPv4, IPv6.
const ECHO: [u8; 2] = [8, 128];
const ECHO_REPLY: [u8; 2] = [0, 129];

/// An echo for a socket of pings: the kernel fills in the checksum and the identifier.
pub fn echo(v6: bool, sequence: u16, data: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let [high, low] = sequence.to_be_bytes();
    let header = [ECHO[usize::from(v6)], 0, 0, 0, 0, 0, high, low];
    header.into_iter().chain(data).collect()
}

/// The sequence number and the data of a message, if it is the reply to an echo.
pub fn echo_reply(v6: bool, message: &[u8]) -> Option<(u16, &[u8])> {
    let (header, data) = message.split_first_chunk::<ECHO_HEADER>()?;
    let sequence = u16::from_be_bytes([header[6], header[7]]);
    (header[0] == ECHO_REPLY[usize::from(v6)]).then_some((sequence, data))
}

/// An ICMP or ICMPv6 error, by its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IcmpError {
    pub v6: bool,
    pub kind: u8,
    pub code: u8,
    /// Of the narrowest link so far, where the packet was too big for it; else 0. In bytes.
    pub mtu: u32,
}

impl IcmpError {
    /// The router whose turn it was to count the hops down to none.
    pub fn is_time_exceeded(self) -> bool {
        matches!((self.v6, self.kind, self.code), (false, 11, 0) | (true, 3, 0))
    }

    /// The host is there, and nobody listens.
    pub fn is_port_unreachable(self) -> bool {
        matches!((self.v6, self.kind, self.code), (false, 3, 3) | (true, 1, 4))
    }

    /// A filter's refusal (RFC 1812, section 5.2.7.1; RFC 4443, section 3.1).
    pub fn is_prohibited(self) -> bool {
        matches!(
            (self.v6, self.kind, self.code),
            (false, 3, 9 | 10 | 13) | (true, 1, 1)
        )
    }

    /// Whose network it is knows no neighbour of this address.
    pub fn is_host_unreachable(self) -> bool {
        matches!((self.v6, self.kind, self.code), (false, 3, 1) | (true, 1, 3))
    }

    pub fn is_too_big(self) -> bool {
        matches!((self.v6, self.kind, self.code), (false, 3, 4) | (true, 2, _))
    }

    fn words(self) -> Option<&'static str> {
        let words = match (self.v6, self.kind, self.code) {
            (false, 3, 0) => "no route to the network",
            (false, 3, 1) => "the host does not answer on its network",
            (false, 3, 2) => "the host does not know this protocol",
            (false, 3, 3) | (true, 1, 4) => "nobody listens on this port",
            (false, 3, 6) => "the network is unknown",
            (false, 3, 7) => "the host is unknown",
            (false, 3, 9 | 10 | 13) | (true, 1, 1) => "forbidden by a filter",
            (false, 11, 0) | (true, 3, 0) => "too many hops, perhaps a loop",
            (false, 11, 1) | (true, 3, 1) => "fragments were lost",
            (false, 12, _) | (true, 4, _) => "a header field makes no sense",
            (true, 1, 0) => "no route to the address",
            (true, 1, 2) => "beyond the scope of the source address",
            (true, 1, 3) => "the address does not answer on its network",
            (true, 1, 5) => "forbidden for this source address",
            (true, 1, 6) => "the route rejects it",
            _ => return None,
        };
        Some(words)
    }
}

impl fmt::Display for IcmpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_too_big() {
            return match self.mtu {
                0 => f.write_str("too big for the next link, whose MTU it does not tell"),
                mtu => write!(f, "too big for the next link, whose MTU is {mtu} bytes"),
            };
        }
        match self.words() {
            Some(words) => f.write_str(words),
            None => {
                let name = if self.v6 { "ICMPv6" } else { "ICMP" };
                write!(f, "{name} type {} code {}", self.kind, self.code)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_comes_back_as_its_reply_alone() {
        for v6 in [false, true] {
            let sent = echo(v6, 0x0102, *b"data");
            assert_eq!(sent.len(), ECHO_HEADER + 4);
            assert_eq!(echo_reply(v6, &sent), None, "a question is no answer");
            let mut back = sent;
            back[0] = if v6 { 129 } else { 0 };
            assert_eq!(echo_reply(v6, &back), Some((0x0102, &b"data"[..])));
            assert_eq!(echo_reply(!v6, &back), None);
            assert_eq!(echo_reply(v6, &back[..7]), None);
        }
    }

    #[test]
    fn errors_have_words_or_at_least_their_numbers() {
        let words = |v6, kind, code, mtu| IcmpError { v6, kind, code, mtu }.to_string();
        assert_eq!(words(false, 3, 1, 0), "the host does not answer on its network");
        assert_eq!(words(true, 1, 3, 0), "the address does not answer on its network");
        assert_eq!(words(false, 3, 13, 0), "forbidden by a filter");
        assert_eq!(
            words(false, 3, 4, 1400),
            "too big for the next link, whose MTU is 1400 bytes"
        );
        assert_eq!(
            words(true, 2, 0, 0),
            "too big for the next link, whose MTU it does not tell"
        );
        assert_eq!(words(false, 11, 0, 0), "too many hops, perhaps a loop");
        assert_eq!(words(true, 200, 7, 0), "ICMPv6 type 200 code 7");
    }
}
