//! Compaction: decide, do, commit, forget.
//!
//! Deciding is pure and lives in its own crate; here a decision is carried out. Inputs are marked
//! busy while it runs, so that no other worker touches them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alluvium_base::KeyspaceId;
use alluvium_base::seeded::{Bug, is_planted};
use alluvium_base::sync::atomic::Ordering;
use alluvium_compaction::{ManualRange, Output, Pick, PickContext, pick, pick_manual_range};
use alluvium_manifest::{KeyspaceChange, Level, TableMeta, VersionEdit};
use alluvium_table::{Keep, ReadOptions, RunIterator, Table, WrittenBlocks};

use crate::Result;
use crate::core::Core;
use crate::schedule::{Job, Schedule};
use crate::source::Source;
use crate::view::{ReadView, TreeView};

/// Compaction reads each block once: it leaves the cache alone and reads far ahead.
const INPUT: ReadOptions = ReadOptions { fill_cache: false, readahead: true };

/// A decided compaction whose inputs are marked busy.
#[derive(Debug)]
pub(crate) struct Compaction {
    tree: Arc<TreeView>,
    pick: Pick,
}

/// What a compaction by hand does next.
#[derive(Debug)]
enum Step {
    Run(Box<Compaction>),
    /// Workers were in the way: look again.
    Wait,
    Done,
}

impl Compaction {
    pub(crate) fn keyspace(&self) -> KeyspaceId {
        self.tree.id
    }
}

/// Gives back the inputs of a compaction, however it ends.
struct TablesClaim<'a>(&'a Core, &'a Compaction);

impl Drop for TablesClaim<'_> {
    fn drop(&mut self) {
        let Self(core, Compaction { tree, pick }) = self;
        core.schedule.release_tables(tree.id, pick.numbers());
    }
}

impl Core {
    /// Decides on the most urgent compaction and marks its inputs busy.
    pub(crate) fn claim_compaction(&self, schedule: &mut Schedule) -> Option<Compaction> {
        if self.poison.get().is_some() {
            return None;
        }
        let view = self.view.load_full();
        let (snapshots, oldest_ms) = self.snapshots.live();
        let now_ms = self.clock.now_ms();
        let now = self.clock.monotonic();
        let candidates = view.trees().filter_map(|tree| {
            if schedule.is_pausing(Job::Compaction, tree.id, now) {
                return None;
            }
            let context = PickContext {
                busy: &schedule.busy_tables(tree.id),
                now_ms: oldest_ms.map_or(now_ms, |oldest| oldest.min(now_ms)),
                oldest_snapshot: snapshots.first().copied(),
                relieves_reads: tree.read_debt.is_due(),
            };
            let picked = pick(&tree.version, &tree.options.compaction(), &context)?;
            Some(Compaction { tree: Arc::clone(tree), pick: picked })
        });
        let most_urgent = candidates.max_by(|a, b| a.pick.score.total_cmp(&b.pick.score))?;
        schedule.mark_busy(most_urgent.tree.id, most_urgent.pick.numbers());
        Some(most_urgent)
    }

    /// Carries out a claimed compaction and gives its inputs back, however it ends.
    pub(crate) fn run_compaction(&self, compaction: &Compaction) -> Result<()> {
        let _claim = TablesClaim(self, compaction);
        if compaction.pick.is_trivial_move {
            self.move_tables(compaction)
        } else {
            self.merge_tables(compaction)
        }
    }

    /// A trivial move: nothing overlaps below, so the edit alone does it.
    fn move_tables(&self, compaction: &Compaction) -> Result<()> {
        let Pick { inputs, to, .. } = &compaction.pick;
        let moved = inputs.iter().map(|(_, meta)| (*to, Arc::clone(meta))).collect();
        self.commit_compaction(compaction, moved).map(drop)
    }

    fn merge_tables(&self, compaction: &Compaction) -> Result<()> {
        let Compaction { tree, pick } = compaction;
        let blocks = WrittenBlocks::new(&self.cache, Keep::WhatWasCached);
        let written = self.write_merged(tree, pick, &blocks)?;
        self.counters.compaction_read(pick.input_bytes());

        self.open_written(tree.id, &written, &blocks)?;
        if is_planted(Bug::InputsRemovedBeforeEdit) {
            self.remove_tables(pick.numbers());
        }
        let added = written.iter().map(|meta| (pick.to, Arc::new(meta.clone()))).collect();
        let is_committed = self.commit_compaction(compaction, added)?;
        if is_committed {
            tracing::debug!(keyspace = %tree.name, from = %pick.from, to = %pick.to,
                inputs = pick.inputs.len(), outputs = written.len(), "compacted");
            self.remove_tables(pick.numbers());
            self.read_noted(&written, &blocks);
        } else {
            self.remove_tables(written.iter().map(|meta| meta.number));
        }
        Ok(())
    }

    /// Brings into the cache what was there of the inputs, now that those are gone.
    fn read_noted(&self, written: &[TableMeta], blocks: &WrittenBlocks) {
        for meta in written {
            let table = self.tables.lock().get(&meta.number).map(Arc::clone);
            if let Some(table) = table {
                table.read_noted(blocks, || self.cancel.load(Ordering::Relaxed));
            }
        }
    }

    /// On a machine of few cores, a compaction pauses while a memtable is flushed: a writer beside the
    /// two would be the third on two cores, and wait its turn for milliseconds. It does not where
    /// writers wait for it.
    pub(crate) fn give_way_to_flushes(&self) {
        if self.is_crowded {
            self.schedule.give_way_to_flushes(|| {
                self.cancel.load(Ordering::Relaxed) || self.stalls.is_slowing()
            });
        }
    }

