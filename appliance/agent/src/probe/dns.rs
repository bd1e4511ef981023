//! One question of DNS, over UDP or TCP (RFC 1035, RFC 7766), and what became of it. Of an answer its header, the question in it and
//! its addresses are looked at; nothing in it is followed. Must not: take an answer to another question.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use lb_core::check::{DnsCheck, QueryType, Question, Rcode, Transport};
use lb_core::health::Outcome;
use socket2::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::way::{Way, told_by_icmp};
use super::{Progress, Stage, broken, classify};

const HEADER: usize = 12;
const QUERY_BIT: u8 = 0x80;
const TRUNCATED_BIT: u8 = 0x02;
const RECURSION_DESIRED: u8 = 0x01;
const INTERNET: u16 = 1;
/// What UDP carries without EDNS; a server that sends more is read all the same.
const MOST: usize = 4_096;

pub(super) async fn exchange(way: &Way, check: &DnsCheck, progress: &Progress) -> Result<(), Outcome> {
    let query = Query::new(&check.question, way);
    progress.note("request", || asked(check));
    if check.transport == Transport::Udp {
        let answer = over_udp(way, &query, progress).await?;
        progress.note("answer", || answer.told("UDP"));
        if !answer.is_truncated() {
            return answer.judge(check);
        }
    }
    let answer = over_tcp(way, &query, progress).await?;
    progress.note("answer", || answer.told("TCP"));
    answer.judge(check)
}

/// The question, and what has to come back, for whoever watches.
fn asked(check: &DnsCheck) -> Vec<String> {
    let Question { name, query } = &check.question;
    let address = check
        .expect
        .map(|address| format!(" with {address} among the addresses"));
    vec![
        format!("{} {}, recursion desired", name.as_str(), query.as_str()),
        format!(
            "expected: {}{}",
            check.rcode.as_str(),
            address.unwrap_or_default()
        ),
    ]
}

/// The message of a question.
#[derive(Debug, PartialEq, Eq)]
struct Query(Vec<u8>);

impl Query {
    fn new(question: &Question, way: &Way) -> Query {
        let id = RandomState::new().hash_one(way.target) as u16;
        Query::with_id(question, id)
    }

