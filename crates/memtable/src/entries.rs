//! Where a memtable keeps its entries.
//!
//! A small entry is copied, behind the one that came before it; a large one stays in its batch, which is
//! kept alive. Either has a number of four bytes, which is all that the leaves hold of it:
//!
//! ```text
//!   chunk    │ stamp 8 │ key length 2 │ value length 2 │ key │ value │ ░ │ stamp …      each at a multiple of 4
//!            ▲
//!   number   │ 0 │ chunk 15 bits │ place in it, in fours: 16 bits │
//!
//!   large    │ an entry inside its batch │ …
//!            ▲
//!   number   │ 1 │ index 31 bits │
//! ```
//!
//! An entry that kept its whole batch alive would cost an allocation, to be freed one by one when the
//! memtable is dropped. For large batches it is worse: each takes memory that the kernel has to clear.
//!
//! Chunks grow, so that a small memtable stays small.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use alluvium_base::append::{Appended, Appender, Room};
use alluvium_base::prefetch::LINE_BYTES;
use alluvium_base::sync::Mutex;
use alluvium_base::{Bytes, InternalKey, Kind, Seq};

use crate::ledger::{allocated, batch_share};
use crate::memtable::MemEntry;
use crate::place::{Entry, KIND_BITS, Place, stamp};
use crate::pool::MemtablePool;
use crate::table::Table;

/// A key and a value up to this long are copied; longer ones keep their batch alive.
const MOST_COPIED_BYTES: usize = 2 << 10;

const LEAST_CHUNK_BYTES: usize = 256;
pub(crate) const LARGEST_CHUNK_BYTES: usize = 256 << 10;
/// Chunks are as long as about this part of all that came before, so that little is left free.
const CHUNK_PART: usize = 8;

/// What a chunk takes besides its bytes: capacity and length, and who counts its owners.
const CHUNK_HEADER_BYTES: usize = allocated(5 * size_of::<usize>());

/// What comes before key and value of a copied entry: stamp and lengths.
const HEADER_BYTES: usize = 12;
/// Copied entries begin at multiples of this.
const GRAIN_BYTES: usize = 4;
/// How many bits of a number tell the place in a chunk.
const PLACE_BITS: u32 = (LARGEST_CHUNK_BYTES / GRAIN_BYTES).ilog2();
const IS_LARGE: u32 = 1 << 31;
/// So many chunks, 8 GiB, can be told apart by what is left; whatever comes then is kept as if it were large.
const MOST_CHUNKS: usize = (IS_LARGE >> PLACE_BITS) as usize;

/// The number of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryNumber(u32);

/// An entry, wherever it is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryView<'a> {
    stamp: u64,
    key: &'a [u8],
    value: &'a [u8],
    /// The batch it lies in, unless it was copied.
    large: Option<&'a Entry>,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    chunks: Table<Arc<Appended>>,
    /// Each in memory of its own, so that the list grows by little.
    large: Table<Box<Entry>>,
    last: Mutex<Last>,
}

/// What the next entry comes behind.
#[derive(Debug)]
struct Last {
    chunk: Appender,
    chunks: usize,
    chunks_bytes: usize,
    large: usize,
}

impl Default for Last {
    fn default() -> Self {
        Self { chunk: Room::new(0).appender(), chunks: 0, chunks_bytes: 0, large: 0 }
    }
}

impl Entries {
    /// Keeps the entry whose user key and stored value are these ranges of `batch`. Answers its number, and
    /// the memory that was taken for it: mostly none, now and then a chunk.
    ///
    /// # Panics
    /// When a range does not lie in `batch`, or `batch` has more than 4 GiB; and when there are two thousand
    /// million large entries.
    #[inline]
    pub(crate) fn add(
        &self,
        batch: &Bytes,
        (key, value): (Range<usize>, Range<usize>),
        (seq, kind): (Seq, Kind),
        pool: &MemtablePool,
    ) -> (EntryNumber, usize) {
        let (key_len, value_len) = (key.len(), value.len());
        if key_len + value_len > MOST_COPIED_BYTES {
            return self.add_large(batch, (key, value), (seq, kind));
        }
        // Neither is longer than `MOST_COPIED_BYTES`.
        let lengths = (key_len as u32 | (value_len as u32) << 16).to_le_bytes();
        let stamp = stamp(seq, kind).to_le_bytes();
        let padding = &[0; GRAIN_BYTES][..(key_len + value_len).wrapping_neg() % GRAIN_BYTES];
        let parts = [&stamp[..], &lengths, &batch[key.clone()], &batch[value.clone()], padding];
        let mut last = self.last.lock();
        if let Some(start) = last.chunk.append(&parts) {
            return (EntryNumber::copied(last.chunks - 1, start), 0);
        }
        if last.chunks == MOST_CHUNKS {
            drop(last);
            return self.add_large(batch, (key, value), (seq, kind));
        }
        let bytes = parts.iter().map(|part| part.len()).sum();
        let taken_bytes = self.add_chunk(&mut last, bytes, pool);
        let start = last.chunk.append(&parts).expect("the chunk has room for the entry");
        (EntryNumber::copied(last.chunks - 1, start), taken_bytes)
    }

