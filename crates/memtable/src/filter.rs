//! Which keys a memtable surely does not hold.
//!
//! Most lookups find nothing in a memtable: what they look for is in a table. To find out by a search is a
//! chain of half a dozen cache misses, and each memtable that waits for its flush adds another one. The
//! filter answers after one:
//!
//! ```text
//!   hash   ──┬── which word ──►  │ 0010…0100 │ 0110…1000 │ …          64 bits each
//!            └── four of its bits: all set? ──┘
//! ```
//!
//! All bits of a key are in one word, so an insertion sets them in one atomic step. That costs a few more
//! wrong "maybe" than the blocked filters of tables have (Putze, Sanders and Singler, *Cache-, Hash- and
//! Space-Efficient Bloom Filters*, 2007): about one in thirty at seven bits a key.

use std::sync::atomic::{AtomicU64, Ordering};

use alluvium_base::prefetch::prefetch;
use alluvium_base::seeded::{Bug, is_planted};

/// The words of a filter: kept by the pool between two memtables, all zero.
pub(crate) type Words = Box<[AtomicU64]>;

/// See the module's page. With no words it says "maybe" to everything.
#[derive(Debug, Default)]
pub(crate) struct KeyFilter {
    words: Words,
}

impl KeyFilter {
    pub(crate) const fn new(words: Words) -> Self {
        Self { words }
    }

    /// As many words as fit into `bytes`, all zero.
    pub(crate) fn words(bytes: usize) -> Words {
        (0..bytes / size_of::<u64>()).map(|_| AtomicU64::new(0)).collect()
    }

    /// The upper half as a fraction of 2³², times the count: no division.
    #[inline]
    fn word_of(&self, hash: u64) -> Option<&AtomicU64> {
        self.words.get((((hash >> 32) * self.words.len() as u64) >> 32) as usize)
    }

    /// Takes a key in. Must come before the entry's insertion returns.
    #[inline]
    pub(crate) fn insert(&self, hash: u64) {
        if is_planted(Bug::MemtableFilterIncomplete) {
            return;
        }
        if let Some(word) = self.word_of(hash) {
            word.fetch_or(bits(hash), Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        let bits = bits(hash);
        self.word_of(hash).is_none_or(|word| word.load(Ordering::Relaxed) & bits == bits)
    }

    /// Asks for the cache line that [`may_contain`](Self::may_contain) reads.
    #[inline]
    pub(crate) fn ask_for_word(&self, hash: u64) {
        if let Some(word) = self.word_of(hash) {
            prefetch((&raw const *word).addr());
        }
    }

    /// Bytes it takes in memory beside itself.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.words)
    }

    /// Its words, all zero again.
    pub(crate) fn into_cleared(mut self) -> Words {
        self.words.iter_mut().for_each(|word| *word.get_mut() = 0);
        self.words
    }
}

/// The bits of its word that a key with this hash has: four, or a few less where some fall together.
#[inline]
const fn bits(hash: u64) -> u64 {
    1 << (hash & 63) | 1 << (hash >> 6 & 63) | 1 << (hash >> 12 & 63) | 1 << (hash >> 18 & 63)
}

#[cfg(test)]
mod tests {
    use alluvium_base::key::hash_key;

    use super::*;

    #[test]
    fn what_was_inserted_may_be_there_and_little_else() {
        const KEYS: u32 = 10_000;
        let filter = KeyFilter::new(KeyFilter::words(KEYS as usize * 7 / 8));
        let hash = |n: u32| hash_key(&n.to_be_bytes());
        (0..KEYS).for_each(|n| filter.insert(hash(n)));
        assert!((0..KEYS).all(|n| filter.may_contain(hash(n))));
        let wrong = (KEYS..11 * KEYS).filter(|&n| filter.may_contain(hash(n))).count();
        assert!(wrong < 5000, "{wrong} of 100,000 keys that are not there");
        let cleared = KeyFilter::new(filter.into_cleared());
        assert!(!(0..KEYS).any(|n| cleared.may_contain(hash(n))));
    }

    #[test]
    fn without_words_everything_may_be_there() {
        let filter = KeyFilter::new(KeyFilter::words(7));
        filter.insert(5);
        assert!(filter.may_contain(6) && filter.memory_bytes() == 0);
    }
}
