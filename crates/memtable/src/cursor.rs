//! An owned cursor over any memtable, in chunks.
//!
//! A memtable's own iterators borrow from it; a read view must hand its cursors to callers that
//! outlive every borrow. So this cursor owns a share of the memtable, copies a run of neighbouring
//! entries at a time (a copy of an entry shares its batch) and steps through the copy:
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

use crate::place::{Entry, Place};

/// A memtable that can copy out runs of neighbouring entries.
pub(crate) trait Runs: Send + Sync + 'static {
    /// Appends up to `limit` entries from `start` on, ascending. Fewer only at the end.
    fn ascend(&self, start: Bound<&Place<'_>>, limit: usize, out: &mut Vec<Entry>);
    /// Appends up to `limit` entries before `end` (`None`: from the last on), descending. Fewer
    /// only at the beginning.
    fn descend(&self, end: Option<&Place<'_>>, limit: usize, out: &mut Vec<Entry>);
}

/// Entries in the first chunk after a seek, and in the longest.
const FIRST_CHUNK: usize = 8;
const LONGEST_CHUNK: usize = 128;

/// How many entries ahead of itself a cursor asks for their bytes: neighbours in order, they lie anywhere
/// in memory.
pub(crate) const ASKED_AHEAD: usize = 8;

/// See the module's documentation.
pub(crate) struct Cursor<M> {
    memtable: Arc<M>,
    /// Neighbouring entries, ascending; empty when the cursor stands on none.
    chunk: Vec<Entry>,
    /// The entry it stands on; within `chunk` unless that is empty.
    at: usize,
    next_chunk_len: usize,
}

impl<M: Runs> Cursor<M> {
    /// Stands on no entry until it is sought.
    pub(crate) const fn new(memtable: Arc<M>) -> Self {
        Self { memtable, chunk: Vec::new(), at: 0, next_chunk_len: FIRST_CHUNK }
    }

    /// Stands on the first entry from `start` on.
    fn load_ascending(&mut self, start: Bound<&Place<'_>>) {
        self.chunk.clear();
        self.memtable.ascend(start, self.next_chunk_len, &mut self.chunk);
        self.at = 0;
        self.next_chunk_len = (self.next_chunk_len * 2).min(LONGEST_CHUNK);
        self.chunk.iter().take(ASKED_AHEAD).for_each(Entry::ask_for_bytes);
    }

    /// Stands on the last entry before `end`, or on the last of all.
    fn load_descending(&mut self, end: Option<&Place<'_>>) {
        self.chunk.clear();
        self.memtable.descend(end, self.next_chunk_len, &mut self.chunk);
        self.chunk.reverse();
        self.at = self.chunk.len().saturating_sub(1);
        self.next_chunk_len = (self.next_chunk_len * 2).min(LONGEST_CHUNK);
    }
}

impl<M: Runs> InternalIterator for Cursor<M> {
    #[inline]
    fn is_valid(&self) -> bool {
        !self.chunk.is_empty()
    }

    #[inline]
    fn key(&self) -> InternalKey<'_> {
        self.chunk[self.at].internal_key()
    }

    #[inline]
    fn value(&self) -> &[u8] {
        self.chunk[self.at].value()
    }

    fn key_bytes(&self) -> Bytes {
        self.chunk[self.at].key_bytes()
    }

    fn value_bytes(&self) -> Bytes {
        self.chunk[self.at].value_bytes()
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
                later.ask_for_bytes();
            }
        } else if let Some(edge) = self.chunk.pop() {
            self.load_ascending(Bound::Excluded(edge.place()));
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
            self.load_descending(Some(edge.place()));
        }
        Ok(())
    }
}

impl<M> fmt::Debug for Cursor<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.chunk.get(self.at).map(Entry::internal_key);
        f.debug_struct("Cursor").field("key", &key).finish_non_exhaustive()
    }
}
