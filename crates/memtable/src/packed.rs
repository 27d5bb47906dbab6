//! Sorted leaves of entries, indexed by a skiplist: the fast memtable.
//!
//! A search through half a million skiplist nodes is a chain of cache misses. Here a skiplist node
//! is a leaf of up to 128 entries, so there are ninety times fewer of them. A leaf has their numbers; the
//! entries lie where they were copied to:
//!
//! ```text
//!   skiplist    MIN ──────────► k4#9 ────────► k7#2 ──► ∅          first place of each leaf
//!                │               │              │
//!   leaves      k0 k1 k1 k3     k4 k5 k6       k7 k7 k8 k9         each behind its own lock
//! ```
//!
//! Invariants:
//!
//! - The first leaf's key is before every place, so each place has a leaf: the last one whose key
//!   is not greater.
//! - Leaves are never removed and their keys never change; a leaf's range only shrinks, by a split.
//! - A split holds the leaf's lock until the new leaf is in the skiplist. So whoever comes to a
//!   leaf too late, and finds with the lock in hand that his place is not covered any more, need
//!   only look again.
//! - One leaf lock is held at a time, for the time of a search and a small copy. Lock order: none.

use std::borrow::Borrow;
use std::fmt;
use std::ops::{Bound, Range};
use std::sync::Arc;

use alluvium_base::key::hash_key;
use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::sync::RwLock;
use alluvium_base::{Bytes, InternalIterator, Kind, Seq};
use crossbeam_skiplist::SkipMap;
use crossbeam_skiplist::map;

use crate::cursor::{Cursor, Runs};
use crate::entries::{Entries, EntryNumber, EntryView};
use crate::filter::KeyFilter;
use crate::leaf::Leaf;
use crate::ledger::{Ledger, allocated, node_bytes};
use crate::memtable::{MemEntry, Memtable, WritableMemtable};
use crate::place::Place;
use crate::pool::MemtablePool;

/// A memtable of sorted leaves, indexed by a skiplist.
pub struct PackedMemtable {
    leaves: SkipMap<LeafKey, RwLock<Box<Leaf>>>,
    filter: KeyFilter,
    entries: Entries,
    ledger: Ledger,
    pool: Arc<MemtablePool>,
}

/// The first place of a leaf. A type of its own so that it can lend a borrowed place.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct LeafKey(Place<'static>);

impl<'a> Borrow<Place<'a>> for LeafKey {
    #[inline]
    fn borrow(&self) -> &Place<'a> {
        &self.0
    }
}

type LeafNode<'a> = map::Entry<'a, LeafKey, RwLock<Box<Leaf>>>;

/// Memory of a leaf: with its skiplist node, and what counts the owners of its key.
const LEAF_BYTES: usize = node_bytes(size_of::<LeafKey>() + size_of::<RwLock<Box<Leaf>>>())
    + allocated(size_of::<Leaf>())
    + allocated(3 * size_of::<usize>());

impl PackedMemtable {
    /// An empty memtable without a filter.
    pub fn new() -> Self {
        Self::with_pool(Arc::default(), 0)
    }

    /// An empty memtable that takes memory from `pool`, and leaves it to it. Its filter takes
    /// `filter_bytes`.
    pub fn with_pool(pool: Arc<MemtablePool>, filter_bytes: usize) -> Self {
        let filter = KeyFilter::new(pool.take_filter(filter_bytes));
        let ledger = Ledger::new(size_of::<Self>() + filter.memory_bytes());
        let entries = Entries::default();
        let memtable = Self { leaves: SkipMap::new(), filter, entries, ledger, pool };
        memtable.add_leaf(Place::MIN, Box::new(Leaf::new()));
        memtable
    }

