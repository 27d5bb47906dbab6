//! The write path: one short lock for order, copies outside it, publication in order.
//!
//! ```text
//!   encode ─► admit ─►┌ commit lock ──────────────┐─► memtable ─► publish ─► sync, if asked for
//!              (stall) │ room, sequences, log copy │   (parallel)  (in order)  (shared)
//!                      └───────────────────────────┘
//! ```
//!
//! A large batch is not inserted entry by entry: it is sorted before the lock, and set aside as a memtable of its
//! own, to be flushed as it is.
//!
//! A batch is acknowledged only after its record is the kernel's (`Buffer`) or the disk's (`Sync`).
//! A failure of the log poisons the database: nobody can tell how much of the record is there.

use alluvium_base::checksum::crc32;
use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::{BatchEntry, BatchReader, Bytes, Error, KeyspaceId, Result, Seq, WriteBatch};
use alluvium_memtable::{SortedEntry, SortedMemtable};
use alluvium_wal::LogEnd;

use crate::core::{CommitState, Core};
use crate::options::Persist;
use crate::stall::StallCause;
use crate::view::ReadView;

/// How much the log may grow before its total size is looked at.
const LOG_CHECK_BYTES: u64 = 1 << 20;

/// A batch ready to be written.
#[derive(Debug)]
pub(crate) struct PreparedBatch {
    payload: Bytes,
    checksum: u32,
    entry_count: u32,
    keyspaces: Touched,
}

/// A batch that is large enough to become a memtable of its own.
struct LargeBatch {
    /// The only one it writes to.
    keyspace: KeyspaceId,
    /// With sequences from zero on.
    sorted: SortedMemtable,
}

/// A batch of this part of a write buffer makes a table of a size that L0 is used to.
const LARGE_PART: u64 = 2;

/// The keyspaces a batch writes to; nearly always one.
#[derive(Clone, Debug)]
pub(crate) enum Touched {
    One(KeyspaceId),
    Many(Vec<KeyspaceId>),
}

impl Touched {
    /// Adds a keyspace unless it is there.
    pub(crate) fn add(&mut self, id: KeyspaceId) {
        match self {
            Self::One(only) if *only == id => {}
            Self::One(only) => *self = Self::Many(vec![*only, id]),
            Self::Many(ids) if ids.contains(&id) => {}
            Self::Many(ids) => ids.push(id),
        }
    }

    fn ids(&self) -> &[KeyspaceId] {
        match self {
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }
}

impl PreparedBatch {
    pub(crate) fn new(batch: WriteBatch, keyspaces: Touched) -> Self {
        let entry_count = batch.len();
        let payload = batch.into_bytes();
        let checksum = crc32(&payload);
        Self { payload, checksum, entry_count, keyspaces }
    }
}

/// Why the commit lock had to be given back.
pub(crate) enum Room {
    Made,
    WaitFor(StallCause),
}

impl Core {
    /// Writes a batch: visible when this returns, and as durable as `persist` says. Answers where
    /// its record ends in the log.
    pub(crate) fn write(&self, batch: &PreparedBatch, persist: Persist) -> Result<LogEnd> {
        if persist == Persist::Sync {
            // First: where that fails, nothing is written.
            self.settle_recovered()?;
        }
        let written = self.write_if(batch, |_, _| Ok(true), |_, _| {})?;
        let log_end = written.expect("no condition was set");
        if persist == Persist::Sync {
            self.sync_to(log_end)?;
        }
        Ok(log_end)
    }

