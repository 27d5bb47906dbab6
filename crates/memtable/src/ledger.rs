//! How many bytes, how many entries, which sequences.
//!
//! Memory is modelled, not measured: an insertion adds what its node takes plus its entry's share
//! of the batch. Allocations are taken to be rounded up to 16 bytes, the grain of the allocators in
//! use; `tests/memory.rs` holds the model against a counting one.
//!
//! A batch is one buffer and, from its first clone on, a small header that counts its owners. Its
//! entries may go to several memtables, so each bears the part of both that its bytes are of the
//! batch's:
//!
//! ```text
//!   batch   count │ framing key framing value │ framing key framing value │ …
//!             4 B └──── entry's bytes ────────┘
//! ```

use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use alluvium_base::Seq;
use alluvium_base::codec::varint_len;

/// What a memtable counts. Relaxed throughout: the numbers steer flushes and order nothing.
#[derive(Debug)]
pub(crate) struct Ledger {
    memory_bytes: AtomicUsize,
    entry_count: AtomicUsize,
    lowest: AtomicU64,
    highest: AtomicU64,
}

impl Ledger {
    /// A ledger that starts with `memory_bytes` and no entries.
    pub(crate) const fn new(memory_bytes: usize) -> Self {
        Self {
            memory_bytes: AtomicUsize::new(memory_bytes),
            entry_count: AtomicUsize::new(0),
            lowest: AtomicU64::new(u64::MAX),
            highest: AtomicU64::new(0),
        }
    }

    /// Counts one entry that took `memory_bytes`.
    #[inline]
    pub(crate) fn count_entry(&self, memory_bytes: usize, seq: Seq) {
        self.count_bytes(memory_bytes);
        self.entry_count.fetch_add(1, Ordering::Relaxed);
        // Sequences mostly ascend, so the lowest is looked at and not written.
        if seq.get() < self.lowest.load(Ordering::Relaxed) {
            self.lowest.fetch_min(seq.get(), Ordering::Relaxed);
        }
        if seq.get() > self.highest.load(Ordering::Relaxed) {
            self.highest.fetch_max(seq.get(), Ordering::Relaxed);
        }
    }

    /// Counts memory that belongs to no entry in particular.
    #[inline]
    pub(crate) fn count_bytes(&self, memory_bytes: usize) {
        self.memory_bytes.fetch_add(memory_bytes, Ordering::Relaxed);
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn entry_count(&self) -> usize {
        self.entry_count.load(Ordering::Relaxed)
    }

    pub(crate) fn seq_range(&self) -> Option<(Seq, Seq)> {
        let lowest = Seq::decode(self.lowest.load(Ordering::Relaxed))?;
        Some((lowest, Seq::new(self.highest.load(Ordering::Relaxed))))
    }
}

/// What an allocator hands out for a request of `bytes`.
pub(crate) const fn allocated(bytes: usize) -> usize {
    bytes.next_multiple_of(16)
}

/// What a skiplist node takes on average, holding `content_bytes` of key and value, a reference
/// count and a tower: one pointer high with probability 1/2, two with 1/4, and so on.
pub(crate) const fn node_bytes(content_bytes: usize) -> usize {
    const WORD: usize = size_of::<usize>();
    let (mut sum, mut height) = (0, 1);
    while height < 16 {
        sum += allocated(content_bytes + WORD + height * WORD) << (16 - height);
        height += 1;
    }
    sum >> 16
}

/// The header that counts a batch's owners: pointer, capacity, count.
const BATCH_HEADER_BYTES: usize = allocated(3 * size_of::<usize>());
/// The entry count that a batch begins with.
const BATCH_COUNT_BYTES: usize = size_of::<u32>();
/// Kind and keyspace: one byte each, keyspace numbers being small.
const ENTRY_TAG_BYTES: usize = 2;

/// An entry's part of the memory of its batch, which has `batch_len` bytes.
#[inline]
pub(crate) fn batch_share(batch_len: usize, key: &Range<usize>, value: &Range<usize>) -> usize {
    let (key_len, value_len) = (key.len(), value.len());
    let entry_bytes = ENTRY_TAG_BYTES
        + varint_len(key_len as u64)
        + key_len
        + varint_len(value_len as u64)
        + value_len;
    // What is in the buffer besides entries, and around it; shared out exactly.
    let entries_bytes = batch_len.saturating_sub(BATCH_COUNT_BYTES).max(entry_bytes);
    let around_bytes = (allocated(batch_len) + BATCH_HEADER_BYTES).saturating_sub(entries_bytes);
    // At most some 64 bytes times 1 GiB: no overflow.
    entry_bytes + around_bytes * entry_bytes / entries_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_a_batch_add_up_to_the_batch() {
        // Two entries: 4 + (2 + 1 + 10 + 1 + 20) + (2 + 1 + 30 + 2 + 200).
        let batch_len = 4 + 34 + 235;
        let shares = batch_share(batch_len, &(7..17), &(18..38))
            + batch_share(batch_len, &(41..71), &(73..273));
        let whole = allocated(batch_len) + BATCH_HEADER_BYTES;
        assert!(whole.abs_diff(shares) <= 4, "{shares} of {whole}");
    }

    #[test]
    fn an_empty_ledger_has_no_sequences() {
        let ledger = Ledger::new(0);
        assert_eq!(ledger.seq_range(), None);
        ledger.count_entry(10, Seq::new(7));
        ledger.count_entry(10, Seq::new(5));
        assert_eq!(ledger.seq_range(), Some((Seq::new(5), Seq::new(7))));
        assert_eq!((ledger.memory_bytes(), ledger.entry_count()), (20, 2));
    }
}
