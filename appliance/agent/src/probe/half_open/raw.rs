//! A raw socket for the TCP of one family: whole packets out, many with one call; in come the answers to our ports, and what ICMP
//! says of what was sent. What IPVS balances never gets here: it is taken in LOCAL_IN, before raw sockets are asked.
//! Must not: know what is under way.

use std::cell::Cell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use lb_core::check::PROBE_PORTS;
use lb_core::syn::Packet;
use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, recvmsg, sendmmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::said::Said;
use super::segment::{Answer, Quote};

/// Answers that are read with one call.
const LOOK: usize = 16;
/// The longest header of IPv4, and one of TCP (bytes).
const LONGEST_ANSWER: usize = 80;
/// After a start, thousands of probes and of answers are on their way at once, and those to silent neighbours wait for seconds (bytes).
const BUFFERED: usize = 16 << 20;
/// So often is read before the loop goes on with something else: whoever sends us answers that we did not ask for must not hold it up.
const LOOKS: usize = 64;
/// An error that was waiting is told in the place of a result; more of them than this are one of our own.
const PATIENCE: usize = 8;

#[derive(Debug)]
pub struct Raw {
    socket: AsyncFd<OwnedFd>,
    is_v4: bool,
    /// There may be something to read.
    readable: Cell<bool>,
    /// There may be errors to read.
    troubled: bool,
    headers: MultiHeaders<SockaddrStorage>,
    buffers: Box<[[u8; LONGEST_ANSWER]; LOOK]>,
    /// For what leaves: one header of a message for each of a batch.
    sending: MultiHeaders<SockaddrStorage>,
}

