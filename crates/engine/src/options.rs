//! What can be chosen when a database or a keyspace is opened, each with its unit and default.

mod keyspace;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alluvium_base::memory;
use alluvium_base::{Clock, Fs, StdFs, SystemClock};
use alluvium_manifest::REWRITE_MIN_BYTES;
use alluvium_wal::{WalMode, WalOptions};
use serde::{Deserialize, Serialize};

use crate::db::Db;
use crate::{Error, Result};

pub use keyspace::{Compression, Filter, KeyspaceOptions};

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
    /// One thread flushes, this many compact; three more have the log and memory ready and call back. Default 1
    /// on up to two cores, 2 on more.
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
    pub(crate) memory: Option<u64>,
    pub(crate) default_persist: Persist,
    pub(crate) default_keyspace: Option<KeyspaceOptions>,
    pub(crate) log_mode: LogMode,
    pub(crate) log_segment_size: u64,
    pub(crate) max_log_bytes: u64,
    pub(crate) max_copied_log_bytes: u64,
    pub(crate) recovery_budget: Option<Duration>,
    pub(crate) background: Background,
    pub(crate) flushes_give_way: bool,
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
            memory: None,
            default_persist: Persist::Buffer,
            default_keyspace: None,
            log_mode: LogMode::Auto,
            log_segment_size: (16 * MIB).min(memory / 16).max(MIB),
            max_log_bytes: 512 * MIB,
            max_copied_log_bytes: MIB,
            recovery_budget: None,
            background: Background::Threads(if cores > 2 { 2 } else { 1 }),
            flushes_give_way: true,
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

    /// All the memory that the database may hold, in bytes: memtables of all keyspaces, indexes and
    /// filters, what flushes and compactions take, and cached blocks, which get what the others leave;
    /// `cache_bytes` then has no meaning. Memtables and new tables are kept to an eighth of it each,
    /// whatever their keyspace's options say, and writes wait when memtables take half of it. At least
    /// 8 MiB; it holds within a tenth. Not in it: values and batches in the hands of callers, and the
    /// log, which is mapped from files. [`Stats::memory`](crate::Stats::memory) tells what is held for
    /// what. Default none.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
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

    /// Size of a log segment, in bytes. Default 16 MiB, or a sixteenth of the memory that the
    /// system lets the process have, whichever is less.
    pub fn log_segment_size(mut self, bytes: u64) -> Self {
        self.log_segment_size = bytes;
        self
    }

    /// Size of the whole log at which the keyspace that holds back its oldest part is flushed, in
    /// bytes: an idle keyspace cannot make the log grow without bound. At twice that, writes wait for the
    /// flush. Default 512 MiB.
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

    /// Whether flushes run at the lowest priority while nobody waits for one: where threads are more
    /// than cores, readers and writers come first. On Linux only, and less so in a process that may not
    /// raise a thread's priority again. Default yes.
    pub fn flushes_give_way(mut self, give_way: bool) -> Self {
        self.flushes_give_way = give_way;
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
        self.check_memory()?;
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
