//! Flush: an immutable memtable becomes tables in L0.
//!
//! The order is the promise: the log up to the memtable's last sequence is synced first where another
//! keyspace has something in it (an older batch could be lost while this newer one survives), then the
//! table's file and folder, then the edit that names it, then readers see it, and only then the log lets go.

use std::sync::Arc;

use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::sync::atomic::Ordering;
use alluvium_base::{KeyspaceId, Seq};
use alluvium_compaction::{Below, write_tables};
use alluvium_manifest::{Cause, KeyspaceChange, Level, Manifest, TableMeta, VersionEdit};
use alluvium_memtable::Memtable;
use alluvium_table::{Keep, WrittenBlocks};

use crate::Result;
use crate::core::Core;
use crate::options::Background;
use crate::schedule::Job;
use crate::view::{ImmutableMemtable, ReadView, TreeView};

/// Size at which a flush begins another table, in bytes. One memtable makes one table, or tables of
/// one flush would add to L0's count; but no index may outgrow what a table can hold.
pub(crate) const FLUSH_TABLE_BYTES: u64 = 512 << 20;

impl Core {
    /// Flushes the oldest immutable memtable of `id`, if there is one.
    pub(crate) fn flush_oldest(&self, id: KeyspaceId) -> Result<()> {
        if self.settle_recovered()? {
            return Ok(());
        }
        let view = self.view.load_full();
        let Ok(tree) = view.tree(id) else { return Ok(()) };
        let Some(oldest) = tree.immutable.last() else { return Ok(()) };
        // Writers that got their sequences before the rotation may still be copying.
        if !is_planted(Bug::FlushBeforeLastInsert) {
            self.publisher.wait_for(oldest.last);
        }
        // Where all up to there is in tables then, the log need not have it: a database of one busy
        // keyspace removes segments that the disk never saw.
        let is_alone = others(&view, id).all(|tree| is_idle(tree, oldest.last));
        if !is_alone && !is_planted(Bug::FlushBeforeLogSync) {
            self.sync_to(oldest.log_end)?;
        }

        let blocks = WrittenBlocks::new(&self.cache, self.what_flushes_keep());
        let written = self.write_memtable(tree, &oldest.memtable, &blocks)?;
        self.open_written(id, &written, &blocks)?;
        // Others wait for the locks that this takes.
        let hurry = self.schedule.flusher.hurry();
        let committed = self.commit_flush(id, oldest, &written);
        if committed.is_err() && is_planted(Bug::FailedEditTablesRemoved) {
            self.remove_tables(written.iter().map(|meta| meta.number));
        }
        drop(hurry);
        if committed? {
            return Ok(());
        }
        // The keyspace was dropped meanwhile, or somebody else flushed this memtable.
        self.remove_tables(written.iter().map(|meta| meta.number));
        Ok(())
    }

    /// To keep blocks takes time, too, which there is none of while writers wait for flushes.
    fn what_flushes_keep(&self) -> Keep {
        let waits = self.stalls.waits_for_flushes();
        let before = self.waits_before_flush.swap(waits, Ordering::Relaxed);
        if waits == before { Keep::IfThereIsRoom } else { Keep::Nothing }
    }

    /// Opens new tables before the edit that names them. If that fails, they are removed: the job
    /// starts over and writes others.
    pub(crate) fn open_written(
        &self,
        id: KeyspaceId,
        written: &[TableMeta],
        blocks: &WrittenBlocks,
    ) -> Result<()> {
        let opened = written
            .iter()
            .try_for_each(|meta| self.open_table(id, meta).map(|table| table.adopt(blocks)));
        if opened.is_err() {
            self.remove_tables(written.iter().map(|meta| meta.number));
        }
        opened
    }

    /// Writes the entries of a memtable to a table in L0.
    pub(crate) fn write_memtable(
        &self,
        tree: &TreeView,
        memtable: &Arc<dyn Memtable>,
        blocks: &Arc<WrittenBlocks>,
    ) -> Result<Vec<TableMeta>> {
        if memtable.is_empty() {
            return Ok(Vec::new());
        }
        let gc = self.gc_context();
        let mut entries = Memtable::iter(Arc::clone(memtable));
        let count = |bytes| {
            self.counters.flushed(bytes);
            self.let_syncs_pass();
        };
        let output = self.output(tree, Level(0), blocks, FLUSH_TABLE_BYTES, &[], &count);
        let written = write_tables(&mut *entries, &gc, Below::everything(), &output);
        let metas = written.inspect_err(|error| self.poison_if_final(error))?;
        tracing::debug!(keyspace = %tree.name, tables = metas.len(), "flushed a memtable");
        Ok(metas)
    }

