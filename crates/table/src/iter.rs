//! A cursor over one table.
//!
//! The cursor keeps the block it stands in and its current entry decoded: `key` and `value` are two
//! slices of the block, and a step inside the block decodes one header. Only the step from block to
//! block can fail.

use std::sync::Arc;

use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::{Bytes, InternalIterator, InternalKey, Result, Seq, Taken};

use crate::block::{Block, End, Entry};
use crate::cache::Reservation;
use crate::options::ReadOptions;
use crate::readahead::{Direction, Readahead};
use crate::table::Table;

/// What a cursor may read ahead without a word to the budget: it is not worth two atomic counts.
const FEW_BYTES: usize = 16 << 10;

/// A cursor over the entries of one [`Table`], in internal key order, both ways.
#[derive(Debug)]
pub struct TableIterator {
    /// The block it stands in, the entry's number there and the entry; the empty block when it
    /// stands on none.
    block: Block,
    at: u32,
    entry: Entry,
    is_valid: bool,
    /// Whether `block` was found in the cache.
    is_cached: bool,
    /// The number of `block` in the table.
    block_index: usize,
    table: Arc<Table>,
    read: ReadOptions,
    readahead: Readahead,
    /// Memory for what is read ahead, once something is.
    memory: Option<Reservation>,
}

impl TableIterator {
    pub(crate) fn new(table: Arc<Table>, read: ReadOptions) -> Self {
        Self {
            block: Block::empty(),
            at: 0,
            entry: Entry::NONE,
            is_valid: false,
            is_cached: false,
            block_index: 0,
            table,
            read,
            readahead: Readahead::new(read.readahead),
            memory: None,
        }
    }

    /// Stands on no entry from here on, and lets the block go.
    #[cold]
    fn leave(&mut self) {
        self.is_valid = false;
        self.block = Block::empty();
    }

    /// Enters block `index`; stands on no entry yet. The block at hand is not loaded anew.
    fn enter(&mut self, index: usize, direction: Direction) -> Result<()> {
        self.is_valid = false;
        if self.block.count() > 0 && self.block_index == index {
            return Ok(());
        }
        self.block = Block::empty();
        self.block = self.load(index, direction)?;
        self.block_index = index;
        Ok(())
    }

    fn load(&mut self, index: usize, direction: Direction) -> Result<Block> {
        if let Some(block) = self.table.cached_block(index, self.read) {
            self.readahead.pass(index);
            self.is_cached = true;
            return Ok(block);
        }
        self.is_cached = false;
        let fill_cache = self.read.fill_cache;
        let block = self.readahead.block(self.table.parts(), index, direction, !fill_cache)?;
        self.reserve_readahead();
        if !fill_cache || !self.table.admits(index, self.readahead.missed_by()) {
            return Ok(block);
        }
        let block = block.with_fences();
        self.table.cache_block(index, &block);
        Ok(block)
    }

    /// Takes memory from the budget for what was read ahead, if that is more than a few blocks.
    fn reserve_readahead(&mut self) {
        let bytes = self.readahead.held_bytes();
        if bytes > FEW_BYTES {
            let memory = self.memory.get_or_insert_with(|| self.table.reserve_buffer());
            if memory.bytes() != bytes {
                memory.set(bytes);
            }
        }
    }

    /// Stands on the entry numbered `at` of the block at hand.
    #[inline]
    fn stand_on(&mut self, at: u32) {
        self.at = at;
        self.entry = self.block.entry(at);
        self.is_valid = true;
    }

    /// Enters block `index` at its first entry; beyond the last block, leaves.
    #[cold]
    fn enter_at_first(&mut self, index: usize) -> Result<()> {
        if index >= self.table.block_count() {
            self.leave();
            return Ok(());
        }
        self.enter(index, Direction::Forward)?;
        self.table.ask_ahead([index + 1, index + 2], End::First);
        self.stand_on(0);
        Ok(())
    }

