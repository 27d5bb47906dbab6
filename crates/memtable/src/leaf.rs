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

/// Most entries in a leaf. Slot numbers are bytes; a quarter of that range was measured best.
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

    /// An empty leaf that covers all places from its key up to `upper`.
    pub(crate) fn new(upper: Option<Place<'static>>) -> Self {
        Self {
            upper,
            entries: Vec::with_capacity(LEAF_ENTRIES),
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
    /// returns it with its key. `key` is the key of this leaf. Either may cover `place` afterwards.
    ///
    /// Where the latest entry and this one are neighbours at an end, keys seem to come in order,
    /// and the leaf is cut there instead of in the middle: in-order loads leave full leaves behind.
    /// Forgetting the latest entry keeps a load that merely looks so from making a leaf per entry.
    pub(crate) fn split(
        &mut self,
        key: &Place<'_>,
        rank: usize,
        place: &Place<'static>,
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
        let mut right = Self::new(self.upper.replace(right_key.clone()));
        right.entries.extend(self.entries.drain(cut..));
        right.slots[..len - cut].copy_from_slice(&self.slots[..len - cut]);
        right.prefixes[..len - cut].copy_from_slice(&self.prefixes[cut..len]);
        right.skipped_bytes = self.skipped_bytes;
        self.prefixes[cut..].fill(u64::MAX);
        self.sharpen(key);
        right.sharpen(&right_key);
        (right_key, right)
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
