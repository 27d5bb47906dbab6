//! Writes that came all together, sorted at once: a memtable that nobody adds to.
//!
//! Half a million insertions are as many searches, each a chain of cache misses. Whoever has all writes
//! in hand, a large batch or what a log held, sorts them instead: a comparison of two neighbouring
//! numbers mostly, and no search at all.
//!
//! ```text
//!   buffers   │ … k7 v7 … k1 v1 … │ k4 v4 … │            the writes' bytes, where they came from
//!                  ▲       ▲         ▲
//!   entries   │ k1#2 │ k4#9 │ k7#1 │ …                   40 B each, in internal key order
//!   samples   │ prefix of each 64th entry │              few enough to stay in the processor's cache
//! ```

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use alluvium_base::key::key_prefix;
use alluvium_base::{Bytes, InternalIterator, InternalKey, Kind, Result, Seq};

use crate::cursor::ASKED_AHEAD;
use crate::ledger::allocated;
use crate::memtable::{MemEntry, Memtable};
use crate::place::ask_for_lines;

/// Entries to a sample.
const GROUP: usize = 64;

/// One write of a [`SortedMemtable`], and where its bytes are.
#[derive(Clone, Copy, Debug)]
pub struct SortedEntry {
    /// [`key_prefix`] of the user key: decides most comparisons without touching the key.
    prefix: u64,
    seq: Seq,
    buffer: u32,
    key_start: u32,
    key_len: u32,
    value_start: u32,
    value_len: u32,
    kind: Kind,
}

impl SortedEntry {
    /// The write whose user key and stored value are these ranges of the buffer numbered `buffer`, which
    /// is or will begin with `bytes`.
    ///
    /// # Panics
    /// When a range does not lie in `bytes`, or reaches beyond 4 GiB.
    pub fn new(
        (buffer, bytes): (u32, &[u8]),
        key: Range<usize>,
        value: Range<usize>,
        seq: Seq,
        kind: Kind,
    ) -> Self {
        let prefix = key_prefix(&bytes[key.clone()]);
        let value_len = bytes[value.clone()].len();
        let narrow = |n: usize| u32::try_from(n).expect("a buffer has at most 4 GiB");
        Self {
            prefix,
            seq,
            buffer,
            key_start: narrow(key.start),
            key_len: narrow(key.len()),
            value_start: narrow(value.start),
            value_len: narrow(value_len),
            kind,
        }
    }

    const fn key_range(&self) -> Range<usize> {
        let start = self.key_start as usize;
        start..start + self.key_len as usize
    }

    const fn value_range(&self) -> Range<usize> {
        let start = self.value_start as usize;
        start..start + self.value_len as usize
    }
}

#[inline]
fn key_in<'a>(buffers: &'a [Bytes], entry: &SortedEntry) -> &'a [u8] {
    &buffers[entry.buffer as usize][entry.key_range()]
}

/// A sorted buffer of writes that is complete when it is made.
pub struct SortedMemtable {
    buffers: Box<[Bytes]>,
    entries: Box<[SortedEntry]>,
    /// Prefix of the last entry of each full group.
    samples: Box<[u64]>,
    /// What is added to the sequences of all entries.
    shift: u64,
    seqs: Option<(Seq, Seq)>,
    memory_bytes: usize,
}

impl SortedMemtable {
    /// Sorts `entries`, which lie in `buffers`. (User key, sequence) must be unique.
    ///
    /// # Panics
    /// When an entry's buffer or range is not there.
    pub fn new(buffers: Vec<Bytes>, mut entries: Vec<SortedEntry>) -> Self {
        entries.sort_unstable_by(|a, b| {
            let by_key = || key_in(&buffers, a).cmp(key_in(&buffers, b));
            a.prefix.cmp(&b.prefix).then_with(by_key).then_with(|| b.seq.cmp(&a.seq))
        });
        let seqs = entries.iter().map(|entry| entry.seq);
        let seqs = seqs.clone().min().zip(seqs.max());
        let samples: Box<[u64]> =
            entries.chunks_exact(GROUP).map(|group| group[GROUP - 1].prefix).collect();
        let buffer_bytes: usize = buffers.iter().map(|buffer| allocated(buffer.len())).sum();
        let entries = entries.into_boxed_slice();
        let memory_bytes = buffer_bytes
            + size_of::<Self>()
            + buffers.len() * size_of::<Bytes>()
            + size_of_val(&*entries)
            + size_of_val(&*samples);
        Self { buffers: buffers.into(), entries, samples, shift: 0, seqs, memory_bytes }
    }

    /// The same writes, each `count` places later in the order of all writes: for those whose place
    /// was not known when they were sorted.
    #[must_use]
    pub fn shifted(mut self, count: u64) -> Self {
        self.shift += count;
        self.seqs = self.seqs.map(|(low, high)| (low.plus(count), high.plus(count)));
        self
    }

    /// The writes in order: buffer, ranges of user key and stored value in it, sequence, kind.
    pub fn writes(&self) -> impl Iterator<Item = (&Bytes, Range<usize>, Range<usize>, Seq, Kind)> {
        self.entries.iter().map(|entry| {
            let buffer = &self.buffers[entry.buffer as usize];
            (buffer, entry.key_range(), entry.value_range(), self.seq_of(entry), entry.kind)
        })
    }

