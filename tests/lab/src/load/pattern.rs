//! The bytes of large answers: each says where it belongs, as far as a byte can. Must not: be random; both ends know it.

/// A prime, so that pieces of any usual size do not fit in the wrong place.
const PERIOD: usize = 65_521;
/// The most that is written or compared at once.
pub const PIECE: usize = 64 * 1024;

/// The pattern, long enough to be read for a piece from any place within its period.
#[derive(Debug)]
pub struct Pattern(Vec<u8>);

impl Pattern {
    pub fn new() -> Pattern {
        let mut state: u32 = 1;
        let mut bytes: Vec<u8> = (0..PERIOD)
            .map(|_| {
                // A step of a linear congruential generator; its upper bits are the good ones.
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        let beginning: Vec<u8> = bytes.iter().copied().cycle().take(PIECE).collect();
        bytes.extend(beginning);
        Pattern(bytes)
    }

    /// The `length` bytes, at most a piece, that belong at `offset`.
    pub fn at(&self, offset: u64, length: usize) -> &[u8] {
        let start = (offset % PERIOD as u64) as usize;
        &self.0[start..start + length.min(PIECE)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_across_its_period() {
        let pattern = Pattern::new();
        let end = PERIOD as u64 - 10;
        assert_eq!(pattern.at(end, 20)[10..], pattern.at(0, 20)[..10]);
        assert_ne!(pattern.at(PIECE as u64, 100), pattern.at(0, 100));
        assert_eq!(pattern.at(end, PIECE).len(), PIECE);
    }
}
