//! Frames and packets past the kernel's own sockets, over packet sockets.
#![allow(unsafe_code)]

use std::io;

use lb_core::model::MacAddress;
use nix::sys::socket::{LinkAddr, SockaddrLike};
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

/// The neighbour with this address on the link with this index.
pub(crate) fn neighbour(index: u32, ethertype: u16, to: MacAddress) -> LinkAddr {
    let address = filled(index, ethertype, to);
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe a sockaddr_ll, which is copied.
    let address = unsafe { LinkAddr::from_raw((&raw const address).cast(), Some(length)) };
    address.expect("its family and its length are those of a link's address")
}

fn filled(index: u32, ethertype: u16, to: MacAddress) -> libc::sockaddr_ll {
    let mut address = [0; 8];
    address[..6].copy_from_slice(&to.0);
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: ethertype.to_be(),
        sll_ifindex: index as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: address,
    }
}

pub(crate) fn link_address(index: u32, ethertype: u16) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_ll is one of the addresses that a sockaddr_storage is made for, and any bytes are valid for it.
    let address: &mut libc::sockaddr_ll = unsafe { storage.view_as() };
    *address = filled(index, ethertype, MacAddress([0xff; 6]));
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the storage holds a sockaddr_ll of this length, zeroed and then filled.
    unsafe { SockAddr::new(storage, length) }
}
