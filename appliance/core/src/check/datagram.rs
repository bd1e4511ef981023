//! What checks by datagrams ask: UDP, and DNS (RFC 1035).
//! Must not: know how a message of DNS is laid out.

use std::net::IpAddr;

/// A datagram, and what has to come back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct UdpCheck {
    pub send: Vec<u8>,
    /// What the answer has to contain. None: nobody says that the port is closed.
    pub expect: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DnsCheck {
    pub question: Question,
    pub rcode: Rcode,
    /// An address that has to be among the answers.
    pub expect: Option<IpAddr>,
    pub transport: Transport,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    pub name: DnsName,
    pub query: QueryType,
}

/// A name in a question: labels of 1 to 63 bytes, 255 bytes with their lengths and the root's (RFC 1035, section 2.3.4).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct DnsName(String);

impl DnsName {
    const LONGEST: usize = 253;

    /// With a dot at the end or without; "." is the root.
    pub fn new(text: &str) -> Option<DnsName> {
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return (text == ".").then(DnsName::default);
        }
        let is_label = |label: &str| {
            let plain = label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_*/".contains(&byte));
            (1..=63).contains(&label.len()) && plain
        };
        let fits = name.len() <= DnsName::LONGEST && name.split('.').all(is_label);
        fits.then(|| DnsName(name.to_owned()))
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.0.split('.').filter(|label| !label.is_empty())
    }

    /// Without the dot at its end, but for the root.
    pub fn as_str(&self) -> &str {
        if self.is_root() { "." } else { &self.0 }
    }
}

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($variant:ident = $number:literal $word:literal),* $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($variant = $number),* }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$variant),*];
            pub const WORDS: &[&str] = &[$($word),*];

            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }

            pub fn number(self) -> u16 {
                self as u16
            }
        }
    };
}

words! {
    /// RFC 1035, section 3.2.2, RFC 3596, RFC 2782.
    QueryType {
        A = 1 "A", Ns = 2 "NS", Cname = 5 "CNAME", Soa = 6 "SOA", Ptr = 12 "PTR", Mx = 15 "MX", Txt = 16 "TXT",
        Aaaa = 28 "AAAA", Srv = 33 "SRV",
    }
}

words! {
    /// What became of a question: RFC 1035, section 4.1.1.
    Rcode {
        NoError = 0 "NOERROR", FormErr = 1 "FORMERR", ServFail = 2 "SERVFAIL", NxDomain = 3 "NXDOMAIN", NotImp = 4 "NOTIMP",
        Refused = 5 "REFUSED",
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Transport {
    /// And TCP for an answer that does not fit (RFC 7766, section 5).
    #[default]
    Udp,
    Tcp,
}

impl Transport {
    pub const ALL: [Transport; 2] = [Transport::Udp, Transport::Tcp];
    /// In the order of [`Self::ALL`]; the default is the first.
    pub const WORDS: [&'static str; 2] = ["udp", "tcp"];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_dns_can_carry() {
        assert!(DnsName::new(".").is_some_and(|name| name.is_root() && name.as_str() == "."));
        let name = DnsName::new("_sip._tcp.Example.com.").unwrap();
        assert_eq!(name.as_str(), "_sip._tcp.Example.com");
        assert_eq!(name.labels().count(), 4);
        for wrong in [
            "",
            "..",
            ".com",
            "a..b",
            "a b",
            "\u{e9}.com",
            &"a".repeat(64),
            &"a.".repeat(128),
        ] {
            assert_eq!(DnsName::new(wrong), None, "{wrong}");
        }
        assert!(DnsName::new(&"a.".repeat(127)).is_some());
    }
}
