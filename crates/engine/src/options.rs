//! What can be chosen when a database or a keyspace is opened, each with its unit and default.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alluvium_base::memory;
use alluvium_base::{Clock, Fs, StdFs, SystemClock};
use alluvium_compaction::CompactionOptions;
use alluvium_manifest::{Level, REWRITE_MIN_BYTES};
use alluvium_table::{FilterKind, TableOptions};
use alluvium_wal::{WalMode, WalOptions};
use serde::{Deserialize, Serialize};

use crate::db::Db;
use crate::{Error, Result};

const MIB: u64 = 1 << 20;

/// How far a write has gone when the call returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Persist {
    /// The operating system has it: it survives the death of the process, not the loss of power.
    #[default]
    Buffer,
    /// The disk has it: it survives the loss of power.
    Sync,
}

/// How blocks are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Compression {
    /// Not at all.
    None,
    /// With LZ4, unless a block does not shrink by an eighth.
    #[default]
    Lz4,
}

/// What spares a lookup the tables that do not hold its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Filter {
    /// No filter: smaller files, more reads.
    None,
    /// A Bloom filter in which a lookup touches one cache line.
    Blocked {
        /// Bits a key; 10 err in about 1 of 100 lookups.
        bits_per_key: u8,
    },
    /// The textbook Bloom filter: fewer errors a bit, more cache lines.
    Standard {
        /// Bits a key; 10 err in about 1 of 120 lookups.
        bits_per_key: u8,
    },
}

impl Filter {
    fn bits_per_key(self) -> Option<u8> {
        match self {
            Self::None => None,
            Self::Blocked { bits_per_key } | Self::Standard { bits_per_key } => Some(bits_per_key),
        }
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::Blocked { bits_per_key: 10 }
    }
}

/// Options of one keyspace; stored with it when it is created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyspaceOptions {
    /// Size at which a memtable is set aside and flushed, in bytes. Default 64 MiB, or a sixteenth
    /// of the memory that the system lets the process have, whichever is less.
    pub write_buffer_size: u64,
    /// Memtables held at once, the active one included, before writes wait for a flush.
    /// Default 3.
    pub max_write_buffers: usize,
    /// Size of a data block before compression, in bytes. Default 4 KiB.
    pub block_size: usize,
    /// Compression of the tables of each level, L0 first; deeper levels use the last one given.
    /// Default LZ4 everywhere.
    pub compression: Vec<Compression>,
    /// Filter of new tables. Default a blocked one with 10 bits a key.
    pub filter: Filter,
    /// Tables in L0 at which they are compacted. Default 4.
    pub l0_trigger: usize,
    /// Tables in L0 from which writes are slowed, the more the nearer to `l0_stop`. Default 12.
    pub l0_slowdown: usize,
    /// Tables in L0 at which writes wait. Default 36.
    pub l0_stop: usize,
    /// Size of the first level below L0, in bytes. Default 256 MiB.
    pub level_base_bytes: u64,
    /// How many times larger each level is than the one above. Default 10.
    pub level_multiplier: u64,
    /// Size at which compaction begins another table, in bytes. Default 64 MiB.
    pub target_file_size: u64,
}

impl Default for KeyspaceOptions {
    fn default() -> Self {
        let memory = memory::limit_bytes().unwrap_or(u64::MAX);
        Self {
            write_buffer_size: (64 * MIB).min(memory / 16).max(MIB),
            max_write_buffers: 3,
            block_size: 4096,
            compression: vec![Compression::Lz4],
            filter: Filter::default(),
            l0_trigger: 4,
            l0_slowdown: 12,
            l0_stop: 36,
            level_base_bytes: 256 * MIB,
            level_multiplier: 10,
            target_file_size: 64 * MIB,
        }
    }
}