    /// One cursor for each L0 input and one for each deeper level. The inputs are open in the view
    /// that was decided on: their files may be gone, if the keyspace was dropped meanwhile.
    pub(crate) fn inputs(tree: &TreeView, pick: &Pick) -> Vec<Source> {
        let mut levels: BTreeMap<Level, Vec<Arc<Table>>> = BTreeMap::new();
        for (level, meta) in &pick.inputs {
            let table =
                tree.tables.find(meta.number).expect("a view has its version's tables open");
            levels.entry(*level).or_default().push(Arc::clone(table));
        }
        let mut sources = Vec::new();
        for (level, mut tables) in levels {
            if level.0 == 0 {
                sources.extend(tables.iter().map(|t| Source::Table(Box::new(t.iter(INPUT)))));
            } else {
                tables.sort_by(|a, b| a.summary().smallest.cmp(&b.summary().smallest));
                sources.push(Source::Run(Box::new(RunIterator::new(tables.into(), INPUT))));
            }
        }
        sources
    }

    /// What tables of `level` are written with.
    pub(crate) fn output<'a>(
        &'a self,
        tree: &TreeView,
        level: Level,
        blocks: &'a Arc<WrittenBlocks>,
        target_file_size: u64,
        grandparents: &'a [Arc<TableMeta>],
        on_bytes: &'a (dyn Fn(u64) + 'a),
    ) -> Output<'a> {
        Output {
            fs: &*self.fs,
            dir: &self.dir,
            numbers: &self.numbers,
            cache: &self.cache,
            blocks: Some(blocks),
            keyspace: tree.id,
            table_options: tree.options.table(level),
            target_file_size,
            grandparents,
            now_ms: self.clock.now_ms(),
            cancel: &self.cancel,
            on_bytes,
        }
    }

    /// Makes a compaction's result the truth. Answers false, having done nothing, if the keyspace
    /// was dropped.
    fn commit_compaction(
        &self,
        compaction: &Compaction,
        added: Vec<(Level, Arc<TableMeta>)>,
    ) -> Result<bool> {
        let id = compaction.tree.id;
        let mut manifest = self.manifest.lock();
        if !manifest.state().keyspaces.contains_key(&id) {
            return Ok(false);
        }
        let mut edit = VersionEdit::new(compaction.pick.cause(), self.clock.now_ms());
        let removed = compaction.pick.inputs.iter().map(|(level, meta)| (*level, meta.number));
        let removed = removed.collect();
        edit.changes.push(KeyspaceChange { keyspace: id, flushed: None, removed, added });
        self.apply(&mut manifest, edit)?;
        let version = Arc::clone(&manifest.state().keyspaces[&id].version);
        let tables = Arc::new(self.open_version(id, &version)?);
        let merged_entries = compaction.pick.merged_l0_entries();
        self.install_tree(id, |tree| tree.set_tables(version, tables, merged_entries));
        Ok(true)
    }

    /// Compacts the keys from `start` up to `end` down to the last level, on the caller's thread.
    pub(crate) fn compact_tree(
        &self,
        id: KeyspaceId,
        start: Option<&[u8]>,
        end: Option<&[u8]>,
    ) -> Result<()> {
        self.flush_tree(id)?;
        let _inside = self.enter()?;
        let _waiter = self.waiters.enter();
        let range = ManualRange {
            start,
            end,
            // Tables written from here on are as good as they get, and later writes are left alone:
            // the compaction ends even while writes go on.
            done_before: self.numbers.take(),
            written_by: self.publisher.visible(),
        };
        loop {
            self.check_writable()?;
            match self.next_manual(id, &range) {
                Step::Run(compaction) => self.run_compaction(&compaction)?,
                Step::Wait => {}
                Step::Done => return Ok(()),
            }
        }
    }

    /// The next step of a compaction by hand. Workers go on beside it; where they are in the way,
    /// this waits until one has finished something.
    fn next_manual(&self, id: KeyspaceId, range: &ManualRange<'_>) -> Step {
        let mut schedule = self.schedule.lock();
        let view: Arc<ReadView> = self.view.load_full();
        let Ok(tree) = view.tree(id).cloned() else { return Step::Done };
        let options = tree.options.compaction();
        let busy = schedule.busy_tables(id);
        if let Some(pick) = pick_manual_range(&tree.version, &options, range, &busy) {
            schedule.mark_busy(id, pick.numbers());
            return Step::Run(Box::new(Compaction { tree, pick }));
        }
        let nobody = BTreeSet::new();
        if pick_manual_range(&tree.version, &options, range, &nobody).is_none() {
            return Step::Done;
        }
        self.schedule.wait_for_change(schedule);
        Step::Wait
    }

    /// Returns once no flush or compaction is due or running.
    pub(crate) fn wait_idle(&self) -> Result<()> {
        if self.background == crate::Background::Manual {
            while self.step()? {}
            return Ok(());
        }
        let (_waiter, _hurry) = (self.waiters.enter(), self.schedule.flusher.hurry());
        loop {
            self.check_writable()?;
            let schedule = self.schedule.lock();
            if let Some(error) = schedule.failure() {
                return Err(error.clone());
            }
            if schedule.is_idle() && !self.has_work(&schedule) {
                return Ok(());
            }
            self.schedule.wait_for_change(schedule);
        }
    }
}
