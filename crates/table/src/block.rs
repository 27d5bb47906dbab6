//! A data block in memory: search it, step through it.
//!
//! ```text
//!   ┌───────────┬───────────┬────┬───────────────────┬──────────────┬───────┐
//!   │ entry 0   │ entry 1   │ …  │ offset of entry 0…│ tag of entry…│ count │
//!   │           │           │    │ u16 or u32 each   │ u8 each      │ u32   │
//!   └───────────┴───────────┴────┴───────────────────┴──────────────┴───────┘
//!   entry := kind u8 │ key_len varint │ value_len varint │ seq varint │ key │ stored value
//! ```
//!
//! Offsets take two bytes in blocks of up to 65,535 bytes and four in larger ones. Entries lie side
//! by side in internal key order. A tag is the low byte of the key's hash: a point lookup looks
//! through the tags, all in one or two cache lines, and touches only entries whose tag agrees; a
//! seek does a binary search over the offsets; a step forward begins where the entry ends.
//!
//! Offsets, tags and count are the block's *tail*. In files it is never compressed, so that a lookup
//! that reads a block once unpacks it only up to the entry it is about (see [`partial`]).
//!
//! A binary search over entries is a chain of cache misses. So the cache keeps more than the file
//! does: behind the block, the bytes that all its keys begin with and, for each entry, the next four
//! bytes of its key, its *fence*. They lie beside offsets and tags, so that a seek looks at a few
//! neighbouring lines and then at the one entry it is about:
//!
//! ```text
//!   ┌───────────────┬───────────────┬───────────────┐
//!   │ block, as     │ fence of      │ what all keys │      only in memory, see
//!   │ above         │ entry 0… u32  │ begin with    │      Block::with_fences
//!   └───────────────┴───────────────┴───────────────┘
//! ```
//!
//! [`Block::parse`] walks the whole block once, when it is read from disk: afterwards every offset
//! and length is known to be sound, so searching and stepping cannot fail. It does not check the
//! order, nor the tags: that takes a comparison and a hash for each entry, the checksum says the
//! bytes are the writer's, and a wrong order can give wrong answers but no panic. `Table::verify`
//! checks both.

use std::cmp::Ordering;
use std::ops::{Deref, Range};

use alluvium_base::codec::Decoder;
use alluvium_base::key::compare;
use alluvium_base::prefetch::{LINE_BYTES, prefetch};
use alluvium_base::{Bytes, InternalKey, Seq, Taken};

mod entry;
mod fenced;
mod partial;

pub(crate) use entry::Entry;
pub(crate) use fenced::{count_of, expected_fences_bytes, most_fences_bytes};
pub(crate) use partial::PartialBlock;

/// Longest block whose offsets take two bytes.
pub(crate) const MAX_NARROW_BYTES: usize = u16::MAX as usize;
/// Bytes of the count at the end.
pub(crate) const COUNT_BYTES: usize = size_of::<u32>();

/// How many bytes an offset takes in a block of `raw_bytes`.
pub(crate) const fn offset_width(raw_bytes: usize) -> usize {
    if raw_bytes <= MAX_NARROW_BYTES { size_of::<u16>() } else { size_of::<u32>() }
}

/// The length of the tail that a block of `raw_bytes` ends with, whose last bytes are those of `end`; `None`
/// where a count of no entries, or of too many, stands there.
pub(crate) fn tail_len(end: &[u8], raw_bytes: usize) -> Option<usize> {
    let of_each = offset_width(raw_bytes) + size_of::<u8>();
    let count = count_of(end) as usize;
    let len = count.checked_mul(of_each)?.checked_add(COUNT_BYTES)?;
    (count > 0 && len <= raw_bytes).then_some(len)
}

/// The tag of a key with this hash.
#[inline]
pub(crate) const fn tag_of(key_hash: u64) -> u8 {
    key_hash as u8
}

/// Which end of a block a walk comes in at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    First,
    Last,
}

/// A verified and validated data block. Clones share the bytes, which may also be somebody else's: a
/// block that is looked into once need not have memory of its own.
#[derive(Clone, Debug)]
pub(crate) struct Block<B = Bytes> {
    bytes: B,
    count: u32,
    /// Where the entries end and the offsets begin.
    entries_end: u32,
    /// Where the offsets end and the tags begin.
    tags_at: u32,
    /// Where the block, as files hold it, ends. Fences follow in memory, if it has any.
    end: u32,
}

impl Block {
    /// A block without entries, which no file holds: where a cursor stands that stands nowhere.
    pub(crate) const fn empty() -> Self {
        Self { bytes: Bytes::new(), count: 0, entries_end: 0, tags_at: 0, end: 0 }
    }

