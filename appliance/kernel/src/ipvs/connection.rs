//! The exchange with a generic netlink family: one request or one row of changes at a time, its answers, its acknowledgement.
//! Must not: know what IPVS messages mean, or wait for ever: generic netlink works inside send, so an answer that is
//! not there within the timeout is lost.

use std::fmt::{self, Debug};
use std::io;
use std::time::Duration;

use lb_core::ports::KernelFault;
use lb_wire::genl::{self, Received};
use lb_wire::ipvs::IpvsMessage;
use netlink_packet_core::{
    DecodeError, Emitable, ErrorMessage, NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP,
    NLM_F_DUMP_INTR, NetlinkHeader, NetlinkPayload, ParseableParametrized,
};
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};
use socket2::SockRef;
use thiserror::Error;

use crate::fault;

#[cfg(test)]
mod tests;

/// Room for what the kernel queues between two reads of a dump, 32 KiB at most, and its bookkeeping (bytes).
const RECEIVE_BUFFER: usize = 256 << 10;
/// Larger than any datagram of a dump (netlink_dump: what the reader offers, at most 32 KiB).
const DATAGRAM: usize = 64 << 10;
/// One with room to spare (bytes).
const REQUEST: usize = 192;
const TIMEOUT: Duration = Duration::from_secs(5);

/// Netlink messages that ask for an acknowledgement and for nothing else.
const EXECUTE: u16 = NLM_F_ACK;

/// A socket on which nothing is outstanding.
pub(super) struct Connection {
    socket: Socket,
    sequence: u32,
    datagram: Vec<u8>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("socket", &self.socket)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

/// Why a request has no full answer.
#[derive(Debug, Error)]
pub(super) enum ExchangeError {
    #[error("{}", .0)]
    Refused(KernelFault),
    /// Something changed while the kernel was listing it.
    #[error("interrupted by changes")]
    Interrupted,
    /// The request may have been carried out or not; answers may still arrive, so the socket is of no more use.
    #[error("{doing}")]
    Lost {
        doing: &'static str,
        #[source]
        cause: io::Error,
    },
    #[error("an answer without sense: {0}")]
    Nonsense(String),
}

impl ExchangeError {
    fn lost(doing: &'static str) -> impl FnOnce(io::Error) -> ExchangeError {
        move |cause| ExchangeError::Lost { doing, cause }
    }

    /// The kernel listed a moving target, or its answers did not fit: asking again is sound for a read.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            ExchangeError::Interrupted => true,
            ExchangeError::Lost { cause, .. } => cause.raw_os_error() == Some(libc::ENOBUFS),
            ExchangeError::Refused(_) | ExchangeError::Nonsense(_) => false,
        }
    }

    /// Whether the socket can be used again.
    pub(super) fn leaves_nothing_behind(&self) -> bool {
        matches!(self, ExchangeError::Refused(_) | ExchangeError::Interrupted)
    }
}

impl From<ExchangeError> for KernelFault {
    fn from(error: ExchangeError) -> KernelFault {
        match error {
            ExchangeError::Refused(fault) => fault,
            ExchangeError::Lost { doing, cause } => {
                let mut fault = fault::from_io(&cause);
                fault.text = format!("{doing}: {}", fault.text);
                fault
            }
            other => fault::plain(other.to_string()),
        }
    }
}

impl Connection {
    pub(super) fn open() -> Result<Connection, ExchangeError> {
        let failed = || ExchangeError::lost("open a generic netlink socket");
        let mut socket = Socket::new(NETLINK_GENERIC).map_err(failed())?;
        socket.set_ext_ack(true).map_err(failed())?;
        // The kernel need not send our request back with a refusal.
        socket.set_cap_ack(true).map_err(failed())?;
        let options = SockRef::from(&socket);
        options.set_recv_buffer_size(RECEIVE_BUFFER).map_err(failed())?;
        options.set_read_timeout(Some(TIMEOUT)).map_err(failed())?;
        socket.bind_auto().map_err(failed())?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(failed())?;
        Ok(Connection {
            socket,
            sequence: 0,
            datagram: vec![0; DATAGRAM],
        })
    }

    /// The number of a family that the kernel gave it when it was registered. ENOENT: there is no such family.
    pub(super) fn family(&mut self, name: &str) -> Result<u16, ExchangeError> {
        let request = GenlCtrl {
            cmd: GenlCtrlCmd::GetFamily,
            nlas: vec![GenlCtrlAttrs::FamilyName(name.to_owned())],
        };
        let answers: Vec<GenlCtrl> = self.exchange(request, 0, EXECUTE)?;
        let mut attributes = answers.iter().flat_map(|answer| &answer.nlas);
        attributes
            .find_map(|attribute| match attribute {
                GenlCtrlAttrs::FamilyId(id) => Some(*id),
                _ => None,
            })
            .ok_or_else(|| ExchangeError::Nonsense(format!("family {name} has no number")))
    }

