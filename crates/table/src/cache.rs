//! Blocks in memory, found without a hash map.
//!
//! An open table has one [`Slot`](Slots) for each of its data blocks; a hit is a load of that slot
//! and a flag that says the block was used. What is shared by all tables is only the decision what
//! to drop: a ring of all cached blocks with a hand that goes round (the *clock*, or second-chance,
//! algorithm). It passes over a block that was used since the hand was last there or that a reader
//! still holds a value of, and drops one that neither is true of.
//!
//! ```text
//!   table A  slots │ ▣ │   │ ▣ │        ring, the hand at its front
//!                    ▲       ▲           ┌────────────────────────┐
//!                    └───────┼───────────┤ A0 1K │ B7 4K │ A2 4K … │ ◄─ new blocks
//!   table B  slots │   … ▣ … │           └────────────────────────┘
//! ```
//!
//! Which blocks come in at all, once there is no room, is decided in `admission`.
//!
//! Invariants, all kept under the ring's lock: a slot is filled only when it is empty, and emptied
//! only by the hand; so each filled slot of an open table has exactly one ring entry, and what is
//! used is the sum of the charges of those. A table that closes takes its whole charge back at once
//! and leaves *dead* entries in the ring, which weigh nothing and are swept when they outnumber the
//! living.

use std::collections::VecDeque;
use std::sync::atomic::{self as figures, AtomicU64};
use std::sync::{Arc, Weak};

use alluvium_base::prefetch::{LINE_BYTES, prefetch};
use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use alluvium_base::sync::{ArcSwapOption, Guard, Mutex};

use crate::block::{Block, End};

mod admission;
mod reservation;
mod written;

pub(crate) use admission::MissedBy;
pub use reservation::{MemoryUse, Reservation};
pub(crate) use written::ProvisionalSlots;
pub use written::{Keep, WrittenBlocks};

/// Keeps blocks of many tables in memory, within a budget of bytes.
#[derive(Debug)]
pub struct BlockCache {
    budget_bytes: usize,
    /// Whether reservations are taken from the budget.
    is_shared: bool,
    reserved: reservation::Reserved,
    /// Guards which blocks stay, never I/O. A leaf: nothing is locked under it.
    ring: Mutex<Ring>,
    counters: Box<[Counters]>,
}

/// What a cache has done, and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Lookups that found their block. Threads beyond the sixty-fourth may lose a few.
    pub hits: u64,
    /// Lookups that had to read it.
    pub misses: u64,
    /// Bytes ever put into the cache.
    pub inserted_bytes: u64,
    /// Bytes it holds now: blocks and what it takes to keep them.
    pub used_bytes: usize,
    /// Most bytes it may hold, together with what is reserved where the budget is shared.
    pub budget_bytes: usize,
    /// Blocks dropped to make room.
    pub evictions: u64,
}

/// A block and whether it was used since the hand passed. All in one cache line: a lookup that finds
/// nothing in the processor's caches waits for it once.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct CachedBlock {
    pub(crate) block: Block,
    is_used: AtomicBool,
}

/// Where one block of a table is, if it is cached.
#[derive(Debug, Default)]
struct Slot {
    block: ArcSwapOption<CachedBlock>,
    /// Where the block of late was, and its tags: hints that can be followed without holding it, to
    /// ask for cache lines ahead of their use and for nothing else.
    near: [figures::AtomicUsize; 2],
    /// When it was looked for in vain.
    last_miss: admission::LastMiss,
}

/// The cached blocks of one table.
#[derive(Debug)]
pub(crate) struct Slots {
    blocks: Box<[Slot]>,
    /// What its blocks are charged. Written under the ring's lock only.
    charged_bytes: AtomicUsize,
    /// How many they are. Written under the ring's lock only.
    block_count: AtomicUsize,
    /// Whether its table is closing: its ring entries are dead. Written under the ring's lock only.
    is_closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Ring {
    /// The hand is at the front.
    entries: VecDeque<RingEntry>,
    used_bytes: usize,
    /// How many entries belong to closed tables.
    dead_count: usize,
    inserted_bytes: u64,
    evictions: u64,
    /// How many misses there were that might not be kept, round and round.
    misses: u32,
}

#[derive(Debug)]
struct RingEntry {
    slots: Weak<Slots>,
    index: u32,
    charge: u32,
}

/// What a cached block takes beside its bytes: the allocation of [`CachedBlock`] and its counts,
/// the shared count of its bytes, its ring entry, and what an allocator adds to each.
const OVERHEAD_BYTES: usize = 224;

#[cfg(not(any(loom, shuttle)))]
const _: () = assert!(size_of::<CachedBlock>() == 64);

/// Shards of the counters: a power of two.
const SHARDS: usize = 64;

/// On a pair of cache lines of its own, since adjacent lines are fetched together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
}