    #[inline]
    fn seq_of(&self, entry: &SortedEntry) -> Seq {
        entry.seq.plus(self.shift)
    }

    #[inline]
    fn user_key(&self, entry: &SortedEntry) -> &[u8] {
        key_in(&self.buffers, entry)
    }

    fn value_bytes(&self, entry: &SortedEntry) -> Bytes {
        self.buffers[entry.buffer as usize].slice(entry.value_range())
    }

    /// How many entries come before (`user_key`, `seq`).
    fn rank(&self, user_key: &[u8], seq: Seq) -> usize {
        let prefix = key_prefix(user_key);
        let start = self.samples.partition_point(|&sample| sample < prefix) * GROUP;
        let ties = self.samples[start / GROUP..].partition_point(|&sample| sample == prefix);
        let end = self.entries.len().min(start + (ties + 1) * GROUP);
        let is_before = |entry: &SortedEntry| {
            let by_key = || self.user_key(entry).cmp(user_key);
            let by_seq = || seq.cmp(&self.seq_of(entry));
            entry.prefix.cmp(&prefix).then_with(by_key).then_with(by_seq) == Ordering::Less
        };
        start + self.entries[start..end].partition_point(is_before)
    }

    /// Asks for the bytes of the entry numbered `index`, if there is one.
    #[inline]
    fn ask_for(&self, index: usize) {
        let Some(entry) = self.entries.get(index) else { return };
        let bytes = self.buffers[entry.buffer as usize].as_ptr().addr();
        ask_for_lines(bytes, entry.key_range().start, entry.value_range().end);
    }
}

impl Memtable for SortedMemtable {
    fn get(&self, user_key: &[u8], at: Seq) -> Option<MemEntry> {
        let entry = self.entries.get(self.rank(user_key, at))?;
        (self.user_key(entry) == user_key).then(|| MemEntry {
            seq: self.seq_of(entry),
            kind: entry.kind,
            value: self.value_bytes(entry),
        })
    }

    fn iter(self: Arc<Self>) -> Box<dyn InternalIterator> {
        let at = self.entries.len();
        Box::new(Cursor { memtable: self, at })
    }

    fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    fn entry_count(&self) -> usize {
        self.entries.len()
    }

    fn seq_range(&self) -> Option<(Seq, Seq)> {
        self.seqs
    }
}

impl fmt::Debug for SortedMemtable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SortedMemtable")
            .field("entries", &self.entries.len())
            .field("seqs", &self.seqs)
            .finish_non_exhaustive()
    }
}

/// A cursor over a [`SortedMemtable`].
#[derive(Debug)]
struct Cursor {
    memtable: Arc<SortedMemtable>,
    /// The entry it stands on; their number when it stands on none.
    at: usize,
}

impl Cursor {
    #[inline]
    fn entry(&self) -> &SortedEntry {
        &self.memtable.entries[self.at]
    }

    /// Stands on the entry before number `end`, or on none.
    fn stand_before(&mut self, end: usize) {
        self.at = end.checked_sub(1).unwrap_or(self.memtable.entries.len());
    }
}

impl InternalIterator for Cursor {
    #[inline]
    fn is_valid(&self) -> bool {
        self.at < self.memtable.entries.len()
    }

    #[inline]
    fn key(&self) -> InternalKey<'_> {
        let entry = self.entry();
        InternalKey::new(self.memtable.user_key(entry), self.memtable.seq_of(entry), entry.kind)
    }

    #[inline]
    fn value(&self) -> &[u8] {
        let entry = self.entry();
        &self.memtable.buffers[entry.buffer as usize][entry.value_range()]
    }

    fn key_bytes(&self) -> Bytes {
        let entry = self.entry();
        self.memtable.buffers[entry.buffer as usize].slice(entry.key_range())
    }

    fn value_bytes(&self) -> Bytes {
        self.memtable.value_bytes(self.entry())
    }

    fn seek_to_first(&mut self) -> Result<()> {
        self.at = 0;
        (0..ASKED_AHEAD).for_each(|index| self.memtable.ask_for(index));
        Ok(())
    }

    fn seek_to_last(&mut self) -> Result<()> {
        self.stand_before(self.memtable.entries.len());
        Ok(())
    }

    fn seek(&mut self, user_key: &[u8], seq: Seq) -> Result<()> {
        self.at = self.memtable.rank(user_key, seq);
        Ok(())
    }

    fn seek_before(&mut self, user_key: &[u8], seq: Seq) -> Result<()> {
        self.stand_before(self.memtable.rank(user_key, seq));
        Ok(())
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        assert!(self.is_valid(), "next() needs an entry to start from");
        self.at += 1;
        self.memtable.ask_for(self.at + ASKED_AHEAD - 1);
        Ok(())
    }

    #[inline]
    fn prev(&mut self) -> Result<()> {
        assert!(self.is_valid(), "prev() needs an entry to start from");
        self.stand_before(self.at);
        Ok(())
    }
}
