//! `bind` and the addresses of servers: HAProxy's ways to write an address. Must not: know services.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::remarks::shown;
use super::super::values::is_dns_name;

/// Where a `bind` listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    At(IpAddr),
    /// Only a name server knows where.
    Named(String),
    /// `*`: every address; whether it is that of IPv4.
    Any(bool),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    pub host: Host,
    pub first: u16,
    pub last: u16,
}

const FAMILIES: [&str; 6] = ["ipv4@", "ipv6@", "tcp4@", "tcp6@", "tcp@", "ip@"];
const ELSEWHERE: [&str; 16] = [
    "unix@",
    "abns@",
    "abnsz@",
    "fd@",
    "sockpair@",
    "quic4@",
    "quic6@",
    "udp@",
    "udp4@",
    "udp6@",
    "uxst@",
    "uxdg@",
    "mptcp@",
    "mptcp4@",
    "mptcp6@",
    "rhttp@",
];

/// An address without what stands for its family; `None`: it is no address of TCP over IP.
fn over_ip(text: &str) -> Option<&str> {
    if text.starts_with('/') || ELSEWHERE.iter().any(|prefix| text.starts_with(prefix)) {
        return None;
    }
    let stripped = FAMILIES.iter().find_map(|prefix| text.strip_prefix(prefix));
    Some(stripped.unwrap_or(text))
}

fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

/// One of the addresses of a `bind`, with a port or a range of ports.
pub(super) fn bound(text: &str) -> Result<Bound, String> {
    let Some(plain) = over_ip(text) else {
        return Err(format!("{} is no address of TCP; it is left out", shown(text)));
    };
    let (host, ports) = plain
        .rsplit_once(':')
        .ok_or_else(|| format!("`{}` has no port; it is left out", shown(text)))?;
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let range = port(first).zip(port(last)).filter(|(first, last)| first <= last);
    let Some((first, last)) = range else {
        return Err(format!(
            "`{}` is no port or range of ports; it is left out",
            shown(ports)
        ));
    };
    let host = match unbracketed(host) {
        "" | "*" => Host::Any(true),
        text => match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => Host::Any(true),
            Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => Host::Any(false),
            Ok(address) => Host::At(address),
            Err(_) if is_dns_name(text) => Host::Named(text.to_owned()),
            Err(_) => return Err(format!("{} is no address; it is left out", shown(text))),
        },
    };
    Ok(Bound { host, first, last })
}

/// A server's address, and its port if it has one.
pub(super) fn server(text: &str) -> Result<(IpAddr, Option<u16>), String> {
    if text.contains("${") {
        return Err("its address is set outside of the file; give the address".to_owned());
    }
    let Some(plain) = over_ip(text) else {
        return Err("it is not reached by TCP over IP, and cannot be a server here".to_owned());
    };
    if let Some((host, port)) = plain.rsplit_once(':')
        && let Ok(address) = unbracketed(host).parse::<IpAddr>()
    {
        return match port {
            "" => Ok((address, None)),
            port => match port.parse::<u16>() {
                Ok(number) if number > 0 && !port.starts_with('+') => Ok((address, Some(number))),
                _ => Err(format!(
                    "`{}` is no port; a shifted port cannot be said here",
                    shown(port)
                )),
            },
        };
    }
    match unbracketed(plain).parse::<IpAddr>() {
        Ok(address) => Ok((address, None)),
        Err(_) => Err("a server is given by its address here, names are not looked up".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_haproxy_writes_them() {
        for (text, host, first, last) in [
            ("*:80", Host::Any(true), 80, 80),
            (":80", Host::Any(true), 80, 80),
            ("0.0.0.0:80", Host::Any(true), 80, 80),
            (":::80", Host::Any(false), 80, 80),
            ("[::]:80", Host::Any(false), 80, 80),
            (
                "web.example.com:80",
                Host::Named("web.example.com".to_owned()),
                80,
                80,
            ),
            ("ipv4@192.0.2.1:80-90", Host::At([192, 0, 2, 1].into()), 80, 90),
            (
                "2001:db8::1:443",
                Host::At("2001:db8::1".parse().unwrap()),
                443,
                443,
            ),
        ] {
            assert_eq!(bound(text), Ok(Bound { host, first, last }), "{text}");
        }
        for text in [
            "/run/x.sock",
            "unix@/x",
            "we b:80",
            "192.0.2.1",
            "*:0",
            "*:9-8",
            "fd@3",
            "*:",
        ] {
            assert!(bound(text).is_err(), "{text}");
        }
        assert_eq!(server("192.0.2.1:80"), Ok(([192, 0, 2, 1].into(), Some(80))));
        assert_eq!(server("192.0.2.1"), Ok(([192, 0, 2, 1].into(), None)));
        assert_eq!(
            server("[2001:db8::1]:80"),
            Ok(("2001:db8::1".parse().unwrap(), Some(80)))
        );
        for text in ["web1:80", "192.0.2.1:+1000", "192.0.2.1:${PORT}", "/x"] {
            assert!(server(text).is_err(), "{text}");
        }
    }
}
