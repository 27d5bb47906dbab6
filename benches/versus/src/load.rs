//! Keys and values, made from numbers so that every read can be checked.

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

    /// The `n`th key of an ascending sequence.
    pub fn sequential(n: u64) -> [u8; 16] {
        let mut key = *b"seq:\0\0\0\0\0\0\0\0\0\0\0\0";
        key[8..].copy_from_slice(&n.to_be_bytes());
        key
    }

    /// The `n`th key of a random sequence: no two are the same.
    pub fn random(&self, n: u64) -> [u8; 16] {
        let mut key = [0; 16];
        let (high, low) = (mix(n ^ self.seed), mix(n.wrapping_add(self.seed)));
        key[..8].copy_from_slice(&high.to_be_bytes());
        key[8..].copy_from_slice(&low.to_be_bytes());
        key
    }

    /// A key that nobody wrote.
    pub fn missing(&self, n: u64) -> [u8; 16] {
        let mut key = self.random(n);
        key[15] ^= 0x55;
        key[14] ^= 0xaa;
        key
    }

    /// Fills `value` for a key: the first half random, the second zeroes.
    pub fn value(&self, key: &[u8; 16], value: &mut Vec<u8>) {
        value.clear();
        let mut state = u64::from_be_bytes(key[8..].try_into().expect("8 bytes"));
        while value.len() < self.value_size / 2 {
            state = mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15));
            value.extend_from_slice(&state.to_le_bytes());
        }
        value.resize(self.value_size, 0);
    }
}

/// The finaliser of SplitMix64: a bijection.
fn mix(mut n: u64) -> u64 {
    n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
