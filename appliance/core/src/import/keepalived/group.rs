//! Where services listen: `ADDRESS PORT`, `fwmark N`, and `virtual_server_group` with its ranges.
//! Must not: know the services.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::super::draft::{Listen, MOST_LISTENS};
use super::super::remarks::{Place, Remarks, shown};
use super::tree::Statement;

/// So many addresses may a range have.
const MOST_ADDRESSES: u128 = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Listen(Listen),
    Mark(String, bool),
}

/// The groups of a file by their names.
#[derive(Debug, Default)]
pub(super) struct Groups {
    by_name: BTreeMap<String, Vec<(Place, Entry)>>,
    /// Of all of them.
    entries: usize,
}

impl Groups {
    pub fn read(&mut self, statement: &Statement, remarks: &mut Remarks) {
        let Some(name) = statement.argument(0) else {
            remarks.fault(statement.place, "virtual_server_group needs a name");
            return;
        };
        let mut entries = Vec::new();
        for inner in statement.statements() {
            let read = entry(&inner.words, inner.place, remarks);
            self.entries += read.len();
            if self.entries > MOST_LISTENS {
                remarks.fault(
                    inner.place,
                    "the groups have too many addresses; the rest is left out",
                );
                break;
            }
            entries.extend(read.into_iter().map(|entry| (inner.place, entry)));
        }
        if self.by_name.insert(name.to_owned(), entries).is_some() {
            remarks.fault(
                statement.place,
                format!("the group {} is there twice; this one counts", shown(name)),
            );
        }
    }

    /// What a `virtual_server` names; nothing, with a remark, if it cannot be read.
    pub fn listen(&self, statement: &Statement, remarks: &mut Remarks) -> Vec<(Place, Entry)> {
        let place = statement.place;
        if statement.word() == "virtual_server" && statement.argument(0) == Some("group") {
            let name = statement.argument(1).unwrap_or_default();
            return match self.by_name.get(name) {
                Some(entries) => entries.clone(),
                None => {
                    remarks.fault(place, format!("there is no virtual_server_group {}", shown(name)));
                    Vec::new()
                }
            };
        }
        let read = entry(statement.arguments(), place, remarks);
        read.into_iter().map(|entry| (place, entry)).collect()
    }
}

fn entry(words: &[String], place: Place, remarks: &mut Remarks) -> Vec<Entry> {
    let word = |index: usize| words.get(index).map(String::as_str);
    if word(0) == Some("fwmark") {
        let mark = word(1).unwrap_or_default().to_owned();
        return vec![Entry::Mark(mark, word(2) == Some("inet6"))];
    }
    let given = word(0).unwrap_or_default();
    let addresses = match addresses(given) {
        Ok(addresses) => addresses,
        Err(message) => {
            remarks.fault(place, message);
            return Vec::new();
        }
    };
    let Some((first, last)) = ports(word(1)) else {
        let message = format!("`{}` is no port; 1 to 65535", shown(word(1).unwrap_or_default()));
        remarks.fault(place, message);
        return Vec::new();
    };
    let listen = |address| Entry::Listen(Listen { address, first, last });
    addresses.into_iter().map(listen).collect()
}

/// A port, none or 0 (all of them).
fn ports(given: Option<&str>) -> Option<(u16, u16)> {
    let port: u16 = match given {
        None => 0,
        Some(text) => text.parse().ok()?,
    };
    Some(if port == 0 { (1, u16::MAX) } else { (port, port) })
}

/// An address, `192.0.2.1-10`, `192.0.2.1-192.0.2.10`, or `192.0.2.0/29`.
fn addresses(given: &str) -> Result<Vec<IpAddr>, String> {
    if let Ok(address) = given.parse() {
        return Ok(vec![address]);
    }
    let range = match given.split_once('-') {
        Some((first, last)) => first
            .parse::<IpAddr>()
            .ok()
            .and_then(|first| Some((first, last_of(first, last)?))),
        None => given
            .parse::<IpNet>()
            .ok()
            .map(|net| (net.network(), net.broadcast())),
    };
    let Some((first, last)) = range else {
        return Err(format!(
            "{} is neither an address nor a range of them",
            shown(given)
        ));
    };
    let (from, to) = (number(first), number(last));
    if to < from || to - from >= MOST_ADDRESSES {
        return Err(format!(
            "{} has no or more than {MOST_ADDRESSES} addresses; it is left out",
            shown(given)
        ));
    }
    Ok((from..=to)
        .map(|number| address(number, first.is_ipv4()))
        .collect())
}

/// The end of a range: an address, or the last part of one.
fn last_of(first: IpAddr, last: &str) -> Option<IpAddr> {
    if let Ok(last) = last.parse::<IpAddr>() {
        return (last.is_ipv4() == first.is_ipv4()).then_some(last);
    }
    Some(match first {
        IpAddr::V4(v4) => {
            let mut octets = v4.octets();
            octets[3] = last.parse().ok()?;
            octets.into()
        }
        IpAddr::V6(v6) => {
            let mut segments = v6.segments();
            segments[7] = u16::from_str_radix(last, 16).ok()?;
            segments.into()
        }
    })
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn address(number: u128, v4: bool) -> IpAddr {
    match u32::try_from(number).ok().filter(|_| v4) {
        Some(number) => Ipv4Addr::from(number).into(),
        None => Ipv6Addr::from(number).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_addresses() {
        let ends = |given: &str| {
            let all = addresses(given)?;
            Ok::<_, String>((all.len(), all[0].to_string(), all[all.len() - 1].to_string()))
        };
        for (given, count, first, last) in [
            ("192.0.2.7", 1, "192.0.2.7", "192.0.2.7"),
            ("192.0.2.3-10", 8, "192.0.2.3", "192.0.2.10"),
            ("192.0.2.250-192.0.3.5", 12, "192.0.2.250", "192.0.3.5"),
            ("192.0.2.8/29", 8, "192.0.2.8", "192.0.2.15"),
            ("2001:db8::a-1f", 22, "2001:db8::a", "2001:db8::1f"),
        ] {
            assert_eq!(
                ends(given),
                Ok((count, first.to_owned(), last.to_owned())),
                "{given}"
            );
        }
        for given in [
            "",
            "web",
            "192.0.2.9-3",
            "10.0.0.0/8",
            "192.0.2.1-2001:db8::1",
            "192.0.2.1-300",
            "::/0",
        ] {
            assert!(addresses(given).is_err(), "{given}");
        }
    }
}