impl Raw {
    /// Inside of an asynchronous runtime.
    pub fn open(domain: Domain) -> io::Result<Raw> {
        let socket = Socket::new(domain, Type::RAW.nonblocking().cloexec(), Some(Protocol::TCP))?;
        let is_v4 = domain == Domain::IPV4;
        if is_v4 {
            socket.attach_filter(&filter(Header::Ahead))?;
            socket.set_header_included_v4(true)?;
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
        } else {
            socket.attach_filter(&filter(Header::Gone))?;
            socket.set_header_included_v6(true)?;
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
        }
        setsockopt(&socket, sockopt::SndBufForce, &BUFFERED)?;
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFERED)?;
        #[expect(
            deprecated,
            reason = "what `register` asks for without a check holds of every OwnedFd"
        )]
        let socket = AsyncFd::with_interest(socket.into(), Interest::READABLE | Interest::ERROR)?;
        Ok(Raw {
            socket,
            is_v4,
            readable: Cell::new(false),
            troubled: false,
            headers: MultiHeaders::preallocate(LOOK, None),
            buffers: Box::new([[0; LONGEST_ANSWER]; LOOK]),
            sending: MultiHeaders::preallocate(BATCH, None),
        })
    }

    /// Until there may be something to read.
    pub async fn ready(&self) {
        if self.readable.get() {
            return;
        }
        // A raw socket can always be waited for; if not, the deadlines are left.
        match self.socket.ready(Interest::READABLE | Interest::ERROR).await {
            Ok(mut ready) => ready.clear_ready(),
            Err(_) => std::future::pending().await,
        }
        // Cleared before the look: what comes meanwhile is told anew.
        self.readable.set(true);
    }

    fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Tells of the answers that are there; of many, the rest is for the next look.
    pub fn receive(&mut self, mut tell: impl FnMut(Answer)) {
        if !self.readable.replace(false) {
            return;
        }
        let mut patience = PATIENCE;
        for _ in 0..LOOKS {
            if patience == 0 {
                return;
            }
            let fd = self.socket.as_raw_fd();
            let mut slices = self.buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
            let seen = recvmmsg(fd, &mut self.headers, &mut slices, MsgFlags::MSG_DONTWAIT, None);
            match seen {
                Ok(messages) => {
                    let mut count = 0;
                    for message in messages {
                        count += 1;
                        let from = message.address.as_ref();
                        let bytes = message.iovs().next().unwrap_or_default();
                        let answer = match self.is_v4 {
                            true => Answer::of_v4(bytes),
                            false => from
                                .and_then(SockaddrStorage::as_sockaddr_in6)
                                .and_then(|from| Answer::of_v6(from.ip(), bytes)),
                        };
                        answer.into_iter().for_each(&mut tell);
                    }
                    if count < LOOK {
                        return;
                    }
                }
                Err(Errno::EAGAIN) => return,
                Err(Errno::EINTR) => {}
                Err(_) => {
                    self.troubled = true;
                    patience -= 1;
                }
            }
        }
        self.readable.set(true);
    }

    /// Tells of every error that ICMP, or our own kernel, has reported of a probe.
    pub fn receive_errors(&mut self, mut tell: impl FnMut(Quote, Said)) {
        if !std::mem::take(&mut self.troubled) {
            return;
        }
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let mut buffer = [0; 128];
        let mut control = nix::cmsg_space!([u8; 128]);
        loop {
            let mut slices = [IoSliceMut::new(&mut buffer)];
            let fd = self.socket.as_raw_fd();
            let read = recvmsg::<()>(fd, &mut slices, Some(&mut control), flags);
            let (length, said) = match read {
                Ok(message) => {
                    let mut told = message.cmsgs().into_iter().flatten();
                    (message.bytes, told.find_map(Said::of))
                }
                Err(Errno::EINTR) => continue,
                Err(_) => return,
            };
            // Too long for the path: the kernel has learnt it, and a SYN is never too long.
            let said = said.filter(|said| said.errno != Errno::EMSGSIZE as i32);
            if let (Some(quote), Some(said)) = (Quote::of(&buffer[..length]), said) {
                tell(quote, said);
            }
        }
    }

    /// Sends them all through the interface with this index, or through any; tells which could not be sent.
    pub fn send(&mut self, packets: &[(Packet, IpAddr)], index: u32, mut tell: impl FnMut(usize, io::Error)) {
        let (mut at, mut patience) = (0, PATIENCE);
        while at < packets.len() {
            let end = packets.len().min(at + BATCH);
            match self.send_batch(&packets[at..end], index) {
                Ok(sent) => (at, patience) = (at + sent, PATIENCE),
                Err(Errno::EINTR) => {}
                // Of an earlier one, perhaps: the next call tells.
                Err(errno) if patience > 0 && errno != Errno::EAGAIN => {
                    self.troubled = true;
                    self.readable.set(true);
                    patience -= 1;
                }
                Err(errno) => {
                    tell(at, io::Error::from_raw_os_error(errno as i32));
                    (at, patience) = (at + 1, PATIENCE);
                }
            }
        }
    }

    fn send_batch(&mut self, packets: &[(Packet, IpAddr)], index: u32) -> Result<usize, Errno> {
        let fd = self.descriptor();
        let slices: Vec<_> = packets
            .iter()
            .map(|(packet, _)| [IoSlice::new(packet.bytes())])
            .collect();
        // For IPv6 a port would be taken for a protocol (ipv6(7)).
        let address = |(_, to): &(Packet, IpAddr)| Some(SockaddrStorage::from(SocketAddr::new(*to, 0)));
        let addresses: Vec<_> = packets.iter().map(address).collect();
        if index == 0 {
            let sent = sendmmsg(
                fd,
                &mut self.sending,
                &slices,
                &addresses,
                [],
                MsgFlags::MSG_DONTWAIT,
            )?;
            return Ok(sent.count());
        }
        let v4 = in_pktinfo {
            ipi_ifindex: index as i32,
            ipi_spec_dst: in_addr { s_addr: 0 },
            ipi_addr: in_addr { s_addr: 0 },
        };
        let v6 = in6_pktinfo {
            ipi6_addr: in6_addr { s6_addr: [0; 16] },
            ipi6_ifindex: index,
        };
        let through = match self.is_v4 {
            true => ControlMessage::Ipv4PacketInfo(&v4),
            false => ControlMessage::Ipv6PacketInfo(&v6),
        };
        let room = Some(nix::cmsg_space!(in6_pktinfo));
        let mut sending = MultiHeaders::preallocate(packets.len(), room);
        let sent = sendmmsg(
            fd,
            &mut sending,
            &slices,
            &addresses,
            [through],
            MsgFlags::MSG_DONTWAIT,
        )?;
        Ok(sent.count())
    }
}

/// Packets that leave with one call.
const BATCH: usize = 32;

/// Whether a raw socket's filter sees the header of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    Ahead,
    Gone,
}

/// Lets what goes to [`PROBE_PORTS`] pass (classic BPF, linux/filter.h). It is interpreted for each answer: flags and cookie, at which the input filter has
/// looked, are looked at by who reads.
fn filter(header: Header) -> [SockFilter; 6] {
    const LOAD_HEADER_LENGTH: u16 = 0xb1;
    const LOAD_ZERO: u16 = 0x01;
    const LOAD_HALF: u16 = 0x48;
    const IF_GREATER: u16 = 0x25;
    const IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    let begin = match header {
        Header::Ahead => LOAD_HEADER_LENGTH,
        Header::Gone => LOAD_ZERO,
    };
    let (first, last) = (u32::from(*PROBE_PORTS.start()), u32::from(*PROBE_PORTS.end()));
    [
        SockFilter::new(begin, 0, 0, 0),
        SockFilter::new(LOAD_HALF, 0, 0, 2),
        SockFilter::new(IF_AT_LEAST, 0, 2, first),
        SockFilter::new(IF_GREATER, 1, 0, last),
        SockFilter::new(RETURN, 0, 0, LONGEST_ANSWER as u32),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}
