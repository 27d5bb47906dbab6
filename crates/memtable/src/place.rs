//! Where an entry belongs, and the entry itself.
//!
//! A [`Place`] is a point of the internal key order. The same type is what an entry stored in the
//! memtable begins with, its key inside a shared batch, and what a lookup searches for, its key
//! borrowed from the caller:
//!
//! ```text
//!   Entry (64 B, one cache line)                      lookup
//!   ┌ Place<'static> ──────────────────┐              ┌ Place<'a> ───────────────────┐
//!   │ prefix │ stamp │ Shared(batch)   │   compared   │ prefix │ stamp │ Borrowed(…) │
//!   │ key start, length                │ ◄──────────► │                              │
//!   ├──────────────────────────────────┤              └──────────────────────────────┘
//!   │ value start, length              │
//!   └──────────────────────────────────┘
//! ```
//!
//! Because `Place` is covariant, `&Place<'static>` is a `&Place<'a>`: an entry lends its place to a
//! comparison with a borrowed one, and a lookup neither allocates nor goes through a vtable.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::ops::Range;

use alluvium_base::key::key_prefix;
use alluvium_base::prefetch::{LINE_BYTES, prefetch};
use alluvium_base::{Bytes, Kind, Seq};

/// A point of the internal key order: user key ascending, then sequence descending.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    /// [`key_prefix`] of the user key: decides most comparisons without touching the key.
    prefix: u64,
    /// Sequence and kind, packed. The kind is not part of the order.
    stamp: u64,
    source: Source<'a>,
    key_start: u32,
    key_len: u32,
}

/// The bytes that a key lies in.
#[derive(Clone, Debug)]
enum Source<'a> {
    /// A batch that the entry keeps alive.
    Shared(Bytes),
    /// A key that the caller of a lookup holds.
    Borrowed(&'a [u8]),
}

pub(crate) const KIND_BITS: u32 = 8;

/// Sequence and kind, packed.
#[inline]
pub(crate) fn stamp(seq: Seq, kind: Kind) -> u64 {
    seq.get() << KIND_BITS | u64::from(kind.encode())
}

/// [`key_prefix`] of a user key behind its first `skipped` bytes.
#[inline]
pub(crate) fn prefix_behind(user_key: &[u8], skipped: usize) -> u64 {
    key_prefix(user_key.get(skipped..).unwrap_or_default())
}

impl<'a> Place<'a> {
    /// Before every entry.
    pub(crate) const MIN: Self = Self::borrowed(0, &[], Seq::MAX);

    /// The place of the newest version of `user_key` that a reader at `seq` may see.
    #[inline]
    pub(crate) fn new(user_key: &'a [u8], seq: Seq) -> Self {
        Self::borrowed(key_prefix(user_key), user_key, seq)
    }

    const fn borrowed(prefix: u64, user_key: &'a [u8], seq: Seq) -> Self {
        Self {
            prefix,
            stamp: seq.get() << KIND_BITS,
            source: Source::Borrowed(user_key),
            key_start: 0,
            // A key longer than any entry's is cut: no entry equals it either way.
            key_len: if user_key.len() > u32::MAX as usize {
                u32::MAX
            } else {
                user_key.len() as u32
            },
        }
    }

    /// [`key_prefix`] of the user key behind its first `skipped` bytes.
    #[inline]
    pub(crate) fn prefix_behind(&self, skipped: usize) -> u64 {
        if skipped == 0 {
            return self.prefix;
        }
        prefix_behind(self.user_key(), skipped)
    }

    #[inline]
    pub(crate) const fn stamp(&self) -> u64 {
        self.stamp
    }

    /// The same place, with a copy of its key.
    pub(crate) fn to_owned(&self) -> Place<'static> {
        let user_key = self.user_key();
        let source = Source::Shared(Bytes::copy_from_slice(user_key));
        Place { source, key_start: 0, ..*self }
    }

    #[inline]
    pub(crate) const fn seq(&self) -> Seq {
        Seq::new(self.stamp >> KIND_BITS)
    }

    #[inline]
    pub(crate) fn user_key(&self) -> &[u8] {
        let start = self.key_start as usize;
        &self.source.bytes()[start..start + self.key_len as usize]
    }
}

impl Source<'_> {
    #[inline]
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(batch) => batch,
            Self::Borrowed(bytes) => bytes,
        }
    }

    /// A range of it as shared bytes; only a borrowed source is copied.
    #[inline]
    fn slice(&self, range: Range<usize>) -> Bytes {
        match self {
            Self::Shared(batch) => batch.slice(range),
            Self::Borrowed(bytes) => Bytes::copy_from_slice(&bytes[range]),
        }
    }
}

