//! An open table: point lookups, and what cursors are made from.
//!
//! Opening reads everything but the data blocks and verifies it. A lookup then goes
//!
//! ```text
//!   range of keys ─► filter ─► index ─► slot ─► tags ─► entry
//!   two numbers      one line  flat     cached  one     one or two
//!                              arrays   block   line    lines
//! ```
//!
//! and takes no memory: the value is a slice of the block it lies in.

use std::path::Path;
use std::sync::Arc;

use alluvium_base::key::key_prefix;
use alluvium_base::{Bytes, File, FileNumber, KeyspaceId, Kind, Result, Seq};

use crate::block::{Block, End, Entry, tag_of};
use crate::cache::{BlockCache, MemoryUse, MissedBy, Reservation, Slots, WrittenBlocks};
use crate::frame::TableFile;
use crate::iter::TableIterator;
use crate::options::{ReadOptions, TableOptions};
use crate::properties::TableSummary;
use crate::scratch::{self};

/// An open table. Shared by all who read it; closes with the last of them.
#[derive(Debug)]
pub struct Table {
    parts: Parts,
    /// [`key_prefix`] of the smallest and the largest key: they mostly decide without a look at
    /// the keys themselves.
    smallest_prefix: u64,
    largest_prefix: u64,
    slots: Arc<Slots>,
    cache: Arc<BlockCache>,
    /// What it takes of the cache's budget for itself.
    memory: Reservation,
}

/// What a point lookup finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableEntry {
    /// The write's place in the order.
    pub seq: Seq,
    /// What the write does: a tombstone is found like any other entry.
    pub kind: Kind,
    /// The stored value, a slice of the block it lies in. For [`Kind::PutExpiring`] the expiry comes
    /// first.
    pub value: Bytes,
}

impl TableEntry {
    #[inline]
    const fn new(entry: &Entry, value: Bytes) -> Self {
        Self { seq: entry.seq, kind: entry.kind, value }
    }
}

impl Table {
    /// Opens the table in `file`, which is found at `path` and should be table `number` of
    /// `keyspace`. Its blocks will be kept in `cache`.
    ///
    /// Everything but the data blocks is read and verified. Fails with [`Error::Corrupt`](alluvium_base::Error::Corrupt) on damage
    /// and when the file is another table, and with [`Error::Version`](alluvium_base::Error::Version) on a format that this
    /// program does not know.
    pub fn open(
        file: Arc<dyn File>,
        path: &Path,
        number: FileNumber,
        keyspace: KeyspaceId,
        cache: Arc<BlockCache>,
    ) -> Result<Arc<Self>> {
        let parts = Parts::read(TableFile::new(file, path, number)?, keyspace)?;
        let table = Arc::new(Self {
            smallest_prefix: key_prefix(&parts.properties.summary.smallest),
            largest_prefix: key_prefix(&parts.properties.summary.largest),
            slots: Slots::new(parts.index.count()),
            parts,
            memory: cache.reserve(MemoryUse::Tables),
            cache,
        });
        table.memory.set(table.memory_bytes());
        Ok(table)
    }

    /// Takes over what was kept of its blocks while it was written.
    pub fn adopt(&self, written: &WrittenBlocks) {
        written.move_to(self.number(), &self.slots);
    }

    /// Reads the blocks that were noted of it while it was written, and keeps them as long as no other block
    /// has to go, or until `is_enough`. What cannot be read is left to those who ask for it.
    pub fn read_noted(&self, written: &WrittenBlocks, is_enough: impl Fn() -> bool) {
        for index in written.take_noted(self.number()) {
            let index = index as usize;
            if is_enough() || !self.cache.has_room_for(self.about_bytes(index)) {
                return;
            }
            if self.slots.peek(index).is_none()
                && let Ok(block) = self.parts.read_block(index)
            {
                self.cache_block(index, &block.with_fences());
            }
        }
    }

    /// What is in the table.
    pub fn summary(&self) -> &TableSummary {
        &self.parts.properties.summary
    }

    /// Its number.
    pub fn number(&self) -> FileNumber {
        self.parts.file.number
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.parts.file.path
    }

    /// The keyspace it belongs to.
    pub fn keyspace(&self) -> KeyspaceId {
        self.parts.properties.keyspace
    }

    /// The options it was built with, as the file says.
    pub fn options(&self) -> &TableOptions {
        &self.parts.properties.options
    }

    /// How many data blocks it has.
    pub fn block_count(&self) -> usize {
        self.parts.index.count()
    }

    /// Whether it may hold the key with this hash ([`hash_key`](crate::hash_key)), as its filter
    /// says: "no" is certain.
    #[inline]
    pub fn may_contain(&self, key_hash: u64) -> bool {
        self.parts.filter.may_contain(key_hash)
    }

    /// The newest version of `user_key` at or before `at`, of whatever kind. `key_hash` is the
    /// key's [`hash_key`](crate::hash_key).
    #[inline]
    pub fn get(&self, user_key: &[u8], key_hash: u64, at: Seq) -> Result<Option<TableEntry>> {
        if !self.is_in_range(user_key) || !self.may_contain(key_hash) {
            return Ok(None);
        }
        self.get_from_blocks(user_key, tag_of(key_hash), at)
    }

    #[inline]
    fn get_from_blocks(&self, user_key: &[u8], tag: u8, at: Seq) -> Result<Option<TableEntry>> {
        let block = self.parts.index.find(user_key);
        self.get_from_block(block, user_key, tag, at)
    }

