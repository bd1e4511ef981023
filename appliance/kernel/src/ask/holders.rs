//! Whether another machine answers for an address of ours: an ARP probe (RFC 5227, section 2.1.1) or a neighbour solicitation from
//! nobody (RFC 4862, section 5.4), and who replies in time. The appliance sets its IPv6 addresses without waiting for such a reply.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use lb_core::checksum;
use lb_core::model::MacAddress;

use crate::packet::{self, ETH_P_ARP, ETH_P_IP, ETH_P_IPV6};

const ARPHRD_ETHER: u16 = 1;
const ARPOP_REQUEST: u16 = 1;
const ARPOP_REPLY: u16 = 2;
const ICMPV6: u8 = 58;
const ND_NEIGHBOR_SOLICIT: u8 = 135;
const ND_NEIGHBOR_ADVERT: u8 = 136;
const TARGET_LINK_LAYER_ADDRESS: u8 = 2;
/// RFC 4861, section 7.1: with any other hop limit a message is discarded.
const HOP_LIMIT: u8 = 255;
/// Type, code, checksum, reserved, target (bytes).
const SOLICITATION: usize = 24;
/// On one wire an answer takes milliseconds.
const WAIT: Duration = Duration::from_millis(500);

/// The Ethernet addresses of other machines that say that this one is theirs.
pub(crate) fn others(index: u32, own: MacAddress, address: IpAddr) -> io::Result<BTreeSet<MacAddress>> {
    let (ethertype, question) = match address {
        IpAddr::V4(address) => (ETH_P_ARP, probe(own, address)),
        IpAddr::V6(address) => (ETH_P_IPV6, solicitation(own, address)),
    };
    let claim = |frame: &[u8]| match address {
        IpAddr::V4(address) => arp_reply(frame, address),
        IpAddr::V6(address) => advertisement(frame, address),
    };
    let socket = packet::listen(index, ethertype)?;
    packet::broadcast(index, ethertype, &question)?;
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
            Ok(length) => others.extend(claim(&frame[..length]).filter(|mac| *mac != own)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Who has `address`, asked by nobody: so that no neighbour learns anything from it.
fn probe(own: MacAddress, address: Ipv4Addr) -> Vec<u8> {
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

/// Who has `address`, asked by nobody, of those who listen to the multicast address that follows from it (RFC 4291, section 2.7.1).
fn solicitation(own: MacAddress, address: Ipv6Addr) -> Vec<u8> {
    let target = address.octets();
    let [.., a, b, c] = target;
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    let nobody = Ipv6Addr::UNSPECIFIED;
    let mut message = [0; SOLICITATION];
    message[0] = ND_NEIGHBOR_SOLICIT;
    message[8..].copy_from_slice(&target);
    let sum = checksum::with_addresses(nobody.into(), group.into(), ICMPV6, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = vec![0x33, 0x33, 0xff, a, b, c];
    frame.extend(own.0);
    frame.extend(ETH_P_IPV6.to_be_bytes());
    frame.extend([0x60, 0, 0, 0, 0, SOLICITATION as u8, ICMPV6, HOP_LIMIT]);
    frame.extend(nobody.octets());
    frame.extend(group.octets());
    frame.extend(message);
    frame
}

/// Who says in this ARP frame that the address is its own.
fn arp_reply(frame: &[u8], address: Ipv4Addr) -> Option<MacAddress> {
    let arp = frame.strip_prefix(frame.get(..12)?)?;
    let is_reply = arp.get(..2)? == ETH_P_ARP.to_be_bytes() && arp.get(8..10)? == ARPOP_REPLY.to_be_bytes();
    let (mac, sender) = (arp.get(10..16)?, arp.get(16..20)?);
    let is_it = is_reply && sender == address.octets();
    is_it.then(|| mac.try_into().ok().map(MacAddress)).flatten()
}

/// Who says in this frame of IPv6 that the address is its own: whom it names as its Ethernet address, or else its sender.
fn advertisement(frame: &[u8], address: Ipv6Addr) -> Option<MacAddress> {
    let packet = frame.get(14..)?;
    let message = packet.get(40..)?;
    let is_it = frame.get(12..14)? == ETH_P_IPV6.to_be_bytes()
        && packet.get(6..8)? == [ICMPV6, HOP_LIMIT]
        && message.get(..2)? == [ND_NEIGHBOR_ADVERT, 0]
        && message.get(8..SOLICITATION)? == address.octets();
    let named = message
        .get(SOLICITATION..SOLICITATION + 8)
        .filter(|option| option[..2] == [TARGET_LINK_LAYER_ADDRESS, 1]);
    let mac = named.map_or(frame.get(6..12)?, |option| &option[2..]);
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
        let question = probe(own, address);
        assert_eq!(question.len(), 42);
        assert_eq!(arp_reply(&question, address), None);
        let mut reply = question.clone();
        reply[21] = 2;
        reply[22..28].copy_from_slice(&other.0);
        reply[28..32].copy_from_slice(&address.octets());
        assert_eq!(arp_reply(&reply, address), Some(other));
        assert_eq!(arp_reply(&reply, Ipv4Addr::new(192, 0, 2, 8)), None);
        for cut in 0..32 {
            assert_eq!(arp_reply(&reply[..cut], address), None);
        }
    }

    #[test]
    fn an_advertisement_of_the_address_is_a_claim_and_nothing_else_is() {
        let own = MacAddress([2, 0, 0, 0, 0, 1]);
        let other = MacAddress([2, 0, 0, 0, 0, 2]);
        let address: Ipv6Addr = "2001:db8::12:3456".parse().unwrap();
        let question = solicitation(own, address);
        assert_eq!(
            &question[..14],
            [0x33, 0x33, 0xff, 0x12, 0x34, 0x56, 2, 0, 0, 0, 0, 1, 0x86, 0xdd]
        );
        let group: Ipv6Addr = "ff02::1:ff12:3456".parse().unwrap();
        assert_eq!(question[22..38], [0; 16]);
        assert_eq!(question[38..54], group.octets());
        // With its checksum in it a message comes to nothing.
        let sum = checksum::with_addresses(
            Ipv6Addr::UNSPECIFIED.into(),
            group.into(),
            ICMPV6,
            &question[54..],
        );
        assert_eq!(sum, 0);
        assert_eq!(advertisement(&question, address), None);

        let mut answer = question.clone();
        answer[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
        answer[54] = ND_NEIGHBOR_ADVERT;
        // Who sends it is known also without its naming itself.
        assert_eq!(
            advertisement(&answer, address),
            Some(MacAddress([2, 0, 0, 0, 0, 9]))
        );
        answer.extend([TARGET_LINK_LAYER_ADDRESS, 1]);
        answer.extend(other.0);
        assert_eq!(advertisement(&answer, address), Some(other));
        assert_eq!(advertisement(&answer, "2001:db8::1".parse().unwrap()), None);
        for cut in 0..78 {
            assert_eq!(advertisement(&answer[..cut], address), None);
        }
        // A router would have counted down.
        answer[21] = 254;
        assert_eq!(advertisement(&answer, address), None);
    }
}
