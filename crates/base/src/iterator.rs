//! The cursor that memtables, tables, levels and merges all are.

use bytes::Bytes;

use crate::error::Result;
use crate::key::{InternalKey, Seq};

/// What becomes of an entry that is [shown](InternalIterator::show_while).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was taken: show the next.
    More,
    /// It was taken, and is enough.
    Last,
    /// It was not taken.
    Left,
}

/// A cursor over entries in internal key order, both ways.
///
/// It stands on an entry ([`is_valid`](Self::is_valid)) or on none: before its first positioning,
/// past either end, and after an error. Positioning from "none" is only by the four seeks; moving
/// past an end leaves it on none. Errors come from the call that met them, never later.
///
/// It may be turned at any entry: `next` after `prev` comes back to where it was.
pub trait InternalIterator: Send {
    /// Whether it stands on an entry.
    fn is_valid(&self) -> bool;

    /// The entry's key. Requires [`is_valid`](Self::is_valid).
    fn key(&self) -> InternalKey<'_>;

    /// The entry's stored value: for [`Kind::PutExpiring`](crate::Kind) the expiry comes first.
    /// Requires [`is_valid`](Self::is_valid).
    fn value(&self) -> &[u8];

    /// The user key as shared bytes that outlive the cursor's next step, without a copy where the
    /// source allows it. Requires [`is_valid`](Self::is_valid).
    fn key_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.key().user_key)
    }

    /// The stored value as shared bytes that outlive the cursor's next step, without a copy where
    /// the source allows it. Requires [`is_valid`](Self::is_valid).
    fn value_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.value())
    }

    /// [`key_bytes`](Self::key_bytes) and [`value_bytes`](Self::value_bytes) at once.
    #[inline]
    fn entry_bytes(&self) -> (Bytes, Bytes) {
        (self.key_bytes(), self.value_bytes())
    }

    /// Whether the entry was found in a cache, as opposed to read from disk: a hint, for whoever decides
    /// what is worth keeping. Requires [`is_valid`](Self::is_valid).
    fn is_cached(&self) -> bool {
        false
    }

    /// Moves to the first entry.
    fn seek_to_first(&mut self) -> Result<()>;

    /// Moves to the last entry.
    fn seek_to_last(&mut self) -> Result<()>;

    /// Moves to the first entry at or after (`user_key`, `seq`) in internal key order: the newest
    /// version of `user_key` that a reader at `seq` sees, or the first entry of a greater key.
    fn seek(&mut self, user_key: &[u8], seq: Seq) -> Result<()>;

    /// Moves to the last entry strictly before (`user_key`, `seq`) in internal key order. With
    /// [`Seq::MAX`] that is the last entry of a smaller user key.
    fn seek_before(&mut self, user_key: &[u8], seq: Seq) -> Result<()>;

    /// Moves to the following entry. Requires [`is_valid`](Self::is_valid).
    fn next(&mut self) -> Result<()>;

    /// Moves to the preceding entry. Requires [`is_valid`](Self::is_valid).
    fn prev(&mut self) -> Result<()>;

    /// Shows the entry it stands on, and those behind it, to `take`, and stands on the first that was
    /// [left](Taken::Left): which ends it, as does a user key that is not before `end`. Of the versions of one
    /// user key only the first is shown, so what it stands on afterwards is of another one than what was taken.
    /// After [`Taken::Last`] it stands on that entry.
    ///
    /// This is for speed alone: it may end anywhere, also before it shows anything, and whoever calls it goes
    /// on by steps. The caller has seen no version of the user key that it stands on.
    fn show_while(
        &mut self,
        _end: Option<&[u8]>,
        _take: impl FnMut(InternalKey<'_>, &[u8]) -> Taken,
    ) -> Result<()>
    where
        Self: Sized,
    {
        Ok(())
    }
}

impl<I: InternalIterator + ?Sized> InternalIterator for Box<I> {
    fn is_valid(&self) -> bool {
        (**self).is_valid()
    }
    fn key(&self) -> InternalKey<'_> {
        (**self).key()
    }
    fn value(&self) -> &[u8] {
        (**self).value()
    }
    fn key_bytes(&self) -> Bytes {
        (**self).key_bytes()
    }
    fn value_bytes(&self) -> Bytes {
        (**self).value_bytes()
    }
    fn entry_bytes(&self) -> (Bytes, Bytes) {
        (**self).entry_bytes()
    }
    fn is_cached(&self) -> bool {
        (**self).is_cached()
    }
    fn seek_to_first(&mut self) -> Result<()> {
        (**self).seek_to_first()
    }
    fn seek_to_last(&mut self) -> Result<()> {
        (**self).seek_to_last()
    }
    fn seek(&mut self, user_key: &[u8], seq: Seq) -> Result<()> {
        (**self).seek(user_key, seq)
    }
    fn seek_before(&mut self, user_key: &[u8], seq: Seq) -> Result<()> {
        (**self).seek_before(user_key, seq)
    }
    fn next(&mut self) -> Result<()> {
        (**self).next()
    }
    fn prev(&mut self) -> Result<()> {
        (**self).prev()
    }
}