    #[cold]
    fn add_chunk(&self, last: &mut Last, bytes: usize, pool: &MemtablePool) -> usize {
        let wanted = (last.chunks_bytes / CHUNK_PART).next_power_of_two();
        let capacity = wanted.clamp(LEAST_CHUNK_BYTES, LARGEST_CHUNK_BYTES).max(bytes);
        last.chunk = pool.take_room(capacity).appender();
        let table_bytes = self.chunks.set(last.chunks, last.chunk.appended());
        last.chunks += 1;
        last.chunks_bytes += capacity;
        table_bytes + allocated(capacity) + CHUNK_HEADER_BYTES
    }

    #[cold]
    fn add_large(
        &self,
        batch: &Bytes,
        (key, value): (Range<usize>, Range<usize>),
        (seq, kind): (Seq, Kind),
    ) -> (EntryNumber, usize) {
        let share = batch_share(batch.len(), &key, &value);
        let entry = Entry::new(batch.clone(), &key, &value, seq, kind);
        let mut last = self.last.lock();
        let number = u32::try_from(last.large).ok().filter(|&number| number < IS_LARGE);
        let number = number.expect("a memtable holds at most 2³¹ large entries");
        let table_bytes = self.large.set(last.large, Box::new(entry));
        last.large += 1;
        (EntryNumber(number | IS_LARGE), share + allocated(size_of::<Entry>()) + table_bytes)
    }

    /// The entry with this number, which [`add`](Self::add) answered.
    #[inline]
    pub(crate) fn get(&self, number: EntryNumber) -> EntryView<'_> {
        let Some((chunk, start)) = number.place() else { return self.get_large(number) };
        let chunk = self.chunks.get(chunk).expect("numbers are given for what is there");
        let (header, bytes) = chunk
            .from(start)
            .split_first_chunk::<HEADER_BYTES>()
            .expect("an entry is appended as a whole");
        let (stamp, lengths) = header.split_first_chunk::<8>().expect("its first part");
        let length = |at: usize| usize::from(u16::from_le_bytes([lengths[at], lengths[at + 1]]));
        let (key, bytes) = bytes.split_at(length(0));
        EntryView {
            stamp: u64::from_le_bytes(*stamp),
            key,
            value: &bytes[..length(2)],
            large: None,
        }
    }

    #[cold]
    fn get_large(&self, number: EntryNumber) -> EntryView<'_> {
        let index = (number.0 & !IS_LARGE) as usize;
        EntryView::of(self.large.get(index).expect("numbers are given for what is there"))
    }

    /// Asks for the first few cache lines of an entry.
    #[inline]
    pub(crate) fn ask_for(&self, number: EntryNumber) {
        const FEW: usize = 3;
        let Some((chunk, start)) = number.place() else {
            let large = self.large.get((number.0 & !IS_LARGE) as usize);
            return large.into_iter().for_each(|entry| entry.ask_for_bytes());
        };
        if let Some(chunk) = self.chunks.get(chunk) {
            (0..FEW).for_each(|line| chunk.ask_for(start + line * LINE_BYTES));
        }
    }

    /// Leaves its memory to `pool`.
    pub(crate) fn leave_to(self, pool: &MemtablePool) {
        // The appender first, or the last chunk is still shared.
        drop(self.last);
        pool.keep_rooms(self.chunks.into_items().filter_map(Appended::into_room));
    }
}

impl EntryNumber {
    /// Stands where there is none.
    pub(crate) const NONE: Self = Self(u32::MAX);