    /// Enters the block before `index` at its last entry; before the first block, leaves.
    #[cold]
    fn enter_at_last_before(&mut self, index: usize) -> Result<()> {
        let Some(index) = index.checked_sub(1) else {
            self.leave();
            return Ok(());
        };
        self.enter(index, Direction::Backward)?;
        self.table.ask_ahead([index.wrapping_sub(1), index.wrapping_sub(2)], End::Last);
        self.stand_on(self.block.count() - 1);
        Ok(())
    }
}

impl InternalIterator for TableIterator {
    #[inline]
    fn is_valid(&self) -> bool {
        self.is_valid
    }

    #[inline]
    fn key(&self) -> InternalKey<'_> {
        debug_assert!(self.is_valid, "only an entry has a key");
        self.block.key(&self.entry)
    }

    #[inline]
    fn value(&self) -> &[u8] {
        debug_assert!(self.is_valid, "only an entry has a value");
        self.block.value(&self.entry)
    }

    #[inline]
    fn key_bytes(&self) -> Bytes {
        self.block.key_bytes(&self.entry)
    }

    #[inline]
    fn value_bytes(&self) -> Bytes {
        self.block.value_bytes(&self.entry)
    }

    #[inline]
    fn is_cached(&self) -> bool {
        self.is_cached
    }

    fn seek_to_first(&mut self) -> Result<()> {
        self.enter_at_first(0)
    }

    fn seek_to_last(&mut self) -> Result<()> {
        self.enter_at_last_before(self.table.block_count())
    }

    fn seek(&mut self, user_key: &[u8], seq: Seq) -> Result<()> {
        let mut index = self.table.parts().index.find(user_key);
        while index < self.table.block_count() {
            self.enter(index, Direction::Forward)?;
            let at = self.block.count_before(user_key, seq);
            if at < self.block.count() {
                self.stand_on(at);
                return Ok(());
            }
            index += 1;
        }
        self.leave();
        Ok(())
    }

    fn seek_before(&mut self, user_key: &[u8], seq: Seq) -> Result<()> {
        let mut index = self.table.parts().index.find(user_key);
        while index < self.table.block_count() {
            self.enter(index, Direction::Backward)?;
            let at = self.block.count_before(user_key, seq);
            if at == 0 {
                break;
            }
            // Only where the separator is the key itself can the next block begin before it.
            let is_last = self.table.parts().index.separator(index) != user_key;
            if at < self.block.count() || is_last {
                self.stand_on(at - 1);
                return Ok(());
            }
            index += 1;
        }
        self.enter_at_last_before(index)
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        assert!(self.is_valid, "a cursor moves from an entry");
        // Through the offsets, though the entry's end says the same: so the next header can be
        // fetched before this one is decoded.
        let skipped = u32::from(is_planted(Bug::LastEntrySkipped));
        if self.at + 1 + skipped < self.block.count() {
            self.stand_on(self.at + 1);
            return Ok(());
        }
        self.enter_at_first(self.block_index + 1)
    }

    #[inline]
    fn prev(&mut self) -> Result<()> {
        assert!(self.is_valid, "a cursor moves from an entry");
        if self.at > 0 {
            self.stand_on(self.at - 1);
            return Ok(());
        }
        self.enter_at_last_before(self.block_index)
    }

    /// Block by block, without a step for each entry.
    fn show_while(
        &mut self,
        end: Option<&[u8]>,
        mut take: impl FnMut(InternalKey<'_>, &[u8]) -> Taken,
    ) -> Result<()> {
        let mut last_key = Vec::new();
        while self.is_valid {
            if let Some(ended_at) = self.block.show_while(self.at, end, &mut take) {
                self.stand_on(ended_at);
                return Ok(());
            }
            last_key.clear();
            let last = self.block.entry(self.block.count() - 1);
            last_key.extend_from_slice(self.block.user_key(&last));
            self.enter_at_first(self.block_index + 1)?;
            while self.is_valid && *self.block.user_key(&self.entry) == *last_key {
                self.next()?;
            }
        }
        Ok(())
    }
}
