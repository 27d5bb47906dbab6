//! One skiplist node per entry: the plain memtable.
//!
//! ```text
//!   head ─────────────────────────► k4#9 ───────────────────────► ∅
//!   head ──────────► k1#7 ────────► k4#9 ──────────► k9#8 ──────► ∅
//!   head ─► k0#3 ──► k1#7 ► k1#2 ─► k4#9 ─► k7#5 ──► k9#8 ──────► ∅
//! ```
//!
//! Insertion and lookup are lock-free. A step of a search costs a cache miss and, where the first
//! eight bytes of two keys differ, one comparison of numbers.

use std::fmt;
use std::ops::{Bound, Range};
use std::sync::Arc;

use alluvium_base::{Bytes, InternalIterator, Kind, Seq};
use crossbeam_skiplist::SkipSet;

use crate::cursor::{Cursor, Runs};
use crate::entries::EntryView;
use crate::ledger::{Ledger, batch_share, node_bytes};
use crate::memtable::{MemEntry, Memtable, WritableMemtable};
use crate::place::{Entry, Place};

/// A memtable of one skiplist node per entry.
pub struct SkiplistMemtable {
    entries: SkipSet<Entry>,
    ledger: Ledger,
}

impl SkiplistMemtable {
    /// An empty memtable.
    pub fn new() -> Self {
        Self { entries: SkipSet::new(), ledger: Ledger::new(size_of::<Self>()) }
    }
}

impl Default for SkiplistMemtable {
    fn default() -> Self {
        Self::new()
    }
}

impl WritableMemtable for SkiplistMemtable {
    #[inline]
    fn insert(&self, batch: &Bytes, key: Range<usize>, value: Range<usize>, seq: Seq, kind: Kind) {
        let memory_bytes = node_bytes(size_of::<Entry>()) + batch_share(batch.len(), &key, &value);
        // `insert` would replace an equal entry, and readers could miss both for a moment.
        let stored = self.entries.get_or_insert(Entry::new(batch.clone(), &key, &value, seq, kind));
        assert!(stored.is_of(batch, &key), "two entries share a user key and sequence {seq}");
        self.ledger.count_entry(memory_bytes, seq);
    }
}

impl Memtable for SkiplistMemtable {
    #[inline]
    fn get(&self, user_key: &[u8], at: Seq) -> Option<MemEntry> {
        let entry = self.entries.lower_bound(Bound::Included(&Place::new(user_key, at)))?;
        (entry.place().user_key() == user_key).then(|| EntryView::of(&entry).found())
    }

    fn iter(self: Arc<Self>) -> Box<dyn InternalIterator> {
        Box::new(Cursor::new(self))
    }

    fn memory_bytes(&self) -> usize {
        self.ledger.memory_bytes()
    }

    fn entry_count(&self) -> usize {
        self.ledger.entry_count()
    }

    fn seq_range(&self) -> Option<(Seq, Seq)> {
        self.ledger.seq_range()
    }
}

impl Runs for SkiplistMemtable {
    /// A copy shares its batch.
    type Item = Entry;

    fn ascend(&self, start: Bound<&Place<'_>>, limit: usize, out: &mut Vec<Entry>) {
        let mut entry = self.entries.lower_bound(start);
        for _ in 0..limit {
            let Some(found) = entry else { return };
            out.push(found.value().clone());
            entry = found.next();
        }
    }

    fn descend(&self, end: Option<&Place<'_>>, limit: usize, out: &mut Vec<Entry>) {
        let mut entry = self.entries.upper_bound(end.map_or(Bound::Unbounded, Bound::Excluded));
        for _ in 0..limit {
            let Some(found) = entry else { return };
            out.push(found.value().clone());
            entry = found.prev();
        }
    }

    #[inline]
    fn view<'a>(&'a self, entry: &'a Entry) -> EntryView<'a> {
        EntryView::of(entry)
    }

    #[inline]
    fn ask_for(&self, entry: &Entry) {
        entry.ask_for_bytes();
    }
}

impl fmt::Debug for SkiplistMemtable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SkiplistMemtable").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}