    /// Changes in one datagram, which the kernel carries out one after the other; those that it refused. It speaks of a change
    /// only to refuse it, and of the last one in any case, after all others (netlink_rcv_skb).
    pub(super) fn execute(
        &mut self,
        requests: &[IpvsMessage],
        family: u16,
        refused: &mut Vec<(usize, KernelFault)>,
    ) -> Result<(), ExchangeError> {
        let Some(last) = requests.len().checked_sub(1) else {
            return Ok(());
        };
        let first = self.sequence.wrapping_add(1);
        let mut bytes = Vec::with_capacity(requests.len() * REQUEST);
        for (at, request) in requests.iter().enumerate() {
            self.sequence = self.sequence.wrapping_add(1);
            let flags = if at == last { EXECUTE } else { 0 };
            request.append_to(&mut bytes, family, flags, self.sequence);
        }
        self.send(&bytes)?;
        loop {
            let length = self.receive()?;
            for message in genl::decode::<IpvsMessage>(&self.datagram[..length]) {
                let message = message.map_err(|e| ExchangeError::Nonsense(e.to_string()))?;
                let at = message.header.sequence_number.wrapping_sub(first) as usize;
                if at > last {
                    continue;
                }
                let mut answer = Answer::new(message.header.sequence_number);
                match answer.take(Ok(message)) {
                    Ok(()) => {}
                    Err(ExchangeError::Refused(fault)) => refused.push((at, fault)),
                    Err(other) => return Err(other),
                }
                if at == last && answer.complete {
                    return Ok(());
                }
            }
        }
    }

    /// The answer to a question that is not a list.
    pub(super) fn ask<F>(&mut self, request: F, family: u16) -> Result<Vec<F>, ExchangeError>
    where
        F: GenlFamily + Emitable + ParseableParametrized<[u8], GenlHeader> + Debug,
    {
        self.exchange(request, family, EXECUTE)
    }

    /// All entries of a list. One that makes no sense is left out, and said so in the log.
    pub(super) fn dump<F, A>(&mut self, request: F, family: u16) -> Result<Vec<A>, ExchangeError>
    where
        F: GenlFamily + Emitable + Debug,
        A: ParseableParametrized<[u8], GenlHeader> + Debug,
    {
        self.exchange(request, family, NLM_F_DUMP)
    }

    fn exchange<F, A>(&mut self, request: F, family: u16, flags: u16) -> Result<Vec<A>, ExchangeError>
    where
        F: GenlFamily + Emitable + Debug,
        A: ParseableParametrized<[u8], GenlHeader> + Debug,
    {
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = genl::encode(request, family, flags, self.sequence);
        self.send(&bytes)?;
        let mut answer = Answer::new(self.sequence);
        while !answer.complete {
            let length = self.receive()?;
            for message in genl::decode(&self.datagram[..length]) {
                answer.take(message)?;
            }
        }
        if answer.interrupted {
            return Err(ExchangeError::Interrupted);
        }
        Ok(answer.entries)
    }

    fn send(&self, bytes: &[u8]) -> Result<(), ExchangeError> {
        loop {
            match self.socket.send(bytes, 0) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ExchangeError::lost("send")(error)),
            }
        }
    }

    /// The next datagram, into `self.datagram`; its length.
    fn receive(&mut self) -> Result<usize, ExchangeError> {
        loop {
            match self.socket.recv(&mut &mut self.datagram[..], libc::MSG_TRUNC) {
                Ok(length) if length <= self.datagram.len() => return Ok(length),
                Ok(length) => {
                    let text = format!("a datagram of {length} bytes");
                    return Err(ExchangeError::Nonsense(text));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ExchangeError::lost("receive")(error)),
            }
        }
    }
}

/// What has arrived for one request.
struct Answer<F> {
    sequence: u32,
    entries: Vec<F>,
    interrupted: bool,
    complete: bool,
}

impl<F: Debug> Answer<F> {
    fn new(sequence: u32) -> Answer<F> {
        Answer {
            sequence,
            entries: Vec::new(),
            interrupted: false,
            complete: false,
        }
    }

    fn take(&mut self, message: Result<Received<F>, DecodeError>) -> Result<(), ExchangeError> {
        let message = message.map_err(|e| ExchangeError::Nonsense(e.to_string()))?;
        let header = message.header;
        if header.sequence_number != self.sequence {
            log::debug!(
                "netlink: an answer to request {}, not {}",
                header.sequence_number,
                self.sequence
            );
            return Ok(());
        }
        self.interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
        match message.payload {
            Ok(NetlinkPayload::InnerMessage(inner)) => self.entries.push(inner.into_parts().1),
            Ok(NetlinkPayload::Error(error)) => {
                self.complete = true;
                refusal(error.raw_code(), words(&header, &error))?;
            }
            Ok(NetlinkPayload::Done(done)) => {
                self.complete = true;
                refusal(done.code, fault::ext_ack_words(&done.extended_ack))?;
            }
            Ok(NetlinkPayload::Overrun(_)) => {
                let cause = io::Error::from_raw_os_error(libc::ENOBUFS);
                return Err(ExchangeError::lost("receive")(cause));
            }
            Ok(_) => {}
            Err(error) => log::warn!("netlink: an entry was left out: {error}"),
        }
        Ok(())
    }
}

/// A code of zero is none.
fn refusal(code: i32, words: Option<String>) -> Result<(), ExchangeError> {
    match code {
        0 => Ok(()),
        code => {
            let fault = fault::from_errno(code.saturating_abs(), words.as_deref());
            Err(ExchangeError::Refused(fault))
        }
    }
}

/// The kernel's own words behind the capped copy of our request, which is only a header.
fn words(header: &NetlinkHeader, error: &ErrorMessage) -> Option<String> {
    const COPY: usize = 16;
    let expected = NLM_F_ACK_TLVS | NLM_F_CAPPED;
    if header.flags & expected != expected {
        return None;
    }
    fault::ext_ack_words(error.header.get(COPY..)?)
}
