//! An LSM-tree storage engine: fast, safe, and written to be read.
//!
//! Writes go to a **log** and a concurrent skiplist **memtable**, which flushes into leveled,
//! filtered, compressed **tables** tracked by a **manifest**, with a **compaction** scheduler and
//! merging iterators for reads and scans. A database holds far more data than memory and loses no
//! acknowledged write.
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path();
//! use alluvium::{Db, KeyspaceOptions, Persist, Read};
//!
//! let db = Db::open(path)?;                                // a folder; made if need be
//! db.insert("a", "1")?;
//! assert_eq!(db.get("a")?.as_deref(), Some(&b"1"[..]));
//! db.remove("a")?;
//!
//! let users = db.keyspace("users", KeyspaceOptions::default())?;
//! let mut batch = db.batch();
//! batch.insert(&users, "id:7", "Ada").remove(&db.default_keyspace(), "draft:7");
//! batch.commit(Persist::Sync)?;                            // atomic, durable on return
//!
//! let then = db.snapshot();                                // a consistent past
//! users.insert("id:8", "Grace")?;
//! assert_eq!(then.of(&users).range("id:1".."id:9").count(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What survives what
//!
//! | a write that returned with | the process dies | the power fails |
//! |---|---|---|
//! | [`Persist::Buffer`] (the default, as in RocksDB and fjall) | survives | may be lost, with all after it |
//! | [`Persist::Sync`] | survives | survives |
//!
//! What is found after a crash is always a prefix of the order of writes, batches whole, across all
//! keyspaces. [`Builder::default_persist`] changes the default.
//!
//! # Where to look
//!
//! [`Db`] opens, [`Keyspace`] writes, [`Batch`] writes together, [`Read`] reads, [`Snapshot`] keeps
//! a past, [`Builder`] and [`KeyspaceOptions`] choose, [`Stats`] tells, [`check`](check()) verifies,
//! [`repair`](repair()) saves what can be saved, [`ErrorKind`] says what a caller can do.

mod background;
mod batch;
mod check;
mod checkpoint;
mod commit;
mod compact;
mod core;
mod db;
mod dead_stretches;
mod durable;
mod flush;
mod folder;
mod gather;
mod get;
mod get_many;
mod keyspace;
mod keyspaces;
mod memory;
mod options;
mod options_file;
mod publish;
mod range;
mod read;
mod read_debt;
mod recovery;
mod recovery_budget;
mod repair;
mod replay;
mod resolve;
mod scan;
mod schedule;
mod snapshot;
mod source;
mod split;
mod stall;
mod stats;
mod survey;
mod unsettled;
mod view;

pub use alluvium_base::{Bytes, Clock, Corruption, Error, ErrorKind, Result, Seq};
pub use batch::Batch;
pub use check::{CheckReport, Depth, check};
pub use db::{DEFAULT_KEYSPACE, Db};
pub use keyspace::{Condition, Keyspace, Put};
pub use memory::MemoryStats;
pub use options::{Background, Builder, Compression, Filter, KeyspaceOptions, LogMode, Persist};
pub use range::KeyRange;
pub use read::{Expiry, Read, ReadSource};
pub use repair::{
    FileFate, Knowledge, Loss, LostKeys, OptionsSource, RepairOptions, RepairReport, RepairedFile,
    RepairedKeyspace, repair,
};
pub use scan::{KeyValue, Scan, Visit};
pub use snapshot::{Snapshot, SnapshotView};
pub use stall::{StallCause, StallStats};
pub use stats::{CacheStats, KeyspaceStats, LevelStats, LogStats, Stats, TableStats, WriteStats};

/// The disks a database can live on: the operating system's, one in memory, or your own.
pub mod fs {
    pub use alluvium_base::fs::{File, Fs, LockGuard, Mapping, MemFs, StdFs};
}

/// The README's example is compiled and run like any other.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
