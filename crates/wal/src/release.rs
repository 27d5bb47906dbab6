//! Which segments there are, and letting go of those nobody needs.
//!
//! That a segment is garbage is written down elsewhere, durably, before it is removed: replay is told
//! [which is the first](crate::KnownSegments) that is none. So its removal need not be durable, nor
//! in any order: what comes back after a power cut is not looked at.

use std::io;
use std::ops::RangeInclusive;

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

    /// From the first segment with a record beyond `flushed`, or else the active one, to the active one, as of
    /// one moment: asked for one after the other, the active one could be a segment that is garbage by then.
    /// Those before the first are garbage once everything up to `flushed` is durable elsewhere.
    pub fn needed(&self, flushed: Seq) -> RangeInclusive<FileNumber> {
        let cursor = self.shared.cursor.lock();
        let active = cursor.segment.number;
        let first = cursor.older.iter().find(|segment| segment.last_seq > flushed);
        first.map_or(active, |segment| segment.number)..=active
    }

    /// Where [`needed`](Self::needed) begins.
    pub fn first_needed(&self, flushed: Seq) -> FileNumber {
        *self.needed(flushed).start()
    }

    /// Removes every segment before `first`, which is what whoever replays the log will be told, see
    /// [`KnownSegments`](crate::KnownSegments). Returns which. When a file cannot be removed, it and
    /// those behind it are left for the next call.
    pub fn release(&self, first: FileNumber) -> Result<Vec<FileNumber>> {
        std::iter::from_fn(|| self.release_next(first).transpose()).collect()
    }

    /// The first step of [`release`](Self::release): removes the oldest segment, if it is before `first`. A disk
    /// may be busy with that for milliseconds, so whoever has time lets others come in between.
    pub fn release_next(&self, first: FileNumber) -> Result<Option<FileNumber>> {
        let _releasing = self.shared.releasing.lock();
        self.shared.check()?;
        let Some(number) = self.oldest_before(first) else { return Ok(None) };
        let path = FileName::Wal(number).in_dir(&self.shared.dir);
        match self.shared.fs.remove(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("remove", path, error)),
        }
        let mut cursor = self.shared.cursor.lock();
        cursor.older.remove(0);
        // What nobody needs need not be written to the disk either.
        let unsynced = std::mem::take(&mut cursor.unsynced);
        let (removed, rest) = unsynced.into_iter().partition(|file| file.number == number);
        cursor.unsynced = rest;
        let live_bytes = cursor.live_bytes();
        self.shared.counters.live_bytes.store(live_bytes, Ordering::Relaxed);
        drop(cursor);
        // Behind the lock: the system gives back all memory of a removed file when the last who has it open
        // lets go of it, which takes milliseconds.
        drop::<Vec<_>>(removed);
        Ok(Some(number))
    }

    fn oldest_before(&self, first: FileNumber) -> Option<FileNumber> {
        let cursor = self.shared.cursor.lock();
        let oldest = cursor.older.first()?;
        (oldest.number < first).then_some(oldest.number)
    }
}
