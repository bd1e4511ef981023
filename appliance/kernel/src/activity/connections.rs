//! The text of /proc/net/ip_vs_conn: `TCP C0A8000A 8D3E C0A80001 7580 AC10000B 7580 ESTABLISHED     899`, addresses and
//! ports in hex, IPv6 addresses in full length. Read line by line: the table can hold millions.

use std::io::{self, BufRead};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use lb_core::observed::{Connection, ConnectionTable};

/// Keeps the first `limit` connections and counts all.
pub(super) fn read(mut text: impl BufRead, limit: usize) -> io::Result<ConnectionTable> {
    let mut table = ConnectionTable::default();
    let mut line = Vec::new();
    // The heading.
    text.read_until(b'\n', &mut line)?;
    loop {
        line.clear();
        if text.read_until(b'\n', &mut line)? == 0 {
            return Ok(table);
        }
        table.total += 1;
        if table.listed.len() < limit {
            // What a persistence engine adds at the end of a line can be any bytes.
            table.listed.extend(connection(&String::from_utf8_lossy(&line)));
        }
    }
}

fn connection(line: &str) -> Option<Connection> {
    let mut fields = line.split_ascii_whitespace();
    let protocol = fields.next()?.to_owned();
    let mut endpoint = || {
        let address = address(fields.next()?)?;
        let port = u16::from_str_radix(fields.next()?, 16).ok()?;
        Some(SocketAddr::new(address, port))
    };
    let (client, service, server) = (endpoint()?, endpoint()?, endpoint()?);
    Some(Connection {
        client,
        service,
        server,
        protocol,
        state: fields.next()?.to_owned(),
        expires_s: fields.next()?.parse().ok()?,
    })
}

fn address(field: &str) -> Option<IpAddr> {
    match field.contains(':') {
        true => field.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        false => u32::from_str_radix(field, 16)
            .ok()
            .map(|bits| Ipv4Addr::from(bits).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Linux 6.12.
    const TEXT: &[u8] = b"\
Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP C0A80001 C1A2 C0A80001 7580 AC10000B 7580 TIME_WAIT       118
TCP 2001:0db8:0000:0000:0000:0000:0000:0001 BFC8 2001:0db8:0000:0000:0000:0000:0000:0001 01BB fd00:0000:0000:0000:0000:0000:0000:0011 76EB TIME_WAIT       118
TCP C0A80001 C1B0 C0A80001 7580 AC10000B 7580 ESTABLISHED     898
UDP C0A80001 C1B0 C0A80001 0035 FD00000B 0035 UDP             300 sip \xff\xfe
";

    #[test]
    fn both_families_are_understood() {
        let table = read(TEXT, 10).unwrap();
        assert_eq!((table.total, table.listed.len()), (4, 4));
        let socket = |text: &str| text.parse::<SocketAddr>().unwrap();
        let first = Connection {
            client: socket("192.168.0.1:49570"),
            service: socket("192.168.0.1:30080"),
            server: socket("172.16.0.11:30080"),
            protocol: "TCP".to_owned(),
            state: "TIME_WAIT".to_owned(),
            expires_s: 118,
        };
        assert_eq!(table.listed[0], first);
        assert_eq!(table.listed[1].client, socket("[2001:db8::1]:49096"));
        assert_eq!(table.listed[1].server, socket("[fd00::11]:30443"));
        assert_eq!(table.listed[2].state, "ESTABLISHED");
        assert_eq!(table.listed[3].expires_s, 300);
    }

    #[test]
    fn beyond_the_limit_connections_are_only_counted() {
        let table = read(TEXT, 1).unwrap();
        assert_eq!((table.total, table.listed.len()), (4, 1));
        assert_eq!(read(TEXT, 0).unwrap().total, 4);
        assert_eq!(read(&b""[..], 1).unwrap(), ConnectionTable::default());
    }

    #[test]
    fn a_line_without_sense_is_counted_and_not_listed() {
        for line in ["TCP", "TCP C0A80001 C1A2 zz", "TCP 1 2 3 4 5 6 NONE x"] {
            let table = read(format!("heading\n{line}\n").as_bytes(), 5).unwrap();
            assert_eq!((table.total, table.listed.len()), (1, 0), "{line}");
        }
    }
}