impl KeyspaceOptions {
    /// Refuses values that make no sense, each with the range that does.
    pub(crate) fn check(&self) -> Result<()> {
        let rules = [
            (self.write_buffer_size >= 1, "write_buffer_size must be at least 1 byte"),
            (self.max_write_buffers >= 2, "max_write_buffers must be at least 2"),
            (
                (64..=16 << 20).contains(&self.block_size),
                "block_size must be from 64 bytes to 16 MiB",
            ),
            (!self.compression.is_empty(), "compression needs one entry at least"),
            (self.l0_trigger >= 1, "l0_trigger must be at least 1"),
            (
                self.l0_trigger <= self.l0_slowdown && self.l0_slowdown < self.l0_stop,
                "l0_trigger, l0_slowdown and l0_stop must rise in this order",
            ),
            (
                self.filter.bits_per_key().is_none_or(|bits| (1..=32).contains(&bits)),
                "a filter needs from 1 to 32 bits per key: Filter::None has none",
            ),
            (self.level_base_bytes >= 1, "level_base_bytes must be at least 1 byte"),
            (
                (2..=1000).contains(&self.level_multiplier),
                "level_multiplier must be from 2 to 1000",
            ),
            (self.target_file_size >= 1, "target_file_size must be at least 1 byte"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(Error::invalid(rule)),
            None => Ok(()),
        }
    }

    pub(crate) fn compaction(&self) -> CompactionOptions {
        CompactionOptions {
            l0_trigger: self.l0_trigger,
            level_base_bytes: self.level_base_bytes,
            level_multiplier: self.level_multiplier,
            target_file_size: self.target_file_size,
            max_compaction_bytes: self.target_file_size.saturating_mul(25),
        }
    }

    pub(crate) fn table(&self, level: Level) -> TableOptions {
        let at = usize::from(level.0).min(self.compression.len() - 1);
        TableOptions {
            block_size: self.block_size,
            compression: match self.compression[at] {
                Compression::None => alluvium_table::Compression::None,
                Compression::Lz4 => alluvium_table::Compression::Lz4,
            },
            filter: match self.filter {
                Filter::None => FilterKind::None,
                Filter::Blocked { bits_per_key } => FilterKind::Blocked { bits_per_key },
                Filter::Standard { bits_per_key } => FilterKind::Standard { bits_per_key },
            },
        }
    }
}

/// How log segments are written.
///
/// When the disk itself is gone (pulled out, or turned read-only by the kernel), a buffered log
/// answers with an error and the database is poisoned; a mapped one cannot answer, and the kernel
/// ends the process with SIGBUS. Nothing acknowledged is lost by either. A process that must
/// outlive its disk, or whose folder is an overlay on a copying file system (btrfs, ZFS), which may
/// do the same when it is full, takes [`Buffered`](Self::Buffered).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LogMode {
    /// Mapped where the file system allows it and writes in place, buffered elsewhere.
    #[default]
    Auto,
    /// Copied into a shared mapping of the segment.
    Mapped,
    /// Written with one `write` call a record.
    Buffered,
}

/// Who flushes and compacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Background {
    /// One thread flushes, this many compact. Default 1 on up to two cores, 2 on more.
    Threads(usize),
    /// Nobody but [`Db::step`] and writers that would otherwise wait: for tests that must be the
    /// same each time.
    Manual,
}

/// Options of a database, then [`open`](Builder::open).
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// use alluvium::{Db, Persist};
/// let db = Db::builder(dir.path()).cache_bytes(32 << 20).default_persist(Persist::Sync).open()?;
/// db.insert("a", "1")?; // on the disk when the call returns
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is opened until `open`"]
pub struct Builder {
    pub(crate) dir: PathBuf,
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) create_if_missing: bool,
    pub(crate) cache_bytes: u64,
    pub(crate) default_persist: Persist,
    pub(crate) default_keyspace: Option<KeyspaceOptions>,
    pub(crate) log_mode: LogMode,
    pub(crate) log_segment_size: u64,
    pub(crate) max_log_bytes: u64,
    pub(crate) max_copied_log_bytes: u64,
    pub(crate) recovery_budget: Option<Duration>,
    pub(crate) background: Background,
    pub(crate) max_manifest_bytes: u64,
}

