//! A seeded source of numbers that never changes, so that a printed seed replays for ever.
//!
//! Crates of random numbers may improve their algorithms from one version to the next, and then the
//! seed in an old bug report replays nothing. This is `SplitMix64` (Steele, Lea, Flood: *Fast
//! Splittable Pseudorandom Number Generators*, 2014), written out.

/// Where the generator takes its choices from: a seed, or the bytes of a fuzzer.
pub trait Choices {
    /// The next 64 bits.
    fn next_u64(&mut self) -> u64;

    /// A number below `end`, or 0 when `end` is 0. Not perfectly even, and no test needs it to be.
    fn below(&mut self, end: u64) -> u64 {
        self.next_u64().checked_rem(end).unwrap_or(0)
    }

    /// True `numerator` times out of `denominator`.
    fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }
}

/// A stream of numbers that depends on the seed alone: same seed, same numbers, in every version.
///
/// ```
/// use alluvium_testkit::{Choices, SeededRandom};
/// assert_eq!(SeededRandom::new(7).next_u64(), SeededRandom::new(7).next_u64());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeededRandom {
    state: u64,
}

impl SeededRandom {
    /// The stream that belongs to `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The stream that belongs to the pair (`seed`, `stream`): unrelated streams from one seed.
    pub fn with_stream(seed: u64, stream: u64) -> Self {
        let mut outer = Self::new(stream);
        Self::new(seed ^ outer.next_u64())
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(size_of::<u64>()) {
            let word = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

impl Choices for SeededRandom {
    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Choices taken from a byte string, for fuzzers: every byte string is a valid stream, and once the
/// bytes are used up every choice is 0, the simplest one.
#[derive(Clone, Debug)]
pub struct ByteChoices<'a> {
    left: &'a [u8],
}

impl<'a> ByteChoices<'a> {
    /// Takes choices from the front of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// Whether all bytes are used up.
    pub const fn is_exhausted(&self) -> bool {
        self.left.is_empty()
    }

    fn take(&mut self, count: usize) -> u64 {
        let (front, rest) = self.left.split_at(count.min(self.left.len()));
        self.left = rest;
        let mut word = [0; 8];
        word[..front.len()].copy_from_slice(front);
        u64::from_le_bytes(word)
    }
}

impl Choices for ByteChoices<'_> {
    fn next_u64(&mut self) -> u64 {
        self.take(8)
    }

    /// Takes no more bytes than `end` needs, so that a fuzzer's bytes go far.
    fn below(&mut self, end: u64) -> u64 {
        let bits = u64::BITS - end.saturating_sub(1).leading_zeros();
        self.take(bits.div_ceil(8) as usize).checked_rem(end).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference values of `SplitMix64` with seed 1234567: an old seed must replay for ever.
    #[test]
    fn the_stream_of_a_seed_never_changes() {
        let mut random = SeededRandom::new(1_234_567);
        assert_eq!(random.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(random.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn used_up_bytes_choose_zero() {
        let mut choices = ByteChoices::new(&[5, 1, 1]);
        assert_eq!(choices.below(16), 5);
        assert_eq!(choices.below(300), 257);
        assert!(choices.is_exhausted());
        assert_eq!((choices.below(16), choices.next_u64(), choices.below(0)), (0, 0, 0));
    }
}
