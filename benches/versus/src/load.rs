//! Keys and values, made from numbers so that every read can be checked.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, Zipf};

/// A key.
pub type Key = [u8; 16];

/// How skewed a Zipfian choice is: as in YCSB.
const SKEW: f64 = 0.99;

/// Keys are 16 bytes: sequential ones count up, random ones are spread by a bijection.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    seed: u64,
    value_size: usize,
}

impl Load {
    pub fn new(seed: u64, value_size: usize) -> Self {
        Self { seed, value_size }
    }

    /// Bytes of an entry.
    pub fn entry_bytes(&self) -> u64 {
        (size_of::<Key>() + self.value_size) as u64
    }

    /// The `n`th key of an ascending sequence.
    pub fn sequential(&self, n: u64) -> Key {
        let mut key = *b"seq:\0\0\0\0\0\0\0\0\0\0\0\0";
        key[8..].copy_from_slice(&n.to_be_bytes());
        key
    }

    /// The `n`th key of a random sequence: no two are the same.
    pub fn random(&self, n: u64) -> Key {
        let mut key = [0; 16];
        let (high, low) = (mix(n ^ self.seed), mix(n.wrapping_add(self.seed)));
        key[..8].copy_from_slice(&high.to_be_bytes());
        key[8..].copy_from_slice(&low.to_be_bytes());
        key
    }

    /// A key that nobody wrote.
    pub fn missing(&self, n: u64) -> Key {
        let mut key = self.random(n);
        key[15] ^= 0x55;
        key[14] ^= 0xaa;
        key
    }

    /// Fills `value` for a key: the first half random, the second zeroes.
    pub fn value(&self, key: &Key, value: &mut Vec<u8>) {
        value.clear();
        let mut state = u64::from_be_bytes(key[8..].try_into().expect("8 bytes"));
        while value.len() < self.value_size / 2 {
            state = mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15));
            value.extend_from_slice(&state.to_le_bytes());
        }
        value.resize(self.value_size, 0);
    }

    /// `count` numbers below `n`, each as likely as any other.
    pub fn uniform(&self, n: u64, count: u64) -> Vec<u64> {
        let mut random = fastrand::Rng::with_seed(self.seed ^ 0x5eed);
        (0..count).map(|_| random.u64(..n)).collect()
    }

    /// `count` numbers below `n`, of which few are chosen again and again; which ones those are has
    /// nothing to do with their order.
    pub fn zipfian(&self, n: u64, count: u64) -> Vec<u64> {
        self.ranks(n, count).map(|rank| mix(rank) % n).collect()
    }

    /// `count` numbers from 0 up: small ones are likely, as the ages of what is read last.
    pub fn ages(&self, n: u64, count: u64) -> Vec<u64> {
        self.ranks(n, count).collect()
    }

    fn ranks(&self, n: u64, count: u64) -> impl Iterator<Item = u64> {
        let mut random = SmallRng::seed_from_u64(self.seed);
        let zipf = Zipf::new(n as f64, SKEW).expect("at least one entry and a skew above zero");
        (0..count).map(move |_| (zipf.sample(&mut random) as u64).clamp(1, n) - 1)
    }
}

/// The finaliser of SplitMix64: a bijection.
fn mix(mut n: u64) -> u64 {
    n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
