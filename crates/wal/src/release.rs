//! Which segments there are, and letting go of those nobody needs.
//!
//! Invariant: segments disappear oldest first, each durably before the next one. If a crash could
//! bring back an older one without its successor, replay would see a hole.

use std::io;

use alluvium_base::sync::atomic::Ordering;
use alluvium_base::{Error, FileName, FileNumber, Result, Seq};

use crate::{SegmentInfo, Wal};

impl Wal {
    /// Bytes written to all segments that are still there, recovered ones included. Not counted is
    /// what is merely reserved.
    pub fn live_bytes(&self) -> u64 {
        self.shared.counters.live_bytes.load(Ordering::Relaxed)
    }

    /// All segments, oldest first; the last one is active.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let cursor = self.shared.cursor.lock();
        let mut segments = cursor.older.clone();
        segments.push(cursor.info());
        segments
    }

    /// The segment that is written to. Its header and its name are durable.
    pub fn active(&self) -> FileNumber {
        self.shared.cursor.lock().segment.number
    }

    /// Removes every segment before `known` whose records are all at or below `flushed`: nobody
    /// needs them. `known` is the segment that whoever replays the log will ask for, see
    /// [`replay`](crate::replay). Returns which. When a file cannot be removed, it and those behind it are left for
    /// the next call. When the folder cannot be synced, that is final, as for every sync of the log:
    /// a released segment might come back after its successor is gone.
    pub fn release(&self, flushed: Seq, known: FileNumber) -> Result<Vec<FileNumber>> {
        let _releasing = self.shared.releasing.lock();
        self.shared.check()?;
        let mut released = Vec::new();
        while let Some(number) = self.oldest_below(flushed, known) {
            let path = FileName::Wal(number).in_dir(&self.shared.dir);
            match self.shared.fs.remove(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("remove", path, error)),
            }
            let synced = self.shared.fs.sync_dir(&self.shared.dir);
            synced
                .map_err(|error| self.shared.poison(Error::io("sync", &self.shared.dir, error)))?;
            let mut cursor = self.shared.cursor.lock();
            cursor.older.remove(0);
            let live_bytes = cursor.live_bytes();
            self.shared.counters.live_bytes.store(live_bytes, Ordering::Relaxed);
            released.push(number);
        }
        Ok(released)
    }

    fn oldest_below(&self, flushed: Seq, known: FileNumber) -> Option<FileNumber> {
        let cursor = self.shared.cursor.lock();
        let oldest = cursor.older.first()?;
        (oldest.last_seq <= flushed && oldest.number < known).then_some(oldest.number)
    }
}
