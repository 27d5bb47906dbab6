//! Memory for blocks that are looked into once.
//!
//! A block that is not kept is read, unpacked, searched and forgotten within a few microseconds. Each
//! thread does that in the same two pieces of memory every time: they lie in the processor's caches,
//! and nobody has to find or clear others. One that is kept is read there, too, before it is unpacked.

use std::cell::Cell;

/// A piece that has grown beyond this is not kept, in bytes.
pub(crate) const MOST_BYTES: usize = 64 << 10;

/// Two pieces of memory with anything in them.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// For what is read.
    pub(crate) frame: Vec<u8>,
    /// For what is unpacked.
    pub(crate) block: Vec<u8>,
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// Hands this thread's memory to `work`.
pub(crate) fn with_scratch<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
    // Taken out, so that it does not matter who else comes by, or that the thread is ending.
    let mut scratch = SCRATCH.try_with(Cell::take).ok().flatten().unwrap_or_default();
    let result = work(&mut scratch);
    if scratch.frame.capacity().max(scratch.block.capacity()) <= MOST_BYTES {
        SCRATCH.try_with(|kept| kept.set(Some(scratch))).unwrap_or_default();
    }
    result
}
