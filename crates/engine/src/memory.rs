//! One budget for all the memory that a database holds.
//!
//! ```text
//!   budget │ memtables: half at most │ tables │ buffers │ cached blocks: what is left │
//! ```
//!
//! The block cache is the ledger ([`Reservation`](alluvium_table::Reservation)): what memtables, open
//! tables and buffers take is reserved there, and blocks give way. Memtables cannot be dropped, so they
//! are kept small instead: each to an eighth of the budget, all active ones to a quarter, and all
//! together to half of it, beyond which writers wait for a flush.
//!
//! What the budget cannot bound: batches and values in the hands of callers, and indexes and filters of
//! tables that are larger than all of it.

use std::sync::Arc;

use alluvium_memtable::MemtablePool;
use alluvium_table::{BlockCache, MemoryUse};
use serde::Serialize;

use crate::Result;
use crate::commit::Room;
use crate::core::{CommitState, Core};
use crate::options::{Builder, KeyspaceOptions};
use crate::stall::StallCause;
use crate::view::{ReadView, TreeView};

/// The least budget: below, there would be no room for what one flush takes.
const LEAST_BYTES: u64 = 8 << 20;
/// A memtable may take this part of the budget.
const ONE_MEMTABLE: u64 = 8;
/// All memtables that take writes may take this part of it together.
const ACTIVE_MEMTABLES: u64 = 4;
/// All memtables may take this part of it together.
const ALL_MEMTABLES: u64 = 2;
/// How often to look at memtables, in parts of the budget.
const LOOKS: u64 = 128;

/// The memory that a database holds, in bytes, as it accounts for it. Left out: what is in the hands
/// of callers, the log, which is mapped from files, and some kilobytes for each thread and table.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MemoryStats {
    /// What [`Builder::memory`] allows, if it was given.
    pub budget_bytes: Option<u64>,
    /// Writes that are in no table yet, and what is kept for those to come.
    pub memtable_bytes: u64,
    /// Indexes and filters of open tables.
    pub table_bytes: u64,
    /// Tables that are being written, and what is read ahead.
    pub buffer_bytes: u64,
    /// Cached blocks.
    pub block_bytes: u64,
}

impl MemoryStats {
    /// All of it, in bytes.
    pub const fn held_bytes(&self) -> u64 {
        self.memtable_bytes + self.table_bytes + self.buffer_bytes + self.block_bytes
    }
}

impl Builder {
    /// The cache that all keyspaces share, and the ledger.
    pub(crate) fn new_cache(&self) -> Arc<BlockCache> {
        match self.memory {
            Some(bytes) => BlockCache::shared(as_usize(bytes)),
            None => BlockCache::new(as_usize(self.cache_bytes)),
        }
    }

    /// What keeps the memory of a memtable for the next one: as much as one takes. Where memory is
    /// scarce, nothing: cached blocks are of more use.
    pub(crate) fn new_pool(&self) -> Arc<MemtablePool> {
        let one = self.default_keyspace.clone().unwrap_or_default().write_buffer_size;
        Arc::new(MemtablePool::new(if self.memory.is_some() { 0 } else { as_usize(one) }))
    }

    /// Refuses a budget that nothing could be kept within.
    pub(crate) fn check_memory(&self) -> Result<()> {
        if self.memory.is_some_and(|bytes| bytes < LEAST_BYTES) {
            return Err(crate::Error::invalid("memory must be at least 8 MiB"));
        }
        Ok(())
    }
}

fn as_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl KeyspaceOptions {
    /// The same, but for what would not fit into a budget of `memory` bytes.
    pub(crate) fn within(mut self, memory: Option<u64>) -> Self {
        if let Some(budget) = memory {
            let part = budget / ONE_MEMTABLE;
            self.write_buffer_size = self.write_buffer_size.min(part);
            // While a table is written, its filter takes memory by its size.
            self.target_file_size = self.target_file_size.min(part);
        }
        self
    }
}

impl Core {
    /// How much may be written before memtables are looked at, in bytes.
    pub(crate) fn look_bytes(&self, at_most: u64) -> u64 {
        self.memory.map_or(at_most, |budget| at_most.min(budget / LOOKS))
    }

    /// Reserves what memtables have come to take, and sets the largest aside when all together take
    /// their part of the budget. Must be called under the commit lock.
    pub(crate) fn keep_within_memory(&self, commit: &CommitState) -> Room {
        let view = self.view.load();
        view.trees().for_each(|tree| tree.active.reserve());
        let Some(budget) = self.memory else { return Room::Made };
        if self.must_free_memory(&view) {
            return Room::WaitFor(StallCause::Memtables);
        }
        let size = |tree: &&Arc<TreeView>| tree.active.memory.bytes() as u64;
        let active: u64 = view.trees().map(|tree| size(&tree)).sum();
        let is_scarce = active >= budget / ACTIVE_MEMTABLES || self.are_memtables_over(budget);
        if is_scarce && let Some(largest) = view.trees().max_by_key(size) {
            self.rotate(commit, largest.id);
        }
        Room::Made
    }

    /// Whether memtables take more than they may, and a flush will change that.
    pub(crate) fn must_free_memory(&self, view: &ReadView) -> bool {
        let is_over = self.memory.is_some_and(|budget| self.are_memtables_over(budget));
        is_over && view.trees().any(|tree| !tree.immutable.is_empty())
    }

    fn are_memtables_over(&self, budget: u64) -> bool {
        self.cache.reserved_bytes(MemoryUse::Memtables) as u64 >= budget / ALL_MEMTABLES
    }

    pub(crate) fn memory_stats(&self) -> MemoryStats {
        self.view.load().trees().for_each(|tree| tree.active.reserve());
        let of = |what| self.cache.reserved_bytes(what) as u64;
        MemoryStats {
            budget_bytes: self.memory,
            memtable_bytes: of(MemoryUse::Memtables) + self.memtables.pool.bytes() as u64,
            table_bytes: of(MemoryUse::Tables),
            buffer_bytes: of(MemoryUse::Buffers),
            block_bytes: self.cache.stats().used_bytes as u64,
        }
    }
}
