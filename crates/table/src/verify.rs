//! Reads a whole table from disk and checks everything that can be checked.
//!
//! Opening and reading trust what carries a good checksum to be in order; this does not. Beside the
//! checksums it checks that keys ascend, across blocks too, that the index sends each key to its
//! block, that tags and filter know every key, and that the properties' counts are true. A table
//! that passes answers every lookup rightly.

use alluvium_base::key::{compare, hash_key};
use alluvium_base::{Result, Seq};

use crate::block::{Block, tag_of};
use crate::frame::TableFile;
use crate::properties::TableSummary;
use crate::readahead::{Direction, Readahead};
use crate::table::{Parts, Table};

impl Table {
    /// Reads every block from disk, never from the cache, and checks it, and all of them against
    /// each other, the index, the filter and the properties. Fails with
    /// [`Error::Corrupt`](alluvium_base::Error::Corrupt) on the first thing that is wrong.
    pub fn verify(&self) -> Result<()> {
        let file = &self.parts().file;
        let file = TableFile::new(file.file.clone(), &file.path, file.number)?;
        let parts = Parts::read(file, self.keyspace())?;
        if parts.properties != self.parts().properties {
            return Err(parts.file.corrupt(0, "the file changed since the table was opened"));
        }
        let mut seen = Seen::default();
        let mut readahead = Readahead::new(true);
        for index in 0..parts.index.count() {
            let block = readahead.block(&parts, index, Direction::Forward, true)?;
            let checked = seen.check_block(&parts, index, &block);
            checked.map_err(|what| parts.file.corrupt(parts.index.offset(index), what))?;
        }
        seen.check_summary(&parts.properties.summary)
            .map_err(|what| parts.file.corrupt(parts.index.offset(parts.index.count()), what))
    }
}

/// What was read so far.
#[derive(Debug, Default)]
struct Seen {
    /// Unset until the first entry. Its largest key is the last user key seen.
    summary: Option<TableSummary>,
    last_key: Vec<u8>,
    last_seq: Seq,
}

impl Seen {
    fn check_block(
        &mut self,
        parts: &Parts,
        index: usize,
        block: &Block,
    ) -> Result<(), &'static str> {
        let separator = parts.index.separator(index);
        let before = index.checked_sub(1).map(|before| parts.index.separator(before));
        for at in 0..block.count() {
            let entry = block.entry(at);
            let (key, value) = (block.key(&entry), block.value(&entry));
            let user_key = key.user_key;
            if key.kind.is_reserved() {
                return Err("an entry of a kind that only a later release can read");
            }
            let is_new_key = self.summary.is_none() || *user_key != *self.last_key;
            if self.summary.is_some()
                && !compare(&self.last_key, self.last_seq, user_key, key.seq).is_lt()
            {
                return Err("entries do not ascend");
            }
            // Versions of one key may straddle blocks; then the separator between is the key.
            let follows = before.is_none_or(|before| match (is_new_key, at) {
                (true, _) => user_key > before,
                (false, 0) => user_key == before,
                (false, _) => true,
            });
            if user_key > separator || !follows {
                return Err("an entry is not in the block that the index names");
            }
            let hash = hash_key(user_key);
            if block.tags()[at as usize] != tag_of(hash) {
                return Err("an entry has the wrong tag");
            }
            if !parts.filter.may_contain(hash) {
                return Err("the filter does not know a key");
            }
            match &mut self.summary {
                Some(summary) => summary.count(key, value),
                None => self.summary = Some(TableSummary::of_first(key, value)),
            }
            if is_new_key {
                self.last_key.clear();
                self.last_key.extend_from_slice(user_key);
            }
            self.last_seq = key.seq;
        }
        Ok(())
    }

    fn check_summary(self, expected: &TableSummary) -> Result<(), &'static str> {
        let mut summary = self.summary.ok_or("the table has no entries")?;
        summary.largest = self.last_key.into();
        summary.file_size = expected.file_size;
        if summary == *expected { Ok(()) } else { Err("the properties are not what is there") }
    }
}
