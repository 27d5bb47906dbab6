//! What all handles and threads of an open database share, and who may change it.
//!
//! | part | changed by | guarded by |
//! |---|---|---|
//! | log and next sequence | writers | `commit` |
//! | manifest: which tables there are | flush, compaction, keyspaces | `manifest` |
//! | view: what readers see | all of the above | replaced whole under `installing` |
//! | who works on what | background workers | `schedule` |
//!
//! Lock order: `changing_files`, then `manifest`, then `commit`, then `installing`; `schedule`, `tables` and the snapshot
//! registry are leaves. Readers take no lock at all.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use alluvium_base::fs::LockGuard;
use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::sync::atomic::{AtomicBool, Ordering};
use alluvium_base::sync::{
    ArcSwap, Guard, Mutex, OnceLock, RecursiveRwLock, RecursiveRwLockReadGuard,
};
use alluvium_base::{Clock, FileName, FileNumber, FileNumbers, Fs, KeyspaceId, Seq};
use alluvium_compaction::GcContext;
use alluvium_manifest::{KeyspaceState, Manifest, State, TableMeta, Version, VersionEdit};
use alluvium_table::{BlockCache, Table};
use alluvium_wal::{Wal, WalWriter};

use crate::dead_stretches::DeadStretches;
use crate::durable::DurabilityQueue;
use crate::options::{Background, Persist};
use crate::publish::Publisher;
use crate::schedule::Scheduler;
use crate::snapshot::SnapshotRegistry;
use crate::split::Waiters;
use crate::stall::Stalls;
use crate::stats::Counters;
use crate::unsettled::Unsettled;
use crate::view::{MemtableMaker, OpenTables, ReadView, Run, TreeView};
use crate::{Error, ErrorKind, Result};

/// The shared heart of an open database.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) dir: PathBuf,
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) numbers: Arc<FileNumbers>,
    pub(crate) cache: Arc<BlockCache>,
    pub(crate) memtables: MemtableMaker,
    pub(crate) wal: Arc<Wal>,
    pub(crate) default_persist: Persist,
    pub(crate) background: Background,
    pub(crate) flushes_give_way: bool,
    /// How often writers had waited for flushes when the last one began.
    pub(crate) waits_before_flush: std::sync::atomic::AtomicU64,
    /// Whether the machine has too few cores for a writer beside a flush and the compactions.
    pub(crate) is_crowded: bool,
    pub(crate) max_log_bytes: u64,
    /// The budget of [`Builder::memory`](crate::Builder::memory), if there is one.
    pub(crate) memory: Option<u64>,

    /// Which tables there are. Held during manifest I/O. Lock order: first.
    pub(crate) manifest: Mutex<Manifest>,
    /// The end of the log. Held for a copy into the log, never for a sync. Lock order: second.
    pub(crate) commit: Arc<Mutex<CommitState>>,
    /// Serialises replacements of the view, never I/O. Lock order: third.
    pub(crate) installing: Mutex<()>,
    pub(crate) view: ArcSwap<ReadView>,
    pub(crate) publisher: Publisher,
    pub(crate) unsettled: Unsettled,

    /// Every open table of every live version. A leaf lock.
    pub(crate) tables: Mutex<HashMap<FileNumber, Arc<Table>>>,
    pub(crate) snapshots: SnapshotRegistry,
    pub(crate) schedule: Scheduler,
    pub(crate) stalls: Stalls,
    pub(crate) waiters: Waiters,
    pub(crate) durable: DurabilityQueue,
    pub(crate) counters: Counters,

    /// Set once: why writes are refused.
    pub(crate) poison: OnceLock<Error>,
    pub(crate) closed: AtomicBool,
    /// Tells running flushes and compactions to give up.
    pub(crate) cancel: AtomicBool,
    /// Held shared by callers that change files, exclusively before the lock file is given back.
    /// Lock order: before all others.
    pub(crate) changing_files: RecursiveRwLock<()>,
    pub(crate) lock: Mutex<Option<Box<dyn LockGuard>>>,
}

