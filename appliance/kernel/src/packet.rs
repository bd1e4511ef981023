//! Frames and packets past the kernel's own sockets, over packet sockets.
#![allow(unsafe_code)]

use std::io;

use socket2::{Domain, SockAddr, SockAddrStorage, Socket, Type};

/// include/uapi/linux/if_ether.h.
pub(crate) const ETH_P_IP: u16 = 0x0800;
pub(crate) const ETH_P_ARP: u16 = 0x0806;
pub(crate) const ETH_P_IPV6: u16 = 0x86dd;

/// Sends `frame`, which holds its Ethernet header, to the link's broadcast address.
pub(crate) fn broadcast(index: u32, ethertype: u16, frame: &[u8]) -> io::Result<()> {
    // Protocol 0: this socket receives nothing.
    let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
    socket.send_to(frame, &link_address(index, ethertype))?;
    Ok(())
}

/// Frames of this kind that arrive on one link, with their Ethernet headers.
pub(crate) fn listen(index: u32, ethertype: u16) -> io::Result<Socket> {
    bound(Type::RAW, index, ethertype)
}

/// Packets of this kind that arrive on any link, from their network header on.
pub(crate) fn listen_everywhere(ethertype: u16) -> io::Result<Socket> {
    bound(Type::DGRAM, 0, ethertype)
}

fn bound(kind: Type, index: u32, ethertype: u16) -> io::Result<Socket> {
    // Nothing is received before it is bound to the link and to the kind.
    let socket = Socket::new(Domain::PACKET, kind, None)?;
    socket.bind(&link_address(index, ethertype))?;
    Ok(socket)
}

pub(crate) fn link_address(index: u32, ethertype: u16) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_ll is one of the addresses that a sockaddr_storage is made for, and any bytes are valid for it.
    let address: &mut libc::sockaddr_ll = unsafe { storage.view_as() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ethertype.to_be();
    address.sll_ifindex = index as i32;
    address.sll_halen = 6;
    address.sll_addr[..6].copy_from_slice(&[0xff; 6]);
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the storage holds a sockaddr_ll of this length, zeroed and then filled.
    unsafe { SockAddr::new(storage, length) }
}
