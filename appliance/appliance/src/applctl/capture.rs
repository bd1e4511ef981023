//! `capture`: packets of the links, as lines, or as a file over the serial line. What they are is decided in lb-core; here the
//! time is read and passes. Must not: change anything, show what packets carry as text, or go on after Ctrl-C.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use lb_core::capture::{Filter, Frame, LinkType, Pace, Pcap};
use lb_core::link::LinksReport;
use lb_kernel::{CaptureSocket, NetworkView};
use serde::Serialize;

use super::execute::{Context, Verdict};
use super::failure::Failure;
use super::interrupt::Wake;
use super::link::{interfaces, unknown};
use super::parse::Invocation;
use super::render;
use super::transfer::{self, Encoded, MOST_BYTES};
use super::tree;

const NAME: &str = "lb.pcap";
/// All headers, and some of what is in them (bytes).
const SHORT: usize = 128;
/// More than any packet has.
const WHOLE: usize = 256 << 10;
/// Half of what a line of 115,200 baud carries: Ctrl-C and the last lines are soon seen.
const LINES_PER_SECOND: u32 = 50;
/// What comes as one document or file ends by itself.
const COUNT_OF_FILE: u64 = 1_000;
const TIME_OF_FILE: Duration = Duration::from_secs(10);
/// Packets between two looks for Ctrl-C.
const TURN: usize = 64;

/// The kernel's refusals of a packet socket.
const EPERM: i32 = 1;
const ENETDOWN: i32 = 100;
/// The state of a link that is switched off.
const DOWN: &str = "down";

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    packets: Vec<Packet>,
    account: Account,
    /// `null` without `--pcap`.
    file: Option<Encoded>,
}

#[derive(Debug, Serialize)]
struct Packet {
    /// Since 1970.
    unix_us: u64,
    interface: String,
    /// `in`, `out`, `bcast`, `mcast`, `other` (for somebody else).
    direction: &'static str,
    vlan: Option<u16>,
    /// On the wire.
    bytes: usize,
    text: String,
}

#[derive(Debug, Default, Serialize)]
pub struct Account {
    pub packets: u64,
    pub ms: u64,
    /// A slow terminal was not given them.
    pub not_shown: u64,
    /// The file had no room for them.
    pub not_kept: u64,
    /// The kernel had no room for them.
    pub lost: u64,
}

/// Where packets go.
enum Sink {
    Lines(Option<Pace>),
    File(Pcap),
    Document(Vec<Packet>),
}

pub fn run(invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let mut capture = Capture::begin(invocation, context)?;
    if matches!(capture.sink, Sink::Lines(_)) && context.terminal {
        context.print("Ctrl-C ends it. Times are UTC.\n")?;
    }
    capture.go_on(context)?;
    let Capture {
        account, sink, json, ..
    } = capture;
    match sink {
        Sink::Document(packets) => context.print_json(&Report {
            packets,
            account,
            file: None,
        }),
        Sink::File(pcap) if json => context.print_json(&Report {
            packets: Vec::new(),
            account,
            file: Some(transfer::encode(NAME, &pcap.into_bytes())),
        }),
        Sink::Lines(_) => context.print(&render::captured(&account, &context.screen)),
        Sink::File(pcap) => {
            context.print(&render::captured(&account, &context.screen))?;
            if account.packets == 0 {
                return context.say("No packet, no file: nothing that the filter lets through has passed.");
            }
            transfer::send(NAME, &pcap.into_bytes(), context)?;
            Ok(Verdict::Good)
        }
    }
}

struct Capture {
    socket: CaptureSocket,
    sink: Sink,
    account: Account,
    names: BTreeMap<u32, String>,
    begun: Instant,
    most: u64,
    time: Option<Duration>,
    json: bool,
}

