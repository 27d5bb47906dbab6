//! Which blocks are worth keeping, once the cache is full.
//!
//! Where more is read than fits, most blocks that come in are pushed out before anybody asks for them
//! again; to keep such a block costs more than to read it, and pushes out another one. So a block that
//! was missed is kept if it was missed not long ago as well:
//!
//! ```text
//!   misses   A  B  C  B  D  E  F  …  A
//!               └─────┘                  kept: at most half as many misses as there are cached blocks
//!            └────────────────────────┘  not kept: a block as rare would hardly stay anyway
//! ```
//!
//! What is read once, by a long scan for one, thereby leaves alone what is read often. The number of
//! misses in between is the block's *reuse distance*; where blocks are asked for with lasting
//! frequencies, those of short distances are the frequent ones (Jiang and Zhang, *LIRS*, 2002).
//!
//! While there is room, every block is kept that a lookup or the beginning of a scan asks for. What a long
//! scan passes over is kept the second time: to keep it takes several times as long as to read it, and
//! most long scans are made once. And one miss in [`LUCKY`] is kept for luck, so that a cache
//! full of what nobody wants any more fills with what is wanted now, however long the loop in which it is
//! read. What was measured, other parts among it, is in `docs/decisions/0020`.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{BlockCache, OVERHEAD_BYTES, Slots};

/// When a block was missed last, as a number of misses; 0 for never. A figure that orders nothing:
/// where it is wrong, a block is kept or not.
#[derive(Debug, Default)]
pub(super) struct LastMiss(AtomicU32);

/// A block is kept when two misses of it are at most this part of the cached blocks' number apart.
const PART: u32 = 2;
/// One miss of so many is kept whatever its block.
pub(super) const LUCKY: u32 = 32;

/// Who misses a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MissedBy {
    /// Somebody who wants this block.
    Lookup,
    /// Somebody who passes over many.
    LongScan,
}

impl BlockCache {
    /// Whether block `index`, which takes about `block_bytes` and was missed, is worth keeping.
    pub(crate) fn admits(
        &self,
        slots: &Slots,
        index: usize,
        block_bytes: usize,
        by: MissedBy,
    ) -> bool {
        let mut ring = self.ring.lock();
        let has_room = ring.used_bytes + block_bytes + OVERHEAD_BYTES <= self.room();
        if has_room && by == MissedBy::Lookup {
            return true;
        }
        // It may come round: then a block is kept that should not be.
        ring.misses = ring.misses.wrapping_add(1).max(1);
        let now = ring.misses;
        let blocks = u32::try_from(ring.entries.len() - ring.dead_count).unwrap_or(u32::MAX);
        drop(ring);
        let last = slots.blocks[index].last_miss.0.swap(now, Ordering::Relaxed);
        if has_room {
            return last != 0;
        }
        let is_again = last != 0 && now.wrapping_sub(last) <= blocks / PART;
        is_again || now.is_multiple_of(LUCKY)
    }
}