impl Ord for Place<'_> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.prefix
            .cmp(&other.prefix)
            .then_with(|| self.user_key().cmp(other.user_key()))
            .then_with(|| (other.stamp >> KIND_BITS).cmp(&(self.stamp >> KIND_BITS)))
    }
}

impl PartialOrd for Place<'_> {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place<'_> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Place<'_> {}

/// One write as the memtable stores it. Equality and order are those of its place.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    place: Place<'static>,
    value_start: u32,
    value_len: u32,
}

const _: () = assert!(size_of::<Entry>() == 64, "an entry fills one cache line");

impl Entry {
    /// The entry whose key and value are these ranges of `batch`. Panics as
    /// [`Memtable::insert`](crate::Memtable::insert) says.
    pub(crate) fn new(
        batch: Bytes,
        key: &Range<usize>,
        value: &Range<usize>,
        seq: Seq,
        kind: Kind,
    ) -> Self {
        let prefix = key_prefix(&batch[key.clone()]);
        assert!(
            value.start <= value.end && value.end <= batch.len(),
            "the value {value:?} lies outside a batch of {} bytes",
            batch.len()
        );
        let narrow = |n: usize| u32::try_from(n).expect("a batch is at most 1 GiB");
        Self {
            place: Place {
                prefix,
                stamp: stamp(seq, kind),
                source: Source::Shared(batch),
                key_start: narrow(key.start),
                key_len: narrow(key.len()),
            },
            value_start: narrow(value.start),
            value_len: narrow(value.len()),
        }
    }

    #[inline]
    pub(crate) const fn place(&self) -> &Place<'static> {
        &self.place
    }

    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        &self.place.source.bytes()[self.value_range()]
    }

    pub(crate) fn key_bytes(&self) -> Bytes {
        let start = self.place.key_start as usize;
        self.place.source.slice(start..start + self.place.key_len as usize)
    }

    pub(crate) fn value_bytes(&self) -> Bytes {
        self.place.source.slice(self.value_range())
    }

    /// Asks for the cache lines that key and value lie in.
    #[inline]
    pub(crate) fn ask_for_bytes(&self) {
        let bytes = self.place.source.bytes().as_ptr().addr();
        ask_for_lines(bytes, self.place.key_start as usize, self.value_range().end);
    }

    /// Whether it is the very same bytes as `key` in `batch`, not merely an equal place.
    #[inline]
    pub(crate) fn is_of(&self, batch: &Bytes, key: &Range<usize>) -> bool {
        self.place.key_start as usize == key.start
            && std::ptr::eq(self.place.source.bytes(), &raw const **batch)
    }

    #[inline]
    fn value_range(&self) -> Range<usize> {
        let start = self.value_start as usize;
        start..start + self.value_len as usize
    }
}

impl Ord for Entry {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.place.cmp(&other.place)
    }
}

impl PartialOrd for Entry {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Eq for Entry {}

impl<'a> Borrow<Place<'a>> for Entry {
    #[inline]
    fn borrow(&self) -> &Place<'a> {
        &self.place
    }
}

/// Asks for the first few cache lines from `start` to `end` of the bytes at address `bytes`.
#[inline]
pub(crate) fn ask_for_lines(bytes: usize, start: usize, end: usize) {
    const FEW: usize = 4;
    for line in (start..end).step_by(LINE_BYTES).take(FEW) {
        prefetch(bytes.wrapping_add(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_and_a_borrowed_place_compare_as_internal_keys_do() {
        let batch = Bytes::from_static(b"applepear");
        let apple = Entry::new(batch.clone(), &(0..5), &(5..9), Seq::new(7), Kind::Put);
        assert!(Place::MIN < *apple.place());
        assert!(Place::new(b"apple", Seq::new(8)) < *apple.place());
        assert!(Place::new(b"apple", Seq::new(7)) == *apple.place());
        assert!(Place::new(b"apple", Seq::new(6)) > *apple.place());
        assert!(Place::new(b"appl", Seq::ZERO) < *apple.place());
        assert!(Place::new(b"apple\0", Seq::MAX) > *apple.place());
        assert_eq!(apple.value(), b"pear");
        assert_eq!(apple.key_bytes()[..], *b"apple");
    }

    #[test]
    #[should_panic(expected = "outside a batch")]
    fn a_value_outside_its_batch_is_refused() {
        let batch = Bytes::from_static(b"k");
        Entry::new(batch, &(0..1), &(1..2), Seq::ZERO, Kind::Put);
    }
}