    /// Writes a batch if `condition` holds at its place in the order, or answers `None`. The
    /// condition runs under the commit lock, when all earlier writes are visible in the view it is
    /// given, but no sooner than the batch itself is admitted. `logged` is called under the same
    /// lock with the batch's last sequence and the end of its record: what it queues is in the
    /// order of the writes, though it may not be visible yet.
    pub(crate) fn write_if(
        &self,
        batch: &PreparedBatch,
        condition: impl Fn(&ReadView, Seq) -> Result<bool>,
        logged: impl FnOnce(Seq, LogEnd),
    ) -> Result<Option<LogEnd>> {
        let mut large = self.sort_if_large(batch);
        loop {
            self.check_writable()?;
            self.stalls.admit(self, batch.payload.len() as u64)?;
            let mut commit = self.commit.lock();
            // Checked again under the lock: after `close` nothing is appended any more.
            self.check_writable()?;
            if let Room::WaitFor(cause) = self.make_room(&mut commit, &batch.keyspaces)? {
                drop(commit);
                self.stalls.wait_for_progress(self, cause)?;
                continue;
            }
            let view = self.view.load();
            for &id in batch.keyspaces.ids() {
                view.tree(id)?;
            }
            let last_assigned = commit.next_seq.prev();
            if !condition(&view, last_assigned)? {
                return Ok(None);
            }
            let first = commit.next_seq;
            let last = first.plus(u64::from(batch.entry_count) - 1);
            let before = commit.log.end();
            let log_end = self.append(&mut commit, batch, (first, last))?;
            commit.next_seq = last.next();
            let large = large.take_if(|large| {
                view.tree(large.keyspace).is_ok_and(|tree| tree.has_room_for_sorted())
            });
            let is_set_aside = large.is_some();
            if let Some(large) = large {
                self.set_aside(large, (first, last), (before, log_end));
            }
            logged(last, log_end);
            commit.unchecked_bytes += batch.payload.len() as u64;
            drop(commit);

            if is_planted(Bug::PublishBeforeInsert) {
                self.publisher.publish(first, last);
            }
            if is_set_aside {
                note_writes(&view, &batch.payload);
            } else {
                insert(&view, &batch.payload, first);
            }
            if !is_planted(Bug::PublishBeforeInsert) {
                self.publisher.publish(first, last);
            }
            self.counters.wrote(batch.entry_count, batch.payload.len());
            return Ok(Some(log_end));
        }
    }

    /// Appends the batch's record. A failure poisons: nobody can tell how much of it is there.
    fn append(
        &self,
        commit: &mut CommitState,
        batch: &PreparedBatch,
        (first, last): (Seq, Seq),
    ) -> Result<LogEnd> {
        let appended = commit.log.append(first, last, &batch.payload, batch.checksum);
        appended.inspect_err(|error| {
            if is_planted(Bug::LogGoesOnBehindGarbage) {
                commit.next_seq = last.next();
                self.publisher.publish(first, last);
            } else if !is_planted(Bug::FailedSeqReused) {
                self.poison(error);
            }
        })
    }

    /// Returns once the log is durable up to `end`, and everything before it; a failure of the log
    /// poisons the database.
    pub(crate) fn sync_to(&self, end: LogEnd) -> Result<()> {
        self.settle_recovered()?;
        self.wal.sync_to(end).inspect_err(|error| {
            if !is_planted(Bug::FailedSyncRetried) {
                self.poison(error);
            }
        })
    }

    /// Sets full memtables aside. Must be called under the commit lock, so that no batch is split.
    fn make_room(&self, commit: &mut CommitState, keyspaces: &Touched) -> Result<Room> {
        for &id in keyspaces.ids() {
            let view = self.view.load();
            let tree = view.tree(id)?;
            if !tree.is_full() {
                continue;
            }
            if tree.has_no_room() {
                return Ok(Room::WaitFor(StallCause::Memtables));
            }
            self.rotate(commit, id);
        }
        if commit.unchecked_bytes >= self.look_bytes(LOG_CHECK_BYTES) {
            if let Room::WaitFor(cause) = self.keep_within_memory(commit) {
                return Ok(Room::WaitFor(cause));
            }
            if self.is_log_far_too_long(&self.view.load()) {
                return Ok(Room::WaitFor(StallCause::Memtables));
            }
            commit.unchecked_bytes = 0;
            if self.wal.live_bytes() > self.max_log_bytes {
                self.rotate_oldest(commit);
                // The log grows on until its entries are in tables. Said afterwards: a flusher that finds
                // nothing to do takes it for done.
                self.schedule.flusher.press();
            }
        }
        Ok(Room::Made)
    }

