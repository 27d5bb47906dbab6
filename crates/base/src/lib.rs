//! What every other Alluvium crate is built from.
//!
//! Nothing here knows about logs, tables or levels. It holds the words they all share:
//!
//! | module | what it is |
//! |---|---|
//! | [`append`] | bytes that one thread appends and many read, at the same time |
//! | [`key`] | sequence numbers, kinds and internal keys: the one order of everything |
//! | [`batch`] | write batches: the atomic unit, encoded once |
//! | [`codec`] | little-endian integers and varints, decoded without trust |
//! | [`checksum`] | CRC-32 as every file of ours uses it |
//! | [`error`] | what can go wrong, sorted by what the caller can do |
//! | [`fs`] | the only way to a disk, so that a simulated one can take its place |
//! | [`clock`] | the only way to the time |
//! | [`memory`] | how much memory the system allows |
//! | [`priority`] | threads that give way to others |
//! | [`iterator`] | the cursor that memtables, tables and merges all are |
//! | [`merge`] | many cursors seen as one |
//! | [`sync`] | locks and threads, which a model checker can take the place of |
//! | [`seeded`] | bugs that other engines had, to be put back by tests that must catch them |

pub mod append;
pub mod batch;
pub mod checksum;
pub mod clock;
pub mod codec;
pub mod error;
pub mod fs;
pub mod iterator;
pub mod key;
pub mod memory;
pub mod merge;
pub mod prefetch;
pub mod priority;
pub mod seeded;
pub mod sync;

pub use batch::{BatchEntry, BatchReader, KeyspaceId, WriteBatch};
pub use bytes::{Bytes, BytesMut};
pub use clock::{Clock, SystemClock};
pub use error::{Corruption, Error, ErrorKind, Result};
pub use fs::{File, FileName, FileNumber, FileNumbers, Fs, MemFs, StdFs};
pub use iterator::{InternalIterator, Taken};
pub use key::{InternalKey, Kind, Seq};
pub use merge::MergingIterator;

/// Lengths on disk are `u64`, lengths in memory `usize`; the code converts freely between them.
const _: () = assert!(usize::BITS >= 64, "Alluvium needs a 64-bit target");
