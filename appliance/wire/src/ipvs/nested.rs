//! Attributes within an attribute, and the values that both levels share.
//! Must not: know any attribute's number.

use netlink_packet_core::{DecodeError, NLA_TYPE_MASK, NlaBuffer, NlasIterator, Parseable};

/// sizeof(union nf_inet_addr): every address has this size on the wire, IPv4 in its first four bytes.
pub(super) const ADDRESS_BYTES: usize = 16;
/// struct nlattr, and what attributes are aligned to (NLA_ALIGNTO).
const HEADER_BYTES: usize = 4;

pub(super) fn parse_all<A>(bytes: &[u8]) -> Result<Vec<A>, DecodeError>
where
    A: for<'a> Parseable<NlaBuffer<&'a [u8]>>,
{
    NlasIterator::new(bytes)
        .map(|attribute| A::parse(&attribute?))
        .collect()
}

/// Kind and value of each attribute; a length that cannot be true ends them with an error.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = Result<(u16, &[u8]), DecodeError>> {
    std::iter::from_fn(move || {
        let (&[l0, l1, k0, k1], _) = match bytes.split_first_chunk() {
            Some(split) => split,
            None if bytes.is_empty() => return None,
            None => {
                let length = std::mem::take(&mut bytes).len();
                return Some(Err(DecodeError::nla_buffer_too_small(length, HEADER_BYTES)));
            }
        };
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let kind = u16::from_ne_bytes([k0, k1]) & NLA_TYPE_MASK;
        let Some(value) = bytes.get(HEADER_BYTES..length) else {
            let room = std::mem::take(&mut bytes).len();
            return Some(Err(DecodeError::nla_length_mismatch(room, length)));
        };
        bytes = bytes
            .get(length.next_multiple_of(HEADER_BYTES)..)
            .unwrap_or_default();
        Some(Ok((kind, value)))
    })
}

/// The kernel takes shorter addresses as well and fills up with zeros (nla_memcpy).
pub(super) fn parse_address(value: &[u8]) -> Result<[u8; ADDRESS_BYTES], DecodeError> {
    let mut address = [0; ADDRESS_BYTES];
    match address.get_mut(..value.len()) {
        Some(start) => start.copy_from_slice(value),
        None => return Err(DecodeError::invalid_ip_address(value.len())),
    }
    Ok(address)
}

pub(super) fn parse_array<const N: usize>(value: &[u8]) -> Result<[u8; N], DecodeError> {
    value
        .try_into()
        .map_err(|_| DecodeError::invalid_number(N, value.len()))
}

/// NLA_NUL_STRING: the text up to its NUL.
pub(super) fn parse_text(value: &[u8]) -> String {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

pub(super) fn text_len(text: &str) -> usize {
    text.len() + 1
}

/// `buffer` has [`text_len`] bytes.
pub(super) fn emit_text(text: &str, buffer: &mut [u8]) {
    let (bytes, nul) = buffer.split_at_mut(text.len());
    bytes.copy_from_slice(text.as_bytes());
    nul.fill(0);
}