    fn get_from_block(
        &self,
        mut block: usize,
        user_key: &[u8],
        tag: u8,
        at: Seq,
    ) -> Result<Option<TableEntry>> {
        let index = &self.parts.index;
        while block < index.count() {
            let found = self.find_in_block(block, user_key, tag, at)?;
            // Only a separator that is the key itself lets older versions lie in the next block.
            if found.is_some() || index.separator(block) != user_key {
                return Ok(found);
            }
            block += 1;
        }
        Ok(None)
    }

    /// The block that may hold `user_key`, as the table's range, filter and index say; the first step
    /// of a [`get`](Self::get) in two. Asks for the cache line that the second one begins with.
    #[inline]
    pub fn locate(&self, user_key: &[u8], key_hash: u64) -> Option<Located<'_>> {
        if !self.is_in_range(user_key) || !self.may_contain(key_hash) {
            return None;
        }
        let block = self.parts.index.find(user_key);
        self.slots.ask_for_slot(block);
        Some(Located { table: self, block, key_hash })
    }

    /// Asks for the cache line of the filter that a lookup of the key with this hash reads.
    #[inline]
    pub fn ask_for_filter(&self, key_hash: u64) {
        self.parts.filter.ask_for_line(key_hash);
    }

    /// Whether `user_key` lies between the table's smallest and largest.
    #[inline]
    fn is_in_range(&self, user_key: &[u8]) -> bool {
        let prefix = key_prefix(user_key);
        if prefix > self.smallest_prefix && prefix < self.largest_prefix {
            return true;
        }
        let summary = self.summary();
        *user_key >= *summary.smallest && *user_key <= *summary.largest
    }

    /// The newest version of `user_key` at or before `at` in block `index`, from the cache or from disk.
    #[inline]
    fn find_in_block(
        &self,
        index: usize,
        user_key: &[u8],
        tag: u8,
        at: Seq,
    ) -> Result<Option<TableEntry>> {
        self.slots.ask_for_block(index);
        if let Some(cached) = self.slots.peek(index).as_ref() {
            self.cache.hit(cached);
            let entry = cached.block.find(user_key, tag, at);
            return Ok(entry.map(|entry| TableEntry::new(&entry, cached.block.value_bytes(&entry))));
        }
        self.find_in_missed_block(index, user_key, tag, at)
    }

    #[cold]
    fn find_in_missed_block(
        &self,
        index: usize,
        user_key: &[u8],
        tag: u8,
        at: Seq,
    ) -> Result<Option<TableEntry>> {
        self.cache.miss();
        if !self.admits(index, MissedBy::Lookup) {
            return self.parts.look_into_block(index, user_key, tag, at);
        }
        let block = self.parts.read_block(index)?.with_fences();
        self.cache.insert(&self.slots, index, &block);
        let entry = block.find(user_key, tag, at);
        Ok(entry.map(|entry| TableEntry::new(&entry, block.value_bytes(&entry))))
    }

    /// Whether block `index`, which was missed, is worth keeping: see `cache::admission`.
    pub(crate) fn admits(&self, index: usize, by: MissedBy) -> bool {
        // A large one is not worth a copy of what is found in it.
        self.parts.index.handle(index).len as usize > scratch::MOST_BYTES
            || self.cache.admits(&self.slots, index, self.about_bytes(index), by)
    }

    /// About how many bytes block `index` takes in memory.
    fn about_bytes(&self, index: usize) -> usize {
        (self.parts.index.handle(index).len as usize).max(self.options().block_size)
    }

    /// Block `index` if it is cached.
    pub(crate) fn cached_block(&self, index: usize, read: ReadOptions) -> Option<Block> {
        let guard = self.slots.peek(index);
        let cached = guard.as_ref();
        if read.fill_cache {
            match cached {
                Some(cached) => self.cache.hit(cached),
                None => self.cache.miss(),
            }
        }
        cached.map(|cached| cached.block.clone())
    }

    /// Asks for the cache lines of the next two blocks of a walk, as far as there are such and they are cached:
    /// of the first for its entries, of the second for what tells where those are.
    pub(crate) fn ask_ahead(&self, [next, next_but_one]: [usize; 2], end: End) {
        if next < self.slots.count() {
            self.slots.ask_for_entries(next, end);
        }
        if next_but_one < self.slots.count() {
            self.slots.ask_for_block(next_but_one);
        }
    }

    /// Keeps block `index`, which was read from disk.
    pub(crate) fn cache_block(&self, index: usize, block: &Block) {
        self.cache.insert(&self.slots, index, block);
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Memory for what a cursor reads ahead.
    pub(crate) fn reserve_buffer(&self) -> Reservation {
        self.cache.reserve(MemoryUse::Buffers)
    }

    /// A cursor over all entries; it stands on none until it is sought.
    pub fn iter(self: &Arc<Self>, read: ReadOptions) -> TableIterator {
        TableIterator::new(self.clone(), read)
    }

    /// Bytes of memory that the open table takes, cached blocks aside: index, filter and slots.
    pub fn memory_bytes(&self) -> usize {
        let parts = &self.parts;
        let fixed =
            size_of::<Self>() + self.summary().smallest.len() + self.summary().largest.len();
        fixed + parts.index.memory_bytes() + parts.filter.memory_bytes() + self.slots.memory_bytes()
    }

    /// A key with about half of the table before it: where a block in its middle ends. At least the
    /// smallest and at most the largest key.
    pub fn middle_key(&self) -> &[u8] {
        self.parts.index.separator(self.block_count() / 2)
    }

    /// About how many bytes of the file lie before `user_key`: exact to a block.
    pub fn approximate_offset(&self, user_key: &[u8]) -> u64 {
        self.parts.index.offset(self.parts.index.find(user_key))
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.cache.forget(&self.slots);
    }
}

mod located;
mod parts;

pub use located::Located;
pub(crate) use parts::Parts;

#[cfg(test)]
mod tests;
