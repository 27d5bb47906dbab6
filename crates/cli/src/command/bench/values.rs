//! Keys and values that are the same for the same seed.

use fastrand::Rng;

/// Different values that are made beforehand: enough that no block repeats another.
const DISTINCT: u64 = 1024;
/// Most bytes spent on them.
const MOST_BYTES: usize = 16 << 20;

/// Values, made once: making them must not be what is measured.
#[derive(Debug)]
pub(super) struct Values {
    all: Vec<Vec<u8>>,
}

impl Values {
    /// Values of `size` bytes that compress to about half.
    pub(super) fn new(size: usize, seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let count = (MOST_BYTES / size.max(1)).clamp(1, DISTINCT as usize);
        let all = (0..count).map(|_| value(size, &mut random)).collect();
        Self { all }
    }

    /// The value of operation `at`.
    pub(super) fn get(&self, at: u64) -> &[u8] {
        &self.all[at as usize % self.all.len()]
    }
}

fn value(size: usize, random: &mut Rng) -> Vec<u8> {
    let half: Vec<u8> = (0..size.div_ceil(2)).map(|_| random.u8(..)).collect();
    half.iter().cycle().take(size).copied().collect()
}

/// The key of number `at`: 16 digits, so that their order is that of the numbers.
pub(super) fn key(at: u64) -> [u8; 16] {
    let mut digits = [b'0'; 16];
    let mut rest = at;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    digits
}

/// Whether `bytes` could be a key of ours.
pub(super) fn is_key(bytes: &[u8]) -> bool {
    bytes.len() == 16 && bytes.iter().all(u8::is_ascii_digit)
}

/// The numbers below `count`, each once, in an order without pattern and without memory.
///
/// A Feistel network over the next even power of two is a permutation whatever its round function
/// does; numbers from `count` on are walked past.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shuffle {
    count: u64,
    half_bits: u32,
    seed: u64,
}

impl Shuffle {
    pub(super) fn new(count: u64, seed: u64) -> Self {
        let bits = u64::BITS - count.saturating_sub(1).leading_zeros();
        Self { count, half_bits: bits.div_ceil(2).max(1), seed }
    }

    /// The number at place `at`, which is below the count.
    pub(super) fn get(&self, at: u64) -> u64 {
        let mut number = self.permute(at);
        while number >= self.count {
            number = self.permute(number);
        }
        number
    }

    fn permute(&self, number: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (number >> self.half_bits, number & mask);
        for round in 0..4 {
            let mixed = mix(right ^ self.seed.wrapping_add(round)) & mask;
            (left, right) = (right, left ^ mixed);
        }
        left << self.half_bits | right
    }
}

/// The finaliser of `SplitMix64`.
fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_holds_each_number_once() {
        for count in [1, 2, 3, 100, 1000, 4097] {
            let shuffle = Shuffle::new(count, 7);
            let mut numbers: Vec<u64> = (0..count).map(|at| shuffle.get(at)).collect();
            assert!(count < 100 || !numbers.is_sorted());
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(0..count), "{count}");
        }
    }

    #[test]
    fn keys_are_sixteen_digits() {
        assert_eq!(&key(1_234_567), b"0000000001234567");
        assert!(is_key(&key(0)) && !is_key(b"user:1") && !is_key(b"000000000000000x"));
    }

    #[test]
    fn the_second_half_of_a_value_repeats_the_first() {
        let values = Values::new(101, 1);
        assert_eq!(values.get(5).len(), 101);
        assert_eq!(values.get(5)[..50], values.get(5)[51..]);
        assert!(Values::new(0, 1).get(9).is_empty());
    }
}
