//! A sorted run of entries in a few cache lines.
//!
//! Entries stay in the slot they arrived in; only their eight-byte key prefixes and one-byte slot
//! numbers are kept in order. So an insertion shifts some hundred bytes, not kilobytes, and a
//! search reads two or three cache lines of prefixes, then the one entry it is about:
//!
//! ```text
//!   prefixes   │ 12… │ 3f… │ 3f… │ 70… │ a1… │                ascending, 8 B each
//!   slots      │  4  │  1  │  0  │  2  │  3  │                1 B each
//!                 │     │     └──────────┐
//!   entries    │ 3f…b │ 3f…a │ 70… │ a1… │ 12… │ free …       64 B each, as they came
//! ```
//!
//! Prefixes are taken behind the bytes that all keys of the leaf share, so that they tell keys apart
//! that begin alike. Which bytes those are follows from the range that the leaf covers: every key
//! between two keys begins with what the two have in common.
//!
//! A leaf covers the places from its key, which the index over the leaves holds, up to `upper`,
//! the key of the next leaf. Both only ever move closer together: a split gives the upper part of
//! the range to a new leaf.

use std::ops::Range;

use crate::place::{Entry, Place};

/// Most entries in a leaf. Slot numbers are bytes.
pub(crate) const LEAF_ENTRIES: usize = 64;

/// A sorted run of up to [`LEAF_ENTRIES`] entries.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// The first place that is another leaf's; `None` in the last leaf.
    upper: Option<Place<'static>>,
    /// In the order they arrived; sorted by a split.
    entries: Vec<Entry>,
    /// Where in the order the latest entry went, to tell a run of ascending or descending keys.
    latest: Option<usize>,
    /// The slot of the *i*-th entry in order.
    slots: [u8; LEAF_ENTRIES],
    /// How many leading bytes, known to be the same in all keys, the prefixes leave out.
    skipped_bytes: usize,
    /// The key prefix of the *i*-th entry in order; greatest behind the last.
    prefixes: [u64; LEAF_ENTRIES],
}

/// Prefixes looked at together: a cache line of them.
const GROUP: usize = 8;

/// A new skip is worth the visit to every key when it gains this many bytes.
const SKIP_GAIN: usize = 4;

impl Leaf {
    /// Memory that a leaf holds besides itself.
    pub(crate) const HEAP_BYTES: usize = LEAF_ENTRIES * size_of::<Entry>();

    /// Room for the entries of one.
    pub(crate) fn room() -> Vec<Entry> {
        Vec::with_capacity(LEAF_ENTRIES)
    }

    /// An empty leaf that covers all places from its key up to `upper`, and keeps its entries in `room`.
    pub(crate) fn new(upper: Option<Place<'static>>, room: Vec<Entry>) -> Self {
        Self {
            upper,
            entries: room,
            latest: None,
            slots: [0; LEAF_ENTRIES],
            skipped_bytes: 0,
            prefixes: [u64::MAX; LEAF_ENTRIES],
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.len() == LEAF_ENTRIES
    }

    pub(crate) const fn upper(&self) -> Option<&Place<'static>> {
        self.upper.as_ref()
    }

    /// Whether `place`, which is not before the leaf's key, is this leaf's and not a later one's.
    #[inline]
    pub(crate) fn covers(&self, place: &Place<'_>) -> bool {
        self.upper.as_ref().is_none_or(|upper| place < upper)
    }

