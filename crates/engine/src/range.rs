//! Ranges of keys, as `BTreeMap` users write them.

use std::ops::{Bound, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

use alluvium_base::key::prefix_successor;

/// A range of keys: `a..b`, `a..=b`, `a..`, `..b`, `..=b`, `..`, or a pair of [`Bound`]s.
///
/// Keys are anything that is bytes: `&str`, `String`, `&[u8]`, `Vec<u8>`, arrays.
pub trait KeyRange {
    /// The range's bounds as bytes.
    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>);
}

impl KeyRange for RangeFull {
    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (Bound::Unbounded, Bound::Unbounded)
    }
}

impl<K: AsRef<[u8]>> KeyRange for Range<K> {
    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (Bound::Included(self.start.as_ref()), Bound::Excluded(self.end.as_ref()))
    }
}

impl<K: AsRef<[u8]>> KeyRange for RangeInclusive<K> {
    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (Bound::Included(self.start().as_ref()), Bound::Included(self.end().as_ref()))
    }
}

impl<K: AsRef<[u8]>> KeyRange for RangeFrom<K> {
    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (Bound::Included(self.start.as_ref()), Bound::Unbounded)
    }
}

impl<K: AsRef<[u8]>> KeyRange for RangeTo<K> {
    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (Bound::Unbounded, Bound::Excluded(self.end.as_ref()))
    }
}

impl<K: AsRef<[u8]>> KeyRange for RangeToInclusive<K> {
    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (Bound::Unbounded, Bound::Included(self.end.as_ref()))
    }
}

impl<K: AsRef<[u8]>> KeyRange for (Bound<K>, Bound<K>) {
    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (self.0.as_ref().map(AsRef::as_ref), self.1.as_ref().map(AsRef::as_ref))
    }
}

/// A half-open range of user keys: what every kind of range becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first key that may be in it.
    pub(crate) start: Vec<u8>,
    /// The first key behind it, if any.
    pub(crate) end: Option<Vec<u8>>,
}

impl Span {
    pub(crate) fn of(range: &impl KeyRange) -> Self {
        let (start, end) = range.bounds();
        Self {
            start: match start {
                Bound::Included(key) => key.to_vec(),
                Bound::Excluded(key) => just_after(key),
                Bound::Unbounded => Vec::new(),
            },
            end: match end {
                Bound::Included(key) => Some(just_after(key)),
                Bound::Excluded(key) => Some(key.to_vec()),
                Bound::Unbounded => None,
            },
        }
    }

    pub(crate) fn of_prefix(prefix: &[u8]) -> Self {
        Self { start: prefix.to_vec(), end: prefix_successor(prefix) }
    }

    /// Whether no key can be in it: like `BTreeMap`'s scans of nothing, but without the panic.
    pub(crate) fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }
}

/// The smallest key greater than `key`.
fn just_after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_range_becomes_half_open() {
        let span = |start: &[u8], end: Option<&[u8]>| Span {
            start: start.to_vec(),
            end: end.map(<[u8]>::to_vec),
        };
        assert_eq!(Span::of(&..), span(b"", None));
        assert_eq!(Span::of(&("a".."c")), span(b"a", Some(b"c")));
        assert_eq!(Span::of(&(b"a"..=b"c")), span(b"a", Some(b"c\0")));
        assert_eq!(Span::of(&(Bound::Excluded("a"), Bound::Unbounded::<&str>)), span(b"a\0", None));
        assert_eq!(Span::of_prefix(b"a\xff"), span(b"a\xff", Some(b"b")));
        assert_eq!(Span::of_prefix(b"\xff"), span(b"\xff", None));
        assert!(Span::of(&("c".."a")).is_empty() && !Span::of(&..).is_empty());
    }
}
