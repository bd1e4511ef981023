//! The Internet checksum (RFC 1071), with the pseudo header of either family.

use std::net::IpAddr;

/// Of a segment or message of this protocol with its checksum field zero, which is made of whole words of 32 bits
/// (RFC 9293, section 3.1; RFC 8200, section 8.1).
pub fn with_addresses(from: IpAddr, to: IpAddr, protocol: u8, segment: &[u8]) -> u16 {
    let address = |address: IpAddr| match address {
        IpAddr::V4(v4) => sum(&v4.octets()),
        IpAddr::V6(v6) => sum(&v6.octets()),
    };
    folded(address(from) + address(to) + u64::from(protocol) + segment.len() as u64 + sum(segment))
}

/// Of a header.
pub fn plain(bytes: &[u8]) -> u16 {
    folded(sum(bytes))
}

/// By words of 32 bits: headers are made of those. The sum of words of 16 bits follows from it (RFC 1071, section 2).
fn sum(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks::<4>();
    words
        .iter()
        .map(|word| u64::from(u32::from_be_bytes(*word)))
        .sum()
}

fn folded(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 1071, section 3, whose sum is ddf2.
    #[test]
    fn the_words_are_added_with_their_carries() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(plain(&bytes), !0xddf2);
        assert_eq!(plain(&[]), 0xffff);
        let address = "0.1.242.3".parse().unwrap();
        let other = "244.245.246.247".parse().unwrap();
        assert_eq!(with_addresses(address, other, 0, &[]), plain(&bytes));
        assert_eq!(
            with_addresses(address, other, 6, &[]),
            plain(&[bytes.as_slice(), &[0, 0, 0, 6]].concat())
        );
    }
}
