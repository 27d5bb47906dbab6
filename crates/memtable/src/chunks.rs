//! Small entries, copied side by side.
//!
//! An entry that keeps its whole write batch alive costs an allocation that lives as long as the
//! memtable, and is freed one by one when that is dropped. For large batches it is worse: each takes
//! memory that the kernel has to clear, which was a quarter of all time. So a small entry is copied, and
//! the memory of its batch serves the next one at once:
//!
//! ```text
//!   chunk   │ key value │ key value │ key value │ …        an entry's share is a slice of it
//! ```
//!
//! Chunks grow, so that a small memtable stays small. A value that a reader holds keeps its chunk
//! alive, which is why they do not grow far.

use alluvium_base::sync::Mutex;
use alluvium_base::{Bytes, BytesMut};

use crate::ledger::allocated;
use crate::pool::MemtablePool;

/// An entry up to this long is copied; a longer one keeps its batch alive.
pub(crate) const MOST_COPIED_BYTES: usize = 2 << 10;

const FIRST_CHUNK_BYTES: usize = 1 << 10;
pub(crate) const LARGEST_CHUNK_BYTES: usize = 16 << 10;

/// What counts the owners of a chunk.
const CHUNK_HEADER_BYTES: usize = allocated(5 * size_of::<usize>());

/// Where the next small entry is copied to.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    current: Mutex<Chunk>,
}

#[derive(Debug)]
struct Chunk {
    /// What is free of it.
    free: BytesMut,
    next_bytes: usize,
    /// Whether it is of the largest size.
    is_largest: bool,
    /// What is left of full chunks of the largest size.
    rests: Vec<BytesMut>,
}

impl Default for Chunk {
    fn default() -> Self {
        Self {
            free: BytesMut::new(),
            next_bytes: FIRST_CHUNK_BYTES,
            is_largest: false,
            rests: Vec::new(),
        }
    }
}

impl Chunks {
    /// Copies a key and its value, one behind the other, no more than [`MOST_COPIED_BYTES`] together.
    /// Answers the copy and the memory that was taken for it: mostly none, now and then a chunk.
    #[inline]
    pub(crate) fn copy(&self, key: &[u8], value: &[u8], pool: &MemtablePool) -> (Bytes, usize) {
        let bytes = key.len() + value.len();
        let mut chunk = self.current.lock();
        let mut taken_bytes = 0;
        if chunk.free.capacity() < bytes {
            taken_bytes = chunk.renew(bytes, pool);
        }
        chunk.free.extend_from_slice(key);
        chunk.free.extend_from_slice(value);
        (chunk.free.split().freeze(), taken_bytes)
    }
}

impl Chunks {
    /// Leaves its memory to `pool`.
    pub(crate) fn leave_to(&self, pool: &MemtablePool) {
        let Chunk { free, is_largest, rests, .. } = std::mem::take(&mut *self.current.lock());
        pool.keep_chunks(rests.into_iter().chain(is_largest.then_some(free)));
    }
}

impl Chunk {
    #[cold]
    fn renew(&mut self, bytes: usize, pool: &MemtablePool) -> usize {
        let capacity = self.next_bytes.max(bytes);
        let pooled = if capacity == LARGEST_CHUNK_BYTES { pool.take_chunk() } else { None };
        let next = pooled.unwrap_or_else(|| BytesMut::with_capacity(capacity));
        let rest = std::mem::replace(&mut self.free, next);
        if self.is_largest {
            self.rests.push(rest);
        }
        self.is_largest = capacity == LARGEST_CHUNK_BYTES;
        self.next_bytes = (2 * self.next_bytes).min(LARGEST_CHUNK_BYTES);
        allocated(capacity) + CHUNK_HEADER_BYTES
    }
}
