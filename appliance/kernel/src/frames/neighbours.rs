//! The neighbours of a link, by one dump. RTM_GETNEIGH for a single one waits for RTNL, which who changes a link may hold for a second; a dump
//! walks the table without it (RTNL_FLAG_DUMP_UNLOCKED, net/core/neighbour.c), and costs an eighth of as many questions.
//! Must not: wait. The kernel writes each part of a dump while it is asked for it.

use std::io;
use std::net::IpAddr;

use lb_core::model::MacAddress;
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NlasIterator};
use netlink_sys::Socket;

const RTM_NEWNEIGH: u16 = libc::RTM_NEWNEIGH;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// struct nlmsghdr, struct ndmsg, and NDA_IFINDEX.
const QUESTION: usize = 16 + HEADER + 8;
/// struct ndmsg.
const HEADER: usize = 12;
/// What the kernel would send to without asking first. NUD_NOARP is not of it: such entries have no Ethernet address.
const KNOWN: u16 =
    libc::NUD_REACHABLE | libc::NUD_STALE | libc::NUD_DELAY | libc::NUD_PROBE | libc::NUD_PERMANENT;
/// The kernel fills as much as the reader has room for, up to this (netlink_recvmsg).
const PART: usize = 32 << 10;
/// Errors that are told in the place of a part: a kernel that was short of memory.
const PATIENCE: usize = 8;

#[derive(Debug)]
pub(super) struct Neighbours {
    netlink: Socket,
    /// Of the last question.
    number: u32,
}

impl Neighbours {
    /// `netlink` is connected to the kernel, and nobody else's.
    pub(super) fn new(netlink: Socket) -> Neighbours {
        Neighbours { netlink, number: 0 }
    }

    pub(super) fn read(
        &mut self,
        index: u32,
        is_v4: bool,
        tell: &mut dyn FnMut(IpAddr, MacAddress),
    ) -> io::Result<()> {
        self.number = self.number.wrapping_add(1);
        self.netlink.send(&question(index, is_v4, self.number), 0)?;
        let mut part = Vec::with_capacity(PART);
        let mut patience = PATIENCE;
        loop {
            part.clear();
            match self.netlink.recv(&mut part, libc::MSG_DONTWAIT) {
                Ok(_) if !self.read_part(&part, index, tell)? => {}
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock || patience == 0 => {
                    return Err(error);
                }
                Err(_) => patience -= 1,
            }
        }
    }

