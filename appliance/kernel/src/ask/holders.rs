//! Whether another machine answers for an address of ours: an ARP probe (RFC 5227, section 2.1.1), and who replies in time.
//! For IPv6 the kernel has asked by itself when the address was added (RFC 4862, section 5.4); here its verdict is read.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use lb_core::model::MacAddress;

use crate::packet::{self, ETH_P_ARP, ETH_P_IP};

const ARPHRD_ETHER: u16 = 1;
const ARPOP_REQUEST: u16 = 1;
const ARPOP_REPLY: u16 = 2;
/// On one wire an answer takes milliseconds.
const WAIT: Duration = Duration::from_millis(500);
/// One line per address (net/ipv6/addrconf.c, if6_seq_show).
const IF_INET6: &str = "/proc/net/if_inet6";
/// include/uapi/linux/if_addr.h.
const IFA_F_DADFAILED: u8 = 0x08;

/// The Ethernet addresses of other machines that say that this one is theirs.
pub(crate) fn others(index: u32, own: MacAddress, address: Ipv4Addr) -> io::Result<BTreeSet<MacAddress>> {
    let socket = packet::listen(index, ETH_P_ARP)?;
    packet::broadcast(index, ETH_P_ARP, &question(own, address))?;
    let end = Instant::now() + WAIT;
    let mut others = BTreeSet::new();
    let mut frame = [0u8; 128];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(others);
        }
        socket.set_read_timeout(Some(left))?;
        match (&socket).read(&mut frame) {
            Ok(length) => others.extend(claim(&frame[..length], address).filter(|mac| *mac != own)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether the kernel found another machine with this address, and uses it no more.
pub(crate) fn is_taken(address: Ipv6Addr) -> io::Result<bool> {
    let text = fs::read_to_string(IF_INET6)?;
    let digits: String = address
        .octets()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let flags = |line: &str| {
        let mut fields = line.split_whitespace();
        let is_it = fields.next() == Some(&digits);
        u8::from_str_radix(fields.nth(3).filter(|_| is_it)?, 16).ok()
    };
    Ok(text
        .lines()
        .filter_map(flags)
        .any(|flags| flags & IFA_F_DADFAILED != 0))
}

/// Who has `address`, asked by nobody: so that no neighbour learns anything from it.
fn question(own: MacAddress, address: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::with_capacity(42);
    frame.extend([0xff; 6]);
    frame.extend(own.0);
    for field in [ETH_P_ARP, ARPHRD_ETHER, ETH_P_IP] {
        frame.extend(field.to_be_bytes());
    }
    frame.extend([6, 4]);
    frame.extend(ARPOP_REQUEST.to_be_bytes());
    frame.extend(own.0);
    frame.extend([0; 4]);
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

/// Who says in this frame that the address is its own.
fn claim(frame: &[u8], address: Ipv4Addr) -> Option<MacAddress> {
    let arp = frame.strip_prefix(frame.get(..12)?)?;
    let is_reply = arp.get(..2)? == ETH_P_ARP.to_be_bytes() && arp.get(8..10)? == ARPOP_REPLY.to_be_bytes();
    let (mac, sender) = (arp.get(10..16)?, arp.get(16..20)?);
    let is_it = is_reply && sender == address.octets();
    is_it.then(|| mac.try_into().ok().map(MacAddress)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_for_the_address_is_a_claim_and_nothing_else_is() {
        let own = MacAddress([2, 0, 0, 0, 0, 1]);
        let other = MacAddress([2, 0, 0, 0, 0, 2]);
        let address = Ipv4Addr::new(192, 0, 2, 7);
        let question = question(own, address);
        assert_eq!(question.len(), 42);
        assert_eq!(claim(&question, address), None);
        let mut reply = question.clone();
        reply[21] = 2;
        reply[22..28].copy_from_slice(&other.0);
        reply[28..32].copy_from_slice(&address.octets());
        assert_eq!(claim(&reply, address), Some(other));
        assert_eq!(claim(&reply, Ipv4Addr::new(192, 0, 2, 8)), None);
        for cut in 0..32 {
            assert_eq!(claim(&reply[..cut], address), None);
        }
    }
}
