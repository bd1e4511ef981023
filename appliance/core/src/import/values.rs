//! Values as TOML writes them. Must not: know which key they are for.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::draft::{Address, Listen};
use super::remarks::{Place, Remarks};

/// A basic string.
pub(super) fn text(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                // A String takes every write.
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Whole hours or seconds where it is that, else milliseconds.
pub(super) fn time(time: Duration) -> String {
    match (time.subsec_millis(), time.as_secs()) {
        (0, seconds @ 1..) if seconds % 3_600 == 0 => format!("\"{}h\"", seconds / 3_600),
        (0, seconds) => format!("\"{seconds}s\""),
        _ => format!("\"{}ms\"", time.as_millis()),
    }
}

/// The time, moved into the range that a key has; a remark tells of that.
pub(super) fn time_within(
    time: Duration,
    range: &RangeInclusive<Duration>,
    what: &str,
    place: Place,
    remarks: &mut Remarks,
) -> String {
    // What is written is whole milliseconds.
    let exact = Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let within = exact.clamp(*range.start(), *range.end());
    if within != time {
        let (low, high) = (self::time(*range.start()), self::time(*range.end()));
        let message = format!(
            "{what} of {} becomes {}: it is whole milliseconds here, from {low} to {high}",
            seconds(time),
            self::time(within)
        );
        remarks.differs(place, message.replace('"', ""));
    }
    self::time(within)
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

pub(super) fn whole(number: u64, range: &RangeInclusive<u64>) -> u64 {
    number.clamp(*range.start(), *range.end())
}

pub(super) fn listen(listen: &Listen) -> String {
    let first = SocketAddr::new(listen.address, listen.first);
    if listen.first == listen.last {
        return text(&first.to_string());
    }
    text(&format!("{first}-{}", listen.last))
}

pub(super) fn address(address: &Address) -> String {
    match address {
        Address::Known(ip, 0) => text(&ip.to_string()),
        Address::Known(ip, port) => text(&SocketAddr::new(*ip, *port).to_string()),
        Address::Unusable(given, _) => text(given),
    }
}

/// A value, or several as a list; a long list has a line for each.
pub(super) fn one_or_list(values: &[String]) -> String {
    match values {
        [one] => one.clone(),
        values => list(values),
    }
}

pub(super) fn list(values: &[String]) -> String {
    let inline = format!("[{}]", values.join(", "));
    if inline.len() <= 90 {
        return inline;
    }
    let lines: String = values.iter().map(|value| format!("    {value},\n")).collect();
    format!("[\n{lines}]")
}

pub(super) fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// `pchar`, `/` and `?`: RFC 3986, sections 3.3 and 3.4.
pub(super) fn is_path(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&b);
    text.starts_with('/') && text.len() <= 1_024 && text.bytes().all(plain)
}

/// What the Host field may be.
pub(super) fn is_host(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:[]".contains(&b);
    !text.is_empty() && text.len() <= 255 && text.bytes().all(plain)
}

/// A name that a certificate can be for.
pub(super) fn is_dns_name(text: &str) -> bool {
    rustls_pki_types::DnsName::try_from(text).is_ok()
}
