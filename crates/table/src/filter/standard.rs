//! The textbook Bloom filter, from the `bloomfilter` crate: a choice, and the oracle of ours.
//!
//! The block is the tag (2) and then the crate's own serialisation, pinned here since files hold it:
//!
//! | offset | size | field                                        |
//! |-------:|-----:|----------------------------------------------|
//! |      0 |    1 | 2: a standard filter                         |
//! |      1 |    1 | 1: the crate's version                       |
//! |      2 |    8 | length of the bitmap, in bytes               |
//! |     10 |    4 | bits set for each key, 1 to 32               |
//! |     14 |   32 | seed: [`SEED`], two keys of SipHash-1-3      |
//! |     46 |    n | bitmap, bit 0 of byte 0 first                |
//!
//! Three traps of the crate, and what is done about them: it hashes items through `T: Hash`, and
//! `Hash for [u8]` adds a length of the machine's own width, so our item writes eight bytes and
//! nothing else; a seed of two equal halves triples the error rate, so ours is fixed; a bitmap of
//! zero bytes panics, so it is refused first.

use std::hash::{Hash, Hasher};

use bloomfilter::Bloom;

use super::Hashes;

/// Fixed for ever. Its halves differ.
const SEED: [u8; 32] = *b"alluvium lays down what it sorts";
const HEADER_BYTES: usize = 1 + 8 + 4 + SEED.len();
const MAX_PROBES: u32 = 32;

/// A key's hash, which hashes as its eight bytes, little-endian.
struct KeyHash(u64);

impl Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0.to_le_bytes());
    }
}

/// See the module's page.
#[derive(Debug)]
pub(crate) struct StandardFilter {
    bloom: Bloom<KeyHash>,
}

impl StandardFilter {
    /// Builds the block, `tag` first.
    pub(super) fn build(tag: u8, hashes: &Hashes, bits_per_key: u8) -> Vec<u8> {
        let count = hashes.len().max(1);
        let bytes = (count * usize::from(bits_per_key)).div_ceil(8);
        let mut bloom = Bloom::new_with_seed(bytes, count, &SEED)
            .expect("it has no way to fail for sizes above zero");
        for hash in hashes.iter() {
            bloom.set(&KeyHash(hash));
        }
        let mut out = Vec::with_capacity(1 + HEADER_BYTES + bytes);
        out.push(tag);
        out.extend_from_slice(bloom.as_slice());
        out
    }

    /// Reads what follows the tag.
    pub(super) fn parse(rest: &[u8]) -> Result<Self, &'static str> {
        if rest.len() <= HEADER_BYTES {
            return Err("the filter is shorter than its header");
        }
        let bloom = Bloom::from_slice(rest)?;
        if bloom.seed() != SEED || !(1..=MAX_PROBES).contains(&bloom.number_of_hash_functions()) {
            return Err("the filter's header makes no sense");
        }
        Ok(Self { bloom })
    }

    #[inline]
    pub(super) fn may_contain(&self, hash: u64) -> bool {
        self.bloom.check(&KeyHash(hash))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.bloom.as_slice().len()
    }
}