impl Capture {
    fn begin(invocation: &Invocation, context: &Context<'_>) -> Result<Capture, Failure> {
        let mut words = invocation.arguments.as_slice();
        let first = words.first().filter(|word| !is_of_filter(word));
        if first.is_some() {
            words = &words[1..];
        }
        let filter = Filter::parse(words).map_err(Failure::Refused)?;
        let known = interfaces(context)?;
        let mut links = NetworkView::open()?.links()?;
        links.name(&known);
        let names = names(&links);
        let (index, link_type) = match first {
            None => (0, LinkType::Cooked),
            Some(name) if links.select(name) => {
                let link = &links.links[0];
                if link.state == DOWN {
                    return Err(Failure::Refused(format!(
                        "{name} is switched off: nothing passes it; `link {name}` shows its state, `status` says why"
                    )));
                }
                let is_ethernet = link.mac.is_some() || link.stack.kind == "loopback";
                let link_type = if is_ethernet {
                    LinkType::Ethernet
                } else {
                    LinkType::Cooked
                };
                (link.index, link_type)
            }
            Some(name) => return Err(unknown(name, &known)),
        };
        let (json, pcap) = (invocation.json(), invocation.has(tree::PCAP));
        let keep = if invocation.has(tree::WHOLE) { WHOLE } else { SHORT };
        let socket = CaptureSocket::open(index, &filter.compile(), keep).map_err(refused)?;
        let sink = match (pcap, json) {
            (true, _) => Sink::File(Pcap::new(link_type, MOST_BYTES)),
            (false, true) => Sink::Document(Vec::new()),
            (false, false) => Sink::Lines(context.terminal.then(|| Pace::new(LINES_PER_SECOND))),
        };
        let ends_itself = !matches!(sink, Sink::Lines(_));
        let count = invocation.number(tree::COUNT);
        let time = invocation.number(tree::SECONDS).map(Duration::from_secs);
        Ok(Capture {
            socket,
            sink,
            account: Account::default(),
            names,
            begun: Instant::now(),
            most: count.unwrap_or(if ends_itself { COUNT_OF_FILE } else { u64::MAX }),
            time: time.or(ends_itself.then_some(TIME_OF_FILE)),
            json,
        })
    }

    /// Until there are enough, the time is over, or Ctrl-C.
    fn go_on(&mut self, context: &mut Context<'_>) -> Result<(), Failure> {
        loop {
            for _ in 0..TURN {
                if self.account.packets >= self.most {
                    return self.end();
                }
                match self.socket.take().map_err(refused)? {
                    Some(frame) => self.take(&frame, context)?,
                    None => break,
                }
            }
            let left = self.time.map(|time| time.saturating_sub(self.begun.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return self.end();
            }
            let woken = context.interrupt.wait_readable(self.socket.as_fd(), left);
            match woken.map_err(Failure::Network)? {
                Wake::Ready | Wake::TimedOut => {}
                Wake::Interrupted => return self.end(),
            }
        }
    }

    fn take(&mut self, frame: &Frame, context: &mut Context<'_>) -> Result<(), Failure> {
        self.account.packets += 1;
        let name = match self.names.get(&frame.index) {
            Some(name) => name.clone(),
            None => format!("#{}", frame.index),
        };
        match &mut self.sink {
            Sink::File(pcap) => self.account.not_kept += u64::from(!pcap.add(frame)),
            Sink::Document(packets) => packets.push(packet(frame, name)),
            Sink::Lines(pace) => {
                let taken = match pace {
                    Some(pace) => pace.take(self.begun.elapsed()),
                    None => Some(0),
                };
                let Some(hidden) = taken else {
                    return Ok(());
                };
                self.account.not_shown += hidden;
                if hidden > 0 {
                    context.print(&render::not_shown(hidden, &context.screen))?;
                }
                context.print(&render::packet(frame, &name, &context.screen))?;
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Failure> {
        if let Sink::Lines(Some(pace)) = &self.sink {
            self.account.not_shown += pace.rest();
        }
        self.account.ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.account.lost = self.socket.dropped().map_err(Failure::Network)?;
        Ok(())
    }
}

/// A name of the file's may be a word of the filter: the filter goes first.
fn is_of_filter(word: &str) -> bool {
    Filter::WORDS.contains(&word) || ["and", "or", "not", "src", "dst"].contains(&word)
}

fn names(links: &LinksReport) -> BTreeMap<u32, String> {
    let name = |link: &lb_core::link::LinkReport| {
        let name = link.interface.as_ref().unwrap_or(&link.link);
        (link.index, name.clone())
    };
    links.links.iter().map(name).collect()
}

fn packet(frame: &Frame, interface: String) -> Packet {
    Packet {
        unix_us: u64::try_from(frame.at.as_micros()).unwrap_or(u64::MAX),
        interface,
        direction: frame.direction.as_str(),
        vlan: frame.vlan(),
        bytes: frame.length,
        text: frame.line(),
    }
}

fn refused(error: std::io::Error) -> Failure {
    match error.raw_os_error() {
        Some(EPERM) => Failure::Refused(
            "the kernel lets only root look at packets; use the console, or run `applctl` as root".to_owned(),
        ),
        Some(ENETDOWN) => Failure::Refused(
            "the interface went down meanwhile; `link` shows its state, `status` says why".to_owned(),
        ),
        _ => Failure::Network(error),
    }
}
