//! The traffic of the stories in which nothing may be lost: two servers, clients that open connections all the time, and
//! clients whose connections stay. One place judges all of them.
//! Must not: know what a story does meanwhile.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lb_lab::command::run;
use lb_lab::load::{Client, Program, Report, Running, Server};
use lb_lab::{LabError, Result};

use crate::tally::{Dropped, Tally};

/// What is asked of the whole of a story's traffic: connections.
const AT_LEAST: u64 = 100_000;
/// Of the amounts of these stories, in a run that is not told to take them whole ([`WHOLE`]).
const PART: u64 = 10;
/// The environment variable that asks for the whole amounts.
const WHOLE: &str = "LB_WHOLE";
/// The service, and who serves it.
pub const SERVICE: ([u8; 4], u16) = ([192, 168, 0, 1], 8080);
pub const SERVERS: [(&str, &str, &str); 3] = [
    ("worker01", "one", "172.16.0.11:8080"),
    ("worker02", "two", "172.16.0.12:8080"),
    ("master", "three", "172.16.0.1:8080"),
];
/// Connections that stay, and how often each asks.
const LONG: usize = 50;
const INTERVAL: Duration = Duration::from_millis(250);
/// Short connections at a time, for each of the two hosts.
const PARALLEL: usize = 8;
/// Where short connections come from, a port after the other: none is used again while the box still remembers its last
/// connection, which is another story. All other connections have the ports above.
const PORTS: (u16, u16) = (1_024, 60_999);
/// For a client on a busy machine: far more than a SYN that is sent again takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether this run is to take everything whole.
pub fn is_whole() -> bool {
    std::env::var_os(WHOLE).is_some()
}

/// Of an amount, what this run takes: all of it or a tenth.
pub fn share(whole: u64) -> u64 {
    if is_whole() { whole } else { whole.div_ceil(PART) }
}

/// Fewer connections prove nothing.
pub fn at_least() -> u64 {
    share(AT_LEAST)
}

/// Servers that run for a whole story.
#[derive(Debug)]
pub struct Stage {
    load: Program,
    tally: Tally,
    _servers: Vec<Server>,
}

/// Clients at work.
#[derive(Debug)]
pub struct Traffic {
    short: Vec<Running>,
    long: Running,
    tally: Tally,
}

/// What all clients saw.
#[derive(Debug)]
pub struct Seen {
    pub short: Vec<Report>,
    pub long: Report,
    /// Since the stage was there.
    pub dropped: Dropped,
}

impl Stage {
    /// The servers listen, and the hosts leave the ports of short connections alone.
    pub fn new() -> Result<Stage> {
        for host in ["host01", "host02"] {
            let rest = "echo 61000 64999 > /proc/sys/net/ipv4/ip_local_port_range";
            run(&["ip", "netns", "exec", host, "sh", "-c", rest])?;
        }
        let load = Program::own()?;
        let mut servers = Vec::new();
        for (namespace, name, address) in SERVERS {
            servers.push(load.serve(namespace, name, &[address])?);
        }
        Ok(Stage {
            load,
            tally: Tally::begin()?,
            _servers: servers,
        })
    }

    fn short_orders(connections: u64) -> Client {
        Client {
            parallel: PARALLEL,
            patience: PATIENCE,
            from_ports: Some(PORTS),
            ..Client::short(SocketAddr::from(SERVICE), connections)
        }
    }

    /// Begins, and waits until every connection that stays is there.
    pub fn begin(&self) -> Result<Traffic> {
        self.begin_with(PARALLEL)
    }

    /// The same with so many short connections at a time from each host.
    pub fn begin_with(&self, parallel: usize) -> Result<Traffic> {
        self.start(parallel, None)
    }

    /// The same with at most so many short connections a second from each host.
    pub fn begin_at(&self, rate: u32) -> Result<Traffic> {
        self.start(PARALLEL, Some(rate))
    }

    fn start(&self, parallel: usize, rate: Option<u32>) -> Result<Traffic> {
        let long = self.stay("host01", LONG)?;
        let orders = Client {
            until_told: true,
            parallel,
            rate,
            ..Stage::short_orders(0)
        };
        let short = ["host01", "host02"].map(|host| self.load.start(host, &orders));
        let short = short.into_iter().collect::<Result<Vec<Running>>>()?;
        Ok(Traffic {
            short,
            long,
            tally: self.tally,
        })
    }

