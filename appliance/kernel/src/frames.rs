//! Packets of the machine's own that leave as frames: a packet socket that sends and receives nothing, and the two questions to the kernel's
//! routes and neighbours (`neighbours`) that an Ethernet header takes. What is sent passes by routes, netfilter, tracking and IPVS.
//! It goes through the link's queue all the same: what goes past that (PACKET_QDISC_BYPASS), no capture sees.
//! Must not: know what is sent, remember what the kernel has said, or ask what it answers under RTNL: that may be held for a second.

mod neighbours;

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use lb_core::model::MacAddress;
use lb_core::ports::{Frame, FramePort, KernelError, NextHop};
use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket as Netlink, SocketAddr};
use nix::sys::socket::{LinkAddr, MsgFlags, MultiHeaders, sendmmsg};
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage, RouteType, RouteVia};
use socket2::{Domain, Socket, Type};

use self::neighbours::Neighbours;
use crate::fault;
use crate::links::ip;
use crate::packet::{self, ETH_P_IP, ETH_P_IPV6};

/// Frames that leave with one call.
const BATCH: usize = 32;
/// For the answer to one question.
const LOOKS: usize = 8;
/// More than one answer about a route takes (bytes).
const ANSWER: usize = 4096;

/// Works in the network namespace in which it was opened.
#[derive(Debug)]
pub struct FrameSocket {
    socket: Socket,
    /// For routes: the kernel looks for these without RTNL (RTNL_FLAG_DOIT_UNLOCKED of RTM_GETROUTE, in both families).
    netlink: Netlink,
    answer: Vec<u8>,
    /// Of the last question.
    number: u32,
    neighbours: Neighbours,
}

impl FrameSocket {
    pub fn open() -> Result<FrameSocket, KernelError> {
        let open = || -> io::Result<FrameSocket> {
            // Protocol 0: it receives nothing. The kernel writes the Ethernet header.
            let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking(), None)?;
            Ok(FrameSocket {
                socket,
                netlink: connected()?,
                answer: Vec::new(),
                number: 0,
                neighbours: Neighbours::new(connected()?),
            })
        };
        open().map_err(|error| fault::during("open a packet socket", fault::from_io(&error)))
    }

    /// A question with one answer, which the kernel gives while it is asked. `None`: it refuses.
    fn ask(&mut self, question: RouteNetlinkMessage) -> Option<RouteNetlinkMessage> {
        let mut message = NetlinkMessage::from(question);
        message.header.flags = NLM_F_REQUEST;
        self.number = self.number.wrapping_add(1);
        message.header.sequence_number = self.number;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.netlink.send(&bytes, 0).ok()?;
        // A kernel that was short of memory tells of that first, and what it answered then is still there.
        for _ in 0..LOOKS {
            self.answer.clear();
            self.answer.reserve(ANSWER);
            match self.netlink.recv(&mut self.answer, libc::MSG_DONTWAIT) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) => continue,
            }
            let answer = NetlinkMessage::deserialize(&self.answer).ok()?;
            if answer.header.sequence_number != self.number {
                continue;
            }
            return match answer.payload {
                NetlinkPayload::InnerMessage(answer) => Some(answer),
                _ => None,
            };
        }
        None
    }

    fn send_batch(&self, frames: &[Frame<'_>]) -> nix::Result<usize> {
        let slices: Vec<_> = frames.iter().map(|frame| [IoSlice::new(frame.packet)]).collect();
        let addresses: Vec<_> = frames
            .iter()
            .map(|frame| Some(packet::neighbour(frame.index, ethertype(frame.packet), frame.to)))
            .collect();
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        let mut headers = MultiHeaders::<LinkAddr>::preallocate(frames.len(), None);
        let sent = sendmmsg(fd, &mut headers, &slices, &addresses, [], flags)?;
        Ok(sent.count())
    }
}

impl FramePort for FrameSocket {
    fn next_hop(&mut self, from: IpAddr, to: IpAddr) -> Option<NextHop> {
        let bits = if to.is_ipv4() { 32 } else { 128 };
        let question = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(to, bits)
            .and_then(|question| question.source_prefix(from, bits))
            .ok()?;
        match self.ask(RouteNetlinkMessage::GetRoute(question.build()))? {
            RouteNetlinkMessage::NewRoute(route) => hop(&route, to),
            _ => None,
        }
    }

    fn neighbours(&mut self, index: u32, is_v4: bool, tell: &mut dyn FnMut(IpAddr, MacAddress)) {
        // Who is not told of is asked by the kernel itself.
        if let Err(error) = self.neighbours.read(index, is_v4, tell) {
            log::debug!("cannot read the neighbours of link {index}: {error}");
        }
    }

    fn send(&mut self, frames: &[Frame<'_>]) -> usize {
        let mut sent = 0;
        while sent < frames.len() {
            let end = frames.len().min(sent + BATCH);
            match self.send_batch(&frames[sent..end]) {
                Ok(0) => break,
                Ok(more) => sent += more,
                Err(nix::Error::EINTR) => {}
                Err(_) => break,
            }
        }
        sent
    }
}

/// To the kernel.
fn connected() -> io::Result<Netlink> {
    let mut netlink = Netlink::new(NETLINK_ROUTE)?;
    netlink.bind_auto()?;
    netlink.connect(&SocketAddr::new(0, 0))?;
    Ok(netlink)
}

fn ethertype(packet: &[u8]) -> u16 {
    match packet.first().map(|byte| byte >> 4) {
        Some(6) => ETH_P_IPV6,
        _ => ETH_P_IP,
    }
}

fn hop(route: &RouteMessage, to: IpAddr) -> Option<NextHop> {
    if route.header.kind != RouteType::Unicast {
        return None;
    }
    let (mut index, mut address) = (None, to);
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(oif) => index = Some(*oif),
            RouteAttribute::Gateway(gateway) => address = ip(gateway)?,
            RouteAttribute::Via(RouteVia::Inet(v4)) => address = (*v4).into(),
            RouteAttribute::Via(RouteVia::Inet6(v6)) => address = (*v6).into(),
            // More than an Ethernet header would be before it.
            RouteAttribute::EncapType(_) | RouteAttribute::Encap(_) => return None,
            _ => {}
        }
    }
    index.map(|index| NextHop { index, address })
}
