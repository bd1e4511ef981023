//! The exchange with nf_tables: a batch as one datagram, and requests with their answers.
//! nfnetlink works inside sendmsg, so every answer to a batch is queued when the call returns: nothing waits for long.

use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::time::Duration;

use lb_core::ports::KernelFault;
use mnl::{Bus, NlMessages};
use nftnl::FinalizedBatch;
use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce, ReceiveTimeout, SndBuf, SndBufForce};
use nix::sys::socket::{self, MsgFlags};
use nix::sys::time::TimeVal;

use super::message::{Get, Message};
use super::raw;
use crate::fault;

/// Answers are acknowledgements of some 100 bytes, one for each message: room for tens of thousands (bytes).
const RECEIVE_BUFFER: usize = 8 << 20;
/// Larger than any datagram of a dump (the kernel's are 16 KiB or what the reader offers, at most 32 KiB).
const DATAGRAM: usize = 64 << 10;
/// The kernel answers at once; a lost answer must not stop the agent.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Socket {
    netlink: mnl::Socket,
    sequence: u32,
}

/// What became of a batch.
pub(super) enum Answer {
    Accepted,
    /// The first message that was refused; nothing of the batch took effect.
    Refused {
        sequence: u32,
        fault: KernelFault,
    },
    /// The receive queue overflowed: the batch took effect, or it did not.
    Lost,
}

impl Socket {
    pub(super) fn open() -> io::Result<Socket> {
        let netlink = mnl::Socket::new(Bus::Netfilter)?;
        raw::switch_on(&netlink, libc::NETLINK_EXT_ACK)?;
        raw::switch_on(&netlink, libc::NETLINK_CAP_ACK)?;
        let fd = raw::fd(&netlink);
        // Beyond net.core.rmem_max where we may; in a user namespace the ordinary limit has to do.
        socket::setsockopt(&fd, RcvBufForce, &RECEIVE_BUFFER)
            .or_else(|_| socket::setsockopt(&fd, RcvBuf, &RECEIVE_BUFFER))?;
        let timeout = TimeVal::new(TIMEOUT.as_secs() as i64, 0);
        socket::setsockopt(&fd, ReceiveTimeout, &timeout)?;
        Ok(Socket { netlink, sequence: 0 })
    }

    /// All pages of the batch in one sendmsg: the kernel takes a batch only whole (nfnetlink_rcv_batch).
    pub(super) fn commit(&self, batch: &FinalizedBatch) -> io::Result<Answer> {
        let pages: Vec<IoSlice<'_>> = batch.iter().map(IoSlice::new).collect();
        let length: usize = pages.iter().map(|page| page.len()).sum();
        let fd = raw::fd(&self.netlink);
        let room = 2 * length;
        socket::setsockopt(&fd, SndBufForce, &room).or_else(|_| socket::setsockopt(&fd, SndBuf, &room))?;
        let flags = MsgFlags::empty();
        socket::sendmsg::<()>(self.netlink.as_raw_fd(), &pages, &[], flags, None)?;
        self.verdict(batch.sequence_numbers())
    }

    /// Reads what is queued. A batch is accepted when all its messages are acknowledged.
    fn verdict(&self, expected: std::ops::Range<u32>) -> io::Result<Answer> {
        let mut acknowledged = 0;
        let mut refused: Option<(u32, KernelFault)> = None;
        let mut buffer = vec![0; DATAGRAM];
        while acknowledged < expected.len() {
            let length = match socket::recv(self.netlink.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => length,
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => continue,
                Err(Errno::ENOBUFS) => return Ok(Answer::Lost),
                Err(errno) => return Err(errno.into()),
            };
            for message in messages(&buffer[..length]) {
                let message = message?;
                if message.kind != libc::NLMSG_ERROR as u16 {
                    continue;
                }
                match message.refusal() {
                    None => acknowledged += 1,
                    Some(fault) => {
                        refused.get_or_insert((message.sequence, fault));
                    }
                }
            }
        }
        Ok(match refused {
            Some((sequence, fault)) => Answer::Refused { sequence, fault },
            None if acknowledged == expected.len() => Answer::Accepted,
            None => Answer::Lost,
        })
    }

    /// Sends a request and hands each message of the answer to `each`.
    pub(super) fn ask(
        &mut self,
        get: Get,
        set: Option<&str>,
        mut each: impl FnMut(&Message<'_>) -> Result<(), KernelFault>,
    ) -> Result<(), KernelFault> {
        let io = |e: io::Error| fault::from_io(&e);
        self.sequence += 1;
        let request = get.request(self.sequence, set);
        self.netlink.send(&request).map_err(io)?;
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let length = self.receive(&mut buffer).map_err(io)?;
            for message in messages(&buffer[..length]) {
                let message = message.map_err(io)?;
                if message.sequence != self.sequence {
                    continue;
                }
                if message.flags & libc::NLM_F_DUMP_INTR as u16 != 0 {
                    return Err(fault::plain("the table changed while it was read"));
                }
                match i32::from(message.kind) {
                    libc::NLMSG_DONE => return Ok(()),
                    libc::NLMSG_ERROR => return message.refusal().map_or(Ok(()), Err),
                    _ => each(&message)?,
                }
            }
        }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match socket::recv(self.netlink.as_raw_fd(), buffer, MsgFlags::MSG_TRUNC) {
                Ok(length) if length > buffer.len() => return Err(Errno::EMSGSIZE.into()),
                Err(Errno::EINTR) => {}
                result => return Ok(result?),
            }
        }
    }
}

/// The buffers come from `Vec`, whose allocations are aligned far beyond the 4 bytes that a header needs.
fn messages(bytes: &[u8]) -> impl Iterator<Item = io::Result<Message<'_>>> {
    NlMessages::new(bytes).map(|message| {
        Message::new(message?).ok_or_else(|| io::Error::other("a netlink message without a header"))
    })
}
