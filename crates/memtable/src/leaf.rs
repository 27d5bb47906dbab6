//! A sorted run of entries in a few cache lines.
//!
//! A leaf holds the eight-byte key prefixes of its entries and their numbers, in order. An insertion
//! shifts some hundred bytes, and a search reads two or three cache lines of prefixes, then the one
//! entry it is about:
//!
//! ```text
//!   prefixes   │ 12… │ 3f… │ 3f… │ 70… │ a1… │                ascending, 8 B each
//!   numbers    │  4  │  1  │  0  │  2  │  3  │                4 B each
//!                 │     └─────┐
//!   entries    │ 3f…b │ 3f…a │ 70… │ a1… │ 12… │             as they came, anywhere
//! ```
//!
//! Prefixes are taken behind the bytes that all keys of the leaf share, so that they tell keys apart
//! that begin alike. Which bytes those are follows from the range that the leaf covers: every key
//! between two keys begins with what the two have in common.
//!
//! A leaf covers the places from its key, which the index over the leaves holds, up to `upper`,
//! the key of the next leaf. Both only ever move closer together: a split gives the upper part of
//! the range to a new leaf.

use std::cmp::Ordering;
use std::ops::Range;

use crate::entries::{Entries, EntryNumber};
use crate::place::{Place, prefix_behind};

/// Most entries in a leaf.
pub(crate) const LEAF_ENTRIES: usize = 128;

/// A sorted run of up to [`LEAF_ENTRIES`] entries. All methods want the entries it was filled with.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// The first place that is another leaf's; `None` in the last leaf.
    upper: Option<Place<'static>>,
    len: usize,
    /// Where in the order the latest entry went, to tell a run of ascending or descending keys.
    latest: Option<usize>,
    /// How many leading bytes, known to be the same in all keys, the prefixes leave out.
    skipped_bytes: usize,
    /// The key prefix of the *i*-th entry in order; greatest behind the last.
    prefixes: [u64; LEAF_ENTRIES],
    /// The *i*-th entry in order.
    numbers: [EntryNumber; LEAF_ENTRIES],
}

/// Prefixes looked at together: a cache line of them.
const GROUP: usize = 8;

/// A new skip is worth the visit to every key when it gains this many bytes.
const SKIP_GAIN: usize = 4;

