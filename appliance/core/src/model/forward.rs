//! How packets reach a real server, and how they are wrapped on the way.
//! Must not: know the kernel's numbers for it.

use std::fmt;

/// The client's address arrives untouched in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Forward {
    /// The destination is rewritten; answers come back through the box.
    Nat,
    /// Only the MAC address is: the server is on a network of the box, holds the service address itself, and answers past it.
    Direct,
    /// The packet is wrapped into another; the server unwraps it, and answers past the box.
    Tunnel(Tunnel),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tunnel {
    /// Into another IP packet (RFC 2003, RFC 2473).
    Ipip,
    Gue(Gue),
}

/// Into a UDP datagram (Generic UDP Encapsulation, draft-ietf-intarea-gue): networks spread and filter it as any UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gue {
    /// Where the server takes it.
    pub port: u16,
    /// Whether the datagram has a checksum of its own. Linux takes none without it over IPv6, unless told to.
    pub checksum: bool,
}

impl Gue {
    /// IANA's, "gue".
    pub const PORT: u16 = 6080;
    /// Of one about which nothing is said.
    pub const CHECKSUM: bool = true;
}

impl Forward {
    /// As lb.toml has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Forward::Nat => "nat",
            Forward::Direct => "direct",
            Forward::Tunnel(_) => "tunnel",
        }
    }
}

/// `nat`, `direct`, `tunnel`, `tunnel gue 5555`, `tunnel gue 5555 checksum`.
impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        if let Forward::Tunnel(Tunnel::Gue(gue)) = self {
            write!(f, " gue {}", gue.port)?;
            if gue.checksum {
                f.write_str(" checksum")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wrapping_is_told_where_it_is_not_the_plain_one() {
        let gue = |checksum| Forward::Tunnel(Tunnel::Gue(Gue { port: 5555, checksum }));
        for (forward, text) in [
            (Forward::Nat, "nat"),
            (Forward::Tunnel(Tunnel::Ipip), "tunnel"),
            (gue(false), "tunnel gue 5555"),
            (gue(true), "tunnel gue 5555 checksum"),
        ] {
            assert_eq!(forward.to_string(), text);
        }
    }
}
