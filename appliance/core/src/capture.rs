//! Packets that were seen on links: which are wanted, how each reads as a line, and how they are kept as a file.
//! Must not: receive any, or show what they carry.

mod filter;
mod line;
mod pcap;

use std::time::Duration;

pub use filter::{Filter, Instruction};
pub use pcap::{LinkType, Pcap};

/// Ethernet, and the loopback, which has Ethernet headers too (ARPHRD_*, include/uapi/linux/if_arp.h).
const ETHER: u16 = 1;
const LOOPBACK: u16 = 772;
const ETHERNET_HEADER: usize = 14;

/// How the link took it (PACKET_*, include/uapi/linux/if_packet.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    In,
    Broadcast,
    Multicast,
    /// For somebody else; it only came by.
    Other,
    Out,
}

impl Direction {
    /// sll_pkttype.
    pub fn of(number: u8) -> Direction {
        match number {
            0 => Direction::In,
            1 => Direction::Broadcast,
            2 => Direction::Multicast,
            4 => Direction::Out,
            _ => Direction::Other,
        }
    }

    fn number(self) -> u16 {
        match self {
            Direction::In => 0,
            Direction::Broadcast => 1,
            Direction::Multicast => 2,
            Direction::Other => 3,
            Direction::Out => 4,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Direction::In => "in",
            Direction::Broadcast => "bcast",
            Direction::Multicast => "mcast",
            Direction::Other => "other",
            Direction::Out => "out",
        }
    }
}

/// A packet as a packet socket gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Since 1970.
    pub at: Duration,
    /// Of the link.
    pub index: u32,
    pub direction: Direction,
    /// ARPHRD_*: whether there is an Ethernet header.
    pub hardware: u16,
    pub ethertype: u16,
    /// The tag of its VLAN, which the kernel takes off.
    pub tag: Option<u16>,
    /// On the wire, in bytes; what is kept may be less.
    pub length: usize,
    pub bytes: Vec<u8>,
}

impl Frame {
    fn has_ethernet_header(&self) -> bool {
        matches!(self.hardware, ETHER | LOOPBACK)
    }

    /// Where the network's header begins.
    fn network_at(&self) -> usize {
        let at = if self.has_ethernet_header() {
            ETHERNET_HEADER
        } else {
            0
        };
        at.min(self.bytes.len())
    }

    fn network(&self) -> &[u8] {
        &self.bytes[self.network_at()..]
    }

    /// `12:00:01.123456`, UTC.
    pub fn time(&self) -> String {
        let seconds = self.at.as_secs() % 86_400;
        format!(
            "{:02}:{:02}:{:02}.{:06}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            self.at.subsec_micros()
        )
    }
}

/// How many lines a slow terminal is given: so many within each second, so that what is shown is what happens now.
#[derive(Debug)]
pub struct Pace {
    most: u32,
    second: Option<u64>,
    shown: u32,
    hidden: u64,
}

impl Pace {
    pub fn new(most: u32) -> Pace {
        Pace {
            most,
            second: None,
            shown: 0,
            hidden: 0,
        }
    }

    /// Whether one more may be shown, and how many were left out before it.
    pub fn take(&mut self, since_start: Duration) -> Option<u64> {
        let second = since_start.as_secs();
        if self.second != Some(second) {
            (self.second, self.shown) = (Some(second), 0);
        }
        if self.shown >= self.most {
            self.hidden += 1;
            return None;
        }
        self.shown += 1;
        Some(std::mem::take(&mut self.hidden))
    }

    /// Left out since the last one that was shown.
    pub fn rest(&self) -> u64 {
        self.hidden
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_second_has_no_room_for_is_counted() {
        let mut pace = Pace::new(2);
        let at = Duration::from_millis;
        assert_eq!(
            [0, 1, 2, 3, 999].map(|ms| pace.take(at(ms))),
            [Some(0), Some(0), None, None, None]
        );
        assert_eq!(pace.take(at(1_000)), Some(3));
        assert_eq!(
            (pace.take(at(1_001)), pace.take(at(1_002)), pace.rest()),
            (Some(0), None, 1)
        );
    }
}