impl Leaf {
    /// An empty leaf that covers all places from its key on.
    pub(crate) const fn new() -> Self {
        Self {
            upper: None,
            len: 0,
            latest: None,
            skipped_bytes: 0,
            prefixes: [u64::MAX; LEAF_ENTRIES],
            numbers: [EntryNumber::NONE; LEAF_ENTRIES],
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.len == LEAF_ENTRIES
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
    pub(crate) fn rank(&self, place: &Place<'_>, entries: &Entries) -> usize {
        let prefix = place.prefix_behind(self.skipped_bytes);
        // The last prefix of each group, then one group: few lines, fetched side by side, where
        // the steps of a binary search would wait for one another.
        let group = (0..LEAF_ENTRIES / GROUP)
            .filter(|group| self.prefixes[group * GROUP + GROUP - 1] < prefix)
            .count();
        let Some(within) = self.prefixes[group * GROUP..].first_chunk::<GROUP>() else {
            return self.len;
        };
        let ties = group * GROUP + within.iter().filter(|other| **other < prefix).count();
        // Each look at an entry is a cache miss, so only those are looked at that have to be.
        let equal = self.prefixes[ties..self.len].iter().take_while(|other| **other == prefix);
        let equal = &self.numbers[ties..ties + equal.count()];
        let is_before = |number: &EntryNumber| entries.get(*number).cmp_place(place).is_lt();
        ties + equal.partition_point(is_before)
    }

    /// [`rank`](Self::rank), quick where the place is behind all entries: ascending keys are common.
    #[inline]
    pub(crate) fn rank_of_new(&self, place: &Place<'_>, entries: &Entries) -> usize {
        let Some(last) = self.len.checked_sub(1) else { return 0 };
        let is_tie = self.prefixes[last] == place.prefix_behind(self.skipped_bytes);
        if is_tie && entries.get(self.numbers[last]).cmp_place(place) == Ordering::Less {
            return self.len;
        }
        self.rank(place, entries)
    }

    /// Whether the entry that has `rank` entries before it is at `place`. Looks at the entry only where
    /// prefixes leave it open.
    #[inline]
    pub(crate) fn is_at(&self, rank: usize, place: &Place<'_>, entries: &Entries) -> bool {
        let prefix = place.prefix_behind(self.skipped_bytes);
        self.prefixes[..self.len].get(rank).is_some_and(|found| *found == prefix)
            && entries.get(self.numbers[rank]).cmp_place(place).is_eq()
    }

    /// The entry that has `rank` entries before it.
    #[inline]
    pub(crate) fn entry(&self, rank: usize) -> Option<EntryNumber> {
        self.numbers[..self.len].get(rank).copied()
    }

    /// The entries with these ranks, in order.
    #[inline]
    pub(crate) fn entries(&self, ranks: Range<usize>) -> &[EntryNumber] {
        &self.numbers[ranks]
    }

    /// Adds an entry at `place`, which has `rank` entries before it. Requires room.
    #[inline]
    pub(crate) fn insert(&mut self, rank: usize, place: &Place<'_>, number: EntryNumber) {
        let len = self.len;
        assert!(rank <= len && len < LEAF_ENTRIES, "a leaf is split before it overflows");
        self.prefixes.copy_within(rank..len, rank + 1);
        self.numbers.copy_within(rank..len, rank + 1);
        self.prefixes[rank] = place.prefix_behind(self.skipped_bytes);
        self.numbers[rank] = number;
        self.len += 1;
        self.latest = Some(rank);
    }

    /// Makes room for an entry at `place` with rank `rank`: gives the upper part to a leaf
    /// `right`, which is empty, and answers the key of that. `key` is the key of this leaf. Either may cover
    /// `place` afterwards.
    ///
    /// Where the latest entry and this one are neighbours at an end, keys seem to come in order,
    /// and the leaf is cut there instead of in the middle: in-order loads leave full leaves behind.
    /// Forgetting the latest entry keeps a load that merely looks so from making a leaf per entry.
    pub(crate) fn split(
        &mut self,
        key: &Place<'_>,
        rank: usize,
        place: &Place<'_>,
        entries: &Entries,
        right: &mut Self,
    ) -> Place<'static> {
        let len = self.len;
        let latest = self.latest.take();
        let is_ascending = rank == len && latest == Some(len - 1);
        let is_descending = rank == 0 && latest == Some(0);
        let cut = match (is_ascending, is_descending) {
            (true, _) => len,
            (_, true) => 0,
            (false, false) => len / 2,
        };
        let first = self.entry(cut).map(|number| entries.get(number).place());
        let right_key = first.as_ref().unwrap_or(place).to_owned();
        right.upper = self.upper.replace(right_key.clone());
        right.numbers[..len - cut].copy_from_slice(&self.numbers[cut..len]);
        right.prefixes[..len - cut].copy_from_slice(&self.prefixes[cut..len]);
        right.skipped_bytes = self.skipped_bytes;
        right.len = len - cut;
        self.len = cut;
        self.prefixes[cut..].fill(u64::MAX);
        self.sharpen(key, entries);
        right.sharpen(&right_key, entries);
        right_key
    }

    /// Takes the prefixes from further behind, if the keys between `key`, which is the leaf's, and
    /// `upper` have become alike enough.
    fn sharpen(&mut self, key: &Place<'_>, entries: &Entries) {
        let Some(upper) = &self.upper else { return };
        let shared = key.user_key().iter().zip(upper.user_key()).take_while(|(a, b)| a == b);
        let shared_bytes = shared.count();
        if shared_bytes < self.skipped_bytes + SKIP_GAIN {
            return;
        }
        self.skipped_bytes = shared_bytes;
        for (prefix, number) in self.prefixes.iter_mut().zip(&self.numbers[..self.len]) {
            *prefix = prefix_behind(entries.get(*number).user_key(), shared_bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use alluvium_base::{Bytes, Kind, Seq};

    use super::*;
    use crate::pool::MemtablePool;

    /// A leaf and the entries that it is about, all with sequence 1.
    #[derive(Default)]
    struct Case {
        entries: Entries,
        pool: MemtablePool,
    }

    const FULL: u16 = LEAF_ENTRIES as u16;

    fn key(n: u16) -> [u8; 2] {
        n.to_be_bytes()
    }

    fn place(key: &[u8]) -> Place<'_> {
        Place::new(key, Seq::new(1))
    }

    impl Case {
        fn insert(&self, leaf: &mut Leaf, key: &[u8]) {
            let batch = Bytes::copy_from_slice(key);
            let write = (Seq::new(1), Kind::Put);
            let (number, _) = self.entries.add(&batch, (0..key.len(), 0..0), write, &self.pool);
            leaf.insert(leaf.rank(&place(key), &self.entries), &place(key), number);
        }

        fn keys(&self, leaf: &Leaf) -> Vec<Bytes> {
            let numbers = leaf.entries(0..leaf.len()).iter();
            numbers.map(|number| self.entries.get(*number).key_bytes()).collect()
        }

        /// Splits `leaf`, the first of its memtable, for `key`.
        fn split_for(&self, leaf: &mut Leaf, key: &[u8]) -> (Place<'static>, Leaf) {
            let rank = leaf.rank(&place(key), &self.entries);
            let mut right = Leaf::new();
            let upper = leaf.split(&Place::MIN, rank, &place(key), &self.entries, &mut right);
            (upper, right)
        }
    }

    #[test]
    fn a_full_leaf_is_cut_in_the_middle_and_stays_in_order() {
        let (case, mut leaf) = (Case::default(), Leaf::new());
        for n in 0..FULL {
            case.insert(&mut leaf, &key(n * 29 % FULL * 2));
        }
        assert!(leaf.is_full());
        let (middle, right) = case.split_for(&mut leaf, &key(33));
        assert_eq!((leaf.len(), right.len()), (LEAF_ENTRIES / 2, LEAF_ENTRIES / 2));
        assert_eq!(middle.user_key(), &case.keys(&right)[0][..]);
        assert!(!leaf.covers(&middle) && right.covers(&middle));
        let all: Vec<_> = [case.keys(&leaf), case.keys(&right)].concat();
        assert!(all.iter().zip((0..).step_by(2)).all(|(found, n)| found[..] == key(n)));
    }

    #[test]
    fn ascending_keys_leave_full_leaves_behind() {
        let (case, mut leaf) = (Case::default(), Leaf::new());
        (0..FULL).for_each(|n| case.insert(&mut leaf, &key(n)));
        let (upper, right) = case.split_for(&mut leaf, &key(FULL));
        assert_eq!((leaf.len(), right.len()), (LEAF_ENTRIES, 0));
        assert_eq!(upper, place(&key(FULL)));
    }

    #[test]
    fn descending_keys_leave_full_leaves_behind() {
        let (case, mut leaf) = (Case::default(), Leaf::new());
        (0..FULL).rev().for_each(|n| case.insert(&mut leaf, &key(n + 1)));
        let (_, right) = case.split_for(&mut leaf, &key(0));
        assert_eq!((leaf.len(), right.len()), (0, LEAF_ENTRIES));
    }

    /// Keys that come just behind a full leaf, each before the last, look ascending to it every
    /// time. Believing them twice would make a leaf of each entry.
    #[test]
    fn descending_keys_behind_a_full_leaf_share_leaves() {
        let (case, mut leaf) = (Case::default(), Leaf::new());
        (0..FULL).for_each(|n| case.insert(&mut leaf, &key(n)));
        let (_, right) = case.split_for(&mut leaf, &key(900));
        assert_eq!(right.len(), 0);
        let (_, right) = case.split_for(&mut leaf, &key(899));
        assert_eq!((leaf.len(), right.len()), (LEAF_ENTRIES / 2, LEAF_ENTRIES / 2));
    }

    #[test]
    fn keys_that_begin_alike_are_told_apart_by_later_bytes() {
        let (case, mut leaf) = (Case::default(), Leaf::new());
        let key = |n: usize| format!("a long beginning {n:03}").into_bytes();
        let half = LEAF_ENTRIES / 2;
        (0..=2 * half).filter(|&n| n != half).for_each(|n| case.insert(&mut leaf, &key(n)));
        let (middle, mut right) = case.split_for(&mut leaf, &key(half));
        assert_eq!(right.skipped_bytes, 0, "no leaf behind bounds it");
        (2 * half + 1..=3 * half).for_each(|n| case.insert(&mut right, &key(n)));
        let late = key(half + half / 2);
        let rank = right.rank(&place(&late), &case.entries);
        let upper = right.split(&middle, rank, &place(&late), &case.entries, &mut Leaf::new());
        assert_eq!(upper.user_key()[..right.skipped_bytes], *b"a long beginning ");
        assert!(right.prefixes[..right.len()].is_sorted_by(|a, b| a < b), "no ties");
        assert!(
            (half + 1..=2 * half)
                .all(|n| right.rank(&place(&key(n)), &case.entries) == n - half - 1)
        );
    }
}
