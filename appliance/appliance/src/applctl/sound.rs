//! `ping` and `trace`: packets of the box's own, and what is heard of them. What it means is decided in lb-core; here the time
//! is read and passes. Must not: go on after Ctrl-C.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use lb_core::echo::{Echoes, Heard, Said};
use lb_core::neighbours::Known;
use lb_core::trace::TraceReport;
use lb_kernel::{EchoSocket, HopProbe, NetworkView};

use super::execute::{Context, Verdict};
use super::failure::Failure;
use super::interrupt::Wake;
use super::parse::Invocation;
use super::reach::{address, known};
use super::render;
use super::tree;

/// What ping(8) has always sent.
const USUAL_SIZE: u64 = 56;
/// For answers after the last echo, and to each probe of a trace.
const PATIENCE: Duration = Duration::from_secs(1);
const PROBES_PER_HOP: u16 = 3;
/// Where two have not been answered, a third tells nothing new and costs a second.
const SILENT_PROBES: usize = 2;

/// The kernel's refusal of a socket of pings.
const EACCES: i32 = 13;
const ENODEV: i32 = 19;
/// Its refusals to send.
const ENETUNREACH: i32 = 101;
const EHOSTUNREACH: i32 = 113;

pub fn ping(invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let target = address(invocation.arguments.first().map_or("", String::as_str))?;
    let number = |option, default| invocation.number(option).unwrap_or(default);
    let mut row = Row {
        target,
        socket: open(target, invocation, context)?,
        echoes: Echoes::to(target),
        begun: Instant::now(),
        size: usize::try_from(number(tree::SIZE, USUAL_SIZE)).unwrap_or(usize::MAX),
        spoken: !invocation.json(),
        last: 0,
    };
    let interval = Duration::from_secs(number(tree::INTERVAL, 1));
    let count = u16::try_from(number(tree::COUNT, 5)).unwrap_or(u16::MAX);
    for sequence in 1..=count {
        row.send(sequence)?;
        let last = sequence == count;
        let wait = if last { PATIENCE } else { interval };
        if !row.listen(wait, last, context)? {
            break;
        }
    }
    let report = row.echoes.report();
    match invocation.json() {
        true => context.print_json(&report)?,
        false => context.print(&render::echoes(&report, &context.screen))?,
    };
    Ok(if report.received > 0 {
        Verdict::Good
    } else {
        Verdict::Bad
    })
}

/// The socket, bound to the interface that was named.
fn open(target: IpAddr, invocation: &Invocation, context: &Context<'_>) -> Result<EchoSocket, Failure> {
    let link = match invocation.arguments.get(1) {
        None => None,
        Some(name) => {
            let known = known(&mut NetworkView::open()?, context)?;
            Some(known.link(name).unwrap_or_else(|| name.clone()))
        }
    };
    let whole = invocation.has(tree::SIZE);
    EchoSocket::open(target, link.as_deref(), whole).map_err(|error| match (error.raw_os_error(), link) {
        (Some(EACCES), _) => Failure::Refused(
            "the kernel does not let this program send echoes; the agent allows it when it starts (net.ipv4.ping_group_range)"
                .to_owned(),
        ),
        (Some(ENODEV), Some(link)) => {
            Failure::Refused(format!("there is no interface `{link}`; `interfaces` lists them"))
        }
        _ => Failure::Network(error),
    })
}

struct Row {
    target: IpAddr,
    socket: EchoSocket,
    echoes: Echoes,
    begun: Instant,
    /// In bytes.
    size: usize,
    spoken: bool,
    /// The echo that was sent last.
    last: u16,
}

impl Row {
    fn send(&mut self, sequence: u16) -> Result<(), Failure> {
        self.last = sequence;
        self.echoes.sent(sequence, self.begun.elapsed());
        let sent = self.socket.send(sequence, self.size);
        sent.map_err(|error| unsent(self.target, error))?;
        Ok(())
    }