    /// Whether nothing before `end` (`None`: nothing at all) is in a later leaf.
    pub(crate) fn reaches(&self, end: Option<&Place<'_>>) -> bool {
        match (&self.upper, end) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(upper), Some(end)) => end <= upper,
        }
    }

    /// How many entries come before `place`, which the leaf covers.
    #[inline]
    pub(crate) fn rank(&self, place: &Place<'_>) -> usize {
        let prefix = place.prefix_behind(self.skipped_bytes);
        // The last prefix of each group, then one group: few lines, fetched side by side, where
        // the steps of a binary search would wait for one another.
        let group = (0..LEAF_ENTRIES / GROUP)
            .filter(|group| self.prefixes[group * GROUP + GROUP - 1] < prefix)
            .count();
        let Some(within) = self.prefixes[group * GROUP..].first_chunk::<GROUP>() else {
            return self.len();
        };
        let ties = group * GROUP + within.iter().filter(|other| **other < prefix).count();
        // Each look at an entry is a cache miss, so only those are looked at that have to be.
        let equal = self.prefixes[ties..self.len()].iter().take_while(|other| **other == prefix);
        let slots = &self.slots[ties..ties + equal.count()];
        ties + slots.partition_point(|slot| self.entries[usize::from(*slot)].place() < place)
    }

    /// [`rank`](Self::rank), quick where the place is behind all entries: ascending keys are common.
    #[inline]
    pub(crate) fn rank_of_new(&self, place: &Place<'_>) -> usize {
        let Some(last) = self.len().checked_sub(1) else { return 0 };
        let is_tie = self.prefixes[last] == place.prefix_behind(self.skipped_bytes);
        if is_tie && self.entry(last).is_some_and(|entry| entry.place() < place) {
            return self.len();
        }
        self.rank(place)
    }

    /// The entry that has `rank` entries before it.
    #[inline]
    pub(crate) fn entry(&self, rank: usize) -> Option<&Entry> {
        let slot = self.slots[..self.len()].get(rank)?;
        Some(&self.entries[usize::from(*slot)])
    }

    /// The entries with these ranks, in order.
    pub(crate) fn entries(&self, ranks: Range<usize>) -> impl DoubleEndedIterator<Item = &Entry> {
        self.slots[ranks].iter().map(|slot| &self.entries[usize::from(*slot)])
    }

    /// Adds `entry`, which has `rank` entries before it. Requires room.
    #[inline]
    pub(crate) fn insert(&mut self, rank: usize, entry: Entry) {
        let len = self.len();
        assert!(rank <= len && len < LEAF_ENTRIES, "a leaf is split before it overflows");
        self.slots.copy_within(rank..len, rank + 1);
        self.prefixes.copy_within(rank..len, rank + 1);
        self.slots[rank] = len as u8;
        self.prefixes[rank] = entry.place().prefix_behind(self.skipped_bytes);
        self.entries.push(entry);
        self.latest = Some(rank);
    }

    /// Makes room for an entry at `place` with rank `rank`: gives the upper part to a new leaf and
    /// returns it, which keeps its entries in `room`, with its key. `key` is the key of this leaf. Either may cover `place` afterwards.
    ///
    /// Where the latest entry and this one are neighbours at an end, keys seem to come in order,
    /// and the leaf is cut there instead of in the middle: in-order loads leave full leaves behind.
    /// Forgetting the latest entry keeps a load that merely looks so from making a leaf per entry.
    pub(crate) fn split(
        &mut self,
        key: &Place<'_>,
        rank: usize,
        place: &Place<'static>,
        room: Vec<Entry>,
    ) -> (Place<'static>, Self) {
        let len = self.len();
        let latest = self.latest.take();
        let is_ascending = rank == len && latest == Some(len - 1);
        let is_descending = rank == 0 && latest == Some(0);
        let cut = match (is_ascending, is_descending) {
            (true, _) => len,
            (_, true) => 0,
            (false, false) => len / 2,
        };
        self.sort();
        let right_key = self.entries.get(cut).map_or(place, Entry::place).clone();
        let mut right = Self::new(self.upper.replace(right_key.clone()), room);
        right.entries.extend(self.entries.drain(cut..));
        right.slots[..len - cut].copy_from_slice(&self.slots[..len - cut]);
        right.prefixes[..len - cut].copy_from_slice(&self.prefixes[cut..len]);
        right.skipped_bytes = self.skipped_bytes;
        self.prefixes[cut..].fill(u64::MAX);
        self.sharpen(key);
        right.sharpen(&right_key);
        (right_key, right)
    }

    /// Takes its entries away, with their room: it is of no use after.
    pub(crate) fn take_entries(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }

    /// Takes the prefixes from further behind, if the keys between `key`, which is the leaf's, and
    /// `upper` have become alike enough. Requires sorted entries.
    fn sharpen(&mut self, key: &Place<'_>) {
        let Some(upper) = &self.upper else { return };
        let shared = key.user_key().iter().zip(upper.user_key()).take_while(|(a, b)| a == b);
        let shared_bytes = shared.count();
        if shared_bytes < self.skipped_bytes + SKIP_GAIN {
            return;
        }
        self.skipped_bytes = shared_bytes;
        for (prefix, entry) in self.prefixes.iter_mut().zip(&self.entries) {
            *prefix = entry.place().prefix_behind(shared_bytes);
        }
    }

    /// Brings the entries into order in place, following the cycles of the permutation.
    fn sort(&mut self) {
        for rank in 0..self.len() {
            let mut slot = usize::from(self.slots[rank]);
            // What lay in a slot already passed was swapped on to where that slot's number says.
            while slot < rank {
                slot = usize::from(self.slots[slot]);
            }
            self.entries.swap(rank, slot);
        }
        for (slot, number) in self.slots.iter_mut().zip(0..) {
            *slot = number;
        }
    }
}