/// Adds one, without the price of an atomic addition: the shard belongs to this thread alone, as
/// long as there are no more threads than shards.
#[inline]
fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

thread_local! {
    static SHARD: usize = {
        static NEXT: figures::AtomicUsize = figures::AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS
    };
}

impl Slots {
    pub(crate) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self {
            blocks: (0..count).map(|_| Slot::default()).collect(),
            charged_bytes: AtomicUsize::new(0),
            block_count: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
        })
    }

    /// The block in slot `index`, without saying that it was used.
    #[inline]
    pub(crate) fn peek(&self, index: usize) -> Guard<Option<Arc<CachedBlock>>> {
        self.blocks[index].block.load()
    }

    /// Asks for the cache line that [`ask_for_block`](Self::ask_for_block) reads.
    #[inline]
    pub(crate) fn ask_for_slot(&self, index: usize) {
        prefetch((&raw const self.blocks[index]).addr());
    }

    /// Asks for the cache lines that a lookup in block `index` begins with.
    #[inline]
    pub(crate) fn ask_for_block(&self, index: usize) {
        let [block, tags] = &self.blocks[index].near;
        prefetch(block.load(Ordering::Relaxed));
        let tags = tags.load(Ordering::Relaxed);
        prefetch(tags);
        // The offsets stand before the tags.
        prefetch(tags.wrapping_sub(LINE_BYTES));
    }

    /// Asks for the cache lines that a walk through block `index` begins with. Waits for the line that
    /// [`ask_for_block`](Self::ask_for_block) asks for.
    pub(crate) fn ask_for_entries(&self, index: usize, end: End) {
        if let Some(cached) = &*self.peek(index) {
            cached.block.ask_for_entries(end);
        }
    }

    /// How many there are.
    pub(crate) const fn count(&self) -> usize {
        self.blocks.len()
    }

    /// Bytes the slots take themselves.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.blocks)
    }
}

impl CachedBlock {
    /// Notes that the block was used. Written only when that is news, so that readers of a hot
    /// block do not fight for its cache line.
    #[inline]
    fn mark_used(&self) {
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
    }
}

impl CachedBlock {
    /// Whether it was used, for the last time.
    #[inline]
    fn take_used(&self) -> bool {
        let is_used = self.is_used.load(Ordering::Relaxed);
        if is_used {
            self.is_used.store(false, Ordering::Relaxed);
        }
        is_used
    }
}

impl BlockCache {
    /// An empty cache that never holds more than `budget_bytes`; with 0 it holds nothing.
    pub fn new(budget_bytes: usize) -> Arc<Self> {
        Self::with_budget(budget_bytes, false)
    }

    /// An empty cache that holds what [reservations](Reservation) leave of `budget_bytes`.
    pub fn shared(budget_bytes: usize) -> Arc<Self> {
        Self::with_budget(budget_bytes, true)
    }

    fn with_budget(budget_bytes: usize, is_shared: bool) -> Arc<Self> {
        let counters = (0..SHARDS).map(|_| Counters::default()).collect();
        let reserved = reservation::Reserved::default();
        Arc::new(Self { budget_bytes, is_shared, reserved, ring: Mutex::default(), counters })
    }

    /// A reservation of nothing yet.
    pub fn reserve(self: &Arc<Self>, what: MemoryUse) -> Reservation {
        Reservation::new(Arc::clone(self), what)
    }

    /// How many bytes are reserved for `what`.
    pub fn reserved_bytes(&self, what: MemoryUse) -> usize {
        self.reserved.of(what)
    }

    /// How many bytes blocks may take now.
    fn room(&self) -> usize {
        let taken = if self.is_shared { self.reserved.sum() } else { 0 };
        self.budget_bytes.saturating_sub(taken)
    }

    /// Whether a block of about so many bytes can be kept and all others, too.
    pub(crate) fn has_room_for(&self, block_bytes: usize) -> bool {
        self.ring.lock().used_bytes + block_bytes + OVERHEAD_BYTES <= self.room()
    }

    /// Drops blocks until they have room beside what is reserved.
    fn give_up(&self) {
        if self.is_shared {
            self.ring.lock().make_room(self.room());
        }
    }

    /// What it has done so far, and holds.
    pub fn stats(&self) -> CacheStats {
        let sum = |read: fn(&Counters) -> &AtomicU64| {
            self.counters.iter().map(|shard| read(shard).load(Ordering::Relaxed)).sum()
        };
        let ring = self.ring.lock();
        CacheStats {
            hits: sum(|shard| &shard.hits),
            misses: sum(|shard| &shard.misses),
            inserted_bytes: ring.inserted_bytes,
            used_bytes: ring.used_bytes,
            budget_bytes: self.budget_bytes,
            evictions: ring.evictions,
        }
    }