    fn with_id(question: &Question, id: u16) -> Query {
        let mut message = id.to_be_bytes().to_vec();
        message.extend([RECURSION_DESIRED, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        for label in question.name.labels() {
            // A label has 63 bytes at most.
            message.push(label.len() as u8);
            message.extend(label.as_bytes());
        }
        message.push(0);
        message.extend(question.query.number().to_be_bytes());
        message.extend(INTERNET.to_be_bytes());
        Query(message)
    }

    /// What this message says to the question; `None`: it is no answer to it.
    fn answered(&self, message: Vec<u8>) -> Option<Answer> {
        let is_answer = message.len() >= HEADER && message[..2] == self.0[..2] && message[2] & QUERY_BIT != 0;
        if !is_answer {
            return None;
        }
        let answer = Answer {
            message,
            records: self.0.len(),
        };
        let question = answer.message.get(HEADER..self.0.len());
        let same = question.is_some_and(|question| question.eq_ignore_ascii_case(&self.0[HEADER..]));
        // Who did not understand the question need not repeat it.
        let refuses = answer.count(4) == 0 && answer.rcode() != Rcode::NoError.number();
        (refuses || answer.count(4) == 1 && same).then_some(answer)
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    message: Vec<u8>,
    /// Where the records begin.
    records: usize,
}

impl Answer {
    fn is_truncated(&self) -> bool {
        self.message[2] & TRUNCATED_BIT != 0
    }

    fn rcode(&self) -> u16 {
        u16::from(self.message[3] & 0x0f)
    }

    /// For whoever watches.
    fn told(&self, over: &str) -> Vec<String> {
        let rcode = self.rcode();
        let known = Rcode::ALL.iter().find(|known| known.number() == rcode);
        let word = known.map_or_else(|| rcode.to_string(), |known| known.as_str().to_owned());
        let truncated = if self.is_truncated() { ", truncated" } else { "" };
        let (length, records) = (self.message.len(), self.count(6));
        let mut lines = vec![format!(
            "{word} over {over}, {length} bytes, {records} records{truncated}"
        )];
        let addresses = self.addresses().unwrap_or_default();
        if !addresses.is_empty() {
            let words: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
            lines.push(format!("addresses: {}", words.join(", ")));
        }
        lines
    }

    fn count(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.message[at], self.message[at + 1]])
    }

    fn judge(&self, check: &DnsCheck) -> Result<(), Outcome> {
        let rcode = self.rcode();
        if rcode != check.rcode.number() {
            let known = Rcode::ALL.iter().find(|known| known.number() == rcode);
            let found = known.map_or_else(|| format!("rcode {rcode}"), |known| known.as_str().to_owned());
            let asked = &check.question;
            return Err(Outcome::Fail(format!(
                "{found} instead of {} for {} {}",
                check.rcode.as_str(),
                asked.name.as_str(),
                asked.query.as_str()
            )));
        }
        let Some(wanted) = check.expect else {
            return Ok(());
        };
        let addresses = self
            .addresses()
            .ok_or_else(|| Outcome::Fail("the answer is no DNS".to_owned()))?;
        if addresses.contains(&wanted) {
            return Ok(());
        }
        let name = check.question.name.as_str();
        Err(Outcome::Fail(match addresses.as_slice() {
            [] => format!("no address for {name}"),
            [first, ..] => format!("{first} and not {wanted} for {name}"),
        }))
    }

    /// Of the answers; `None`: they are cut off, or longer than they can be.
    fn addresses(&self) -> Option<Vec<IpAddr>> {
        let mut rest = self.message.get(self.records..).unwrap_or_default();
        let mut addresses = Vec::new();
        for _ in 0..self.count(6) {
            rest = after_name(rest)?;
            let (fixed, after) = rest.split_first_chunk::<10>()?;
            let number = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
            let (data, after) = after.split_at_checked(number(8).into())?;
            rest = after;
            let is = |query: QueryType| number(0) == query.number() && number(2) == INTERNET;
            if is(QueryType::A) {
                addresses.push(IpAddr::from(<[u8; 4]>::try_from(data).ok()?));
            } else if is(QueryType::Aaaa) {
                addresses.push(IpAddr::from(<[u8; 16]>::try_from(data).ok()?));
            }
        }
        Some(addresses)
    }
}

/// What follows a name, which ends with an empty label or a pointer (RFC 1035, section 4.1.4).
fn after_name(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (length, after) = rest.split_first()?;
        match length {
            0 => return Some(after),
            0xc0.. => return after.get(1..),
            length => rest = after.get(usize::from(*length)..)?,
        }
    }
}

/// Answers to other questions are not for us: they are waited past.
async fn over_udp(way: &Way, query: &Query, progress: &Progress) -> Result<Answer, Outcome> {
    let socket = way.datagrams(Protocol::UDP)?;
    socket.send(&query.0).await.map_err(|error| classify(&error))?;
    let mut message = vec![0; MOST];
    loop {
        let length = socket
            .recv(&mut message)
            .await
            .map_err(|error| told_by_icmp(&error))?;
        if let Some(answer) = query.answered(message[..length].to_vec()) {
            return Ok(answer);
        }
        progress.is_at(Stage::Astray);
    }
}

async fn over_tcp(way: &Way, query: &Query, progress: &Progress) -> Result<Answer, Outcome> {
    progress.is_at(Stage::Connecting);
    let mut stream = way.stream(progress).await?;
    progress.is_at(Stage::Dns);
    let broken = |error: std::io::Error| broken(&error);
    // A name has 255 bytes at most.
    let length = query.0.len() as u16;
    let message = [&length.to_be_bytes(), query.0.as_slice()].concat();
    stream.write_all(&message).await.map_err(broken)?;
    let length = stream.read_u16().await.map_err(broken)?;
    let mut message = vec![0; length.into()];
    stream.read_exact(&mut message).await.map_err(broken)?;
    let astray = || Outcome::Fail("the answer is not to the question".to_owned());
    query.answered(message).ok_or_else(astray)
}

#[cfg(test)]
#[path = "tests/dns_messages.rs"]
mod tests;
