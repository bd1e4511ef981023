//! The keys of checks that send something else than HTTP: UDP, DNS, gRPC, and an agent on the server.
//! Must not: know who may answer.

use std::net::IpAddr;

use toml::Spanned;

use super::super::fault::quoted;
use super::super::reader::{Reader, Section, Value};
use super::kind::Kind;
use super::values::text;
use super::{inner, or};
use crate::check::{AgentCheck, DnsCheck, DnsName, QueryType, Question, Rcode, Transport, UdpCheck};

/// What fits into any packet without fragments.
pub(in crate::config) const MOST_BYTES: usize = 1_024;
/// A service's name.
pub(in crate::config) const LONGEST: usize = 255;
pub(in crate::config) const RCODE: Rcode = Rcode::NoError;
const EXPECT_HELP: &str = "the address that has to be among the answers, of the family that `query` asks for: \
                           query = \"A\", expect = \"192.0.2.1\"";
const LINE_HELP: &str = "one line of printable ASCII; its end is added";

#[derive(Debug, Clone, Default)]
pub(super) struct ExchangeKeys {
    send: Option<Spanned<Vec<u8>>>,
    expect: Option<Spanned<Vec<u8>>>,
    name: Option<Spanned<DnsName>>,
    query: Option<Spanned<QueryType>>,
    rcode: Option<Spanned<Rcode>>,
    transport: Option<Spanned<Transport>>,
    service: Option<Spanned<String>>,
}

