//! Which packets are wanted: a few words joined by `and`, and the classic BPF that the kernel runs for each packet
//! (Documentation/networking/filter.rst). Must not: attach it.

mod compile;

use std::net::IpAddr;

use ipnet::IpNet;

pub use compile::Instruction;

/// The protocols, and how each is known: by its EtherType, or by its number in IPv4 and IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Arp,
    Ip,
    Ip6,
    Icmp,
    Tcp,
    Udp,
    Sctp,
}

impl Kind {
    const ALL: [(&'static str, Kind); 7] = [
        ("arp", Kind::Arp),
        ("ip", Kind::Ip),
        ("ip6", Kind::Ip6),
        ("icmp", Kind::Icmp),
        ("tcp", Kind::Tcp),
        ("udp", Kind::Udp),
        ("sctp", Kind::Sctp),
    ];

    fn has_ports(self) -> bool {
        matches!(self, Kind::Tcp | Kind::Udp | Kind::Sctp | Kind::Ip | Kind::Ip6)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Term {
    Kind(Kind),
    /// From there or to there.
    Network(IpNet),
    /// From it or to it.
    Port(u16),
}

/// All terms have to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter(Vec<Term>);

/// More would be a mistake; the kernel takes 4,096 instructions.
const MOST_TERMS: usize = 16;

impl Filter {
    /// The words with which a term begins.
    pub const WORDS: &[&str] = &[
        "host", "net", "port", "tcp", "udp", "sctp", "icmp", "arp", "ip", "ip6",
    ];

    /// The error is a sentence with the remedy.
    pub fn parse(words: &[String]) -> Result<Filter, String> {
        let mut terms = Vec::new();
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let kind = Kind::ALL.iter().find(|(name, _)| *name == word);
            let term = match (word, kind) {
                ("and", _) => continue,
                ("host", _) => Term::Network(host(words.next())?),
                ("net", _) => Term::Network(network(words.next())?),
                ("port", _) => Term::Port(port(words.next())?),
                (_, Some((_, kind))) => Term::Kind(*kind),
                ("or" | "not" | "src" | "dst", _) => {
                    return Err(format!(
                        "`{word}` is not known here: every term has to hold, for either direction; capture more, and choose from \
                         the file (`--pcap`) with a program that can"
                    ));
                }
                _ => return Err(unknown(word)),
            };
            terms.push(term);
        }
        if terms.len() > MOST_TERMS {
            return Err(format!("a filter has at most {MOST_TERMS} terms; leave some out"));
        }
        possible(&terms)?;
        Ok(Filter(terms))
    }
}

fn unknown(word: &str) -> String {
    let word: String = word.chars().take(40).collect();
    format!(
        "`{word}` is no part of a filter; there are host ADDRESS, net PREFIX, port NUMBER, tcp, udp, sctp, icmp, arp, ip and ip6, \
         joined by `and`"
    )
}

fn host(word: Option<&str>) -> Result<IpNet, String> {
    let word = word.unwrap_or_default();
    let address: Option<IpAddr> = word.trim_start_matches('[').trim_end_matches(']').parse().ok();
    address
        .map(IpNet::from)
        .ok_or_else(|| needs("host", "an IPv4 or IPv6 address", "host 172.16.0.11", word))
}

fn network(word: Option<&str>) -> Result<IpNet, String> {
    let word = word.unwrap_or_default();
    word.parse().map_err(|_| {
        needs(
            "net",
            "a network with its prefix length",
            "net 172.16.0.0/24",
            word,
        )
    })
}

fn port(word: Option<&str>) -> Result<u16, String> {
    let word = word.unwrap_or_default();
    let port = word.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| needs("port", "a number from 1 to 65535", "port 30080", word))
}

fn needs(term: &str, what: &str, example: &str, word: &str) -> String {
    let word: String = word.chars().take(40).collect();
    let instead = if word.is_empty() {
        String::new()
    } else {
        format!(", not `{word}`")
    };
    format!("`{term}` needs {what} after it, as in `{example}`{instead}")
}

/// Terms that no packet can meet are a mistake.
fn possible(terms: &[Term]) -> Result<(), String> {
    let kinds: Vec<Kind> = terms
        .iter()
        .filter_map(|term| match term {
            Term::Kind(kind) => Some(*kind),
            _ => None,
        })
        .collect();
    let name = |kind: Kind| {
        Kind::ALL
            .iter()
            .find(|(_, k)| *k == kind)
            .map_or("", |(name, _)| name)
    };
    let family = |kind: &Kind| matches!(kind, Kind::Ip | Kind::Ip6);
    let mut carried = kinds.iter().filter(|kind| !family(kind));
    let mut families = kinds.iter().filter(|kind| family(kind));
    for pair in [
        (carried.next(), carried.next()),
        (families.next(), families.next()),
    ] {
        if let (Some(one), Some(other)) = pair
            && one != other
        {
            return Err(format!(
                "no packet is both {} and {}; leave one out",
                name(*one),
                name(*other)
            ));
        }
    }
    let has_port = terms.iter().any(|term| matches!(term, Term::Port(_)));
    match kinds.iter().find(|kind| !kind.has_ports()) {
        Some(kind) if has_port => Err(format!("{} has no ports; leave `port` out", name(*kind))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