#[cfg(test)]
mod tests {
    use alluvium_base::{Bytes, Kind, Seq};

    use super::*;

    /// An entry with this user key and sequence 1.
    fn entry(key: &[u8]) -> Entry {
        Entry::new(Bytes::copy_from_slice(key), &(0..key.len()), &(0..0), Seq::new(1), Kind::Put)
    }

    fn insert(leaf: &mut Leaf, key: &[u8]) {
        let entry = entry(key);
        leaf.insert(leaf.rank(entry.place()), entry);
    }

    fn keys(leaf: &Leaf) -> Vec<Bytes> {
        leaf.entries(0..leaf.len()).map(Entry::key_bytes).collect()
    }

    /// Splits `leaf`, the first of its memtable, for `key`.
    fn split_for(leaf: &mut Leaf, key: &[u8]) -> (Place<'static>, Leaf) {
        let entry = entry(key);
        leaf.split(&Place::MIN, leaf.rank(entry.place()), entry.place(), Leaf::room())
    }

    #[test]
    fn a_full_leaf_is_cut_in_the_middle_and_stays_in_order() {
        let mut leaf = Leaf::new(None, Leaf::room());
        for n in 0..LEAF_ENTRIES as u8 {
            insert(&mut leaf, &[n.wrapping_mul(29) % 64 * 2]);
        }
        assert!(leaf.is_full());
        let (key, right) = split_for(&mut leaf, &[33]);
        assert_eq!((leaf.len(), right.len()), (LEAF_ENTRIES / 2, LEAF_ENTRIES / 2));
        assert_eq!(key.user_key(), &right.entry(0).expect("not empty").key_bytes()[..]);
        assert!(!leaf.covers(&key) && right.covers(&key));
        let all: Vec<_> = [keys(&leaf), keys(&right)].concat();
        assert!(all.iter().zip((0..).step_by(2)).all(|(key, n)| key[..] == [n]));
    }

    #[test]
    fn ascending_keys_leave_full_leaves_behind() {
        let mut leaf = Leaf::new(None, Leaf::room());
        (0..64).for_each(|n| insert(&mut leaf, &[n]));
        let (key, right) = split_for(&mut leaf, &[64]);
        assert_eq!((leaf.len(), right.len()), (LEAF_ENTRIES, 0));
        assert_eq!(key, *entry(&[64]).place());
    }

    #[test]
    fn descending_keys_leave_full_leaves_behind() {
        let mut leaf = Leaf::new(None, Leaf::room());
        (0..64).rev().for_each(|n| insert(&mut leaf, &[n + 1]));
        let (_, right) = split_for(&mut leaf, &[0]);
        assert_eq!((leaf.len(), right.len()), (0, LEAF_ENTRIES));
    }

    /// Keys that come just behind a full leaf, each before the last, look ascending to it every
    /// time. Believing them twice would make a leaf of each entry.
    #[test]
    fn descending_keys_behind_a_full_leaf_share_leaves() {
        let mut leaf = Leaf::new(None, Leaf::room());
        (0..64).for_each(|n| insert(&mut leaf, &[n]));
        let (_, right) = split_for(&mut leaf, &[200]);
        assert_eq!(right.len(), 0);
        let (_, right) = split_for(&mut leaf, &[199]);
        assert_eq!((leaf.len(), right.len()), (LEAF_ENTRIES / 2, LEAF_ENTRIES / 2));
    }

    #[test]
    fn keys_that_begin_alike_are_told_apart_by_later_bytes() {
        let mut leaf = Leaf::new(None, Leaf::room());
        let key = |n: usize| format!("a long beginning {n:03}").into_bytes();
        (0..32).chain(33..65).for_each(|n| insert(&mut leaf, &key(n)));
        let (middle, mut right) = split_for(&mut leaf, &key(32));
        assert_eq!(right.skipped_bytes, 0, "no leaf behind bounds it");
        (65..97).for_each(|n| insert(&mut right, &key(n)));
        let last = entry(&key(50));
        let (upper, _) = right.split(&middle, right.rank(last.place()), last.place(), Leaf::room());
        assert_eq!(upper.user_key()[..right.skipped_bytes], *b"a long beginning 0");
        assert!(right.prefixes[..right.len()].is_sorted_by(|a, b| a < b), "no ties");
        assert!((33..65).all(|n| right.rank(entry(&key(n)).place()) == n - 33));
    }
}
