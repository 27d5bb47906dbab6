//! Seeded bugs: traps that other engines fell into, put back one at a time so that the tests can
//! prove that they would notice.
//!
//! A harness that never fails proves nothing. Each [`Bug`] is a line of product code done wrong,
//! behind [`is_planted`]; `cargo xtask torture seeded` plants one after the other and demands that a
//! layer of tests catches it.
//!
//! ```text
//!   cargo xtask torture seeded ─► plant(bug) ─► layer after layer ─► caught: which layer, how soon
//!                                                └► nothing found ─► a hole in the harness
//! ```
//!
//! Invariants:
//! - Without the feature `seeded-bugs`, [`is_planted`] is `false` at compile time: nothing of this
//!   is left in a release.
//! - With it, nothing is planted until `plant` is called: all other tests still pass.
//! - One bug at a time, for the whole process.

#[cfg(feature = "seeded-bugs")]
use std::sync::atomic::{AtomicU8, Ordering};

/// Declares [`Bug`] and its table: what is done wrong, the trap's number, where it happened.
macro_rules! bugs {
    ($($(#[doc = $what:literal])+ $name:ident, $trap:expr, $origin:literal;)+) => {
        /// A bug that can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $($(#[doc = $what])+ $name,)+
        }

        impl Bug {
            /// Every one there is.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// As the command line calls it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }

            /// What is done wrong, in a sentence.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$name => concat!($($what),+)),+ }
            }

            /// Its number among the thirty traps, unless it is one of our own.
            pub const fn trap(self) -> Option<u8> {
                match self { $(Self::$name => $trap),+ }
            }

            /// Which engine it happened to; empty for one of our own.
            pub const fn origin(self) -> &'static str {
                match self { $(Self::$name => $origin),+ }
            }
        }
    };
}

