//! Attributes within an attribute, and the values that both levels share.
//! Must not: know any attribute's number.

use netlink_packet_core::{DecodeError, NlaBuffer, NlasIterator, Parseable};

/// sizeof(union nf_inet_addr): every address has this size on the wire, IPv4 in its first four bytes.
pub(super) const ADDRESS_BYTES: usize = 16;

pub(super) fn parse_all<A>(bytes: &[u8]) -> Result<Vec<A>, DecodeError>
where
    A: for<'a> Parseable<NlaBuffer<&'a [u8]>>,
{
    NlasIterator::new(bytes)
        .map(|attribute| A::parse(&attribute?))
        .collect()
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
