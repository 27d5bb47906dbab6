//! Lookups step by step, for whoever has many of them.

use alluvium_base::{Result, Seq};

use super::{Table, TableEntry};
use crate::block::tag_of;

/// Where in a table a key may be. A lookup waits for one cache line after the other; whoever has many
/// to do takes each step for all of them before the next, and the lines come side by side.
#[derive(Clone, Copy, Debug)]
pub struct Located<'a> {
    pub(super) table: &'a Table,
    pub(super) block: usize,
    pub(super) key_hash: u64,
}

impl Located<'_> {
    /// Asks for the block's cache lines, if it is cached: the second step.
    #[inline]
    pub fn ask_for_block(&self) {
        self.table.slots.ask_for_block(self.block);
    }

    /// Asks for the entry's cache line, if the block is cached: the third step.
    #[inline]
    pub fn ask_for_entry(&self) {
        if let Some(cached) = self.table.slots.peek(self.block).as_ref() {
            cached.block.ask_for_entry(tag_of(self.key_hash));
        }
    }

    /// The last step: as [`Table::get`], for the key that was located.
    #[inline]
    pub fn get(&self, user_key: &[u8], at: Seq) -> Result<Option<TableEntry>> {
        self.table.get_from_block(self.block, user_key, tag_of(self.key_hash), at)
    }
}