    /// Sets aside the active memtable of `id`, unless it is empty, and wakes the flusher.
    pub(crate) fn rotate(&self, commit: &CommitState, id: KeyspaceId) {
        let (last, log_end) = (commit.next_seq.prev(), commit.log.end());
        self.install_tree(id, |tree| {
            // A writer between log and memtable counts too: `start` tells what may still come.
            if tree.active.start <= last {
                *tree = tree.rotated(last, log_end, &self.memtables);
            }
        });
        self.schedule.notify_work();
    }

    /// Sorts a batch that is worth it. Where several keyspaces share it, none may have much of it.
    fn sort_if_large(&self, batch: &PreparedBatch) -> Option<LargeBatch> {
        let Touched::One(keyspace) = batch.keyspaces else { return None };
        if batch.entry_count == 1 {
            return None;
        }
        let view = self.view.load();
        let tree = view.tree(keyspace).ok()?;
        if (batch.payload.len() as u64) < tree.options.write_buffer_size / LARGE_PART {
            return None;
        }
        let entries = entries_of(&batch.payload).enumerate().map(|(at, entry)| {
            let BatchEntry { key, value, kind, .. } = entry;
            SortedEntry::new((0, &batch.payload), key, value, Seq::new(at as u64), kind)
        });
        let sorted = SortedMemtable::new(vec![batch.payload.clone()], entries.collect());
        Some(LargeBatch { keyspace, sorted })
    }

    /// Shows `large`, whose record is the last in the log, as a memtable that waits to be flushed, behind
    /// what was written before. Must be called under the commit lock, and before it is published.
    fn set_aside(&self, large: LargeBatch, (first, last): (Seq, Seq), ends: (LogEnd, LogEnd)) {
        let (before, log_end) = ends;
        let sorted = large.sorted.shifted(first.get());
        let waiting = self.memtables.set_aside(sorted, (first, last), log_end);
        self.install_tree(large.keyspace, |tree| {
            *tree = tree.with_sorted(waiting, before, &self.memtables);
        });
        self.schedule.notify_work();
    }

    /// Whether the log has twice the length that it is held to, and a flush will change that.
    pub(crate) fn is_log_far_too_long(&self, view: &ReadView) -> bool {
        let is_long = self.wal.live_bytes() > self.max_log_bytes.saturating_mul(2);
        is_long && view.trees().any(|tree| !tree.immutable.is_empty())
    }

    /// Sets aside the memtable that holds back the oldest part of the log.
    fn rotate_oldest(&self, commit: &CommitState) {
        let view = self.view.load();
        let pinning = view.trees().filter(|tree| tree.immutable.is_empty());
        let oldest = pinning
            .filter(|tree| !tree.active.memtable.is_empty())
            .min_by_key(|tree| tree.active.start);
        if let Some(tree) = oldest {
            self.rotate(commit, tree.id);
        }
    }
}

fn entries_of(payload: &Bytes) -> impl Iterator<Item = BatchEntry> {
    let entries = BatchReader::new(payload).expect("the batch was encoded here");
    entries.map(|entry| entry.expect("the batch was encoded here"))
}

/// Inserts a batch that the log has, entry *i* at sequence `first + i`.
fn insert(view: &ReadView, payload: &Bytes, first: Seq) {
    for (at, entry) in entries_of(payload).enumerate() {
        let tree = view.tree(entry.keyspace).expect("checked before the log was written");
        let seq = first.plus(at as u64);
        let (key, kind) = (entry.key.clone(), entry.kind);
        tree.active.memtable.insert(payload, entry.key, entry.value, seq, kind);
        tree.dead_stretches.wrote(&payload[key], kind);
    }
}

/// Has dead stretches cut by a batch that readers cannot see yet.
fn note_writes(view: &ReadView, payload: &Bytes) {
    for entry in entries_of(payload) {
        let tree = view.tree(entry.keyspace).expect("checked before the log was written");
        if tree.dead_stretches.is_empty() {
            return;
        }
        tree.dead_stretches.wrote(&payload[entry.key], entry.kind);
    }
}

/// An empty batch has no place in the order.
pub(crate) fn refuse_empty(batch: &WriteBatch) -> Result<()> {
    if batch.is_empty() { Err(Error::invalid("the batch is empty")) } else { Ok(()) }
}
