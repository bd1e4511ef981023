//! A packet socket for somebody who looks: copies of what links receive and send, chosen by a filter that the kernel runs.
//! Must not: change what becomes of the packets, or keep any.
#![allow(unsafe_code)]

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lb_core::capture::{Direction, Frame, Instruction};
use socket2::{Domain, SockFilter, Socket, Type};

use crate::packet::link_address;

/// include/uapi/linux/if_ether.h.
const ETH_P_ALL: u16 = 0x0003;
/// Until they are read, in bytes: some thousand packets. What does not fit is counted by the kernel.
const BUFFER: usize = 1 << 20;
/// A packet that the card will cut into segments is as long as this.
const LONGEST: usize = 256 << 10;
/// The time, and what the kernel took off.
const CONTROL: usize = 128;

#[derive(Debug)]
pub struct CaptureSocket {
    socket: Socket,
    buffer: Vec<u8>,
    dropped: u64,
}

impl CaptureSocket {
    /// On one link, or on all (0); of each packet `keep` bytes at most.
    pub fn open(index: u32, filter: &[Instruction], keep: usize) -> io::Result<CaptureSocket> {
        // Nothing is received before it is bound, so no packet passes the filter by.
        let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), None)?;
        if !filter.is_empty() {
            let program: Vec<SockFilter> = filter
                .iter()
                .map(|i| SockFilter::new(i.code, i.jt, i.jf, i.k))
                .collect();
            socket.attach_filter(&program)?;
        }
        switch_on(&socket, libc::SOL_PACKET, libc::PACKET_AUXDATA)?;
        switch_on(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS)?;
        socket.set_recv_buffer_size(BUFFER)?;
        socket.bind(&link_address(index, ETH_P_ALL))?;
        Ok(CaptureSocket {
            socket,
            buffer: vec![0; keep.min(LONGEST)],
            dropped: 0,
        })
    }

    /// The next one; `None`: there is none now.
    pub fn take(&mut self) -> io::Result<Option<Frame>> {
        loop {
            match self.receive() {
                Ok(frame) => return Ok(Some(frame)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn receive(&mut self) -> io::Result<Frame> {
        let mut from = MaybeUninit::<libc::sockaddr_ll>::zeroed();
        // Aligned as cmsghdr has to be.
        let mut control = [0u64; CONTROL / size_of::<u64>()];
        let mut part = libc::iovec {
            iov_base: self.buffer.as_mut_ptr().cast(),
            iov_len: self.buffer.len(),
        };
        // SAFETY: all fields are integers or pointers, for which zeros are valid.
        let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        message.msg_name = from.as_mut_ptr().cast();
        message.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        // SAFETY: each pointer of the message is to memory of the length beside it, which outlives the call.
        let length = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &mut message, libc::MSG_TRUNC) };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        // SAFETY: it was zeroed, which is a valid sockaddr_ll, and the kernel wrote one over it.
        let from = unsafe { from.assume_init() };
        let mut frame = Frame {
            at: Duration::ZERO,
            index: u32::try_from(from.sll_ifindex).unwrap_or(0),
            direction: Direction::of(from.sll_pkttype),
            hardware: from.sll_hatype,
            ethertype: u16::from_be(from.sll_protocol),
            tag: None,
            length,
            bytes: self.buffer[..length.min(self.buffer.len())].to_vec(),
        };
        said_beside(&message, &mut frame);
        if frame.at.is_zero() {
            frame.at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        }
        Ok(frame)
    }

    /// What the kernel had no room for, since it was opened.
    pub fn dropped(&mut self) -> io::Result<u64> {
        let mut counted = MaybeUninit::<libc::tpacket_stats>::zeroed();
        let mut length = size_of::<libc::tpacket_stats>() as libc::socklen_t;
        // SAFETY: the pointer is to memory of that length.
        let outcome = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                counted.as_mut_ptr().cast(),
                &mut length,
            )
        };
        if outcome != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: two integers, zeroed and then written.
        let counted = unsafe { counted.assume_init() };
        // The kernel begins anew at each question.
        self.dropped += u64::from(counted.tp_drops);
        Ok(self.dropped)
    }
}

impl AsFd for CaptureSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The time, the whole length, and the VLAN's tag.
fn said_beside(message: &libc::msghdr, frame: &mut Frame) {
    // SAFETY: the message was filled by the kernel, and its control buffer lives as long as the caller's call. The headers are
    // walked as cmsg(3) says, and their data are read without regard to alignment, of the types that the kernel puts there.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while !header.is_null() {
            let data = libc::CMSG_DATA(header);
            match ((*header).cmsg_level, (*header).cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    let time: libc::timespec = ptr::read_unaligned(data.cast());
                    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
                    frame.at = Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0));
                }
                (libc::SOL_PACKET, libc::PACKET_AUXDATA) => {
                    let aux: libc::tpacket_auxdata = ptr::read_unaligned(data.cast());
                    frame.length = aux.tp_len as usize;
                    frame.tag = (aux.tp_status & libc::TP_STATUS_VLAN_VALID != 0).then_some(aux.tp_vlan_tci);
                }
                _ => {}
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
}

fn switch_on(socket: &Socket, level: libc::c_int, name: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointer is to an integer of that length.
    let outcome =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const on).cast(), length) };
    match outcome {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
