//! Packets as `capture` shows and keeps them, and the words of its filter: a line, then the hardware and the EtherType (two bytes each), then
//! the packet. Must not: make inputs.

use std::io;
use std::time::Duration;

use lb_core::capture::{Direction, Filter, Frame, LinkType, Pcap};

use super::{ensure, ensure_harmless};
use crate::corpus::{self, Entries};
use crate::run::Target;

pub const TARGET: Target = Target {
    name: "capture",
    corpus,
    judge,
};

/// A line on a terminal, in characters: two IPv6 addresses with ports, and what is told of flags or types.
const MOST_LINE: usize = 400;
/// What the kernel takes (BPF_MAXINSNS).
const MOST_INSTRUCTIONS: usize = 4_096;
/// The head of a file, and of a packet in it (bytes).
const FILE_HEAD: usize = 24;
const PACKET_HEAD: usize = 16;

fn corpus() -> io::Result<Entries> {
    corpus::own("capture")
}

fn judge(input: &[u8]) -> Result<(), String> {
    let end = input
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(input.len());
    let (words, packet) = input.split_at(end);
    filter(&String::from_utf8_lossy(words))?;
    let Some((head, bytes)) = packet.get(1..).and_then(<[u8]>::split_first_chunk::<4>) else {
        return Ok(());
    };
    let [hardware, ethertype] = [[head[0], head[1]], [head[2], head[3]]].map(u16::from_be_bytes);
    let frame = Frame {
        at: Duration::from_millis(u64::from(hardware) << 20),
        index: 7,
        direction: Direction::of(head[1]),
        hardware,
        ethertype,
        tag: (head[0] & 1 == 1).then_some(ethertype),
        // What is kept may be less.
        length: bytes.len() + usize::from(head[3]),
        bytes: bytes.to_vec(),
    };
    told(&frame)?;
    kept(&frame, LinkType::Ethernet)?;
    kept(&frame, LinkType::Cooked)
}

fn filter(words: &str) -> Result<(), String> {
    let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    let Ok(filter) = Filter::parse(&words) else {
        return Ok(());
    };
    let length = filter.compile().len();
    ensure(length <= MOST_INSTRUCTIONS, || {
        format!("a filter of {length} instructions")
    })
}

fn told(frame: &Frame) -> Result<(), String> {
    let line = frame.line();
    ensure_harmless(&line, "a line")?;
    ensure(!line.contains('\n') && line.chars().count() <= MOST_LINE, || {
        format!("no line\n{line}")
    })?;
    ensure(frame.vlan().is_none_or(|vlan| vlan < 4_096), || {
        format!("VLAN {:?}", frame.vlan())
    })
}

/// A file that says how long its packets are.
fn kept(frame: &Frame, link_type: LinkType) -> Result<(), String> {
    let mut small = Pcap::new(link_type, FILE_HEAD + PACKET_HEAD);
    let had_room = small.add(frame);
    ensure(small.into_bytes().len() <= FILE_HEAD + PACKET_HEAD, || {
        format!("a file that is too long; it had room: {had_room}")
    })?;
    let mut pcap = Pcap::new(link_type, 1 << 20);
    ensure(pcap.add(frame), || "no room in an empty file".to_owned())?;
    let file = pcap.into_bytes();
    let field = |at: usize| {
        let bytes = file.get(FILE_HEAD + at..)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    let (Some(kept), Some(length)) = (field(8), field(12)) else {
        return Err("a packet without its lengths".to_owned());
    };
    ensure(
        file.len() == FILE_HEAD + PACKET_HEAD + kept && length >= kept,
        || format!("{kept} bytes kept of {length}, in a file of {}", file.len()),
    )
}