    /// Whether it is the last one. What is left of an earlier dump has that one's number.
    fn read_part(
        &self,
        part: &[u8],
        index: u32,
        tell: &mut dyn FnMut(IpAddr, MacAddress),
    ) -> io::Result<bool> {
        let mut rest = part;
        while let Ok(message) = NetlinkBuffer::new_checked(rest) {
            let length = (message.length() as usize).next_multiple_of(4);
            let is_ours = message.sequence_number() == self.number;
            match message.message_type() {
                NLMSG_DONE if is_ours => return Ok(true),
                NLMSG_ERROR if is_ours => return Err(refusal(message.payload())),
                RTM_NEWNEIGH if is_ours => {
                    if let Some((address, ethernet)) = neighbour(message.payload(), index) {
                        tell(address, ethernet);
                    }
                }
                _ => {}
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        Ok(false)
    }
}

/// For the neighbours of one family on one link.
fn question(index: u32, is_v4: bool, number: u32) -> [u8; QUESTION] {
    let family = if is_v4 { libc::AF_INET } else { libc::AF_INET6 };
    let mut question = [0; QUESTION];
    question[0..4].copy_from_slice(&(QUESTION as u32).to_ne_bytes());
    question[4..6].copy_from_slice(&libc::RTM_GETNEIGH.to_ne_bytes());
    question[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    question[8..12].copy_from_slice(&number.to_ne_bytes());
    question[16] = family as u8;
    // As an attribute: that of ndmsg is for single ones (neigh_valid_dump_req).
    question[28..30].copy_from_slice(&8u16.to_ne_bytes());
    question[30..32].copy_from_slice(&libc::NDA_IFINDEX.to_ne_bytes());
    question[32..36].copy_from_slice(&index.to_ne_bytes());
    question
}

fn refusal(payload: &[u8]) -> io::Error {
    let code = payload.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
    io::Error::from_raw_os_error(code.saturating_neg())
}

/// `message` begins with struct ndmsg.
fn neighbour(message: &[u8], index: u32) -> Option<(IpAddr, MacAddress)> {
    let (header, attributes) = message.split_first_chunk::<HEADER>()?;
    let state = u16::from_ne_bytes([header[8], header[9]]);
    let of_link = u32::from_ne_bytes([header[4], header[5], header[6], header[7]]) == index;
    if state & KNOWN == 0 || !of_link {
        return None;
    }
    let (mut address, mut ethernet) = (None, None);
    for attribute in NlasIterator::new(attributes).flatten() {
        let value = attribute.value();
        match attribute.kind() {
            libc::NDA_DST => address = ip(value),
            libc::NDA_LLADDR => ethernet = value.try_into().ok().map(MacAddress),
            _ => {}
        }
    }
    Some((address?, ethernet?))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A single question would be answered under RTNL.
    #[test]
    fn the_question_is_a_dump_of_one_link_and_family() {
        let asked = question(7, false, 3);
        let message = NetlinkBuffer::new_checked(&asked[..]).unwrap();
        assert_eq!(message.flags() & NLM_F_DUMP, NLM_F_DUMP);
        assert_eq!(
            (message.message_type(), message.sequence_number()),
            (libc::RTM_GETNEIGH, 3)
        );
        let (header, attributes) = message.payload().split_at(HEADER);
        assert_eq!(i32::from(header[0]), libc::AF_INET6);
        let all: Vec<_> = NlasIterator::new(attributes)
            .map(|found| found.unwrap())
            .collect();
        assert_eq!((all.len(), all[0].kind()), (1, libc::NDA_IFINDEX));
        assert_eq!(all[0].value(), 7u32.to_ne_bytes());
    }

    fn entry(state: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = vec![0; HEADER];
        message[0] = libc::AF_INET as u8;
        message[4..8].copy_from_slice(&7u32.to_ne_bytes());
        message[8..10].copy_from_slice(&state.to_ne_bytes());
        for (kind, value) in attributes {
            message.extend((4 + value.len() as u16).to_ne_bytes());
            message.extend(kind.to_ne_bytes());
            message.extend(*value);
            message.resize(message.len().next_multiple_of(4), 0);
        }
        message
    }

    #[test]
    fn only_a_neighbour_that_would_be_sent_to_counts() {
        let (mac, address): (&[u8], &[u8]) = (&[2, 0, 0, 0, 0, 9], &[10, 1, 0, 2]);
        let whole = [
            (libc::NDA_DST, address),
            (3, &[0; 16][..]),
            (libc::NDA_LLADDR, mac),
        ];
        let found = Some(([10, 1, 0, 2].into(), MacAddress([2, 0, 0, 0, 0, 9])));
        for state in [libc::NUD_REACHABLE, libc::NUD_STALE, libc::NUD_PERMANENT] {
            assert_eq!(neighbour(&entry(state, &whole), 7), found);
            assert_eq!(neighbour(&entry(state, &whole), 8), None);
        }
        for state in [
            libc::NUD_INCOMPLETE,
            libc::NUD_FAILED,
            libc::NUD_NOARP,
            libc::NUD_NONE,
        ] {
            assert_eq!(neighbour(&entry(state, &whole), 7), None);
        }
        // Of a tunnel, or cut off.
        let tunnel = [(libc::NDA_DST, address), (libc::NDA_LLADDR, address)];
        assert_eq!(neighbour(&entry(libc::NUD_REACHABLE, &tunnel), 7), None);
        let bytes = entry(libc::NUD_REACHABLE, &whole);
        for length in 0..bytes.len() - 2 {
            assert_eq!(neighbour(&bytes[..length], 7), None, "{length}");
        }
    }
}
