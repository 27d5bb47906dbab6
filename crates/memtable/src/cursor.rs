//! An owned cursor over any memtable, in chunks.
//!
//! A memtable's own iterators borrow from it; a read view must hand its cursors to callers that
//! outlive every borrow. So this cursor owns a share of the memtable, notes down a run of neighbouring
//! entries at a time and steps through that:
//!
//! ```text
//!   memtable   a b c d e f g h i j k l m n …
//!   chunk          [ d e f g ]                 at = 2: stands on f
//!   next past g:             [ h i j k l … ]   the next chunk, twice as long
//!   prev past d: [ a b c ]                     the chunk before
//! ```
//!
//! A chunk is in order, and each new one lies wholly beyond the edge of the last, so order holds
//! whatever is inserted meanwhile. A short first chunk keeps a seek cheap; doubling makes a scan so.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use alluvium_base::{Bytes, InternalIterator, InternalKey, Result, Seq};

use crate::entries::EntryView;
use crate::place::Place;

/// A memtable that can tell runs of neighbouring entries.
pub(crate) trait Runs: Send + Sync + 'static {
    /// What stands for an entry as long as the memtable is there.
    type Item: Send;

    /// Appends up to `limit` entries from `start` on, ascending. Fewer only at the end.
    fn ascend(&self, start: Bound<&Place<'_>>, limit: usize, out: &mut Vec<Self::Item>);
    /// Appends up to `limit` entries before `end` (`None`: from the last on), descending. Fewer
    /// only at the beginning.
    fn descend(&self, end: Option<&Place<'_>>, limit: usize, out: &mut Vec<Self::Item>);
    /// The entry itself.
    fn view<'a>(&'a self, item: &'a Self::Item) -> EntryView<'a>;
    /// Asks for the cache lines of an entry.
    fn ask_for(&self, item: &Self::Item);
}

/// Entries in the first chunk after a seek, and in the longest.
const FIRST_CHUNK: usize = 8;
const LONGEST_CHUNK: usize = 128;

/// How many entries ahead of itself a cursor asks for their bytes: neighbours in order, they lie anywhere
/// in memory.
pub(crate) const ASKED_AHEAD: usize = 8;

/// See the module's documentation.
pub(crate) struct Cursor<M: Runs> {
    memtable: Arc<M>,
    /// Neighbouring entries, ascending; empty when the cursor stands on none.
    chunk: Vec<M::Item>,
    /// The entry it stands on; within `chunk` unless that is empty.
    at: usize,
    next_chunk_len: usize,
}

impl<M: Runs> Cursor<M> {
    /// Stands on no entry until it is sought.
    pub(crate) const fn new(memtable: Arc<M>) -> Self {
        Self { memtable, chunk: Vec::new(), at: 0, next_chunk_len: FIRST_CHUNK }
    }

    #[inline]
    fn entry(&self) -> EntryView<'_> {
        self.memtable.view(&self.chunk[self.at])
    }

    /// How many entries the next chunk has.
    fn take_chunk_len(&mut self) -> usize {
        let len = self.next_chunk_len;
        self.next_chunk_len = (2 * len).min(LONGEST_CHUNK);
        len
    }

    /// Stands on the first entry from `start` on.
    fn load_ascending(&mut self, start: Bound<&Place<'_>>) {
        let len = self.take_chunk_len();
        self.chunk.clear();
        self.memtable.ascend(start, len, &mut self.chunk);
        self.at = 0;
        self.chunk.iter().take(ASKED_AHEAD).for_each(|entry| self.memtable.ask_for(entry));
    }

    /// Stands on the last entry before `end`, or on the last of all.
    fn load_descending(&mut self, end: Option<&Place<'_>>) {
        let len = self.take_chunk_len();
        self.chunk.clear();
        self.memtable.descend(end, len, &mut self.chunk);
        self.chunk.reverse();
        self.at = self.chunk.len().saturating_sub(1);
    }
}

impl<M: Runs> InternalIterator for Cursor<M> {
    #[inline]
    fn is_valid(&self) -> bool {
        !self.chunk.is_empty()
    }

    #[inline]
    fn key(&self) -> InternalKey<'_> {
        self.entry().internal_key()
    }

    #[inline]
    fn value(&self) -> &[u8] {
        self.entry().value()
    }

    fn key_bytes(&self) -> Bytes {
        self.entry().key_bytes()
    }

    fn value_bytes(&self) -> Bytes {
        self.entry().value_bytes()
    }

    fn seek_to_first(&mut self) -> Result<()> {
        self.next_chunk_len = FIRST_CHUNK;
        self.load_ascending(Bound::Unbounded);
        Ok(())
    }

    fn seek_to_last(&mut self) -> Result<()> {
        self.next_chunk_len = FIRST_CHUNK;
        self.load_descending(None);
        Ok(())
    }

    fn seek(&mut self, user_key: &[u8], seq: Seq) -> Result<()> {
        self.next_chunk_len = FIRST_CHUNK;
        self.load_ascending(Bound::Included(&Place::new(user_key, seq)));
        Ok(())
    }

    fn seek_before(&mut self, user_key: &[u8], seq: Seq) -> Result<()> {
        self.next_chunk_len = FIRST_CHUNK;
        self.load_descending(Some(&Place::new(user_key, seq)));
        Ok(())
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        assert!(self.is_valid(), "next() needs an entry to start from");
        if self.at + 1 < self.chunk.len() {
            self.at += 1;
            if let Some(later) = self.chunk.get(self.at + ASKED_AHEAD) {
                self.memtable.ask_for(later);
            }
        } else if let Some(edge) = self.chunk.pop() {
            let memtable = Arc::clone(&self.memtable);
            self.load_ascending(Bound::Excluded(&memtable.view(&edge).place()));
        }
        Ok(())
    }

    #[inline]
    fn prev(&mut self) -> Result<()> {
        assert!(self.is_valid(), "prev() needs an entry to start from");
        if self.at > 0 {
            self.at -= 1;
        } else {
            let edge = self.chunk.swap_remove(0);
            let memtable = Arc::clone(&self.memtable);
            self.load_descending(Some(&memtable.view(&edge).place()));
        }
        Ok(())
    }
}

impl<M: Runs> fmt::Debug for Cursor<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.is_valid().then(|| self.entry().internal_key());
        f.debug_struct("Cursor").field("key", &key).finish_non_exhaustive()
    }
}