    /// So long, or until nothing more can come. False: Ctrl-C came.
    fn listen(&mut self, wait: Duration, last: bool, context: &mut Context<'_>) -> Result<bool, Failure> {
        let end = Instant::now() + wait;
        loop {
            while let Some(heard) = self.socket.heard(self.last).map_err(Failure::Network)? {
                self.tell(heard, context)?;
            }
            if last && self.echoes.is_settled() {
                return Ok(true);
            }
            let left = end.saturating_duration_since(Instant::now());
            let woken = context.interrupt.wait_readable(self.socket.as_fd(), Some(left));
            match woken.map_err(Failure::Network)? {
                Wake::Ready => {}
                Wake::TimedOut => return Ok(true),
                Wake::Interrupted => return Ok(false),
            }
        }
    }

    fn tell(&mut self, heard: Heard, context: &mut Context<'_>) -> Result<(), Failure> {
        let said = self.echoes.heard(heard, self.begun.elapsed());
        if self.spoken && said != Said::Strange {
            context.print(&render::heard(&heard, &said, &context.screen))?;
        }
        Ok(())
    }
}

fn unsent(target: IpAddr, error: io::Error) -> Failure {
    match error.raw_os_error() {
        Some(ENETUNREACH) => Failure::Refused(format!(
            "no route leads to {target}: no network of an interface holds it, and no gateway and no route of lb.toml covers it; `route` lists them"
        )),
        Some(EHOSTUNREACH) => Failure::Refused(format!(
            "nobody answers for {target} on its link, or for the gateway on the way to it; `route {target}` tells which, `arp` who is there"
        )),
        _ => Failure::Network(error),
    }
}

pub fn trace(invocation: &Invocation, context: &mut Context<'_>) -> Result<Verdict, Failure> {
    let target = address(invocation.arguments.first().map_or("", String::as_str))?;
    let port = invocation
        .number(tree::PORT)
        .and_then(|port| u16::try_from(port).ok());
    let known = known(&mut NetworkView::open()?, context)?;
    let mut report = TraceReport::to(target, port);
    let mut number = 0;
    while let Some(hops) = report.next_hop() {
        let more = hop(&mut report, hops, &mut number, context)?;
        name(&mut report, &known);
        if let (false, Some(hop)) = (invocation.json(), report.hops.last()) {
            context.print(&render::hop(hop, &context.screen))?;
        }
        if !more {
            report.end = "interrupted".to_owned();
        }
    }
    match invocation.json() {
        true => context.print_json(&report)?,
        false => context.print(&render::trace_end(&report, &context.screen))?,
    };
    Ok(if report.arrived {
        Verdict::Good
    } else {
        Verdict::Bad
    })
}

/// The probes of one hop. False: Ctrl-C came.
fn hop(report: &mut TraceReport, hops: u8, number: &mut u16, context: &Context<'_>) -> Result<bool, Failure> {
    let mut silent = 0;
    for _ in 0..PROBES_PER_HOP {
        let sent = Instant::now();
        let answer = match HopProbe::send(report.address, hops, report.port, *number) {
            Err(error) => Some(lb_core::trace::Answer::Unsent(words(&error))),
            Ok(probe) => loop {
                if let Some(answer) = probe.answer().map_err(Failure::Network)? {
                    break Some(answer);
                }
                let left = PATIENCE.saturating_sub(sent.elapsed());
                let woken = match probe.awaits_writable() {
                    true => context.interrupt.wait_writable(probe.as_fd(), Some(left)),
                    false => context.interrupt.wait_readable(probe.as_fd(), Some(left)),
                };
                match woken.map_err(Failure::Network)? {
                    Wake::Ready => {}
                    Wake::TimedOut => break None,
                    Wake::Interrupted => return Ok(false),
                }
            },
        };
        *number = number.wrapping_add(1);
        silent += usize::from(answer.is_none());
        report.answered(answer.map(|answer| (answer, sent.elapsed())));
        if silent >= SILENT_PROBES {
            break;
        }
    }
    Ok(true)
}

fn name(report: &mut TraceReport, known: &Known) {
    if let Some(hop) = report.hops.last_mut() {
        hop.roles = hop.from.iter().flat_map(|from| known.roles(*from)).collect();
    }
}

/// `Network is unreachable`, without its number.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or(&text).to_owned()
}
