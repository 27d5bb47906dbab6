//! Making the log durable: what is shared by the writer and those who sync.
//!
//! Invariants, beside those of `group`:
//! - Older segments are synced before the active one, and nothing is durable before all of them.
//! - No sync happens under the cursor's lock: appending goes on meanwhile.
//! - When the last sync of a burst returns, a watermark says so, be it unsynced: until then the next
//!   sync is waited for already.

use std::path::PathBuf;
use std::sync::Arc;

use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::sync::Mutex;
use alluvium_base::sync::atomic::{AtomicU64, Ordering};
use alluvium_base::{Error, File, FileNumber, Fs, Result};

use crate::ahead::Ahead;
use crate::group::SyncGroup;
use crate::segment::Segment;
use crate::writer::{Counters, Cursor, LogEnd};

/// A file that is to be synced.
#[derive(Clone, Debug)]
pub(crate) struct UnsyncedFile {
    pub(crate) number: FileNumber,
    pub(crate) file: Arc<dyn File>,
    pub(crate) path: PathBuf,
}

/// What the writer and the other threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) dir: PathBuf,
    /// Where the next record goes. Held for a copy, never for a sync or the creation of a file.
    /// Lock order: `releasing`, then `cursor`.
    pub(crate) cursor: Mutex<Cursor>,
    pub(crate) counters: Counters,
    /// One thread at a time removes segments.
    pub(crate) releasing: Mutex<()>,
    /// Who syncs, and for whom. Its lock is never taken together with another.
    group: SyncGroup,
    sync_count: AtomicU64,
    /// Up to where the sync that is under way makes the log durable; [`NO_SYNC`] while none is.
    sync_goal: AtomicU64,
}

const NO_SYNC: u64 = u64::MAX;

impl Shared {
    pub(crate) fn new(fs: Arc<dyn Fs>, dir: PathBuf, cursor: Cursor) -> Self {
        let counters = Counters::default();
        counters.live_bytes.store(cursor.live_bytes(), Ordering::Relaxed);
        Self {
            fs,
            dir,
            cursor: Mutex::new(cursor),
            counters,
            releasing: Mutex::new(()),
            group: SyncGroup::new(),
            sync_count: AtomicU64::new(0),
            sync_goal: AtomicU64::new(NO_SYNC),
        }
    }

    /// Fails once the log is poisoned.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        self.group.check()
    }

    /// Makes `error` final, unless an earlier one is; returns it.
    pub(crate) fn poison(&self, error: Error) -> Error {
        self.group.poison(error)
    }

    /// Syncs everything written so far and returns its end.
    fn sync_all(&self) -> Result<LogEnd> {
        let mut cursor = self.cursor.lock();
        let goal = cursor.written;
        let place = cursor.place();
        let mut files = std::mem::take(&mut cursor.unsynced);
        let Segment { number, file, path, .. } = &cursor.segment;
        files.push(UnsyncedFile { number: *number, file: file.clone(), path: path.clone() });
        drop(cursor);
        self.sync_goal.store(goal.0, Ordering::Relaxed);
        let synced = sync_files(files);
        self.sync_goal.store(NO_SYNC, Ordering::Relaxed);
        synced?;
        self.sync_count.fetch_add(1, Ordering::Relaxed);
        let is_next_wanted = self.group.is_wanted_beyond(goal);
        let mut cursor = self.cursor.lock();
        cursor.watermark = place;
        if !is_next_wanted {
            // Records appended meanwhile carry an older watermark, and there may be none to come:
            // without this one, rot in what was just synced could be taken for a torn tail. Under
            // the lock: nothing is written behind a failed append.
            self.check()?;
            let put = cursor.put_watermark();
            put.map_err(|error| self.poison(error))?;
        }
        Ok(goal)
    }
}

fn sync_files(files: Vec<UnsyncedFile>) -> Result<()> {
    for UnsyncedFile { file, path, .. } in files {
        let synced = file.sync().map_err(|error| Error::io("sync", path, error));
        if !is_planted(Bug::SyncResultIgnored) {
            synced?;
        }
    }
    Ok(())
}

/// The shared half of a log: syncing, figures, and letting go of segments.
#[derive(Debug)]
pub struct Wal {
    pub(crate) shared: Arc<Shared>,
    /// Joins its thread when it is dropped.
    ahead: Ahead,
}

impl Wal {
    pub(crate) const fn new(shared: Arc<Shared>, ahead: Ahead) -> Self {
        Self { shared, ahead }
    }

    /// Returns once everything up to `end` is durable. Threads share syncs. An `end` beyond the
    /// last record means all there is.
    ///
    /// The first failure is final: every later call fails with [`Error::Poisoned`], as it does
    /// after an append has failed. A sync is never tried again.
    pub fn sync_to(&self, end: LogEnd) -> Result<()> {
        let end = end.min(self.written());
        self.shared.group.sync_to(end, || self.shared.sync_all())
    }

    /// Ends the thread that creates segments ahead and returns once it is gone: from then on nothing
    /// but an append creates a file. Dropping the log does it too.
    pub fn stop(&self) {
        self.ahead.stop();
    }

    /// End of the last record appended.
    pub fn written(&self) -> LogEnd {
        LogEnd(self.shared.counters.written.load(Ordering::Acquire))
    }

    /// Everything up to here is durable.
    pub fn synced(&self) -> LogEnd {
        self.shared.group.synced()
    }

    /// Whether a sync is under way.
    pub fn is_syncing(&self) -> bool {
        self.shared.sync_goal.load(Ordering::Relaxed) != NO_SYNC
    }

    /// Whether a sync is under way, and more than `bytes` were appended since it began.
    #[inline]
    pub fn is_ahead_of_sync(&self, bytes: u64) -> bool {
        let goal = self.shared.sync_goal.load(Ordering::Relaxed);
        goal != NO_SYNC && self.written().0 > goal.saturating_add(bytes)
    }

    /// How many times [`sync_to`](Self::sync_to) went to the disk.
    pub fn sync_count(&self) -> u64 {
        self.shared.sync_count.load(Ordering::Relaxed)
    }

    /// Bytes of all records appended, headers and padding included.
    pub fn appended_bytes(&self) -> u64 {
        self.written().0
    }

    /// How records reach the active segment's file: `"mapped"` or `"buffered"`.
    pub fn mode(&self) -> &'static str {
        self.shared.cursor.lock().segment.writer.mode()
    }
}
