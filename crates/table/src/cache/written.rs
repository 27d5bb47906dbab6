//! Blocks of tables that are being written, for when those are open.
//!
//! A merge puts tables that nobody has read in the place of some that are read all the time: every
//! reader would begin with misses. And what a flush writes was in memory a moment ago. So whoever writes
//! a table may keep its blocks, as a cache keeps them, before they are compressed:
//!
//! ```text
//!   builder ──► provisional slots, 256 at a time ──► slots of the open table
//!                    │                     adopt
//!                    └─ blocks like any others: charged, and dropped by the hand
//! ```
//!
//! or take note of them, so that they are read once the table is open and the old ones are gone: kept at once
//! they would push those out while they are of use.
//!
//! What was kept of a table that is never opened is dropped with its [`WrittenBlocks`].

use std::collections::BTreeMap;
use std::sync::Arc;

use alluvium_base::FileNumber;
use alluvium_base::sync::Mutex;

use super::{BlockCache, MemoryUse, Reservation, Slots};
use crate::block::{Block, count_of};

/// Which blocks of new tables are for the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// None.
    Nothing,
    /// All of several entries, kept as long as no other block has to go: for what nobody has asked for yet.
    IfThereIsRoom,
    /// Those whose last entry comes from a cached block
    /// ([`is_cached`](alluvium_base::InternalIterator::is_cached)), to be
    /// [read](crate::Table::read_noted) in place of the old ones.
    WhatWasCached,
}

/// What is kept of the tables that one flush or compaction writes.
#[derive(Debug)]
pub struct WrittenBlocks {
    cache: Arc<BlockCache>,
    keep: Keep,
    /// Of tables that are written.
    tables: Mutex<BTreeMap<FileNumber, ProvisionalSlots>>,
}

/// The slots of a table that is being written: nobody knows yet how many there will be.
#[derive(Debug)]
pub(crate) struct ProvisionalSlots {
    cache: Arc<BlockCache>,
    keep: Keep,
    /// `None` where no block was kept.
    pieces: Vec<Option<Arc<Slots>>>,
    /// Memory for the pieces.
    memory: Reservation,
    /// Blocks to be read later.
    noted: Vec<u32>,
    /// How many blocks the table has so far, kept or not.
    count: usize,
}

/// A block of fewer entries is not kept though there is room: to copy it and to touch memory for it takes
/// as long as for a block of many, so a load of large values would take half as long again.
const FEWEST_ENTRIES: u32 = 8;

/// Slots of a piece: so few that it does not matter that a piece on its way into its table is not charged.
const PIECE: usize = 256;

impl WrittenBlocks {
    /// Nothing yet, to be kept in `cache`.
    pub fn new(cache: &Arc<BlockCache>, keep: Keep) -> Arc<Self> {
        Arc::new(Self { cache: Arc::clone(cache), keep, tables: Mutex::default() })
    }

    /// The slots of a new table.
    pub(crate) fn begin_table(&self) -> ProvisionalSlots {
        ProvisionalSlots {
            cache: Arc::clone(&self.cache),
            keep: self.keep,
            pieces: Vec::new(),
            memory: self.cache.reserve(MemoryUse::Buffers),
            noted: Vec::new(),
            count: 0,
        }
    }

    /// Table `number` is written, and can be opened.
    pub(crate) fn end_table(&self, number: FileNumber, slots: ProvisionalSlots) {
        self.tables.lock().insert(number, slots);
    }

    /// Moves what was kept of table `number` into its own slots.
    pub(crate) fn move_to(&self, number: FileNumber, slots: &Arc<Slots>) {
        if let Some(provisional) = self.tables.lock().get_mut(&number) {
            provisional.move_to(slots);
        }
    }

    /// The blocks of table `number` that are to be read, and are not noted any more.
    pub(crate) fn take_noted(&self, number: FileNumber) -> Vec<u32> {
        let provisional = self.tables.lock().remove(&number);
        provisional
            .map(|mut provisional| std::mem::take(&mut provisional.noted))
            .unwrap_or_default()
    }
}

impl ProvisionalSlots {
    /// The next block of the table, as the file will hold it: keeps it or not. `was_cached` says whether its
    /// last entry comes from a cached block.
    pub(crate) fn offer(&mut self, raw: &[u8], was_cached: bool) {
        let index = self.count;
        self.count += 1;
        match self.keep {
            Keep::IfThereIsRoom
                if count_of(raw) >= FEWEST_ENTRIES && self.cache.has_room_for(raw.len()) =>
            {
                let block = Block::built(raw).with_fences();
                let piece = self.piece(index / PIECE);
                self.cache.insert(&piece, index % PIECE, &block);
            }
            Keep::WhatWasCached if was_cached => self.noted.extend(u32::try_from(index)),
            Keep::Nothing | Keep::IfThereIsRoom | Keep::WhatWasCached => {}
        }
    }

    /// Piece `index`, which is made if there is none yet.
    fn piece(&mut self, index: usize) -> Arc<Slots> {
        self.pieces.resize(self.pieces.len().max(index + 1), None);
        let piece = self.pieces[index].get_or_insert_with(|| {
            let slots = Slots::new(PIECE);
            self.memory.set(self.memory.bytes() + slots.memory_bytes());
            slots
        });
        Arc::clone(piece)
    }

    /// Moves the blocks into the slots of the open table.
    fn move_to(&mut self, slots: &Arc<Slots>) {
        debug_assert_eq!(self.count, slots.count(), "a table has as many blocks as were offered");
        for (first, piece) in (0..).step_by(PIECE).zip(std::mem::take(&mut self.pieces)) {
            let Some(piece) = piece else { continue };
            let blocks: Vec<_> =
                (0..PIECE).map(|index| Option::clone(&piece.peek(index))).collect();
            self.cache.forget(&piece);
            drop(piece);
            for (index, block) in (first..).zip(blocks) {
                if let Some(block) = block {
                    // Not inserted anew.
                    self.cache.place(&mut self.cache.ring.lock(), slots, index, block);
                }
            }
        }
        self.memory.set(0);
    }
}

impl Drop for ProvisionalSlots {
    fn drop(&mut self) {
        self.pieces.iter().flatten().for_each(|piece| self.cache.forget(piece));
    }
}
