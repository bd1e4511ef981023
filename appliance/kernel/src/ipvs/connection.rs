//! The exchange with a generic netlink family: one request at a time, its answers, its acknowledgement.
//! Must not: know what IPVS messages mean, or wait for ever: generic netlink works inside send, so an answer that is
//! not there within the timeout is lost.

use std::fmt::{self, Debug};
use std::io;
use std::time::Duration;

use lb_core::ports::KernelFault;
use lb_wire::genl::{self, Received};
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

/// Room for what the kernel queues between two reads of a dump, 32 KiB at most, and its bookkeeping (bytes).
const RECEIVE_BUFFER: usize = 256 << 10;
/// Larger than any datagram of a dump (netlink_dump: what the reader offers, at most 32 KiB).
const DATAGRAM: usize = 64 << 10;
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

    /// One change; `Ok` once the kernel has acknowledged it.
    pub(super) fn execute<F>(&mut self, request: F, family: u16) -> Result<(), ExchangeError>
    where
        F: GenlFamily + Emitable + ParseableParametrized<[u8], GenlHeader> + Debug,
    {
        self.exchange(request, family, EXECUTE).map(|_| ())
    }

    /// The answer to a question that is not a list.
    pub(super) fn ask<F>(&mut self, request: F, family: u16) -> Result<Vec<F>, ExchangeError>
    where
        F: GenlFamily + Emitable + ParseableParametrized<[u8], GenlHeader> + Debug,
    {
        self.exchange(request, family, EXECUTE)
    }

    /// All entries of a list. One that makes no sense is left out, and said so in the log.
    pub(super) fn dump<F>(&mut self, request: F, family: u16) -> Result<Vec<F>, ExchangeError>
    where
        F: GenlFamily + Emitable + ParseableParametrized<[u8], GenlHeader> + Debug,
    {
        self.exchange(request, family, NLM_F_DUMP)
    }

    fn exchange<F>(&mut self, request: F, family: u16, flags: u16) -> Result<Vec<F>, ExchangeError>
    where
        F: GenlFamily + Emitable + ParseableParametrized<[u8], GenlHeader> + Debug,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_knows_its_controller_and_refuses_what_is_not_there() {
        let mut connection = Connection::open().unwrap();
        assert_eq!(connection.family("nlctrl").unwrap(), 0x10);
        let refused = connection.family("NOT-THERE").unwrap_err();
        assert!(refused.leaves_nothing_behind() && !refused.is_passing());
        let fault = KernelFault::from(refused);
        assert_eq!((fault.errno, fault.text.as_str()), (Some(libc::ENOENT), "ENOENT"));
        // The socket is still in step after a refusal.
        assert_eq!(connection.family("nlctrl").unwrap(), 0x10);
    }

    #[test]
    fn a_dump_lists_the_families() {
        let mut connection = Connection::open().unwrap();
        let request = GenlCtrl {
            cmd: GenlCtrlCmd::GetFamily,
            nlas: Vec::new(),
        };
        let families = connection.dump(request, 0).unwrap();
        let name = GenlCtrlAttrs::FamilyName("nlctrl".to_owned());
        assert!(families.iter().any(|family| family.nlas.contains(&name)));
    }

    /// One message: header, then payload.
    fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(16 + payload.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes
    }

    fn take(answer: &mut Answer<GenlCtrl>, datagram: &[u8]) -> Result<(), ExchangeError> {
        genl::decode(datagram).try_for_each(|message| answer.take(message))
    }

    const ERROR: u16 = 2;
    const DONE: u16 = 3;

    #[test]
    fn answers_to_older_requests_are_passed_over() {
        let mut answer = Answer::new(7);
        let refusal = (-libc::EEXIST).to_ne_bytes();
        take(&mut answer, &message(ERROR, 0, 6, &refusal)).unwrap();
        assert!(!answer.complete);
        take(&mut answer, &message(ERROR, 0, 7, &[0; 4])).unwrap();
        assert!(answer.complete);
    }

    #[test]
    fn a_refusal_has_its_errno_and_the_kernels_words() {
        let mut payload = (-libc::EINVAL).to_ne_bytes().to_vec();
        payload.extend([0; 16]);
        payload.extend([7, 0, 1, 0, b'n', b'o', 0, 0]);
        let flags = NLM_F_CAPPED | NLM_F_ACK_TLVS;
        let error = take(&mut Answer::new(1), &message(ERROR, flags, 1, &payload)).unwrap_err();
        let fault = KernelFault::from(error);
        assert_eq!(
            (fault.errno, fault.text.as_str()),
            (Some(libc::EINVAL), "EINVAL (no)")
        );
        let without = take(&mut Answer::new(1), &message(ERROR, NLM_F_CAPPED, 1, &payload));
        assert_eq!(KernelFault::from(without.unwrap_err()).text, "EINVAL");
    }

    #[test]
    fn a_list_can_fail_at_its_end_and_be_interrupted_anywhere() {
        let mut answer = Answer::new(1);
        let failed = message(DONE, 0, 1, &(-libc::EMSGSIZE).to_ne_bytes());
        let fault = KernelFault::from(take(&mut answer, &failed).unwrap_err());
        assert_eq!(fault.text, "EMSGSIZE");
        let mut answer = Answer::new(1);
        take(&mut answer, &message(DONE, NLM_F_DUMP_INTR, 1, &[0; 4])).unwrap();
        assert!(answer.complete && answer.interrupted);
    }

    #[test]
    fn what_does_not_fit_into_the_queue_is_lost_and_worth_another_try() {
        let overrun = message(4, 0, 1, &[]);
        let lost = take(&mut Answer::new(1), &overrun).unwrap_err();
        assert!(lost.is_passing() && !lost.leaves_nothing_behind());
        assert_eq!(KernelFault::from(lost).text, "receive: ENOBUFS");
    }

    #[test]
    fn silence_ends_after_the_timeout() {
        let mut connection = Connection::open().unwrap();
        let short = Duration::from_millis(20);
        SockRef::from(&connection.socket)
            .set_read_timeout(Some(short))
            .unwrap();
        let error = connection.receive().unwrap_err();
        assert!(!error.leaves_nothing_behind() && !error.is_passing());
        assert_eq!(KernelFault::from(error).text, "receive: EAGAIN");
    }
}