    /// Connections that stay; each has been answered.
    pub fn stay(&self, host: &str, connections: usize) -> Result<Running> {
        let orders = Client {
            patience: PATIENCE,
            ..Client::long(SocketAddr::from(SERVICE), connections, INTERVAL)
        };
        let long = self.load.start(host, &orders)?;
        // The first round: nobody has asked twice before everybody has asked once.
        long.wait_for("connections that stay", PATIENCE, |so_far| {
            so_far.begun == connections as u64 && so_far.answers >= 2 * connections as u64
        })?;
        Ok(long)
    }

    /// What did not arrive so far; when every connection has ended.
    pub fn dropped(&self) -> Result<Dropped> {
        self.tally.dropped()
    }

    /// So many short connections from each host, to their end; after `before` others.
    pub fn short(&self, connections: u64, before: u64) -> Result<Vec<Report>> {
        let first = PORTS.0 + before as u16;
        let orders = Client {
            from_ports: Some((first, first + connections as u16 - 1)),
            ..Stage::short_orders(connections)
        };
        let running = ["host01", "host02"].map(|host| self.load.start(host, &orders));
        running.into_iter().map(|client| client?.report()).collect()
    }
}

impl Traffic {
    pub fn begun(&self) -> u64 {
        self.short
            .iter()
            .chain([&self.long])
            .map(|c| c.progress().begun)
            .sum()
    }

    pub fn losses(&self) -> u64 {
        self.short
            .iter()
            .chain([&self.long])
            .map(|c| c.progress().losses)
            .sum()
    }

    /// Until so many connections were begun in all.
    pub fn wait_for(&self, connections: u64, limit: Duration) -> Result<()> {
        let started = Instant::now();
        while self.begun() < connections {
            if started.elapsed() > limit {
                return Err(LabError::Timeout {
                    what: format!("{connections} connections"),
                    limit,
                    seen: format!("{} connections, {} lost", self.begun(), self.losses()),
                });
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Every connection comes to its end, and every client says what it saw.
    pub fn end(self) -> Result<Seen> {
        let short = self.short.into_iter().map(Running::report);
        let short = short.collect::<Result<Vec<Report>>>()?;
        let long = self.long.report()?;
        Ok(Seen {
            short,
            long,
            dropped: self.tally.dropped()?,
        })
    }
}

impl Seen {
    pub fn all(&self) -> impl Iterator<Item = &Report> {
        self.short.iter().chain([&self.long])
    }

    pub fn connections(&self) -> u64 {
        self.all().map(|report| report.begun).sum()
    }

    /// How many answers a server gave.
    pub fn answered_by(&self, server: &str) -> u64 {
        self.all().filter_map(|report| report.servers.get(server)).sum()
    }

    /// Everything that was asked for and did not come, whoever asked. The judgement of every story.
    pub fn lost(&self) -> Vec<String> {
        lost(self.all(), self.dropped)
    }

    /// Fails the story if anything was lost, or if it proves nothing.
    pub fn assert_nothing_lost(&self, occasion: &str) {
        for report in self.all() {
            println!("{occasion}: {}", report.summary());
        }
        let lost = self.lost();
        assert!(lost.is_empty(), "{occasion}: {} losses: {lost:#?}", lost.len());
        let connections = self.connections();
        assert!(
            connections >= at_least(),
            "{occasion}: only {connections} connections"
        );
        assert!(
            self.long.answers > 10 * self.long.begun,
            "{occasion}: {:?}",
            self.long
        );
    }
}

/// A SYN or its answer that did not arrive is a loss too, though it was sent again.
pub fn lost<'a>(reports: impl Iterator<Item = &'a Report>, dropped: Dropped) -> Vec<String> {
    let (mut lost, mut slow) = (Vec::new(), Vec::new());
    for report in reports {
        lost.extend(report.lost());
        if report.slow.count > 0 {
            slow.push(&report.slow);
        }
    }
    if dropped.any() {
        lost.push(format!("{dropped:?}; connections that took a second: {slow:?}"));
    } else if !slow.is_empty() {
        println!("sent again and not dropped, so the machine stood still: {slow:?}");
    }
    lost
}