    /// Makes a flush's result the truth. Answers false, having done nothing, if the keyspace was
    /// dropped or its oldest memtable is another one by now.
    fn commit_flush(
        &self,
        id: KeyspaceId,
        flushed: &ImmutableMemtable,
        written: &[TableMeta],
    ) -> Result<bool> {
        let mut manifest = self.manifest.lock();
        // Memtables are taken away under the manifest's lock alone: what is oldest now stays it.
        let is_oldest = self.view.load().tree(id).is_ok_and(|tree| {
            let oldest = tree.immutable.last();
            oldest.is_some_and(|oldest| Arc::ptr_eq(&oldest.memtable, &flushed.memtable))
        });
        if !is_oldest || !manifest.state().keyspaces.contains_key(&id) {
            return Ok(false);
        }
        let mut edit = VersionEdit::new(Cause::Flush, self.clock.now_ms());
        edit.last_seq = Some(flushed.last);
        edit.changes.push(KeyspaceChange {
            keyspace: id,
            flushed: Some(flushed.last),
            removed: Vec::new(),
            added: written.iter().map(|meta| (Level(0), Arc::new(meta.clone()))).collect(),
        });
        edit.changes.extend(idle_keyspaces(&manifest, &self.view.load(), id, flushed.last));
        self.apply(&mut manifest, edit)?;

        let version = Arc::clone(&manifest.state().keyspaces[&id].version);
        let tables = Arc::new(self.open_version(id, &version)?);
        self.install_tree(id, |tree| {
            tree.immutable.pop();
            tree.set_tables(version, tables, 0);
        });
        self.release_log(&manifest);
        Ok(true)
    }

    /// Lets go of log segments that hold nothing but what is in tables. Where the file system tells the disk
    /// what it no longer needs, the disk is busy for milliseconds with each.
    pub(crate) fn release_log(&self, manifest: &Manifest) {
        loop {
            self.let_syncs_pass();
            match self.wal.release_next(manifest.state().log_first) {
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "cannot remove an obsolete log segment");
                    return;
                }
            }
        }
    }

    /// Sets the memtable of `id` aside and returns once everything in it is in tables.
    pub(crate) fn flush_tree(&self, id: KeyspaceId) -> Result<()> {
        self.check_writable()?;
        let up_to = {
            let commit = self.commit.lock();
            let has_entries = !self.view.load().tree(id)?.active.memtable.is_empty()
                || self.publisher.visible() < commit.next_seq.prev();
            if has_entries {
                self.rotate(&commit, id);
            }
            commit.next_seq.prev()
        };
        let is_flushed = |core: &Self| {
            let view = core.view.load();
            let waits = |tree: &Arc<TreeView>| tree.immutable.iter().any(|m| m.last <= up_to);
            !view.tree(id).is_ok_and(waits)
        };
        if self.background == Background::Manual {
            let _inside = self.enter()?;
            while !is_flushed(self) {
                self.flush_oldest(id)?;
            }
            return Ok(());
        }
        self.schedule.wait_for_progress(Job::Flush, 1, || {
            is_flushed(self) || self.check_writable().is_err()
        })?;
        self.check_writable()
    }
}

fn others(view: &ReadView, id: KeyspaceId) -> impl Iterator<Item = &Arc<TreeView>> {
    view.trees().filter(move |tree| tree.id != id)
}

/// Whether a keyspace has nothing unflushed at or below `up_to`, which every writer has passed: so it
/// stays.
fn is_idle(tree: &TreeView, up_to: Seq) -> bool {
    let has_nothing = tree.immutable.is_empty() && tree.active.memtable.is_empty();
    has_nothing || tree.unflushed_from() > up_to
}

/// Other keyspaces that have nothing unflushed at or below `up_to`: the edit says so, and they hold
/// back no part of the log.
fn idle_keyspaces(
    manifest: &Manifest,
    view: &ReadView,
    flushing: KeyspaceId,
    up_to: Seq,
) -> Vec<KeyspaceChange> {
    let is_behind = |id: KeyspaceId| {
        manifest.state().keyspaces.get(&id).is_some_and(|keyspace| keyspace.flushed < up_to)
    };
    others(view, flushing)
        .filter(|tree| is_behind(tree.id) && is_idle(tree, up_to))
        .map(|tree| KeyspaceChange {
            keyspace: tree.id,
            flushed: Some(up_to),
            removed: Vec::new(),
            added: Vec::new(),
        })
        .collect()
}