    #[inline]
    fn counters(&self) -> &Counters {
        &self.counters[SHARD.with(|shard| *shard)]
    }

    /// Counts a hit on `cached` and keeps it from the hand for one more round.
    #[inline]
    pub(crate) fn hit(&self, cached: &CachedBlock) {
        cached.mark_used();
        bump(&self.counters().hits);
    }

    /// Counts a lookup that has to read its block.
    pub(crate) fn miss(&self) {
        bump(&self.counters().misses);
    }

    /// Puts a block into slot `index`, unless another thread came first or it is larger than the
    /// whole budget. Drops others to make room.
    pub(crate) fn insert(&self, slots: &Arc<Slots>, index: usize, block: &Block) {
        let is_used = AtomicBool::new(false);
        let cached = Arc::new(CachedBlock { block: block.clone(), is_used });
        let mut ring = self.ring.lock();
        ring.inserted_bytes += self.place(&mut ring, slots, index, cached) as u64;
    }

    /// The same under the ring's lock: what the block is charged, or 0.
    fn place(
        &self,
        ring: &mut Ring,
        slots: &Arc<Slots>,
        index: usize,
        cached: Arc<CachedBlock>,
    ) -> usize {
        let bytes = cached.block.len() + OVERHEAD_BYTES;
        let (Ok(charge), Ok(entry_index)) = (u32::try_from(bytes), u32::try_from(index)) else {
            return 0;
        };
        // Asked for under the lock: whoever reserves more from here on makes room behind us.
        let Some(others) = self.room().checked_sub(bytes) else { return 0 };
        if slots.peek(index).is_some() {
            return 0;
        }
        let index = if is_planted(Bug::WrongBlockCached) { index / 2 } else { index };
        ring.make_room(others);
        let [block_at, tags_at] = &slots.blocks[index].near;
        block_at.store((&raw const *cached).addr(), Ordering::Relaxed);
        tags_at.store(cached.block.tags().as_ptr().addr(), Ordering::Relaxed);
        slots.blocks[index].block.store(Some(cached));
        slots.charged_bytes.fetch_add(bytes, Ordering::Relaxed);
        slots.block_count.fetch_add(1, Ordering::Relaxed);
        ring.used_bytes += bytes;
        let slots = Arc::downgrade(slots);
        ring.entries.push_back(RingEntry { slots, index: entry_index, charge });
        bytes
    }

    /// Takes back what a closing table was charged. Nobody else may use `slots` any more.
    pub(crate) fn forget(&self, slots: &Slots) {
        let mut ring = self.ring.lock();
        slots.is_closed.store(true, Ordering::Relaxed);
        ring.used_bytes -= slots.charged_bytes.swap(0, Ordering::Relaxed);
        ring.dead_count += slots.block_count.swap(0, Ordering::Relaxed);
        if ring.dead_count > ring.entries.len() / 2 {
            ring.entries.retain(|entry| entry.owner().is_some());
            let roomy = 2 * ring.entries.len();
            ring.entries.shrink_to(roomy);
            ring.dead_count = 0;
        }
    }
}

impl RingEntry {
    /// The slots of its table, unless that is closed.
    fn owner(&self) -> Option<Arc<Slots>> {
        self.slots.upgrade().filter(|slots| !slots.is_closed.load(Ordering::Relaxed))
    }
}

impl Ring {
    /// Moves the hand until no more than `most_bytes` are used.
    fn make_room(&mut self, most_bytes: usize) {
        // Two rounds clear every flag and drop every block; only readers that keep setting flags
        // could send the hand round for ever, so after that many it no longer heeds them.
        let mut heeded = 2 * self.entries.len();
        while self.used_bytes > most_bytes {
            let entry = self.entries.pop_front().expect("what is used has ring entries");
            let Some(slots) = entry.owner() else {
                self.dead_count -= 1;
                continue;
            };
            let slot = &slots.blocks[entry.index as usize].block;
            // To drop what a reader holds would give no memory back.
            let is_used = slot
                .load()
                .as_ref()
                .is_some_and(|cached| cached.take_used() || cached.block.is_held());
            if is_used && heeded > 0 {
                heeded -= 1;
                self.entries.push_back(entry);
                continue;
            }
            slot.store(None);
            let charge = entry.charge as usize;
            slots.charged_bytes.fetch_sub(charge, Ordering::Relaxed);
            slots.block_count.fetch_sub(1, Ordering::Relaxed);
            self.used_bytes -= charge;
            self.evictions += 1;
        }
    }
}

#[cfg(all(test, loom))]
mod models;
#[cfg(test)]
mod tests;
