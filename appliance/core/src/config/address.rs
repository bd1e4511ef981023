//! Which addresses make sense where, and what is said about one that does not, or that cannot be read at all.
//! Must not: know the interfaces of the file.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use toml::Spanned;

use super::fault::{Wrong, quoted};
use super::reader::{Reader, Value};

/// What an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The address of an interface of the appliance.
    Own,
    /// Where clients connect to.
    Listen,
    /// A real server.
    Server,
    /// The next hop of a route.
    NextHop,
}

impl Purpose {
    fn wants(self) -> &'static str {
        match self {
            Purpose::Own => "a unicast address of this machine",
            Purpose::Listen => "one address of an interface of this file",
            Purpose::Server => "the unicast address of a server",
            Purpose::NextHop => "the unicast address of a router in the interface's network",
        }
    }
}

pub(super) fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// Why an address can never serve a purpose, whatever the network.
pub(super) fn unusable(address: IpAddr, purpose: Purpose) -> Option<Wrong> {
    let routed = matches!(purpose, Purpose::Listen | Purpose::Server);
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let what = if address.is_unspecified() {
        "the unspecified address, which stands for none"
    } else if address.is_loopback() {
        "a loopback address, which never leaves its machine"
    } else if address.is_multicast() {
        "a multicast address"
    } else if address == IpAddr::V4(std::net::Ipv4Addr::BROADCAST) {
        "the broadcast address"
    } else if matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 0) {
        // RFC 1122 section 3.2.1.3: "this network".
        "in 0.0.0.0/8, whose addresses are never assigned"
    } else if link_local && routed {
        // RFC 3927 section 2.7, RFC 4291 section 2.5.6: never forwarded.
        "a link-local address, which is never forwarded"
    } else if let Some(v4) = v4_mapped(address) {
        let help = format!("write the IPv4 address itself: {v4}");
        return Some(Wrong::new(
            format!("`{address}` is an IPv4 address written as IPv6"),
            help,
        ));
    } else {
        return None;
    };
    Some(Wrong::new(
        format!("`{address}` is {what}"),
        format!("allowed: {}", purpose.wants()),
    ))
}

fn v4_mapped(address: IpAddr) -> Option<std::net::Ipv4Addr> {
    match address {
        IpAddr::V6(v6) => Ipv6Addr::to_ipv4_mapped(&v6),
        IpAddr::V4(_) => None,
    }
}

/// What an address is to a network that holds it, if it is not one of its hosts.
pub(super) fn not_a_host(address: IpAddr, network: IpNet) -> Option<&'static str> {
    let host_bits = network.max_prefix_len() - network.prefix_len();
    if host_bits < 2 {
        // RFC 3021, RFC 6164: the two addresses of a point-to-point link are both hosts.
        return None;
    }
    if address == network.network() {
        // RFC 1122 section 3.2.1.3; RFC 4291 section 2.6.1: the subnet-router anycast address.
        Some("the network address")
    } else if address.is_ipv4() && address == network.broadcast() {
        Some("the broadcast address")
    } else {
        None
    }
}

const ADDRESS: &str = "an IPv4 or IPv6 address, such as \"192.168.0.254\"";
const ENDPOINT: &str = "ADDRESS:PORT in quotes, such as \"192.168.0.1:80\" or \"[2001:db8::1]:80\"";
const PREFIX: &str = "ADDRESS/LENGTH in quotes, such as \"192.168.0.1/24\" or \"2001:db8::1/64\"";

/// What is wrong with a value that is no IP address.
pub(super) fn explain_address(value: Value<'_, '_>) -> Wrong {
    let help = format!("allowed: {ADDRESS}");
    let Some(text) = value.text() else {
        return value.mismatch("text", &help);
    };
    let message = if text.parse::<IpNet>().is_ok() {
        format!(
            "{} has a prefix length; `{}` is one address",
            quoted(text),
            value.key
        )
    } else if text.parse::<SocketAddr>().is_ok() {
        format!(
            "{} has a port; `{}` is an address without one",
            quoted(text),
            value.key
        )
    } else {
        format!("{} is no IP address", quoted(text))
    };
    Wrong::new(message, help)
}