/// What the commit lock guards.
#[derive(Debug)]
pub(crate) struct CommitState {
    pub(crate) log: WalWriter,
    pub(crate) next_seq: Seq,
    /// Bytes appended since the log's total size was last looked at.
    pub(crate) unchecked_bytes: u64,
}

impl Core {
    /// Pins a view and the newest sequence visible in it: a consistent point across keyspaces.
    #[inline]
    pub(crate) fn pin(&self) -> (Guard<Arc<ReadView>>, Seq) {
        self.publisher.pin(&self.view)
    }

    /// Fails when the database was closed.
    #[inline]
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed("the database was closed: open it again".to_owned()));
        }
        Ok(())
    }

    /// Fails when the database was closed or poisoned.
    #[inline]
    pub(crate) fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        self.poison_error().map_or(Ok(()), Err)
    }

    /// What a poisoned database answers to writes.
    pub(crate) fn poison_error(&self) -> Option<Error> {
        let error = self.poison.get()?;
        if let Error::Poisoned { cause } = error {
            return Some(Error::Poisoned { cause: Arc::clone(cause) });
        }
        Some(Error::Poisoned { cause: Arc::new(error.clone()) })
    }

    /// Refuses all writes from now on: the log or the manifest failed, and its end is unknown.
    pub(crate) fn poison(&self, cause: &Error) {
        if self.poison.set(cause.clone()).is_ok() {
            tracing::error!(%cause, "writes are refused until the database is reopened");
        }
        self.schedule.notify_progress();
    }

    /// Poisons if the folder could not be synced: the next sync of it may succeed without the names
    /// that this one lost, those of new log segments among them.
    pub(crate) fn poison_if_final(&self, error: &Error) {
        if let Error::Io { action: "sync", path, .. } = error
            && *path == self.dir
            && !error.is_disk_full()
        {
            self.poison(error);
        }
    }

    /// Admits a caller that is going to change files. The database is not given to another opener
    /// before the guard is dropped: two of them would use the same file numbers.
    pub(crate) fn enter(&self) -> Result<RecursiveRwLockReadGuard<'_, ()>> {
        let inside = self.changing_files.read();
        self.check_open()?;
        Ok(inside)
    }

    /// The commit point of every change to which tables and keyspaces there are. A failure poisons,
    /// unless the edit was refused before anything was written; so does the failure of a rewriting
    /// that the edit, which succeeds, was followed by.
    pub(crate) fn apply(&self, manifest: &mut Manifest, mut edit: VersionEdit) -> Result<()> {
        // So that a log that is cut short, or lost, is noticed.
        let needed = self.wal.needed(flushed_by(manifest.state(), Some(&edit)));
        (edit.log_first, edit.log) = (Some(*needed.start()), Some(*needed.end()));
        let before = manifest.number();
        manifest.apply(edit).inspect_err(|error| {
            let is_forgiven = is_planted(Bug::ManifestGoesOnBehindGarbage);
            if error.kind() != ErrorKind::Invalid && !is_forgiven {
                self.poison(error);
            }
        })?;
        if let Some(cause) = manifest.poisoned() {
            // The edit is durable, and the rewriting behind it failed: there will be no other edit.
            self.poison(cause);
        }
        if manifest.number() != before && manifest.is_obsolete(before) {
            self.remove_file(FileName::Manifest(before));
        }
        Ok(())
    }

    /// For a keyspace that is new, or newly opened.
    pub(crate) fn new_dead_stretches(&self) -> Arc<DeadStretches> {
        Arc::new(DeadStretches::new(Arc::downgrade(&self.commit)))
    }

    /// Replaces the view by a changed copy.
    pub(crate) fn install(&self, change: impl FnOnce(&mut ReadView)) {
        let installing = self.installing.lock();
        let mut view = ReadView::clone(&self.view.load());
        change(&mut view);
        self.stalls.update(&view);
        let old = self.view.swap(Arc::new(view));
        drop(installing);
        // Freeing a memtable takes milliseconds; nobody waits for it here.
        drop(old);
    }

    /// Replaces one keyspace in the view, unless it was dropped meanwhile.
    pub(crate) fn install_tree(&self, id: KeyspaceId, change: impl FnOnce(&mut TreeView)) {
        self.install(|view| {
            if let Ok(tree) = view.tree(id) {
                let mut tree = TreeView::clone(tree);
                change(&mut tree);
                view.set(id, Some(tree));
            }
        });
    }

    /// What garbage rules may assume now: the live snapshots and the oldest moment any reader may
    /// take for "now". Pin the input first: snapshots taken later see all of it.
    pub(crate) fn gc_context(&self) -> GcContext {
        // The clock comes first: a snapshot that is not listed then has a later moment.
        let now_ms = self.clock.now_ms();
        let (seqs, oldest_ms) = self.snapshots.live();
        let oldest_ms = oldest_ms.filter(|_| !is_planted(Bug::ExpiryByTheWrongClock));
        GcContext::new(seqs, oldest_ms.map_or(now_ms, |oldest| oldest.min(now_ms)))
    }

    /// Opens a table of a keyspace, or finds it open.
    pub(crate) fn open_table(&self, id: KeyspaceId, meta: &TableMeta) -> Result<Arc<Table>> {
        if let Some(table) = self.tables.lock().get(&meta.number) {
            return Ok(Arc::clone(table));
        }
        let path = FileName::Table(meta.number).in_dir(&self.dir);
        let file = self.fs.open(&path).map_err(|error| Error::io("open", &path, error))?;
        let table = Table::open(file, &path, meta.number, id, Arc::clone(&self.cache))?;
        check_identity(&table, meta)?;
        self.tables.lock().insert(meta.number, Arc::clone(&table));
        Ok(table)
    }

    /// The open tables of `version`, opening those that are not.
    pub(crate) fn open_version(&self, id: KeyspaceId, version: &Version) -> Result<OpenTables> {
        let mut open = OpenTables::default();
        for (level, metas) in version.levels() {
            let tables: Result<Vec<_>> =
                metas.iter().map(|meta| self.open_table(id, meta)).collect();
            let tables = tables?;
            if level.0 == 0 {
                open.l0 = tables;
            } else if !tables.is_empty() {
                open.runs.push(Run::new(tables));
            }
        }
        Ok(open)
    }

    /// Removes table files that no version names any more. Open handles of running reads stay
    /// usable. A file that resists is removed by the next open.
    pub(crate) fn remove_tables(&self, numbers: impl Iterator<Item = FileNumber>) {
        for number in numbers {
            self.tables.lock().remove(&number);
            self.remove_file(FileName::Table(number));
        }
    }

    fn remove_file(&self, name: FileName) {
        let path = name.in_dir(&self.dir);
        if let Err(error) = self.fs.remove(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove an obsolete file");
        }
    }
}

