//! Memory that others take from the cache's budget.
//!
//! A database has one budget, and cached blocks are what can be let go of at any time. So whoever
//! else holds much memory reserves it with the cache, which makes room at once:
//!
//! ```text
//!   budget │ memtables │ tables │ buffers │ cached blocks ─────────────► what is left │
//! ```
//!
//! A cache that has its budget to itself counts reservations all the same, and gives up nothing.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::BlockCache;

/// What memory is held for, cached blocks aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemoryUse {
    /// Writes that are in no table yet.
    Memtables,
    /// Indexes, filters and slots of open tables.
    Tables,
    /// Tables that are being written, and what is read ahead.
    Buffers,
}

/// How many bytes are reserved for each use. Figures of their own, that order nothing.
#[derive(Debug, Default)]
pub(super) struct Reserved([AtomicUsize; 3]);

impl Reserved {
    pub(super) fn of(&self, what: MemoryUse) -> usize {
        self.0[what as usize].load(Ordering::Relaxed)
    }

    pub(super) fn sum(&self) -> usize {
        self.0.iter().map(|bytes| bytes.load(Ordering::Relaxed)).sum()
    }
}

/// Memory taken from a cache's budget, for as long as this lives.
pub struct Reservation {
    cache: Arc<BlockCache>,
    what: MemoryUse,
    bytes: AtomicUsize,
}

impl Reservation {
    pub(super) const fn new(cache: Arc<BlockCache>, what: MemoryUse) -> Self {
        Self { cache, what, bytes: AtomicUsize::new(0) }
    }

    /// Holds `bytes` from now on. Where that is more than before, blocks are dropped to make room;
    /// where even that does not do, the budget is exceeded: what must be held must be held.
    pub fn set(&self, bytes: usize) {
        let reserved = &self.cache.reserved.0[self.what as usize];
        let before = self.bytes.swap(bytes, Ordering::Relaxed);
        if bytes > before {
            reserved.fetch_add(bytes - before, Ordering::Relaxed);
            self.cache.give_up();
        } else {
            reserved.fetch_sub(before - bytes, Ordering::Relaxed);
        }
    }

    /// How many bytes it holds.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("what", &self.what)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}
