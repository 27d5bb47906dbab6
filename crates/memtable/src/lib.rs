//! The sorted write buffer of Alluvium: a concurrent skiplist.
//!
//! A memtable takes every write of a keyspace until it is full, answers reads meanwhile, and is
//! then read once from end to end to become a table. Small entries are copied side by side; a large
//! one is a key and a value *inside* an encoded write batch, which it keeps alive:
//!
//! ```text
//!   write batch   [count│put k1 v1│put k9 v9│delete k4]      one buffer, also the log's payload
//!                          ▲        ▲          ▲
//!   memtable        k1#7 ──┘  k4#9 ─┼──────────┘  k9#8        internal key order
//!                                   └───────────────┘
//! ```
//!
//! Invariants:
//!
//! - (user key, sequence) is unique, so nothing is ever overwritten or removed. A concurrent
//!   skiplist that replaces nothing cannot hide a key from a reader that comes by meanwhile
//!   (crossbeam issue 1023).
//! - An entry is seen by every lookup that starts after its insertion returned.
//! - Memory is accounted as it is taken, by a model that a test holds against an allocator.
//!
//! | module | what it is |
//! |---|---|
//! | [`memtable`] | the traits: what the engine sees |
//! | [`packed`] | sorted leaves of entries, indexed by a skiplist: the fast one |
//! | [`skiplist`] | one skiplist node per entry: the plain one |
//! | [`sorted`] | writes that came all together, sorted at once: takes no others |
//! | `filter` | which keys are surely not there |
//! | `leaf` | a sorted run of entries in a few cache lines |
//! | `entries` | where entries are kept: small ones copied side by side |
//! | `table` | a growing list whose items never move |
//! | `place` | where an entry belongs, and the entry itself |
//! | `cursor` | an owned cursor over any memtable that takes writes |
//! | `pool` | memory of memtables that are gone, for those to come |
//! | `ledger` | how many bytes, how many entries, which sequences |

mod cursor;
mod entries;
mod filter;
mod leaf;
mod ledger;
pub mod memtable;
pub mod packed;
mod place;
mod pool;
pub mod skiplist;
pub mod sorted;
mod table;

pub use memtable::{MemEntry, Memtable, WritableMemtable};
pub use packed::PackedMemtable;
pub use pool::MemtablePool;
pub use skiplist::SkiplistMemtable;
pub use sorted::{SortedEntry, SortedMemtable};