/// The sequence up to which all keyspaces have everything in tables, once `edit` is applied.
pub(crate) fn flushed_by(state: &State, edit: Option<&VersionEdit>) -> Seq {
    let changes = || edit.iter().flat_map(|edit| &edit.changes);
    let is_left = |id| edit.is_none_or(|edit| !edit.dropped.contains(&id));
    let after = |keyspace: &KeyspaceState| {
        let change = changes().find(|change| change.keyspace == keyspace.id);
        change.and_then(|change| change.flushed).unwrap_or(keyspace.flushed)
    };
    let each = || state.keyspaces.values().filter(|keyspace| is_left(keyspace.id)).map(after);
    let flushed = if is_planted(Bug::LogReleasedTooFar) { each().max() } else { each().min() };
    flushed.unwrap_or_default()
}

/// A table file must be the one the manifest speaks of, not another one in its place.
pub(crate) fn check_identity(table: &Table, meta: &TableMeta) -> Result<()> {
    let summary = table.summary();
    let is_same = summary.file_size == meta.size_bytes
        && summary.entry_count == meta.entry_count
        && summary.smallest == meta.smallest
        && summary.largest == meta.largest
        && summary.largest_seq == meta.largest_seq;
    if is_same {
        return Ok(());
    }
    Err(Error::corrupt(table.path(), 0, "the file is not the table that the manifest describes"))
}