impl ExchangeKeys {
    pub fn read(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> ExchangeKeys {
        ExchangeKeys {
            send: bytes(reader, section, "send", "send_hex"),
            expect: bytes(reader, section, "expect", "expect_hex"),
            name: section.value("name").and_then(|value| name(reader, value)),
            query: section
                .value("query")
                .and_then(|value| reader.one_of(value, QueryType::ALL, QueryType::WORDS, true)),
            rcode: section
                .value("rcode")
                .and_then(|value| reader.one_of(value, Rcode::ALL, Rcode::WORDS, true)),
            transport: section
                .value("transport")
                .and_then(|value| reader.one_of(value, &Transport::ALL, &Transport::WORDS, true)),
            service: section.value("service").and_then(|value| service(reader, value)),
        }
    }

    pub fn over(self, base: &ExchangeKeys) -> ExchangeKeys {
        ExchangeKeys {
            send: or(self.send, &base.send),
            expect: or(self.expect, &base.expect),
            name: or(self.name, &base.name),
            query: or(self.query, &base.query),
            rcode: or(self.rcode, &base.rcode),
            transport: or(self.transport, &base.transport),
            service: or(self.service, &base.service),
        }
    }

    /// What a key holds that another type of check would take.
    pub fn judge(&self, reader: &mut Reader<'_>, kind: Kind) {
        if kind == Kind::Agent
            && let Some(send) = &self.send
            && line(send.get_ref()).is_none()
        {
            let message = "what is sent to an agent is no line";
            reader.fault(send.span(), message, LINE_HELP);
        }
        if kind == Kind::Dns {
            self.judge_dns(reader);
        }
    }

    fn judge_dns(&self, reader: &mut Reader<'_>) {
        let Some(expect) = &self.expect else {
            return;
        };
        let dns = self.dns();
        let message = match dns.expect {
            None => {
                let shown = String::from_utf8_lossy(expect.get_ref()).into_owned();
                format!("{} is no address", quoted(&shown))
            }
            Some(_) if dns.rcode != Rcode::NoError => {
                format!("an answer with {} holds no address", dns.rcode.as_str())
            }
            Some(address) if dns.question.query != query_for(address) => {
                let query = dns.question.query.as_str();
                format!("`{address}` is not among answers to a question for {query}")
            }
            Some(_) => return,
        };
        reader.fault(expect.span(), message, EXPECT_HELP);
    }

    pub fn udp(&self) -> UdpCheck {
        UdpCheck {
            send: inner(&self.send).unwrap_or_default(),
            expect: inner(&self.expect),
        }
    }

    pub fn dns(&self) -> DnsCheck {
        let name = inner(&self.name).unwrap_or_default();
        let usual = match name.is_root() {
            true => QueryType::Soa,
            false => QueryType::A,
        };
        let expect = self.expect.as_ref().map(Spanned::get_ref);
        DnsCheck {
            question: Question {
                query: inner(&self.query).unwrap_or(usual),
                name,
            },
            rcode: inner(&self.rcode).unwrap_or(RCODE),
            expect: expect.and_then(|bytes| std::str::from_utf8(bytes).ok()?.parse().ok()),
            transport: inner(&self.transport).unwrap_or_default(),
        }
    }

    pub fn agent(&self) -> AgentCheck {
        let send = self.send.as_ref();
        AgentCheck {
            send: send.and_then(|send| line(send.get_ref())),
        }
    }

    pub fn service(&self) -> String {
        inner(&self.service).unwrap_or_default()
    }
}

fn query_for(address: IpAddr) -> QueryType {
    match address {
        IpAddr::V4(_) => QueryType::A,
        IpAddr::V6(_) => QueryType::Aaaa,
    }
}

fn line(bytes: &[u8]) -> Option<String> {
    let plain = bytes.iter().all(|byte| (b' '..=b'~').contains(byte));
    let line = String::from_utf8(bytes.to_vec()).ok();
    line.filter(|line| plain && !line.is_empty())
}

/// As text or in hexadecimal digits: TOML's text is UTF-8, so that not every byte can be in it.
fn bytes(
    reader: &mut Reader<'_>,
    section: &Section<'_, '_>,
    key: &'static str,
    hex: &'static str,
) -> Option<Spanned<Vec<u8>>> {
    let (as_text, as_hex) = (section.value(key), section.value(hex));
    if let (Some(_), Some(second)) = (as_text, as_hex) {
        let message = format!("`{hex}` beside `{key}`");
        reader.fault(
            second.span(),
            message,
            "remove one of the two; they are two ways to write the same",
        );
        return None;
    }
    let help = format!(
        "1 to {MOST_BYTES} bytes: as text in `{key}`, or in `{hex}` as hexadecimal digits, such as \"0d 0a ff\""
    );
    let fits = |bytes: Vec<u8>| match bytes.len() {
        1..=MOST_BYTES => Ok(bytes),
        length => Err(format!("`{key}` has {length} bytes")),
    };
    if let Some(value) = as_text {
        return text(reader, value, &help, |text| fits(text.as_bytes().to_vec()));
    }
    text(reader, as_hex?, &help, |text| {
        let wrong = || format!("{} is not written in hexadecimal digits", quoted(text));
        let digits: Vec<u8> = text.bytes().filter(|byte| !b" :".contains(byte)).collect();
        let pair = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).ok()?;
            (pair.len() == 2 && !pair.starts_with('+')).then(|| u8::from_str_radix(pair, 16).ok())?
        };
        let bytes: Option<Vec<u8>> = digits.chunks(2).map(pair).collect();
        fits(bytes.ok_or_else(wrong)?)
    })
}

fn name(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<Spanned<DnsName>> {
    let help = "a name that the server knows, such as \"www.example.com\", or \".\"; what is not ASCII is written as xn--";
    text(reader, value, help, |text| {
        DnsName::new(text).ok_or_else(|| format!("{} is no name that DNS can carry", quoted(text)))
    })
}

fn service(reader: &mut Reader<'_>, value: Value<'_, '_>) -> Option<Spanned<String>> {
    let help = "the service's full name, such as \"helloworld.Greeter\"; without this key the server as a whole is asked for";
    text(reader, value, help, |text| {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        let fits = plain && !text.is_empty() && text.len() <= LONGEST;
        fits.then(|| text.to_owned())
            .ok_or_else(|| format!("{} is no name of a service", quoted(text)))
    })
}