impl Builder {
    pub(crate) fn new(dir: PathBuf) -> Self {
        let memory = memory::limit_bytes().unwrap_or(u64::MAX);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            dir,
            fs: Arc::new(StdFs),
            clock: Arc::new(SystemClock::new()),
            create_if_missing: true,
            cache_bytes: (128 * MIB).min(memory / 8),
            default_persist: Persist::Buffer,
            default_keyspace: None,
            log_mode: LogMode::Auto,
            log_segment_size: (64 * MIB).min(memory / 16).max(MIB),
            max_log_bytes: 512 * MIB,
            max_copied_log_bytes: MIB,
            recovery_budget: None,
            background: Background::Threads(if cores > 2 { 2 } else { 1 }),
            max_manifest_bytes: REWRITE_MIN_BYTES,
        }
    }

    /// Opens the database.
    ///
    /// # Errors
    /// [`Locked`](crate::ErrorKind::Locked) when it is open elsewhere,
    /// [`Corrupt`](crate::ErrorKind::Corrupt) when a file is damaged,
    /// [`Version`](crate::ErrorKind::Version) when another release wrote it,
    /// [`Invalid`](crate::ErrorKind::Invalid) when an option makes no sense or there is no database
    /// and [`create_if_missing`](Self::create_if_missing) is off,
    /// [`Io`](crate::ErrorKind::Io) when the operating system refuses.
    pub fn open(self) -> Result<Db> {
        Db::open_with(self)
    }

    /// Whether an empty or missing folder becomes a new database. Default yes.
    pub fn create_if_missing(mut self, create: bool) -> Self {
        self.create_if_missing = create;
        self
    }

    /// Memory for cached blocks of all keyspaces, in bytes. Default 128 MiB, or an eighth of the
    /// memory that the system lets the process have, whichever is less.
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// How far a write has gone when the call returns, unless the call itself says so. Default
    /// [`Persist::Buffer`].
    pub fn default_persist(mut self, persist: Persist) -> Self {
        self.default_persist = persist;
        self
    }

    /// Options of the default keyspace. Given, they hold from this open on; not given, the stored
    /// ones do.
    pub fn default_keyspace(mut self, options: KeyspaceOptions) -> Self {
        self.default_keyspace = Some(options);
        self
    }

    /// How log segments are written. Default [`LogMode::Auto`].
    pub fn log_mode(mut self, mode: LogMode) -> Self {
        self.log_mode = mode;
        self
    }

    /// Size of a log segment, in bytes. Default 64 MiB, or a sixteenth of the memory that the
    /// system lets the process have, whichever is less.
    pub fn log_segment_size(mut self, bytes: u64) -> Self {
        self.log_segment_size = bytes;
        self
    }

    /// Size of the whole log at which the keyspace that holds back its oldest part is flushed, in
    /// bytes: an idle keyspace cannot make the log grow without bound. Default 512 MiB.
    pub fn max_log_bytes(mut self, bytes: u64) -> Self {
        self.max_log_bytes = bytes;
        self
    }

    /// How long the next open may take to replay the log, about: keyspaces are flushed, idle ones
    /// too, before the log gets longer than this machine replays in that time. How fast that is,
    /// this open finds out by a try of some milliseconds. The log is never held shorter than 4 MiB,
    /// and with a short budget memtables may be flushed before they are full. Default none.
    pub fn recovery_budget(mut self, budget: Duration) -> Self {
        self.recovery_budget = Some(budget);
        self
    }

    /// How much at the end of the log, in bytes, is copied within `open` when nothing says that it is
    /// durable: the last process died without a sync. A longer end is flushed to tables instead, in
    /// the background; what asks for [`Persist::Sync`] meanwhile waits for that. Default 1 MiB.
    pub fn max_copied_log_bytes(mut self, bytes: u64) -> Self {
        self.max_copied_log_bytes = bytes;
        self
    }

    /// Size from which the manifest is rewritten as one record, in bytes; one that is larger than
    /// this even then is rewritten when it has grown to four times that. Default 1 MiB.
    pub fn max_manifest_bytes(mut self, bytes: u64) -> Self {
        self.max_manifest_bytes = bytes;
        self
    }

    /// Who flushes and compacts. Default [`Background::Threads`].
    pub fn background(mut self, background: Background) -> Self {
        self.background = background;
        self
    }

    /// The disk. Default the operating system's; tests pass a simulated one.
    pub fn fs(mut self, fs: Arc<dyn Fs>) -> Self {
        self.fs = fs;
        self
    }

    /// The clock that expiry is measured with. Default the machine's; tests pass a simulated one.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.log_segment_size < 4096 {
            return Err(Error::invalid("log_segment_size must be at least 4096 bytes"));
        }
        if self.max_log_bytes < 2 * self.log_segment_size {
            return Err(Error::invalid("max_log_bytes must be at least twice log_segment_size"));
        }
        if self.background == Background::Threads(0) {
            return Err(Error::invalid(
                "background needs one compaction thread at least: use Background::Manual for none",
            ));
        }
        self.default_keyspace.as_ref().map_or(Ok(()), KeyspaceOptions::check)
    }

    pub(crate) fn wal(&self) -> WalOptions {
        WalOptions {
            segment_size: self.log_segment_size,
            create_ahead: self.background != Background::Manual,
            mode: match self.log_mode {
                LogMode::Auto => WalMode::Auto,
                LogMode::Mapped => WalMode::Mapped,
                LogMode::Buffered => WalMode::Buffered,
            },
        }
    }
}
