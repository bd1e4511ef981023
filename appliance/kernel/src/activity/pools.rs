//! The text of /proc/net/ip_vs (ip_vs_ctl.c, ip_vs_info_seq_show): the size of the connection table, and connections of
//! each service, summed over its servers. Of tens of thousands of servers this costs a fraction of what a dump of them
//! over netlink does. Must not: keep servers apart.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lb_core::model::{Endpoint, MarkKey, Protocol, VirtualKey};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Pools {
    pub buckets: u64,
    /// Active and inactive connections.
    pub connections: BTreeMap<VirtualKey, (u64, u64)>,
}

/// Servers of a service that is not understood are passed over with it.
pub(super) fn read(text: impl BufRead) -> io::Result<Pools> {
    let mut pools = Pools::default();
    let mut service = None;
    let mut marked = None;
    for line in text.lines() {
        let line = line?;
        if let Some(server) = line.strip_prefix("  -> ") {
            // A marked service does not say its family, its servers do.
            if let Some(mark) = marked.take() {
                let ipv6 = server.starts_with('[');
                service = Some(MarkKey { mark, ipv6 })
                    .filter(|key| key.is_ours())
                    .map(VirtualKey::Mark);
            }
            if let (Some(key), Some((active, inactive))) = (service, connections(server)) {
                let sum: &mut (u64, u64) = pools.connections.entry(key).or_default();
                sum.0 += active;
                sum.1 += inactive;
            }
        } else if let Some((_, size)) = line.split_once("(size=") {
            pools.buckets = size.trim_end_matches(')').parse().unwrap_or(0);
        } else {
            service = key(&line);
            marked = mark(&line);
        }
    }
    Ok(pools)
}

/// The heading of the servers' columns has no numbers at its end.
fn connections(server: &str) -> Option<(u64, u64)> {
    let mut fields = server.split_ascii_whitespace().rev();
    let inactive = fields.next()?.parse().ok()?;
    let active = fields.next()?.parse().ok()?;
    Some((active, inactive))
}

/// `TCP  C0A80001:7580 rr`, `UDP  [2001:0db8:…:0001]:0035 wlc`.
fn key(line: &str) -> Option<VirtualKey> {
    let mut fields = line.split_ascii_whitespace();
    let word = fields.next()?;
    let protocol = Protocol::ALL
        .into_iter()
        .find(|p| p.as_str().eq_ignore_ascii_case(word))?;
    let (address, port) = fields.next()?.rsplit_once(':')?;
    let address: IpAddr = match address.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.into(),
        None => Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?).into(),
    };
    Some(VirtualKey::Endpoint(Endpoint {
        address,
        port: u16::from_str_radix(port, 16).ok()?,
        protocol,
    }))
}

/// `FWM  4C12AB34 rr`.
fn mark(line: &str) -> Option<u32> {
    let mut fields = line.strip_prefix("FWM ")?.split_ascii_whitespace();
    u32::from_str_radix(fields.next()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Linux 6.12.
    const TEXT: &str = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  C0A80001:7580 rr  persistent 300 FFFFFFFF
  -> AC10000C:7580      Masq    0      1          0         
  -> AC10000B:7580      Masq    1      20         300       
UDP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0035 wlc 
  -> [fd00:0000:0000:0000:0000:0000:0000:0011]:0035      Masq    1      0          7         
TCP  C0A80001:1F90 wlc 
FWM  4C00000A rr 
  -> AC10000B:7580      Masq    1      5          5         
  -> AC10000C:7580      Masq    1      0          1         
FWM  00000007 rr 
  -> AC10000B:7580      Masq    1      9          9         
";

    #[test]
    fn connections_are_summed_by_service() {
        let pools = read(TEXT.as_bytes()).unwrap();
        let key = |text: &str| text.parse::<VirtualKey>().unwrap();
        let expected = [
            (key("192.168.0.1:30080/tcp"), (21, 300)),
            (key("[2001:db8::1]:53/udp"), (0, 7)),
            (key("fwmark 0x4c00000a/ipv4"), (5, 6)),
        ];
        assert_eq!(pools.connections, expected.into());
        assert_eq!(pools.buckets, 4096);
    }

    #[test]
    fn lines_without_sense_are_passed_over() {
        for text in [
            "",
            "TCP",
            "TCP zz:1 rr\n  -> x\n",
            "  -> A:1 Masq 1 2 3\n",
            "(size=x)",
            "TCP [::1:1 rr",
        ] {
            assert_eq!(read(text.as_bytes()).unwrap(), Pools::default(), "{text}");
        }
    }
}
