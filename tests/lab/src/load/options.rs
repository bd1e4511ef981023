//! What a client is to do: built by a story or a bench, passed as words, parsed again on the other side.
//! Must not: do it.

use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number of connections, one after another on each of `parallel` threads.
    Short,
    /// `parallel` connections that stay, with a request at every `interval`, until the client is told to stop.
    Long,
    /// A number of connections, which are all kept until the client is told to stop; then every `requests`th asks once.
    Held,
    /// Datagrams from `parallel` sockets; `connections` is their number.
    Udp,
}

/// A client's orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    pub kind: Kind,
    /// Taken in turn.
    pub to: Vec<SocketAddr>,
    /// How many connections (datagrams) in all; without meaning for long ones.
    pub connections: u64,
    /// Goes on after that many until it is told to stop.
    pub until_told: bool,
    pub parallel: usize,
    /// Connections (datagrams) that begin in one second, at most.
    pub rate: Option<u32>,
    /// Requests on each short connection, one after another.
    pub requests: u64,
    /// Between the requests of a long connection.
    pub interval: Duration,
    /// Bytes of each answer; 0 is the server's name and the client's address. For datagrams: of the request.
    pub bytes: u64,
    /// The client's own address; the kernel's choice without one.
    pub from: Option<IpAddr>,
    /// First and last source port, used in turn; the kernel's choice without.
    pub from_ports: Option<(u16, u16)>,
    /// The client closes first, not the server, and so keeps the port in TIME_WAIT.
    pub client_closes: bool,
    /// For a connection to be established, and for each part of an answer to come.
    pub patience: Duration,
}

impl Client {
    fn new(kind: Kind, to: SocketAddr) -> Client {
        Client {
            kind,
            to: vec![to],
            connections: 0,
            until_told: false,
            parallel: 16,
            rate: None,
            requests: 1,
            interval: Duration::from_millis(500),
            bytes: 0,
            from: None,
            from_ports: None,
            client_closes: false,
            patience: Duration::from_secs(10),
        }
    }

    /// So many connections with one request each.
    pub fn short(to: SocketAddr, connections: u64) -> Client {
        Client {
            connections,
            ..Client::new(Kind::Short, to)
        }
    }

    /// So many connections that stay.
    pub fn long(to: SocketAddr, connections: usize, interval: Duration) -> Client {
        Client {
            parallel: connections,
            interval,
            ..Client::new(Kind::Long, to)
        }
    }

    /// So many connections that are all kept; every `sample`th is asked at the end.
    pub fn held(to: SocketAddr, connections: u64, sample: u64) -> Client {
        Client {
            connections,
            requests: sample,
            ..Client::new(Kind::Held, to)
        }
    }

    /// One connection with so many requests.
    pub fn kept_alive(to: SocketAddr, requests: u64) -> Client {
        Client {
            parallel: 1,
            requests,
            ..Client::short(to, 1)
        }
    }

    /// One connection, one request, an answer of so many bytes.
    pub fn bulk(to: SocketAddr, bytes: u64) -> Client {
        Client {
            bytes,
            ..Client::kept_alive(to, 1)
        }
    }

    /// So many datagrams with `bytes` bytes each; the server sends them back.
    pub fn udp(to: SocketAddr, datagrams: u64, bytes: u64) -> Client {
        Client {
            connections: datagrams,
            bytes,
            ..Client::new(Kind::Udp, to)
        }
    }