    /// The leaf that covered `place` a moment ago: check again under its lock.
    #[inline]
    fn leaf_of(&self, place: &Place<'_>) -> LeafNode<'_> {
        self.leaves
            .upper_bound(Bound::Included(place))
            .expect("the first leaf's key is before every place")
    }

    fn add_leaf(&self, key: Place<'static>, leaf: Box<Leaf>) {
        let (mut is_new, key_bytes) = (false, allocated(key.user_key().len()));
        self.leaves.get_or_insert_with(LeafKey(key), || {
            is_new = true;
            RwLock::new(leaf)
        });
        assert!(is_new, "a new leaf begins behind the first entry of the one it was split from");
        self.ledger.count_bytes(LEAF_BYTES + key_bytes);
    }

    /// Puts an entry, which is kept under `number`, at its place.
    fn insert_at(&self, place: &Place<'_>, number: EntryNumber) {
        loop {
            let node = self.leaf_of(place);
            let mut leaf = node.value().write();
            if !leaf.covers(place) {
                continue;
            }
            let rank = leaf.rank_of_new(place, &self.entries);
            assert!(
                !leaf.is_at(rank, place, &self.entries),
                "two entries share {:?}",
                self.entries.get(number).internal_key()
            );
            if !leaf.is_full() {
                leaf.insert(rank, place, number);
                return;
            }
            let mut right = self.pool.take_leaf();
            let key = leaf.split(&node.key().0, rank, place, &self.entries, &mut right);
            self.add_leaf(key, right);
        }
    }
}

impl Drop for PackedMemtable {
    fn drop(&mut self) {
        self.pool.keep_filter(std::mem::take(&mut self.filter));
        let leaves = std::mem::take(&mut self.leaves).into_iter();
        self.pool.keep_leaves(leaves.map(|(_, leaf)| leaf.into_inner()));
        std::mem::take(&mut self.entries).leave_to(&self.pool);
    }
}

impl Default for PackedMemtable {
    fn default() -> Self {
        Self::new()
    }
}

impl WritableMemtable for PackedMemtable {
    fn insert(&self, batch: &Bytes, key: Range<usize>, value: Range<usize>, seq: Seq, kind: Kind) {
        let hash = hash_key(&batch[key.clone()]);
        // Asked for at once, and set last: by then it is there.
        self.filter.ask_for_word(hash);
        let place = Place::new(&batch[key.clone()], seq);
        let (number, taken_bytes) =
            self.entries.add(batch, (key.clone(), value), (seq, kind), &self.pool);
        self.insert_at(&place, number);
        self.ledger.count_entry(taken_bytes, seq);
        self.filter.insert(hash);
    }
}

impl Memtable for PackedMemtable {
    #[inline]
    fn may_contain(&self, key_hash: u64) -> bool {
        self.filter.may_contain(key_hash)
    }

    #[inline]
    fn ask_for_filter(&self, key_hash: u64) {
        self.filter.ask_for_word(key_hash);
    }

    fn get(&self, user_key: &[u8], at: Seq) -> Option<MemEntry> {
        let at = if is_planted(Bug::MemtableOverwrites) { Seq::MAX } else { at };
        let mut place = Place::new(user_key, at);
        loop {
            let node = self.leaf_of(&place);
            let leaf = node.value().read();
            if !leaf.covers(&place) {
                continue;
            }
            if let Some(number) = leaf.entry(leaf.rank(&place, &self.entries)) {
                drop(leaf);
                let entry = self.entries.get(number);
                return (entry.user_key() == user_key).then(|| entry.found());
            }
            // Its newest visible version can still be the first entry of the next leaf.
            place = leaf.upper().filter(|upper| upper.user_key() == user_key)?.clone();
        }
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

impl Runs for PackedMemtable {
    type Item = EntryNumber;

    fn ascend(&self, start: Bound<&Place<'_>>, limit: usize, out: &mut Vec<EntryNumber>) {
        let (mut place, mut is_excluded) = match start {
            Bound::Unbounded => (Place::MIN, false),
            Bound::Included(place) => (place.clone(), false),
            Bound::Excluded(place) => (place.clone(), true),
        };
        let full = out.len() + limit;
        loop {
            let node = self.leaf_of(&place);
            let leaf = node.value().read();
            if !leaf.covers(&place) {
                continue;
            }
            let rank = leaf.rank(&place, &self.entries);
            let is_at_excluded = is_excluded && leaf.is_at(rank, &place, &self.entries);
            let first = rank + usize::from(is_at_excluded);
            let last = leaf.len().min(first + full - out.len());
            out.extend_from_slice(leaf.entries(first..last));
            if out.len() == full {
                return;
            }
            let Some(upper) = leaf.upper() else { return };
            (place, is_excluded) = (upper.clone(), false);
        }
    }

    fn descend(&self, end: Option<&Place<'_>>, limit: usize, out: &mut Vec<EntryNumber>) {
        let mut end = end.cloned();
        let full = out.len() + limit;
        loop {
            let bound = end.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            let Some(node) = self.leaves.upper_bound(bound) else { return };
            let leaf = node.value().read();
            if !leaf.reaches(end.as_ref()) {
                continue;
            }
            let last = end.as_ref().map_or(leaf.len(), |end| leaf.rank(end, &self.entries));
            out.extend(leaf.entries(0..last).iter().rev().take(full - out.len()));
            if out.len() == full {
                return;
            }
            end = Some(node.key().0.clone());
        }
    }

    #[inline]
    fn view<'a>(&'a self, number: &'a EntryNumber) -> EntryView<'a> {
        self.entries.get(*number)
    }

    #[inline]
    fn ask_for(&self, number: &EntryNumber) {
        self.entries.ask_for(*number);
    }
}

impl fmt::Debug for PackedMemtable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedMemtable").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}