bugs! {
    /// The tables of an edit whose sync failed are removed, and then the edit turns up.
    FailedEditTablesRemoved, Some(1), "rocksdb 4990";
    /// Files in the folder that the manifest does not know are not counted: their numbers are used again.
    FileNumberReused, Some(2), "rocksdb 7621";
    /// A failed write of the manifest is not final: the next edit goes behind what it left.
    ManifestGoesOnBehindGarbage, Some(3), "rocksdb 6331";
    /// CURRENT is renamed, and its folder is not synced.
    CurrentNameUnsynced, Some(5), "rocksdb 10573";
    /// The manifest names a table before its folder is synced.
    TableNameUnsynced, Some(6), "rocksdb 14780";
    /// The old log segment is not synced at rotation: recovery has a hole.
    UnsyncedRotation, Some(7), "leveldb 193";
    /// A record that does not verify ends its segment, and replay goes on with the next one.
    ReplayGoesOn, Some(9), "pebble 864";
    /// Damage in the middle of the log is taken for a torn tail.
    DamageTakenForTornTail, Some(10), "fjall 311";
    /// The checksum of a log record leaves out its sequences and its watermark.
    ChecksumWithoutHeader, Some(11), "";
    /// A failed write of the log is not final: the next record goes behind what it left.
    LogGoesOnBehindGarbage, Some(12), "fjall 308";
    /// A failed write of the log is not final: its sequence is given to the next record.
    FailedSeqReused, Some(13), "rocksdb 12873";
    /// The result of a sync of the log is ignored.
    SyncResultIgnored, Some(14), "redis 8111";
    /// A memtable is flushed while writers are still at it.
    FlushBeforeLastInsert, Some(15), "slatedb 1857";
    /// A flush during replay says that the other keyspaces are flushed as well.
    ReplayFlushesForAll, Some(16), "slatedb 1625";
    /// Recovery seals a torn log before what it drops is gone: cut short, it leaves a log with a hole.
    SealedBeforeRemoval, Some(17), "redb";
    /// Compaction drops tombstones at any level.
    TombstonesDropped, Some(18), "rocksdb 2722, badger 2278";
    /// Compaction splits one key's versions over two tables.
    VersionsSplit, Some(19), "leveldb 320";
    /// A read takes its sequence before it pins the tables.
    SeqBeforeView, Some(21), "rocksdb 6973";
    /// Compaction takes an error of its input for the end.
    InputErrorUnchecked, Some(22), "rocksdb 11782";
    /// A filter leaves out a key of its table.
    FilterLeavesOutKey, Some(23), "rocksdb 4024";
    /// Dropping a keyspace is not logged.
    DropNotLogged, Some(24), "fjall 241";
    /// A block's memory is taken before its length is verified.
    UnverifiedLength, Some(25), "leveldb 1349";
    /// An open that finds the lock taken removes the lock.
    LockRemovedByLoser, Some(27), "rocksdb 1780";
    /// The memtable keeps the newest version of a key only.
    MemtableOverwrites, Some(28), "crossbeam 1023";
    /// A failed flush or compaction is tried again at once, for ever.
    RetryWithoutPause, Some(30), "pebble 908";

    /// A checkpoint's copy of the log is not synced.
    CheckpointUnsynced, None, "";
    /// `commit_then` calls back before the sync.
    CallbackBeforeSync, None, "";
    /// A failed sync of the log is tried again and believed.
    FailedSyncRetried, None, "";
    /// Recovery writes what a failed sync may have dropped to where it was.
    RenewedInPlace, None, "";
    /// A sync is reported before what an earlier process left unsynced is durable.
    SyncedBeforeSettled, None, "";
    /// The log goes on behind a sealed end as if all before it were durable.
    SealedTakenForDurable, None, "";
    /// An open reads log segments that are garbage.
    GarbageSegmentsRead, None, "";
    /// CURRENT is put in place before its content is synced.
    CurrentContentUnsynced, None, "";
    /// A log segment takes records before its name is durable.
    SegmentNameUnsynced, None, "";
    /// A memtable is declared flushed before the log is synced up to its end.
    FlushBeforeLogSync, None, "";
    /// A keyspace is created before the log is synced.
    CreateBeforeLogSync, None, "";
    /// A compaction's inputs are removed before the edit that replaces them.
    InputsRemovedBeforeEdit, None, "";
    /// The log is released up to what the foremost keyspace has flushed, not the hindmost.
    LogReleasedTooFar, None, "";
    /// A keyspace whose memtable waits to be flushed counts as flushed.
    WaitingMemtableForgotten, None, "";
    /// A memtable's filter does not know all keys.
    MemtableFilterIncomplete, None, "";
    /// A large batch, a memtable of its own, goes behind those with older writes.
    LargeBatchBehindOlder, None, "";
    /// A write is published before it is in the memtable.
    PublishBeforeInsert, None, "";
    /// A write is published before those that come before it.
    PublishOutOfOrder, None, "";
    /// A conditional write does not look again under the lock.
    ConditionNotRechecked, None, "";
    /// A snapshot stands one sequence too early.
    SnapshotTooEarly, None, "";
    /// A put into a stretch of keys that scans skip as dead does not cut it.
    DeadStretchNotCut, None, "";
    /// Compaction takes no notice of snapshots.
    SnapshotsForgotten, None, "";
    /// Compaction judges expiry by the present, though a snapshot stands in the past.
    ExpiryByTheWrongClock, None, "";
    /// Compaction sets sequences to zero above the bottom.
    SeqZeroedTooEarly, None, "";
    /// A compaction of L0 leaves out the oldest of the tables that overlap.
    OlderL0LeftOut, None, "";
    /// Of two versions of a key, a merge hands out the older one first.
    MergePrefersOlder, None, "";
    /// A block's checksum is not verified.
    BlockUnverified, None, "";
    /// A table's cursor steps over the last entry of a block.
    LastEntrySkipped, None, "";
    /// A backward seek that ends before a table does not go on in the table before it.
    BackwardSeekStops, None, "";
    /// The cache files a block under its neighbour's place.
    WrongBlockCached, None, "";
    /// A lookup in a level misses the last key of a table.
    LastKeyOfTableMissed, None, "";
}

#[cfg(feature = "seeded-bugs")]
static PLANTED: AtomicU8 = AtomicU8::new(NOTHING);

#[cfg(feature = "seeded-bugs")]
const NOTHING: u8 = u8::MAX;

/// Plants a bug in this process, instead of the one that was; `None` removes it.
#[cfg(feature = "seeded-bugs")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(NOTHING, |bug| bug as u8), Ordering::SeqCst);
}

/// The bug that is planted in this process.
#[cfg(feature = "seeded-bugs")]
pub fn planted() -> Option<Bug> {
    let number = PLANTED.load(Ordering::SeqCst);
    Bug::ALL.get(usize::from(number)).copied()
}

/// Whether this bug is to be made.
#[cfg(feature = "seeded-bugs")]
#[inline]
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.load(Ordering::Relaxed) == bug as u8
}

/// Whether this bug is to be made: never, for this is not a build with seeded bugs.
#[cfg(not(feature = "seeded-bugs"))]
#[inline]
pub const fn is_planted(_bug: Bug) -> bool {
    false
}
