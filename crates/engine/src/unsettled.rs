//! What an open leaves for later: making durable what stood at the end of the log.
//!
//! The last process may have died before it synced, or after a sync that failed, and the kernel
//! shows what it wrote all the same. Before anything new is reported durable, all of that must be,
//! or a power cut could take the older write and leave the newer one. Copying it would take as long
//! as writing it took; so it is sorted, shown to readers at once, and flushed like any memtable:
//!
//! ```text
//!   open ─► reads and writes with Persist::Buffer go on
//!             │
//!             └─► flush worker, or the first that needs a sync: tables of all keyspaces ─► one edit
//!                 that names them and the first log segment of this process ─► syncs go on
//! ```
//!
//! One edit for all keyspaces: had one keyspace's part become durable before another's, newer writes
//! could survive older ones. Until then the new segments' records carry the watermark that replay
//! found, see [`alluvium_wal::seal`].

use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::sync::Mutex;
use alluvium_base::sync::atomic::{AtomicBool, Ordering};
use alluvium_base::{KeyspaceId, Seq};
use alluvium_manifest::{Cause, KeyspaceChange, Level, TableMeta, VersionEdit};
use alluvium_memtable::Memtable;
use alluvium_table::{Keep, WrittenBlocks};
use alluvium_wal::LogEnd;

use crate::Result;
use crate::core::Core;
use crate::gather::SortedMemtables;
use crate::replay::Memtables;
use crate::view::{ActiveMemtable, ImmutableMemtable, MemtableMaker, ReadView, TreeView};

/// What the log held beyond the tables.
#[derive(Debug)]
pub(crate) enum Recovered {
    /// All of it is durable, and its memtables take further writes.
    Settled(Memtables),
    /// Its memtables wait to be flushed.
    Waiting(SortedMemtables),
}

impl Recovered {
    /// The memtables that a keyspace begins with, which has everything up to `flushed` in tables; `last`
    /// is the last sequence that was recovered.
    pub(crate) fn take(
        &mut self,
        id: KeyspaceId,
        (flushed, last): (Seq, Seq),
        memtables: &MemtableMaker,
    ) -> (ActiveMemtable, Vec<ImmutableMemtable>) {
        let waiting = match self {
            Self::Settled(filled) => {
                let filled = filled.remove(&id);
                return (filled.unwrap_or_else(|| memtables.make(flushed.next())), Vec::new());
            }
            Self::Waiting(sorted) => sorted.remove(&id),
        };
        let Some(sorted) = waiting else { return (memtables.make(flushed.next()), Vec::new()) };
        let first = sorted.seq_range().map_or(flushed.next(), |(first, _)| first);
        // Nothing of this process's log has to be durable for it.
        let waiting = memtables.set_aside(sorted, (first, last), LogEnd::default());
        (memtables.make(last.next()), vec![waiting])
    }
}

/// Whether what was recovered is durable.
#[derive(Debug)]
pub(crate) struct Unsettled {
    /// The last sequence that was recovered.
    last: Seq,
    is_settled: AtomicBool,
    /// Held by whoever settles it. Lock order: before the manifest.
    turn: Mutex<()>,
}

impl Unsettled {
    /// Everything up to `last` was recovered.
    pub(crate) fn new(last: Seq, recovered: &Recovered) -> Self {
        let is_settled = AtomicBool::new(matches!(recovered, Recovered::Settled(_)));
        Self { last, is_settled, turn: Mutex::new(()) }
    }

    #[inline]
    fn is_settled(&self) -> bool {
        self.is_settled.load(Ordering::Acquire)
    }
}

impl Core {
    /// Returns once everything that was recovered is durable; answers whether that was still to do.
    /// Must be called before the manifest is locked. After a failure it can be called again; writes
    /// are refused only if the failure was final.
    #[inline]
    pub(crate) fn settle_recovered(&self) -> Result<bool> {
        if self.unsettled.is_settled() || is_planted(Bug::SyncedBeforeSettled) {
            return Ok(false);
        }
        self.settle_slowly()
    }

    #[cold]
    fn settle_slowly(&self) -> Result<bool> {
        // Writes files, also on a caller's thread: not once the folder is another opener's.
        let _inside = self.changing_files.read();
        if self.lock.lock().is_none() {
            self.check_open()?;
        }
        self.poison_error().map_or(Ok(()), Err)?;
        let _turn = self.unsettled.turn.lock();
        if self.unsettled.is_settled() {
            return Ok(false);
        }
        let view = self.view.load_full();
        let written = self.write_recovered(&view)?;
        self.commit_recovered(&written)?;
        self.unsettled.is_settled.store(true, Ordering::Release);
        self.schedule.notify_progress();
        Ok(true)
    }

    /// Writes every recovered memtable to tables, and opens them.
    fn write_recovered(&self, view: &ReadView) -> Result<Vec<(KeyspaceId, Vec<TableMeta>)>> {
        let mut written = Vec::new();
        let blocks = WrittenBlocks::new(&self.cache, Keep::IfThereIsRoom);
        let outcome = view.trees().try_for_each(|tree| {
            let Some(memtable) = self.recovered_of(tree) else { return Ok(()) };
            let metas = self.write_memtable(tree, &memtable.memtable, &blocks)?;
            self.open_written(tree.id, &metas, &blocks)?;
            written.push((tree.id, metas));
            Ok(())
        });
        if outcome.is_err() {
            let numbers = written.iter().flat_map(|(_, metas)| metas.iter());
            self.remove_tables(numbers.map(|meta| meta.number).collect::<Vec<_>>().into_iter());
        }
        outcome.map(|()| written)
    }

    /// The memtable of `tree` that was recovered and is not flushed.
    fn recovered_of<'a>(&self, tree: &'a TreeView) -> Option<&'a ImmutableMemtable> {
        tree.immutable.last().filter(|oldest| oldest.last <= self.unsettled.last)
    }

    /// Makes the tables the truth, in one edit.
    fn commit_recovered(&self, written: &[(KeyspaceId, Vec<TableMeta>)]) -> Result<()> {
        let last = self.unsettled.last;
        let mut manifest = self.manifest.lock();
        let mut edit = VersionEdit::new(Cause::Recovery, self.clock.now_ms());
        edit.last_seq = Some(last);
        // No keyspace was created or dropped since: that, too, settles first.
        for keyspace in manifest.state().keyspaces.values() {
            let metas = written.iter().filter(|(id, _)| *id == keyspace.id).flat_map(|(_, m)| m);
            edit.changes.push(KeyspaceChange {
                keyspace: keyspace.id,
                flushed: Some(last.max(keyspace.flushed)),
                removed: Vec::new(),
                added: metas.map(|meta| (Level(0), meta.clone().into())).collect(),
            });
        }
        self.apply(&mut manifest, edit)?;
        let mut opened = Vec::new();
        for keyspace in manifest.state().keyspaces.values() {
            let tables = self.open_version(keyspace.id, &keyspace.version)?;
            opened.push((keyspace.id, keyspace.version.clone(), tables));
        }
        self.install(|view| {
            for (id, version, tables) in opened {
                let Ok(tree) = view.tree(id) else { continue };
                let mut tree = TreeView::clone(tree);
                if self.recovered_of(&tree).is_some() {
                    tree.immutable.pop();
                }
                (tree.version, tree.tables) = (version, tables.into());
                view.set(id, Some(tree));
            }
        });
        self.release_log(&manifest);
        Ok(())
    }
}