    /// As the words that [`Client::parse`] understands.
    pub fn words(&self) -> Vec<String> {
        let kind = match self.kind {
            Kind::Short => "short",
            Kind::Long => "long",
            Kind::Held => "held",
            Kind::Udp => "udp",
        };
        let to: Vec<String> = self.to.iter().map(ToString::to_string).collect();
        let mut words = vec![kind.to_owned()];
        let mut add =
            |name: &str, value: &dyn Display| words.extend([format!("--{name}"), value.to_string()]);
        add("to", &to.join(","));
        add("connections", &self.connections);
        add("until-told", &self.until_told);
        add("parallel", &self.parallel);
        add("requests", &self.requests);
        add("interval-ms", &self.interval.as_millis());
        add("bytes", &self.bytes);
        add("client-closes", &self.client_closes);
        add("patience-ms", &self.patience.as_millis());
        if let Some(rate) = self.rate {
            add("rate", &rate);
        }
        if let Some(from) = self.from {
            add("from", &from);
        }
        if let Some((first, last)) = self.from_ports {
            add("from-ports", &format!("{first}-{last}"));
        }
        words
    }

    pub fn parse(kind: &str, words: &[&str]) -> io::Result<Client> {
        let kind = match kind {
            "short" => Kind::Short,
            "long" => Kind::Long,
            "held" => Kind::Held,
            "udp" => Kind::Udp,
            other => return Err(io::Error::other(format!("unknown kind of load {other}"))),
        };
        let mut client = Client::new(kind, SocketAddr::from(([0, 0, 0, 0], 0)));
        client.to.clear();
        for pair in words.chunks(2) {
            let [name, value] = pair else {
                return Err(io::Error::other(format!("{pair:?} has no value")));
            };
            client.set(name, value)?;
        }
        if client.to.is_empty() || client.parallel == 0 {
            return Err(io::Error::other("load needs --to, and at least one in parallel"));
        }
        Ok(client)
    }

    fn set(&mut self, name: &str, value: &str) -> io::Result<()> {
        match name {
            "--to" => self.to = addresses(&value.split(',').collect::<Vec<_>>())?,
            "--connections" => self.connections = parsed(value)?,
            "--until-told" => self.until_told = parsed(value)?,
            "--parallel" => self.parallel = parsed(value)?,
            "--rate" => self.rate = Some(parsed(value)?),
            "--requests" => self.requests = parsed(value)?,
            "--interval-ms" => self.interval = Duration::from_millis(parsed(value)?),
            "--bytes" => self.bytes = parsed(value)?,
            "--from" => self.from = Some(parsed(value)?),
            "--from-ports" => {
                let (first, last) = value.split_once('-').unwrap_or((value, value));
                self.from_ports = Some((parsed(first)?, parsed(last)?));
            }
            "--client-closes" => self.client_closes = parsed(value)?,
            "--patience-ms" => self.patience = Duration::from_millis(parsed(value)?),
            other => return Err(io::Error::other(format!("unknown option {other}"))),
        }
        Ok(())
    }
}

/// `ADDRESS:PORT` each.
pub fn addresses(words: &[&str]) -> io::Result<Vec<SocketAddr>> {
    words.iter().map(|word| parsed(word)).collect()
}

fn parsed<T: std::str::FromStr>(word: &str) -> io::Result<T> {
    word.parse()
        .map_err(|_| io::Error::other(format!("`{word}` cannot be read")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_were_meant() {
        let mut client = Client::short("192.0.2.1:80".parse().unwrap(), 1_000);
        client.to.push("[2001:db8::1]:80".parse().unwrap());
        client.rate = Some(500);
        client.from = Some("192.0.2.9".parse().unwrap());
        client.from_ports = Some((1_024, 2_047));
        client.until_told = true;
        for client in [
            client.clone(),
            Client::long(client.to[0], 7, Duration::from_millis(30)),
            Client::held(client.to[0], 9, 3),
        ] {
            let words = client.words();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            assert_eq!(Client::parse(words[0], &words[1..]).unwrap(), client);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Client::parse("short", &["--to"]).is_err());
        assert!(Client::parse("short", &["--to", "192.0.2.1"]).is_err());
        assert!(Client::parse("short", &["--speed", "1"]).is_err());
        assert!(Client::parse("tall", &["--to", "192.0.2.1:80"]).is_err());
        assert!(Client::parse("short", &[]).is_err());
    }
}
