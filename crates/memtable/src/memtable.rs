//! The traits: what the engine sees of a memtable, and of one that takes writes.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use alluvium_base::{Bytes, InternalIterator, Kind, Seq};

/// What a point lookup finds: the newest version a reader sees, whatever it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemEntry {
    /// The write's place in the order.
    pub seq: Seq,
    /// What the write does: a tombstone is found like any other entry.
    pub kind: Kind,
    /// The stored value, a copy or a slice of its batch: for [`Kind::PutExpiring`] the expiry comes first.
    pub value: Bytes,
}

/// A sorted buffer of writes that many threads read at once.
///
/// No method fails: what can go wrong with an entry is checked when its batch is built or read.
pub trait Memtable: Send + Sync + Debug {
    /// Whether it may hold a key with this hash ([`hash_key`](alluvium_base::key::hash_key)): "no" is
    /// certain for all entries whose insertion returned before the call.
    fn may_contain(&self, _key_hash: u64) -> bool {
        true
    }

    /// Asks for the cache line that [`may_contain`](Self::may_contain) reads.
    fn ask_for_filter(&self, _key_hash: u64) {}

    /// The newest version of `user_key` at or before `at`. Allocates for its
    /// value at most.
    fn get(&self, user_key: &[u8], at: Seq) -> Option<MemEntry>;

    /// A cursor over all entries, standing on none. It owns its share of the memtable and may go
    /// to another thread. Entries inserted while it moves may be seen or missed, never out of
    /// order; those inserted before the call are all seen. Keys and values are copied only into handles.
    fn iter(self: Arc<Self>) -> Box<dyn InternalIterator>;

    /// Bytes of memory it holds: its nodes, what it copied, and its share of each batch, in
    /// proportion to the bytes of its entries there. Within 10 % of what an allocator hands out for batches without spare
    /// capacity; one atomic load.
    fn memory_bytes(&self) -> usize;

    /// How many entries it has.
    fn entry_count(&self) -> usize;

    /// Whether it has no entries.
    fn is_empty(&self) -> bool {
        self.entry_count() == 0
    }

    /// The lowest and the highest sequence inserted, or `None` when it is empty. Exact once no
    /// insertion is under way.
    fn seq_range(&self) -> Option<(Seq, Seq)>;
}

/// A memtable that many threads fill while others read it.
pub trait WritableMemtable: Memtable {
    /// Adds the entry whose user key and stored value are these ranges of `batch`, which it keeps
    /// alive or copies them from. It is seen by every call that starts after this one returned.
    ///
    /// # Panics
    /// When (user key, `seq`) is there already, a range does not lie in `batch`, or `batch` is
    /// larger than 4 GiB (a write batch is at most 1 GiB).
    fn insert(&self, batch: &Bytes, key: Range<usize>, value: Range<usize>, seq: Seq, kind: Kind);
}