    #[inline]
    pub(crate) fn key_bytes(&self, entry: &Entry) -> Bytes {
        self.bytes.slice(entry.key_start as usize..entry.value_start as usize)
    }

    #[inline]
    pub(crate) fn value_bytes(&self, entry: &Entry) -> Bytes {
        self.bytes.slice(entry.value_start as usize..entry.end as usize)
    }

    /// Whether somebody else holds its bytes, or some of them.
    pub(crate) fn is_held(&self) -> bool {
        !self.bytes.is_unique()
    }
}

impl<B: Deref<Target = [u8]>> Block<B> {
    /// Validates a block that may hold anything; says what is wrong with it.
    pub(crate) fn parse(bytes: B) -> Result<Self, &'static str> {
        let block = Self::layout(bytes)?;
        let mut at = 0;
        for index in 0..block.count {
            if block.offset(index) != at {
                return Err("an offset in the block does not point to its entry");
            }
            at = block.checked_entry(index)?.end as usize;
        }
        if at != block.entries_end as usize {
            return Err("bytes follow the last entry of the block");
        }
        Ok(block)
    }

    /// The entry numbered `index` of a block that was not validated.
    fn checked_entry(&self, index: u32) -> Result<Entry, &'static str> {
        Entry::decode(&self.bytes, self.offset(index))
            .filter(|entry| entry.end <= self.entries_end && entry.is_sound())
            .ok_or("the block holds something that is no entry")
    }

    /// [`parse`](Self::parse) and [`find`](Self::find) for a block that is looked into once: of its entries,
    /// only those are validated that the lookup comes by.
    pub(crate) fn find_in(
        bytes: B,
        user_key: &[u8],
        tag: u8,
        at: Seq,
    ) -> Result<Option<Entry>, &'static str> {
        let block = Self::layout(bytes)?;
        let found = find_tagged(block.tags(), tag, |index| match block.checked_entry(index) {
            Ok(entry) => block.is_version(&entry, user_key, at).then_some(Ok(entry)),
            Err(what) => Some(Err(what)),
        });
        found.transpose()
    }

    /// Where the parts of the block lie.
    fn layout(bytes: B) -> Result<Self, &'static str> {
        Self::layout_of(bytes).ok_or("the block's count does not fit its length")
    }

    fn layout_of(bytes: B) -> Option<Self> {
        let count_at = u32::try_from(bytes.len()).ok()?.checked_sub(COUNT_BYTES as u32)?;
        let count = Decoder::new(bytes.get(count_at as usize..)?).u32().filter(|&n| n > 0)?;
        let tags_at = count_at.checked_sub(count)?;
        let offsets_bytes = count.checked_mul(offset_width(bytes.len()) as u32)?;
        let entries_end = tags_at.checked_sub(offsets_bytes)?;
        let end = count_at + COUNT_BYTES as u32;
        Some(Self { bytes, count, entries_end, tags_at, end })
    }

    /// How many entries it has.
    #[inline]
    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    /// Its length in memory, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    fn offset(&self, index: u32) -> usize {
        const INSIDE: &str = "the offsets lie inside the block";
        if self.end as usize <= MAX_NARROW_BYTES {
            let at = self.entries_end as usize + index as usize * size_of::<u16>();
            u16::from_le_bytes(*self.bytes[at..].first_chunk().expect(INSIDE)).into()
        } else {
            let at = self.entries_end as usize + index as usize * size_of::<u32>();
            u32::from_le_bytes(*self.bytes[at..].first_chunk().expect(INSIDE)) as usize
        }
    }

    #[inline]
    fn decode(&self, at: usize) -> Entry {
        Entry::decode(&self.bytes, at).expect("every entry was validated when the block was read")
    }

    /// The entry numbered `index`, which must be below [`count`](Self::count).
    #[inline]
    pub(crate) fn entry(&self, index: u32) -> Entry {
        self.decode(self.offset(index))
    }

    #[inline]
    pub(crate) fn key(&self, entry: &Entry) -> InternalKey<'_> {
        InternalKey::new(self.user_key(entry), entry.seq, entry.kind)
    }

    #[inline]
    pub(crate) fn user_key(&self, entry: &Entry) -> &[u8] {
        entry.key_in(&self.bytes)
    }

    #[inline]
    pub(crate) fn value(&self, entry: &Entry) -> &[u8] {
        entry.value_in(&self.bytes)
    }

    /// The tags of all entries.
    #[inline]
    pub(crate) fn tags(&self) -> &[u8] {
        &self.bytes[self.tags_at as usize..][..self.count as usize]
    }

    /// The newest version of `user_key` at or before `at`; `tag` is the key's tag.
    #[inline]
    pub(crate) fn find(&self, user_key: &[u8], tag: u8, at: Seq) -> Option<Entry> {
        find_tagged(self.tags(), tag, |index| {
            // Many entries reach into the next line, which is asked for before the first is there.
            prefetch(self.bytes[self.offset(index)..].as_ptr().addr().wrapping_add(LINE_BYTES));
            let entry = self.entry(index);
            self.is_version(&entry, user_key, at).then_some(entry)
        })
    }

    /// Asks for the cache line of the first entry that has this tag.
    #[inline]
    pub(crate) fn ask_for_entry(&self, tag: u8) {
        if let Some(index) = self.tags().iter().position(|&other| other == tag) {
            let entry = self.bytes[self.offset(index as u32)..].as_ptr().addr();
            prefetch(entry);
            // Many reach into the next line.
            prefetch(entry.wrapping_add(LINE_BYTES));
        }
    }

    /// Asks for the first few cache lines of the entries at one end: processors fetch the rest by themselves.
    #[inline]
    pub(crate) fn ask_for_entries(&self, end: End) {
        const FEW: usize = 4;
        let start = match end {
            End::First => 0,
            End::Last => (self.entries_end as usize).saturating_sub(FEW * LINE_BYTES),
        };
        let start = self.bytes.as_ptr().addr() + start;
        (0..FEW).for_each(|line| prefetch(start + line * LINE_BYTES));
    }

    /// Whether an entry is a version of `user_key` that a reader at `at` sees.
    #[inline]
    fn is_version(&self, entry: &Entry, user_key: &[u8], at: Seq) -> bool {
        self.user_key(entry) == user_key && entry.seq <= at
    }

    /// Shows the first entry of each user key from entry number `first` on to `take`, until that leaves one or
    /// has enough, or a user key is not before `end`: answers the number of that entry, or `None` at the end of
    /// the block.
    #[inline]
    pub(crate) fn show_while(
        &self,
        first: u32,
        end: Option<&[u8]>,
        take: &mut impl FnMut(InternalKey<'_>, &[u8]) -> Taken,
    ) -> Option<u32> {
        // Where all are before the end, none need be compared with it.
        let last = self.entry(self.count - 1);
        let end = end.filter(|end| self.user_key(&last) >= *end);
        let mut last_key: Option<&[u8]> = None;
        for index in first..self.count {
            let entry = self.entry(index);
            let key = self.key(&entry);
            // Neighbours that are not the same differ in their last byte nearly always, and a look at it is
            // cheaper than a call to compare them.
            let is_again = |last: &[u8]| last.last() == key.user_key.last() && last == key.user_key;
            if last_key.is_some_and(is_again) {
                continue;
            }
            let is_outside = end.is_some_and(|end| key.user_key >= end);
            if is_outside || take(key, self.value(&entry)) != Taken::More {
                return Some(index);
            }
            last_key = Some(key.user_key);
        }
        None
    }

    /// How many entries come before (`user_key`, `seq`).
    #[inline]
    pub(crate) fn count_before(&self, user_key: &[u8], seq: Seq) -> u32 {
        let Range { start: mut low, end: mut high } = self.fenced(user_key);
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.entry(middle);
            match compare(self.user_key(&entry), entry.seq, user_key, seq) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal | Ordering::Greater => high = middle,
            }
        }
        low
    }
}

/// Shows the numbers of the entries that have this tag to `look`, until that finds something.
#[inline]
fn find_tagged<R>(tags: &[u8], tag: u8, mut look: impl FnMut(u32) -> Option<R>) -> Option<R> {
    let (words, rest) = tags.as_chunks::<8>();
    let pattern = u64::from_le_bytes([tag; 8]);
    for (word, bytes) in words.iter().enumerate() {
        let mut matches = zero_bytes(u64::from_le_bytes(*bytes) ^ pattern);
        while matches != 0 {
            let index = word as u32 * 8 + matches.trailing_zeros() / 8;
            if let Some(found) = look(index) {
                return Some(found);
            }
            matches &= matches - 1;
        }
    }
    let first = words.len() as u32 * 8;
    let tagged = (first..).zip(rest).filter(|&(_, &byte)| byte == tag);
    tagged.map(|(index, _)| index).find_map(look)
}

/// The high bit of every byte of `word` that is zero, and no other bit.
#[inline]
const fn zero_bytes(word: u64) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    !(((word & LOW) + LOW) | word | LOW)
}

#[cfg(test)]
mod tests;
