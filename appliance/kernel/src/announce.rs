//! Tells a link's neighbours who holds an address now: an ARP announcement (RFC 5227 section 3) or an unsolicited neighbour
//! advertisement (RFC 4861 section 7.2.6). Sent once; a neighbour that misses it finds out when its entry ages.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6};

use lb_core::model::MacAddress;
use lb_core::ports::KernelFault;
use socket2::{Domain, Protocol, Socket, Type};

use crate::fault;
use crate::packet::{self, ETH_P_ARP, ETH_P_IP};

const ARPHRD_ETHER: u16 = 1;
const ARPOP_REQUEST: u16 = 1;

const ND_NEIGHBOR_ADVERT: u8 = 136;
/// RFC 4861 section 4.4: R, because the appliance forwards, and O, because this overrides what the neighbour knows.
const ROUTER_AND_OVERRIDE: u8 = 0xa0;
const TARGET_LINK_LAYER_ADDRESS: u8 = 2;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// RFC 4861 section 7.1.2: with any other hop limit the advertisement is discarded.
const HOP_LIMIT: u32 = 255;

/// `address` is on the link with this index and Ethernet address.
pub(crate) fn announce(index: u32, mac: MacAddress, address: IpAddr) -> Result<(), KernelFault> {
    match address {
        IpAddr::V4(v4) => packet::broadcast(index, ETH_P_ARP, &arp_announcement(mac, v4)),
        IpAddr::V6(v6) => advertise(index, mac, v6),
    }
    .map_err(|e| fault::from_io(&e))
}

/// The whole Ethernet frame: who has `address`, asked by `address` itself.
fn arp_announcement(mac: MacAddress, address: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::with_capacity(42);
    frame.extend([0xff; 6]);
    frame.extend(mac.0);
    frame.extend(ETH_P_ARP.to_be_bytes());
    frame.extend(ARPHRD_ETHER.to_be_bytes());
    frame.extend(ETH_P_IP.to_be_bytes());
    frame.extend([6, 4]);
    frame.extend(ARPOP_REQUEST.to_be_bytes());
    frame.extend(mac.0);
    frame.extend(address.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

/// The kernel adds the checksum (raw ICMPv6 sockets, RFC 3542 section 3.1).
fn advertise(index: u32, mac: MacAddress, address: Ipv6Addr) -> io::Result<()> {
    let mut message = vec![ND_NEIGHBOR_ADVERT, 0, 0, 0, ROUTER_AND_OVERRIDE, 0, 0, 0];
    message.extend(address.octets());
    message.extend([TARGET_LINK_LAYER_ADDRESS, 1]);
    message.extend(mac.0);
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    socket.set_multicast_hops_v6(HOP_LIMIT)?;
    socket.set_multicast_if_v6(index)?;
    socket.bind(&SocketAddrV6::new(address, 0, 0, index).into())?;
    socket.send_to(&message, &SocketAddrV6::new(ALL_NODES, 0, 0, index).into())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_asks_everybody_for_its_own_address() {
        let mac = MacAddress([0x52, 0x54, 0, 0, 0, 1]);
        let frame = arp_announcement(mac, Ipv4Addr::new(192, 0, 2, 7));
        let expected = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0, 0, 1, 8, 6, // Ethernet
            0, 1, 8, 0, 6, 4, 0, 1, // ARP request, Ethernet and IPv4
            0x52, 0x54, 0, 0, 0, 1, 192, 0, 2, 7, // sender
            0, 0, 0, 0, 0, 0, 192, 0, 2, 7, // target
        ];
        assert_eq!(frame, expected);
    }
}
