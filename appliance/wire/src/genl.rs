//! Generic netlink messages in datagrams: one request into bytes, a received datagram into its messages.
//! Must not: know a family's attributes, or give up the rest of a datagram because one message makes no sense.

use std::fmt::Debug;
use std::marker::PhantomData;

use netlink_packet_core::{
    DecodeError, Emitable, NLM_F_REQUEST, NLMSG_ALIGNTO, NetlinkBuffer, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, Parseable, ParseableParametrized,
};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};

/// A request of family `F`; `flags` are added to NLM_F_REQUEST.
pub fn encode<F>(payload: F, family_id: u16, flags: u16, sequence: u32) -> Vec<u8>
where
    F: GenlFamily + Emitable + Debug,
{
    let mut message = GenlMessage::from_payload(payload);
    message.set_resolved_family_id(family_id);
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// The messages of one datagram, in order.
pub fn decode<F>(datagram: &[u8]) -> Messages<'_, F> {
    Messages {
        rest: datagram,
        family: PhantomData,
    }
}

/// One message as it arrived: the header that says whom it answers, and the content, if it makes sense.
#[derive(Debug)]
pub struct Received<F> {
    pub header: NetlinkHeader,
    pub payload: Result<NetlinkPayload<GenlMessage<F>>, DecodeError>,
}

/// Iterator of [`decode`]. A length field that cannot be true ends it with an error.
#[derive(Debug, Clone)]
pub struct Messages<'a, F> {
    rest: &'a [u8],
    family: PhantomData<F>,
}

impl<F> Iterator for Messages<'_, F>
where
    F: ParseableParametrized<[u8], GenlHeader> + Debug,
{
    type Item = Result<Received<F>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let head = match header(self.rest) {
            Ok(head) => head,
            Err(error) => {
                self.rest = &[];
                return Some(Err(error));
            }
        };
        let length = head.length as usize;
        let (this, _) = self.rest.split_at(length);
        self.rest = self
            .rest
            .get(length.next_multiple_of(NLMSG_ALIGNTO.into())..)
            .unwrap_or_default();
        Some(Ok(Received {
            header: head,
            payload: NetlinkMessage::deserialize(this).map(|message| message.payload),
        }))
    }
}

/// The header at the start of `bytes`; its length field has been checked against what is there.
fn header(bytes: &[u8]) -> Result<NetlinkHeader, DecodeError> {
    NetlinkHeader::parse(&NetlinkBuffer::new_checked(bytes)?)
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::{NLM_F_DUMP, NLMSG_DONE};

    use super::*;
    use crate::ipvs::IpvsMessage;

    fn done(sequence: u8) -> Vec<u8> {
        let mut bytes = vec![20, 0, 0, 0, 3, 0, 2, 0, sequence, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend([0; 4]);
        bytes
    }

    #[test]
    fn a_request_is_header_family_and_command() {
        let bytes = encode(IpvsMessage::dump_services(), 0x19, NLM_F_DUMP, 7);
        assert_eq!(
            bytes,
            [20, 0, 0, 0, 0x19, 0, 1, 3, 7, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0]
        );
    }

    #[test]
    fn a_message_without_sense_costs_only_itself() {
        // A generic netlink message that ends before its command.
        let mut datagram = vec![16, 0, 0, 0, 0x19, 0, 2, 0, 7, 0, 0, 0, 0, 0, 0, 0];
        datagram.extend(done(7));
        let messages: Vec<_> = decode::<IpvsMessage>(&datagram).map(Result::unwrap).collect();
        assert_eq!(messages.len(), 2);
        assert!(messages[0].payload.is_err());
        assert_eq!(messages[1].header.message_type, NLMSG_DONE);
        assert!(matches!(messages[1].payload, Ok(NetlinkPayload::Done(_))));
    }

    #[test]
    fn a_length_that_cannot_be_true_ends_the_datagram() {
        for bytes in [&done(1)[..19], &[0; 16], &[1, 2, 3]] {
            let messages: Vec<_> = decode::<IpvsMessage>(bytes).collect();
            assert_eq!(messages.len(), 1, "{bytes:?}");
            assert!(messages[0].is_err(), "{bytes:?}");
        }
    }
}