/// What is wrong with a value that is no address with port.
pub(super) fn explain_endpoint(value: Value<'_, '_>) -> Wrong {
    let help = format!("allowed: {ENDPOINT}");
    let Some(text) = value.text() else {
        return value.mismatch("text", &help);
    };
    let shown = quoted(text);
    let parts = text.rsplit_once(':');
    if let Some((host, port)) = parts.filter(|(host, port)| is_v6(host) && port.parse::<u16>().is_ok()) {
        let help = format!("an IPv6 address stands in brackets: \"[{host}]:{port}\"");
        return Wrong::new(format!("{shown} has no brackets"), help);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        let example = SocketAddr::new(address, 80);
        return Wrong::new(
            format!("{shown} has no port"),
            format!("write the port behind it: \"{example}\""),
        );
    }
    let Some((host, port)) = parts else {
        return Wrong::new(format!("{shown} is no address with a port"), help);
    };
    let inner = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    if inner.parse::<IpAddr>().is_ok() {
        let wrong = format!("{} is no port", quoted(port));
        return Wrong::new(wrong, format!("allowed: 1 to 65535, such as \"{host}:80\""));
    }
    let names = inner.bytes().any(|b| b.is_ascii_alphabetic()) && !inner.contains(':');
    let message = format!("{} is no IP address", quoted(inner));
    let hint = if names { "names are not looked up; " } else { "" };
    Wrong::new(message, format!("{hint}allowed: {ENDPOINT}"))
}

fn is_v6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

/// Reads an address or network with prefix length. Leading zeros are refused, as in an address alone: some programs read
/// them as octal (RFC 6943 section 3.1.1), and ipnet takes them.
pub(super) fn read_prefix(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<Spanned<IpNet>> {
    if value.text().is_some_and(has_leading_zeros) {
        reader.faults.add(value.span(), explain_prefix(value));
        return None;
    }
    reader.leaf::<IpNet>(value, explain_prefix)
}

fn has_leading_zeros(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, length)| {
        address.parse::<IpAddr>().is_err() || (length.len() > 1 && length.starts_with('0'))
    })
}

/// What is wrong with a value that is no address or network with prefix length.
fn explain_prefix(value: Value<'_, '_>) -> Wrong {
    let help = format!("allowed: {PREFIX}");
    let Some(text) = value.text() else {
        return value.mismatch("text", &help);
    };
    let shown = quoted(text);
    if text.parse::<IpAddr>().is_ok() {
        let message = format!("{shown} has no prefix length");
        return Wrong::new(
            message,
            format!("write its length behind it, such as \"{}\"", example_prefix(text)),
        );
    }
    match text.split_once('/') {
        Some((address, length)) => match address.parse::<IpAddr>() {
            Ok(address) => {
                let max = if address.is_ipv4() { 32 } else { 128 };
                let message = format!(
                    "{} is no prefix length of an {} address",
                    quoted(length),
                    family(address)
                );
                Wrong::new(message, length_help(address, length, max))
            }
            Err(_) => Wrong::new(format!("{} is no IP address", quoted(address)), help),
        },
        None => Wrong::new(format!("{shown} is no address with a prefix length"), help),
    }
}

fn length_help(address: IpAddr, length: &str, max: u8) -> String {
    let netmask = length
        .parse::<IpAddr>()
        .ok()
        .and_then(|mask| ipnet::ip_mask_to_prefix(mask).ok());
    if let Some(length) = netmask {
        return format!("write the netmask as a length: \"{address}/{length}\"");
    }
    match length.parse::<u8>() {
        Ok(plain) if plain <= max && length.starts_with('0') => {
            format!("write it without leading zeros: \"{address}/{plain}\"")
        }
        _ => format!("allowed: 0 to {max}"),
    }
}

fn example_prefix(address: &str) -> String {
    let length = if address.contains(':') { 64 } else { 24 };
    format!("{address}/{length}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_refused_where_they_make_no_sense() {
        use Purpose::*;
        for (address, purpose, refused) in [
            ("192.168.0.1", Own, false),
            ("0.0.0.0", Listen, true),
            ("::", Listen, true),
            ("127.0.0.1", Server, true),
            ("::1", Own, true),
            ("224.0.0.18", Server, true),
            ("ff02::1", NextHop, true),
            ("255.255.255.255", NextHop, true),
            ("0.1.2.3", Own, true),
            ("fe80::1", NextHop, false),
            ("fe80::1", Own, false),
            ("fe80::1", Listen, true),
            ("169.254.1.1", Server, true),
            ("::ffff:10.0.0.1", Server, true),
            ("2001:db8::1", Server, false),
        ] {
            let found = unusable(address.parse().unwrap(), purpose);
            assert_eq!(found.is_some(), refused, "{address} {purpose:?} {found:?}");
        }
    }

    #[test]
    fn networks_have_addresses_that_are_no_hosts() {
        for (address, network, host) in [
            ("192.168.0.0", "192.168.0.0/24", false),
            ("192.168.0.255", "192.168.0.0/24", false),
            ("192.168.0.1", "192.168.0.0/24", true),
            ("192.168.0.0", "192.168.0.0/31", true),
            ("192.168.0.9", "192.168.0.9/32", true),
            ("2001:db8::", "2001:db8::/64", false),
            ("2001:db8::ffff:ffff:ffff:ffff", "2001:db8::/64", true),
            ("2001:db8::", "2001:db8::/127", true),
        ] {
            let found = not_a_host(address.parse().unwrap(), network.parse().unwrap());
            assert_eq!(found.is_none(), host, "{address} {network}");
        }
    }
}