    #[inline]
    const fn copied(chunk: usize, start: usize) -> Self {
        Self((chunk << PLACE_BITS) as u32 | (start / GRAIN_BYTES) as u32)
    }

    /// Chunk, and place in it; `None` for a large entry.
    #[inline]
    const fn place(self) -> Option<(usize, usize)> {
        if self.0 & IS_LARGE != 0 {
            return None;
        }
        let start = self.0 & ((1 << PLACE_BITS) - 1);
        Some(((self.0 >> PLACE_BITS) as usize, start as usize * GRAIN_BYTES))
    }
}

impl<'a> EntryView<'a> {
    /// An entry inside its batch.
    #[inline]
    pub(crate) fn of(entry: &'a Entry) -> Self {
        let (key, value) = (entry.place().user_key(), entry.value());
        Self { stamp: entry.place().stamp(), key, value, large: Some(entry) }
    }

    #[inline]
    pub(crate) const fn user_key(&self) -> &'a [u8] {
        self.key
    }

    /// The stored value.
    #[inline]
    pub(crate) const fn value(&self) -> &'a [u8] {
        self.value
    }

    #[inline]
    pub(crate) const fn seq(&self) -> Seq {
        Seq::new(self.stamp >> KIND_BITS)
    }

    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        Kind::decode(self.stamp as u8).expect("the low byte was put there by Kind::encode")
    }

    #[inline]
    pub(crate) fn internal_key(&self) -> InternalKey<'a> {
        InternalKey::new(self.key, self.seq(), self.kind())
    }

    /// Where it belongs.
    #[inline]
    pub(crate) fn place(&self) -> Place<'a> {
        Place::new(self.key, self.seq())
    }

    /// How it compares to `place`.
    #[inline]
    pub(crate) fn cmp_place(&self, place: &Place<'_>) -> Ordering {
        self.key.cmp(place.user_key()).then_with(|| place.seq().cmp(&self.seq()))
    }

    /// What a lookup that found this entry answers.
    #[inline]
    pub(crate) fn found(&self) -> MemEntry {
        MemEntry { seq: self.seq(), kind: self.kind(), value: self.value_bytes() }
    }

    /// Its key, which outlives the memtable.
    pub(crate) fn key_bytes(&self) -> Bytes {
        self.large.map_or_else(|| Bytes::copy_from_slice(self.key), Entry::key_bytes)
    }

    /// Its stored value, which outlives the memtable.
    pub(crate) fn value_bytes(&self) -> Bytes {
        self.large.map_or_else(|| Bytes::copy_from_slice(self.value), Entry::value_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(entries: &Entries, key: &[u8], value: &[u8]) -> EntryNumber {
        let batch = Bytes::from([key, value].concat());
        let ranges = (0..key.len(), key.len()..batch.len());
        entries.add(&batch, ranges, (Seq::new(7), Kind::Put), &MemtablePool::default()).0
    }

    #[test]
    fn entries_of_all_lengths_are_found_by_their_numbers() {
        let entries = Entries::default();
        let lengths = [0, 1, 3, 4, 5, 100, 255, 256, 2000, MOST_COPIED_BYTES - 1, 70_000];
        let all: Vec<_> = (0..10_000u32)
            .map(|n| {
                let value = vec![n as u8; lengths[n as usize % lengths.len()]];
                let key = n.to_be_bytes()[4 - n as usize % 5..].to_vec();
                (add(&entries, &key, &value), key, value)
            })
            .collect();
        for (number, key, value) in &all {
            let found = entries.get(*number);
            assert_eq!((found.user_key(), found.value()), (&key[..], &value[..]));
            assert_eq!((found.seq(), found.kind()), (Seq::new(7), Kind::Put));
        }
    }

    /// A panic there would come when the log has the write already.
    #[test]
    fn where_numbers_for_chunks_run_out_batches_are_kept() {
        let entries = Entries::default();
        entries.last.lock().chunks = MOST_CHUNKS - 1;
        let last = add(&entries, b"fits", b"1");
        let numbers: Vec<_> = (0..100).map(|_| add(&entries, b"does not", b"2")).collect();
        assert_eq!(entries.get(last).value(), b"1");
        assert!(numbers.iter().all(|&number| entries.get(number).value() == b"2"));
        assert!(numbers.last().is_some_and(|number| number.place().is_none()));
    }
}
